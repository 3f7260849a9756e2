//! Tests of `verify` on repositories in memory, signed by the signer that programs use.

mod histories;
mod landings;
mod limits;
mod merges;
mod mutations;
mod policies;
mod strict;

use bellwether_schemas::{Code, CommitId, Sha256Digest};

use super::{Advanced, Stop, VerifiedHistory, VerifiedLanding};
use crate::objects::ObjectKind;
use crate::testing::{
    ADA, BOB, FLEET, NOW, PolicyText, ROBOT, Repository, STRANGER, key_line, tree_entry, unsigned_commit,
};

/// Whether the step was refused with `code`, and nothing was accepted.
#[track_caller]
pub(super) fn assert_refused(advanced: &Advanced, code: Code) -> &super::Refusal {
    assert!(advanced.landings.is_empty(), "{:?}", advanced.landings);
    match &advanced.stop {
        Some(Stop::Refused(refusal)) => {
            assert_eq!(refusal.code, code, "{refusal}");
            assert!(!refusal.hint.is_empty());
            refusal
        }
        other => panic!("expected {code}, found {other:?}"),
    }
}

#[track_caller]
pub(super) fn assert_accepted(advanced: &Advanced, commits: &[CommitId]) {
    let found: Vec<CommitId> = advanced.landings.iter().map(|landing| *landing.id()).collect();
    assert_eq!(found, commits, "{:?}", advanced.stop);
    assert!(advanced.stop.is_none(), "{:?}", advanced.stop);
}
