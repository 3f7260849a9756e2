//! `trust check` and `trust explain` from an accepted head, in shallow clones, and in repositories with SHA-256 ids.

use crate::team::Team;
use crate::{Ran, Sandbox};

#[track_caller]
fn refused(ran: &Ran, exit: i32, expected: &[&str]) {
    assert_eq!(ran.code, Some(exit), "{}{}", ran.out, ran.err);
    for text in expected {
        assert!(ran.err.contains(text), "expected {text:?} in {}", ran.err);
    }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A branch that began below main's tip, with one signed commit.
fn aside(team: &Team) {
    team.sandbox.git(&["switch", "-qc", "aside", "main~1"]);
    team.sandbox.git(&["commit", "-q", "--allow-empty", "-m", "Aside"]);
}

#[test]
fn a_merge_the_wrong_way_round_is_seen_from_the_accepted_head() {
    let team = Team::new();
    aside(&team);
    team.sandbox.git(&["merge", "-q", "--no-edit", "main"]);
    assert_eq!(team.ada(&["trust", "check"]).code, Some(0), "by itself it verifies");
    refused(&team.ada(&["trust", "check", "--since", "main"]), 1, &["BW-0224", "Refused: (", "first parent"]);
    let ran = team.ada(&["trust", "check", "--since", "main", "--output", "json"]);
    let said = json(&ran.out);
    assert_eq!((said["since"]["landing"].as_u64(), said["refusal"]["code"].as_str()), (Some(2), Some("BW-0224")));
    assert_eq!(json(&ran.err)["error"]["code"], "BW-0224", "JSON alone on stderr");
    let explained = team.ada(&["trust", "explain", "HEAD"]);
    refused(&explained, 1, &["BW-0224"]);
    assert!(explained.out.contains("It is refused."), "{}", explained.out);

    team.sandbox.git(&["reset", "-q", "--hard", "main"]);
    team.sandbox.git(&["commit", "-q", "--allow-empty", "-m", "Ahead"]);
    let ahead = team.ada(&["trust", "check", "--since", "main"]);
    assert!(ahead.code == Some(0) && ahead.out.contains("since         v2 ("), "{}{}", ahead.out, ahead.err);
}

#[test]
fn what_lacks_the_accepted_head_is_rewound_until_a_signed_reset() {
    let team = Team::new();
    aside(&team);
    let rewound = ["BW-0243", "v2 (", "leaves its line after v1 (", "bellwether land"];
    refused(&team.ada(&["trust", "check", "--since", "main"]), 1, &rewound);
    refused(&team.ada(&["trust", "check", "main~1", "--since", "main"]), 1, &["BW-0243"]);
    let explained = team.ada(&["trust", "explain", "HEAD"]);
    assert!(explained.code == Some(0) && explained.out.contains("it can only be merged"), "{}", explained.out);

    let main = team.sandbox.git(&["rev-parse", "main"]);
    let give_up = |version: u32| {
        team.sandbox.git(&["reset", "-q", "--hard", "aside"]);
        let fields = format!("version: {version}\n  abandons: {}", main.trim());
        team.sandbox.replace("trust/policy.yaml", "version: 1", &fields);
        team.sandbox.git(&["commit", "-qam", "Give up what was lost"]);
        team.ada(&["trust", "check", "--since", "main"])
    };
    team.sandbox.git(&["switch", "-qc", "give-up"]);
    refused(&give_up(2), 1, &["BW-0243", "it asks to give that up", "version 2"]);
    let signed = give_up(3);
    assert!(signed.code == Some(0) && signed.out.contains("by a signed reset"), "{}{}", signed.out, signed.err);
}

#[test]
fn of_a_branch_that_stalled_what_counts_is_accepted() {
    let team = Team::new();
    team.sandbox.git(&["commit", "-q", "--allow-empty", "--no-gpg-sign", "-m", "Squashed"]);
    let stalled = team.ada(&["trust", "check", "--since", "HEAD"]);
    refused(&stalled, 1, &["BW-0204", "Refused: v3 (", "not all counts (BW-0204)"]);
    team.sandbox.git(&["switch", "-q", "--detach", "HEAD~1"]);
    team.sandbox.git(&["merge", "-q", "-s", "ours", "--no-ff", "-S", "-m", "Repair", "main"]);
    let repaired = team.ada(&["trust", "check", "--since", "main"]);
    assert!(
        repaired.code == Some(0) && repaired.out.contains("accepted      v3 ("),
        "{}{}",
        repaired.out,
        repaired.err
    );
    let explained = team.ada(&["trust", "explain", "HEAD"]);
    assert!(explained.code == Some(0) && explained.out.contains("It counts."), "{}{}", explained.out, explained.err);
    let other = team.ada(&["trust", "check", "--since", "HEAD~2", "--introduction", "HEAD~1"]);
    refused(&other, 1, &["BW-0223"]);
    refused(&team.ada(&["trust", "check", "--since", "nowhere"]), 2, &["BW-0733", "--since: nowhere"]);
}

#[test]
fn a_shallow_clone_says_so_and_is_validated() {
    let team = Team::new();
    let url = format!("file://{}", team.sandbox.repository().display());
    let clone = ["clone", "-q", "--depth", "1", &url, "shallow"];
    assert!(team.sandbox.program("git", &clone, team.sandbox.dir.path()).status.success());
    let shallow = |arguments: &[&str]| team.sandbox.bellwether_in(&team.sandbox.dir.path().join("shallow"), arguments);
    let whole = ["BW-0523", "git fetch --unshallow", "fetch-depth: 0"];
    refused(&shallow(&["trust", "check"]), 2, &whole);
    refused(&shallow(&["trust", "explain", "HEAD"]), 2, &whole);
    refused(&shallow(&["trust", "export", "--all"]), 2, &whole);
    refused(&shallow(&["trust", "check", "HEAD~1"]), 2, &["BW-0733", "git fetch --unshallow"]);
    refused(&shallow(&["trust", "check", "main~1"]), 2, &["BW-0733", "git fetch --unshallow"]);
    let validated = shallow(&["validate"]);
    assert!(validated.code == Some(0) && validated.out.contains("no problems"), "{}{}", validated.out, validated.err);
    assert_eq!(shallow(&["trust", "show"]).code, Some(0));
}

#[test]
fn a_branch_without_a_commit_is_named() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.repository()).expect("a folder");
    sandbox.git(&["init", "-q", "-b", "main"]);
    for arguments in [&["trust", "check"][..], &["trust", "show"], &["trust", "explain", "HEAD"], &["trust", "endorse"]]
    {
        refused(&sandbox.bellwether(arguments), 2, &["BW-0733", "main has no commit yet", "git branch --all"]);
    }
}

#[test]
fn a_repository_with_sha256_ids_is_worked_in_like_any_other() {
    let team = Team::new();
    let template = team.sandbox.repository();
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.repository()).expect("a folder");
    sandbox.git(&["init", "-q", "-b", "main", "--object-format=sha256"]);
    for path in ["fleets/edge.yaml", "rollouts/edge.yaml", "files/about.txt"] {
        sandbox.write(path, &std::fs::read_to_string(template.join(path)).expect("the template has it"));
    }
    for (name, value) in [
        ("user.name", "Ada"),
        ("user.email", "ada@example.com"),
        ("gpg.format", "ssh"),
        ("user.signingkey", "../key"),
        ("commit.gpgsign", "true"),
    ] {
        sandbox.git(&["config", name, value]);
    }
    sandbox.git(&["add", "."]);
    sandbox.git(&["commit", "-qm", "Begin"]);
    let team = Team { sandbox };
    team.key("bob");
    let ok = |ran: Ran| {
        assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
        ran
    };
    let made = json(&ok(team.ada(&["trust", "init", "--commit", "--output", "json"])).out);
    assert_eq!(made["commit"].as_str().map(str::len), Some(64));
    ok(team.ada(&["trust", "add", "bob", "--ssh-key", "../bob.pub", "--role", "admins", "--commit"]));

    team.bob_writes("soak");
    refused(&team.ada(&["trust", "explain", "soak"]), 1, &["BW-0236"]);
    team.sandbox.git(&["switch", "-q", "soak"]);
    ok(team.ada(&["trust", "endorse"]));
    team.sandbox.git(&["switch", "-q", "main"]);
    let before = team.head();
    let landed = json(&ok(team.ada(&["land", "soak", "--output", "json"])).out);
    assert_eq!((landed["landing"].as_u64(), landed["commit"].as_str()), (Some(4), Some(team.head().as_str())));
    let explained = ok(team.ada(&["trust", "explain", "HEAD"]));
    assert!(explained.out.contains("written by bob, endorsed by ada, landed by ada"), "{}", explained.out);
    ok(team.ada(&["validate"]));
    ok(team.ada(&["trust", "check", "--since", &before]));
    ok(team.ada(&["trust", "export", "--write"]));
    team.sandbox.git(&["verify-commit", "HEAD", "HEAD^2", "HEAD^2^"]);
    team.sandbox.git(&["fsck", "--strict"]);
    assert_eq!(team.sandbox.git(&["status", "--short"]), "");
}
