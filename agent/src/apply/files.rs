//! Single files.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;

use bellwether_schemas::id::Sha256Digest;
use bellwether_schemas::spec::DevicePath;
use rustix::fs::{Gid, Mode, Uid};

use super::inventory::{Original, PlacedFile};
use super::root::{Place, Replace, Root, copy_checked};
use super::{Applier, ApplyError, Journal};

/// Content with its permissions.
struct Wanted {
    sha256: Sha256Digest,
    mode: u32,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl From<&PlacedFile> for Wanted {
    fn from(file: &PlacedFile) -> Self {
        Self { sha256: file.sha256, mode: file.mode.bits(), uid: file.uid, gid: file.gid }
    }
}

impl From<&Original> for Wanted {
    fn from(original: &Original) -> Self {
        let root = rustix::process::geteuid().is_root();
        let (uid, gid) = if root { (Some(original.uid), Some(original.gid)) } else { (None, None) };
        Self { sha256: original.sha256, mode: original.mode, uid, gid }
    }
}

impl Applier {
    /// Brings every file that the journal knows to its goal.
    pub(super) fn place_files(&self, root: &Root, journal: &Journal) -> Result<(), ApplyError> {
        let paths: BTreeSet<&DevicePath> = journal.all().flat_map(|inventory| inventory.files.keys()).collect();
        for path in paths {
            self.point()?;
            match journal.target().files.get(path) {
                Some(file) => {
                    let ours = file.original.is_some()
                        || journal.old.files.contains_key(path)
                        || journal.stale.iter().any(|stale| stale.files.contains_key(path));
                    let replace = if ours { Replace::Allowed } else { Replace::Forbidden };
                    self.place_file(root, path, &file.into(), replace)?;
                }
                None => self.remove_file(root, path, journal)?,
            }
        }
        Ok(())
    }

    fn place_file(&self, root: &Root, path: &DevicePath, file: &Wanted, replace: Replace) -> Result<(), ApplyError> {
        let place = root.place(path.as_str(), true)?.ok_or_else(|| ApplyError::Unsafe {
            path: path.to_string(),
            part: "a directory that vanished".to_owned(),
        })?;
        if is_there(&place, file)? {
            return place.unlink(&place.temporary());
        }
        let stored = self.content(&file.sha256);
        let mut from = File::open(&stored).map_err(|_| ApplyError::Content(stored.clone()))?;
        let mut to = place.create(&place.temporary())?;
        copy_checked(&mut from, &mut to, &file.sha256)
            .map_err(ApplyError::io("write", path.as_str()))?
            .ok_or(ApplyError::Content(stored))?;
        if file.uid.is_some() || file.gid.is_some() {
            let (uid, gid) = (file.uid.map(Uid::from_raw), file.gid.map(Gid::from_raw));
            rustix::fs::fchown(&to, uid, gid).map_err(ApplyError::device("give away", path.as_str()))?;
        }
        rustix::fs::fchmod(&to, Mode::from_raw_mode(file.mode))
            .map_err(ApplyError::device("set the mode of", path.as_str()))?;
        to.sync_all().map_err(ApplyError::io("sync", path.as_str()))?;
        self.point()?;
        place.install(replace)?;
        self.point()
    }

    /// Removes what was placed, or puts back what was there before.
    fn remove_file(&self, root: &Root, path: &DevicePath, journal: &Journal) -> Result<(), ApplyError> {
        let known: Vec<&PlacedFile> = journal.all().filter_map(|inventory| inventory.files.get(path)).collect();
        if let Some(original) = known.iter().find_map(|file| file.original.as_ref()) {
            return self.place_file(root, path, &original.into(), Replace::Allowed);
        }
        let Some(place) = root.place(path.as_str(), false)? else { return Ok(()) };
        place.unlink(&place.temporary())?;
        // A path that never was final may by now hold something of somebody else.
        let ours = journal.old.files.contains_key(path)
            || match place.open()? {
                Some(mut file) => {
                    let found = digest_of(&mut file).map_err(ApplyError::io("read", path.as_str()))?;
                    known.iter().any(|file| file.sha256 == found)
                }
                None => false,
            };
        if ours {
            place.unlink(&place.name)?;
        }
        place.sync()?;
        self.point()
    }
}

fn is_there(place: &Place, wanted: &Wanted) -> Result<bool, ApplyError> {
    let Some(mut file) = place.open()? else { return Ok(false) };
    let stat = rustix::fs::fstat(&file).map_err(ApplyError::device("look at", &place.path))?;
    let same = stat.st_mode & 0o7777 == wanted.mode
        && wanted.uid.is_none_or(|uid| uid == stat.st_uid)
        && wanted.gid.is_none_or(|gid| gid == stat.st_gid);
    Ok(same && digest_of(&mut file).map_err(ApplyError::io("read", &place.path))? == wanted.sha256)
}

pub(super) fn digest_of(file: &mut File) -> std::io::Result<Sha256Digest> {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Sha256Digest::from_bytes(hash.finalize().into())),
            n => hash.update(&buffer[..n]),
        }
    }
}
