//! Merges: which are clean, and who stands for what they bring. Whole attacks are in the workspace's `tests/`.

use bellwether_schemas::codes;

use super::*;
use crate::verify::{MergeKind, Reset};

const RULES: &str = concat!(
    r#"[{"paths": ["trust/**"], "role": "owners"},"#,
    r#" {"paths": ["fleets/**"], "role": "operators", "signers": 2},"#,
    r#" {"paths": ["files/**"], "role": "operators"}]"#
);

/// A repository in which fleets need two people.
fn two() -> (Repository, VerifiedHistory, CommitId) {
    let (repository, history, first) =
        Repository::introduced_with(&PolicyText { rules: RULES, ..PolicyText::default() });
    (repository, history, *first.id())
}

#[test]
fn who_wrote_and_who_merges_are_two() {
    let (mut repository, mut history, first) = two();
    repository.put(FLEET, "v2");
    let wrote = repository.commit(&[first], Some(BOB));
    let merge = repository.commit(&[first, wrote], Some(ADA));
    let explained = history.explain(&repository.objects, &merge).expect("a landing");
    assert_eq!(explained.merge, MergeKind::Clean { commits: 1 });
    assert_eq!(explained.paths[0].wrote, ["bob".parse().expect("a name")]);
    assert_eq!(explained.paths[0].landed, Some("ada".parse().expect("a name")));
    assert!(explained.paths[0].rules[0].holds() && explained.refusal.is_none());
    let advanced = history.advance(&repository.objects, &merge, NOW);
    assert_accepted(&advanced, &[merge]);
    let signers: Vec<_> = advanced.landings[0].signers().map(|person| person.as_str()).collect();
    assert_eq!(signers, ["ada", "bob"]);

    // One person is one, as often as they sign.
    repository.put(FLEET, "v3");
    let wrote = repository.commit(&[merge], Some(BOB));
    let again = repository.commit(&[merge, wrote], Some(BOB));
    assert_refused(&history.advance(&repository.objects, &again, NOW), codes::NOT_ENOUGH_SIGNERS);
    // Fast-forwarded it is a landing of its own.
    assert_refused(&history.advance(&repository.objects, &wrote, NOW), codes::NOT_ENOUGH_SIGNERS);
}

#[test]
fn a_button_lands_what_one_wrote_and_another_endorsed() {
    let (mut repository, mut history, first) = two();
    repository.put(FLEET, "v2");
    let wrote = repository.commit(&[first], Some(BOB));
    let endorsed = repository.endorse(wrote, wrote, Some(ADA));
    for button in [None, Some(STRANGER), Some(ROBOT)] {
        let merge = repository.commit(&[first, endorsed], button);
        assert_accepted(&history.judge(&repository.objects, &merge, NOW), &[merge]);
        let alone = repository.commit(&[first, wrote], button);
        assert_refused(&history.judge(&repository.objects, &alone, NOW), codes::NOT_ENOUGH_SIGNERS);
    }
    // An endorsement is of its parent alone, is empty, and is a person's.
    for (endorsed, what) in [
        (repository.endorse(wrote, first, Some(ADA)), "of another commit"),
        (repository.endorse(wrote, wrote, None), "by nobody"),
        (repository.endorse(wrote, wrote, Some(ROBOT)), "by a bot"),
        (repository.endorse(wrote, wrote, Some(BOB)), "by the writer"),
    ] {
        let merge = repository.commit(&[first, endorsed], None);
        let refused = history.judge(&repository.objects, &merge, NOW);
        assert_eq!(assert_refused(&refused, codes::NOT_ENOUGH_SIGNERS).path.as_deref(), Some(FLEET), "{what}");
    }
    // What comes after it is not endorsed.
    let endorsed = repository.endorse(wrote, wrote, Some(ADA));
    repository.put(FLEET, "v3");
    let later = repository.commit(&[endorsed], Some(BOB));
    let merge = repository.commit(&[first, later], None);
    assert_refused(&history.advance(&repository.objects, &merge, NOW), codes::NOT_ENOUGH_SIGNERS);
}

#[test]
fn work_on_another_path_stands_for_that_path_only() {
    let (mut repository, mut history, first) = two();
    repository.put(FLEET, "unfinished");
    let bobs = repository.commit(&[first], Some(BOB));
    repository.put("files/motd", "hello");
    let adas = repository.commit(&[bobs], Some(ADA));
    let merge = repository.commit(&[first, adas], None);
    assert_refused(&history.judge(&repository.objects, &merge, NOW), codes::NOT_ENOUGH_SIGNERS);
    repository.put(FLEET, "v1");
    let without = repository.commit(&[adas], Some(BOB));
    let merge = repository.commit(&[first, without], None);
    assert_accepted(&history.advance(&repository.objects, &merge, NOW), &[merge]);
}

#[test]
fn an_unclean_merge_is_new_content_by_its_signer() {
    let (mut repository, mut history, first) = Repository::introduced();
    repository.put(FLEET, "v2");
    let side = repository.commit(&[first.id().to_owned()], Some(BOB));
    repository.put(FLEET, "v2 and more");
    for (signer, code) in
        [(None, codes::MERGE_UNCLEAN), (Some(STRANGER), codes::MERGE_UNCLEAN), (Some(ROBOT), codes::MERGE_UNCLEAN)]
    {
        let merge = repository.commit(&[*first.id(), side], signer);
        let refused = history.judge(&repository.objects, &merge, NOW);
        assert_eq!(assert_refused(&refused, code).path.as_deref(), Some(FLEET));
    }
    let merge = repository.commit(&[*first.id(), side], Some(ADA));
    let advanced = history.judge(&repository.objects, &merge, NOW);
    assert_accepted(&advanced, &[merge]);
    assert_eq!(advanced.landings[0].signers().map(|person| person.as_str()).collect::<Vec<_>>(), ["ada"]);
    // Three parents are never clean.
    let other = repository.commit(&[*first.id()], Some(ADA));
    repository.put(FLEET, "v2");
    let octopus = repository.commit(&[*first.id(), side, other], None);
    assert_refused(&history.judge(&repository.objects, &octopus, NOW), codes::MERGE_UNCLEAN);
    let octopus = repository.commit(&[*first.id(), side, other], Some(ADA));
    assert_accepted(&history.advance(&repository.objects, &octopus, NOW), &[octopus]);
}

#[test]
fn an_old_branch_does_not_bring_back_what_was_fixed() {
    let (mut repository, mut history, first) = Repository::introduced();
    let first = *first.id();
    repository.put(FLEET, "bad");
    let branch = repository.commit(&[first], Some(BOB));
    // Squashed onto main, and reverted there: the content is what it was when the branch left.
    let squashed = repository.commit(&[first], Some(ADA));
    repository.put(FLEET, "v1");
    let reverted = repository.commit(&[squashed], Some(ADA));
    assert_accepted(&history.advance(&repository.objects, &reverted, NOW), &[squashed, reverted]);
    repository.put(FLEET, "bad");
    let button = repository.commit(&[reverted, branch], None);
    let refused = history.judge(&repository.objects, &button, NOW);
    assert!(assert_refused(&refused, codes::MERGE_UNCLEAN).why.contains("both sides"));
    let conflict = history.plan_merge(&repository.objects, &branch).expect_err("both changed it");
    assert_eq!((conflict.code, conflict.path.as_deref()), (codes::MERGE_UNCLEAN, Some(FLEET)));

    // A branch that merged main and kept its own old entry did not change it.
    repository.put(FLEET, "fixed");
    let fixed = repository.commit(&[reverted], Some(ADA));
    assert_accepted(&history.advance(&repository.objects, &fixed, NOW), &[fixed]);
    let old = repository.put(FLEET, "v1").put("files/x", "x").commit(&[reverted], Some(BOB));
    let evil = repository.commit(&[old, fixed], Some(STRANGER));
    let button = repository.commit(&[fixed, evil], None);
    let refused = history.judge(&repository.objects, &button, NOW);
    assert_eq!(assert_refused(&refused, codes::MERGE_UNCLEAN).path.as_deref(), Some(FLEET));
    repository.put(FLEET, "fixed");
    let honest = repository.commit(&[fixed, evil], None);
    assert_accepted(&history.advance(&repository.objects, &honest, NOW), &[honest]);
}

#[test]
fn commits_that_are_no_landings_refuse_nothing() {
    let (mut repository, mut history, first) = Repository::introduced();
    let first = *first.id();
    // A link that is gone at the tip, in a commit with a header that nobody knows.
    let link = repository.objects.insert(ObjectKind::Blob, "/etc/shadow");
    let root = [tree_entry("120000", "fleets", &link), tree_entry("100644", "\u{7f}", &link)].concat();
    let root = repository.objects.insert(ObjectKind::Tree, root);
    let raw = format!("tree {root}\nparent {first}\nauthor x\ncommitter y\nHG:extra z\n\nx");
    let odd = repository.objects.insert(ObjectKind::Commit, raw);
    repository.put("files/motd", "hello");
    let bobs = repository.commit(&[odd], Some(BOB));
    let merge = repository.commit(&[first, bobs], None);
    // Every path was written anew by bob, after the odd commit had dropped it.
    let explained = history.explain(&repository.objects, &merge).expect("a landing");
    assert_eq!(explained.merge, MergeKind::Clean { commits: 2 });
    assert_accepted(&history.judge(&repository.objects, &merge, NOW), &[merge]);
    // One that cannot be read at all makes the merge unclean, which a person may sign.
    let broken = repository.objects.insert(ObjectKind::Commit, "nonsense");
    let merge = repository.commit(&[first, broken], None);
    assert_refused(&history.judge(&repository.objects, &merge, NOW), codes::MERGE_UNCLEAN);
    let merge = repository.commit(&[first, broken], Some(ADA));
    assert_accepted(&history.advance(&repository.objects, &merge, NOW), &[merge]);
}

#[test]
fn a_merge_that_keeps_an_entry_against_the_line_has_written_it() {
    let (mut repository, mut history, first) = two();
    let flawed = repository.put(FLEET, "flawed").commit(&[first], Some(BOB));
    let endorsed = repository.endorse(flawed, flawed, Some(ADA));
    let fixed = repository.put(FLEET, "fixed").commit(&[first], Some(BOB));
    let fixed = repository.commit(&[first, fixed], Some(ADA));
    assert_accepted(&history.advance(&repository.objects, &fixed, NOW), &[fixed]);
    // `git merge -s ours main` on the branch, then the button. Both ways round, nobody signed that choice.
    repository.put(FLEET, "flawed");
    for (sync, code) in [
        (repository.commit(&[endorsed, fixed], None), codes::SIGNER_NOT_IN_ROLE),
        (repository.commit(&[fixed, endorsed], None), codes::SIGNER_NOT_IN_ROLE),
        (repository.commit(&[endorsed, fixed], Some(BOB)), codes::NOT_ENOUGH_SIGNERS),
    ] {
        let button = repository.commit(&[fixed, sync], None);
        assert_refused(&history.judge(&repository.objects, &button, NOW), code);
    }
    // Whoever signs the choice has written it, and what another endorses on top of it counts.
    let sync = repository.commit(&[endorsed, fixed], Some(BOB));
    let endorsed = repository.endorse(sync, sync, Some(ADA));
    let button = repository.commit(&[fixed, endorsed], None);
    assert_accepted(&history.judge(&repository.objects, &button, NOW), &[button]);
    // Where the line changed something else, an unsigned merge of it chooses nothing.
    let (mut repository, mut history, first) = two();
    let bobs = repository.put(FLEET, "v2").commit(&[first], Some(BOB));
    let other = repository.put(FLEET, "v1").put("files/motd", "hello").commit(&[first], Some(ADA));
    assert_accepted(&history.advance(&repository.objects, &other, NOW), &[other]);
    let sync = repository.put(FLEET, "v2").commit(&[bobs, other], None);
    let endorsed = repository.endorse(sync, sync, Some(ADA));
    let button = repository.commit(&[other, endorsed], None);
    assert_accepted(&history.advance(&repository.objects, &button, NOW), &[button]);
}

#[test]
fn an_endorsement_stands_for_what_was_written_below_it() {
    let (mut repository, mut history, first) = two();
    // Two endorse work on another path; the fleet is only what the branch has of old.
    let note = repository.put("files/motd", "hello").commit(&[first], None);
    let endorsed = repository.endorse(note, note, Some(ADA));
    let endorsed = repository.endorse(endorsed, endorsed, Some(BOB));
    let fixed = repository.remove("files/motd").put(FLEET, "fixed").commit(&[first], Some(BOB));
    let fixed = repository.commit(&[first, fixed], Some(ADA));
    assert_accepted(&history.advance(&repository.objects, &fixed, NOW), &[fixed]);
    let junk = repository.put(FLEET, "junk").commit(&[first], None);
    let old = repository.put(FLEET, "v1").commit(&[junk], None);
    let mixed = repository.put("files/motd", "hello").commit(&[endorsed, old], None);
    let sync = repository.commit(&[mixed, fixed], None);
    let button = repository.commit(&[fixed, sync], None);
    let refused = history.judge(&repository.objects, &button, NOW);
    assert_eq!(assert_refused(&refused, codes::SIGNER_NOT_IN_ROLE).path.as_deref(), Some(FLEET));
}

#[test]
fn nobody_wrote_what_a_root_commit_lacks() {
    let (mut repository, mut history, first) = Repository::introduced();
    let first = repository.put("files/motd", "hello").commit(&[*first.id()], Some(ADA));
    assert_accepted(&history.advance(&repository.objects, &first, NOW), &[first]);
    let kept = repository.files.clone();
    repository.files.retain(|path, _| path == "files/none");
    let root = repository.put("files/none", "x").commit(&[], Some(BOB));
    repository.files = kept;
    // The branch deletes the file by a merge with a history that never had it.
    repository.remove("files/motd");
    let merge = repository.commit(&[first, root], None);
    let button = repository.commit(&[first, merge], None);
    assert!(history.judge(&repository.objects, &button, NOW).landings.is_empty());
}

#[test]
fn a_branch_from_before_the_introduction_takes_that_in_first() {
    let mut repository = Repository::default();
    repository.put("trust/policy.yaml", PolicyText::default().text()).put(FLEET, "v1").put("files/old", "secret");
    let root = repository.commit(&[], None);
    let bobs = repository.put("files/new", "n").commit(&[root], Some(BOB));
    let introduction = repository.remove("files/new").remove("files/old").commit(&[root], Some(ADA)).to_owned();
    let (mut history, _) = repository.introduce(introduction).expect("it counts");
    repository.put("files/new", "n");
    let merge = repository.commit(&[introduction, bobs], None);
    assert_refused(&history.judge(&repository.objects, &merge, NOW), codes::MERGE_UNCLEAN);
    // The introduction counts as changing every path, so somebody must sign what the branch keeps beside it.
    for (signer, code) in [(None, Some(codes::SIGNER_NOT_IN_ROLE)), (Some(BOB), None)] {
        let sync = repository.commit(&[bobs, introduction], signer);
        let merge = repository.commit(&[introduction, sync], None);
        let judged = history.judge(&repository.objects, &merge, NOW);
        match code {
            Some(code) => drop(assert_refused(&judged, code)),
            None => assert_accepted(&judged, &[merge]),
        }
    }
}

#[test]
fn a_bad_landing_is_repaired_by_merging_it_as_second_parent() {
    let (mut repository, mut history, first) = Repository::introduced();
    let first = *first.id();
    let bad = repository.put(FLEET, "bad").commit(&[first], None);
    assert_refused(&history.advance(&repository.objects, &bad, NOW), codes::COMMIT_UNSIGNED);
    let repair = repository.put(FLEET, "v1").commit(&[first, bad], Some(BOB));
    assert_accepted(&history.advance(&repository.objects, &repair, NOW), &[repair]);
    // What was merged so is known from then on: it changes nothing any more.
    let again = repository.put(FLEET, "bad").commit(&[repair, bad], None);
    assert_refused(&history.advance(&repository.objects, &again, NOW), codes::MERGE_UNCLEAN);
}

#[test]
fn a_signed_reset_gives_up_the_accepted_head() {
    let (mut repository, mut history, first) = Repository::introduced();
    let first = *first.id();
    let lost = repository.put(FLEET, "v2").commit(&[first], Some(BOB));
    assert_accepted(&history.advance(&repository.objects, &lost, NOW), &[lost]);
    repository.put(FLEET, "v3");
    let mut reset = |version: u64, abandons: CommitId, signer: u8| {
        let text = PolicyText { version, ..PolicyText::default() }.text();
        let text = text.replace("spec:\n", &format!("spec:\n  abandons: {abandons}\n"));
        repository.put("trust/policy.yaml", text);
        let tip = repository.commit(&[first], Some(signer));
        match history.judge(&repository.objects, &tip, NOW).stop {
            Some(Stop::Rewound { branch, reset, .. }) => {
                assert_eq!(*branch.head(), tip);
                reset
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reset(2, lost, ADA), Reset::Signed);
    assert_eq!(reset(2, first, ADA), Reset::None, "of another head");
    // The abandoned head's policy judges it, not the one that the branch leaves from.
    let newer = PolicyText {
        version: 4,
        roles: r#"{"owners": {"members": ["bob"]}, "operators": {"members": ["bob"]}}"#,
        ..PolicyText::default()
    };
    repository.put("trust/policy.yaml", newer.text());
    let lost = repository.commit(&[lost], Some(ADA));
    assert_accepted(&history.advance(&repository.objects, &lost, NOW), &[lost]);
    let mut reset = |version: u64| {
        let text = PolicyText { version, ..PolicyText::default() }.text();
        let text = text.replace("spec:\n", &format!("spec:\n  abandons: {lost}\n"));
        let tip = repository.put("trust/policy.yaml", text).commit(&[first], Some(ADA));
        match history.judge(&repository.objects, &tip, NOW).stop {
            Some(Stop::Rewound { reset: Reset::Refused(refusal), .. }) => refusal,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reset(4).code, codes::RESET_REFUSED);
    assert!(reset(4).why.contains("version 4"));
    assert!(reset(5).why.contains("ada is in no role"), "{}", reset(5).why);
}
