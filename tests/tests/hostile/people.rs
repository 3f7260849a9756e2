//! Who does not count, and for what.

use bellwether_schemas::codes;
use bellwether_tests::hostile::Who;

use super::{APP, NOTE, SITE, begin, one, two};

#[test]
fn hostile_landings_that_no_person_signed() {
    let (mut h, main) = begin(&one());
    for (who, code) in
        [(Who::Nobody, codes::COMMIT_UNSIGNED), (Who::Forge, codes::SIGNER_UNKNOWN), (Who::Bot, codes::SIGNER_IS_BOT)]
    {
        h.on(main).write(APP, "new").refused(who, code);
        h.on(main).refused(who, code);
    }
}

#[test]
fn hostile_a_landing_with_the_signature_of_another() {
    let (mut h, main) = begin(&one());
    let good = h.on(main).write(APP, "good").by(Who::Alice);
    let bad = h.on(main).write(APP, "bad").with_signature_of(good);
    h.refuses(bad, codes::SIGNATURE_INVALID);
    h.accepts(good);
}

#[test]
fn hostile_a_branch_with_the_signature_of_another() {
    let (mut h, main) = begin(&one());
    let good = h.on(main).write(APP, "good").by(Who::Alice);
    let bad = h.on(main).write(APP, "bad").with_signature_of(good);
    h.merge(main, bad).refused(Who::Nobody, codes::SIGNER_NOT_IN_ROLE);
    // Under the merge it is worth nothing either.
    let real = h.merge(main, good).by(Who::Alice);
    let work = h.on(main).write(APP, "unsigned").by(Who::Nobody);
    let merge = h.merge(main, work).with_signature_of(real);
    h.refuses(merge, codes::SIGNER_NOT_IN_ROLE);
}

#[test]
fn hostile_paths_of_others_and_of_nobody() {
    let (mut h, main) = begin(&one());
    for (path, who, code) in [
        (NOTE, Who::Carol, codes::SIGNER_NOT_IN_ROLE),
        ("trust/more", Who::Bob, codes::SIGNER_NOT_IN_ROLE),
        ("README.md", Who::Alice, codes::PATH_WITHOUT_RULE),
        ("filesystem/x", Who::Alice, codes::PATH_WITHOUT_RULE),
    ] {
        let landing = h.on(main).write(path, "new").by(who);
        h.refuses(landing, code);
        h.merge(main, landing).refused(Who::Nobody, code);
    }
}

#[test]
fn hostile_a_removed_key_through_an_old_branch() {
    for work_after in [false, true] {
        let (mut h, fork) = begin(&two().signers("files", 1));
        let before = h.on(fork).write(APP, "mallory's").by(Who::Mallory);
        let main = h.on(fork).policy(&two().version(2).signers("files", 1).without("mallory")).lands(Who::Alice);
        let work = if work_after { h.on(before).write(SITE, "more").by(Who::Mallory) } else { before };
        h.merge(main, work).refused(Who::Nobody, codes::SIGNER_NOT_IN_ROLE);
        h.merge(main, work).refused(Who::Mallory, codes::SIGNER_NOT_IN_ROLE);
        let main = h.on(main).policy(&two().version(3).without("mallory")).lands(Who::Alice);
        h.merge(main, work).refused(Who::Alice, codes::NOT_ENOUGH_SIGNERS);
        let endorsed = h.endorse(work).by(Who::Mallory);
        h.merge(main, endorsed).refused(Who::Alice, codes::NOT_ENOUGH_SIGNERS);
    }
}

#[test]
fn hostile_a_removed_key_brings_its_own_policy() {
    let (mut h, fork) = begin(&one());
    let main = h.on(fork).policy(&one().version(2).without("mallory")).lands(Who::Alice);
    let work = h.on(fork).write(APP, "mallory's").by(Who::Mallory);
    let kept = h.keep(work, main).by(Who::Mallory);
    for merges in [Who::Nobody, Who::Mallory] {
        h.merge(main, kept).take("trust/policy.yaml", kept).refused(merges, codes::MERGE_UNCLEAN);
    }
}

#[test]
fn hostile_one_on_top_of_anothers_unfinished_work_is_not_two() {
    let (mut h, main) = begin(&two());
    let unfinished = h.on(main).write(APP, "unfinished").by(Who::Bob);
    // Work on another path says nothing about this one.
    let other = h.on(unfinished).write(NOTE, "other").by(Who::Mallory);
    h.merge(main, other).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    // Nor does an empty commit.
    let empty = h.on(unfinished).by(Who::Mallory);
    h.merge(main, empty).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    // Whoever writes the path again is its only writer, also with the same content.
    let same = h.on(unfinished).write(APP, "evil").by(Who::Mallory);
    h.merge(main, same).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    let again = h.on(same).write(APP, "unfinished").by(Who::Mallory);
    h.merge(main, again).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    // A merge of main says nothing either.
    let updated = h.keep(unfinished, main).by(Who::Mallory);
    h.merge(main, updated).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    // The signer of the landing counts: that is what two signers mean.
    h.merge(main, unfinished).refused(Who::Bob, codes::NOT_ENOUGH_SIGNERS);
}

#[test]
fn hostile_one_person_with_two_keys_is_one() {
    let (mut h, main) = begin(&two());
    let work = h.on(main).write(APP, "new").by(Who::Carol);
    h.merge(main, work).refused(Who::CarolsLaptop, codes::NOT_ENOUGH_SIGNERS);
    let endorsed = h.endorse(work).by(Who::CarolsLaptop);
    for merges in [Who::Nobody, Who::Carol, Who::CarolsLaptop] {
        h.merge(main, endorsed).refused(merges, codes::NOT_ENOUGH_SIGNERS);
    }
}

#[test]
fn hostile_a_bot_never_counts() {
    let (mut h, main) = begin(&two());
    let by_bot = h.on(main).write(APP, "new").by(Who::Bot);
    h.merge(main, by_bot).refused(Who::Alice, codes::NOT_ENOUGH_SIGNERS);
    let by_bob = h.on(main).write(APP, "new").by(Who::Bob);
    let endorsed = h.endorse(by_bob).by(Who::Bot);
    for merges in [Who::Nobody, Who::Bot] {
        h.merge(main, endorsed).refused(merges, codes::NOT_ENOUGH_SIGNERS);
    }
    let note = h.on(main).write(NOTE, "new").by(Who::Bot);
    h.merge(main, note).refused(Who::Bot, codes::SIGNER_NOT_IN_ROLE);
}

#[test]
fn hostile_the_squash_button() {
    for (button, code) in
        [(Who::Nobody, codes::COMMIT_UNSIGNED), (Who::Forge, codes::SIGNER_UNKNOWN), (Who::Bot, codes::SIGNER_IS_BOT)]
    {
        let (mut h, main) = begin(&one());
        let work = h.on(main).write(APP, "new").by(Who::Bob);
        let endorsed = h.endorse(work).by(Who::Alice);
        h.squash(main, endorsed).refused(button, code);
    }
}

#[test]
fn hostile_the_rebase_button() {
    let (mut h, fork) = begin(&one());
    let work = h.on(fork).write(APP, "new").by(Who::Bob);
    let main = h.on(fork).write(NOTE, "meanwhile").lands(Who::Alice);
    // The button cannot sign for Bob, and his signature is over another commit.
    h.on(main).write(APP, "new").refused(Who::Nobody, codes::COMMIT_UNSIGNED);
    let rebased = h.on(main).write(APP, "new").with_signature_of(work);
    h.refuses(rebased, codes::SIGNATURE_INVALID);
}

#[test]
fn hostile_a_person_stands_only_for_paths_of_their_role() {
    let (mut h, main) = begin(&one());
    let work = h.on(main).write(NOTE, "new").by(Who::Carol);
    let endorsed = h.endorse(work).by(Who::Carol);
    h.merge(main, endorsed).refused(Who::Carol, codes::SIGNER_NOT_IN_ROLE);
}

#[test]
fn hostile_two_signers_do_not_land_a_plain_commit() {
    let (mut h, main) = begin(&two());
    let landing = h.on(main).write(APP, "new").by(Who::Bob);
    h.refuses(landing, codes::NOT_ENOUGH_SIGNERS);
    // What follows on the line is a landing of its own, and mends nothing.
    let endorsed = h.endorse(landing).by(Who::Alice);
    let (landed, refusal) = h.advance_from(&h.try_introduce(main).expect("it counts"), &[endorsed]);
    assert_eq!((landed, refusal.map(|refusal| refusal.code)), (0, Some(codes::NOT_ENOUGH_SIGNERS)));
}
