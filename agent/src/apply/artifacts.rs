//! Artifacts: a directory a version, and the links `current` and `previous`.

use std::collections::BTreeSet;
use std::fs::File;

use bellwether_schemas::id::Sha256Digest;
use bellwether_schemas::spec::DevicePath;
use rustix::fs::{AtFlags, Mode};

use super::files::digest_of;
use super::inventory::{Inventory, PlacedArtifact};
use super::root::{Place, Replace, Root, copy_checked};
use super::{Applier, ApplyError, Goal, Journal};

impl Applier {
    /// Brings every artifact that the journal knows to its goal.
    pub(super) fn place_artifacts(&self, root: &Root, journal: &Journal) -> Result<(), ApplyError> {
        let dests: BTreeSet<&DevicePath> = journal.all().flat_map(|inventory| inventory.artifacts.keys()).collect();
        for dest in dests {
            self.point()?;
            match journal.target().artifacts.get(dest) {
                Some(artifact) => {
                    self.place_content(root, dest, artifact, journal.goal)?;
                    self.point()?;
                    link(root, dest, "previous", artifact.history.first())?;
                    self.point()?;
                    link(root, dest, "current", Some(&artifact.id()))?;
                }
                None => {
                    link(root, dest, "current", None)?;
                    self.point()?;
                    link(root, dest, "previous", None)?;
                }
            }
        }
        Ok(())
    }

    fn place_content(
        &self,
        root: &Root,
        dest: &DevicePath,
        artifact: &PlacedArtifact,
        goal: Goal,
    ) -> Result<(), ApplyError> {
        let path = format!("{dest}/{}/{}", artifact.id(), artifact.name);
        let place = make(root, &path)?;
        // It got its name only when it was whole and synced; what happened to it since is for its digest to say.
        let mut there = place.open()?;
        if let Some(there) = &mut there
            && digest_of(there).map_err(ApplyError::io("read", &path))? == artifact.sha256
        {
            return Ok(());
        }
        match self.copy_stored(&place, &artifact.sha256) {
            // The way back must not end here: what somebody changed is all there is of it, and its probes will judge it.
            Err(ApplyError::Content(_)) if goal == Goal::Old && there.is_some() => {
                tracing::warn!("{path} was changed, and there is no other copy: it is kept as it is");
                place.unlink(&place.temporary())
            }
            other => other,
        }
    }

    /// Installs stored content under the place's name.
    fn copy_stored(&self, place: &Place, sha256: &Sha256Digest) -> Result<(), ApplyError> {
        let (path, stored) = (&place.path, self.content(sha256));
        let mut from = File::open(&stored).map_err(|_| ApplyError::Content(stored.clone()))?;
        let mut to = place.create(&place.temporary())?;
        copy_checked(&mut from, &mut to, sha256)
            .map_err(ApplyError::io("write", path))?
            .ok_or(ApplyError::Content(stored))?;
        rustix::fs::fchmod(&to, Mode::from_raw_mode(0o755)).map_err(ApplyError::device("set the mode of", path))?;
        to.sync_all().map_err(ApplyError::io("sync", path))?;
        self.point()?;
        place.install(Replace::Allowed)
    }

    /// Removes the directories of versions that the journal's goal does not keep.
    pub(super) fn prune(&self, journal: &Journal) -> Result<(), ApplyError> {
        let root = Root::open(&self.root)?;
        let target = journal.target();
        for inventory in journal.all() {
            for (dest, artifact) in &inventory.artifacts {
                let kept = target.artifacts.get(dest);
                for id in artifact.ids().filter(|id| !kept.is_some_and(|kept| kept.ids().any(|k| k == *id))) {
                    self.point()?;
                    remove_version(&root, dest, &id, artifact)?;
                }
            }
        }
        for dir in journal.all().flat_map(|i: &Inventory| &i.dirs).filter(|dir| !target.dirs.contains(*dir)) {
            root.remove_empty_dir(dir)?;
        }
        Ok(())
    }
}

fn make(root: &Root, path: &str) -> Result<Place, ApplyError> {
    root.place(path, true)?
        .ok_or_else(|| ApplyError::Unsafe { path: path.to_owned(), part: "a directory that vanished".to_owned() })
}

/// Points a link to a version, or removes it.
fn link(root: &Root, dest: &DevicePath, name: &str, to: Option<&String>) -> Result<(), ApplyError> {
    let path = format!("{dest}/{name}");
    let Some(to) = to else {
        let Some(place) = root.place(&path, false)? else { return Ok(()) };
        if place.read_link()?.is_some() {
            place.unlink(&place.name)?;
        }
        return place.sync();
    };
    let place = make(root, &path)?;
    if place.read_link()?.as_ref() == Some(to) {
        return Ok(());
    }
    let temporary = place.temporary();
    place.unlink(&temporary)?;
    rustix::fs::symlinkat(to.as_str(), &place.dir, &temporary).map_err(ApplyError::device("link", &path))?;
    place.install(Replace::Allowed)
}

fn remove_version(root: &Root, dest: &DevicePath, id: &str, artifact: &PlacedArtifact) -> Result<(), ApplyError> {
    let path = format!("{dest}/{id}/{}", artifact.name);
    if let Some(file) = root.place(&path, false)? {
        file.unlink(&file.temporary())?;
        file.unlink(&file.name)?;
    }
    let dir = format!("{dest}/{id}");
    let Some(place) = root.place(&dir, false)? else { return Ok(()) };
    match rustix::fs::unlinkat(&place.dir, &place.name, AtFlags::REMOVEDIR) {
        // What else lies in it was not placed by this agent.
        Ok(()) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST) => place.sync(),
        Err(errno) => Err(ApplyError::device("remove", &dir)(errno)),
    }
}
