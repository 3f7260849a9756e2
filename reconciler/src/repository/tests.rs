mod expiry;
mod orders;

use std::sync::atomic::{AtomicU32, Ordering};

use bellwether_core::objects::MemoryObjects;
use bellwether_schemas::head::HeadRecord;
use jiff::SignedDuration;

use super::*;
use crate::testing::{BEGUN, Git, policy};

const EDGE: &str = "{selector: {matchLabels: {role: edge}}, template: {files: [{path: /opt/bellwether/a, content: one}], \
                    probes: none}}";
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(BEGUN + seconds).expect("a time")
}

fn later(from: Timestamp, span: SignedDuration) -> Timestamp {
    from.checked_add(span).expect("a time")
}

/// A git server, and what each commit on it is.
struct Site {
    git: Git,
    introduction: Introduction,
}

impl Site {
    fn begin() -> Self {
        let git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
        Self { introduction: git.introduction(), git }
    }

    fn fleet(&mut self, content: &str) -> CommitId {
        self.git.land(&[("fleets/edge.yaml", &EDGE.replace("one", content))])
    }

    fn on(&self, objects: MemoryObjects) -> Repository {
        Repository::new(SharedObjects::new(objects), self.introduction, "main")
    }

    /// A reconciler that accepted the branch up to `tip`.
    fn at(&self, tip: CommitId) -> Repository {
        let mut repository = self.on(self.git.clone_of(tip));
        repository.advance(&tip, at(0));
        assert_eq!(repository.condition(), &Condition::Verified);
        assert_eq!(head_of(&repository), Some(tip));
        repository
    }

    fn record(&self, tip: CommitId) -> HeadRecord {
        self.at(tip).head_record().expect("a head")
    }

    fn row(&self, tip: CommitId) -> Option<HeadRow> {
        Some(HeadRow::from(&self.record(tip)))
    }
}

fn head_of(repository: &Repository) -> Option<CommitId> {
    let head = repository.head().map(|head| head.commit);
    assert_eq!(head, repository.history().map(|history| *history.head()), "history and what it declares never differ");
    head
}

fn numbers(moved: &[LandingRow]) -> Vec<u64> {
    moved.iter().map(|landing| landing.number).collect()
}

fn rewound_for(repository: &Repository) -> Option<CommitId> {
    match repository.condition() {
        Condition::Rewound { accepted, .. } => Some(*accepted),
        _ => None,
    }
}

/// Objects of which one can be read only so many times, as from a failing disk.
struct Failing {
    objects: MemoryObjects,
    one: ObjectId,
    reads: AtomicU32,
}

impl ObjectSource for Failing {
    fn raw(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), ObjectError> {
        if *id == self.one {
            let spent = self.reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            spent.map_err(|_| ObjectError::Missing(*id))?;
        }
        self.objects.raw(id)
    }
}

#[test]
fn an_object_that_fails_stops_history_and_what_it_declares_at_the_same_landing() {
    let mut site = Site::begin();
    let first = site.git.tip.expect("a commit");
    let (second, third, fourth) = (site.fleet("two"), site.fleet("three"), site.fleet("four"));
    let mut repository = site.at(first);
    site.git.checkout(third);
    let one = objects::object_id(ObjectKind::Blob, site.git.file("fleets/edge.yaml").as_bytes());
    // It is read once to judge the landing, and once more to declare what it says.
    let failing = Failing { objects: site.git.objects.clone(), one, reads: AtomicU32::new(1) };
    repository.reopen(SharedObjects::new(failing));
    let moved = repository.advance(&fourth, at(0));
    assert_eq!((head_of(&repository), numbers(&moved.landings)), (Some(second), vec![2]));
    assert!(
        matches!(repository.condition(), Condition::Stalled { code, .. } if *code == codes::OBJECT_MISSING.as_str())
    );
    repository.reopen(SharedObjects::new(site.git.objects.clone()));
    let moved = repository.advance(&fourth, at(0));
    assert_eq!((head_of(&repository), numbers(&moved.landings)), (Some(fourth), vec![3, 4]));
    assert_eq!(repository.condition(), &Condition::Verified);
}

#[test]
fn the_higher_of_database_and_record_is_the_anchor_and_the_database_catches_up() {
    let mut site = Site::begin();
    let (second, third) = (site.fleet("two"), site.fleet("three"));
    let all = |site: &Site| site.on(site.git.clone_of(third));
    // (database, record, what the database lacks)
    let table = [
        (site.row(second), site.row(third), vec![1, 2, 3]),
        (site.row(third), site.row(second), vec![]),
        (site.row(third), site.row(third), vec![]),
        (site.row(third), None, vec![]),
        (None, site.row(third), vec![1, 2, 3]),
    ];
    for (database, record, lacks) in table {
        let mut repository = all(&site);
        let unstored = repository.restore(database, record, at(0));
        assert_eq!((head_of(&repository), numbers(&unstored)), (Some(third), lacks));
        assert!(!repository.lacks_anchor());
    }
    let mut repository = all(&site);
    assert_eq!(repository.restore(None, None, at(0)).len(), 0);
    assert_eq!(head_of(&repository), None);
}

#[test]
fn a_record_of_another_introduction_is_ignored_wherever_it_is_found() {
    let mut site = Site::begin();
    let (first, second) = (site.git.tip.expect("a commit"), site.fleet("two"));
    let mut foreign = site.record(second);
    foreign.introduction = second;
    (foreign.policy_version, foreign.landing) = (9, 9);
    let mut repository = site.on(site.git.clone_of(second));
    repository.restore(site.row(first), Some(HeadRow::from(&foreign)), at(0));
    assert_eq!(head_of(&repository), Some(first));
    assert!(!repository.is_below(&foreign));
    assert!(!repository.take_anchor(&foreign, at(0)).condition);
    repository.advance(&second, at(0));
    assert_eq!((head_of(&repository), repository.condition()), (Some(second), &Condition::Verified));
}

#[test]
fn an_older_database_beside_a_newer_record_moves_nothing_until_the_commits_return() {
    let mut site = Site::begin();
    let (first, second) = (site.git.tip.expect("a commit"), site.fleet("two"));
    let third = site.fleet("three");
    // Whoever restored the git server, the database and the mirror has forgotten the third landing; the store has not.
    let mut repository = site.on(MemoryObjects::default());
    let unstored = repository.restore(site.row(first), site.row(third), at(0));
    assert_eq!((head_of(&repository), unstored.len()), (None, 0), "the mirror has to be fetched first");
    repository.reopen(SharedObjects::new(site.git.clone_of(second)));
    for _ in 0..2 {
        let moved = repository.advance(&second, at(0));
        assert_eq!((head_of(&repository), moved.landings.len()), (Some(first), 0), "the branch lacks the anchor");
        assert_eq!(rewound_for(&repository), Some(third));
    }
    let judged_by = repository.judging_history().map(|history| *history.head());
    assert_eq!(judged_by, Some(second), "devices are judged by what git says now");
    // Another third landing is no replacement.
    site.git.checkout(second);
    let other = site.fleet("other");
    repository.reopen(SharedObjects::new(site.git.clone_of(other)));
    repository.advance(&other, at(0));
    assert_eq!((head_of(&repository), rewound_for(&repository)), (Some(first), Some(third)));
    // The commits return, with one more.
    site.git.checkout(third);
    let fourth = site.fleet("four");
    repository.reopen(SharedObjects::new(site.git.clone_of(fourth)));
    let moved = repository.advance(&fourth, at(0));
    assert_eq!((head_of(&repository), numbers(&moved.landings)), (Some(fourth), vec![1, 2, 3, 4]));
    assert_eq!(repository.condition(), &Condition::Verified);
    assert!(!repository.lacks_anchor());
}

#[test]
fn a_branch_that_neither_verifies_nor_has_the_anchor_is_stalled() {
    let mut site = Site::begin();
    let (first, second) = (site.git.tip.expect("a commit"), site.fleet("two"));
    site.git.checkout(first);
    let bad = site.git.land(&[("trust/policy.yaml", &policy(1, "maxSilence: 1d,"))]);
    let mut repository = site.on(site.git.clone_of(bad));
    repository.restore(None, site.row(second), at(0));
    for _ in 0..2 {
        let moved = repository.advance(&bad, at(0));
        assert!(moved.landings.is_empty() && head_of(&repository).is_none());
        let is_named = |why: &str| why.contains("version") && why.contains(&second.to_string());
        assert!(
            matches!(repository.condition(), Condition::Stalled { code, why, .. }
                if *code == codes::POLICY_VERSION.as_str() && is_named(why)),
            "{:?}",
            repository.condition()
        );
    }
}

#[test]
fn what_a_device_holds_moves_nothing_unless_it_is_above_everything_known() {
    let mut site = Site::begin();
    let (first, second) = (site.git.tip.expect("a commit"), site.fleet("two"));
    site.git.checkout(first);
    let aside = site.fleet("aside");
    site.git.checkout(second);
    let third = site.fleet("three");
    let mut repository = site.at(second);
    for below in [first, second, aside] {
        let record = site.record(below);
        assert!(!repository.is_below(&record));
        let moved = repository.take_anchor(&record, at(0));
        assert!(!moved.condition && moved.landings.is_empty() && !repository.lacks_anchor());
    }
    // Above it: the branch must lead there first, also when it goes on elsewhere meanwhile.
    let moved = repository.take_anchor(&site.record(third), at(0));
    assert!(moved.condition && moved.landings.is_empty());
    assert_eq!((head_of(&repository), rewound_for(&repository)), (Some(second), Some(third)));
    repository.reopen(SharedObjects::new(site.git.clone_of(third)));
    let moved = repository.advance(&third, at(0));
    assert_eq!((head_of(&repository), numbers(&moved.landings)), (Some(third), vec![1, 2, 3]));
    assert_eq!(repository.condition(), &Condition::Verified);
}

#[test]
fn a_device_restores_the_anchor_when_database_and_store_are_lost() {
    let mut site = Site::begin();
    let (second, third) = (site.fleet("two"), site.fleet("three"));
    // Nothing is known, and the git server was set back.
    let mut repository = site.on(site.git.clone_of(second));
    repository.restore(None, None, at(0));
    repository.advance(&second, at(0));
    assert_eq!((head_of(&repository), repository.condition()), (Some(second), &Condition::Verified));
    repository.take_anchor(&site.record(third), at(0));
    assert_eq!(rewound_for(&repository), Some(third));
    // Where the mirror has its commits, it is the accepted head again: its policy says who may give it up.
    repository.reopen(SharedObjects::new(site.git.objects.clone()));
    let moved = repository.advance(&second, at(0));
    assert_eq!((head_of(&repository), numbers(&moved.landings)), (Some(third), vec![1, 2, 3]));
    assert_eq!(rewound_for(&repository), Some(third));
}

#[test]
fn a_signed_reset_makes_the_branch_the_accepted_history() {
    let mut site = Site::begin();
    let (first, _, third) = (site.git.tip.expect("a commit"), site.fleet("two"), site.fleet("three"));
    let mut repository = site.at(third);
    site.git.checkout(first);
    let reset = site.git.land(&[("trust/policy.yaml", &policy(2, &format!("abandons: {third},")))]);
    repository.reopen(SharedObjects::new(site.git.objects.clone()));
    let stop = |reset_is| {
        let branch = VerifiedHistory::restore(&site.git.objects, &site.introduction, "main", &reset).expect("verified");
        Some(Stop::Rewound { branch: Box::new(branch.0), branch_landings: branch.1, reset: reset_is })
    };
    let refusal = Refusal {
        code: codes::RESET_REFUSED,
        commit: reset,
        path: None,
        rule: None,
        why: "nobody who may has signed it".to_owned(),
        hint: "",
    };
    let mut taken = Vec::new();
    // Where an object is missing, it may come: the next look asks again.
    let passing = Refusal { code: codes::OBJECT_MISSING, ..refusal.clone() };
    repository.settle(reset, stop(Reset::Refused(passing)), at(0), &mut taken).expect("readable");
    assert!(!repository.was_judged(&reset));
    let refused = repository.settle(reset, stop(Reset::Refused(refusal)), at(0), &mut taken).expect("readable");
    assert!(
        matches!(&refused, Condition::Rewound { accepted, reset: Some(why), .. }
            if *accepted == third && why == "nobody who may has signed it (BW-0244)"),
        "{refused:?}"
    );
    assert_eq!((head_of(&repository), taken.len()), (Some(third), 0));
    assert!(repository.was_judged(&reset) && !repository.was_judged(&first));

    let before = repository.head_record().expect("a head");
    let signed = repository.settle(reset, stop(Reset::Signed), at(0), &mut taken).expect("readable");
    assert_eq!((signed, head_of(&repository), numbers(&taken)), (Condition::Verified, Some(reset), vec![1, 2]));
    let after = repository.head_record().expect("a head");
    assert!(after.rank() > before.rank() && after.landing < before.landing);
    assert_eq!(repository.landings().map(|shown| shown.landing).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(repository.judging_history().map(|history| *history.head()), Some(reset));
    // What was given up stays given up, whoever brings it.
    assert!(!repository.is_below(&before));
}

#[test]
fn a_silence_freezes_the_condition_and_a_signed_commit_ends_it() {
    let mut git = Git::begin(&[("fleets/edge.yaml", EDGE)]);
    let introduction = git.introduction();
    let limited = git.land(&[("trust/policy.yaml", &policy(2, "maxSilence: 7d,"))]);
    let spoken = at(2);
    let mut repository = Repository::new(SharedObjects::new(git.objects.clone()), introduction, "main");
    repository.advance(&limited, at(3));
    let end = later(spoken, DAY * 7);
    assert_eq!(repository.freezes_at(), Some(later(end, SignedDuration::from_nanos(1))));
    assert!(!repository.watch_silence(end));
    assert_eq!(repository.condition(), &Condition::Verified);

    let frozen = Condition::Frozen { since: spoken, max_silence: "7d".parse().expect("a span") };
    let now = repository.freezes_at().expect("a time");
    assert!(repository.watch_silence(now) && !repository.watch_silence(now));
    assert_eq!((repository.condition(), repository.freezes_at()), (&frozen, None));
    // To fetch the same branch, or not to reach it, is no word of anybody; what is worse is shown instead.
    assert!(!repository.advance(&limited, now).condition);
    assert!(!repository.unreachable("no route".to_owned(), now).condition);
    assert_eq!(repository.condition(), &frozen);
    let bad = git.land(&[("trust/policy.yaml", &policy(2, ""))]);
    repository.reopen(SharedObjects::new(git.objects.clone()));
    repository.advance(&bad, now);
    assert!(matches!(repository.condition(), Condition::Stalled { .. }));
    assert_eq!(repository.freezes_at(), None);

    git.checkout(limited);
    git.date = Some(now.as_second());
    let heartbeat = git.land(&[]);
    repository.reopen(SharedObjects::new(git.objects.clone()));
    assert!(repository.advance(&heartbeat, now).condition);
    assert_eq!(repository.condition(), &Condition::Verified);
    assert!(repository.freezes_at().is_some_and(|at| at > later(now, DAY * 6)));
}

/// A branch whose newest commit limits the silence, and was made `ahead` of the moment at which it is accepted.
fn dated(ahead: SignedDuration) -> (Git, Introduction, CommitId, Timestamp) {
    let mut git = Git::begin(&[]);
    let introduction = git.introduction();
    let accepted_at = at(1_000);
    git.date = Some(later(accepted_at, ahead).as_second());
    let limited = git.land(&[("trust/policy.yaml", &policy(2, "maxSilence: 7d,"))]);
    (git, introduction, limited, accepted_at)
}

#[test]
fn a_date_that_is_a_little_ahead_counts_as_the_time_at_which_it_was_accepted() {
    let (git, introduction, limited, accepted_at) = dated(DAY);
    let new = || Repository::new(SharedObjects::new(git.objects.clone()), introduction, "main");
    let mut repository = new();
    repository.advance(&limited, accepted_at);
    let record = repository.head_record().expect("a head");
    assert_eq!(record.spoken, Some(accepted_at));
    // Also after a restart, and from the record alone.
    let row = HeadRow::from(&record);
    let late = later(accepted_at, DAY * 9);
    for (database, record) in [(Some(row.clone()), None), (None, Some(row))] {
        let mut repository = new();
        repository.restore(database, record, late);
        repository.advance(&limited, late);
        assert!(matches!(repository.condition(), Condition::Frozen { since, .. } if *since == accepted_at));
    }
}

#[test]
fn a_date_that_is_far_ahead_ends_no_silence_also_on_an_empty_database() {
    let (git, introduction, limited, accepted_at) = dated(DAY * 365 * 50);
    let before = at(1);
    for now in [accepted_at, later(accepted_at, DAY * 30), later(accepted_at, DAY * 300)] {
        let mut repository = Repository::new(SharedObjects::new(git.objects.clone()), introduction, "main");
        repository.advance(&limited, now);
        assert_eq!(repository.head_record().and_then(|record| record.spoken), Some(before));
        assert_eq!(matches!(repository.condition(), Condition::Frozen { .. }), now != accepted_at);
    }
    // The same from a head whose record says nothing of it.
    let mut repository = Repository::new(SharedObjects::new(git.objects.clone()), introduction, "main");
    repository.advance(&limited, accepted_at);
    let row = HeadRow { spoken: None, ..HeadRow::from(&repository.head_record().expect("a head")) };
    repository.restore(Some(row), None, later(accepted_at, DAY * 30));
    assert!(matches!(repository.condition(), Condition::Frozen { since, .. } if *since == before));
}

#[test]
fn where_all_dates_are_far_ahead_the_silence_begins_at_the_start() {
    let mut git = Git::default();
    git.date = Some(later(at(0), DAY * 365 * 50).as_second());
    let tip = git.land(&[("trust/policy.yaml", &policy(1, "maxSilence: 7d,")), ("fleets/edge.yaml", EDGE)]);
    let mut repository = Repository::new(SharedObjects::new(git.objects.clone()), git.introduction(), "main");
    repository.advance(&tip, at(0));
    assert!(repository.watch_silence(later(at(1), DAY * 7)));
    assert!(matches!(repository.condition(), Condition::Frozen { since, .. } if *since == at(0)));
}

#[test]
fn an_older_date_after_a_newer_one_is_no_new_silence() {
    let mut git = Git::begin(&[]);
    let introduction = git.introduction();
    git.date = Some(at(10 * 86_400).as_second());
    git.land(&[("trust/policy.yaml", &policy(2, "maxSilence: 7d,"))]);
    git.date = Some(at(86_400).as_second());
    let tip = git.land(&[]);
    let mut repository = Repository::new(SharedObjects::new(git.objects.clone()), introduction, "main");
    repository.advance(&tip, at(11 * 86_400));
    assert_eq!(repository.condition(), &Condition::Verified);
    assert_eq!(repository.head_record().and_then(|record| record.spoken), Some(at(10 * 86_400)));
}
