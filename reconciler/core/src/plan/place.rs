//! Which devices each wave takes: by label, or the lowest hashes.

use bellwether_schemas::manifest::WaveMembers;
use bellwether_schemas::{CommitId, DeviceName, FleetName, Percent};
use sha2::{Digest as _, Sha256};

use super::planner::Planner;
use super::record::MemberRecord;
use super::standing::{Row, Rows};
use super::timing::Contact;

/// Who would be in each wave that is not open yet, were it to open now.
#[derive(Debug, Clone, Default)]
pub(super) struct Placement {
    /// How many waves were open.
    first: usize,
    /// Rows by wave, from the first that is not open, in the order in which they are taken.
    waves: Vec<Vec<u32>>,
    /// The wave of each row that is in none yet; empty where no wave is left.
    of_row: Vec<Option<u16>>,
}

impl Placement {
    /// The rows that the wave at `place` takes; it must not be open yet.
    pub(super) fn rows(&self, place: usize) -> &[u32] {
        place.checked_sub(self.first).and_then(|i| self.waves.get(i)).map_or(&[], Vec::as_slice)
    }

    /// The wave that row `i` would be in.
    pub(super) fn wave_of(&self, i: usize) -> Option<usize> {
        self.of_row.get(i).copied().flatten().map(usize::from)
    }
}

/// What of a row decides where it is placed.
#[derive(Clone, Copy)]
struct Candidate {
    is_apart: bool,
    is_placed: bool,
    joined: bool,
    select: Option<u16>,
}

impl Candidate {
    fn of(row: &Row) -> Self {
        let MemberRecord { wave, joined, select, .. } = row.note;
        let select = select.and_then(|place| u16::try_from(place).ok());
        Self { is_apart: row.is_apart(), is_placed: wave.is_some(), joined, select }
    }

    fn is_free(&self) -> bool {
        !self.is_placed && !self.is_apart
    }
}

/// Places every member that is in no wave. Paused and pinned members are in no denominator, and are not placed.
pub(super) fn place(planner: &Planner) -> Placement {
    let (first, all) = (planner.open_waves(), planner.all_waves());
    if planner.record.is_complete() || first == all {
        return Placement { first, ..Placement::default() };
    }
    // Rows are large, and the order goes through them at random.
    let candidates: Vec<Candidate> = planner.rows.iter().map(|row| Candidate::of(row)).collect();
    let candidate = |i: &u32| &candidates[index(*i)];
    let fleet = candidates.iter().filter(|row| !row.is_apart).count();
    let mut placed = candidates.iter().filter(|row| !row.is_apart && row.is_placed).count();
    let order = in_order(planner, |i| candidate(i).is_free());
    let mut free: Vec<(u32, Candidate)> = order.into_iter().map(|i| (i, *candidate(&i))).collect();
    let mut of_row = vec![None; planner.rows.len()];
    let last = all - 1;
    let mut waves = Vec::new();
    for place in first..all {
        let room = match planner.wave(place).members() {
            Some(WaveMembers::Select(_)) => planner.select_limit(place, fleet),
            Some(WaveMembers::Percent(percent)) => up_to(percent, fleet).saturating_sub(placed),
            // Validation refuses a wave that says neither or both; such a wave takes nobody, and is not passed.
            None => 0,
        };
        let fits = |row: &Candidate| match planner.wave(place).members() {
            Some(WaveMembers::Select(_)) => row.select.is_some_and(|select| usize::from(select) == place),
            // A joiner belongs to the first wave that selects it, else to the last.
            _ => !row.joined || place == last,
        };
        let mut takes = Vec::new();
        free.retain(|(i, row)| {
            let is_taken = takes.len() < room && fits(row);
            if is_taken {
                takes.push(*i);
                of_row[index(*i)] = u16::try_from(place).ok();
            }
            !is_taken
        });
        placed += takes.len();
        waves.push(takes);
    }
    Placement { first, waves, of_row }
}

/// The rows that are in no wave yet, in the order in which waves take them. Where nobody remembers who was taken, those that
/// tried the target come first, so that it reaches nobody whom it had not reached.
fn in_order(planner: &Planner, is_free: impl Fn(&u32) -> bool) -> Vec<u32> {
    let free = planner.order.rows.iter().copied().filter(is_free);
    if !planner.record.rebuilt {
        return free.collect();
    }
    let is_tried = |i: &u32| {
        let row = &planner.rows[index(*i)];
        row.is_at_target() || row.note.failed.is_some()
    };
    let (mut tried, untried): (Vec<u32>, Vec<u32>) = free.partition(is_tried);
    tried.extend(untried);
    tried
}

/// The first live row that the first wave would take if none of those it takes is live: it is never without one, as long as
/// there is one at all.
pub(super) fn live_stand_in(planner: &Planner, placement: &Placement) -> Option<u32> {
    let live = |i: &u32| planner.rows[index(*i)].contact == Contact::Live;
    let is_percent = matches!(planner.wave(0).members(), Some(WaveMembers::Percent(_)));
    if placement.rows(0).iter().any(live) {
        return None;
    }
    let fits = |i: &u32| {
        let note = &planner.rows[index(*i)].note;
        if is_percent { !note.joined || planner.all_waves() == 1 } else { note.select == Some(0) }
    };
    in_order(planner, |i| Candidate::of(&planner.rows[index(*i)]).is_free()).into_iter().find(|i| live(i) && fits(i))
}

/// How many members the waves so far shall hold.
fn up_to(percent: u8, fleet: usize) -> usize {
    let fleet = u64::try_from(fleet).expect("a count fits into 64 bits");
    usize::try_from(Percent::whole(percent).ceil_of(fleet)).expect("at most the fleet")
}

/// A row by the number that lists of rows keep.
pub(super) fn index(row: u32) -> usize {
    usize::try_from(row).expect("rows are counted in 32 bits")
}

/// The number of a row.
pub(super) fn number(i: usize) -> u32 {
    u32::try_from(i).expect("rows are counted in 32 bits")
}

/// The order in which rows are taken: by a hash of each device and a commit.
#[derive(Debug, Clone)]
pub(super) struct Order {
    by: CommitId,
    pub(super) rows: Vec<u32>,
}

impl Order {
    /// Finds the order by a commit. Hashing and sorting is a sixth of a full plan, and most plans go by the same order as
    /// the ones before.
    pub(super) fn of(fleet: &FleetName, by: CommitId, rows: &mut Rows, before: Option<Self>) -> Self {
        let before = before.filter(|before| before.by == by);
        let mut is_same = before.as_ref().is_some_and(|before| before.rows.len() == rows.len());
        for row in rows.iter_mut() {
            if before.is_none() || row.order == UNORDERED {
                row.order = order(fleet, &by, &row.device);
                is_same = false;
            }
        }
        if let Some(before) = before.filter(|_| is_same) {
            return before;
        }
        let mut sorted: Vec<(u64, u32)> = rows.iter().zip(0..).map(|(row, i)| (row.order, i)).collect();
        sorted.sort_unstable();
        Self { by, rows: sorted.into_iter().map(|(_, i)| i).collect() }
    }
}

/// The place of a row that has none yet.
pub(super) const UNORDERED: u64 = 0;

/// A device's place in the order: the first bytes of a hash, which compare alike on every machine.
pub(super) fn order(fleet: &FleetName, commit: &CommitId, device: &DeviceName) -> u64 {
    let hash = Sha256::new().chain_update(fleet.as_str()).chain_update([0]).chain_update(commit.as_bytes());
    let hash: [u8; 32] = hash.chain_update([0]).chain_update(device.as_str()).finalize().into();
    u64::from_be_bytes(hash[..8].try_into().expect("eight bytes"))
}
