//! The state machine: `(state, event) -> (state, effects)`.
//!
//! One piece of work runs at a time; [`Machine::next`] is the one place that decides what comes after it.

use bellwether_schemas::codes;
use bellwether_schemas::report::{Claim, Directive, FailureKind, Health, Phase, Report};
use bellwether_schemas::spec::DeviceSpec;
use bellwether_schemas::targets::SignedOffer;
use bellwether_schemas::version::Version;
use jiff::Timestamp;

use crate::allow::Allowed;
use crate::durable::{Attempt, Begun, Durable, Step};
use crate::event::{Effect, Event, Probed, Pulled, Purpose};
use crate::offer::{Judgement, judge};
use crate::problem::Problem;
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
    /// An undo or commit that failed is tried again at the next heartbeat, not at once.
    resting: bool,
    candidate: Option<Candidate>,
    pull_wanted: bool,
    connected: bool,
    paused: Option<Paused>,
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
}

impl Candidate {
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
            resting: false,
            candidate: None,
            pull_wanted: false,
            connected: false,
            paused: None,
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
            Event::Tick => self.ticked(),
            Event::Woke => Vec::new(),
        };
        effects.extend(self.next(now));
        effects
    }

    /// What a restart finds is continued or undone; doing so twice changes nothing.
    fn started(&mut self, unfinished: bool) -> Vec<Effect> {
        match (self.memory.attempt.as_ref().map(|attempt| attempt.step), self.memory.running) {
            (Some(step), _) => {
                self.phase = phase_of(step);
                Vec::new()
            }
            // The memory knows of no attempt: whatever the journal began was never to be.
            (None, _) if unfinished => {
                self.busy = true;
                self.phase = Phase::RollingBack;
                vec![Effect::Undo]
            }
            (None, Some(running)) => {
                self.busy = true;
                vec![Effect::Probe(Purpose::Running, running.digest)]
            }
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
                self.paused = Some(Paused { code, reason, commit });
                self.drop_candidate();
                Vec::new()
            }
            Directive::Proceed { version } => self.proceed(version),
            // These concern the session, which sees to them itself.
            Directive::Renew | Directive::Interval { .. } | Directive::Head { .. } => Vec::new(),
        }
    }

    fn proceed(&mut self, version: Version) -> Vec<Effect> {
        let asked = |c: &Candidate| c.stage == Stage::Asked && c.offer.version == version;
        if self.paused.is_some() || self.is_changing() || !self.candidate.as_ref().is_some_and(asked) {
            return Vec::new();
        }
        let candidate = self.candidate.take().expect("it was just looked at");
        // What is still soaking is not verified to the end: the device goes back to what was before it.
        let previous = self.memory.attempt.take().map_or(self.memory.running, |attempt| attempt.previous);
        let claim = candidate.claim();
        self.memory.begun = Some(Begun { version: claim.version, digest: claim.digest });
        self.memory.attempt =
            Some(Attempt { claim, soak: candidate.offer.soak, step: Step::Applying, healthy_since: None, previous });
        vec![Effect::Persist]
    }

    fn pulled(&mut self, result: Result<Pulled, Problem>, now: Timestamp) -> Vec<Effect> {
        self.busy = false;
        let pulled = match result {
            Ok(pulled) => pulled,
            Err(problem) => return self.transient(&problem, None, now),
        };
        let mut effects = self.clear_transient();
        let judgement = judge(&self.memory, pulled.offer.as_ref().map(|found| &found.0));
        match (judgement, pulled.offer) {
            (Judgement::Take, Some(found)) => effects.extend(self.take(found.0, found.1, now)),
            (Judgement::Refuse(refused), Some(found)) => {
                self.drop_candidate();
                effects.extend(self.refuse(&refused.problem(), found.0.version, now));
            }
            _ => {
                if self.drop_candidate() {
                    effects.push(Effect::Report);
                }
            }
        }
        effects
    }

    fn take(&mut self, offer: SignedOffer, spec: DeviceSpec, now: Timestamp) -> Vec<Effect> {
        if let Err(problem) = self.allowed.check(&spec) {
            self.drop_candidate();
            return self.refuse(&problem, offer.version, now);
        }
        if let Some(candidate) = self.candidate.as_mut().filter(|c| c.offer.digest == offer.digest) {
            // The same content under a new version or window: what is on disk stays good, what was asked does not.
            if candidate.offer != offer {
                candidate.offer = offer;
                if matches!(candidate.stage, Stage::Waiting | Stage::Asked) {
                    candidate.stage = Stage::Ready;
                }
            }
            return Vec::new();
        }
        self.candidate = Some(Candidate { offer, spec, stage: Stage::Downloading });
        self.phase = Phase::Fetching;
        vec![Effect::Report]
    }

    fn staged(&mut self, result: Result<(), Problem>, now: Timestamp) -> Vec<Effect> {
        self.busy = false;
        let Some(candidate) = self.candidate.as_mut() else { return Vec::new() };
        let version = candidate.offer.version;
        match result {
            Ok(()) => {
                candidate.stage = Stage::Ready;
                self.phase = Phase::Staged;
                self.clear_transient()
            }
            Err(problem) => {
                self.drop_candidate();
                if problem.transient {
                    self.transient(&problem, Some(version), now)
                } else {
                    self.refuse(&problem, version, now)
                }
            }
        }
    }

    fn applied(&mut self, result: Result<(), Problem>, now: Timestamp) -> Vec<Effect> {
        self.busy = false;
        match result {
            Ok(()) => self.step(Step::Probing),
            Err(problem) => self.roll_back(&problem, now),
        }
    }

    fn probed(&mut self, probed: Probed, now: Timestamp) -> Vec<Effect> {
        self.busy = false;
        let before = (self.phase, self.health);
        self.health = if probed.result.is_ok() { Health::Healthy } else { Health::Unhealthy };
        match (probed.purpose, probed.result) {
            (Purpose::Attempt, Ok(())) => self.healthy(now),
            (Purpose::Attempt, Err(problem)) => self.roll_back(&problem, now),
            (Purpose::Restored, result) => {
                self.phase = if result.is_ok() { Phase::RolledBack } else { Phase::Degraded };
                vec![Effect::Report]
            }
            (Purpose::Running, _) if before == (self.phase, self.health) => Vec::new(),
            (Purpose::Running, _) => vec![Effect::Report],
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
        if self.memory.failure.as_ref().is_some_and(|failure| failure.version != Some(attempt.claim.version)) {
            self.memory.failure = None;
        }
        let soak = attempt.soak;
        let mut effects = self.step(Step::Soaking);
        if soak.get() > 0
            && let Ok(end) = now.checked_add(soak.signed())
        {
            effects.push(Effect::WakeAt(end));
        }
        effects
    }

    fn committed(&mut self, result: Result<(), Problem>, now: Timestamp) -> Vec<Effect> {
        self.busy = false;
        if let Err(problem) = result {
            // What runs is healthy; only the book-keeping is behind, and is tried again.
            self.resting = true;
            return self.note(&problem, FailureKind::Transient, None, now);
        }
        self.memory.attempt = None;
        self.phase = Phase::Committed;
        vec![Effect::Persist, Effect::Report]
    }

    fn undone(&mut self, result: Result<(), Problem>, now: Timestamp) -> Vec<Effect> {
        self.busy = false;
        if let Err(problem) = result {
            self.resting = true;
            self.phase = Phase::Degraded;
            self.health = Health::Unhealthy;
            let version = self.memory.attempt.as_ref().map(|attempt| attempt.claim.version);
            let mut effects = self.note(&problem, FailureKind::Failed, version, now);
            effects.push(Effect::Report);
            return effects;
        }
        if let Some(attempt) = self.memory.attempt.take() {
            self.memory.running = attempt.previous;
        }
        let mut effects = vec![Effect::Persist];
        match self.memory.running {
            Some(running) => {
                self.busy = true;
                effects.push(Effect::Probe(Purpose::Restored, running.digest));
            }
            None => {
                self.phase = Phase::RolledBack;
                self.health = Health::Unknown;
                effects.push(Effect::Report);
            }
        }
        effects
    }

    fn ticked(&mut self) -> Vec<Effect> {
        self.resting = false;
        let mut effects = vec![Effect::Report];
        if let Some(attempt) = self.memory.attempt.as_ref().filter(|a| a.step == Step::Soaking && !self.busy) {
            self.busy = true;
            effects.push(Effect::Probe(Purpose::Attempt, attempt.claim.digest));
        }
        effects
    }

    fn roll_back(&mut self, problem: &Problem, now: Timestamp) -> Vec<Effect> {
        let Some(attempt) = self.memory.attempt.as_ref() else { return Vec::new() };
        let version = attempt.claim.version;
        self.memory.failure = Some(problem.failure(Some(version), FailureKind::RolledBack, now));
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

    /// Decides what is done next, when nothing is being done.
    fn next(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.busy || self.resting {
            return Vec::new();
        }
        if let Some(effect) = self.next_of_attempt(now) {
            self.busy = true;
            return vec![effect];
        }
        if self.pull_wanted && self.connected {
            self.pull_wanted = false;
            self.busy = true;
            return vec![Effect::Pull];
        }
        self.next_of_candidate(now)
    }

    fn next_of_attempt(&mut self, now: Timestamp) -> Option<Effect> {
        let attempt = self.memory.attempt.as_ref()?;
        let digest = attempt.claim.digest;
        match attempt.step {
            Step::Applying => {
                self.phase = Phase::Applying;
                Some(Effect::Apply(digest))
            }
            Step::Probing => Some(Effect::Probe(Purpose::Attempt, digest)),
            Step::RollingBack => Some(Effect::Undo),
            // A restart sees for itself before it calls anything final.
            Step::Soaking if self.health != Health::Healthy => Some(Effect::Probe(Purpose::Attempt, digest)),
            Step::Soaking => {
                let since = attempt.healthy_since.unwrap_or(now);
                (now.duration_since(since) >= attempt.soak.signed()).then_some(Effect::Commit(digest))
            }
        }
    }

    fn next_of_candidate(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.paused.is_some() {
            return Vec::new();
        }
        let Some(candidate) = self.candidate.as_mut() else { return Vec::new() };
        match candidate.stage {
            Stage::Downloading => {
                self.busy = true;
                vec![Effect::Stage(Box::new(candidate.spec.clone()))]
            }
            Stage::Ready | Stage::Waiting => match (candidate.offer.not_before, candidate.offer.not_after) {
                (Some(opens), _) if now < opens && candidate.stage == Stage::Waiting => Vec::new(),
                (Some(opens), _) if now < opens => {
                    candidate.stage = Stage::Waiting;
                    self.phase = Phase::Staged;
                    vec![Effect::WakeAt(opens), Effect::Report]
                }
                (_, Some(closes)) if now >= closes => {
                    let version = candidate.offer.version;
                    self.drop_candidate();
                    let why = format!("{} could be applied until {closes}", version.long());
                    self.refuse(&Problem::lasting(codes::WINDOW_PASSED, why), version, now)
                }
                _ => {
                    candidate.stage = Stage::Asked;
                    self.phase = Phase::Applying;
                    vec![Effect::Report]
                }
            },
            Stage::Asked => Vec::new(),
        }
    }

    /// Whether the device is between two versions: nothing may be withdrawn or begun then.
    fn is_changing(&self) -> bool {
        self.memory.attempt.as_ref().is_some_and(|attempt| attempt.step != Step::Soaking)
    }

    /// Forgets an offer that was not begun; whether there was one.
    fn drop_candidate(&mut self) -> bool {
        let dropped = self.candidate.take().is_some();
        if dropped {
            self.phase = self.memory.attempt.as_ref().map_or(Phase::Idle, |attempt| phase_of(attempt.step));
        }
        dropped
    }

    /// Reports an offer that could not be taken; said once, not at each pull.
    fn refuse(&mut self, problem: &Problem, version: Version, now: Timestamp) -> Vec<Effect> {
        let mut effects = self.note(problem, FailureKind::Failed, Some(version), now);
        if !effects.is_empty() {
            effects.push(Effect::Report);
        }
        effects
    }

    fn transient(&mut self, problem: &Problem, version: Option<Version>, now: Timestamp) -> Vec<Effect> {
        self.pull_wanted = false;
        let mut effects = Vec::new();
        // A real failure is worth more than the news that a download broke.
        if self.memory.failure.as_ref().is_none_or(|failure| failure.kind == FailureKind::Transient) {
            effects = self.note(problem, FailureKind::Transient, version, now);
            if !effects.is_empty() {
                effects.push(Effect::Report);
            }
        }
        effects.push(Effect::RetryPull);
        effects
    }

    fn note(&mut self, problem: &Problem, kind: FailureKind, version: Option<Version>, at: Timestamp) -> Vec<Effect> {
        let failure = problem.failure(version, kind, at);
        let known = self.memory.failure.as_ref().is_some_and(|old| {
            (old.version, old.kind, &old.code, &old.message)
                == (failure.version, failure.kind, &failure.code, &failure.message)
        });
        if known {
            return Vec::new();
        }
        self.memory.failure = Some(failure);
        vec![Effect::Persist]
    }

    fn clear_transient(&mut self) -> Vec<Effect> {
        match &self.memory.failure {
            Some(failure) if failure.kind == FailureKind::Transient => {
                self.memory.failure = None;
                vec![Effect::Persist]
            }
            _ => Vec::new(),
        }
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
        Step::Soaking => Phase::Soaking,
        Step::RollingBack => Phase::RollingBack,
    }
}

mod view;

#[cfg(test)]
mod tests;
