//! One fleet: its planner, and what is to be planned.

use std::collections::BTreeSet;

use bellwether_core::plan::{MemberRecord, Planner, RolloutRecord, Unsound};
use bellwether_schemas::DeviceName;
use jiff::Timestamp;

/// A fleet, as far as it was planned.
#[derive(Default)]
pub(super) struct FleetState {
    /// Its planner, once it was planned.
    pub(super) planner: Option<Planner>,
    /// What was recorded, until it is planned by that: by an earlier run, or before a plan that broke a rule.
    pub(super) loaded: Option<RolloutRecord>,
    /// Whether there is a record, and it cannot be read.
    pub(super) lost: bool,
    /// The number of the record.
    pub(super) sequence: u64,
    pub(super) members: BTreeSet<DeviceName>,
    /// Whether its terms or its members may be others: then everything is planned.
    pub(super) anew: bool,
    /// Whether something happened that its plan may depend on.
    pub(super) due: bool,
    /// Members of whom something else is known than was planned with.
    pub(super) fresh: BTreeSet<DeviceName>,
    /// Whether it could not be planned last time: a Hold or a halt may be unseen, so nobody begins.
    pub(super) unplanned: bool,
    /// Whether its last plan broke a rule, and the record is to be read again first.
    pub(super) recall: bool,
    /// The rule that was told of last.
    pub(super) refused: Option<Unsound>,
    pub(super) wake_at: Option<Timestamp>,
    /// By when what is noted of its members must be stored, if it is not.
    pub(super) notes_due: Option<Timestamp>,
}

impl FleetState {
    /// What an earlier run recorded.
    pub(super) fn loaded(record: RolloutRecord, sequence: u64) -> Self {
        Self { loaded: Some(record), sequence, ..Self::default() }
    }

    /// Its rollout, without what is noted of members.
    pub(super) fn rollout(&self) -> Option<&RolloutRecord> {
        self.planner.as_ref().map(Planner::rollout).or(self.loaded.as_ref())
    }

    /// What is noted of a member.
    pub(super) fn note(&self, device: &DeviceName) -> Option<&MemberRecord> {
        let planned = self.planner.as_ref().and_then(|planner| planner.note(device));
        planned.or_else(|| self.loaded.as_ref()?.members.get(device))
    }

    /// Has it planned with what is known of a member now.
    pub(super) fn look_at(&mut self, device: &DeviceName) {
        self.fresh.insert(device.clone());
        self.due = true;
    }

    /// Whether it is to be planned by the stored record, now.
    pub(super) fn is_recalled(&self, now: Timestamp) -> bool {
        self.recall && self.wake_at.is_some_and(|at| at <= now)
    }

    /// Whether it is to be planned.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let woken = self.wake_at.is_some_and(|at| at <= now);
        !self.recall && (woken || (!self.unplanned && (self.due || self.is_anew())))
    }

    /// Whether all of it is to be planned.
    pub(super) fn is_anew(&self) -> bool {
        self.anew || self.planner.is_none()
    }
}
