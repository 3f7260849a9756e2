//! What a token allows, and why not.

use bellwether_schemas::codes::{self, Code};
use bellwether_schemas::{DeviceName, EnrollmentName, EntryId};
use jiff::Timestamp;

use super::{KeyGrant, RequestRefusal};

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenGrant {
    /// The Enrollment.
    pub enrollment: EnrollmentName,
    /// The entry in it.
    pub entry: EntryId,
    /// The device that the entry names; without one the name is made from the key.
    pub device: Option<DeviceName>,
    /// The number of the landing that listed the token first.
    pub since: u64,
}

/// Which tokens allow nothing any more because nobody can say whether they are spent: the records were lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum VoidTokens {
    /// None: the records are whole.
    #[default]
    None,
    /// Those that this landing or an earlier one listed first.
    UpTo(u64),
    /// All that there are and will be.
    All,
}

impl VoidTokens {
    /// Whether records are lost of what this landing was the first to list.
    pub const fn covers(self, landing: u64) -> bool {
        match self {
            Self::None => false,
            Self::UpTo(last) => landing <= last,
            Self::All => true,
        }
    }

    /// Lets the grant of an approved key through, unless it is one of these.
    pub fn check_key(self, grant: KeyGrant) -> Result<KeyGrant, RequestRefusal> {
        match grant {
            KeyGrant { enrollment, entry, since: Some(since), .. } if self.covers(since) => {
                Err(RequestRefusal::Void { enrollment, entry, since })
            }
            grant => Ok(grant),
        }
    }

    /// Lets a grant through, unless its token is one of these.
    pub fn check(self, grant: TokenGrant) -> Result<TokenGrant, TokenRefusal> {
        if !self.covers(grant.since) {
            return Ok(grant);
        }
        let TokenGrant { enrollment, entry, since, .. } = grant;
        Err(TokenRefusal::Void { enrollment, entry, since })
    }
}

/// Why a token allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// No landing lists it.
    #[error("no accepted landing lists this token")]
    Unknown,
    /// It is past its time.
    #[error("the token of entry {entry} of enrollment {enrollment} expired at {expired}")]
    Expired {
        /// The Enrollment.
        enrollment: EnrollmentName,
        /// The entry.
        entry: EntryId,
        /// When it expired.
        expired: Timestamp,
    },
    /// It was listed before the records of spent tokens were lost.
    #[error(
        "the token of entry {entry} of enrollment {enrollment}, listed since v{since}, is void: \
         the records that say whether it is spent were lost"
    )]
    Void {
        /// The Enrollment.
        enrollment: EnrollmentName,
        /// The entry.
        entry: EntryId,
        /// The landing that listed it first.
        since: u64,
    },
    /// Its entry or its device is revoked, or a newer entry names its device.
    #[error("{0}")]
    Revoked(String),
    /// No name can be made for the device.
    #[error("enrollment {0} yields no free device name for this key")]
    NoName(EnrollmentName),
}

impl TokenRefusal {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Unknown => codes::TOKEN_UNKNOWN,
            Self::Expired { .. } => codes::TOKEN_EXPIRED,
            Self::Void { .. } => codes::TOKEN_VOID,
            Self::Revoked(_) => codes::TOKEN_REVOKED,
            Self::NoName(_) => codes::DEVICE_NAME_TAKEN,
        }
    }
}
