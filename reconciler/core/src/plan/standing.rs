//! How a member stands to the target.

use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::report::{Failure, FailureKind, Health};
use bellwether_schemas::{DeviceName, Sha256Digest, Version, codes};
use jiff::Timestamp;

use super::place::UNORDERED;
use super::record::{FailureNote, MemberRecord, RolloutRecord, WaveRecord};
use super::tally::Count;
use super::timing::{Contact, Timing, silent_since};
use super::{Member, Observed, Offer, Pinned, Terms};

/// How a member stands to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Paused, pinned or away: it neither holds a wave nor counts.
    Out,
    /// Not done yet.
    Pending,
    /// It runs the target's digest and is healthy.
    Healthy,
    /// Its attempt failed.
    Failed,
    /// There is nothing it could be offered.
    RenderError,
}

/// A member with what is recorded of it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) device: DeviceName,
    /// Its place in the order in which percent waves, budgets and `maxInFlight` take devices.
    pub(super) order: u64,
    pub(super) target: Result<Sha256Digest, Box<str>>,
    /// The digest rendered from stable.
    pub(super) stable: Option<Sha256Digest>,
    /// The digest rendered from what was healthy on it last.
    pub(super) good: Option<Box<Sha256Digest>>,
    pub(super) pin: Option<Box<Pinned>>,
    pub(super) revision: Option<u32>,
    pub(super) observed: Observed,
    pub(super) note: MemberRecord,
    pub(super) contact: Contact,
    pub(super) standing: Standing,
    /// The wave it is counted in, and as what.
    pub(super) counted: Option<(u16, Count)>,
    /// The budget groups that it is in, as the number of a set of them.
    pub(super) groups: u32,
    /// The time zone of its windows.
    pub(super) zone: u32,
    /// The group for whose next free place it waits, and the wave by which it stands in line there.
    pub(super) waits_at: Option<(u32, u16)>,
    /// Whether it holds a place of its budgets, and of `maxInFlight`.
    pub(super) holds: bool,
    pub(super) flies: bool,
    /// When it has to be looked at again.
    pub(super) due: Timestamp,
}

/// The members of a fleet, in the order of their names. Boxed: they go from one plan to the next without being copied.
pub(super) type Rows = Vec<Box<Row>>;

/// How an attempt ended that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It failed.
    Failed,
    /// It says nothing about the version: it is offered again, and not counted.
    Inconclusive,
}

impl Observed {
    /// The failure that its last attempt at `offer` ended with.
    pub(super) fn failure_of(&self, offer: &Offer) -> Option<&Failure> {
        self.failure.as_deref().filter(|f| f.version == Some(offer.version) && f.kind != FailureKind::Transient)
    }

    /// Whether its attempt at what it is offered ended badly, and it is back at something else.
    pub(super) fn gave_up_its_offer(&self) -> bool {
        let failed = |offer: &Offer| self.failure_of(offer).is_some() && !self.runs(offer.digest);
        self.applying.is_none() && self.offer.as_ref().is_some_and(failed)
    }

    /// The offer that it has still to take, or is taking.
    pub(super) fn outstanding(&self) -> Option<&Offer> {
        let runs = |offer: &&Offer| self.running.is_some_and(|running| running.digest == offer.digest);
        self.offer.as_ref().filter(|offer| !runs(offer) && self.failure_of(offer).is_none())
    }

    /// Whether it passed the point of no return with `offer`.
    pub(super) fn has_begun(&self, offer: &Offer) -> bool {
        offer.acknowledged_at.is_some() || self.is_changing(offer.version)
    }

    /// What it passed the point of no return with, and has still to end.
    pub(super) fn begun(&self) -> Option<Version> {
        let offered = self.outstanding().filter(|offer| self.has_begun(offer)).map(|offer| offer.version);
        offered.or_else(|| self.applying.as_ref().filter(|_| self.changing).map(|claim| claim.version))
    }

    fn is_changing(&self, version: Version) -> bool {
        self.changing && self.applying.as_ref().is_some_and(|claim| claim.version == version)
    }

    /// Whether it has not reported since records were lost.
    pub(super) fn is_awaited(&self) -> bool {
        self.paused.as_deref() == Some(&WaitingOn::AwaitingReconnect)
    }

    pub(super) fn runs(&self, digest: Sha256Digest) -> bool {
        self.running.is_some_and(|running| running.digest == digest)
    }
}

impl Row {
    /// A member, with what is noted of it.
    pub(super) fn of(member: Member, note: MemberRecord, timing: &Timing) -> Self {
        let Member { device, target, stable, good, pin, revision, observed, .. } = member;
        Self {
            contact: timing.contact(&observed),
            device,
            order: UNORDERED,
            target: target.map_err(String::into_boxed_str),
            stable: stable.and_then(Result::ok),
            good: good.map(Box::new),
            pin: pin.map(Box::new),
            revision,
            observed,
            note,
            standing: Standing::Out,
            counted: None,
            groups: 0,
            zone: 0,
            waits_at: None,
            holds: false,
            flies: false,
            due: Timestamp::MAX,
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.observed.paused.is_some()
    }

    /// Whether it takes no part in waves: paused, or kept at something by a pin.
    pub(super) fn is_apart(&self) -> bool {
        self.is_paused() || self.pin.is_some()
    }

    /// Whether it is gone for good: it counts nowhere.
    pub(super) fn is_gone(&self) -> bool {
        self.observed.paused.as_ref().is_some_and(|reason| reason.is_gone())
    }

    /// Whether it is expected back: records were lost, and devices had no time yet to report.
    pub(super) fn is_awaited(&self, timing: &Timing) -> bool {
        self.observed.is_awaited() && timing.now < timing.grace_end()
    }

    pub(super) fn target(&self) -> Option<Sha256Digest> {
        self.target.as_ref().ok().copied()
    }

    pub(super) fn is_at_target(&self) -> bool {
        self.target().is_some_and(|digest| self.observed.runs(digest))
    }

    /// The offer of the target that was made to it in this rollout, whatever became of it.
    pub(super) fn own_offer(&self) -> Option<&Offer> {
        let offer = self.observed.offer.as_ref().filter(|_| self.note.offered);
        offer.filter(|offer| Some(offer.digest) == self.target())
    }

    /// Since when its `deviceTimeout` runs, as long as it does: while it is on its way to the target, and while it runs
    /// the target and does not say how that is.
    pub(super) fn runs_since(&self, waves: &[WaveRecord]) -> Option<Timestamp> {
        let observed = &self.observed;
        let offer = self.own_offer().filter(|offer| offer.is_visible);
        let offered = offer.map(|offer| offer.not_before.map_or(offer.offered_at, |at| at.max(offer.offered_at)));
        let begun = match (self.is_at_target(), observed.health) {
            (false, _) => offered,
            // It may have come by the target without an offer of this rollout.
            (true, Health::Unknown) => offered.or_else(|| Some(waves.get(self.note.wave?)?.opened_at)),
            (true, Health::Healthy | Health::Unhealthy) => None,
        };
        let begun = begun.filter(|_| self.note.failed.is_none() && self.pin.is_none())?;
        Some(observed.last_progress.map_or(begun, |progress| progress.max(begun)))
    }

    /// Whether it is unavailable, for budgets: on the way, ill, or not heard of. Soon after a start that is everybody who has
    /// not reported yet: nobody knows whether it is there. A device that is silent for longer than `lostAfter` is given up.
    pub(super) fn is_unavailable(&self, rules: &Rules<'_>, flies: bool) -> bool {
        let observed = &self.observed;
        if self.is_gone() {
            return false;
        }
        if self.contact != Contact::Live {
            return rules.timing.now < super::timing::after(silent_since(observed), rules.record.rollout.lost_after);
        }
        let is_settling = |offer: &Offer| observed.runs(offer.digest) && observed.health == Health::Unknown;
        observed.health == Health::Unhealthy || flies || observed.offer.as_ref().is_some_and(is_settling)
    }

    /// Whether it passed the point of no return with what it has still to end.
    pub(super) fn has_begun(&self) -> bool {
        let begun = |offer: &Offer| self.observed.has_begun(offer);
        self.observed.changing || self.observed.outstanding().is_some_and(begun)
    }

    /// Whether it runs the target, and is about to run nothing else. What it was offered to come back to, while it was at
    /// something else, it has to take first.
    pub(super) fn is_back(&self) -> bool {
        let runs = |version| self.observed.running.is_some_and(|running| running.version == version);
        let took = |offer: &Offer| Some(offer.digest) != self.target() || runs(offer.version);
        self.is_at_target() && !self.has_begun() && self.observed.offer.as_ref().is_none_or(took)
    }

    /// Whether it was offered something and did not come to an end with it.
    pub(super) fn is_on_the_way(&self) -> bool {
        self.observed.outstanding().is_some() || self.observed.applying.is_some()
    }

    /// Brings its note up to date, and says how it stands.
    pub(super) fn judge(&mut self, rules: &Rules<'_>) -> Standing {
        let standing = self.standing_now(rules);
        match standing {
            // Who left what comes back, or is about to, is not healthy on it before it is back.
            Standing::Healthy => self.note.healthy = !self.note.returns || self.is_back(),
            Standing::Failed | Standing::RenderError => self.note.healthy = false,
            Standing::Out | Standing::Pending => {}
        }
        standing
    }

    fn standing_now(&mut self, rules: &Rules<'_>) -> Standing {
        if self.is_paused() {
            let awaited = self.observed.is_awaited();
            return match self.is_awaited(rules.timing) {
                // That records were lost mends nothing: what failed, or fell silent, counts until it says otherwise.
                _ if awaited && self.note.failed.is_some() => Standing::Failed,
                true => Standing::Pending,
                false => Standing::Out,
            };
        }
        if self.pin.is_some() {
            return Standing::Out;
        }
        if self.target.is_err() {
            return Standing::RenderError;
        }
        self.forgive(rules);
        if self.note.failed.is_none() {
            self.note.failed = self.failed_before(rules);
        }
        match self.observed.running.filter(|running| Some(running.digest) == self.target()) {
            Some(running) => {
                if self.judge_running(running.version, rules) {
                    return Standing::Healthy;
                }
            }
            None => {
                if self.judge_offer(rules) {
                    return Standing::Pending;
                }
            }
        }
        match self.contact {
            _ if self.note.failed.is_some() => Standing::Failed,
            Contact::Stale => Standing::Out,
            Contact::Live | Contact::Silent => Standing::Pending,
        }
    }

    /// A failure that a signed Approval lets it try again after counts no more.
    fn forgive(&mut self, rules: &Rules<'_>) {
        let forgiven = self.note.failed.as_ref().filter(|note| rules.forgives(&self.device, note.version));
        if let Some(version) = forgiven.filter(|_| !self.is_at_target()).map(|note| note.version) {
            self.note.excused = Some(Box::new(version));
            self.note.failed = None;
        }
    }

    /// The failure at this very content, since it landed, that a device tells of, where the record does not: records may be
    /// older than what devices say. What failed on a device is not tried again before somebody lands it again, or lets it try.
    fn failed_before(&self, rules: &Rules<'_>) -> Option<Box<FailureNote>> {
        let observed = &self.observed;
        let failure = observed.failure.as_ref().filter(|failure| failure.kind != FailureKind::Transient)?;
        let since = observed.failed_at.is_some_and(|number| number >= rules.record.target.number);
        let target = self.target().filter(|target| since && failure.digest == Some(*target))?;
        let version = failure.version?;
        let excused = rules.forgives(&self.device, version) || self.note.excused.as_deref() == Some(&version);
        // What it was offered in this rollout is judged by that.
        let is_own = self.own_offer().is_some();
        (!observed.runs(target) && !excused && !is_own).then(|| FailureNote::new(version, false))
    }

    /// Judges a member that runs the target; whether it is healthy.
    fn judge_running(&mut self, version: Version, rules: &Rules<'_>) -> bool {
        let is_due = self.runs_since(&rules.record.waves).is_some_and(|since| rules.is_due(since));
        let note = |silent| Some(FailureNote::new(version, silent));
        match (self.contact, self.observed.health) {
            (Contact::Stale, _) if self.fell_silent_in(rules.first_soak()) => {
                self.note.failed = self.note.failed.take().or(note(true));
            }
            // What is stored of a device that did not report since the start is no health.
            (Contact::Stale | Contact::Silent, _) => {}
            // A healthy return leaves the failed set.
            (Contact::Live, Health::Healthy) => {
                self.note.failed = None;
                return true;
            }
            (Contact::Live, Health::Unhealthy) => self.note.failed = note(false),
            (Contact::Live, Health::Unknown) if is_due => self.note.failed = note(false),
            (Contact::Live, Health::Unknown) => {}
        }
        false
    }

    /// Judges a member by its offer of the target; whether it is sure to be under way.
    fn judge_offer(&mut self, rules: &Rules<'_>) -> bool {
        let Some(offer) = self.own_offer().copied() else { return false };
        let begun = self.observed.has_begun(&offer);
        // What was not begun has the time of its window at most, and is offered again in the next.
        let has_time = |since| begun || offer.not_after.is_none_or(|closes| rules.times_out_at(since) <= closes);
        let since = self.runs_since(&rules.record.waves).filter(|since| has_time(*since));
        let is_due = since.is_some_and(|since| rules.is_due(since));
        let note = |silent| Some(FailureNote::new(offer.version, silent));
        let ended = self.observed.failure_of(&offer).map(|failure| rules.verdict(failure, &offer));
        let is_settled = self.is_excused(&offer) || self.note.failed.is_some();
        let is_forgiven = rules.forgives(&self.device, offer.version) && (ended.is_some() || is_due);
        if is_settled {
        } else if is_forgiven || ended == Some(Verdict::Inconclusive) {
            self.excuse(&offer);
        } else if ended == Some(Verdict::Failed) && self.note.retried < rules.record.rollout.retries {
            self.note.retried += 1;
            self.excuse(&offer);
        } else if ended == Some(Verdict::Failed) {
            self.note.failed = note(false);
        } else if is_due {
            // Silence before the point of no return is no failure: the offer is withdrawn instead.
            match self.contact {
                Contact::Live => self.note.failed = note(false),
                _ if begun => self.note.failed = note(true),
                _ => {}
            }
        }
        self.note.failed.is_none() && begun && ended.is_none()
    }

    fn excuse(&mut self, offer: &Offer) {
        self.note.excused = Some(Box::new(offer.version));
    }

    /// Whether the offer came to an end that does not count: then another one is made.
    pub(super) fn is_excused(&self, offer: &Offer) -> bool {
        self.note.excused.as_deref() == Some(&offer.version)
    }

    /// Whether it was heard of in the first wave, and no more before that wave advanced.
    fn fell_silent_in(&self, first_soak: Option<&WaveRecord>) -> bool {
        let seen_in = |wave: &WaveRecord| self.observed.last_seen.is_some_and(|seen| seen >= wave.opened_at);
        self.note.wave == Some(0) && first_soak.is_some_and(seen_in)
    }
}

/// What members are judged by.
pub(super) struct Rules<'a> {
    pub(super) timing: &'a Timing,
    pub(super) terms: &'a Terms,
    pub(super) record: &'a RolloutRecord,
}

impl Rules<'_> {
    /// Whether what runs since then has run out of time. Only time in which it could report counts.
    fn is_due(&self, since: Timestamp) -> bool {
        self.timing.now >= self.times_out_at(since)
    }

    pub(super) fn times_out_at(&self, since: Timestamp) -> Timestamp {
        self.record.gaps.after(since, self.record.rollout.device_timeout).max(self.timing.grace_end())
    }

    /// The first wave, while it has not advanced.
    fn first_soak(&self) -> Option<&WaveRecord> {
        self.record.waves.first().filter(|wave| wave.advanced_at.is_none())
    }

    /// Whether a signed Approval lets the device try again what failed with this version: that landed before it.
    fn forgives(&self, device: &DeviceName, version: Version) -> bool {
        self.terms.decisions.retried.get(device).is_some_and(|approved| version.landing < *approved)
    }

    /// What a failure says about the version. Who could not reach a reconciler that was not there has shown nothing, nor who
    /// came too late for its window.
    fn verdict(&self, failure: &Failure, offer: &Offer) -> Verdict {
        let was_down = |since: Timestamp| self.record.gaps.overlaps(since, self.timing.now);
        let is = |code: codes::Code| failure.code == code.as_str();
        let lost = is(codes::CONNECTIVITY_LOST) && offer.acknowledged_at.is_some_and(was_down);
        if lost || is(codes::WINDOW_PASSED) { Verdict::Inconclusive } else { Verdict::Failed }
    }
}
