//! `validate --base`: would what is checked out count, once it is merged?

use crate::Ran;
use crate::team::Team;

fn validated(team: &Team) -> Ran {
    team.ada(&["validate", "--base", "main"])
}

/// It would not count, for this reason, and says who could mend it.
#[track_caller]
fn refused(ran: &Ran, says: &[&str]) {
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    for text in says {
        assert!(ran.out.contains(text), "expected {text:?} in {}", ran.out);
    }
}

#[test]
fn a_branch_needs_whom_its_paths_ask_for() {
    let team = Team::new();
    assert_eq!(validated(&team).code, Some(0), "the base itself");
    team.bob_writes("soak");
    team.sandbox.git(&["switch", "-q", "soak"]);
    let lacking = validated(&team);
    refused(&lacking, &["BW-0236", "rollouts/edge.yaml", "missing is ada", "bellwether trust endorse"]);
    insta::assert_snapshot!(crate::team::steady(&lacking.out));
    let files = team.sandbox.git(&["count-objects", "-v"]);
    assert_eq!(validated(&team).code, Some(1));
    assert_eq!(team.sandbox.git(&["count-objects", "-v"]), files, "the merge is made in memory only");

    assert_eq!(team.ada(&["trust", "endorse"]).code, Some(0));
    let endorsed = validated(&team);
    assert_eq!(endorsed.code, Some(0), "{}", endorsed.out);
}

#[test]
fn a_test_merge_is_judged_as_what_it_is() {
    let team = Team::new();
    team.bob_writes("soak");
    team.sandbox.git(&["switch", "-qc", "merged"]);
    team.button_merges("soak");
    refused(&validated(&team), &["BW-0236", "missing is ada"]);
    team.sandbox.git(&["switch", "-q", "soak"]);
    team.ada(&["trust", "endorse"]);
    team.sandbox.git(&["switch", "-q", "merged"]);
    team.sandbox.git(&["reset", "-q", "--hard", "main"]);
    team.button_merges("soak");
    let counts = validated(&team);
    assert_eq!(counts.code, Some(0), "{}", counts.out);
}

#[test]
fn what_nobody_signed_is_told_with_the_commit() {
    let team = Team::new();
    team.sandbox.git(&["switch", "-qc", "hello"]);
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good morning");
    team.sandbox.git(&["commit", "-qam", "Say good morning", "--no-gpg-sign"]);
    let ran = validated(&team);
    refused(&ran, &["BW-0210", "fleets/edge.yaml", "BW-0247", "Say good morning", "git commit --amend --no-edit -S"]);
    // The same by the merge that a hosting service makes for a test.
    team.sandbox.git(&["switch", "-q", "main"]);
    team.sandbox.git(&["switch", "-qc", "merged"]);
    team.button_merges("hello");
    refused(&validated(&team), &["BW-0210", "BW-0247", "Say good morning"]);
}

#[test]
fn what_both_sides_changed_must_be_merged_first() {
    let team = Team::new();
    team.bob_writes("soak");
    team.sandbox.replace("rollouts/edge.yaml", "soak: 15m", "soak: 25m");
    team.sandbox.git(&["commit", "-qam", "Soak on main", "--no-verify"]);
    team.sandbox.git(&["switch", "-q", "soak"]);
    let conflict = team.ada(&["validate", "--base", "main~1"]);
    refused(&conflict, &["BW-0236"]);
    let ran = validated(&team);
    assert!(ran.code == Some(1) && ran.out.contains("itself does not count"), "{}", ran.out);
}

#[test]
fn two_sides_that_change_one_file_conflict() {
    let team = Team::of_ada();
    team.sandbox.git(&["switch", "-qc", "branch"]);
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Moin");
    team.sandbox.git(&["commit", "-qam", "Say moin"]);
    team.sandbox.git(&["switch", "-q", "main"]);
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good day");
    team.sandbox.git(&["commit", "-qam", "Say good day"]);
    team.sandbox.git(&["switch", "-q", "branch"]);
    refused(&validated(&team), &["BW-0275", "fleets/edge.yaml", "git merge -S"]);
}

#[test]
fn a_line_that_counts_merged_and_not_pushed_is_a_warning() {
    let team = Team::new();
    team.bob_writes("soak");
    team.sandbox.git(&["switch", "-q", "soak"]);
    team.ada(&["trust", "endorse"]);
    let ran = validated(&team);
    assert!(ran.code == Some(0), "{}", ran.out);
    assert!(ran.out.contains("warning[BW-0236]: pushed as it is, it would be refused"), "{}", ran.out);
}

#[test]
fn a_base_must_be_there_and_whole() {
    let team = Team::new();
    let ran = team.ada(&["validate", "--base", "nowhere"]);
    assert!(ran.code == Some(2) && ran.err.contains("BW-0733"), "{}", ran.err);
    let url = format!("file://{}", team.sandbox.repository().display());
    team.sandbox.git(&["clone", "-q", "--depth", "1", &url, "../shallow"]);
    let ran = team.sandbox.bellwether_in(&team.sandbox.dir.path().join("shallow"), &["validate", "--base", "main"]);
    assert!(ran.code == Some(2) && ran.err.contains("BW-0523") && ran.err.contains("fetch-depth: 0"), "{}", ran.err);
}

#[test]
fn a_branch_that_counts_only_pushed_as_it_is_is_a_warning() {
    let team = Team::of_ada();
    team.key("bob");
    team.sandbox.git(&["switch", "-qc", "branch"]);
    let ran = team.ada(&["trust", "add", "bob", "--ssh-key", "../bob.pub", "--role", "admins", "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Moin");
    team.git_as_bob(&["commit", "-qam", "Say moin"]);
    let ran = validated(&team);
    assert!(ran.code == Some(0) && ran.out.contains("warning[BW-0210]: pushed as it is, it counts"), "{}", ran.out);
}

#[test]
fn an_expired_policy_counts_in_no_way() {
    let team = Team::of_ada();
    team.sandbox.git(&["switch", "-qc", "branch"]);
    let policy = team.sandbox.read("trust/policy.yaml");
    let expires = policy.lines().find(|line| line.contains("expires:")).expect("a policy expires");
    let changed = policy.replace(expires, "  expires: \"2020-01-01T00:00:00Z\"").replace("version: 1", "version: 2");
    team.sandbox.write("trust/policy.yaml", &changed);
    team.sandbox.git(&["commit", "-qam", "Let it expire"]);
    let ran = validated(&team);
    refused(&ran, &["BW-0221"]);
    assert!(!ran.out.contains("merged, it counts"), "{}", ran.out);
}

#[test]
fn a_link_is_told_as_one() {
    let team = Team::of_ada();
    team.sandbox.git(&["switch", "-qc", "branch"]);
    std::os::unix::fs::symlink("about.txt", team.sandbox.repository().join("files/link")).expect("a link");
    team.sandbox.git(&["add", "files/link"]);
    team.sandbox.git(&["commit", "-qm", "Link"]);
    let ran = validated(&team);
    refused(&ran, &["BW-0231", "files/link"]);
    assert!(!ran.out.contains("BW-0237"), "{}", ran.out);
}
