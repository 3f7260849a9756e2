//! Policies that give themselves rights, or take everybody's.

use bellwether_schemas::codes;
use bellwether_tests::hostile::{History, Who};

use super::{APP, begin, one, two};

const POLICY: &str = "trust/policy.yaml";

#[test]
fn hostile_a_branch_gives_itself_rights() {
    let (mut h, main) = begin(&one());
    let rights = h.on(main).policy(&one().version(2).with_member("owners", "mallory")).by(Who::Mallory);
    h.refuses(rights, codes::SIGNER_NOT_IN_ROLE);
    let used =
        h.on(rights).policy(&one().version(3).without("alice").with_member("owners", "mallory")).by(Who::Mallory);
    for merges in [Who::Nobody, Who::Mallory, Who::Bob] {
        h.merge(main, used).refused(merges, codes::SIGNER_NOT_IN_ROLE);
    }
}

#[test]
fn hostile_a_person_of_the_new_policy_only() {
    let (mut h, main) = begin(&one().without("mallory"));
    let branch = h.on(main).policy(&one().version(2)).by(Who::Carol);
    let work = h.on(branch).write(APP, "mallory's").by(Who::Mallory);
    // Carol may add her; her work counts from the landing after that on.
    h.merge(main, work).refused(Who::Nobody, codes::SIGNER_NOT_IN_ROLE);
    let merge = h.merge(main, branch).lands(Who::Nobody);
    h.merge_from(branch, merge, work).lands(Who::Nobody);
}

#[test]
fn hostile_the_second_parent_has_a_weaker_policy() {
    let (mut h, fork) = begin(&one());
    let work = h.on(fork).write(APP, "new").by(Who::Bob);
    let main = h.on(fork).policy(&two().version(2)).lands(Who::Alice);
    for merges in [Who::Nobody, Who::Bob] {
        h.merge(main, work).refused(merges, codes::NOT_ENOUGH_SIGNERS);
        h.merge(main, work)
            .take(POLICY, work)
            .refused(merges, if merges == Who::Bob { codes::NOT_ENOUGH_SIGNERS } else { codes::MERGE_UNCLEAN });
    }
}

#[test]
fn hostile_an_old_policy_comes_back() {
    let (mut h, fork) = begin(&one());
    let main = h.on(fork).policy(&one().version(2).without("mallory")).lands(Who::Alice);
    h.keep(main, fork).take(POLICY, fork).refused(Who::Nobody, codes::MERGE_UNCLEAN);
    // Nor by the hand of an owner.
    h.on(main).take(POLICY, fork).refused(Who::Alice, codes::POLICY_VERSION);
    h.on(main).policy(&one().version(2)).refused(Who::Alice, codes::POLICY_VERSION);
    h.on(main).policy(&one().version(3)).lands(Who::Alice);
}

#[test]
fn hostile_the_head_of_staging_on_main() {
    let (mut h, main) = begin(&one());
    let staging = h.on(main).policy(&one().version(2).branch("staging")).by(Who::Alice);
    h.refuses_form(staging, codes::POLICY_BRANCH);
    let merge = h.merge(main, staging).by(Who::Nobody);
    h.refuses_form(merge, codes::POLICY_BRANCH);
}

#[test]
fn hostile_the_policy_is_deleted() {
    let (mut h, main) = begin(&one());
    let deleted = h.on(main).remove(POLICY).by(Who::Alice);
    h.refuses_form(deleted, codes::POLICY_MISSING);
    let merge = h.merge(main, deleted).by(Who::Alice);
    h.refuses_form(merge, codes::POLICY_MISSING);
    let folder = h.on(main).write("trust/policy.yaml/x", "x").by(Who::Alice);
    h.refuses_form(folder, codes::POLICY_MISSING);
}

#[test]
fn hostile_a_policy_that_nobody_can_change_again() {
    let (mut h, main) = begin(&one());
    let mut nobody = one().version(2);
    nobody.roles.iter_mut().filter(|(name, _)| *name == "owners").for_each(|(_, members)| *members = vec!["ci-bot"]);
    let mut no_rule = one().version(2);
    no_rule.rules.retain(|rule| rule.folder != "trust");
    for (policy, code) in [
        (nobody, codes::POLICY_LOCKOUT),
        (one().version(2).signers("trust", 3), codes::POLICY_LOCKOUT),
        (no_rule, codes::POLICY_INVALID),
    ] {
        let landing = h.on(main).policy(&policy).by(Who::Alice);
        h.refuses_form(landing, code);
    }
    h.on(main).policy(&one().version(2).signers("trust", 2)).lands(Who::Alice);
}

#[test]
fn hostile_a_key_that_is_there_twice() {
    let (mut h, main) = begin(&one());
    let mut shared = one().version(2);
    shared.people.push(("eve", vec![Who::Bob]));
    let mut doubled = one().version(2);
    doubled.people[0].1.push(Who::Alice);
    for policy in [shared, doubled] {
        let landing = h.on(main).policy(&policy).by(Who::Alice);
        h.refuses_form(landing, codes::POLICY_INVALID);
    }
    let broken = h.on(main).write(POLICY, "kind: TrustPolicy\n").by(Who::Alice);
    h.refuses_form(broken, codes::POLICY_INVALID);
}

#[test]
fn hostile_a_policy_change_that_too_few_signed() {
    let (mut h, main) = begin(&one().signers("trust", 2));
    let policy = one().version(2);
    let alone = h.on(main).policy(&policy).by(Who::Alice);
    h.refuses(alone, codes::NOT_ENOUGH_SIGNERS);
    // Bob is no owner, and so does not help her.
    h.merge(main, alone).refused(Who::Bob, codes::NOT_ENOUGH_SIGNERS);
    h.merge(main, alone).lands(Who::Carol);
}

#[test]
fn hostile_an_introduction_by_who_may_not() {
    for who in [Who::Bob, Who::Bot, Who::Forge, Who::Nobody] {
        let mut h = History::empty();
        let first = h.root().policy(&one()).by(who);
        let code = match who {
            Who::Bob => codes::SIGNER_NOT_IN_ROLE,
            Who::Bot => codes::SIGNER_IS_BOT,
            Who::Forge => codes::SIGNER_UNKNOWN,
            _ => codes::COMMIT_UNSIGNED,
        };
        assert_eq!(h.try_introduce(first).expect_err("refused").code, code);
    }
}
