//! The device's clock, not believed below the time floor.

use bellwether_agent_core::{Clock, trusted_now};
use jiff::Timestamp;

/// When this program was built.
pub(crate) fn built() -> Timestamp {
    let seconds = env!("BELLWETHER_BUILT").parse().expect("the build script writes a number");
    Timestamp::from_second(seconds).expect("the build script writes a time")
}

/// The time to use, and what the clock is worth.
pub(crate) fn now(verified: Option<Timestamp>) -> (Timestamp, Clock) {
    trusted_now(Timestamp::now(), built(), verified)
}
