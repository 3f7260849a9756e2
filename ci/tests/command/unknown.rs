//! Names of devices, labels and days that nobody has, and what `validate` says of them beside.

use crate::Sandbox;
use crate::team::Team;

fn fleet() -> Team {
    let team = Team::of_ada();
    for (device, ring) in [("kiosk-1", "ring=canary"), ("kiosk-2", "ring=rest")] {
        let ran =
            team.ada(&["token", "mint", "factory", "--id", device, "--device", device, "--label", ring, "--commit"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
    team
}

#[track_caller]
fn told(sandbox: &Sandbox, arguments: &[&str], says: &[&str]) -> String {
    let ran = sandbox.bellwether(&[&["validate"], arguments].concat());
    for text in says {
        assert!(ran.out.contains(text), "expected {text:?} in {}{}", ran.out, ran.err);
    }
    ran.out
}

fn device(sandbox: &Sandbox, name: &str) {
    let text = format!(
        "apiVersion: bellwether/v1\nkind: Device\nmetadata: {{name: {name}}}\nspec: {{labels: {{site: kiel}}}}\n"
    );
    sandbox.write(&format!("devices/{name}.yaml"), &text);
}

#[test]
fn a_device_that_nobody_enrolls_is_told() {
    let team = fleet();
    let sandbox = &team.sandbox;
    device(sandbox, "kisok-1");
    told(sandbox, &[], &["warning[BW-0110]: no enrollment names a device kisok-1", "did you mean kiosk-1?"]);
    std::fs::remove_file(sandbox.repository().join("devices/kisok-1.yaml")).expect("it is there");
    for name in ["kiosk-1", "kiosk-3", "factory-0123456789abcdef"] {
        device(sandbox, name);
    }
    let said = told(sandbox, &[], &[]);
    assert!(!said.contains("BW-0110"), "the line of kiosk-3 may have been deleted: {said}");
    let said = told(sandbox, &["--base", "main"], &["no enrollment names a device kiosk-3"]);
    assert_eq!(said.matches("[BW-0110]").count(), 1, "{said}");
    // A line that was deleted is remembered.
    sandbox.git(&["rm", "-q", "--cached", "enrollments/factory.yaml"]);
    std::fs::remove_file(sandbox.repository().join("devices/kiosk-3.yaml")).expect("it is there");
    std::fs::remove_file(sandbox.repository().join("enrollments/factory.yaml")).expect("it is there");
    let said = told(sandbox, &["--base", "main"], &[]);
    assert!(!said.contains("BW-0110"), "{said}");
}

#[test]
fn a_resume_for_a_device_that_is_not_there_is_told() {
    let team = fleet();
    let head = "apiVersion: bellwether/v1\nkind: Resume\nmetadata: {name: x}\nspec:\n";
    let spec = "  devices: [kiosk-1, kisok-2]\n  reason: seen\n";
    team.sandbox.write("resumes/x.yaml", &format!("{head}{spec}"));
    let said = told(&team.sandbox, &[], &["no enrollment names a device kisok-2", "did you mean kiosk-2?"]);
    assert!(!said.contains("device kiosk-1"), "{said}");
}

#[test]
fn labels_that_budgets_and_terms_name_are_looked_for() {
    let team = fleet();
    let sandbox = &team.sandbox;
    sandbox.replace(
        "rollouts/edge.yaml",
        "  deviceTimeout: 30m",
        "  budget: [{by: [rnig], maxUnavailable: 1}]\n  deviceTimeout: 30m",
    );
    told(sandbox, &[], &["warning[BW-0112]: no device of the fleet edge has a label rnig", "did you mean ring?"]);
    sandbox.replace(
        "rollouts/edge.yaml",
        "matchLabels:\n          ring: canary",
        "matchExpressions:\n          - {key: ring, operator: In, values: [cannary]}",
    );
    told(sandbox, &[], &["did you mean canary in place of cannary?"]);
}

#[test]
fn what_belongs_elsewhere_is_told_where() {
    let team = fleet();
    team.sandbox.replace(
        "rollouts/edge.yaml",
        "  deviceTimeout: 30m",
        "  maxUnavailable: 1\n  windows: [{days: [Monday], start: \"02:00\", duration: 1h}]",
    );
    told(&team.sandbox, &[], &["BW-0103", "budget: [{maxUnavailable: 1}]", "did you mean mon?"]);
}

#[test]
fn a_token_of_ones_own_is_a_secret() {
    let team = fleet();
    let minted = team.ada(&["token", "mint", "factory", "--id", "kiosk-3", "--device", "kiosk-3"]);
    let token = minted.out.trim();
    assert_eq!(token.len(), 64, "{token}");
    team.sandbox.write("files/about.txt", &format!("hash: {}\n", "0".repeat(64)));
    assert!(!told(&team.sandbox, &[], &[]).contains("BW-0130"));
    team.sandbox.write("files/about.txt", &format!("token: {token}\n"));
    let said = told(&team.sandbox, &[], &["error[BW-0130]", "files/about.txt:1:8", "its hash is in enrollments/"]);
    assert!(!said.contains(token), "{said}");
}

#[test]
fn one_mistake_of_a_policy_is_told_once() {
    let team = Team::of_ada();
    team.sandbox.replace("trust/policy.yaml", "    admins:\n", "    admin:\n");
    let said = told(&team.sandbox, &[], &["error[BW-0110]", "no role is named admins", "did you mean admin?"]);
    assert_eq!(said.matches("error[").count(), 1, "{said}");
}
