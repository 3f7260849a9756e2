//! A Code Quality report (docs.gitlab.com, "Code Quality: Code Quality report format").

use bellwether_schemas::diagnostic::Severity;
use serde_json::json;

use super::{Report, fingerprints};

pub(super) fn written(report: &Report<'_>) -> String {
    let issues = report.problems.iter().zip(fingerprints(report.problems)).map(|(problem, fingerprint)| {
        let severity = match problem.severity {
            Severity::Error => "major",
            Severity::Warning => "minor",
        };
        let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        json!({
            "description": format!("{}: {}{hint}", problem.code, problem.message),
            "check_name": problem.code.as_str(),
            "fingerprint": fingerprint,
            "severity": severity,
            "location": { "path": problem.file, "lines": {
                "begin": problem.place.map_or(1, |place| place.line),
                "end": problem.place.map_or(1, |place| place.end_line),
            }},
        })
    });
    let issues: Vec<_> = issues.collect();
    format!("{}\n", serde_json::to_string_pretty(&issues).expect("a list of texts and numbers"))
}
