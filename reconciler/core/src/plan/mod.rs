//! What may be offered now: waves, soak, gates, windows, budgets, holds and failures of one fleet.
//!
//! In: what a fleet shall run, what its devices say, what was recorded, the time. Out: a new record, one action for each
//! member that something is to be done for, and the reason of each that is not at its target. Executing a plan makes no
//! choice. No clock, no I/O, no randomness, no floats.
//!
//! [`Planner`] plans one fleet. It keeps what it knows of each member, so that a plan costs what changed since the one before;
//! planning everything again comes to the same. The steps of a plan, in order: [`carry`] takes the record over to the target,
//! [`standing`] says how a member stands, [`progress`] opens and ends waves, halts and gives up, [`decide`] says what a member
//! may run, [`act`] gives that out as far as [`slots`] has places in budgets and `maxInFlight`, [`lint`] refuses a plan that breaks
//! a rule, [`reason`] says why a member is not at its target, and [`show`] makes what people see.

mod act;
mod advice;
mod carry;
mod clocks;
mod decide;
mod lint;
mod place;
mod planner;
mod progress;
mod reason;
mod record;
mod sentence;
mod served;
mod show;
mod slots;
mod standing;
mod tally;
#[cfg(test)]
mod tests;
mod timing;
mod waits;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_schemas::api::{Condition, RolloutState, WaitingOn, WaveView};
use bellwether_schemas::manifest::{Labels, Rollout, SkipStep};
use bellwether_schemas::report::{Claim, Failure, Health};
use bellwether_schemas::{CommitId, DeviceName, FleetName, Seconds, Sha256Digest, Version, WaveName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use advice::{Advice, advice, condition_advice, device_advice, missing_advice};
pub use carry::rolls;
pub use lint::Unsound;
pub use planner::Planner;
pub use reason::Reasons;
pub use record::{FailureNote, Good, HaltRecord, MemberRecord, RolloutRecord, WaveRecord};
pub use sentence::{condition_sentence, missing_sentence, moment, sentence};
pub use served::{Gap, Gaps};
pub use timing::Timing;
pub use waits::{Ground, waits};
pub use windows::{Opening, Schedule};

/// A landing: a commit on the first-parent line, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Landing {
    /// The commit.
    pub commit: CommitId,
    /// Its landing number, counted from 1.
    pub number: u64,
}

/// What holds where it is no manifest: the operator's brake.
pub const BRAKE: &str = "bellwether-reconciler hold";

/// A Hold that covers the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldNote {
    /// The manifest's path, or what else holds.
    pub path: String,
    /// The reason it gives.
    pub reason: String,
    /// Since when it holds, where that is known.
    pub since: Option<Timestamp>,
}

/// What git and people say about one fleet: all that a plan depends on beside devices, record and time.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// The fleet.
    pub fleet: FleetName,
    /// The template commit that rolls out: the newest one, or the one that [`rolls`] on.
    pub target: Landing,
    /// The accepted head: offers made now are of it.
    pub head: Landing,
    /// The Rollout at T's first parent. It is recorded when T's rollout begins, and the record counts once a wave is open.
    pub rollout: Arc<Rollout>,
    /// What holds the fleet.
    pub holds: Vec<HoldNote>,
    /// What signed Approvals and Expedites say about T.
    pub decisions: Decisions,
    /// The same with what they say about the targets before, if T is one that the recorded rollout goes on with.
    pub kept: Decisions,
    /// What must be there before T's first wave opens, and is not.
    pub unmet: Vec<Unmet>,
    /// Whether the records of rollouts were lost, in database and store: then what devices say of failures counts for a
    /// rollout that begins without a record.
    pub records_lost: bool,
    /// The repository's condition. While it is `Rewound`, nothing is offered and nothing is recorded.
    pub condition: Condition,
}

impl Terms {
    /// Whether nothing is offered and nothing is recorded.
    pub(crate) fn is_frozen(&self) -> bool {
        matches!(self.condition, Condition::Rewound { .. })
    }
}

/// What signed Approvals and Expedites say about a template commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions {
    /// The waves whose gates are open.
    pub opened: BTreeSet<WaveName>,
    /// How many failures are acknowledged.
    pub acknowledged: u64,
    /// Devices that may try again, with the landing number of the Approval: what failed before it counts no more.
    pub retried: BTreeMap<DeviceName, u64>,
    /// What an emergency fix skips.
    pub expedited: BTreeSet<SkipStep>,
    /// The files that say so.
    pub files: BTreeSet<String>,
}

/// What a rollout needs before it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// A fleet that must have completed the same commit.
    After(FleetName),
    /// A file that every member needs.
    Artifact {
        /// Its name.
        name: String,
        /// Why it cannot be had.
        why: String,
    },
}

/// A device of the fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The device.
    pub device: DeviceName,
    /// Its labels at the head: they place it into budgets and time zones.
    pub labels: Arc<Labels>,
    /// The labels that place it into waves: at T's first parent, or at the head for a device that was not listed there.
    pub wave_labels: Arc<Labels>,
    /// The digest rendered from T, or why it could not be rendered.
    pub target: Result<Sha256Digest, String>,
    /// The digest rendered from `record.stable`; `None` where there is no stable yet.
    pub stable: Option<Result<Sha256Digest, String>>,
    /// The digest rendered from the template of [`MemberRecord::good`], where it has one and that can be rendered.
    pub good: Option<Sha256Digest>,
    /// What its pin keeps it at, where it has one.
    pub pin: Option<Pinned>,
    /// The revision that an offer made now would have; none while it cannot be said what the offer would give up.
    pub revision: Option<u32>,
    /// What is known about it.
    pub observed: Observed,
}

/// What a pin keeps a device at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The commit that the pin names.
    pub commit: CommitId,
    /// The template commit that was in force there and its digest, or why there is none.
    pub spec: Result<Good, String>,
}

/// What is known about a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// When it enrolled.
    pub enrolled_at: Timestamp,
    /// When it last reported; `None` if it never did.
    pub last_seen: Option<Timestamp>,
    /// What it says it runs.
    pub running: Option<Claim>,
    /// What it says it applies.
    pub applying: Option<Box<Claim>>,
    /// Whether it is past the point of no return with that, as it says, and not at its end.
    pub changing: bool,
    /// Whether what it runs passes its probes.
    pub health: Health,
    /// Its last failure.
    pub failure: Option<Box<Failure>>,
    /// The landing number of the version that failed; `None` where the history does not have it.
    pub failed_at: Option<u64>,
    /// What its signed targets name now.
    pub offer: Option<Offer>,
    /// When it last came further with its offer.
    pub last_progress: Option<Timestamp>,
    /// Why nothing is decided for it (paused, revoked, awaited): no offers, and in no denominator.
    pub paused: Option<Box<WaitingOn>>,
}

/// What a device's signed targets name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Its version.
    pub version: Version,
    /// The template commit it was rendered from.
    pub template: CommitId,
    /// Its digest.
    pub digest: Sha256Digest,
    /// When it was offered.
    pub offered_at: Timestamp,
    /// Whether it can be seen by now: its time does not run before.
    pub is_visible: bool,
    /// When applying may begin at the earliest.
    pub not_before: Option<Timestamp>,
    /// Until when applying may begin.
    pub not_after: Option<Timestamp>,
    /// When `Applying` was acknowledged.
    pub acknowledged_at: Option<Timestamp>,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// For each member that something is to be done for, what, in the order of the names.
    pub actions: Vec<(DeviceName, Action)>,
    /// What of the record changed, as against the plan before.
    pub changed: Changed,
    /// The next time at which the plan can change by itself.
    pub wake_at: Option<Timestamp>,
}

/// What of a record changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// Nothing.
    Nothing,
    /// What is noted of members, which devices tell again when it is lost.
    Members,
    /// How the rollout stands: it must be in the store before the offers that it allows.
    Rollout,
}

/// What people see of a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutStanding {
    /// How it stands.
    pub state: RolloutState,
    /// Its waves, in order.
    pub waves: Vec<WaveView>,
    /// What it waits for; `None` when it is complete, and nobody has to go back.
    pub reason: Option<WaitingOn>,
}

/// What to do with the signed targets of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// They name this from now on.
    Offer {
        /// The version: the head, and the member's `revision`.
        version: Version,
        /// The template commit: T, or another one.
        template: Landing,
        /// The digest rendered from it.
        digest: Sha256Digest,
        /// When applying may begin, as windows say.
        window: Span,
        /// How long probes go on.
        soak: Seconds,
    },
    /// They name what the device runs, or nothing.
    Withdraw,
}

/// A span of time; open where an end is not given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// From when.
    pub from: Option<Timestamp>,
    /// Until when.
    pub until: Option<Timestamp>,
}
