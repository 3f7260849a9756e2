//! Rollouts and policies that ask less than before.

use bellwether_schemas::manifest::{AnyManifest, Rollout, TrustPolicy};

use super::super::loosened::{policy, rollout};
use super::*;
use crate::testing::{PolicyText, manifest};

fn rollout_of(spec: &str) -> Rollout {
    let path = "rollouts/edge.yaml";
    match bellwether_schemas::yaml::parse(path, manifest(path, spec).as_bytes()) {
        Ok(AnyManifest::Rollout(rollout)) => rollout.spec,
        other => panic!("{spec}: {other:?}"),
    }
}

#[test]
fn each_limit_of_a_rollout_that_is_wider_is_told() {
    let canary = "{name: canary, select: {matchLabels: {ring: canary}}, soak: 1h}";
    let rest = "{name: rest, percent: 100}";
    let night = "{start: \"02:00\", duration: 3h}";
    let mut told = String::new();
    let mut compare = |before: &str, after: &str| {
        let (is, was) =
            (rollout(&rollout_of(before), &rollout_of(after)), rollout(&rollout_of(after), &rollout_of(before)));
        writeln!(told, "{before}\n{after}\n  > {}\n  < {}", is.join("; "), was.join("; ")).expect("a String takes it");
    };
    let waves = |waves: &[&str]| format!("{{waves: [{}]}}", waves.join(", "));
    for (before, after) in [
        ("{deviceTimeout: 5m}", "{deviceTimeout: 2h}"),
        ("{retries: 0}", "{retries: 5}"),
        ("{lostAfter: 7d}", "{lostAfter: 1h}"),
        ("{maxInFlight: 10%}", "{}"),
        ("{after: [other]}", "{}"),
        ("{onFailure: revert}", "{}"),
    ] {
        compare(before, after);
    }
    let windows = |windows: &[&str]| format!("{{windows: [{}]}}", windows.join(", "));
    compare(&windows(&[night]), &windows(&["{start: \"03:00\", duration: 1h}"]));
    compare(&windows(&[night]), &windows(&["{start: \"03:00\", duration: 3h}"]));
    compare(&windows(&["{start: \"02:00\", duration: 3h, days: [sat, sun]}"]), &windows(&[night]));
    compare(&waves(&[canary, rest]), &waves(&["{name: first, percent: 50}", canary, rest]));
    compare(&waves(&[canary, rest]), &waves(&[canary, "{name: half, percent: 50}", rest]));
    compare(&waves(&[canary, rest]), &waves(&["{name: pilot, select: {matchLabels: {ring: canary}}, soak: 1h}", rest]));
    compare(&waves(&[canary, rest]), &waves(&["{name: canary, select: {matchLabels: {ring: all}}, soak: 1h}", rest]));
    compare(&waves(&[canary, "{name: half, percent: 50}", rest]), &waves(&["{name: half, percent: 50}", canary, rest]));
    let lax = "{name: canary, percent: 5, maxFailureRate: 50%}";
    compare(&waves(&["{name: canary, percent: 5}", rest]), &waves(&[lax, rest]));
    let strict = "{name: rest, percent: 100, maxFailureRate: 1%}";
    compare(&waves(&[canary, strict]), &waves(&[canary, rest]));
    let at_night = format!("{{name: rest, percent: 100, windows: [{night}]}}");
    compare(&waves(&[canary, &at_night]), &waves(&[canary, rest]));
    insta::assert_snapshot!("each_limit", told);
}

/// A policy of four people with these roles and rules.
fn policy_of(roles: &str, rules: &str) -> TrustPolicy {
    let spec = format!("{{\"roles\": {roles}, \"rules\": {rules}}}");
    let parts: serde_json::Value = serde_json::from_str(&spec).expect("JSON");
    let part = |name: &str| serde_json::from_value(parts[name].clone());
    let known = PolicyText::default().manifest();
    TrustPolicy {
        roles: part("roles").map(|roles| serde_json::from_value(roles).expect("roles")).expect("roles"),
        rules: part("rules").map(|rules| serde_json::from_value(rules).expect("rules")).expect("rules"),
        ..known
    }
}

#[test]
fn a_policy_that_asks_less_at_a_path_is_told_and_one_that_says_it_otherwise_is_not() {
    let roles = r#"{"owners": {"members": ["ada", "bob"]}, "ops": {"members": ["ada"]}}"#;
    let base = policy_of(
        roles,
        r#"[{"paths": ["trust/**"], "role": "owners", "signers": 2}, {"paths": ["fleets/**", "files/**"], "role": "ops"}]"#,
    );
    let mut told = String::new();
    let mut compare = |what: &str, roles: &str, rules: &str| {
        let found = policy(&base, &policy_of(roles, rules));
        writeln!(told, "{what}:\n  {}", found.join("\n  ")).expect("a String takes it");
        found.is_empty()
    };
    let trust = r#"{"paths": ["trust/**"], "role": "owners", "signers": 2}"#;
    let ops = r#"{"paths": ["fleets/**", "files/**"], "role": "ops"}"#;
    let renamed = roles.replace("\"ops\"", "\"operators\"");
    assert!(compare(
        "a role has another name",
        &renamed,
        &format!("[{trust}, {}]", ops.replace("\"ops\"", "\"operators\""))
    ));
    let split = r#"{"paths": ["fleets/**"], "role": "ops"}, {"paths": ["files/**"], "role": "ops"}"#;
    assert!(compare("a rule is split", roles, &format!("[{trust}, {split}]")));
    assert!(compare(
        "more is asked",
        roles,
        &format!("[{trust}, {}]", ops.replace("\"ops\"", "\"owners\", \"signers\": 2"))
    ));
    assert!(!compare("fewer signers", roles, &format!("[{}, {ops}]", trust.replace('2', "1"))));
    assert!(!compare(
        "a new rule for paths that nobody could change",
        roles,
        &format!("[{trust}, {ops}, {{\"paths\": [\"enrollments/**\"], \"role\": \"ops\"}}]")
    ));
    assert!(!compare(
        "one more person",
        &roles.replace(r#""ops": {"members": ["ada""#, r#""ops": {"members": ["ada", "bob""#),
        &format!("[{trust}, {ops}]")
    ));
    assert!(!compare("another role", roles, &format!("[{trust}, {}]", ops.replace("\"ops\"", "\"owners\""))));
    let longer = TrustPolicy { expires: Timestamp::MAX, max_silence: None, ..base.clone() };
    let limited = TrustPolicy { max_silence: Some(bellwether_schemas::Seconds::minutes(60)), ..base.clone() };
    writeln!(told, "times:\n  {}", policy(&limited, &longer).join("\n  ")).expect("a String takes it");
    insta::assert_snapshot!("policies", told);
}

#[test]
fn a_person_with_another_key_neither_left_nor_came() {
    let with = |keys: &[&str]| {
        let mut policy = PolicyText::default().manifest();
        let bob = policy.people.get_mut(&name("bob")).expect("bob is one of them");
        bob.ssh = keys.iter().map(|key| (*key).to_owned()).collect();
        policy
    };
    let told = |before: &[&str], after: &[&str]| policy(&with(before), &with(after)).join("; ");
    let (a, b, c, d) = ("ssh-ed25519 AAAA bob", "ssh-ed25519 BBBB bob", "ssh-ed25519 CCCC", "ssh-ed25519 DDDD");
    assert_eq!(told(&[a], &[b]), "bob has another key");
    assert_eq!(told(&[a], &[a, b]), "bob has 1 more key");
    assert_eq!(told(&[a], &[a, b, c]), "bob has 2 more keys");
    assert_eq!(told(&[a, d], &[b, c]), "bob has 2 other keys");
    assert_eq!(told(&[a, b], &[a]), "", "who has fewer keys is no risk");
    assert_eq!(told(&[a], &["ssh-ed25519 AAAA bob@desk"]), "", "the key is the same");
}

#[test]
fn people_who_count_from_now_on_are_told() {
    let policy_with = |signers: u32, members: &str, bot: bool| {
        let mut policy = PolicyText::default().manifest();
        policy.rules.iter_mut().for_each(|rule| rule.signers = signers);
        let role = policy.roles.values_mut().next().expect("a role");
        role.members = members.split(' ').map(name).collect();
        policy.people.values_mut().for_each(|person| person.bot = bot);
        policy
    };
    let (strict, loose) = (policy_with(2, "ada", true), policy_with(1, "ada bob", false));
    insta::assert_snapshot!("people", policy(&strict, &loose).join("\n"));
    assert_eq!(policy(&loose, &strict), Vec::<String>::new(), "asking more is no risk");
    let rules = r#"[{"paths": ["trust/**"], "role": "ops", "signers": 2}, {"paths": ["files/**"], "role": "ops"}]"#;
    let of = |members: &str| policy_of(&format!(r#"{{"ops": {{"members": [{members}]}}}}"#), rules);
    let two = policy(&of(r#""ada", "robot""#), &of(r#""ada", "robot", "bob""#));
    assert_eq!(two, ["bob counts now for files/**, trust/**"], "who stands under two rules is told once");
    let fewer = TrustPolicy { rules: strict.rules[..1].to_vec(), ..strict.clone() };
    assert_eq!(policy(&strict, &fewer), Vec::<String>::new(), "where no rule is, nobody may change anything");
}
