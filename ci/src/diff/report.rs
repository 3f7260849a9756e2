//! A comparison as data: what text, markdown and JSON show.

use std::collections::BTreeSet;

use bellwether_core::compare::{Change, Comparison, FleetChange, FleetFate, Forecast, Risk, Sides, Variant};
use bellwether_core::objects::ObjectError;
use bellwether_core::plan::Landing;
use bellwether_schemas::manifest::{Gate, Zone};
use bellwether_schemas::{CommitId, FleetName, Sha256Digest};
use jiff::Timestamp;
use serde::Serialize;

use super::spec;

/// A comparison.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Which form this is.
    version: u32,
    pub(super) base: At,
    pub(super) head: At,
    /// Whether the devices are those of an inventory; else they are those that git lists.
    pub(super) inventory: bool,
    /// How many devices are known.
    pub(super) devices: usize,
    /// How many of them get another spec.
    pub(super) changed: usize,
    /// How many may enroll from now on.
    pub(super) admitted: usize,
    /// The paths that it changes.
    pub(super) paths: Vec<String>,
    pub(super) fleets: Vec<FleetReport>,
    pub(super) risks: Vec<RiskReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct At {
    pub(super) commit: CommitId,
    pub(super) landing: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FleetReport {
    pub(super) fleet: FleetName,
    pub(super) fate: &'static str,
    /// Devices of it that get another spec.
    pub(super) changed: usize,
    /// Devices of it for which nothing changes.
    pub(super) unchanged: usize,
    /// Devices for which it cannot be rendered.
    pub(super) unrendered: usize,
    /// Of those that change: devices that come from elsewhere.
    pub(super) joined: usize,
    pub(super) left: usize,
    pub(super) variants: Vec<VariantReport>,
    /// Artifacts that no device had before.
    pub(super) artifacts: Vec<ArtifactReport>,
    pub(super) rollout: Option<RolloutReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct VariantReport {
    pub(super) devices: usize,
    pub(super) example: String,
    /// A unified difference.
    pub(super) diff: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ArtifactReport {
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) sha256: Sha256Digest,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RolloutReport {
    /// What would become of it, in a sentence.
    pub(super) summary: String,
    pub(super) state: String,
    /// Seconds from the landing on; none where it does not end.
    pub(super) complete_after: Option<i64>,
    pub(super) windows: Vec<String>,
    pub(super) waves: Vec<WaveReport>,
    /// When it is taken to land.
    pub(super) lands: Timestamp,
    /// How many devices were simulated: of very many not all.
    pub(super) simulated: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WaveReport {
    pub(super) name: String,
    pub(super) devices: u64,
    /// Whether somebody must approve it.
    pub(super) gate: bool,
    /// Seconds from the landing on until it opens.
    pub(super) opens_after: Option<i64>,
    /// Seconds from the landing on until its soak is over.
    pub(super) ends_after: Option<i64>,
    /// Seconds.
    pub(super) soak: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct RiskReport {
    pub(super) code: String,
    pub(super) fleet: Option<FleetName>,
    pub(super) what: String,
}

impl Report {
    pub(super) fn of(
        sides: &Sides<'_>,
        comparison: &Comparison<'_>,
        forecasts: &[Option<Forecast>],
        inventory: bool,
    ) -> Result<Self, ObjectError> {
        let fleets = comparison.fleets.iter().zip(forecasts);
        let fleets = fleets.map(|(change, forecast)| FleetReport::of(sides, change, forecast.as_ref()));
        let at = |landing: Landing| At { commit: landing.commit, landing: landing.number };
        Ok(Self {
            version: 1,
            base: at(sides.before.head()),
            head: at(sides.after.declared().head()),
            inventory,
            devices: comparison.devices,
            changed: comparison.fleets.iter().map(FleetChange::changed).sum(),
            admitted: comparison.admitted,
            paths: sides.changes.iter().map(|change| change.path.clone()).collect(),
            fleets: fleets.collect::<Result<_, _>>()?,
            risks: comparison.risks.iter().map(RiskReport::of).collect(),
        })
    }
}

impl FleetReport {
    fn of(sides: &Sides<'_>, change: &FleetChange<'_>, forecast: Option<&Forecast>) -> Result<Self, ObjectError> {
        let count = |is: fn(&Change) -> bool| change.members.iter().filter(|member| is(&member.change)).count();
        let joined = change.members.iter().filter(|member| match &member.change {
            Change::Spec { before, .. } => before.is_none() || member.from.is_some(),
            Change::None(_) | Change::Unrendered(_) => false,
        });
        let variants = change.variants.iter().map(|variant| {
            let diff = spec::difference(variant, sides.objects)?;
            Ok(VariantReport { devices: variant.devices, example: variant.example.clone(), diff })
        });
        Ok(Self {
            fleet: change.fleet.clone(),
            fate: match change.fate {
                FleetFate::Comes => "new",
                FleetFate::Goes => "deleted",
                FleetFate::Changes => "changed",
                FleetFate::Stays => "same",
            },
            changed: change.changed(),
            unchanged: count(|change| matches!(change, Change::None(_))),
            unrendered: count(|change| matches!(change, Change::Unrendered(_))),
            joined: joined.count(),
            left: change.left,
            variants: variants.collect::<Result<_, ObjectError>>()?,
            artifacts: artifacts(&change.variants),
            rollout: forecast.map(RolloutReport::of),
        })
    }
}

/// The artifacts that a change brings.
fn artifacts(variants: &[Variant]) -> Vec<ArtifactReport> {
    let known: BTreeSet<_> = variants
        .iter()
        .filter_map(|variant| variant.before.as_ref())
        .flat_map(|before| &before.spec.artifacts)
        .map(|artifact| artifact.source)
        .collect();
    let mut seen = BTreeSet::new();
    let all = variants.iter().flat_map(|variant| &variant.after.spec.artifacts);
    let new = all.filter(|artifact| !known.contains(&artifact.source) && seen.insert(artifact.source));
    new.map(|artifact| ArtifactReport {
        name: artifact.name.to_string(),
        length: artifact.source.length,
        sha256: artifact.source.sha256,
    })
    .collect()
}

impl RolloutReport {
    fn of(forecast: &Forecast) -> Self {
        let outcome = &forecast.outcome;
        let after = |at: Timestamp| at.duration_since(outcome.start).as_secs();
        let waves = outcome.waves.iter().map(|wave| WaveReport {
            name: wave.name.to_string(),
            devices: wave.members,
            gate: forecast.rollout.waves.iter().any(|known| known.name == wave.name && known.gate == Gate::Manual),
            opens_after: wave.opened_at.map(after),
            ends_after: wave.advanced_at.map(after),
            soak: wave.soak.get(),
        });
        let windows = forecast.rollout.windows.iter().map(|window| {
            let days: Vec<_> = window.days.iter().map(ToString::to_string).collect();
            let zone = match &window.timezone {
                Zone::Named(zone) => zone.clone(),
                Zone::Label(key) => format!("the zone of the label {key}"),
            };
            let days = if days.is_empty() { String::new() } else { format!("{} ", days.join(", ")) };
            format!("{days}{} for {}, {zone}", window.start, window.duration)
        });
        Self {
            summary: crate::simulate::in_a_sentence(outcome),
            state: format!("{:?}", outcome.state),
            complete_after: outcome.completed_at.map(after),
            windows: windows.collect(),
            waves: waves.collect(),
            lands: outcome.start,
            simulated: outcome.devices,
        }
    }
}

impl RiskReport {
    fn of(risk: &Risk) -> Self {
        Self { code: risk.code.to_string(), fleet: risk.fleet.clone(), what: risk.what.clone() }
    }
}
