//! Which landings of a git history count.
//!
//! In: raw objects, a pinned introduction, the tip of a branch, the time. Out: [`VerifiedLanding`]s, which only this
//! module can make, or a [`Refusal`] that says which landing, path and rule. The time is compared with one thing only,
//! the policy in the newest landing; it never judges history.

#![allow(clippy::result_large_err, reason = "a refusal ends a run of landings; it is not on a hot path")]

mod branch;
mod commit;
mod credit;
mod diff;
mod examine;
mod explain;
mod history;
mod landing;
mod line;
mod merge;
mod name;
mod odd;
mod policy;
mod refusal;
mod reset;
mod shape;
mod sign;
mod signature;
mod tree;
mod walk;

#[cfg(test)]
mod tests;

pub use commit::Commit;
pub use credit::ENDORSES;
pub use diff::PathChange;
pub use explain::{Explanation, MergeKind, PathExplanation, Planned, joined};
pub use history::{Advanced, Introduction, Stop, VerifiedHistory};
pub use landing::{VerifiedLanding, signer_of};
pub use odd::{is_of_tree, odd_entries, odd_name};
pub(crate) use policy::RuleIndex;
pub use policy::{POLICY_PATH, Policy, RuleOutcome, SIGSTORE_ROOT_PATH};
pub use refusal::{Fault, Refusal};
pub use reset::Reset;
pub use sign::{SignError, attach_signature, sign_commit};
pub use signature::{ExpiringKey, SigningKey, check_signature};
pub use tree::{EntryMode, TreeEntry};
