//! Who may enroll and who may speak: what the accepted history's last word says on enrollment entries and devices.
//!
//! In: entries and revocations in the order of the history, the identity in a certificate, the hash of a token, the
//! time. Out: an [`Admission`] or a [`TokenGrant`]. A line that was deleted is no statement: what was said last holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bellwether_schemas::codes::{self, Code};
use bellwether_schemas::enroll::made_name;
use bellwether_schemas::manifest::FactoryCa;
use bellwether_schemas::{DeviceName, EnrollmentName, EntryId, Sha256Digest};
use jiff::Timestamp;

use crate::declare::generated_from;

pub use request::{KeyGrant, RequestRefusal};
pub use token::{TokenGrant, TokenRefusal, VoidTokens};

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
    /// What a device shows to come in by it.
    pub proof: Proof,
    /// The device it names, if it names one.
    pub device: Option<DeviceName>,
    /// Whether certificates made with it are refused.
    pub revoked: bool,
    /// The number of the landing that states it.
    pub since: u64,
}

/// What a device shows to come in by an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A token.
    Token {
        /// SHA-256 of its bytes.
        hash: Sha256Digest,
        /// When it stops being accepted.
        expires: Timestamp,
    },
    /// Its key.
    Key {
        /// SHA-256 of the key's SubjectPublicKeyInfo.
        fingerprint: Sha256Digest,
    },
}

impl Proof {
    /// Whether a device shows the same for both, whenever a token expires.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Token { hash, .. }, Self::Token { hash: other, .. }) => hash == other,
            (Self::Key { fingerprint }, Self::Key { fingerprint: other }) => fingerprint == other,
            (Self::Token { .. }, Self::Key { .. }) | (Self::Key { .. }, Self::Token { .. }) => false,
        }
    }

    /// The proof of an entry that is stated again: the first one, until when its token is accepted now.
    fn stated_again(self, now: Self) -> Self {
        match (self, now) {
            (Self::Token { hash, .. }, Self::Token { expires, .. }) => Self::Token { hash, expires },
            (first, _) => first,
        }
    }
}

type EntryKey = (EnrollmentName, EntryId);

/// What the accepted history's last word says on every enrollment entry and device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admissions {
    entries: BTreeMap<EntryKey, Entry>,
    tokens: BTreeMap<Sha256Digest, EntryKey>,
    /// The entry that was listed last with each key.
    keys: BTreeMap<(EnrollmentName, Sha256Digest), EntryId>,
    /// The Enrollments of the head that take requests without a token, and which.
    open: BTreeMap<EnrollmentName, Open>,
    /// The Enrollments that ever took factory certificates.
    factories: BTreeSet<EnrollmentName>,
    /// The entries that began to name each device, in that order.
    named: BTreeMap<DeviceName, Vec<EntryKey>>,
    /// The devices that entries of each Enrollment ever named.
    claimed: BTreeMap<EnrollmentName, BTreeSet<DeviceName>>,
    /// Device manifests of the head whose names look as if they were made from a key.
    reserved: BTreeSet<DeviceName>,
    revoked: BTreeSet<DeviceName>,
    /// Devices that shall remove everything.
    decommissioned: BTreeSet<DeviceName>,
    /// Devices that said that they did, by the entry that they were enrolled by then.
    gone: BTreeSet<(DeviceName, EntryKey)>,
}

/// Which requests without a token an Enrollment takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Open {
    /// Those that wait for a person's approval.
    pub manual: bool,
    /// Those with a certificate that one of these authorities signed.
    pub ca: Option<Arc<FactoryCa>>,
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

impl Admissions {
    /// Records what a landing states about an entry. Call it in the order of the history, within a landing in any
    /// fixed order. Stating an entry again does not make it the last-listed one of its device; naming another device
    /// does, for that device. An entry keeps the hash or key that it was first listed with: with another one, the certificate
    /// that was made with the first would stay valid beside a second. It keeps that landing's number, too.
    pub fn insert(&mut self, mut entry: Entry) {
        let key = (entry.enrollment.clone(), entry.id.clone());
        let before = self.entries.get(&key);
        if let Some(before) = before {
            (entry.proof, entry.since) = (before.proof.stated_again(entry.proof), before.since);
        }
        let is_new = before.is_none();
        if let Some(device) = &entry.device
            && before.is_none_or(|before| before.device.as_ref() != Some(device))
        {
            let claims = self.named.entry(device.clone()).or_default();
            claims.retain(|claim| *claim != key);
            claims.push(key.clone());
            self.claimed.entry(entry.enrollment.clone()).or_default().insert(device.clone());
        }
        match entry.proof {
            // Hashes are public: the first entry that lists one keeps it, so that nobody takes over another's token.
            Proof::Token { hash, .. } => {
                self.tokens.entry(hash).or_insert_with(|| key.clone());
            }
            // A key may be approved again by a new entry, after the first was revoked.
            Proof::Key { fingerprint } if is_new => {
                self.keys.insert((entry.enrollment.clone(), fingerprint), entry.id.clone());
            }
            Proof::Key { .. } => {}
        }
        self.entries.insert(key, entry);
    }

    /// Records which requests an Enrollment takes by its manifest of now.
    pub fn set_open(&mut self, enrollment: EnrollmentName, open: Open) {
        if open.ca.is_some() {
            self.factories.insert(enrollment.clone());
        }
        self.open.insert(enrollment, open);
    }

    /// Records whether a Device manifest has a name that looks as if it was made from a key.
    pub fn set_reserved(&mut self, device: DeviceName, reserved: bool) {
        if reserved {
            self.reserved.insert(device);
        } else {
            self.reserved.remove(&device);
        }
    }

    /// The Enrollments that ever took factory certificates.
    pub fn factories(&self) -> &BTreeSet<EnrollmentName> {
        &self.factories
    }

    /// Records what a landing states about a device's `revoked`.
    pub fn set_revoked(&mut self, device: DeviceName, revoked: bool) {
        if revoked {
            self.revoked.insert(device);
        } else {
            self.revoked.remove(&device);
        }
    }

    /// Records what a landing states about a device's `decommission`.
    pub fn set_decommissioned(&mut self, device: DeviceName, decommissioned: bool) {
        if decommissioned {
            self.decommissioned.insert(device);
        } else {
            self.decommissioned.remove(&device);
        }
    }

    /// Records which devices have removed everything, and by which entry each was enrolled then. Of this no landing tells.
    pub fn set_gone(&mut self, gone: BTreeSet<(DeviceName, EntryKey)>) {
        self.gone = gone;
    }

    /// Whether the last word on a device is that it shall remove everything.
    pub fn is_decommissioned(&self, device: &DeviceName) -> bool {
        self.decommissioned.contains(device)
    }

    /// The entry that a device counts under: the one that began last to name it in its Enrollment. Another Enrollment takes a
    /// device over only once that entry is revoked, or names another device: who may write one may not write all.
    pub fn entry_of(&self, device: &DeviceName) -> Option<&(EnrollmentName, EntryId)> {
        let claims = self.named.get(device)?;
        // A name that an Enrollment makes from keys is its own.
        let maker = generated_from(device).filter(|maker| self.open.contains_key(maker));
        if let ([only], None) = (&claims[..], &maker) {
            return Some(only);
        }
        let is_own = |claim: &&EntryKey| maker.as_ref().is_none_or(|maker| claim.0 == *maker);
        let claims: Vec<&EntryKey> = claims.iter().filter(is_own).collect();
        let is_free = |holder: &EntryKey| {
            self.entries.get(holder).is_none_or(|entry| entry.revoked || entry.device.as_ref() != Some(device))
        };
        let of_each = claims.iter().map(|claim| *claims.iter().rfind(|last| last.0 == claim.0).unwrap_or(claim));
        of_each.into_iter().find(|holder| !is_free(holder)).or(claims.last().copied())
    }

    /// The devices whose entry is one of this enrollment, also where it names another device by now.
    pub fn devices_of(&self, enrollment: &EnrollmentName) -> impl Iterator<Item = &DeviceName> {
        let claimed = self.claimed.get(enrollment).into_iter().flatten();
        claimed.filter(move |device| self.entry_of(device).is_some_and(|(name, _)| name == enrollment))
    }

    /// The hash of the token of an entry: the first one that a landing stated.
    pub fn token_of(&self, entry: &(EnrollmentName, EntryId)) -> Option<&Sha256Digest> {
        match &self.entries.get(entry)?.proof {
            Proof::Token { hash, .. } => Some(hash),
            Proof::Key { .. } => None,
        }
    }

    /// What a device shows to come in by an entry: the first that a landing stated.
    pub fn proof_of(&self, entry: &(EnrollmentName, EntryId)) -> Option<&Proof> {
        self.entries.get(entry).map(|entry| &entry.proof)
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
        if self.gone.contains(&(device.clone(), key.clone())) {
            let why = format!("device {device} was decommissioned, and has removed everything");
            return refused(codes::DEVICE_DECOMMISSIONED, why);
        }
        let entry = self.entries.get(&key);
        if entry.is_some_and(|entry| entry.revoked) {
            return refused(codes::CERTIFICATE_REVOKED, format!("entry {id} of enrollment {enrollment} is revoked"));
        }
        // Also of an entry that no landing lists: a device counts under one entry only.
        if let Some(last) = self.entry_of(device).filter(|last| **last != key) {
            let why = format!("device {device} now counts under entry {} of enrollment {}", last.1, last.0);
            return refused(codes::CERTIFICATE_REPLACED, why);
        }
        match entry.map(|entry| &entry.device) {
            None if id.is_factory() && self.factories.contains(enrollment) => Admission::Full,
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
        let Proof::Token { expires, .. } = entry.proof else { return Err(TokenRefusal::Unknown) };
        self.check_entry(entry).map_err(TokenRefusal::Revoked)?;
        let (enrollment, id) = (entry.enrollment.clone(), entry.id.clone());
        if expires <= now {
            return Err(TokenRefusal::Expired { enrollment, entry: id, expired: expires });
        }
        Ok(TokenGrant { enrollment, entry: id, device: entry.device.clone(), since: entry.since })
    }

    /// Says why nobody comes in by an entry, whatever they show.
    fn check_entry(&self, entry: &Entry) -> Result<(), String> {
        let Entry { enrollment, id, .. } = entry;
        if entry.revoked {
            return Err(format!("entry {id} of enrollment {enrollment} is revoked"));
        }
        let Some(device) = &entry.device else { return Ok(()) };
        self.check_device(device)?;
        match self.entry_of(device) {
            Some((other, other_id)) if (other, other_id) != (enrollment, id) => {
                Err(format!("device {device} counts under entry {other_id} of enrollment {other}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Says why a device may not come in by any entry.
    fn check_device(&self, device: &DeviceName) -> Result<(), String> {
        if self.revoked.contains(device) {
            return Err(format!("device {device} is revoked by the history"));
        }
        if self.decommissioned.contains(device) {
            return Err(format!("device {device} is decommissioned by the history"));
        }
        Ok(())
    }

    /// The name of the device that enrolls with this grant and a key of this hash (of its SubjectPublicKeyInfo).
    pub fn name_for(&self, grant: &TokenGrant, key: &Sha256Digest) -> Result<DeviceName, TokenRefusal> {
        if let Some(device) = &grant.device {
            return Ok(device.clone());
        }
        let none = || TokenRefusal::NoName(grant.enrollment.clone());
        let name = made_name(&grant.enrollment, key).map_err(|_| none())?;
        self.check_device(&name).map_err(TokenRefusal::Revoked)?;
        // Only an entry that names a device yields that name; one that git knows by its manifest is another device's.
        if self.named.contains_key(&name) || self.reserved.contains(&name) { Err(none()) } else { Ok(name) }
    }
}

mod request;
#[cfg(test)]
mod tests;
mod token;
