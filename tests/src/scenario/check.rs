//! What must hold after every pass of every scenario. It is computed from what devices say and git declares, and not by the
//! planner.

use std::collections::BTreeMap;

use bellwether_core::declare::Declared;
use bellwether_core::plan::RolloutRecord;
use bellwether_reconciler::serve::Views;
use bellwether_reconciler::store::{EventRow, PlanChange};
use bellwether_reconciler::world::{Device, World};
use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::manifest::{Budget, Gate, SkipStep};
use bellwether_schemas::report::{FailureKind, Health, Report};
use bellwether_schemas::{DeviceName, FleetName};
use jiff::{SignedDuration, Timestamp};

use super::server::Database;

/// What was so before a pass.
#[derive(Default)]
pub(super) struct Checks {
    /// Devices that held a place of their budgets.
    held: BTreeMap<DeviceName, bool>,
    /// Devices that were on the way.
    flew: BTreeMap<DeviceName, bool>,
    /// After which silence a device is offline.
    pub(super) silence: SignedDuration,
    /// When the reconciler started.
    pub(super) started: Timestamp,
}

impl Checks {
    pub(super) fn before(&mut self, world: &World, now: Timestamp) {
        let on_the_way = world.devices().values().map(|device| (device.name().clone(), is_on_the_way(device)));
        self.flew = on_the_way.collect();
        let held = world.devices().values().map(|device| (device.name().clone(), self.is_unavailable(device, now)));
        let held = held.collect();
        self.held = held;
    }

    /// Checks what a pass decided.
    pub(super) fn after(
        &self,
        world: &World,
        database: &Database,
        change: &PlanChange,
        now: Timestamp,
    ) -> Result<(), String> {
        let Some(declared) = world.repository.declared().filter(|_| !change.offers.is_empty()) else { return Ok(()) };
        for (fleet, row) in &database.rollouts {
            let record: RolloutRecord =
                serde_json::from_value(row.record.clone()).map_err(|error| error.to_string())?;
            let of_fleet = |event: &&EventRow| event.kind == "offered" && event.fleet.as_ref() == Some(fleet);
            let offered = change.events.iter().filter(of_fleet).filter_map(|event| event.device.as_ref());
            let offered: Vec<&Device> = offered.filter_map(|name| world.devices().get(name)).collect();
            if offered.is_empty() || declared.fleets().get(fleet).is_none() {
                continue;
            }
            let checked = Checked { world, declared, fleet, record: &record, offered, now };
            checked.stops()?;
            checked.waves()?;
            checked.windows()?;
            checked.in_flight(&self.flew)?;
            for budget in &record.rollout.budget {
                checked.budget(budget, self)?;
            }
        }
        Ok(())
    }

    /// Whether it is unavailable: on the way, ill, or not heard of.
    pub(super) fn is_unavailable(&self, device: &Device, now: Timestamp) -> bool {
        let is_ill = |report: &Report| report.running.is_some() && report.health == Health::Unhealthy;
        let seen = device.row.last_seen.unwrap_or(device.row.enrolled_at);
        let is_offline = now.duration_since(seen) >= self.silence;
        is_offline || device.row.last_seen.is_some() && is_on_the_way(device) || device.report().is_some_and(is_ill)
    }

    /// Every device that is not at its target has a reason.
    pub(super) fn reasons(&self, views: &Views) -> Result<(), String> {
        for device in &views.devices {
            if device.target.is_some() && device.target != device.digest && device.reason.is_none() {
                return Err(format!("{} is not at its target, and nothing says why", device.name));
            }
            if device.fleet.is_some() && device.target.is_none() && device.reason.is_none() {
                return Err(format!("{} has no target, and nothing says why", device.name));
            }
        }
        Ok(())
    }
}

/// The offers of one fleet that a pass made.
struct Checked<'a> {
    world: &'a World,
    declared: &'a Declared,
    fleet: &'a FleetName,
    record: &'a RolloutRecord,
    offered: Vec<&'a Device>,
    now: Timestamp,
}

impl<'a> Checked<'a> {
    fn members(&self) -> impl Iterator<Item = &'a Device> {
        let fleet = self.fleet;
        self.world.devices().values().filter(move |device| device.placement.fleet() == Some(fleet))
    }

    /// Offers of the target that are made because it is the target.
    fn of_target(&self) -> impl Iterator<Item = &'a Device> {
        let target = self.record.target.commit;
        let is_pinned = |device: &&Device| self.declared.pin(device.name()).is_some();
        let of_it = move |device: &&'a Device| device.row.offer.as_ref().is_some_and(|it| it.signed.template == target);
        self.offered
            .iter()
            .copied()
            .filter(of_it)
            .filter(move |device| !is_pinned(device))
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn expedites(&self, step: SkipStep) -> bool {
        let history = self.world.repository.history();
        let number_of = |commit: &bellwether_schemas::CommitId| history?.number_of(commit);
        let template = self.declared.template_in_force(self.fleet, self.record.target.number);
        template.is_some_and(|template| {
            self.declared.decisions(template, &self.record.earlier, number_of).expedited.contains(&step)
        })
    }

    /// Nothing is offered under a Hold, and the target to nobody after a halt.
    fn stops(&self) -> Result<(), String> {
        if let (Some((path, _)), Some(device)) = (self.declared.holds(self.fleet).next(), self.offered.first()) {
            return Err(format!("{} is offered something under {path}", device.name()));
        }
        match (&self.record.halted, self.of_target().next()) {
            (Some(_), Some(device)) => Err(format!("{} is offered the target after a halt", device.name())),
            _ => Ok(()),
        }
    }

    /// The target goes to members of open waves, and gated waves open by a decision.
    fn waves(&self) -> Result<(), String> {
        let open = self.record.waves.len();
        for device in self.of_target() {
            let note = self.record.members.get(device.name());
            let wave = note.and_then(|note| note.wave);
            let follows = note.is_some_and(|note| note.follows);
            // That it is in an open wave is noted a little later than that a wave opens.
            let first = self.record.waves.first();
            let is_late = wave.is_none() && first.is_some_and(|first| device.row.enrolled_at >= first.opened_at);
            if !self.record.is_complete() && wave.is_none_or(|wave| wave >= open) && !follows && !is_late {
                return Err(format!("{} is offered the target before its wave is open", device.name()));
            }
        }
        let history = self.world.repository.history();
        let number_of = |commit: &bellwether_schemas::CommitId| history?.number_of(commit);
        let template = self.declared.template_in_force(self.fleet, self.record.target.number);
        let decided = |template| self.declared.decisions(template, &self.record.earlier, number_of);
        let opened = template.map(|template| decided(template).opened).unwrap_or_default();
        for (wave, record) in self.record.rollout.waves.iter().zip(&self.record.waves) {
            let skipped = record.advanced_at == Some(record.opened_at);
            let is_new = record.opened_at == self.now && !self.record.is_complete();
            if wave.gate == Gate::Manual
                && is_new
                && !skipped
                && !opened.contains(&wave.name)
                && !self.expedites(SkipStep::Gates)
            {
                return Err(format!("wave {} opened without an Approval", wave.name));
            }
        }
        Ok(())
    }

    /// An offer of the target that windows hold says when applying may begin.
    fn windows(&self) -> Result<(), String> {
        if self.expedites(SkipStep::Windows) {
            return Ok(());
        }
        for device in self.of_target() {
            let note = self.record.members.get(device.name());
            let wave = note.and_then(|note| note.wave).and_then(|wave| self.record.rollout.waves.get(wave));
            let has_windows =
                !self.record.rollout.windows.is_empty() || wave.is_some_and(|wave| !wave.windows.is_empty());
            let offer = device.row.offer.as_ref().map(|offer| &offer.signed);
            let has_span =
                offer.is_some_and(|offer| offer.not_before.is_some() && offer.not_after.is_some_and(|t| t > self.now));
            if has_windows && !has_span && !note.is_some_and(|note| note.returns) {
                return Err(format!("{} is offered the target outside of its window", device.name()));
            }
        }
        Ok(())
    }

    /// Whether it is offline for so long that it counts in no budget.
    fn is_lost(&self, device: &Device) -> bool {
        let seen = device.row.last_seen.unwrap_or(device.row.enrolled_at);
        self.now.duration_since(seen) >= self.record.rollout.lost_after.signed()
    }

    fn in_flight(&self, flew: &BTreeMap<DeviceName, bool>) -> Result<(), String> {
        let Some(share) = self.record.rollout.max_in_flight else { return Ok(()) };
        let members = self.members().filter(|device| !device.row.paused.as_ref().is_some_and(|it| it.is_gone()));
        let size = u64::try_from(members.count()).unwrap_or(u64::MAX);
        let limit = share.floor_of(size).max(1);
        let is_done = |device: &Device| matches!(self.world.reason_of(device.name()), Some(WaitingOn::Failed { .. }));
        let flies = |device: &&Device| device.row.paused.is_none() && is_on_the_way(device) && !is_done(device);
        let flying = self.members().filter(flies).count();
        let returns = |device: &Device| self.record.members.get(device.name()).is_some_and(|note| note.returns);
        let flew = |device: &Device| flew.get(device.name()).is_some_and(|flew| *flew);
        let new = self.of_target().find(|device| is_well(device) && !flew(device) && !returns(device));
        match new {
            Some(device) if u64::try_from(flying).is_ok_and(|flying| flying > limit) => Err(format!(
                "{} is offered the target with {flying} on the way, and maxInFlight allows {limit}",
                device.name()
            )),
            _ => Ok(()),
        }
    }

    fn budget(&self, budget: &Budget, checks: &Checks) -> Result<(), String> {
        let group = |device: &Device| {
            let value = |key: &String| device.labels.get(key).cloned().unwrap_or_default();
            budget.by.iter().map(value).collect::<Vec<_>>()
        };
        let held = |device: &Device| checks.held.get(device.name()).is_some_and(|held| *held);
        for device in self.offered.iter().filter(|device| is_well(device) && !held(device)) {
            let of_group: Vec<&Device> = self.members().filter(|other| group(other) == group(device)).collect();
            let limit = budget.max_unavailable.of(u64::try_from(of_group.len()).unwrap_or(u64::MAX));
            let lost = |other: &Device| self.is_lost(other);
            let out = of_group.iter().filter(|other| checks.is_unavailable(other, self.now) && !lost(other)).count();
            if u64::try_from(out).is_ok_and(|out| out > limit) {
                return Err(format!(
                    "{} is offered something with {out} devices of {:?} unavailable, and the budget allows {limit}",
                    device.name(),
                    group(device)
                ));
            }
        }
        Ok(())
    }
}

/// Whether it has an offer that it did not come to an end with, or is at something.
pub(super) fn is_on_the_way(device: &Device) -> bool {
    let report = device.report();
    let runs = |digest| report.and_then(|report| report.running).is_some_and(|claim| claim.digest == digest);
    let failed = |version| {
        let failure = report.and_then(|report| report.failure.as_ref());
        failure.is_some_and(|failure| failure.version == Some(version) && failure.kind != FailureKind::Transient)
    };
    let offer = device.row.offer.as_ref().map(|offer| &offer.signed);
    offer.is_some_and(|offer| !runs(offer.digest) && !failed(offer.version))
        || report.is_some_and(|report| report.applying.is_some())
}

/// Whether it runs something and that is well. Who is not takes a place before anything is decided, and may be offered something.
fn is_well(device: &Device) -> bool {
    device.report().is_some_and(|report| report.running.is_some() && report.health != Health::Unhealthy)
}
