//! How problems are remembered and reported.

use bellwether_schemas::report::{Failure, FailureKind};
use bellwether_schemas::targets::SignedOffer;
use bellwether_schemas::version::Version;
use jiff::Timestamp;

use super::Machine;
use crate::event::Effect;
use crate::problem::Problem;

impl Machine {
    /// Reports an offer whose content cannot be taken; said once, not at each pull.
    pub(super) fn refuse(&mut self, problem: &Problem, offer: &SignedOffer, now: Timestamp) -> Vec<Effect> {
        let failure = problem.failure(Some(offer.version), FailureKind::Failed, now);
        self.say(Failure { digest: Some(offer.digest), ..failure })
    }

    /// Reports an offer whose version cannot be taken. Its content did not fail: under another version it may be taken.
    pub(super) fn refuse_version(&mut self, problem: &Problem, version: Version, now: Timestamp) -> Vec<Effect> {
        self.say(problem.failure(Some(version), FailureKind::Failed, now))
    }

    fn say(&mut self, failure: Failure) -> Vec<Effect> {
        let mut effects = self.note(failure);
        if !effects.is_empty() {
            effects.push(Effect::Report);
        }
        effects
    }

    pub(super) fn transient(&mut self, problem: &Problem, version: Option<Version>, now: Timestamp) -> Vec<Effect> {
        self.pull_wanted = false;
        self.pull_failures = self.pull_failures.saturating_add(1);
        self.hindrance = Some(problem.clone());
        let mut effects = Vec::new();
        // A real failure is worth more than the news that a download broke.
        if self.memory.failure.as_ref().is_none_or(|failure| failure.kind == FailureKind::Transient) {
            effects = self.note(problem.failure(version, FailureKind::Transient, now));
            if !effects.is_empty() {
                effects.push(Effect::Report);
            }
        }
        effects.push(Effect::RetryPull(self.pull_failures));
        effects
    }

    pub(super) fn note(&mut self, failure: Failure) -> Vec<Effect> {
        let known = self.memory.failure.as_ref().is_some_and(|old| {
            (old.version, old.kind, &old.code, &old.message)
                == (failure.version, failure.kind, &failure.code, &failure.message)
        });
        if known {
            return Vec::new();
        }
        self.memory.failure = Some(failure);
        vec![Effect::Note]
    }

    /// What was asked for arrived: the next failure is the first one.
    pub(super) fn arrived(&mut self) {
        self.pull_failures = 0;
        self.hindrance = None;
    }

    pub(super) fn clear_transient(&mut self) -> Vec<Effect> {
        match &self.memory.failure {
            Some(failure) if failure.kind == FailureKind::Transient => {
                self.memory.failure = None;
                vec![Effect::Note]
            }
            _ => Vec::new(),
        }
    }
}
