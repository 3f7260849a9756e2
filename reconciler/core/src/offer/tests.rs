use std::sync::LazyLock;

use bellwether_schemas::report::{Health, Phase};
use bellwether_schemas::{CommitId, Seconds, Sha256Digest};

use super::*;
use crate::testing::Story;

/// A history of three landings, and one that was landed on the first one in another clone.
struct World {
    history: VerifiedHistory,
    known: [CommitId; 3],
    lost: CommitId,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut story =
        Story::begin(&[("fleets/edge.yaml", "{selector: {matchLabels: {site: kiel}}, template: {probes: none}}")]);
    let mut clone = story.clone();
    let land = |story: &mut Story, text: &str| {
        story.put("README.md", text).land();
        story.head()
    };
    let lost = land(&mut clone, "lost");
    let known = [story.head(), land(&mut story, "second"), land(&mut story, "third")];
    World { history: story.history, known, lost }
});

fn version(landing: u64, revision: u32, commit: CommitId) -> Version {
    Version { landing, commit, revision }
}

fn known(landing: u8, revision: u32) -> Version {
    version(landing.into(), revision, WORLD.known[usize::from(landing) - 1])
}

fn lost(landing: u64, revision: u32) -> Version {
    version(landing, revision, WORLD.lost)
}

fn claim(version: Version) -> Claim {
    Claim { version, template: version.commit, digest: Sha256Digest::of(b"content") }
}

fn report(running: Option<Version>, begun: Option<Version>) -> Report {
    Report {
        nonce: "nonce".into(),
        agent: "0".into(),
        running: running.map(claim),
        applying: None,
        begun,
        phase: Phase::Idle,
        health: Health::Healthy,
        failure: None,
        clock: jiff::Timestamp::UNIX_EPOCH,
    }
}

const NORMAL: Standing = Standing::Normal { supersedes: None };

fn head() -> Landing {
    Landing { commit: WORLD.known[2], number: 3 }
}

#[test]
fn the_revision_is_above_every_offer_at_the_head_that_anything_tells_of() {
    let second = known(2, 9);
    let applies = |version| Report { applying: Some(claim(version)), ..report(None, None) };
    for (what, signed, report, revision) in [
        ("nothing was offered", vec![], report(None, None), 0),
        ("something was offered below", vec![second, lost(3, 9)], report(Some(second), Some(second)), 0),
        ("one offer is known", vec![known(3, 0)], report(None, None), 1),
        ("another one is known as well", vec![known(3, 4), known(3, 0)], report(Some(known(3, 0)), None), 5),
        ("it runs one", vec![], report(Some(known(3, 2)), None), 3),
        ("it applies one", vec![], applies(known(3, 2)), 3),
        ("it began one, and that failed", vec![], report(Some(second), Some(known(3, 2))), 3),
    ] {
        let track = Track { standing: &NORMAL, report: Some(&report), signed };
        assert_eq!(track.next_version(head(), Some(&WORLD.history)), Some(known(3, revision)), "{what}");
    }
}

#[test]
fn nothing_is_offered_while_what_it_must_give_up_is_changing() {
    let begun = |version| Report { applying: Some(claim(version)), ..report(Some(known(1, 0)), Some(version)) };
    let asks = |version| Report { begun: Some(known(1, 0)), ..begun(version) };
    for (what, signed, report, expected) in [
        ("a lost one is being applied", vec![], begun(lost(3, 1)), None),
        ("a known one is, and a lost one was signed", vec![lost(4, 0)], begun(known(2, 0)), None),
        ("a known one is, and needs no giving up", vec![], begun(known(2, 0)), Some(known(3, 0))),
        ("a lost one waits for the word to be applied", vec![], asks(lost(3, 1)), Some(known(3, 0))),
    ] {
        let track = Track { standing: &NORMAL, report: Some(&report), signed };
        assert_eq!(track.next_version(head(), Some(&WORLD.history)), expected, "{what}");
    }
}

#[test]
fn an_offer_gives_up_what_runs_where_something_lost_and_not_lower_was_or_may_have_been_begun() {
    let next = known(3, 1);
    let runs = |version: Version| Supersedes::Running { version, digest: claim(version).digest };
    let nonce = Supersedes::Nonce("nonce".into());
    for (what, signed, report, expected) in [
        ("nothing was lost", vec![known(2, 0), known(3, 0)], report(Some(known(2, 0)), Some(known(3, 0))), None),
        ("what was lost is lower", vec![lost(3, 0)], report(Some(known(2, 0)), Some(lost(2, 7))), None),
        ("a lost one was signed", vec![lost(3, 1)], report(Some(known(2, 0)), None), Some(runs(known(2, 0)))),
        ("a lost one was begun", vec![], report(Some(known(2, 0)), Some(lost(4, 0))), Some(runs(known(2, 0)))),
        (
            "one with the same number was begun",
            vec![],
            report(Some(known(1, 0)), Some(lost(3, 1))),
            Some(runs(known(1, 0))),
        ),
        ("a lost one was begun, and nothing runs", vec![], report(None, Some(lost(4, 0))), Some(nonce)),
        // No landing has that number and commit, whoever says so.
        (
            "a known one was begun under another number",
            vec![],
            report(Some(known(1, 0)), Some(version(9, 0, WORLD.known[1]))),
            Some(runs(known(1, 0))),
        ),
    ] {
        let track = Track { standing: &NORMAL, report: Some(&report), signed };
        assert_eq!(track.supersedes(next, Some(&WORLD.history)), expected, "{what}");
        let paused = crate::classify::Pause {
            code: bellwether_schemas::codes::VERSION_MISSING,
            why: String::new(),
            commit: None,
            missing: Vec::new(),
        };
        let track = Track { standing: &Standing::Paused(paused), ..track };
        assert_eq!(track.supersedes(next, Some(&WORLD.history)), None, "{what}, and it is paused");
    }
    // What a Resume has it give up is said, whatever else is known; by its nonce where its report cannot be read.
    let forced = Standing::Normal { supersedes: Some(Supersedes::Nonce("n-2".into())) };
    let unreadable = Track { standing: &forced, report: None, signed: vec![] };
    assert_eq!(unreadable.supersedes(next, Some(&WORLD.history)), Some(Supersedes::Nonce("n-2".into())));
}

#[test]
fn an_offer_stands_while_its_landing_counts_and_it_gives_up_what_must_be() {
    let offer = |version: Version, supersedes| SignedOffer {
        fleet: "edge".parse().expect("a name"),
        version,
        template: version.commit,
        digest: Sha256Digest::of(b"content"),
        supersedes,
        not_before: None,
        not_after: None,
        soak: Seconds::ZERO,
    };
    let runs = Supersedes::Running { version: known(1, 0), digest: claim(known(1, 0)).digest };
    let other = Supersedes::Running { version: known(2, 0), digest: claim(known(2, 0)).digest };
    for (what, begun, offer, stands) in [
        ("made at a landing", known(1, 0), offer(known(3, 0), None), true),
        ("made at what was lost", known(1, 0), offer(lost(3, 0), None), false),
        ("what must be given up is not", lost(4, 0), offer(known(3, 0), None), false),
        ("something else is given up", lost(4, 0), offer(known(3, 0), Some(other)), false),
        ("what must be given up is", lost(4, 0), offer(known(3, 0), Some(runs.clone())), true),
        ("more is given up than must be", known(1, 0), offer(known(3, 0), Some(runs)), true),
    ] {
        let report = report(Some(known(1, 0)), Some(begun));
        let track = Track { standing: &NORMAL, report: Some(&report), signed: vec![] };
        assert_eq!(track.upholds(&offer, &WORLD.history, Some(&WORLD.history)), stands, "{what}");
    }
}

fn offer(version: Version) -> SignedOffer {
    SignedOffer {
        fleet: "edge".parse().expect("a name"),
        version,
        template: version.commit,
        digest: Sha256Digest::of(b"content"),
        supersedes: None,
        not_before: None,
        not_after: None,
        soak: Seconds::ZERO,
    }
}

#[test]
fn a_device_asks_to_begin_what_it_is_offered_and_nothing_else() {
    let applying = |phase, claim| Report { applying: Some(claim), phase, ..report(None, None) };
    let offered = offer(known(3, 1));
    let asks = |phase, claim| asks_for(&applying(phase, claim), &offered);
    assert_eq!(asks(Phase::Applying, claim(known(3, 1))), Some(known(3, 1)));
    assert_eq!(asks(Phase::Applying, claim(known(3, 0))), None, "an offer that was replaced");
    let other = Claim { digest: Sha256Digest::of(b"other"), ..claim(known(3, 1)) };
    assert_eq!(asks(Phase::Applying, other), None, "other content");
    assert_eq!(asks(Phase::Probing, claim(known(3, 1))), None, "it has begun");
    assert_eq!(asks_for(&report(Some(known(3, 1)), None), &offered), None);
}

#[test]
fn a_device_shall_look_for_what_it_says_nothing_of() {
    let offered = known(3, 0);
    let idle = report(Some(known(2, 0)), None);
    assert!(shall_look(&idle, offered));
    assert!(!shall_look(&Report { running: Some(claim(offered)), ..idle.clone() }, offered), "it runs it");
    assert!(!shall_look(&Report { phase: Phase::Fetching, ..idle.clone() }, offered), "it looks");
    let failed = Report { phase: Phase::RolledBack, failure: Some(failure(offered)), ..idle.clone() };
    assert!(!shall_look(&failed, offered), "it failed on it");
    assert!(shall_look(&failed, known(3, 1)), "the next try it does not know");
    let soaks = Report { applying: Some(claim(known(2, 1))), phase: Phase::Soaking, ..idle };
    assert!(shall_look(&soaks, offered), "a soak can be left for something newer");
}

fn failure(version: Version) -> bellwether_schemas::report::Failure {
    bellwether_schemas::report::Failure {
        version: Some(version),
        digest: None,
        kind: bellwether_schemas::report::FailureKind::RolledBack,
        code: "BW-0406".to_owned(),
        message: String::new(),
        at: jiff::Timestamp::UNIX_EPOCH,
    }
}

#[test]
fn only_what_was_never_reached_with_an_offer_is_progress() {
    let (first, second) = (known(2, 0), known(3, 0));
    let at = |phase| Report { applying: Some(claim(first)), phase, ..report(None, None) };
    let mut furthest = Furthest::default();
    for phase in [Phase::Fetching, Phase::Staged, Phase::Applying, Phase::Probing, Phase::RollingBack] {
        assert!(furthest.reach(first, &at(phase)), "{phase:?}");
        assert!(!furthest.reach(first, &at(phase)), "{phase:?} again");
    }
    for phase in [Phase::Fetching, Phase::Applying, Phase::Probing, Phase::Soaking, Phase::RolledBack] {
        assert!(!furthest.reach(first, &at(phase)), "{phase:?} after it ended");
    }
    assert!(furthest.reach(second, &at(Phase::Fetching)), "another offer begins from nothing");
    assert!(furthest.reach(second, &report(Some(second), None)), "it runs it");
}
