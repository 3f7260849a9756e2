//! What the read-only JSON API answers (`GET /api/v1/…`), shared by the page, the command and tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::allow::Allowed;
use crate::id::{CommitId, Sha256Digest};
use crate::manifest::Labels;
use crate::name::{DeviceName, EnrollmentName, EntryId, FleetName, PersonName, WaveName};
use crate::version::Version;

mod reason;
mod words;

pub use reason::{Condition, WaitingOn};

/// How a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Summary {
    /// It reports, and what runs is healthy.
    Online,
    /// It reports, and what runs is not healthy.
    Degraded,
    /// It reports, and its last attempt failed.
    Error,
    /// It was not heard of for too long.
    Stale,
    /// It has not reported since the reconciler lost its records.
    AwaitingReconnect,
    /// Its version is not in the history of git.
    ConflictPaused,
    /// Its certificate does not count any more.
    Revoked,
    /// It was decommissioned.
    Decommissioned,
}

/// How a device stands to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Updated {
    /// The digest that runs is that of its target.
    UpToDate,
    /// It is not, and nothing was offered.
    OutOfDate,
    /// It was offered its target.
    Offered,
    /// It applies its target.
    Updating,
    /// Its last attempt failed.
    Failed,
    /// It goes back.
    Reverting,
    /// Nothing is known.
    Unknown,
}

/// A status word with its name, as `status.summary` and `status.updated` have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusWord<T> {
    /// The word.
    pub status: T,
}

/// The status of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// How it is.
    pub summary: StatusWord<Summary>,
    /// How it stands to its target.
    pub updated: StatusWord<Updated>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView {
    /// Its name.
    pub name: DeviceName,
    /// The enrollment it came by.
    pub enrollment: EnrollmentName,
    /// The entry of it that it came by.
    pub entry: EntryId,
    /// Its fleet, if one and only one selects it.
    pub fleet: Option<FleetName>,
    /// Its labels.
    pub labels: Labels,
    /// The version that runs, as it reported it.
    pub version: Option<Version>,
    /// The digest that runs, as it reported it.
    pub digest: Option<Sha256Digest>,
    /// What it is offered.
    pub offered: Option<Version>,
    /// The digest of its target.
    pub target: Option<Sha256Digest>,
    /// Its status.
    pub status: DeviceStatus,
    /// Why it is not at its target; null when it is.
    pub reason: Option<WaitingOn>,
    /// The same in a sentence.
    pub why: String,
    /// Since when it waits for that, by which rule, and what ends it.
    #[serde(default)]
    pub waits: Option<Waits>,
    /// The landing whose template it goes to, and who stands for it: that of its pin, of what it goes back to, of what it is
    /// offered, else of its target. Of a device in no fleet, that of what it runs.
    #[serde(default)]
    pub origin: Option<CommitView>,
    /// The signed files that decide about it: its pin, Holds, Approvals and Expedites.
    #[serde(default)]
    pub decided: Vec<DecisionView>,
    /// What it names and the history lacks, while it is paused for that; else null.
    #[serde(default)]
    pub conflict: Option<Conflict>,
    /// When it was last heard of.
    pub last_seen: Option<Timestamp>,
    /// What its operator allows, as it said; absent where it does not say, which is another thing than nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allows: Option<Arc<Allowed>>,
}

impl DeviceView {
    /// The commits that it names and the history lacks, while it is paused for that.
    pub fn missing_commits(&self) -> BTreeSet<CommitId> {
        let paused_for = match &self.reason {
            Some(WaitingOn::Paused { commit, .. }) => *commit,
            _ => None,
        };
        let missing = self.conflict.iter().flat_map(|conflict| &conflict.missing);
        missing.map(|missing| missing.commit).chain(paused_for).collect()
    }
}

/// How something came to wait, and how that ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waits {
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// The rule that says so: a manifest, as it was at the first parent of the landing, and a field.
    pub rule: Option<String>,
    /// What ends it, as the end of a sentence.
    pub ends: Option<String>,
}

/// A signed file that decides about a rollout or a device, and who stands for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionView {
    /// The file.
    pub file: String,
    /// What it does, as the end of a sentence.
    pub says: String,
    /// The landing since which it says so, and who stands for that.
    pub origin: Option<CommitView>,
}

/// What pauses a device that is ahead of the git history, or left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// Everything that it names, that the history lacks and that no Resume is over: all of them pause it.
    pub missing: Vec<MissingCommit>,
}

/// A commit that a device names and the history lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingCommit {
    /// The commit.
    pub commit: CommitId,
    /// The landing that the device says it is.
    pub landing: u64,
    /// What the device does with it.
    pub claim: ClaimKind,
    /// How it stands to the history.
    pub stand: Stand,
}

/// What a device does with what it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClaimKind {
    /// It runs it.
    Running,
    /// It is applying it.
    Applying,
}

/// How a version whose commit is missing stands to the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stand {
    /// Its landing number is above the head's.
    Ahead,
    /// It is not: the history has another landing there.
    Diverged,
}

/// A fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetView {
    /// Its name.
    pub name: FleetName,
    /// The template commit.
    pub template: CommitId,
    /// The template commit's landing number.
    pub landing: u64,
    /// The template commit that completed last.
    pub stable: Option<CommitId>,
    /// Its devices, but for those that are gone for good.
    pub devices: u64,
    /// Of them, those whose running digest is that of their target.
    pub up_to_date: u64,
    /// Problems of its manifest; while there are any, its newest good version counts.
    pub invalid: Vec<String>,
}

/// A rollout: the current one of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutView {
    /// Its fleet.
    pub fleet: FleetName,
    /// The template commit that rolls out.
    pub commit: CommitId,
    /// The template commit's landing number.
    pub landing: u64,
    /// How it stands.
    pub state: RolloutState,
    /// Its waves, in order.
    pub waves: Vec<WaveView>,
    /// What it waits for; null when it is complete.
    pub reason: Option<WaitingOn>,
    /// The same in a sentence.
    pub why: String,
    /// Since when it waits for that, by which rule, and what ends it.
    #[serde(default)]
    pub waits: Option<Waits>,
    /// The landing that rolls out, and who stands for it.
    #[serde(default)]
    pub origin: Option<CommitView>,
    /// The signed files that decide about it: Holds, Approvals and Expedites.
    #[serde(default)]
    pub decided: Vec<DecisionView>,
    /// A newer template commit, which waits for this one to end.
    #[serde(default)]
    pub next: Option<CommitId>,
}

/// How a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum RolloutState {
    /// It goes on.
    Progressing,
    /// It waits for people (gate, hold), for a window or for another fleet.
    Waiting,
    /// It stopped by itself.
    Halted,
    /// Devices go back: it stopped by itself and is rejected, or it brings back what was stable.
    Reverting,
    /// It stopped by itself, and no device is on its way back any more.
    Rejected,
    /// Every wave completed.
    Complete,
}

/// One wave of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaveView {
    /// Its name.
    pub name: WaveName,
    /// Whether it is open.
    pub open: bool,
    /// Whether it is done, soak included.
    pub done: bool,
    /// Its members.
    pub members: u64,
    /// Members that were offered the target.
    pub offered: u64,
    /// Members that are healthy on the target.
    pub healthy: u64,
    /// Members that failed.
    pub failed: u64,
    /// What it waits for.
    pub reason: Option<WaitingOn>,
    /// The same in a sentence.
    #[serde(default)]
    pub why: Option<String>,
    /// Since when it waits for that, by which rule, and what ends it.
    #[serde(default)]
    pub waits: Option<Waits>,
}

/// The repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryView {
    /// Where it is.
    pub url: String,
    /// The watched branch.
    pub branch: String,
    /// The accepted head.
    pub head: Option<CommitView>,
    /// Its condition.
    pub condition: Condition,
    /// The same in a sentence.
    pub why: String,
}

/// An accepted landing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitView {
    /// Its id.
    pub commit: CommitId,
    /// Its landing number.
    pub landing: u64,
    /// Who stands for it: its signer and, in a clean merge, who wrote and endorsed what it brought.
    pub signers: Vec<PersonName>,
    /// First line of its message.
    pub summary: String,
    /// When it was committed, by the committer's clock.
    pub committed: Timestamp,
}

impl CommitView {
    /// Who stands for it, for people.
    pub fn signed_by(&self) -> String {
        match self.signers.as_slice() {
            [] => "nobody: it changed nothing".to_owned(),
            signers => signers.iter().map(PersonName::as_str).collect::<Vec<_>>().join(", "),
        }
    }
}

/// A device that asked to enroll and waits for a person to approve its key. All of it but the fingerprint is what somebody
/// out in the world says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestView {
    /// SHA-256 of its key's SubjectPublicKeyInfo.
    pub fingerprint: Sha256Digest,
    /// The enrollment that it asks for.
    pub enrollment: EnrollmentName,
    /// What it says about itself.
    pub facts: BTreeMap<String, String>,
    /// The address that it asked from last.
    pub address: IpAddr,
    /// When it asked first.
    pub first_asked: Timestamp,
    /// When it asked last.
    pub last_asked: Timestamp,
}

/// Something that happened: a line of the event log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// Its number, which rises.
    pub id: i64,
    /// When, by the reconciler's clock.
    pub at: Timestamp,
    /// What kind of thing: a word such as `offered` or `restored`.
    pub kind: String,
    /// The device it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceName>,
    /// The fleet it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetName>,
    /// The stable code, where a person can act on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What happened.
    pub message: String,
}

/// Events that are answered where nobody says how many, and at most.
pub const EVENTS: (u32, u32) = (100, 1_000);

/// A manifest that does not parse, or does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvalidView {
    /// The file.
    pub path: String,
    /// Its problems, as text with line and column.
    pub problems: Vec<String>,
}
