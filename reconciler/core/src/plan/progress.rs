//! Waves open, complete, soak and advance; too many failures halt, or give the target up.

use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::manifest::{Gate, OnFailure, SkipStep, Wave, WaveMembers};
use jiff::Timestamp;

use super::Unmet;
use super::place::{index, live_stand_in};
use super::planner::Planner;
use super::record::{HaltRecord, WaveRecord};
use super::tally::Tally;
use super::timing::Contact;

impl Planner {
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

    /// Whether a signed Expedite skips a step.
    pub(super) fn skips(&self, step: SkipStep) -> bool {
        self.terms.decisions.expedited.contains(&step)
    }

    /// When the soak of a wave that is complete ends. Only time in which devices could report counts.
    pub(super) fn soaks_until(&self, place: usize) -> Option<Timestamp> {
        let completed = self.record.waves.get(place)?.completed_at?;
        if self.skips(SkipStep::Soak) {
            return Some(completed);
        }
        let until = self.record.gaps.after(completed, self.wave(place).soak);
        let was_down = completed < self.timing.serving_since;
        Some(if was_down { until.max(self.timing.grace_end()) } else { until })
    }

    /// When a wave advances that is complete. The last look of its last device may come in the second in which the soak ends, and
    /// counts; a device that never comes to an end with its own soak is waited for no longer than `deviceTimeout`.
    pub(super) fn advances_at(&self, place: usize) -> Option<Timestamp> {
        let until = self.soaks_until(place)?;
        let is_waited_for = self.tallies[place].soaking > 0 && !self.skips(SkipStep::Soak);
        Some(if is_waited_for { self.record.gaps.after(until, self.record.rollout.device_timeout) } else { until })
    }

    /// Why nobody is offered the target.
    pub(super) fn stop(&self) -> Option<WaitingOn> {
        self.rewound().or_else(|| self.unsound()).or_else(|| self.held()).or_else(|| self.halted())
    }

    /// That the history was rewound.
    pub(super) fn rewound(&self) -> Option<WaitingOn> {
        let condition = self.terms.condition.clone();
        self.is_frozen().then_some(WaitingOn::Repository { condition })
    }

    /// That its plan breaks a rule.
    pub(super) fn unsound(&self) -> Option<WaitingOn> {
        let breach = self.unsound.as_ref()?.to_string();
        Some(WaitingOn::Unsound { breach })
    }

    pub(super) fn held(&self) -> Option<WaitingOn> {
        let hold = self.terms.holds.first()?;
        Some(WaitingOn::Held { hold: hold.path.clone(), reason: hold.reason.clone() })
    }

    /// That it stopped by itself, where it did.
    pub fn halted(&self) -> Option<WaitingOn> {
        let HaltRecord { wave, failures, offered, unrendered, reverts, .. } = self.record.halted.clone()?;
        let commit = self.record.target.commit;
        Some(match reverts {
            true => WaitingOn::Rejected { wave, failures, offered, unrendered, commit },
            false => WaitingOn::Halted { wave, failures, offered, unrendered, commit },
        })
    }

    /// How many devices a wave that selects by label takes at most.
    pub(super) fn select_limit(&self, place: usize, fleet: usize) -> usize {
        let Some(limit) = self.wave(place).limit else { return usize::MAX };
        let fleet = u64::try_from(fleet).expect("a count fits into 64 bits");
        usize::try_from(limit.floor_of(fleet).max(1)).expect("at most the fleet")
    }

    /// Moves the waves as far as they go.
    pub(super) fn progress(&mut self) {
        if self.record.is_complete() {
            return;
        }
        loop {
            self.halt();
            self.advance();
            self.blocked = self.blocked_by();
            if self.blocked.is_some() {
                return;
            }
            if self.open_waves() == self.all_waves() {
                return self.complete();
            }
            self.open();
            self.admit_late();
        }
    }

    /// Members that came after their wave opened are in it, and do not hold its completion.
    pub(super) fn admit_late(&mut self) {
        if self.record.is_complete() || self.open_waves() == 0 {
            return;
        }
        for i in 0..self.rows.len() {
            self.admit_if_late(i);
        }
    }

    /// The same for one of them.
    pub(super) fn admit_if_late(&mut self, i: usize) {
        let (open, all) = (self.open_waves(), self.all_waves());
        let row = &self.rows[i];
        if open == 0 || self.record.is_complete() || row.note.wave.is_some() || row.is_apart() {
            return;
        }
        let has_room = |place: &usize| {
            let members = self.tallies[*place].members;
            usize::try_from(members).is_ok_and(|members| members < self.select_limit(*place, self.rows.len()))
        };
        // What an emergency fix goes past takes nobody, and its gate stays shut for those who come later.
        let is_passed = |place: &usize| open < all && self.is_passed(*place);
        let selected = row.note.select.filter(|place| *place < open && !is_passed(place)).filter(has_room);
        if let Some(wave) = selected.or((open == all).then(|| all.saturating_sub(1))) {
            self.change(i, |row| (row.note.late, row.note.wave) = (true, Some(wave)));
            self.placement = None;
        }
    }

    /// Halts when a wave has too many failures; ends a halt that was made of silence alone, or that a signed Approval ends.
    fn halt(&mut self) {
        let mut acknowledged = self.terms.decisions.acknowledged;
        let mut found = None;
        for place in 0..self.all_waves() {
            let tally = self.tallies[place];
            let known = tally.failed.min(acknowledged);
            acknowledged -= known;
            if found.is_none() && self.is_exceeded(place, &tally, known) {
                found = Some((place, tally, self.is_exceeded(place, &without_silence(&tally), known)));
            }
        }
        let Some((place, tally, is_real)) = found else {
            let resumed = self.terms.decisions.acknowledged;
            let is_over = |halt: &HaltRecord| halt.silence || resumed > halt.acknowledged || self.is_retried(halt);
            if self.record.halted.as_ref().is_some_and(is_over) {
                self.record.halted = None;
            }
            return;
        };
        let (wave, failures, unrendered) = (self.wave(place).name.clone(), tally.failed, tally.unrendered);
        let offered = tally.offered - unrendered;
        let before = self.record.halted.as_ref();
        let known = before.filter(|halt| halt.wave == wave && halt.failures >= failures);
        if known.is_none_or(|halt| halt.silence && is_real) {
            let silence = !is_real && before.is_none_or(|halt| halt.silence);
            let reverts = !silence && self.record.rollout.on_failure == OnFailure::Revert;
            let at = before.map_or(self.timing.now, |halt| halt.at);
            let decisions = &self.terms.decisions;
            let (acknowledged, retried) = (decisions.acknowledged, decisions.retried.values().copied().max());
            let retried = retried.unwrap_or(0);
            self.record.halted =
                Some(HaltRecord { wave, failures, offered, unrendered, at, silence, reverts, acknowledged, retried });
        }
    }

    /// Whether signed Approvals that landed since let so many devices of the wave try again that those that are left would not
    /// have halted it. What became healthy by itself is no reason to go on.
    fn is_retried(&self, halt: &HaltRecord) -> bool {
        let Some(place) = self.record.rollout.waves.iter().position(|wave| wave.name == halt.wave) else {
            return false;
        };
        let decisions = &self.terms.decisions;
        let newer = decisions.retried.iter().filter(|(_, landed)| **landed > halt.retried);
        let has_failed_in_wave = |device, landed| {
            let row = self.row_of(device).map(|i| &self.rows[i]).filter(|row| row.note.wave == Some(place));
            row.is_some_and(|row| {
                let told = row.observed.failure.as_deref().filter(|failure| failure.digest == row.target());
                let failed = [row.note.excused.as_deref().copied(), told.and_then(|failure| failure.version)];
                failed.into_iter().flatten().any(|version| version.landing < landed)
            })
        };
        let named = newer.filter(|(device, landed)| has_failed_in_wave(device, **landed)).count();
        let named = u64::try_from(named).expect("a count fits into 64 bits");
        let earlier: u64 = self.tallies[..place].iter().map(|tally| tally.failed).sum();
        let acknowledged = decisions.acknowledged.saturating_sub(earlier);
        let HaltRecord { failures: failed, offered, unrendered, .. } = *halt;
        let tally = Tally { failed, offered: offered + unrendered, unrendered, ..self.tallies[place] };
        named > 0 && !self.is_exceeded(place, &tally, named.saturating_add(acknowledged))
    }

    /// Whether a wave has more failures than it may, beyond those that are acknowledged. One is enough in the first wave,
    /// unless it says otherwise. What could not be rendered is known of all members, what failed of those that were offered it.
    fn is_exceeded(&self, place: usize, tally: &Tally, acknowledged: u64) -> bool {
        let rollout = &self.record.rollout;
        let limit = rollout.failure_rate_of(place);
        let failed = tally.failed.saturating_sub(acknowledged);
        let attempts = failed.saturating_sub(tally.unrendered);
        let enough = place == 0 || failed >= u64::from(rollout.min_failures);
        enough
            && (limit.is_exceeded_by(attempts, tally.offered.saturating_sub(tally.unrendered))
                || tally.unrendered > 0 && limit.is_exceeded_by(failed, tally.members))
    }

    /// Completes and advances the newest wave when its time has come. Completion is not undone by a member that comes back
    /// later, or devices that come and go could hold a wave for ever.
    fn advance(&mut self) {
        let Some(place) = self.open_waves().checked_sub(1).filter(|place| !self.has_advanced(*place)) else { return };
        let tally = self.tallies[place];
        let now = self.timing.now;
        let hurries = self.skips(SkipStep::Waves);
        let is_last = place + 1 == self.all_waves();
        let done = self.pending(place).is_none() || (hurries && !is_last);
        // Soon after a start nobody may have reported again: what has soaked is not lost, and nothing advances by it.
        let had_completed = self.record.waves[place].completed_at.is_some_and(|at| at < self.timing.serving_since);
        let is_early = now < self.timing.grace_end() && had_completed && !self.skips(SkipStep::Soak);
        let well = (tally.healthy >= self.needed(place) || is_early) && self.record.halted.is_none();
        let wave = &mut self.record.waves[place];
        wave.completed_at = wave.completed_at.or(done.then_some(now)).filter(|_| well);
        let advanced = self.advances_at(place).filter(|at| now >= *at).map(|_| now);
        self.record.waves[place].advanced_at = advanced;
        if place == 0 && advanced.is_some() && self.all_waves() > 1 {
            for i in 0..self.rows.len() {
                let note = &self.rows[i].note;
                if note.follows && note.wave.is_none() {
                    self.change(i, |row| row.note.wave = Some(1));
                }
            }
            self.placement = None;
        }
    }

    /// The wave whose members hold that the wave at `place` is complete: itself, or at the end of the rollout one from which an
    /// emergency fix left somebody behind.
    pub(super) fn pending(&self, place: usize) -> Option<usize> {
        let is_last = place + 1 == self.all_waves();
        let earlier = (0..place).filter(|_| is_last);
        std::iter::once(place).chain(earlier).find(|place| self.tallies[*place].pending > 0)
    }

    /// How many healthy devices a wave needs. The first wave and one that names its devices never pass without any.
    fn needed(&self, place: usize) -> u64 {
        let least = u64::from(place == 0 || self.is_select(place));
        if place > 0 && self.skips(SkipStep::Waves) && place + 1 < self.all_waves() {
            return 0;
        }
        u64::from(self.record.rollout.min_healthy).max(least)
    }

    fn is_select(&self, place: usize) -> bool {
        !matches!(self.wave(place).members(), Some(WaveMembers::Percent(_)))
    }

    /// Why the next wave (or, after the last one, the end of the rollout) must wait; `None` when it need not.
    fn blocked_by(&mut self) -> Option<WaitingOn> {
        if let Some(place) = self.open_waves().checked_sub(1).filter(|place| !self.has_advanced(*place)) {
            return Some(self.unfinished(place));
        }
        if self.record.halted.is_some() {
            return self.stop();
        }
        let place = self.open_waves();
        // Nothing is decided by the few that reported first.
        if self.awaits_reconnect() {
            return Some(WaitingOn::Reconnects { until: self.timing.grace_end() });
        }
        if place == self.all_waves() {
            return None;
        }
        if let Some(unmet) = self.terms.unmet.first().filter(|_| place == 0) {
            return Some(match unmet {
                Unmet::After(fleet) => WaitingOn::After { fleet: fleet.clone(), commit: self.record.target.commit },
                Unmet::Artifact { name, why } => WaitingOn::Artifact { name: name.clone(), why: why.clone() },
            });
        }
        if self.is_skipped(place) {
            return None;
        }
        if let Some(stop) = self.stop() {
            return Some(stop);
        }
        if self.is_gate_closed(place) {
            let wave = self.wave(place).name.clone();
            return Some(WaitingOn::Gate { wave, commit: self.record.target.commit });
        }
        let must = place == 0 || self.is_select(place);
        self.place_now();
        let placement = self.placement.as_ref().expect("it was made just now");
        let live = |i: &u32| self.rows[index(*i)].contact == Contact::Live;
        let lives = placement.rows(place).iter().any(live) || (place == 0 && live_stand_in(self, placement).is_some());
        (must && !lives).then(|| WaitingOn::EmptyWave { wave: self.wave(place).name.clone() })
    }

    /// A later percent wave that adds nobody is skipped, and its gate with it; not where devices may be unknown. An emergency
    /// fix goes from the first wave to the last.
    fn is_skipped(&mut self, place: usize) -> bool {
        if place == 0 {
            return false;
        }
        if self.is_passed(place) {
            return true;
        }
        // Who followed and left, or takes no part, would never come to an end in it.
        let follows = self.tallies[place].present > 0;
        let adds_nobody = !follows && self.place_now().rows(place).is_empty();
        let keeps_gate = self.record.rebuilt && self.is_gate_closed(place);
        !self.is_select(place) && adds_nobody && !keeps_gate
    }

    /// Whether an emergency fix goes past a wave.
    pub(super) fn is_passed(&self, place: usize) -> bool {
        self.skips(SkipStep::Waves) && place > 0 && place + 1 < self.all_waves()
    }

    fn is_gate_closed(&self, place: usize) -> bool {
        let wave = self.wave(place);
        let is_open = self.terms.decisions.opened.contains(&wave.name) || self.skips(SkipStep::Gates);
        wave.gate == Gate::Manual && !is_open
    }

    /// What an open wave waits for.
    fn unfinished(&self, place: usize) -> WaitingOn {
        let wave = self.wave(place);
        let name = wave.name.clone();
        let tally = self.tallies[place];
        let soaks_until = self.soaks_until(place);
        if let Some(until) = soaks_until.filter(|until| self.timing.now < *until) {
            return WaitingOn::Soak { wave: name, until };
        }
        let pending = self.pending(place);
        if self.record.halted.is_some() || pending.is_some() || soaks_until.is_some() {
            let next = self.record.rollout.waves.get(place + 1).unwrap_or(wave);
            let after = self.wave(pending.unwrap_or(place)).name.clone();
            return WaitingOn::Wave { wave: next.name.clone(), after };
        }
        match tally.healthy + tally.failed + tally.late {
            0 => WaitingOn::EmptyWave { wave: name },
            _ => WaitingOn::TooFewHealthy { wave: name, healthy: tally.healthy, needed: self.needed(place) },
        }
    }

    /// Opens the next wave: it takes its members once, and they are recorded.
    fn open(&mut self) {
        let place = self.open_waves();
        let skipped = self.is_skipped(place);
        let hurried = skipped && self.skips(SkipStep::Waves);
        let placement = self.take_placement();
        let stand_in = (place == 0).then(|| live_stand_in(self, &placement)).flatten();
        let taken = placement.rows(place).iter().filter(|_| !hurried).copied().chain(stand_in);
        for i in taken {
            // Who followed an abandoned version is in a wave already.
            self.change(index(i), |row| row.note.wave = row.note.wave.or(Some(place)));
        }
        let skipped = skipped.then_some(self.timing.now);
        self.record.waves.push(WaveRecord {
            name: self.wave(place).name.clone(),
            opened_at: self.timing.now,
            completed_at: skipped,
            advanced_at: skipped,
        });
    }

    /// Every wave advanced: the target is stable.
    fn complete(&mut self) {
        self.record.stable = Some(self.record.target);
        for (_, note) in std::mem::take(&mut self.departed) {
            self.uncount_departed(&note);
        }
        for row in &mut self.rows {
            let note = &mut row.note;
            note.before = note.before.filter(|_| note.target.is_none());
            note.good = note.good.take().filter(|_| !note.healthy);
            (note.joined, note.follows) = (false, false);
            row.stable = row.target();
        }
        self.members_changed = true;
    }
}

/// A tally without those that only fell silent.
fn without_silence(tally: &Tally) -> Tally {
    Tally { failed: tally.failed - tally.silent, ..*tally }
}
