//! How much a device, whoever signs a webhook, or the world may ask for: a bucket of calls that refills steadily.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bellwether_schemas::DeviceName;
use tokio::time::Instant;

/// Calls that a device may make at once.
const BURST: u32 = 64;
/// The time after which one more is allowed.
const REFILL: Duration = Duration::from_millis(100);

/// The buckets of all callers that called lately.
#[derive(Debug)]
pub(super) struct Rates<Caller = DeviceName> {
    /// When each caller's bucket will be full again.
    full_at: HashMap<Caller, Instant>,
    burst: u32,
    refill: Duration,
}

impl<Caller> Default for Rates<Caller> {
    fn default() -> Self {
        Self::new(BURST, REFILL)
    }
}

impl<Caller> Rates<Caller> {
    /// Buckets of `burst` calls, to which one comes after each `refill`.
    pub(super) fn new(burst: u32, refill: Duration) -> Self {
        Self { full_at: HashMap::new(), burst, refill }
    }
}

/// Whom an address belongs to, as far as that can be told: one of IPv4, or the /64 of one of IPv6, which a single host has
/// for itself. Behind address translation many devices are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl<Caller: Clone + Eq + Hash> Rates<Caller> {
    /// Takes one call from the caller's bucket, or says how long it must wait for it.
    pub(super) fn take(&mut self, caller: &Caller, now: Instant) -> Result<(), Duration> {
        // Full buckets need not be remembered; looked for seldom enough to cost nothing.
        if self.full_at.len() >= 1_024 && self.full_at.len().is_power_of_two() {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        let full_at = self.full_at.get(caller).copied().unwrap_or(now).max(now) + self.refill;
        let over = (full_at - now).saturating_sub(self.refill * self.burst);
        if over.is_zero() {
            self.full_at.insert(caller.clone(), full_at);
            Ok(())
        } else {
            Err(over)
        }
    }
}

/// Something that all devices need, but not all at the same moment.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<Option<Instant>>);

/// Devices that are told in a second, and so many of them at once.
const PACE: Duration = Duration::from_millis(5);
const AT_ONCE: u32 = 200;

impl Pace {
    /// Whether it is one more device's turn.
    pub(super) fn take(&self, now: Instant) -> bool {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = taken.map_or(now, |taken| taken.max(now)) + PACE;
        let is_turn = next <= now + PACE * AT_ONCE;
        if is_turn {
            *taken = Some(next);
        }
        is_turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_for_whoever_has_it() {
        let network = |text: &str| Network::from(text.parse::<IpAddr>().expect("an address"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.1"), "as a socket for both families shows it");
        assert_eq!(network("2001:db8:0:1::1"), network("2001:db8:0:1:ffff::2"));
        assert_ne!(network("2001:db8:0:1::1"), network("2001:db8:0:2::1"));
    }

    #[test]
    fn a_pace_lets_some_pass_at_once_and_then_a_steady_number() {
        let (pace, begin) = (Pace::default(), Instant::now());
        let turns = |after: u64| (0..1_000).filter(|_| pace.take(begin + Duration::from_millis(after))).count();
        assert_eq!([turns(0), turns(1_000), turns(1_050), turns(9_000)], [200, 200, 10, 200]);
    }

    #[test]
    fn a_burst_is_allowed_and_then_a_steady_rate_for_each_device_alone() {
        let (mut rates, now) = (Rates::<DeviceName>::default(), Instant::now());
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
