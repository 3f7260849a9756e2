//! A comparison for people.

use bellwether_schemas::comparison::{Comparison, DecisionReport, Fate, FleetReport, RolloutReport, VariantReport};

use crate::get::{printable, table};
use crate::output::Paint;
use crate::patch::coloured;
use crate::span::{grouped, spoken};

/// So many distinct changes of a fleet are shown.
const SHOWN: usize = 5;

pub(super) fn written(report: &Comparison, paint: Paint) -> String {
    let mut text = format!("{}\n", headline(report));
    for risk in &report.risks {
        let fleet = risk.fleet.as_ref().map(|fleet| format!("{fleet}: ")).unwrap_or_default();
        let sign = paint.yellow(&format!("risk[{}]", risk.code));
        text.push_str(&format!("{sign}: {fleet}{}\n", printable(&risk.what)));
    }
    for decision in &report.decisions {
        let line = format!("{} {}", if decision.comes { '+' } else { '-' }, decided(decision));
        let line = if decision.comes { paint.green(&line) } else { paint.red(&line) };
        text.push_str(&format!("{line}\n"));
    }
    for fleet in &report.fleets {
        text.push_str(&format!("\n{}: {}\n", paint.bold(fleet.fleet.as_str()), sentence(fleet)));
        for variant in fleet.variants.iter().take(SHOWN) {
            text.push_str(&format!("\n{}\n{}", example(variant), coloured(&printable(&variant.diff), paint)));
        }
        if let Some(more) = fleet.variants.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            text.push_str(&format!("\n{}: --output json has all of them\n", more_changes(more)));
        }
        for artifact in &fleet.artifacts {
            let length = bytes(artifact.length);
            text.push_str(&format!("\nnew artifact {}, {length}, SHA-256 {}\n", artifact.name, artifact.sha256));
        }
        if let Some(rollout) = &fleet.rollout {
            text.push_str(&format!("\n{}", waves(rollout)));
        }
    }
    text
}

/// What it is about, and how much of it there is.
pub(super) fn headline(report: &Comparison) -> String {
    let base = format!("v{} ({})", report.base.landing, report.base.commit.short());
    let source = if report.inventory { "of the inventory" } else { "that git lists" };
    if let Some(head) = report.landed {
        return format!("{base}: nothing changes, for the base has {} already", head.short());
    }
    let versions = format!("{base} → v{}", report.head.landing);
    let admitted = match report.admitted {
        0 => String::new(),
        one_or_more => format!(", {} may enroll from then on", number(one_or_more)),
    };
    let relabelled = match report.relabelled {
        0 => String::new(),
        some => {
            format!("; of {} git has other labels than the inventory, and those of git count", counted(some, "device"))
        }
    };
    match report.changed {
        0 => {
            let devices = number(report.devices);
            format!("{versions}: no device gets anything else, of {devices} {source}{admitted}{relabelled}")
        }
        changed => {
            let get = if changed == 1 { "gets" } else { "get" };
            let (changed, devices) = (number(changed), counted(report.devices, "device"));
            format!("{versions}: {changed} of {devices} {source} {get} something else{admitted}{relabelled}")
        }
    }
}

/// What a file decides, or decides no more.
pub(super) fn decided(decision: &DecisionReport) -> String {
    printable(&format!("{}: {}", decision.path, decision.says))
}

/// What becomes of a fleet.
pub(super) fn sentence(fleet: &FleetReport) -> String {
    let devices = |count: usize| counted(count, "device");
    let mut parts = vec![match (fleet.fate, fleet.changed) {
        (Fate::Deleted, _) => format!("deleted, {} left it", devices(fleet.left)),
        (Fate::New, 1) => "new, 1 device gets its first spec or another".to_owned(),
        (Fate::New, changed) => format!("new, {} get their first spec or another", devices(changed)),
        (Fate::Changed | Fate::Same, 1) => "1 device gets something else".to_owned(),
        (Fate::Changed | Fate::Same, changed) => format!("{} get something else", devices(changed)),
    }];
    // What one does, and what more do.
    let mut also = |count: usize, one: &str, more: &str| match count {
        0 => {}
        1 => parts.push(format!("1 {one}")),
        count => parts.push(format!("{} {more}", number(count))),
    };
    let (new, deleted) = (fleet.fate == Fate::New, fleet.fate == Fate::Deleted);
    also(if new { 0 } else { fleet.first }, "of them for the first time", "of them for the first time");
    for moved in &fleet.from {
        also(moved.devices, &format!("comes from {}", moved.fleet), &format!("come from {}", moved.fleet));
    }
    also(fleet.unchanged, "stays as it is", "stay as they are");
    also(fleet.pinned, "is pinned, and stays", "are pinned, and stay");
    also(fleet.unrendered, "cannot be rendered", "cannot be rendered");
    also(if deleted { 0 } else { fleet.left }, "leaves it", "leave it");
    also(fleet.variants.len(), "distinct change", "distinct changes");
    parts.join(", ")
}

pub(super) fn example(variant: &VariantReport) -> String {
    match variant.devices {
        1 => printable(&variant.example),
        more => {
            let own = variant.differs_by.iter().map(|key| match key.as_str() {
                "device" => "name".to_owned(),
                label => format!("label {label}"),
            });
            let own = own.collect::<Vec<_>>().join(", ");
            let own = if own.is_empty() { own } else { format!(", each with its own {own}") };
            format!("{} and {} more{}", printable(&variant.example), number(more - 1), printable(&own))
        }
    }
}

fn waves(rollout: &RolloutReport) -> String {
    let mut rows = table(&["WAVE", "DEVICES", "OPENS AFTER", "SOAKS", "OVER AFTER"]);
    for wave in &rollout.waves {
        let after = |seconds: Option<i64>| seconds.map_or("-".to_owned(), spoken);
        let gate = if wave.gate { ", once approved" } else { "" };
        rows.add_row([
            wave.name.clone(),
            grouped(wave.devices),
            format!("{}{gate}", after(wave.opens_after)),
            spoken(i64::from(wave.soak)),
            after(wave.ends_after),
        ]);
    }
    let rows: Vec<_> = rows.to_string().lines().map(|line| line.trim_end().to_owned()).collect();
    let windows: String = rollout.windows.iter().map(|window| format!("window: {window}\n")).collect();
    // Only where there are windows it matters when it lands.
    let lands =
        if windows.is_empty() { String::new() } else { format!("reckoned as if it landed at {}\n", rollout.lands) };
    format!("{}\n{windows}{lands}{}\n", rows.join("\n"), rollout.summary)
}

pub(super) fn number(count: usize) -> String {
    grouped(u64::try_from(count).unwrap_or(u64::MAX))
}

/// A number with its noun.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{} {noun}{}", number(count), if count == 1 { "" } else { "s" })
}

pub(super) fn is_or_are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// The distinct changes of a fleet that have no room.
pub(super) fn more_changes(count: usize) -> String {
    format!("{} more distinct {}", number(count), if count == 1 { "change" } else { "changes" })
}

pub(super) fn bytes(length: u64) -> String {
    format!("{} {}", grouped(length), if length == 1 { "byte" } else { "bytes" })
}

#[cfg(test)]
mod tests {
    use bellwether_schemas::comparison::{At, MovedReport};

    use super::*;

    fn fleet(fate: Fate, count: usize) -> FleetReport {
        let diff = || VariantReport { devices: 1, example: "a".into(), differs_by: vec![], diff: String::new() };
        FleetReport {
            fleet: "edge".parse().expect("a name"),
            fate,
            changed: count,
            unchanged: count,
            unrendered: count,
            pinned: count,
            first: count,
            from: vec![MovedReport { fleet: "old".parse().expect("a name"), devices: count }],
            left: count,
            variants: std::iter::repeat_with(diff).take(count).collect(),
            artifacts: vec![],
            rollout: None,
        }
    }

    fn comparison(count: usize) -> Comparison {
        let commit = "0123456789012345678901234567890123456789".parse().expect("an id");
        Comparison {
            schema: Comparison::SCHEMA,
            base: At { commit, landing: 1 },
            head: At { commit, landing: 2 },
            landed: None,
            inventory: true,
            devices: count,
            changed: count,
            admitted: count,
            relabelled: count,
            paths: vec![],
            decisions: vec![],
            fleets: vec![],
            risks: vec![],
        }
    }

    #[test]
    fn verbs_follow_their_numbers() {
        let mut told = String::new();
        for count in [0, 1, 2] {
            told.push_str(&format!("{}\n", headline(&comparison(count))));
            for fate in [Fate::New, Fate::Deleted, Fate::Changed, Fate::Same] {
                told.push_str(&format!("  {fate:?}: {}\n", sentence(&fleet(fate, count))));
            }
            told.push_str(&format!("  {}, {}\n", more_changes(count), bytes(count as u64)));
        }
        insta::assert_snapshot!(told);
    }

    #[test]
    fn one_of_more_gets_something_else() {
        let report = Comparison { devices: 4, ..comparison(1) };
        assert!(headline(&report).contains(": 1 of 4 devices of the inventory gets something else"));
    }
}
