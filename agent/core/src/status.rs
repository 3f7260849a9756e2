//! What `bellwether-agent status` shows.

use bellwether_schemas::id::CommitId;
use bellwether_schemas::name::DeviceName;
use bellwether_schemas::report::{Claim, Failure, Health, Phase};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why the reconciler paused the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Paused {
    /// A stable code.
    pub code: String,
    /// Why, for people.
    pub reason: String,
    /// The commit that is missing, if that is why.
    pub commit: Option<CommitId>,
}

/// What the device runs, what it waits for, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The device.
    pub device: DeviceName,
    /// When this was written.
    pub at: Timestamp,
    /// Where the agent is in its cycle.
    pub phase: Phase,
    /// What runs.
    pub running: Option<Claim>,
    /// What is being tried, or will be.
    pub next: Option<Claim>,
    /// Whether what runs passes its probes.
    pub health: Health,
    /// What the agent waits for.
    pub waiting: String,
    /// Whether there is a session.
    pub connected: bool,
    /// Why the device is paused.
    pub paused: Option<Paused>,
    /// The last failure.
    pub failure: Option<Failure>,
    /// What is wrong with the connection or the clock, if anything.
    #[serde(default)]
    pub trouble: Option<String>,
}
