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
    for (arguments, says) in [
        (&["--all"][..], "--all needs --over"),
        (&["--selector", "site=kiel"], "--selector needs --over"),
        (&["--field-selector", "fleet=edge", "--over", &missing], "--field-selector needs --server"),
    ] {
        let ran = sandbox.bellwether(&[&["device", "resume", "--reason", "x"], arguments].concat());
        assert!(ran.code == Some(2) && ran.err.contains("BW-0720") && ran.err.contains(says), "{}", ran.err);
    }
}

#[test]
fn a_resume_by_label_says_what_the_selector_says() {
    let sandbox = Sandbox::with_repository();
    let missing = "a".repeat(40);
    let selector = "site=kiel,ring!=canary,env in (a,b),env notin (c),has,!gone";
    let resume = |selector: &str| {
        let arguments = ["device", "resume", "--selector", selector, "--over", &missing, "--reason", "reset"];
        sandbox.bellwether(&arguments)
    };
    let ran = resume(selector);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let text = sandbox.read("resumes/resume-aaaaaaa.yaml");
    let manifest = bellwether_schemas::yaml::parse("resumes/resume-aaaaaaa.yaml", text.as_bytes()).expect("valid");
    let bellwether_schemas::manifest::AnyManifest::Resume(manifest) = manifest else { panic!("a Resume: {text}") };
    let expected = bellwether_schemas::select::labels(selector).expect("a selector");
    assert_eq!(manifest.spec.selector, Some(expected), "{text}");
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));

    let wrong = resume("site=kiel,ring>3");
    assert!(wrong.code == Some(2) && wrong.err.contains("BW-0740"), "{}", wrong.err);
    assert!(wrong.err.contains("character 15: found '>'"), "{}", wrong.err);
}

#[test]
fn selectors_are_for_devices_and_read_before_anybody_is_asked() {
    let sandbox = Sandbox::new();
    let nowhere = ["--server", "http://127.0.0.1:9"];
    let get = |arguments: &[&str]| sandbox.bellwether_in(sandbox.dir.path(), &[&["get"], arguments, &nowhere].concat());
    let ran = get(&["fleets", "--selector", "site=kiel"]);
    assert!(ran.code == Some(2) && ran.err.contains("BW-0720"), "{}", ran.err);
    let ran = get(&["devices", "--limit", "5"]);
    assert!(ran.code == Some(2) && ran.err.contains("BW-0720") && ran.err.contains("choose events"), "{}", ran.err);
    let ran = get(&["events", "--limit", "0"]);
    assert!(ran.code == Some(2) && ran.err.contains("BW-0720"), "{}", ran.err);
    let ran = get(&["events", "--device", "edge-1", "--limit", "5"]);
    assert!(ran.code == Some(2) && ran.err.contains("BW-0735"), "{}", ran.err);
    let ran = get(&["devices", "--field-selector", "status.summary.status=Paused"]);
    assert!(ran.code == Some(2) && ran.err.contains("BW-0740") && ran.err.contains("ConflictPaused"), "{}", ran.err);
    let ran = get(&["devices", "--selector", ""]);
    assert!(ran.code == Some(2) && ran.err.contains("it is empty"), "{}", ran.err);
    let ran = get(&["devices", "-l", "site=kiel"]);
    assert!(ran.code == Some(2) && ran.err.contains("BW-0735"), "{}", ran.err);
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
