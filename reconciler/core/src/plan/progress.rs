//! Waves open, complete, soak and advance; too many failures halt.

use bellwether_schemas::Percent;
use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::manifest::{Gate, WaveMembers};

use super::place::{self, Placement};
use super::record::{HaltRecord, WaveRecord};
use super::standing::{Contact, Row, Sheet, Standing};

/// How the members of one wave stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) members: u64,
    /// Members that were offered the target, or need no offer; those that are offered it by this very plan included.
    pub(super) offered: u64,
    pub(super) healthy: u64,
    pub(super) failed: u64,
    /// Of them, those that only fell silent.
    pub(super) silent: u64,
    /// Members that hold the wave's completion.
    pub(super) pending: u64,
}

/// The tallies of every wave, in order; those of waves that are not open count devices that follow an abandoned version.
pub(super) fn tallies(sheet: &Sheet<'_>) -> Vec<Tally> {
    let mut tallies = vec![Tally::default(); sheet.all_waves()];
    let stopped = sheet.stop().is_some();
    for row in &sheet.rows {
        if let Some(tally) = row.note.wave.and_then(|place| tallies.get_mut(place)) {
            tally.add(row, stopped);
        }
    }
    for (_, note) in &sheet.departed {
        if let Some(tally) = note.wave.and_then(|place| tallies.get_mut(place)) {
            tally.members += 1;
            tally.offered += u64::from(note.offered || note.failed.is_some());
            tally.failed += u64::from(note.failed.is_some());
            tally.silent += u64::from(note.failed.as_ref().is_some_and(|failed| failed.silent));
        }
    }
    tallies
}

impl Tally {
    fn add(&mut self, row: &Row<'_>, stopped: bool) {
        let failed = matches!(row.standing, Standing::Failed | Standing::RenderError);
        let offered = match row.standing {
            Standing::Healthy | Standing::Failed | Standing::RenderError => true,
            Standing::Pending => row.note.offered || row.is_at_target() || (row.contact == Contact::Live && !stopped),
            Standing::Out => row.is_at_target() && !row.is_paused(),
        };
        self.members += 1;
        self.offered += u64::from(offered);
        self.healthy += u64::from(row.standing == Standing::Healthy);
        self.failed += u64::from(failed);
        self.silent += u64::from(row.note.failed.as_ref().is_some_and(|note| failed && note.silent));
        self.pending += u64::from(row.standing == Standing::Pending && !row.note.late);
    }
}

/// Moves the waves as far as they go.
pub(super) fn progress(sheet: &mut Sheet<'_>) {
    if sheet.record.is_complete() {
        return;
    }
    let placement = place::place(sheet);
    admit_late(sheet);
    loop {
        halt(sheet);
        advance(sheet);
        sheet.blocked = blocked(sheet, &placement);
        if sheet.blocked.is_some() {
            return;
        }
        if sheet.open_waves() == sheet.all_waves() {
            return complete(sheet);
        }
        open(sheet, &placement);
        admit_late(sheet);
    }
}

/// Members that came after their wave opened are in it, and do not hold its completion.
fn admit_late(sheet: &mut Sheet<'_>) {
    let (open, all) = (sheet.open_waves(), sheet.all_waves());
    for row in sheet.rows.iter_mut().filter(|row| row.note.wave.is_none() && !row.is_paused()) {
        let selected = row.note.select.filter(|place| *place < open);
        let wave = selected.or((open == all).then(|| all.saturating_sub(1)));
        row.note.late = wave.is_some();
        row.note.wave = wave;
    }
}

/// Halts when a wave has too many failures; ends a halt that was made of silence alone.
fn halt(sheet: &mut Sheet<'_>) {
    let tallies = tallies(sheet);
    let exceeded = tallies.iter().enumerate().find(|(place, tally)| is_exceeded(sheet, *place, tally));
    let Some((place, tally)) = exceeded else {
        sheet.record.halted.take_if(|halt| halt.silence);
        return;
    };
    let wave = sheet.wave(place).name.clone();
    let silence = tally.silent == tally.failed;
    let known = sheet.record.halted.as_ref().filter(|halt| halt.wave == wave && halt.failures >= tally.failed);
    if known.is_none_or(|halt| halt.silence && !silence) {
        let silence = silence && sheet.record.halted.as_ref().is_none_or(|halt| halt.silence);
        sheet.record.halted = Some(HaltRecord { wave, failures: tally.failed, offered: tally.offered, silence });
    }
}

/// Whether a wave has more failures than it may. One failure is enough in the first wave, unless it says otherwise.
fn is_exceeded(sheet: &Sheet<'_>, place: usize, tally: &Tally) -> bool {
    let rollout = &sheet.record.rollout;
    let default = if place == 0 { Percent::ZERO } else { rollout.max_failure_rate };
    let limit = sheet.wave(place).max_failure_rate.unwrap_or(default);
    let enough = place == 0 || tally.failed >= u64::from(rollout.min_failures);
    enough && limit.is_exceeded_by(tally.failed, tally.offered)
}

/// Completes and advances the newest wave when its time has come. Completion is not undone by a member that comes back
/// later, or devices that come and go could hold a wave for ever.
fn advance(sheet: &mut Sheet<'_>) {
    let Some(place) = sheet.open_waves().checked_sub(1).filter(|place| !sheet.has_advanced(*place)) else { return };
    let tally = tallies(sheet)[place];
    let now = sheet.input.limits.now;
    let well = tally.healthy >= needed(sheet, place) && sheet.record.halted.is_none();
    let wave = &mut sheet.record.waves[place];
    wave.completed_at = wave.completed_at.or((tally.pending == 0).then_some(now)).filter(|_| well);
    let advanced = sheet.soaks_until(place).filter(|until| now >= *until).map(|_| now);
    sheet.record.waves[place].advanced_at = advanced;
    if place == 0 && advanced.is_some() && sheet.all_waves() > 1 {
        for row in sheet.rows.iter_mut().filter(|row| row.note.follows && row.note.wave.is_none()) {
            row.note.wave = Some(1);
        }
    }
}

/// How many healthy devices a wave needs. The first wave and one that names its devices never pass without any.
fn needed(sheet: &Sheet<'_>, place: usize) -> u64 {
    let least = u64::from(place == 0 || is_select(sheet, place));
    u64::from(sheet.record.rollout.min_healthy).max(least)
}

fn is_select(sheet: &Sheet<'_>, place: usize) -> bool {
    !matches!(sheet.wave(place).members(), Some(WaveMembers::Percent(_)))
}

/// Why the next wave (or, after the last one, the end of the rollout) must wait; `None` when it need not.
fn blocked(sheet: &Sheet<'_>, placement: &Placement) -> Option<WaitingOn> {
    if let Some(place) = sheet.open_waves().checked_sub(1).filter(|place| !sheet.has_advanced(*place)) {
        return Some(unfinished(sheet, place));
    }
    if sheet.record.halted.is_some() {
        return sheet.stop();
    }
    let place = sheet.open_waves();
    // Nothing is decided by the few that reported first.
    if sheet.awaits_reconnect() {
        return Some(WaitingOn::Reconnects { until: sheet.input.limits.grace_end() });
    }
    if place == sheet.all_waves() || is_skipped(sheet, placement, place) {
        return None;
    }
    if let Some(stop) = sheet.stop() {
        return Some(stop);
    }
    let wave = sheet.wave(place);
    if is_gate_closed(sheet, place) {
        return Some(WaitingOn::Gate { wave: wave.name.clone(), commit: sheet.record.target.commit });
    }
    let live = |i: &usize| sheet.rows[*i].contact == Contact::Live;
    let must = place == 0 || is_select(sheet, place);
    let empty = must && !placement.rows(place).iter().any(live);
    empty.then(|| WaitingOn::EmptyWave { wave: wave.name.clone() })
}

/// A later percent wave that adds nobody is skipped, and its gate with it; not where devices may be unknown.
fn is_skipped(sheet: &Sheet<'_>, placement: &Placement, place: usize) -> bool {
    let follows = |row: &Row<'_>| row.note.wave == Some(place);
    let adds_nobody = placement.rows(place).is_empty() && !sheet.rows.iter().any(follows);
    let keeps_gate = sheet.record.rebuilt && is_gate_closed(sheet, place);
    place > 0 && !is_select(sheet, place) && adds_nobody && !keeps_gate
}

fn is_gate_closed(sheet: &Sheet<'_>, place: usize) -> bool {
    let wave = sheet.wave(place);
    wave.gate == Gate::Manual && !sheet.input.approved.contains(&wave.name)
}

/// What an open wave waits for.
fn unfinished(sheet: &Sheet<'_>, place: usize) -> WaitingOn {
    let wave = sheet.wave(place);
    let name = wave.name.clone();
    if let Some(until) = sheet.soaks_until(place) {
        return WaitingOn::Soak { wave: name, until };
    }
    let tally = tallies(sheet)[place];
    if sheet.record.halted.is_some() || tally.pending > 0 {
        let next = sheet.record.rollout.waves.get(place + 1).unwrap_or(wave);
        return WaitingOn::Wave { wave: next.name.clone(), after: name };
    }
    match tally.healthy + tally.failed {
        0 => WaitingOn::EmptyWave { wave: name },
        _ => WaitingOn::TooFewHealthy { wave: name, healthy: tally.healthy, needed: needed(sheet, place) },
    }
}

/// Opens the next wave: it takes its members once, and they are recorded.
fn open(sheet: &mut Sheet<'_>, placement: &Placement) {
    let place = sheet.open_waves();
    let skipped = is_skipped(sheet, placement, place).then_some(sheet.input.limits.now);
    for i in placement.rows(place) {
        // Who followed an abandoned version is in a wave already.
        let note = &mut sheet.rows[*i].note;
        note.wave = note.wave.or(Some(place));
    }
    sheet.record.waves.push(WaveRecord {
        name: sheet.wave(place).name.clone(),
        opened_at: sheet.input.limits.now,
        completed_at: skipped,
        advanced_at: skipped,
    });
}

/// Every wave advanced: the target is stable.
fn complete(sheet: &mut Sheet<'_>) {
    sheet.record.stable = Some(sheet.record.target);
    sheet.departed.clear();
    for row in &mut sheet.rows {
        let note = &mut row.note;
        note.before = note.before.filter(|_| note.target.is_none());
        (note.joined, note.follows) = (false, false);
    }
}
