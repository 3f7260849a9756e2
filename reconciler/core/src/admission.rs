//! Who may enroll and who may speak: what the accepted history's last word says on enrollment entries and devices.
//!
//! In: entries and revocations in the order of the history, the identity in a certificate, the hash of a token, the
//! time. Out: an [`Admission`] or a [`TokenGrant`]. A line that was deleted is no statement: what was said last holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use bellwether_schemas::codes::{self, Code};
use bellwether_schemas::{DeviceName, EnrollmentName, EntryId, Sha256Digest};
use jiff::Timestamp;

/// The greatest length of a domain, in characters (RFC 1035).
const MAX_DOMAIN: usize = 253;

/// The domain that a reconciler's certificates carry: labels of lower-case letters, digits and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(String);

/// Why a text is not a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a domain: labels of lower-case letters, digits and inner hyphens, joined by dots")]
pub struct InvalidDomain(String);

impl Domain {
    /// The domain as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = InvalidDomain;
    fn from_str(text: &str) -> Result<Self, InvalidDomain> {
        // A label has the grammar of a name.
        let valid = text.len() <= MAX_DOMAIN && text.split('.').all(|label| label.parse::<DeviceName>().is_ok());
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidDomain(text.to_owned())) }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Who a certificate says a device is, written `bellwether://<domain>/<enrollment>/<entry>/<device>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The reconciler's domain.
    pub domain: Domain,
    /// The Enrollment it came by.
    pub enrollment: EnrollmentName,
    /// The entry of that Enrollment.
    pub entry: EntryId,
    /// Its name.
    pub device: DeviceName,
}

/// Why a text is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not bellwether://<domain>/<enrollment>/<entry>/<device>")]
pub struct InvalidIdentity(String);

impl FromStr for Identity {
    type Err = InvalidIdentity;
    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        let read = || {
            let mut parts = text.strip_prefix("bellwether://")?.split('/');
            let identity = Self {
                domain: parts.next()?.parse().ok()?,
                enrollment: parts.next()?.parse().ok()?,
                entry: parts.next()?.parse().ok()?,
                device: parts.next()?.parse().ok()?,
            };
            parts.next().is_none().then_some(identity)
        };
        read().ok_or_else(|| InvalidIdentity(text.to_owned()))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bellwether://{}/{}/{}/{}", self.domain, self.enrollment, self.entry, self.device)
    }
}

/// One entry of an Enrollment, as a landing states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The Enrollment.
    pub enrollment: EnrollmentName,
    /// The entry's id in it.
    pub id: EntryId,
    /// SHA-256 of the token's bytes.
    pub token: Sha256Digest,
    /// When the token stops being accepted.
    pub expires: Timestamp,
    /// The device it names, if it names one.
    pub device: Option<DeviceName>,
    /// Whether certificates made with it are refused.
    pub revoked: bool,
    /// The number of the landing that states it.
    pub since: u64,
}

type EntryKey = (EnrollmentName, EntryId);

/// What the accepted history's last word says on every enrollment entry and device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admissions {
    entries: BTreeMap<EntryKey, Entry>,
    tokens: BTreeMap<Sha256Digest, EntryKey>,
    /// The entry that began last to name each device.
    named: BTreeMap<DeviceName, EntryKey>,
    revoked: BTreeSet<DeviceName>,
}

/// What a certificate's holder may do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Everything that a device may.
    Full,
    /// Report, so that it is seen; nothing else.
    ReportOnly {
        /// Why, for people.
        why: String,
    },
    /// Nothing.
    Refused {
        /// A stable code.
        code: Code,
        /// Why, for people.
        why: String,
    },
}

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

impl Admissions {
    /// Records what a landing states about an entry. Call it in the order of the history, within a landing in any
    /// fixed order. Stating an entry again does not make it the last-listed one of its device; naming another device
    /// does, for that device. An entry keeps the hash that it was first listed with: with another one, the certificate
    /// that was made with the first would stay valid beside a second. It keeps that landing's number, too.
    pub fn insert(&mut self, mut entry: Entry) {
        let key = (entry.enrollment.clone(), entry.id.clone());
        let before = self.entries.get(&key);
        if let Some(before) = before {
            (entry.token, entry.since) = (before.token, before.since);
        }
        if let Some(device) = &entry.device
            && before.is_none_or(|before| before.device.as_ref() != Some(device))
        {
            self.named.insert(device.clone(), key.clone());
        }
        // Hashes are public: the first entry that lists one keeps it, so that nobody takes over another's token.
        self.tokens.entry(entry.token).or_insert_with(|| key.clone());
        self.entries.insert(key, entry);
    }

    /// Records what a landing states about a device's `revoked`.
    pub fn set_revoked(&mut self, device: DeviceName, revoked: bool) {
        if revoked {
            self.revoked.insert(device);
        } else {
            self.revoked.remove(&device);
        }
    }

    /// The entry that began last to name a device.
    pub fn entry_of(&self, device: &DeviceName) -> Option<&(EnrollmentName, EntryId)> {
        self.named.get(device)
    }

    /// The devices whose entry is one of this enrollment, also where it names another device by now.
    pub fn devices_of(&self, enrollment: &EnrollmentName) -> impl Iterator<Item = &DeviceName> {
        self.named.iter().filter(move |(_, (name, _))| name == enrollment).map(|(device, _)| device)
    }

    /// The hash of the token of an entry: the first one that a landing stated.
    pub fn token_of(&self, entry: &(EnrollmentName, EntryId)) -> Option<&Sha256Digest> {
        self.entries.get(entry).map(|entry| &entry.token)
    }

    /// Whether the last word on an entry is that it is revoked.
    pub fn is_entry_revoked(&self, entry: &(EnrollmentName, EntryId)) -> bool {
        self.entries.get(entry).is_some_and(|entry| entry.revoked)
    }

    /// Whether the last word on a device is that it is revoked.
    pub fn is_device_revoked(&self, device: &DeviceName) -> bool {
        self.revoked.contains(device)
    }

    /// Says what the holder of a certificate with this identity may do now.
    pub fn admit(&self, identity: &Identity) -> Admission {
        let Identity { enrollment, entry: id, device, .. } = identity;
        let refused = |code, why| Admission::Refused { code, why };
        if self.revoked.contains(device) {
            return refused(codes::DEVICE_REVOKED, format!("device {device} is revoked by the history"));
        }
        let key = (enrollment.clone(), id.clone());
        let entry = self.entries.get(&key);
        if entry.is_some_and(|entry| entry.revoked) {
            return refused(codes::CERTIFICATE_REVOKED, format!("entry {id} of enrollment {enrollment} is revoked"));
        }
        // Also of an entry that no landing lists: a device counts under one entry only.
        if let Some(last) = self.named.get(device).filter(|last| **last != key) {
            let why = format!("device {device} now counts under entry {} of enrollment {}", last.1, last.0);
            return refused(codes::CERTIFICATE_REPLACED, why);
        }
        match entry.map(|entry| &entry.device) {
            None => {
                let why = format!("no accepted landing lists entry {id} of enrollment {enrollment}");
                Admission::ReportOnly { why }
            }
            Some(Some(named)) if named != device => {
                let why = format!("entry {id} of enrollment {enrollment} now names device {named}");
                refused(codes::CERTIFICATE_REPLACED, why)
            }
            Some(_) => Admission::Full,
        }
    }

    /// Says what the token with this hash allows at `now`.
    pub fn token(&self, hash: &Sha256Digest, now: Timestamp) -> Result<TokenGrant, TokenRefusal> {
        let key = self.tokens.get(hash).ok_or(TokenRefusal::Unknown)?;
        let entry = self.entries.get(key).ok_or(TokenRefusal::Unknown)?;
        let Entry { enrollment, id, .. } = entry;
        if entry.revoked {
            return Err(TokenRefusal::Revoked(format!("entry {id} of enrollment {enrollment} is revoked")));
        }
        if let Some(device) = &entry.device {
            if self.revoked.contains(device) {
                return Err(TokenRefusal::Revoked(format!("device {device} is revoked by the history")));
            }
            if let Some((newer, newer_id)) = self.named.get(device).filter(|last| *last != key) {
                let why = format!("entry {newer_id} of enrollment {newer} names device {device} since");
                return Err(TokenRefusal::Revoked(why));
            }
        }
        if entry.expires <= now {
            let (enrollment, entry_id) = (enrollment.clone(), id.clone());
            return Err(TokenRefusal::Expired { enrollment, entry: entry_id, expired: entry.expires });
        }
        let (enrollment, device) = (enrollment.clone(), entry.device.clone());
        Ok(TokenGrant { enrollment, entry: id.clone(), device, since: entry.since })
    }

    /// The name of the device that enrolls with this grant and a key of this hash (of its SubjectPublicKeyInfo).
    pub fn name_for(&self, grant: &TokenGrant, key: &Sha256Digest) -> Result<DeviceName, TokenRefusal> {
        if let Some(device) = &grant.device {
            return Ok(device.clone());
        }
        let none = || TokenRefusal::NoName(grant.enrollment.clone());
        let name = format!("{}-{}", grant.enrollment, &key.to_string()[..16]);
        let name: DeviceName = name.parse().map_err(|_| none())?;
        // Only an entry that names a device yields that name.
        if self.named.contains_key(&name) { Err(none()) } else { Ok(name) }
    }
}

#[cfg(test)]
mod tests;
