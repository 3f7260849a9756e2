//! `land`: a clean merge that the policy lets pass, or nothing at all.

use crate::Ran;
use crate::team::{Team, steady};

fn refused(ran: &Ran, exit: i32, expected: &[&str]) {
    assert_eq!(ran.code, Some(exit), "{}{}", ran.out, ran.err);
    for text in expected {
        assert!(ran.err.contains(text), "expected {text:?} in {}", ran.err);
    }
}

#[test]
fn what_one_wrote_and_another_lands_counts_as_two() {
    let team = Team::new();
    team.bob_writes("soak");
    let before = team.head();
    let alone = team.bob(&["land", "soak"]);
    refused(&alone, 1, &["BW-0236", "it was not made", "Missing is one of ada (role admins)"]);
    assert_eq!((team.head(), team.sandbox.git(&["status", "--short"])), (before, String::new()));

    let ran = team.ada(&["land", "soak"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    insta::assert_snapshot!(steady(&ran.out));
    assert_eq!(team.sandbox.git(&["log", "-1", "--format=%s"]).trim(), "Merge branch 'soak'");
    team.sandbox.git(&["verify-commit", "HEAD"]);
    assert!(team.sandbox.read("rollouts/edge.yaml").contains("soak: 20m"));
    assert_eq!(team.ada(&["trust", "check"]).code, Some(0));
    refused(&team.ada(&["land", "soak"]), 1, &["BW-0276", "has all commits of soak already"]);
}

#[test]
fn files_index_and_modes_follow_the_merge() {
    let team = Team::new();
    team.sandbox.git(&["switch", "-qc", "files"]);
    team.sandbox.write("files/tools/run", "#!/bin/sh\n");
    team.sandbox.git(&["add", "."]);
    team.sandbox.git(&["update-index", "--chmod=+x", "files/tools/run"]);
    team.sandbox.git(&["rm", "-q", "files/about.txt"]);
    team.sandbox.write("files/about.txt/now-a-folder", "yes\n");
    team.sandbox.git(&["add", "files/about.txt"]);
    team.git_as_bob(&["commit", "-qm", "Move files about"]);
    team.sandbox.git(&["checkout", "-q", "--", "."]);
    team.sandbox.git(&["switch", "-q", "main"]);
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good morning");
    team.sandbox.git(&["commit", "-qam", "Say good morning"]);
    team.sandbox.write("notes.txt", "not git's\n");

    let ran = team.ada(&["land", "files", "-m", "Land the files"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(team.sandbox.git(&["status", "--short"]).trim(), "?? notes.txt");
    assert_eq!(team.sandbox.git(&["diff", "HEAD"]), "");
    assert!(team.sandbox.git(&["ls-tree", "HEAD", "files/tools/run"]).starts_with("100755"));
    assert_eq!(team.sandbox.read("files/about.txt/now-a-folder"), "yes\n");
    assert!(team.sandbox.read("fleets/edge.yaml").contains("Good morning"), "main's own change stays");
    let merged = team.sandbox.git(&["merge-tree", "--write-tree", "HEAD^1", "HEAD^2"]);
    assert_eq!(merged, team.sandbox.git(&["rev-parse", "HEAD^{tree}"]), "git merges to the same tree");
    team.sandbox.git(&["fsck", "--strict"]);
    assert_eq!(team.ada(&["trust", "check"]).code, Some(0));
}

#[test]
fn what_both_sides_changed_is_listed_and_mended_on_the_branch() {
    let team = Team::new();
    team.bob_writes("both");
    team.sandbox.git(&["switch", "-q", "both"]);
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good morning");
    team.git_as_bob(&["commit", "-qam", "Say good morning"]);
    team.sandbox.git(&["switch", "-q", "main"]);
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good night");
    team.sandbox.git(&["commit", "-qam", "Say good night"]);
    // Undone on main, which is a change all the same: the branch does not know that it was tried.
    team.sandbox.git(&["revert", "--no-edit", "HEAD"]);
    let ran = team.ada(&["land", "both"]);
    refused(&ran, 1, &["BW-0275", "\n    fleets/edge.yaml\n", "git switch both && git merge -S main"]);

    team.sandbox.git(&["switch", "-q", "both"]);
    team.git_as_bob(&["merge", "-q", "-S", "--no-edit", "main"]);
    team.sandbox.git(&["switch", "-q", "main"]);
    let ran = team.ada(&["land", "both"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(team.sandbox.read("fleets/edge.yaml").contains("Good morning"));
}

#[test]
fn work_that_is_not_committed_is_never_mixed_in_or_lost() {
    let team = Team::new();
    team.bob_writes("soak");
    team.sandbox.git(&["switch", "-q", "soak"]);
    team.sandbox.write("files/new.txt", "theirs\n");
    team.sandbox.git(&["add", "."]);
    team.git_as_bob(&["commit", "-qm", "Add a file"]);
    team.sandbox.git(&["switch", "-q", "main"]);
    let land = || team.ada(&["land", "soak"]);
    let head = team.head();

    let readme = team.sandbox.read("README.md");
    team.sandbox.write("README.md", "mine");
    refused(&land(), 2, &["BW-0729", "README.md", "git stash"]);
    // As long as before and written in the same moment as the index: only the content tells.
    team.sandbox.write("README.md", &"x".repeat(readme.len()));
    refused(&land(), 2, &["README.md"]);
    team.sandbox.git(&["add", "README.md"]);
    refused(&land(), 2, &["README.md"]);
    team.sandbox.git(&["reset", "-q", "--hard"]);
    team.sandbox.write("files/new.txt", "mine\n");
    refused(&land(), 2, &["files/new.txt"]);
    assert_eq!((team.head(), team.sandbox.read("files/new.txt")), (head, "mine\n".to_owned()));
    std::fs::remove_file(team.sandbox.repository().join("files/new.txt")).expect("it is there");
    assert_eq!(land().code, Some(0));
}

#[test]
fn branches_of_a_server_and_ids_land_too_and_others_are_told() {
    let team = Team::new();
    team.bob_writes("soak");
    let id = team.sandbox.git(&["rev-parse", "soak"]);
    team.sandbox.git(&["update-ref", "refs/remotes/origin/soak", "soak"]);
    team.sandbox.git(&["branch", "-qD", "soak"]);
    refused(&team.ada(&["land", "soak"]), 2, &["BW-0733", "soak names no commit"]);
    refused(&team.ada(&["land", "HEAD~1"]), 1, &["BW-0276"]);
    let before = team.head();
    assert_eq!(team.ada(&["land", "origin/soak"]).code, Some(0));
    assert_eq!(team.sandbox.git(&["log", "-1", "--format=%s"]).trim(), "Merge remote-tracking branch 'origin/soak'");
    team.sandbox.git(&["reset", "-q", "--hard", &before]);
    let said = team.ada(&["land", id.trim(), "--output", "json"]);
    let said: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(said["paths"][0], "rollouts/edge.yaml");
    assert_eq!(said["commit"], team.head());

    team.sandbox.git(&["commit", "-q", "--allow-empty", "--no-gpg-sign", "-m", "Not signed"]);
    team.sandbox.git(&["switch", "-qc", "more"]);
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good morning");
    team.git_as_bob(&["commit", "-qam", "Say good morning"]);
    team.sandbox.git(&["switch", "-q", "main"]);
    refused(&team.ada(&["land", "more"]), 1, &["main itself does not count", "BW-0204"]);
}

#[test]
fn nothing_lands_on_a_policy_that_has_expired_but_its_renewal() {
    let team = Team::of_ada();
    let policy = "trust/policy.yaml";
    let line = |text: &str, key: &str| {
        text.lines().find(|line| line.trim_start().starts_with(key)).expect("a policy has it").to_owned()
    };
    let renewed = line(&team.sandbox.read(policy), "expires:");
    team.sandbox.replace(policy, &renewed, "  expires: \"2020-01-01T00:00:00Z\"");
    team.sandbox.replace(policy, "version: 1", "version: 2");
    team.sandbox.git(&["commit", "-qam", "Let it expire"]);
    team.sandbox.git(&["switch", "-qc", "good-day"]);
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good day");
    team.sandbox.git(&["commit", "-qam", "Say good day"]);
    team.sandbox.git(&["switch", "-q", "main"]);
    let before = team.head();
    refused(&team.ada(&["land", "good-day"]), 1, &["BW-0221", "expired at 2020-01-01", "was not made"]);
    assert_eq!((team.head(), team.sandbox.git(&["status", "--short"])), (before, String::new()));

    team.sandbox.git(&["switch", "-q", "good-day"]);
    team.sandbox.replace(policy, "  expires: \"2020-01-01T00:00:00Z\"", &renewed);
    team.sandbox.replace(policy, "version: 2", "version: 3");
    team.sandbox.git(&["commit", "-qam", "Renew the policy"]);
    team.sandbox.git(&["switch", "-q", "main"]);
    let landed = team.ada(&["land", "good-day"]);
    assert_eq!(landed.code, Some(0), "{}", landed.err);
    assert_eq!(team.ada(&["trust", "check"]).code, Some(0));
}

#[test]
fn a_branch_of_the_server_is_named_as_it_is() {
    let team = Team::new();
    team.bob_writes("soak");
    team.sandbox.git(&["update-ref", "refs/remotes/origin/soak", "soak"]);
    team.sandbox.git(&["branch", "-qD", "soak"]);
    refused(&team.ada(&["land", "soak"]), 2, &["BW-0733", "name it origin/soak"]);
    let alone = team.bob(&["land", "origin/soak"]);
    refused(&alone, 1, &["BW-0236", "git switch soak && bellwether trust endorse"]);
    team.sandbox.replace("rollouts/edge.yaml", "soak: 15m", "soak: 30m");
    team.sandbox.git(&["commit", "-qam", "Soak differently"]);
    team.sandbox.git(&["branch", "-q", "twice"]);
    team.sandbox.git(&["reset", "-q", "--hard", "HEAD~1"]);
    assert_eq!(team.ada(&["land", "origin/soak"]).code, Some(0));
    refused(&team.ada(&["land", "twice"]), 1, &["BW-0275", "git switch twice && git merge -S main"]);
}

#[test]
fn what_is_landed_where_it_cannot_be_pushed_says_so() {
    let team = Team::new();
    team.bob_writes("soak");
    let before = team.head();
    team.sandbox.git(&["switch", "-qc", "other"]);
    let aside = team.ada(&["land", "soak"]);
    assert!(aside.code == Some(0) && aside.err.contains("git push origin HEAD:main"), "{}", aside.err);
    let hold = team.ada(&["hold", "--all", "--reason", "smoke", "--commit"]);
    assert!(hold.err.contains("It counts when main has it") && hold.err.contains("land other"), "{}", hold.err);

    team.sandbox.git(&["switch", "-q", "main"]);
    team.sandbox.git(&["commit", "-q", "--allow-empty", "-m", "Meanwhile"]);
    team.sandbox.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
    team.sandbox.git(&["reset", "-q", "--hard", &before]);
    let behind = team.ada(&["land", "soak"]);
    let mends = ["origin/main has commits that main lacks", "git reset --keep HEAD~1 && git pull --ff-only"];
    assert!(behind.code == Some(0) && mends.iter().all(|text| behind.err.contains(text)), "{}", behind.err);
    assert_ne!(team.head(), before);
    team.sandbox.git(&["reset", "-q", "--keep", "HEAD~1"]);
    assert_eq!(team.head(), before, "the advice takes the landing back, and nothing else");
}
