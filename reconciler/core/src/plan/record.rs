//! What a plan leaves behind for the next one.
//!
//! A record holds, for each member, the digest it was to run under the recorded target. That is what tells a target
//! that changes nothing from one that does. Rendering the old template again would not: labels are read at the head, so
//! a change of labels would look like no change and pass the canary.

use std::collections::BTreeMap;

use bellwether_schemas::manifest::Rollout;
use bellwether_schemas::{DeviceName, Sha256Digest, Version, WaveName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Landing;

/// The rollout of one fleet, as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutRecord {
    /// The template commit that rolls out, or has rolled out.
    pub target: Landing,
    /// The newest template commit that completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<Landing>,
    /// The Rollout that judges: as it was when this rollout began, so that no later commit changes it.
    pub rollout: Rollout,
    /// It was begun without the record that there was before: see [`FleetInput::records_lost`](super::FleetInput::records_lost).
    #[serde(default, skip_serializing_if = "is_false")]
    pub rebuilt: bool,
    /// The waves that were opened or skipped: the first ones of the Rollout, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<WaveRecord>,
    /// The halt that is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<HaltRecord>,
    /// What is recorded of each member, and of members of open waves that left the fleet since.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members: BTreeMap<DeviceName, MemberRecord>,
}

impl RolloutRecord {
    /// Whether the target is stable: every wave advanced, or there was nothing to roll out.
    pub fn is_complete(&self) -> bool {
        self.stable == Some(self.target)
    }
}

/// A wave that was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WaveRecord {
    /// Its name.
    pub name: WaveName,
    /// When it opened.
    pub opened_at: Timestamp,
    /// Since when it is complete and healthy enough: its soak runs from then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// When its soak was over; from then on the next wave may open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advanced_at: Option<Timestamp>,
}

/// A halt: it stops offers to the whole fleet until the target changes, or until the silence that made it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HaltRecord {
    /// The wave that failed.
    pub wave: WaveName,
    /// Failed devices in it.
    pub failures: u64,
    /// Devices that were offered in it when it halted.
    pub offered: u64,
    /// Whether every failure was a device that fell silent.
    #[serde(default, skip_serializing_if = "is_false")]
    pub silence: bool,
}

/// What is recorded of a member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberRecord {
    /// Its digest under the target; `None` if it could not be rendered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Sha256Digest>,
    /// Its digest under stable, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Sha256Digest>,
    /// The first wave that selects it by label, as a place in the Rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<usize>,
    /// The wave it is in, as a place in the Rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<usize>,
    /// It came after its wave opened, and does not hold that wave's completion.
    #[serde(default, skip_serializing_if = "is_false")]
    pub late: bool,
    /// It came into the fleet while this rollout was under way.
    #[serde(default, skip_serializing_if = "is_false")]
    pub joined: bool,
    /// It was offered a version that was abandoned, and follows directly after the first wave.
    #[serde(default, skip_serializing_if = "is_false")]
    pub follows: bool,
    /// It was offered the target.
    #[serde(default, skip_serializing_if = "is_false")]
    pub offered: bool,
    /// Its attempt at the target failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailureNote>,
}

impl MemberRecord {
    /// Its digest under stable.
    pub(super) fn stable(&self) -> Option<Sha256Digest> {
        self.before.or(self.target)
    }
}

/// A failure that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailureNote {
    /// The version that failed.
    pub version: Version,
    /// Whether the device only fell silent.
    #[serde(default, skip_serializing_if = "is_false")]
    pub silent: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}
