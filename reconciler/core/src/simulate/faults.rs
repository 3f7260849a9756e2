//! What goes wrong in a simulation: the release on some devices, and devices that are off.

use bellwether_schemas::manifest::{LabelSelector, Labels};
use bellwether_schemas::{Percent, Seconds};
use jiff::Timestamp;

use super::random::{Draw, Random};

/// A day: once in it each device is off for a while.
const DAY: Seconds = Seconds::new(86_400);

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// The chance of each device that the release fails on it.
    pub failure_rate: Percent,
    /// How it fails.
    pub mode: Mode,
    /// The share of devices that are off at any moment: each is off once a day, for so much of it.
    pub offline: Percent,
    /// When devices of a site are off together.
    pub outages: Vec<Outage>,
    /// How long a device takes from the word to begin to its first look at the result: half to one and a half times this.
    pub apply_time: Seconds,
}

/// How a release fails on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It does not pass its first probe.
    AtOnce,
    /// It is well, and does not pass its probes from so long after.
    After(Seconds),
    /// It is well, and does not pass its probes from some moment in the soak of its wave on.
    InSoak,
    /// The device falls silent when it begins to apply, for good.
    Silence,
    /// The device cannot reach the reconciler any more, and goes back once it has tried for so long (§8, connectivity.within).
    NetworkLoss(Seconds),
}

/// A time in which devices with some labels are off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Which devices.
    pub devices: LabelSelector,
    /// When it begins, after the start of the simulation.
    pub begins: Seconds,
    /// How long it lasts.
    pub lasts: Seconds,
}

impl Default for Faults {
    /// Nothing goes wrong.
    fn default() -> Self {
        Self {
            failure_rate: Percent::ZERO,
            mode: Mode::AtOnce,
            offline: Percent::ZERO,
            outages: Vec::new(),
            apply_time: Seconds::minutes(2),
        }
    }
}

/// A time in which a device is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dark {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// When one device is off.
#[derive(Debug, Clone)]
pub(super) struct Absences {
    /// When its first time of a day began, before the start; none where it is never off by itself.
    daily: Option<(Timestamp, Seconds)>,
    outages: Vec<Dark>,
}

impl Absences {
    pub(super) fn of(faults: &Faults, seed: u64, device: u64, labels: &Labels, start: Timestamp) -> Self {
        let lasts = u32::try_from(faults.offline.ceil_of(u64::from(DAY.get()))).expect("at most a day");
        let phase = Random::of(seed, device, Draw::Absence).within(DAY);
        let daily = (lasts > 0).then(|| (later(start, phase) - DAY.signed(), Seconds::new(lasts)));
        let hit = faults.outages.iter().filter(|outage| outage.devices.matches(labels));
        let dark = |outage: &Outage| {
            let from = later(start, outage.begins);
            Dark { from, until: later(from, outage.lasts) }
        };
        Self { daily, outages: hit.map(dark).collect() }
    }

    /// The first time that it is off and that is not over by then.
    pub(super) fn next(&self, now: Timestamp) -> Option<Dark> {
        let daily = self.daily.map(|(first, lasts)| {
            if lasts >= DAY {
                return Dark { from: first, until: Timestamp::MAX };
            }
            let since = now.duration_since(first).as_secs() - i64::from(lasts.get());
            let day = since.div_euclid(i64::from(DAY.get())) + 1;
            let from = first + DAY.signed() * i32::try_from(day).unwrap_or(i32::MAX);
            Dark { from, until: later(from, lasts) }
        });
        let ahead = self.outages.iter().copied().filter(|dark| dark.until > now);
        let mut all: Vec<Dark> = daily.into_iter().chain(ahead).collect();
        all.sort_unstable_by_key(|dark| (dark.from, dark.until));
        let mut all = all.into_iter();
        let first = all.next()?;
        // Times that touch are one.
        Some(all.fold(first, |one, next| {
            if next.from <= one.until { Dark { until: one.until.max(next.until), ..one } } else { one }
        }))
    }
}

/// How the release fares on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is well.
    Well,
    /// It does not pass its probes from so long after its first look on.
    FailsAfter(Seconds),
    /// See [`Mode::Silence`].
    FallsSilent,
    /// See [`Mode::NetworkLoss`].
    LosesNetwork(Seconds),
}

impl Fate {
    /// Drawn for a device whose probes go on for `soak`.
    pub(super) fn of(faults: &Faults, seed: u64, device: u64, soak: Seconds) -> Self {
        let mut random = Random::of(seed, device, Draw::Fate);
        if !random.happens(faults.failure_rate) {
            return Self::Well;
        }
        match faults.mode {
            Mode::AtOnce => Self::FailsAfter(Seconds::ZERO),
            Mode::After(span) => Self::FailsAfter(span),
            Mode::InSoak => Self::FailsAfter(random.within(soak)),
            Mode::Silence => Self::FallsSilent,
            Mode::NetworkLoss(within) => Self::LosesNetwork(within),
        }
    }
}

pub(super) fn later(t: Timestamp, span: Seconds) -> Timestamp {
    t.checked_add(span.signed()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn at(hours: u32) -> Timestamp {
        later(START, Seconds::new(hours * 3_600))
    }

    #[test]
    fn so_many_are_off_at_any_moment() {
        let faults = Faults { offline: Percent::whole(10), ..Faults::default() };
        let all: Vec<Absences> = (0..2_000).map(|i| Absences::of(&faults, 1, i, &Labels::new(), START)).collect();
        for hour in [0, 1, 7, 24, 100, 1_000] {
            let off = all.iter().filter(|one| one.next(at(hour)).is_some_and(|dark| dark.from <= at(hour))).count();
            assert!((140..260).contains(&off), "{off} of 2,000 after {hour} h");
        }
        for one in &all[..50] {
            let first = one.next(START).expect("it is off once a day");
            let second = one.next(first.until).expect("it is off once a day");
            assert_eq!(second.from.duration_since(first.from), DAY.signed());
            assert!(first.until > START);
        }
    }

    #[test]
    fn an_outage_hits_those_with_the_label_and_joins_what_it_meets() {
        let devices = bellwether_schemas::select::labels("site=kiel").expect("a selector");
        let outage = |begins: u32, lasts: u32| Outage {
            devices: devices.clone(),
            begins: Seconds::new(begins * 3_600),
            lasts: Seconds::new(lasts * 3_600),
        };
        let faults = Faults { outages: vec![outage(2, 3), outage(4, 2), outage(9, 1)], ..Faults::default() };
        let labels = |site: &str| Labels::from_iter([("site".to_owned(), site.to_owned())]);
        let kiel = Absences::of(&faults, 1, 1, &labels("kiel"), START);
        assert_eq!(kiel.next(START), Some(Dark { from: at(2), until: at(6) }));
        assert_eq!(kiel.next(at(6)), Some(Dark { from: at(9), until: at(10) }));
        assert_eq!(kiel.next(at(10)), None);
        assert_eq!(Absences::of(&faults, 1, 1, &labels("ulm"), START).next(START), None);
    }

    #[test]
    fn who_is_always_off_never_comes() {
        let faults = Faults { offline: Percent::whole(100), ..Faults::default() };
        let dark = Absences::of(&faults, 1, 1, &Labels::new(), START).next(START).expect("it is off");
        assert!(dark.from < START && dark.until == Timestamp::MAX);
    }
}
