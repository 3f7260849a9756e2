//! The state machine: `(state, event) -> (state, effects)`.
//!
//! One piece of work runs at a time; [`Machine::next`] is the one place that decides what comes after it.

use bellwether_schemas::allow::Allowed;
use bellwether_schemas::id::Sha256Digest;
use bellwether_schemas::report::{Claim, Directive, Health, Phase, Report};
use bellwether_schemas::spec::DeviceSpec;
use bellwether_schemas::targets::SignedOffer;
use jiff::Timestamp;

use crate::durable::{Durable, Leaving, Step};
use crate::event::{Effect, Event, Purpose, Thoroughness};
use crate::problem::{Problem, plain};
use crate::status::Paused;

/// The agent's state.
#[derive(Debug)]
pub struct Machine {
    memory: Durable,
    allowed: Allowed,
    phase: Phase,
    health: Health,
    /// Whether work is under way.
    busy: bool,
    /// The last try to undo or to commit failed. It is tried again, unless another offer takes its place.
    stuck: bool,
    /// Until the next heartbeat it is not tried again.
    resting: bool,
    /// There is a journal of a change that the memory knows nothing of.
    leftover: bool,
    candidate: Option<Candidate>,
    pull_wanted: bool,
    /// Pulls and downloads that failed in a row, and how the last one did.
    pull_failures: u32,
    hindrance: Option<Problem>,
    /// When what runs passed its probes last, since the start.
    looked_at: Option<Timestamp>,
    /// Why what runs does not pass its probes.
    ill: Option<Problem>,
    connected: bool,
    paused: Option<Paused>,
    /// Whether the pause was said (again) since the last heartbeat.
    pause_heard: bool,
}

/// An offer that was taken and not begun yet: it can still be withdrawn.
#[derive(Debug)]
struct Candidate {
    offer: SignedOffer,
    spec: DeviceSpec,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Downloading,
    Ready,
    /// Its time has not come; that is reported.
    Waiting,
    /// `Applying` is reported, and its acknowledgement awaited.
    Asked,
    /// It is acknowledged: begun as soon as nothing else is being done.
    Granted,
}

impl Candidate {
    fn is_asked(&self) -> bool {
        matches!(self.stage, Stage::Asked | Stage::Granted)
    }

    fn claim(&self) -> Claim {
        Claim { version: self.offer.version, template: self.offer.template, digest: self.offer.digest }
    }
}

impl Machine {
    /// The machine of a device with this memory.
    pub fn new(memory: Durable, allowed: Allowed) -> Self {
        Self {
            memory,
            allowed,
            phase: Phase::Idle,
            health: Health::Unknown,
            busy: false,
            stuck: false,
            resting: false,
            leftover: false,
            candidate: None,
            pull_wanted: false,
            pull_failures: 0,
            hindrance: None,
            looked_at: None,
            ill: None,
            connected: false,
            paused: None,
            pause_heard: false,
        }
    }

    /// What must be written by [`Effect::Persist`].
    pub fn memory(&self) -> &Durable {
        &self.memory
    }

    /// Takes an event in, and says what to do.
    #[must_use = "effects that are not carried out leave the device behind its state"]
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut effects = match event {
            Event::Started { unfinished } => self.started(unfinished),
            Event::Connected => {
                self.connected = true;
                self.pull_wanted = true;
                self.paused = None;
                Vec::new()
            }
            Event::Disconnected => {
                self.connected = false;
                Vec::new()
            }
            Event::Directive(directive) => self.directed(directive),
            Event::Pulled(result) => self.pulled(result, now),
            Event::Staged(result) => self.staged(result, now),
            Event::Applied(result) => self.applied(result, now),
            Event::Undone(result) => self.undone(result, now),
            Event::Committed(result) => self.committed(result, now),
            Event::Probed(probed) => self.probed(probed, now),
            Event::Cleared(result) => self.cleared(result, now),
            Event::Dismissed => self.dismissed(),
            Event::Tick => self.ticked(),
            Event::Woke => Vec::new(),
        };
        effects.extend(self.next(now));
        effects
    }

    /// What a restart finds is continued or undone; doing so twice changes nothing.
    fn started(&mut self, unfinished: bool) -> Vec<Effect> {
        if let Some(leaving) = self.memory.leaving {
            self.phase = leaving::phase_of(leaving);
            return Vec::new();
        }
        match (self.memory.attempt.as_ref().map(|attempt| attempt.step), self.memory.running) {
            (Some(step), _) => {
                self.phase = phase_of(step);
                Vec::new()
            }
            // The memory knows of no attempt: whatever the journal began was never to be.
            (None, _) if unfinished => {
                self.leftover = true;
                Vec::new()
            }
            (None, Some(running)) => vec![self.probe(Purpose::Running, running.digest)],
            (None, None) => Vec::new(),
        }
    }

    fn directed(&mut self, directive: Directive) -> Vec<Effect> {
        match directive {
            Directive::SpecAvailable => {
                self.pull_wanted = true;
                self.paused = None;
                Vec::new()
            }
            Directive::Paused { code, reason, commit } => {
                self.paused = Some(Paused { code: plain(&code), reason: plain(&reason), commit });
                self.pause_heard = true;
                self.drop_candidate();
                Vec::new()
            }
            Directive::Proceed { version } => {
                self.proceed(version);
                Vec::new()
            }
            // These concern the session, which sees to them itself.
            Directive::Renew | Directive::Interval { .. } | Directive::Head { .. } => Vec::new(),
        }
    }

    /// Decides what is done next, when nothing is being done.
    fn next(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.busy {
            return Vec::new();
        }
        if self.memory.leaving == Some(Leaving::Removing) {
            return self.next_of_leaving();
        }
        // What rests keeps nothing else waiting: the next offer may be what mends the device.
        if !self.resting {
            let effects = self.next_of_attempt(now);
            if !effects.is_empty() {
                self.busy = true;
                return effects;
            }
            if self.leftover {
                return vec![self.undo_leftover()];
            }
        }
        if self.candidate.as_ref().is_some_and(|candidate| candidate.stage == Stage::Granted) {
            return self.begin(now);
        }
        if self.pull_wanted && self.connected && self.paused.is_none() {
            self.pull_wanted = false;
            self.busy = true;
            return vec![Effect::Pull];
        }
        self.next_of_candidate(now)
    }

    /// Begins to probe. What was looked at since it was started need not be waited for again.
    fn probe(&mut self, purpose: Purpose, digest: Sha256Digest) -> Effect {
        self.busy = true;
        let is_known = purpose != Purpose::Restored && self.health != Health::Unknown;
        let how = if is_known { Thoroughness::Glance } else { Thoroughness::Full };
        Effect::Probe { purpose, how, digest }
    }

    /// Asks for another pull when a retry's time came.
    pub fn want_pull(&mut self) {
        self.pull_wanted = true;
    }
}

fn phase_of(step: Step) -> Phase {
    match step {
        Step::Applying => Phase::Applying,
        Step::Probing => Phase::Probing,
        // For all that others need to know, it still soaks.
        Step::Soaking | Step::Committing => Phase::Soaking,
        Step::RollingBack => Phase::RollingBack,
    }
}

mod attempt;
mod candidate;
mod failures;
mod leaving;
mod view;

#[cfg(test)]
mod tests;
