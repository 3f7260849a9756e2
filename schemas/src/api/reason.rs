//! Why something is not as it shall be, with its data.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::CommitId;
use crate::name::{DeviceName, FleetName, WaveName};
use crate::quantity::Seconds;
use crate::report::Failure;
use crate::version::Version;

/// Why a device is not at its target, or a wave not done. Each is true when it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum WaitingOn {
    /// Its wave is not open yet: an earlier one is not done.
    Wave {
        /// Its wave.
        wave: WaveName,
        /// The wave that is not done.
        after: WaveName,
    },
    /// A wave that selects devices by label has none that is live.
    EmptyWave {
        /// That wave.
        wave: WaveName,
    },
    /// An earlier wave is healthy and must stay so until then.
    Soak {
        /// The wave that soaks.
        wave: WaveName,
        /// When the soak ends if nothing fails.
        until: Timestamp,
    },
    /// Every device of the wave that reports is done, and too few of them are healthy.
    TooFewHealthy {
        /// The wave.
        wave: WaveName,
        /// Devices that are healthy on the target.
        healthy: u64,
        /// Devices that must be.
        needed: u64,
    },
    /// The wave needs a signed Approval.
    Gate {
        /// The wave.
        wave: WaveName,
        /// The template commit to approve.
        commit: CommitId,
    },
    /// A fleet must complete the same commit first.
    After {
        /// That fleet.
        fleet: FleetName,
        /// The template commit.
        commit: CommitId,
    },
    /// A file that every device of the fleet needs cannot be had, so that the rollout does not start.
    Artifact {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// It is not the time: applying begins only inside a window.
    Window {
        /// When the next one opens; absent where none ever does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opens: Option<Timestamp>,
        /// Why none ever does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// As many devices are unavailable as the budget allows.
    Budget {
        /// What the devices of the group have in common: labels with their values; nothing for the whole fleet.
        group: BTreeMap<String, String>,
        /// How many may be unavailable.
        limit: u64,
        /// How many are.
        unavailable: u64,
        /// Some of those who are, by name.
        holders: Vec<DeviceName>,
    },
    /// As many devices are on the way as `maxInFlight` allows.
    MaxInFlight {
        /// How many may be.
        limit: u64,
        /// How many are.
        in_flight: u64,
    },
    /// The plan of its fleet breaks a rule that no plan may break, and is not carried out.
    Unsound {
        /// What the plan does.
        breach: String,
    },
    /// It was offered its target and is on the way.
    InFlight {
        /// The version it was offered.
        version: Version,
        /// Since when.
        since: Timestamp,
    },
    /// It was not heard of for too long.
    Stale {
        /// When it was last heard of; absent where it never was since it enrolled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_seen: Option<Timestamp>,
        /// The version that it had begun to apply by then, where it had.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        begun: Option<Version>,
    },
    /// The rollout stopped by itself, until the template changes, or a signed Approval says otherwise.
    Halted {
        /// The wave that failed.
        wave: WaveName,
        /// Failed devices in it, with those for which nothing could be rendered.
        failures: u64,
        /// Devices that were offered the target in it, or need no offer.
        offered: u64,
        /// Devices in it for which nothing could be rendered.
        #[serde(default, skip_serializing_if = "is_zero")]
        unrendered: u64,
        /// The template commit.
        commit: CommitId,
    },
    /// The rollout stopped by itself, and its commit is given up: it is offered to nobody before the template changes, or a
    /// signed Approval resumes it.
    Rejected {
        /// The wave that failed.
        wave: WaveName,
        /// Failed devices in it, with those for which nothing could be rendered.
        failures: u64,
        /// Devices that were offered the target in it, or need no offer.
        offered: u64,
        /// Devices in it for which nothing could be rendered.
        #[serde(default, skip_serializing_if = "is_zero")]
        unrendered: u64,
        /// The template commit.
        commit: CommitId,
    },
    /// Its target is given up, and it goes back to what was healthy on it before.
    Reverting {
        /// The template commit that is given up.
        commit: CommitId,
        /// The template commit that it goes back to.
        to: CommitId,
    },
    /// Its target is given up, and what it was to go back to failed on it: that is not tried again.
    BackFailed {
        /// The template commit that is given up.
        commit: CommitId,
        /// The version that failed.
        version: Version,
        /// The failure as the device reported it.
        failure: Failure,
    },
    /// The rollout brings back what was stable, and devices that left it go back.
    Returning {
        /// The template commit that brings it back.
        commit: CommitId,
        /// How many have not said yet that they are back.
        devices: u64,
    },
    /// A pin keeps it at another commit than its fleet's.
    Pinned {
        /// The commit that the pin names.
        commit: CommitId,
        /// Why it cannot be brought there; absent where it is there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// A signed Hold stops offers.
    Held {
        /// The manifest.
        hold: String,
        /// The reason it gives.
        reason: String,
    },
    /// Its last attempt at this target failed.
    Failed {
        /// The version that failed.
        version: Version,
        /// The failure as the device reported it; absent when it ran out of time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// It runs what it shall, and that does not pass its probes.
    Unhealthy {
        /// The version that it runs.
        version: Version,
    },
    /// Its version is not in the history of git.
    Paused {
        /// The code of the finding.
        code: String,
        /// What was found, for people.
        why: String,
        /// The commit that is missing, where one is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<CommitId>,
    },
    /// It names a commit that the history does not have; the repository is asked once more before it is paused.
    Lookup {
        /// That commit.
        commit: CommitId,
    },
    /// It has not reported since the reconciler lost its records.
    AwaitingReconnect,
    /// The reconciler lost its records, and devices of the fleet had no time to report since: no wave opens before.
    Reconnects {
        /// Until when they have time.
        until: Timestamp,
    },
    /// Its spec could not be rendered.
    RenderError {
        /// Why.
        why: String,
    },
    /// No fleet selects it.
    Orphaned,
    /// More than one fleet selects it.
    Overlap {
        /// Those fleets.
        fleets: Vec<FleetName>,
    },
    /// The repository's condition stops offers.
    Repository {
        /// The condition.
        condition: Condition,
    },
    /// The history's last word is that it shall remove everything; it has not said yet that it did.
    Decommissioning,
    /// It removed everything, as the history asked, and is refused since.
    Decommissioned {
        /// Since when.
        at: Timestamp,
    },
    /// Its certificate does not count: it, or the device, is revoked by the history, or another entry counts for it.
    Revoked {
        /// The code of the refusal.
        #[serde(default)]
        code: String,
        /// Why, for people.
        #[serde(default)]
        why: String,
    },
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl WaitingOn {
    /// Whether the device is gone for good, as far as it can tell: it counts nowhere any more.
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Revoked { .. } | Self::Decommissioned { .. })
    }
}

/// The repository's condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Condition {
    /// The branch is verified up to its tip.
    Verified,
    /// The branch has landings that are refused; the accepted head stays in force.
    Stalled {
        /// The landing that is refused, where one is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<CommitId>,
        /// The path that is refused, where one is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        /// A stable code.
        code: String,
        /// Why, for people.
        why: String,
    },
    /// The branch verifies, but the accepted head is not in it: nothing is offered.
    Rewound {
        /// The accepted head that is missing from the branch.
        accepted: CommitId,
        /// Its landing number.
        landing: u64,
        /// The tip of the branch.
        tip: CommitId,
        /// Why a policy on the branch that abandons the accepted head does not count.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reset: Option<String>,
    },
    /// Nobody has signed anything for longer than the policy's `maxSilence`: somebody may be keeping news back.
    Frozen {
        /// When the newest signed commit of the accepted history was made, by its committer's clock.
        since: Timestamp,
        /// The longest silence that the policy allows.
        max_silence: Seconds,
    },
    /// The repository could not be reached; the accepted head stays in force.
    Unreachable {
        /// Why, for people.
        why: String,
    },
}
