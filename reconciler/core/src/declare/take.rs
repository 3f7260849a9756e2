//! A landing is taken in: its manifests are read and counted, and fleets whose inputs changed get a new template commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_schemas::diagnostic::Diagnostic;
use bellwether_schemas::manifest::{AnyManifest, Fleet, Kind};
use bellwether_schemas::{FleetName, ObjectId, Sha256Digest, codes, yaml};
use rayon::prelude::*;

use super::inputs::{facts_digest, inputs, members, source_paths};
use super::{Counting, Declared, Facts, FleetLine, Inventory, Slot, Subject, TemplateAt, changed_proof, stem};
use crate::objects::{self, ObjectError, ObjectKind, ObjectSource};
use crate::plan::Landing;
use crate::verify::{PathChange, TreeEntry};

/// So many manifests are read at a time, while those before them are taken in.
pub(super) const AT_A_TIME: usize = 256;

/// What a landing touched, as far as inputs go.
#[derive(Debug, Default)]
struct Touched {
    fleets: BTreeSet<FleetName>,
    rollouts: BTreeSet<FleetName>,
    files: BTreeSet<String>,
    /// Subjects whose facts may be others, or that came or went.
    subjects: BTreeSet<Subject>,
    /// Those of them without a name that there are now.
    unnamed: BTreeSet<Subject>,
}

struct Parsed {
    manifest: Result<AnyManifest, Vec<Diagnostic>>,
    blob: ObjectId,
}

/// What changes of manifests make of them; none where one is deleted.
fn read_all<'c>(
    objects: &dyn ObjectSource,
    changes: &[&'c PathChange],
) -> Result<Vec<(&'c str, Option<Parsed>)>, ObjectError> {
    let read = |change: &&'c PathChange| {
        let parsed = change.after.as_ref().map(|entry| parse(objects, &change.path, entry)).transpose()?;
        Ok((change.path.as_str(), parsed))
    };
    changes.par_iter().map(read).collect()
}

fn parse(objects: &dyn ObjectSource, path: &str, entry: &TreeEntry) -> Result<Parsed, ObjectError> {
    let blob = entry.id;
    if Kind::of_path(path).is_none() {
        let misplaced =
            Diagnostic::error(codes::UNEXPECTED_FILE, path, "only <name>.yaml belongs into a folder of manifests");
        return Ok(Parsed { manifest: Err(vec![misplaced]), blob });
    }
    let text = objects::read(objects, &blob, ObjectKind::Blob)?;
    Ok(Parsed { manifest: yaml::parse(path, &text), blob })
}

impl Declared {
    pub(super) fn take(
        &mut self,
        objects: &dyn ObjectSource,
        head: Landing,
        changes: &[PathChange],
    ) -> Result<(), ObjectError> {
        let manifests: Vec<_> = changes.iter().filter(|change| is_manifest_folder(&change.path)).collect();
        // What is read as a whole before anything is taken in needs no way back.
        let before = (manifests.len() > AT_A_TIME).then(|| self.clone());
        let parent = self.inventory.clone();
        let mut touched = match self.take_manifests(objects, head, &manifests) {
            Ok(touched) => touched,
            Err(error) => {
                before.into_iter().for_each(|before| *self = before);
                return Err(error);
            }
        };
        for change in changes.iter().filter(|change| is_content(&change.path)) {
            touched.files.insert(change.path.clone());
            match &change.after {
                Some(entry) => self.files.insert(change.path.clone(), *entry),
                None => self.files.remove(&change.path),
            };
        }
        self.take_inputs(&touched, &parent);
        Ok(())
    }

    /// Takes manifests in while those behind them are read.
    fn take_manifests(
        &mut self,
        objects: &dyn ObjectSource,
        head: Landing,
        manifests: &[&PathChange],
    ) -> Result<Touched, ObjectError> {
        let mut touched = Touched::default();
        let mut parts = manifests.chunks(AT_A_TIME);
        let mut read = read_all(objects, parts.next().unwrap_or_default())?;
        self.head = head;
        let mut take = |read: Vec<_>| {
            read.into_iter().for_each(|(path, outcome)| self.take_manifest(path, outcome, &mut touched));
        };
        for part in parts {
            let (next, ()) = rayon::join(|| read_all(objects, part), || take(read));
            read = next?;
        }
        take(read);
        Ok(touched)
    }

    fn take_manifest(&mut self, path: &str, outcome: Option<Parsed>, touched: &mut Touched) {
        match outcome {
            None => {
                self.slots.remove(path);
            }
            Some(Parsed { manifest: Ok(manifest), blob }) => {
                let before = self.slots.get(path).and_then(|slot| slot.manifest.as_ref());
                let since = before.filter(|before| decides_the_same(&before.manifest, &manifest));
                let since = since.map_or(self.head.number, |before| before.since);
                let counting = Counting { manifest: Arc::new(manifest), blob, since };
                self.slots.insert(path.to_owned(), Slot { manifest: Some(counting), problems: Arc::default() });
            }
            Some(Parsed { manifest: Err(problems), .. }) => {
                // What counts stays what it was, so nothing that depends on it is touched; but for a Rollout of which nothing counts.
                let slot =
                    self.slots.entry(path.to_owned()).or_insert(Slot { manifest: None, problems: Arc::default() });
                slot.problems = problems.into();
                if slot.manifest.is_none() && Kind::of_path(path) == Some(Kind::Rollout) {
                    touched.rollouts.extend(stem(path).parse::<FleetName>());
                }
                return;
            }
        }
        let stem = stem(path);
        let manifest = self.slots.get(path).and_then(|slot| slot.manifest.as_ref()).map(|m| m.manifest.clone());
        match Kind::of_path(path) {
            Some(Kind::Fleet) => {
                touched.fleets.extend(stem.parse::<FleetName>());
            }
            Some(Kind::Device) => {
                if let Ok(name) = stem.parse() {
                    let spec = manifest.as_deref().and_then(|m| match m {
                        AnyManifest::Device(device) => Some(&device.spec),
                        _ => None,
                    });
                    Arc::make_mut(&mut self.inventory).state_device(&name, spec);
                    touched.fleets.insert(FleetName::of_device(&name));
                    touched.subjects.insert(Subject::Device(name));
                }
            }
            Some(Kind::Enrollment) => {
                if let Ok(name) = stem.parse() {
                    let spec = manifest.as_deref().and_then(|m| match m {
                        AnyManifest::Enrollment(enrollment) => Some(&enrollment.spec),
                        _ => None,
                    });
                    let changed = spec.into_iter().flat_map(|spec| self.inventory.changed_proofs(&name, spec));
                    let problems: Arc<[Diagnostic]> =
                        changed.map(|(id, proof)| changed_proof(path, id, &proof)).collect();
                    if let Some(slot) = self.slots.get_mut(path) {
                        slot.problems = problems;
                    }
                    touched.subjects.extend(self.inventory.subjects_of(&name));
                    Arc::make_mut(&mut self.inventory).state_enrollment(&name, spec, self.head.number);
                    let after = self.inventory.subjects_of(&name);
                    touched
                        .unnamed
                        .extend(after.iter().filter(|subject| matches!(subject, Subject::Unnamed(..))).cloned());
                    touched.subjects.extend(after);
                }
            }
            Some(Kind::Rollout) => {
                touched.rollouts.extend(stem.parse::<FleetName>());
            }
            Some(Kind::TrustPolicy | Kind::Approval | Kind::Hold | Kind::Expedite | Kind::Resume) | None => {}
        }
    }

    /// Finds the fleets whose inputs differ from those at the first parent, and gives them their new template commit.
    fn take_inputs(&mut self, touched: &Touched, parent: &Arc<Inventory>) {
        // What they are now; none where there is no such subject any more. Without fleets there is nothing that they touch.
        let subjects = touched.subjects.par_iter().filter(|_| !self.fleets.is_empty());
        let changed: Vec<(&Subject, Option<Facts>)> = subjects
            .map(|subject| {
                let is_there = match subject {
                    Subject::Device(device) => self.inventory.has_device(device),
                    Subject::Unnamed(..) => touched.unnamed.contains(subject),
                };
                (subject, is_there.then(|| self.inventory.subject_facts(subject)))
            })
            .collect();
        let candidates = self.candidates(touched, &changed);
        let anew = candidates.iter().filter(|name| name.device().is_none());
        let anew: BTreeMap<FleetName, Arc<Fleet>> = anew
            .filter_map(|name| Some((name.clone(), self.fleet_at_head(name)?.0)))
            .filter(|(name, fleet)| {
                !self.fleets.get(name).is_some_and(|line| line.target.fleet.selector == fleet.selector)
            })
            .collect();
        let mut anew_members = members(&anew, &self.inventory);
        for name in candidates {
            let Some((fleet, blob)) = self.fleet_at_head(&name) else {
                if self.fleets.remove(&name).is_some() {
                    self.templates.entry(name).or_default().push((self.head.number, None));
                }
                continue;
            };
            let known = self.fleets.get(&name);
            let members = match known {
                Some(line) if line.target.fleet.selector == fleet.selector => line.members_after(&changed),
                _ => match name.device().map(Subject::Device) {
                    Some(device) => self.only_member(device),
                    None => anew_members.remove(&name).unwrap_or_default(),
                },
            };
            let sources = self.sources(&fleet);
            let inputs = inputs(&blob, &sources, &members);
            // The rollout that stands beside a known fleet here is still the first parent's.
            let (rollout, unread, judged) = match known {
                Some(line) if line.target.inputs == inputs => continue,
                Some(line) => (line.rollout_at_head.clone(), line.unread_at_head, parent.clone()),
                None => (self.rollout_now(&name), self.is_rollout_unread(&name), self.inventory.clone()),
            };
            let target = Arc::new(TemplateAt { name: name.clone(), landing: self.head, fleet, sources, inputs });
            self.templates.entry(name.clone()).or_default().push((self.head.number, Some(target.clone())));
            let rollout_at_head = self.rollout_now(&name);
            let unread_at_head = self.is_rollout_unread(&name);
            let line = FleetLine { target, rollout, unread, judged, members, rollout_at_head, unread_at_head };
            self.fleets.insert(name, line);
        }
        for name in &touched.rollouts {
            let (rollout, unread) = (self.rollout_now(name), self.is_rollout_unread(name));
            if let Some(line) = self.fleets.get_mut(name) {
                if line.unread && !unread {
                    (line.rollout, line.unread) = (rollout.clone(), false);
                }
                (line.rollout_at_head, line.unread_at_head) = (rollout, unread);
            }
        }
    }

    /// The fleets whose inputs the landing may have changed.
    fn candidates(&self, touched: &Touched, changed: &[(&Subject, Option<Facts>)]) -> BTreeSet<FleetName> {
        let all =
            self.fleets.iter().filter(|(_, line)| line.is_touched(changed) || line.target.names_any(&touched.files));
        all.map(|(name, _)| name).chain(&touched.fleets).cloned().collect()
    }

    /// A fleet as its manifest, or the Device whose own template makes it, has it at the head.
    fn fleet_at_head(&self, name: &FleetName) -> Option<(Arc<Fleet>, ObjectId)> {
        let counting = self.slots.get(&name.path())?.manifest.as_ref()?;
        let fleet = match &*counting.manifest {
            AnyManifest::Fleet(fleet) => fleet.spec.clone(),
            AnyManifest::Device(device) => Fleet::of_one(device.spec.template.clone()?),
            _ => return None,
        };
        Some((Arc::new(fleet), counting.blob))
    }

    /// The members of the fleet that the device's own template makes.
    fn only_member(&self, device: Subject) -> BTreeMap<Subject, Sha256Digest> {
        let facts = facts_digest(&self.inventory.subject_facts(&device));
        BTreeMap::from([(device, facts)])
    }

    fn sources(&self, fleet: &Fleet) -> BTreeMap<String, TreeEntry> {
        source_paths(fleet).filter_map(|path| Some((path.to_owned(), *self.files.get(path)?))).collect()
    }
}

/// Whether a Hold holds the same fleets as before, or a Device has the pin that it had.
fn decides_the_same(before: &AnyManifest, now: &AnyManifest) -> bool {
    match (before, now) {
        (AnyManifest::Hold(before), AnyManifest::Hold(now)) => before.spec.scope() == now.spec.scope(),
        (AnyManifest::Device(before), AnyManifest::Device(now)) => before.spec.pin == now.spec.pin,
        _ => false,
    }
}

/// Whether `path` lies in a folder of manifests and is meant to be one.
fn is_manifest_folder(path: &str) -> bool {
    let Some((folder, rest)) = path.split_once('/') else { return false };
    let file = rest.rsplit('/').next().unwrap_or(rest);
    Kind::ALL.iter().any(|kind| kind.folder() == folder) && !matches!(file, "README.md" | ".gitkeep")
}

fn is_content(path: &str) -> bool {
    path.starts_with("files/") || path.starts_with("artifacts/")
}
