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

/// A new file that only its owner can read.
pub(crate) fn create(path: &Path) -> Result<File, DiskError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(DiskError::io("create", path))
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
