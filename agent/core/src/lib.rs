//! The decisions of the agent, without I/O: which offer is taken, what happens next, what is reported, what a restart does.
//!
//! In: events, and the time. Out: effects, which `bellwether-agent` carries out in order and answers with further events.
//! Nothing here reads a clock, a file or the network.

pub mod check;
mod clock;
mod durable;
mod event;
mod machine;
mod offer;
mod problem;
mod status;
pub mod unit;

pub use clock::{Clock, trusted_now};
pub use durable::{Attempt, Begun, Durable, Leaving, Step};
pub use event::{Effect, Event, NotApplied, Probed, Pulled, Purpose, Thoroughness};
pub use machine::Machine;
pub use offer::{Judgement, RefusedOffer, judge};
pub use problem::{Problem, plain};
pub use status::{Frozen, Paused, Status};
