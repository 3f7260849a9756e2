//! Asks the planner, fleet by fleet, and takes its decisions into the world. Nothing here chooses anything.

use std::collections::BTreeSet;

use bellwether_core::admission::Domain;
use bellwether_core::objects::ObjectError;
use bellwether_core::plan::{
    FleetInput, FleetPlan, HoldNote, Landing, Member, Observed, Offer, Timing as Limits, plan_fleet,
};
use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::report::Report;
use bellwether_schemas::{DeviceName, FleetName};
use jiff::{SignedDuration, Timestamp};

use super::records::{due, next_sequence};
use super::{Device, Placement, World};
use crate::repository::Repository;
use crate::store::{OfferRow, RolloutRow};

/// When a fleet is planned again that could not be.
const PLAN_AGAIN: SignedDuration = SignedDuration::from_secs(10);

impl World {
    /// Plans every fleet for which something happened, and records what follows.
    pub fn plan(&mut self, domain: &Domain, now: Timestamp) {
        self.exclude(domain, now);
        self.tell_of_missing_commits(now);
        let Some(head) = self.repository.head() else {
            // Nothing is accepted, but a branch that was set back pauses those that are ahead of it.
            let touched = std::mem::take(&mut self.touched);
            return self.explain(&touched);
        };
        let declared = self.repository.declared().expect("there is a head, so something is declared");
        let gone: Vec<FleetName> =
            self.fleets.keys().filter(|fleet| !declared.fleets().contains_key(*fleet)).cloned().collect();
        for fleet in gone {
            self.fleets.remove(&fleet);
            self.change.records.remove(&fleet);
            self.records.remove(&fleet);
            self.change.removed.insert(fleet);
        }
        let names: Vec<FleetName> = declared.fleets().keys().cloned().collect();
        for name in names {
            let state = self.fleets.entry(name.clone()).or_default();
            if state.due || state.plan.is_none() || state.wake_at.is_some_and(|at| at <= now) {
                match self.plan_one(&name, head, now) {
                    Ok(plan) => self.take_plan(&name, plan, now),
                    Err(why) => self.plan_later(&name, &why, now),
                }
            }
        }
        let touched = std::mem::take(&mut self.touched);
        self.explain(&touched);
        self.withdraw_the_unfounded(&touched, now);
    }

    /// Withdraws offers that were not begun and that nothing stands behind: a device that no fleet selects keeps what it
    /// runs, and an offer that was made in a history which was given up must not be found any more.
    fn withdraw_the_unfounded(&mut self, touched: &BTreeSet<DeviceName>, now: Timestamp) {
        if self.repository.is_rewound() {
            return;
        }
        let unfounded = |device: &Device| {
            device.placement == Placement::Orphaned || device.standing_offer(&self.repository).is_none()
        };
        let unbegun = |device: &Device| {
            let offer = device.row.offer.as_ref().filter(|offer| offer.acknowledged_at.is_none());
            let changing = device.report().and_then(Report::changing);
            let runs = device.running().map(|claim| claim.version);
            let is_free = |version| changing != Some(version) && runs != Some(version);
            device.row.paused.is_none() && offer.is_some_and(|offer| is_free(offer.signed.version))
        };
        let touched = touched.iter().filter_map(|name| self.devices.get(name));
        let withdrawn = touched.filter(|device| unbegun(device) && unfounded(device));
        for name in withdrawn.map(|device| device.name().clone()).collect::<Vec<_>>() {
            self.withdraw(&name, now);
        }
    }

    /// Finds the devices that are out of every rollout, and why.
    fn exclude(&mut self, domain: &Domain, now: Timestamp) {
        for name in self.touched.clone() {
            let device = self.devices.get_mut(&name).expect("only known devices are touched");
            let identity = device.identity(domain);
            let wanted = &self.lookups.wanted;
            let excluded = match self.gone.of(&device.row) {
                Some(at) => Some(WaitingOn::Decommissioned { at }),
                None => device.exclusion(&self.repository, &identity, |commit| wanted.contains(commit)),
            };
            if device.row.paused != excluded {
                let told = device.row.binding().decommission;
                let before = std::mem::replace(&mut device.row.paused, excluded);
                if device.row.binding().decommission != told {
                    // What it was offered is withdrawn with this; taken back, it is offered anew.
                    device.row.offer = None;
                    self.backlog.add_first(name.clone());
                }
                let is_pause = |reason: Option<&WaitingOn>| matches!(reason, Some(WaitingOn::Paused { .. }));
                self.pauses_moved |= is_pause(before.as_ref()) || is_pause(device.row.paused.as_ref());
                self.unsaved.insert(name.clone());
                if let Some(fleet) = device.placement.fleet().cloned().and_then(|fleet| self.fleets.get_mut(&fleet)) {
                    fleet.due = true;
                }
                self.tell_of_pause(&name, before.as_ref(), now);
            }
        }
    }

    /// Leaves a fleet as it is for now: a file that could not be read this time is no failure of those who need it.
    fn plan_later(&mut self, name: &FleetName, why: &ObjectError, now: Timestamp) {
        tracing::warn!(fleet = %name, error = why as &dyn std::error::Error, "the fleet cannot be planned, and is tried again");
        let state = self.fleets.get_mut(name).expect("the fleet that was to be planned");
        state.wake_at = Some(now.checked_add(PLAN_AGAIN).unwrap_or(Timestamp::MAX));
        (state.due, state.unplanned) = (false, true);
    }

    fn plan_one(&mut self, name: &FleetName, head: Landing, now: Timestamp) -> Result<FleetPlan, ObjectError> {
        let declared = self.repository.declared().expect("a fleet is planned only when there is a head");
        let line = &declared.fleets()[name];
        let (target, rollout, judged) = (line.target.clone(), line.rollout.clone(), line.judged.clone());
        let holds: Vec<HoldNote> = declared
            .holds(name)
            .map(|(path, reason)| HoldNote { path: path.to_owned(), reason: reason.to_owned() })
            .collect();
        let history = self.repository.history().expect("what is declared has a history");
        let approved = declared.approved(name, |commit| history.number_of(commit));
        let state = &self.fleets[name];
        let stable = state.record.as_ref().and_then(|record| record.stable);
        // A number alone would name another landing where the history was replaced.
        let stable = stable.filter(|landing| history.number_of(&landing.commit) == Some(landing.number));
        let stable = stable.and_then(|landing| declared.template_in_force(name, landing.number)).cloned();

        let objects = self.repository.objects();
        let members: Vec<DeviceName> = state.members.iter().cloned().collect();
        let mut inputs = Vec::with_capacity(members.len());
        for member in &members {
            let device = self.devices.get_mut(member).expect("a member is a known device");
            let target = device.digest_of(&target, &objects, &mut self.blobs)?;
            let stable =
                stable.as_ref().map(|stable| device.digest_of(stable, &objects, &mut self.blobs)).transpose()?;
            let row = &device.row;
            // A device that git did not know there is placed by the labels it has now.
            let placing = judged.placing_labels(member, &row.enrollment, &row.entry);
            let wave_labels = placing.unwrap_or_else(|| device.facts.labels.clone());
            let next_version = device.next_version(head, &self.repository);
            let mut observed = observed(device, &self.repository);
            if self.backlog.contains(member)
                && let Some(offer) = &mut observed.offer
            {
                // It cannot be seen yet, so its time does not run.
                offer.offered_at = now;
            }
            inputs.push(Member { device: member.clone(), wave_labels, target, stable, next_version, observed });
        }
        Ok(plan_fleet(&FleetInput {
            fleet: name,
            target: target.landing,
            rollout: &rollout,
            members: &inputs,
            holds: &holds,
            approved: &approved,
            record: self.fleets[name].record.as_ref(),
            records_lost: self.fleets[name].lost || self.void.covers(target.landing.number),
            condition: self.repository.condition(),
            limits: Limits { now, stale_after: self.timing.stale_after, serving_since: self.timing.serving_since },
        }))
    }

    fn take_plan(&mut self, name: &FleetName, plan: FleetPlan, now: Timestamp) {
        for (device, decision) in &plan.decisions {
            self.execute(name, device, decision, now);
        }
        let state = self.fleets.get_mut(name).expect("a planned fleet has a state");
        if plan.changed {
            state.sequence = next_sequence(state.sequence, now);
            let record = serde_json::to_value(&plan.record).expect("a record has string keys");
            let row = RolloutRow { fleet: name.clone(), sequence: state.sequence, record };
            // A fleet that is back before its removal was stored is not removed.
            self.change.removed.remove(name);
            self.records.add(row.clone(), due(state.record.as_ref(), &plan, now));
            self.change.records.insert(name.clone(), row);
        }
        state.record = Some(plan.record.clone());
        state.wake_at = plan.wake_at;
        (state.due, state.unplanned, state.lost) = (false, false, false);
        state.plan = Some(plan);
    }

    /// Gives the devices that are in no plan their reason.
    fn explain(&mut self, touched: &BTreeSet<DeviceName>) {
        let is_declared = self.repository.declared().is_some();
        for name in touched {
            let device = self.devices.get_mut(name).expect("only known devices are touched");
            let excluded = device.row.paused.clone();
            match (&device.placement, excluded) {
                (_, Some(reason)) => device.reason = Some(reason),
                (_, None) if !is_declared => device.reason = None,
                (Placement::Orphaned, None) => device.reason = Some(WaitingOn::Orphaned),
                (Placement::Overlap(fleets), None) => {
                    device.reason = Some(WaitingOn::Overlap { fleets: fleets.clone() });
                }
                (Placement::Member(_), None) => {}
            }
        }
    }

    /// The fleets that exist at the head.
    pub(super) fn planned(&self) -> impl Iterator<Item = (&FleetName, &FleetPlan, &BTreeSet<DeviceName>)> {
        self.fleets.iter().filter_map(|(name, state)| Some((name, state.plan.as_ref()?, &state.members)))
    }
}

fn observed(device: &Device, repository: &Repository) -> Observed {
    let report = device.report();
    let failure = report.and_then(|report| report.failure.clone());
    let failed_at = failure.as_ref().and_then(|failure| repository.history()?.number_of(&failure.version?.commit));
    Observed {
        enrolled_at: device.row.enrolled_at,
        last_seen: device.row.last_seen,
        running: report.and_then(|report| report.running),
        applying: report.and_then(|report| report.applying),
        changing: report.and_then(Report::changing),
        health: report.map(|report| report.health).unwrap_or_default(),
        failure,
        failed_at,
        offer: device.standing_offer(repository).map(offer),
        last_progress: device.row.last_progress,
        paused: device.row.paused.clone(),
    }
}

fn offer(row: &OfferRow) -> Offer {
    Offer {
        version: row.signed.version,
        template: row.signed.template,
        digest: row.signed.digest,
        offered_at: row.offered_at,
        acknowledged_at: row.acknowledged_at,
    }
}
