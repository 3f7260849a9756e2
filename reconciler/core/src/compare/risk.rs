//! What is dangerous about a change: each with a code, whom it concerns, and a sentence.

use std::collections::BTreeSet;

use bellwether_schemas::manifest::{AnyManifest, TrustPolicy, WaveMembers};
use bellwether_schemas::{Code, FleetName, codes};

use super::{Change, Comparison, FleetChange, FleetFate, Sides, loosened};
use crate::verify::POLICY_PATH;

/// Something that whoever merges should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risk {
    /// The stable code.
    pub code: Code,
    /// The fleet that it is about.
    pub fleet: Option<FleetName>,
    /// What it is, in a sentence.
    pub what: String,
}

impl Risk {
    /// A risk of the change as a whole.
    pub fn of_all(code: Code, what: impl Into<String>) -> Self {
        Self { code, fleet: None, what: what.into() }
    }

    fn of(fleet: &FleetName, code: Code, what: impl Into<String>) -> Self {
        Self { code, fleet: Some(fleet.clone()), what: what.into() }
    }
}

/// One in so many devices that are offline is worth a word.
const OFFLINE_WORTH_A_WORD: usize = 10;

/// So many devices are named.
const NAMED: usize = 3;

/// The risks of a change, those that concern everything first.
pub(super) fn risks(sides: &Sides<'_>, found: &Comparison<'_>) -> Vec<Risk> {
    let mut risks = of_trust(sides);
    let mut of_devices = |code, devices: Vec<&str>, what: &str| {
        if !devices.is_empty() {
            risks.push(Risk::of_all(code, format!("{} {what}: {}", counted(devices.len()), named(&devices))));
        }
    };
    of_devices(codes::CHANGE_REVOKES, shown(&found.revoked), "shut out");
    of_devices(codes::CHANGE_REVOKES, shown(&found.decommissioned), "decommissioned");
    of_devices(codes::CHANGE_ORPHANS, shown(&found.orphaned), "in no fleet any more");
    for (device, fleets) in found.overlapping.iter().take(1) {
        let fleets: Vec<_> = fleets.iter().map(FleetName::as_str).collect();
        risks.push(Risk::of_all(
            codes::OVERLAP,
            format!(
                "{} selected by several fleets, and get nothing more: {} by {}",
                counted(found.overlapping.len()),
                device.shown,
                fleets.join(" and ")
            ),
        ));
    }
    risks.extend(of_invalid(sides));
    risks.extend(of_rollouts(sides, found));
    for change in &found.fleets {
        risks.extend(of_fleet(sides, change));
    }
    risks
}

/// Manifests that stop being read: what they said last counts on.
fn of_invalid(sides: &Sides<'_>) -> impl Iterator<Item = Risk> {
    let after = sides.after.declared();
    let known: BTreeSet<&str> = sides.before.invalid().map(|(path, _)| path).collect();
    let new = after.invalid().filter(move |(path, _)| !known.contains(path));
    new.map(|(path, problems)| {
        let (code, why) = problems.first().map_or((codes::WRONG_VALUE, ""), |first| (first.code, &first.message));
        Risk::of_all(code, format!("{path} cannot be taken as it is, and what it said before counts on: {why}"))
    })
}

/// Rollouts that let more through, whether or not their fleets change, too: the next change goes by them.
fn of_rollouts(sides: &Sides<'_>, found: &Comparison<'_>) -> Vec<Risk> {
    let after = sides.after.declared().fleets();
    let both = sides.before.fleets().iter().filter_map(|(name, before)| Some((name, before, after.get(name)?)));
    let mut risks = Vec::new();
    for (name, before, after) in both.filter(|(_, before, after)| before.next_rollout() != after.next_rollout()) {
        let loosened = loosened::rollout(before.next_rollout(), after.next_rollout());
        if !loosened.is_empty() {
            let what = format!("its Rollout lets more through: {}", loosened.join("; "));
            risks.push(Risk::of(name, codes::CHANGE_WIDENS, what));
        }
        let is_changed = |change: &FleetChange<'_>| change.fleet == *name && change.fate == FleetFate::Changes;
        if found.fleets.iter().any(is_changed) {
            let what = "its Rollout changes, too: the Rollout of before judges this change, the new one the next";
            risks.push(Risk::of(name, codes::CHANGE_BOTH, what));
        }
    }
    risks
}

fn shown<'d>(devices: &[&'d super::Device]) -> Vec<&'d str> {
    devices.iter().map(|device| device.shown.as_str()).collect()
}

fn of_trust(sides: &Sides<'_>) -> Vec<Risk> {
    let policy = |declared: &crate::declare::Declared| -> Option<TrustPolicy> {
        match declared.counting(POLICY_PATH)?.0 {
            AnyManifest::TrustPolicy(policy) => Some(policy.spec.clone()),
            _ => None,
        }
    };
    let (Some(before), Some(after)) = (policy(sides.before), policy(sides.after.declared())) else { return Vec::new() };
    loosened::policy(&before, &after).into_iter().map(|what| Risk::of_all(codes::CHANGE_TRUST, what)).collect()
}

fn of_fleet(sides: &Sides<'_>, change: &FleetChange<'_>) -> Vec<Risk> {
    let name = &change.fleet;
    let (before, after) = (sides.before.fleets().get(name), sides.after.declared().fleets().get(name));
    let mut risks = Vec::new();
    let mut tell = |code: Code, what: String| risks.push(Risk::of(name, code, what));
    if change.fate == FleetFate::Goes {
        tell(codes::CHANGE_DELETES_FLEET, format!("the fleet is deleted, and {} left it", counted_plain(change.left)));
        return risks;
    }
    let Some(after) = after else { return risks };
    let unrendered: Vec<_> = change
        .members
        .iter()
        .filter_map(|member| match &member.change {
            Change::Unrendered(why) => Some((member, why)),
            Change::None(_) | Change::Spec { .. } => None,
        })
        .collect();
    if let Some((member, why)) = unrendered.first() {
        let what = format!("{} get nothing, {} for one: {why}", counted_plain(unrendered.len()), member.device.shown);
        tell(codes::TEMPLATE, what);
    }
    if let Some(before) = before {
        let probes = |line: &crate::declare::FleetLine| line.target.fleet.template.probes.as_slice().len();
        if probes(after) < probes(before) {
            let what = format!(
                "{} of {} probes are left: less tells a bad release from a good one",
                probes(after),
                probes(before)
            );
            tell(codes::CHANGE_DROPS_PROBE, what);
        }
    }
    let mut refusing = change.members.iter().filter_map(|member| Some((member.device, member.refuses.as_ref()?)));
    if let Some((device, refuses)) = refusing.next() {
        let of_all = match change.changed() {
            1 => "the 1 device that changes".to_owned(),
            more => format!("the {more} devices that change"),
        };
        let (count, wanted) = (refusing.count() + 1, refuses.wanted());
        let what = format!("{count} of {of_all} would refuse it: {} does not allow {wanted}", device.shown);
        tell(codes::CHANGE_NOT_ALLOWED, what);
    }
    if change.changed() > 0 {
        risks.extend(of_rollout(name, after, change));
    }
    risks
}

/// What is dangerous about how it rolls out.
fn of_rollout(name: &FleetName, after: &crate::declare::FleetLine, change: &FleetChange<'_>) -> Vec<Risk> {
    let mut risks = Vec::new();
    let changed = change.members.iter().filter(|member| matches!(member.change, Change::Spec { .. }));
    let changed: Vec<_> = changed.collect();
    if changed.len() > 1 && name.device().is_none() {
        let first = after.rollout.waves.first().and_then(|wave| Some((wave, wave.members()?)));
        let takes_all = first.is_some_and(|(wave, members)| match members {
            WaveMembers::Percent(percent) => percent == 100,
            WaveMembers::Select(selector) => {
                let labels =
                    |member: &&&super::Member<'_>| selector.matches(&member.device.facts(&after.judged).labels);
                wave.limit.is_none() && changed.iter().all(|member| labels(&member))
            }
        });
        if takes_all {
            let what = format!("no canary: the first wave is all {} devices that change", changed.len());
            risks.push(Risk::of(name, codes::NO_CANARY, what));
        }
    }
    let offline = changed.iter().filter(|member| member.device.is_offline).count();
    if offline > 0 && offline * OFFLINE_WORTH_A_WORD >= changed.len() {
        let what = format!(
            "{offline} of the {} devices that change are offline, and get it when they are back",
            changed.len()
        );
        risks.push(Risk::of(name, codes::CHANGE_OFFLINE, what));
    }
    risks
}

fn counted(devices: usize) -> String {
    if devices == 1 { "1 device would be".to_owned() } else { format!("{devices} devices would be") }
}

fn counted_plain(devices: usize) -> String {
    if devices == 1 { "1 device".to_owned() } else { format!("{devices} devices") }
}

fn named(devices: &[&str]) -> String {
    let shown = devices.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match devices.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
