//! What people see of a rollout.

use bellwether_schemas::api::{Condition, RolloutState, WaitingOn, WaveView};

use super::planner::Planner;
use super::reason::Reasons;
use super::sentence::{devices, sentence};
use super::standing::{Row, Standing};
use super::waits::{Ground, waits};
use super::{RolloutStanding, Terms};

impl Planner {
    /// The rollout as it stands.
    pub fn show(&self, reasons: &Reasons<'_>) -> RolloutStanding {
        let complete = self.record.is_complete();
        let first_pending = self.first_pending();
        // What one of its devices is awaited for, the wave waits for of all of them.
        let of_wave = |reason| match reason {
            WaitingOn::AwaitingReconnect => WaitingOn::Reconnects { until: self.timing.grace_end() },
            reason => reason,
        };
        let view = |place: usize| {
            let tally = self.tallies[place];
            let open = place < self.open_waves();
            let done = complete || self.has_advanced(place);
            let pending = || match self.soaks_until(place) {
                Some(until) if until <= self.timing.now => self.first_soaking(place).and_then(|i| reasons.of_untold(i)),
                Some(_) => first_pending[self.pending(place)?].and_then(|i| reasons.of_row(i)),
                None => {
                    let i = first_pending[self.pending(place)?]?;
                    reasons.of_row(i).or_else(|| reasons.of_untold(i))
                }
            };
            let reason = match (done, open) {
                (true, _) => None,
                (false, true) => self.stop().or_else(|| pending().map(of_wave)).or_else(|| self.waits_for(place)),
                (false, false) => self.stop().or_else(|| self.waits_for(place)),
            };
            WaveView {
                name: self.wave(place).name.clone(),
                open,
                done,
                members: tally.members + count(reasons.placed(place)),
                offered: tally.offered - tally.unrendered,
                healthy: tally.healthy,
                failed: tally.failed,
                why: reason.as_ref().map(sentence),
                waits: reason.as_ref().map(|reason| waits(reason, self.ground())),
                reason,
            }
        };
        let waves: Vec<WaveView> = (0..self.all_waves()).map(view).collect();
        let returning = if complete { self.returning() } else { 0 };
        let unsound = self.unsound();
        let reason = match &self.terms.condition {
            _ if unsound.is_some() => unsound,
            _ if complete && returning == 0 => None,
            Condition::Rewound { .. } => self.rewound(),
            _ if complete => {
                let returning = || WaitingOn::Returning { commit: self.record.target.commit, devices: returning };
                self.held().or_else(|| Some(returning()))
            }
            _ => waves.iter().find(|wave| !wave.done).and_then(|wave| wave.reason.clone()),
        };
        let state = match &reason {
            Some(WaitingOn::Unsound { .. }) => RolloutState::Waiting,
            _ if returning > 0 => RolloutState::Reverting,
            _ if complete => RolloutState::Complete,
            _ if self.record.is_rejected() && self.is_anybody_going_back() => RolloutState::Reverting,
            _ if self.record.is_rejected() => RolloutState::Rejected,
            Some(WaitingOn::Halted { .. }) => RolloutState::Halted,
            Some(
                WaitingOn::Gate { .. }
                | WaitingOn::Held { .. }
                | WaitingOn::Repository { .. }
                | WaitingOn::Window { .. }
                | WaitingOn::After { .. }
                | WaitingOn::Artifact { .. },
            ) => RolloutState::Waiting,
            _ => RolloutState::Progressing,
        };
        RolloutStanding { state, waves, reason }
    }

    /// What says since when and by which rule it waits.
    pub fn ground(&self) -> Ground<'_> {
        let Terms { fleet, holds, .. } = &self.terms;
        Ground { fleet: Some(fleet), record: Some(&self.record), holds, ..Ground::default() }
    }

    /// What a rollout came to that is complete, in a sentence.
    pub fn completion(&self) -> String {
        let left = self.rows.iter().map(|row| &**row);
        let left = left.filter(|row| row.note.returns && row.pin.is_none() && !row.is_gone());
        let (failed, back): (Vec<&Row>, Vec<&Row>) = left.partition(|row| row.note.failed.is_some());
        let [failed, back] = [failed, back].map(|rows| count(rows.len()));
        match (failed, back) {
            (0, 0) if self.tallies.iter().all(|tally| tally.members == 0) => "No device had to change.".to_owned(),
            (0, 0) => "Every wave completed.".to_owned(),
            (0, back) => format!("{} went back.", devices(back)),
            (failed, 0) => format!("Going back failed on {}.", devices(failed)),
            (failed, back) => format!("{} went back, and that failed on {}.", devices(back), devices(failed)),
        }
    }

    /// How many devices left what the target brings back, and have not said yet that they are back; also those that are off.
    fn returning(&self) -> u64 {
        let is_back = |row: &Row| row.note.healthy || row.is_back();
        let goes = |row: &&Row| row.note.returns && row.pin.is_none() && !row.is_gone();
        let goes_back =
            self.rows.iter().map(|row| &**row).filter(goes).filter(|row| row.note.failed.is_none() && !is_back(row));
        count(goes_back.count())
    }

    /// Whether a device that the rejected target reached has not said yet that it is back; also one that is off.
    fn is_anybody_going_back(&self) -> bool {
        self.rows.iter().filter(|row| !row.is_gone() && self.was_reached(row)).any(|row| {
            let goal = self.goal(row);
            goal.is_some_and(|goal| !row.observed.runs(goal.digest)) || row.observed.applying.is_some()
        })
    }

    /// The first member that is healthy, and whose own soak goes on.
    fn first_soaking(&self, place: usize) -> Option<usize> {
        let is_soaking = |row: &Row| row.standing == Standing::Healthy && row.observed.changing && !row.note.late;
        self.rows.iter().position(|row| row.note.wave == Some(place) && is_soaking(row))
    }

    /// The first member that holds each wave's completion.
    fn first_pending(&self) -> Vec<Option<usize>> {
        let mut first = vec![None; self.all_waves()];
        for (i, row) in self.rows.iter().enumerate() {
            if row.standing == Standing::Pending
                && !row.note.late
                && let Some(slot) = row.note.wave.and_then(|place| first.get_mut(place))
            {
                *slot = slot.or(Some(i));
            }
        }
        first
    }
}

/// A length, as it is shown.
pub(super) fn count(of: usize) -> u64 {
    u64::try_from(of).expect("a count fits into 64 bits")
}
