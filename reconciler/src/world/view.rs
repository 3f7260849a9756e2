//! The world as page and API show it.

use std::collections::BTreeMap;

use bellwether_core::plan::{Ground, Planner, Reasons, condition_sentence, sentence, waits};
use bellwether_core::status::{Known, status};
use bellwether_schemas::api::{
    Conflict, DecisionView, DeviceView, FleetView, InvalidView, RepositoryView, RolloutState, RolloutView, WaitingOn,
};
use bellwether_schemas::{CommitId, DeviceName, FleetName};
use jiff::Timestamp;

use super::decided::Decided;
use super::fleet::FleetState;
use super::{Device, Placement, World};
use crate::serve::Views;

/// What is shown of a fleet's members.
struct Shown<'a> {
    planner: &'a Planner,
    reasons: Reasons<'a>,
    decided: Vec<Decided>,
}

impl World {
    /// One consistent snapshot of everything that is shown.
    pub fn views(&self, url: &str, ready: bool, now: Timestamp) -> Views {
        let head = self.repository.head();
        Views {
            ready,
            at: Some(now),
            repository: Some(RepositoryView {
                url: url.to_owned(),
                branch: self.repository.branch().to_owned(),
                head: self
                    .repository
                    .landings()
                    .next()
                    .cloned()
                    .filter(|shown| head.is_some_and(|h| h.commit == shown.commit)),
                condition: self.repository.condition().clone(),
                why: condition_sentence(self.repository.condition()),
            }),
            fleets: self.fleet_views(),
            rollouts: self.rollout_views(),
            devices: self.device_views(now),
            commits: self.repository.landings().cloned().collect(),
            invalid: self.invalid_views(),
        }
    }

    fn fleet_views(&self) -> Vec<FleetView> {
        let Some(declared) = self.repository.declared() else { return Vec::new() };
        let invalid = |fleet: &FleetName| {
            let path = fleet.path();
            let found = declared.invalid().find(|(at, _)| *at == path);
            found.map(|(_, problems)| problems.iter().map(ToString::to_string).collect()).unwrap_or_default()
        };
        self.planned()
            .filter_map(|(name, planner, members)| {
                let line = declared.fleets().get(name)?;
                // By what runs, as each device's own status has it: a paused device may well run its target.
                let at_target = |device: &&Device| {
                    let target = device.known_digest(&planner.rollout().target.commit);
                    target.is_some() && target == device.running().map(|claim| claim.digest)
                };
                let members = members.iter().filter_map(|member| self.devices.get(member));
                let counts = |device: &&Device| !device.row.paused.as_ref().is_some_and(WaitingOn::is_gone);
                let members: Vec<_> = members.filter(counts).collect();
                Some(FleetView {
                    name: name.clone(),
                    template: line.target.landing.commit,
                    landing: line.target.landing.number,
                    stable: planner.rollout().stable.map(|stable| stable.commit),
                    devices: members.len() as u64,
                    up_to_date: members.iter().filter(|device| at_target(device)).count() as u64,
                    invalid: invalid(name),
                })
            })
            .collect()
    }

    fn rollout_views(&self) -> Vec<RolloutView> {
        self.planned().map(|(name, planner, _)| self.rollout_view(name, planner)).collect()
    }

    /// The template commit that a device goes to, or is at where it goes nowhere.
    fn heads_for(&self, device: &Device) -> Option<CommitId> {
        let state = device.placement.fleet().and_then(|fleet| self.fleets.get(fleet));
        let planned = state.and_then(|state| state.planner.as_ref()?.heads_for(device.name()));
        let target = || Some(state?.rollout()?.target.commit);
        planned.or_else(target).or_else(|| device.running().map(|claim| claim.template))
    }

    fn rollout_view(&self, name: &FleetName, planner: &Planner) -> RolloutView {
        let (shown, record) = (planner.show(&planner.reasons()), planner.rollout());
        let target = record.target;
        let why = match (&shown.reason, shown.state) {
            (Some(reason), _) => sentence(reason),
            (None, RolloutState::Complete) => planner.completion(),
            (None, _) => "It goes on.".to_owned(),
        };
        let line = self.repository.declared().and_then(|declared| declared.fleets().get(name));
        let newest = line.map(|line| line.target.landing.commit);
        RolloutView {
            fleet: name.clone(),
            commit: target.commit,
            landing: target.number,
            state: shown.state,
            waves: shown.waves,
            waits: shown.reason.as_ref().map(|reason| waits(reason, planner.ground())),
            origin: self.repository.landing(&target.commit),
            decided: self.decided(planner).into_iter().map(|decided| decided.view).collect(),
            next: newest.filter(|newest| *newest != target.commit),
            reason: shown.reason,
            why,
        }
    }

    fn device_views(&self, now: Timestamp) -> Vec<DeviceView> {
        let shown = |planner| Shown { planner, reasons: planner.reasons(), decided: self.decided(planner) };
        let fleets: BTreeMap<&FleetName, Shown<'_>> =
            self.planned().map(|(name, planner, _)| (name, shown(planner))).collect();
        let view = |device: &Device| {
            let fleet = device.placement.fleet().and_then(|fleet| fleets.get(fleet));
            let reason = self.reason(device, |name| fleet.and_then(|fleet| fleet.reasons.of(name)));
            DeviceView { decided: self.decided_about(device, fleet), ..self.device_view(device, reason, now) }
        };
        self.devices.values().map(view).collect()
    }

    /// The signed files that decide about a device.
    fn decided_about(&self, device: &Device, fleet: Option<&Shown<'_>>) -> Vec<DecisionView> {
        let name = device.name();
        let wave = fleet.and_then(|Shown { planner, .. }| {
            let place = planner.note(name)?.wave?;
            planner.rollout().rollout.waves.get(place).map(|wave| &wave.name)
        });
        let decided = fleet.into_iter().flat_map(|fleet| &fleet.decided);
        let decided = decided.filter(|decided| decided.concerns(name, wave)).map(|decided| decided.view.clone());
        self.pin(name).into_iter().chain(decided).collect()
    }

    /// Why a device is not at its target; `planned` says why its fleet's plan has it so.
    fn reason(&self, device: &Device, planned: impl Fn(&DeviceName) -> Option<WaitingOn>) -> Option<WaitingOn> {
        match (&device.placement, &device.row.paused) {
            (_, Some(paused)) => Some(paused.clone()),
            (_, None) if self.repository.declared().is_none() => None,
            (Placement::Orphaned, None) => Some(WaitingOn::Orphaned),
            (Placement::Overlap(fleets), None) => Some(WaitingOn::Overlap { fleets: fleets.clone() }),
            (Placement::Member(_), None) => planned(device.name()),
        }
    }

    /// Why one device is not at its target; none when it is.
    pub fn reason_of(&self, name: &DeviceName) -> Option<WaitingOn> {
        let device = self.devices.get(name)?;
        let planner = device.placement.fleet().and_then(|fleet| self.fleets.get(fleet)?.planner.as_ref());
        self.reason(device, |name| planner.and_then(|planner| planner.reasons().of(name)))
    }

    fn device_view(&self, device: &Device, reason: Option<WaitingOn>, now: Timestamp) -> DeviceView {
        // A start is no device's silence: all have the time to report first, but those that were silent before others were.
        let too_long =
            |since: Timestamp, until: Timestamp| until.duration_since(since) > self.timing.stale_after.signed();
        let silent = |seen: Timestamp| {
            let was_silent = self.heard_before.is_some_and(|heard| too_long(seen, heard));
            was_silent || too_long(seen.max(self.timing.serving_since), now)
        };
        let stale = device.row.last_seen.is_none_or(silent);
        let fleet = device.placement.fleet();
        let state = fleet.and_then(|fleet| self.fleets.get(fleet));
        let record = state.and_then(FleetState::rollout);
        let ground = Ground {
            device: Some(device.name()),
            fleet,
            record,
            holds: state.and_then(|state| state.planner.as_ref()).map_or(&[], |planner| &planner.terms().holds),
            pinned_at: self.pinned_at(device.name()),
            unwell_since: device.unwell_since,
            out_since: device.out_since,
        };
        let target = record.and_then(|record| device.known_digest(&record.target.commit));
        let offered = device.row.offer.as_ref();
        let known = Known {
            reported: device.row.reported.as_ref(),
            stale,
            target,
            offered: offered.map(|offer| offer.signed.digest),
            reason: reason.as_ref(),
            decommissioned: matches!(reason, Some(WaitingOn::Decommissioned { .. })),
        };
        let conflict = matches!(reason, Some(WaitingOn::Paused { .. })).then(|| device.missing());
        DeviceView {
            name: device.row.name.clone(),
            enrollment: device.row.enrollment.clone(),
            entry: device.row.entry.clone(),
            fleet: fleet.cloned(),
            labels: device.facts.labels.clone(),
            version: device.running().map(|claim| claim.version),
            digest: device.running().map(|claim| claim.digest),
            offered: offered.map(|offer| offer.signed.version),
            target,
            status: status(&known),
            why: reason.as_ref().map_or_else(|| "It is at its target.".to_owned(), sentence),
            waits: reason.as_ref().map(|reason| waits(reason, ground)),
            origin: self.heads_for(device).and_then(|commit| self.repository.landing(&commit)),
            decided: Vec::new(),
            reason,
            conflict: conflict
                .filter(|missing| !missing.is_empty())
                .map(|missing| Conflict { missing: missing.to_vec() }),
            last_seen: device.row.last_seen,
            allows: device.row.allows.clone(),
        }
    }

    fn invalid_views(&self) -> Vec<InvalidView> {
        let Some(declared) = self.repository.declared() else { return Vec::new() };
        let mut found: BTreeMap<String, Vec<String>> = declared
            .invalid()
            .map(|(path, problems)| (path.to_owned(), problems.iter().map(ToString::to_string).collect()))
            .collect();
        for device in self.devices.values() {
            if let Some(problem) = declared.unused_template(device.name(), device.placement.fleets()) {
                found.entry(problem.file.clone()).or_default().push(problem.to_string());
            }
        }
        found.into_iter().map(|(path, problems)| InvalidView { path, problems }).collect()
    }
}
