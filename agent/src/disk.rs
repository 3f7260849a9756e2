//! Files that survive a power cut: write, sync, rename, sync the directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A file of the agent that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    /// It could not be read or written.
    #[error("cannot {what} {}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    /// It is there and is not what it should be.
    #[error("{} is damaged", path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
}

impl DiskError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

/// Makes a directory that only its owner can use, unless it is there.
pub(crate) fn private_dir(path: &Path) -> Result<(), DiskError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(DiskError::io("create", path))
}

/// Reads a file; `None` only where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(DiskError::io("read", path)(e)),
    }
}

/// Replaces a file as a whole. When this returns the new content survives a power cut; before, the old one does.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let new = path.with_extension("new");
    let mut file = create(&new)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(DiskError::io("write", &new))?;
    install(&new, path)
}

/// Replaces a file as a whole, for readers; a power cut may take it.
pub(crate) fn publish(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let new = path.with_extension("new");
    create(&new)?.write_all(bytes).map_err(DiskError::io("write", &new))?;
    fs::rename(&new, path).map_err(DiskError::io("replace", path))
}

/// A new file that only its owner can read. Whatever bore the name is gone before: nothing is written through a link.
pub(crate) fn create(path: &Path) -> Result<File, DiskError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(DiskError::io("replace", path)(e)),
        Ok(()) | Err(_) => {}
    }
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(DiskError::io("create", path))
}

/// A file to lock; it stays the same file for everybody.
pub(crate) fn lock_file(path: &Path) -> Result<File, DiskError> {
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    opened.map_err(DiskError::io("open", path))
}

/// Gives a synced file its name, and syncs the directory.
pub(crate) fn install(new: &Path, path: &Path) -> Result<(), DiskError> {
    fs::rename(new, path).map_err(DiskError::io("replace", path))?;
    sync_parent(path)
}

/// Removes a file if it is there, and syncs the directory.
pub(crate) fn remove(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(DiskError::io("remove", path)(e)),
    }
}

fn sync_parent(path: &Path) -> Result<(), DiskError> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(DiskError::io("sync", dir))
}

/// Reads a JSON file; one that does not parse is an error, never absent.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, DiskError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    let damaged = |source| DiskError::Damaged { path: path.to_owned(), source };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Replaces a JSON file as a whole.
pub(crate) fn replace_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), DiskError> {
    replace(path, &serde_json::to_vec(value).expect("our own types have string keys"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    #[test]
    fn nothing_is_written_through_a_link_or_into_a_file_that_others_can_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, theirs) = (dir.path().join("x.json"), dir.path().join("theirs"));
        fs::write(&theirs, "theirs").expect("written");
        symlink(&theirs, dir.path().join("x.new")).expect("linked");
        replace(&path, b"ours").expect("replaced");
        assert_eq!(fs::read_to_string(&theirs).expect("read"), "theirs");
        assert_eq!(fs::read_to_string(&path).expect("read"), "ours");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
    }
}
