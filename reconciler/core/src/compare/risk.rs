//! What is dangerous about a change: each with a code, whom it concerns, and a sentence.

use std::collections::BTreeSet;

use bellwether_schemas::manifest::{AnyManifest, LabelSelector, Rollout, TrustPolicy, Wave, WaveMembers};
use bellwether_schemas::{Code, FleetName, codes};

use super::{Change, Comparison, FleetChange, FleetFate, Sides, decision, loosened, rollout};
use crate::declare::{Declared, FleetLine};
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
        let told = || Risk::of_all(code, format!("{} {what}: {}", counted(devices.len()), named(&devices)));
        risks.extend((!devices.is_empty()).then(told));
    };
    of_devices(codes::CHANGE_REVOKES, shown(&found.revoked), "shut out");
    of_devices(codes::CHANGE_REVOKES, shown(&found.decommissioned), "decommissioned");
    of_devices(
        codes::CHANGE_REVOKES,
        shown(&found.replaced),
        "named by another entry, must enroll anew, and would get nothing until then",
    );
    of_devices(codes::CHANGE_READMITS, shown(&found.readmitted), "let in again");
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
    risks.extend(of_decisions(sides, found));
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
    let changed: BTreeSet<&str> = sides.changes.iter().map(|change| change.path.as_str()).collect();
    let new = after.invalid().filter(move |(path, _)| !known.contains(path) || changed.contains(path));
    new.map(|(path, problems)| {
        let (code, why) = problems.first().map_or((codes::WRONG_VALUE, ""), |first| (first.code, &first.message));
        let instead =
            if after.counting(path).is_some() { "what it said before counts on" } else { "nothing of it counts" };
        Risk::of_all(code, format!("{path} cannot be taken as it is, and {instead}: {why}"))
    })
}

/// Rollouts that let more through, whether or not their fleets change, too: the next change goes by them.
fn of_rollouts(sides: &Sides<'_>, found: &Comparison<'_>) -> Vec<Risk> {
    let after = sides.after.declared().fleets();
    let both = sides.before.fleets().iter().filter_map(|(name, before)| Some((name, before, after.get(name)?)));
    let mut risks = Vec::new();
    for (name, before, after) in both {
        let is_changed = |change: &FleetChange<'_>| change.fleet == *name && change.fate == FleetFate::Changes;
        let is_changed = found.fleets.iter().any(is_changed);
        // A landing of the change itself may have brought it, and a later one may have taken it away again.
        let is_judged_anew = is_changed && after.rollout != *before.next_rollout();
        if is_judged_anew {
            let loosened = loosened::rollout(before.next_rollout(), &after.rollout);
            if !loosened.is_empty() {
                let what = format!("it is judged by a Rollout that lets more through: {}", loosened.join("; "));
                risks.push(Risk::of(name, codes::CHANGE_WIDENS, what));
            }
        }
        if before.next_rollout() == after.next_rollout() {
            continue;
        }
        let loosened = loosened::rollout(before.next_rollout(), after.next_rollout());
        if !loosened.is_empty() {
            let what = format!("its Rollout lets more through: {}", loosened.join("; "));
            risks.push(Risk::of(name, codes::CHANGE_WIDENS, what));
        }
        let is_at_once = |rollout: &Rollout| rollout.waves.first().is_some_and(|wave| wave.percent == Some(100));
        if is_at_once(after.next_rollout()) && !is_at_once(before.next_rollout()) {
            let what = "no canary from the next change on: the first wave is the whole fleet";
            risks.push(Risk::of(name, codes::NO_CANARY, what));
        }
        if is_changed && !is_judged_anew {
            let what = "its Rollout changes, too: the Rollout of before judges this change, the new one the next";
            risks.push(Risk::of(name, codes::CHANGE_BOTH, what));
        }
    }
    risks
}

/// What goes on that was stopped, or goes without a step that protects.
fn of_decisions<'f>(sides: &'f Sides<'_>, found: &'f Comparison<'_>) -> impl Iterator<Item = Risk> + 'f {
    let released = decision::released(sides)
        .map(|fleet| Risk::of(fleet, codes::CHANGE_RELEASES, "no Hold stops it any more: what waits is offered"));
    let decided = found.decisions.iter().filter(|decision| decision.releases);
    let decided =
        decided.map(|decision| Risk::of_all(codes::CHANGE_RELEASES, format!("{} {}", decision.path, decision.says)));
    released.chain(decided)
}

fn shown<'d>(devices: &[&'d super::Device]) -> Vec<&'d str> {
    devices.iter().map(|device| device.shown.as_str()).collect()
}

fn of_trust(sides: &Sides<'_>) -> Vec<Risk> {
    let policy = |declared: &Declared| -> Option<TrustPolicy> {
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
        let what = match unrendered.len() {
            1 => format!("nothing new for {}: {why}", member.device.shown),
            more => format!("nothing new for {}, {} for one: {why}", counted_plain(more), member.device.shown),
        };
        tell(codes::TEMPLATE, what);
    }
    if let Some(before) = before {
        let (was, is) = (&before.target.fleet.template.probes, &after.target.fleet.template.probes);
        let dropped = was.as_slice().iter().filter(|probe| !is.as_slice().contains(probe)).count();
        if dropped > 0 {
            let (probes, now) = (was.as_slice().len(), is.as_slice().len());
            tell(codes::CHANGE_DROPS_PROBE, probes_dropped(dropped, probes, now));
        }
    }
    risks.extend(emptied(sides, after, change));
    let mut tell = |code: Code, what: String| risks.push(Risk::of(name, code, what));
    let mut refusing = change.members.iter().filter_map(|member| Some((member.device, member.refuses.as_ref()?)));
    if let Some((device, refuses)) = refusing.next() {
        let (count, wanted, of_all) = (refusing.count() + 1, refuses.wanted(), that_change(change.changed()));
        let what = format!("{count} of {of_all} would refuse it: {} does not allow {wanted}", device.shown);
        tell(codes::CHANGE_NOT_ALLOWED, what);
    }
    if change.rolled_out().next().is_some() {
        risks.extend(of_rollout(sides, name, after, change));
    }
    risks
}

/// What is dangerous about how it rolls out.
fn of_rollout(sides: &Sides<'_>, name: &FleetName, after: &FleetLine, change: &FleetChange<'_>) -> Vec<Risk> {
    let mut risks = Vec::new();
    let changed: Vec<_> = change.rolled_out().collect();
    if change.fate != FleetFate::Stays && name.device().is_none() {
        risks.extend(no_canary(sides, after, change));
    }
    let offline = changed.iter().filter(|member| member.device.is_offline).count();
    if offline > 0 && offline * OFFLINE_WORTH_A_WORD >= changed.len() {
        risks.push(Risk::of(name, codes::CHANGE_OFFLINE, silent(offline, changed.len())));
    }
    risks
}

/// The waves by labels that take devices of this change, and nobody from the next one on.
fn emptied(sides: &Sides<'_>, after: &FleetLine, change: &FleetChange<'_>) -> Vec<Risk> {
    let inventory = sides.after.declared().inventory();
    let labels = |member: &super::Member<'_>| {
        (rollout::wave_labels(sides, after, member.device), member.device.facts(inventory).labels)
    };
    let labels: Vec<_> = change.members.iter().filter(|_| change.fate == FleetFate::Changes).map(labels).collect();
    let waves = after.next_rollout().waves.iter().filter_map(|wave| Some((wave, wave.select.as_ref()?)));
    let is_emptied = |selector: &LabelSelector| {
        labels.iter().any(|(now, _)| selector.matches(now)) && !labels.iter().any(|(_, next)| selector.matches(next))
    };
    let emptied = waves.filter(|(_, selector)| is_emptied(selector));
    let told = |(wave, _): (&Wave, _)| {
        let what = format!("no device has the labels of wave {} any more, and the next rollout waits there", wave.name);
        Risk::of(&change.fleet, codes::EMPTY_WAVE, what)
    };
    emptied.map(told).collect()
}

/// That the first wave that takes anybody takes all who change, or that one takes nobody and is not passed.
fn no_canary(sides: &Sides<'_>, after: &FleetLine, change: &FleetChange<'_>) -> Option<Risk> {
    let name = &change.fleet;
    let members = change.members.iter().filter(|member| !member.is_pinned);
    let labels: Vec<_> = members
        .map(|member| (rollout::wave_labels(sides, after, member.device), matches!(member.change, Change::Spec { .. })))
        .collect();
    let changed = labels.iter().filter(|(_, changes)| *changes).count();
    let mut passed: Option<&Wave> = None;
    for wave in &after.rollout.waves {
        let taken = match wave.members()? {
            WaveMembers::Percent(percent) if percent < 100 => return None,
            WaveMembers::Percent(_) => changed,
            WaveMembers::Select(selector) => {
                let mut taken = labels.iter().filter(|(labels, _)| selector.matches(labels)).peekable();
                if taken.peek().is_none() {
                    let what = format!("no device of wave {} takes part, and the rollout waits there", wave.name);
                    return Some(Risk::of(name, codes::EMPTY_WAVE, what));
                }
                taken.filter(|(_, changes)| *changes).count()
            }
        };
        if taken == 0 {
            passed = passed.or(Some(wave));
            continue;
        }
        if taken < changed || wave.limit.is_some() || changed == 1 {
            return None;
        }
        let what = match passed {
            None => format!("no canary: the first wave is all {taken} devices that change"),
            Some(passed) => format!(
                "no canary: nothing changes in wave {}, and wave {} is all {taken} devices that change",
                passed.name, wave.name
            ),
        };
        return Some(Risk::of(name, codes::NO_CANARY, what));
    }
    None
}

fn probes_dropped(dropped: usize, of: usize, now: usize) -> String {
    let probes = if of == 1 { "probe" } else { "probes" };
    let do_what = if dropped == 1 { "is gone or looks" } else { "are gone or look" };
    let are = if now == 1 { "is" } else { "are" };
    format!("{dropped} of {of} {probes} {do_what} at something else, and {now} {are} there then")
}

fn silent(offline: usize, of: usize) -> String {
    let what = match offline {
        1 => "is offline, and gets it when it is back",
        _ => "are offline, and get it when they are back",
    };
    format!("{offline} of {} {what}", that_change(of))
}

fn that_change(devices: usize) -> String {
    match devices {
        1 => "the 1 device that changes".to_owned(),
        more => format!("the {more} devices that change"),
    }
}

fn counted(devices: usize) -> String {
    if devices == 1 { "1 device would be".to_owned() } else { format!("{devices} devices would be") }
}

fn counted_plain(devices: usize) -> String {
    if devices == 1 { "1 device".to_owned() } else { format!("{devices} devices") }
}

pub(super) fn named(devices: &[impl AsRef<str>]) -> String {
    let shown = devices.iter().take(NAMED).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match devices.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_follow_their_numbers() {
        let told: Vec<_> = [(0, 1), (1, 1), (1, 2), (2, 2)].map(|(some, of)| silent(some, of)).into();
        assert_eq!(
            told,
            [
                "0 of the 1 device that changes are offline, and get it when they are back",
                "1 of the 1 device that changes is offline, and gets it when it is back",
                "1 of the 2 devices that change is offline, and gets it when it is back",
                "2 of the 2 devices that change are offline, and get it when they are back",
            ]
        );
        let told: Vec<_> =
            [(1, 1, 0), (1, 2, 1), (2, 2, 2)].map(|(gone, of, now)| probes_dropped(gone, of, now)).into();
        assert_eq!(
            told,
            [
                "1 of 1 probe is gone or looks at something else, and 0 are there then",
                "1 of 2 probes is gone or looks at something else, and 1 is there then",
                "2 of 2 probes are gone or look at something else, and 2 are there then",
            ]
        );
        assert_eq!([0, 1, 2].map(counted), ["0 devices would be", "1 device would be", "2 devices would be"]);
        assert_eq!([0, 1, 2].map(counted_plain), ["0 devices", "1 device", "2 devices"]);
    }
}
