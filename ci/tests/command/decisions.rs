//! `approve`, `hold` and `device resume` write files that `validate` accepts, and commit exactly those.

use crate::Sandbox;

#[test]
fn an_approval_names_the_newest_commit() {
    let sandbox = Sandbox::with_repository();
    let head = sandbox.git(&["rev-parse", "HEAD"]);
    let ran = sandbox.bellwether(&["approve", "edge", "rest", "--reason", "well: \"so far\"", "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let path = sandbox.git(&["show", "--format=", "--name-only"]);
    assert!(sandbox.read(path.trim()).contains(head.trim()));
    sandbox.git(&["verify-commit", "HEAD"]);
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));

    let first = ["approve", "edge", "canary", "--reason", "x", "--commit-id", "HEAD~1"];
    let ran = sandbox.bellwether(&first);
    assert!(ran.code == Some(0) && ran.out.contains(head.trim()), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("has no gate"), "{}", ran.err);

    let unknown = sandbox.bellwether(&["approve", "edge", "west", "--reason", "x"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("BW-0733") && unknown.err.contains("canary, rest"), "{}", unknown.err);
}

#[test]
fn a_hold_is_there_until_it_is_released() {
    let sandbox = Sandbox::with_repository();
    assert_eq!(sandbox.bellwether(&["hold", "edge", "--reason", "odd", "--commit"]).code, Some(0));
    assert_eq!(sandbox.bellwether(&["hold", "--all", "--reason", "power cut", "--commit"]).code, Some(0));
    assert_eq!(sandbox.bellwether(&["hold", "edge", "--reason", "again"]).code, Some(1), "never overwritten");
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));
    let released = sandbox.bellwether(&["hold", "edge", "--release", "--commit"]);
    assert_eq!(released.code, Some(0), "{}", released.err);
    assert_eq!(sandbox.git(&["ls-files", "holds"]).trim(), "holds/hold-all.yaml");
    assert_eq!(sandbox.git(&["status", "--short"]), "");
}

#[test]
fn a_resume_names_commits_or_devices() {
    let sandbox = Sandbox::with_repository();
    let missing = "a".repeat(40);
    let ran = sandbox.bellwether(&["device", "resume", "--all", "--over", &missing, "--reason", "reset"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let ran = sandbox.bellwether(&["device", "resume", "kiosk-7", "--reason", "disk was copied"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));
    let nothing = sandbox.bellwether(&["device", "resume", "--all", "--reason", "x"]);
    assert_eq!(nothing.code, Some(2), "{}", nothing.err);
}

#[test]
fn other_changes_stay_out_of_the_commit() {
    let sandbox = Sandbox::with_repository();
    sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Later");
    sandbox.write("files/staged.txt", "staged\n");
    sandbox.git(&["add", "files/staged.txt"]);
    assert_eq!(sandbox.bellwether(&["hold", "edge", "--reason", "odd", "--commit"]).code, Some(0));
    assert_eq!(sandbox.git(&["show", "--format=", "--name-only"]).trim(), "holds/hold-edge.yaml");
    assert_eq!(sandbox.git(&["status", "--short"]), "A  files/staged.txt\n M fleets/edge.yaml\n");
}
