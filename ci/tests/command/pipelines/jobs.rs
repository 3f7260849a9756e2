//! What GitHub's action and workflow and GitLab's template say, and what their steps do.

use std::path::Path;

use serde_json::Value;

use super::pull_request::{button_merges, greeting};
use super::service::{Fault, Kind, Service, TOKEN};
use super::{MARKER, can_run, program, script};
use crate::{BELLWETHER, Ran, Sandbox};

const YAML: [&str; 3] = ["github/action.yml", "github/workflow.yml", "gitlab/bellwether.yml"];

fn parsed(name: &str) -> Value {
    let text = std::fs::read_to_string(script(name)).expect("a file");
    serde_saphyr::from_str(&text).expect("YAML")
}

/// Calls `look` with each key that has a text, and the text.
fn each_text(value: &Value, look: &mut impl FnMut(&str, &str)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(text) => look(key, text),
                    None => each_text(value, look),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each_text(item, look)),
        _ => {}
    }
}

/// The script of the action's step with this name.
fn step(name: &str) -> String {
    let action = parsed("github/action.yml");
    let steps = action["runs"]["steps"].as_array().expect("steps").clone();
    let found = steps.into_iter().find(|step| step["name"] == name).expect("there is such a step");
    found["run"].as_str().expect("it runs something").to_owned()
}

/// A script as a runner runs it.
fn run(sandbox: &Sandbox, dir: &Path, text: &str, environment: &[(&str, &str)]) -> Ran {
    let mut command = sandbox.prepared("bash", &["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", text], dir);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", sandbox.dir.path().join("bin").display()));
    Ran::from(command.envs(environment.iter().copied()).output().expect("bash runs"))
}

#[test]
fn nothing_of_a_pull_request_becomes_part_of_a_script() {
    for name in YAML {
        each_text(&parsed(name), &mut |key, text| {
            assert!(key != "run" || !text.contains("${{"), "{name}: {text}");
            assert!(!text.contains("secrets."), "{name}: {text}");
            let is_pinned = || {
                let (_, commit) = text.split_once('@').unwrap_or_default();
                text.starts_with("./") || commit.len() == 40 && commit.bytes().all(|c| c.is_ascii_hexdigit())
            };
            assert!(key != "uses" || is_pinned(), "{name}: {text} can become something else");
        });
    }
    let workflow = parsed("github/workflow.yml");
    let triggers: Vec<_> = workflow["on"].as_object().expect("triggers").keys().collect();
    assert_eq!(triggers, ["pull_request", "push"], "pull_request_target gives a fork's code our rights");
    assert_eq!(workflow["permissions"], serde_json::json!({}));
    let permissions = serde_json::json!({"contents": "read", "pull-requests": "write", "security-events": "write"});
    assert_eq!(workflow["jobs"]["fleet"]["permissions"], permissions);
}

#[test]
fn a_new_repository_has_what_its_pipelines_run() {
    let sandbox = Sandbox::new();
    let arguments = ["init", "fleet", "--branch", "production", "--key", "key", "--author", "A <a@example.com>"];
    assert_eq!(sandbox.bellwether_in(sandbox.dir.path(), &arguments).code, Some(0));
    for name in ["comment", "fetch-command", "pull-request", "github/action.yml", "gitlab/bellwether.yml"] {
        let text = std::fs::read_to_string(script(name)).expect("a file");
        assert_eq!(sandbox.read(&format!(".bellwether/ci/{name}")), text, "{name}");
    }
    let workflow = sandbox.read(".github/workflows/fleet.yml");
    let original = std::fs::read_to_string(script("github/workflow.yml")).expect("a file");
    assert_eq!(workflow, original.replace("branches: [main]", "branches: [production]"));
    let action = workflow.split("uses: ./").nth(1).and_then(|rest| rest.lines().next()).expect("an action of its own");
    assert!(sandbox.repository().join(action).join("action.yml").is_file(), "{action}");
    let include = sandbox.read(".gitlab-ci.yml");
    let included = include.split("local: ").nth(1).and_then(|rest| rest.lines().next()).expect("a file of its own");
    assert!(sandbox.repository().join(included).is_file(), "{included}");

    for path in [".github/workflows/fleet.yml", ".gitlab-ci.yml", ".bellwether/ci/comment"] {
        sandbox.write(path, "# Does nothing\n");
    }
    sandbox.git(&["commit", "--quiet", "--all", "--message", "Check nothing"]);
    let told = sandbox.bellwether(&["trust", "explain", "HEAD"]).out;
    assert_eq!(told.matches("  holds  paths [.*, .*/**, CODEOWNERS] need role admins: a\n").count(), 3, "{told}");
}

#[test]
fn the_hook_of_a_new_repository_is_the_one_that_others_can_name() {
    let text = |path: &str| std::fs::read_to_string(script("..").join(path)).expect("a file");
    let own: Value = serde_saphyr::from_str(&text("repo-template/common/.pre-commit-config.yaml")).expect("YAML");
    let mut named: Value = serde_saphyr::from_str(&text(".pre-commit-hooks.yaml")).expect("YAML");
    named[0].as_object_mut().expect("a hook").remove("description");
    assert_eq!(own["repos"][0]["hooks"], named);
}

#[test]
fn the_action_judges_the_merge_and_a_fork_gets_the_summary() {
    if !can_run() {
        return;
    }
    let sandbox = greeting();
    let dir = sandbox.repository();
    button_merges(&sandbox);
    sandbox.git(&["update-ref", "refs/remotes/origin/main", "main"]);
    let temp = sandbox.dir.path().join("temp");
    std::fs::create_dir(&temp).expect("a folder");
    let place = |name: &str| temp.join(name).to_str().expect("text").to_owned();
    let (action, output, summary, path) = (script("github"), place("output"), place("summary"), place("path"));
    let mut environment = vec![
        ("GITHUB_ACTION_PATH", action.to_str().expect("text")),
        ("RUNNER_TEMP", temp.to_str().expect("text")),
        ("GITHUB_OUTPUT", &output),
        ("GITHUB_STEP_SUMMARY", &summary),
        ("GITHUB_PATH", &path),
        ("BRANCH_OF_PULL_REQUEST", "main"),
        ("FAIL_LEVEL", "error"),
    ];
    // What is not given is empty there, not absent.
    environment.extend(["BASE", "BEFORE_PUSH", "INVENTORY", "BELLWETHER_CA", "BELLWETHER_URL"].map(|name| (name, "")));
    let merged = sandbox.git(&["rev-parse", "HEAD"]);
    environment.extend([("GITHUB_REF", "refs/pull/7/merge"), ("GITHUB_SHA", merged.trim())]);
    let ran = run(&sandbox, &dir, &step("Find the command"), &environment);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let ran = run(&sandbox, &dir, &step("Validate, diff, simulate"), &environment);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let told = std::fs::read_to_string(&output).expect("outputs");
    let report = place("bellwether-report");
    assert_eq!(told, format!("status=0\nreport={report}\nsarif=true\ncomment=true\n"));
    let shown = std::fs::read_to_string(&summary).expect("a summary");
    assert!(shown.contains("What changes, at length") && shown.contains("It stops in wave canary."), "{shown}");
    assert_eq!(sandbox.git(&["rev-parse", "HEAD"]), merged, "GitHub made the merge already");

    for (fault, says) in [(Fault::None, "comment: made\n"), (Fault::ReadOnly, "::notice title=Bellwether::")] {
        let service = Service::start(Kind::GitHub, fault);
        let mut environment = environment.clone();
        environment.extend([
            ("GITHUB_API_URL", service.address.as_str()),
            ("GITHUB_TOKEN", TOKEN),
            ("REPORT", &report),
        ]);
        environment.extend([("GITHUB_REPOSITORY", "acme/fleet"), ("PULL_REQUEST", "7")]);
        let ran = run(&sandbox, &dir, &step("Comment"), &environment);
        assert!(ran.code == Some(0) && ran.out.starts_with(says), "{fault:?}: {}{}", ran.out, ran.err);
    }
    assert_eq!(run(&sandbox, &dir, &step("Result"), &[("STATUS", "1")]).code, Some(1));
}

#[test]
fn at_the_first_push_nothing_is_compared() {
    if !can_run() {
        return;
    }
    let sandbox = Sandbox::with_repository();
    program(&sandbox, "bellwether", &format!("#!/bin/sh\nexec '{BELLWETHER}' \"$@\"\n"));
    let temp = sandbox.dir.path().join("temp");
    std::fs::create_dir(&temp).expect("a folder");
    let place = |name: &str| temp.join(name).to_str().expect("text").to_owned();
    let (action, output, summary) = (script("github"), place("output"), place("summary"));
    let zeros = "0".repeat(40);
    for (before, base) in [(zeros.as_str(), ""), ("", ""), ("", "HEAD"), ("", zeros.as_str())] {
        let environment = [
            ("GITHUB_ACTION_PATH", action.to_str().expect("text")),
            ("RUNNER_TEMP", temp.to_str().expect("text")),
            ("GITHUB_OUTPUT", &output),
            ("GITHUB_STEP_SUMMARY", &summary),
            ("BEFORE_PUSH", before),
            ("BASE", base),
            ("FAIL_LEVEL", "error"),
        ];
        let empty = ["BRANCH_OF_PULL_REQUEST", "INVENTORY", "BELLWETHER_CA"].map(|name| (name, ""));
        let ran = run(
            &sandbox,
            &sandbox.repository(),
            &step("Validate, diff, simulate"),
            &[&environment[..], &empty].concat(),
        );
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
        assert!(ran.out.contains("ci/pull-request: nothing is compared"), "{before} {base}: {}", ran.out);
        let told = std::fs::read_to_string(&output).expect("outputs");
        assert!(told.starts_with("status=0\n"), "{told}");
        let shown = std::fs::read_to_string(&summary).expect("a summary");
        assert!(shown.contains("**Nothing is compared**") && !shown.contains("it counts"), "{shown}");
    }
}

#[test]
fn the_job_of_gitlab_merges_reports_and_writes_one_note() {
    if !can_run() {
        return;
    }
    let sandbox = greeting();
    let url = sandbox.repository().to_str().expect("text").to_owned();
    let cloned = sandbox.program("git", &["clone", "--quiet", "--branch=change", &url, "clone"], sandbox.dir.path());
    assert!(cloned.status.success(), "{cloned:?}");
    // Everything that it needs is there; nothing is installed.
    program(&sandbox, "apt-get", "#!/bin/sh\nexit 1\n");
    let clone = sandbox.dir.path().join("clone");
    let job = parsed("gitlab/bellwether.yml")["bellwether"].clone();
    let lines = ["before_script", "script"].map(|part| {
        let lines = job[part].as_array().expect("lines").iter();
        lines.map(|line| line.as_str().expect("text").to_owned()).collect::<Vec<_>>().join("\n")
    });
    let service = Service::start(Kind::GitLab, Fault::None);
    let ci = env!("CARGO_MANIFEST_DIR");
    let mut environment: Vec<_> = job["variables"]
        .as_object()
        .expect("variables")
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().expect("text")))
        .filter(|(name, _)| *name != "BELLWETHER_CI")
        .collect();
    environment.extend([("BELLWETHER_CI", ci), ("CI_PROJECT_DIR", clone.to_str().expect("text"))]);
    environment.extend([("CI_MERGE_REQUEST_PROJECT_ID", "5"), ("CI_MERGE_REQUEST_SOURCE_PROJECT_ID", "5")]);
    environment.extend([("CI_PROJECT_ID", "5"), ("CI_MERGE_REQUEST_IID", "7"), ("CI_API_V4_URL", &service.address)]);
    environment.push(("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main"));
    for (token, comments) in [("", 0), (TOKEN, 1), (TOKEN, 1)] {
        let mut environment = environment.clone();
        environment.push(("BELLWETHER_GITLAB_TOKEN", token));
        let ran = run(&sandbox, &clone, &lines.join("\n"), &environment);
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
        assert_eq!(service.comments().len(), comments, "{}", ran.out);
        assert!(!ran.out.contains(TOKEN) && !ran.err.contains(TOKEN));
    }
    assert!(service.comments()[0].1.starts_with(MARKER));
    for name in ["codequality.json", "junit.xml", "report.md"] {
        assert!(clone.join("bellwether-report").join(name).is_file(), "{name}");
    }

    // A report that the branch brings is not the one that is told.
    let lie = format!("{MARKER}\nAll is well, merge it\n");
    sandbox.git(&["switch", "--quiet", "change"]);
    sandbox.write("bellwether-report/comment.md", &lie);
    sandbox.git(&["add", "--force", "bellwether-report"]);
    sandbox.git(&["commit", "--quiet", "--message", "Bring a report"]);
    let cloned = sandbox.program("git", &["clone", "--quiet", "--branch=change", &url, "lies"], sandbox.dir.path());
    assert!(cloned.status.success(), "{cloned:?}");
    environment.push(("BELLWETHER_GITLAB_TOKEN", TOKEN));
    let ran = run(&sandbox, &sandbox.dir.path().join("lies"), &lines.join("\n"), &environment);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let (comments, kept) = (service.comments(), sandbox.dir.path().join("lies/bellwether-report/comment.md"));
    assert!(comments.len() == 1 && comments[0].1 != lie && comments[0].1.contains("What changes"), "{comments:?}");
    assert_eq!(std::fs::read_to_string(kept).expect("an artifact"), comments[0].1);
}
