//! What a change does to devices, before it lands: the data behind each form of `bellwether diff`.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::RolloutState;
use crate::id::{CommitId, Sha256Digest};
use crate::name::FleetName;

/// What `bellwether diff --output json` prints. What is in it changes only with `$schema`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Which form this is: that of `bellwether schema comparison`.
    #[serde(rename = "$schema")]
    pub schema: &'static str,
    /// What devices run, or are on the way to.
    pub base: At,
    /// What they would run: the landing that the change would be, or the base where that has it already.
    pub head: At,
    /// The commit that was to be compared, where the base has it already: nothing changes then.
    pub landed: Option<CommitId>,
    /// Whether the devices are those of an inventory; else they are those that git lists.
    pub inventory: bool,
    /// How many devices are known.
    pub devices: usize,
    /// How many of them get another spec.
    pub changed: usize,
    /// How many may enroll from then on.
    pub admitted: usize,
    /// Of how many devices git has other labels than the inventory.
    pub relabelled: usize,
    /// The paths that it changes.
    pub paths: Vec<String>,
    /// What people decide by it.
    pub decisions: Vec<DecisionReport>,
    /// The fleets whose devices get something else, or that come or go, by name.
    pub fleets: Vec<FleetReport>,
    /// What is dangerous about it, the worst first.
    pub risks: Vec<RiskReport>,
}

impl Comparison {
    /// The `$id` of its JSON Schema.
    pub const SCHEMA: &'static str = "urn:bellwether:v1:comparison";
}

/// A landing.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct At {
    /// Its commit; of a merge that nobody made yet, the tip of its branch.
    pub commit: CommitId,
    /// Its number.
    pub landing: u64,
}

/// What becomes of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// It is new.
    New,
    /// It is gone.
    Deleted,
    /// It has another target.
    Changed,
    /// Its target is what it was; devices come or leave, or are pinned otherwise.
    Same,
}

impl Fate {
    /// Its word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Deleted => "deleted",
            Self::Changed => "changed",
            Self::Same => "same",
        }
    }
}

/// What becomes of a fleet and its devices.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FleetReport {
    /// The fleet.
    pub fleet: FleetName,
    /// What becomes of it.
    pub fate: Fate,
    /// Devices of it that get another spec.
    pub changed: usize,
    /// Devices of it for which nothing changes.
    pub unchanged: usize,
    /// Devices for which it cannot be rendered.
    pub unrendered: usize,
    /// Devices that a pin keeps at what they run.
    pub pinned: usize,
    /// Of those that change: devices that had no spec before.
    pub first: usize,
    /// Devices that come from other fleets, of whatever becomes of them.
    pub from: Vec<MovedReport>,
    /// Devices that leave it.
    pub left: usize,
    /// Each distinct change, that of most devices first.
    pub variants: Vec<VariantReport>,
    /// Artifacts that no fleet had before.
    pub artifacts: Vec<ArtifactReport>,
    /// How it rolls out if nothing fails; none where nothing does, or no Rollout can be read.
    pub rollout: Option<RolloutReport>,
}

/// Something that is decided in one of both sides only.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DecisionReport {
    /// The file that decides it.
    pub path: String,
    /// What it decides, without a subject.
    pub says: String,
    /// Whether it is decided from then on, or no more.
    pub comes: bool,
}

/// Devices that come from one other fleet.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MovedReport {
    /// That fleet.
    pub fleet: FleetName,
    /// How many.
    pub devices: usize,
}

/// One distinct change: the same for many devices, but for what is their own.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VariantReport {
    /// How many devices get it.
    pub devices: usize,
    /// The device that stands for them, as people know it.
    pub example: String,
    /// What of theirs is different for the others: `device` for names, else keys of labels.
    pub differs_by: Vec<String>,
    /// A unified difference of what that device runs.
    pub diff: String,
}

/// An artifact that no fleet had before.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ArtifactReport {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
}

/// How a change of a fleet rolls out if nothing fails.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutReport {
    /// What would become of it, and what that takes for granted.
    pub summary: String,
    /// The fleets that must have completed the same landing before it begins; it is taken to land once they have.
    pub after: Vec<FleetName>,
    /// How it stands at its end, or where it stays.
    pub state: RolloutState,
    /// Seconds from the landing on; none where it does not end.
    pub complete_after: Option<i64>,
    /// When it may be applied; any time where there is none.
    pub windows: Vec<String>,
    /// Its waves, the first first.
    pub waves: Vec<WaveReport>,
    /// When it is taken to land.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub lands: Timestamp,
}

/// A wave of a rollout.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaveReport {
    /// Its name.
    pub name: String,
    /// How many devices it takes.
    pub devices: u64,
    /// Whether somebody must approve it.
    pub gate: bool,
    /// Seconds from the landing on until it opens; none where it does not.
    pub opens_after: Option<i64>,
    /// Seconds from the landing on until its soak is over; none where that does not end.
    pub ends_after: Option<i64>,
    /// For how many seconds it soaks.
    pub soak: u32,
}

/// Something that whoever merges should know.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RiskReport {
    /// The stable code.
    #[schemars(regex(pattern = "^BW-[0-9]{4}$"))]
    pub code: String,
    /// The fleet that it is about, if it is about one.
    pub fleet: Option<FleetName>,
    /// What it is, in a sentence.
    pub what: String,
}
