//! What page and API show: a snapshot that the loop replaces after each pass.

use std::collections::BTreeMap;

use bellwether_schemas::CommitId;
use bellwether_schemas::api::{CommitView, DeviceView, FleetView, InvalidView, RepositoryView, RolloutView};
use jiff::Timestamp;

/// One consistent snapshot of everything that is shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Views {
    /// Whether the first pass of the loop has ended.
    pub ready: bool,
    /// When the snapshot was made.
    pub at: Option<Timestamp>,
    /// The repository; none before the first pass.
    pub repository: Option<RepositoryView>,
    /// Fleets, by name.
    pub fleets: Vec<FleetView>,
    /// The current rollout of each fleet, by name.
    pub rollouts: Vec<RolloutView>,
    /// Devices, by name.
    pub devices: Vec<DeviceView>,
    /// Accepted landings, newest first.
    pub commits: Vec<CommitView>,
    /// Manifests with problems, by path.
    pub invalid: Vec<InvalidView>,
}

impl Views {
    /// The commits that paused devices name and the history lacks, with those devices; what pauses the most comes first.
    pub(super) fn missing_commits(&self) -> Vec<(CommitId, Vec<&DeviceView>)> {
        let mut missing: BTreeMap<CommitId, Vec<&DeviceView>> = BTreeMap::new();
        for device in &self.devices {
            for commit in device.missing_commits() {
                missing.entry(commit).or_default().push(device);
            }
        }
        let mut missing: Vec<_> = missing.into_iter().collect();
        missing.sort_by_key(|(_, devices)| std::cmp::Reverse(devices.len()));
        missing
    }
}
