//! `ci/pull-request` on what somebody brings who wants the comment or the log to say something else.

use std::path::Path;

use super::pull_request::{asked, button_merges, greeting, play, pull_request, report};
use super::{MARKER, can_run, program, run, script};
use crate::{BELLWETHER, Ran, Sandbox};

/// Of the command nothing is played.
fn real(sandbox: &Sandbox) {
    program(sandbox, "bellwether", &format!("#!/bin/sh\nexec '{BELLWETHER}' \"$@\"\n"));
}

#[test]
fn five_thousand_findings_leave_room_for_risks_and_changes() {
    if !can_run() {
        return;
    }
    let sandbox = greeting();
    real(&sandbox);
    sandbox.replace("rollouts/edge.yaml", "soak: 15m", "soak: 1m");
    let fields: String = (0..90).map(|n| format!("  field{n}: \"@team #12 GH-1 {}\"\n", "x".repeat(100))).collect();
    for n in 0..60 {
        let head = format!("apiVersion: bellwether/v1\nkind: Device\nmetadata: {{name: d{n}}}\nspec:\n");
        sandbox.write(&format!("devices/d{n}.yaml"), &format!("{head}{fields}"));
    }
    sandbox.git(&["add", "--all"]);
    sandbox.git(&["commit", "--quiet", "--message", "Bury it"]);
    button_merges(&sandbox);
    let dir = sandbox.repository();
    let ran = pull_request(&sandbox, &dir, &["--base", "main"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let comment = report(&dir, "comment.md");
    assert!(comment.chars().count() <= 65_536 && !comment.contains("does not fit"), "{}", comment.len());
    let order = [
        "### ❌ The manifests have mistakes",
        "- ❌ `BW-0103` ×5,400, first at `devices/d0.yaml:5:3`: unknown field \"field0\"",
        "**Merged, it counts.**",
        "**2 of 2 devices that git lists get something else**",
        "- ⚠️ `BW-0806` `edge`: its Rollout lets more through",
        "- and `BW-0103` 55 times more",
        "<details><summary><code>edge</code>: 2 devices get something else",
        "+  Good morning from ",
        "<details><summary>What was found, with place and hint: 5400 errors",
        "**If it were bad**",
        "<details><summary><code>edge</code>: stops in wave <code>canary</code>",
    ];
    let mut rest = comment.as_str();
    for text in order {
        let (_, after) = rest.split_once(text).unwrap_or_else(|| panic!("expected {text} in {rest}"));
        rest = after;
    }
}

/// What a runner of GitHub takes for commands: lines that begin with `::` or have `##[`, unless they are stopped.
fn commands(log: &str) -> Vec<&str> {
    let (mut heeded, mut stopped) = (Vec::new(), None::<&str>);
    for line in log.lines() {
        match (stopped, line.strip_prefix("::stop-commands::")) {
            (Some(token), _) if line == format!("::{token}::") => stopped = None,
            (Some(_), _) => {}
            (None, Some(token)) => stopped = Some(token),
            (None, None) if line.starts_with("::") || line.contains("##[") => heeded.push(line),
            (None, None) => {}
        }
    }
    assert_eq!(stopped, None, "the steps after it have commands again");
    heeded
}

#[test]
fn of_what_is_printed_only_annotations_are_commands() {
    if !can_run() {
        return;
    }
    let sandbox = greeting();
    let dir = sandbox.repository();
    button_merges(&sandbox);
    // What the runner says of the merge, so that it is not made again.
    let head = sandbox.git(&["rev-parse", "HEAD"]);
    let environment = [("GITHUB_REF", "refs/pull/7/merge"), ("GITHUB_SHA", head.trim())];
    let arguments = ["pull-request", "--out", "report", "--base", "main", "--service", "github"];
    play(&sandbox, "prints", "::error file=a::b\n");
    play(&sandbox, "says", "::add-mask::e\n##[add-mask]e\n::stop-commands::x\n::x::\n::debug::e\n");
    play(&sandbox, "short", "");
    let ran = run(&sandbox, &dir, &arguments, &environment);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "in one stream the order stays");
    assert!(ran.out.contains("::add-mask::e\n"), "{}", ran.out);
    assert_eq!(commands(&ran.out), ["::error file=a::b"], "{}", ran.out);
    let token = |ran: &Ran| ran.out.lines().next().expect("a line").to_owned();
    let first = token(&ran);
    assert_eq!(first.len(), "::stop-commands::".len() + 32);
    assert_ne!(first, token(&run(&sandbox, &dir, &arguments, &environment)), "nobody can know it");
    // Also where it ends early.
    let ran = run(&sandbox, &dir, &["pull-request", "--out", "report", "--base", "::x", "--service", "github"], &[]);
    assert_eq!((ran.code, commands(&ran.out).len()), (Some(2), 0), "{}", ran.out);
}

#[test]
fn the_report_is_never_written_where_the_pull_request_says() {
    if !can_run() {
        return;
    }
    let sandbox = greeting();
    let dir = sandbox.repository();
    let outside = sandbox.dir.path().join("outside");
    std::fs::create_dir_all(outside.join("folder")).expect("a folder");
    std::os::unix::fs::symlink(&outside, dir.join("link")).expect("a link");
    sandbox.write("tracked/comment.md", &format!("{MARKER}\nAll is well, merge it\n"));
    sandbox.git(&["add", "--all", "--force"]);
    sandbox.git(&["commit", "--quiet", "--message", "Bring a report"]);
    button_merges(&sandbox);
    let absolute = |name: &str| dir.join(name).to_str().expect("text").to_owned();
    for out in ["tracked", "tracked/", "link", "link/", "link/folder", "link/new", "./link", "tracked/comment.md"] {
        for out in [out.to_owned(), absolute(out)] {
            let ran = run(&sandbox, &dir, &["pull-request", "--base", "main", "--out", &out], &[]);
            assert!(
                ran.code == Some(2) && ran.err.contains("name another folder"),
                "{out}: {:?} {}",
                ran.code,
                ran.err
            );
        }
    }
    assert_eq!(std::fs::read_dir(&outside).expect("a folder").count(), 1, "nothing was written through it");
    // A link that an earlier run left inside is not followed either.
    std::fs::create_dir(dir.join("report")).expect("a folder");
    std::os::unix::fs::symlink(outside.join("comment.md"), dir.join("report/comment.md")).expect("a link");
    let ran = pull_request(&sandbox, &dir, &["--base", "main"]);
    assert!(ran.code != Some(2) && report(&dir, "comment.md").starts_with(MARKER), "{}", ran.err);
    assert!(!outside.join("comment.md").exists());
}

#[test]
fn a_branch_that_is_a_merge_itself_is_not_the_one_of_the_service() {
    if !can_run() {
        return;
    }
    let sandbox = greeting();
    let dir = sandbox.repository();
    sandbox.git(&["switch", "--quiet", "--create", "merged", "main"]);
    sandbox.git(&["merge", "--quiet", "--no-ff", "--no-edit", "change"]);
    let [main, head] = ["main", "HEAD"].map(|name| sandbox.git(&["rev-parse", name]).trim().to_owned());
    let judge = |service: &str, environment: &[(&str, &str)]| {
        sandbox.git(&["switch", "--quiet", "--detach", "merged"]);
        let arguments = ["pull-request", "--out", "report", "--base", "main", "--merge", "--service", service];
        let ran = run(&sandbox, &dir, &arguments, environment);
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
        sandbox.git(&["rev-parse", "HEAD"]).trim() == head
    };
    for (service, environment) in [
        ("github", [("GITHUB_REF", "refs/pull/7/merge"), ("GITHUB_SHA", head.as_str())]),
        ("gitlab", [("CI_MERGE_REQUEST_EVENT_TYPE", "merged_result"), ("CI_COMMIT_SHA", head.as_str())]),
    ] {
        assert!(judge(service, &environment), "{service} made it");
    }
    let seen = asked(&sandbox);
    for (service, environment) in [
        ("github", [("GITHUB_REF", "refs/pull/7/merge"), ("GITHUB_SHA", main.as_str())]),
        ("github", [("GITHUB_REF", "refs/heads/merged"), ("GITHUB_SHA", head.as_str())]),
        ("gitlab", [("CI_MERGE_REQUEST_EVENT_TYPE", "detached"), ("CI_COMMIT_SHA", head.as_str())]),
    ] {
        assert!(!judge(service, &environment), "{environment:?}: the branch has it");
        assert_eq!(sandbox.git(&["rev-parse", "HEAD^1", "HEAD^2"]), format!("{main}\n{head}\n"));
    }
    assert_eq!(asked(&sandbox)[seen.len()..].matches("validate --base").count(), 6, "pushed and merged, three times");

    play(&sandbox, "finds", "1");
    play(&sandbox, "prints", "nobody signed it\n");
    sandbox.git(&["switch", "--quiet", "--detach", "merged"]);
    assert_eq!(pull_request(&sandbox, &dir, &["--base", "main", "--merge"]).code, Some(1));
    let told = "Pushed as it is, and not merged, this is found in it</summary>\n\n    nobody signed it\n";
    assert!(report(&dir, "comment.md").contains(told), "{}", report(&dir, "comment.md"));
}

#[test]
fn no_line_is_a_quick_action() {
    if !can_run() {
        return;
    }
    let sandbox = greeting();
    let dir = sandbox.repository();
    button_merges(&sandbox);
    play(&sandbox, "short", &format!("{MARKER}\n/close\n````diff\n/merge\n```\n/approve\n````\n"));
    let ran = pull_request(&sandbox, &dir, &["--base", "main"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let comment = report(&dir, "comment.md");
    assert!(comment.contains("\n\u{200b}/close\n````diff\n\u{200b}/merge\n"), "{comment}");
    assert!(comment.lines().all(|line| !line.starts_with('/')), "{comment}");
}

/// What the script's own function makes of a text.
fn cut_to(sandbox: &Sandbox, limit: usize, file: &Path) -> String {
    let source = script("pull-request");
    let text =
        format!("source <(sed '/^main \"\\$@\"$/d' '{}') && cut_to {limit} <'{}'", source.display(), file.display());
    let ran = Ran::from(sandbox.program("bash", &["-c", &text], sandbox.dir.path()));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran.out
}

/// How many folds are open at the end, and whether a fence is: of which length.
fn left_open(text: &str) -> (i32, usize) {
    let (mut folds, mut fence) = (0, 0);
    for line in text.lines() {
        let ticks = line.chars().take_while(|c| *c == '`').count();
        match fence {
            0 if ticks >= 3 => fence = ticks,
            0 if line.starts_with("<details>") => folds += 1,
            0 if line.starts_with("</details>") => folds -= 1,
            open if open > 0 && ticks >= open && line.len() == ticks => fence = 0,
            _ => {}
        }
    }
    (folds, fence)
}

#[test]
fn wherever_a_report_is_cut_nothing_stays_open() {
    if !can_run() {
        return;
    }
    let sandbox = Sandbox::new();
    let fenced = "<details><summary>A</summary>\n\n`````diff\n+```\n+````\n```\n````\n</details>\n<details>\n`````\n\n";
    let inner = "<details><summary>B</summary>\n\n```text\n</details>\n````x\n```\n\n    <details>\n    ```\n\n";
    let text = format!("{MARKER}\n{}", [fenced, inner, "Text\n\n</details>\n\n</details>\n\n"].concat().repeat(4));
    let file = sandbox.dir.path().join("whole.md");
    std::fs::write(&file, &text).expect("a file");
    assert_eq!(left_open(&text), (0, 0), "the text itself");
    assert_eq!(cut_to(&sandbox, text.len() + 300, &file), text);
    for limit in (310..text.len() + 300).step_by(9) {
        let cut = cut_to(&sandbox, limit, &file);
        assert!(cut.len() <= limit && cut.contains("The rest does not fit"), "{limit}: {cut}");
        assert_eq!(left_open(&cut), (0, 0), "{limit}: {cut}");
    }
}
