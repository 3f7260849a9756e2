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
    sandbox.bellwether(&["token", "mint", "factory", "--labels", "site=kiel"]);
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

    sandbox.git(&["commit", "-q", "--allow-empty", "--no-gpg-sign", "-m", "Nobody signed this"]);
    let refused = sandbox.bellwether(&["render", "kiosk-7"]);
    assert!(refused.code == Some(1) && refused.err.contains("BW-02"), "{}", refused.err);
    assert_eq!(sandbox.bellwether(&["render", "kiosk-7", "--at", "HEAD~1"]).out, ran.out);
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
