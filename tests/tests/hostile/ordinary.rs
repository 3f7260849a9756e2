//! Ordinary ways of working: all are accepted.

use bellwether_schemas::codes;
use bellwether_tests::hostile::{PolicyText, Who};

use super::{APP, NOTE, SITE, begin, begin_late, one, two};

#[test]
fn ordinary_bob_writes_and_alice_merges() {
    let (mut h, main) = begin(&two());
    let work = h.on(main).write(APP, "new").by(Who::Bob);
    h.merge(main, work).lands(Who::Alice);
}

#[test]
fn ordinary_bob_writes_alice_endorses_and_a_button_merges() {
    for button in [Who::Nobody, Who::Forge, Who::Bot] {
        let (mut h, main) = begin(&two());
        let work = h.on(main).write(APP, "new").by(Who::Bob);
        let endorsed = h.endorse(work).by(Who::Alice);
        h.merge(main, endorsed).lands(button);
    }
}

#[test]
fn ordinary_each_landing_of_a_line_is_signed() {
    let (mut h, mut main) = begin(&one());
    for (path, content, who) in [(APP, "1", Who::Bob), (SITE, "2", Who::CarolsLaptop), (APP, "3", Who::Alice)] {
        main = h.on(main).write(path, content).lands(who);
    }
    h.on(main).lands(Who::Bob);
}

#[test]
fn ordinary_a_branch_from_before_the_policy_changed() {
    let (mut h, fork) = begin(&two());
    let work = h.on(fork).write(APP, "new").by(Who::Bob);
    let endorsed = h.endorse(work).by(Who::Carol);
    let main = h.on(fork).policy(&two().version(2).without("mallory")).lands(Who::Alice);
    h.merge(main, endorsed).lands(Who::Nobody);
}

#[test]
fn ordinary_a_person_who_came_after_the_branch_was_signed() {
    let (mut h, fork) = begin(&one().without("bob"));
    let work = h.on(fork).write(APP, "new").by(Who::Bob);
    let main = h.on(fork).policy(&one().version(2)).lands(Who::Alice);
    h.merge(main, work).lands(Who::Nobody);
}

#[test]
fn ordinary_unsigned_commits_merged_and_signed_by_one_who_may() {
    let (mut h, main) = begin(&one());
    let work = h.on(main).write(APP, "new").by(Who::Nobody);
    let work = h.on(work).write(SITE, "new").by(Who::Forge);
    h.merge(main, work).lands(Who::Alice);
}

#[test]
fn ordinary_a_person_squashes_and_signs() {
    let (mut h, main) = begin(&one());
    let work = h.on(main).write(APP, "new").by(Who::Nobody);
    h.squash(main, work).lands(Who::Alice);
}

#[test]
fn ordinary_a_revert_as_landing_and_as_branch() {
    let (mut h, main) = begin(&one());
    let bad = h.on(main).write(APP, "bad").remove(SITE).lands(Who::Bob);
    let revert = h.revert(bad, bad).by(Who::Alice);
    assert_eq!(h.files(&revert), h.files(&main));
    h.accepts(revert);
    // And back once more, as a pull request.
    let again = h.revert(revert, revert).by(Who::Bob);
    h.merge(revert, again).lands(Who::Forge);
}

#[test]
fn ordinary_a_merge_is_reverted_and_done_again_on_top() {
    let (mut h, main) = begin(&one());
    let work = h.on(main).write(APP, "new").by(Who::Bob);
    let merge = h.merge(main, work).lands(Who::Nobody);
    let revert = h.revert(merge, merge).lands(Who::Alice);
    let again = h.revert(revert, revert).by(Who::Bob);
    h.merge(revert, again).lands(Who::Nobody);
}

#[test]
fn ordinary_a_bad_landing_is_repaired_by_a_merge_as_second_parent() {
    let (mut h, main) = begin(&two());
    let bad = h.on(main).write(APP, "bad").by(Who::Nobody);
    h.refuses(bad, codes::COMMIT_UNSIGNED);
    // Nothing of it is kept.
    let repair = h.keep(main, bad).lands(Who::Bob);
    // Work that went on from the bad landing has it no more.
    h.on(repair).write(NOTE, "repaired").lands(Who::Bob);
}

#[test]
fn ordinary_a_bad_landing_is_repaired_also_when_it_cannot_be_read_as_one() {
    let (mut h, main) = begin(&one());
    let links = h.on(main).entry("files/link", "120000", "/etc/passwd").by(Who::Alice);
    let odd = h.on(links).header("odd header").by(Who::Nobody);
    let nothing = h.on(odd).take_all(odd).remove("trust/policy.yaml").by(Who::Alice);
    h.keep(main, nothing).lands(Who::Alice);
}

#[test]
fn ordinary_main_is_merged_into_the_branch_in_between() {
    for updates in [Who::Bob, Who::Nobody, Who::Forge] {
        let (mut h, fork) = begin(&two());
        let work = h.on(fork).write(APP, "new").by(Who::Bob);
        let endorsed = h.endorse(work).by(Who::Alice);
        let main = h.on(fork).write(NOTE, "meanwhile").lands(Who::Alice);
        let updated = h.merge_from(fork, endorsed, main).by(updates);
        let main = h.on(main).write("fleets/edge.yaml", "later").lands(Who::Alice);
        let merge = h.merge(main, updated).by(Who::Nobody);
        assert_eq!(h.files(&merge)[NOTE].content, "meanwhile");
        h.accepts(merge);
    }
}

#[test]
fn ordinary_a_conflict_is_resolved_in_the_branch() {
    let (mut h, fork) = begin(&two());
    let work = h.on(fork).write(NOTE, "bob's").by(Who::Bob);
    let main = h.on(fork).write(NOTE, "alice's").lands(Who::Alice);
    let resolved = h.keep(work, main).write(NOTE, "both").by(Who::Bob);
    h.merge(main, resolved).lands(Who::Nobody);
}

#[test]
fn ordinary_a_conflict_is_resolved_in_the_merge_by_who_signs_it() {
    let (mut h, fork) = begin(&one());
    let work = h.on(fork).write(APP, "bob's").by(Who::Bob);
    let main = h.on(fork).write(APP, "alice's").lands(Who::Alice);
    h.merge(main, work).write(APP, "both").lands(Who::Carol);
}

#[test]
fn ordinary_an_octopus_by_a_person() {
    let (mut h, main) = begin(&one());
    let app = h.on(main).write(APP, "new").by(Who::Nobody);
    let site = h.on(main).write(SITE, "new").by(Who::Bob);
    h.on(main).parents(&[main, app, site]).write(APP, "new").write(SITE, "new").lands(Who::Alice);
}

#[test]
fn ordinary_odd_commits_in_a_branch_that_are_gone_at_its_tip() {
    let (mut h, main) = begin(&one());
    let links = h.on(main).entry("files/link", "120000", "/etc/passwd").entry("files/mode", "100664", "x").by(Who::Bob);
    let module = h.on(links).entry("files/module", "160000", "x").write("files/.GIT", "x").by(Who::Bob);
    let odd = h.on(module).header("odd header").by(Who::Nobody);
    let no_policy = h.on(odd).remove("trust/policy.yaml").by(Who::Bob);
    let broken = h.on(no_policy).write("trust/policy.yaml", "broken").by(Who::Bob);
    let clean = h.on(main).parents(&[broken]).by(Who::Bob);
    let done = h.on(clean).write(SITE, "new").by(Who::Bob);
    // The branch wrote the policy: what stands there now, Bob wrote last, and he is no owner. But nothing changes.
    h.merge(main, done).lands(Who::Nobody);
}

#[test]
fn ordinary_two_branches_in_flight() {
    let (mut h, fork) = begin(&two());
    let app = h.on(fork).write(APP, "new").by(Who::Bob);
    let app = h.endorse(app).by(Who::Alice);
    let site = h.on(fork).write(SITE, "new").by(Who::Carol);
    let site = h.endorse(site).by(Who::Bob);
    let first = h.merge(fork, app).lands(Who::Nobody);
    let second = h.merge(first, site).lands(Who::Forge);
    assert_eq!((&*h.files(&second)[APP].content, &*h.files(&second)[SITE].content), ("new", "new"));
}

#[test]
fn ordinary_a_branch_that_lands_twice_takes_main_in_between() {
    for endorsed in [false, true] {
        let (mut h, fork) = begin(&one());
        let work = h.on(fork).write(APP, "1").by(Who::Bob);
        let first = h.merge(fork, work).lands(Who::Nobody);
        let more = h.on(work).write(APP, "2").by(Who::Bob);
        // As it stands, both sides changed the path since the branch last had main.
        h.merge_from(work, first, more).refused(Who::Nobody, codes::MERGE_UNCLEAN);
        // The branch keeps its own against the line: somebody says so, by signing the merge or endorsing it.
        let updated = h.merge_from(work, more, first).by(Who::Nobody);
        h.merge(first, updated).refused(Who::Nobody, codes::SIGNER_NOT_IN_ROLE);
        let signed = match endorsed {
            true => h.endorse(updated).by(Who::Bob),
            false => h.merge_from(work, more, first).by(Who::Bob),
        };
        h.merge(first, signed).lands(Who::Nobody);
    }
}

#[test]
fn ordinary_a_bot_writes_and_people_stand_for_it() {
    let (mut h, main) = begin(&two());
    let bump = h.on(main).write(APP, "bumped").by(Who::Bot);
    let endorsed = h.endorse(bump).by(Who::Bob);
    h.merge(main, endorsed).lands(Who::Alice);
}

#[test]
fn ordinary_two_endorse_what_nobody_signed() {
    let (mut h, main) = begin(&two());
    let work = h.on(main).write(APP, "new").by(Who::Nobody);
    let once = h.endorse(work).by(Who::Bob);
    let twice = h.endorse(once).by(Who::Carol);
    h.merge(main, twice).lands(Who::Nobody);
}

#[test]
fn ordinary_deletions_modes_and_kinds_of_path() {
    let (mut h, main) = begin(&two());
    let work = h.on(main).remove(SITE).entry("files/run", "100755", "old").write("files/app/main", "new").by(Who::Bob);
    let work = h.on(work).entry("files/app/main", "100755", "new").by(Who::Bob);
    let merge = h.merge(main, work).lands(Who::Alice);
    assert!(!h.files(&merge).contains_key(APP) && !h.files(&merge).contains_key(SITE));
    // And a folder becomes a file again.
    let work = h.on(merge).write(APP, "newer").by(Who::Bob);
    let endorsed = h.endorse(work).by(Who::Carol);
    h.merge(merge, endorsed).lands(Who::Nobody);
}

#[test]
fn ordinary_a_policy_change_by_pull_request() {
    let (mut h, main) = begin(&one().signers("trust", 2));
    let policy = one().signers("trust", 2).version(2).without("mallory");
    let work = h.on(main).policy(&policy).by(Who::Carol);
    let endorsed = h.endorse(work).by(Who::Alice);
    h.merge(main, endorsed).lands(Who::Forge);
}

#[test]
fn ordinary_a_branch_without_a_change_may_be_merged_by_a_button() {
    let (mut h, main) = begin(&PolicyText::default());
    let work = h.on(main).write(APP, "tried").by(Who::Nobody);
    let undone = h.on(work).write(APP, "old").by(Who::Nobody);
    h.merge(main, undone).lands(Who::Nobody);
}

#[test]
fn ordinary_a_person_joins_another_repository() {
    let (mut h, main) = begin(&one());
    let other = h.orphan().write("files/joined", "new").by(Who::Nobody);
    h.keep(main, other).write("files/joined", "new").lands(Who::Bob);
}

#[test]
fn ordinary_a_person_merges_a_branch_from_before_the_introduction() {
    let (mut h, root, first) = begin_late(&one());
    let work = h.on(root).write(APP, "new").remove(NOTE).by(Who::Nobody);
    h.merge(first, work).lands(Who::Bob);
}

#[test]
fn ordinary_a_branch_is_updated_by_a_button_and_main_changed_other_paths() {
    for swapped in [false, true] {
        let (mut h, fork) = begin(&two());
        let work = h.on(fork).write(APP, "new").by(Who::Bob);
        let main = h.on(fork).write(NOTE, "meanwhile").lands(Who::Alice);
        let parents = if swapped { [main, work] } else { [work, main] };
        let updated = h.merge_from(fork, work, main).parents(&parents).by(Who::Forge);
        let main = h.on(main).write("fleets/edge.yaml", "later").lands(Who::Alice);
        // Bob still stands for what he wrote, and one who endorses it afterwards too.
        h.merge(main, updated).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
        let endorsed = h.endorse(updated).by(Who::Alice);
        h.merge(main, endorsed).lands(Who::Nobody);
    }
}

#[test]
fn ordinary_who_resolves_a_conflict_for_the_branch_stands_for_it() {
    let (mut h, fork) = begin(&two());
    let work = h.on(fork).write(APP, "bob's").by(Who::Bob);
    let main = h.on(fork).write(APP, "alice's").lands_by_merge(Who::Alice, Who::Carol);
    let resolved = h.keep(work, main).by(Who::Bob);
    h.merge(main, resolved).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    let endorsed = h.endorse(resolved).by(Who::Alice);
    let merge = h.merge(main, endorsed).by(Who::Nobody);
    assert_eq!(h.files(&merge)[APP].content, "bob's");
    h.accepts(merge);
}

#[test]
fn ordinary_a_conflict_that_a_web_editor_resolved_is_endorsed() {
    let (mut h, fork) = begin(&two());
    let work = h.on(fork).write(APP, "bob's").by(Who::Bob);
    let main = h.on(fork).write(APP, "alice's").lands_by_merge(Who::Alice, Who::Carol);
    let resolved = h.keep(main, work).take(APP, work).by(Who::Forge);
    let once = h.endorse(resolved).by(Who::Bob);
    h.merge(main, once).refused(Who::Nobody, codes::NOT_ENOUGH_SIGNERS);
    let twice = h.endorse(once).by(Who::Alice);
    h.merge(main, twice).lands(Who::Nobody);
}

#[test]
fn ordinary_a_branch_goes_on_after_its_squash_landed() {
    let (mut h, fork) = begin(&one());
    let work = h.on(fork).write(APP, "new").by(Who::Bob);
    let squashed = h.squash(fork, work).lands(Who::Alice);
    // Both parents have the entry: it is the line's.
    let updated = h.keep(work, squashed).by(Who::Forge);
    let more = h.on(updated).write(SITE, "more").by(Who::Bob);
    h.merge(squashed, more).lands(Who::Nobody);
}

#[test]
fn ordinary_a_branch_that_parts_and_joins_again() {
    let (mut h, main) = begin(&two());
    let main = h.on(main).write(NOTE, "meanwhile").lands(Who::Alice);
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
