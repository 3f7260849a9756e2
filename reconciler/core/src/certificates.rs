//! Which certificate of a device counts: it renews with a new key each time, and the one before is good until the new one was
//! used. Of two certificates of one enrollment entry the one that was issued later wins, so the order can be learned again
//! from whoever calls, should the record of it be lost (docs/decisions/0016-what-ends-when.md).
//!
//! In: what a caller's certificate says, the newest one that was used, the time. Out: decisions.

use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::lives::{DEVICE_CERTIFICATE, is_renewal_due};
use bellwether_schemas::{Sha256Digest, codes};
use jiff::{SignedDuration, Timestamp};

/// How long a certificate waits for its renewal of which nobody remembers whether a newer one was used: that may be about to
/// call.
pub const SETTLE: SignedDuration = SignedDuration::from_mins(10);

/// A certificate, as far as it matters which of two was issued later; greater is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Issued {
    /// Its `notBefore`, which rises with each renewal.
    pub from: Timestamp,
    /// SHA-256 of its SubjectPublicKeyInfo: decides between two of one second, the same way wherever it is asked.
    pub key: Sha256Digest,
}

/// How a certificate stands to the newest one that its device has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It is that one.
    Newest,
    /// It is used for the first time: record it, and from then on the one before is refused.
    First,
    /// A newer one was used: it counts for nothing any more.
    Replaced,
}

/// Judges a certificate that is used, by the newest one that was used of the same enrollment entry and device.
pub fn judge_use(newest: Option<&Issued>, used: &Issued) -> Use {
    match newest {
        Some(newest) if newest == used => Use::Newest,
        Some(newest) if newest > used => Use::Replaced,
        _ => Use::First,
    }
}

/// When a certificate that renews another one begins: later than that, and not after `now`. `None` where one was renewed so
/// often that only the future is left.
pub fn renewal_begins(renewed: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let from = reissued_begins(renewed, now);
    (from <= now).then_some(from)
}

/// When a certificate begins whose bearer proved anew who it is: later than the newest one of the same identity, however often
/// somebody who has the key of that one renewed it.
pub fn reissued_begins(newest: Timestamp, now: Timestamp) -> Timestamp {
    let after = newest.checked_add(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX);
    DEVICE_CERTIFICATE.begins(now).max(after)
}

/// Whether a certificate that ended at `until` may still be renewed.
pub fn is_in_grace(until: Timestamp, grace: SignedDuration, now: Timestamp) -> bool {
    now.duration_since(until) <= grace
}

/// What is known of a caller's certificate, and of the authorities that it trusts servers by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held<'a> {
    /// Its `notBefore`.
    pub from: Timestamp,
    /// Its `notAfter`.
    pub until: Timestamp,
    /// Whether the authority that issues now issued it.
    pub of_issuing: bool,
    /// Fingerprints of the authorities that the device says it trusts, sorted; `None` where its agent does not say.
    pub trusts: Option<&'a [Sha256Digest]>,
}

/// Whether a device is to renew its certificate now: two thirds of its life are over, or the authority changes. `authorities`
/// are the fingerprints of those that are trusted now, sorted. An agent that does not say which it trusts takes none with a
/// renewal, so it is not asked again for that.
pub fn is_to_renew(held: &Held<'_>, authorities: &[Sha256Digest], now: Timestamp) -> bool {
    is_renewal_due(held.from, held.until, now)
        || !held.of_issuing
        || held.trusts.is_some_and(|trusts| trusts != authorities)
}

/// How a device stands to the authority that issues now, while an older one is still trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can do without the old one.
    Ready,
    /// Its newest certificate is of the old one.
    BearsOld,
    /// It trusts servers of the old one only.
    TrustsOld,
    /// Its agent does not say what it trusts: it is of an earlier release.
    DoesNotSay,
    /// It has not called since such things are recorded.
    Unseen,
    /// No accepted landing lists its entry, so it may not renew; once one does, it may.
    Unlisted,
    /// It is revoked or decommissioned: no certificate of it counts, whichever authority issued it.
    Gone,
}

impl Standing {
    /// Whether the end of the old authority would shut out a device that counts.
    pub const fn needs_old(self) -> bool {
        match self {
            Self::Ready | Self::Gone => false,
            Self::BearsOld | Self::TrustsOld | Self::DoesNotSay | Self::Unseen | Self::Unlisted => true,
        }
    }
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::BearsOld => "has not renewed yet",
            Self::TrustsOld => "has not taken the new one over yet",
            Self::DoesNotSay => "its agent is too old to say what it trusts",
            Self::Unseen => "not heard of yet",
            Self::Unlisted => "no accepted landing lists its entry, so it cannot renew",
            Self::Gone => "revoked or decommissioned",
        })
    }
}

/// Judges what is recorded of a device: whether the issuing authority issued its newest certificate, and which authorities it
/// says it trusts. `paused` is why it is out of every rollout, where it is.
pub fn standing(
    paused: Option<&WaitingOn>,
    held: Option<(bool, Option<&[Sha256Digest]>)>,
    issuing: &Sha256Digest,
) -> Standing {
    let is_unlisted = |code: &str| code == codes::ENTRY_UNLISTED.as_str();
    match paused {
        Some(reason) if reason.is_gone() => Standing::Gone,
        Some(WaitingOn::Paused { code, .. }) if is_unlisted(code) => match by_record(held, issuing) {
            Standing::Ready => Standing::Ready,
            _ => Standing::Unlisted,
        },
        _ => by_record(held, issuing),
    }
}

fn by_record(held: Option<(bool, Option<&[Sha256Digest]>)>, issuing: &Sha256Digest) -> Standing {
    match held {
        None => Standing::Unseen,
        Some((false, _)) => Standing::BearsOld,
        Some((true, None)) => Standing::DoesNotSay,
        Some((true, Some(trusts))) if trusts.contains(issuing) => Standing::Ready,
        Some((true, Some(_))) => Standing::TrustsOld,
    }
}

#[cfg(test)]
mod tests {
    use bellwether_schemas::Code;
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    fn issued(seconds: i64, key: &str) -> Issued {
        Issued { from: at(seconds), key: Sha256Digest::of(key.as_bytes()) }
    }

    #[test]
    fn the_one_before_is_good_until_the_new_one_was_used() {
        let (old, new) = (issued(0, "old"), issued(9, "new"));
        assert_eq!(judge_use(None, &old), Use::First);
        assert_eq!(judge_use(Some(&old), &old), Use::Newest);
        assert_eq!(judge_use(Some(&old), &new), Use::First);
        assert_eq!(judge_use(Some(&new), &old), Use::Replaced);
    }

    proptest! {
        /// In whatever order two reconcilers, or one before and after a loss, meet certificates: each ends with the same one.
        #[test]
        fn any_order_of_use_ends_with_the_same_certificate(mut uses in prop::collection::vec((0i64..4, 0u8..4), 1..12)) {
            let end = |uses: &[(i64, u8)]| {
                uses.iter().fold(None, |newest, (second, key)| {
                    let used = issued(*second, &key.to_string());
                    if judge_use(newest.as_ref(), &used) == Use::First { Some(used) } else { newest }
                })
            };
            let one = end(&uses);
            uses.reverse();
            prop_assert_eq!(one, end(&uses));
        }

        #[test]
        fn a_renewal_is_later_than_what_it_renews(age in 0i64..10_000_000, now in 0i64..10_000_000) {
            let renewed = at(now - age);
            match renewal_begins(renewed, at(now)) {
                Some(from) => prop_assert!(from > renewed && from <= at(now)),
                None => prop_assert_eq!(age, 0, "only what begins right now cannot be renewed"),
            }
        }
    }

    #[test]
    fn a_renewal_is_asked_for_by_age_and_by_a_change_of_authorities() {
        let [old, new] = ["old", "new"].map(|name| Sha256Digest::of(name.as_bytes()));
        let (from, until) = (at(0), at(90));
        let held = |of_issuing, trusts| Held { from, until, of_issuing, trusts };
        let both = [old, new];
        for (held, authorities, now, expected) in [
            (held(true, Some(&both[..1])), &both[..1], 59, false),
            (held(true, Some(&both[..1])), &both[..1], 61, true),
            (held(true, Some(&both[..1])), &both[..], 1, true),
            (held(false, Some(&both[..])), &both[..], 1, true),
            (held(true, Some(&both[..])), &both[..], 1, false),
            (held(true, Some(&both[..])), &both[1..], 1, true),
            // An agent of an earlier release renews once for the new authority, and then no more.
            (held(false, None), &both[..], 1, true),
            (held(true, None), &both[..], 1, false),
        ] {
            assert_eq!(is_to_renew(&held, authorities, at(now)), expected, "{held:?} at {now}");
        }
    }

    #[test]
    fn a_device_is_ready_when_it_bears_and_trusts_the_new_authority() {
        let [old, new] = ["old", "new"].map(|name| Sha256Digest::of(name.as_bytes()));
        let both = [old, new];
        for (held, expected) in [
            (None, Standing::Unseen),
            (Some((false, Some(&both[..]))), Standing::BearsOld),
            (Some((true, None)), Standing::DoesNotSay),
            (Some((true, Some(&both[..1]))), Standing::TrustsOld),
            (Some((true, Some(&both[..]))), Standing::Ready),
        ] {
            assert_eq!(standing(None, held, &new), expected);
            assert_eq!(standing(Some(&WaitingOn::AwaitingReconnect), held, &new), expected);
            assert_eq!(standing(Some(&WaitingOn::Decommissioning), held, &new), expected, "it has to be told first");
            assert_eq!(expected.needs_old(), expected != Standing::Ready);
        }
    }

    #[test]
    fn the_certificates_of_a_device_that_is_gone_do_not_matter_and_those_of_one_that_may_come_back_do() {
        let new = Sha256Digest::of(b"new");
        let (ready, old) = (Some((true, Some(std::slice::from_ref(&new)))), Some((false, None)));
        let revoked = WaitingOn::Revoked { code: codes::DEVICE_REVOKED.to_string(), why: String::new() };
        for gone in [revoked, WaitingOn::Decommissioned { at: at(0) }] {
            for held in [None, old, ready] {
                assert_eq!(standing(Some(&gone), held, &new), Standing::Gone);
            }
        }
        let paused = |code: Code| WaitingOn::Paused { code: code.to_string(), why: String::new(), commit: None };
        let unlisted = paused(codes::ENTRY_UNLISTED);
        assert_eq!(standing(Some(&unlisted), old, &new), Standing::Unlisted);
        assert_eq!(standing(Some(&unlisted), None, &new), Standing::Unlisted);
        assert_eq!(standing(Some(&unlisted), ready, &new), Standing::Ready);
        assert_eq!(standing(Some(&paused(codes::VERSION_MISSING)), old, &new), Standing::BearsOld);
        assert!(Standing::Unlisted.needs_old() && !Standing::Gone.needs_old());
    }

    #[test]
    fn grace_ends() {
        let grace = SignedDuration::from_secs(100);
        assert!(is_in_grace(at(0), grace, at(-5)) && is_in_grace(at(0), grace, at(100)));
        assert!(!is_in_grace(at(0), grace, at(101)));
    }
}
