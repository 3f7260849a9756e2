//! The agent: carries out what `bellwether-agent-core` decides. It enrolls, keeps a session, pulls signed metadata, changes
//! the device under a journal, probes, and reports.

pub mod by_hand;
pub mod cli;

mod apply;
mod begin;
mod check;
mod clock;
mod config;
mod disk;
mod enroll;
mod head;
mod identity;
mod log;
mod probe;
mod pull;
mod run;
mod session;
mod state_dir;
mod supervisor;
mod tls;
mod trust;
mod updates;
