//! `token mint`: the secret is shown once, its hash is added, and everything else stays as it was.

use bellwether_schemas::Sha256Digest;

use crate::Sandbox;
use crate::edits::ENROLLMENT;

const PATH: &str = "enrollments/factory.yaml";

#[test]
fn the_hash_is_that_of_the_secret_and_is_committed() {
    let sandbox = Sandbox::with_repository();
    let ran =
        sandbox.bellwether(&["token", "mint", "factory", "--label", "ring=canary", "--label", "site=kiel", "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let secret = hex::decode(ran.out.trim()).expect("hexadecimal digits alone on stdout");
    assert_eq!(secret.len(), 32);
    assert!(sandbox.read(PATH).contains(&Sha256Digest::of(&secret).to_string()));
    assert!(!sandbox.read(PATH).contains(ran.out.trim()), "the secret never gets into git");
    sandbox.git(&["verify-commit", "HEAD"]);
    assert_eq!(sandbox.git(&["status", "--short"]), "");
    assert_eq!(sandbox.git(&["show", "--format=", "--name-only"]).trim(), PATH);
}

#[test]
fn comments_and_layout_stay() {
    let sandbox = Sandbox::with_repository();
    let text = ENROLLMENT;
    sandbox.write(PATH, text);
    let ran = sandbox.bellwether(&["token", "mint", "factory", "--id", "third", "--device", "kiosk-7"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let after = sandbox.read(PATH);
    let added: Vec<_> = after.lines().filter(|line| !text.lines().any(|old| old == *line)).collect();
    assert_eq!(added.len(), 4, "{after}");
    assert_eq!((added[0], added[3]), ("    - id: third", "      device: kiosk-7"));
    let rest: Vec<_> = after.lines().filter(|line| !added.contains(line)).collect();
    assert_eq!(rest, text.lines().collect::<Vec<_>>(), "every old line is there, in its order");
    assert!(after.find("a long time").expect("there") < after.find("id: third").expect("there"));
}

#[test]
fn a_layout_that_is_not_understood_is_left_alone() {
    let sandbox = Sandbox::with_repository();
    let flow = sandbox.read(PATH).replace("tokens: []", "tokens: [  # none yet\n    ]");
    sandbox.write(PATH, &flow);
    let ran = sandbox.bellwether(&["token", "mint", "factory"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("BW-0732"), "{}", ran.err);
    assert_eq!((ran.out.as_str(), sandbox.read(PATH)), ("", flow), "no token is shown that git would not know");
}

#[test]
fn changes_that_are_not_committed_are_not_signed_along() {
    let sandbox = Sandbox::with_repository();
    sandbox.replace(PATH, "fleet: edge", "fleet: edge-2");
    let ran = sandbox.bellwether(&["token", "mint", "factory", "--commit"]);
    assert!(ran.err.contains("BW-0729"), "{}", ran.err);
    assert_eq!(ran.out, "");
}

#[test]
fn many_tokens_are_one_commit() {
    let sandbox = Sandbox::with_repository();
    let ran = sandbox.bellwether(&["token", "mint", "factory", "--count", "20", "--id", "batch", "--commit"]);
    assert_eq!(ran.out.lines().count(), 20, "{}", ran.err);
    assert_eq!(sandbox.git(&["rev-list", "--count", "HEAD"]).trim(), "2");
    assert!(sandbox.read(PATH).contains("id: batch-20"));
    let again = sandbox.bellwether(&["token", "mint", "factory", "--id", "batch-20"]);
    assert!(again.err.contains("BW-0734"), "{}", again.err);
}

#[test]
fn an_id_that_the_history_knows_with_another_token_or_key_is_refused() {
    let sandbox = Sandbox::with_repository();
    let before = sandbox.read(PATH);
    assert_eq!(sandbox.bellwether(&["token", "mint", "factory", "--id", "first", "--commit"]).code, Some(0));
    sandbox.write(PATH, &before);
    sandbox.git(&["commit", "-qam", "Tidy up"]);
    let (key, other) = ("a".repeat(64), "b".repeat(64));
    let approve = |key: &str, more: &[&str]| {
        sandbox.bellwether(&[&["device", "approve", key, "--enrollment", "factory", "--id"], more].concat())
    };
    let token = sandbox.bellwether(&["token", "mint", "factory", "--id", "first"]);
    for (ran, code) in [(token, "BW-0117"), (approve(&key, &["first"]), "BW-0326")] {
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
        assert!(ran.err.contains(code) && ran.err.contains("Pass another --id, or none"), "{}", ran.err);
    }
    assert_eq!(sandbox.read(PATH), before, "nothing is written");

    // The same key may come back under its id, and an unsigned commit says nothing about any id.
    assert_eq!(approve(&key, &["second", "--commit"]).code, Some(0));
    sandbox.write(PATH, &before);
    sandbox.git(&["commit", "-qam", "Tidy up again"]);
    assert_eq!(approve(&other, &["second"]).code, Some(1));
    assert_eq!(approve(&key, &["second"]).code, Some(0));
    sandbox.git(&["commit", "-qam", "List it again", "--no-gpg-sign"]);
    assert_eq!(sandbox.bellwether(&["token", "mint", "factory", "--id", "first"]).code, Some(1));
    assert_eq!(sandbox.bellwether(&["token", "mint", "factory", "--id", "third"]).code, Some(0));
}

#[test]
fn a_token_that_has_expired_when_it_is_made_is_refused() {
    let sandbox = Sandbox::with_repository();
    for (expires, says) in [
        ("0s", "no device could enroll with it"),
        ("0d", "no device could enroll with it"),
        ("2020-01-01T00:00:00Z", "how long from now, not until when"),
        ("2030-01-01", "how long from now, not until when"),
        ("5", "such as 30s or 15m"),
    ] {
        let ran = sandbox.bellwether(&["token", "mint", "factory", "--expires", expires]);
        assert!(ran.code == Some(2) && ran.out.is_empty() && ran.err.contains(says), "{expires}: {}", ran.err);
    }
    assert_eq!(sandbox.git(&["status", "--short"]), "");
}

#[test]
fn a_second_token_for_a_device_says_how_to_enroll_it_again() {
    let sandbox = Sandbox::with_repository();
    assert_eq!(sandbox.bellwether(&["token", "mint", "factory", "--device", "kiosk-7", "--id", "first"]).code, Some(0));
    let ran = sandbox.bellwether(&["token", "mint", "factory", "--device", "kiosk-7"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("BW-0734") && ran.err.contains("first") && ran.err.contains("--replace"), "{}", ran.err);
}

#[test]
fn a_replacement_takes_the_place_of_the_entry_and_keeps_its_labels() {
    let sandbox = Sandbox::with_repository();
    let mint =
        |more: &[&str]| sandbox.bellwether(&[&["token", "mint", "factory", "--device", "kiosk-7"], more].concat());
    // As it was written before there was one name for one thing.
    assert_eq!(mint(&["--id", "first", "--labels", "ring=canary,site=kiel"]).code, Some(0));
    let text =
        sandbox.read(PATH).replace("- id: first", "# The shop.\n    - id: first").replace("tokens:", "tokens:   # all");
    sandbox.write(PATH, &text);
    let ran = mint(&["--id", "second", "--replace", "--label", "site=bonn"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("refused"), "it says what comes of it: {}", ran.err);
    let after = sandbox.read(PATH);
    assert!(!after.contains("first") && after.contains("# The shop.") && after.contains("tokens:   # all"), "{after}");
    assert!(after.contains("ring: canary") && after.contains("site: bonn"), "{after}");
    assert_eq!(after.matches("device: kiosk-7").count(), 1);
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));

    // Where nothing is replaced it is as without; another enrollment's entry is never touched.
    assert_eq!(sandbox.bellwether(&["token", "mint", "factory", "--device", "kiosk-8", "--replace"]).code, Some(0));
    sandbox.write(
        "enrollments/other.yaml",
        "apiVersion: bellwether/v1\nkind: Enrollment\nmetadata:\n  name: other\nspec:\n  tokens: []\n",
    );
    let ran = sandbox.bellwether(&["token", "mint", "other", "--device", "kiosk-7", "--replace"]);
    assert!(ran.code == Some(1) && ran.err.contains("enrollments/factory.yaml"), "{}", ran.err);
}

#[test]
fn a_list_of_devices_becomes_a_token_for_each_or_nothing() {
    let sandbox = Sandbox::with_repository();
    let (list, out) = (sandbox.dir.path().join("devices.csv"), sandbox.dir.path().join("tokens.csv"));
    let (list, out) = (list.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    let mint = |more: &[&str]| sandbox.bellwether(&[&["token", "mint", "factory", "--from", list], more].concat());
    let before = sandbox.read(PATH);
    std::fs::write(list, "name,site\nkiosk-1,kiel\nKiosk 2,kiel\n,k!el\n").expect("a file");
    let ran = mint(&["--out", out, "--commit"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    assert!(ran.err.contains("line 3: \"Kiosk 2\"") && ran.err.contains("line 4: site"), "{}", ran.err);
    assert_eq!(sandbox.read(PATH), before);
    assert!(!std::path::Path::new(out).exists(), "no secret is left of it");

    std::fs::write(list, "name,site\nkiosk-1,kiel\nkiosk-2,\n,bonn\n").expect("a file");
    let ran = mint(&["--out", out, "--label", "ring=rest", "--commit"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(out).expect("written").permissions().mode() & 0o777, 0o600);
    let written = std::fs::read_to_string(out).expect("text");
    let rows: Vec<Vec<&str>> = written.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), ["name", "kiosk-1", "kiosk-2", ""]);
    let after = sandbox.read(PATH);
    for row in &rows[1..] {
        let secret = hex::decode(row[2]).expect("hexadecimal");
        assert!(after.contains(row[1]) && after.contains(&Sha256Digest::of(&secret).to_string()));
        assert!(!after.contains(row[2]) && !ran.err.contains(row[2]), "the secret is nowhere else");
    }
    assert_eq!((after.matches("ring: rest").count(), after.matches("site: ").count()), (3, 2), "{after}");
    assert_eq!(sandbox.git(&["rev-list", "--count", "HEAD"]).trim(), "2");

    // Never over an earlier file, never into the repository; and a device that is there already stops all of it.
    assert!(mint(&["--out", out, "--replace"]).err.contains("BW-0734"));
    assert!(mint(&["--out", "tokens.csv", "--replace"]).err.contains("working copy"));
    let ran = mint(&[]);
    assert!(ran.code == Some(1) && ran.err.contains("kiosk-1") && ran.err.contains("1 others"), "{}", ran.err);
    assert_eq!(sandbox.git(&["status", "--short"]), "");
    let ran = mint(&["--replace", "--output", "json"]);
    let told: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((told[0]["device"].as_str(), told[0]["token"].as_str().map(str::len)), (Some("kiosk-1"), Some(64)));
    assert_eq!(sandbox.bellwether(&["validate"]).code, Some(0));
}

#[test]
fn ten_thousand_tokens_are_one_commit_and_validate_at_once() {
    let sandbox = Sandbox::with_repository();
    let list = sandbox.dir.path().join("devices.csv");
    let rows = (0..10_000).map(|n| format!("kiosk-{n},site-{},rest\n", n % 100));
    std::fs::write(&list, "name,site,ring\n".to_owned() + &rows.collect::<String>()).expect("a file");
    let begin = std::time::Instant::now();
    let ran = sandbox.bellwether(&["token", "mint", "factory", "--from", list.to_str().expect("UTF-8"), "--commit"]);
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 10_001), "{}", ran.err);
    println!("10,000 tokens minted and committed in {:?}", begin.elapsed());
    let begin = std::time::Instant::now();
    let ran = sandbox.bellwether(&["validate"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    println!("validated in {:?}, {} bytes", begin.elapsed(), sandbox.read(PATH).len());
}

#[test]
fn an_enrollment_that_is_full_is_told_and_left_alone() {
    let sandbox = Sandbox::with_repository();
    let text = sandbox.read(PATH);
    let full = text.clone() + "# " + &"x".repeat((4 << 20) - text.len() - 100) + "\n";
    sandbox.write(PATH, &full);
    let ran = sandbox.bellwether(&["token", "mint", "factory"]);
    assert!(ran.code == Some(1) && ran.err.contains("BW-0108") && ran.out.is_empty(), "it has its limit: {}", ran.err);
    assert!(sandbox.read(PATH) == full);
}
