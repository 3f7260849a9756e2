//! `bellwether keys`: several root keys, and the next root from its draft to where it counts.

use crate::{Ran, Sandbox};

fn keys(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    sandbox.bellwether_in(sandbox.dir.path(), &[&["keys"], arguments].concat())
}

fn done(ran: Ran) -> String {
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    ran.out
}

#[test]
fn two_of_three_people_replace_the_third_and_the_online_keys() {
    let sandbox = Sandbox::new();
    let roots = ["--root", "ada", "--root", "bob", "--root", "eve"];
    let said = done(keys(&sandbox, &[&["init", "--online", "online", "--threshold", "2"], &roots[..]].concat()));
    assert!(said.contains("3 root keys") && said.contains("2 sign"), "{said}");
    let shown = done(keys(&sandbox, &["show", "--online", "online"]));
    assert!(shown.starts_with("root 1, good until 20") && shown.contains("root      2 of 3"), "{shown}");

    let read = |path: &str| std::fs::read_to_string(sandbox.dir.path().join(path)).expect("a file");
    let eve = done(keys(&sandbox, &["--output", "json", "show", "--online", "online"]));
    let eve: serde_json::Value = serde_json::from_str(&eve).expect("JSON");
    let public: serde_json::Value = serde_json::from_str(&read("eve/root.pub")).expect("JSON");
    let listed = eve["signed"]["keys"].as_object().expect("keys");
    let (id, _) = listed.iter().find(|(_, key)| **key == public).expect("Eve's key is listed");
    done(keys(&sandbox, &["new-root", "dan"]));
    let before = read("online/targets.pem");

    let change = ["--new-online", "--add-root", "dan/root.pub", "--remove-root", &id[..12], "--root", "ada"];
    let said = done(keys(&sandbox, &[&["rotate", "--online", "online", "--out", "draft"], &change[..]].concat()));
    assert!(said.contains("signed by 1 of 2 keys of the root before and by 1 of 2 of its own"), "{said}");
    let early = keys(&sandbox, &["finish", "draft", "--online", "online"]);
    assert!(early.code == Some(2) && early.err.contains("BW-0528") && early.err.contains("1 of 2"), "{}", early.err);
    assert_eq!(read("online/targets.pem"), before, "nothing changes before");

    let said = done(keys(&sandbox, &["sign", "draft/2.root.json", "--root", "bob"]));
    assert!(said.starts_with("root 2,") && said.contains("targets"), "it says what is signed: {said}");
    let said = done(keys(&sandbox, &["finish", "draft", "--online", "online"]));
    assert!(said.contains("online/2.root.json") && said.contains("restart"), "{said}");
    assert_ne!(read("online/targets.pem"), before);
    let shown = done(keys(&sandbox, &["show", "--online", "online"]));
    assert!(shown.contains("root 2") && !shown.contains(id.as_str()), "{shown}");
}

#[test]
fn fewer_keys_than_must_sign_are_refused_before_anything_is_made() {
    let sandbox = Sandbox::new();
    let ran = keys(&sandbox, &["init", "--root", "ada", "--threshold", "2", "--online", "online"]);
    assert!(ran.code == Some(2) && ran.err.contains("BW-0528"), "{}", ran.err);
    assert!(ran.err.contains("--root DIR --root DIR") && !ran.err.contains("keys rotate"), "{}", ran.err);
    assert!(!sandbox.dir.path().join("ada").exists() && !sandbox.dir.path().join("online").exists());
}
