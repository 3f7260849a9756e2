//! Rollout records on their way to the object store: before the offers that they allow, and else a little later, so that a
//! large fleet's is not written for each report.

use std::collections::BTreeMap;

use bellwether_schemas::FleetName;
use jiff::{SignedDuration, Timestamp};

use super::World;
use crate::publish::{FleetRecord, FleetType};
use crate::store::RolloutRow;

/// How long what is noted of members may wait: devices tell it again when it is lost.
pub(super) const LEISURE: SignedDuration = SignedDuration::from_secs(10);

/// Records that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    records: BTreeMap<FleetName, RolloutRow>,
    /// When they must be written at the latest.
    due_at: Option<Timestamp>,
}

impl Unwritten {
    /// Adds a record, which must be written by `at`.
    pub(super) fn add(&mut self, row: RolloutRow, at: Timestamp) {
        self.due_at = Some(self.due_at.map_or(at, |due| due.min(at)));
        self.records.insert(row.fleet.clone(), row);
    }

    /// Forgets the record of a fleet that ended.
    pub(super) fn remove(&mut self, fleet: &FleetName) {
        self.records.remove(fleet);
    }

    pub(super) fn due_at(&self) -> Option<Timestamp> {
        self.due_at.filter(|_| !self.records.is_empty())
    }
}

/// The number of the next record of a fleet: above every one before, and not below the clock, so that it rises even when all
/// records are lost.
pub(super) fn next_sequence(before: u64, now: Timestamp) -> u64 {
    before.saturating_add(1).max(u64::try_from(now.as_second()).unwrap_or(0))
}

impl World {
    /// Has the record of a fleet written again: the store has an older one, or none.
    pub fn rewrite_record(&mut self, row: RolloutRow, now: Timestamp) {
        self.records.add(row, now);
    }

    /// The records that must be in the store now.
    pub fn due_records(&self, now: Timestamp) -> Vec<FleetRecord> {
        if self.records.due_at().is_none_or(|at| at > now) {
            return Vec::new();
        }
        let records = self.records.records.values().cloned();
        records
            .map(|RolloutRow { fleet, sequence, record }| FleetRecord {
                kind: FleetType::Rollout,
                fleet,
                sequence,
                record,
            })
            .collect()
    }

    /// All records that were due are in the store.
    pub fn records_written(&mut self) {
        self.records = Unwritten::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_above_the_clock_and_above_each_other() {
        let now = Timestamp::from_second(1_000).expect("a time");
        assert_eq!(next_sequence(0, now), 1_000, "the clock lifts it after all records were lost");
        assert_eq!(next_sequence(1_000, now), 1_001, "two in one second");
        assert_eq!(next_sequence(5_000, now), 5_001, "a clock that went back lowers nothing");
    }

    #[test]
    fn what_is_due_first_decides_for_all() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let row = |fleet: &str| RolloutRow {
            fleet: fleet.parse().expect("a name"),
            sequence: 1,
            record: serde_json::Value::Null,
        };
        let mut unwritten = Unwritten::default();
        assert_eq!(unwritten.due_at(), None);
        unwritten.add(row("a"), at(20));
        unwritten.add(row("b"), at(10));
        unwritten.add(row("b"), at(30));
        assert_eq!(unwritten.due_at(), Some(at(10)));
        unwritten.remove(&"a".parse().expect("a name"));
        unwritten.remove(&"b".parse().expect("a name"));
        assert_eq!(unwritten.due_at(), None);
    }
}
