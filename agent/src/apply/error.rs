//! Why the device could not be changed.

use std::path::PathBuf;

use bellwether_agent_core::Problem;
use bellwether_schemas::codes;
use bellwether_schemas::id::Sha256Digest;

use crate::disk::DiskError;

/// Why the device could not be changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// Something is there that this agent did not place.
    #[error("{0} exists, and was not placed by this agent")]
    Foreign(String),
    /// A part of the path is a link or no directory.
    #[error("{path}: {part:?} is a symbolic link or no directory")]
    Unsafe { path: String, part: String },
    /// An owner that cannot be given.
    #[error("{path}: {why}")]
    Owner { path: String, why: String },
    /// A call of the operating system on the device.
    #[error("cannot {what} {path}")]
    Device { what: &'static str, path: String, source: std::io::Error },
    /// Stored content is missing or not what it was.
    #[error("stored content {} is missing or damaged", .0.display())]
    Content(PathBuf),
    /// The device is not where the agent's memory says.
    #[error("{} should be what is placed, and {} is", shown(*wanted), shown(*found))]
    NotFinal { wanted: Option<Sha256Digest>, found: Option<Sha256Digest> },
    /// The state directory.
    #[error("state directory")]
    State(#[from] DiskError),
}

fn shown(spec: Option<Sha256Digest>) -> String {
    spec.map_or_else(|| "nothing".to_owned(), |digest| format!("spec {}", digest.short()))
}

impl ApplyError {
    pub(crate) fn device(what: &'static str, path: &str) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.to_owned();
        move |errno| Self::Device { what, path, source: errno.into() }
    }

    pub(crate) fn io(what: &'static str, path: &str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Device { what, path, source }
    }

    /// What to report about it.
    pub(crate) fn problem(&self) -> Problem {
        let code = match self {
            Self::Foreign(_) => codes::PATH_FOREIGN,
            Self::Unsafe { .. } => codes::PATH_UNSAFE,
            Self::Owner { .. } => codes::OWNER_NOT_POSSIBLE,
            Self::Device { .. } | Self::NotFinal { .. } => codes::APPLY_FAILED,
            Self::Content(_) | Self::State(_) => codes::AGENT_STATE,
        };
        match self {
            // A full disk may have room again; before anything was begun it is simply tried again.
            Self::State(DiskError::Io { .. }) => Problem::transient(code, crate::cli::chain(self)),
            _ => Problem::lasting(code, crate::cli::chain(self)),
        }
    }
}
