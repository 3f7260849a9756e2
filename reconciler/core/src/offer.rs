//! What an offer says beside its content: its version, and what the device gives up for it. And how a device stands to it, by
//! what it reports.
//!
//! In: what a device had, says and is judged to be. Out: a version that rises, or names what it does not rise above.

use bellwether_schemas::Version;
use bellwether_schemas::report::{Claim, Phase, Report};
use bellwether_schemas::targets::{SignedOffer, Supersedes};

use crate::classify::Standing;
use crate::plan::Landing;
use crate::verify::VerifiedHistory;

/// What is known of a device when it is offered something.
#[derive(Debug, Clone)]
pub struct Track<'a> {
    /// Whether it takes part, and what its next offer gives up.
    pub standing: &'a Standing,
    /// What it said last, if that can be read.
    pub report: Option<&'a Report>,
    /// The versions that we signed for it, as far as they are known: stored, or in metadata that it presented.
    pub signed: Vec<Version>,
}

impl Track<'_> {
    /// The version of its next offer at `head`: its revision is the number of offers it had there before. None while the
    /// offer would have to name what the device runs, and the device is changing that.
    pub fn next_version(&self, head: Landing, history: Option<&VerifiedHistory>) -> Option<Version> {
        let Landing { commit, number: landing } = head;
        let claims = self.report.into_iter().flat_map(|report| [report.running, report.applying]);
        let known = self.had().chain(claims.flatten().map(|claim| claim.version));
        let highest = known.filter(|version| version.commit == commit).map(|version| version.revision).max();
        let next = Version { landing, commit, revision: highest.map_or(0, |highest| highest.saturating_add(1)) };
        let is_changing = self.report.is_some_and(|report| report.changing().is_some());
        (!is_changing || self.supersedes(next, history).is_none()).then_some(next)
    }

    /// What an offer of the version `next` must name as given up: what the device runs, where it has begun, or may have, an
    /// offer that is not below `next` and that left the history since.
    pub fn supersedes(&self, next: Version, history: Option<&VerifiedHistory>) -> Option<Supersedes> {
        let Standing::Normal { supersedes } = self.standing else { return None };
        let Some(report) = self.report else { return supersedes.clone() };
        let number = |version: &Version| history?.number_of(&version.commit);
        let lost = |version: &Version| version.rank() >= next.rank() && number(version) != Some(version.landing);
        (supersedes.is_some() || self.had().any(|version| lost(&version))).then(|| match report.running {
            Some(Claim { version, digest, .. }) => Supersedes::Running { version, digest },
            None => Supersedes::Nonce(report.nonce.clone()),
        })
    }

    /// Whether an offer that was made to it still stands: it was made at a landing of the judging history, and gives up what
    /// must be given up.
    pub fn upholds(&self, offer: &SignedOffer, judging: &VerifiedHistory, accepted: Option<&VerifiedHistory>) -> bool {
        let known = judging.number_of(&offer.version.commit).is_some();
        known && self.supersedes(offer.version, accepted).is_none_or(|needed| offer.supersedes == Some(needed))
    }

    /// The versions that it had: those that we know of, and the highest that it says it began. The latter outlives a failure
    /// and a withdrawal, after which neither what it runs nor what it presents tells of it.
    fn had(&self) -> impl Iterator<Item = Version> {
        self.signed.iter().copied().chain(self.report.and_then(|report| report.begun))
    }
}

/// The version that a device asks to begin, where that is what it is offered.
pub fn asks_for(report: &Report, offer: &SignedOffer) -> Option<Version> {
    let claim = report.applying.filter(|_| report.phase == Phase::Applying)?;
    (offer.version == claim.version && offer.digest == claim.digest).then_some(claim.version)
}

/// Whether a device shall look for the offer `version`: it has nothing to do, and says nothing that tells that it knows it.
pub fn shall_look(report: &Report, version: Version) -> bool {
    let is_idle =
        matches!(report.phase, Phase::Idle | Phase::Committed | Phase::Soaking | Phase::RolledBack | Phase::Degraded);
    let failed = report.failure.as_ref().and_then(|failure| failure.version);
    let claims = [report.running, report.applying].into_iter().flatten().map(|claim| claim.version);
    is_idle && !claims.chain(failed).any(|known| known == version)
}

/// How far a device came with its offer, by all that it reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Furthest(Option<(Version, Stage)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Nowhere,
    Fetching,
    Staged,
    Applying,
    Probing,
    Ended,
}

impl Furthest {
    /// Takes a report of a device that is offered `version`; whether it shows it further than any before. To try again, or to
    /// change one's mind about one's health, is not to come further: else a time-out could be put off for ever.
    pub fn reach(&mut self, version: Version, report: &Report) -> bool {
        let stage = Stage::of(report, version);
        let before = self.0.filter(|(known, _)| *known == version).map_or(Stage::Nowhere, |(_, stage)| stage);
        self.0 = Some((version, stage.max(before)));
        stage > before
    }
}

impl Stage {
    fn of(report: &Report, version: Version) -> Self {
        let is_it = |claim: Option<Claim>| claim.is_some_and(|claim| claim.version == version);
        let (applies, runs) = (is_it(report.applying), is_it(report.running));
        let failed = report.failure.as_ref().is_some_and(|failure| failure.version == Some(version));
        match report.phase {
            _ if runs => Self::Ended,
            Phase::Applying if applies => Self::Applying,
            Phase::Probing | Phase::Soaking if applies => Self::Probing,
            Phase::RollingBack | Phase::RolledBack | Phase::Degraded if applies || failed => Self::Ended,
            Phase::Staged => Self::Staged,
            Phase::Fetching | Phase::Verifying => Self::Fetching,
            _ => Self::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests;
