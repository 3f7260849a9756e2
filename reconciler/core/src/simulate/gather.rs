//! Makes the outcome of a simulation that ended.

use std::collections::BTreeSet;

use bellwether_schemas::api::{RolloutState, WaitingOn};
use bellwether_schemas::manifest::{Labels, Window, Zone};
use jiff::Timestamp;

use super::outcome::{Moment, MomentKind, Outcome, WaveOutcome};
use super::run::Run;
use super::scene::Scene;
use crate::plan::{Opening, RolloutRecord, Schedule};

/// Openings of windows that are told of each wave, at most.
const OPENINGS: usize = 40;

impl Run<'_> {
    /// What came of it.
    pub(super) fn outcome(mut self) -> Outcome {
        let reasons = self.planner.reasons();
        let standing = self.planner.show(&reasons);
        drop(reasons);
        let record = self.planner.rollout();
        let mut harmed = vec![0_u64; record.rollout.waves.len()];
        let mut unnoticed = 0;
        for (device, truth) in self.scene.devices.iter().zip(self.log.truths()) {
            unnoticed += u64::from(truth.unnoticed);
            let wave = self.planner.note(&device.name).and_then(|note| note.wave);
            if let Some(count) = wave.filter(|_| truth.harmed).and_then(|wave| harmed.get_mut(wave)) {
                *count += 1;
            }
        }
        let waves = standing.waves.iter().zip(&record.rollout.waves).zip(harmed).enumerate();
        let waves: Vec<WaveOutcome> = waves
            .map(|(place, ((view, wave), harmed))| {
                let opened = record.waves.get(place);
                let gate = self.log.gates.iter().find(|(name, _)| *name == view.name);
                WaveOutcome {
                    name: view.name.clone(),
                    gate_reached_at: gate.map(|(_, at)| *at),
                    opened_at: opened.map(|wave| wave.opened_at),
                    completed_at: opened.and_then(|wave| wave.completed_at),
                    advanced_at: opened.and_then(|wave| wave.advanced_at),
                    soak: wave.soak,
                    members: view.members,
                    offered: view.offered,
                    healthy: view.healthy,
                    failed: view.failed,
                    harmed,
                }
            })
            .collect();
        let halted_in = match &standing.reason {
            Some(WaitingOn::Halted { wave, .. } | WaitingOn::Rejected { wave, .. }) => Some(wave.clone()),
            _ => None,
        };
        let mut moments = std::mem::take(&mut self.log.moments);
        moments.extend(of_waves(record));
        moments.extend(openings(self.scene, record, self.now));
        if let Some(at) = self.log.completed_at {
            moments.push(Moment { at, what: MomentKind::Completes, wave: None, detail: None });
        }
        if standing.state != RolloutState::Complete {
            moments.push(Moment { at: self.now, what: MomentKind::Ends, wave: None, detail: None });
        }
        moments.sort_by_key(|moment| (moment.at, moment.what));
        let counts = self.log.counts();
        Outcome {
            fleet: self.scene.fleet.clone(),
            seed: self.seed,
            devices: u64::try_from(self.scene.devices.len()).expect("a count fits into 64 bits"),
            start: self.scene.start,
            end: self.now,
            state: standing.state,
            reason: standing.reason,
            completed_at: self.log.completed_at,
            halted_in,
            waves,
            moments,
            samples: std::mem::take(&mut self.log.samples),
            offers: self.offers,
            tried: counts.tried,
            harmed: counts.harmed,
            unnoticed,
            worst: self.log.worst,
            events: self.queue.foreseen(),
        }
    }
}

fn of_waves(record: &RolloutRecord) -> impl Iterator<Item = Moment> {
    record.waves.iter().flat_map(|wave| {
        let is_skipped = wave.advanced_at == Some(wave.opened_at);
        let moment = |at, what| Moment { at, what, wave: Some(wave.name.clone()), detail: None };
        let opens = if is_skipped { MomentKind::WaveSkipped } else { MomentKind::WaveOpens };
        let later = [(wave.completed_at, MomentKind::WaveCompletes), (wave.advanced_at, MomentKind::WaveAdvances)];
        let later = later.into_iter().filter(|_| !is_skipped).filter_map(|(at, what)| Some(moment(at?, what)));
        std::iter::once(moment(wave.opened_at, opens)).chain(later).collect::<Vec<_>>()
    })
}

/// When the windows open that open waves wait for.
fn openings(scene: &Scene<'_>, record: &RolloutRecord, end: Timestamp) -> Vec<Moment> {
    let mut found = Vec::new();
    for (wave, open) in record.rollout.waves.iter().zip(&record.waves) {
        let windows = if wave.windows.is_empty() { &record.rollout.windows } else { &wave.windows };
        let until = open.completed_at.unwrap_or(end);
        for labels in zones(windows, scene) {
            let schedule = Schedule::of(windows, &labels);
            let (mut now, mut told) = (open.opened_at, 0);
            while told < OPENINGS {
                let opens = match schedule.at(now) {
                    Opening::Open { until: closes, .. } if closes <= until => {
                        now = closes;
                        continue;
                    }
                    Opening::Closed { opens } if opens <= until => opens,
                    Opening::Always | Opening::Never { .. } | Opening::Open { .. } | Opening::Closed { .. } => break,
                };
                let detail = Some(zone_names(windows, &labels));
                found.push(Moment { at: opens, what: MomentKind::WindowOpens, wave: Some(wave.name.clone()), detail });
                (now, told) = (opens, told + 1);
            }
        }
    }
    found
}

/// The labels by which windows find their time zones, each combination that devices have once.
fn zones(windows: &[Window], scene: &Scene<'_>) -> BTreeSet<Labels> {
    let keys: BTreeSet<&String> = windows.iter().filter_map(key_of).collect();
    match (windows.is_empty(), keys.is_empty()) {
        (true, _) => BTreeSet::new(),
        (false, true) => BTreeSet::from([Labels::new()]),
        (false, false) => {
            let of = |labels: &Labels| {
                keys.iter().filter_map(|key| Some(((*key).clone(), labels.get(*key)?.clone()))).collect()
            };
            scene.devices.iter().map(|device| of(&device.labels)).collect()
        }
    }
}

fn key_of(window: &Window) -> Option<&String> {
    match &window.timezone {
        Zone::Label(key) => Some(key),
        Zone::Named(_) => None,
    }
}

fn zone_names(windows: &[Window], labels: &Labels) -> String {
    let name = |window: &Window| match &window.timezone {
        Zone::Named(name) => name.clone(),
        Zone::Label(key) => labels.get(key).map_or("-".to_owned(), |value| value.replace('.', "/")),
    };
    windows.iter().map(name).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}
