//! Reads metadata that a device presents. What bears our signature counts as ours, and nothing else does.

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use tough::schema::{Role, Root, Signed, Snapshot, Targets};

use bellwether_schemas::report::Presented;
use bellwether_schemas::targets::{Binding, EXTRA_KEY};
use bellwether_schemas::{Code, DeviceName, codes};

use super::Publisher;

/// How far above the clock a version may be that keys signed which were rotated out: clocks differ, and a version is the
/// clock's seconds or little more.
const ABOVE_THE_CLOCK: SignedDuration = SignedDuration::from_hours(24);

/// Why presented metadata counts for nothing.
#[derive(Debug, thiserror::Error)]
pub enum PresentedError {
    /// It is no metadata.
    #[error("{}: it is no TUF metadata", self.code())]
    Malformed(#[source] serde_json::Error),
    /// None of our roots lists the key that signed it.
    #[error("{}: the {role} is not signed by a key of ours", self.code())]
    Foreign {
        /// The role.
        role: tough::schema::RoleType,
    },
    /// It does not say which device it is for.
    #[error("{}: it lacks a readable field {EXTRA_KEY}", self.code())]
    Unbound(#[source] Option<serde_json::Error>),
    /// It is for another device.
    #[error("{}: it is for device {device}", self.code())]
    OtherDevice {
        /// That device.
        device: DeviceName,
    },
    /// Keys that were rotated out signed it, and we never gave such a version.
    #[error("{}: keys that were rotated out signed version {version}, which is above the clock", self.code())]
    AboveClock {
        /// The highest version in it.
        version: u64,
    },
}

impl PresentedError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        codes::PRESENTED_FOREIGN
    }
}

/// Metadata of ours that a device holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedMetadata {
    /// What it was offered.
    pub binding: Binding,
    /// The highest of its versions: what is signed next must be above it.
    pub version: u64,
    /// Whether the newest root lists the keys that signed it. Others may be in the hands of whoever took them.
    pub is_current: bool,
}

impl Publisher {
    /// Checks metadata that `device` presents: signed by keys of any of our roots, and for this device.
    /// It may have expired; that is no reason to forget that it was given. With keys that were rotated out nobody can use
    /// the versions up: above the clock at `now` they count for nothing.
    ///
    /// # Errors
    /// When it is not ours, or another device's.
    pub fn read_presented(
        &self,
        device: &DeviceName,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<PresentedMetadata, PresentedError> {
        let roots = &self.inner.roots;
        let targets: Signed<Targets> = verified(roots, &presented.targets)?;
        let snapshot: Signed<Snapshot> = verified(roots, &presented.snapshot)?;
        let timestamp: Signed<tough::schema::Timestamp> = verified(roots, &presented.timestamp)?;
        let binding = binding_of(&targets.signed)?;
        if binding.device != *device {
            return Err(PresentedError::OtherDevice { device: binding.device });
        }
        let version = targets.signed.version.max(snapshot.signed.version).max(timestamp.signed.version).get();
        let is_current = is_current(roots, &targets) && is_current(roots, &snapshot) && is_current(roots, &timestamp);
        if !is_current && i128::from(version) > i128::from(now.as_second()) + i128::from(ABOVE_THE_CLOCK.as_secs()) {
            return Err(PresentedError::AboveClock { version });
        }
        Ok(PresentedMetadata { binding, version, is_current })
    }
}

/// Parses a role, and checks that a root of ours lists the keys that signed it.
pub(super) fn verified<T: Role + DeserializeOwned>(roots: &[Root], bytes: &[u8]) -> Result<Signed<T>, PresentedError> {
    let signed: Signed<T> = serde_json::from_slice(bytes).map_err(PresentedError::Malformed)?;
    match roots.iter().rev().any(|root| root.verify_role(&signed).is_ok()) {
        true => Ok(signed),
        false => Err(PresentedError::Foreign { role: T::TYPE }),
    }
}

/// Whether the newest root lists the keys that signed a role.
pub(super) fn is_current<T: Role>(roots: &[Root], signed: &Signed<T>) -> bool {
    roots.last().is_some_and(|root| root.verify_role(signed).is_ok())
}

/// What targets metadata says about its device.
pub(super) fn binding_of(targets: &Targets) -> Result<Binding, PresentedError> {
    let value = targets._extra.get(EXTRA_KEY).ok_or(PresentedError::Unbound(None))?;
    serde_json::from_value(value.clone()).map_err(|why| PresentedError::Unbound(Some(why)))
}
