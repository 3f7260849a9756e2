//! The policy: what it must say, and how it may change.

use bellwether_schemas::codes;
use bellwether_schemas::manifest::TrustPolicy;

use super::*;
use crate::verify::Policy;

/// Both rules hold for trust/, and nobody is in both roles.
const NOBODY_IS_IN_BOTH: (&str, &str) = (
    r#"{"owners": {"members": ["ada"]}, "operators": {"members": ["bob"]}}"#,
    r#"[{"paths": ["trust/**"], "role": "owners"}, {"paths": ["**"], "role": "operators"}]"#,
);

fn faults(text: &PolicyText) -> Vec<(Code, String)> {
    match Policy::compile(text.manifest(), None) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.into_iter().map(|fault| (fault.code, fault.why)).collect(),
    }
}

#[track_caller]
fn assert_fault(text: &PolicyText, code: Code, part: &str) {
    let found = faults(text);
    assert!(found.iter().any(|(found, why)| *found == code && why.contains(part)), "{found:?}");
}

/// A policy in which the operators' only rule has this glob.
fn with_glob(glob: &str) -> TrustPolicy {
    let mut manifest = PolicyText::default().manifest();
    manifest.rules[1].paths = vec![glob.to_owned()];
    manifest
}

#[test]
fn globs_match_within_folders_and_across_them() {
    let verdicts = |glob: &str, path: &str| {
        let policy = Policy::compile(with_glob(glob), None).expect("a valid policy");
        policy.check(path, &[&"bob".parse().expect("a name")]).is_ok()
    };
    for (glob, path, matches) in [
        ("fleets/*.yaml", "fleets/a.yaml", true),
        ("fleets/*.yaml", "fleets/a/b.yaml", false),
        ("fleets/?.yaml", "fleets/a.yaml", true),
        ("fleets?a.yaml", "fleets/a.yaml", false),
        ("fleets/**", "fleets/a/b/c", true),
        ("fleets/**", "fleets", false),
        ("fleets/**", "fleetsx/a", false),
        ("**/motd", "motd", true),
        ("**/motd", "files/a/motd", true),
        ("**/motd", "files/xmotd", false),
        ("files/**/motd", "files/motd", true),
        ("files/{a,b}.txt", "files/b.txt", true),
        ("files/{a,b}.txt", "files/c.txt", false),
        ("files/*", "files/.hidden", true),
        ("files/*", "FILES/a", false),
        ("**", "anything/at/all", true),
        ("*", "a/b", false),
    ] {
        assert_eq!(verdicts(glob, path), matches, "{glob} {path}");
    }
}

#[test]
fn globs_that_cannot_be_obeyed_are_refused() {
    for glob in [
        "/fleets/*",
        "fleets/",
        "fleets//a",
        "./fleets",
        "fleets/../trust",
        "fleets**",
        "**x/a",
        "fleets[!a]b",
        "!x",
        "a{b",
        "",
    ] {
        let faults = Policy::compile(with_glob(glob), None).expect_err(glob);
        assert_eq!(faults[0].code, codes::POLICY_INVALID, "{glob} {faults:?}");
    }
}

#[test]
fn a_policy_must_make_sense() {
    let base = PolicyText::default;
    assert_eq!(faults(&base()), []);
    assert_fault(&PolicyText { version: 0, ..base() }, codes::POLICY_INVALID, "");
    assert_fault(&PolicyText { bob: key_line(ADA), ..base() }, codes::POLICY_INVALID, "stands at ada and at bob");
    assert_fault(&PolicyText { bob: "ssh-ed25519 AAAA".into(), ..base() }, codes::POLICY_INVALID, "a key of bob");
    let roles = r#"{"owners": {"members": ["ada", "eve"]}, "operators": {"members": ["bob"]}}"#;
    assert_fault(&PolicyText { roles, ..base() }, codes::POLICY_INVALID, "names eve");
    let roles = r#"{"owners": {"members": ["ada", "ada"]}, "operators": {"members": ["bob"]}}"#;
    assert_fault(&PolicyText { roles, ..base() }, codes::POLICY_INVALID, "names ada twice");
    let rules = r#"[{"paths": ["trust/**"], "role": "nobody"}]"#;
    assert_fault(&PolicyText { rules, ..base() }, codes::POLICY_INVALID, "role nobody");
    let rules = r#"[{"paths": ["trust/**"], "role": "owners", "signers": 0}]"#;
    assert_fault(&PolicyText { rules, ..base() }, codes::POLICY_INVALID, "signers is 0");
}

#[test]
fn keys_that_cannot_count_are_refused() {
    // The neutral element: every message has a signature by it that a lax verifier takes.
    let weak = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let cases = [
        (weak, "weak"),
        (include_str!("../testdata/rsa-2048.pub").trim_end(), "2048 bits"),
        (include_str!("../testdata/ecdsa-p521.pub").trim_end(), "P-521"),
    ];
    for (key, part) in cases {
        assert_fault(&PolicyText { bob: key.to_owned(), ..PolicyText::default() }, codes::POLICY_INVALID, part);
    }
}

#[test]
fn a_policy_that_nobody_could_change_is_refused() {
    for (roles, rules) in [
        (r#"{"owners": {"members": []}, "operators": {"members": ["ada"]}}"#, PolicyText::default().rules),
        (r#"{"owners": {"members": ["robot"]}, "operators": {"members": ["ada"]}}"#, PolicyText::default().rules),
        (PolicyText::default().roles, r#"[{"paths": ["fleets/**"], "role": "operators"}]"#),
        // Two must sign, and of the two members one is a bot.
        (
            r#"{"owners": {"members": ["ada", "robot"]}, "operators": {"members": ["ada"]}}"#,
            r#"[{"paths": ["trust/**"], "role": "owners", "signers": 2}]"#,
        ),
    ] {
        assert_fault(&PolicyText { roles, rules, ..PolicyText::default() }, codes::POLICY_LOCKOUT, "too few");
    }
    // Two rules that nobody fulfils alone: one writes the change, the other merges it.
    let (roles, rules) = NOBODY_IS_IN_BOTH;
    assert_eq!(faults(&PolicyText { roles, rules, ..PolicyText::default() }), []);
}

#[test]
fn the_old_policy_judges_the_change_and_the_new_one_what_follows() {
    let (mut repository, mut history, first) = Repository::introduced();
    // Bob is in no role of the old policy for trust/, though the new one would allow it.
    let roles = r#"{"owners": {"members": ["ada", "bob"]}, "operators": {"members": ["ada"]}}"#;
    repository.put("trust/policy.yaml", PolicyText { version: 2, roles, ..PolicyText::default() }.text());
    let by_bob = repository.commit(&[*first.id()], Some(BOB));
    assert_refused(&history.advance(&repository.objects, &by_bob, NOW), codes::SIGNER_NOT_IN_ROLE);
    let by_ada = repository.commit(&[*first.id()], Some(ADA));
    repository.put(FLEET, "v2");
    let next = repository.commit(&[by_ada], Some(BOB));
    let advanced = history.advance(&repository.objects, &next, NOW);
    assert_eq!(advanced.landings.len(), 1);
    assert!(
        matches!(&advanced.stop, Some(Stop::Refused(r)) if r.code == codes::SIGNER_NOT_IN_ROLE && r.commit == next)
    );
    assert_eq!((history.head(), history.policy().version()), (&by_ada, 2));
    assert_eq!(advanced.landings[0].policy_version(), 2);
}

#[test]
fn a_policy_changes_only_into_a_valid_newer_one_for_this_branch() {
    let (mut repository, mut history, first) = Repository::introduced();
    let mut refused = |text: String, code| {
        repository.put("trust/policy.yaml", text);
        let commit = repository.commit(&[*first.id()], Some(ADA));
        assert_refused(&history.advance(&repository.objects, &commit, NOW), code);
    };
    let base = || PolicyText { version: 2, ..PolicyText::default() };
    refused(format!("{}# a note\n", PolicyText::default().text()), codes::POLICY_VERSION);
    refused(PolicyText { version: 0, ..base() }.text(), codes::POLICY_INVALID);
    refused("not: a policy".to_owned(), codes::POLICY_INVALID);
    refused(PolicyText { branch: "staging", ..base() }.text(), codes::POLICY_BRANCH);
    let rules = r#"[{"paths": ["trust/**"], "role": "owners", "signers": 2}]"#;
    refused(PolicyText { rules, ..base() }.text(), codes::POLICY_LOCKOUT);
}

#[test]
fn expiry_holds_the_head_until_a_renewal_and_never_looks_back() {
    let text = PolicyText { expires: "2027-01-01T00:00:00Z", ..PolicyText::default() };
    let (mut repository, history, first) = Repository::introduced_with(&text);
    let (before, after) = (text.expires.parse().expect("a time"), NOW);
    assert!(before < after);
    repository.put(FLEET, "v2");
    let second = repository.commit(&[*first.id()], Some(BOB));
    let instant_before = before - jiff::SignedDuration::from_nanos(1);
    assert_accepted(&history.clone().advance(&repository.objects, &second, instant_before), &[second]);
    assert_refused(&history.clone().advance(&repository.objects, &second, before), codes::POLICY_EXPIRED);

    repository.put("trust/policy.yaml", PolicyText { version: 2, ..PolicyText::default() }.text());
    let renewal = repository.commit(&[second], Some(ADA));
    assert_accepted(&history.clone().advance(&repository.objects, &renewal, after), &[second, renewal]);

    // What was accepted stays accepted when it is verified again later.
    let introduction = history.introduction();
    let (restored, landings) =
        VerifiedHistory::restore(&repository.objects, introduction, "main", &second).expect("no clock is asked");
    assert_eq!((restored.head(), landings.len()), (&second, 2));
}

#[test]
fn an_expired_policy_holds_landings_before_a_refusal_too() {
    let text = PolicyText { expires: "2027-01-01T00:00:00Z", ..PolicyText::default() };
    let (mut repository, mut history, first) = Repository::introduced_with(&text);
    repository.put(FLEET, "v2");
    let second = repository.commit(&[*first.id()], Some(BOB));
    repository.put(FLEET, "v3");
    let unsigned = repository.commit(&[second], None);
    let advanced = history.advance(&repository.objects, &unsigned, NOW);
    let refusal = assert_refused(&advanced, codes::POLICY_EXPIRED);
    assert!(refusal.why.contains("not signed"), "{}", refusal.why);
}
