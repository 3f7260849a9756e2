//! Places that are given out: `maxInFlight`, and the budgets with their groups.
//!
//! A member that may be offered something and finds no place waits at the group that has none, in the order of its wave and of
//! the fleet. When that group has a place again, it is looked at again: so a report costs what it frees, however many wait.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bellwether_schemas::DeviceName;
use bellwether_schemas::manifest::{Labels, Rollout};

use super::place::{index, number};
use super::standing::{Row, Rows};

/// The group of `maxInFlight`: the whole fleet.
pub(super) const IN_FLIGHT: u32 = 0;
/// Holders that a reason names, at most.
const NAMED: usize = 5;

/// Where a row stands in line: its wave, its place in the order of the fleet, and its number.
pub(super) type Turn = (u16, u64, u32);

/// Everything that is given out.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    groups: Vec<Group>,
    /// The sets of budget groups that rows are in, by number; the first is that of who is gone, and empty.
    sets: Vec<Box<[u32]>>,
    /// Groups that may have a place again for those who wait at them.
    freed: BTreeSet<u32>,
}

#[derive(Debug, Clone, Default)]
struct Group {
    /// The budget in the Rollout; none for `maxInFlight`.
    budget: Option<usize>,
    /// The values of the labels by which it is one.
    values: Vec<String>,
    size: u64,
    limit: u64,
    holders: BTreeSet<u32>,
    waiting: BTreeSet<Turn>,
}

/// Puts rows into their groups.
pub(super) struct Grouping<'a> {
    rollout: &'a Rollout,
    /// The labels that the budgets go by, one after the other.
    keys: Vec<&'a str>,
    slots: Slots,
    /// The sets, by the values of those labels.
    sets: HashMap<Vec<&'a str>, u32>,
    /// The groups, by the budget's place in the Rollout and the values of its labels.
    groups: BTreeMap<(usize, Vec<&'a str>), u32>,
    values: Vec<&'a str>,
}

impl<'a> Grouping<'a> {
    pub(super) fn of(rollout: &'a Rollout) -> Self {
        Self {
            rollout,
            keys: rollout.budget.iter().flat_map(|budget| &budget.by).map(String::as_str).collect(),
            slots: Slots { groups: vec![Group::default()], sets: vec![Box::default()], freed: BTreeSet::new() },
            sets: HashMap::new(),
            groups: BTreeMap::new(),
            values: Vec::new(),
        }
    }

    /// Puts a row with these labels into its groups.
    pub(super) fn join(&mut self, row: &mut Row, labels: &'a Labels) {
        if row.is_gone() {
            return;
        }
        self.values.clear();
        self.values.extend(self.keys.iter().map(|key| labels.get(*key).map_or("", String::as_str)));
        row.groups = match self.sets.get(self.values.as_slice()) {
            Some(set) => *set,
            None => self.begin_set(),
        };
        self.slots.groups[index(IN_FLIGHT)].size += 1;
        for group in &self.slots.sets[index(row.groups)] {
            self.slots.groups[index(*group)].size += 1;
        }
    }

    /// A set of the groups of all budgets.
    fn begin_set(&mut self) -> u32 {
        let mut values = self.values.as_slice();
        let mut set = Vec::new();
        for (place, budget) in self.rollout.budget.iter().enumerate() {
            let (own, others) = values.split_at(budget.by.len());
            values = others;
            let groups = &mut self.slots.groups;
            set.push(*self.groups.entry((place, own.to_vec())).or_insert_with(|| {
                let values = own.iter().map(|value| (*value).to_owned()).collect();
                groups.push(Group { budget: Some(place), values, ..Group::default() });
                number(groups.len() - 1)
            }));
        }
        self.slots.sets.push(set.into());
        let set = number(self.slots.sets.len() - 1);
        self.sets.insert(self.values.clone(), set);
        set
    }

    /// The groups, with the limits that follow from how many are in each.
    pub(super) fn finish(mut self) -> Slots {
        for group in &mut self.slots.groups {
            group.limit = match (group.budget, self.rollout.max_in_flight) {
                (Some(budget), _) => self.rollout.budget[budget].max_unavailable.of(group.size),
                (None, Some(share)) => share.floor_of(group.size).max(1),
                (None, None) => u64::MAX,
            };
        }
        self.slots
    }
}

impl Slots {
    /// Brings what a row holds in line with what it is.
    pub(super) fn hold(&mut self, i: u32, row: &mut Row, flies: bool, holds: bool) {
        if row.flies != flies {
            self.set(IN_FLIGHT, i, flies);
            row.flies = flies;
        }
        if row.holds != holds {
            for place in 0..self.of_row(row).len() {
                self.set(self.of_row(row)[place], i, holds);
            }
            row.holds = holds;
        }
    }

    /// The budget groups of a row.
    fn of_row(&self, row: &Row) -> &[u32] {
        &self.sets[index(row.groups)]
    }

    fn set(&mut self, group: u32, i: u32, holds: bool) {
        let known = &mut self.groups[index(group)];
        if holds {
            known.holders.insert(i);
        } else if known.holders.remove(&i) && !known.waiting.is_empty() {
            self.freed.insert(group);
        }
    }

    /// The group that has no place for a row that does not hold one there yet; `hastens` needs none in flight.
    pub(super) fn full_for(&self, row: &Row, hastens: bool) -> Option<u32> {
        let is_full = |group: &u32| {
            let group = &self.groups[index(*group)];
            u64::try_from(group.holders.len()).is_ok_and(|held| held >= group.limit)
        };
        let in_flight = (!row.flies && !hastens).then_some(IN_FLIGHT);
        let budgets = self.of_row(row).iter().copied().filter(|_| !row.holds);
        budgets.chain(in_flight).find(is_full)
    }

    /// Lets a row wait at a group.
    pub(super) fn wait(&mut self, group: u32, turn: Turn, row: &mut Row) {
        self.groups[index(group)].waiting.insert(turn);
        row.waits_at = Some((group, turn.0));
    }

    /// Takes a row out of the line that it stands in. Its wave may be another by now than when it came.
    pub(super) fn leave(&mut self, i: u32, row: &mut Row) {
        if let Some((group, wave)) = row.waits_at.take() {
            self.groups[index(group)].waiting.remove(&(wave, row.order, i));
        }
    }

    /// The row that is next in line at a group which may have a place.
    pub(super) fn next(&mut self) -> Option<Turn> {
        let has_place = |group: &Group| u64::try_from(group.holders.len()).is_ok_and(|held| held < group.limit);
        let groups = &self.groups;
        self.freed.retain(|group| {
            let group = &groups[index(*group)];
            !group.waiting.is_empty() && has_place(group)
        });
        self.freed.iter().filter_map(|group| groups[index(*group)].waiting.first().copied()).min()
    }

    /// What has given out more places than it has, of what a row took a place of: its budgets, and `maxInFlight` but for so many
    /// places.
    pub(super) fn overdrawn(&self, row: &Row, in_budget: bool, in_flight: Option<u64>) -> Option<String> {
        let budgets = self.of_row(row).iter().filter(|_| in_budget).map(|group| (*group, 0));
        let mut groups = budgets.chain(in_flight.map(|free| (IN_FLIGHT, free)));
        let is_over = |(group, free): &(u32, u64)| {
            let group = &self.groups[index(*group)];
            u64::try_from(group.holders.len()).is_ok_and(|held| held > group.limit.saturating_add(*free))
        };
        let over = groups.find(is_over).map(|(group, _)| &self.groups[index(group)])?;
        Some(over.budget.map_or("maxInFlight".to_owned(), |place| format!("budget {} {:?}", place + 1, over.values)))
    }

    /// Whether places are held by those rows that say they hold one, and nobody else.
    pub(super) fn are_held_by(&self, rows: &Rows) -> bool {
        let mut held = vec![BTreeSet::new(); self.groups.len()];
        for (i, row) in (0..).zip(rows) {
            let budgets = self.of_row(row).iter().filter(|_| row.holds);
            for group in budgets.copied().chain(row.flies.then_some(IN_FLIGHT)) {
                held[index(group)].insert(i);
            }
        }
        held.iter().zip(&self.groups).all(|(held, group)| *held == group.holders)
    }

    /// How many places `maxInFlight` leaves, and how many are taken.
    pub(super) fn in_flight(&self) -> (u64, u64) {
        let group = &self.groups[index(IN_FLIGHT)];
        (group.limit, u64::try_from(group.holders.len()).unwrap_or(u64::MAX))
    }

    /// The budget of a group, the values of its labels, its limit, and who holds its places: some of their names, and how many
    /// there are.
    pub(super) fn told<'a>(&'a self, group: u32, rows: &'a Rows) -> Told<'a> {
        let group = &self.groups[index(group)];
        let named = group.holders.iter().take(NAMED).map(|i| rows[index(*i)].device.clone()).collect();
        Told { budget: group.budget, values: &group.values, limit: group.limit, held: group.holders.len(), named }
    }
}

/// A group, for people.
pub(super) struct Told<'a> {
    pub(super) budget: Option<usize>,
    pub(super) values: &'a [String],
    pub(super) limit: u64,
    pub(super) held: usize,
    pub(super) named: Vec<DeviceName>,
}
