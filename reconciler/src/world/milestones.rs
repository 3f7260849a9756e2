//! What is told of a rollout as it moves: that it begins, opens a wave, halts, goes on, and ends.

use bellwether_core::plan::{Landing, Planner, RolloutRecord, sentence};
use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::codes::Code;
use bellwether_schemas::{FleetName, WaveName};
use jiff::Timestamp;

use super::World;
use crate::store::EventRow;

/// How far a rollout has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Milestones {
    target: Landing,
    waves: usize,
    halted_at: Option<Timestamp>,
    is_rejected: bool,
    is_complete: bool,
}

impl Milestones {
    pub(super) fn of(record: &RolloutRecord) -> Self {
        Self {
            target: record.target,
            waves: record.waves.len(),
            halted_at: record.halted.as_ref().map(|halt| halt.at),
            is_rejected: record.is_rejected(),
            is_complete: record.is_complete(),
        }
    }
}

impl World {
    /// Tells what a plan brought the rollout of a fleet to. Those of single devices are told by the devices.
    pub(super) fn tell_of_rollout(&mut self, fleet: &FleetName, before: Option<Milestones>, at: Timestamp) {
        let Some(planner) = self.fleets.get(fleet).and_then(|state| state.planner.as_ref()) else { return };
        if fleet.device().is_some() || before.as_ref() == Some(&Milestones::of(planner.rollout())) {
            return;
        }
        for (code, message) in news(planner, before) {
            let (kind, code) = ("rollout".to_owned(), code.map(|code| code.to_string()));
            let message = format!("{fleet}: {message}");
            self.event(EventRow { at, kind, device: None, fleet: Some(fleet.clone()), code, message });
        }
    }
}

/// What a rollout came to since it had come as far as `before`.
fn news(planner: &Planner, before: Option<Milestones>) -> Vec<(Option<Code>, String)> {
    let record = planner.rollout();
    let (target, now) = (version(record.target), Milestones::of(record));
    // A landing that changes nothing for its devices, such as an enrollment, begins no other rollout.
    let goes_on = |before: &Milestones| before.target == now.target || record.earlier.last() == Some(&before.target);
    let same = before.filter(goes_on);
    let mut told = Vec::new();
    match &same {
        None => told.push((None, format!("the rollout of {target} begins"))),
        Some(before) if before.target != now.target => {
            told.push((None, format!("the rollout of {} goes on as that of {target}", version(before.target))));
        }
        Some(_) => {}
    }
    let opened = record.waves.iter().skip(same.as_ref().map_or(0, |before| before.waves));
    let is_skipped = |opened: Timestamp, advanced: Option<Timestamp>| advanced == Some(opened);
    let opened = opened.filter(|wave| !is_skipped(wave.opened_at, wave.advanced_at)).map(|wave| &wave.name);
    told.extend(opened.map(|wave: &WaveName| (None, format!("wave {wave} opens for {target}"))));
    let had = same.as_ref().map(|before| (before.halted_at, before.is_rejected));
    let halted = planner.halted().filter(|_| had != Some((now.halted_at, now.is_rejected)));
    let was_halted = same.as_ref().is_some_and(|before| before.halted_at.is_some());
    match halted {
        Some(why) => told.push((WaitingOn::code(&why), sentence(&why))),
        None if was_halted && now.halted_at.is_none() => {
            told.push((None, format!("the rollout of {target} goes on, the halt has ended")));
        }
        None => {}
    }
    if now.is_complete && !same.is_some_and(|before| before.is_complete) {
        told.push((None, format!("the rollout of {target} is complete. {}", planner.completion())));
    }
    told
}

fn version(of: Landing) -> String {
    format!("v{} ({})", of.number, of.commit.short())
}
