//! How something came to be as it is, in lines with a name each: `why` and `get rollouts` show the same.

#[cfg(test)]
pub(crate) mod examples;

use bellwether_core::plan::moment;
use bellwether_schemas::api::{CommitView, DecisionView, Waits};
use bellwether_schemas::codes::Code;

/// A line: its name, and what it says.
pub(crate) type Told = (&'static str, String);

/// A reason in a sentence with its code, which `bellwether explain` knows.
pub(crate) fn coded(why: &str, code: Option<Code>) -> String {
    code.map_or_else(|| why.to_owned(), |code| format!("{why} ({code})"))
}

/// Since when something is waited for, until when, and by which rule.
pub(crate) fn waited(waits: &Waits) -> impl Iterator<Item = Told> {
    let since = waits.since.as_ref().map(|since| ("since", moment(since)));
    let ends = waits.ends.clone().map(|ends| ("ends", ends));
    let rule = waits.rule.clone().map(|rule| ("by rule", rule));
    [since, ends, rule].into_iter().flatten()
}

/// The files that decide about it, and who signed each.
pub(crate) fn decided(decided: &[DecisionView]) -> impl Iterator<Item = Told> {
    decided.iter().map(|DecisionView { file, says, origin }| {
        let by = origin.as_ref().map(|landing| format!(": {}", landed(landing))).unwrap_or_default();
        ("decided", format!("{file} {says}{by}"))
    })
}

/// A landing, and who signed it.
pub(crate) fn landed(landing: &CommitView) -> String {
    let CommitView { landing: number, commit, summary, .. } = landing;
    format!("v{number} ({}) {summary:?}, by {}", commit.short(), landing.signed_by())
}
