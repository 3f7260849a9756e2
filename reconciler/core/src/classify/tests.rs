//! What pauses a device, and what ends the pause: a test for each outcome.

use std::sync::LazyLock;

use bellwether_schemas::manifest::Resume;
use bellwether_schemas::report::{Health, Phase, Report};
use proptest::prelude::*;

use super::*;
use crate::testing::{Story, labels, name};

/// A history of three landings, and two that were landed on the first one in another clone.
struct World {
    history: VerifiedHistory,
    known: [CommitId; 3],
    lost: [CommitId; 2],
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut story =
        Story::begin(&[("fleets/gateways.yaml", "{selector: {matchLabels: {site: kiel}}, template: {probes: none}}")]);
    let mut clone = story.clone();
    let land = |story: &mut Story, text: &str| {
        story.put("README.md", text).land();
        story.head()
    };
    let lost = [land(&mut clone, "lost"), land(&mut clone, "lost too")];
    let known = [story.head(), land(&mut story, "second"), land(&mut story, "third")];
    World { history: story.history, known, lost }
});

fn digest(text: &str) -> Sha256Digest {
    Sha256Digest::of(text.as_bytes())
}

/// A claim to version `landing` of `commit`, rendered from the first landing, with this content.
fn claim(landing: u64, commit: CommitId, content: &str) -> Claim {
    let version = Version { landing, commit, revision: 0 };
    Claim { version, template: WORLD.known[0], digest: digest(content) }
}

fn known(landing: u8, content: &str) -> Claim {
    claim(landing.into(), WORLD.known[usize::from(landing) - 1], content)
}

fn lost(landing: u64, content: &str) -> Claim {
    claim(landing, WORLD.lost[0], content)
}

fn reported(running: Option<Claim>, applying: Option<Claim>) -> Reported {
    Reported::Readable(Report {
        nonce: "nonce".into(),
        agent: "0".into(),
        running,
        applying,
        begun: None,
        phase: Phase::Idle,
        health: Health::Healthy,
        failure: None,
        clock: jiff::Timestamp::UNIX_EPOCH,
    })
}

/// We signed "signed" for the third landing and nothing for others; template 1 renders to "rendered" at the head.
fn judged(reported: &Reported) -> Classified {
    let evidence = Evidence {
        history: &WORLD.history,
        signed: &|version| (version.commit == WORLD.known[2] && version.revision == 0).then(|| digest("signed")),
        rendered: &|number| (number == 1).then(|| digest("rendered")),
    };
    classify(reported, &evidence)
}

fn running(claim: Claim) -> Reported {
    reported(Some(claim), None)
}

fn of_running(claim: Claim) -> Classification {
    judged(&running(claim)).worst().clone()
}

#[test]
fn no_version_is_empty() {
    assert_eq!(judged(&reported(None, None)).worst(), &Classification::Empty);
}

#[test]
fn a_landing_with_its_number_is_in_history() {
    assert_eq!(of_running(known(3, "signed")), Classification::InHistory);
    assert_eq!(of_running(known(1, "whatever, as nothing is known to be signed")), Classification::InHistory);
    let second_offer = Version { revision: 1, ..known(3, "").version };
    assert_eq!(of_running(Claim { version: second_offer, ..known(3, "another offer") }), Classification::InHistory);
}

#[test]
fn a_missing_commit_is_ahead_or_diverged_by_its_number() {
    for (landing, stand) in [(4, Stand::Ahead), (u64::MAX, Stand::Ahead), (3, Stand::Diverged), (0, Stand::Diverged)] {
        let claim = lost(landing, "x");
        assert_eq!(of_running(claim), Classification::Missing { claim, stand }, "{landing}");
    }
}

#[test]
fn a_missing_commit_is_equivalent_only_by_template_and_digest() {
    let same = lost(4, "rendered");
    assert_eq!(of_running(same), Classification::Equivalent(same));
    for (what, claim) in [
        ("its template is missing too", Claim { template: WORLD.lost[0], ..same }),
        ("its template renders to nothing", Claim { template: WORLD.known[1], ..same }),
        ("the digest differs", lost(4, "other")),
    ] {
        assert_eq!(of_running(claim), Classification::Missing { claim, stand: Stand::Ahead }, "{what}");
    }
}

#[test]
fn what_was_not_signed_is_altered() {
    let claim = known(3, "tampered");
    assert_eq!(of_running(claim), Classification::Altered { claim, signed: digest("signed") });
}

#[test]
fn a_wrong_number_or_a_malformed_report_is_unreadable() {
    for landing in [0, 2, 4] {
        let wrong = claim(landing, WORLD.known[2], "signed");
        let found = of_running(wrong);
        assert!(matches!(&found, Classification::Unreadable { claim: Some(c), .. } if *c == wrong), "{found:?}");
    }
    let malformed = Reported::Unreadable { why: "no digest".into(), nonce: None };
    assert_eq!(judged(&malformed).worst(), &Classification::Unreadable { why: "no digest".into(), claim: None });
}

#[test]
fn the_worse_one_of_running_and_applying_wins() {
    let by_badness = [
        known(3, "signed"),
        lost(4, "rendered"),
        lost(4, "other"),
        known(3, "tampered"),
        claim(9, WORLD.known[2], "signed"),
    ];
    for (index, worse) in by_badness.iter().enumerate() {
        let expected = of_running(*worse);
        assert_eq!(judged(&reported(None, Some(*worse))).worst(), &expected);
        for better in &by_badness[..=index] {
            for both in [(Some(*better), Some(*worse)), (Some(*worse), Some(*better))] {
                assert_eq!(judged(&reported(both.0, both.1)).worst(), &expected, "{both:?}");
            }
        }
    }
}

/// A Resume over these commits, for these devices.
fn resume(over: &[CommitId], devices: &[&str]) -> Resume {
    let devices = devices.iter().map(|device| name(device)).collect();
    Resume { over: over.to_vec(), devices, selector: None, reason: "tests".into() }
}

fn stands(reported: &Reported, resumes: &[(u64, Resume)], rewound: bool) -> Standing {
    stands_after(None, reported, resumes, rewound)
}

fn stands_after(taken: Option<u64>, reported: &Reported, resumes: &[(u64, Resume)], rewound: bool) -> Standing {
    let (device, labels) = (name("edge-1"), labels(&[("site", "kiel")]));
    let nonce = match reported {
        Reported::Readable(report) => Some(report.nonce.as_str()),
        Reported::Unreadable { nonce, .. } => nonce.as_deref(),
    };
    let who = Who { device: &device, labels: &labels, nonce, taken };
    let resumes = resumes.iter().map(|(since, resume)| ResumeAt { resume, since: *since });
    standing(&judged(reported), &who, resumes, rewound)
}

fn goes_on(giving_up: Option<Supersedes>) -> Standing {
    Standing::Normal { supersedes: giving_up }
}

fn that_runs(claim: Claim) -> Option<Supersedes> {
    Some(Supersedes::Running { version: claim.version, digest: claim.digest })
}

#[track_caller]
fn assert_paused(found: &Standing, code: Code, commit: Option<CommitId>) {
    match found {
        Standing::Paused(pause) => assert_eq!((pause.code, pause.commit), (code, commit), "{}", pause.why),
        Standing::Normal { .. } => panic!("expected {code}, found {found:?}"),
    }
}

#[test]
fn empty_and_in_history_go_on() {
    for rewound in [false, true] {
        assert_eq!(stands(&reported(None, None), &[], rewound), goes_on(None));
        assert_eq!(stands(&running(known(3, "signed")), &[], rewound), goes_on(None));
    }
}

#[test]
fn equivalent_goes_on_and_gives_up_what_it_runs_but_waits_while_rewound() {
    let claim = lost(4, "rendered");
    assert_eq!(stands(&running(claim), &[], false), goes_on(that_runs(claim)));
    let resumes = [(3, resume(&WORLD.lost, &[]))];
    assert_paused(&stands(&running(claim), &resumes, true), codes::VERSION_MISSING, Some(WORLD.lost[0]));
}

#[test]
fn missing_is_paused_until_a_resume_covers_its_commit_and_the_device() {
    let claim = lost(4, "other");
    let [this, another] = WORLD.lost;
    let selecting = |site: &str| {
        let selector = bellwether_schemas::manifest::LabelSelector {
            match_labels: labels(&[("site", site)]),
            ..Default::default()
        };
        Resume { selector: Some(selector), ..resume(&[this], &[]) }
    };
    for (what, resume, covers) in [
        ("its commit", resume(&[this], &[]), true),
        ("its commit among others", resume(&[another, this], &[]), true),
        ("another commit", resume(&[another], &[]), false),
        ("its commit, for it", resume(&[this], &["edge-2", "edge-1"]), true),
        ("its commit, for another device", resume(&[this], &["edge-2"]), false),
        ("its commit, for its site", selecting("kiel"), true),
        ("its commit, for another site", selecting("oslo"), false),
        ("no commit, for it", resume(&[], &["edge-1"]), false),
        ("nothing", resume(&[], &[]), false),
    ] {
        let found = stands(&running(claim), &[(3, resume.clone())], false);
        match covers {
            true => assert_eq!(found, goes_on(that_runs(claim)), "{what}"),
            false => assert_paused(&found, codes::VERSION_MISSING, Some(this)),
        }
        assert_paused(&stands(&running(claim), &[(3, resume)], true), codes::VERSION_MISSING, Some(this));
    }
    assert_paused(&stands(&running(claim), &[], false), codes::VERSION_MISSING, Some(this));
}

#[test]
fn altered_goes_on_only_by_a_later_resume_that_names_the_device() {
    let claim = known(3, "tampered");
    let over_all = resume(&WORLD.known, &[]);
    for (what, since, resume, covers) in [
        ("from before the version", 2, resume(&[], &["edge-1"]), false),
        ("from the version's landing", 3, resume(&[], &["edge-1"]), false),
        ("from after it", 4, resume(&[], &["edge-1"]), true),
        ("for another device", 4, resume(&[], &["edge-2"]), false),
        ("over its commit, for everybody", 4, over_all, false),
    ] {
        match (stands(&running(claim), &[(since, resume)], false), covers) {
            (found, true) => assert_eq!(found, goes_on(that_runs(claim)), "{what}"),
            (found, false) => assert_paused(&found, codes::VERSION_ALTERED, None),
        }
    }
}

#[test]
fn unreadable_goes_on_only_by_name_and_when_something_can_be_named() {
    let named = [(4, resume(&[], &["edge-1"]))];
    let wrong = claim(9, WORLD.known[2], "signed");
    assert_paused(&stands(&running(wrong), &[], false), codes::REPORT_UNREADABLE, None);
    assert_eq!(stands(&running(wrong), &named, false), goes_on(that_runs(wrong)));
    let malformed = |nonce: Option<&str>| Reported::Unreadable { why: "cut".into(), nonce: nonce.map(str::to_owned) };
    assert_paused(&stands(&malformed(Some("n")), &[], false), codes::REPORT_UNREADABLE, None);
    assert_paused(
        &stands(&malformed(Some("n")), &[(4, resume(&WORLD.lost, &[]))], false),
        codes::REPORT_UNREADABLE,
        None,
    );
    assert_eq!(stands(&malformed(Some("n")), &named, false), goes_on(Some(Supersedes::Nonce("n".into()))));
    assert_paused(&stands(&malformed(None), &named, false), codes::REPORT_UNREADABLE, None);
    // A Resume from before the device last took an offer speaks of something else, whatever it is over.
    for named in [named, [(4, resume(&WORLD.lost, &["edge-1"]))]] {
        for (taken, covers) in [(None, true), (Some(3), true), (Some(4), false), (Some(5), false)] {
            let found = stands_after(taken, &malformed(Some("n")), &named, false);
            assert_eq!(matches!(found, Standing::Normal { .. }), covers, "{taken:?}");
        }
    }
}

#[test]
fn what_is_being_applied_pauses_too_and_what_runs_is_given_up() {
    let (runs, applies) = (known(3, "signed"), lost(4, "other"));
    let both = reported(Some(runs), Some(applies));
    let resumes = [(3, resume(&[WORLD.lost[0]], &[]))];
    assert_paused(&stands(&both, &[], false), codes::VERSION_MISSING, Some(WORLD.lost[0]));
    assert_eq!(stands(&both, &resumes, false), goes_on(that_runs(runs)));
    let first = reported(None, Some(applies));
    assert_eq!(stands(&first, &resumes, false), goes_on(Some(Supersedes::Nonce("nonce".into()))));
}

#[test]
fn no_pause_hides_behind_another_that_a_resume_covers() {
    let [first, second] = WORLD.lost;
    let both = reported(Some(claim(2, first, "x")), Some(claim(4, second, "x")));
    assert_paused(&stands(&both, &[(3, resume(&[second], &[]))], false), codes::VERSION_MISSING, Some(first));
    assert_paused(&stands(&both, &[(3, resume(&[first], &[]))], false), codes::VERSION_MISSING, Some(second));
    let worse = reported(Some(lost(2, "x")), Some(known(3, "tampered")));
    assert_paused(&stands(&worse, &[(4, resume(&[], &["edge-1"]))], false), codes::VERSION_MISSING, Some(first));
}

#[test]
fn a_pause_names_every_commit_that_is_missing_and_that_no_resume_is_over() {
    let [first, second] = WORLD.lost;
    let (runs, applies) = (claim(2, first, "x"), claim(4, second, "x"));
    let named = |standing: Standing| match standing {
        Standing::Paused(pause) => pause.missing,
        Standing::Normal { .. } => Vec::new(),
    };
    let running = MissingCommit { commit: first, landing: 2, claim: ClaimKind::Running, stand: Stand::Diverged };
    let applying = MissingCommit { commit: second, landing: 4, claim: ClaimKind::Applying, stand: Stand::Ahead };
    let both = reported(Some(runs), Some(applies));
    assert_eq!(named(stands(&both, &[], false)), [running, applying]);
    assert_eq!(named(stands(&both, &[(3, resume(&[first], &[]))], false)), [applying]);
    assert_eq!(named(stands(&both, &[(3, resume(&[second], &[]))], false)), [running]);
    assert_eq!(named(stands(&both, &[(3, resume(&WORLD.lost, &[]))], false)), []);
    // What is worse comes first, and hides nothing.
    let altered = reported(Some(known(3, "tampered")), Some(applies));
    assert_eq!(named(stands(&altered, &[], false)), [applying]);
    // Nothing is known to be equivalent while the branch is set back.
    let equivalent = MissingCommit { commit: first, landing: 4, claim: ClaimKind::Running, stand: Stand::Ahead };
    assert_eq!(named(stands(&self::running(lost(4, "rendered")), &[], true)), [equivalent]);
    assert_eq!(named(stands(&self::running(lost(4, "rendered")), &[], false)), []);
}

fn any_claim() -> impl Strategy<Value = Option<Claim>> {
    let world = &*WORLD;
    let commits: Vec<CommitId> = world.known.iter().chain(&world.lost).copied().collect();
    let commit = prop::sample::select(commits.clone());
    let content = prop::sample::select(vec!["signed", "rendered", "other"]);
    let one = (0..6_u64, 0..2_u32, commit, prop::sample::select(commits), content).prop_map(
        |(landing, revision, commit, template, content)| {
            // Mostly the true number, for otherwise nearly every report would be unreadable.
            let landing = WORLD.history.number_of(&commit).filter(|_| landing > 0).unwrap_or(landing);
            Claim { version: Version { landing, commit, revision }, template, digest: digest(content) }
        },
    );
    prop::option::weighted(0.8, one)
}

fn any_resume() -> impl Strategy<Value = (u64, Resume)> {
    let over = prop::sample::subsequence(WORLD.lost.to_vec(), 0..=2);
    let devices = prop::sample::subsequence(vec!["edge-1", "edge-2"], 0..=2);
    (0..6_u64, over, devices).prop_map(|(since, over, devices)| (since, resume(&over, &devices)))
}

proptest! {
    /// However running, applying and Resumes combine.
    #[test]
    fn nobody_goes_on_with_a_missing_commit_that_nobody_explains(
        running in any_claim(), applying in any_claim(),
        resumes in prop::collection::vec(any_resume(), 0..3), rewound in any::<bool>(),
    ) {
        if let Standing::Normal { supersedes } = stands(&reported(running, applying), &resumes, rewound) {
            let missing = |claim: &&Claim| WORLD.history.number_of(&claim.version.commit).is_none();
            for claim in running.iter().chain(&applying).filter(missing) {
                let equivalent = claim.template == WORLD.known[0] && claim.digest == digest("rendered");
                let covered = resumes.iter().any(|(_, resume)| {
                    resume.over.contains(&claim.version.commit)
                        && (resume.devices.is_empty() || resume.devices.contains(&name("edge-1")))
                });
                prop_assert!(!rewound && (equivalent || covered), "{:?}", claim);
                // What is not below the head must be given up, by naming exactly what runs.
                let runs = running.map_or_else(|| Some(Supersedes::Nonce("nonce".into())), that_runs);
                prop_assert_eq!(&supersedes, &runs);
            }
        }
    }
}
