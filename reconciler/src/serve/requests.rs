//! Keys that wait for a person's approval: asked for again and again by their devices, kept in memory only.
//!
//! Whatever a request says comes from the world. There are so many of them at most, and so many from one address; one that
//! is not asked for again is forgotten.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_schemas::api::RequestView;
use bellwether_schemas::{EnrollmentName, Sha256Digest};
use jiff::{SignedDuration, Timestamp};

use super::rate::Network;

/// Requests in all, and from one address.
const MOST: usize = 10_000;
const MOST_OF_ONE: usize = 1_024;
/// Requests that may be asked for again in a second; the more there are, the longer each waits.
const A_SECOND: u64 = 20;
/// How long a device waits at least, and at most, before it asks again (it adds as much again at random).
const WAIT: (u64, u64) = (5, 300);
/// A request that was not asked for again for so long is forgotten.
const FORGOTTEN: SignedDuration = SignedDuration::from_mins(20);
/// How often that is looked for.
const TIDY: SignedDuration = SignedDuration::from_secs(10);
/// Facts that are kept, and characters of each name and value.
const FACTS: (usize, usize) = (8, 96);

type Key = (EnrollmentName, Sha256Digest);

/// All requests that wait.
#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    by_key: BTreeMap<Key, Request>,
    by_network: HashMap<Network, usize>,
    tidied: Timestamp,
}

#[derive(Debug)]
struct Request {
    facts: BTreeMap<String, String>,
    address: IpAddr,
    first: Timestamp,
    last: Timestamp,
}

/// A device that asks.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) enrollment: EnrollmentName,
    pub(super) fingerprint: Sha256Digest,
    pub(super) facts: BTreeMap<String, String>,
    pub(super) address: IpAddr,
    pub(super) at: Timestamp,
}

/// There is no room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl Requests {
    /// Takes a request. Whether it is new, and how long to wait before asking again.
    pub(super) fn ask(&self, ask: Ask) -> Result<(bool, Duration), Full> {
        let mut waiting = self.waiting();
        waiting.tidy(ask.at);
        let network = Network::from(ask.address);
        let key = (ask.enrollment, ask.fingerprint);
        let first = match waiting.remove(&key) {
            Some(known) => known.first,
            None => {
                waiting.make_room(network)?;
                ask.at
            }
        };
        let facts = kept(ask.facts);
        *waiting.by_network.entry(network).or_default() += 1;
        waiting.by_key.insert(key, Request { facts, address: ask.address, first, last: ask.at });
        let number = u64::try_from(waiting.by_key.len()).unwrap_or(u64::MAX);
        let wait = (number / A_SECOND).clamp(WAIT.0, WAIT.1);
        Ok((first == ask.at, Duration::from_secs(wait)))
    }

    /// Forgets a request: it was answered.
    pub(super) fn forget(&self, enrollment: &EnrollmentName, fingerprint: &Sha256Digest) {
        self.waiting().remove(&(enrollment.clone(), *fingerprint));
    }

    /// The requests that wait for a person, as `awaits` says, oldest first.
    pub(super) fn list(
        &self,
        awaits: impl Fn(&EnrollmentName, &Sha256Digest) -> bool,
        now: Timestamp,
    ) -> Vec<RequestView> {
        let mut waiting = self.waiting();
        waiting.tidy(now);
        let waits = waiting.by_key.iter().filter(|((enrollment, fingerprint), _)| awaits(enrollment, fingerprint));
        let shown = waits.map(|((enrollment, fingerprint), request)| RequestView {
            fingerprint: *fingerprint,
            enrollment: enrollment.clone(),
            facts: request.facts.clone(),
            address: request.address.to_canonical(),
            first_asked: request.first,
            last_asked: request.last,
        });
        let mut shown: Vec<_> = shown.collect();
        shown.sort_by_key(|request| request.first_asked);
        shown
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn remove(&mut self, key: &Key) -> Option<Request> {
        let removed = self.by_key.remove(key)?;
        let network = Network::from(removed.address);
        if let Some(count) = self.by_network.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.by_network.remove(&network);
            }
        }
        Some(removed)
    }

    fn tidy(&mut self, now: Timestamp) {
        if now.duration_since(self.tidied).abs() < TIDY {
            return;
        }
        self.tidied = now;
        let old = |request: &Request| now.duration_since(request.last).abs() > FORGOTTEN;
        let old: Vec<Key> = self.by_key.iter().filter(|(_, r)| old(r)).map(|(key, _)| key.clone()).collect();
        for key in &old {
            self.remove(key);
        }
    }

    /// Makes room for one more of a network. When all places are taken, whoever holds most of them gives one up, so that
    /// nobody who asks for many keeps out who asks for one.
    fn make_room(&mut self, network: Network) -> Result<(), Full> {
        let own = self.by_network.get(&network).copied().unwrap_or_default();
        if own >= MOST_OF_ONE {
            return Err(Full);
        }
        if self.by_key.len() < MOST {
            return Ok(());
        }
        let (greediest, held) = self.by_network.iter().max_by_key(|(_, count)| **count).ok_or(Full)?;
        if *held <= own + 1 {
            return Err(Full);
        }
        let theirs = self.by_key.iter().filter(|(_, request)| Network::from(request.address) == *greediest);
        let newest = theirs.max_by_key(|(_, request)| request.first).map(|(key, _)| key.clone()).ok_or(Full)?;
        self.remove(&newest);
        Ok(())
    }
}

/// What is kept of a device's facts: a few short ones, without what could steer a terminal or turn text round.
fn kept(facts: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let (count, length) = FACTS;
    let plain = |text: &str| {
        let visible = |c: char| if is_hidden(c) { '\u{fffd}' } else { c };
        text.chars().map(visible).take(length).collect::<String>()
    };
    facts.iter().take(count).map(|(key, value)| (plain(key), plain(value))).collect()
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn ask(seed: u32, address: &str, second: i64) -> Ask {
        Ask {
            enrollment: "lab".parse().expect("a name"),
            fingerprint: Sha256Digest::of(&seed.to_be_bytes()),
            facts: [("os".to_owned(), "linux".to_owned())].into(),
            address: address.parse().expect("an address"),
            at: at(second),
        }
    }

    fn all(requests: &Requests, second: i64) -> Vec<RequestView> {
        requests.list(|_, _| true, at(second))
    }

    #[test]
    fn a_request_is_shown_as_long_as_it_is_asked_for() {
        let requests = Requests::default();
        assert_eq!(requests.ask(ask(1, "192.0.2.1", 0)), Ok((true, Duration::from_secs(5))));
        assert_eq!(requests.ask(ask(2, "192.0.2.1", 1)).map(|(new, _)| new), Ok(true));
        assert_eq!(requests.ask(ask(1, "192.0.2.9", 600)).map(|(new, _)| new), Ok(false));
        let shown = all(&requests, 600);
        assert_eq!(shown.len(), 2);
        assert_eq!(
            (shown[0].first_asked, shown[0].last_asked, shown[0].facts["os"].as_str()),
            (at(0), at(600), "linux")
        );
        assert_eq!(shown[0].address.to_string(), "192.0.2.9");
        let first = shown[0].fingerprint;
        assert_eq!(requests.list(|_, fingerprint| *fingerprint != first, at(600)).len(), 1, "listed by a commit");

        let shown = all(&requests, 1_300);
        assert_eq!(shown.iter().map(|request| request.fingerprint).collect::<Vec<_>>(), [first]);
        requests.forget(&shown[0].enrollment, &first);
        assert!(all(&requests, 1_300).is_empty() && requests.waiting().by_network.is_empty());
    }

    #[test]
    fn one_address_has_so_many_places_and_the_greediest_gives_way() {
        let requests = Requests::default();
        let fill = |from: u32, count: usize, address: &str| {
            let asks = (from..).take(count).map(|seed| requests.ask(ask(seed, address, 0)).is_ok());
            asks.filter(|taken| *taken).count()
        };
        assert_eq!(fill(0, MOST_OF_ONE + 10, "2001:db8:0:1::1"), MOST_OF_ONE);
        let mut seed = 10_000;
        for host in 2..=10 {
            fill(seed, MOST_OF_ONE, &format!("2001:db8:0:{host}::1"));
            seed += 10_000;
        }
        let held: Vec<usize> = requests.waiting().by_network.values().copied().collect();
        assert_eq!((held.len(), held.iter().sum()), (10, MOST));
        assert!(held.iter().all(|held| (999..=1_001).contains(held)), "all have the same: {held:?}");
        assert_eq!(fill(seed, 1, "2001:db8:0:1::ffff"), 0, "another address of the same /64");
        assert_eq!(fill(seed, 300, "192.0.2.1"), 300, "a site that has none gets its places");
        assert_eq!(requests.waiting().by_key.len(), MOST);
        let (_, wait) = requests.ask(ask(seed, "192.0.2.1", 1)).expect("known already");
        assert_eq!(wait, Duration::from_secs(300), "so many ask seldom");
        let counted: usize = requests.waiting().by_network.values().sum();
        assert_eq!(counted, MOST);
    }

    #[test]
    fn facts_are_few_short_and_plain() {
        let mut hostile: BTreeMap<String, String> = (0..32).map(|n| (format!("k{n}"), "v".repeat(256))).collect();
        hostile.insert("a\u{1b}[2J".to_owned(), "x\u{202e}y\n\u{200b}".to_owned());
        let kept = kept(hostile);
        assert_eq!(kept.len(), FACTS.0);
        assert_eq!(kept["a\u{fffd}[2J"], "x\u{fffd}y\u{fffd}\u{fffd}");
        assert!(kept.values().all(|value| value.chars().count() <= FACTS.1));
    }
}
