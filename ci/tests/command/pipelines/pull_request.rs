//! `ci/pull-request` on real histories; of the command, `validate` and `diff` are played, and `simulate` is real.

use std::path::Path;

use super::{MARKER, can_run, program, run};
use crate::{BELLWETHER, Ran, Sandbox};

/// Writes what it is asked for, and what it was asked: `asked` beside it.
const PLAYED: &str = r#"#!/bin/bash
here=${0%/*}
echo "$*" >>"$here/asked"
what=$1
[ "$what" != simulate ] || exec "$here/real" "$@"
while [ $# -gt 0 ]; do
    case $1 in
        --also)
            case $2 in json=*) cat "$here/changes" ;; *) echo "$what as ${2%%=*}" ;; esac >"${2#*=}"
            shift
            ;;
        --out) cp "$here/whole" "$2" && shift ;;
    esac
    shift
done
[ "$what" != diff ] || cat "$here/short"
[ ! -e "$here/says" ] || cat "$here/says" >&2
[ "$what" != validate ] || [ ! -e "$here/prints" ] || cat "$here/prints"
[ "$what" != validate ] || exit "$(cat "$here/finds")"
"#;

/// What `diff` says for programs, as far as it is looked at.
const CHANGES: &str = r#"{
  "fleets": [
    {
      "fleet": "edge",
      "changed": 2,
      "rollout": {
        "lands": "2026-01-05T10:00:00Z",
        "simulated": 2
      }
    }
  ]
}
"#;

/// A repository with two devices, on whose branch `change` something was committed. Nothing is found unless a test says so.
fn changed(path: &str, from: &str, to: &str) -> Sandbox {
    let sandbox = Sandbox::with_repository();
    for ring in ["canary", "rest"] {
        let ran = sandbox.bellwether(&["token", "mint", "factory", "--label", &format!("ring={ring}"), "--commit"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
    sandbox.git(&["switch", "--quiet", "--create", "change"]);
    sandbox.replace(path, from, to);
    sandbox.git(&["commit", "--quiet", "--all", "--message", "Change something"]);
    program(&sandbox, "bellwether", PLAYED);
    program(&sandbox, "real", &format!("#!/bin/sh\nexec '{BELLWETHER}' \"$@\"\n"));
    play(&sandbox, "finds", "0");
    play(&sandbox, "short", &format!("{MARKER}\n## What changes\n"));
    play(&sandbox, "changes", CHANGES);
    play(&sandbox, "whole", &format!("{MARKER}\n## What changes, at length\n"));
    sandbox
}

pub(super) fn greeting() -> Sandbox {
    changed("fleets/edge.yaml", "greeting: Hello", "greeting: Good morning")
}

pub(super) fn play(sandbox: &Sandbox, name: &str, text: &str) {
    std::fs::write(sandbox.dir.path().join("bin").join(name), text).expect("a file");
}

pub(super) fn asked(sandbox: &Sandbox) -> String {
    std::fs::read_to_string(sandbox.dir.path().join("bin/asked")).unwrap_or_default()
}

/// What the service does: merges the branch into main, unsigned.
pub(super) fn button_merges(sandbox: &Sandbox) {
    sandbox.git(&["switch", "--quiet", "--detach", "main"]);
    sandbox.git(&["-c", "commit.gpgsign=false", "merge", "--quiet", "--no-ff", "--no-edit", "change"]);
}

pub(super) fn pull_request(sandbox: &Sandbox, dir: &Path, arguments: &[&str]) -> Ran {
    run(sandbox, dir, &[&["pull-request", "--out", "report"], arguments].concat(), &[])
}

pub(super) fn report(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join("report").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn the_comment_says_what_was_found_what_changes_and_how_it_rolls_out() {
    if !can_run() {
        return;
    }
    let sandbox = greeting();
    let dir = sandbox.repository();
    button_merges(&sandbox);
    let base = sandbox.git(&["rev-parse", "main"]);
    let base = base.trim();
    let ran = pull_request(&sandbox, &dir, &["--base", "main", "--service", "github", "--fail-level", "warning"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let comment = report(&dir, "comment.md");
    let begins = format!("{MARKER}\n\nvalidate as markdown\n\n**Merged, it counts.**\n\n## What changes\n");
    assert!(comment.starts_with(&begins), "{comment}");
    assert_eq!(comment.matches(MARKER).count(), 1, "{comment}");
    let bad = "<details><summary><code>edge</code>: stops in wave <code>canary</code>: 1 of 2 devices try it, and it fails on 1<";
    assert!(comment.contains(bad), "{comment}");
    assert!(comment.contains("rolls out from 2026-01-05T10:00:00Z on"), "the start is that of diff: {comment}");
    assert!(comment.contains("2 devices that git lists"), "and so are the devices: {comment}");
    assert!(report(&dir, "report.md").contains("## What changes, at length\n"));
    assert_eq!(report(&dir, "validate.sarif"), "validate as sarif\n");
    assert_eq!(report(&dir, "diff.json"), CHANGES);
    let asked = asked(&sandbox);
    let validate = format!("validate --base {base} --fail-level warning --output github --also sarif=");
    assert!(asked.starts_with(&validate), "{asked}");
    assert!(asked.contains(&format!("\ndiff --base {base} --head HEAD --output markdown ")), "{asked}");

    // Somebody else lands in the meantime: the merge is judged as it was made.
    sandbox.git(&["switch", "--quiet", "main"]);
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "Meanwhile"]);
    sandbox.git(&["switch", "--quiet", "--detach", "HEAD@{2}"]);
    let ran = pull_request(&sandbox, &dir, &["--base", "main"]);
    assert!(ran.code == Some(0) && self::asked(&sandbox).matches(base).count() > 4, "{}", ran.err);
}

#[test]
fn what_was_found_fails_the_job_and_is_reported_all_the_same() {
    if !can_run() {
        return;
    }
    let sandbox = greeting();
    let dir = sandbox.repository();
    button_merges(&sandbox);
    play(&sandbox, "finds", "1");
    let ran = pull_request(&sandbox, &dir, &["--base", "main", "--service", "gitlab"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(report(&dir, "comment.md").contains("validate as markdown\n\n**Merged, it counts.**\n\n## What changes\n"));
    for (name, text) in [("codequality.json", "validate as gitlab\n"), ("junit.xml", "validate as junit\n")] {
        assert_eq!(report(&dir, name), text);
    }

    play(&sandbox, "finds", "0");
    play(&sandbox, "short", "");
    let ran = pull_request(&sandbox, &dir, &["--base", "main"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(report(&dir, "comment.md").contains("What changes cannot be told:"));
}

#[test]
fn what_does_not_count_yet_is_supposed_by_the_rollout_of_the_base() {
    if !can_run() {
        return;
    }
    let sandbox = greeting();
    program(&sandbox, "bellwether", &format!("#!/bin/sh\nexec '{BELLWETHER}' \"$@\"\n"));
    sandbox.git(&["commit", "--quiet", "--amend", "--no-edit", "--no-gpg-sign"]);
    button_merges(&sandbox);
    let dir = sandbox.repository();
    let ran = pull_request(&sandbox, &dir, &["--base", "main"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let comment = report(&dir, "comment.md");
    assert!(comment.starts_with(&format!("{MARKER}\n\n### ❌ It would not count\n")), "{comment}");
    assert!(!comment.contains("it counts.**") && !comment.contains("cannot be simulated"), "{comment}");
    let supposed = "It does not count yet: this is the next change, whatever it is, by the Rollouts of the base.\n\n\
                    <details><summary><code>edge</code>: stops in wave <code>canary</code>: 1 of 2 devices try it";
    assert!(comment.contains(supposed), "{comment}");
}

#[test]
fn the_merge_is_made_where_the_service_makes_none() {
    if !can_run() {
        return;
    }
    let sandbox = changed("rollouts/edge.yaml", "deviceTimeout: 30m", "deviceTimeout: 31m");
    let dir = sandbox.repository();
    play(&sandbox, "changes", "{}\n");
    let (main, change) = (sandbox.git(&["rev-parse", "main"]), sandbox.git(&["rev-parse", "change"]));
    let ran = pull_request(&sandbox, &dir, &["--base", "main", "--merge"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(sandbox.git(&["rev-parse", "HEAD^1", "HEAD^2"]), format!("{main}{change}"));
    let asked = asked(&sandbox);
    assert!(asked.contains("simulate --fleet edge --start ") && asked.contains(" --next"), "only its Rollout changes");
    assert!(report(&dir, "comment.md").contains("the next change after"));

    sandbox.git(&["switch", "--quiet", "main"]);
    let ran = pull_request(&sandbox, &dir, &["--base", "HEAD"]);
    assert!(ran.code == Some(0) && ran.out.contains("nothing is compared"), "{}{}", ran.out, ran.err);
    assert!(report(&dir, "comment.md").contains("**Nothing is compared**"));
    sandbox.replace("rollouts/edge.yaml", "deviceTimeout: 30m", "deviceTimeout: 32m");
    sandbox.git(&["commit", "--quiet", "--all", "--message", "Change the same"]);
    sandbox.git(&["switch", "--quiet", "change"]);
    let ran = pull_request(&sandbox, &dir, &["--base", "main"]);
    assert!(ran.code == Some(2) && ran.err.contains("use --merge"), "{}", ran.err);
    let ran = pull_request(&sandbox, &dir, &["--base", "main", "--merge"]);
    assert!(ran.code == Some(2) && ran.err.contains("merge main into it first"), "{}", ran.err);
}

#[test]
fn a_shallow_checkout_fetches_what_it_lacks_or_says_so() {
    if !can_run() {
        return;
    }
    let sandbox = greeting();
    button_merges(&sandbox);
    sandbox.git(&["branch", "merged"]);
    let url = format!("file://{}", sandbox.repository().display());
    let clone = sandbox.dir.path().join("clone");
    let ran = sandbox.program(
        "git",
        &["clone", "--quiet", "--depth=1", "--branch=merged", &url, "clone"],
        sandbox.dir.path(),
    );
    assert!(ran.status.success(), "{ran:?}");
    sandbox.program("git", &["remote", "set-url", "origin", "file:///nowhere"], &clone);
    let ran = pull_request(&sandbox, &clone, &["--base", "HEAD^1"]);
    assert!(ran.code == Some(2) && ran.err.contains("fetch-depth: 0 (GitHub), GIT_DEPTH: 0 (GitLab)"), "{}", ran.err);
    sandbox.program("git", &["remote", "set-url", "origin", &url], &clone);
    let ran = pull_request(&sandbox, &clone, &["--base", "HEAD^1"]);
    assert!(ran.code == Some(0) && report(&clone, "comment.md").contains("It stops in wave canary"), "{}", ran.err);
}

#[test]
fn a_long_report_is_cut_where_a_line_ends_and_what_is_open_is_closed() {
    if !can_run() {
        return;
    }
    let sandbox = greeting();
    let dir = sandbox.repository();
    button_merges(&sandbox);
    let lines: String = (0..20_000).map(|number| format!("device-{number} changes\n")).collect();
    let text = format!("{MARKER}\n<details><summary>All</summary>\n\n```text\n{lines}```\n\n</details>\n");
    play(&sandbox, "short", &text);
    play(&sandbox, "whole", &text);
    let ran = pull_request(&sandbox, &dir, &["--base", "main"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let comment = report(&dir, "comment.md");
    assert!(comment.len() < 65_536 && comment.len() > 64_000, "{}", comment.len());
    let end = "changes\n```\n\n</details>\n\nThe rest does not fit in here. The whole report: `report.md` of this job, on GitHub its summary.\n";
    assert!(comment.ends_with(end), "{}", &comment[comment.len() - 300..]);
    assert!(report(&dir, "report.md").contains("device-19999 changes\n```\n\n</details>\n\n**If it were bad**"));
}
