//! Who does not count, and for what.

use bellwether_schemas::codes;
use bellwether_tests::hostile::{History, Who};

use super::{APP, NOTE, SITE, one, two};

#[test]
fn hostile_landings_that_no_person_signed() {
    let mut h = History::introduced(&one());
    let main = h.main();
    for (who, code) in
        [(Who::Nobody, codes::COMMIT_UNSIGNED), (Who::Forge, codes::SIGNER_UNKNOWN), (Who::Bot, codes::SIGNER_IS_BOT)]
    {
        let landing = h.on(main).write(APP, "new").by(who);
        h.refuses(landing, code);
        let empty = h.on(main).by(who);
        h.refuses(empty, code);
    }
}

#[test]
fn hostile_a_landing_with_the_signature_of_another() {
    let mut h = History::introduced(&one());
    let main = h.main();
    let good = h.on(main).write(APP, "good").by(Who::Alice);
    let bad = h.on(main).write(APP, "bad").with_signature_of(good);
    h.refuses(bad, codes::SIGNATURE_INVALID);
    h.accepts(good);
}

#[test]
fn hostile_a_branch_with_the_signature_of_another() {
    let mut h = History::introduced(&one());
    let main = h.main();
    let good = h.on(main).write(APP, "good").by(Who::Alice);
    let bad = h.on(main).write(APP, "bad").with_signature_of(good);
    let merge = h.merge(main, bad).by(Who::Nobody);
    h.refuses(merge, codes::SIGNER_NOT_IN_ROLE);
    // Under the merge it is worth nothing either.
    let real = h.merge(main, good).by(Who::Alice);
    let work = h.on(main).write(APP, "unsigned").by(Who::Nobody);
    let merge = h.merge(main, work).with_signature_of(real);
    h.refuses(merge, codes::SIGNER_NOT_IN_ROLE);
}

#[test]
fn hostile_paths_of_others_and_of_nobody() {
    let mut h = History::introduced(&one());
    let main = h.main();
    for (path, who, code) in [
        (NOTE, Who::Carol, codes::SIGNER_NOT_IN_ROLE),
        ("trust/more", Who::Bob, codes::SIGNER_NOT_IN_ROLE),
        ("README.md", Who::Alice, codes::PATH_WITHOUT_RULE),
        ("filesystem/x", Who::Alice, codes::PATH_WITHOUT_RULE),
    ] {
        let landing = h.on(main).write(path, "new").by(who);
        h.refuses(landing, code);
        let branch = h.merge(main, landing).by(Who::Nobody);
        h.refuses(branch, code);
    }
}

#[test]
fn hostile_a_removed_key_through_an_old_branch() {
    for work_after in [false, true] {
        let mut h = History::introduced(&two().signers("files", 1));
        let fork = h.main();
        let before = h.on(fork).write(APP, "mallory's").by(Who::Mallory);
        let main = h.on(fork).policy(&two().version(2).signers("files", 1).without("mallory")).by(Who::Alice);
        h.accepts(main);
        let work = if work_after { h.on(before).write(SITE, "more").by(Who::Mallory) } else { before };
        let merge = h.merge(main, work).by(Who::Nobody);
        h.refuses(merge, codes::SIGNER_NOT_IN_ROLE);
        let merge = h.merge(main, work).by(Who::Mallory);
        h.refuses(merge, codes::SIGNER_NOT_IN_ROLE);
        let main = h.on(main).policy(&two().version(3).without("mallory")).by(Who::Alice);
        h.accepts(main);
        let merge = h.merge(main, work).by(Who::Alice);
        h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
        let endorsed = h.endorse(work).by(Who::Mallory);
        let merge = h.merge(main, endorsed).by(Who::Alice);
        h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
    }
}

#[test]
fn hostile_a_removed_key_brings_its_own_policy() {
    let mut h = History::introduced(&one());
    let fork = h.main();
    let main = h.on(fork).policy(&one().version(2).without("mallory")).by(Who::Alice);
    h.accepts(main);
    let work = h.on(fork).write(APP, "mallory's").by(Who::Mallory);
    let kept = h.on(work).parents(&[work, main]).by(Who::Mallory);
    for merges in [Who::Nobody, Who::Mallory] {
        let merge = h.merge(main, kept).take("trust/policy.yaml", kept).by(merges);
        h.refuses(merge, codes::MERGE_UNCLEAN);
    }
}

#[test]
fn hostile_one_on_top_of_anothers_unfinished_work_is_not_two() {
    let mut h = History::introduced(&two());
    let main = h.main();
    let unfinished = h.on(main).write(APP, "unfinished").by(Who::Bob);
    // Work on another path says nothing about this one.
    let other = h.on(unfinished).write(NOTE, "other").by(Who::Mallory);
    let merge = h.merge(main, other).by(Who::Nobody);
    h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
    // Nor does an empty commit.
    let empty = h.on(unfinished).by(Who::Mallory);
    let merge = h.merge(main, empty).by(Who::Nobody);
    h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
    // Whoever writes the path again is its only writer, also with the same content.
    let same = h.on(unfinished).write(APP, "evil").by(Who::Mallory);
    let merge = h.merge(main, same).by(Who::Nobody);
    h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
    let again = h.on(same).write(APP, "unfinished").by(Who::Mallory);
    let merge = h.merge(main, again).by(Who::Nobody);
    h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
    // A merge of main says nothing either.
    let updated = h.on(unfinished).parents(&[unfinished, main]).by(Who::Mallory);
    let merge = h.merge(main, updated).by(Who::Nobody);
    h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
    // The signer of the landing counts: that is what two signers mean.
    let merge = h.merge(main, unfinished).by(Who::Bob);
    h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
}

#[test]
fn hostile_one_person_with_two_keys_is_one() {
    let mut h = History::introduced(&two());
    let main = h.main();
    let work = h.on(main).write(APP, "new").by(Who::Carol);
    let merge = h.merge(main, work).by(Who::CarolsLaptop);
    h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
    let endorsed = h.endorse(work).by(Who::CarolsLaptop);
    for merges in [Who::Nobody, Who::Carol, Who::CarolsLaptop] {
        let merge = h.merge(main, endorsed).by(merges);
        h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
    }
}

#[test]
fn hostile_a_bot_never_counts() {
    let mut h = History::introduced(&two());
    let main = h.main();
    let by_bot = h.on(main).write(APP, "new").by(Who::Bot);
    let merge = h.merge(main, by_bot).by(Who::Alice);
    h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
    let by_bob = h.on(main).write(APP, "new").by(Who::Bob);
    let endorsed = h.endorse(by_bob).by(Who::Bot);
    for merges in [Who::Nobody, Who::Bot] {
        let merge = h.merge(main, endorsed).by(merges);
        h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
    }
    let note = h.on(main).write(NOTE, "new").by(Who::Bot);
    let merge = h.merge(main, note).by(Who::Bot);
    h.refuses(merge, codes::SIGNER_NOT_IN_ROLE);
}

#[test]
fn hostile_the_squash_button() {
    for (button, code) in
        [(Who::Nobody, codes::COMMIT_UNSIGNED), (Who::Forge, codes::SIGNER_UNKNOWN), (Who::Bot, codes::SIGNER_IS_BOT)]
    {
        let mut h = History::introduced(&one());
        let main = h.main();
        let work = h.on(main).write(APP, "new").by(Who::Bob);
        let endorsed = h.endorse(work).by(Who::Alice);
        let squashed = h.squash(main, endorsed).by(button);
        h.refuses(squashed, code);
    }
}

#[test]
fn hostile_the_rebase_button() {
    let mut h = History::introduced(&one());
    let fork = h.main();
    let work = h.on(fork).write(APP, "new").by(Who::Bob);
    let main = h.on(fork).write(NOTE, "meanwhile").by(Who::Alice);
    h.accepts(main);
    // The button cannot sign for Bob, and his signature is over another commit.
    let rebased = h.on(main).write(APP, "new").by(Who::Nobody);
    h.refuses(rebased, codes::COMMIT_UNSIGNED);
    let rebased = h.on(main).write(APP, "new").with_signature_of(work);
    h.refuses(rebased, codes::SIGNATURE_INVALID);
}

#[test]
fn hostile_a_person_stands_only_for_paths_of_their_role() {
    let mut h = History::introduced(&one());
    let main = h.main();
    let work = h.on(main).write(NOTE, "new").by(Who::Carol);
    let endorsed = h.endorse(work).by(Who::Carol);
    let merge = h.merge(main, endorsed).by(Who::Carol);
    h.refuses(merge, codes::SIGNER_NOT_IN_ROLE);
}

#[test]
fn hostile_two_signers_do_not_land_a_plain_commit() {
    let mut h = History::introduced(&two());
    let main = h.main();
    let landing = h.on(main).write(APP, "new").by(Who::Bob);
    h.refuses(landing, codes::NOT_ENOUGH_SIGNERS);
    // What follows on the line is a landing of its own, and mends nothing.
    let endorsed = h.endorse(landing).by(Who::Alice);
    let (landed, refusal) = h.advance_from(&h.try_introduce(main).expect("it counts"), &[endorsed]);
    assert_eq!((landed, refusal.map(|refusal| refusal.code)), (0, Some(codes::NOT_ENOUGH_SIGNERS)));
}
