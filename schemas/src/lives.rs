//! How long what is signed lasts, and when it is renewed: every expiry of the system, each a function of the time at which
//! something is issued and of the constants here (docs/decisions/0016-what-ends-when.md).

use jiff::{SignedDuration, Timestamp};

const DAY: i64 = 24;

/// How long something that is signed is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// How long before its making it begins, for clocks that are behind.
    pub backdate: SignedDuration,
    /// How long after its making it ends.
    pub length: SignedDuration,
}

impl Life {
    const fn days(backdate: SignedDuration, days: i64) -> Self {
        Self { backdate, length: SignedDuration::from_hours(days * DAY) }
    }

    /// When what is made at `now` begins to be valid.
    pub fn begins(&self, now: Timestamp) -> Timestamp {
        now.checked_sub(self.backdate).unwrap_or(Timestamp::MIN)
    }

    /// When what is made at `now` ends, in whole seconds: python-tuf refuses fractions.
    pub fn ends(&self, now: Timestamp) -> Timestamp {
        let end = now.as_second().saturating_add(self.length.as_secs());
        Timestamp::from_second(end).unwrap_or(Timestamp::MAX)
    }
}

const NONE: SignedDuration = SignedDuration::ZERO;

/// A device's certificate; the device renews it ([`is_renewal_due`]).
pub const DEVICE_CERTIFICATE: Life = Life::days(SignedDuration::from_hours(1), 90);
/// The listeners' certificate; the reconciler renews it by itself ([`is_renewal_due`]). It begins early, so that a device
/// whose clock is days behind does not refuse a new one.
pub const SERVER_CERTIFICATE: Life = Life::days(SignedDuration::from_hours(30 * DAY), 365);
/// The certificate authority. People replace it by `bellwether-reconciler certs rotate-ca`.
pub const AUTHORITY: Life = Life::days(SignedDuration::from_hours(1), 30 * 365);
/// The TUF root. People replace it by `bellwether keys rotate`.
pub const ROOT: Life = Life::days(NONE, 30 * 365);
/// A device's `timestamp.json`; the reconciler renews it while [`TIMESTAMP_LEFT`] is left.
pub const TIMESTAMP: Life = Life::days(NONE, 7);
/// A device's `snapshot.json` and `targets.json`, signed again with each timestamp.
pub const SNAPSHOT_AND_TARGETS: Life = Life::days(NONE, 365);

/// How long before its end a timestamp is renewed: more than half of its life.
pub const TIMESTAMP_LEFT: SignedDuration = SignedDuration::from_hours(4 * DAY);
/// How long before the end of what only people can renew they are told.
pub const TELL_BEFORE: SignedDuration = SignedDuration::from_hours(90 * DAY);

/// Whether a certificate that is valid from `from` to `until` is to be renewed: two thirds of its life are over.
pub fn is_renewal_due(from: Timestamp, until: Timestamp, now: Timestamp) -> bool {
    let life = until.as_second().saturating_sub(from.as_second());
    now.as_second() >= from.as_second().saturating_add(life / 3 * 2)
}

/// When a timestamp that ends at `until` is to be renewed.
pub fn timestamp_due(until: Timestamp) -> Timestamp {
    until.checked_sub(TIMESTAMP_LEFT).unwrap_or(Timestamp::MIN)
}

/// Whether what ends at `until`, and only people can renew, is worth a warning.
pub fn is_end_near(until: Timestamp, now: Timestamp) -> bool {
    until.duration_since(now) <= TELL_BEFORE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn later(time: Timestamp, days: i64) -> Timestamp {
        time + SignedDuration::from_hours(days * DAY)
    }

    #[test]
    fn certificates_are_renewed_at_two_thirds_with_room_for_a_reconciler_that_is_away() {
        let made = at("2026-01-01T00:00:00.9Z");
        for (life, still, due) in [(DEVICE_CERTIFICATE, 59, 61), (SERVER_CERTIFICATE, 232, 234)] {
            let (from, until) = (life.begins(made), life.ends(made));
            assert!(!is_renewal_due(from, until, later(made, still)));
            assert!(is_renewal_due(from, until, later(made, due)));
            assert!(is_renewal_due(from, until, later(until, 1)), "also when it has ended");
        }
        let until = TIMESTAMP.ends(made);
        assert_eq!((until, timestamp_due(until)), (at("2026-01-08T00:00:00Z"), at("2026-01-04T00:00:00Z")));
        assert!(TIMESTAMP_LEFT * 2 > TIMESTAMP.length, "renewed before half of its life");
        assert!(
            DEVICE_CERTIFICATE.length.as_secs() / 3 > SignedDuration::from_hours(6 * DAY).as_secs(),
            "six days away"
        );
    }

    #[test]
    fn what_only_people_renew_outlasts_ten_years_with_nobody_looking() {
        let made = at("2026-01-01T00:00:00Z");
        for life in [AUTHORITY, ROOT] {
            let until = life.ends(made);
            assert!(!is_end_near(until, later(made, 10 * 366)));
            assert!(is_end_near(until, until - TELL_BEFORE) && is_end_near(until, later(until, 1)));
        }
    }
}
