//! Which landings of a git history count.
//!
//! In: raw objects, a pinned introduction, the tip of a branch, the time. Out: [`VerifiedLanding`]s, which only this
//! module can make, or a [`Refusal`] that says which landing, path and rule. The time is compared with one thing only,
//! the policy in the newest landing; it never judges history.

#![allow(clippy::result_large_err, reason = "a refusal ends a run of landings; it is not on a hot path")]

mod commit;
mod history;
mod landing;
mod policy;
mod refusal;
mod sign;
mod signature;
mod tree;

#[cfg(test)]
mod tests;

pub use commit::Commit;
pub use history::{Advanced, Introduction, Reset, Stop, VerifiedHistory};
pub use landing::VerifiedLanding;
pub use policy::{POLICY_PATH, Policy, SIGSTORE_ROOT_PATH, Verdict};
pub use refusal::{Fault, Refusal};
pub use sign::{SignError, attach_signature, sign_commit};
pub use signature::{SigningKey, check_signature};
pub use tree::{EntryMode, PathChange, TreeEntry};
