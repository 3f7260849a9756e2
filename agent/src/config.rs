//! `agent.yaml`: what the operator of this device allows.

use std::path::{Path, PathBuf};

use bellwether_schemas::allow::Allowed;
use serde::Deserialize;

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// It is not what is expected.
    #[error("{} is not a configuration of this agent: {why}", path.display())]
    Malformed { path: PathBuf, why: String },
}

/// The file: what it leaves out has its default, and what it has too much is a mistake.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct File {
    exec: Vec<String>,
    paths: Vec<String>,
    units: Vec<String>,
    probe_hosts: Vec<String>,
}

impl Default for File {
    fn default() -> Self {
        let Allowed { exec, paths, units, probe_hosts } = Allowed::default();
        Self { exec, paths, units, probe_hosts }
    }
}

/// Reads the allowlists; the defaults where no file is named.
pub(crate) fn load(path: Option<&Path>) -> Result<Allowed, ConfigError> {
    let Some(path) = path else { return Ok(Allowed::default()) };
    let read = |source| ConfigError::Read { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(read)?;
    if text.trim().is_empty() {
        return Ok(Allowed::default());
    }
    let malformed = |e: serde_saphyr::Error| ConfigError::Malformed { path: path.to_owned(), why: e.to_string() };
    let File { exec, paths, units, probe_hosts } = serde_saphyr::from_str(&text).map_err(malformed)?;
    Ok(Allowed { exec, paths, units, probe_hosts })
}

/// A path of the device, where its paths begin at `root`.
pub(crate) fn beneath(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_defaults_and_unknown_ones_are_errors() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("agent.yaml");
        std::fs::write(&path, "exec: [/usr/bin/true]\n").expect("written");
        let allowed = load(Some(&path)).expect("a configuration");
        assert_eq!(allowed, Allowed { exec: vec!["/usr/bin/true".into()], ..Allowed::default() });
        std::fs::write(&path, "exce: [/usr/bin/true]\n").expect("written");
        assert!(matches!(load(Some(&path)), Err(ConfigError::Malformed { .. })));
        assert!(matches!(load(Some(&dir.path().join("absent"))), Err(ConfigError::Read { .. })));
    }
}
