//! How much a device may ask for: a bucket of calls that refills steadily.

use std::collections::HashMap;
use std::time::Duration;

use bellwether_schemas::DeviceName;
use tokio::time::Instant;

/// Calls that a device may make at once.
const BURST: u32 = 64;
/// The time after which one more is allowed.
const REFILL: Duration = Duration::from_millis(100);

/// The buckets of all devices that called lately.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// When each device's bucket will be full again.
    full_at: HashMap<DeviceName, Instant>,
}

impl Rates {
    /// Takes one call from the device's bucket, or says how long it must wait for it.
    pub(super) fn take(&mut self, device: &DeviceName, now: Instant) -> Result<(), Duration> {
        // Full buckets need not be remembered; looked for seldom enough to cost nothing.
        if self.full_at.len() >= 1_024 && self.full_at.len().is_power_of_two() {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        let full_at = self.full_at.get(device).copied().unwrap_or(now).max(now) + REFILL;
        let over = (full_at - now).saturating_sub(REFILL * BURST);
        if over.is_zero() {
            self.full_at.insert(device.clone(), full_at);
            Ok(())
        } else {
            Err(over)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_a_steady_rate_for_each_device_alone() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        let (one, two): (DeviceName, DeviceName) = ("one".parse().expect("a name"), "two".parse().expect("a name"));
        for _ in 0..BURST {
            assert_eq!(rates.take(&one, now), Ok(()));
        }
        assert_eq!(rates.take(&one, now), Err(REFILL));
        assert_eq!(rates.take(&two, now), Ok(()));
        assert_eq!(rates.take(&one, now + REFILL), Ok(()));
        assert!(rates.take(&one, now + REFILL).is_err());
    }
}
