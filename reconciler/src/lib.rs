//! The reconciler: watches a signed git repository, and publishes to each device what it shall run.

pub mod git;
pub mod keys;
pub mod pki;
pub mod publish;
pub mod serve;
pub mod store;
