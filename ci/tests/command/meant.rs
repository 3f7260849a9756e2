//! Names that are misspelt: what was probably meant is said. A commit that is not there is wrong usage.

use crate::Ran;
use crate::team::Team;

fn refused(ran: &Ran, code: i32, says: &[&str]) {
    assert_eq!(ran.code, Some(code), "{}{}", ran.out, ran.err);
    says.iter().for_each(|said| assert!(ran.err.contains(said), "{said}: {}", ran.err));
}

#[test]
fn a_misspelt_commit_is_wrong_usage_and_the_nearest_branch_or_tag_is_named() {
    let team = Team::new();
    team.sandbox.git(&["tag", "--no-sign", "release-1"]);
    team.sandbox.git(&["update-ref", "refs/remotes/origin/good-morning", "HEAD"]);
    team.sandbox.git(&["update-ref", "refs/remotes/upstream/harbour", "HEAD"]);
    for (arguments, says) in [
        (&["validate", "--base", "mian"][..], "Did you mean main? "),
        (&["diff", "--base", "mian"], "Did you mean main? "),
        (&["diff", "--base", "main", "--head", "HAED~1"], "Did you mean HEAD~1? "),
        (&["simulate", "--fleet", "edge", "--to", "mian"], "Did you mean main? "),
        (&["render", "kiosk-7", "--at", "relaese-1"], "Did you mean release-1? "),
        (&["trust", "show", "--at", "main~99"], "main is there, but not ~99 of it"),
        (&["trust", "check", "good-mornig"], "Did you mean origin/good-morning? "),
        (&["trust", "check", "orgin/good-morning"], "Did you mean origin/good-morning? "),
        (&["validate", "--base", "harbour~1"], "The server has such a branch: name it upstream/harbour~1"),
    ] {
        let ran = team.ada(arguments);
        refused(&ran, 2, &["error[BW-0733]", "names no commit", says]);
    }
    let far = team.ada(&["validate", "--base", "nowhere"]);
    assert!(far.code == Some(2) && !far.err.contains("Did you mean"), "{}", far.err);
}

#[test]
fn what_names_no_commit_is_told_in_words_of_ours() {
    let team = Team::of_ada();
    // Their ids begin alike, with 8324.
    for content in ["142", "784"] {
        team.sandbox.write("../blob", content);
        team.sandbox.git(&["hash-object", "-w", "../blob"]);
    }
    for (rev, says) in [
        ("8324", "--base: 8324 begins the ids of several objects"),
        ("deadbeef", "--base: deadbeef names no commit"),
        ("a", "git branch --all"),
        ("main..HEAD", "That is a range, and one commit is asked for, such as main"),
        ("main^{tree}", "main is there, but not ^{tree} of it"),
        ("", "--base: it is empty"),
    ] {
        let ran = team.ada(&["diff", &format!("--base={rev}")]);
        refused(&ran, 2, &["error[BW-0733]", says, "hint: "]);
        assert!(!ran.err.contains("^{commit}") && !ran.err.contains("because"), "{rev}: {}", ran.err);
    }
}

#[test]
fn misspelt_names_are_told_with_what_was_probably_meant() {
    let team = Team::new();
    let ran = team.ada(&["token", "mint", "factory", "--device", "kiosk-7", "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let own = "apiVersion: bellwether/v1\nkind: Device\nmetadata: {name: mast}\nspec:\n  template: {probes: none}\n";
    team.sandbox.write("devices/mast.yaml", own);
    let hold = team.ada(&["hold", "edge", "--reason", "odd", "--name", "odd-readings"]);
    assert_eq!(hold.code, Some(0), "{}", hold.err);
    let with_reason = |arguments: &[&'static str]| [arguments, &["--reason", "why"]].concat();
    let bobs_key = team.ada(&["trust", "show"]).out;
    let bobs_key = bobs_key.split_whitespace().rfind(|word| word.starts_with("SHA256:")).expect("a key");
    let part = bobs_key[..14].to_owned() + "…";
    for (arguments, says) in [
        (with_reason(&["approve", "egde", "canary"]), "edge"),
        (with_reason(&["approve", "edge", "canry"]), "canary"),
        (with_reason(&["hold", "device.mats"]), "device.mast"),
        (with_reason(&["hold", "--name", "od-readings", "--release"]), "odd-readings"),
        (with_reason(&["rollout", "expedite", "egde", "--skip", "soak"]), "edge"),
        (vec!["fleet", "set", "egde", "vars.greeting=Hi"], "edge"),
        (vec!["fleet", "set", "edge", "var.greeting=Hi"], "vars"),
        (vec!["fleet", "set", "edge", "--unset", "vars.greting"], "greeting"),
        (
            vec!["fleet", "set", "edge", "files[path=/opt/bellwether/etc/abuot].mode=0600"],
            "[path=/opt/bellwether/etc/about]",
        ),
        (vec!["simulate", "--fleet", "egde", "--next"], "edge"),
        (with_reason(&["device", "pin", "kisok-7"]), "kiosk-7"),
        (with_reason(&["device", "revoke", "kiosk7"]), "kiosk-7"),
        (with_reason(&["rollout", "retry", "edge", "kioks-7"]), "kiosk-7"),
        (vec!["render", "kiosk-77"], "kiosk-7"),
        (vec!["token", "mint", "facotry"], "factory"),
        (vec!["trust", "remove", "bop"], "bob"),
        (vec!["trust", "remove", "bob", "--only-key", &part], bobs_key),
        (vec!["trust", "add", "bob", "--role", "admin"], "admins"),
    ] {
        let ran = team.ada(&arguments);
        refused(&ran, 1, &[&format!("hint: Did you mean {says}? ")]);
    }
    refused(&team.ada(&["schema", "fleets"]), 2, &["did you mean fleet?"]);
    for (arguments, says) in [
        (&["fmt", "fleet"][..], "Did you mean fleets? "),
        (&["fmt", "fleets/egde.yaml"], "Did you mean fleets/edge.yaml? "),
        (&["man", "tokn"], "bellwether has no subcommand tokn\n  hint: Did you mean token? "),
        (&["man", "token", "mnt"], "bellwether token has no subcommand mnt\n  hint: Did you mean mint? "),
    ] {
        refused(&team.ada(arguments), 2, &[says]);
    }
    let far = team.ada(&with_reason(&["hold", "somewhere"]));
    assert!(far.code == Some(1) && !far.err.contains("Did you mean"), "{}", far.err);
}
