//! Devices whose signed targets are not what their row says, in the order in which they are published.

use std::collections::BTreeSet;

use bellwether_schemas::DeviceName;
use jiff::{SignedDuration, Timestamp};

/// How long a device that could not be published is put off.
const RETRY: SignedDuration = SignedDuration::from_secs(10);

/// What is to be published, slice by slice.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Offers that are withdrawn, and devices that find nothing yet.
    first: BTreeSet<DeviceName>,
    rest: BTreeSet<DeviceName>,
    /// Could not be published; they keep nobody waiting.
    put_off: BTreeSet<DeviceName>,
    retry_at: Option<Timestamp>,
}

impl Backlog {
    /// Adds a device that must not wait behind offers.
    pub(super) fn add_first(&mut self, device: DeviceName) {
        self.rest.remove(&device);
        self.first.insert(device);
    }

    /// Adds a device.
    pub(super) fn add(&mut self, device: DeviceName) {
        if !self.first.contains(&device) {
            self.rest.insert(device);
        }
    }

    /// The next devices to publish, at most `count`. They stay until they are [`done`](Self::done) or put off.
    pub(super) fn next(&mut self, count: usize, now: Timestamp) -> Vec<DeviceName> {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            let again = std::mem::take(&mut self.put_off);
            again.into_iter().for_each(|device| self.add(device));
        }
        self.first.iter().chain(&self.rest).take(count).cloned().collect()
    }

    /// Removes a device: it was published, or there is nothing to publish.
    pub(super) fn done(&mut self, device: &DeviceName) {
        self.first.remove(device);
        self.rest.remove(device);
        self.put_off.remove(device);
    }

    /// Puts a device off that could not be published.
    pub(super) fn put_off(&mut self, device: DeviceName, now: Timestamp) {
        self.done(&device);
        self.put_off.insert(device);
        self.retry_at = self.retry_at.or(Some(now.checked_add(RETRY).unwrap_or(Timestamp::MAX)));
    }

    /// Whether a device is not published yet.
    pub(super) fn contains(&self, device: &DeviceName) -> bool {
        [&self.first, &self.rest, &self.put_off].into_iter().any(|set| set.contains(device))
    }

    /// Whether there is something to publish at once.
    pub(super) fn is_waiting(&self) -> bool {
        !self.first.is_empty() || !self.rest.is_empty()
    }

    /// When what was put off is tried again.
    pub(super) fn retry_at(&self) -> Option<Timestamp> {
        self.retry_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(backlog: &mut Backlog, count: usize, now: Timestamp) -> Vec<String> {
        backlog.next(count, now).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_withdrawn_goes_first_and_what_failed_keeps_nobody_waiting() {
        let (now, name) = (Timestamp::UNIX_EPOCH, |text: &str| text.parse::<DeviceName>().expect("a name"));
        let mut backlog = Backlog::default();
        ["a", "b", "c"].into_iter().for_each(|device| backlog.add(name(device)));
        backlog.add_first(name("c"));
        backlog.add(name("c"));
        assert_eq!(names(&mut backlog, 2, now), ["c", "a"]);
        backlog.put_off(name("c"), now);
        assert_eq!(names(&mut backlog, 2, now), ["a", "b"]);
        backlog.done(&name("a"));
        backlog.done(&name("b"));
        assert!(!backlog.is_waiting() && backlog.contains(&name("c")));
        let later = backlog.retry_at().expect("it is tried again");
        assert_eq!(names(&mut backlog, 2, later), ["c"]);
        assert_eq!(backlog.retry_at(), None);
    }
}
