//! A comparison for a comment on a pull request: what matters first, what is long folded, and what is too long cut.

use super::report::{FleetReport, Report, RolloutReport};
use super::text::{example, headline, sentence};
use crate::markdown::{MAX_COMMENT, block, code, folded, plain};
use crate::span::{grouped, spoken};

/// By this the comment is found again, to be edited.
const MARKER: &str = "<!-- bellwether-diff -->";

/// What the note about a cut needs.
const RESERVED: usize = 300;

/// The comment: at most as long as one may be.
pub(super) fn comment(report: &Report) -> String {
    let mut text = head(report);
    let mut left = Vec::new();
    for fleet in &report.fleets {
        let section = section(fleet);
        // A section that has no room is left out as a whole; smaller ones after it may have some.
        if length(&text) + length(&section) > MAX_COMMENT - RESERVED {
            left.push(fleet.fleet.as_str());
        } else {
            text.push_str(&section);
        }
    }
    if !left.is_empty() {
        text.push_str(&format!(
            "\n> {} of {} fleets are not shown, for a comment has room for {} characters only. All of it: \
             `bellwether diff --base REV --out FILE`\n",
            left.len(),
            report.fleets.len(),
            grouped(MAX_COMMENT as u64),
        ));
    }
    text
}

/// Everything, however long it is.
pub(super) fn whole(report: &Report) -> String {
    let sections = report.fleets.iter().map(section);
    std::iter::once(head(report)).chain(sections).collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn head(report: &Report) -> String {
    /// A comment has more to say than risks.
    const MOST: usize = 50;
    let mut text = format!("{MARKER}\n### What this does to devices\n\n{}.\n", plain(&headline(report)));
    if !report.risks.is_empty() {
        let noun = if report.risks.len() == 1 { "risk" } else { "risks" };
        text.push_str(&format!("\n**{} {noun}**\n\n", report.risks.len()));
        for risk in report.risks.iter().take(MOST) {
            let fleet = risk.fleet.as_ref().map(|fleet| format!("{}: ", code(fleet.as_str()))).unwrap_or_default();
            text.push_str(&format!("- ⚠️ `{}` {fleet}{}\n", risk.code, plain(&cut(&risk.what))));
        }
        if let Some(more) = report.risks.len().checked_sub(MOST).filter(|more| *more > 0) {
            text.push_str(&format!("- and {more} more\n"));
        }
    }
    text
}

/// A text of somebody else's choosing, no longer than a line should be.
fn cut(text: &str) -> String {
    const LONGEST: usize = 500;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
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
        let (name, length) = (code(&artifact.name), grouped(artifact.length));
        inner.push_str(&format!("\nNew artifact {name}: {length} bytes, SHA-256 `{}`\n", artifact.sha256));
    }
    for variant in fleet.variants.iter().take(VARIANTS) {
        let diff = match variant.diff.char_indices().nth(DIFF) {
            Some((at, _)) => format!("{}\n… cut: bellwether diff --out FILE has all of it", &variant.diff[..at]),
            None => variant.diff.clone(),
        };
        inner.push_str(&format!("\n{}\n\n{}", plain(&example(variant)), block("diff", &crate::get::printable(&diff))));
    }
    if let Some(more) = fleet.variants.len().checked_sub(VARIANTS).filter(|more| *more > 0) {
        inner.push_str(&format!("\n{more} more distinct changes.\n"));
    }
    let summary = format!("<code>{}</code>: {}", fleet.fleet, plain(&sentence(fleet)));
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
    format!("{text}\n{}\n\n", plain(&rollout.summary))
}
