//! What the device has verified: kept as files, and never taken as absent when damaged.

use bellwether_schemas::id::Sha256Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The accepted root and the metadata versions that were accepted; kept apart from the metadata itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Trust {
    /// The accepted `root.json`, as raw text.
    pub(crate) root: String,
    /// Digest of the root that the installer pinned.
    pub(crate) pinned: Sha256Digest,
    /// The lowest versions that are accepted.
    pub(crate) floors: Floors,
    /// When metadata was last verified.
    pub(crate) verified: Option<Timestamp>,
}

/// Versions of the metadata that was accepted last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Floors {
    pub(crate) timestamp: u64,
    pub(crate) snapshot: u64,
    pub(crate) targets: u64,
}

impl Floors {
    /// Whether none of `self` is below `other`.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.timestamp >= other.timestamp && self.snapshot >= other.snapshot && self.targets >= other.targets
    }
}

/// Verified metadata, as raw text; one file, so that its parts always belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Metadata {
    pub(crate) timestamp: String,
    pub(crate) snapshot: String,
    pub(crate) targets: String,
}
