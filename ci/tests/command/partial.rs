//! One mistake in a file hides no other, and is not told again by what refers to it.

use crate::Sandbox;

/// A fleet with two devices.
fn fleet() -> Sandbox {
    let sandbox = Sandbox::with_repository();
    for (device, ring) in [("edge-1", "ring=canary"), ("edge-2", "ring=rest")] {
        let ran = sandbox.bellwether(&["token", "mint", "factory", "--device", device, "--label", ring]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
    sandbox
}

#[track_caller]
fn told(sandbox: &Sandbox, says: &[&str], problems: usize) {
    let ran = sandbox.bellwether(&["validate"]);
    for text in says {
        assert!(ran.out.contains(text), "expected {text:?} in {}", ran.out);
    }
    assert_eq!(ran.out.matches("--> ").count(), problems, "{}", ran.out);
}

#[test]
fn a_rollout_is_checked_against_a_fleet_with_a_mistake_in_it() {
    let sandbox = fleet();
    sandbox.replace("fleets/edge.yaml", "  vars:", "  vras:");
    told(&sandbox, &["unknown field"], 1);
    sandbox.replace("rollouts/edge.yaml", "ring: canary", "ring: cannary");
    told(
        &sandbox,
        &["unknown field", "no device of the fleet edge has the label ring=cannary", "did you mean canary?"],
        2,
    );
    sandbox.replace("fleets/edge.yaml", "fleet: edge", "fleet: egde");
    told(&sandbox, &["unknown field", "no device that git knows has the label fleet=egde"], 2);
}

#[test]
fn a_wave_is_checked_beside_a_mistake_of_its_rollout() {
    let sandbox = fleet();
    sandbox.replace("rollouts/edge.yaml", "ring: canary", "ring: cannary");
    sandbox.replace("rollouts/edge.yaml", "soak: 15m\n    - name: rest", "soak: 15\n    - name: rest");
    told(&sandbox, &["found the number 15", "ring=cannary"], 2);
}

#[test]
fn what_cannot_be_read_is_not_told_to_be_missing() {
    let sandbox = fleet();
    sandbox.git(&["add", "."]);
    sandbox.git(&["commit", "-qm", "Two devices"]);
    let commit = sandbox.git(&["rev-parse", "HEAD"]);
    let approval = |wave: &str| {
        let head = "apiVersion: bellwether/v1\nkind: Approval\nmetadata: {name: x}\nspec:\n";
        let spec = format!("  fleet: edge\n  commit: {}\n  open: [{wave}]\n  reason: seen\n", commit.trim());
        sandbox.write("approvals/x.yaml", &format!("{head}{spec}"));
    };
    // The wave is none of the default Rollout.
    sandbox.replace("rollouts/edge.yaml", "name: canary", "name: pilot");
    approval("pilot");
    told(&sandbox, &[], 0);
    sandbox.replace("rollouts/edge.yaml", "soak: 15m\n    - name: rest", "soak: 15\n    - name: rest");
    told(&sandbox, &["found the number 15"], 1);
    approval("pliot");
    told(&sandbox, &["found the number 15", "has no wave pliot", "did you mean pilot?"], 2);
    sandbox.replace("enrollments/factory.yaml", "tokens:", "tokans:");
    approval("pilot");
    told(&sandbox, &["found the number 15", "unknown field"], 2);
    // What is left are devices that the fleet does not select.
    let lab = "apiVersion: bellwether/v1\nkind: Enrollment\nmetadata: {name: lab}\nspec: {labels: {fleet: lab}, tokens: []}\n";
    sandbox.write("enrollments/lab.yaml", lab);
    told(&sandbox, &["found the number 15", "unknown field"], 2);
}

#[test]
fn files_and_templates_are_checked_beside_a_mistake_of_their_fleet() {
    let sandbox = fleet();
    let fleet = "fleets/edge.yaml";
    sandbox.replace(fleet, "source: files/about.txt", "source: files/abuot.txt");
    sandbox.replace(fleet, "{{ vars.greeting }}", "{{ vars.greting }}");
    told(&sandbox, &["files/abuot.txt is not a file", "did you mean vars.greeting?"], 2);
    sandbox.replace(fleet, "source: files/abuot.txt", "source: files/abuot.txt\n        mode: 0644");
    told(&sandbox, &["in quotes", "did you mean files/about.txt?", "did you mean vars.greeting?"], 3);
    sandbox.replace(fleet, "    files:", "    files:\n      - {paht: /opt/first, content: first}");
    told(&sandbox, &["did you mean path?", "in quotes", "files/abuot.txt is not", "vars.greeting?"], 4);
    // What the placeholder is to mean may stand in the field that is misspelt.
    sandbox.replace(fleet, "  vars:", "  vras:");
    told(&sandbox, &["did you mean vars?", "did you mean path?", "in quotes", "files/abuot.txt is not"], 4);
}

#[test]
fn every_template_of_a_fleet_is_tried_whatever_is_wrong_with_one_before_it() {
    let sandbox = fleet();
    let more = "    files:\n      - {path: /opt/a, content: \"{{ vars.a }}\"}\n      - {path: /opt/b, content: \"{{ vars.b }}\"}\n";
    sandbox.replace("fleets/edge.yaml", "    files:\n", more);
    told(&sandbox, &["files[0].content", "files[1].content", "has no variable a", "has no variable b"], 2);
}

#[test]
fn a_rollout_is_checked_beside_a_mistake_of_its_own() {
    let sandbox = fleet();
    let rollout = "rollouts/edge.yaml";
    sandbox.replace(rollout, "percent: 100\n      soak: 15m", "percent: 90\n      soak: 15");
    sandbox.replace(rollout, "spec:\n", "spec:\n  after: [cores]\n");
    told(&sandbox, &["found the number 15", "the last wave must have percent: 100", "there is no fleet cores"], 3);
}
