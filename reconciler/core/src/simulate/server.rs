//! What the reconciler knows of each device: reports are classified and kept, offers get their versions, and devices their
//! answers. The planner, `classify` and the versions of offers are the real ones.

use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::report::{Claim, Report, Reported};
use bellwether_schemas::targets::SignedOffer;
use bellwether_schemas::{Seconds, Sha256Digest, Version};
use jiff::Timestamp;

use super::device::Around;
use crate::classify::{Evidence, Standing, Who, classify, standing};
use crate::offer::{Furthest, Track, asks_for, shall_look};
use crate::plan::{Action, Member, Observed, Offer, Span};

/// A device as the reconciler knows it.
#[derive(Debug)]
pub(super) struct Row {
    report: Report,
    standing: Standing,
    /// When it was last heard of: of a device that is up, when it will fall silent.
    pub(super) last_seen: Timestamp,
    last_progress: Option<Timestamp>,
    furthest: Furthest,
    offer: Option<Held>,
    /// Every offer that it ever had.
    offered: Vec<Claim>,
}

/// What its signed targets name.
#[derive(Debug)]
struct Held {
    signed: SignedOffer,
    offered_at: Timestamp,
    is_visible: bool,
    acknowledged_at: Option<Timestamp>,
}

/// What a device is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Proceed(Version),
    Look,
}

impl Row {
    pub(super) fn of(report: Report, last_seen: Timestamp, around: &Around<'_>) -> Self {
        let (scene, running) = (around.scene, report.running);
        let held = running.map(|claim| Held {
            signed: signed(around, claim),
            offered_at: scene.long_ago(),
            is_visible: true,
            acknowledged_at: Some(scene.long_ago()),
        });
        Self {
            report,
            standing: Standing::Normal { supersedes: None },
            last_seen,
            last_progress: None,
            furthest: Furthest::default(),
            offer: held,
            offered: running.into_iter().collect(),
        }
    }

    /// What a device finds that looks for its offer.
    pub(super) fn visible(&self) -> Option<SignedOffer> {
        self.offer.as_ref().filter(|offer| offer.is_visible).map(|offer| offer.signed.clone())
    }

    /// Takes a report; whether it is news, but for its clock.
    pub(super) fn hear(&mut self, report: Report, around: &Around<'_>) -> bool {
        self.report.clock = report.clock;
        if self.report == report {
            return false;
        }
        let version = self.offer.as_ref().map(|offer| offer.signed.version);
        if version.is_some_and(|version| self.furthest.reach(version, &report)) {
            self.last_progress = Some(around.now);
        }
        self.report = report;
        let (device, history) = (around.device(), around.scene.history);
        let offered = &self.offered;
        let digest_of = |version: &Version| offered.iter().find(|claim| claim.version == *version);
        let evidence = Evidence {
            history,
            signed: &|version| digest_of(version).map(|claim| claim.digest),
            // The history does not lose landings here.
            rendered: &|_| None,
        };
        let reported = Reported::Readable(self.report.clone());
        let taken = self.offer.as_ref().filter(|offer| offer.acknowledged_at.is_some());
        let who = Who {
            device: &device.name,
            labels: &device.labels,
            nonce: Some(self.report.nonce.as_str()),
            taken: taken.map(|offer| offer.signed.version.landing),
        };
        self.standing = standing(&classify(&reported, &evidence), &who, std::iter::empty(), false);
        true
    }

    /// Whether a device that looks for its offer finds what it runs, so that nothing comes of it.
    pub(super) fn offers_nothing_new(&self) -> bool {
        let running = self.report.running.map(|claim| (claim.version, claim.digest));
        let offer = self.offer.as_ref().filter(|offer| offer.is_visible);
        offer.is_some_and(|offer| Some((offer.signed.version, offer.signed.digest)) == running)
    }

    /// Carries out what a plan decided.
    pub(super) fn execute(&mut self, action: Action, around: &Around<'_>) {
        match action {
            Action::Offer { version, template, digest, window: Span { from, until }, soak } => {
                let claim = Claim { version, template: template.commit, digest };
                let supersedes = self.track().supersedes(version, Some(around.scene.history));
                let signed =
                    SignedOffer { supersedes, not_before: from, not_after: until, soak, ..signed(around, claim) };
                self.offered.push(claim);
                self.offer = Some(Held { signed, offered_at: around.now, is_visible: false, acknowledged_at: None });
            }
            // It is replaced by what the device runs, or by nothing.
            Action::Withdraw => {
                let running = self.report.running;
                let known = running.filter(|claim| self.offered.contains(claim));
                self.offer = known.map(|claim| Held {
                    signed: signed(around, claim),
                    offered_at: around.now,
                    is_visible: false,
                    acknowledged_at: Some(around.now),
                });
            }
        }
    }

    /// What was decided can be seen from now on.
    pub(super) fn publish(&mut self, now: Timestamp) {
        if let Some(offer) = self.offer.as_mut().filter(|offer| !offer.is_visible) {
            (offer.is_visible, offer.offered_at) = (true, now);
        }
    }

    /// Records that it may begin what it is about to apply; whether that is news.
    pub(super) fn acknowledge(&mut self, now: Timestamp) -> bool {
        let Some(version) = self.asks_for() else { return false };
        let waits = |offer: &&mut Held| offer.signed.version == version && offer.acknowledged_at.is_none();
        let offer = self.offer.as_mut().filter(waits);
        offer.map(|offer| offer.acknowledged_at = Some(now)).is_some()
    }

    /// What it is told when it has reported.
    pub(super) fn answer(&self) -> Option<Answer> {
        let offer = self.offer.as_ref()?;
        let version = offer.signed.version;
        if self.asks_for() == Some(version) && offer.acknowledged_at.is_some() {
            return Some(Answer::Proceed(version));
        }
        (offer.is_visible && shall_look(&self.report, version)).then_some(Answer::Look)
    }

    /// The version that it asks to begin, if it is offered that and takes part.
    fn asks_for(&self) -> Option<Version> {
        let version = asks_for(&self.report, &self.offer.as_ref()?.signed)?;
        self.paused().is_none().then_some(version)
    }

    fn paused(&self) -> Option<WaitingOn> {
        match &self.standing {
            Standing::Paused(pause) => {
                Some(WaitingOn::Paused { code: pause.code.to_string(), why: pause.why.clone(), commit: pause.commit })
            }
            Standing::Normal { .. } => None,
        }
    }

    fn track(&self) -> Track<'_> {
        let signed = self.offered.iter().map(|claim| claim.version).collect();
        Track { standing: &self.standing, report: Some(&self.report), signed }
    }

    /// The revision of its next offer.
    pub(super) fn revision(&self, around: &Around<'_>) -> Option<u32> {
        let scene = around.scene;
        self.track().next_version(scene.head, Some(scene.history)).map(|version| version.revision)
    }

    /// What the planner is told.
    pub(super) fn observed(&self, around: &Around<'_>) -> Observed {
        let scene = around.scene;
        let failure = self.report.failure.as_ref();
        let offer = self.offer.as_ref().map(|held| Offer {
            version: held.signed.version,
            template: held.signed.template,
            digest: held.signed.digest,
            offered_at: held.offered_at,
            is_visible: held.is_visible,
            not_before: held.signed.not_before,
            not_after: held.signed.not_after,
            acknowledged_at: held.acknowledged_at,
        });
        Observed {
            enrolled_at: scene.long_ago(),
            last_seen: Some(self.last_seen),
            running: self.report.running,
            applying: self.report.applying.map(Box::new),
            changing: self.report.changing().is_some(),
            health: self.report.health,
            failure: failure.cloned().map(Box::new),
            failed_at: failure.and_then(|failure| scene.history.number_of(&failure.version?.commit)),
            offer,
            last_progress: self.last_progress,
            paused: self.paused().map(Box::new),
        }
    }

    pub(super) fn member(&self, stable: Option<Sha256Digest>, around: &Around<'_>) -> Member {
        let device = around.device();
        Member {
            device: device.name.clone(),
            labels: device.labels.clone(),
            wave_labels: device.wave_labels.clone(),
            target: device.target.clone(),
            stable: stable.map(Ok),
            good: None,
            pin: around.scene.pinned(device),
            revision: self.revision(around),
            observed: self.observed(around),
        }
    }
}

fn signed(around: &Around<'_>, claim: Claim) -> SignedOffer {
    SignedOffer {
        fleet: around.scene.fleet.clone(),
        version: claim.version,
        template: claim.template,
        digest: claim.digest,
        supersedes: None,
        not_before: None,
        not_after: None,
        soak: Seconds::ZERO,
    }
}
