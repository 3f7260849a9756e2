//! An offer on its way to being begun: judged, downloaded, asked for. Until then it can be withdrawn at any time.

use bellwether_schemas::codes;
use bellwether_schemas::report::Phase;
use bellwether_schemas::spec::DeviceSpec;
use bellwether_schemas::targets::SignedOffer;
use bellwether_schemas::version::Version;
use jiff::Timestamp;

use super::{Candidate, Machine, Stage, phase_of};
use crate::durable::{Attempt, Begun, Step};
use crate::event::{Effect, Pulled};
use crate::offer::{Judgement, judge};
use crate::problem::Problem;

impl Machine {
    pub(super) fn pulled(&mut self, result: Result<Pulled, Problem>, now: Timestamp) -> Vec<Effect> {
        self.busy = false;
        let pulled = match result {
            Ok(pulled) => pulled,
            Err(problem) => return self.transient(&problem, None, now),
        };
        let mut effects = self.clear_transient();
        if pulled.decommission {
            self.arrived();
            effects.extend(self.leave());
            return effects;
        }
        effects.extend(self.stay());
        let judgement = judge(&self.memory, pulled.offer.as_ref().map(|found| &found.0));
        match (judgement, pulled.offer) {
            (Judgement::Take, Some(found)) => effects.extend(self.take(found.0, found.1, now)),
            (Judgement::Refuse(refused), Some(found)) => {
                self.drop_candidate();
                effects.extend(self.refuse_version(&refused.problem(), found.0.version, now));
            }
            _ => {
                if self.drop_candidate() {
                    effects.push(Effect::Report);
                }
            }
        }
        // A download that fails again and again is not helped by metadata that arrives well each time.
        if self.candidate.is_none() {
            self.arrived();
        }
        effects
    }

    fn take(&mut self, offer: SignedOffer, spec: DeviceSpec, now: Timestamp) -> Vec<Effect> {
        if self.paused.is_some() {
            return Vec::new();
        }
        if let Err(refused) = self.allowed.check(&spec) {
            self.drop_candidate();
            return self.refuse(&refused.into(), &offer, now);
        }
        if let Some(candidate) = self.candidate.as_mut().filter(|c| c.offer.digest == offer.digest) {
            // The same content under a new version or window: what is on disk stays good, what was asked does not.
            if candidate.offer != offer {
                candidate.offer = offer;
                if candidate.stage != Stage::Downloading {
                    candidate.stage = Stage::Ready;
                }
            }
            return Vec::new();
        }
        self.candidate = Some(Candidate { offer, spec, stage: Stage::Downloading });
        self.phase = Phase::Fetching;
        vec![Effect::Report]
    }

    pub(super) fn staged(&mut self, result: Result<(), Problem>, now: Timestamp) -> Vec<Effect> {
        self.busy = false;
        let Some(candidate) = self.candidate.as_mut() else { return Vec::new() };
        match result {
            Ok(()) => {
                candidate.stage = Stage::Ready;
                self.phase = Phase::Staged;
                self.arrived();
                self.clear_transient()
            }
            Err(problem) => {
                let offer = candidate.offer.clone();
                self.drop_candidate();
                if problem.transient {
                    self.transient(&problem, Some(offer.version), now)
                } else {
                    self.refuse(&problem, &offer, now)
                }
            }
        }
    }

    /// The reconciler recorded that this version is applied. It may come while a probe or a commit of what soaks is under
    /// way, so it is only remembered here; [`Machine::next`] begins.
    pub(super) fn proceed(&mut self, version: Version) {
        let asked = |c: &&mut Candidate| c.stage == Stage::Asked && c.offer.version == version;
        if let Some(candidate) = self.candidate.as_mut().filter(asked) {
            candidate.stage = Stage::Granted;
        }
    }

    /// Begins what was acknowledged; from here on it can only end or be undone.
    pub(super) fn begin(&mut self, now: Timestamp) -> Vec<Effect> {
        let Some(offer) = self.candidate.as_ref().map(|candidate| candidate.offer.clone()) else { return Vec::new() };
        if let Some(effects) = self.refuse_when_late(&offer, now) {
            return effects;
        }
        let Some(candidate) = self.candidate.take() else { return Vec::new() };
        let previous = match self.memory.attempt.take() {
            // It was healthy to the end, and only the book-keeping is behind: that is where the device goes back to.
            Some(attempt) if attempt.step == Step::Committing => Some(attempt.claim),
            // What still soaks, or could not be undone, is not verified to the end: it goes back to what was before that.
            Some(attempt) => attempt.previous,
            None => self.memory.running,
        };
        (self.stuck, self.resting, self.leftover) = (false, false, false);
        let claim = candidate.claim();
        self.memory.begun = Some(Begun { version: claim.version, digest: claim.digest });
        self.memory.attempt = Some(Attempt {
            claim,
            soak: candidate.offer.soak,
            step: Step::Applying,
            healthy_since: None,
            previous,
            cause: None,
        });
        let mut effects = vec![Effect::Persist];
        effects.extend(self.next(now));
        effects
    }

    /// Refuses an offer whose time to be applied is over.
    fn refuse_when_late(&mut self, offer: &SignedOffer, now: Timestamp) -> Option<Vec<Effect>> {
        let closes = offer.not_after.filter(|closes| now >= *closes)?;
        self.drop_candidate();
        let why = format!("{} could be applied until {closes}", offer.version.long());
        Some(self.refuse(&Problem::lasting(codes::WINDOW_PASSED, why), offer, now))
    }

    pub(super) fn next_of_candidate(&mut self, now: Timestamp) -> Vec<Effect> {
        if self.paused.is_some() {
            return Vec::new();
        }
        let Some(candidate) = self.candidate.as_mut() else { return Vec::new() };
        match candidate.stage {
            Stage::Downloading => {
                self.busy = true;
                vec![Effect::Stage(Box::new(candidate.spec.clone()))]
            }
            Stage::Ready | Stage::Waiting => self.next_of_ready(now),
            Stage::Asked | Stage::Granted => Vec::new(),
        }
    }

    /// Everything is on disk: waits for the time to apply, then asks for the word to begin.
    fn next_of_ready(&mut self, now: Timestamp) -> Vec<Effect> {
        let Some(candidate) = self.candidate.as_mut() else { return Vec::new() };
        if let Some(opens) = candidate.offer.not_before.filter(|opens| now < *opens) {
            if candidate.stage == Stage::Waiting {
                return Vec::new();
            }
            candidate.stage = Stage::Waiting;
            self.phase = Phase::Staged;
            return vec![Effect::WakeAt(opens), Effect::Report];
        }
        let offer = candidate.offer.clone();
        if let Some(effects) = self.refuse_when_late(&offer, now) {
            return effects;
        }
        if let Some(candidate) = self.candidate.as_mut() {
            candidate.stage = Stage::Asked;
            self.phase = Phase::Applying;
        }
        vec![Effect::Report]
    }

    /// Forgets an offer that was not begun; whether there was one.
    pub(super) fn drop_candidate(&mut self) -> bool {
        let dropped = self.candidate.take().is_some();
        if dropped {
            self.phase = match self.memory.attempt.as_ref().map(|attempt| attempt.step) {
                Some(Step::RollingBack) | None if self.stuck => Phase::Degraded,
                Some(step) => phase_of(step),
                None => Phase::Idle,
            };
        }
        dropped
    }
}
