//! The forms in which `validate` tells what it found.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Sandbox;

/// A repository with errors, warnings, a problem without a place, and a path that every form must escape.
fn broken() -> Sandbox {
    let sandbox = Sandbox::with_repository();
    sandbox.replace("rollouts/edge.yaml", "soak: 15m", "soka: 15m");
    sandbox.replace("fleets/edge.yaml", "source: files/about.txt", "source: files/abuot.txt");
    sandbox.replace("fleets/edge.yaml", "{{ vars.greeting }} from", "<b>|`@all`</b> {{ vars.greting }} from");
    sandbox.replace("enrollments/factory.yaml", "tokens: []", "tokens:");
    let token = "    - id: old\n      sha256: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\n      expires: \
                 \"2020-01-01T00:00:00Z\"\n      device: kiosk-7\n";
    sandbox.write("enrollments/factory.yaml", &format!("{}{token}", sandbox.read("enrollments/factory.yaml")));
    sandbox.write("holds/a, b:100%\n::error::c <i> #1 ü.txt", "x\n");
    sandbox
}

/// What `validate` prints in a form.
fn told(sandbox: &Sandbox, form: &str) -> String {
    let ran = sandbox.bellwether(&["validate", "--output", form]);
    assert_eq!(ran.code, Some(1), "{form}: {}", ran.err);
    ran.out
}

#[test]
fn each_form_tells_all_that_was_found() {
    let sandbox = broken();
    for form in ["text", "json", "sarif", "github", "gitlab", "junit", "markdown"] {
        let text = told(&sandbox, form);
        insta::assert_snapshot!(form, text.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
        assert_eq!(text, told(&sandbox, form), "{form}: twice the same bytes");
    }
}

#[test]
fn several_forms_come_of_one_run() {
    let sandbox = broken();
    let also = ["sarif", "junit", "markdown", "gitlab", "json", "text", "github"]
        .map(|form| format!("{form}=../found.{form}"));
    let also = also.iter().flat_map(|also| ["--also", also]);
    let arguments: Vec<_> = ["validate", "--output", "github"].into_iter().chain(also).collect();
    let ran = sandbox.bellwether(&arguments);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    for form in ["sarif", "junit", "markdown", "gitlab", "json", "text", "github"] {
        let file = sandbox.dir.path().join(format!("found.{form}"));
        assert_eq!(std::fs::read_to_string(file).expect("it was written"), told(&sandbox, form), "{form}");
    }
    for (wrong, says) in [("--also=sarif", "expected FORM=FILE"), ("--also=svg=x", "expected one of text, json, sarif")]
    {
        let ran = sandbox.bellwether(&["validate", wrong]);
        assert!(ran.code == Some(2) && ran.err.contains(says), "{}", ran.err);
    }
    let ran = sandbox.bellwether(&["validate", "--also", "json=nowhere/found.json"]);
    assert!(ran.code == Some(2) && ran.err.contains("BW-0722"), "{}", ran.err);
}

#[test]
fn what_makes_it_fail_can_be_chosen() {
    let sandbox = Sandbox::with_repository();
    let code = |level: &str| sandbox.bellwether(&["validate", "--fail-level", level]).code;
    sandbox.replace("fleets/edge.yaml", "fleet: edge", "fleet: egde");
    assert_eq!([code("error"), code("warning"), code("never")], [Some(0), Some(1), Some(0)], "a warning");
    sandbox.replace("rollouts/edge.yaml", "soak: 15m", "soka: 15m");
    assert_eq!([code("error"), code("warning"), code("never")], [Some(1), Some(1), Some(0)], "and an error");
}

/// Each line is a workflow command as GitHub documents it, or the summary.
#[test]
fn annotations_are_workflow_commands() {
    let text = told(&broken(), "github");
    let (lines, summary) = text.trim_end().rsplit_once('\n').expect("several lines");
    assert!(!summary.starts_with("::"), "{summary}");
    for line in lines.lines() {
        let (command, message) = line.strip_prefix("::").and_then(|line| line.split_once("::")).expect("a command");
        let (name, properties) = command.split_once(' ').expect("properties");
        assert!(["error", "warning"].contains(&name) && !message.is_empty(), "{line}");
        for property in properties.split(',') {
            let (key, value) = property.split_once('=').expect("a value");
            match key {
                "file" | "title" => assert!(!value.is_empty() && !value.contains([':', ',']), "{line}"),
                "line" | "endLine" | "col" | "endColumn" => {
                    assert!(value.parse::<u32>().is_ok_and(|n| n > 0), "{line}")
                }
                other => panic!("{other} is no property: {line}"),
            }
        }
    }
}

#[test]
fn fingerprints_stay_where_lines_move() {
    let sandbox = broken();
    let fingerprints = || -> Vec<String> {
        let issues: Value = serde_json::from_str(&told(&sandbox, "gitlab")).expect("JSON");
        let issues = issues.as_array().expect("a list").iter();
        issues.map(|issue| issue["fingerprint"].as_str().expect("a text").to_owned()).collect()
    };
    let before = fingerprints();
    let distinct: std::collections::BTreeSet<_> = before.iter().collect();
    assert_eq!(distinct.len(), before.len(), "two of the same are told apart");
    sandbox.write("rollouts/edge.yaml", &format!("# One more line.\n{}", sandbox.read("rollouts/edge.yaml")));
    assert_eq!(fingerprints(), before);
}

/// A validator that is not ours, where there is one: `ci/test` installs it.
pub(crate) fn check_jsonschema(schema: &Path, file: &Path) {
    let Some(program) = std::env::var_os("BELLWETHER_CHECK_JSONSCHEMA") else {
        eprintln!("skipped: BELLWETHER_CHECK_JSONSCHEMA names no check-jsonschema");
        return;
    };
    // One pattern of the schema of SARIF is none where patterns are read strictly.
    let checked = Command::new(program)
        .args(["--regex-variant", "nonunicode", "--schemafile"])
        .arg(schema)
        .arg(file)
        .output()
        .expect("it runs");
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn sarif_and_json_are_what_their_schemas_say() {
    let sandbox = broken();
    let crate_dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    for (form, schema) in [
        ("sarif", crate_dir.join("testdata/sarif-schema-2.1.0.json")),
        ("json", crate_dir.join("../schemas/json/validation.json")),
    ] {
        let file = sandbox.dir.path().join("found.json");
        std::fs::write(&file, told(&sandbox, form)).expect("a file");
        check_jsonschema(&schema, &file);
    }
    let sarif: Value = serde_json::from_str(&told(&sandbox, "sarif")).expect("JSON");
    let run = &sarif["runs"][0];
    for result in run["results"].as_array().expect("results") {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("a number")).expect("small");
        assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
    }
}

#[test]
fn a_report_of_very_much_fits_into_a_comment() {
    let sandbox = Sandbox::with_repository();
    let lines: String = (0..90).map(|n| format!("  field{n}: \"{}\"\n", "x".repeat(150))).collect();
    for n in 0..20 {
        let head = format!("apiVersion: bellwether/v1\nkind: Device\nmetadata: {{name: d{n}}}\nspec:\n");
        sandbox.write(&format!("devices/d{n}.yaml"), &format!("{head}{lines}"));
    }
    let text = told(&sandbox, "markdown");
    // A comment has more to say than this.
    assert!(text.chars().count() <= 22_000, "{}", text.len());
    assert!(text.contains("\n- ❌ `BW-0103` ×1,800, first at `devices/d0.yaml:5:3`: unknown field "), "{text}");
    assert!(text.contains("\nand 1,795 more: run `bellwether validate`\n"), "{text}");
    assert_eq!((text.matches("<details>").count(), text.matches("</details>").count()), (1, 1));
}
