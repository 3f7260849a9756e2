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
    /// How far it came with removing everything, where it was told to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Leaving>,
}

/// How far a device came that is decommissioned. It was told so by signed metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Leaving {
    /// What was placed is being removed. This is brought to its end, whatever is said meanwhile.
    Removing,
    /// Nothing is placed any more. Keys and state stay until the reconciler has recorded it.
    Removed,
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
    /// Healthy to the end, and being made final: half of that may be done, so there is no way back any more.
    Committing,
    /// Being undone.
    RollingBack,
}

impl Step {
    /// Whether it was healthy and is not being undone: it is what runs.
    pub fn runs(self) -> bool {
        match self {
            Self::Soaking | Self::Committing => true,
            Self::Applying | Self::Probing | Self::RollingBack => false,
        }
    }
}

impl Durable {
    /// The memory of a new device.
    pub fn new(nonce: String) -> Self {
        Self { nonce, begun: None, running: None, attempt: None, failure: None, leaving: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_earlier_releases_wrote_can_still_be_read() {
        let claim = r#"{"version":{"landing":7,"commit":"0707070707070707070707070707070707070707","revision":0},"template":"0707070707070707070707070707070707070707","digest":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}"#;
        for (word, step) in [
            ("applying", Step::Applying),
            ("probing", Step::Probing),
            ("soaking", Step::Soaking),
            ("committing", Step::Committing),
            ("rollingBack", Step::RollingBack),
        ] {
            let attempt =
                format!(r#"{{"claim":{claim},"soak":"1m","step":"{word}","healthySince":null,"previous":null}}"#);
            let text = format!(r#"{{"nonce":"n","begun":null,"running":{claim},"attempt":{attempt},"failure":null}}"#);
            let memory: Durable = serde_json::from_str(&text).expect("a memory");
            assert_eq!(memory.attempt.map(|attempt| attempt.step), Some(step), "{word}");
        }
    }
}
