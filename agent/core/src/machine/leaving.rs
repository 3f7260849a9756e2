//! The end of a device: told by signed metadata to remove everything, it does so, reports it until the reconciler has recorded
//! it, and then removes keys and state.

use bellwether_schemas::report::{FailureKind, Health, Phase};
use jiff::Timestamp;

use super::Machine;
use crate::durable::Leaving;
use crate::event::Effect;
use crate::problem::Problem;

impl Machine {
    /// Verified metadata says that everything shall be removed. Whatever else is under way or offered ends with that.
    pub(super) fn leave(&mut self) -> Vec<Effect> {
        if self.memory.leaving.is_some() {
            return Vec::new();
        }
        self.drop_candidate();
        self.paused = None;
        self.memory.leaving = Some(Leaving::Removing);
        self.phase = phase_of(Leaving::Removing);
        (self.stuck, self.resting) = (false, false);
        vec![Effect::Persist, Effect::Report]
    }

    /// Verified metadata does not say so any more: from here on it is a device on which nothing is placed.
    pub(super) fn stay(&mut self) -> Vec<Effect> {
        if self.memory.leaving.take().is_none() {
            return Vec::new();
        }
        self.phase = Phase::Idle;
        vec![Effect::Persist, Effect::Report]
    }

    pub(super) fn next_of_leaving(&mut self) -> Vec<Effect> {
        if self.resting {
            return Vec::new();
        }
        self.busy = true;
        vec![Effect::Clear]
    }

    pub(super) fn cleared(&mut self, result: Result<(), Problem>, now: Timestamp) -> Vec<Effect> {
        self.busy = false;
        if let Err(problem) = result {
            self.resting = true;
            self.phase = Phase::Degraded;
            let mut effects = self.note(problem.failure(None, FailureKind::Failed, now));
            effects.push(Effect::Report);
            return effects;
        }
        self.memory.leaving = Some(Leaving::Removed);
        (self.memory.running, self.memory.attempt, self.memory.failure) = (None, None, None);
        (self.leftover, self.ill, self.health) = (false, None, Health::Unknown);
        self.phase = phase_of(Leaving::Removed);
        vec![Effect::Persist, Effect::Report]
    }

    /// The reconciler has recorded it. A device that was not told by signed metadata to remove anything removes nothing.
    pub(super) fn dismissed(&mut self) -> Vec<Effect> {
        match self.memory.leaving {
            Some(Leaving::Removed) => vec![Effect::Forget],
            Some(Leaving::Removing) | None => Vec::new(),
        }
    }
}

pub(super) fn phase_of(leaving: Leaving) -> Phase {
    match leaving {
        // What is there is on its way back to nothing.
        Leaving::Removing => Phase::RollingBack,
        Leaving::Removed => Phase::Decommissioned,
    }
}
