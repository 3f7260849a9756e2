//! Who enrolls without a token: devices whose key a person approved, and those with a certificate from a factory.

use std::sync::Arc;

use bellwether_schemas::codes::{self, Code};
use bellwether_schemas::enroll::made_name;
use bellwether_schemas::manifest::FactoryCa;
use bellwether_schemas::{DeviceName, EnrollmentName, EntryId, Sha256Digest};

use super::Admissions;

/// What a key may get a certificate for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGrant {
    /// The Enrollment.
    pub enrollment: EnrollmentName,
    /// The entry in it.
    pub entry: EntryId,
    /// The device.
    pub device: DeviceName,
    /// The number of the landing that listed the key first; none for a factory's certificate, which is good again and again.
    pub since: Option<u64>,
}

/// Why a request without a token gets nothing, now or ever.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefusal {
    /// The Enrollment takes no such requests. Whether there is one of that name is not said: anybody may ask.
    #[error("no enrollment {enrollment} takes {what}")]
    Closed {
        /// The Enrollment that was asked for.
        enrollment: EnrollmentName,
        /// What it does not take.
        what: &'static str,
    },
    /// The entry or the device is revoked, or a newer entry names the device.
    #[error("{0}")]
    Revoked(String),
    /// The record of whether it has its certificate was lost.
    #[error(
        "key {entry} of enrollment {enrollment} is void: landing {since} listed it, and the records of who enrolled until then were lost"
    )]
    Void {
        /// The Enrollment.
        enrollment: EnrollmentName,
        /// The entry in it.
        entry: EntryId,
        /// The landing that listed the key first.
        since: u64,
    },
    /// No name can be made for the device.
    #[error("enrollment {0} has too long a name to make one for a device from it")]
    NoName(EnrollmentName),
}

impl RequestRefusal {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Closed { .. } => codes::ENROLL_CLOSED,
            Self::Revoked(_) => codes::APPROVAL_REVOKED,
            Self::Void { .. } => codes::TOKEN_VOID,
            Self::NoName(_) => codes::DEVICE_NAME_TAKEN,
        }
    }
}

impl Admissions {
    /// What a key with this fingerprint may get here; none while it waits for a person's approval. A key that is listed
    /// counts whether or not the Enrollment takes requests of others.
    pub fn key(
        &self,
        enrollment: &EnrollmentName,
        fingerprint: &Sha256Digest,
    ) -> Result<Option<KeyGrant>, RequestRefusal> {
        let listed = self.keys.get(&(enrollment.clone(), *fingerprint));
        let listed = listed.and_then(|id| self.entries.get(&(enrollment.clone(), id.clone())));
        let Some((entry, device)) = listed.and_then(|entry| Some((entry, entry.device.clone()?))) else {
            return if self.open.get(enrollment).is_some_and(|open| open.manual) {
                Ok(None)
            } else {
                Err(RequestRefusal::Closed { enrollment: enrollment.clone(), what: "keys for approval" })
            };
        };
        self.check_entry(entry).map_err(RequestRefusal::Revoked)?;
        let since = Some(entry.since);
        Ok(Some(KeyGrant { enrollment: enrollment.clone(), entry: entry.id.clone(), device, since }))
    }

    /// Whether a key waits for a person.
    pub fn awaits_approval(&self, enrollment: &EnrollmentName, fingerprint: &Sha256Digest) -> bool {
        self.key(enrollment, fingerprint) == Ok(None)
    }

    /// The authorities whose certificates an Enrollment takes.
    pub fn factory_ca(&self, enrollment: &EnrollmentName) -> Result<Arc<FactoryCa>, RequestRefusal> {
        let ca = self.open.get(enrollment).and_then(|open| open.ca.clone());
        ca.ok_or_else(|| RequestRefusal::Closed { enrollment: enrollment.clone(), what: "factory certificates" })
    }

    /// What a device may get whose factory certificate is for the key of this hash (of its SubjectPublicKeyInfo): always
    /// the same name, as long as nobody revoked it and no entry names it.
    pub fn factory(&self, enrollment: &EnrollmentName, factory_key: &Sha256Digest) -> Result<KeyGrant, RequestRefusal> {
        let device = made_name(enrollment, factory_key).map_err(|_| RequestRefusal::NoName(enrollment.clone()))?;
        self.check_device(&device).map_err(RequestRefusal::Revoked)?;
        if let Some((other, id)) = self.entry_of(&device) {
            let why = format!("entry {id} of enrollment {other} names device {device}, so it comes in by that alone");
            return Err(RequestRefusal::Revoked(why));
        }
        Ok(KeyGrant { enrollment: enrollment.clone(), entry: EntryId::factory(), device, since: None })
    }
}

#[cfg(test)]
mod tests;
