//! Asks the planner, fleet by fleet, and takes its decisions into the world. Nothing here chooses anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_core::admission::Domain;
use bellwether_core::declare::{Inventory, TemplateAt};
use bellwether_core::objects::ObjectError;
use bellwether_core::plan::{
    BRAKE, Changed, Good, HoldNote, Landing, Member, Observed, Offer, Pinned, Plan, Planner, RolloutRecord, Terms,
    Timing as Limits, Unmet, Unsound, rolls,
};
use bellwether_core::render::Contents;
use bellwether_schemas::report::Report;
use bellwether_schemas::{CommitId, DeviceName, FleetName};
use jiff::{SignedDuration, Timestamp};

use super::backlog::Backlog;
use super::milestones::Milestones;
use super::records::{LEISURE, next_sequence};
use super::{Device, Placement, World};
use crate::repository::Repository;
use crate::store::{OfferRow, RolloutRow};

/// How often a plan may make room for another one of the same fleet in one pass.
const MORE_PLANS: usize = 2;
/// When a fleet is planned again that could not be.
pub(super) const PLAN_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// Why a fleet has no new plan.
#[derive(Debug, thiserror::Error)]
enum Unplanned {
    #[error(transparent)]
    Unsound(#[from] Unsound),
    #[error(transparent)]
    Unread(#[from] ObjectError),
}

impl World {
    /// Plans every fleet for which something happened, and records what follows.
    pub fn plan(&mut self, domain: &Domain, now: Timestamp) {
        self.exclude(domain, now);
        self.tell_of_missing_commits(now);
        let Some(head) = self.repository.head() else {
            // Nothing is accepted, but a branch that was set back pauses those that are ahead of it.
            self.touched.clear();
            return;
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
        let mut names: Vec<FleetName> = declared.fleets().keys().cloned().collect();
        // A fleet that completes may be what others wait for.
        while !names.is_empty() {
            let completed: Vec<FleetName> =
                names.into_iter().filter(|name| self.plan_if_due(name, head, now)).collect();
            names = self.waiting_for(&completed);
        }
        let touched = std::mem::take(&mut self.touched);
        self.withdraw_the_unfounded(&touched, now);
    }

    /// The fleets whose rollouts wait for one of these; they are planned anew.
    fn waiting_for(&mut self, completed: &[FleetName]) -> Vec<FleetName> {
        let is_awaited = |unmet: &Unmet| matches!(unmet, Unmet::After(fleet) if completed.contains(fleet));
        let waits = |planner: &Planner| planner.terms().unmet.iter().any(is_awaited);
        let waiting = self.fleets.iter_mut().filter(|(_, fleet)| fleet.planner.as_ref().is_some_and(waits));
        waiting
            .map(|(name, fleet)| {
                fleet.anew = true;
                name.clone()
            })
            .collect()
    }

    /// Plans a fleet if something happened that its plan may depend on. Whether its target became stable by that.
    fn plan_if_due(&mut self, name: &FleetName, head: Landing, now: Timestamp) -> bool {
        let state = self.fleets.entry(name.clone()).or_default();
        let before = state.rollout().and_then(|record| record.stable);
        // A plan can make room for another one: a newer commit waited for this rollout to end, or what members were healthy on
        // has to be rendered.
        for _ in 0..=MORE_PLANS {
            let state = &self.fleets[name];
            if !state.is_due(now) {
                break;
            }
            let (target, anew) = (state.rollout().map(|record| record.target), state.is_anew());
            let milestones = state.rollout().map(Milestones::of);
            let planned = if anew { self.plan_anew(name, head, now) } else { self.plan_on(name, head, now) };
            match planned {
                Ok(plan) => {
                    self.tell_of_rollout(name, milestones, now);
                    self.take_plan(name, plan, now);
                    // Before another plan, which may be refused: what this one decided is recorded.
                    self.store_notes(name, now);
                }
                Err(Unplanned::Unsound(why)) => self.refuse(name, &why, now),
                Err(Unplanned::Unread(why)) => self.plan_later(name, &why, now),
            }
            self.plan_again(name, target);
        }
        self.store_notes(name, now);
        let state = &self.fleets[name];
        let after = state.rollout().and_then(|record| record.stable);
        before != after && !state.recall
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

    /// Has a fleet planned again, if its plan made room for another one; `before` was its target.
    fn plan_again(&mut self, name: &FleetName, before: Option<Landing>) {
        let newest = self.repository.declared().and_then(|declared| declared.fleets().get(name));
        let newest = newest.map(|line| line.target.landing.commit);
        let Some(state) = self.fleets.get_mut(name) else { return };
        let Some(planner) = &state.planner else { return };
        let record = planner.rollout();
        let waited = newest.is_some_and(|newest| newest != record.target.commit);
        let ended = record.is_complete() || record.halted.is_some();
        state.anew |= (waited && ended) || (before != Some(record.target) && planner.lacks_good());
    }

    /// Leaves a fleet as it is for now: a file that could not be read this time is no failure of those who need it.
    fn plan_later(&mut self, name: &FleetName, why: &ObjectError, now: Timestamp) {
        tracing::warn!(fleet = %name, error = why as &dyn std::error::Error, "the fleet cannot be planned, and is tried again");
        let state = self.fleets.get_mut(name).expect("the fleet that was to be planned");
        state.wake_at = Some(now.checked_add(PLAN_AGAIN).unwrap_or(Timestamp::MAX));
        (state.due, state.anew, state.unplanned) = (false, true, true);
    }

    /// Plans a fleet with what changed about its members.
    fn plan_on(&mut self, name: &FleetName, head: Landing, now: Timestamp) -> Result<Plan, Unplanned> {
        let timing = self.limits(now);
        let state = self.fleets.get_mut(name).expect("the fleet that is to be planned");
        let planner = state.planner.as_mut().expect("it was planned before");
        for member in std::mem::take(&mut state.fresh) {
            if let Some(device) = self.devices.get(&member) {
                let revision = device.next_version(head, &self.repository).map(|version| version.revision);
                planner.observe(&member, revision, observed(device, &self.repository, &self.backlog));
            }
        }
        Ok(planner.plan(timing)?)
    }

    /// Plans all of a fleet.
    fn plan_anew(&mut self, name: &FleetName, head: Landing, now: Timestamp) -> Result<Plan, Unplanned> {
        let timing = self.limits(now);
        let terms = self.terms(name, head)?;
        let templates = self.templates(name, terms.target);
        let state = &self.fleets[name];
        let members: Vec<DeviceName> = state.members.iter().cloned().collect();
        let mut rendered = Vec::with_capacity(members.len());
        for member in &members {
            rendered.push(self.member(name, member, &templates)?);
        }
        let state = self.fleets.get_mut(name).expect("the fleet that is to be planned");
        state.fresh.clear();
        match &mut state.planner {
            Some(planner) => Ok(planner.replan(terms, rendered, timing)?),
            None => {
                let (planner, plan) = Planner::begin(terms, rendered, state.loaded.take(), timing);
                state.planner = Some(planner);
                Ok(plan?)
            }
        }
    }

    /// What git and people say about a fleet.
    fn terms(&mut self, name: &FleetName, head: Landing) -> Result<Terms, ObjectError> {
        let objects = self.repository.objects();
        let declared = self.repository.declared().expect("a fleet is planned only when there is a head");
        let history = self.repository.history().expect("what is declared has a history");
        let number_of = |commit: &CommitId| history.number_of(commit);
        let (line, state) = (&declared.fleets()[name], &self.fleets[name]);
        let record = state.rollout();
        let stable = record.and_then(|record| declared.template_in_force(name, record.stable?.number));
        let newest = &line.target;
        let expedited = || !declared.decisions(newest, &[], number_of).expedited.is_empty();
        let waits_for_nothing = stable.is_some_and(|stable| stable.inputs == newest.inputs) || expedited();
        let target = rolls(record, newest.landing, waits_for_nothing);
        let template = declared.template_in_force(name, target.number).unwrap_or(newest);
        let has_begun = |record: &&RolloutRecord| !record.waves.is_empty() || record.is_complete();
        let rollout = match record.filter(|record| record.target.commit == target.commit).filter(has_begun) {
            Some(record) => Arc::new(record.rollout.clone()),
            None => line.rollout.clone(),
        };
        let earlier: Vec<Landing> =
            record.iter().flat_map(|record| record.earlier.iter().chain([&record.target])).copied().collect();
        let completed = |fleet: &FleetName| self.fleets.get(fleet).filter(|fleet| !fleet.recall)?.rollout()?.stable;
        let holds = declared.holds(name).map(|(path, reason)| {
            let since = self.repository.decided_at(path).map(|landing| landing.committed);
            HoldNote { path: path.to_owned(), reason: reason.to_owned(), since }
        });
        let local = self.local.of(name).map(|hold| HoldNote {
            path: BRAKE.to_owned(),
            reason: hold.reason.clone(),
            since: Some(hold.since),
        });
        let holds = local.into_iter().chain(holds).collect();
        let unmet = declared.unmet(template, &rollout, completed, &mut Contents::new(&objects, &mut self.blobs));
        Ok(Terms {
            fleet: name.clone(),
            target: template.landing,
            head,
            holds,
            decisions: declared.decisions(template, &[], number_of),
            kept: declared.decisions(template, &earlier, number_of),
            unmet,
            rollout,
            records_lost: state.lost || self.void.covers(template.landing.number),
            condition: self.repository.condition().clone(),
        })
    }

    /// The templates that the members of a fleet may run, and the devices that place them.
    fn templates(&self, name: &FleetName, target: Landing) -> Templates {
        let declared = self.repository.declared().expect("a fleet is planned only when there is a head");
        let history = self.repository.history().expect("what is declared has a history");
        let line = &declared.fleets()[name];
        // A number alone would name another landing where the history was replaced.
        let in_force = |landing: Landing| {
            let is_known = history.number_of(&landing.commit) == Some(landing.number);
            declared.template_in_force(name, landing.number).filter(|_| is_known).cloned()
        };
        let stable = self.fleets[name].rollout().and_then(|record| record.stable);
        Templates {
            target: in_force(target).unwrap_or_else(|| line.target.clone()),
            stable: stable.and_then(in_force),
            judged: line.judged.clone(),
        }
    }

    fn member(&mut self, fleet: &FleetName, name: &DeviceName, templates: &Templates) -> Result<Member, ObjectError> {
        let objects = self.repository.objects();
        let declared = self.repository.declared().expect("a fleet is planned only when there is a head");
        let history = self.repository.history().expect("what is declared has a history");
        let device = self.devices.get_mut(name).expect("a member is a known device");
        let target = device.digest_of(&templates.target, &objects, &mut self.blobs)?;
        let stable = templates.stable.as_ref();
        let stable = stable.map(|stable| device.digest_of(stable, &objects, &mut self.blobs)).transpose()?;
        let good = self.fleets[fleet].note(name).and_then(|note| note.good.as_deref());
        let good = good.and_then(|good| declared.template_in_force(fleet, good.template.number));
        let good = good.map(|good| device.digest_of(good, &objects, &mut self.blobs)).transpose()?;
        let pin = declared.pin(name).map(|commit| {
            let number = history.number_of(&commit).ok_or("the commit is not in the accepted history".to_owned());
            let template = number.and_then(|number| {
                declared.template_in_force(fleet, number).ok_or_else(|| format!("there was no fleet {fleet} then"))
            });
            (commit, template)
        });
        let pin = match pin {
            None => None,
            Some((commit, Err(why))) => Some(Pinned { commit, spec: Err(why) }),
            Some((commit, Ok(template))) => {
                let digest = device.digest_of(template, &objects, &mut self.blobs)?;
                let spec = digest.map(|digest| Good { template: template.landing, digest });
                Some(Pinned { commit, spec })
            }
        };
        let row = &device.row;
        // A device that git did not know there is placed by the labels it has now.
        let placing = templates.judged.placing_labels(name, &row.enrollment, &row.entry);
        let wave_labels =
            placing.filter(|labels| *labels != *device.labels).map_or_else(|| device.labels.clone(), Arc::new);
        let head = declared.head();
        Ok(Member {
            device: name.clone(),
            labels: device.labels.clone(),
            wave_labels,
            target,
            stable,
            good: good.and_then(Result::ok),
            pin,
            revision: device.next_version(head, &self.repository).map(|version| version.revision),
            observed: observed(device, &self.repository, &self.backlog),
        })
    }

    fn limits(&self, now: Timestamp) -> Limits {
        Limits {
            now,
            stale_after: self.timing.stale_after,
            // Who lost the session is back within one more heartbeat.
            reconnect_grace: self.timing.heartbeat,
            serving_since: self.timing.serving_since,
            heard_before: self.heard_before,
        }
    }

    fn take_plan(&mut self, name: &FleetName, plan: Plan, now: Timestamp) {
        for (device, action) in plan.actions {
            self.execute(name, &device, action, now);
            if let Some(state) = self.fleets.get_mut(name) {
                // What became of it is known with the next plan.
                state.fresh.insert(device);
            }
        }
        let state = self.fleets.get_mut(name).expect("a planned fleet has a state");
        state.wake_at = plan.wake_at;
        (state.due, state.anew, state.unplanned, state.lost, state.refused) = (false, false, false, false, None);
        state.notes_due = match plan.changed {
            Changed::Nothing => state.notes_due,
            Changed::Members => state.notes_due.or(Some(now.saturating_add(LEISURE).unwrap_or(Timestamp::MAX))),
            Changed::Rollout => Some(now),
        };
    }

    /// Has the record of a fleet stored, if it must be by now.
    fn store_notes(&mut self, name: &FleetName, now: Timestamp) {
        let Some(state) = self.fleets.get_mut(name).filter(|state| state.notes_due.is_some_and(|at| at <= now)) else {
            return;
        };
        let Some(planner) = &state.planner else { return };
        state.notes_due = None;
        state.sequence = next_sequence(state.sequence, now);
        let record = serde_json::to_value(planner.record()).expect("a record has string keys");
        let row = RolloutRow { fleet: name.clone(), sequence: state.sequence, record };
        // A fleet that is back before its removal was stored is not removed.
        self.change.removed.remove(name);
        self.records.add(row.clone(), now);
        self.change.records.insert(name.clone(), row);
    }

    /// The fleets that exist at the head.
    pub(super) fn planned(&self) -> impl Iterator<Item = (&FleetName, &Planner, &BTreeSet<DeviceName>)> {
        self.fleets.iter().filter_map(|(name, state)| Some((name, state.planner.as_ref()?, &state.members)))
    }
}

/// The templates that the members of a fleet may run.
struct Templates {
    target: Arc<TemplateAt>,
    stable: Option<Arc<TemplateAt>>,
    /// The devices, with the labels that place them into waves.
    judged: Arc<Inventory>,
}

fn observed(device: &Device, repository: &Repository, backlog: &Backlog) -> Observed {
    let report = device.report();
    let failure = report.and_then(|report| report.failure.clone());
    let failed_at = failure.as_ref().and_then(|failure| repository.history()?.number_of(&failure.version?.commit));
    Observed {
        enrolled_at: device.row.enrolled_at,
        last_seen: device.row.last_seen,
        running: report.and_then(|report| report.running),
        applying: report.and_then(|report| report.applying).map(Box::new),
        changing: report.and_then(Report::changing).is_some(),
        health: report.map(|report| report.health).unwrap_or_default(),
        failure: failure.map(Box::new),
        failed_at,
        offer: device.standing_offer(repository).map(|row| offer(row, !backlog.contains(device.name()))),
        last_progress: device.row.last_progress,
        paused: device.row.paused.clone().map(Box::new),
    }
}

fn offer(row: &OfferRow, is_visible: bool) -> Offer {
    Offer {
        version: row.signed.version,
        template: row.signed.template,
        digest: row.signed.digest,
        offered_at: row.offered_at,
        is_visible,
        not_before: row.signed.not_before,
        not_after: row.signed.not_after,
        acknowledged_at: row.acknowledged_at,
    }
}
