//! Kinds Approval, Hold, Expedite and Resume: decisions of people, as signed files.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::selector::SomeSelector;
use super::{LabelSelector, Labels, forms};
use crate::id::CommitId;
use crate::name::{DeviceName, FleetName, WaveName};

/// Opens gates of one rollout, lets it go on after a halt, or offers devices its target again: at least one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("anyOf" = [
    { "required": ["open"], "properties": { "open": { "minItems": 1 } } },
    { "required": ["resume"] },
    { "required": ["retry"] },
]))]
pub struct Approval {
    /// The fleet whose rollout it is about.
    pub fleet: FleetName,
    /// A landing at which the fleet's inputs are those of the template that is approved. While its rollout goes on, it counts
    /// also after members enrolled, left or got other labels.
    pub commit: CommitId,
    /// The waves whose gates open, each once. A wave opens when it has its turn, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("default" = [], "uniqueItems" = true))]
    pub open: Vec<WaveName>,
    /// Goes on after a halt, or brings a rejected commit back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<HaltResume>,
    /// Offers devices that failed the same target again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Why, for whoever reads it later; not empty.
    #[schemars(regex(pattern = forms::WORDS), extend("examples" = ["the canary looks well"]))]
    pub reason: String,
}

/// Acknowledges failures: the rollout goes on, and halts again when there are too many beyond them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "failures": 3 }]))]
pub struct HaltResume {
    /// How many devices have failed, as whoever signs this has seen; at least 1.
    #[schemars(range(min = 1))]
    pub failures: u32,
}

/// Offers devices the target again on which they failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "devices": ["edge-1", "edge-2"] }]))]
pub struct Retry {
    /// These devices, each once. It is for what failed before the Approval landed; what fails after it is not tried again by
    /// it.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub devices: Vec<DeviceName>,
}

/// Stops offers as long as it is there. Exactly one of `fleets` and `all` must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["fleets"] }, { "required": ["all"] }]))]
pub struct Hold {
    /// The fleets in which nothing is offered, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub fleets: Vec<FleetName>,
    /// Nothing is offered in any fleet. Only `true` may stand here; name `fleets` instead to stop some.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("const" = true))]
    pub all: bool,
    /// Why, for whoever reads it later; not empty.
    #[schemars(regex(pattern = forms::WORDS), extend("examples" = ["trade fair, nothing changes until Monday"]))]
    pub reason: String,
}

/// What a Hold stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldScope<'a> {
    /// Every fleet.
    All,
    /// These fleets.
    Fleets(&'a [FleetName]),
}

impl Hold {
    /// What it stops; `None` unless exactly one of `fleets` and `all` is there.
    pub fn scope(&self) -> Option<HoldScope<'_>> {
        match (self.all, self.fleets.as_slice()) {
            (true, []) => Some(HoldScope::All),
            (false, fleets @ [_, ..]) => Some(HoldScope::Fleets(fleets)),
            _ => None,
        }
    }

    /// Whether it stops offers to `fleet`. Fails closed: a Hold that names nothing well stops everything.
    pub fn covers(&self, fleet: &FleetName) -> bool {
        match self.scope() {
            Some(HoldScope::Fleets(fleets)) => fleets.contains(fleet),
            Some(HoldScope::All) | None => true,
        }
    }
}

/// Lets an emergency fix skip steps. One device must be healthy on it first; budgets hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expedite {
    /// The fleet whose rollout it is about.
    pub fleet: FleetName,
    /// A landing at which the fleet's inputs are those of the fix. While its rollout goes on, it counts also after members
    /// enrolled, left or got other labels.
    pub commit: CommitId,
    /// What it skips, each once.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub skip: Vec<SkipStep>,
    /// Why, for whoever reads it later; not empty.
    #[schemars(regex(pattern = forms::WORDS), extend("examples" = ["closes a hole that is being used"]))]
    pub reason: String,
}

/// A step that an Expedite skips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SkipStep {
    /// The waves between the first and the last.
    Waves,
    /// Soak times.
    Soak,
    /// Manual gates.
    Gates,
    /// Windows: it may be applied at any time.
    Windows,
}

impl SkipStep {
    /// Every step.
    pub const ALL: [Self; 4] = [Self::Waves, Self::Soak, Self::Gates, Self::Windows];

    /// As manifests write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waves => "waves",
            Self::Soak => "soak",
            Self::Gates => "gates",
            Self::Windows => "windows",
        }
    }
}

impl fmt::Display for SkipStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Ends the pause of devices by force: git overrules what they run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("anyOf" = [
    { "required": ["over"], "properties": { "over": { "minItems": 1 } } },
    { "required": ["devices"], "properties": { "devices": { "minItems": 1 } } },
]))]
pub struct Resume {
    /// The missing commits that it overrules, each once. Empty only with `devices`, for devices whose report is altered or
    /// unreadable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("default" = [], "uniqueItems" = true))]
    pub over: Vec<CommitId>,
    /// Only these devices, each once; all if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("default" = [], "uniqueItems" = true))]
    pub devices: Vec<DeviceName>,
    /// Only devices with these labels; whatever their labels if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SomeSelector")]
    pub selector: Option<LabelSelector>,
    /// Why, for whoever reads it later; not empty.
    #[schemars(regex(pattern = forms::WORDS), extend("examples" = ["the reset of the repository was meant"]))]
    pub reason: String,
}

impl Resume {
    /// Whether it speaks of a device with this name and these labels at all.
    pub fn covers(&self, device: &DeviceName, labels: &Labels) -> bool {
        match (self.devices.as_slice(), &self.selector) {
            ([], None) => !self.over.is_empty(),
            ([], Some(selector)) => selector.matches(labels),
            (devices, None) => devices.contains(device),
            (devices, Some(selector)) => devices.contains(device) && selector.matches(labels),
        }
    }
}
