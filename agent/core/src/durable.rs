//! What the agent must not forget: written and synced before each irreversible step.

use bellwether_schemas::id::Sha256Digest;
use bellwether_schemas::quantity::Seconds;
use bellwether_schemas::report::{Claim, Failure};
use bellwether_schemas::version::Version;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The agent's memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Durable {
    /// A random number for life.
    pub nonce: String,
    /// The highest version ever begun: the version floor.
    pub begun: Option<Begun>,
    /// What runs, once it was healthy.
    pub running: Option<Claim>,
    /// What is being tried.
    pub attempt: Option<Attempt>,
    /// The last failure.
    pub failure: Option<Failure>,
}

/// A version that was begun, finished or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Begun {
    /// Its version.
    pub version: Version,
    /// Its digest.
    pub digest: Sha256Digest,
}

/// A version between its first irreversible effect and its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attempt {
    /// What is tried.
    pub claim: Claim,
    /// How long probes go on from the first healthy one.
    pub soak: Seconds,
    /// How far it came.
    pub step: Step,
    /// When all probes passed first.
    pub healthy_since: Option<Timestamp>,
    /// What the device goes back to.
    pub previous: Option<Claim>,
    /// Why it is being undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Failure>,
}

/// How far an attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// The device is being changed.
    Applying,
    /// Everything is placed and not yet seen healthy.
    Probing,
    /// Healthy, and not final yet.
    Soaking,
    /// Being undone.
    RollingBack,
}

impl Durable {
    /// The memory of a new device.
    pub fn new(nonce: String) -> Self {
        Self { nonce, begun: None, running: None, attempt: None, failure: None }
    }
}
