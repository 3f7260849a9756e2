//! The decisions of the reconciler, without I/O: verify, declare, render, classify, plan.
//!
//! In: raw git objects, manifests, what devices report, the time. Out: values that others carry out without choosing.
//! No async, clock, file system, environment or randomness: the same input gives the same output, always.

pub mod admission;
pub mod certificates;
pub mod classify;
pub mod compare;
pub mod declare;
pub mod factory;
pub mod objects;
pub mod offer;
pub mod plan;
pub mod render;
pub mod simulate;
pub mod status;
#[cfg(test)]
mod testing;
pub mod verify;
