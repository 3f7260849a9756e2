//! How each member stands to the target: the working sheet of one plan.

use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::manifest::Wave;
use bellwether_schemas::report::{Failure, FailureKind, Health};
use bellwether_schemas::{DeviceName, Seconds, Sha256Digest, Version};
use jiff::Timestamp;

use super::record::{FailureNote, MemberRecord, RolloutRecord, WaveRecord};
use super::{FleetInput, Member, Observed, Offer, Timing};

/// Whether a device is heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contact {
    /// It reported within `staleAfter`.
    Live,
    /// It is silent, and it is too early to judge that: the reconciler just started, or the device just enrolled. What
    /// it said before the start is no news: it shows neither health nor failure.
    Silent,
    /// It is silent for too long.
    Stale,
}

/// How a member stands to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Paused, or away: it neither holds a wave nor counts.
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
pub(super) struct Row<'a> {
    pub(super) member: &'a Member,
    pub(super) note: MemberRecord,
    pub(super) contact: Contact,
    pub(super) standing: Standing,
}

/// Everything that one plan works on. The record's members are in `rows` and `departed` meanwhile.
pub(super) struct Sheet<'a> {
    pub(super) input: &'a FleetInput<'a>,
    pub(super) record: RolloutRecord,
    pub(super) rows: Vec<Row<'a>>,
    pub(super) departed: Vec<(DeviceName, MemberRecord)>,
    /// Whether members are recorded that are no members now: they left, or are not known of yet.
    pub(super) unknown: bool,
    /// Why the next wave is not open, once the waves have progressed.
    pub(super) blocked: Option<WaitingOn>,
}

/// `t + span`; the end of time where that is beyond it.
pub(super) fn after(t: Timestamp, span: Seconds) -> Timestamp {
    t.checked_add(span.signed()).unwrap_or(Timestamp::MAX)
}

impl Timing {
    /// Until then silence is not judged.
    pub(super) fn grace_end(&self) -> Timestamp {
        after(self.serving_since, self.stale_after)
    }

    pub(super) fn contact(&self, observed: &Observed) -> Contact {
        let silent_since = observed.last_seen.unwrap_or(observed.enrolled_at);
        match self.now < after(silent_since, self.stale_after) {
            true if observed.last_seen.is_some() => Contact::Live,
            true => Contact::Silent,
            false if self.now < self.grace_end() => Contact::Silent,
            false => Contact::Stale,
        }
    }
}

impl Observed {
    /// The failure that its last attempt at `offer` ended with.
    pub(super) fn failure_of(&self, offer: &Offer) -> Option<&Failure> {
        self.failure.as_ref().filter(|f| f.version == Some(offer.version) && f.kind != FailureKind::Transient)
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
        offer.acknowledged_at.is_some() || self.changing == Some(offer.version)
    }

    pub(super) fn runs(&self, digest: Sha256Digest) -> bool {
        self.running.is_some_and(|running| running.digest == digest)
    }
}

impl Row<'_> {
    pub(super) fn is_paused(&self) -> bool {
        self.member.observed.paused.is_some()
    }

    /// Whether it is expected back: records were lost, and devices had no time yet to report.
    pub(super) fn is_awaited(&self, timing: &Timing) -> bool {
        self.member.observed.paused == Some(WaitingOn::AwaitingReconnect) && timing.now < timing.grace_end()
    }

    pub(super) fn target(&self) -> Option<Sha256Digest> {
        self.member.target.as_ref().ok().copied()
    }

    pub(super) fn is_at_target(&self) -> bool {
        self.target().is_some_and(|digest| self.member.observed.runs(digest))
    }

    /// The offer of the target that was made to it in this rollout, whatever became of it.
    pub(super) fn own_offer(&self) -> Option<&Offer> {
        let offer = self.member.observed.offer.as_ref().filter(|_| self.note.offered);
        offer.filter(|offer| Some(offer.digest) == self.target())
    }

    /// Since when its `deviceTimeout` runs, as long as it does: while it is on its way to the target, and while it runs
    /// the target and does not say how that is.
    fn runs_since(&self, waves: &[WaveRecord]) -> Option<Timestamp> {
        let observed = &self.member.observed;
        let offered = self.own_offer().map(|offer| offer.offered_at);
        let begun = match (self.is_at_target(), observed.health) {
            (false, _) => offered,
            // It may have come by the target without an offer of this rollout.
            (true, Health::Unknown) => offered.or_else(|| Some(waves.get(self.note.wave?)?.opened_at)),
            (true, Health::Healthy | Health::Unhealthy) => None,
        };
        let begun = begun.filter(|_| self.note.failed.is_none())?;
        Some(observed.last_progress.map_or(begun, |progress| progress.max(begun)))
    }

    /// Brings `note.failed` up to date, and says how the member stands.
    fn judge(&mut self, rules: &Rules<'_>) -> Standing {
        let observed = &self.member.observed;
        let note = |version: Version, silent| Some(FailureNote { version, silent });
        let is_due = self.runs_since(rules.waves).is_some_and(|since| rules.is_due(since));
        if self.is_paused() {
            let awaited = observed.paused == Some(WaitingOn::AwaitingReconnect);
            return match self.is_awaited(&rules.timing) {
                // That records were lost mends nothing: what failed, or fell silent, counts until it says otherwise.
                _ if awaited && self.note.failed.is_some() => Standing::Failed,
                true => Standing::Pending,
                false => Standing::Out,
            };
        }
        if self.member.target.is_err() {
            return Standing::RenderError;
        }
        if let Some(running) = observed.running.filter(|running| Some(running.digest) == self.target()) {
            match (self.contact, observed.health) {
                (Contact::Stale, _) if self.fell_silent_in(rules.first_soak()) => {
                    self.note.failed = self.note.failed.take().or(note(running.version, true));
                }
                // What is stored of a device that did not report since the start is no health.
                (Contact::Stale | Contact::Silent, _) => {}
                // A healthy return leaves the failed set.
                (Contact::Live, Health::Healthy) => {
                    self.note.failed = None;
                    return Standing::Healthy;
                }
                (Contact::Live, Health::Unhealthy) => self.note.failed = note(running.version, false),
                (Contact::Live, Health::Unknown) if is_due => self.note.failed = note(running.version, false),
                (Contact::Live, Health::Unknown) => {}
            }
        } else if let Some(offer) = self.own_offer().copied() {
            let begun = observed.has_begun(&offer);
            if observed.failure_of(&offer).is_some() {
                self.note.failed = note(offer.version, false);
            } else if is_due {
                // Silence before the point of no return is no failure: the offer is withdrawn instead.
                match self.contact {
                    Contact::Live => self.note.failed = note(offer.version, false),
                    _ if begun => self.note.failed = note(offer.version, true),
                    _ => {}
                }
            }
            if self.note.failed.is_none() && begun {
                return Standing::Pending;
            }
        }
        match self.contact {
            _ if self.note.failed.is_some() => Standing::Failed,
            Contact::Stale => Standing::Out,
            Contact::Live | Contact::Silent => Standing::Pending,
        }
    }

    /// Whether it was heard of in the first wave, and no more before that wave advanced.
    fn fell_silent_in(&self, first_soak: Option<&WaveRecord>) -> bool {
        let seen_in = |wave: &WaveRecord| self.member.observed.last_seen.is_some_and(|seen| seen >= wave.opened_at);
        self.note.wave == Some(0) && first_soak.is_some_and(seen_in)
    }
}

/// What failures are judged by.
struct Rules<'a> {
    timing: Timing,
    timeout: Seconds,
    /// The waves that are open.
    waves: &'a [WaveRecord],
}

impl Rules<'_> {
    /// Whether what runs since then has run out of time.
    fn is_due(&self, since: Timestamp) -> bool {
        self.timing.now >= self.timing.grace_end() && self.timing.now >= after(since, self.timeout)
    }

    /// The first wave, while it has not advanced.
    fn first_soak(&self) -> Option<&WaveRecord> {
        self.waves.first().filter(|wave| wave.advanced_at.is_none())
    }
}

impl<'a> Sheet<'a> {
    /// Says of each member how it stands.
    pub(super) fn judge(&mut self) {
        let rules =
            Rules { timing: self.input.limits, timeout: self.record.rollout.device_timeout, waves: &self.record.waves };
        for row in &mut self.rows {
            row.standing = row.judge(&rules);
        }
    }

    /// Whether records were lost, and devices had no time yet to report: some may even be unknown.
    pub(super) fn awaits_reconnect(&self) -> bool {
        let limits = &self.input.limits;
        let is_awaited = |row: &Row<'_>| row.is_awaited(limits);
        limits.now < limits.grace_end() && (self.record.rebuilt || self.unknown || self.rows.iter().any(is_awaited))
    }

    pub(super) fn wave(&self, place: usize) -> &Wave {
        &self.record.rollout.waves[place]
    }

    /// How many waves the Rollout has.
    pub(super) fn all_waves(&self) -> usize {
        self.record.rollout.waves.len()
    }

    /// How many waves are open.
    pub(super) fn open_waves(&self) -> usize {
        self.record.waves.len()
    }

    pub(super) fn has_advanced(&self, place: usize) -> bool {
        self.record.waves.get(place).is_some_and(|wave| wave.advanced_at.is_some())
    }

    /// When the soak of a wave that is complete ends. Only time in which devices could report counts, so that a start
    /// begins it anew.
    pub(super) fn soaks_until(&self, place: usize) -> Option<Timestamp> {
        let completed = self.record.waves.get(place)?.completed_at?;
        Some(after(completed.max(self.input.limits.serving_since), self.wave(place).soak))
    }

    /// Why nobody is offered anything.
    pub(super) fn stop(&self) -> Option<WaitingOn> {
        if let Some(hold) = self.input.holds.first() {
            return Some(WaitingOn::Held { hold: hold.path.clone(), reason: hold.reason.clone() });
        }
        self.record.halted.as_ref().map(|halt| WaitingOn::Halted {
            wave: halt.wave.clone(),
            failures: halt.failures,
            offered: halt.offered,
            commit: self.record.target.commit,
        })
    }

    /// Whether a member may have the target, were it live and nothing stopped.
    pub(super) fn admits(&self, note: &MemberRecord) -> bool {
        let open = |place| place < self.open_waves() || (note.follows && self.has_advanced(0));
        self.record.is_complete() || note.wave.is_some_and(open)
    }

    pub(super) fn into_record(self) -> RolloutRecord {
        let rows = self.rows.into_iter().map(|row| (row.member.device.clone(), row.note));
        let members = rows.chain(self.departed).collect();
        RolloutRecord { members, ..self.record }
    }

    /// The next time at which silence, a timeout or a soak can change the plan.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        let limits = self.input.limits;
        let soaks = (0..self.open_waves()).filter(|place| !self.has_advanced(*place));
        let soaks = soaks.filter_map(|place| self.soaks_until(place));
        let rows = self.rows.iter().filter(|row| !row.is_paused()).flat_map(|row| {
            let observed = &row.member.observed;
            let is_done = row.is_at_target() && row.standing != Standing::Pending;
            let settled = is_done && (row.note.wave != Some(0) || self.has_advanced(0));
            let silence = after(observed.last_seen.unwrap_or(observed.enrolled_at), limits.stale_after);
            let timeout = row.runs_since(&self.record.waves).map(|at| after(at, self.record.rollout.device_timeout));
            let waits = row.contact == Contact::Silent || timeout.is_some();
            [(!settled).then_some(silence), timeout, waits.then(|| limits.grace_end())].into_iter().flatten()
        });
        let awaited = self.awaits_reconnect().then(|| limits.grace_end());
        soaks.chain(rows).chain(awaited).filter(|at| *at > limits.now).min()
    }
}
