//! A version from its first irreversible effect to its end: applied, probed, soaked, and final or undone.

use bellwether_schemas::codes;
use bellwether_schemas::report::{Failure, FailureKind, Health, Phase};
use jiff::Timestamp;

use super::{Machine, phase_of};
use crate::durable::{Attempt, Step};
use crate::event::{Effect, NotApplied, Probed, Purpose};
use crate::problem::Problem;

impl Machine {
    pub(super) fn applied(&mut self, result: Result<(), NotApplied>, now: Timestamp) -> Vec<Effect> {
        self.busy = false;
        match result {
            Ok(()) => self.step(Step::Probing),
            Err(NotApplied { problem, changed: true }) => self.roll_back(&problem, now),
            Err(NotApplied { problem, changed: false }) => self.give_up(&problem, now),
        }
    }

    /// Nothing was changed, so there is nothing to undo: what ran goes on.
    fn give_up(&mut self, problem: &Problem, now: Timestamp) -> Vec<Effect> {
        let Some(attempt) = self.memory.attempt.take() else { return Vec::new() };
        let failure = problem.failure(Some(attempt.claim.version), FailureKind::Failed, now);
        self.memory.failure = Some(Failure { digest: Some(attempt.claim.digest), ..failure });
        self.memory.running = attempt.previous;
        self.phase = Phase::Idle;
        let mut effects = vec![Effect::Persist, Effect::Report];
        effects.extend(self.memory.running.map(|running| self.probe(Purpose::Running, running.digest)));
        effects
    }

    pub(super) fn probed(&mut self, probed: Probed, now: Timestamp) -> Vec<Effect> {
        self.busy = false;
        self.looked_at = probed.result.is_ok().then_some(now);
        let before = (self.phase, self.health);
        self.health = if probed.result.is_ok() { Health::Healthy } else { Health::Unhealthy };
        self.ill = probed.result.as_ref().err().cloned();
        match (probed.purpose, probed.result) {
            (Purpose::Attempt, Ok(())) => self.healthy(now),
            (Purpose::Attempt, Err(problem)) => self.roll_back(&problem, now),
            (Purpose::Restored, result) => {
                self.phase = if result.is_ok() { Phase::RolledBack } else { Phase::Degraded };
                vec![Effect::Report]
            }
            (Purpose::Running, result) => {
                // What the device went back to is well after all.
                if result.is_ok() && self.phase == Phase::Degraded && !self.stuck {
                    self.phase = Phase::RolledBack;
                }
                if before == (self.phase, self.health) { Vec::new() } else { vec![Effect::Report] }
            }
        }
    }

    /// All probes of the attempt passed.
    fn healthy(&mut self, now: Timestamp) -> Vec<Effect> {
        let Some(attempt) = self.memory.attempt.as_mut() else { return Vec::new() };
        // A clock that was set back must not make the soak longer than it is.
        let first = attempt.healthy_since.is_none_or(|since| since > now);
        if !first {
            return Vec::new();
        }
        attempt.healthy_since = Some(now);
        self.memory.running = Some(attempt.claim);
        self.memory.failure = None;
        let soak = attempt.soak;
        let mut effects = self.step(Step::Soaking);
        if soak.get() > 0
            && let Ok(end) = now.checked_add(soak.signed())
        {
            effects.push(Effect::WakeAt(end));
        }
        effects
    }

    pub(super) fn committed(&mut self, result: Result<(), Problem>, now: Timestamp) -> Vec<Effect> {
        self.busy = false;
        if let Err(problem) = result {
            // What runs was healthy to the end; only the book-keeping is behind, and is tried again.
            (self.stuck, self.resting) = (true, true);
            return self.note(problem.failure(None, FailureKind::Transient, now));
        }
        self.stuck = false;
        self.memory.attempt = None;
        self.phase = Phase::Committed;
        let mut effects = vec![Effect::Persist, Effect::Report];
        // A restart went on with the commit before it looked at what runs.
        effects.extend(self.look_again());
        effects
    }

    pub(super) fn undone(&mut self, result: Result<(), Problem>, now: Timestamp) -> Vec<Effect> {
        self.busy = false;
        if let Err(problem) = result {
            return self.not_undone(&problem, now);
        }
        (self.stuck, self.leftover) = (false, false);
        if let Some(attempt) = self.memory.attempt.take() {
            self.memory.running = attempt.previous;
            // In between, the failure may have been that the undo did not work.
            self.memory.failure = attempt.cause.or(self.memory.failure.take());
        }
        let mut effects = vec![Effect::Persist];
        match self.memory.running {
            Some(running) => effects.push(self.probe(Purpose::Restored, running.digest)),
            None => {
                self.phase = Phase::RolledBack;
                self.health = Health::Unknown;
                effects.push(Effect::Report);
            }
        }
        effects
    }

    fn not_undone(&mut self, problem: &Problem, now: Timestamp) -> Vec<Effect> {
        (self.stuck, self.resting) = (true, true);
        self.phase = Phase::Degraded;
        self.health = Health::Unhealthy;
        let attempt = self.memory.attempt.as_ref();
        let version = attempt.map(|attempt| attempt.claim.version);
        let mut message = format!("{} ({})", problem.message, problem.code);
        if let Some(cause) = attempt.and_then(|attempt| attempt.cause.as_ref()) {
            message = format!("{message}; it is being undone because of {}: {}", cause.code, cause.message);
        }
        let mut effects =
            self.note(Problem::lasting(codes::ROLLBACK_FAILED, message).failure(version, FailureKind::Failed, now));
        effects.push(Effect::Report);
        effects
    }

    pub(super) fn ticked(&mut self) -> Vec<Effect> {
        self.resting = false;
        // Each report of a paused device is answered with the pause; silence means that it is over.
        if self.connected && !std::mem::take(&mut self.pause_heard) {
            self.paused = None;
        }
        let mut effects = vec![Effect::Report];
        effects.extend(self.look_again());
        effects
    }

    /// What is probed again and again: what soaks, and what runs and is not known to be well, so that it can become so.
    fn look_again(&mut self) -> Option<Effect> {
        let ill = self.memory.running.filter(|_| self.health != Health::Healthy);
        match &self.memory.attempt {
            _ if self.busy || self.memory.leaving.is_some() => None,
            Some(Attempt { step: Step::Soaking, claim, .. }) => Some(self.probe(Purpose::Attempt, claim.digest)),
            // Ill or not, what is being made final cannot be undone any more.
            Some(Attempt { step: Step::Committing, .. }) => Some(self.probe(Purpose::Running, ill?.digest)),
            Some(Attempt { step: Step::Applying | Step::Probing | Step::RollingBack, .. }) => None,
            // Half of it may be missing.
            None if self.leftover => None,
            None => Some(self.probe(Purpose::Running, ill?.digest)),
        }
    }

    /// Undoes what a journal began that the memory knows nothing of.
    pub(super) fn undo_leftover(&mut self) -> Effect {
        self.busy = true;
        if !self.stuck {
            self.phase = Phase::RollingBack;
        }
        Effect::Undo { previous: self.memory.running.map(|running| running.digest) }
    }

    fn roll_back(&mut self, problem: &Problem, now: Timestamp) -> Vec<Effect> {
        let Some(attempt) = self.memory.attempt.as_mut() else { return Vec::new() };
        let failure = problem.failure(Some(attempt.claim.version), FailureKind::RolledBack, now);
        let failure = Failure { digest: Some(attempt.claim.digest), ..failure };
        attempt.cause = Some(failure.clone());
        self.memory.failure = Some(failure);
        self.step(Step::RollingBack)
    }

    /// Writes how far the attempt came, and reports it.
    fn step(&mut self, step: Step) -> Vec<Effect> {
        if let Some(attempt) = self.memory.attempt.as_mut() {
            attempt.step = step;
        }
        self.phase = phase_of(step);
        if step == Step::Probing {
            self.health = Health::Unknown;
        }
        vec![Effect::Persist, Effect::Report]
    }

    /// The attempt's own next step, which is work; nothing while it only waits.
    pub(super) fn next_of_attempt(&mut self, now: Timestamp) -> Vec<Effect> {
        let Some(attempt) = self.memory.attempt.as_mut() else { return Vec::new() };
        let digest = attempt.claim.digest;
        let previous = attempt.previous.map(|claim| claim.digest);
        // What was downloaded for the next version must survive the pruning.
        let keep = self.candidate.as_ref().map(|candidate| candidate.offer.digest);
        match attempt.step {
            Step::Applying => {
                self.phase = Phase::Applying;
                vec![Effect::Apply { digest, previous }]
            }
            Step::RollingBack => vec![Effect::Undo { previous }],
            // A restart sees for itself before it calls anything final.
            Step::Soaking if self.health == Health::Healthy => {
                let since = attempt.healthy_since.unwrap_or(now);
                let soak = attempt.soak;
                if now.duration_since(since) < soak.signed() {
                    return Vec::new();
                }
                // What began to fail since the last heartbeat is seen before anything is final.
                if self.looked_at.is_none_or(|at| at.duration_since(since) < soak.signed()) {
                    return vec![self.probe(Purpose::Attempt, digest)];
                }
                if let Some(attempt) = self.memory.attempt.as_mut() {
                    attempt.step = Step::Committing;
                }
                vec![Effect::Persist, Effect::Commit { digest, keep }]
            }
            Step::Probing | Step::Soaking => vec![self.probe(Purpose::Attempt, digest)],
            Step::Committing => vec![Effect::Commit { digest, keep }],
        }
    }
}
