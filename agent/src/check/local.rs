//! What the device itself shows: directories, files, room.

use std::path::Path;

use bellwether_agent_core::check::{Finding, Room, certificate, room};
use bellwether_agent_core::unit::{self, Installed};
use bellwether_agent_core::{Durable, Status};
use bellwether_schemas::allow::Allowed;
use bellwether_schemas::codes;
use jiff::Timestamp;
use rustix::fs::{Access, access, statvfs};
use serde::de::DeserializeOwned;

use crate::apply::Applier;
use crate::config::beneath;
use crate::disk::{self, DiskError};
use crate::identity::{Identity, life};
use crate::state_dir::{self, Decommissioned};
use crate::trust::{Metadata, Trust};
use crate::{pull, tls};

/// What the state directory holds, as far as it can be read.
#[derive(Default)]
pub(super) struct Device {
    pub(super) identity: Option<Identity>,
    pub(super) trust: Option<Trust>,
    pub(super) metadata: Option<Metadata>,
    pub(super) decommissioned: Option<Decommissioned>,
}

/// The state directory: whether it can be used, who uses it, and what is in it.
pub(super) fn state(path: &Path) -> (Device, Vec<Finding>) {
    const WHAT: &str = "state directory";
    let shown = path.display();
    let unusable = |why: &dyn std::fmt::Display| Finding::fail(WHAT, codes::AGENT_STATE, format!("{shown}: {why}"));
    match std::fs::read_dir(path) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let found = format!("{shown} is not there yet; enrolling makes it");
            return (Device::default(), vec![Finding::ok(WHAT, found)]);
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let finding = unusable(&error).advise("Run this as the user that the agent runs as: root.");
            return (Device::default(), vec![finding]);
        }
        Err(error) => return (Device::default(), vec![unusable(&error)]),
    }
    let mut found = vec![match access(path, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::ok(WHAT, format!("{shown} can be read and written")),
        Err(errno) => unusable(&format!("cannot be written: {}", std::io::Error::from(errno))),
    }];
    found.extend(room_at("room of the state directory", path));
    let device = Device {
        identity: read(path, "identity.json", &mut found),
        trust: read(path, "trust.json", &mut found),
        metadata: read(path, "metadata.json", &mut found),
        decommissioned: read(path, "decommissioned.json", &mut found),
    };
    let memory: Option<Durable> = read(path, "memory.json", &mut found);
    if memory.is_none() && device.identity.is_some() && !path.join("memory.json").exists() {
        found.push(unusable(&"memory.json is gone, and with it what this device must not go back behind"));
    }
    let status: Option<Status> = read(path, "status.json", &mut found);
    if let Err(error) = Applier::new(path.to_owned(), "/".into()).check_records() {
        found.push(unusable(&crate::cli::chain(&error)));
    }
    if device.identity.is_some() {
        found.push(agent(path, status.as_ref()));
    }
    (device, found)
}

fn read<T: DeserializeOwned>(state: &Path, name: &str, found: &mut Vec<Finding>) -> Option<T> {
    let read = disk::read_json(&state.join(name));
    let failed = |error: DiskError| found.push(Finding::fail(name, codes::AGENT_STATE, crate::cli::chain(&error)));
    read.map_err(failed).ok().flatten()
}

/// Whether an agent runs, and what it says of itself.
fn agent(state: &Path, status: Option<&Status>) -> Finding {
    const WHAT: &str = "agent";
    let ended = status.and_then(|status| status.trouble.as_deref()).unwrap_or_default();
    match status {
        _ if !state_dir::is_in_use(state) => {
            let why = if ended.is_empty() { String::new() } else { format!("; the last thing it said: {ended}") };
            Finding::warn(WHAT, codes::AGENT_STOPPED, format!("no agent runs here{why}"))
        }
        Some(Status { paused: Some(paused), .. }) => {
            let code = codes::explain(&paused.code).map_or(codes::AGENT_STATE, |explained| explained.code);
            Finding::warn(WHAT, code, format!("it runs and is paused: {}", paused.reason))
        }
        Some(status) => Finding::ok(WHAT, format!("it runs and waits for {}", status.waiting)),
        None => Finding::ok(WHAT, "it runs"),
    }
}

/// Identity, certificate and trust anchor.
pub(super) fn enrollment(device: &Device, is_to_come: bool, now: Timestamp) -> Vec<Finding> {
    const WHAT: &str = "enrollment";
    let Some(identity) = &device.identity else {
        if let Some(Decommissioned { device, at }) = &device.decommissioned {
            return vec![Finding::ok(WHAT, format!("{device} was decommissioned at {at}; a new token brings it back"))];
        }
        let found = "this device is not enrolled";
        return vec![match is_to_come {
            true => Finding::ok(WHAT, format!("{found} yet")),
            false => Finding::fail(WHAT, codes::NOT_ENROLLED, found),
        }];
    };
    let mut found = vec![match tls::client(&identity.ca, Some(identity), None) {
        Ok(_) => Finding::ok(WHAT, format!("as {}; key, certificate and CA fit", identity.device)),
        Err(error) => Finding::fail(WHAT, codes::AGENT_STATE, crate::cli::chain(&error)),
    }];
    found.push(match life(&identity.certificate) {
        Some((from, until)) => certificate(now, from, until),
        None => Finding::fail("certificate", codes::AGENT_STATE, "identity.json holds no certificate that can be read"),
    });
    const ANCHOR: &str = "trust anchor";
    found.push(match &device.trust {
        None => Finding::fail(ANCHOR, codes::AGENT_STATE, "trust.json is gone, and with it the pinned TUF root")
            .advise("Enroll again with the reconciler's root.json and a new token: bellwether-agent enroll."),
        Some(trust) => match pull::root_version(trust) {
            Ok(version) => Finding::ok(ANCHOR, format!("root {version}, pinned as {}", trust.pinned.short())),
            Err(error) => Finding::fail(ANCHOR, codes::ROOT_UNUSABLE, crate::cli::chain(&error)),
        },
    });
    found
}

/// Whether what the operator allows can be used: directories to place things in, programs to probe with.
pub(super) fn allowed(root: &Path, allowed: &Allowed) -> Vec<Finding> {
    let on_device = |path: &str| beneath(root, Path::new(path));
    let directories = allowed.paths.iter().filter(|path| path.starts_with('/')).flat_map(|shown| {
        let path = on_device(shown);
        let unusable = |why: String| Finding::warn("allowed path", codes::ALLOWED_UNUSABLE, format!("{shown}: {why}"));
        match std::fs::metadata(&path) {
            Ok(found) if !found.is_dir() => return vec![unusable("is no directory".to_owned())],
            Ok(_) => {}
            Err(error) => return vec![unusable(error.to_string())],
        }
        match access(&path, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => room_at(&format!("room at {shown}"), &path),
            Err(errno) => vec![unusable(format!("cannot be written: {}", std::io::Error::from(errno)))],
        }
    });
    let programs = allowed.exec.iter().filter(|path| path.starts_with('/')).filter_map(|shown| {
        let errno = access(on_device(shown), Access::EXEC_OK).err()?;
        let found = format!("{shown}: {}", std::io::Error::from(errno));
        Some(Finding::warn("allowed program", codes::ALLOWED_UNUSABLE, found))
    });
    directories.chain(programs).collect()
}

/// Whether the unit that is installed lets the agent do what the configuration allows.
pub(super) fn unit(root: &Path, config: &str, allowed: &Allowed) -> Option<Finding> {
    const WHAT: &str = "systemd unit";
    let file = Path::new("/etc/systemd/system/bellwether-agent.service");
    let installed = std::fs::read_to_string(beneath(root, file)).ok()?;
    let program = installed.lines().find_map(|line| line.strip_prefix("ExecStart=")?.split(' ').next());
    let made = unit::unit(allowed, Installed { program: program.unwrap_or_default(), config });
    let found = file.display();
    Some(if made == installed {
        Finding::ok(WHAT, format!("{found} is as the configuration wants it"))
    } else {
        let found = format!("{found} is not what this release makes of the configuration");
        Finding::warn(WHAT, codes::ALLOWED_UNUSABLE, found)
            .advise("bellwether-agent unit > /etc/systemd/system/bellwether-agent.service; systemctl daemon-reload; systemctl restart bellwether-agent. Edits of your own belong in a drop-in.")
    })
}

fn room_at(what: &str, path: &Path) -> Vec<Finding> {
    let Ok(stat) = statvfs(path) else { return Vec::new() };
    // Some file systems make inodes as they need them, and say 0 of 0.
    let inodes = (stat.f_files > 0).then_some(stat.f_favail);
    vec![room(what, Room { bytes: stat.f_bavail.saturating_mul(stat.f_frsize), inodes })]
}
