//! What the operator of a device allows. A signed spec chooses within it and never widens it.
//!
//! The device judges by it, and so does whoever wants to know beforehand what the device will refuse.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codes::{self, Code};
use crate::manifest::{HttpUrl, Probe, ProbeAction};
use crate::spec::{DevicePath, DeviceSpec};

/// Entries of all lists together that a report may carry.
pub const MAX_ENTRIES: usize = 128;

/// Bytes of all entries together that a report may carry.
pub const MAX_BYTES: usize = 8_192;

/// The allowlists of `agent.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allowed {
    /// Programs that probes may run, as absolute paths. Empty: none.
    pub exec: Vec<String>,
    /// Directories beneath which things may be placed.
    pub paths: Vec<String>,
    /// systemd units that may be acted on. Empty: none.
    pub units: Vec<String>,
    /// Hosts that HTTP probes may ask.
    pub probe_hosts: Vec<String>,
}

/// Something that a spec wants and the operator does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// A place for a file or an artifact.
    #[error("{path} is not beneath an allowed path (paths: {})", allowed.join(", "))]
    Path {
        /// The place.
        path: DevicePath,
        /// The directories that are allowed.
        allowed: Vec<String>,
    },
    /// A program of a probe, where none is allowed.
    #[error("probe program {program:?}: this device allows none (exec is empty)")]
    AnyProgram {
        /// The program.
        program: String,
    },
    /// A program of a probe.
    #[error("probe program {program:?} is not allowed (exec: {})", allowed.join(", "))]
    Program {
        /// The program.
        program: String,
        /// The programs that are allowed.
        allowed: Vec<String>,
    },
    /// The host that a probe asks.
    #[error("probe {url:?}: this device does not allow the host (probeHosts)")]
    Host {
        /// What the probe asks.
        url: String,
        /// The host in it.
        host: String,
    },
    /// What a probe asks is no URL for it.
    #[error("probe {url:?}: {why}")]
    Url {
        /// What the probe asks.
        url: String,
        /// Why that is no URL.
        why: String,
    },
    /// A probe that does nothing, or several things.
    #[error("a probe without exactly one action")]
    Action,
}

impl NotAllowed {
    /// The stable code with which the device refuses.
    pub const fn code(&self) -> Code {
        match self {
            Self::Path { .. } => codes::PATH_NOT_ALLOWED,
            Self::AnyProgram { .. } | Self::Program { .. } | Self::Host { .. } | Self::Url { .. } => {
                codes::PROBE_NOT_ALLOWED
            }
            Self::Action => codes::SPEC_UNUSABLE,
        }
    }

    /// What the spec wants, as the end of a sentence; without what the device says that it allows.
    pub fn wanted(&self) -> String {
        match self {
            Self::Path { path, .. } => format!("the path {path}"),
            Self::AnyProgram { program } | Self::Program { program, .. } => format!("the program {program:?}"),
            Self::Host { host, .. } => format!("the host {host:?}"),
            Self::Url { url, .. } => format!("the URL {url:?}"),
            Self::Action => "a probe without exactly one action".to_owned(),
        }
    }
}

impl Default for Allowed {
    fn default() -> Self {
        Self {
            exec: Vec::new(),
            paths: vec!["/opt/bellwether".to_owned()],
            units: Vec::new(),
            probe_hosts: vec!["127.0.0.1".to_owned(), "::1".to_owned(), "localhost".to_owned()],
        }
    }
}

impl Allowed {
    /// Checks everything that a spec wants.
    ///
    /// # Errors
    /// The first thing that is not allowed.
    pub fn check(&self, spec: &DeviceSpec) -> Result<(), NotAllowed> {
        let files = spec.files.iter().map(|file| &file.path);
        for path in files.chain(spec.artifacts.iter().map(|artifact| &artifact.dest)) {
            if !self.paths.iter().any(|prefix| is_beneath(path.as_str(), prefix)) {
                return Err(NotAllowed::Path { path: path.clone(), allowed: self.paths.clone() });
            }
        }
        spec.probes.iter().try_for_each(|probe| self.check_probe(probe))
    }

    /// Checks what a probe does.
    ///
    /// # Errors
    /// The program or host is not allowed.
    pub fn check_probe(&self, probe: &Probe) -> Result<(), NotAllowed> {
        match probe.action() {
            Some(ProbeAction::Exec(exec)) => self.check_program(exec.command.first().map_or("", String::as_str)),
            Some(ProbeAction::Http(http)) => self.check_url(&http.url),
            Some(ProbeAction::File(_)) => Ok(()),
            None => Err(NotAllowed::Action),
        }
    }

    /// Whether a report may carry it: it is not too much, and nothing in it moves a cursor.
    pub fn is_reportable(&self) -> bool {
        let bytes = self.entries().map(String::len).fold(0, usize::saturating_add);
        let is_plain = |entry: &String| !entry.chars().any(char::is_control);
        self.entries().count() <= MAX_ENTRIES && bytes <= MAX_BYTES && self.entries().all(is_plain)
    }

    fn entries(&self) -> impl Iterator<Item = &String> {
        [&self.exec, &self.paths, &self.units, &self.probe_hosts].into_iter().flatten()
    }

    fn check_program(&self, program: &str) -> Result<(), NotAllowed> {
        if program.starts_with('/') && self.exec.iter().any(|allowed| allowed == program) {
            return Ok(());
        }
        let program = program.to_owned();
        Err(match self.exec.as_slice() {
            [] => NotAllowed::AnyProgram { program },
            allowed => NotAllowed::Program { program, allowed: allowed.to_vec() },
        })
    }

    fn check_url(&self, url: &str) -> Result<(), NotAllowed> {
        match HttpUrl::parse(url) {
            Err(why) => Err(NotAllowed::Url { url: url.to_owned(), why: why.to_string() }),
            Ok(read) if self.probe_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(read.host)) => Ok(()),
            Ok(read) => Err(NotAllowed::Host { url: url.to_owned(), host: read.host.to_owned() }),
        }
    }
}

fn is_beneath(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
}

/// Allowlists of many devices, equal ones once: most devices of an installation have the same.
#[derive(Debug, Default)]
pub struct Allowlists {
    known: HashSet<Arc<Allowed>>,
    /// With so many, those that nobody holds any more go.
    sweep_at: usize,
}

impl Allowlists {
    /// Fewer are not worth a look at who holds them.
    const FEW: usize = 64;

    /// The one that is equal to this.
    pub fn share(&mut self, allowed: Allowed) -> Arc<Allowed> {
        if let Some(known) = self.known.get(&allowed) {
            return known.clone();
        }
        let shared = Arc::new(allowed);
        self.known.insert(shared.clone());
        if self.known.len() > self.sweep_at {
            // Devices may say another one each time: what is kept is at most twice what somebody holds.
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.sweep_at = self.known.len().saturating_mul(2).max(Self::FEW);
        }
        shared
    }
}

impl FromIterator<Arc<Allowed>> for Allowlists {
    fn from_iter<T: IntoIterator<Item = Arc<Allowed>>>(known: T) -> Self {
        Self { known: known.into_iter().collect(), sweep_at: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_at_a_slash() {
        for (path, prefix, expected) in [
            ("/opt/bellwether/a", "/opt/bellwether", true),
            ("/opt/bellwether/a", "/opt/bellwether/", true),
            ("/opt/bellwether-evil/a", "/opt/bellwether", false),
            ("/opt/bellwether", "/opt/bellwether", false),
            ("/etc/passwd", "/", true),
            ("/etc/passwd", "", true),
            ("/etc/passwd", "/opt", false),
        ] {
            assert_eq!(is_beneath(path, prefix), expected, "{path} {prefix}");
        }
    }

    #[test]
    fn what_no_list_has_is_refused() {
        let spec = |text: &str| -> DeviceSpec { serde_json::from_str(text).expect("a spec") };
        let allowed = Allowed { exec: vec!["/bin/true".into()], ..Allowed::default() };
        for (text, code) in [
            (
                r#"{"apiVersion":"bellwether/v1","files":[{"path":"/etc/x","content":""}]}"#,
                Some(codes::PATH_NOT_ALLOWED),
            ),
            (r#"{"apiVersion":"bellwether/v1","files":[{"path":"/opt/bellwether/x","content":""}]}"#, None),
            (r#"{"apiVersion":"bellwether/v1","probes":[{"exec":{"command":["/bin/true"]}}]}"#, None),
            (
                r#"{"apiVersion":"bellwether/v1","probes":[{"exec":{"command":["/bin/sh"]}}]}"#,
                Some(codes::PROBE_NOT_ALLOWED),
            ),
            (r#"{"apiVersion":"bellwether/v1","probes":[{"exec":{"command":[]}}]}"#, Some(codes::PROBE_NOT_ALLOWED)),
            (
                r#"{"apiVersion":"bellwether/v1","probes":[{"http":{"url":"http://169.254.169.254/"}}]}"#,
                Some(codes::PROBE_NOT_ALLOWED),
            ),
            (r#"{"apiVersion":"bellwether/v1","probes":[{"http":{"url":"http://127.0.0.1:1/"}}]}"#, None),
            (
                r#"{"apiVersion":"bellwether/v1","probes":[{"http":{"url":"http://127.0.0.1@evil.example/"}}]}"#,
                Some(codes::PROBE_NOT_ALLOWED),
            ),
            (r#"{"apiVersion":"bellwether/v1","probes":[{"file":{"path":"/etc/x"}}]}"#, None),
            (r#"{"apiVersion":"bellwether/v1","probes":[{}]}"#, Some(codes::SPEC_UNUSABLE)),
        ] {
            assert_eq!(allowed.check(&spec(text)).err().map(|refused| refused.code()), code, "{text}");
        }
        let none = Allowed::default()
            .check(&spec(r#"{"apiVersion":"bellwether/v1","probes":[{"exec":{"command":["/bin/true"]}}]}"#));
        assert_eq!(none.err().map(|refused| refused.code()), Some(codes::PROBE_NOT_ALLOWED));
    }

    #[test]
    fn a_refusal_says_what_is_wanted_and_what_would_be_allowed() {
        let allowed = Allowed { exec: vec!["/bin/true".into(), "/bin/id".into()], ..Allowed::default() };
        for (text, wanted, said) in [
            (
                r#""files":[{"path":"/etc/x","content":""}]"#,
                "the path /etc/x",
                "/etc/x is not beneath an allowed path (paths: /opt/bellwether)",
            ),
            (
                r#""probes":[{"exec":{"command":["/bin/sh"]}}]"#,
                r#"the program "/bin/sh""#,
                r#"probe program "/bin/sh" is not allowed (exec: /bin/true, /bin/id)"#,
            ),
            (
                r#""probes":[{"http":{"url":"http://169.254.169.254/"}}]"#,
                r#"the host "169.254.169.254""#,
                r#"probe "http://169.254.169.254/": this device does not allow the host (probeHosts)"#,
            ),
        ] {
            let spec = serde_json::from_str(&format!(r#"{{"apiVersion":"bellwether/v1",{text}}}"#)).expect("a spec");
            let refused = allowed.check(&spec).expect_err("it is not allowed");
            assert_eq!((refused.wanted().as_str(), refused.to_string().as_str()), (wanted, said));
        }
    }

    #[test]
    fn a_report_carries_so_many_entries_of_so_many_bytes() {
        let with = |paths: Vec<String>| Allowed { paths, ..Allowed::default() };
        let hosts = Allowed::default().probe_hosts;
        let room = MAX_BYTES - hosts.concat().len();
        for (allowed, expected) in [
            (Allowed::default(), true),
            (with(vec![String::new(); MAX_ENTRIES - hosts.len()]), true),
            (with(vec![String::new(); MAX_ENTRIES - hosts.len() + 1]), false),
            (with(vec!["x".repeat(room)]), true),
            (with(vec!["x".repeat(room + 1)]), false),
            (with(vec!["/srv/\u{1b}[2J".into()]), false),
        ] {
            assert_eq!(allowed.is_reportable(), expected, "{allowed:?}");
        }
    }

    #[test]
    fn equal_allowlists_are_kept_once_and_only_while_somebody_holds_them() {
        let with = |number: usize| Allowed { paths: vec![format!("/srv/{number}")], ..Allowed::default() };
        let mut lists = Allowlists::default();
        let held = lists.share(with(0));
        assert!(Arc::ptr_eq(&held, &lists.share(with(0))));
        for number in 1..10_000 {
            drop(lists.share(with(number)));
        }
        assert!(lists.known.len() <= Allowlists::FEW + 1, "{}", lists.known.len());
        assert!(Arc::ptr_eq(&held, &lists.share(with(0))), "what is held stays the one");
        let mut again: Allowlists = [held.clone()].into_iter().collect();
        assert!(Arc::ptr_eq(&held, &again.share(with(0))));
    }
}
