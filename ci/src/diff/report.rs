//! A comparison as data: what text, markdown and JSON show.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_core::compare::{
    Change, Comparison, Decision, FleetChange, FleetFate, Forecast, Member, Risk, Sides, Variant,
};
use bellwether_core::objects::ObjectError;
use bellwether_core::plan::Landing;
use bellwether_schemas::manifest::Gate;
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
    /// Of how many devices git has other labels than the inventory.
    pub(super) relabelled: usize,
    /// The paths that it changes.
    pub(super) paths: Vec<String>,
    /// What people decide by it.
    pub(super) decisions: Vec<DecisionReport>,
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
    /// Devices that a pin keeps at what they run.
    pub(super) pinned: usize,
    /// Of those that change: devices that had no spec before.
    pub(super) first: usize,
    /// Devices that come from other fleets, of whatever becomes of them.
    pub(super) from: Vec<MovedReport>,
    pub(super) left: usize,
    pub(super) variants: Vec<VariantReport>,
    /// Artifacts that no device had before.
    pub(super) artifacts: Vec<ArtifactReport>,
    pub(super) rollout: Option<RolloutReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct DecisionReport {
    pub(super) path: String,
    /// What it decides, without a subject.
    pub(super) says: String,
    /// Whether it is decided from then on, or no more.
    pub(super) comes: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct MovedReport {
    pub(super) fleet: FleetName,
    pub(super) devices: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VariantReport {
    pub(super) devices: usize,
    pub(super) example: String,
    /// What of theirs is different for the others: `device` for names, else keys of labels.
    pub(super) differs_by: Vec<String>,
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
            relabelled: comparison.relabelled,
            decisions: comparison.decisions.iter().map(DecisionReport::of).collect(),
            paths: sides.changes.iter().map(|change| change.path.clone()).collect(),
            fleets: fleets.collect::<Result<_, _>>()?,
            risks: comparison.risks.iter().map(RiskReport::of).collect(),
        })
    }
}

impl FleetReport {
    fn of(sides: &Sides<'_>, change: &FleetChange<'_>, forecast: Option<&Forecast>) -> Result<Self, ObjectError> {
        let count = |is: fn(&Member<'_>) -> bool| change.members.iter().filter(|member| is(member)).count();
        let mut from: BTreeMap<&FleetName, usize> = BTreeMap::new();
        for fleet in change.members.iter().filter_map(|member| member.from.as_ref()) {
            *from.entry(fleet).or_default() += 1;
        }
        let variants = change.variants.iter().map(|variant| {
            let diff = spec::difference(variant, sides.objects)?;
            let differs_by = variant.differs_by.iter().cloned().collect();
            Ok(VariantReport { devices: variant.devices, example: variant.example.clone(), differs_by, diff })
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
            unchanged: count(|member| !member.is_pinned && matches!(member.change, Change::None(_))),
            unrendered: count(|member| matches!(member.change, Change::Unrendered(_))),
            pinned: count(|member| member.is_pinned && matches!(member.change, Change::None(_))),
            first: count(|member| matches!(member.change, Change::Spec { before: None, .. })),
            from: from.into_iter().map(|(fleet, devices)| MovedReport { fleet: fleet.clone(), devices }).collect(),
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
        Self {
            summary: crate::simulate::in_a_sentence(outcome),
            state: format!("{:?}", outcome.state),
            complete_after: outcome.completed_at.map(after),
            windows: forecast.rollout.windows.iter().map(ToString::to_string).collect(),
            waves: waves.collect(),
            lands: outcome.start,
        }
    }
}

impl DecisionReport {
    fn of(decision: &Decision) -> Self {
        Self { path: decision.path.clone(), says: decision.says.clone(), comes: decision.comes }
    }
}

impl RiskReport {
    fn of(risk: &Risk) -> Self {
        Self { code: risk.code.to_string(), fleet: risk.fleet.clone(), what: risk.what.clone() }
    }
}
