//! A device that says and does what the agent would, and fails as the script says.

use bellwether_schemas::report::{Claim, Directive, Failure, FailureKind, Health, Phase, Report};
use bellwether_schemas::targets::{SignedOffer, Supersedes};
use bellwether_schemas::{Sha256Digest, Version, codes};
use jiff::{SignedDuration, Timestamp};

/// How long an agent is without its reconciler after an apply before it goes back.
const CONNECTIVITY: SignedDuration = SignedDuration::from_mins(10);

/// How a device fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Before anything is changed.
    AtOnce,
    /// Its probes fail, and it goes back.
    Probes,
    /// Its probes fail, and so do those of what it goes back to.
    RollbackToo,
    /// Its probes fail during its soak.
    Soak,
    /// It never comes to an end.
    Hangs,
    /// It dies after it began.
    Dies,
    /// Its downloads break.
    Downloads,
    /// It cannot reach the reconciler afterwards, and goes back.
    Connectivity,
}

/// What it is doing with an offer.
#[derive(Debug, Clone)]
enum Work {
    /// Cannot download it.
    Fetching(SignedOffer),
    /// Has it, and waits for its time.
    Staged(SignedOffer),
    /// Asks whether it may begin.
    Asking(SignedOffer),
    /// Has changed the device.
    Probing { offer: SignedOffer, since: Timestamp },
    /// Is healthy, and goes on probing.
    Soaking { offer: SignedOffer, previous: Option<Claim>, since: Timestamp },
}

/// A device.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) is_on: bool,
    /// How often it was set up anew.
    lives: u32,
    running: Option<Claim>,
    begun: Option<Version>,
    work: Option<Work>,
    phase: Phase,
    health: Health,
    failure: Option<Failure>,
    /// What fails on it, and how.
    trouble: Option<(Sha256Digest, Trouble)>,
    /// Goes off and on again so often.
    pub(super) flaps: Option<SignedDuration>,
    last_contact: Timestamp,
    /// Whether its next report is the first of a session.
    pub(super) is_new_session: bool,
    /// What happened on it, and was not told yet.
    news: Option<String>,
}

impl Device {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            is_on: true,
            lives: 1,
            running: None,
            begun: None,
            work: None,
            phase: Phase::Idle,
            health: Health::Unknown,
            failure: None,
            trouble: None,
            flaps: None,
            last_contact: now,
            is_new_session: true,
            news: None,
        }
    }

    /// Fails at this content from now on, or at nothing.
    pub(super) fn fails(&mut self, trouble: Option<(Sha256Digest, Trouble)>, now: Timestamp) {
        self.trouble = trouble;
        if let Some(Work::Staged(offer) | Work::Asking(offer)) = self.work.clone()
            && self.trouble_with(&offer) == Some(Trouble::Downloads)
        {
            self.fetch_in_vain(offer, now);
        }
    }

    fn fetch_in_vain(&mut self, offer: SignedOffer, now: Timestamp) {
        let (kind, code) = (FailureKind::Transient, codes::DOWNLOAD_FAILED.as_str());
        self.fail(&offer, kind, code, "the download broke", now);
        self.work = Some(Work::Fetching(offer));
    }

    /// Has power again, or its network.
    pub(super) fn comes_back(&mut self, now: Timestamp) {
        (self.is_on, self.is_new_session) = (true, true);
        if let Some(Work::Probing { since, .. }) = &mut self.work {
            *since = now;
        }
    }

    /// Its probes pass or fail, whatever it runs.
    pub(super) fn is_ill(&mut self, is_ill: bool) {
        if self.running.is_some() {
            self.health = if is_ill { Health::Unhealthy } else { Health::Healthy };
        }
    }

    /// Forgets everything.
    pub(super) fn reimage(&mut self, now: Timestamp) {
        *self = Self { lives: self.lives + 1, is_on: self.is_on, ..Self::new(now) };
    }

    /// Runs something else than it was offered.
    pub(super) fn runs(&mut self, claim: Claim) {
        (self.running, self.begun) = (Some(claim), Some(claim.version));
        (self.health, self.phase, self.work) = (Health::Healthy, Phase::Committed, None);
    }

    /// What happened on it since this was asked last.
    pub(super) fn news(&mut self) -> Option<String> {
        self.news.take()
    }

    fn trouble_with(&self, offer: &SignedOffer) -> Option<Trouble> {
        self.trouble.filter(|(digest, _)| *digest == offer.digest).map(|(_, trouble)| trouble)
    }

    /// Goes on with what it does.
    pub(super) fn work(&mut self, now: Timestamp) {
        match self.work.take() {
            Some(Work::Fetching(offer)) if self.trouble_with(&offer) != Some(Trouble::Downloads) => {
                self.work = Some(Work::Asking(offer));
            }
            Some(Work::Staged(offer) | Work::Asking(offer)) if offer.not_after.is_some_and(|until| until <= now) => {
                self.fail(&offer, FailureKind::Failed, codes::WINDOW_PASSED.as_str(), "its window passed", now);
                self.phase = Phase::RolledBack;
            }
            Some(Work::Staged(offer)) if offer.not_before.is_none_or(|from| from <= now) => {
                self.work = Some(Work::Asking(offer));
            }
            Some(Work::Probing { offer, since }) => self.probe(offer, since, now),
            Some(Work::Soaking { offer, previous, since }) => self.soak(offer, previous, since, now),
            work => self.work = work,
        }
    }

    fn probe(&mut self, offer: SignedOffer, since: Timestamp, now: Timestamp) {
        // Healthy is who reached the reconciler after it changed something.
        let is_alone = self.last_contact <= since;
        match self.trouble_with(&offer) {
            _ if is_alone && now.duration_since(since) > CONNECTIVITY => self.lose_connectivity(&offer, now),
            _ if is_alone => self.work = Some(Work::Probing { offer, since }),
            Some(Trouble::Probes | Trouble::RollbackToo) => {
                self.roll_back(&offer, codes::PROBE_FAILED.as_str(), "a probe failed", now);
                if self.trouble_with(&offer) == Some(Trouble::RollbackToo) {
                    (self.phase, self.health) = (Phase::Degraded, Health::Unhealthy);
                    self.news = Some(format!(
                        "goes back from v{}, and that does not pass its probes either",
                        offer.version.landing
                    ));
                }
            }
            Some(Trouble::Connectivity) => self.lose_connectivity(&offer, now),
            Some(Trouble::Hangs) => self.work = Some(Work::Probing { offer, since }),
            _ => {
                let previous = self.running.replace(claim(&offer));
                (self.health, self.failure) = (Health::Healthy, None);
                self.news = Some(format!("healthy on {}", offer.version));
                self.phase = if offer.soak.get() == 0 { Phase::Committed } else { Phase::Soaking };
                if offer.soak.get() > 0 {
                    self.work = Some(Work::Soaking { offer, previous, since: now });
                }
            }
        }
    }

    fn lose_connectivity(&mut self, offer: &SignedOffer, now: Timestamp) {
        self.roll_back(offer, codes::CONNECTIVITY_LOST.as_str(), "the reconciler could not be reached", now);
    }

    fn soak(&mut self, offer: SignedOffer, previous: Option<Claim>, since: Timestamp, now: Timestamp) {
        let fails = self.trouble_with(&offer) == Some(Trouble::Soak);
        if fails && now.duration_since(since) >= SignedDuration::from_mins(5) {
            self.running = previous;
            self.roll_back(&offer, codes::PROBE_FAILED.as_str(), "a probe failed in its soak", now);
        } else if now.duration_since(since) >= offer.soak.signed() {
            self.phase = Phase::Committed;
        } else {
            self.work = Some(Work::Soaking { offer, previous, since });
        }
    }

    fn roll_back(&mut self, offer: &SignedOffer, code: &str, message: &str, now: Timestamp) {
        self.fail(offer, FailureKind::RolledBack, code, message, now);
        self.phase = Phase::RolledBack;
        self.health = if self.running.is_some() { Health::Healthy } else { Health::Unknown };
    }

    fn fail(&mut self, offer: &SignedOffer, kind: FailureKind, code: &str, message: &str, now: Timestamp) {
        self.failure = Some(Failure {
            version: Some(offer.version),
            digest: Some(offer.digest),
            kind,
            code: code.to_owned(),
            message: message.to_owned(),
            at: now,
        });
        self.news = Some(format!("{} fails: {message}", offer.version));
        self.work = None;
    }

    /// What it says.
    pub(super) fn report(&mut self, now: Timestamp) -> Report {
        self.last_contact = now;
        let (applying, phase) = match &self.work {
            None => (None, self.phase),
            Some(Work::Fetching(_)) => (None, Phase::Fetching),
            Some(Work::Staged(_)) => (None, Phase::Staged),
            Some(Work::Asking(offer)) => (Some(claim(offer)), Phase::Applying),
            Some(Work::Probing { offer, .. }) => (Some(claim(offer)), Phase::Probing),
            Some(Work::Soaking { .. }) => (None, Phase::Soaking),
        };
        Report {
            nonce: format!("life-{}", self.lives),
            agent: "0.1.0".to_owned(),
            running: self.running,
            applying,
            begun: self.begun,
            phase,
            health: if matches!(self.work, Some(Work::Probing { .. })) { Health::Unknown } else { self.health },
            failure: self.failure.clone(),
            clock: now,
        }
    }

    /// Takes what it is told, and what its signed targets name.
    pub(super) fn hear(&mut self, answer: &[Directive], offer: Option<&SignedOffer>, now: Timestamp) {
        if let Some(Work::Asking(asked)) = &self.work
            && answer.contains(&Directive::Proceed { version: asked.version })
        {
            let asked = asked.clone();
            return self.begin(asked, now);
        }
        let unbegun = match &self.work {
            Some(Work::Fetching(known) | Work::Staged(known) | Work::Asking(known)) => Some(known.version),
            Some(Work::Probing { .. }) => return,
            Some(Work::Soaking { .. }) | None => None,
        };
        let is_kept = unbegun.is_some() && unbegun == offer.map(|offer| offer.version);
        if is_kept {
            return;
        }
        if unbegun.is_some() {
            self.work = None;
        }
        if let Some(offer) = offer.filter(|offer| self.takes(offer)) {
            if self.trouble_with(offer) == Some(Trouble::Downloads) {
                return self.fetch_in_vain(offer.clone(), now);
            }
            let is_early = offer.not_before.is_some_and(|from| from > now);
            self.work = Some(if is_early { Work::Staged(offer.clone()) } else { Work::Asking(offer.clone()) });
        }
    }

    /// A version that is strictly higher than the highest it ever began, or that names what it runs as given up.
    fn takes(&self, offer: &SignedOffer) -> bool {
        let is_finished = self.running.is_some_and(|running| running.version == offer.version)
            || self
                .failure
                .as_ref()
                .is_some_and(|f| f.version == Some(offer.version) && f.kind != FailureKind::Transient);
        let is_higher = self.begun.is_none_or(|begun| offer.version.rank() > begun.rank());
        let gives_up = match &offer.supersedes {
            Some(Supersedes::Running { version, digest }) => {
                self.running.is_some_and(|running| running.version == *version && running.digest == *digest)
            }
            Some(Supersedes::Nonce(nonce)) => *nonce == format!("life-{}", self.lives),
            None => false,
        };
        !is_finished && (is_higher || gives_up)
    }

    fn begin(&mut self, offer: SignedOffer, now: Timestamp) {
        self.begun = Some(offer.version);
        match self.trouble_with(&offer) {
            Some(Trouble::AtOnce) => {
                self.fail(&offer, FailureKind::Failed, codes::PROBE_FAILED.as_str(), "it cannot be placed", now);
                self.phase = Phase::RolledBack;
            }
            trouble => {
                self.is_on = trouble != Some(Trouble::Dies);
                self.work = Some(Work::Probing { offer, since: now });
            }
        }
    }
}

fn claim(offer: &SignedOffer) -> Claim {
    Claim { version: offer.version, template: offer.template, digest: offer.digest }
}
