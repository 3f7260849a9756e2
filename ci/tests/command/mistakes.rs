//! Wrong usage and wrong surroundings: each says what, why and what to do, with a code, and ends with 2.

use std::fs::File;
use std::process::Stdio;

use crate::{BELLWETHER, Ran, Sandbox};

/// What the command says to `arguments`, in the repository.
fn says(sandbox: &Sandbox, arguments: &[&str], exit: i32, expected: &[&str]) {
    let ran = sandbox.bellwether(arguments);
    assert_eq!(ran.code, Some(exit), "{arguments:?}: {}", ran.err);
    assert!(ran.err.starts_with("error[BW-") && ran.err.contains("\n  hint: "), "{arguments:?}: {}", ran.err);
    for text in expected {
        assert!(ran.err.contains(text), "{arguments:?}: expected {text:?} in {}", ran.err);
    }
}

#[test]
fn wrong_arguments_are_told_like_every_other_failure() {
    let sandbox = Sandbox::with_repository();
    says(&sandbox, &["nonsense"], 2, &["BW-0720", "'nonsense'", "bellwether --help"]);
    says(&sandbox, &["token", "mint"], 2, &["BW-0720", "<ENROLLMENT>", "bellwether token mint --help"]);
    says(&sandbox, &["render", "Kiosk_7"], 2, &["BW-0720", "lower-case letters"]);
    says(&sandbox, &["get", "devices"], 2, &["BW-0720", "--server <URL>"]);
    says(&sandbox, &["get", "devices", "--server", "127.0.0.1:8080"], 2, &["such as http://127.0.0.1:8080"]);
    let json = sandbox.bellwether(&["hold", "--output", "json"]);
    let said: serde_json::Value = serde_json::from_str(&json.err).expect("JSON");
    assert_eq!((json.code, said["error"]["code"].as_str()), (Some(2), Some("BW-0720")));
    assert_eq!(sandbox.bellwether(&["--help"]).code, Some(0));
}

#[test]
fn wrong_places_and_keys_are_named() {
    let sandbox = Sandbox::with_repository();
    let identity = ["--author", "Ada <ada@example.com>"];
    let init = |key: &'static str| [&["init", "other", "--key", key], identity.as_slice()].concat();
    says(&sandbox, &init("nothing-here"), 2, &["BW-0722", "nothing-here", "ssh-keygen"]);
    says(&sandbox, &init("../key.pub"), 2, &["BW-0726", "public half", "--key ../key"]);
    says(&sandbox, &init("README.md"), 2, &["BW-0726", "README.md"]);
    says(&sandbox, &["validate", "--repo", "nowhere"], 2, &["BW-0723", "nowhere is not a folder"]);
    says(&sandbox, &["validate", "fleets/egde.yaml"], 2, &["BW-0720", "fleets/egde.yaml is not in the repository"]);
    says(&sandbox, &["validate", "fleet/edge.yaml"], 2, &["BW-0720", "Did you mean fleets/edge.yaml?"]);
    says(&sandbox, &["validate", "rolouts"], 2, &["BW-0720", "Did you mean rollouts?"]);
    says(&sandbox, &["validate", "../key"], 2, &["BW-0720", "../key is not in the repository"]);
    says(&sandbox, &["keys", "init", "--root", "k/root", "--online", "k"], 2, &["BW-0720", "the root key would lie"]);
    says(&sandbox, &["hold", "--name", "nope", "--release"], 1, &["BW-0733", "holds/nope.yaml"]);
    says(&sandbox, &["render", "kiosk-7", "--at", "nowhere"], 2, &["BW-0733", "git log --oneline"]);
    says(&sandbox, &["get", "devices", "--server", "http://127.0.0.1:1"], 2, &["BW-0735", "127.0.0.1:1"]);
}

/// Somebody who keeps what a command prints, a token or the allowed signers, must not believe that they have all of it.
#[cfg(target_os = "linux")]
#[test]
fn output_that_a_full_disk_does_not_take_is_a_failure() {
    let sandbox = Sandbox::with_repository();
    for arguments in [&["trust", "export"][..], &["trust", "show", "--output", "json"]] {
        let full = File::options().write(true).open("/dev/full").expect("Linux has it");
        let mut command = sandbox.prepared(BELLWETHER, arguments, &sandbox.repository());
        let ran = Ran::from(command.stdout(full).stderr(Stdio::piped()).output().expect("it runs"));
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.err);
        assert!(
            ran.err.contains("BW-0722") && ran.err.contains("No space left on device"),
            "{arguments:?}: {}",
            ran.err
        );
    }
}

#[test]
fn every_subcommand_teaches_with_an_example() {
    let sandbox = Sandbox::new();
    let paths = [
        "demo",
        "init",
        "validate",
        "trust init",
        "trust add",
        "trust remove",
        "trust show",
        "trust endorse",
        "trust check",
        "trust explain",
        "trust export",
        "land",
        "render",
        "keys init",
        "keys new-root",
        "keys show",
        "keys rotate",
        "keys sign",
        "keys finish",
        "token mint",
        "approve",
        "hold",
        "rollout resume",
        "rollout retry",
        "rollout expedite",
        "device pin",
        "device resume",
        "get",
        "why",
        "explain",
    ];
    for path in paths {
        let arguments: Vec<_> = path.split(' ').chain(["--help"]).collect();
        let ran = sandbox.bellwether_in(sandbox.dir.path(), &arguments);
        assert_eq!(ran.code, Some(0), "{path}");
        assert!(
            ran.out.contains("Examples:") && ran.out.contains(&format!("bellwether {path}")),
            "{path}: {}",
            ran.out
        );
    }
}

#[test]
fn nothing_is_written_where_a_commit_would_get_in_the_way() {
    let sandbox = Sandbox::with_repository();
    let hold = ["hold", "--all", "--reason", "smoke", "--commit"];
    let commands = [&hold[..], &["trust", "endorse"], &["land", "side"]];
    let before = sandbox.git(&["rev-parse", "HEAD"]);
    let unchanged = || {
        assert_eq!(sandbox.git(&["rev-parse", "HEAD"]), before);
        assert_eq!(sandbox.git(&["status", "--short", "holds"]), "");
    };
    sandbox.git(&["switch", "-qc", "side"]);
    sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good morning");
    sandbox.git(&["commit", "-qam", "Say good morning"]);
    sandbox.git(&["switch", "-q", "main"]);

    sandbox.git(&["merge", "-q", "--no-commit", "--no-ff", "side"]);
    for command in commands {
        says(&sandbox, command, 2, &["BW-0739", "Merge", "git status"]);
    }
    unchanged();
    sandbox.git(&["merge", "--abort"]);

    let lock = sandbox.repository().join(".git/index.lock");
    std::fs::write(&lock, "").expect("a file");
    for command in commands {
        says(&sandbox, command, 2, &["BW-0739", "index.lock", "remove that file"]);
    }
    std::fs::remove_file(&lock).expect("it is there");

    let lock = sandbox.repository().join(".git/refs/heads/main.lock");
    std::fs::write(&lock, "").expect("a file");
    says(&sandbox, &hold, 2, &["BW-0730", "main.lock"]);
    std::fs::remove_file(&lock).expect("it is there");
    unchanged();

    sandbox.git(&["switch", "-q", "--detach"]);
    for command in commands {
        says(&sandbox, command, 2, &["BW-0724", "HEAD is on no branch", "git switch --create NAME"]);
    }
    unchanged();
}

#[test]
fn places_are_named_in_full() {
    let sandbox = Sandbox::with_repository();
    let root = sandbox.repository().canonicalize().expect("it is there");
    sandbox.git(&["worktree", "add", "-q", "../tree"]);
    let tree = sandbox.dir.path().join("tree");
    for place in [root.join("fleets"), tree.clone()] {
        let ran = sandbox.bellwether_in(&place, &["trust", "export", "--write"]);
        let file = root.join(".git/allowed_signers");
        assert!(
            ran.code == Some(0) && ran.out.contains(&format!("Wrote {},", file.display())),
            "{}{}",
            ran.out,
            ran.err
        );
    }
    std::fs::remove_file(tree.join("trust/policy.yaml")).expect("it is there");
    let ran = sandbox.bellwether_in(&tree.join("fleets"), &["trust", "remove", "ada"]);
    let file = tree.canonicalize().expect("it is there").join("trust/policy.yaml");
    assert!(ran.code == Some(2) && ran.err.contains(&format!("{} does not exist", file.display())), "{}", ran.err);
    sandbox.git(&["init", "-q", "--bare", "../server.git"]);
    let bare = sandbox.dir.path().join("server.git").canonicalize().expect("it is there");
    let ran = sandbox.bellwether_in(&bare, &["trust", "check"]);
    let said = format!("{} is a bare repository", bare.display());
    assert!(ran.code == Some(2) && ran.err.contains(&said) && ran.err.contains("Clone it"), "{}", ran.err);
}
