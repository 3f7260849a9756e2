//! What page and API show: a snapshot that the loop replaces after each pass.

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
