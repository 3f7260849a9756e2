//! Which devices each wave takes: by label, or the lowest hashes.

use bellwether_schemas::manifest::WaveMembers;
use bellwether_schemas::{CommitId, DeviceName, FleetName, Percent};
use sha2::{Digest as _, Sha256};

use super::standing::{Contact, Row, Sheet};

/// Who would be in each wave that is not open yet, were it to open now.
pub(super) struct Placement {
    /// How many waves were open.
    first: usize,
    /// Rows by wave, from the first that is not open.
    waves: Vec<Vec<usize>>,
    /// The wave of each row that is in none yet.
    of_row: Vec<Option<usize>>,
}

impl Placement {
    /// The rows that the wave at `place` takes; it must not be open yet.
    pub(super) fn rows(&self, place: usize) -> &[usize] {
        place.checked_sub(self.first).and_then(|i| self.waves.get(i)).map_or(&[], Vec::as_slice)
    }

    /// The wave that row `i` would be in.
    pub(super) fn wave_of(&self, i: usize) -> Option<usize> {
        self.of_row[i]
    }
}

/// Places every member that is in no wave. Paused members are in no denominator, and are not placed.
pub(super) fn place(sheet: &Sheet<'_>) -> Placement {
    let first = sheet.open_waves();
    let mut of_row: Vec<Option<usize>> = vec![None; sheet.rows.len()];
    if sheet.record.is_complete() || first == sheet.all_waves() {
        return Placement { first, waves: Vec::new(), of_row };
    }
    let counted = sheet.rows.iter().filter(|row| !row.is_paused());
    let fleet = counted.clone().count();
    let mut placed = counted.filter(|row| row.note.wave.is_some()).count();
    let order = order(sheet);
    let last = sheet.all_waves() - 1;
    let mut waves = Vec::new();
    for place in first..=last {
        let free = order.iter().copied().filter(|i| of_row[*i].is_none());
        let takes: Vec<usize> = match sheet.wave(place).members() {
            Some(WaveMembers::Select(_)) => free.filter(|i| sheet.rows[*i].note.select == Some(place)).collect(),
            Some(WaveMembers::Percent(percent)) => {
                // A joiner belongs to the first wave that selects it, else to the last.
                let free = free.filter(|i| !sheet.rows[*i].note.joined || place == last);
                let wanted = up_to(percent, fleet).saturating_sub(placed);
                if place == 0 { first_wave(sheet, free.collect(), wanted) } else { free.take(wanted).collect() }
            }
            // Validation refuses a wave that says neither or both; such a wave takes nobody, and is not passed.
            None => Vec::new(),
        };
        for i in &takes {
            of_row[*i] = Some(place);
        }
        placed += takes.len();
        waves.push(takes);
    }
    Placement { first, waves, of_row }
}

/// How many members the waves so far shall hold.
fn up_to(percent: u8, fleet: usize) -> usize {
    let fleet = u64::try_from(fleet).expect("a count fits into 64 bits");
    usize::try_from(Percent::whole(percent).ceil_of(fleet)).expect("at most the fleet")
}

/// The first wave is never without a live device, as long as there is one at all.
fn first_wave(sheet: &Sheet<'_>, free: Vec<usize>, wanted: usize) -> Vec<usize> {
    let (taken, rest) = free.split_at(wanted.min(free.len()));
    let live = |i: &usize| sheet.rows[*i].contact == Contact::Live;
    let mut taken = taken.to_vec();
    if !taken.iter().any(live) {
        taken.extend(rest.iter().copied().find(|i| live(i)));
    }
    taken
}

/// The rows that are in no wave yet, in the order in which percent waves take them. Where nobody remembers who was taken, those
/// that tried the target come first, so that it reaches nobody whom it had not reached.
fn order(sheet: &Sheet<'_>) -> Vec<usize> {
    let is_untried = |row: &Row<'_>| sheet.record.rebuilt && !row.is_at_target() && row.note.failed.is_none();
    let by = sheet.record.stable.unwrap_or(sheet.record.target).commit;
    let free = sheet.rows.iter().enumerate().filter(|(_, row)| row.note.wave.is_none() && !row.is_paused());
    let mut keyed: Vec<(bool, [u8; 32], usize)> = free
        .map(|(i, row): (usize, &Row<'_>)| (is_untried(row), key(sheet.input.fleet, &by, &row.member.device), i))
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, _, i)| i).collect()
}

/// A device's place in the order: bytes compare alike on every machine.
pub(super) fn key(fleet: &FleetName, commit: &CommitId, device: &DeviceName) -> [u8; 32] {
    let hash = Sha256::new().chain_update(fleet.as_str()).chain_update([0]).chain_update(commit.as_bytes());
    hash.chain_update([0]).chain_update(device.as_str()).finalize().into()
}
