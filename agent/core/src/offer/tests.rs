use bellwether_schemas::id::{CommitId, Sha256Digest};
use bellwether_schemas::quantity::Seconds;
use bellwether_schemas::report::Claim;
use proptest::prelude::*;

use super::*;

fn version(landing: u64, revision: u32, commit: u8) -> Version {
    let commit = CommitId::from_bytes(&[commit; 20]).expect("20 bytes");
    Version { landing, commit, revision }
}

fn digest(content: &str) -> Sha256Digest {
    Sha256Digest::of(content.as_bytes())
}

fn offer(version: Version, content: &str, supersedes: Option<Supersedes>) -> SignedOffer {
    SignedOffer {
        fleet: "edge".parse().expect("a name"),
        version,
        template: version.commit,
        digest: digest(content),
        supersedes,
        not_before: None,
        not_after: None,
        soak: Seconds::ZERO,
    }
}

/// A device that runs v9 (content "run") and has begun v9.
fn memory() -> Durable {
    let nine = version(9, 0, 9);
    let mut memory = Durable::new("nonce".to_owned());
    memory.running = Some(Claim { version: nine, template: nine.commit, digest: digest("run") });
    memory.begun = Some(Begun { version: nine, digest: digest("run") });
    memory
}

fn running(version: Version, content: &str) -> Supersedes {
    Supersedes::Running { version, digest: digest(content) }
}

#[test]
fn only_higher_versions_are_taken_or_what_supersedes_exactly_what_runs() {
    let nine = version(9, 0, 9);
    let five = version(5, 0, 5);
    let nonce = |text: &str| Some(Supersedes::Nonce(text.to_owned()));
    for (version, content, supersedes, expected) in [
        (nine, "run", None, "nothing"),
        (version(10, 0, 1), "new", None, "take"),
        (version(9, 1, 9), "new", None, "take"),
        (version(10, 0, 1), "new", Some(running(five, "x")), "take"),
        (five, "new", None, "not higher"),
        (nine, "new", None, "altered"),
        (nine, "new", Some(running(nine, "run")), "altered"),
        (version(9, 0, 8), "new", None, "altered"),
        (version(9, 0, 8), "run", None, "altered"),
        (five, "new", Some(running(nine, "run")), "take"),
        (five, "new", Some(running(nine, "other")), "not superseded"),
        (five, "new", Some(running(version(9, 0, 8), "run")), "not superseded"),
        (five, "new", nonce("nonce"), "take"),
        (five, "new", nonce("other"), "not superseded"),
        (five, "new", nonce(""), "not superseded"),
    ] {
        let found = match judge(&memory(), Some(&offer(version, content, supersedes.clone()))) {
            Judgement::Nothing => "nothing",
            Judgement::Finished => "finished",
            Judgement::Take => "take",
            Judgement::Refuse(RefusedOffer::Altered { .. }) => "altered",
            Judgement::Refuse(RefusedOffer::NotHigher { .. }) => "not higher",
            Judgement::Refuse(RefusedOffer::NotSuperseded { .. }) => "not superseded",
        };
        assert_eq!(found, expected, "{version} {content} {supersedes:?}");
    }
    assert_eq!(judge(&memory(), None), Judgement::Nothing);
}

#[test]
fn a_new_device_takes_anything_and_a_finished_version_is_never_tried_again() {
    let five = version(5, 0, 5);
    let supersedes = Some(running(version(9, 0, 9), "run"));
    assert_eq!(judge(&Durable::new("n".into()), Some(&offer(five, "x", None))), Judgement::Take);
    // v5 superseded v9, failed, and v9 runs again: the same offer must not be taken twice.
    let mut memory = memory();
    memory.begun = Some(Begun { version: five, digest: digest("x") });
    assert_eq!(judge(&memory, Some(&offer(five, "x", supersedes.clone()))), Judgement::Finished);
    // Nor does it open the way for anything between the two.
    let six = version(6, 0, 6);
    assert!(matches!(judge(&memory, Some(&offer(six, "y", None))), Judgement::Refuse(RefusedOffer::NotHigher { .. })));
    let altered = judge(&memory, Some(&offer(version(9, 0, 9), "y", None)));
    assert!(matches!(altered, Judgement::Refuse(RefusedOffer::Altered { .. })));
    assert_eq!(judge(&memory, Some(&offer(six, "y", supersedes))), Judgement::Take);
}

proptest! {
    #[test]
    fn without_supersedes_nothing_lower_or_equal_is_ever_taken(landing in 1..20_u64, revision in 0..3_u32, commit in 0..12_u8, same: bool) {
        let version = version(landing, revision, commit);
        let taken = judge(&memory(), Some(&offer(version, if same { "run" } else { "new" }, None))) == Judgement::Take;
        prop_assert_eq!(taken, (landing, revision) > (9, 0));
    }
}
