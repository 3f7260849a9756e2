//! Why the authority cannot be made, loaded, changed or used.

use std::path::PathBuf;

use bellwether_schemas::codes::{self, Code};

/// Why the authority could not be made, loaded, changed or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// `create`, `read`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others than the owner may read or write a key.
    #[error("{} may be used by others (mode {mode:o}): run chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file is not what its name says.
    #[error("{} is not a {expected} in PEM", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// The certificate and the key of the authority or the server do not belong together.
    #[error("{} and {} do not belong together", certificate.display(), key.display())]
    Mismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// No authority that devices trust signed the server's certificate.
    #[error("{} was not signed by a certificate in {}", certificate.display(), authority.display())]
    Unvouched {
        /// The server's certificate.
        certificate: PathBuf,
        /// The authority's.
        authority: PathBuf,
        /// What is wrong.
        #[source]
        source: Option<rustls::Error>,
    },
    /// Not a name that a certificate can be for.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    Name(String),
    /// A certificate for no name at all would fit no address.
    #[error("the server needs at least one DNS name or IP address")]
    NoName,
    /// Two authorities are trusted already.
    #[error("the authority is being replaced already")]
    Rotating,
    /// Only one authority is trusted.
    #[error("the authority is not being replaced")]
    NotRotating,
    /// No random numbers, or a signature failed.
    #[error("cannot sign a certificate")]
    Sign(#[source] rcgen::Error),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    Random,
    /// A certificate was renewed so often that the next one would begin in the future.
    #[error("the certificate was renewed a moment ago")]
    TooOften,
}

impl AuthorityError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Sign(_) | Self::Random => codes::ISSUE_FAILED,
            Self::TooOften => codes::TOO_MANY_REQUESTS,
            Self::Rotating | Self::NotRotating => codes::AUTHORITY_ROTATION,
            Self::File { .. }
            | Self::Exposed { .. }
            | Self::Content { .. }
            | Self::Mismatch { .. }
            | Self::Unvouched { .. }
            | Self::Name(_)
            | Self::NoName => codes::AUTHORITY_FILES,
        }
    }
}
