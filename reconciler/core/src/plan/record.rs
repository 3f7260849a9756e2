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

use super::{Gaps, Landing};

/// The rollout of one fleet, as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutRecord {
    /// The template commit that rolls out, or has rolled out.
    pub target: Landing,
    /// The targets that this rollout had before and went on from, oldest first, since they changed nothing for its members.
    /// What was decided about them is decided about it: see docs/decisions/0023.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Landing>,
    /// When this rollout began; none where that is not known: the record is of an earlier release, or it was rebuilt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun_at: Option<Timestamp>,
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
    /// When nobody could report, since this rollout began.
    #[serde(default, skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
    /// What is recorded of each member, and of members of open waves that left the fleet since.
    #[serde(default, skip_serializing_if = "Members::is_empty")]
    pub members: Members,
}

/// What is recorded of members, in the order of their names, each once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<DeviceName, MemberRecord>", into = "BTreeMap<DeviceName, MemberRecord>")]
pub struct Members(Vec<(DeviceName, MemberRecord)>);

impl Members {
    /// Takes them in any order; of a name that is there twice, the last counts.
    pub(super) fn of(mut members: Vec<(DeviceName, MemberRecord)>) -> Self {
        let in_order = members.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !in_order {
            members = members.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect();
        }
        Self(members)
    }

    /// What is recorded of a device.
    pub fn get(&self, device: &DeviceName) -> Option<&MemberRecord> {
        let place = self.0.binary_search_by(|(name, _)| name.cmp(device)).ok()?;
        Some(&self.0[place].1)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&DeviceName, &MemberRecord)> {
        self.0.iter().map(|(device, note)| (device, note))
    }

    /// Whether nothing is recorded of anybody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<(DeviceName, MemberRecord)> {
        self.0
    }
}

impl From<BTreeMap<DeviceName, MemberRecord>> for Members {
    fn from(members: BTreeMap<DeviceName, MemberRecord>) -> Self {
        Self(members.into_iter().collect())
    }
}

impl From<Members> for BTreeMap<DeviceName, MemberRecord> {
    fn from(members: Members) -> Self {
        members.0.into_iter().collect()
    }
}

impl std::ops::Index<&DeviceName> for Members {
    type Output = MemberRecord;
    fn index(&self, device: &DeviceName) -> &MemberRecord {
        self.get(device).expect("something is recorded of the device")
    }
}

impl RolloutRecord {
    /// The most targets before that are kept; of more, the oldest are dropped. Decisions about those count no more.
    pub const MAX_EARLIER: usize = 256;

    /// Whether the target is stable: every wave advanced, or there was nothing to roll out.
    pub fn is_complete(&self) -> bool {
        self.stable == Some(self.target)
    }

    /// The same, without the members.
    pub(super) fn without_members(&self) -> Self {
        Self {
            target: self.target,
            earlier: self.earlier.clone(),
            begun_at: self.begun_at,
            stable: self.stable,
            rollout: self.rollout.clone(),
            rebuilt: self.rebuilt,
            waves: self.waves.clone(),
            halted: self.halted.clone(),
            gaps: self.gaps.clone(),
            members: Members::default(),
        }
    }

    /// The latest moment of which it tells.
    pub(super) fn last_moment(&self) -> Option<Timestamp> {
        let of_wave = |wave: &WaveRecord| [Some(wave.opened_at), wave.completed_at, wave.advanced_at];
        let waves = self.waves.iter().flat_map(of_wave).flatten();
        waves.chain(self.halted.as_ref().map(|halt| halt.at)).chain(self.gaps.end()).max()
    }

    /// Whether the target is given up: devices that were offered it go back.
    pub fn is_rejected(&self) -> bool {
        self.halted.as_ref().is_some_and(|halt| halt.reverts)
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

/// A halt: it stops offers to the whole fleet until the target changes, a signed Approval resumes it or lets what failed try
/// again, or the silence that made it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HaltRecord {
    /// The wave that failed.
    pub wave: WaveName,
    /// Failed devices in it, with those for which nothing could be rendered.
    pub failures: u64,
    /// Devices that were offered the target in it when it halted, or need no offer.
    pub offered: u64,
    /// Devices in it for which nothing could be rendered.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unrendered: u64,
    /// When it stopped.
    #[serde(default)]
    pub at: Timestamp,
    /// Whether there were too many only together with devices that fell silent.
    #[serde(default, skip_serializing_if = "is_false")]
    pub silence: bool,
    /// Whether the target is given up, and devices go back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reverts: bool,
    /// How many failures were acknowledged when it stopped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub acknowledged: u64,
    /// The landing number of the newest Approval that let devices try again when it stopped.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retried: u64,
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
    pub failed: Option<Box<FailureNote>>,
    /// How often an attempt at the target failed and it was offered that again by itself.
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub retried: u32,
    /// The version that failed on it last without that counting: it tries again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excused: Option<Box<Version>>,
    /// It left stable, or was about to, and what brings that back is the target: nothing but a budget holds it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub returns: bool,
    /// It was healthy on the target, and did not fail since.
    #[serde(default, skip_serializing_if = "is_false")]
    pub healthy: bool,
    /// What was healthy on it last before the target, where that is not stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<Box<Good>>,
}

/// A version that was healthy on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Good {
    /// The template commit it was rendered from.
    pub template: Landing,
    /// Its digest.
    pub digest: Sha256Digest,
}

/// What judging a member can change of its note.
pub(super) type Mark = (Option<(Version, bool)>, Option<Version>, u32, bool);

impl MemberRecord {
    pub(super) fn mark(&self) -> Mark {
        let failed = self.failed.as_ref().map(|failed| (failed.version, failed.silent));
        (failed, self.excused.as_deref().copied(), self.retried, self.healthy)
    }

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

impl FailureNote {
    /// Boxed: few members have one.
    pub(super) fn new(version: Version, silent: bool) -> Box<Self> {
        Box::new(Self { version, silent })
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn is_zero_u32(value: &u32) -> bool {
    *value == 0
}
