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

use bellwether_tests::hostile::PolicyText;

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
