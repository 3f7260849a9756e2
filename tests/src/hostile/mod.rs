//! Histories as an attacker would push them, and as ordinary teams write them.
//!
//! [`History`] writes commits with fixed keys and dates, signs them as programs do, and remembers what was meant.
//! [`reference`] judges what was meant, slowly and straight from the rules; the tests hold the verifier against it.

#![allow(clippy::result_large_err, reason = "a refusal ends a run of landings; it is not on a hot path")]

mod draft;
mod history;
mod policy;
pub mod reference;
mod who;

pub use draft::Draft;
pub use history::{Entry, Files, History, Recorded};
pub use policy::{PolicyText, Rule};
pub use who::Who;
