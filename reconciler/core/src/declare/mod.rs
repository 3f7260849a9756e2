//! What the accepted history declares: a fold over verified landings.
//!
//! In: [`VerifiedLanding`]s, in order, and the objects they name. Out: manifests that count, fleets with their template
//! commits, devices with their labels. The cost of a landing grows with what it changed.

mod inputs;
mod inventory;
mod problems;
mod take;
mod terms;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_schemas::diagnostic::Diagnostic;
use bellwether_schemas::manifest::{AnyManifest, Fleet, Hold, Kind, Resume, Rollout};
use bellwether_schemas::{DeviceName, FleetName, ObjectId, Sha256Digest};

use crate::objects::{ObjectError, ObjectSource};
use crate::plan::Landing;
use crate::verify::{Planned, TreeEntry, VerifiedLanding};

use inputs::{facts_digest, source_paths};
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
