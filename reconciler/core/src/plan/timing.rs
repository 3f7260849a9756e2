//! The times that judge silence.

use bellwether_schemas::Seconds;
use jiff::Timestamp;

use super::Observed;

/// The times that judge silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Now.
    pub now: Timestamp,
    /// A device that was silent for so long is stale.
    pub stale_after: Seconds,
    /// How long devices have after a start to connect again, beside `stale_after`.
    pub reconnect_grace: Seconds,
    /// Since when the listeners are up.
    pub serving_since: Timestamp,
    /// When an earlier run last heard of any device: from then to `serving_since` nobody could report.
    pub heard_before: Option<Timestamp>,
}

/// Whether a device is heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contact {
    /// It reported within `staleAfter`.
    Live,
    /// It is silent, and it is too early to judge that: the reconciler just started, or the device just enrolled. What
    /// it said before the start is no news: it shows neither health nor failure.
    Silent,
    /// It is silent for too long.
    Stale,
}

/// `t + span`; the end of time where that is beyond it.
pub(super) fn after(t: Timestamp, span: Seconds) -> Timestamp {
    t.checked_add(span.signed()).unwrap_or(Timestamp::MAX)
}

impl Timing {
    /// Until then no silence is judged, and nothing else falls that silence decides.
    pub(super) fn grace_end(&self) -> Timestamp {
        after(after(self.serving_since, self.stale_after), self.reconnect_grace)
    }

    pub(super) fn contact(&self, observed: &Observed) -> Contact {
        match self.now < after(silent_since(observed), self.stale_after) {
            true if observed.last_seen.is_some() => Contact::Live,
            true => Contact::Silent,
            false if self.now < self.grace_end() => Contact::Silent,
            false => Contact::Stale,
        }
    }

    /// When the contact to a device changes by its silence.
    pub(super) fn contact_changes_at(&self, observed: &Observed, now: Contact) -> Option<Timestamp> {
        let silent = || after(silent_since(observed), self.stale_after);
        match now {
            Contact::Live => Some(silent()),
            Contact::Silent => Some(silent().max(self.grace_end())),
            Contact::Stale => None,
        }
    }
}

/// Since when nothing was heard of a device.
pub(super) fn silent_since(observed: &Observed) -> Timestamp {
    observed.last_seen.unwrap_or(observed.enrolled_at)
}
