//! Files that are no manifests: what should be one and lies where nobody reads it, and secrets wherever they stand.

use crate::Sandbox;

#[test]
fn a_manifest_in_a_misspelt_folder_is_told_with_the_right_one() {
    let sandbox = Sandbox::with_repository();
    let text = std::fs::read_to_string(sandbox.repository().join("rollouts/edge.yaml")).expect("it is there");
    let validated = || sandbox.bellwether(&["validate"]).out;
    // Of a folder that has almost the name of one that is read, also what git does not have yet.
    sandbox.write("rollout/kiosk.yaml", &text);
    let told = validated();
    for says in [
        "warning[BW-0134]: this Rollout counts",
        "--> rollout/kiosk.yaml",
        "mv -n rollout/kiosk.yaml rollouts/kiosk.yaml",
    ] {
        assert!(told.contains(says), "{told}");
    }
    sandbox.write("old/edge.yaml", &text);
    sandbox.write("files/edge.yaml", &text);
    sandbox.write(".github/workflows/ci.yaml", "on: push\n");
    assert_eq!(validated().matches("BW-0134]").count(), 1, "{}", validated());
    sandbox.git(&["add", "."]);
    let told = validated();
    assert!(told.contains("--> old/edge.yaml") && told.matches("BW-0134]").count() == 2, "{told}");
}

#[test]
fn secrets_are_found_in_every_file_that_git_lists() {
    let sandbox = Sandbox::with_repository();
    // In pieces, so that this file has none.
    let key = ["aws_secret_access_key = A1b2C3d4E5f6G7h8I9j0", "K1l2M3n4O5p6Q7r8S9t0\n"].concat();
    sandbox.write("ops/credentials", &format!("[default]\n{key}"));
    let validated = || sandbox.bellwether(&["validate"]).out;
    assert!(!validated().contains("BW-0130"), "nobody added it");
    sandbox.git(&["add", "."]);
    let told = validated();
    assert!(told.contains("found what looks like an AWS secret key") && told.contains("ops/credentials:2:1"), "{told}");
    assert_eq!(told.matches("BW-0130]").count(), 1, "{told}");
}
