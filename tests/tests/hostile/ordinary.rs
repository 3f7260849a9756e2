//! Ordinary ways of working: all are accepted.

use bellwether_schemas::codes;
use bellwether_tests::hostile::{History, PolicyText, Who};

use super::{APP, NOTE, SITE, one, two};

#[test]
fn ordinary_bob_writes_and_alice_merges() {
    let mut h = History::introduced(&two());
    let main = h.main();
    let work = h.on(main).write(APP, "new").by(Who::Bob);
    let merge = h.merge(main, work).by(Who::Alice);
    h.accepts(merge);
}

#[test]
fn ordinary_bob_writes_alice_endorses_and_a_button_merges() {
    for button in [Who::Nobody, Who::Forge, Who::Bot] {
        let mut h = History::introduced(&two());
        let main = h.main();
        let work = h.on(main).write(APP, "new").by(Who::Bob);
        let endorsed = h.endorse(work).by(Who::Alice);
        let merge = h.merge(main, endorsed).by(button);
        h.accepts(merge);
    }
}

#[test]
fn ordinary_each_landing_of_a_line_is_signed() {
    let mut h = History::introduced(&one());
    let mut main = h.main();
    for (path, content, who) in [(APP, "1", Who::Bob), (SITE, "2", Who::CarolsLaptop), (APP, "3", Who::Alice)] {
        main = h.on(main).write(path, content).by(who);
        h.accepts(main);
    }
    let heartbeat = h.on(main).by(Who::Bob);
    h.accepts(heartbeat);
}

#[test]
fn ordinary_a_branch_from_before_the_policy_changed() {
    let mut h = History::introduced(&two());
    let fork = h.main();
    let work = h.on(fork).write(APP, "new").by(Who::Bob);
    let endorsed = h.endorse(work).by(Who::Carol);
    let main = h.on(fork).policy(&two().version(2).without("mallory")).by(Who::Alice);
    h.accepts(main);
    let merge = h.merge(main, endorsed).by(Who::Nobody);
    h.accepts(merge);
}

#[test]
fn ordinary_a_person_who_came_after_the_branch_was_signed() {
    let mut h = History::introduced(&one().without("bob"));
    let fork = h.main();
    let work = h.on(fork).write(APP, "new").by(Who::Bob);
    let main = h.on(fork).policy(&one().version(2)).by(Who::Alice);
    h.accepts(main);
    let merge = h.merge(main, work).by(Who::Nobody);
    h.accepts(merge);
}

#[test]
fn ordinary_unsigned_commits_merged_and_signed_by_one_who_may() {
    let mut h = History::introduced(&one());
    let main = h.main();
    let work = h.on(main).write(APP, "new").by(Who::Nobody);
    let work = h.on(work).write(SITE, "new").by(Who::Forge);
    let merge = h.merge(main, work).by(Who::Alice);
    h.accepts(merge);
}

#[test]
fn ordinary_a_person_squashes_and_signs() {
    let mut h = History::introduced(&one());
    let main = h.main();
    let work = h.on(main).write(APP, "new").by(Who::Nobody);
    let squashed = h.squash(main, work).by(Who::Alice);
    h.accepts(squashed);
}

#[test]
fn ordinary_a_revert_as_landing_and_as_branch() {
    let mut h = History::introduced(&one());
    let main = h.main();
    let bad = h.on(main).write(APP, "bad").remove(SITE).by(Who::Bob);
    h.accepts(bad);
    let revert = h.revert(bad, bad).by(Who::Alice);
    assert_eq!(h.files(&revert), h.files(&main));
    h.accepts(revert);
    // And back once more, as a pull request.
    let again = h.revert(revert, revert).by(Who::Bob);
    let merge = h.merge(revert, again).by(Who::Forge);
    h.accepts(merge);
}

#[test]
fn ordinary_a_merge_is_reverted_and_done_again_on_top() {
    let mut h = History::introduced(&one());
    let main = h.main();
    let work = h.on(main).write(APP, "new").by(Who::Bob);
    let merge = h.merge(main, work).by(Who::Nobody);
    h.accepts(merge);
    let revert = h.revert(merge, merge).by(Who::Alice);
    h.accepts(revert);
    let again = h.revert(revert, revert).by(Who::Bob);
    let merge = h.merge(revert, again).by(Who::Nobody);
    h.accepts(merge);
}

#[test]
fn ordinary_a_bad_landing_is_repaired_by_a_merge_as_second_parent() {
    let mut h = History::introduced(&two());
    let main = h.main();
    let bad = h.on(main).write(APP, "bad").by(Who::Nobody);
    h.refuses(bad, codes::COMMIT_UNSIGNED);
    // Nothing of it is kept.
    let repair = h.on(main).parents(&[main, bad]).by(Who::Bob);
    h.accepts(repair);
    // Work that went on from the bad landing has it no more.
    let next = h.on(repair).write(NOTE, "repaired").by(Who::Bob);
    h.accepts(next);
}

#[test]
fn ordinary_a_bad_landing_is_repaired_also_when_it_cannot_be_read_as_one() {
    let mut h = History::introduced(&one());
    let main = h.main();
    let links = h.on(main).entry("files/link", "120000", "/etc/passwd").by(Who::Alice);
    let odd = h.on(links).header("odd header").by(Who::Nobody);
    let nothing = h.on(odd).take_all(odd).remove("trust/policy.yaml").by(Who::Alice);
    let repair = h.on(main).parents(&[main, nothing]).by(Who::Alice);
    h.accepts(repair);
}

#[test]
fn ordinary_main_is_merged_into_the_branch_in_between() {
    for updates in [Who::Bob, Who::Nobody, Who::Forge] {
        let mut h = History::introduced(&two());
        let fork = h.main();
        let work = h.on(fork).write(APP, "new").by(Who::Bob);
        let endorsed = h.endorse(work).by(Who::Alice);
        let main = h.on(fork).write(NOTE, "meanwhile").by(Who::Alice);
        h.accepts(main);
        let updated = h.merge_from(fork, endorsed, main).by(updates);
        let main = h.on(main).write("fleets/edge.yaml", "later").by(Who::Alice);
        h.accepts(main);
        let merge = h.merge(main, updated).by(Who::Nobody);
        assert_eq!(h.files(&merge)[NOTE].content, "meanwhile");
        h.accepts(merge);
    }
}

#[test]
fn ordinary_a_conflict_is_resolved_in_the_branch() {
    let mut h = History::introduced(&two());
    let fork = h.main();
    let work = h.on(fork).write(NOTE, "bob's").by(Who::Bob);
    let main = h.on(fork).write(NOTE, "alice's").by(Who::Alice);
    h.accepts(main);
    let resolved = h.on(work).parents(&[work, main]).write(NOTE, "both").by(Who::Bob);
    let merge = h.merge(main, resolved).by(Who::Nobody);
    h.accepts(merge);
}

#[test]
fn ordinary_a_conflict_is_resolved_in_the_merge_by_who_signs_it() {
    let mut h = History::introduced(&one());
    let fork = h.main();
    let work = h.on(fork).write(APP, "bob's").by(Who::Bob);
    let main = h.on(fork).write(APP, "alice's").by(Who::Alice);
    h.accepts(main);
    let merge = h.merge(main, work).write(APP, "both").by(Who::Carol);
    h.accepts(merge);
}

#[test]
fn ordinary_an_octopus_by_a_person() {
    let mut h = History::introduced(&one());
    let main = h.main();
    let app = h.on(main).write(APP, "new").by(Who::Nobody);
    let site = h.on(main).write(SITE, "new").by(Who::Bob);
    let octopus = h.on(main).parents(&[main, app, site]).write(APP, "new").write(SITE, "new").by(Who::Alice);
    h.accepts(octopus);
}

#[test]
fn ordinary_odd_commits_in_a_branch_that_are_gone_at_its_tip() {
    let mut h = History::introduced(&one());
    let main = h.main();
    let links = h.on(main).entry("files/link", "120000", "/etc/passwd").entry("files/mode", "100664", "x").by(Who::Bob);
    let module = h.on(links).entry("files/module", "160000", "x").write("files/.GIT", "x").by(Who::Bob);
    let odd = h.on(module).header("odd header").by(Who::Nobody);
    let no_policy = h.on(odd).remove("trust/policy.yaml").by(Who::Bob);
    let broken = h.on(no_policy).write("trust/policy.yaml", "broken").by(Who::Bob);
    let clean = h.on(main).parents(&[broken]).by(Who::Bob);
    let done = h.on(clean).write(SITE, "new").by(Who::Bob);
    let merge = h.merge(main, done).by(Who::Nobody);
    // The branch wrote the policy: what stands there now, Bob wrote last, and he is no owner. But nothing changes.
    h.accepts(merge);
}

#[test]
fn ordinary_two_branches_in_flight() {
    let mut h = History::introduced(&two());
    let fork = h.main();
    let app = h.on(fork).write(APP, "new").by(Who::Bob);
    let app = h.endorse(app).by(Who::Alice);
    let site = h.on(fork).write(SITE, "new").by(Who::Carol);
    let site = h.endorse(site).by(Who::Bob);
    let first = h.merge(fork, app).by(Who::Nobody);
    h.accepts(first);
    let second = h.merge(first, site).by(Who::Forge);
    h.accepts(second);
    assert_eq!((&*h.files(&second)[APP].content, &*h.files(&second)[SITE].content), ("new", "new"));
}

#[test]
fn ordinary_a_branch_that_lands_twice_takes_main_in_between() {
    for endorsed in [false, true] {
        let mut h = History::introduced(&one());
        let fork = h.main();
        let work = h.on(fork).write(APP, "1").by(Who::Bob);
        let first = h.merge(fork, work).by(Who::Nobody);
        h.accepts(first);
        let more = h.on(work).write(APP, "2").by(Who::Bob);
        // As it stands, both sides changed the path since the branch last had main.
        let merge = h.merge_from(work, first, more).by(Who::Nobody);
        h.refuses(merge, codes::MERGE_UNCLEAN);
        // The branch keeps its own against the line: somebody says so, by signing the merge or endorsing it.
        let updated = h.merge_from(work, more, first).by(Who::Nobody);
        let merge = h.merge(first, updated).by(Who::Nobody);
        h.refuses(merge, codes::SIGNER_NOT_IN_ROLE);
        let signed = match endorsed {
            true => h.endorse(updated).by(Who::Bob),
            false => h.merge_from(work, more, first).by(Who::Bob),
        };
        let merge = h.merge(first, signed).by(Who::Nobody);
        h.accepts(merge);
    }
}

#[test]
fn ordinary_a_bot_writes_and_people_stand_for_it() {
    let mut h = History::introduced(&two());
    let main = h.main();
    let bump = h.on(main).write(APP, "bumped").by(Who::Bot);
    let endorsed = h.endorse(bump).by(Who::Bob);
    let merge = h.merge(main, endorsed).by(Who::Alice);
    h.accepts(merge);
}

#[test]
fn ordinary_two_endorse_what_nobody_signed() {
    let mut h = History::introduced(&two());
    let main = h.main();
    let work = h.on(main).write(APP, "new").by(Who::Nobody);
    let once = h.endorse(work).by(Who::Bob);
    let twice = h.endorse(once).by(Who::Carol);
    let merge = h.merge(main, twice).by(Who::Nobody);
    h.accepts(merge);
}

#[test]
fn ordinary_deletions_modes_and_kinds_of_path() {
    let mut h = History::introduced(&two());
    let main = h.main();
    let work = h.on(main).remove(SITE).entry("files/run", "100755", "old").write("files/app/main", "new").by(Who::Bob);
    let work = h.on(work).entry("files/app/main", "100755", "new").by(Who::Bob);
    let merge = h.merge(main, work).by(Who::Alice);
    h.accepts(merge);
    assert!(!h.files(&merge).contains_key(APP) && !h.files(&merge).contains_key(SITE));
    // And a folder becomes a file again.
    let work = h.on(merge).write(APP, "newer").by(Who::Bob);
    let endorsed = h.endorse(work).by(Who::Carol);
    let merge = h.merge(merge, endorsed).by(Who::Nobody);
    h.accepts(merge);
}

#[test]
fn ordinary_a_policy_change_by_pull_request() {
    let mut h = History::introduced(&one().signers("trust", 2));
    let main = h.main();
    let policy = one().signers("trust", 2).version(2).without("mallory");
    let work = h.on(main).policy(&policy).by(Who::Carol);
    let endorsed = h.endorse(work).by(Who::Alice);
    let merge = h.merge(main, endorsed).by(Who::Forge);
    h.accepts(merge);
}

#[test]
fn ordinary_a_branch_without_a_change_may_be_merged_by_a_button() {
    let mut h = History::introduced(&PolicyText::default());
    let main = h.main();
    let work = h.on(main).write(APP, "tried").by(Who::Nobody);
    let undone = h.on(work).write(APP, "old").by(Who::Nobody);
    let merge = h.merge(main, undone).by(Who::Nobody);
    h.accepts(merge);
}

#[test]
fn ordinary_a_person_joins_another_repository() {
    let mut h = History::introduced(&one());
    let main = h.main();
    let other = h
        .root()
        .remove("fleets/edge.yaml")
        .remove(SITE)
        .remove(NOTE)
        .remove(APP)
        .write("files/joined", "new")
        .by(Who::Nobody);
    let merge = h.on(main).parents(&[main, other]).write("files/joined", "new").by(Who::Bob);
    h.accepts(merge);
}

#[test]
fn ordinary_a_person_merges_a_branch_from_before_the_introduction() {
    let mut h = History::empty();
    let root = h.root().policy(&one()).by(Who::Nobody);
    let first = h.on(root).write(SITE, "introduced").by(Who::Alice);
    h.introduce(first);
    let work = h.on(root).write(APP, "new").remove(NOTE).by(Who::Nobody);
    let merge = h.merge(first, work).by(Who::Bob);
    h.accepts(merge);
}

#[test]
fn ordinary_a_branch_is_updated_by_a_button_and_main_changed_other_paths() {
    for swapped in [false, true] {
        let mut h = History::introduced(&two());
        let fork = h.main();
        let work = h.on(fork).write(APP, "new").by(Who::Bob);
        let main = h.on(fork).write(NOTE, "meanwhile").by(Who::Alice);
        h.accepts(main);
        let parents = if swapped { [main, work] } else { [work, main] };
        let updated = h.merge_from(fork, work, main).parents(&parents).by(Who::Forge);
        let main = h.on(main).write("fleets/edge.yaml", "later").by(Who::Alice);
        h.accepts(main);
        // Bob still stands for what he wrote, and one who endorses it afterwards too.
        let merge = h.merge(main, updated).by(Who::Nobody);
        h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
        let endorsed = h.endorse(updated).by(Who::Alice);
        let merge = h.merge(main, endorsed).by(Who::Nobody);
        h.accepts(merge);
    }
}

#[test]
fn ordinary_who_resolves_a_conflict_for_the_branch_stands_for_it() {
    let mut h = History::introduced(&two());
    let fork = h.main();
    let work = h.on(fork).write(APP, "bob's").by(Who::Bob);
    let other = h.on(fork).write(APP, "alice's").by(Who::Alice);
    let main = h.merge(fork, other).by(Who::Carol);
    h.accepts(main);
    let resolved = h.on(work).parents(&[work, main]).by(Who::Bob);
    let merge = h.merge(main, resolved).by(Who::Nobody);
    h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
    let endorsed = h.endorse(resolved).by(Who::Alice);
    let merge = h.merge(main, endorsed).by(Who::Nobody);
    assert_eq!(h.files(&merge)[APP].content, "bob's");
    h.accepts(merge);
}

#[test]
fn ordinary_a_conflict_that_a_web_editor_resolved_is_endorsed() {
    let mut h = History::introduced(&two());
    let fork = h.main();
    let work = h.on(fork).write(APP, "bob's").by(Who::Bob);
    let other = h.on(fork).write(APP, "alice's").by(Who::Alice);
    let main = h.merge(fork, other).by(Who::Carol);
    h.accepts(main);
    let resolved = h.on(main).parents(&[main, work]).take(APP, work).by(Who::Forge);
    let once = h.endorse(resolved).by(Who::Bob);
    let merge = h.merge(main, once).by(Who::Nobody);
    h.refuses(merge, codes::NOT_ENOUGH_SIGNERS);
    let twice = h.endorse(once).by(Who::Alice);
    let merge = h.merge(main, twice).by(Who::Nobody);
    h.accepts(merge);
}

#[test]
fn ordinary_a_branch_goes_on_after_its_squash_landed() {
    let mut h = History::introduced(&one());
    let fork = h.main();
    let work = h.on(fork).write(APP, "new").by(Who::Bob);
    let squashed = h.squash(fork, work).by(Who::Alice);
    h.accepts(squashed);
    // Both parents have the entry: it is the line's.
    let updated = h.on(work).parents(&[work, squashed]).by(Who::Forge);
    let more = h.on(updated).write(SITE, "more").by(Who::Bob);
    let merge = h.merge(squashed, more).by(Who::Nobody);
    h.accepts(merge);
}

#[test]
fn ordinary_a_branch_that_parts_and_joins_again() {
    let mut h = History::introduced(&two());
    let main = h.main();
    let main = h.on(main).write(NOTE, "meanwhile").by(Who::Alice);
    h.accepts(main);
    let start = h.on(main).write(APP, "new").by(Who::Bob);
    let left = h.on(start).write(NOTE, "left").by(Who::Bob);
    let right = h.on(start).write(SITE, "right").by(Who::Carol);
    for parents in [[left, right], [right, left]] {
        let joined = h.merge_from(start, parents[0], parents[1]).by(Who::Nobody);
        let endorsed = h.endorse(joined).by(Who::Alice);
        let merge = h.merge(main, endorsed).by(Who::Nobody);
        assert_eq!(h.files(&merge).len(), h.files(&main).len());
        if parents[0] == right {
            h.accepts(merge);
        }
    }
}
