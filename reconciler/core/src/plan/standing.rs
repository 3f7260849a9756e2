//! How each member stands to the target: the working sheet of one plan.

use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::manifest::Wave;
use bellwether_schemas::report::{Failure, FailureKind, Health, Phase};
use bellwether_schemas::{DeviceName, Seconds, Sha256Digest};
use jiff::Timestamp;

use super::record::{FailureNote, MemberRecord, RolloutRecord, WaveRecord};
use super::{FleetInput, Member, Observed, Offer, Timing};

/// Whether a device is heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contact {
    /// It reported within `staleAfter`.
    Live,
    /// It is silent, and it is too early to judge that: the reconciler just started, or the device just enrolled.
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
        let changes = matches!(self.phase, Phase::Probing | Phase::Soaking | Phase::RollingBack);
        let applies = self.applying.is_some_and(|applying| applying.version == offer.version);
        offer.acknowledged_at.is_some() || (changes && applies)
    }

    pub(super) fn runs(&self, digest: Sha256Digest) -> bool {
        self.running.is_some_and(|running| running.digest == digest)
    }
}

impl Row<'_> {
    pub(super) fn is_paused(&self) -> bool {
        self.member.observed.paused.is_some()
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

    /// Brings `note.failed` up to date, and says how the member stands.
    fn judge(&mut self, rules: &Rules<'_>) -> Standing {
        let observed = &self.member.observed;
        let note = |version, silent| Some(FailureNote { version, silent });
        if self.is_paused() {
            return Standing::Out;
        }
        if self.member.target.is_err() {
            return Standing::RenderError;
        }
        if let Some(running) = observed.running.filter(|running| Some(running.digest) == self.target()) {
            match (self.contact, observed.health) {
                (Contact::Stale, _) if self.fell_silent_in(rules.first_soak) => {
                    self.note.failed = self.note.failed.take().or(note(running.version, true));
                }
                (Contact::Stale, _) => {}
                // A healthy return leaves the failed set.
                (_, Health::Healthy) => {
                    self.note.failed = None;
                    return Standing::Healthy;
                }
                (_, Health::Unhealthy) => self.note.failed = note(running.version, false),
                (_, Health::Unknown) => {}
            }
        } else if let Some(offer) = self.own_offer().copied() {
            let begun = observed.has_begun(&offer);
            if observed.failure_of(&offer).is_some() {
                self.note.failed = note(offer.version, false);
            } else if self.note.failed.is_none() && rules.is_due(observed, &offer) {
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
    /// The first wave, while it has not advanced.
    first_soak: Option<&'a WaveRecord>,
}

impl Rules<'_> {
    fn is_due(&self, observed: &Observed, offer: &Offer) -> bool {
        self.timing.now >= self.timing.grace_end() && self.timing.now >= due(observed, offer, self.timeout)
    }
}

/// When an offer runs out of time.
pub(super) fn due(observed: &Observed, offer: &Offer, timeout: Seconds) -> Timestamp {
    after(observed.last_progress.map_or(offer.offered_at, |progress| progress.max(offer.offered_at)), timeout)
}

impl<'a> Sheet<'a> {
    /// Says of each member how it stands.
    pub(super) fn judge(&mut self) {
        let rules = Rules {
            timing: self.input.limits,
            timeout: self.record.rollout.device_timeout,
            first_soak: self.record.waves.first().filter(|wave| wave.advanced_at.is_none()),
        };
        for row in &mut self.rows {
            row.standing = row.judge(&rules);
        }
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
        let soaks = self.record.waves.iter().enumerate().filter(|(_, wave)| wave.advanced_at.is_none());
        let soaks = soaks.filter_map(|(place, wave)| Some(after(wave.completed_at?, self.wave(place).soak)));
        let rows = self.rows.iter().filter(|row| !row.is_paused()).flat_map(|row| {
            let observed = &row.member.observed;
            let settled = row.is_at_target() && (row.note.wave != Some(0) || self.has_advanced(0));
            let silence = after(observed.last_seen.unwrap_or(observed.enrolled_at), limits.stale_after);
            let timeout = row.own_offer().filter(|_| row.note.failed.is_none() && !row.is_at_target());
            let timeout = timeout.map(|offer| due(observed, offer, self.record.rollout.device_timeout));
            let waits = row.contact == Contact::Silent || timeout.is_some();
            [(!settled).then_some(silence), timeout, waits.then(|| limits.grace_end())].into_iter().flatten()
        });
        soaks.chain(rows).filter(|at| *at > limits.now).min()
    }
}
