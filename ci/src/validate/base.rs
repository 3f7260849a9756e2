//! What the branch declares into which a change is to be merged: the reconciler knows what no file says any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_core::admission::Proof;
use bellwether_core::declare::{Declared, Inventory, Subject};
use bellwether_core::verify::VerifiedHistory;
use bellwether_schemas::manifest::{AnyManifest, Kind, Rollout};
use bellwether_schemas::yaml::FieldPath;
use bellwether_schemas::{CommitId, DeviceName, EnrollmentName, EntryId, FleetName, codes};

use super::finding::Finding;
use super::manifests::Manifests;
use crate::devices::Known;
use crate::failure::Failure;
use crate::history::{HistoryOptions, Verifier};
use crate::repo::WorkingCopy;

/// The base of a change.
pub(crate) struct Base {
    pub(crate) commit: CommitId,
    pub(crate) verifier: Arc<Verifier>,
    /// What leads to it, or why that does not count.
    pub(crate) history: Result<VerifiedHistory, Failure>,
}

impl Base {
    pub(super) fn of(copy: &WorkingCopy, commit: CommitId) -> Result<Self, Failure> {
        let verifier = Verifier::of(copy, &commit, &HistoryOptions::default())?;
        let history = verifier.up_to(&commit);
        Ok(Self { commit, verifier: Arc::new(verifier), history })
    }

    /// What it declares, where it counts.
    pub(super) fn declared(&self) -> Result<Option<Declared>, Failure> {
        self.history.as_ref().ok().map(|history| self.verifier.fold(history)).transpose()
    }
}

/// What proves an entry for as long as it is known, also where no file lists it any more.
pub(super) fn proof<'d>(declared: &'d Declared, enrollment: &EnrollmentName, id: &EntryId) -> Option<&'d Proof> {
    declared.inventory().admissions().proof_of(&(enrollment.clone(), id.clone()))
}

/// Brings the devices that the working tree names to what the reconciler will know of them, and adds those of which only the
/// history tells: the lines of the tokens they came with were deleted since.
pub(super) fn remember(declared: &Declared, manifests: &Manifests, mut devices: Vec<Known>) -> Vec<Known> {
    let unread = |path: &str| manifests.texts.contains_key(path) && !manifests.parsed.contains_key(path);
    // What cannot be read does not end what its newest version that could says.
    let counting = declared.manifests().filter(|(path, _)| unread(path)).map(|(_, manifest)| manifest);
    let known = declared.inventory().with(manifests.parsed.values().chain(counting), declared.head().number + 1);
    for device in devices.iter_mut().filter(|device| device.is_named) {
        device.facts = known.subject_facts(&Subject::Device(device.name.clone()));
    }
    let forgotten = forgotten(&known, manifests, &devices);
    devices.extend(forgotten);
    devices
}

/// The devices of entries that no file lists, and that nobody revoked.
fn forgotten(known: &Inventory, manifests: &Manifests, devices: &[Known]) -> Vec<Known> {
    let named: BTreeSet<&DeviceName> =
        devices.iter().filter(|device| device.is_named).map(|device| &device.name).collect();
    let unnamed = devices.iter().filter(|device| !device.is_named);
    let mut unnamed: BTreeSet<_> = unnamed.map(|device| (device.name.clone(), device.facts.labels.clone())).collect();
    let listed: BTreeSet<(&EnrollmentName, &EntryId)> = manifests
        .enrollments()
        .flat_map(|(_, name, spec)| {
            let tokens = spec.tokens.iter().map(|token| &token.id);
            tokens.chain(spec.approved.iter().map(|key| &key.id)).map(move |id| (name, id))
        })
        .collect();
    let admissions = known.admissions();
    let gone =
        known.entries().filter(|(key, _)| !listed.contains(&(&key.0, &key.1)) && !admissions.is_entry_revoked(key));
    let mut found: Vec<Known> = Vec::new();
    for (key @ (enrollment, id), device) in gone {
        let Some(device) = device else {
            let Some(name) = Known::made_name(enrollment) else { continue };
            let facts = known.facts(&name, enrollment, id);
            if unnamed.insert((name.clone(), facts.labels.clone())) {
                let shown = format!("a device that enrolled by {enrollment}");
                found.push(Known { shown, name, facts, is_listed: true, is_named: false });
            }
            continue;
        };
        let is_out = admissions.is_device_revoked(device) || admissions.is_decommissioned(device);
        if named.contains(device) || is_out || admissions.entry_of(device) != Some(key) {
            continue;
        }
        let facts = known.subject_facts(&Subject::Device(device.clone()));
        found.push(Known { shown: device.to_string(), name: device.clone(), facts, is_listed: true, is_named: true });
    }
    found
}

/// Rollouts that are deleted while their fleets stay: nothing holds on to what they said.
pub(super) fn rollouts_lost(declared: &Declared, manifests: &Manifests) -> Vec<Finding> {
    let lost = declared.manifests().filter_map(|(path, manifest)| match manifest {
        AnyManifest::Rollout(rollout) if !manifests.texts.contains_key(path) && rollout.spec != Rollout::default() => {
            Some((path, &rollout.metadata.name))
        }
        _ => None,
    });
    lost.filter(|(_, fleet)| manifests.has_fleet(fleet)).map(|(path, fleet)| rollout_lost(path, fleet)).collect()
}

fn rollout_lost(path: &str, fleet: &FleetName) -> Finding {
    let waves: Vec<_> = Rollout::default()
        .waves
        .iter()
        .map(|wave| format!("{} {}", wave.name, wave.percent.map(|percent| format!("{percent}%")).unwrap_or_default()))
        .collect();
    let message = format!(
        "this Rollout is deleted and its fleet {fleet} is not: what comes with this change still goes by it, and every later \
         change by the defaults ({}; no gate, window or budget)",
        waves.join(", ")
    );
    let hint =
        format!("keep {}/{fleet}.yaml, or delete {} too if the fleet is to end", Kind::Rollout.folder(), fleet.path());
    Finding::warning(codes::ROLLOUT_LOST, path, FieldPath::default(), message).hint(hint)
}
