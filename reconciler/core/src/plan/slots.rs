//! Places that are given out: `maxInFlight`, and the budgets with their groups.
//!
//! A member that may be offered something and finds no place waits at the group that has none, in the order of its wave and of
//! the fleet. When that group has a place again, it is looked at again: so a report costs what it frees, however many wait.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bellwether_schemas::DeviceName;
use bellwether_schemas::manifest::{Budget, Labels, Rollout};

use super::place::index;
use super::standing::{Row, Rows};

/// The group of `maxInFlight`: the whole fleet.
pub(super) const IN_FLIGHT: u32 = 0;
/// Holders that a reason names, at most.
const NAMED: usize = 5;

/// The groups of budgets, by their place in the Rollout and the values of their labels.
type Ids<'a> = BTreeMap<(usize, Vec<&'a str>), u32>;

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

impl Slots {
    /// Makes the groups, and puts every row into its own. `labels` are those of the rows.
    pub(super) fn of<L: AsRef<Labels>>(rollout: &Rollout, rows: &mut Rows, labels: &[L]) -> Self {
        let mut slots = Self { groups: vec![Group::default()], sets: vec![Box::default()], freed: BTreeSet::new() };
        let mut known: HashMap<Vec<&str>, u32> = HashMap::new();
        let mut ids = Ids::new();
        let mut values: Vec<&str> = Vec::new();
        let keys: Vec<&String> = rollout.budget.iter().flat_map(|budget| &budget.by).collect();
        for (row, labels) in rows.iter_mut().zip(labels).filter(|(row, _)| !row.is_gone()) {
            values.clear();
            values.extend(keys.iter().map(|key| labels.as_ref().get(*key).map_or("", String::as_str)));
            row.groups = match known.get(values.as_slice()) {
                Some(set) => *set,
                None => {
                    let set = slots.set_of(&rollout.budget, &values, &mut ids);
                    known.insert(values.clone(), set);
                    set
                }
            };
            slots.groups[index(IN_FLIGHT)].size += 1;
            for group in &slots.sets[index(row.groups)] {
                slots.groups[index(*group)].size += 1;
            }
        }
        for group in &mut slots.groups {
            group.limit = match (group.budget, rollout.max_in_flight) {
                (Some(budget), _) => rollout.budget[budget].max_unavailable.of(group.size),
                (None, Some(share)) => share.floor_of(group.size).max(1),
                (None, None) => u64::MAX,
            };
        }
        slots
    }

    /// The set of the groups of all budgets, with the values of their labels one after the other.
    fn set_of<'a>(&mut self, budgets: &[Budget], mut values: &[&'a str], ids: &mut Ids<'a>) -> u32 {
        let groups = budgets.iter().enumerate().map(|(place, budget)| {
            let (own, others) = values.split_at(budget.by.len());
            values = others;
            *ids.entry((place, own.to_vec())).or_insert_with(|| {
                let values = own.iter().map(|value| (*value).to_owned()).collect();
                self.groups.push(Group { budget: Some(place), values, ..Group::default() });
                u32::try_from(self.groups.len() - 1).expect("at most one group for each row and budget")
            })
        });
        let groups = groups.collect();
        self.sets.push(groups);
        u32::try_from(self.sets.len() - 1).expect("at most one set for each row")
    }

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
