//! What the windows say now, for each list of windows and each time zone that devices have.

use std::collections::BTreeMap;

use bellwether_schemas::Seconds;
use bellwether_schemas::manifest::{Labels, Rollout, Window, Zone};
use jiff::Timestamp;

use super::place::index;
use super::standing::Rows;
use super::windows::{Opening, Schedule};

/// How long before a window opens devices are offered what they apply in it, so that they have it by then.
const LEAD: Seconds = Seconds::minutes(60);

/// The windows of a rollout.
#[derive(Debug, Clone, Default)]
pub(super) struct Clocks {
    /// The list of each wave: its own, or the rollout's, which is the first.
    lists: Vec<usize>,
    /// How many lists there are.
    count: usize,
    /// For each zone the clocks of all lists.
    clocks: Vec<Clock>,
}

#[derive(Debug, Clone)]
struct Clock {
    schedule: Schedule,
    /// What the windows say; one that opens soon is open already.
    opening: Opening,
    changes_at: Option<Timestamp>,
}

impl Clocks {
    /// The windows of a rollout, and the zone of each row. `labels` are those of the rows.
    pub(super) fn of<'a>(
        rollout: &Rollout,
        rows: &mut Rows,
        labels: impl Iterator<Item = &'a Labels>,
        now: Timestamp,
    ) -> Self {
        let mut windows: Vec<&[Window]> = vec![&rollout.windows];
        let mut lists = Vec::new();
        for wave in &rollout.waves {
            if !wave.windows.is_empty() {
                windows.push(&wave.windows);
            }
            lists.push(if wave.windows.is_empty() { 0 } else { windows.len() - 1 });
        }
        let keys: Vec<&str> = windows.iter().flat_map(|list| list.iter().filter_map(label_of)).collect();
        let mut zones: BTreeMap<Vec<Option<&str>>, u32> = BTreeMap::new();
        let mut clocks = Vec::new();
        let nobody = Labels::new();
        let mut zone_of = |labels| {
            let values = keys.iter().map(|key| Labels::get(labels, *key).map(String::as_str)).collect();
            let next = u32::try_from(zones.len()).expect("at most one zone for each row");
            *zones.entry(values).or_insert_with(|| {
                clocks.extend(windows.iter().map(|list| Clock::of(Schedule::of(list, labels), now)));
                next
            })
        };
        if keys.is_empty() {
            zone_of(&nobody);
        } else {
            for (row, labels) in rows.iter_mut().zip(labels) {
                row.zone = zone_of(labels);
            }
        }
        Self { lists, count: windows.len(), clocks }
    }

    /// What the windows say that a member of the wave at `place` goes by, or one of no wave.
    pub(super) fn opening(&self, place: Option<usize>, zone: u32) -> Opening {
        let list = place.and_then(|place| self.lists.get(place)).copied().unwrap_or(0);
        self.clocks.get(index(zone) * self.count + list).map_or(Opening::Always, |clock| clock.opening.clone())
    }

    /// Whether it is open, or opens soon, reckoned again.
    pub(super) fn is_open(&self, place: Option<usize>, zone: u32, now: Timestamp) -> bool {
        let list = place.and_then(|place| self.lists.get(place)).copied().unwrap_or(0);
        let clock = self.clocks.get(index(zone) * self.count + list);
        let says = clock.map_or(Opening::Always, |clock| clock.schedule.at(now));
        match says {
            Opening::Always | Opening::Open { .. } => true,
            Opening::Closed { opens } => opens.duration_since(now) <= LEAD.signed(),
            Opening::Never { .. } => false,
        }
    }

    /// Moves to another time. Whether any of them says something else then.
    pub(super) fn advance(&mut self, now: Timestamp) -> bool {
        let mut moved = false;
        for clock in self.clocks.iter_mut().filter(|clock| clock.changes_at.is_some_and(|at| at <= now)) {
            *clock = Clock::of(clock.schedule.clone(), now);
            moved = true;
        }
        moved
    }

    /// When one of them says something else next.
    pub(super) fn changes_at(&self) -> Option<Timestamp> {
        self.clocks.iter().filter_map(|clock| clock.changes_at).min()
    }
}

impl Clock {
    fn of(schedule: Schedule, now: Timestamp) -> Self {
        let (opening, changes_at) = match schedule.at(now) {
            Opening::Closed { opens } => {
                let soon = opens.checked_sub(LEAD.signed()).unwrap_or(Timestamp::MIN);
                match schedule.at(opens) {
                    Opening::Open { until, .. } if soon <= now => (Opening::Open { since: opens, until }, Some(until)),
                    _ => (Opening::Closed { opens }, Some(soon.max(now)).filter(|at| *at > now)),
                }
            }
            Opening::Open { since, until } => {
                (Opening::Open { since, until }, Some(until).filter(|until| *until < Timestamp::MAX))
            }
            never @ (Opening::Always | Opening::Never { .. }) => (never, None),
        };
        Self { schedule, opening, changes_at }
    }
}

fn label_of(window: &Window) -> Option<&str> {
    match &window.timezone {
        Zone::Label(key) => Some(key),
        Zone::Named(_) => None,
    }
}
