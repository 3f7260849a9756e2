//! Endorsements of something else.

use bellwether_schemas::codes;
use bellwether_tests::hostile::{History, Who};

use super::{APP, NOTE, SITE, begin, one, two};

/// A branch by Bob that needs a second person.
fn bobs_branch() -> (History, bellwether_schemas::CommitId, bellwether_schemas::CommitId) {
    let (mut h, main) = begin(&two());
    let work = h.on(main).write(APP, "new").by(Who::Bob);
    (h, main, work)
}

#[test]
fn hostile_an_endorsement_that_names_another_commit() {
    let (mut h, main, work) = bobs_branch();
    let more = h.on(work).write(NOTE, "more").by(Who::Bob);
    for named in [main, work] {
        let wrong = h.on(more).endorses(named).by(Who::Alice);
        h.merge(main, wrong).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    }
    let right = h.on(more).endorses(more).by(Who::Alice);
    h.merge(main, right).lands(Who::Nobody);
}

#[test]
fn hostile_an_endorsement_that_is_no_trailer() {
    let (mut h, main, work) = bobs_branch();
    for message in [
        format!("Endorses: {work}\n"),
        format!("Endorse\n\nEndorses: {work}\n\nNot the last paragraph.\n"),
        format!("Endorse\n\n> Endorses: {work}\n"),
        format!("Endorse\n\nEndorses: {work} and more\n"),
        format!("Endorse\n\nEndorses: {}\n", &work.to_string()[..12]),
    ] {
        let mentioned = h.on(work).message(&message).by(Who::Alice);
        h.merge(main, mentioned).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    }
}

#[test]
fn hostile_an_endorsement_that_changes_something() {
    let (mut h, main, work) = bobs_branch();
    let full = h.endorse(work).write(NOTE, "besides").by(Who::Alice);
    h.merge(main, full).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    let mode = h.endorse(work).entry(NOTE, "100755", "old").by(Who::Alice);
    h.merge(main, mode).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
}

#[test]
fn hostile_a_change_after_the_endorsement() {
    let (mut h, main, work) = bobs_branch();
    let endorsed = h.endorse(work).by(Who::Alice);
    let changed = h.on(endorsed).write(APP, "evil").by(Who::Bob);
    h.merge(main, changed).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    // There and back: what was endorsed is not what lands.
    let back = h.on(changed).write(APP, "new").by(Who::Bob);
    h.merge(main, back).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    // Another path: the first stays endorsed, the second is not.
    let other = h.on(endorsed).write(SITE, "evil").by(Who::Bob);
    h.merge(main, other).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    let note = h.on(endorsed).write(NOTE, "harmless").by(Who::Bob);
    h.merge(main, note).lands(Who::Nobody);
}

#[test]
fn hostile_an_endorsement_by_nobody_who_counts() {
    let (mut h, main, work) = bobs_branch();
    for who in [Who::Nobody, Who::Forge, Who::Bot, Who::Bob] {
        let endorsed = h.endorse(work).by(who);
        h.merge(main, endorsed).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    }
}

#[test]
fn hostile_an_endorsement_with_the_signature_of_another() {
    let (mut h, main, work) = bobs_branch();
    let other = h.on(main).write(APP, "evil").by(Who::Bob);
    let real = h.endorse(work).by(Who::Alice);
    let copied = h.endorse(other).with_signature_of(real);
    h.merge(main, copied).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    // Carried along with its old trailer, as a rebase would: signed again, but for a commit that is not there.
    let carried = h.on(other).endorses(work).by(Who::Alice);
    h.merge(main, carried).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
}

#[test]
fn hostile_an_endorsed_branch_is_merged_into_another() {
    let (mut h, main, work) = bobs_branch();
    let endorsed = h.endorse(work).by(Who::Alice);
    let evil = h.on(main).write(APP, "evil").by(Who::Mallory);
    let kept = h.keep(evil, endorsed).by(Who::Mallory);
    let merge = h.merge(main, kept).by(Who::Nobody);
    assert_eq!(h.files(&merge)[APP].content, "evil");
    h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
}

#[test]
fn hostile_an_endorsement_on_a_side_that_did_not_write_the_path() {
    let (mut h, main, work) = bobs_branch();
    // Alice endorsed the branch as it was before Bob wrote.
    let before = h.endorse(main).by(Who::Alice);
    let joined = h.keep(work, before).by(Who::Bob);
    h.merge(main, joined).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
}

#[test]
fn hostile_an_endorsement_of_a_deletion_is_needed_too() {
    let (mut h, main) = begin(&two());
    let deleted = h.on(main).remove(APP).by(Who::Bob);
    h.merge(main, deleted).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    let endorsed = h.endorse(deleted).by(Who::Carol);
    h.merge(main, endorsed).lands(Who::Nobody);
}

#[test]
fn hostile_an_endorser_who_was_removed_since() {
    let (mut h, fork) = begin(&two());
    let work = h.on(fork).write(APP, "new").by(Who::Bob);
    let endorsed = h.endorse(work).by(Who::Mallory);
    let main = h.on(fork).policy(&two().version(2).without("mallory")).lands(Who::Alice);
    h.merge(main, endorsed).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
}

#[test]
fn hostile_an_endorsement_of_what_main_has_merged_and_not_kept() {
    for policy in [one(), two()] {
        let (mut h, fork) = begin(&policy);
        let bad = h.on(fork).write(APP, "bad").by(Who::Nobody);
        let repaired = h.keep(fork, bad).lands(Who::Alice);
        // The branch goes on from there, and two endorse its docs. They wrote nothing else, and nobody else did.
        let docs = h.on(bad).write("files/note", "docs").by(Who::Nobody);
        let endorsed = h.endorse(docs).by(Who::Alice);
        let endorsed = h.endorse(endorsed).by(Who::Bob);
        let junk = h.on(endorsed).write(APP, "junk").by(Who::Nobody);
        let back = h.on(junk).write(APP, "bad").by(Who::Nobody);
        let joined = h.keep(endorsed, back).by(Who::Nobody);
        let merge = h.merge(repaired, joined).by(Who::Nobody);
        assert_eq!((&*h.files(&merge)[APP].content, &*h.files(&merge)["files/note"].content), ("bad", "docs"));
        h.refuses(merge, codes::SIGNER_NOT_IN_ROLE);
        h.merge_from(bad, repaired, endorsed).lands(Who::Nobody);
    }
}

#[test]
fn hostile_an_endorsement_of_an_entry_that_another_branch_wrote() {
    let (mut h, fork) = begin(&two());
    let bad = h.on(fork).write(APP, "bad").by(Who::Nobody);
    let repaired = h.keep(fork, bad).lands(Who::Alice);
    // Alice endorses a branch that inherits the entry; Mallory writes the same elsewhere, and joins both.
    let endorsed = h.endorse(bad).by(Who::Alice);
    let written = h.on(repaired).write(APP, "bad").by(Who::Mallory);
    for parents in [[endorsed, written], [written, endorsed]] {
        let joined = h.on(endorsed).parents(&parents).by(Who::Mallory);
        h.merge(repaired, joined).take(APP, joined).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    }
    // Above what Mallory wrote her endorsement says that.
    let joined = h.on(endorsed).parents(&[written, endorsed]).by(Who::Mallory);
    let above = h.endorse(joined).by(Who::Alice);
    h.merge(repaired, above).take(APP, above).lands(Who::Nobody);
}
