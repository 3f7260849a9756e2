//! Changes the device from one spec to another: all or nothing, at any power cut.
//!
//! Everything that shall be placed lies in the content store first. Then `journal.json` says what is there, what shall be there
//! and which of the two is the goal, and [`drive`](Applier::drive) brings the device to the goal; it may be run any number of times.
//! The journal stays until the new version is final, so that there is always a way back. Making it final has none: from the
//! first removal on the device only goes forward, and `previous` says which version the agent's memory counts as final.

mod artifacts;
mod error;
mod files;
mod inventory;
mod look;
mod owners;
mod root;

use std::collections::BTreeSet;
use std::path::PathBuf;

use bellwether_schemas::id::Sha256Digest;
use bellwether_schemas::spec::DeviceSpec;
use serde::{Deserialize, Serialize};

pub(crate) use error::ApplyError;
use inventory::Inventory;
pub(crate) use look::is_filled_file;
use root::Root;

use crate::disk;

/// A change that is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Journal {
    /// What was final last: the way back.
    old: Inventory,
    /// What earlier attempts that never became final may have left.
    stale: Vec<Inventory>,
    /// What shall be there.
    new: Inventory,
    /// Which of the two the device is brought to.
    goal: Goal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Goal {
    Old,
    New,
}

impl Journal {
    fn target(&self) -> &Inventory {
        match self.goal {
            Goal::Old => &self.old,
            Goal::New => &self.new,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Inventory> {
        [&self.old, &self.new].into_iter().chain(&self.stale)
    }

    fn brings(&self, digest: &Sha256Digest) -> bool {
        self.goal == Goal::New && self.new.digest == Some(*digest)
    }

    /// Makes sure that the way back leads to `previous`. Where that is what the journal brought, it counts as final, though
    /// its commit did not come to its end, and what was before it may be gone.
    fn lead_back_to(&mut self, previous: Option<&Sha256Digest>) {
        if self.old.digest.as_ref() != previous && previous.is_some_and(|previous| self.brings(previous)) {
            std::mem::swap(&mut self.old, &mut self.new);
        }
    }
}

/// Changes one device.
#[derive(Debug)]
pub(crate) struct Applier {
    state: PathBuf,
    root: PathBuf,
    #[cfg(test)]
    fuse: std::sync::atomic::AtomicU32,
}

impl Applier {
    /// Places beneath `root`; keeps its content and journal in `state`.
    pub(crate) fn new(state: PathBuf, root: PathBuf) -> Self {
        Self {
            state,
            root,
            #[cfg(test)]
            fuse: std::sync::atomic::AtomicU32::new(u32::MAX),
        }
    }

    /// Whether a change is under way.
    pub(crate) fn is_unfinished(&self) -> Result<bool, ApplyError> {
        Ok(self.load_journal()?.is_some())
    }

    /// Whether what it wrote of the device can be read.
    pub(crate) fn check_records(&self) -> Result<(), ApplyError> {
        self.owned().map(drop)
    }

    /// Where the content with this digest is stored.
    pub(crate) fn content(&self, digest: &Sha256Digest) -> PathBuf {
        self.state.join("content").join(digest.to_string())
    }

    /// Whether the content store has this content, and not only its name.
    pub(crate) fn has_content(&self, digest: &Sha256Digest) -> bool {
        let stored = std::fs::File::open(self.content(digest));
        stored.and_then(|mut file| files::digest_of(&mut file)).is_ok_and(|found| found == *digest)
    }

    fn spec_file(&self, digest: &Sha256Digest) -> PathBuf {
        self.state.join("specs").join(format!("{digest}.json"))
    }

    /// Stores a spec with its inline content, and checks that nothing stands in its way. Changes nothing on the device.
    pub(crate) fn stage(&self, spec: &DeviceSpec) -> Result<(), ApplyError> {
        for content in spec.files.iter().filter_map(|file| file.content.as_ref()) {
            let path = self.content(&Sha256Digest::of(content.as_bytes()));
            disk::replace(&path, content.as_bytes())?;
        }
        disk::replace(&self.spec_file(&spec.digest()), &spec.canonical())?;
        let (owned, _) = self.owned()?;
        let root = Root::open(&self.root)?;
        self.survey(&root, spec, &owned, false).map(drop)
    }

    /// The spec with this digest, which was staged.
    pub(crate) fn load_spec(&self, digest: &Sha256Digest) -> Result<DeviceSpec, ApplyError> {
        let path = self.spec_file(digest);
        let bytes = disk::read(&path)?.filter(|bytes| Sha256Digest::of(bytes) == *digest);
        bytes.and_then(|bytes| DeviceSpec::from_canonical(&bytes).ok()).ok_or(ApplyError::Content(path))
    }

    /// Brings the device to a spec that was staged, with `previous` as the way back; goes on where an earlier call stopped.
    pub(crate) fn apply(&self, digest: &Sha256Digest, previous: Option<&Sha256Digest>) -> Result<(), ApplyError> {
        let journal = match self.load_journal()? {
            Some(journal) if journal.brings(digest) => journal,
            _ => self.begin(digest, previous)?,
        };
        self.drive(&journal)
    }

    fn begin(&self, digest: &Sha256Digest, previous: Option<&Sha256Digest>) -> Result<Journal, ApplyError> {
        let spec = self.load_spec(digest)?;
        let (old, stale) = match self.load_journal()? {
            Some(mut journal) => {
                journal.lead_back_to(previous);
                if !journal.stale.contains(&journal.new) {
                    journal.stale.push(journal.new);
                }
                (journal.old, journal.stale)
            }
            None => (self.load_committed()?, Vec::new()),
        };
        let root = Root::open(&self.root)?;
        let owned: Vec<Inventory> = std::iter::once(&old).chain(&stale).cloned().collect();
        let new = self.survey(&root, &spec, &owned, true)?;
        let journal = Journal { old, stale, new, goal: Goal::New };
        self.store_journal(&journal)?;
        Ok(journal)
    }

    /// Brings the device back to `previous`, which was final last. Without a journal it already is there.
    pub(crate) fn undo(&self, previous: Option<&Sha256Digest>) -> Result<(), ApplyError> {
        let Some(mut journal) = self.load_journal()? else {
            return self.check_final(previous);
        };
        if journal.goal != Goal::Old {
            journal.lead_back_to(previous);
            journal.goal = Goal::Old;
            self.store_journal(&journal)?;
        }
        self.drive(&journal)?;
        self.prune(&journal)?;
        self.point()?;
        // A commit that was overtaken half-way may not have written it.
        disk::replace_json(&self.state.join("committed.json"), &journal.old)?;
        self.point()?;
        disk::remove(&self.state.join("journal.json"))?;
        Ok(())
    }

    /// Removes everything that this agent placed, final or not; goes on where an earlier call stopped. What somebody else
    /// placed stays, and what was replaced returns.
    pub(crate) fn remove_all(&self) -> Result<(), ApplyError> {
        let nothing = Inventory::default();
        let journal = match self.load_journal()? {
            Some(journal) if journal.goal == Goal::New && journal.new == nothing => journal,
            found => {
                let (old, stale) = match found {
                    Some(Journal { old, mut stale, new, .. }) => {
                        stale.push(new);
                        (old, stale)
                    }
                    None => (self.load_committed()?, Vec::new()),
                };
                let journal = Journal { old, stale, new: nothing, goal: Goal::New };
                self.store_journal(&journal)?;
                journal
            }
        };
        self.drive(&journal)?;
        self.prune(&journal)?;
        self.point()?;
        disk::replace_json(&self.state.join("committed.json"), &journal.new)?;
        self.point()?;
        disk::remove(&self.state.join("journal.json"))?;
        self.collect(&[], None)
    }

    /// Checks that what is written as final is this spec.
    fn check_final(&self, wanted: Option<&Sha256Digest>) -> Result<(), ApplyError> {
        let found = self.load_committed()?.digest;
        if found.as_ref() == wanted { Ok(()) } else { Err(ApplyError::NotFinal { wanted: wanted.copied(), found }) }
    }

    /// Makes a spec that was applied final, and removes what neither it nor `keep`, which was staged, needs any more.
    pub(crate) fn commit(&self, digest: &Sha256Digest, keep: Option<&Sha256Digest>) -> Result<(), ApplyError> {
        let Some(journal) = self.load_journal()? else {
            self.check_final(Some(digest))?;
            return self.collect(&[&self.load_committed()?], keep);
        };
        if !journal.brings(digest) {
            return Err(ApplyError::NotFinal { wanted: Some(*digest), found: journal.target().digest });
        }
        self.prune(&journal)?;
        self.point()?;
        disk::replace_json(&self.state.join("committed.json"), &journal.new)?;
        self.point()?;
        disk::remove(&self.state.join("journal.json"))?;
        self.point()?;
        // What was final before may be offered again.
        self.collect(&[&journal.new, &journal.old], keep)
    }

    /// Brings the device to the journal's goal. Every step may be repeated.
    fn drive(&self, journal: &Journal) -> Result<(), ApplyError> {
        let root = Root::open(&self.root)?;
        self.place_files(&root, journal)?;
        self.place_artifacts(&root, journal)?;
        let unneeded: BTreeSet<&String> =
            journal.all().flat_map(|i| &i.dirs).filter(|dir| !journal.target().dirs.contains(*dir)).collect();
        for dir in unneeded.into_iter().rev() {
            root.remove_empty_dir(dir)?;
        }
        Ok(())
    }

    /// Everything that this agent placed, final or not, and the journal.
    fn owned(&self) -> Result<(Vec<Inventory>, Option<Journal>), ApplyError> {
        Ok(match self.load_journal()? {
            Some(journal) => (journal.all().cloned().collect(), Some(journal)),
            None => (vec![self.load_committed()?], None),
        })
    }

    fn load_journal(&self) -> Result<Option<Journal>, ApplyError> {
        Ok(disk::read_json(&self.state.join("journal.json"))?)
    }

    fn store_journal(&self, journal: &Journal) -> Result<(), ApplyError> {
        self.point()?;
        disk::replace_json(&self.state.join("journal.json"), journal)?;
        self.point()
    }

    fn load_committed(&self) -> Result<Inventory, ApplyError> {
        Ok(disk::read_json(&self.state.join("committed.json"))?.unwrap_or_default())
    }

    /// Removes stored content and specs that neither `kept` nor `staged` needs.
    fn collect(&self, kept: &[&Inventory], staged: Option<&Sha256Digest>) -> Result<(), ApplyError> {
        let staged = staged.and_then(|digest| self.load_spec(digest).ok());
        let next = staged.as_ref().map(DeviceSpec::digest);
        let specs: BTreeSet<String> =
            kept.iter().filter_map(|i| i.digest).chain(next).map(|digest| format!("{digest}.json")).collect();
        let next = staged
            .iter()
            .flat_map(|spec| spec.files.iter().map(inventory::content_of).chain(spec.targets().map(|t| t.sha256)));
        let contents: BTreeSet<String> =
            kept.iter().flat_map(|i| i.contents()).chain(next).map(|d| d.to_string()).collect();
        for (dir, kept) in [("specs", specs), ("content", contents)] {
            let dir = self.state.join(dir);
            for entry in std::fs::read_dir(&dir).map_err(disk::DiskError::io("list", &dir))?.flatten() {
                if !entry.file_name().to_str().is_some_and(|name| kept.contains(name)) {
                    disk::remove(&entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// A place where the power may go; tests make it go.
    #[cfg(not(test))]
    fn point(&self) -> Result<(), ApplyError> {
        Ok(())
    }

    #[cfg(test)]
    fn point(&self) -> Result<(), ApplyError> {
        use std::sync::atomic::Ordering;
        match self.fuse.load(Ordering::Relaxed) {
            u32::MAX => Ok(()),
            0 => Err(ApplyError::NotFinal { wanted: None, found: None }),
            left => {
                self.fuse.store(left - 1, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests;
