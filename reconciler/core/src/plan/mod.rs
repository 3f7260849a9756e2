//! What may be offered now: waves, soak, gates, holds and failures of one fleet.
//!
//! In: what a fleet shall run, what its devices say, what was recorded, the time. Out: a new record, one decision for
//! each member with the reason it waits for, and what people see. Executing a plan makes no choice.
//! No clock, no I/O, no randomness, no floats. The cost is O(n log n) in members.
//!
//! The steps, in order: [`carry`] takes the record over to the target, [`standing`] says how each member stands,
//! [`progress`] opens and ends waves and halts, [`decide`] says what each member is offered and why not,
//! [`show`] makes what people see.

mod advice;
mod carry;
mod decide;
mod place;
mod progress;
mod record;
mod sentence;
mod served;
mod show;
mod standing;
#[cfg(test)]
mod tests;
mod windows;

use std::collections::{BTreeMap, BTreeSet};

use bellwether_schemas::api::{Condition, RolloutState, WaitingOn, WaveView};
use bellwether_schemas::manifest::{Labels, Rollout};
use bellwether_schemas::report::{Claim, Failure, Health};
use bellwether_schemas::{CommitId, DeviceName, FleetName, Seconds, Sha256Digest, Version, WaveName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use advice::{Advice, advice, condition_advice, device_advice, missing_advice};
pub use record::{FailureNote, HaltRecord, MemberRecord, RolloutRecord, WaveRecord};
pub use sentence::{condition_sentence, missing_sentence, moment, sentence};
pub use served::{Gap, Gaps};
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

/// A Hold that covers the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldNote {
    /// The manifest's path.
    pub path: String,
    /// The reason it gives.
    pub reason: String,
}

/// The times that judge silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Now, as served time: time in which the listeners were up.
    pub now: Timestamp,
    /// A device that was silent for so long is stale.
    pub stale_after: Seconds,
    /// Since when the listeners are up; no silence is judged before `serving_since + stale_after`.
    pub serving_since: Timestamp,
}

/// Everything that a plan for one fleet depends on.
#[derive(Debug, Clone, Copy)]
pub struct FleetInput<'a> {
    /// The fleet.
    pub fleet: &'a FleetName,
    /// The newest template commit T, which is what the fleet shall reach.
    pub target: Landing,
    /// The Rollout at T's first parent. It is recorded when T's rollout begins, and the record counts from then on.
    pub rollout: &'a Rollout,
    /// Who is in the fleet at the head, by name, each once.
    pub members: &'a [Member],
    /// The Holds that cover the fleet.
    pub holds: &'a [HoldNote],
    /// The waves whose gates signed Approvals open for T.
    pub approved: &'a BTreeSet<WaveName>,
    /// What the last plan recorded; `None` for a fleet that was never planned.
    pub record: Option<&'a RolloutRecord>,
    /// Whether the records of rollouts were lost, in database and store: then what devices say of failures counts for a
    /// rollout that begins without a record.
    pub records_lost: bool,
    /// The repository's condition. While it is `Rewound`, nothing is offered and nothing is recorded.
    pub condition: &'a Condition,
    /// The times.
    pub limits: Timing,
}

/// A device of the fleet.
#[derive(Debug, Clone)]
pub struct Member {
    /// The device.
    pub device: DeviceName,
    /// The labels that place it into waves: at T's first parent, or at the head for a device that was not listed there.
    pub wave_labels: Labels,
    /// The digest rendered from T, or why it could not be rendered.
    pub target: Result<Sha256Digest, String>,
    /// The digest rendered from `record.stable`; `None` where there is no stable yet.
    pub stable: Option<Result<Sha256Digest, String>>,
    /// The version that an offer made now would have; none while it cannot be said what the offer would give up.
    pub next_version: Option<Version>,
    /// What is known about it.
    pub observed: Observed,
}

/// What is known about a device.
#[derive(Debug, Clone)]
pub struct Observed {
    /// When it enrolled.
    pub enrolled_at: Timestamp,
    /// When it last reported; `None` if it never did.
    pub last_seen: Option<Timestamp>,
    /// What it says it runs.
    pub running: Option<Claim>,
    /// What it says it applies.
    pub applying: Option<Claim>,
    /// The version that it is past the point of no return with, as it says, and not at its end.
    pub changing: Option<Version>,
    /// Whether what it runs passes its probes.
    pub health: Health,
    /// Its last failure.
    pub failure: Option<Failure>,
    /// The landing number of the version that failed; `None` where the history does not have it.
    pub failed_at: Option<u64>,
    /// What its signed targets name now.
    pub offer: Option<Offer>,
    /// When it last came further with its offer.
    pub last_progress: Option<Timestamp>,
    /// Why nothing is decided for it (paused, revoked, awaited): no offers, and in no denominator.
    pub paused: Option<WaitingOn>,
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
    /// When `Applying` was acknowledged.
    pub acknowledged_at: Option<Timestamp>,
}

/// What is to be done, and what is to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetPlan {
    /// The record to store, together with the offers.
    pub record: RolloutRecord,
    /// What to do for each member, and why it is not at its target.
    pub decisions: BTreeMap<DeviceName, Decision>,
    /// What people see of the rollout.
    pub view: RolloutStanding,
    /// Whether `record` differs from the input's.
    pub changed: bool,
    /// The next time at which the plan can change by itself.
    pub wake_at: Option<Timestamp>,
}

/// What people see of a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutStanding {
    /// How it stands.
    pub state: RolloutState,
    /// Its waves, in order.
    pub waves: Vec<WaveView>,
    /// What it waits for; `None` when it is complete.
    pub reason: Option<WaitingOn>,
}

/// What is decided for one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// Why it is not at its target; `None` when it is, unless it is paused: then that is the reason all the same.
    pub reason: Option<WaitingOn>,
}

/// What to do with the signed targets of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// They stay as they are.
    None,
    /// They name this from now on.
    Offer {
        /// The version: the member's `next_version`.
        version: Version,
        /// T, or the stable template commit.
        template: Landing,
        /// The digest rendered from it.
        digest: Sha256Digest,
        /// How long probes go on.
        soak: Seconds,
    },
    /// They name what the device runs, or nothing.
    Withdraw,
}

/// Decides what each member of a fleet may be offered now.
pub fn plan_fleet(input: &FleetInput<'_>) -> FleetPlan {
    let frozen = matches!(input.condition, Condition::Rewound { .. });
    let mut sheet = carry::carry(input);
    sheet.judge();
    if !frozen {
        progress::progress(&mut sheet);
    }
    let placement = place::place(&sheet);
    let decisions = decide::decide(&mut sheet, &placement);
    let view = show::show(&sheet, &placement, &decisions);
    let wake_at = sheet.wake_at();
    let record = match input.record {
        Some(record) if frozen => record.clone(),
        _ => sheet.into_record(),
    };
    let changed = input.record != Some(&record);
    let names = input.members.iter().map(|member| member.device.clone());
    FleetPlan { decisions: names.zip(decisions).collect(), changed, record, view, wake_at }
}
