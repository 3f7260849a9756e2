//! A reconciler, as far as one device sees it: the rules that judge and make offers, around what is known of the device.

use std::collections::BTreeMap;

use bellwether_core::classify::{Evidence, Pause, Standing, Who, classify, standing};
use bellwether_core::declare::ResumeAt;
use bellwether_core::offer::Track;
use bellwether_core::plan::Landing;
use bellwether_core::verify::VerifiedHistory;
use bellwether_schemas::manifest::{Labels, Resume};
use bellwether_schemas::report::{Directive, FailureKind, Phase, Report, Reported};
use bellwether_schemas::targets::SignedOffer;
use bellwether_schemas::{CommitId, DeviceName, Seconds, Sha256Digest, Version};

use super::lines::{Head, Lines};
use super::unit::{NONCE, Unit};

/// What is left of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Records {
    /// All.
    Kept,
    /// What was there before the last offer.
    Old,
    /// Nothing, but the device presents what it holds.
    Lost,
    /// Nothing, and the device has lost its metadata too.
    LostOnBothSides,
}

pub(super) const RECORDS: [Records; 4] = [Records::Kept, Records::Old, Records::Lost, Records::LostOnBothSides];

/// What is known of the device.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    signed: BTreeMap<(CommitId, u32), (Version, CommitId, Sha256Digest)>,
    presented: Option<SignedOffer>,
    /// What its signed targets name.
    pub(super) offer: Option<SignedOffer>,
}

/// A reconciler.
pub(super) struct Server<'l> {
    lines: &'l Lines,
    pub(super) head: Head,
    pub(super) rewound: bool,
    pub(super) resumes: Vec<Resume>,
    pub(super) known: Known,
    pub(super) soak: Seconds,
    device: DeviceName,
}

impl<'l> Server<'l> {
    pub(super) fn new(lines: &'l Lines, head: Head) -> Self {
        let device = "edge-1".parse().expect("a name");
        let (resumes, known) = (Vec::new(), Known::default());
        Self { lines, head, rewound: false, resumes, known, soak: Seconds::ZERO, device }
    }

    pub(super) fn history(&self) -> &'l VerifiedHistory {
        self.lines.history(self.head)
    }

    pub(super) fn target(&self) -> Sha256Digest {
        self.lines.target(self.history())
    }

    /// Is set back, together with what it knows of the device; `old` is what it knew before the last offer.
    pub(super) fn restore(&mut self, head: Head, records: Records, old: Known, unit: &mut Unit<'_>) {
        self.head = head;
        let known = match records {
            Records::Kept => std::mem::take(&mut self.known),
            Records::Old => old,
            Records::Lost | Records::LostOnBothSides => Known::default(),
        };
        if records == Records::LostOnBothSides {
            unit.held = None;
        }
        // The next session begins with what the device holds.
        self.known = Known { presented: unit.held.clone(), ..known };
        if let Some(offer) = &self.known.presented {
            let key = (offer.version.commit, offer.version.revision);
            self.known.signed.entry(key).or_insert((offer.version, offer.template, offer.digest));
        }
    }

    /// What is known to have been signed by this version.
    pub(super) fn signed(&self, version: &Version) -> Option<Sha256Digest> {
        let presented = self.known.presented.as_ref().filter(|offer| offer.version == *version);
        let stored = self.known.signed.get(&(version.commit, version.revision)).filter(|signed| signed.0 == *version);
        stored.map(|signed| signed.2).or(presented.map(|offer| offer.digest))
    }

    /// How the device stands.
    pub(super) fn standing(&self, report: &Report) -> Standing {
        let history = self.history();
        let signed = |version: &Version| self.signed(version);
        let rendered = |number: u64| Some(self.lines.digest(&self.lines.template(history, number)));
        let evidence = Evidence { history, signed: &signed, rendered: &rendered };
        let classified = classify(&Reported::Readable(report.clone()), &evidence);
        let who = Who { device: &self.device, labels: &Labels::default(), nonce: Some(NONCE), taken: None };
        let since = history.head_number();
        standing(&classified, &who, self.resumes.iter().map(|resume| ResumeAt { resume, since }), self.rewound)
    }

    /// Takes one report, decides, and tells the device. Returns the pause, if it is paused.
    pub(super) fn pass(&mut self, unit: &mut Unit<'_>) -> Option<Pause> {
        let report = unit.report();
        if let Standing::Paused(pause) = self.standing(&report) {
            let Pause { code, why, commit, .. } = pause.clone();
            unit.directed(Directive::Paused { code: code.to_string(), reason: why, commit }, self.known.offer.as_ref());
            return Some(pause);
        }
        if !self.rewound {
            self.decide(&report);
            self.answer(&report, unit);
        }
        None
    }

    /// Decides what a device that takes part is offered.
    pub(super) fn decide(&mut self, report: &Report) {
        let found = self.standing(report);
        let signed = self.known.signed.values().map(|signed| signed.0);
        let signed = signed.chain(self.known.presented.as_ref().map(|offer| offer.version)).collect();
        let track = Track { standing: &found, report: Some(report), signed };
        let history = self.history();
        let runs = |version: Version| report.running.is_some_and(|claim| claim.version == version);
        // What it is changing to is not withdrawn: it will run it, or say how that failed.
        if let Some(offer) = &self.known.offer
            && !runs(offer.version)
            && report.changing() != Some(offer.version)
            && !track.upholds(offer, history, Some(history))
        {
            self.known.offer = self.offer_of_running(report);
        }
        // What failed on it is not tried again, nor is an offer that it refused; neither stays published.
        let target = self.target();
        let ended = report.failure.as_ref().filter(|failure| failure.kind != FailureKind::Transient);
        let gave_up = |offer: &SignedOffer| ended.is_some_and(|failure| failure.version == Some(offer.version));
        let mut failed = ended.is_some_and(|failure| failure.digest == Some(target));
        if let Some(offer) = self.known.offer.clone().filter(|offer| !runs(offer.version) && gave_up(offer)) {
            failed = failed || offer.digest == target;
            self.known.offer = self.offer_of_running(report);
        }
        let outstanding = self.known.offer.as_ref().filter(|offer| !runs(offer.version));
        let heading = outstanding.map(|offer| offer.digest).or(report.running.map(|claim| claim.digest));
        let head = Landing { commit: *history.head(), number: history.head_number() };
        if heading != Some(target)
            && !failed
            && let Some(version) = track.next_version(head, Some(history))
        {
            let supersedes = track.supersedes(version, Some(history));
            self.offer(version, target, supersedes);
        }
    }

    fn offer(
        &mut self,
        version: Version,
        digest: Sha256Digest,
        supersedes: Option<bellwether_schemas::targets::Supersedes>,
    ) {
        let template = self.lines.template(self.history(), self.history().head_number());
        let again = self.known.signed.insert((version.commit, version.revision), (version, template, digest));
        assert!(again.is_none(), "{version} was signed before");
        self.known.offer = Some(SignedOffer {
            fleet: "edge".parse().expect("a name"),
            version,
            template,
            digest,
            supersedes,
            not_before: None,
            not_after: None,
            soak: self.soak,
        });
    }

    /// What replaces an offer that is withdrawn.
    fn offer_of_running(&self, report: &Report) -> Option<SignedOffer> {
        let running = report.running?;
        let key = (running.version.commit, running.version.revision);
        let (version, template, digest) = *self.known.signed.get(&key)?;
        let fleet = "edge".parse().expect("a name");
        let (supersedes, not_before, not_after, soak) = (None, None, None, Seconds::ZERO);
        ((version, digest) == (running.version, running.digest)).then_some(SignedOffer {
            fleet,
            version,
            template,
            digest,
            supersedes,
            not_before,
            not_after,
            soak,
        })
    }

    fn answer(&self, report: &Report, unit: &mut Unit<'_>) {
        let published = self.known.offer.as_ref();
        let applying = report.applying.filter(|_| report.phase == Phase::Applying);
        if let Some(offer) = published
            && applying.is_some_and(|claim| (claim.version, claim.digest) == (offer.version, offer.digest))
        {
            unit.directed(Directive::Proceed { version: offer.version }, published);
        }
        // What is changing would find what was published before its end was known.
        if report.changing().is_none() {
            unit.directed(Directive::SpecAvailable, published);
        }
    }
}
