//! `token mint`: the secret is shown once, its hash is added, and everything else stays as it was.

use bellwether_schemas::Sha256Digest;

use crate::Sandbox;

const PATH: &str = "enrollments/factory.yaml";

#[test]
fn the_hash_is_that_of_the_secret_and_is_committed() {
    let sandbox = Sandbox::with_repository();
    let ran = sandbox.bellwether(&["token", "mint", "factory", "--labels", "ring=canary,site=kiel", "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let secret = hex::decode(ran.out.trim()).expect("hexadecimal digits alone on stdout");
    assert_eq!(secret.len(), 32);
    assert!(sandbox.read(PATH).contains(&Sha256Digest::of(&secret).to_string()));
    assert!(!sandbox.read(PATH).contains(ran.out.trim()), "the secret never gets into git");
    sandbox.git(&["verify-commit", "HEAD"]);
    assert_eq!(sandbox.git(&["status", "--short"]), "");
    assert_eq!(sandbox.git(&["show", "--format=", "--name-only"]).trim(), PATH);
}

#[test]
fn comments_and_layout_stay() {
    let sandbox = Sandbox::with_repository();
    let text = "\
# Our devices.
apiVersion: bellwether/v1
kind: Enrollment
metadata: {name: factory}
spec:
    tokens:   # one a device
    # The first batch.
    -   id: first
        sha256: \"0000000000000000000000000000000000000000000000000000000000000000\"
        expires: \"2030-01-01T00:00:00Z\"   # a long time

    # Labels come last.
    labels: {fleet: edge}
";
    sandbox.write(PATH, text);
    let ran = sandbox.bellwether(&["token", "mint", "factory", "--id", "second", "--device", "kiosk-7"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let after = sandbox.read(PATH);
    let added: Vec<_> = after.lines().filter(|line| !text.lines().any(|old| old == *line)).collect();
    assert_eq!(added.len(), 4, "{after}");
    assert_eq!((added[0], added[3]), ("    - id: second", "      device: kiosk-7"));
    let rest: Vec<_> = after.lines().filter(|line| !added.contains(line)).collect();
    assert_eq!(rest, text.lines().collect::<Vec<_>>(), "every old line is there, in its order");
    assert!(after.find("a long time").expect("there") < after.find("id: second").expect("there"));
}

#[test]
fn a_layout_that_is_not_understood_is_left_alone() {
    let sandbox = Sandbox::with_repository();
    let flow = sandbox
        .read(PATH)
        .replace("  labels:\n    fleet: edge\n  tokens: []\n", "")
        .replace("spec:\n", "spec: {labels: {fleet: edge}}\n");
    sandbox.write(PATH, &flow);
    let ran = sandbox.bellwether(&["token", "mint", "factory"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("BW-0732"), "{}", ran.err);
    assert_eq!((ran.out.as_str(), sandbox.read(PATH)), ("", flow), "no token is shown that git would not know");
}

#[test]
fn changes_that_are_not_committed_are_not_signed_along() {
    let sandbox = Sandbox::with_repository();
    sandbox.replace(PATH, "fleet: edge", "fleet: edge-2");
    let ran = sandbox.bellwether(&["token", "mint", "factory", "--commit"]);
    assert!(ran.err.contains("BW-0729"), "{}", ran.err);
    assert_eq!(ran.out, "");
}

#[test]
fn many_tokens_are_one_commit() {
    let sandbox = Sandbox::with_repository();
    let ran = sandbox.bellwether(&["token", "mint", "factory", "--count", "20", "--id", "batch", "--commit"]);
    assert_eq!(ran.out.lines().count(), 20, "{}", ran.err);
    assert_eq!(sandbox.git(&["rev-list", "--count", "HEAD"]).trim(), "2");
    assert!(sandbox.read(PATH).contains("id: batch-20"));
    let again = sandbox.bellwether(&["token", "mint", "factory", "--id", "batch-20"]);
    assert!(again.err.contains("BW-0734"), "{}", again.err);
}

#[test]
fn a_second_token_for_a_device_says_how_to_enroll_it_again() {
    let sandbox = Sandbox::with_repository();
    assert_eq!(sandbox.bellwether(&["token", "mint", "factory", "--device", "kiosk-7", "--id", "first"]).code, Some(0));
    let ran = sandbox.bellwether(&["token", "mint", "factory", "--device", "kiosk-7"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("BW-0734") && ran.err.contains("first") && ran.err.contains("delete"), "{}", ran.err);
}
