//! Resets that nobody who may vouch for the branch vouches for.

use bellwether_core::verify::Reset;
use bellwether_schemas::{CommitId, codes};
use bellwether_tests::hostile::{History, PolicyText, Who};

use super::{APP, begin, one};

/// An accepted head whose policy has removed Mallory, and what she signed on the landing before it.
fn removed(policy: &PolicyText) -> (History, CommitId, CommitId, CommitId) {
    let (mut h, first) = begin(&one());
    let head = h.on(first).policy(&policy.clone().version(2).without("mallory")).lands(Who::Alice);
    let evil = h.on(first).write(APP, "mallory's").by(Who::Mallory);
    (h, first, head, evil)
}

fn refused(reset: Reset) {
    match reset {
        Reset::Refused(refusal) => assert_eq!(refusal.code, codes::RESET_REFUSED, "{refusal}"),
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn hostile_a_reset_is_merged_onto_what_a_removed_key_made() {
    let (mut h, first, head, evil) = removed(&one());
    let new = one().version(3).without("mallory").abandons(head);
    let reset = h.on(first).policy(&new).by(Who::Alice);
    assert_eq!(h.reset(reset), Reset::Signed);
    // Alice's policy counts, and nobody says that it may stand on Mallory's landing.
    for who in [Who::Nobody, Who::Forge, Who::Bot, Who::Mallory, Who::Bob] {
        let merge = h.merge(evil, reset).by(who);
        refused(h.reset(merge));
    }
    for who in [Who::Alice, Who::Carol] {
        let merge = h.merge(evil, reset).by(who);
        assert_eq!(h.reset(merge), Reset::Signed);
    }
}

#[test]
fn hostile_a_reset_that_two_must_sign_has_its_landing_signed_by_one_of_them() {
    let (mut h, first, head, evil) = removed(&one().signers("trust", 2));
    let new = one().version(3).without("mallory").abandons(head);
    let reset = h.on(first).policy(&new).by(Who::Alice);
    refused(h.reset(reset));
    let endorsed = h.endorse(reset).by(Who::Carol);
    for (base, who) in [(evil, Who::Nobody), (first, Who::Nobody), (evil, Who::Bob)] {
        let merge = h.merge(base, endorsed).by(who);
        refused(h.reset(merge));
    }
    let merge = h.merge(first, endorsed).by(Who::Alice);
    assert_eq!(h.reset(merge), Reset::Signed);
    let merge = h.merge(first, reset).by(Who::Carol);
    assert_eq!(h.reset(merge), Reset::Signed);
}
