//! What the accepted history declares: a fold over verified landings.
//!
//! In: [`VerifiedLanding`]s, in order, and the objects they name. Out: manifests that count, fleets with their template
//! commits, devices with their labels. The cost of a landing grows with what it changed.

mod inputs;
mod inventory;
mod problems;
mod terms;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_schemas::diagnostic::Diagnostic;
use bellwether_schemas::manifest::{AnyManifest, Fleet, Hold, Kind, Resume, Rollout};
use bellwether_schemas::{DeviceName, FleetName, ObjectId, Sha256Digest, codes, yaml};
use rayon::prelude::*;

use crate::objects::{self, ObjectError, ObjectKind, ObjectSource};
use crate::plan::Landing;
use crate::verify::{PathChange, Planned, TreeEntry, VerifiedLanding};

use inputs::{facts_digest, inputs, members, source_paths};
pub(crate) use inventory::generated_from;
pub use inventory::{EntryKey, Facts, Inventory, Subject};
pub use problems::{changed_proof, unused_template};

/// A manifest file: what counts of it, and what is wrong with it.
#[derive(Debug, Clone)]
struct Slot {
    /// Its newest version that parses, from the introduction on.
    manifest: Option<Counting>,
    /// The problems of its version at the head. That counts nevertheless if it parses, but for what they say.
    problems: Arc<[Diagnostic]>,
}

/// The version of a manifest that counts.
#[derive(Debug, Clone)]
struct Counting {
    manifest: Arc<AnyManifest>,
    blob: ObjectId,
    /// The landing since which it decides what it does: the one that brought it, or that brought another version of which
    /// it only changes what decides nothing.
    since: u64,
}

/// A fleet's template at one template commit.
#[derive(Debug, Clone)]
pub struct TemplateAt {
    /// The fleet.
    pub name: FleetName,
    /// The template commit.
    pub landing: Landing,
    /// The fleet as its manifest had it there.
    pub fleet: Arc<Fleet>,
    /// The files that the template names, by path in the repository; those that are missing are not there.
    pub sources: BTreeMap<String, TreeEntry>,
    /// Digest of the fleet's inputs there.
    pub inputs: Sha256Digest,
}

/// A fleet at the head.
#[derive(Debug, Clone)]
pub struct FleetLine {
    /// Its newest template commit, which is its target.
    pub target: Arc<TemplateAt>,
    /// The Rollout that judges the target: at the target's first parent (at the target itself for a new fleet).
    pub rollout: Arc<Rollout>,
    /// Whether there was a file for that, of which no version could be read yet: then the target does not start, and the first
    /// version that can be read judges it.
    unread: bool,
    /// The devices, with the labels that place them into waves: at the same commit as `rollout`.
    pub judged: Arc<Inventory>,
    /// Digest of labels and variables of each member that git knows.
    members: BTreeMap<Subject, Sha256Digest>,
    /// The Rollout at the head: it judges the next target.
    rollout_at_head: Arc<Rollout>,
    unread_at_head: bool,
}

impl FleetLine {
    /// Whether one of the subjects that changed is a member, or becomes one.
    fn is_touched(&self, changed: &[(&Subject, Option<Facts>)]) -> bool {
        changed.iter().any(|(subject, facts)| {
            self.members.contains_key(*subject) || facts.as_ref().is_some_and(|facts| self.target.takes(subject, facts))
        })
    }

    /// The members once these subjects are what they are now.
    fn members_after(&self, changed: &[(&Subject, Option<Facts>)]) -> BTreeMap<Subject, Sha256Digest> {
        let mut members = self.members.clone();
        for (subject, facts) in changed {
            match facts.as_ref().filter(|facts| self.target.takes(subject, facts)) {
                Some(facts) => members.insert((*subject).clone(), facts_digest(facts)),
                None => members.remove(*subject),
            };
        }
        members
    }

    /// The Rollout at the head: it judges the next target.
    pub fn next_rollout(&self) -> &Arc<Rollout> {
        &self.rollout_at_head
    }

    /// Whether no version of the Rollout that judges the target could be read.
    pub const fn is_rollout_unread(&self) -> bool {
        self.unread
    }

    /// The members that git knows.
    pub fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.members.keys()
    }
}

/// A Resume that counts, and the landing that brought it.
#[derive(Debug, Clone, Copy)]
pub struct ResumeAt<'a> {
    /// What it says.
    pub resume: &'a Resume,
    /// The landing that brought it.
    pub since: u64,
}

/// The name of a file without its folder and its ending.
pub(crate) fn stem(path: &str) -> &str {
    let file = path.rsplit_once('/').map_or(path, |(_, file)| file);
    file.strip_suffix(".yaml").unwrap_or(file)
}

/// Where the Rollout of a fleet is.
fn rollout_path(fleet: &FleetName) -> String {
    format!("{}/{fleet}.yaml", Kind::Rollout.folder())
}

/// What a fleet's template is from a landing on; none where the fleet ended.
type Since = (u64, Option<Arc<TemplateAt>>);

/// What the accepted history declares at its head.
#[derive(Debug, Clone)]
pub struct Declared {
    head: Landing,
    slots: BTreeMap<String, Slot>,
    files: BTreeMap<String, TreeEntry>,
    inventory: Arc<Inventory>,
    fleets: BTreeMap<FleetName, FleetLine>,
    /// Every template commit of every fleet that ever was, oldest first, and the landings at which a fleet ended.
    templates: BTreeMap<FleetName, Vec<Since>>,
}

/// What would be declared by a change that has not landed: for people to look at, never to be offered.
#[derive(Debug, Clone)]
pub struct Proposal(Declared);

impl Proposal {
    /// What would be declared.
    pub const fn declared(&self) -> &Declared {
        &self.0
    }
}

impl Declared {
    /// What the introduction declares. It counts as changing the inputs of every fleet.
    ///
    /// # Errors
    /// When an object of the landing cannot be read.
    pub fn introduce(objects: &dyn ObjectSource, landing: &VerifiedLanding) -> Result<Self, ObjectError> {
        let mut declared = Self {
            head: Landing { commit: *landing.id(), number: landing.number() },
            slots: BTreeMap::new(),
            files: BTreeMap::new(),
            inventory: Arc::default(),
            fleets: BTreeMap::new(),
            templates: BTreeMap::new(),
        };
        declared.land(objects, landing)?;
        Ok(declared)
    }

    /// Takes the next landing. On an error nothing has changed.
    ///
    /// # Errors
    /// When an object of the landing cannot be read.
    pub fn land(&mut self, objects: &dyn ObjectSource, landing: &VerifiedLanding) -> Result<(), ObjectError> {
        self.take(objects, Landing { commit: *landing.id(), number: landing.number() }, landing.changes())
    }

    /// What would be declared after landings that nobody has judged.
    ///
    /// # Errors
    /// When an object of the change cannot be read.
    pub fn propose(&self, objects: &dyn ObjectSource, landings: &[Planned]) -> Result<Proposal, ObjectError> {
        let mut declared = self.clone();
        for Planned { commit, changes } in landings {
            let landing = Landing { commit: *commit, number: declared.head.number + 1 };
            declared.take(objects, landing, changes)?;
        }
        Ok(Proposal(declared))
    }

    fn take(&mut self, objects: &dyn ObjectSource, head: Landing, changes: &[PathChange]) -> Result<(), ObjectError> {
        let read = |change: &PathChange| match &change.after {
            Some(entry) => Ok((change.path.clone(), Some(parse(objects, &change.path, entry)?))),
            None => Ok((change.path.clone(), None)),
        };
        let manifests = changes.par_iter().filter(|change| is_manifest_folder(&change.path));
        let parsed: Vec<_> = manifests.map(read).collect::<Result<_, ObjectError>>()?;
        let parent = self.inventory.clone();
        self.head = head;

        let mut touched = Touched::default();
        for (path, outcome) in parsed {
            self.take_manifest(&path, outcome, &mut touched);
        }
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

    /// The head.
    pub fn head(&self) -> Landing {
        self.head
    }

    /// The devices that git knows.
    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    /// The fleets at the head.
    pub fn fleets(&self) -> &BTreeMap<FleetName, FleetLine> {
        &self.fleets
    }

    /// Manifests whose version at the head does not count, or not in all that it says, with their problems.
    pub fn invalid(&self) -> impl Iterator<Item = (&str, &[Diagnostic])> {
        self.slots
            .iter()
            .filter(|(_, slot)| !slot.problems.is_empty())
            .map(|(path, slot)| (path.as_str(), &*slot.problems))
    }

    /// The template of a fleet that was in force at a landing, also of a fleet that is gone since; none where it was gone.
    pub fn template_in_force(&self, fleet: &FleetName, landing: u64) -> Option<&Arc<TemplateAt>> {
        let line = self.templates.get(fleet)?;
        let after = line.partition_point(|(number, _)| *number <= landing);
        line.get(after.checked_sub(1)?)?.1.as_ref()
    }

    /// The fleets that select a device with these labels; where none does, the one that its own template makes.
    pub fn fleets_of(&self, device: &DeviceName, facts: &Facts) -> Vec<&FleetName> {
        let selects = |line: &FleetLine| line.target.fleet.selector.matches(&facts.labels);
        let selecting: Vec<_> = self.fleets.iter().filter(|(_, line)| selects(line)).map(|(name, _)| name).collect();
        if selecting.is_empty() {
            return self.fleets.get_key_value(&FleetName::of_device(device)).map(|(own, _)| own).into_iter().collect();
        }
        selecting
    }

    /// The problem of a device whose own template counts for nothing, because these fleets select it.
    pub fn unused_template(&self, device: &DeviceName, fleets: &[FleetName]) -> Option<Diagnostic> {
        let own = FleetName::of_device(device);
        let is_unused = self.fleets.contains_key(&own) && !fleets.is_empty() && !fleets.contains(&own);
        is_unused.then(|| unused_template(device, fleets))
    }

    /// The Holds that cover a fleet, with their paths. One whose every version is broken stops everything, closed as it fails.
    pub fn holds<'a>(&'a self, fleet: &'a FleetName) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.folder(Kind::Hold).filter_map(move |(path, slot)| match slot.manifest.as_ref().map(|m| &*m.manifest) {
            Some(AnyManifest::Hold(hold)) => hold.spec.covers(fleet).then_some((path, hold.spec.reason.as_str())),
            _ => Some((path, "this Hold cannot be read, so it stops every fleet")),
        })
    }

    /// The Resumes that count.
    pub fn resumes(&self) -> impl Iterator<Item = ResumeAt<'_>> {
        self.folder(Kind::Resume).filter_map(|(_, slot)| {
            let counting = slot.manifest.as_ref()?;
            match &*counting.manifest {
                AnyManifest::Resume(resume) => Some(ResumeAt { resume: &resume.spec, since: counting.since }),
                _ => None,
            }
        })
    }

    /// Every Hold, by path.
    pub fn all_holds(&self) -> impl Iterator<Item = (&str, &Hold)> {
        self.decisions_of(Kind::Hold).filter_map(|(path, manifest)| match manifest {
            AnyManifest::Hold(hold) => Some((path, &hold.spec)),
            _ => None,
        })
    }

    /// The manifest that counts at a path, and the landing since which it decides what it does.
    pub fn counting(&self, path: &str) -> Option<(&AnyManifest, u64)> {
        let counting = self.slots.get(path)?.manifest.as_ref()?;
        Some((&*counting.manifest, counting.since))
    }

    /// Every manifest that counts, by path.
    pub fn manifests(&self) -> impl Iterator<Item = (&str, &AnyManifest)> {
        self.slots.iter().filter_map(|(path, slot)| Some((path.as_str(), &*slot.manifest.as_ref()?.manifest)))
    }

    fn decisions_of(&self, kind: Kind) -> impl Iterator<Item = (&str, &AnyManifest)> {
        self.folder(kind).filter_map(|(path, slot)| Some((path, &*slot.manifest.as_ref()?.manifest)))
    }

    fn folder(&self, kind: Kind) -> impl Iterator<Item = (&str, &Slot)> {
        let prefix = format!("{}/", kind.folder());
        let after = format!("{}0", kind.folder()); // '0' follows '/' in ASCII
        self.slots.range(prefix..after).map(|(path, slot)| (path.as_str(), slot))
    }

    fn rollout_now(&self, fleet: &FleetName) -> Arc<Rollout> {
        if fleet.device().is_some() {
            return Arc::new(Rollout::of_one());
        }
        match self.slots.get(&rollout_path(fleet)).and_then(|slot| slot.manifest.as_ref()).map(|m| &*m.manifest) {
            Some(AnyManifest::Rollout(rollout)) => Arc::new(rollout.spec.clone()),
            _ => Arc::default(),
        }
    }

    /// Whether there is a Rollout, and no version of it could be read.
    fn is_rollout_unread(&self, fleet: &FleetName) -> bool {
        let slot = self.slots.get(&rollout_path(fleet)).filter(|_| fleet.device().is_none());
        slot.is_some_and(|slot| slot.manifest.is_none())
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

impl TemplateAt {
    /// Whether a subject with these facts is a member, as far as git knows.
    fn takes(&self, subject: &Subject, facts: &Facts) -> bool {
        match self.name.device() {
            Some(own) => matches!(subject, Subject::Device(device) if *device == own),
            None => self.fleet.selector.matches(&facts.labels),
        }
    }

    /// Whether both say the same, whoever their members are.
    fn is_content_of(&self, other: &Self) -> bool {
        self.fleet == other.fleet && self.sources == other.sources
    }

    fn names_any(&self, files: &BTreeSet<String>) -> bool {
        !files.is_empty() && source_paths(&self.fleet).any(|path| files.contains(path))
    }
}

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
