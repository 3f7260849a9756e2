//! What a simulation begins with: a fleet on a landing, and another landing that rolls out to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_schemas::api::Condition;
use bellwether_schemas::manifest::{Labels, Rollout};
use bellwether_schemas::report::Claim;
use bellwether_schemas::{CommitId, DeviceName, FleetName, Seconds, Sha256Digest, Version, WaveName};
use jiff::{SignedDuration, Timestamp};

use super::faults::later;
use crate::plan::{Decisions, Gaps, Good, HoldNote, Landing, MemberRecord, Pinned, RolloutRecord, Terms, Timing};
use crate::verify::VerifiedHistory;

/// What a simulation begins with.
#[derive(Debug, Clone)]
pub struct Scene<'a> {
    /// The fleet.
    pub fleet: FleetName,
    /// The history up to `head`.
    pub history: &'a VerifiedHistory,
    /// What every device runs at first, and is well with: the landing at which it was offered, and its template commit. None
    /// for a fleet that is new: then nothing runs.
    pub before: Option<Before>,
    /// The template commit that rolls out.
    pub target: Landing,
    /// The accepted head.
    pub head: Landing,
    /// The Rollout that judges.
    pub rollout: Arc<Rollout>,
    /// What is decided about the target from the beginning.
    pub decisions: Decisions,
    /// What holds the fleet.
    pub holds: Vec<HoldNote>,
    /// The devices, in the order of their names.
    pub devices: Vec<VirtualDevice>,
    /// When the target lands.
    pub start: Timestamp,
    /// For how long is simulated at most.
    pub horizon: Seconds,
    /// What becomes of gates.
    pub approvals: Approvals,
}

/// What ran before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// The head at which it was offered.
    pub head: Landing,
    /// The template commit.
    pub template: Landing,
}

/// A device that is simulated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualDevice {
    /// Its name.
    pub name: DeviceName,
    /// Its labels at the head.
    pub labels: Arc<Labels>,
    /// The labels that place it into waves.
    pub wave_labels: Arc<Labels>,
    /// The digest that it runs at first.
    pub before: Option<Sha256Digest>,
    /// The digest that the target renders to, or why it cannot be rendered.
    pub target: Result<Sha256Digest, String>,
    /// The commit that a pin keeps it at: it stays at what it runs.
    pub pin: Option<CommitId>,
}

/// What becomes of gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approvals {
    /// Somebody opens each gate so long after it is reached.
    After(Seconds),
    /// Nobody does.
    Never,
}

/// The heartbeat that a reconciler tells devices by default.
pub(super) const HEARTBEAT: Seconds = Seconds::new(30);
/// A device that was silent for so long is stale, by default.
const STALE_AFTER: Seconds = Seconds::new(90);

impl Scene<'_> {
    /// When it ends at the latest.
    pub fn end(&self) -> Timestamp {
        later(self.start, self.horizon)
    }

    pub(super) fn timing(&self, now: Timestamp) -> Timing {
        Timing {
            now,
            stale_after: STALE_AFTER,
            reconnect_grace: HEARTBEAT,
            serving_since: self.long_ago(),
            heard_before: None,
        }
    }

    /// When devices enrolled and the reconciler started: long before anything happens.
    pub(super) fn long_ago(&self) -> Timestamp {
        self.start.checked_sub(SignedDuration::from_hours(7 * 24)).unwrap_or(Timestamp::MIN)
    }

    pub(super) fn terms(&self, opened: &[WaveName]) -> Terms {
        let mut decisions = self.decisions.clone();
        decisions.opened.extend(opened.iter().cloned());
        Terms {
            fleet: self.fleet.clone(),
            target: self.target,
            head: self.head,
            rollout: self.rollout.clone(),
            holds: self.holds.clone(),
            kept: decisions.clone(),
            decisions,
            unmet: Vec::new(),
            records_lost: false,
            condition: Condition::Verified,
        }
    }

    /// What is recorded of the fleet before the target landed: what runs is stable.
    pub(super) fn record(&self) -> Option<RolloutRecord> {
        let before = self.before?;
        let note = |device: &VirtualDevice| {
            let note = MemberRecord { target: device.before, healthy: true, ..MemberRecord::default() };
            (device.name.clone(), note)
        };
        Some(RolloutRecord {
            target: before.template,
            earlier: Vec::new(),
            begun_at: None,
            stable: Some(before.template),
            rollout: (*self.rollout).clone(),
            rebuilt: false,
            waves: Vec::new(),
            halted: None,
            gaps: Gaps::default(),
            members: self.devices.iter().map(note).collect::<BTreeMap<_, _>>().into(),
        })
    }

    /// What a device runs at first.
    pub(super) fn running(&self, device: &VirtualDevice) -> Option<Claim> {
        let Before { head: Landing { commit, number: landing }, template } = self.before?;
        let version = Version { landing, commit, revision: 0 };
        Some(Claim { version, template: template.commit, digest: device.before? })
    }

    pub(super) fn pinned(&self, device: &VirtualDevice) -> Option<Pinned> {
        let commit = device.pin?;
        let good = self.before.zip(device.before).map(|(before, digest)| Good { template: before.template, digest });
        Some(Pinned { commit, spec: good.ok_or_else(|| "it runs nothing yet".to_owned()) })
    }
}

impl VirtualDevice {
    /// Whether this is what it runs when it comes to the target.
    pub(super) fn is_target(&self, digest: Sha256Digest) -> bool {
        self.target.as_ref().is_ok_and(|target| *target == digest)
    }
}
