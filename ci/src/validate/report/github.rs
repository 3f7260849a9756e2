//! Annotations: workflow commands in the log of a GitHub workflow (docs.github.com, "Workflow commands for GitHub Actions").
//!
//! GitHub shows ten errors and ten warnings of a step as annotations; the log has all of them.

use bellwether_schemas::codes;
use bellwether_schemas::diagnostic::{Diagnostic, Severity};

use super::Report;
use crate::get::printable;

pub(super) fn written(report: &Report<'_>) -> String {
    let lines = report.problems.iter().map(annotation);
    let summary = match report.problems.is_empty() {
        true => report.summary(),
        false => format!("{}; bellwether explain CODE says more about each", report.summary()),
    };
    lines.chain([format!("{summary}.\n")]).collect()
}

fn annotation(problem: &Diagnostic) -> String {
    let command = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = problem.place.map(|place| {
        // Columns count only within one line.
        let columns = match place.end_line == place.line {
            true => format!(",col={},endColumn={}", place.column, place.end_column.max(place.column)),
            false => String::new(),
        };
        format!(",line={},endLine={}{columns}", place.line, place.end_line)
    });
    let title = codes::explain(problem.code.as_str()).map_or("", |known| known.title);
    let title = property(&format!("{} {title}", problem.code));
    let hint = problem.hint.as_ref().map(|hint| format!("\n{hint}")).unwrap_or_default();
    let text = data(&format!("{}{hint}", problem.message));
    format!("::{command} file={}{},title={title}::{text}\n", property(&problem.file), place.unwrap_or_default())
}

/// A message: `%`, carriage return and line feed are escaped.
fn data(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(printable).collect();
    lines.join("\n").replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property: `:` and `,` besides.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
