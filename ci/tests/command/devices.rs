//! `device approve` and `device revoke`: an edit that keeps what is there, and a refusal of what is likely a mistake.

use crate::Sandbox;

const FINGERPRINT: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const PATH: &str = "enrollments/factory.yaml";

#[test]
fn a_key_is_approved_in_the_enrollment_and_committed() {
    let sandbox = Sandbox::with_repository();
    let approve = |more: &[&str]| {
        sandbox.bellwether(&[&["device", "approve", FINGERPRINT, "--enrollment", "factory"], more].concat())
    };
    let before = sandbox.read(PATH);
    let ran = approve(&["--label", "ring=canary", "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let after = sandbox.read(PATH);
    let added: Vec<_> = after.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
    let expected = [
        "  approved:",
        "    - id: k-ba7816bf8f01",
        &format!("      fingerprint: \"{FINGERPRINT}\""),
        "      device: factory-ba7816bf8f01cfea",
        "      labels:",
        "        ring: canary",
    ];
    assert_eq!(added, expected);
    assert!(before.lines().all(|line| after.lines().any(|new| new == line)), "nothing else changed: {after}");
    assert_eq!(
        ran.out.lines().filter(|line| line.starts_with('-')).count(),
        1,
        "only what it adds is shown, below the name of the file: {}",
        ran.out
    );
    sandbox.git(&["verify-commit", "HEAD"]);
    assert!(sandbox.git(&["log", "-1", "--format=%B"]).contains(FINGERPRINT));
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));

    let again = approve(&[]);
    assert!(again.code == Some(1) && again.err.contains("BW-0734"), "{}", again.err);
}

#[test]
fn what_is_no_whole_fingerprint_or_names_a_device_twice_is_refused() {
    let sandbox = Sandbox::with_repository();
    let upper = FINGERPRINT.to_uppercase();
    for short in [&FINGERPRINT[..16], "", &upper] {
        let ran = sandbox.bellwether(&["device", "approve", short, "--enrollment", "factory"]);
        assert_eq!(ran.code, Some(2), "{short}: {}", ran.err);
    }
    sandbox.bellwether(&["token", "mint", "factory", "--device", "kiosk-7", "--label", "site=kiel"]);
    let approve = |more: &[&str]| {
        let command = ["device", "approve", FINGERPRINT, "--enrollment", "factory", "--device", "kiosk-7"];
        sandbox.bellwether(&[&command, more].concat())
    };
    let ran = approve(&[]);
    assert!(ran.code == Some(1) && ran.err.contains("--replace"), "{}", ran.err);
    let ran = approve(&["--replace"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let after = sandbox.read(PATH);
    assert!(after.contains("tokens: []") && after.contains("site: kiel"), "{after}");
    let ran = sandbox.bellwether(&["device", "approve", &"0".repeat(64), "--enrollment", "nowhere"]);
    assert!(ran.code == Some(1) && ran.err.contains("nowhere.yaml"), "{}", ran.err);
}

#[test]
fn a_device_is_revoked_and_let_in_again_and_its_manifest_stays_as_it_was() {
    let sandbox = Sandbox::with_repository();
    let revoke = |device: &str, more: &[&str]| {
        sandbox.bellwether(&[&["device", "revoke", device, "--reason", "stolen"], more].concat())
    };
    let ran = revoke("kiosk-7", &["--commit"]);
    assert!(ran.code == Some(1) && ran.err.contains("know no device"), "a misspelt name shuts nobody out: {}", ran.err);
    sandbox.bellwether(&["token", "mint", "factory", "--device", "kiosk-7", "--commit"]);
    let ran = revoke("kiosk-7", &["--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let path = "devices/kiosk-7.yaml";
    assert!(sandbox.read(path).contains("spec:\n  revoked: true\n"), "{}", sandbox.read(path));
    assert!(sandbox.git(&["log", "-1", "--format=%B"]).contains("stolen"));
    assert!(revoke("kiosk-7", &[]).err.contains("BW-0734"), "it is said already");
    assert_eq!(revoke("kiosk-7", &["--undo", "--commit"]).code, Some(0));
    assert!(sandbox.read(path).contains("  revoked: false\n"));

    let text = "# The one in Kiel.\napiVersion: bellwether/v1\nkind: Device\nmetadata: {name: kiosk-8}\nspec:\n  \
                labels: {site: kiel}   # harbour\n";
    sandbox.write("devices/kiosk-8.yaml", text);
    assert_eq!(revoke("kiosk-8", &[]).code, Some(0));
    assert_eq!(sandbox.read("devices/kiosk-8.yaml"), text.to_owned() + "  revoked: true\n");
    sandbox.write(
        "devices/kiosk-9.yaml",
        &text.replace("kiosk-8", "kiosk-9").replace("spec:\n  labels: {site: kiel}", "spec: {}"),
    );
    assert_eq!(revoke("kiosk-9", &[]).code, Some(0));
    assert!(sandbox.read("devices/kiosk-9.yaml").contains("spec: {revoked: true}   # harbour"));

    // Names that are made, of devices that no manifest names; and whoever is sure.
    assert_eq!(revoke("factory-0123456789abcdef", &[]).code, Some(0));
    assert_eq!(revoke("nowhere-0123456789abcdef", &[]).code, Some(1));
    assert_eq!(revoke("long-gone", &["--unlisted"]).code, Some(0));
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));
}

#[test]
fn a_device_is_pinned_to_a_commit_and_follows_its_fleet_again() {
    let sandbox = Sandbox::with_repository();
    sandbox.bellwether(&["token", "mint", "factory", "--device", "kiosk-7", "--commit"]);
    let pin = |device: &str, more: &[&str]| {
        sandbox.bellwether(&[&["device", "pin", device, "--reason", "a fair"], more].concat())
    };
    let commits = sandbox.git(&["log", "--format=%H"]);
    let [newest, first] = commits.lines().collect::<Vec<_>>()[..] else { panic!("{commits}") };
    let path = "devices/kiosk-7.yaml";
    assert_eq!(pin("kiosk-7", &["--commit"]).code, Some(0));
    assert!(
        sandbox.read(path).ends_with(&format!("spec:\n  pin: {{commit: \"{newest}\"}}\n")),
        "{}",
        sandbox.read(path)
    );
    assert!(pin("kiosk-7", &[newest]).err.contains("BW-0734"), "it is pinned to it already");
    let ran = pin("kiosk-7", &[first, "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(sandbox.read(path).contains(first) && !sandbox.read(path).contains(newest), "{}", sandbox.read(path));
    assert_eq!(sandbox.git(&["log", "-1", "--format=%B"]).trim(), format!("Pin kiosk-7 to {}\n\na fair", &first[..7]));
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));
    let ran = pin("kiosk-7", &["--unpin", "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(sandbox.read(path).ends_with("spec:\n  {}\n"), "{}", sandbox.read(path));
    assert_eq!(sandbox.git(&["log", "-1", "--format=%s"]).trim(), "Unpin kiosk-7");

    let text = "apiVersion: bellwether/v1\nkind: Device\nmetadata: {name: kiosk-8}\nspec:\n  # Of the fair.\n  pin:\n    \
                commit: COMMIT  # before the fair\n  labels: {site: kiel}\n";
    sandbox.write("devices/kiosk-8.yaml", &text.replace("COMMIT", first));
    assert_eq!(pin("kiosk-8", &["HEAD~2"]).code, Some(0));
    let third = sandbox.git(&["rev-parse", "HEAD~2"]);
    assert_eq!(sandbox.read("devices/kiosk-8.yaml"), text.replace("COMMIT", &format!("\"{}\"", third.trim())));
    assert_eq!(pin("kiosk-8", &["--unpin"]).code, Some(0));
    let left = "spec:\n  # Of the fair.\n  labels: {site: kiel}\n";
    assert!(sandbox.read("devices/kiosk-8.yaml").ends_with(left), "{}", sandbox.read("devices/kiosk-8.yaml"));

    for (device, more, code, says) in [
        ("kiosk-8", &["--unpin"][..], 1, "devices/kiosk-8.yaml has no pin"),
        ("kiosk-9", &["--unpin"], 1, "there is no devices/kiosk-9.yaml"),
        ("kiosk-9", &[], 1, "know no device kiosk-9"),
        ("kiosk-8", &["nowhere"], 2, "nowhere names no commit"),
        ("kiosk-8", &["HEAD", "--unpin"], 2, "cannot be used with"),
    ] {
        let ran = pin(device, more);
        assert!(ran.code == Some(code) && ran.err.contains(says), "{device} {more:?}: {}", ran.err);
    }
    assert_eq!(pin("kiosk-9", &["--unlisted"]).code, Some(0));
}

#[test]
fn validate_tells_of_entries_that_would_not_be_taken() {
    let sandbox = Sandbox::with_repository();
    let entries = format!("  approved:\n    - {{id: k1, fingerprint: {FINGERPRINT}, device: kiosk-1}}\n");
    sandbox.bellwether(&["token", "mint", "factory", "--id", "t1", "--device", "kiosk-7"]);
    sandbox.write(PATH, &(sandbox.read(PATH) + &entries));
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));
    sandbox.git(&["add", "--all"]);
    sandbox.git(&["-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "-qm", "Entries", "--no-gpg-sign"]);
    sandbox.replace(PATH, FINGERPRINT, &"0".repeat(64));
    let ran = sandbox.bellwether(&["validate"]);
    assert!(
        ran.code == Some(1) && ran.out.contains("BW-0326") && ran.out.contains("entry k1"),
        "{}{}",
        ran.out,
        ran.err
    );
    sandbox.replace(PATH, &"0".repeat(64), FINGERPRINT);

    let other = format!("apiVersion: bellwether/v1\nkind: Enrollment\nmetadata:\n  name: other\nspec:\n{entries}");
    sandbox.write("enrollments/other.yaml", &other.replace("kiosk-1", "kiosk-7"));
    let ran = sandbox.bellwether(&["validate"]);
    assert!(ran.code == Some(1) && ran.out.contains("kiosk-7 is named in enrollments/factory.yaml"), "{}", ran.out);
}

#[test]
fn a_reason_is_in_the_command_that_commits_what_was_not_committed() {
    let sandbox = Sandbox::with_repository();
    let reason = "It's $HOME's display; it \"flickers\"";
    for verb in ["pin", "revoke", "decommission"] {
        let ran = sandbox.bellwether(&["device", verb, "kiosk-7", "--unlisted", "--reason", reason]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let (_, command) = ran.err.split_once("and pushed: ").expect("it says how to commit it");
        let (commit, _) = command.split_once(" && git push").expect("it ends by a push");
        let done = sandbox.program("sh", &["-c", commit], &sandbox.repository());
        assert!(done.status.success(), "{commit}: {done:?}");
        let message = sandbox.git(&["log", "-1", "--format=%B"]);
        assert!(message.contains(" kiosk-7") && message.ends_with(&format!("\n\n{reason}\n\n")), "{message:?}");
        assert_eq!(sandbox.git(&["status", "--short"]), "");
    }
    let hold = |more: &[&str]| sandbox.bellwether(&[&["hold", "edge", "--commit", "--reason"], more].concat());
    assert_eq!(hold(&["odd readings"]).code, Some(0));
    assert_eq!(hold(&["a sensor was wet", "--release"]).code, Some(0));
    assert!(sandbox.git(&["log", "-1", "--format=%B"]).contains("\n\na sensor was wet\n"), "of a release, too");
}
