//! The head: introduced, forward only, rewound.

use bellwether_schemas::codes;

use std::sync::Arc;

use super::*;
use crate::objects::{MemoryObjects, ObjectError, ObjectKind, ObjectSource};
use crate::verify::history::{REACH, Reach};

#[test]
fn commits_before_the_introduction_are_counted_and_not_judged() {
    let mut repository = Repository::default();
    repository.put("README", "nothing to see");
    let root = repository.commit(&[], None);
    // A header that a landing must not have.
    let tree = repository.tree();
    let odd =
        String::from_utf8(unsigned_commit(&tree, &[root], 7)).expect("text").replacen("\n\n", "\nodd header\n\n", 1);
    let odd = repository.objects.insert(ObjectKind::Commit, odd);
    repository.put("trust/policy.yaml", PolicyText::default().text());
    let third = repository.commit(&[odd], Some(ADA));
    let (history, landing) = repository.introduce(third).expect("the introduction counts");
    assert_eq!((landing.number(), history.head_number()), (3, 3));
    assert_eq!((history.number_of(&root), history.number_of(&odd)), (Some(1), Some(2)));
    assert_eq!((history.commit_at(1), history.commit_at(3), history.commit_at(4)), (Some(&root), Some(&third), None));
    assert_eq!((history.commit_at(0), landing.parent()), (None, Some(&odd)));
    let changes: Vec<_> = landing.changes().iter().map(|c| (c.path.as_str(), c.before.is_none())).collect();
    assert_eq!(changes, [("README", true), ("trust/policy.yaml", true)]);
}

#[test]
fn the_introduction_must_be_the_pinned_one_and_signed_by_who_may_change_it() {
    let mut repository = Repository::default();
    repository.put("trust/policy.yaml", PolicyText::default().text());
    for (signer, code) in [
        (None, codes::COMMIT_UNSIGNED),
        (Some(STRANGER), codes::SIGNER_UNKNOWN),
        (Some(ROBOT), codes::SIGNER_IS_BOT),
        (Some(BOB), codes::SIGNER_NOT_IN_ROLE),
    ] {
        let commit = repository.commit(&[], signer);
        assert_eq!(repository.introduce(commit).expect_err("refused").code, code);
    }
    let commit = repository.commit(&[], Some(ADA));
    let mut introduction = repository.introduction(commit);
    let staging = VerifiedHistory::introduce(&repository.objects, &introduction, "staging");
    assert_eq!(staging.expect_err("refused").code, codes::POLICY_BRANCH);
    introduction.policy_sha256 = Sha256Digest::of(b"another policy");
    let other = VerifiedHistory::introduce(&repository.objects, &introduction, "main");
    assert_eq!(other.expect_err("refused").code, codes::INTRODUCTION_MISMATCH);
    repository.remove("trust/policy.yaml");
    let empty = repository.commit(&[], Some(ADA));
    introduction.commit = empty;
    let empty = VerifiedHistory::introduce(&repository.objects, &introduction, "main");
    assert_eq!(empty.expect_err("refused").code, codes::NO_MANIFESTS);
}

#[test]
fn a_shallow_clone_is_refused() {
    let mut repository = Repository::default();
    repository.put("trust/policy.yaml", PolicyText::default().text());
    let root = repository.commit(&[], Some(ADA));
    let second = repository.commit(&[root], Some(ADA));
    repository.objects.remove(&root);
    let refusal = repository.introduce(second).expect_err("refused");
    assert_eq!((refusal.code, refusal.commit), (codes::OBJECT_MISSING, root));
}

#[test]
fn the_first_refusal_stops_and_what_came_before_counts() {
    let (mut repository, mut history, first) = Repository::introduced();
    let mut line = vec![*first.id()];
    for (content, signer) in [("v2", Some(BOB)), ("v3", Some(ADA)), ("v4", None), ("v5", Some(ADA))] {
        repository.put(FLEET, content);
        let parent = *line.last().expect("one is there");
        line.push(repository.commit(&[parent], signer));
    }
    let advanced = history.advance(&repository.objects, &line[4], NOW);
    assert_eq!(advanced.landings.iter().map(|landing| landing.number()).collect::<Vec<_>>(), [2, 3]);
    assert!(matches!(&advanced.stop, Some(Stop::Refused(r)) if r.commit == line[3]));
    assert_eq!((history.head(), history.number_of(&line[3])), (&line[2], None));
    // The next try changes nothing; a mended branch goes on from the head.
    assert_refused(&history.advance(&repository.objects, &line[4], NOW), codes::COMMIT_UNSIGNED);
    let mended = repository.commit(&[line[2]], Some(ADA));
    assert_accepted(&history.advance(&repository.objects, &mended, NOW), &[mended]);
    assert_accepted(&history.advance(&repository.objects, &mended, NOW), &[]);
}

#[test]
fn a_long_line_counts_up_to_its_refusal_however_much_of_it_is_kept() {
    let (mut repository, mut history, first) = Repository::introduced();
    let mut line = vec![*first.id()];
    for number in 2..200_usize {
        repository.put(FLEET, format!("v{number}"));
        let signer = match number {
            150 => None,
            _ if number % 2 == 0 => Some(ADA),
            _ => Some(BOB),
        };
        line.push(repository.commit(&[line[line.len() - 1]], signer));
    }
    let tip = line[line.len() - 1];
    // Nothing, some commits, and all.
    for kept in [0, 20_000, usize::MAX] {
        let judged = history.judge_within(&repository.objects, &tip, NOW, Reach { kept, ..REACH });
        let ids: Vec<_> = judged.landings.iter().map(|landing| *landing.id()).collect();
        assert!(ids == line[1..149], "kept {kept}: {}", ids.len());
        assert!(matches!(&judged.stop, Some(Stop::Refused(r)) if r.commit == line[149]), "{:?}", judged.stop);
        assert_eq!(history.head(), first.id());
    }
}

#[test]
fn damaged_bytes_are_told_as_such_wherever_they_lead() {
    /// A source in which the bytes of one commit name another parent.
    struct Led<'a>(&'a MemoryObjects, CommitId, CommitId, CommitId);
    impl ObjectSource for Led<'_> {
        fn raw(&self, id: &CommitId) -> Result<(ObjectKind, Vec<u8>), ObjectError> {
            let (kind, content) = self.0.raw(id)?;
            if *id != self.1 {
                return Ok((kind, content));
            }
            let text = String::from_utf8(content).expect("a commit is text");
            Ok((kind, text.replacen(&self.2.to_string(), &self.3.to_string(), 1).into_bytes()))
        }
    }
    let (mut repository, mut history, first) = Repository::introduced();
    repository.put(FLEET, "v2");
    let second = repository.commit(&[*first.id()], Some(ADA));
    let blob = crate::objects::object_id(ObjectKind::Blob, b"v2");
    let nothing = crate::objects::object_id(ObjectKind::Blob, b"nobody has this");
    for elsewhere in [blob, nothing, second] {
        let led = Led(&repository.objects, second, *first.id(), elsewhere);
        match history.advance(&led, &second, NOW).stop {
            Some(Stop::Refused(refusal)) => {
                assert_eq!((refusal.code, refusal.commit), (codes::OBJECT_DAMAGED, second), "{refusal}");
                assert!(!refusal.is_final_for_tip(), "the mirror may be mended");
            }
            stop => panic!("{stop:?}"),
        }
    }
    assert_accepted(&history.advance(&repository.objects, &second, NOW), &[second]);
}

#[test]
fn a_head_off_the_first_parent_line_is_refused() {
    let (mut repository, mut history, first) = Repository::introduced();
    repository.put(FLEET, "v2");
    let head = repository.commit(&[*first.id()], Some(BOB));
    assert_accepted(&history.advance(&repository.objects, &head, NOW), &[head]);
    repository.put("files/other", "x");
    let branch = repository.commit(&[*first.id()], Some(BOB));
    let wrong_way = repository.commit(&[branch, head], Some(BOB));
    assert_refused(&history.advance(&repository.objects, &wrong_way, NOW), codes::HEAD_OFF_LINE);
    let right_way = repository.commit(&[head, branch], Some(BOB));
    assert_accepted(&history.advance(&repository.objects, &right_way, NOW), &[right_way]);
}

#[test]
fn a_branch_forced_back_or_aside_is_rewound_and_never_followed() {
    let (mut repository, mut history, first) = Repository::introduced();
    repository.put(FLEET, "v2");
    let second = repository.commit(&[*first.id()], Some(BOB));
    repository.put(FLEET, "v3");
    let third = repository.commit(&[second], Some(BOB));
    assert_accepted(&history.advance(&repository.objects, &third, NOW), &[second, third]);
    repository.put(FLEET, "v2b");
    let aside = repository.commit(&[*first.id()], Some(BOB));
    for (tip, number) in [(second, 2), (*first.id(), 1), (aside, 2)] {
        let advanced = history.advance(&repository.objects, &tip, NOW);
        assert!(advanced.landings.is_empty());
        let Some(Stop::Rewound { branch, branch_landings, .. }) = advanced.stop else {
            panic!("expected Rewound, found {:?}", advanced.stop)
        };
        assert_eq!((branch.head(), branch.head_number()), (&tip, number));
        assert_eq!(branch_landings.last().map(|landing| landing.id()), Some(&tip));
        assert_eq!(branch_landings.first().map(|landing| landing.id()), Some(first.id()));
        assert_eq!(branch.number_of(&third), None);
        assert_eq!(history.head(), &third);
    }
    // It ends when the missing commits return.
    assert_accepted(&history.advance(&repository.objects, &third, NOW), &[]);
    let fourth = repository.commit(&[third], Some(BOB));
    assert_accepted(&history.advance(&repository.objects, &fourth, NOW), &[fourth]);
}

#[test]
fn a_branch_aside_that_does_not_verify_is_refused() {
    let (mut repository, mut history, first) = Repository::introduced();
    repository.put(FLEET, "v2");
    let second = repository.commit(&[*first.id()], Some(BOB));
    assert_accepted(&history.advance(&repository.objects, &second, NOW), &[second]);
    let unsigned = repository.commit(&[*first.id()], None);
    let refusal = history.advance(&repository.objects, &unsigned, NOW);
    assert_eq!(assert_refused(&refusal, codes::COMMIT_UNSIGNED).commit, unsigned);
    let unrelated = repository.commit(&[], Some(ADA));
    assert_refused(&history.advance(&repository.objects, &unrelated, NOW), codes::INTRODUCTION_OFF_BRANCH);
}

#[test]
fn a_reset_to_before_the_introduction_is_refused() {
    let mut repository = Repository::default();
    repository.put("trust/policy.yaml", PolicyText::default().text());
    let root = repository.commit(&[], Some(ADA));
    let second = repository.commit(&[root], Some(ADA));
    let (mut history, _) = repository.introduce(second).expect("the introduction counts");
    assert_refused(&history.advance(&repository.objects, &root, NOW), codes::INTRODUCTION_OFF_BRANCH);
}

/// Commits on top of `base`, of which nobody signed one.
fn unsigned(repository: &mut Repository, base: CommitId, count: usize) -> Vec<CommitId> {
    let mut line = vec![base];
    for _ in 0..count {
        let parent = line.last().copied().expect("one is there");
        line.push(repository.commit(&[parent], None));
    }
    line
}

#[test]
fn a_tip_that_is_out_of_reach_is_refused_before_anything_is_judged() {
    let (mut repository, mut history, first) = Repository::introduced();
    let reach = Reach { landings: 3, commits: 5, ..REACH };
    let line = unsigned(&mut repository, *first.id(), 4);
    let refusal = history.judge_within(&repository.objects, &line[4], NOW, reach);
    assert_eq!(assert_refused(&refusal, codes::TOO_MANY_LANDINGS).commit, line[4]);
    let refusal = history.judge_within(&repository.objects, &line[3], NOW, reach);
    assert_eq!(assert_refused(&refusal, codes::COMMIT_UNSIGNED).commit, line[1], "within reach it is judged");

    // What was accepted bit by bit is no longer than it is, also at the next start.
    let mut tip = *first.id();
    for content in ["v2", "v3", "v4", "v5", "v6"] {
        repository.put(FLEET, content);
        tip = repository.commit(&[tip], Some(BOB));
        let judged = history.judge_within(&repository.objects, &tip, NOW, reach);
        assert_accepted(&judged, &[tip]);
        history.take(&judged.landings[0]);
    }
    assert!(VerifiedHistory::restore(&repository.objects, history.introduction(), "main", &tip).is_ok());
}

#[test]
fn a_branch_aside_is_read_no_further_than_one_ahead() {
    let (mut repository, mut history, first) = Repository::introduced();
    repository.put(FLEET, "v2");
    let second = repository.commit(&[*first.id()], Some(BOB));
    assert_accepted(&history.advance(&repository.objects, &second, NOW), &[second]);
    let line = unsigned(&mut repository, *first.id(), 6);
    let mut code = |tip: usize, landings: usize, commits: usize| {
        let reach = Reach { landings, commits, ..REACH };
        match history.judge_within(&repository.objects, &line[tip], NOW, reach).stop {
            Some(Stop::Refused(refusal)) => refusal.code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code(4, 3, 9), codes::TOO_MANY_LANDINGS, "as ahead");
    assert_eq!(code(6, 9, 5), codes::TOO_MANY_LANDINGS, "too many to look for the head among them");
    assert_eq!(code(3, 3, 9), codes::COMMIT_UNSIGNED);

    // Whatever second parents lead to counts too.
    let side = unsigned(&mut repository, *first.id(), 6);
    let merge = repository.commit(&[*first.id(), side[6]], Some(BOB));
    let far = history.judge_within(&repository.objects, &merge, NOW, Reach { landings: 9, commits: 5, ..REACH });
    assert_refused(&far, codes::TOO_MANY_LANDINGS);
}

#[test]
fn a_refusal_that_depends_on_the_commits_alone_is_final_for_them() {
    let (mut repository, mut history, first) = Repository::introduced();
    let mut is_final =
        |repository: &Repository, tip: &CommitId, now| match history.advance(&repository.objects, tip, now).stop {
            Some(Stop::Refused(refusal)) => (refusal.code, refusal.is_final_for_tip()),
            other => panic!("{other:?}"),
        };
    let unsigned = repository.commit(&[*first.id()], None);
    assert_eq!(is_final(&repository, &unsigned, NOW), (codes::COMMIT_UNSIGNED, true));
    repository.put(FLEET, "v2");
    let signed = repository.commit(&[*first.id()], Some(BOB));
    assert_eq!(
        is_final(&repository, &signed, "2200-01-01T00:00:00Z".parse().expect("a time")),
        (codes::POLICY_EXPIRED, false)
    );
    let mut lacking = repository.clone();
    let blob = crate::objects::object_id(ObjectKind::Blob, b"v2");
    lacking.objects.remove(&blob);
    assert_eq!(is_final(&lacking, &signed, NOW), (codes::OBJECT_MISSING, false));
    assert_accepted(&history.advance(&repository.objects, &signed, NOW), &[signed]);
}

#[test]
fn restoring_gives_the_same_history() {
    let (mut repository, mut history, first) = Repository::introduced();
    let mut tip = *first.id();
    let mut landings = vec![first];
    for content in ["v2", "v3", "v4"] {
        repository.put(FLEET, content);
        tip = repository.commit(&[tip], Some(BOB));
        landings.extend(history.advance(&repository.objects, &tip, NOW).landings);
    }
    let restored = VerifiedHistory::restore(&repository.objects, history.introduction(), "main", &tip);
    let (restored, again) = restored.expect("it was accepted");
    assert_eq!((restored.head(), restored.head_number()), (history.head(), 4));
    let ids = |landings: &[Arc<VerifiedLanding>]| landings.iter().map(|landing| *landing.id()).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&landings));
}
