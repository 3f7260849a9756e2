//! For a comment on a pull request.

use bellwether_schemas::diagnostic::{Diagnostic, Severity};

use super::{Report, one_line};
use crate::markdown::{MAX_COMMENT, block, code, folded, plain};

/// By this a comment is found again, to be edited.
const MARKER: &str = "<!-- bellwether-validate -->";

/// What the end of a report that is cut needs.
const RESERVED: usize = 200;

pub(super) fn written(report: &Report<'_>) -> String {
    let sign = match (report.count(Severity::Error), report.problems.len()) {
        (0, 0) => "✅",
        (0, _) => "⚠️",
        (_, _) => "❌",
    };
    let mut text = format!("{MARKER}\n### {sign} Manifests\n\n{}.\n", report.summary());
    for (place, problem) in report.problems.iter().enumerate() {
        let item = item(problem);
        if text.chars().count() + item.chars().count() > MAX_COMMENT - RESERVED {
            let left = report.problems.len() - place;
            text.push_str(&format!("\n{left} more are not shown here: run `bellwether validate`.\n"));
            break;
        }
        text.push_str(&item);
    }
    text
}

fn item(problem: &Diagnostic) -> String {
    let word = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = problem.place.map(|place| format!(":{}:{}", place.line, place.column)).unwrap_or_default();
    let place = code(&format!("{}{place}", problem.file));
    let summary = format!("{word} <code>{}</code> {}", problem.code, plain(&problem.message));
    let hint = problem.hint.as_ref().map(|hint| format!("\n{}\n", plain(hint))).unwrap_or_default();
    let snippet = problem.snippet.as_ref().map(|line| block("yaml", &one_line(line))).unwrap_or_default();
    format!("\n{}", folded(&summary, &format!("{place}\n\n{snippet}{hint}")))
}
