//! `fmt` changes layouts, and leaves alone what it cannot vouch for.

use crate::Sandbox;

const ROLLOUT: &str = "# How fast.
apiVersion: bellwether/v1
kind: Rollout
metadata: { name: edge }
spec:
    waves:
    - name: canary   # first
      percent: 10


    # The rest.
    - {name: rest, percent: 100,   gate: manual}
";

const FORMATTED: &str = "# How fast.
apiVersion: bellwether/v1
kind: Rollout
metadata: {name: edge}
spec:
  waves:
    - name: canary # first
      percent: 10

    # The rest.
    - {name: rest, percent: 100, gate: manual}
";

#[test]
fn what_init_writes_has_the_layout_and_what_has_not_gets_it() {
    let sandbox = Sandbox::with_repository();
    let ran = sandbox.bellwether(&["fmt", "--check"]);
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (Some(0), "", "3 manifests are in the layout already.\n")
    );

    sandbox.write("rollouts/edge.yaml", ROLLOUT);
    let ran = sandbox.bellwether(&["fmt", "--check"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert_eq!(
        ran.err,
        "error[BW-0742]: 1 file would change: rollouts/edge.yaml\n  hint: Bring them into the layout, and commit that: \
         bellwether fmt\n"
    );
    let named = sandbox.bellwether(&["fmt", "--check", "rollouts", "fleets/edge.yaml"]);
    assert!(named.err.ends_with("bellwether fmt rollouts fleets/edge.yaml\n"), "{}", named.err);
    assert!(ran.out.contains("-metadata: { name: edge }\n+metadata: {name: edge}\n"), "{}", ran.out);
    assert_eq!(sandbox.read("rollouts/edge.yaml"), ROLLOUT, "--check writes nothing");

    assert_eq!(sandbox.bellwether(&["fmt", "fleets"]).code, Some(0));
    assert_eq!(sandbox.read("rollouts/edge.yaml"), ROLLOUT, "only what was named");
    let ran = sandbox.bellwether_in(&sandbox.repository().join("rollouts"), &["fmt", "edge.yaml", "--output", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let document: serde_json::Value = serde_json::from_str(&ran.out).expect("one document");
    assert!(document["changed"][0] == "rollouts/edge.yaml" && document["written"] == true, "{document}");
    assert_eq!(sandbox.read("rollouts/edge.yaml"), FORMATTED);
    assert_eq!(sandbox.bellwether(&["fmt", "--check"]).code, Some(0));
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));
}

#[test]
fn the_policy_is_formatted_only_when_it_is_named() {
    let sandbox = Sandbox::with_repository();
    let text = sandbox.read("trust/policy.yaml").replace("metadata:\n  name: policy", "metadata: { name: policy }");
    sandbox.write("trust/policy.yaml", &text);
    assert_eq!(sandbox.bellwether(&["fmt", "--check"]).code, Some(0));
    let ran = sandbox.bellwether(&["fmt", "trust/policy.yaml"]);
    assert!(ran.code == Some(0) && ran.err.contains("Raise version in trust/policy.yaml"), "{}", ran.err);
    assert!(sandbox.read("trust/policy.yaml").contains("metadata: {name: policy}"));
}

#[test]
fn what_is_not_valid_or_would_change_is_told_and_stays() {
    let sandbox = Sandbox::with_repository();
    let wrong = ROLLOUT.replace("percent: 10\n", "percnt: 10\n");
    sandbox.write("rollouts/edge.yaml", &wrong);
    let kept =
        "apiVersion: bellwether/v1\nkind: Hold\nmetadata: { name: h }\nspec:\n  all: true\n  reason: |+\n    odd\n\n\n";
    sandbox.write("holds/h.yaml", kept);
    sandbox.replace("fleets/edge.yaml", "metadata:\n  name: edge", "metadata: { name: edge }");
    let ran = sandbox.bellwether(&["fmt"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("rollouts/edge.yaml:8:7: error[BW-0103]"), "{}", ran.out);
    assert!(ran.out.contains("holds/h.yaml: warning[BW-0732]: stays as it is: a value"), "{}", ran.out);
    assert!(ran.err.contains("1 of 4 manifests is not valid, and stays as it is"), "{}", ran.err);
    assert_eq!((sandbox.read("rollouts/edge.yaml"), sandbox.read("holds/h.yaml")), (wrong, kept.to_owned()));
    assert!(sandbox.read("fleets/edge.yaml").contains("metadata: {name: edge}"), "the others are formatted");
    for (path, code, says) in
        [("../key", 2, "is not in the repository"), ("nowhere", 2, "is not in"), ("files", 1, "has no manifests")]
    {
        let ran = sandbox.bellwether(&["fmt", path]);
        assert!(ran.code == Some(code) && ran.err.contains(says), "{path}: {}", ran.err);
    }
}
