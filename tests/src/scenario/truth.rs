//! Whether the reasons that are shown are true: by what devices say, git declares and the database has, and not by the planner.

use std::collections::BTreeMap;

use bellwether_core::declare::Declared;
use bellwether_core::plan::{BRAKE, RolloutRecord, WaveRecord};
use bellwether_reconciler::serve::Views;
use bellwether_reconciler::store::RolloutRow;
use bellwether_reconciler::world::{Device, Placement, World};
use bellwether_schemas::api::{DeviceView, WaitingOn};
use bellwether_schemas::manifest::{Gate, SkipStep, Wave};
use bellwether_schemas::report::Health;
use bellwether_schemas::{CommitId, FleetName, WaveName};
use jiff::Timestamp;

use super::check::{Checks, is_on_the_way};
use super::server::Database;

/// What reasons are held against.
pub(super) struct Truth<'a> {
    checks: &'a Checks,
    world: &'a World,
    records: BTreeMap<&'a FleetName, RolloutRecord>,
    now: Timestamp,
}

/// What is so of a rollout.
struct Rollout<'a> {
    truth: &'a Truth<'a>,
    declared: &'a Declared,
    fleet: &'a FleetName,
    record: &'a RolloutRecord,
}

impl<'a> Truth<'a> {
    pub(super) fn of(checks: &'a Checks, world: &'a World, database: &'a Database, now: Timestamp) -> Self {
        let record = |row: &RolloutRow| serde_json::from_value(row.record.clone()).ok();
        let records = database.rollouts.iter().filter_map(|(fleet, row)| Some((fleet, record(row)?))).collect();
        Self { checks, world, records, now }
    }

    /// Says which reason is false, of those that devices and waves have.
    pub(super) fn check(&self, views: &Views) -> Result<(), String> {
        for view in &views.devices {
            if let (Some(reason), Some(device)) = (&view.reason, self.world.devices().get(&view.name))
                && !self.is_true(view, device, reason)
            {
                return Err(format!("{} is given a reason that is not true: {reason:?}", view.name));
            }
        }
        for view in &views.rollouts {
            let Some(rollout) = self.rollout(&view.fleet) else { continue };
            for wave in &view.waves {
                if let Some(reason) = &wave.reason
                    && rollout.is_true(reason) == Some(false)
                {
                    return Err(format!(
                        "wave {} of {} has a reason that is not true: {reason:?}",
                        wave.name, view.fleet
                    ));
                }
            }
        }
        Ok(())
    }

    fn rollout<'b>(&'b self, fleet: &'b FleetName) -> Option<Rollout<'b>> {
        Some(Rollout {
            truth: self,
            declared: self.world.repository.declared()?,
            fleet,
            record: self.records.get(fleet)?,
        })
    }

    fn is_true(&self, view: &DeviceView, device: &Device, reason: &WaitingOn) -> bool {
        let (report, row) = (device.report(), &device.row);
        let failure = report.and_then(|report| report.failure.as_ref());
        let rollout = view.fleet.as_ref().and_then(|fleet| self.rollout(fleet));
        let is_at_target = view.target.is_some() && view.target == view.digest;
        let is_given_up =
            || rollout.as_ref().is_some_and(|it| it.record.halted.as_ref().is_some_and(|halt| halt.reverts));
        let is_target = |commit: &CommitId| rollout.as_ref().is_some_and(|it| it.record.target.commit == *commit);
        let pin = self.world.repository.declared().and_then(|declared| declared.pin(device.name()));
        match reason {
            WaitingOn::Orphaned => device.placement == Placement::Orphaned,
            WaitingOn::Overlap { fleets } => device.placement.fleets() == fleets.as_slice(),
            WaitingOn::Repository { condition } => self.world.repository.condition() == condition,
            WaitingOn::AwaitingReconnect => row.awaiting_reconnect,
            WaitingOn::Paused { .. }
            | WaitingOn::Lookup { .. }
            | WaitingOn::Revoked { .. }
            | WaitingOn::Decommissioning
            | WaitingOn::Decommissioned { .. } => row.paused.as_ref() == Some(reason),
            WaitingOn::RenderError { .. } => view.target.is_none(),
            WaitingOn::Pinned { commit, .. } => pin == Some(*commit),
            WaitingOn::Stale { last_seen, .. } => {
                let since = row.last_seen.unwrap_or(row.enrolled_at);
                let is_silent = self.now.duration_since(since) >= self.checks.silence;
                *last_seen == row.last_seen && (is_silent || row.last_seen.is_none())
            }
            WaitingOn::InFlight { version, since } => {
                let is_it = |version: &_| row.offer.as_ref().is_some_and(|offer| offer.signed.version == *version);
                let is_since = row.offer.as_ref().is_some_and(|offer| offer.offered_at == *since);
                let applies = report.and_then(|report| report.applying).is_some_and(|claim| claim.version == *version);
                is_on_the_way(device) && ((is_it(version) && is_since) || applies)
            }
            WaitingOn::Failed { version, failure: said } => match said {
                Some(said) => failure == Some(said) && said.version == Some(*version),
                // It ran out of time, or said since that something else failed.
                None => failure.is_none_or(|failure| failure.version != Some(*version)),
            },
            WaitingOn::BackFailed { commit, version, failure: said } => {
                is_given_up() && is_target(commit) && failure == Some(said) && said.version == Some(*version)
            }
            WaitingOn::Reverting { commit, to } => {
                let template = row.offer.as_ref().map(|offer| offer.signed.template);
                is_given_up() && is_target(commit) && to != commit && (template != Some(*to) || is_on_the_way(device))
            }
            WaitingOn::Unhealthy { version } => report.is_some_and(|report| {
                report.health == Health::Unhealthy && report.running.is_some_and(|claim| claim.version == *version)
            }),
            WaitingOn::Window { opens, why } => match opens {
                Some(opens) => *opens > self.now && why.is_none(),
                None => why.is_some(),
            },
            WaitingOn::Budget { .. } | WaitingOn::MaxInFlight { .. } => {
                rollout.is_some_and(|rollout| rollout.is_full(device, reason))
            }
            WaitingOn::Wave { .. }
            | WaitingOn::EmptyWave { .. }
            | WaitingOn::Soak { .. }
            | WaitingOn::TooFewHealthy { .. }
            | WaitingOn::Gate { .. } => {
                let is_true = || rollout.as_ref().and_then(|rollout| rollout.is_true(reason));
                !is_at_target && pin.is_none() && is_true() == Some(true)
            }
            WaitingOn::After { .. }
            | WaitingOn::Artifact { .. }
            | WaitingOn::Reconnects { .. }
            | WaitingOn::Held { .. }
            | WaitingOn::Halted { .. }
            | WaitingOn::Rejected { .. } => rollout.as_ref().and_then(|rollout| rollout.is_true(reason)) == Some(true),
            WaitingOn::Unsound { .. } | WaitingOn::Returning { .. } => false,
        }
    }
}

impl Rollout<'_> {
    fn wave(&self, name: &WaveName) -> Option<(usize, &Wave)> {
        self.record.rollout.waves.iter().enumerate().find(|(_, wave)| wave.name == *name)
    }

    fn newest(&self, name: &WaveName) -> Option<&WaveRecord> {
        self.record.waves.last().filter(|wave| wave.name == *name && wave.advanced_at.is_none())
    }

    /// Whether a reason of a fleet or a wave is true; none where it is one of a device.
    fn is_true(&self, reason: &WaitingOn) -> Option<bool> {
        let record = self.record;
        let history = self.truth.world.repository.history();
        let number_of = |commit: &CommitId| history?.number_of(commit);
        let template = self.declared.template_in_force(self.fleet, record.target.number);
        let decided = template.map(|template| self.declared.decisions(template, &record.earlier, number_of));
        let skips = |step| decided.as_ref().is_some_and(|decided| decided.expedited.contains(&step));
        Some(match reason {
            WaitingOn::Held { hold, reason } => {
                hold == BRAKE || self.declared.holds(self.fleet).any(|held| held == (hold.as_str(), reason.as_str()))
            }
            WaitingOn::Halted { wave, failures, offered, unrendered, commit }
            | WaitingOn::Rejected { wave, failures, offered, unrendered, commit } => {
                let is_given_up = matches!(reason, WaitingOn::Rejected { .. });
                let said = (wave, failures, offered, unrendered, is_given_up);
                record.target.commit == *commit
                    && record.halted.as_ref().is_some_and(|halt| {
                        (&halt.wave, &halt.failures, &halt.offered, &halt.unrendered, halt.reverts) == said
                    })
            }
            WaitingOn::After { fleet, commit } => {
                let other = self.truth.records.get(fleet);
                let is_done = other.is_some_and(|other| other.is_complete() && other.target == record.target);
                record.waves.is_empty() && record.target.commit == *commit && !is_done
            }
            WaitingOn::Artifact { .. } => record.waves.is_empty(),
            WaitingOn::Reconnects { until } => *until > self.truth.now,
            WaitingOn::Gate { wave, commit } => {
                let (place, declared) = self.wave(wave)?;
                let is_opened = decided.as_ref().is_some_and(|decided| decided.opened.contains(wave));
                let before = record.waves.last().is_none_or(|before| before.advanced_at.is_some());
                declared.gate == Gate::Manual
                    && record.target.commit == *commit
                    && !is_opened
                    && !skips(SkipStep::Gates)
                    && record.waves.len() == place
                    && before
            }
            WaitingOn::Wave { wave, after } => {
                let ((place, _), (before, _)) = (self.wave(wave)?, self.wave(after)?);
                let is_done = record.waves.get(before).is_some_and(|wave| wave.advanced_at.is_some());
                before < place && !is_done
            }
            WaitingOn::Soak { wave, until } => {
                let (completed, soak) = (self.newest(wave)?.completed_at?, self.wave(wave)?.1.soak);
                let ends = completed + soak.signed();
                match () {
                    () if skips(SkipStep::Soak) => *until == completed,
                    () if record.gaps.is_empty() && completed >= self.truth.checks.started => *until == ends,
                    () => *until >= ends,
                }
            }
            WaitingOn::TooFewHealthy { wave, healthy, needed } => {
                let newest = self.newest(wave)?;
                newest.completed_at.is_none() && healthy < needed
            }
            WaitingOn::EmptyWave { wave } => {
                let (place, _) = self.wave(wave)?;
                record.waves.len() == place || self.newest(wave).is_some()
            }
            _ => return None,
        })
    }

    /// Whether there is no place for a device: counted again.
    fn is_full(&self, device: &Device, reason: &WaitingOn) -> bool {
        let (checks, now) = (self.truth.checks, self.truth.now);
        let is_member = |other: &&Device| {
            let is_gone = other.row.paused.as_ref().is_some_and(WaitingOn::is_gone);
            other.placement.fleet() == Some(self.fleet) && !is_gone
        };
        let members: Vec<&Device> = self.truth.world.devices().values().filter(is_member).collect();
        let count = |of: usize| u64::try_from(of).unwrap_or(u64::MAX);
        match reason {
            WaitingOn::Budget { group, limit, unavailable, holders } => {
                let is_of = |other: &&Device| {
                    group.iter().all(|(key, value)| other.labels.get(key).map_or("", String::as_str) == value)
                };
                let of_group: Vec<&Device> = members.into_iter().filter(is_of).collect();
                let is_limit = |budget: &bellwether_schemas::manifest::Budget| {
                    budget.by.iter().eq(group.keys()) && budget.max_unavailable.of(count(of_group.len())) == *limit
                };
                let is_out = |holder| {
                    let holder = self.truth.world.devices().get(holder);
                    holder.is_some_and(|holder| checks.is_unavailable(holder, now))
                };
                is_of(&device)
                    && self.record.rollout.budget.iter().any(is_limit)
                    && unavailable >= limit
                    && !holders.contains(device.name())
                    && holders.iter().all(is_out)
            }
            WaitingOn::MaxInFlight { limit, in_flight } => {
                let share = self.record.rollout.max_in_flight;
                let is_limit = share.is_some_and(|share| share.floor_of(count(members.len())).max(1) == *limit);
                is_limit && in_flight >= limit && !is_on_the_way(device)
            }
            _ => false,
        }
    }
}
