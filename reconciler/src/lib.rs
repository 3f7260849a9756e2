//! The reconciler: watches a signed git repository, and publishes to each device what it shall run.

pub mod begin;
pub mod brake;
pub mod cli;
pub mod config;
mod folder;
pub mod git;
pub mod installer;
pub mod keys;
mod lock;
pub mod pki;
pub mod publish;
pub mod renewal;
pub mod repository;
pub mod restore;
pub mod run;
pub mod serve;
pub mod store;
#[cfg(test)]
mod testing;
pub mod tick;
pub mod world;

/// Judging a history makes and drops many small things on all cores: a twelfth faster than with the C library's allocator.
/// Every program that contains the reconciler has it; the agent's does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
