//! `validate`, `render` and `explain`.

use bellwether_schemas::Sha256Digest;

use crate::Sandbox;

#[test]
fn the_template_has_no_problems() {
    let ran = Sandbox::with_repository().bellwether(&["validate"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "4 manifests, no problems.\n", ""));
}

#[test]
fn every_mistake_is_shown_with_its_place() {
    let sandbox = Sandbox::with_repository();
    sandbox.replace("fleets/edge.yaml", "source: files/about.txt", "source: files/abuot.txt");
    sandbox.replace("rollouts/edge.yaml", "soak: 15m", "soka: 15m");
    sandbox.write(
        "holds/stop.yaml",
        "apiVersion: bellwether/v1\nkind: Hold\nmetadata: {name: stop}\nspec: {fleets: [egde], reason: x}\n",
    );
    sandbox.write("holds/notes.txt", "not a manifest\n");
    let ran = sandbox.bellwether(&["validate"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(format!("{}--\n{}", ran.out, ran.err));

    let one = sandbox.bellwether(&["validate", "holds/stop.yaml", "--output", "json"]);
    let said: serde_json::Value = serde_json::from_str(&one.out).expect("JSON");
    assert_eq!(said["problems"].as_array().map(Vec::len), Some(1), "{said}");
    assert_eq!(said["problems"][0]["code"], "BW-0110");
}

#[test]
fn what_is_no_manifest_is_an_error_that_says_what_happens() {
    let sandbox = Sandbox::with_repository();
    for harmless in ["fleets/README.md", "holds/.gitkeep", "fleets/.edge.yaml.swp", "holds/stop.yaml~"] {
        sandbox.write(harmless, "x\n");
    }
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));
    sandbox.git(&["add", "--force", "fleets/.edge.yaml.swp"]);
    let manifest = "apiVersion: bellwether/v1\nkind: Hold\nmetadata: {name: stop}\nspec: {all: true, reason: x}\n";
    sandbox.write("holds/stop.yml", manifest);
    sandbox.write("holds/2026/march.yaml", manifest);
    sandbox.write("fleets/other.yml", "x\n");
    std::os::unix::fs::symlink("edge.yaml", sandbox.repository().join("fleets/link.yaml")).expect("a link");
    let ran = sandbox.bellwether(&["validate"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.out);
}

#[test]
fn files_can_be_named_from_wherever_one_stands() {
    let sandbox = Sandbox::with_repository();
    sandbox.replace("rollouts/edge.yaml", "soak: 15m", "soka: 15m");
    let fleets = sandbox.repository().join("fleets");
    let absolute = sandbox.repository().join("rollouts/edge.yaml");
    for (path, code) in [
        ("rollouts/edge.yaml", 1),
        ("./rollouts/", 1),
        ("../rollouts/edge.yaml", 1),
        (absolute.to_str().expect("UTF-8"), 1),
        ("..", 1),
        ("edge.yaml", 0),
        ("fleets", 0),
    ] {
        let ran = sandbox.bellwether_in(&fleets, &["validate", path]);
        assert_eq!(ran.code, Some(code), "{path}: {}{}", ran.out, ran.err);
    }
}

#[test]
fn losing_every_fleet_is_an_error() {
    let sandbox = Sandbox::with_repository();
    std::fs::remove_file(sandbox.repository().join("rollouts/edge.yaml")).expect("it is there");
    std::fs::rename(sandbox.repository().join("fleets/edge.yaml"), sandbox.repository().join("edge.yaml"))
        .expect("it is there");
    let ran = sandbox.bellwether(&["validate"]);
    assert!(ran.code == Some(1) && ran.out.contains("BW-0215"), "{}", ran.out);
    sandbox.write("fleets/other.yaml", &sandbox.read("edge.yaml").replace("name: edge", "name: other"));
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));
}

#[test]
fn an_artifact_must_be_what_the_manifest_says() {
    let sandbox = Sandbox::with_repository();
    sandbox.write("artifacts/app.bin", "the app\n");
    let right = Sha256Digest::of(b"the app\n");
    let artifact = |sha256: Sha256Digest| {
        format!(
            "    artifacts:\n      - name: app\n        source: {{path: artifacts/app.bin}}\n        sha256: \"{sha256}\"\n        length: 8\n        dest: /opt/bellwether/app\n    probes:"
        )
    };
    sandbox.replace("fleets/edge.yaml", "    probes:", &artifact(Sha256Digest::of(b"another")));
    let wrong = sandbox.bellwether(&["validate"]);
    assert!(
        wrong.code == Some(1) && wrong.out.contains("BW-0115") && wrong.out.contains(&right.to_string()),
        "{}",
        wrong.out
    );
    sandbox.replace("fleets/edge.yaml", &Sha256Digest::of(b"another").to_string(), &right.to_string());
    let ran = sandbox.bellwether(&["validate"]);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
}

#[test]
fn two_fleets_for_one_device_are_an_overlap() {
    let sandbox = Sandbox::with_repository();
    sandbox.bellwether(&["token", "mint", "factory", "--device", "kiosk-7"]);
    sandbox.write("fleets/other.yaml", &sandbox.read("fleets/edge.yaml").replace("name: edge", "name: other"));
    let ran = sandbox.bellwether(&["validate"]);
    assert!(ran.code == Some(1) && ran.out.contains("BW-0111") && ran.out.contains("kiosk-7"), "{}", ran.out);
}

#[test]
fn templates_are_rendered_for_the_devices_that_git_knows() {
    let sandbox = Sandbox::with_repository();
    sandbox.bellwether(&["token", "mint", "factory", "--device", "kiosk-7"]);
    sandbox.bellwether(&["token", "mint", "factory", "--device", "kiosk-8"]);
    sandbox.bellwether(&["token", "mint", "factory", "--label", "site=kiel"]);
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));

    sandbox.replace("fleets/edge.yaml", "{{ vars.greeting }} from", "{{ labels.site }} from");
    let ran = sandbox.bellwether(&["validate"]);
    assert_eq!(ran.code, Some(1));
    insta::assert_snapshot!(ran.out);

    let device = |name: &str| {
        format!(
            "apiVersion: bellwether/v1\nkind: Device\nmetadata: {{name: {name}}}\nspec: {{labels: {{site: kiel}}}}\n"
        )
    };
    sandbox.write("devices/kiosk-7.yaml", &device("kiosk-7"));
    sandbox.write("devices/kiosk-8.yaml", &device("kiosk-8"));
    let ran = sandbox.bellwether(&["validate"]);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
}

#[test]
fn the_policy_is_judged_as_the_verifier_does() {
    let sandbox = Sandbox::with_repository();
    let policy = sandbox.read("trust/policy.yaml");
    let code = |change: &dyn Fn(&str) -> String| {
        sandbox.write("trust/policy.yaml", &change(&policy));
        let ran = sandbox.bellwether(&["validate", "--output", "json"]);
        let said: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
        (ran.code, said["problems"][0]["code"].as_str().map(str::to_owned))
    };
    let expires = policy.lines().find(|line| line.contains("expires:")).expect("a policy expires").to_owned();
    let found = |exit, code: &str| (Some(exit), Some(code.to_owned()));
    assert_eq!(code(&|text| text.replace("approvals/**", "approvals/[ab]*")), found(1, "BW-0217"), "a class");
    assert_eq!(code(&|text| text.replace("trust/**", "trash/**")), found(1, "BW-0219"), "changed, and not raised");
    assert_eq!(
        code(&|text| text.replace("version: 1", "version: 2").replace(&expires, "  expires: \"2020-01-01T00:00:00Z\"")),
        found(1, "BW-0221")
    );
    assert_eq!(code(&|text| text.replace("version: 1", "version: 2")), (Some(0), None));
    std::fs::remove_file(sandbox.repository().join("trust/policy.yaml")).expect("it is there");
    let ran = sandbox.bellwether(&["validate"]);
    assert!(ran.code == Some(1) && ran.out.contains("BW-0216"), "{}", ran.out);
}

#[test]
fn render_prints_what_the_device_would_get() {
    let sandbox = Sandbox::with_repository();
    sandbox.bellwether(&["token", "mint", "factory", "--device", "kiosk-7", "--commit"]);
    let ran = sandbox.bellwether(&["render", "kiosk-7"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("Hello from kiosk-7."), "{}", ran.out);
    let json = sandbox.bellwether(&["render", "kiosk-7", "--output", "json"]);
    let said: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(said["digest"], Sha256Digest::of(ran.out.as_bytes()).to_string(), "exactly the bytes that are signed");

    sandbox.replace("fleets/edge.yaml", "  template:", "  templat:");
    sandbox.git(&["commit", "-qam", "Break the fleet"]);
    let broken = sandbox.bellwether(&["render", "kiosk-7"]);
    assert_eq!((broken.code, &broken.out), (Some(0), &ran.out), "its newest version that parses counts");
    assert!(broken.err.contains("fleets/edge.yaml"), "{}", broken.err);
    sandbox.git(&["reset", "-q", "--hard", "HEAD~1"]);

    sandbox.git(&["commit", "-q", "--allow-empty", "--no-gpg-sign", "-m", "Nobody signed this"]);
    let refused = sandbox.bellwether(&["render", "kiosk-7"]);
    assert!(refused.code == Some(1) && refused.err.contains("BW-02"), "{}", refused.err);
    assert_eq!(sandbox.bellwether(&["render", "kiosk-7", "--at", "HEAD~1"]).out, ran.out);
    // Engineers and CI stand on branches of their own, or on none.
    sandbox.git(&["checkout", "-q", "-b", "greeting", "HEAD~1"]);
    sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good morning");
    sandbox.git(&["commit", "-qam", "Say good morning"]);
    sandbox.git(&["checkout", "-q", "--detach"]);
    let ran = sandbox.bellwether(&["render", "kiosk-7"]);
    assert!(ran.code == Some(0) && ran.out.contains("Good morning from kiosk-7."), "{}{}", ran.out, ran.err);
}

#[test]
fn render_knows_names_that_enrolling_makes() {
    let sandbox = Sandbox::with_repository();
    let device = "factory-0123456789abcdef";
    sandbox.bellwether(&["token", "mint", "factory", "--id", "plain", "--commit"]);
    sandbox.bellwether(&["token", "mint", "factory", "--id", "kiel", "--label", "fleet=north", "--commit"]);
    sandbox.bellwether(&["token", "mint", "factory", "--id", "named", "--device", "kiosk-7", "--commit"]);
    sandbox.write("fleets/north.yaml", &sandbox.read("fleets/edge.yaml").replace("edge", "north"));
    sandbox.replace("fleets/north.yaml", "greeting: Hello", "greeting: Moin");
    sandbox.git(&["add", "."]);
    sandbox.git(&["commit", "-qm", "A second fleet"]);

    let ran = sandbox.bellwether(&["render", device, "--entry", "plain"]);
    assert!(ran.code == Some(0) && ran.out.contains(&format!("Hello from {device}.")), "{}{}", ran.out, ran.err);
    let ran = sandbox.bellwether(&["render", device, "--entry", "kiel"]);
    assert!(ran.code == Some(0) && ran.out.contains(&format!("Moin from {device}.")), "{}{}", ran.out, ran.err);

    let refused = |arguments: &[&str], exit: i32, expected: &[&str]| {
        let ran = sandbox.bellwether(arguments);
        assert_eq!(ran.code, Some(exit), "{}", ran.err);
        for text in expected {
            assert!(ran.err.contains(text), "{arguments:?}: expected {text:?} in {}", ran.err);
        }
    };
    refused(&["render", device], 2, &["BW-0720", "--entry <ID>", "plain, kiel (fleet=north)"]);
    refused(&["render", device, "--entry", "nothing"], 1, &["BW-0733", "plain, kiel"]);
    refused(&["render", device, "--entry", "named"], 1, &["BW-0332", "kiosk-7", "plain, kiel"]);
    refused(&["render", "kiosk-7", "--entry", "plain"], 2, &["BW-0720", "named"]);
    refused(&["render", "depot-0123456789abcdef"], 1, &["BW-0733", "hexadecimal"]);
    assert_eq!(sandbox.bellwether(&["render", "kiosk-7"]).code, Some(0));
}

#[test]
fn every_code_can_be_explained() {
    let sandbox = Sandbox::with_repository();
    for known in bellwether_schemas::codes::explanations() {
        let ran = sandbox.bellwether(&["explain", &known.code.as_str().to_lowercase()]);
        assert!(ran.code == Some(0) && ran.out.contains(known.title) && ran.out.contains(known.mend), "{}", known.code);
    }
    let ran = sandbox.bellwether(&["explain", "BW-9999"]);
    assert!(ran.code == Some(1) && ran.err.contains("BW-0721"), "{}", ran.err);
}

#[test]
fn a_policy_that_was_deleted_is_to_be_restored_and_not_written_anew() {
    let sandbox = Sandbox::with_repository();
    let policy = sandbox.repository().join("trust/policy.yaml");
    std::fs::remove_file(policy).expect("it is there");
    let told = sandbox.bellwether(&["validate"]).out;
    assert!(told.contains("git restore --source=HEAD --staged --worktree trust/policy.yaml"), "{told}");
    sandbox.git(&["commit", "-qam", "Without a policy"]);
    let base = sandbox.git(&["rev-parse", "--short=7", "HEAD~1"]);
    let told = sandbox.bellwether(&["validate", "--base", "HEAD~1"]).out;
    assert!(told.contains(&format!("git restore --source={} --staged", base.trim())), "{told}");
    assert_eq!(told.matches("error[").count(), 1, "{told}");
}

#[test]
fn a_mistake_of_the_policy_is_told_once_and_where_it_stands() {
    let sandbox = Sandbox::with_repository();
    sandbox.replace("trust/policy.yaml", "version: 1", "version: \"1\"");
    sandbox.git(&["switch", "--quiet", "--create", "two"]);
    sandbox.git(&["commit", "-qam", "Quotes"]);
    let told = sandbox.bellwether(&["validate", "--base", "main"]).out;
    assert!(told.contains("error[BW-0105]") && told.contains("1 error in"), "{told}");
}

#[test]
fn the_summary_names_what_was_asked_about() {
    let sandbox = Sandbox::with_repository();
    sandbox.replace("fleets/edge.yaml", "  vars:", "  vras:");
    let says = |paths: &[&str]| sandbox.bellwether(&[&["validate"], paths].concat()).out;
    assert!(
        says(&["rollouts"]).ends_with("no problems in rollouts (4 manifests were read).\n"),
        "{}",
        says(&["rollouts"])
    );
    let fleet = says(&["fleets/edge.yaml"]);
    assert!(fleet.contains("\n1 error in fleets/edge.yaml (4 manifests were read). More"), "{fleet}");
    assert!(says(&["."]).contains("\n1 error in 4 manifests. More"), "{}", says(&["."]));
}
