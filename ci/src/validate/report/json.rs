//! One JSON document, of a version that says what is in it.

use bellwether_schemas::diagnostic::{Severity, Validation};

use super::Report;

pub(super) fn written(report: &Report<'_>) -> String {
    let document = Validation {
        schema: Validation::SCHEMA,
        files: report.texts.len(),
        errors: report.count(Severity::Error),
        warnings: report.count(Severity::Warning),
        problems: report.problems,
    };
    let mut text = serde_json::to_string_pretty(&document).expect("what was found has text keys only");
    text.push('\n');
    text
}
