//! The head: introduced, forward only, rewound.

use bellwether_schemas::codes;

use super::*;

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
    assert_eq!(advanced.landings.iter().map(VerifiedLanding::number).collect::<Vec<_>>(), [2, 3]);
    assert!(matches!(&advanced.stop, Some(Stop::Refused(r)) if r.commit == line[3]));
    assert_eq!((history.head(), history.number_of(&line[3])), (&line[2], None));
    // The next try changes nothing; a mended branch goes on from the head.
    assert_refused(&history.advance(&repository.objects, &line[4], NOW), codes::COMMIT_UNSIGNED);
    let mended = repository.commit(&[line[2]], Some(ADA));
    assert_accepted(&history.advance(&repository.objects, &mended, NOW), &[mended]);
    assert_accepted(&history.advance(&repository.objects, &mended, NOW), &[]);
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
        let Some(Stop::Rewound { branch, branch_landings }) = advanced.stop else {
            panic!("expected Rewound, found {:?}", advanced.stop)
        };
        assert_eq!((branch.head(), branch.head_number()), (&tip, number));
        assert_eq!(branch_landings.last().map(VerifiedLanding::id), Some(&tip));
        assert_eq!(branch_landings.first().map(VerifiedLanding::id), Some(first.id()));
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
    assert_eq!(again, landings);
}
