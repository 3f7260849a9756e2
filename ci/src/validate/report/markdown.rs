//! For a comment on a pull request: a line for each code, and folded what was found, so much of it as there is room for.
//!
//! `ci/pull-request` takes it apart where the first fold begins.

use std::collections::BTreeMap;

use bellwether_schemas::codes;
use bellwether_schemas::diagnostic::{Diagnostic, Severity};

use super::{Report, one_line};
use crate::markdown::{beginning, block, code, folded, html, plain};
use crate::span::grouped;

/// By this a comment is found again, to be edited.
const MARKER: &str = "<!-- bellwether-validate -->";

/// So many codes have a line each.
const LINES: usize = 12;

/// How long all of these lines may be together, and all that is folded, in characters. A comment has more to say.
const ROOM_FOR_LINES: usize = 8_000;
const ROOM_FOR_FINDINGS: usize = 12_000;

/// So many findings of one code are shown, and so many characters of a line of a file.
const SHOWN: usize = 5;
const SNIPPET: usize = 300;

/// Findings of one code.
struct Group<'a> {
    findings: Vec<&'a Diagnostic>,
}

pub(super) fn written(report: &Report<'_>) -> String {
    let groups = groups(report.problems);
    let mut text = format!("{MARKER}\n### {}\n\n{}.\n", title(report), plain(&report.summary()));
    if groups.is_empty() {
        return text;
    }
    text.push('\n');
    let (lines, left) = fitting(groups.iter().map(Group::line), LINES, ROOM_FOR_LINES);
    text.push_str(&lines);
    if left > 0 {
        text.push_str(&format!("- more that is not shown here, by code: {left}\n"));
    }
    let (details, left) = fitting(groups.iter().map(Group::details), groups.len(), ROOM_FOR_FINDINGS);
    let left = if left == 0 { "" } else { "\nThere is no room for all of it: run `bellwether validate`.\n" };
    let summary = format!("What was found, with place and hint: {}", html(&report.summary()));
    text.push_str(&format!("\n{}", folded(&summary, &format!("{}{left}", details.trim_start()))));
    text
}

/// Whether it can be merged.
fn title(report: &Report<'_>) -> &'static str {
    let is_error = |problem: &&Diagnostic| problem.severity == Severity::Error;
    match report.problems.iter().filter(is_error).map(keeps_from_counting).max() {
        Some(true) => "❌ It would not count",
        Some(false) => "❌ The manifests have mistakes",
        None if report.problems.is_empty() => "✅ The manifests have no mistakes",
        None => "⚠️ The manifests have no errors",
    }
}

/// Whether it is about who stands for a change: the verifier would refuse it.
fn keeps_from_counting(problem: &Diagnostic) -> bool {
    problem.code.as_str().starts_with("BW-02")
}

/// What keeps the change from counting first, then errors, then warnings; in each the codes.
fn groups(problems: &[Diagnostic]) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<_, Vec<&Diagnostic>> = BTreeMap::new();
    for problem in problems {
        let order = (problem.severity, !keeps_from_counting(problem), problem.code);
        groups.entry(order).or_default().push(problem);
    }
    groups.into_values().map(|findings| Group { findings }).collect()
}

/// As many texts as there is room for, and how many are left. One that is too long does not keep out those after it.
fn fitting(texts: impl Iterator<Item = String>, most: usize, room: usize) -> (String, usize) {
    let (mut all, mut taken, mut size, mut left) = (String::new(), 0, 0, 0);
    for text in texts {
        let length = text.chars().count();
        if taken == most || size + length > room {
            left += 1;
        } else {
            all.push_str(&text);
            taken += 1;
            size += length;
        }
    }
    (all, left)
}

impl Group<'_> {
    fn first(&self) -> &Diagnostic {
        self.findings[0]
    }

    /// `- ❌ BW-0103 ×412, first at rollouts/edge.yaml:14:7: unknown field "soka"`.
    fn line(&self) -> String {
        let first = self.first();
        let times = match self.findings.len() {
            1 => String::new(),
            more => format!("×{}, first at ", number(more)),
        };
        // What would make it count is what the reader has to know.
        let hint = first.hint.as_ref().filter(|_| keeps_from_counting(first));
        let hint = hint.map(|hint| format!(" ({})", plain(&beginning(hint)))).unwrap_or_default();
        format!(
            "- {} `{}` {times}{}: {}{hint}\n",
            sign(first),
            first.code,
            place(first),
            plain(&beginning(&first.message))
        )
    }

    /// The first ones, each with its place, its line and its hint; what is said of several is said once.
    fn details(&self) -> String {
        let title = codes::explain(self.first().code.as_str()).map_or("", |known| known.title);
        let mut text = format!("\n{} **`{}` {title}**\n", sign(self.first()), self.first().code);
        let mut told = None;
        for problem in self.findings.iter().take(SHOWN) {
            text.push_str(&item(problem));
            let hint = problem.hint.as_ref().filter(|hint| told != Some(*hint));
            if let Some(hint) = hint {
                text.push_str(&format!("\nHint: {}\n", plain(&beginning(hint))));
                told = Some(hint);
            }
        }
        if let Some(left) = self.findings.len().checked_sub(SHOWN).filter(|left| *left > 0) {
            text.push_str(&format!("\nand {} more: run `bellwether validate`\n", number(left)));
        }
        text
    }
}

fn item(problem: &Diagnostic) -> String {
    let snippet =
        problem.snippet.as_ref().map(|line| format!("\n{}", block("yaml", &snippet(line)))).unwrap_or_default();
    format!("\n{}: {}\n{snippet}", place(problem), plain(&beginning(&problem.message)))
}

const fn sign(problem: &Diagnostic) -> &'static str {
    match problem.severity {
        Severity::Error => "❌",
        Severity::Warning => "⚠️",
    }
}

fn place(problem: &Diagnostic) -> String {
    let place = problem.place.map(|place| format!(":{}:{}", place.line, place.column)).unwrap_or_default();
    code(&format!("{}{place}", beginning(&problem.file)))
}

fn snippet(line: &str) -> String {
    let line = one_line(line);
    match line.char_indices().nth(SNIPPET) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

fn number(count: usize) -> String {
    grouped(u64::try_from(count).unwrap_or(u64::MAX))
}
