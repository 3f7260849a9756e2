//! A comparison for a comment on a pull request: what matters first, what is long folded, and what is too long cut.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use bellwether_schemas::comparison::{Comparison, Fate, FleetReport, RolloutReport};

use super::text::{bytes, counted, example, headline, is_or_are, more_changes, number, sentence};
use crate::markdown::{MAX_COMMENT, beginning, block, code, folded, html, plain};
use crate::span::{grouped, spoken};

/// By this the comment is found again, to be edited.
const MARKER: &str = "<!-- bellwether-diff -->";

/// How long it may be. Beside it a comment has what `validate` and `simulate` say, and [`MAX_COMMENT`] characters.
const LONGEST: usize = 38_000;
const _: () = assert!(LONGEST < MAX_COMMENT, "a comment has room for it");

/// How much of that may be risks.
const ROOM_FOR_RISKS: usize = 20_000;

/// What the note about a cut needs.
const RESERVED: usize = 300;

/// The comment: at most as long as one may be.
pub(super) fn comment(report: &Comparison) -> String {
    let mut text = head(report);
    let mut left = Vec::new();
    for fleet in by_size(report) {
        let section = section(fleet);
        // A section that has no room is left out as a whole; smaller ones after it may have some.
        if length(&text) + length(&section) > LONGEST - RESERVED {
            left.push(fleet.fleet.as_str());
        } else {
            text.push_str(&section);
        }
    }
    if !left.is_empty() {
        text.push_str(&format!(
            "\n> {} of {} fleets {} not shown, for there is room for {} characters only. All of it: \
             `bellwether diff --base REV --out FILE`\n",
            left.len(),
            report.fleets.len(),
            is_or_are(left.len()),
            grouped(LONGEST as u64),
        ));
    }
    text
}

/// Everything, however long it is.
pub(super) fn whole(report: &Comparison) -> String {
    let sections = by_size(report).map(section);
    std::iter::once(head(report)).chain(sections).collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn head(report: &Comparison) -> String {
    let headline = headline(report);
    let (versions, what) = headline.split_once(": ").unwrap_or(("", &headline));
    let said = format!("**{}**, {}", plain(what), plain(versions));
    format!(
        "{MARKER}\n### What this does to devices\n\n{said}\n{}{}{}",
        risks(report),
        decisions(report),
        fleets(report)
    )
}

/// Each code of a risk, so that what is repeated does not hide what is not.
fn risks(report: &Comparison) -> String {
    /// So many risks of a code are shown.
    const MOST: usize = 5;
    if report.risks.is_empty() {
        return String::new();
    }
    let mut text = format!("\n**{}**\n\n", counted(report.risks.len(), "risk"));
    let (mut told, mut left): (BTreeMap<&str, usize>, BTreeMap<&str, usize>) = Default::default();
    // What is wrong with a manifest validate says, too.
    let (dangers, others): (Vec<_>, Vec<_>) = report.risks.iter().partition(|risk| risk.code.starts_with("BW-08"));
    for risk in dangers.into_iter().chain(others) {
        let times = told.entry(&risk.code).or_default();
        let fleet = risk.fleet.as_ref().map(|fleet| format!("{}: ", code(fleet.as_str()))).unwrap_or_default();
        let line = format!("- ⚠️ `{}` {fleet}{}\n", risk.code, plain(&beginning(&risk.what)));
        if *times < MOST && length(&text) + length(&line) < ROOM_FOR_RISKS {
            text.push_str(&line);
            *times += 1;
        } else {
            *left.entry(&risk.code).or_default() += 1;
        }
    }
    for (code, times) in left {
        text.push_str(&format!("- and `{code}` {} more\n", counted(times, "time")));
    }
    text
}

/// What people decide, and decide no more.
fn decisions(report: &Comparison) -> String {
    /// So many have a line.
    const MOST: usize = 20;
    if report.decisions.is_empty() {
        return String::new();
    }
    let mut text = "\n**Decided**\n\n".to_owned();
    for decision in report.decisions.iter().take(MOST) {
        let sign = if decision.comes { "" } else { "no longer: " };
        text.push_str(&format!("- {}: {sign}{}\n", code(&decision.path), plain(&beginning(&decision.says))));
    }
    if let Some(more) = report.decisions.len().checked_sub(MOST).filter(|more| *more > 0) {
        text.push_str(&format!("- and {} more\n", number(more)));
    }
    text
}

/// The fleets in a table, those with the most devices first. Of a few the folds say it.
fn fleets(report: &Comparison) -> String {
    /// So many fleets have a line.
    const MOST: usize = 20;
    /// So many need no table.
    const FEW: usize = 5;
    if report.fleets.len() <= FEW {
        return String::new();
    }
    let mut text = "\n| fleet | devices that change | if nothing fails |\n|---|---:|---|\n".to_owned();
    for fleet in by_size(report).take(MOST) {
        text.push_str(&format!(
            "| {} | {} | {} |\n",
            code(fleet.fleet.as_str()),
            number(fleet.changed),
            becomes(fleet)
        ));
    }
    if let Some(more) = report.fleets.len().checked_sub(MOST).filter(|more| *more > 0) {
        let devices = by_size(report).skip(MOST).map(|fleet| fleet.changed).sum();
        text.push_str(&format!("| {} more | {} | |\n", number(more), number(devices)));
    }
    text
}

/// What becomes of a fleet, and when it would be over.
fn becomes(fleet: &FleetReport) -> String {
    match (fleet.fate, &fleet.rollout) {
        (Fate::Same | Fate::Changed, Some(rollout)) => plain(&rollout.summary),
        (fate, Some(rollout)) => format!("{}. {}", fate.word(), plain(&rollout.summary)),
        (fate, None) => fate.word().to_owned(),
    }
}

/// The fleets, those with the most devices first.
fn by_size(report: &Comparison) -> impl Iterator<Item = &FleetReport> {
    let mut fleets: Vec<_> = report.fleets.iter().collect();
    fleets.sort_by_key(|fleet| Reverse(fleet.changed));
    fleets.into_iter()
}

fn section(fleet: &FleetReport) -> String {
    /// So many distinct changes of a fleet are shown, and so much of each.
    const VARIANTS: usize = 5;
    const DIFF: usize = 8_000;
    let mut inner = String::new();
    if let Some(rollout) = &fleet.rollout {
        inner.push_str(&waves(rollout));
    }
    for artifact in &fleet.artifacts {
        let (name, length) = (code(&artifact.name), bytes(artifact.length));
        inner.push_str(&format!("\nNew artifact {name}: {length}, SHA-256 `{}`\n", artifact.sha256));
    }
    for variant in fleet.variants.iter().take(VARIANTS) {
        let diff = match variant.diff.char_indices().nth(DIFF) {
            Some((at, _)) => format!("{}\n… cut: bellwether diff --out FILE has all of it", &variant.diff[..at]),
            None => variant.diff.clone(),
        };
        inner.push_str(&format!("\n{}\n\n{}", plain(&example(variant)), block("diff", &crate::get::printable(&diff))));
    }
    if let Some(more) = fleet.variants.len().checked_sub(VARIANTS).filter(|more| *more > 0) {
        inner.push_str(&format!("\n{}.\n", more_changes(more)));
    }
    let over = fleet.rollout.as_ref().map(|rollout| format!(". If nothing fails: {}", html(&rollout.summary)));
    let summary = format!("<code>{}</code>: {}{}", fleet.fleet, html(&sentence(fleet)), over.unwrap_or_default());
    if inner.is_empty() {
        return format!("\n{summary}\n");
    }
    format!("\n{}", folded(&summary, &inner))
}

fn waves(rollout: &RolloutReport) -> String {
    let mut text = "| wave | devices | opens after | soaks | over after |\n|---|---:|---|---|---|\n".to_owned();
    for wave in &rollout.waves {
        let after = |seconds: Option<i64>| seconds.map_or("-".to_owned(), spoken);
        let gate = if wave.gate { ", once approved" } else { "" };
        text.push_str(&format!(
            "| {} | {} | {}{gate} | {} | {} |\n",
            code(&wave.name),
            grouped(wave.devices),
            after(wave.opens_after),
            spoken(i64::from(wave.soak)),
            after(wave.ends_after),
        ));
    }
    for window in &rollout.windows {
        text.push_str(&format!("\nWindow: {}.\n", plain(window)));
    }
    if !rollout.windows.is_empty() {
        text.push_str(&format!("\nReckoned as if it landed at {}.\n", rollout.lands));
    }
    text
}
