//! What `bellwether-agent status` shows.

use bellwether_schemas::id::CommitId;
use bellwether_schemas::name::DeviceName;
use bellwether_schemas::quantity::Seconds;
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

/// Nobody has signed anything for longer than the policy allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frozen {
    /// A stable code.
    pub code: String,
    /// When somebody signed last.
    pub since: Timestamp,
    /// The longest silence that the policy allows.
    pub max_silence: Seconds,
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
    /// Whether nobody has signed anything for too long: told by the newest head record that the device holds, and its clock,
    /// when the status is shown.
    #[serde(default)]
    pub frozen: Option<Frozen>,
}
