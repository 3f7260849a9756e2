//! The examples of `explain`: each is made in a new repository, found by `validate` or told by `diff`, mended, and found no more.

use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether_schemas::codes::{self, Code};

use crate::Sandbox;
use crate::mistake::Mistake;

/// What `validate` finds besides BW-01xx, and `diff` tells besides BW-08xx: by its own checks, by those of manifests, and by the verifier.
const FOUND_BESIDES_MANIFESTS: &[Code] = &[
    // In the working copy.
    codes::EVERY_FLEET_LOST,
    codes::POLICY_MISSING,
    codes::POLICY_INVALID,
    codes::POLICY_VERSION,
    codes::POLICY_LOCKOUT,
    codes::POLICY_EXPIRED,
    codes::TREE_ENTRY,
    codes::TREE_SYMLINK,
    codes::TREE_NAME,
    codes::SIGSTORE_ROOT,
    codes::SQUASH_OR_REBASE,
    codes::KEY_EXPIRES,
    codes::TOKEN_EXPIRED,
    codes::KEY_CHANGED,
    codes::FACTORY_CA,
    // With --base.
    codes::COMMIT_UNSIGNED,
    codes::SIGNATURE_UNSUPPORTED,
    codes::SIGNER_UNKNOWN,
    codes::SIGNER_IS_BOT,
    codes::PATH_WITHOUT_RULE,
    codes::SIGNER_NOT_IN_ROLE,
    codes::POLICY_BRANCH,
    codes::TREE_SUBMODULE,
    codes::TREE_COLLISION,
    codes::NOT_ENOUGH_SIGNERS,
    codes::MERGE_UNCLEAN,
    codes::MERGE_CONFLICT,
    // Without an example: what git writes only by hand or by mistake of another program (BW-0201 to BW-0203, BW-0206, BW-0212 to
    // BW-0214, BW-0226 to BW-0230, BW-0233, BW-0238 to BW-0245, BW-0251 to BW-0253).
];

/// The repositories that examples are about, by a file that only they have; else it is the first.
const REPOSITORIES: [(&str, &str); 3] =
    [("quickstart", "fleets/edge.yaml"), ("kiosk", "rollouts/kiosk.yaml"), ("gateway", "fleets/gateway.yaml")];

/// A repository of Ada's with two devices, one of them the canary.
fn repository(example: &str) -> Sandbox {
    let named = REPOSITORIES.into_iter().find(|(_, file)| example.lines().any(|line| line == *file));
    let (name, _) = named.unwrap_or(REPOSITORIES[0]);
    let sandbox = Sandbox::new();
    let author = ["--key", "key", "--author", "Ada Lovelace <ada@example.com>", "--person", "ada"];
    let init = [&["init", "fleet", "--example", name], &author[..]].concat();
    let made = sandbox.bellwether_in(sandbox.dir.path(), &init);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let mint = |device: &str, ring: &str| {
        let ring = format!("ring={ring}");
        let mint = ["token", "mint", "factory", "--id", device, "--device", device, "--label", &ring, "--commit"];
        let ran = sandbox.bellwether(&mint);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    };
    mint("edge-1", "canary");
    mint("edge-2", "rest");
    sandbox
}

/// What was changed before the mistake is made.
fn prepare(code: &str, sandbox: &Sandbox) {
    let policy = "trust/policy.yaml";
    let key = |name: &str, kind: &[&str]| {
        let made = [&["-q", "-N", "", "-f", name, "-t"], kind].concat();
        let made = sandbox.program("ssh-keygen", &made, sandbox.dir.path());
        assert!(made.status.success(), "{made:?}");
    };
    let done = |arguments: &[&str]| {
        let ran = sandbox.bellwether(arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    };
    let add = |name: &str, more: &[&str]| {
        key(name, &["ed25519"]);
        let add = ["trust", "add", name, "--ssh-key", &format!("../{name}.pub"), "--role", "admins", "--commit"];
        done(&[&add[..], more].concat());
    };
    match code {
        "BW-0205" => key("rsa-2048", &["rsa", "-b", "2048"]),
        "BW-0207" => key("new", &["ed25519"]),
        "BW-0208" => add("ci", &["--bot"]),
        "BW-0209" => {
            sandbox.replace(policy, "[\"**\"]", "[\"fleets/**\", \"files/**\"]");
            sandbox.replace(policy, "version: 1", "version: 2");
            sandbox.git(&["commit", "-qam", "Only what is known"]);
        }
        "BW-0219" => sandbox.replace(policy, "    # Everything else: ", "    # All the others: "),
        "BW-0236" => add("bob", &[]),
        "BW-0801" => key("ci", &["ed25519"]),
        "BW-0811" => done(&["hold", "edge", "--reason", "A fair", "--commit"]),
        "BW-0812" => done(&["device", "revoke", "edge-1", "--reason", "It was stolen", "--commit"]),
        "BW-0326" => {
            let fingerprint = "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9";
            let approve =
                ["device", "approve", fingerprint, "--enrollment", "factory", "--id", "edge-3", "--device", "edge-3"];
            done(&[&approve[..], &["--commit"]].concat());
        }
        _ => {}
    }
}

/// What `validate` or `diff` says: the severity and code of each problem or risk, and all of it.
fn found(sandbox: &Sandbox, question: &[&str]) -> (Vec<(String, String)>, String) {
    let ran = sandbox.bellwether(&[question, &["--output", "json"]].concat());
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err));
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let problems = told["problems"].as_array().or(told["risks"].as_array()).expect("problems or risks").iter();
    let is = |problem: &serde_json::Value| {
        (text(&problem["severity"]).unwrap_or("risk".to_owned()), text(&problem["code"]).expect("a code"))
    };
    (problems.map(is).collect(), ran.out)
}

/// Makes the example of a code and mends it.
fn try_out(code: &str, example: &str) {
    let mistake = Mistake::of(example);
    let (sandbox, question) = (repository(example), mistake.question());
    prepare(code, &sandbox);
    let made = mistake.make(&sandbox);
    let (problems, told) = found(&sandbox, &question);
    let problem = problems.into_iter().find(|(_, found)| found == code);
    let problem = problem.unwrap_or_else(|| panic!("the example of {code} is not found: {told}"));
    made.mend();
    let (problems, told) = found(&sandbox, &question);
    let is_mended = !problems.contains(&problem) && problems.iter().all(|(severity, _)| severity != "error");
    assert!(is_mended, "the mend of {code} mends nothing, or breaks something: {told}");
}

/// Tries the examples out whose codes are chosen, some at a time.
fn try_out_all(is_chosen: fn(&str) -> bool) {
    let examples = codes::explanations().filter_map(|known| Some((known.code.as_str(), known.example()?)));
    let examples: Vec<_> = examples.filter(|(code, _)| is_chosen(code)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((code, example)) = examples.get(next.fetch_add(1, Ordering::Relaxed)) {
            try_out(code, example);
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
}

#[test]
fn each_example_of_a_manifest_is_found_and_its_mend_mends_it() {
    try_out_all(|code| code.starts_with("BW-01"));
}

#[test]
fn each_example_of_trust_and_devices_is_found_and_its_mend_mends_it() {
    try_out_all(|code| !(code.starts_with("BW-01") || code.starts_with("BW-08")));
}

#[test]
fn each_example_of_a_dangerous_change_is_told_and_its_mend_mends_it() {
    try_out_all(|code| code.starts_with("BW-08"));
}

#[test]
fn everything_that_validate_finds_and_diff_tells_has_an_example() {
    let is_told = |code: &str| code.starts_with("BW-01") || code.starts_with("BW-08");
    let of_areas = codes::explanations().filter(|known| is_told(known.code.as_str()));
    let found = of_areas.map(|known| known.code).chain(FOUND_BESIDES_MANIFESTS.iter().copied());
    for code in found {
        let known = codes::explain(code.as_str()).expect("it is in the tables");
        assert!(known.example().is_some(), "{code} has no example: schemas/src/codes/examples/{code}.diff");
    }
}

#[test]
fn a_code_is_explained_with_its_example() {
    let sandbox = Sandbox::new();
    let explain = |arguments: &[&str]| sandbox.bellwether_in(sandbox.dir.path(), &[&["explain"], arguments].concat());
    insta::assert_snapshot!(explain(&["BW-0103"]).out);
    let json =
        |code| -> serde_json::Value { serde_json::from_str(&explain(&[code, "--output", "json"]).out).expect("JSON") };
    assert_eq!(json("103")["example"].as_str(), codes::explain("BW-0103").expect("a code").example());
    assert!(json("BW-0301").as_object().expect("an object")["example"].is_null());
    let ran = explain(&["BW-0299"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err.contains("BW-0721") && ran.err.contains("The nearest: BW-0282 (") && ran.err.contains(", BW-0301 ("),
        "{}",
        ran.err
    );
    for (written, expected) in [
        ("BW-0103x", "The nearest: BW-0103 ("),
        ("103.", "The nearest: BW-0103 ("),
        ("policy-has-expired", "The nearest: BW-0221 ("),
        ("fleet", "List all codes"),
        ("BW-", "List all codes"),
    ] {
        let ran = explain(&[written]);
        assert!(ran.code == Some(1) && ran.err.contains(expected), "{written}: {}", ran.err);
    }
    for written in ["bw-0103", "BW103", "bw_103", "0103"] {
        assert_eq!(explain(&[written]).out, explain(&["BW-0103"]).out, "{written}");
    }
}
