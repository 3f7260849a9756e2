//! What people decided about the rollout of a template, and what that needs before it starts.

use std::collections::BTreeSet;

use bellwether_schemas::manifest::{AnyManifest, Kind, Rollout};
use bellwether_schemas::{CommitId, DeviceName, FleetName, Sha256Digest};

use super::{Declared, TemplateAt, rollout_path};
use crate::plan::{Decisions, Landing, Unmet};
use crate::render::{Contents, lacking};

impl Declared {
    /// What signed Approvals and Expedites say about a template: those that name a landing at which the fleet's inputs are
    /// those of the template, or of one of the targets before that its rollout went on from. Of those, only the ones that
    /// differ in nothing but members count: see docs/decisions/0023.
    pub fn decisions(
        &self,
        template: &TemplateAt,
        earlier: &[Landing],
        number_of: impl Fn(&CommitId) -> Option<u64>,
    ) -> Decisions {
        let mut decisions = Decisions::default();
        // A number alone would name another landing where the history was replaced.
        let at = |target: &Landing| {
            let there = self.template_in_force(&template.name, target.number);
            there.filter(|there| there.landing == *target && there.is_content_of(template))
        };
        let mut inputs: BTreeSet<Sha256Digest> = earlier.iter().filter_map(at).map(|there| there.inputs).collect();
        inputs.insert(template.inputs);
        let is_it = |fleet: &FleetName, commit: &CommitId| {
            let there = number_of(commit).and_then(|number| self.template_in_force(fleet, number));
            *fleet == template.name && there.is_some_and(|there| inputs.contains(&there.inputs))
        };
        for (path, slot) in self.folder(Kind::Approval) {
            let Some(counting) = &slot.manifest else { continue };
            let AnyManifest::Approval(approval) = &*counting.manifest else { continue };
            let approval = &approval.spec;
            if !is_it(&approval.fleet, &approval.commit) {
                continue;
            }
            decisions.files.insert(path.to_owned());
            decisions.opened.extend(approval.open.iter().cloned());
            let resumed = approval.resume.map_or(0, |resume| u64::from(resume.failures));
            decisions.acknowledged = decisions.acknowledged.max(resumed);
            for device in approval.retry.iter().flat_map(|retry| &retry.devices) {
                let since = decisions.retried.entry(device.clone()).or_default();
                *since = counting.since.max(*since);
            }
        }
        for (path, manifest) in self.decisions_of(Kind::Expedite) {
            if let AnyManifest::Expedite(expedite) = manifest
                && is_it(&expedite.spec.fleet, &expedite.spec.commit)
            {
                decisions.files.insert(path.to_owned());
                decisions.expedited.extend(expedite.spec.skip.iter().copied());
            }
        }
        decisions
    }

    /// What the rollout of a template needs before it starts, and what of it is not there. `stable` says what has completed.
    pub fn unmet(
        &self,
        template: &TemplateAt,
        rollout: &Rollout,
        stable: impl Fn(&FleetName) -> Option<Landing>,
        contents: &mut Contents<'_>,
    ) -> Vec<Unmet> {
        let is_unmet = |fleet: &&FleetName| {
            let there = self.template_in_force(fleet, template.landing.number);
            let needed = there.or_else(|| self.fleets.get(*fleet).map(|line| &line.target));
            let has = stable(fleet).map(|stable| stable.number);
            needed.is_none_or(|needed| has.is_none_or(|has| has < needed.landing.number))
        };
        let fleets = rollout.after.iter().filter(is_unmet).cloned().map(Unmet::After);
        let files = lacking(template, contents).map(|(name, why)| Unmet::Artifact { name, why });
        self.unread_rollout(template).into_iter().chain(files).chain(fleets).collect()
    }

    /// That no version of the Rollout that judges a template could be read. To go by the defaults instead could leave out the
    /// gate or the window that somebody mistyped.
    fn unread_rollout(&self, template: &TemplateAt) -> Option<Unmet> {
        let line = self.fleets.get(&template.name)?;
        if !line.unread || line.target.landing != template.landing {
            return None;
        }
        let name = rollout_path(&template.name);
        let problem = self.slots.get(&name).and_then(|slot| slot.problems.first());
        let told = problem.map(|problem| {
            let line = problem.place.as_ref().map(|place| format!("line {}: ", place.line)).unwrap_or_default();
            format!(" ({line}{}, {})", problem.message, problem.code)
        });
        Some(Unmet::Artifact { name, why: format!("no version of it is valid{}", told.unwrap_or_default()) })
    }

    /// The commit at whose template a pin keeps a device.
    pub fn pin(&self, device: &DeviceName) -> Option<CommitId> {
        self.inventory.pin(device)
    }
}
