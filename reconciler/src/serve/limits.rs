//! How much clients may hold, of a machine that has only so many files.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that database, store and repository may have open.
const OWN_FILES: u64 = 256;
/// Below this many sessions people are told that a limit of the system is in the way.
const FEW_SESSIONS: usize = 10_000;
/// Connections that may be had to one listener with one certificate: its device needs one, and another while a broken one is
/// not noticed yet.
pub(super) const PER_CERTIFICATE: usize = 8;

/// What all clients of a listener may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections at once; more wait in the system's queue.
    pub(crate) connections: usize,
    /// Connections at once from one [`Network`](super::rate::Network), where that is limited.
    pub(crate) of_one: Option<usize>,
    /// HTTP/2 streams on one connection.
    pub(crate) streams: u32,
    /// How long a connection may last.
    pub(crate) age: Option<Duration>,
}

impl Limits {
    /// The same with no more connections than `parts` sixteenths of the files.
    pub(super) fn within(self, files: u64, parts: u64) -> Self {
        let share = usize::try_from(files.saturating_sub(OWN_FILES) / 16 * parts).unwrap_or(usize::MAX);
        let connections = self.connections.min(share.max(16));
        Self { connections, of_one: self.of_one.map(|most| most.min(connections / 2)), ..self }
    }
}

/// Lets this process open as many files as the system allows it, and returns that number.
pub(super) fn raise_open_files() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    limit.current.unwrap_or(u64::MAX)
}

/// Says it where the system allows fewer sessions than a fleet may need.
pub(super) fn tell_of_few_sessions(sessions: usize, files: u64) {
    if sessions < FEW_SESSIONS {
        tracing::warn!(
            sessions,
            files,
            "the system's limit of open files allows few sessions at once: raise it (LimitNOFILE=, ulimit -n)"
        );
    }
}

/// The connections to one listener by whom they are from: a network, or the key of a certificate. Not by the device's name: of
/// that there may be other certificates, which were stolen and do not count any more, and their bearers must not fill its places.
#[derive(Debug)]
pub(super) struct Places<From: Eq + Hash> {
    all: Arc<Mutex<HashMap<From, Held>>>,
    most: usize,
}

#[derive(Debug, Default)]
struct Held {
    count: usize,
    turned_away: bool,
}

/// A connection that counts as long as this lives.
#[derive(Debug)]
pub(super) struct Place<From: Eq + Hash> {
    all: Arc<Mutex<HashMap<From, Held>>>,
    from: From,
}

/// All places of a network or a certificate are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TurnedAway {
    /// Whether nobody was turned away since it had no connection at all: then it is worth a line.
    pub(super) is_first: bool,
}

impl<From: Copy + Eq + Hash> Places<From> {
    /// So many places for each.
    pub(super) fn new(most: usize) -> Self {
        Self { all: Arc::default(), most }
    }

    /// Counts one more connection.
    pub(super) fn take(&self, from: From) -> Result<Place<From>, TurnedAway> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let held = all.entry(from).or_default();
        if held.count >= self.most {
            return Err(TurnedAway { is_first: !std::mem::replace(&mut held.turned_away, true) });
        }
        held.count += 1;
        Ok(Place { all: self.all.clone(), from })
    }
}

impl<From: Eq + Hash> Drop for Place<From> {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get_mut(&self.from) {
            held.count -= 1;
            if held.count == 0 {
                all.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_more_than_its_places_and_all_give_them_back() {
        let all = Places::new(8);
        let [one, two] = ["one", "two"];
        let mut places: Vec<_> = (0..8).map(|_| all.take(one).expect("a place")).collect();
        let turned_away = [(); 3].map(|()| all.take(one).expect_err("all are taken").is_first);
        assert_eq!(turned_away, [true, false, false], "it is told once");
        drop(all.take(two).expect("another has its own"));
        places.pop();
        assert!(all.take(one).is_ok());
        drop(places);
        assert!(all.all.lock().expect("free").is_empty());
    }

    #[test]
    fn listeners_share_the_files_that_there_are() {
        let wanted = Limits { connections: 200_000, of_one: Some(400), streams: 4, age: None };
        assert_eq!(wanted.within(1_024, 12).connections, 576);
        assert_eq!(wanted.within(1_048_576, 12).connections, 200_000);
        let least = wanted.within(0, 12);
        assert_eq!((least.connections, least.of_one), (16, Some(8)), "nobody has more than half of them");
        assert_eq!(wanted.within(1_048_576, 12).of_one, Some(400));
    }
}
