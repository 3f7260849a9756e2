//! SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), for code scanning.

use std::collections::BTreeSet;

use bellwether_schemas::codes::{self, Code};
use bellwether_schemas::diagnostic::{Diagnostic, Severity};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Report, fingerprints};

/// What a path in a URI (RFC 3986, section 3.3) has escaped.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

pub(super) fn written(report: &Report<'_>) -> String {
    let used: BTreeSet<Code> = report.problems.iter().map(|problem| problem.code).collect();
    let used: Vec<Code> = used.into_iter().collect();
    let results: Vec<_> = report
        .problems
        .iter()
        .zip(fingerprints(report.problems))
        .map(|(problem, fingerprint)| result(problem, &used, &fingerprint))
        .collect();
    let document = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "bellwether",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": used.iter().map(|code| rule(code, report)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": { "%SRCROOT%": { "description": { "text": "The root of the repository." } } },
            "results": results,
        }],
    });
    format!("{}\n", serde_json::to_string_pretty(&document).expect("texts and numbers"))
}

fn rule(code: &Code, report: &Report<'_>) -> Value {
    let known = codes::explain(code.as_str()).expect("each code is explained");
    let worst = report.problems.iter().filter(|problem| problem.code == *code).map(|problem| problem.severity).min();
    let example = known.example().map(|example| format!("\n\n```diff\n{example}```")).unwrap_or_default();
    json!({
        "id": code.as_str(),
        "shortDescription": { "text": known.title },
        "fullDescription": { "text": known.cause },
        "defaultConfiguration": { "level": level(worst.unwrap_or(Severity::Error)) },
        "help": {
            "text": format!("{}\n\nbellwether explain {code}", known.mend),
            "markdown": format!("{}\n\n`bellwether explain {code}`{example}", known.mend),
        },
    })
}

fn result(problem: &Diagnostic, rules: &[Code], fingerprint: &str) -> Value {
    let hint = problem.hint.as_ref().map(|hint| format!("\n{hint}")).unwrap_or_default();
    let mut location = json!({ "artifactLocation": {
        "uri": utf8_percent_encode(&problem.file, ESCAPED).to_string(), "uriBaseId": "%SRCROOT%",
    }});
    // Code scanning shows nothing that has no line.
    location["region"] = match problem.place {
        Some(place) => json!({
            "startLine": place.line, "startColumn": place.column, "endLine": place.end_line, "endColumn": place.end_column,
        }),
        None => json!({ "startLine": 1 }),
    };
    json!({
        "ruleId": problem.code.as_str(),
        "ruleIndex": rules.binary_search(&problem.code).expect("the rules are those of the problems"),
        "level": level(problem.severity),
        "message": { "text": format!("{}{hint}", problem.message) },
        "locations": [{ "physicalLocation": location }],
        "partialFingerprints": { "bellwether/v1": fingerprint },
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}
