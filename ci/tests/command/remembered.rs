//! `validate --base`: what only the history of the base tells, and what its merge would not take.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::Ran;
use crate::team::Team;

const ENROLLMENT: &str = "enrollments/factory.yaml";

#[track_caller]
fn told(ran: &Ran, exit: i32, says: &[&str]) {
    assert_eq!(ran.code, Some(exit), "{}{}", ran.out, ran.err);
    for text in says {
        assert!(ran.out.contains(text), "expected {text:?} in {}", ran.out);
    }
}

/// Ada's repository: edge-1 enrolled with a token whose line was deleted, and a branch begins three commits later.
fn tidied() -> Team {
    let team = Team::of_ada();
    let before = team.sandbox.read(ENROLLMENT);
    let mint = ["token", "mint", "factory", "--id", "old", "--device", "edge-1", "--label", "ring=canary", "--commit"];
    assert_eq!(team.ada(&mint).code, Some(0));
    team.sandbox.write(ENROLLMENT, &before);
    team.sandbox.git(&["commit", "-qam", "Delete spent tokens"]);
    for n in 0..2 {
        team.sandbox.git(&["commit", "-q", "--allow-empty", "-m", &format!("Work {n}")]);
    }
    team.sandbox.git(&["switch", "-qc", "branch"]);
    team
}

#[test]
fn an_entry_keeps_what_proves_it_when_its_line_is_gone() {
    let team = tidied();
    // The command refuses the old id, and an editor does not.
    let minted = team.ada(&["token", "mint", "factory", "--id", "new", "--device", "edge-1"]);
    assert_eq!(minted.code, Some(0), "{}", minted.err);
    team.sandbox.replace(ENROLLMENT, "id: new", "id: old");
    team.sandbox.git(&["commit", "-qam", "List another token"]);
    told(&team.ada(&["validate"]), 0, &[]);
    told(&team.ada(&["validate", "--base", "main"]), 1, &["BW-0117", ENROLLMENT, "entry old had another token"]);
}

#[test]
fn devices_are_known_when_the_lines_of_their_tokens_are_gone() {
    let team = tidied();
    team.sandbox.replace("fleets/edge.yaml", "{{ vars.greeting }} from", "{{ labels.site }} from");
    team.sandbox.git(&["commit", "-qam", "Say where"]);
    let unknown = team.ada(&["validate"]);
    assert!(!unknown.out.contains("BW-0114"), "{}", unknown.out);
    told(&team.ada(&["validate", "--base", "main"]), 1, &["BW-0114", "edge-1 has no label site"]);
    // What the Device manifest says is added to what its enrollment said.
    team.sandbox.write(
        "devices/edge-1.yaml",
        "apiVersion: bellwether/v1\nkind: Device\nmetadata: {name: edge-1}\nspec: {labels: {site: kiel}}\n",
    );
    team.sandbox.git(&["add", "."]);
    team.sandbox.git(&["commit", "-qm", "Kiel"]);
    told(&team.ada(&["validate", "--base", "main"]), 0, &[]);
    // Nobody is to give a label to what was revoked.
    let revoke = team.ada(&["device", "revoke", "edge-1", "--reason", "lost", "--commit"]);
    assert_eq!(revoke.code, Some(0), "{}", revoke.err);
    team.sandbox.git(&["switch", "-q", "main"]);
    team.sandbox.git(&["merge", "-q", "--ff-only", "branch"]);
    team.sandbox.git(&["switch", "-q", "branch"]);
    team.sandbox.git(&["rm", "-q", "devices/edge-1.yaml"]);
    told(&team.ada(&["validate", "--base", "main"]), 0, &[]);
}

#[test]
fn a_deleted_rollout_is_told_with_what_counts_then() {
    let team = Team::of_ada();
    team.sandbox.git(&["switch", "-qc", "branch"]);
    team.sandbox.git(&["rm", "-q", "rollouts/edge.yaml"]);
    team.sandbox.git(&["commit", "-qm", "Remove the Rollout"]);
    let lost = ["warning[BW-0133]", "rollouts/edge.yaml", "by the defaults (canary 5%, early 25%, broad 100%"];
    told(&team.ada(&["validate", "--base", "main"]), 0, &lost);
    team.sandbox
        .write("fleets/other.yaml", &team.sandbox.read("fleets/edge.yaml").replace("name: edge", "name: other"));
    team.sandbox.git(&["rm", "-qf", "fleets/edge.yaml"]);
    let with_its_fleet = team.ada(&["validate", "--base", "main"]);
    assert!(!with_its_fleet.out.contains("BW-0133"), "{}", with_its_fleet.out);
}

#[test]
fn what_no_tree_may_hold_is_told_as_such_on_every_branch() {
    let team = Team::of_ada();
    team.sandbox.git(&["switch", "-qc", "branch"]);
    std::fs::create_dir(team.sandbox.repository().join("docs")).expect("a folder");
    std::os::unix::fs::symlink("../README.md", team.sandbox.repository().join("docs/link")).expect("a link");
    told(&team.ada(&["validate"]), 0, &[]);
    team.sandbox.git(&["add", "docs"]);
    told(&team.ada(&["validate"]), 1, &["BW-0231", "docs/link"]);
    team.sandbox.git(&["commit", "-qm", "Link"]);
    // The base went on, so that the branch can only be merged.
    team.sandbox.git(&["switch", "-q", "main"]);
    team.sandbox.git(&["commit", "-q", "--allow-empty", "-m", "Go on"]);
    team.sandbox.git(&["switch", "-q", "branch"]);
    let merged = team.ada(&["validate", "--base", "main", "fleets"]);
    told(&merged, 1, &["BW-0231", "docs/link"]);
    assert!(!merged.out.contains("BW-0237"), "{}", merged.out);
    let all = team.ada(&["validate", "--base", "main"]);
    assert_eq!(all.out.matches("error[BW-0231]").count(), 1, "{}", all.out);
    // The merge that a hosting service makes for a test.
    team.sandbox.git(&["switch", "-q", "--detach", "main"]);
    team.button_merges("branch");
    told(&team.ada(&["validate", "--base", "main"]), 1, &["BW-0231", "docs/link"]);
    // In the working copy it is a file again, and nobody told git.
    std::fs::remove_file(team.sandbox.repository().join("docs/link")).expect("it is there");
    team.sandbox.write("docs/link", "text\n");
    told(&team.ada(&["validate"]), 0, &[]);
}

#[test]
fn submodules_and_odd_names_are_told_wherever_they_are() {
    let team = Team::of_ada();
    team.sandbox.git(&["clone", "-q", ".", "docs/copy"]);
    team.sandbox.write("docs/back\\slash", "text\n");
    team.sandbox.git(&["-c", "advice.addEmbeddedRepo=false", "add", "docs"]);
    told(&team.ada(&["validate"]), 1, &["BW-0232", "docs/copy", "BW-0211", "docs/back"]);
}

#[test]
fn a_name_that_is_not_utf8_is_told_and_the_rest_is_read() {
    let team = Team::of_ada();
    let odd = OsStr::from_bytes(b"b\xff.yaml");
    std::fs::write(team.sandbox.repository().join("holds").join(odd), "x\n")
        .or_else(|_| {
            std::fs::create_dir(team.sandbox.repository().join("holds"))?;
            std::fs::write(team.sandbox.repository().join("holds").join(odd), "x\n")
        })
        .expect("a file");
    team.sandbox.replace("rollouts/edge.yaml", "soak: 15m", "soka: 15m");
    told(&team.ada(&["validate"]), 1, &["BW-0211", "holds/b\u{fffd}.yaml", "not UTF-8", "BW-0103"]);
}

#[test]
fn the_verdict_is_told_whatever_files_are_asked_about() {
    let team = Team::of_ada();
    team.sandbox.git(&["switch", "-qc", "branch"]);
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Moin");
    team.sandbox.git(&["commit", "-qam", "Say moin", "--no-gpg-sign"]);
    told(&team.ada(&["validate", "--base", "main", "rollouts"]), 1, &["BW-0210", "fleets/edge.yaml", "BW-0247"]);
}

#[test]
fn what_git_does_not_have_or_has_otherwise_is_a_warning() {
    let team = Team::of_ada();
    team.sandbox.replace("fleets/edge.yaml", "source: files/about.txt", "source: files/new.txt");
    team.sandbox.write("files/new.txt", "About {{ device.name }}.\n");
    told(&team.ada(&["validate"]), 0, &["warning[BW-0131]", "files/new.txt is not in git", "git add files/new.txt"]);
    team.sandbox.git(&["add", "files/new.txt"]);
    let added = team.ada(&["validate"]);
    assert!(!added.out.contains("BW-0131"), "{}", added.out);
    team.sandbox.write("files/new.txt", "Changed, and not added again.\n");
    assert!(!team.ada(&["validate"]).out.contains("BW-013"), "what is changed is no riddle");

    team.sandbox.write("files/new.txt", "Line ends of Windows.\r\n");
    team.sandbox.write(".gitattributes", "files/*.txt text\n");
    team.sandbox.git(&["add", "."]);
    told(&team.ada(&["validate"]), 0, &["warning[BW-0132]", "files/new.txt", "git add --renormalize"]);
    team.sandbox.write(".gitattributes", "files/*.txt -text\n");
    team.sandbox.git(&["add", "--renormalize", "."]);
    assert!(!team.ada(&["validate"]).out.contains("BW-0132"));

    team.sandbox.write("files/new.txt", "$Id$\n");
    team.sandbox.write(".gitattributes", "files/*.txt -text ident\n");
    team.sandbox.git(&["add", "."]);
    assert!(!team.ada(&["validate"]).out.contains("BW-0132"), "nobody has an id in it yet");
    std::fs::remove_file(team.sandbox.repository().join("files/new.txt")).expect("it is there");
    team.sandbox.git(&["checkout", "--quiet", "files/new.txt"]);
    told(&team.ada(&["validate"]), 0, &["warning[BW-0132]", "files/new.txt", "-ident"]);
}

#[test]
fn a_key_that_the_policy_does_not_know_is_told_with_how_it_is_added() {
    let team = Team::of_ada();
    team.key("bob");
    let key = std::fs::read_to_string(team.sandbox.dir.path().join("bob.pub")).expect("it was made");
    let print = team.sandbox.program("ssh-keygen", &["-lf", "bob.pub"], team.sandbox.dir.path());
    let print = String::from_utf8(print.stdout).expect("text");
    let print = print.split(' ').nth(1).unwrap_or_else(|| panic!("{key} has no fingerprint"));
    team.bob_writes("soak");
    team.sandbox.git(&["switch", "-q", "soak"]);
    let said = team.ada(&["validate", "--base", "main"]);
    let hint = format!("the key {print} is nobody's in the policy: sign with a key that bellwether trust show lists");
    told(&said, 1, &["BW-0210", &hint, "bellwether trust add PERSON --ssh-key KEY.pub"]);
    assert!(!said.out.contains("sign what you wrote"), "{}", said.out);
    told(&team.ada(&["validate"]), 0, &["BW-0247", "--> rollouts/edge.yaml", "bellwether trust add PERSON --ssh-key"]);
}

#[test]
fn what_a_squash_button_did_to_the_base_is_told_with_the_commands_that_mend_it() {
    let team = Team::of_ada();
    let before = team.head();
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Moin");
    team.sandbox.git(&["commit", "-qam", "Say moin (#1)", "--no-gpg-sign"]);
    let squashed = team.head();
    team.sandbox.git(&["switch", "-qc", "branch"]);
    team.sandbox.git(&["commit", "-q", "--allow-empty", "-m", "Work"]);
    let leave_out =
        format!("git switch --detach {} && git merge -s ours --no-ff -S -m Repair {}", &before[..7], &squashed[..7]);
    let says = [
        "BW-0204",
        "--> fleets/edge.yaml",
        "(\"Say moin (#1)\")",
        "squash and rebase buttons",
        &leave_out,
        "HEAD:main",
    ];
    told(&team.ada(&["validate", "--base", "main"]), 1, &says);
}
