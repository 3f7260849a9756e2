//! Merges that bring what nobody stands for.

use bellwether_schemas::codes;
use bellwether_tests::hostile::{History, Who};

use super::{APP, NOTE, SITE, begin, one, two};

/// Everybody whose signature under a merge says nothing.
const NOT_PEOPLE: [Who; 3] = [Who::Nobody, Who::Forge, Who::Bot];

#[test]
fn hostile_a_foxtrot_with_an_old_tree() {
    let (mut h, fork) = begin(&one());
    let main = h.on(fork).write(APP, "fixed").lands(Who::Alice);
    let side = h.on(fork).write(NOTE, "side").by(Who::Mallory);
    for who in [Who::Mallory, Who::Alice, Who::Nobody] {
        let foxtrot = h.keep(side, main).by(who);
        h.refuses_form(foxtrot, codes::HEAD_OFF_LINE);
    }
}

#[test]
fn hostile_an_old_branch_brings_back_what_was_fixed() {
    for merges in NOT_PEOPLE {
        let (mut h, fork) = begin(&one());
        let work = h.on(fork).write(SITE, "new").by(Who::Bob);
        let main = h.on(fork).write(APP, "fixed").lands(Who::Alice);
        h.merge(main, work).take(APP, work).refused(merges, codes::MERGE_UNCLEAN);
    }
}

#[test]
fn hostile_an_old_branch_brings_back_what_was_fixed_by_a_merge_of_its_own() {
    for evil in [Who::Mallory, Who::Nobody] {
        let (mut h, fork) = begin(&one());
        let work = h.on(fork).write(SITE, "new").by(Who::Bob);
        let main = h.on(fork).write(APP, "fixed").lands(Who::Alice);
        // The branch has main now, and the old entry of one of the two parents.
        let kept = h.keep(work, main).by(evil);
        h.merge(main, kept).take(APP, kept).refused(Who::Nobody, codes::MERGE_UNCLEAN);
        h.merge(main, kept).take(APP, main).lands(Who::Nobody);
    }
}

#[test]
fn hostile_an_old_landing_is_merged_into_the_branch_after_own_work() {
    let (mut h, old) = begin(&one());
    let main = h.on(old).write(APP, "fixed").lands(Who::Alice);
    let work = h.on(main).write(APP, "work").by(Who::Bob);
    // Bob wrote the path, but not the entry that is landed: whoever brings back an old landing's has written it.
    for who in NOT_PEOPLE {
        let evil = h.keep(work, old).take(APP, old).by(who);
        h.merge(main, evil).take(APP, evil).refused(Who::Nobody, codes::SIGNER_NOT_IN_ROLE);
    }
    let undone = h.keep(work, old).take(APP, old).by(Who::Mallory);
    h.merge(main, undone).take(APP, undone).lands(Who::Nobody);
}

#[test]
fn hostile_a_branch_that_was_squashed_and_reverted_comes_again() {
    let (mut h, fork) = begin(&one());
    let work = h.on(fork).write(APP, "flawed").by(Who::Bob);
    let squashed = h.squash(fork, work).lands(Who::Alice);
    let reverted = h.revert(squashed, squashed).lands(Who::Alice);
    // Git itself would merge this without a conflict.
    let merge = h.merge(reverted, work).by(Who::Nobody);
    assert_eq!(h.files(&merge)[APP].content, "flawed");
    h.refuses(merge, codes::MERGE_UNCLEAN);
    let more = h.on(work).write(SITE, "bait").by(Who::Mallory);
    h.merge(reverted, more).refused(Who::Nobody, codes::MERGE_UNCLEAN);
}

#[test]
fn hostile_a_branch_that_was_merged_and_reverted_comes_again() {
    let (mut h, fork) = begin(&one());
    let work = h.on(fork).write(APP, "flawed").by(Who::Bob);
    let merged = h.merge(fork, work).lands(Who::Nobody);
    let reverted = h.revert(merged, merged).lands(Who::Alice);
    h.keep(reverted, work).take(APP, work).refused(Who::Nobody, codes::MERGE_UNCLEAN);
    let more = h.on(work).write(SITE, "bait").by(Who::Bob);
    h.merge_from(work, reverted, more).take(APP, more).refused(Who::Nobody, codes::MERGE_UNCLEAN);
    let right = h.merge_from(work, reverted, more).by(Who::Nobody);
    assert_eq!(h.files(&right)[APP].content, "old");
    h.accepts(right);
}

#[test]
fn hostile_both_sides_wrote_a_path() {
    let (mut h, fork) = begin(&one());
    let work = h.on(fork).write(APP, "bob's").by(Who::Bob);
    let main = h.on(fork).write(APP, "alice's").lands(Who::Alice);
    for content in ["bob's", "alice's", "both"] {
        h.merge(main, work).write(APP, content).refused(Who::Forge, codes::MERGE_UNCLEAN);
    }
}

#[test]
fn hostile_main_changed_a_path_and_undid_it_while_the_branch_has_it_changed() {
    let (mut h, fork) = begin(&one());
    let work = h.on(fork).write(APP, "bob's").by(Who::Bob);
    let there = h.on(fork).write(APP, "alice's").lands(Who::Alice);
    let back = h.on(there).write(APP, "old").lands(Who::Alice);
    h.merge(back, work).refused(Who::Nobody, codes::MERGE_UNCLEAN);
}

#[test]
fn hostile_a_merge_has_content_from_neither_side() {
    for merges in NOT_PEOPLE {
        let (mut h, main) = begin(&two());
        let work = h.on(main).write(APP, "new").by(Who::Bob);
        let endorsed = h.endorse(work).by(Who::Alice);
        for path in [APP, SITE, "files/added", NOTE] {
            h.merge(main, endorsed).write(path, "evil").refused(merges, codes::MERGE_UNCLEAN);
        }
    }
}

#[test]
fn hostile_who_signs_an_unclean_merge_stands_alone() {
    let (mut h, main) = begin(&two());
    let work = h.on(main).write(APP, "new").by(Who::Bob);
    let endorsed = h.endorse(work).by(Who::Alice);
    // Also where the landed entry is what Bob wrote and Alice endorsed.
    h.merge(main, endorsed).write(NOTE, "more").refused(Who::Mallory, codes::NOT_ENOUGH_SIGNERS);
    h.merge(main, endorsed).write(APP, "evil").refused(Who::Mallory, codes::NOT_ENOUGH_SIGNERS);
}

#[test]
fn hostile_an_unclean_merge_by_a_person_without_the_role() {
    let (mut h, fork) = begin(&one());
    let work = h.on(fork).write(SITE, "new").by(Who::Bob);
    let main = h.on(fork).write(NOTE, "fixed").lands(Who::Alice);
    h.merge(main, work).take(NOTE, work).refused(Who::Carol, codes::SIGNER_NOT_IN_ROLE);
}

#[test]
fn hostile_a_merge_drops_what_the_branch_wrote() {
    let (mut h, main) = begin(&one());
    let work = h.on(main).write(APP, "new").write(SITE, "new").by(Who::Bob);
    h.merge(main, work).take(SITE, main).refused(Who::Nobody, codes::MERGE_UNCLEAN);
    h.keep(main, work).refused(Who::Nobody, codes::MERGE_UNCLEAN);
}

#[test]
fn hostile_a_merge_of_main_with_itself_or_its_past() {
    let (mut h, old) = begin(&one());
    let main = h.on(old).write(APP, "fixed").lands(Who::Alice);
    for (second, tree) in [(old, old), (main, old)] {
        h.keep(main, second).take_all(tree).refused(Who::Nobody, codes::MERGE_UNCLEAN);
    }
    h.keep(main, main).write(APP, "evil").refused(Who::Nobody, codes::MERGE_UNCLEAN);
}

#[test]
fn hostile_a_deleted_file_comes_back() {
    let (mut h, fork) = begin(&one());
    let work = h.on(fork).write(SITE, "new").by(Who::Bob);
    let main = h.on(fork).remove(APP).lands(Who::Alice);
    h.merge(main, work).take(APP, work).refused(Who::Nobody, codes::MERGE_UNCLEAN);
}

#[test]
fn hostile_a_file_deleted_before_the_introduction_comes_back() {
    for touched in [true, false] {
        let mut h = History::empty();
        let root = h.root().policy(&one()).by(Who::Nobody);
        let deleted = h.on(root).remove(APP).by(Who::Nobody);
        let first = h.on(deleted).write(SITE, "introduced").by(Who::Alice);
        h.introduce(first);
        let work = h.on(root).write(if touched { APP } else { NOTE }, "new").by(Who::Bob);
        h.merge(first, work).take(APP, work).refused(Who::Nobody, codes::MERGE_UNCLEAN);
    }
}

#[test]
fn hostile_deletions_and_modes_that_nobody_signed() {
    let (mut h, main) = begin(&one());
    let deleted = h.on(main).remove(APP).by(Who::Nobody);
    h.merge(main, deleted).refused(Who::Nobody, codes::SIGNER_NOT_IN_ROLE);
    let mode = h.on(main).entry(APP, "100755", "old").by(Who::Nobody);
    h.merge(main, mode).refused(Who::Forge, codes::SIGNER_NOT_IN_ROLE);
    let work = h.on(main).write(SITE, "new").by(Who::Bob);
    h.merge(main, work).remove(APP).refused(Who::Nobody, codes::MERGE_UNCLEAN);
    h.merge(main, work).entry(APP, "100755", "old").refused(Who::Nobody, codes::MERGE_UNCLEAN);
}

#[test]
fn hostile_the_mode_of_one_and_the_content_of_another() {
    let (mut h, main) = begin(&two());
    let work = h.on(main).write(APP, "new").by(Who::Bob);
    let endorsed = h.endorse(work).by(Who::Alice);
    let mode = h.on(endorsed).entry(APP, "100755", "new").by(Who::Mallory);
    h.merge(main, mode).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
}

#[test]
fn hostile_a_file_becomes_a_folder_and_back() {
    let (mut h, fork) = begin(&one());
    let work = h.on(fork).write(SITE, "new").by(Who::Bob);
    let main = h.on(fork).write("files/app/main", "fixed").lands(Who::Alice);
    h.merge(main, work).take(APP, work).refused(Who::Nobody, codes::MERGE_UNCLEAN);
    let folder = h.on(main).write("files/site/index", "evil").by(Who::Nobody);
    h.merge(main, folder).refused(Who::Nobody, codes::SIGNER_NOT_IN_ROLE);
}

#[test]
fn hostile_a_refused_landing_comes_again_as_a_branch() {
    let (mut h, main) = begin(&one());
    let bad = h.on(main).write(APP, "bad").by(Who::Nobody);
    h.refuses(bad, codes::COMMIT_UNSIGNED);
    h.merge(main, bad).refused(Who::Nobody, codes::SIGNER_NOT_IN_ROLE);
}

#[test]
fn hostile_an_octopus_is_nobodys_merge() {
    let (mut h, main) = begin(&two());
    let app = h.on(main).write(APP, "new").by(Who::Bob);
    let app = h.endorse(app).by(Who::Carol);
    let note = h.on(main).write(NOTE, "new").by(Who::Bob);
    h.on(main)
        .parents(&[main, app, note])
        .write(APP, "new")
        .write(NOTE, "new")
        .refused(Who::Nobody, codes::MERGE_UNCLEAN);
    h.on(main)
        .parents(&[main, app, note])
        .write(APP, "new")
        .write(NOTE, "new")
        .refused(Who::Alice, codes::NOT_ENOUGH_SIGNERS);
}
