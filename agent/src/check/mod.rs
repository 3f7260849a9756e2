//! `bellwether-agent check`: looks at everything that a device needs, and changes nothing.
//!
//! It works beside a running agent, without a network, and with `--server` before there is an enrollment.

mod local;
mod server;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use bellwether_agent_core::check::{Finding, allowlists, clock};
use jiff::Timestamp;

use crate::clock::built;
use crate::{config, tls};

/// Where the installer puts the configuration.
pub(crate) const CONFIG: &str = "/etc/bellwether/agent.yaml";

/// What is looked at.
pub(crate) struct Subject {
    /// The state directory.
    pub(crate) state: PathBuf,
    /// The directory that the device's paths begin at.
    pub(crate) root: PathBuf,
    /// `agent.yaml`; the installer's, where there is one, if none is named.
    pub(crate) config: Option<PathBuf>,
    /// Address of the `enroll` listener, to ask it too.
    pub(crate) server: Option<String>,
    /// The CA to trust, PEM; that of the enrollment if none is given.
    pub(crate) ca: Option<String>,
}

/// Everything that was found, the nearest first.
pub(crate) async fn check(subject: &Subject) -> Vec<Finding> {
    let mut found = configuration(subject);
    let (device, of_state) = local::state(&subject.state);
    found.extend(of_state);
    let verified = device.trust.as_ref().and_then(|trust| trust.verified);
    let now = crate::clock::now(verified).0;
    found.extend(local::enrollment(&device, subject.server.is_some(), now));

    let ca = subject.ca.as_deref().or(device.identity.as_ref().map(|identity| identity.ca.as_str()));
    let enroll = async {
        match (&subject.server, ca) {
            (Some(address), Some(ca)) => server::enroll(address, ca, verified).await,
            _ => server::Looked::default(),
        }
    };
    let rest = async {
        match &device.identity {
            Some(identity) if tls::client(&identity.ca, Some(identity), verified).is_ok() => {
                futures::join!(server::devices(identity, verified), server::updates(identity, &device, now))
            }
            _ => Default::default(),
        }
    };
    let (enroll, (devices, updates)) = futures::join!(enroll, rest);
    let server_time = updates.time.or(enroll.time);
    found.push(clock(Timestamp::now(), built(), verified, server_time));
    found.extend([enroll, devices, updates].into_iter().flat_map(|looked| looked.findings));
    found
}

fn configuration(subject: &Subject) -> Vec<Finding> {
    const WHAT: &str = "configuration";
    let installed = config::beneath(&subject.root, Path::new(CONFIG));
    let path = subject.config.as_deref().or(Some(installed.as_path()).filter(|path| path.exists()));
    let mut found = Vec::new();
    let allowed = match config::load(path) {
        Ok(allowed) => {
            let shown = path.map_or("none, the defaults count".to_owned(), |path| path.display().to_string());
            found.push(Finding::ok(WHAT, shown));
            allowed
        }
        Err(error) => {
            let why = crate::cli::chain(&error);
            return vec![Finding::fail(WHAT, bellwether_schemas::codes::AGENT_CONFIG, why)];
        }
    };
    found.extend(allowlists(&allowed));
    found.extend(local::allowed(&subject.root, &allowed));
    // The unit names the configuration of its own device.
    found.extend(path.filter(|path| **path == *installed).and_then(|_| local::unit(&subject.root, CONFIG, &allowed)));
    found
}
