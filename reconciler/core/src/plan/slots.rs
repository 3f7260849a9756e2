//! Places that are given out: `maxInFlight`, and the budgets with their groups.
//!
//! A member that may be offered something and finds no place waits at the group that has none, in the order of its wave and of
//! the fleet. When that group has a place again, it is looked at again: so a report costs what it frees, however many wait.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_schemas::DeviceName;
use bellwether_schemas::manifest::{Budget, Labels, Rollout};

use super::place::index;
use super::standing::Row;

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

/// What a group is called by.
type Key<'a> = (usize, Vec<&'a str>);

impl Slots {
    /// Makes the groups, and puts every row into its own. `labels` are those of the rows.
    pub(super) fn of<L: AsRef<Labels>>(rollout: &Rollout, rows: &mut [Row], labels: &[L]) -> Self {
        let mut groups = vec![Group { limit: u64::MAX, ..Group::default() }];
        let mut known: BTreeMap<Key<'_>, u32> = BTreeMap::new();
        for (row, labels) in rows.iter_mut().zip(labels).filter(|(row, _)| !row.is_gone()) {
            groups[0].size += 1;
            let of_budget = |(place, budget): (usize, &Budget)| {
                let value = |key: &String| labels.as_ref().get(key).map_or("", String::as_str);
                let values: Vec<&str> = budget.by.iter().map(value).collect();
                let id = *known.entry((place, values)).or_insert_with_key(|(_, values)| {
                    let values = values.iter().map(|value| (*value).to_owned()).collect();
                    groups.push(Group { budget: Some(place), values, ..Group::default() });
                    u32::try_from(groups.len() - 1).expect("at most one group for each row and budget")
                });
                groups[index(id)].size += 1;
                id
            };
            row.groups = rollout.budget.iter().enumerate().map(of_budget).collect();
        }
        if let Some(share) = rollout.max_in_flight {
            groups[0].limit = share.floor_of(groups[0].size).max(1);
        }
        for group in &mut groups {
            if let Some(budget) = group.budget {
                group.limit = rollout.budget[budget].max_unavailable.of(group.size);
            }
        }
        Self { groups, freed: BTreeSet::new() }
    }

    /// Brings what a row holds in line with what it is.
    pub(super) fn hold(&mut self, i: u32, row: &mut Row, flies: bool, holds: bool) {
        if row.flies != flies {
            self.set(IN_FLIGHT, i, flies);
            row.flies = flies;
        }
        if row.holds != holds {
            for group in &row.groups {
                self.set(*group, i, holds);
            }
            row.holds = holds;
        }
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
        let budgets = row.groups.iter().copied().filter(|_| !row.holds);
        budgets.chain(in_flight).find(is_full)
    }

    /// Lets a row wait at a group.
    pub(super) fn wait(&mut self, group: u32, turn: Turn, row: &mut Row) {
        self.groups[index(group)].waiting.insert(turn);
        row.waits_at = Some((group, turn));
    }

    /// Takes a row out of the line that it stands in. Its wave may be another by now than when it came.
    pub(super) fn leave(&mut self, row: &mut Row) {
        if let Some((group, turn)) = row.waits_at.take() {
            self.groups[index(group)].waiting.remove(&turn);
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
    pub(super) fn told<'a>(&'a self, group: u32, rows: &'a [Row]) -> Told<'a> {
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
