//! `init`, and what the keys and identities of engineers can be.

use crate::Sandbox;

#[test]
fn makes_a_repository_that_git_itself_accepts() {
    let sandbox = Sandbox::with_repository();
    sandbox.git(&["verify-commit", "HEAD"]);
    sandbox.git(&["fsck", "--strict"]);
    assert_eq!(sandbox.git(&["status", "--short"]), "", "index and files are those of the commit");
    assert_eq!(sandbox.git(&["symbolic-ref", "HEAD"]).trim(), "refs/heads/main");
    assert!(sandbox.read("trust/policy.yaml").contains("ada-lovelace:"));
}

#[test]
fn plain_git_commit_signs_from_then_on() {
    let sandbox = Sandbox::with_repository();
    sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good morning");
    sandbox.git(&["commit", "-qam", "Say good morning"]);
    sandbox.git(&["verify-commit", "HEAD"]);
}

#[test]
fn says_the_introduction_as_git_has_it() {
    let sandbox = Sandbox::new();
    let arguments = ["init", "fleet", "--key", "key", "--author", "A <a@example.com>", "--output", "json"];
    let ran = sandbox.bellwether_in(sandbox.dir.path(), &arguments);
    let said: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(said["introduction"]["commit"], sandbox.git(&["rev-parse", "HEAD"]).trim());
    let policy = bellwether_schemas::Sha256Digest::of(sandbox.read("trust/policy.yaml").as_bytes());
    assert_eq!(said["introduction"]["policySha256"], policy.to_string());
}

#[test]
fn never_touches_a_folder_that_has_something_in_it() {
    let sandbox = Sandbox::with_repository();
    let before = sandbox.git(&["rev-parse", "HEAD"]);
    let ran =
        sandbox.bellwether_in(sandbox.dir.path(), &["init", "fleet", "--key", "key", "--author", "A <a@example.com>"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("BW-0731"), "{}", ran.err);
    assert_eq!(sandbox.git(&["rev-parse", "HEAD"]), before);
}

#[test]
fn each_missing_piece_is_named_and_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    for (arguments, code) in [
        (&["init", "fleet", "--author", "A <a@example.com>"][..], "BW-0725"),
        (&["init", "fleet", "--key", "key"], "BW-0728"),
        (&["init", "fleet", "--key", "key.pub", "--author", "A <a@example.com>"], "BW-0726"),
        (&["init", "fleet", "--key", "nothing", "--author", "A <a@example.com>"], "BW-0722"),
    ] {
        let ran = sandbox.bellwether_in(sandbox.dir.path(), arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}");
        assert!(ran.err.contains(code) && ran.err.contains("hint: "), "{arguments:?}: {}", ran.err);
    }
    let ran =
        sandbox.bellwether_in(sandbox.dir.path(), &["init", "fleet", "--key", "key", "--author", "A <a@example.com>"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

#[test]
fn a_passphrase_comes_from_a_file_only() {
    let sandbox = Sandbox::new();
    let made = sandbox.program(
        "ssh-keygen",
        &["-q", "-t", "ed25519", "-N", "open sesame", "-f", "locked"],
        sandbox.dir.path(),
    );
    assert!(made.status.success());
    let arguments = ["init", "fleet", "--key", "locked", "--author", "A <a@example.com>"];
    let ran = sandbox.bellwether_in(sandbox.dir.path(), &arguments);
    assert!(ran.err.contains("BW-0727") && ran.err.contains("BELLWETHER_KEY_PASSPHRASE_FILE"), "{}", ran.err);

    std::fs::write(sandbox.dir.path().join("passphrase"), "open sesame\n").expect("a file");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(arguments)
        .current_dir(sandbox.dir.path())
        .env("HOME", sandbox.dir.path())
        .env("BELLWETHER_KEY_PASSPHRASE_FILE", "passphrase")
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    sandbox.git(&["verify-commit", "HEAD"]);
}
