//! Git histories that a hostile server or a careless insider could push, and those that teams write every day: a test
//! for each attack and for each way of working. What each test says is checked twice, by the verifier and by the
//! reference, which knows the rules only.

mod endorsements;
mod form;
mod kept;
mod merges;
mod ordinary;
mod people;
mod policies;
mod random;
mod resets;

use bellwether_schemas::CommitId;
use bellwether_tests::hostile::{History, PolicyText, Who};

const APP: &str = "files/app";
const SITE: &str = "files/site";
const NOTE: &str = "notes/todo";

/// The policy, with two signers for `files/`.
fn two() -> PolicyText {
    PolicyText::default().signers("files", 2)
}

/// The policy, with one signer for everything.
fn one() -> PolicyText {
    PolicyText::default()
}

/// A history that is introduced with this policy, and its head.
fn begin(policy: &PolicyText) -> (History, CommitId) {
    let h = History::introduced(policy);
    let main = h.main();
    (h, main)
}

/// A history that is introduced one commit after its root, which nobody signed: the root and the head.
fn begin_late(policy: &PolicyText) -> (History, CommitId, CommitId) {
    let mut h = History::empty();
    let root = h.root().policy(policy).by(Who::Nobody);
    let first = h.on(root).write(SITE, "introduced").by(Who::Alice);
    h.introduce(first);
    (h, root, first)
}
