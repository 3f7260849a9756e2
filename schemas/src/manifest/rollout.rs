//! Kind Rollout: how changes to the fleet of the same name roll out. Every field has a default.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::selector::SomeSelector;
use super::{LabelSelector, Window, forms};
use crate::name::{FleetName, WaveName};
use crate::quantity::{Percent, Seconds};

/// How changes to the fleet of the same name roll out: in waves that must stay healthy. Every field has a default, and a
/// fleet without a Rollout goes by them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rollout {
    /// Fleets that must have completed the same commit first, each once.
    #[schemars(extend("uniqueItems" = true))]
    pub after: Vec<FleetName>,
    /// The waves, in order. The last one must have `percent: 100`, so that it reaches every device; percentages rise.
    #[schemars(length(min = 1), extend(
        "contains" = { "properties": { "percent": { "const": 100 } }, "required": ["percent"] },
        "examples" = [[
            { "name": "canary", "select": { "matchLabels": { "ring": "canary" } }, "soak": "30m" },
            { "name": "early", "percent": 10 },
            { "name": "broad", "percent": 100, "gate": "manual" },
        ]],
    ))]
    pub waves: Vec<Wave>,
    /// The part of those offered in a wave that may fail; above it the rollout halts. The first wave's default is 0%: one
    /// failure halts it.
    pub max_failure_rate: Percent,
    /// Below this many failed devices no wave after the first halts, whatever part of it that is.
    pub min_failures: u32,
    /// A wave advances only when at least this many devices are healthy on the new target.
    pub min_healthy: u32,
    /// Devices that were offered and are not done yet, at most: this fraction of the fleet, rounded down, and at least one;
    /// above 0%. No limit if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = forms::SOME_PERCENT, "examples" = ["10%"]))]
    pub max_in_flight: Option<Percent>,
    /// The time that a device has from the offer (or from its last progress) to a result; after it the device counts as
    /// failed. More than 0s.
    #[schemars(extend("pattern" = forms::SOME_TIME, "examples" = ["30m"]))]
    pub device_timeout: Seconds,
    /// How often a device whose attempt failed is offered the same target again before that counts as a failure: 0 to 10.
    #[schemars(range(max = 10))]
    pub retries: u32,
    /// What happens when too many fail.
    pub on_failure: OnFailure,
    /// What happens when a newer commit arrives in mid-rollout.
    pub on_newer: OnNewer,
    /// When applying may begin; at any time if empty. One that is open is enough.
    pub windows: Vec<Window>,
    /// How many devices may be unavailable at once; every one of these limits holds. No limit if empty.
    pub budget: Vec<Budget>,
    /// A device that is offline for longer stops counting against a budget. More than 0s.
    #[schemars(extend("pattern" = forms::SOME_TIME, "examples" = ["7d"]))]
    pub lost_after: Seconds,
}

impl Rollout {
    /// How changes to a device's own template roll out: one wave, all else as for a fleet without a Rollout.
    pub fn of_one() -> Self {
        Self { waves: vec![Wave::of_percent("device", 100)], ..Self::default() }
    }

    /// The share of failures at which the wave at a place halts the rollout.
    pub fn failure_rate_of(&self, place: usize) -> Percent {
        let default = if place == 0 { Percent::ZERO } else { self.max_failure_rate };
        self.waves.get(place).and_then(|wave| wave.max_failure_rate).unwrap_or(default)
    }

    /// The windows that a wave goes by.
    pub fn windows_of<'a>(&'a self, wave: &'a Wave) -> &'a [Window] {
        if wave.windows.is_empty() { &self.windows } else { &wave.windows }
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            after: Vec::new(),
            waves: vec![Wave::of_percent("canary", 5), Wave::of_percent("early", 25), Wave::of_percent("broad", 100)],
            max_failure_rate: Percent::whole(2),
            min_failures: 3,
            min_healthy: 1,
            max_in_flight: None,
            device_timeout: Seconds::minutes(30),
            retries: 0,
            on_failure: OnFailure::Halt,
            on_newer: OnNewer::Restart,
            windows: Vec::new(),
            budget: Vec::new(),
            lost_after: Seconds::new(7 * 86_400),
        }
    }
}

/// One wave of devices. Exactly one of `select` and `percent` must be there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend(
    "oneOf" = [{ "required": ["select"] }, { "required": ["percent"], "properties": { "limit": false } }],
    "examples" = [
        { "name": "canary", "select": { "matchLabels": { "ring": "canary" } }, "soak": "30m" },
        { "name": "broad", "percent": 100, "gate": "manual" },
    ],
))]
pub struct Wave {
    /// Its name, unique in the rollout; an Approval opens it by this name.
    pub name: WaveName,
    /// The devices of the fleet with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SomeSelector")]
    pub select: Option<LabelSelector>,
    /// So many per cent of the fleet, earlier waves included: a whole number from 1 to 100, without a sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub percent: Option<u8>,
    /// Of a `select` wave, this fraction of the fleet at most, rounded down, and at least one device; above 0%. All that are
    /// selected if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = forms::SOME_PERCENT, "examples" = ["10%"]))]
    pub limit: Option<Percent>,
    /// How long the wave must stay healthy before the next one may open, such as 15m or 2h.
    #[serde(default = "Wave::default_soak")]
    pub soak: Seconds,
    /// What opens the wave: nothing more than its turn, or a signed Approval.
    #[serde(default)]
    pub gate: Gate,
    /// Overrides the rollout's `maxFailureRate` for this wave. If not given: 0% for the first wave, the rollout's for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failure_rate: Option<Percent>,
    /// Overrides the rollout's `windows` for this wave, unless it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("default" = []))]
    pub windows: Vec<Window>,
}

/// How a wave chooses its devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaveMembers<'a> {
    /// By labels.
    Select(&'a LabelSelector),
    /// Up to so many per cent of the fleet.
    Percent(u8),
}

impl Wave {
    fn of_percent(name: &str, percent: u8) -> Self {
        Self {
            name: name.parse().expect("a literal name"),
            select: None,
            percent: Some(percent),
            limit: None,
            soak: Self::default_soak(),
            gate: Gate::Automatic,
            max_failure_rate: None,
            windows: Vec::new(),
        }
    }

    pub(crate) fn default_soak() -> Seconds {
        Seconds::minutes(15)
    }

    /// How it chooses its devices; `None` unless exactly one of `select` and `percent` is there.
    pub fn members(&self) -> Option<WaveMembers<'_>> {
        match (&self.select, self.percent) {
            (Some(selector), None) => Some(WaveMembers::Select(selector)),
            (None, Some(percent)) => Some(WaveMembers::Percent(percent)),
            _ => None,
        }
    }
}

/// What opens a wave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Gate {
    /// It opens when its turn comes.
    #[default]
    Automatic,
    /// It opens when its turn has come and a signed Approval names it.
    Manual,
}

/// What happens when too many devices fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// No further offers, until an Approval lets it go on or a newer commit lands.
    #[default]
    Halt,
    /// No further offers, and every device that was offered the version goes back to the last that was healthy on it.
    Revert,
}

/// What happens when a newer commit arrives in mid-rollout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnNewer {
    /// The rollout begins again at the first wave with the newer commit.
    #[default]
    Restart,
    /// The rollout that runs ends first.
    Finish,
}

/// A limit on devices that are unavailable at once. Unavailable is a device from its offer until it is healthy, one that is
/// silent, and one that does not pass its probes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "by": ["site"], "maxUnavailable": 1 }, { "maxUnavailable": "10%" }]))]
pub struct Budget {
    /// Label keys, each once: devices with the same values of them form a group, and the limit is for each group. If empty,
    /// the whole fleet is one.
    #[serde(default)]
    #[schemars(with = "Vec<forms::LabelKey>", extend("uniqueItems" = true))]
    pub by: Vec<String>,
    /// How many devices of a group at most: a number from 1 on, or a percentage above 0%.
    pub max_unavailable: MaxUnavailable,
}

/// How many devices of a group may be unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("examples" = [1, "10%"]))]
pub enum MaxUnavailable {
    /// So many.
    Count(#[schemars(range(min = 1))] u32),
    /// This fraction of the group, rounded down, and at least one; above 0%.
    #[schemars(extend("pattern" = forms::SOME_PERCENT))]
    Share(Percent),
}

impl MaxUnavailable {
    /// How many of a group with so many devices.
    pub fn of(self, group: u64) -> u64 {
        match self {
            Self::Count(count) => u64::from(count),
            Self::Share(share) => share.floor_of(group).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_a_group_is_one_device_at_least() {
        let share = |text: &str| MaxUnavailable::Share(text.parse().expect("a percentage"));
        for (limit, group, most) in [
            (MaxUnavailable::Count(1), 0, 1),
            (MaxUnavailable::Count(3), 2, 3),
            (share("10%"), 0, 1),
            (share("10%"), 9, 1),
            (share("10%"), 19, 1),
            (share("10%"), 20, 2),
            (share("0.01%"), 1_000, 1),
            (share("33.33%"), 10_000, 3_333),
            (share("100%"), 7, 7),
        ] {
            assert_eq!(limit.of(group), most, "{limit:?} of {group}");
        }
    }
}
