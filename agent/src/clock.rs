//! The device's clock, not believed below the time floor.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bellwether_agent_core::{Clock, trusted_now};
use jiff::Timestamp;

/// When this program was built.
pub(crate) fn built() -> Timestamp {
    let seconds = env!("BELLWETHER_BUILT").parse().expect("the build script writes a number");
    Timestamp::from_second(seconds).expect("the build script writes a time")
}

/// The time to use, and what the clock is worth.
pub(crate) fn now(verified: Option<Timestamp>) -> (Timestamp, Clock) {
    let (now, clock) = trusted_now(Timestamp::now(), built(), verified);
    match clock {
        Clock::Plausible => (now, clock),
        Clock::Behind => {
            static ANCHOR: Mutex<Option<Anchor>> = Mutex::new(None);
            (pass(&mut ANCHOR.lock().unwrap_or_else(PoisonError::into_inner), now, Instant::now()), clock)
        }
    }
}

/// A time that had certainly come at that moment.
type Anchor = (Timestamp, Instant);

/// Time goes on from the floor, as the monotonic clock says: a soak must end though nobody sets the clock.
fn pass(anchor: &mut Option<Anchor>, floor: Timestamp, moment: Instant) -> Timestamp {
    let passed =
        anchor.and_then(|(from, since)| from.checked_add(moment - since).ok()).filter(|passed| *passed >= floor);
    passed.unwrap_or_else(|| {
        *anchor = Some((floor, moment));
        floor
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_goes_on_above_the_floor_and_is_never_counted_twice() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let (mut anchor, start) = (None, Instant::now());
        let mut now = |floor, seconds| pass(&mut anchor, at(floor), start + Duration::from_secs(seconds));
        assert_eq!(now(1_000, 0), at(1_000));
        assert_eq!(now(1_000, 60), at(1_060));
        assert_eq!(now(1_050, 70), at(1_070), "a floor that has passed changes nothing");
        assert_eq!(now(2_000, 80), at(2_000));
        assert_eq!(now(2_000, 90), at(2_010));
    }
}
