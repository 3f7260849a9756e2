//! What a member may run now, and what that means for its signed targets.

use bellwether_schemas::manifest::SkipStep;
use bellwether_schemas::{CommitId, DeviceName, Seconds, Sha256Digest};
use jiff::Timestamp;

use super::planner::Planner;
use super::record::Good;
use super::standing::Row;
use super::timing::Contact;
use super::{Landing, Opening, Span};

/// Why a member is to run something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// It is the target.
    Target,
    /// Its wave is not open yet, and it has nothing, or nothing of this fleet's.
    Stable,
    /// The target is given up, and it goes back.
    Back,
    /// It is pinned to it.
    Pin,
}

/// What a member may run now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal {
    pub(super) template: Landing,
    pub(super) digest: Sha256Digest,
    pub(super) soak: Seconds,
    pub(super) aim: Aim,
    /// Whether it brings something back that was healthy: then neither windows nor `maxInFlight` hold it.
    pub(super) hastens: bool,
}

/// What is to be done for a member, were there a place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Want {
    /// Nothing.
    Keep,
    /// Its offer goes.
    Withdraw,
    /// It is offered something.
    Offer(Goal, Span),
}

impl Planner {
    /// What is to be done for a row, and whether it counts as offered the target if it is not offered anything now.
    pub(super) fn want(&self, row: &Row) -> (Want, bool) {
        let observed = &row.observed;
        let offered = row.note.offered;
        if row.is_paused() || self.is_frozen() {
            return (Want::Keep, offered);
        }
        let goal = self.goal(row);
        let outstanding = observed.outstanding().copied();
        let unbegun = outstanding.filter(|offer| !observed.has_begun(offer));
        let is_over = |offer: &super::Offer| {
            row.is_excused(offer) || unbegun.is_some() && offer.not_after.is_some_and(|until| until <= self.timing.now)
        };
        let heading = outstanding.map(|offer| offer.digest).or(observed.running.map(|running| running.digest));
        if let Some(goal) = goal {
            let is_target = goal.aim == Aim::Target;
            if heading == Some(goal.digest) && !outstanding.as_ref().is_some_and(is_over) {
                // A device that comes back after a long time shall not find what may have failed elsewhere meanwhile.
                let is_away = row.contact == Contact::Stale && is_target && !self.record.is_complete();
                if unbegun.is_some() && (is_away || self.stops(goal.aim)) {
                    return (Want::Withdraw, false);
                }
                let leftover = outstanding.is_none() && observed.gave_up_its_offer();
                let offered = offered || (is_target && outstanding.is_some());
                return (if leftover { Want::Withdraw } else { Want::Keep }, offered);
            }
            // It runs what it shall, and is not to leave it.
            if observed.runs(goal.digest) && unbegun.is_some() {
                return (Want::Withdraw, false);
            }
            if observed.runs(goal.digest) && observed.applying.is_none() {
                return (Want::Keep, offered);
            }
            if let Some(span) = self.admits_now(row, &goal) {
                return (Want::Offer(goal, span), offered);
            }
        }
        self.leave(row, goal)
    }

    /// What becomes of the offer of a row that is offered nothing now.
    pub(super) fn leave(&self, row: &Row, goal: Option<Goal>) -> (Want, bool) {
        let (observed, offered) = (&row.observed, row.note.offered);
        // What failed on it does not stay published: a device that loses its memory shall not find it again. Of anything but
        // the target, nothing else tells that it failed: it would be offered again.
        let is_target = observed.offer.as_ref().is_some_and(|offer| Some(offer.digest) == row.target());
        if row.note.failed.is_some() && observed.gave_up_its_offer() && is_target && row.pin.is_none() {
            return (Want::Withdraw, offered);
        }
        let unbegun = observed.outstanding().filter(|offer| !observed.has_begun(offer));
        let ended =
            observed.offer.as_ref().filter(|offer| row.is_excused(offer) && observed.failure_of(offer).is_some());
        // An offer that nothing stands behind any more; what leads to stable may stay.
        let aim = goal.map_or(Aim::Stable, |goal| goal.aim);
        let leads_to_stable = |digest| Some(digest) == self.stable_of(row) && !self.stops(aim) && aim != Aim::Pin;
        match unbegun {
            Some(offer) if !leads_to_stable(offer.digest) => {
                (Want::Withdraw, offered && Some(offer.digest) != row.target())
            }
            None if ended.is_some() => (Want::Withdraw, offered),
            _ => (Want::Keep, offered),
        }
    }

    /// When applying may begin, if an offer can be made now, but for a place.
    fn admits_now(&self, row: &Row, goal: &Goal) -> Option<Span> {
        let can = row.contact == Contact::Live && row.revision.is_some() && !self.stops(goal.aim);
        match self.opening(row, goal).filter(|_| can)? {
            Opening::Always => Some(Span::default()),
            // Open for ever is no time to keep to.
            Opening::Open { since, until } => Some(Span {
                from: Some(since).filter(|since| *since > Timestamp::MIN),
                until: Some(until).filter(|until| *until < Timestamp::MAX),
            }),
            Opening::Closed { .. } | Opening::Never { .. } => None,
        }
    }

    /// What the windows say that hold a goal; an opening that is near is open for downloads.
    pub(super) fn opening(&self, row: &Row, goal: &Goal) -> Option<Opening> {
        let skipped = goal.aim == Aim::Target && self.skips(SkipStep::Windows);
        if goal.hastens || skipped {
            return Some(Opening::Always);
        }
        let place = row.note.wave.filter(|_| goal.aim == Aim::Target);
        Some(self.clocks.opening(place, row.zone))
    }

    /// What a row may run now, if it is live and nothing stops offers.
    pub(super) fn goal(&self, row: &Row) -> Option<Goal> {
        if let Some(pin) = &row.pin {
            let Good { template, digest } = *pin.spec.as_ref().ok()?;
            if self.failed_at(row, digest) {
                return None;
            }
            return Some(Goal { template, digest, soak: Seconds::ZERO, aim: Aim::Pin, hastens: false });
        }
        if self.record.is_rejected() && self.was_reached(row) {
            let Good { template, digest } = self.back(row)?;
            return Some(Goal { template, digest, soak: Seconds::ZERO, aim: Aim::Back, hastens: true });
        }
        let place = row.note.wave.unwrap_or(self.all_waves().saturating_sub(1));
        let wave = self.record.rollout.waves.get(place).filter(|_| !self.skips(SkipStep::Soak));
        let soak = wave.map_or(Seconds::ZERO, |wave| wave.soak);
        if self.admits(row) && !self.record.is_rejected() {
            let digest = row.target().filter(|_| row.note.failed.is_none())?;
            let (template, hastens) = (self.record.target, row.note.returns);
            return Some(Goal { template, digest, soak, aim: Aim::Target, hastens });
        }
        // A device without a version, and one that joined, get stable until their wave opens.
        let digest = row.stable.filter(|digest| row.note.failed.is_none() && !self.failed_at(row, *digest))?;
        // What is rendered now must be what was stable then: labels that changed since are part of the target.
        let is_stable = self.stable_of(row) == Some(digest);
        let wants = (row.observed.running.is_none() || row.note.joined) && is_stable;
        let template = self.record.stable.filter(|_| wants)?;
        Some(Goal { template, digest, soak, aim: Aim::Stable, hastens: false })
    }

    /// The template commit that a member goes to, or is at where it goes nowhere else.
    pub fn heads_for(&self, device: &DeviceName) -> Option<CommitId> {
        let row = &self.rows[self.row_of(device)?];
        let observed = &row.observed;
        if let Some(offer) = observed.outstanding() {
            return Some(offer.template);
        }
        let runs = observed.running.map(|running| running.template);
        match (&row.pin, self.goal(row)) {
            // Who has stable waits for the target.
            (_, Some(goal)) if goal.aim != Aim::Stable || !observed.runs(goal.digest) => Some(goal.template.commit),
            (Some(pin), _) => pin.spec.as_ref().map_or(runs, |good| Some(good.template.commit)),
            (None, None) if self.record.is_rejected() && self.was_reached(row) => runs,
            (None, _) => Some(self.record.target.commit),
        }
    }

    /// Whether the target that is given up reached a row.
    pub(super) fn was_reached(&self, row: &Row) -> bool {
        row.note.offered || row.note.failed.is_some() || row.is_at_target()
    }

    /// What a row goes back to: what was healthy on it last, else stable. Only what renders to the same as then was healthy.
    pub(super) fn back(&self, row: &Row) -> Option<Good> {
        let good = row.note.good.as_deref().filter(|good| row.good.as_deref() == Some(&good.digest)).copied();
        let stable = row.stable.filter(|stable| self.stable_of(row) == Some(*stable));
        let stable = || Some(Good { template: self.record.stable?, digest: stable? });
        let failed = |good: &Good| self.failed_at(row, good.digest) || row.target() == Some(good.digest);
        good.filter(|good| !failed(good)).or_else(stable).filter(|good| !failed(good))
    }

    /// Whether its attempt at what it is offered ended badly, and that is this.
    pub(super) fn failed_at(&self, row: &Row, digest: Sha256Digest) -> bool {
        let offer = row.observed.offer.as_ref().filter(|offer| offer.digest == digest);
        offer.is_some_and(|offer| row.observed.failure_of(offer).is_some())
    }

    /// What a row was to run under stable, where there is one.
    pub(super) fn stable_of(&self, row: &Row) -> Option<Sha256Digest> {
        self.record.stable.and(row.note.stable())
    }

    /// Whether a row may have the target, were it live and nothing stopped.
    pub(super) fn admits(&self, row: &Row) -> bool {
        let note = &row.note;
        let open = |place| place < self.open_waves() || (note.follows && self.has_advanced(0));
        self.record.is_complete() || note.wave.is_some_and(open)
    }

    /// Whether nobody is offered anything with this aim. What is given up stops for everybody but those who go back.
    pub(super) fn stops(&self, aim: Aim) -> bool {
        let halted = match aim {
            Aim::Target => self.record.halted.is_some(),
            Aim::Stable | Aim::Pin => self.record.halted.is_some() && !self.record.is_rejected(),
            Aim::Back => false,
        };
        halted || !self.terms.holds.is_empty()
    }
}
