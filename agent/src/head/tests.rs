use bellwether_schemas::head::HeadType;
use serde_json::json;

use super::*;
use crate::pull::tests::{Key, root, signed_by};
use crate::trust::Floors;

/// A device that trusts a root, and its state directory.
pub(crate) struct Rig {
    pub(crate) online: Key,
    pub(crate) trust: Trust,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let (key, online) = (Key::new(), Key::new());
        let text = String::from_utf8(key.sign(&root(1, &key, &online))).expect("text");
        let pinned = bellwether_schemas::Sha256Digest::of(text.as_bytes());
        Self { online, trust: Trust { root: text, pinned, floors: Floors::default(), verified: None } }
    }

    /// A record as the reconciler signs it.
    pub(crate) fn sign(&self, record: &HeadRecord) -> Vec<u8> {
        self.online.sign(&serde_json::to_value(record).expect("JSON"))
    }
}

pub(crate) fn record(policy_version: u64, landing: u64) -> HeadRecord {
    HeadRecord {
        kind: HeadType::Head,
        introduction: "11".repeat(20).parse().expect("an id"),
        commit: format!("{landing:040x}").parse().expect("an id"),
        landing,
        policy_version,
        spoken: Some("2026-01-01T00:00:00Z".parse().expect("a time")),
        max_silence: Some("7d".parse().expect("a span")),
    }
}

fn state() -> (tempfile::TempDir, StateDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let state = StateDir::lock(dir.path()).expect("locked");
    (dir, state)
}

#[test]
fn the_newest_record_is_kept_as_it_came_and_never_an_older_one() {
    let (rig, (_dir, state)) = (Rig::new(), state());
    let kept = |record: &HeadRecord| {
        let bytes = rig.sign(record);
        let result = keep(&state, &rig.trust, &bytes);
        (result.is_ok(), state.load_head().expect("read") == bytes)
    };
    assert_eq!(kept(&record(2, 5)), (true, true));
    assert_eq!(kept(&record(2, 5)), (true, true), "the same again");
    assert_eq!(kept(&record(2, 6)), (true, true));
    assert_eq!(kept(&record(2, 5)), (false, false));
    assert_eq!(kept(&record(1, 9)), (false, false));
    let other = HeadRecord { commit: "99".repeat(20).parse().expect("an id"), ..record(2, 6) };
    assert_eq!(kept(&other), (false, false), "another head that stands equally high");
    assert_eq!(kept(&HeadRecord { max_silence: None, ..record(2, 6) }), (true, true), "the same head, signed anew");
    assert_eq!(kept(&record(3, 2)), (true, true), "a signed reset");
    let introduced = HeadRecord { introduction: "22".repeat(20).parse().expect("an id"), ..record(1, 1) };
    assert_eq!(kept(&introduced), (true, true), "another introduction is the configuration's to choose");
}

#[test]
fn what_the_accepted_root_does_not_answer_for_is_not_kept() {
    let (rig, (_dir, state)) = (Rig::new(), state());
    let good = rig.sign(&record(2, 5));
    keep(&state, &rig.trust, &good).expect("kept");
    let newer = serde_json::to_value(record(2, 6)).expect("JSON");
    let with = |key: &str, value: serde_json::Value| {
        let mut changed = newer.clone();
        changed[key] = value;
        changed
    };
    let mut altered: serde_json::Value = serde_json::from_slice(&rig.online.sign(&newer)).expect("JSON");
    altered["signed"]["landing"] = json!(7);
    let stranger = Key::new();
    let table = [
        ("signed by another key", stranger.sign(&newer)),
        ("altered", altered.to_string().into_bytes()),
        ("without a signature", signed_by(&newer, &[])),
        ("another type under the same key", rig.online.sign(&with("_type", json!("targets")))),
        ("no record", b"{}".to_vec()),
        ("no JSON", b"\xff".to_vec()),
        ("too large", [vec![b' '; MAX_HEAD], rig.online.sign(&newer)].concat()),
    ];
    for (what, bytes) in table {
        keep(&state, &rig.trust, &bytes).expect_err(what);
        assert_eq!(state.load_head().expect("read"), good, "{what}");
    }
    let later = rig.online.sign(&with("fieldOfALaterRelease", json!({"x": 1})));
    keep(&state, &rig.trust, &later).expect("fields of later releases are signed like the others");
}

#[test]
fn a_damaged_record_is_replaced_and_never_read_as_none() {
    let (rig, (dir, state)) = (Rig::new(), state());
    std::fs::write(dir.path().join("head.json"), "{\"signed\":").expect("written");
    frozen(&state.load_head().expect("read"), Timestamp::MAX).expect_err("damaged");
    keep(&state, &rig.trust, &rig.sign(&record(1, 1))).expect("kept");
    assert_eq!(parse(&state.load_head().expect("read")).expect("a record"), record(1, 1));
}

#[test]
fn a_silence_that_is_too_long_is_seen_without_the_reconciler() {
    let rig = Rig::new();
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    let seen = |record: &HeadRecord, now| frozen(&rig.sign(record), at(now)).expect("a record");
    assert_eq!(seen(&record(1, 1), "2026-01-08T00:00:00Z"), None);
    let found = seen(&record(1, 1), "2026-01-08T00:00:01Z").expect("frozen");
    assert_eq!((found.code.as_str(), found.since), ("BW-0242", at("2026-01-01T00:00:00Z")));
    assert_eq!(seen(&HeadRecord { max_silence: None, ..record(1, 1) }, "2099-01-01T00:00:00Z"), None);
    assert_eq!(frozen(&[], at("2099-01-01T00:00:00Z")).expect("none is held"), None);
}
