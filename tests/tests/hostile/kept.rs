//! Merges within a branch that keep what the line has since replaced: whoever makes such a merge has written it.

use bellwether_schemas::{Code, CommitId, codes};
use bellwether_tests::hostile::{History, PolicyText, Who};

use super::{APP, NOTE, begin, begin_late, one, two};

const DOCS: &str = "files/note";

/// What a folder's rule says when nobody, or one person too few, stands for a path.
const TOO_FEW: [Code; 2] = [codes::SIGNER_NOT_IN_ROLE, codes::NOT_ENOUGH_SIGNERS];

/// Bob's branch, which was endorsed and landed squashed, and what it brought was repaired since: the branch, the squash and
/// the repair.
fn squashed_and_fixed(policy: &PolicyText) -> (History, CommitId, CommitId, CommitId) {
    let (mut h, fork) = begin(policy);
    let work = h.on(fork).write(APP, "flawed").by(Who::Bob);
    let work = h.endorse(work).by(Who::Alice);
    // Two people stand for what a third one wrote there.
    let squashed = h.squash(fork, work).lands_by_merge(Who::Alice, Who::Carol);
    let fixed = h.on(squashed).write(APP, "fixed").lands_by_merge(Who::Alice, Who::Carol);
    (h, work, squashed, fixed)
}

/// Docs that two endorsed, and a repair on the line since: where both began, the docs and the repair.
fn endorsed_docs(policy: &PolicyText) -> (History, CommitId, CommitId, CommitId) {
    let (mut h, fork) = begin(policy);
    let docs = h.on(fork).write(DOCS, "docs").by(Who::Nobody);
    let once = h.endorse(docs).by(Who::Alice);
    let docs = h.endorse(once).by(Who::Bob);
    let fixed = h.on(fork).write(APP, "fixed").lands_by_merge(Who::Alice, Who::Carol);
    (h, fork, docs, fixed)
}

/// Presses the button for a branch that brings `flawed` back; how many people stand for it is too few.
fn brings_back_nothing(h: &mut History, branch: CommitId, code: Code) {
    let main = h.main();
    let merge = h.merge(main, branch).by(Who::Nobody);
    assert_eq!(h.files(&merge)[APP].content, "flawed");
    h.refuses(merge, code);
}

#[test]
fn hostile_an_old_branch_keeps_its_own_against_a_fix() {
    // As it was found: one signer, the squash and the fix are single commits.
    let (mut h, fork) = begin(&one());
    let work = h.on(fork).write(APP, "flawed").by(Who::Bob);
    let squashed = h.squash(fork, work).lands(Who::Alice);
    let fixed = h.on(squashed).write(APP, "fixed").lands(Who::Alice);
    let kept = h.keep(work, fixed).by(Who::Nobody);
    brings_back_nothing(&mut h, kept, codes::SIGNER_NOT_IN_ROLE);
    for policy in [one(), two()] {
        let (mut h, work, _, fixed) = squashed_and_fixed(&policy);
        for who in [Who::Nobody, Who::Forge, Who::Bot] {
            let kept = h.keep(work, fixed).by(who);
            brings_back_nothing(&mut h, kept, codes::SIGNER_NOT_IN_ROLE);
            // The other way round.
            let kept = h.keep(fixed, work).take(APP, work).by(who);
            brings_back_nothing(&mut h, kept, codes::SIGNER_NOT_IN_ROLE);
            // With work of somebody who counts on top.
            let more = h.on(kept).write(NOTE, "bait").by(Who::Bob);
            brings_back_nothing(&mut h, more, codes::SIGNER_NOT_IN_ROLE);
        }
    }
}

#[test]
fn hostile_who_keeps_an_entry_against_the_line_is_its_only_writer() {
    let (mut h, work, _, fixed) = squashed_and_fixed(&two());
    // Not Bob who wrote it nor Alice who endorsed it, but Mallory, who keeps it.
    let kept = h.keep(work, fixed).by(Who::Mallory);
    brings_back_nothing(&mut h, kept, codes::NOT_ENOUGH_SIGNERS);
    let again = h.endorse(kept).by(Who::Mallory);
    brings_back_nothing(&mut h, again, codes::NOT_ENOUGH_SIGNERS);
    // One who endorses what nobody kept is one.
    let kept = h.keep(work, fixed).by(Who::Nobody);
    let endorsed = h.endorse(kept).by(Who::Alice);
    brings_back_nothing(&mut h, endorsed, codes::NOT_ENOUGH_SIGNERS);
    // Two who stand for the old content after the repair are what the policy asks for.
    let both = h.endorse(endorsed).by(Who::Bob);
    h.merge(fixed, both).lands(Who::Nobody);
}

#[test]
fn hostile_an_old_branch_keeps_its_own_through_two_merges() {
    for policy in [one(), two()] {
        let (mut h, work, squashed, fixed) = squashed_and_fixed(&policy);
        // One landing after the other, from either side.
        let first = h.keep(work, squashed).by(Who::Nobody);
        let second = h.keep(first, fixed).by(Who::Nobody);
        brings_back_nothing(&mut h, second, codes::SIGNER_NOT_IN_ROLE);
        let second = h.keep(fixed, first).take(APP, first).by(Who::Nobody);
        brings_back_nothing(&mut h, second, codes::SIGNER_NOT_IN_ROLE);
        // The new branch joins the old one once more: by itself that keeps nothing against the line.
        let kept = h.keep(fixed, work).take(APP, work).by(Who::Nobody);
        for parents in [[work, kept], [kept, work]] {
            let joined = h.on(work).parents(&parents).by(Who::Nobody);
            brings_back_nothing(&mut h, joined, codes::SIGNER_NOT_IN_ROLE);
        }
    }
}

#[test]
fn hostile_an_old_branch_keeps_its_own_by_merges_crosswise() {
    for policy in [one(), two()] {
        let (mut h, work, squashed, fixed) = squashed_and_fixed(&policy);
        for landing in [squashed, fixed] {
            let left = h.keep(work, landing).by(Who::Nobody);
            let right = h.keep(landing, work).take(APP, work).by(Who::Nobody);
            let (left, right) = (h.keep(left, right).by(Who::Nobody), h.keep(right, left).by(Who::Nobody));
            let joined = h.keep(left, right).by(Who::Nobody);
            let updated = h.keep(joined, fixed).by(Who::Nobody);
            brings_back_nothing(&mut h, updated, codes::SIGNER_NOT_IN_ROLE);
        }
    }
}

#[test]
fn hostile_an_old_branch_keeps_its_own_through_a_side_branch() {
    for policy in [one(), two()] {
        let (mut h, work, _, fixed) = squashed_and_fixed(&policy);
        let side = h.on(fixed).write(NOTE, "bait").by(Who::Bob);
        for [first, second] in [[work, side], [side, work]] {
            let joined = h.on(side).parents(&[first, second]).take(APP, work).by(Who::Nobody);
            brings_back_nothing(&mut h, joined, codes::SIGNER_NOT_IN_ROLE);
        }
        // The side branch itself brings it, and main is not a parent of what joins them.
        let empty = h.on(fixed).by(Who::Bob);
        let kept = h.on(empty).parents(&[work, empty]).take(APP, work).by(Who::Nobody);
        let joined = h.keep(side, kept).take(APP, work).by(Who::Nobody);
        brings_back_nothing(&mut h, joined, codes::SIGNER_NOT_IN_ROLE);
        // More parents than two.
        let octopus = h.on(side).parents(&[work, fixed, side]).take(APP, work).by(Who::Nobody);
        brings_back_nothing(&mut h, octopus, codes::SIGNER_NOT_IN_ROLE);
    }
}

#[test]
fn hostile_an_old_branch_keeps_its_own_against_what_was_undone_since() {
    for policy in [one(), two()] {
        let (mut h, fork) = begin(&policy);
        let work = h.on(fork).write(APP, "flawed").by(Who::Bob);
        let work = h.endorse(work).by(Who::Alice);
        let tried = h.on(fork).write(APP, "tried").lands_by_merge(Who::Alice, Who::Carol);
        let undone = h.on(tried).write(APP, "old").lands_by_merge(Who::Alice, Who::Carol);
        // Nobody can see in its parents that the line did something there.
        let kept = h.merge_from(fork, work, undone).by(Who::Nobody);
        brings_back_nothing(&mut h, kept, codes::SIGNER_NOT_IN_ROLE);
    }
}

#[test]
fn hostile_a_deletion_is_kept_against_a_line_that_has_the_file_again() {
    let (mut h, fork) = begin(&one());
    let work = h.on(fork).remove(APP).by(Who::Bob);
    let squashed = h.squash(fork, work).lands(Who::Alice);
    let restored = h.on(squashed).write(APP, "restored").lands(Who::Alice);
    let kept = h.keep(work, restored).by(Who::Nobody);
    let merge = h.merge(restored, kept).by(Who::Nobody);
    assert!(!h.files(&merge).contains_key(APP));
    h.refuses(merge, codes::SIGNER_NOT_IN_ROLE);
}

#[test]
fn hostile_an_old_policy_is_kept_against_the_line() {
    let (mut h, fork) = begin(&one());
    let work = h.on(fork).policy(&one().version(3)).by(Who::Alice);
    let main = h.on(fork).policy(&one().version(2).without("mallory")).lands(Who::Alice);
    // Alice signed a policy that still has Mallory, before Mallory was removed.
    for who in [Who::Nobody, Who::Mallory, Who::Bob] {
        let kept = h.keep(work, main).by(who);
        h.merge(main, kept).refused(Who::Nobody, codes::SIGNER_NOT_IN_ROLE);
    }
}

#[test]
fn hostile_endorsed_docs_bring_back_what_they_did_not_touch() {
    for policy in [one(), two()] {
        for swapped in [false, true] {
            let (mut h, fork, docs, fixed) = endorsed_docs(&policy);
            let junk = h.on(fork).write(APP, "junk").by(Who::Nobody);
            let back = h.on(junk).write(APP, "old").by(Who::Nobody);
            let (first, second) = if swapped { (back, docs) } else { (docs, back) };
            let joined = h.on(docs).parents(&[first, second]).by(Who::Nobody);
            // By itself both sides changed it.
            h.merge(fixed, joined).take(APP, joined).refused(Who::Nobody, codes::MERGE_UNCLEAN);
            let (first, second) = if swapped { (fixed, joined) } else { (joined, fixed) };
            let kept = h.on(joined).parents(&[first, second]).by(Who::Nobody);
            let merge = h.merge(fixed, kept).by(Who::Nobody);
            assert_eq!((&*h.files(&merge)[APP].content, &*h.files(&merge)[DOCS].content), ("old", "docs"));
            h.refuses(merge, codes::SIGNER_NOT_IN_ROLE);
            // The docs by themselves may land.
            h.merge(fixed, docs).lands(Who::Nobody);
        }
    }
}

#[test]
fn hostile_endorsed_docs_through_merges_crosswise_and_a_side_branch() {
    for policy in [one(), two()] {
        let (mut h, _, docs, fixed) = endorsed_docs(&policy);
        // What is written there and back after the endorsement is not endorsed, nor is what was there before it.
        let junk = h.on(docs).write(APP, "junk").by(Who::Nobody);
        let back = h.on(junk).write(APP, "old").by(Who::Nobody);
        let joined = h.keep(docs, back).by(Who::Nobody);
        let left = h.keep(joined, fixed).by(Who::Nobody);
        let right = h.keep(fixed, joined).take_all(joined).by(Who::Nobody);
        let crossed = h.keep(left, right).by(Who::Nobody);
        let side = h.on(fixed).by(Who::Bob);
        let aside = h.on(joined).parents(&[side, joined]).by(Who::Nobody);
        for branch in [left, right, crossed, aside] {
            let merge = h.merge(fixed, branch).by(Who::Nobody);
            assert_eq!(h.files(&merge)[APP].content, "old");
            h.refuses(merge, codes::SIGNER_NOT_IN_ROLE);
        }
    }
}

#[test]
fn hostile_a_branch_from_before_the_introduction() {
    let (mut h, root, first) = begin_late(&one());
    // The introduction changed every path, also those that it has from before.
    let work = h.on(root).write(APP, "new").remove(NOTE).by(Who::Bob);
    h.merge(first, work).refused(Who::Nobody, codes::MERGE_UNCLEAN);
    // Who updates such a branch has written what it keeps.
    let updated = h.merge(work, first).by(Who::Nobody);
    h.merge(first, updated).refused(Who::Nobody, codes::SIGNER_NOT_IN_ROLE);
    let updated = h.merge(work, first).by(Who::Bob);
    h.merge(first, updated).lands(Who::Nobody);
}

#[test]
fn hostile_a_repository_that_was_joined_with_another() {
    for policy in [one(), two()] {
        let (mut h, main) = begin(&policy);
        let other = h.orphan().write("files/joined", "new").by(Who::Bob);
        let endorsed = h.endorse(other).by(Who::Alice);
        h.keep(main, endorsed).write("files/joined", "new").refused(Who::Nobody, codes::MERGE_UNCLEAN);
        let joined = h.on(main).parents(&[endorsed, main]).write("files/joined", "new").by(Who::Nobody);
        h.merge(main, joined).refused(Who::Nobody, codes::SIGNER_NOT_IN_ROLE);
    }
}

#[test]
fn hostile_who_keeps_twice_counts_once() {
    // Whoever of these keeps it, once or twice: at most one person stands for it.
    let keepers = [Who::Nobody, Who::Forge, Who::Bot, Who::Mallory];
    for (first, second) in keepers.into_iter().flat_map(|first| keepers.map(|second| (first, second))) {
        let (mut h, work, squashed, fixed) = squashed_and_fixed(&two());
        let kept = h.keep(work, squashed).by(first);
        let kept = h.keep(kept, fixed).by(second);
        h.merge(fixed, kept).refused(Who::Nobody, TOO_FEW[usize::from(second == Who::Mallory)]);
    }
}
