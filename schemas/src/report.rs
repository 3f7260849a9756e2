//! What a device says about itself, and what it is told.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{CommitId, Sha256Digest};
use crate::version::Version;

/// Something that a device says it runs or applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claim {
    /// Its version.
    pub version: Version,
    /// The template commit it was rendered from.
    pub template: CommitId,
    /// Its digest.
    pub digest: Sha256Digest,
}

/// Where an agent is in its cycle (see `bellwether-agent-core`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Nothing to do.
    #[default]
    Idle,
    /// Downloads.
    Fetching,
    /// Checks what it downloaded.
    Verifying,
    /// Has everything, and waits for its time or for the acknowledgement.
    Staged,
    /// Changes the device; sent before the first irreversible effect, which waits for `Proceed`.
    Applying,
    /// Probes what it placed.
    Probing,
    /// Healthy, and probes go on.
    Soaking,
    /// Healthy to the end of the soak: final.
    Committed,
    /// Goes back to the previous version.
    RollingBack,
    /// Went back to the previous version.
    RolledBack,
    /// Runs something that does not pass its probes, and has nothing better.
    Degraded,
    /// Has removed what it placed, as it was told, and waits to be let go.
    Decommissioned,
}

/// Whether what runs passes its probes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// Not probed yet, or nothing runs.
    #[default]
    Unknown,
    /// All probes passed when last tried.
    Healthy,
    /// A probe failed when last tried.
    Unhealthy,
}

/// How an attempt to apply a version ended badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FailureKind {
    /// It could not be applied, and nothing changed.
    Failed,
    /// It was applied, failed and was undone.
    RolledBack,
    /// A transient problem (download, verification): the agent tries again.
    Transient,
}

/// The last failure of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failure {
    /// The version that failed; absent where it was not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Digest of what failed, where that is known and not only its download broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Sha256Digest>,
    /// How it ended.
    pub kind: FailureKind,
    /// A stable code, `BW-….`
    pub code: String,
    /// What happened, for people. At most [`MAX_MESSAGE`] bytes.
    pub message: String,
    /// When, by the device's clock.
    pub at: Timestamp,
}

/// The greatest length of a message in a report, in bytes.
pub const MAX_MESSAGE: usize = 2_048;

/// What a device says about itself. Who it is comes from its certificate alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Report {
    /// A random number that the device keeps for life; names it in a `supersedes` when nothing else can be read.
    pub nonce: String,
    /// Version of the agent program.
    pub agent: String,
    /// What runs, once it was healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Claim>,
    /// What is being applied and was not healthy yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applying: Option<Claim>,
    /// The highest version that it ever began, however that ended; absent where nothing was, or where the agent is of an
    /// earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Version>,
    /// Where the agent is in its cycle.
    #[serde(default)]
    pub phase: Phase,
    /// Whether what runs passes its probes.
    #[serde(default)]
    pub health: Health,
    /// The last failure, until another version is healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The device's clock.
    pub clock: Timestamp,
}

impl Report {
    /// The version that it is past the point of no return with, and not at its end: it will run either that or what it runs
    /// now.
    pub fn changing(&self) -> Option<Version> {
        let applying = self.applying?.version;
        let changes = matches!(self.phase, Phase::Probing | Phase::Soaking | Phase::RollingBack);
        (changes || self.begun == Some(applying)).then_some(applying)
    }
}

/// A report as it arrived: readable, or why not. An unreadable one pauses that device alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::large_enum_variant, reason = "made once for each report and taken apart at once")]
pub enum Reported {
    /// It could be read.
    Readable(Report),
    /// It could not be read.
    Unreadable {
        /// Why.
        why: String,
        /// The nonce, where that much could be read.
        nonce: Option<String>,
    },
}

/// Signed metadata that a device holds, as raw bytes that the agent does not interpret; part of a session's first report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presented {
    /// `timestamp.json`
    pub timestamp: Vec<u8>,
    /// `N.snapshot.json`
    pub snapshot: Vec<u8>,
    /// `N.targets.json`
    pub targets: Vec<u8>,
    /// `head.json`
    pub head: Vec<u8>,
}

/// What a device is told in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    /// New metadata is there to be pulled.
    SpecAvailable,
    /// `Applying` of this version was recorded; go on.
    Proceed {
        /// The version.
        version: Version,
    },
    /// The device is paused.
    Paused {
        /// A stable code.
        code: String,
        /// Why, for people.
        reason: String,
        /// The commit that is missing, if that is why.
        commit: Option<CommitId>,
    },
    /// Renew the certificate now.
    Renew,
    /// Report this often from now on.
    Interval {
        /// Seconds between heartbeats, at least 1.
        seconds: u32,
    },
    /// The newest signed `head.json`.
    Head {
        /// Its bytes.
        record: Vec<u8>,
    },
}
