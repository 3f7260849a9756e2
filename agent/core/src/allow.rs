//! What the operator of a device allows. A signed spec chooses within it and never widens it.

use bellwether_schemas::codes;
use bellwether_schemas::manifest::{HttpUrl, Probe, ProbeAction};
use bellwether_schemas::spec::DeviceSpec;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// The allowlists of `agent.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
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
    pub fn check(&self, spec: &DeviceSpec) -> Result<(), Problem> {
        let files = spec.files.iter().map(|file| &file.path);
        for path in files.chain(spec.artifacts.iter().map(|artifact| &artifact.dest)) {
            if !self.paths.iter().any(|prefix| is_beneath(path.as_str(), prefix)) {
                let allowed = self.paths.join(", ");
                return Err(Problem::lasting(
                    codes::PATH_NOT_ALLOWED,
                    format!("{path} is not beneath an allowed path (paths: {allowed})"),
                ));
            }
        }
        spec.probes.iter().try_for_each(|probe| self.check_probe(probe))
    }

    /// Checks what a probe does.
    ///
    /// # Errors
    /// The program or host is not allowed.
    pub fn check_probe(&self, probe: &Probe) -> Result<(), Problem> {
        match probe.action() {
            Some(ProbeAction::Exec(exec)) => self.check_program(exec.command.first().map_or("", String::as_str)),
            Some(ProbeAction::Http(http)) => self.check_url(&http.url),
            Some(ProbeAction::File(_)) => Ok(()),
            None => Err(Problem::lasting(codes::SPEC_UNUSABLE, "a probe without exactly one action")),
        }
    }

    fn check_program(&self, program: &str) -> Result<(), Problem> {
        if program.starts_with('/') && self.exec.iter().any(|allowed| allowed == program) {
            return Ok(());
        }
        let message = match self.exec.as_slice() {
            [] => format!("probe program {program:?}: this device allows none (exec is empty)"),
            allowed => format!("probe program {program:?} is not allowed (exec: {})", allowed.join(", ")),
        };
        Err(Problem::lasting(codes::PROBE_NOT_ALLOWED, message))
    }

    fn check_url(&self, url: &str) -> Result<(), Problem> {
        let refuse = |why: String| Err(Problem::lasting(codes::PROBE_NOT_ALLOWED, format!("probe {url:?}: {why}")));
        match HttpUrl::parse(url) {
            Err(why) => refuse(why.to_string()),
            Ok(url) if self.probe_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(url.host)) => Ok(()),
            Ok(_) => refuse("this device does not allow the host (probeHosts)".to_owned()),
        }
    }
}

fn is_beneath(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
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
            assert_eq!(allowed.check(&spec(text)).err().map(|p| p.code), code, "{text}");
        }
        let none = Allowed::default()
            .check(&spec(r#"{"apiVersion":"bellwether/v1","probes":[{"exec":{"command":["/bin/true"]}}]}"#));
        assert_eq!(none.err().map(|p| p.code), Some(codes::PROBE_NOT_ALLOWED));
    }
}
