//! A comparison for people.

use super::report::{DecisionReport, FleetReport, Report, RolloutReport, VariantReport};
use crate::get::{printable, table};
use crate::output::Paint;
use crate::patch::coloured;
use crate::span::{grouped, spoken};

/// So many distinct changes of a fleet are shown.
const SHOWN: usize = 5;

pub(super) fn written(report: &Report, paint: Paint) -> String {
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
            text.push_str(&format!("\n{more} more distinct changes: --output json has all of them\n"));
        }
        for artifact in &fleet.artifacts {
            let length = grouped(artifact.length);
            text.push_str(&format!("\nnew artifact {}, {length} bytes, SHA-256 {}\n", artifact.name, artifact.sha256));
        }
        if let Some(rollout) = &fleet.rollout {
            text.push_str(&format!("\n{}", waves(rollout)));
        }
    }
    text
}

/// What it is about, and how much of it there is.
pub(super) fn headline(report: &Report) -> String {
    let versions = format!("v{} ({}) → v{}", report.base.landing, report.base.commit.short(), report.head.landing);
    let source = if report.inventory { "of the inventory" } else { "that git lists" };
    let (changed, devices) = (number(report.changed), number(report.devices));
    let admitted = match report.admitted {
        0 => String::new(),
        one_or_more => format!(", {} may enroll from then on", number(one_or_more)),
    };
    let relabelled = match report.relabelled {
        0 => String::new(),
        some => format!("; of {} git has other labels than the inventory, and those of git count", number(some)),
    };
    match report.changed {
        0 => format!("{versions}: no device gets anything else, of {devices} {source}{admitted}{relabelled}"),
        _ => format!("{versions}: {changed} of {devices} devices {source} get something else{admitted}{relabelled}"),
    }
}

/// What a file decides, or decides no more.
pub(super) fn decided(decision: &DecisionReport) -> String {
    printable(&format!("{}: {}", decision.path, decision.says))
}

/// What becomes of a fleet.
pub(super) fn sentence(fleet: &FleetReport) -> String {
    let mut parts = vec![match fleet.fate {
        "deleted" => format!("deleted, {} left it", devices(fleet.left)),
        "new" => format!("new, {} get their first spec or another", devices(fleet.changed)),
        _ => format!("{} get something else", devices(fleet.changed)),
    }];
    let mut also = |count: usize, what: &str| {
        if count > 0 {
            parts.push(format!("{} {what}", number(count)));
        }
    };
    also(if fleet.fate == "new" { 0 } else { fleet.first }, "of them for the first time");
    for moved in &fleet.from {
        also(moved.devices, &format!("come from {}", moved.fleet));
    }
    also(fleet.unchanged, "stay as they are");
    also(fleet.pinned, if fleet.pinned == 1 { "is pinned, and stays" } else { "are pinned, and stay" });
    also(fleet.unrendered, "cannot be rendered");
    also(if fleet.fate == "deleted" { 0 } else { fleet.left }, "leave it");
    also(fleet.variants.len(), if fleet.variants.len() == 1 { "distinct change" } else { "distinct changes" });
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

fn devices(count: usize) -> String {
    if count == 1 { "1 device".to_owned() } else { format!("{} devices", number(count)) }
}
