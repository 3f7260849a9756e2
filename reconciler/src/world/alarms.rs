//! Tells of commits that several devices lack. What each device is told, and why it is paused, is decided elsewhere.

use std::collections::BTreeMap;

use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::{CommitId, codes};
use jiff::Timestamp;

use super::World;
use crate::store::EventRow;

impl World {
    /// Tells of missing commits that pause several devices, if anybody was paused or let go since the last time.
    pub(super) fn tell_of_missing_commits(&mut self, now: Timestamp) {
        if !std::mem::take(&mut self.pauses_moved) {
            return;
        }
        let mut paused: BTreeMap<CommitId, u64> = BTreeMap::new();
        let out = self.devices.values().filter(|device| matches!(device.row.paused, Some(WaitingOn::Paused { .. })));
        for device in out {
            let mut commits: Vec<CommitId> = device.missing().iter().map(|missing| missing.commit).collect();
            commits.dedup();
            for commit in commits {
                *paused.entry(commit).or_default() += 1;
            }
        }
        for (commit, devices) in self.alarms.take(&paused) {
            let message = format!("{devices} devices report commit {commit}, which is missing from the git history");
            let (kind, code) = ("missing".to_owned(), Some(codes::MISSING_COMMIT_SHARED.to_string()));
            self.event(EventRow { at: now, kind, device: None, fleet: None, code, message });
        }
    }
}
