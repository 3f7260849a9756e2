//! A comparison as data: what text, markdown and JSON show, from what was found.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_core::compare::{
    self, Change, Decision, FleetChange, FleetFate, Forecast, Member, Risk, Sides, Variant,
};
use bellwether_core::objects::ObjectError;
use bellwether_core::plan::{Landing, sentence};
use bellwether_schemas::comparison::{
    ArtifactReport, At, Comparison, DecisionReport, Fate, FleetReport, MovedReport, RiskReport, RolloutReport,
    VariantReport, WaveReport,
};
use bellwether_schemas::manifest::Gate;
use bellwether_schemas::{CommitId, FleetName, Sha256Digest, WaveName};
use jiff::Timestamp;

use super::spec;
use crate::get::printable;

/// What is told beside what was found.
pub(super) struct About {
    /// The head, where the base has it already.
    pub(super) landed: Option<CommitId>,
    /// Whether the devices are those of an inventory.
    pub(super) inventory: bool,
}

/// The whole report.
pub(super) fn report(
    sides: &Sides<'_>,
    comparison: &compare::Comparison<'_>,
    forecasts: &[Option<Forecast>],
    about: &About,
) -> Result<Comparison, ObjectError> {
    let fleets = comparison.fleets.iter().zip(forecasts);
    let templates = sides.before.fleets().values().map(|line| &line.target.fleet.template);
    let known = templates.flat_map(|template| &template.artifacts).map(|artifact| artifact.sha256).collect();
    let fleets = fleets.map(|(change, forecast)| fleet_report(sides, change, forecast.as_ref(), &known));
    let at = |landing: Landing| At { commit: landing.commit, landing: landing.number };
    Ok(Comparison {
        schema: Comparison::SCHEMA,
        base: at(sides.before.head()),
        head: at(sides.after.declared().head()),
        landed: about.landed,
        inventory: about.inventory,
        devices: comparison.devices,
        changed: comparison.fleets.iter().map(FleetChange::changed).sum(),
        admitted: comparison.admitted,
        relabelled: comparison.relabelled,
        decisions: comparison.decisions.iter().map(decision_report).collect(),
        paths: sides.changes.iter().map(|change| change.path.clone()).collect(),
        fleets: fleets.collect::<Result<_, _>>()?,
        risks: comparison.risks.iter().map(risk_report).collect(),
    })
}

fn fleet_report(
    sides: &Sides<'_>,
    change: &FleetChange<'_>,
    forecast: Option<&Forecast>,
    known: &BTreeSet<Sha256Digest>,
) -> Result<FleetReport, ObjectError> {
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
    Ok(FleetReport {
        fleet: change.fleet.clone(),
        fate: match change.fate {
            FleetFate::Comes => Fate::New,
            FleetFate::Goes => Fate::Deleted,
            FleetFate::Changes => Fate::Changed,
            FleetFate::Stays => Fate::Same,
        },
        changed: change.changed(),
        unchanged: count(|member| !member.is_pinned && matches!(member.change, Change::None(_))),
        unrendered: count(|member| matches!(member.change, Change::Unrendered(_))),
        pinned: count(|member| member.is_pinned && matches!(member.change, Change::None(_))),
        first: count(|member| matches!(member.change, Change::Spec { before: None, .. })),
        from: from.into_iter().map(|(fleet, devices)| MovedReport { fleet: fleet.clone(), devices }).collect(),
        left: change.left,
        variants: variants.collect::<Result<_, ObjectError>>()?,
        artifacts: artifacts(&change.variants, known),
        rollout: forecast.map(rollout_report),
    })
}

/// The artifacts that a change brings, beside those that fleets had before.
fn artifacts(variants: &[Variant], known: &BTreeSet<Sha256Digest>) -> Vec<ArtifactReport> {
    let replaced: BTreeSet<_> = variants
        .iter()
        .filter_map(|variant| variant.before.as_ref())
        .flat_map(|before| &before.spec.artifacts)
        .map(|artifact| artifact.source.sha256)
        .collect();
    let mut seen = BTreeSet::new();
    let all = variants.iter().flat_map(|variant| &variant.after.spec.artifacts);
    let new = all.filter(|artifact| {
        let sha256 = artifact.source.sha256;
        !known.contains(&sha256) && !replaced.contains(&sha256) && seen.insert(sha256)
    });
    new.map(|artifact| ArtifactReport {
        name: artifact.name.to_string(),
        length: artifact.source.length,
        sha256: artifact.source.sha256,
    })
    .collect()
}

fn rollout_report(forecast: &Forecast) -> RolloutReport {
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
    RolloutReport {
        summary: summary(forecast),
        after: forecast.rollout.after.clone(),
        state: outcome.state,
        complete_after: outcome.completed_at.map(after),
        windows: forecast.rollout.windows.iter().map(ToString::to_string).collect(),
        waves: waves.collect(),
        lands: outcome.start,
    }
}

/// What would become of a rollout, and what that takes for granted.
fn summary(forecast: &Forecast) -> String {
    let outcome = &forecast.outcome;
    let begins = outcome.waves.iter().any(|wave| wave.opened_at.is_some());
    match &outcome.reason {
        Some(reason) if !begins => format!("It does not begin. {}", printable(&sentence(reason))),
        _ => {
            let told = crate::simulate::in_a_sentence(outcome);
            match supposed(forecast) {
                Some(supposed) => format!("{}. Reckoned as if {supposed}.", told.trim_end_matches('.')),
                None => told,
            }
        }
    }
}

/// What a forecast takes for granted beside that nothing fails: other fleets, and people.
fn supposed(forecast: &Forecast) -> Option<String> {
    let Forecast { rollout, outcome } = forecast;
    let mut supposed = Vec::new();
    if !rollout.after.is_empty() {
        let fleets = rollout.after.iter().map(FleetName::as_str).collect::<Vec<_>>().join(" and ");
        supposed.push(format!("{fleets} had completed the same landing when it begins"));
    }
    let has_opened = |name: &WaveName| outcome.waves.iter().any(|wave| wave.name == *name && wave.opened_at.is_some());
    let gated = rollout.waves.iter().filter(|wave| wave.gate == Gate::Manual && has_opened(&wave.name));
    let gated: Vec<_> = gated.map(|wave| wave.name.as_str()).collect();
    if !gated.is_empty() {
        supposed.push(format!("somebody opened {} at once", gated.join(" and ")));
    }
    (!supposed.is_empty()).then(|| supposed.join(", and "))
}

fn decision_report(decision: &Decision) -> DecisionReport {
    DecisionReport { path: decision.path.clone(), says: decision.says.clone(), comes: decision.comes }
}

fn risk_report(risk: &Risk) -> RiskReport {
    RiskReport { code: risk.code.to_string(), fleet: risk.fleet.clone(), what: risk.what.clone() }
}
