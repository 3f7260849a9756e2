//! Which time the agent believes.

use jiff::Timestamp;

/// What the device's clock is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// It is not before anything that is known to have been.
    Plausible,
    /// It is before a time that has certainly passed.
    Behind,
}

/// The time to use: the clock's, unless it is before the time floor.
///
/// The floor is the later of the time this program was built and the last time at which signed metadata could be verified.
pub fn trusted_now(clock: Timestamp, built: Timestamp, verified: Option<Timestamp>) -> (Timestamp, Clock) {
    let floor = verified.map_or(built, |verified| verified.max(built));
    if clock < floor { (floor, Clock::Behind) } else { (clock, Clock::Plausible) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_floor_is_not_believed() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        for (clock, verified, expected) in [
            (0, None, (100, Clock::Behind)),
            (100, None, (100, Clock::Plausible)),
            (150, Some(200), (200, Clock::Behind)),
            (150, Some(50), (150, Clock::Plausible)),
            (300, Some(200), (300, Clock::Plausible)),
        ] {
            assert_eq!(trusted_now(at(clock), at(100), verified.map(at)), (at(expected.0), expected.1));
        }
    }
}
