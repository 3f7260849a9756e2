//! What our signed `targets.json` says beside the TUF fields: which device it is for and what it is offered.
//!
//! It is one JSON object under the key [`EXTRA_KEY`] of the targets role (TUF specification §4.5 allows further fields).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{CommitId, Sha256Digest};
use crate::name::{DeviceName, EnrollmentName, EntryId, FleetName};
use crate::quantity::Seconds;
use crate::version::Version;

/// The field of the targets role that carries [`Binding`].
pub const EXTRA_KEY: &str = "bellwether";

/// Binds a `targets.json` to one device. An agent leaves fields aside that it does not know: what it must know stands in the
/// offer, where such a field is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// The device that the metadata is for; any other refuses it.
    pub device: DeviceName,
    /// By what it enrolled: from this a reconciler that lost its database knows whom to wait for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolled: Option<EnrolledBy>,
    /// What it is offered; absent where nothing is: then there is no `spec.json` either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<SignedOffer>,
    /// Whether it shall remove everything that it placed, and be forgotten. Then there is no offer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub decommission: bool,
}

impl Binding {
    /// A device that is offered this, or nothing.
    pub fn new(device: DeviceName, offer: Option<SignedOffer>) -> Self {
        Self { device, enrolled: None, offer, decommission: false }
    }
}

/// The entry of an Enrollment by which a device has its certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnrolledBy {
    /// The Enrollment.
    pub enrollment: EnrollmentName,
    /// Its entry.
    pub entry: EntryId,
}

/// What a device is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedOffer {
    /// The fleet the device is in.
    pub fleet: FleetName,
    /// The version of the offer.
    pub version: Version,
    /// The template commit the content was rendered from.
    pub template: CommitId,
    /// Digest of `spec.json`.
    pub digest: Sha256Digest,
    /// What the device runs and gives up although its version is not lower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Supersedes>,
    /// Applying may not start before; downloads may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Applying may not start after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// How long probes go on from the first healthy one before the version is final.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub soak: Seconds,
}

/// Names exactly what a device runs, so that it may take a version that is not higher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Supersedes {
    /// The version and digest that run.
    Running {
        /// Version that runs.
        version: Version,
        /// Digest that runs.
        digest: Sha256Digest,
    },
    /// The persistent nonce of a device whose report cannot be read.
    Nonce(String),
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(soak: &Seconds) -> bool {
    *soak == Seconds::ZERO
}
