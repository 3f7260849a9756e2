use proptest::prelude::*;

use super::*;
use crate::api::{ClaimKind, Conflict, DeviceStatus, MissingCommit, Stand, StatusWord, Summary, Updated, WaitingOn};
use crate::manifest::{Labels, Operator};
use crate::version::Version;

const RUNS: &str = "9f3c2ab000000000000000000000000000000001";
const APPLIES: &str = "1111111000000000000000000000000000000002";

fn labelled(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A device of fleet edge in Kiel that is paused: it runs one missing commit and applies another.
fn paused() -> DeviceView {
    let missing = |commit: &str, claim| MissingCommit {
        commit: commit.parse().expect("an id"),
        landing: 412,
        claim,
        stand: Stand::Ahead,
    };
    let commit = RUNS.parse().expect("an id");
    DeviceView {
        name: "edge-1".parse().expect("a name"),
        enrollment: "factory".parse().expect("a name"),
        entry: "t1".parse().expect("an id"),
        fleet: Some("edge".parse().expect("a name")),
        labels: labelled(&[("site", "kiel"), ("ring", "canary"), ("bellwether.dev/rack", "")]),
        version: Some(Version { landing: 412, commit, revision: 1 }),
        digest: None,
        offered: None,
        target: None,
        status: DeviceStatus {
            summary: StatusWord { status: Summary::ConflictPaused },
            updated: StatusWord { status: Updated::OutOfDate },
        },
        reason: Some(WaitingOn::Paused { code: "BW-0301".into(), why: String::new(), commit: Some(commit) }),
        why: String::new(),
        waits: None,
        origin: None,
        decided: Vec::new(),
        conflict: Some(Conflict {
            missing: vec![missing(RUNS, ClaimKind::Running), missing(APPLIES, ClaimKind::Applying)],
        }),
        last_seen: None,
        allows: None,
    }
}

/// A device without fleet, version and labels that waits for nothing.
fn plain() -> DeviceView {
    DeviceView {
        name: "lab-7".parse().expect("a name"),
        fleet: None,
        labels: Labels::new(),
        version: None,
        status: DeviceStatus {
            summary: StatusWord { status: Summary::Online },
            updated: StatusWord { status: Updated::UpToDate },
        },
        reason: None,
        conflict: None,
        ..paused()
    }
}

#[test]
fn label_terms_mean_what_they_mean_in_kubernetes() {
    for (text, of_paused, of_plain) in [
        ("site=kiel", true, false),
        ("site==kiel", true, false),
        (" site = kiel , ring = canary ", true, false),
        ("site=kiel,ring=broad", false, false),
        ("site=kiel,site=oslo", false, false),
        ("site=oslo,site=kiel", false, false),
        ("site!=kiel", false, true),
        ("site!=oslo", true, true),
        ("site in (oslo,kiel)", true, false),
        ("site in(oslo)", false, false),
        ("site notin (oslo, kiel)", false, true),
        ("site notin (oslo)", true, true),
        ("site", true, false),
        ("!site", false, true),
        ("! site", false, true),
        ("bellwether.dev/rack", true, false),
        ("bellwether.dev/rack=", true, false),
        ("bellwether.dev/rack!=", false, true),
        ("in", false, false),
        ("in notin (a)", true, true),
    ] {
        let selector = DeviceSelector::read(Some(text), None).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!((selector.matches(&paused()), selector.matches(&plain())), (of_paused, of_plain), "{text}");
    }
}

#[test]
fn a_label_selector_becomes_what_manifests_have() {
    let selector = labels("site=kiel,ring!=canary,env in (a,b),has,!gone").expect("a selector");
    assert_eq!(selector.match_labels, labelled(&[("site", "kiel")]));
    let terms: Vec<_> =
        selector.match_expressions.iter().map(|t| (t.key.as_str(), t.operator, t.values.join("|"))).collect();
    assert_eq!(
        terms,
        [
            ("ring", Operator::NotIn, "canary".to_owned()),
            ("env", Operator::In, "a|b".to_owned()),
            ("has", Operator::Exists, String::new()),
            ("gone", Operator::DoesNotExist, String::new()),
        ]
    );
}

#[test]
fn field_terms_look_at_what_json_has_there() {
    for (text, of_paused, of_plain) in [
        ("name=edge-1", true, false),
        ("name!=edge-1", false, true),
        ("fleet=edge", true, false),
        ("fleet=", false, true),
        ("fleet!=", true, false),
        ("fleet!=edge", false, true),
        ("enrollment=factory", true, true),
        ("entry==t1", true, true),
        ("version=v412.1", true, false),
        ("version=v412", false, false),
        ("version=", false, true),
        ("version.landing=412", true, false),
        ("version.commit=9f3c2ab", true, false),
        ("version.commit!=9f3c2ab", false, true),
        (&format!("version.commit={RUNS}"), true, false),
        ("status.summary.status=ConflictPaused", true, false),
        ("status.summary.status=ConflictPaused,fleet=edge", true, false),
        ("status.summary.status=ConflictPaused,fleet=west", false, false),
        ("status.updated.status!=UpToDate", true, false),
        ("reason.kind=Paused", true, false),
        ("reason.kind=", false, true),
        ("reason.code=BW-0301", true, false),
        ("reason.commit=9f3c2ab", true, false),
        ("reason.commit=1111111", true, false),
        ("reason.commit!=1111111", false, true),
    ] {
        let selector = DeviceSelector::read(None, Some(text)).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!((selector.matches(&paused()), selector.matches(&plain())), (of_paused, of_plain), "{text}");
    }
}

#[test]
fn a_version_is_written_as_it_is_shown_or_refused() {
    let read = |text: &str| DeviceSelector::read(None, Some(text)).map(drop).map_err(|error| error.to_string());
    for text in ["version=v412", "version=v412.10", "version.landing=412", "version=v18446744073709551615"] {
        assert_eq!(read(text), Ok(()), "{text}");
    }
    for (text, says) in [
        ("version=v0412", "which is written v412"),
        ("version=v412.0", "which is written v412"),
        ("version=v412.01", "which is written v412.1"),
        ("version!=v0412", "which is written v412"),
        ("version.landing=0412", "which is written 412"),
        ("version=v0", "expected a version"),
        ("version=412", "expected a version"),
        ("version=v412.", "expected a version"),
        ("version=v412.4294967296", "expected a version"),
        ("version=v18446744073709551616", "expected a version"),
        ("version.landing=0", "expected a landing number"),
        ("version.landing=v412", "expected a landing number"),
    ] {
        let said = read(text).expect_err(text);
        assert!(said.contains(says), "{text}: {said}");
    }
}

#[test]
fn a_device_of_its_own_is_found_by_the_name_of_its_fleet() {
    let fleet = crate::FleetName::of_device(&"edge-1".parse().expect("a name"));
    let selector = DeviceSelector::read(None, Some(&format!("fleet={fleet}"))).expect("a selector");
    assert!(selector.matches(&DeviceView { fleet: Some(fleet), ..paused() }) && !selector.matches(&paused()));
}

#[test]
fn a_code_finds_a_failure_by_either_code() {
    let version = paused().version.expect("a version");
    let failure = crate::report::Failure {
        version: Some(version),
        digest: None,
        kind: crate::report::FailureKind::Failed,
        code: codes::PROBE_FAILED.to_string(),
        message: String::new(),
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    let reason = Some(WaitingOn::Failed { version, failure: Some(failure) });
    let device = DeviceView { reason, ..plain() };
    for code in [codes::DEVICE_FAILED, codes::PROBE_FAILED] {
        let selector = DeviceSelector::read(None, Some(&format!("reason.code={code}"))).expect("a selector");
        assert!(selector.matches(&device), "{code}");
    }
}

#[test]
fn both_selectors_must_hold_and_none_chooses_all() {
    let both = |label, field| DeviceSelector::read(label, field).expect("selectors").matches(&paused());
    assert!(both(Some("site=kiel"), Some("fleet=edge")));
    assert!(!both(Some("site=oslo"), Some("fleet=edge")));
    assert!(!both(Some("site=kiel"), Some("fleet=west")));
    assert!(both(None, None) && DeviceSelector::read(None, None).expect("nothing").is_all());
}

#[test]
fn a_search_mixes_both_and_leaves_plain_text_alone() {
    for text in ["", "edge", "edge-1", "some words"] {
        assert_eq!(DeviceSelector::search(text), Ok(None), "{text}");
    }
    for (text, of_paused) in [
        ("site=kiel,status.summary.status=ConflictPaused", true),
        ("fleet=west,site=kiel", false),
        ("fleet=edge", true),
        ("!site", false),
        ("site in (kiel),fleet!=", true),
    ] {
        let selector = DeviceSelector::search(text).expect("a selector").expect("one with terms");
        assert_eq!(selector.matches(&paused()), of_paused, "{text}");
    }
}

#[test]
fn a_fault_says_where_what_and_what_was_meant() {
    let long = "a".repeat(MAX_SELECTOR + 1);
    for (text, at, says) in [
        ("", 1, "it is empty"),
        ("  ", 1, "it is empty"),
        ("site=kiel,", 11, "it ends here, expected the key of a label"),
        (",site", 1, "found a comma, expected the key of a label"),
        ("site kiel", 6, "found \"kiel\", expected =, !=, in (…)"),
        ("site>3", 5, "not compared by size"),
        ("site in kiel", 9, "expected values in parentheses"),
        ("site in", 8, "it ends here, expected values in parentheses"),
        ("site in ()", 10, "found \")\", expected a value"),
        ("site in (kiel", 14, "it ends here, expected a comma or \")\""),
        ("site in (kiel oslo)", 15, "found \"oslo\", expected a comma or \")\""),
        ("site=kiel=3", 10, "found \"=\", expected a comma or the end"),
        ("site=\"kiel\"", 6, "found '\"', expected a value"),
        ("site=-kiel", 6, "a letter or digit first and last"),
        ("-site", 1, "is no key of a label"),
        ("örtchen=1", 1, "is no key of a label"),
        ("!", 2, "it ends here, expected the key of a label"),
        ("site!", 5, "found \"!\", expected =, !="),
        (&long, 1, "it has 4097 bytes, and may have 4096"),
    ] {
        let error = DeviceSelector::read(Some(text), None).expect_err(text);
        assert!(error.at() == at && error.problem().contains(says), "{text}: {error}");
        assert!(error.to_string().starts_with("label selector "), "{error}");
    }
    for (text, at, says) in [
        ("flet=edge", 1, "there is no field \"flet\"; did you mean fleet?"),
        ("status=Online", 1, "did you mean status.summary.status?"),
        ("summary=Online", 1, "did you mean status.summary.status?"),
        ("version.comit=9f3c2ab", 1, "did you mean version.commit?"),
        ("colour=red", 1, "there is no field \"colour\"; there are name, fleet,"),
        ("fleet", 6, "it ends here, expected =, == or !="),
        ("fleet in (a)", 7, "found \"in\", expected =, == or !="),
        ("fleet=edge,name=Edge", 17, "name: found \"Edge\", expected a name"),
        ("status.summary.status=Paused", 23, "expected one of Online, Degraded"),
        ("status.summary.status=conflictpaused", 23, "did you mean ConflictPaused?"),
        ("status.updated.status=Uptodate", 23, "did you mean UpToDate?"),
        ("reason.kind=Pause", 13, "did you mean Paused?"),
        ("reason.code=BW-9999", 13, "a code of this release"),
        ("reason.code=bw-0301", 13, "a code of this release"),
        ("reason.commit=9f3c2a", 15, "its first 7 to 64 digits"),
        ("version.commit=9F3C2AB", 16, "in lower case"),
        ("version=412", 9, "such as v412"),
        ("version.landing=v412", 17, "such as 412"),
    ] {
        let error = DeviceSelector::read(None, Some(text)).expect_err(text);
        assert!(error.at() == at && error.problem().contains(says), "{text}: {error}");
        assert_eq!(error.code(), codes::SELECTOR_INVALID);
    }
    let error = DeviceSelector::search("site=kiel,fleet=Edge").expect_err("no name");
    assert_eq!((error.at(), error.kind()), (17, SelectorKind::Search));
}

/// What a term of a label selector is, as text and as a check written by hand.
fn any_term() -> impl Strategy<Value = (String, Vec<&'static str>, bool)> {
    let values = prop::sample::subsequence(vec!["a", "b", "c"], 1..=3);
    (values, any::<bool>()).prop_map(|(values, within)| {
        let word = if within { "in" } else { "notin" };
        (format!("key {word} ({})", values.join(",")), values, within)
    })
}

proptest! {
    /// However it is cut: no text makes the reader panic, and faults lie in the text.
    #[test]
    fn any_text_is_read_or_refused_at_a_place_in_it(text in "[a-z=!,() <>\"ä.-]{0,24}") {
        for read in [DeviceSelector::read(Some(&text), None), DeviceSelector::read(None, Some(&text))] {
            if let Err(error) = read {
                prop_assert!(error.at() <= text.chars().count() + 1, "{}", error);
            }
        }
    }

    #[test]
    fn set_terms_agree_with_their_lists(terms in prop::collection::vec(any_term(), 1..4), value in prop::option::of("[abcd]")) {
        let text: Vec<&str> = terms.iter().map(|(text, _, _)| text.as_str()).collect();
        let labels = value.iter().map(|value| ("key".to_owned(), value.clone())).collect();
        let device = DeviceView { labels, ..plain() };
        let expected = terms.iter().all(|(_, values, within)| {
            value.as_deref().is_some_and(|value| values.contains(&value)) == *within
        });
        let selector = DeviceSelector::read(Some(&text.join(",")), None).expect("a selector");
        prop_assert_eq!(selector.matches(&device), expected);
    }
}
