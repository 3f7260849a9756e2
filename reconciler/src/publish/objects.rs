//! The object store, and how what is written to it becomes durable.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, UpdateVersion};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::PublishError;
use crate::lock::{Lock, LockError};

/// How long to wait for whoever holds a lock. That takes milliseconds, unless a process is stopped or a disk hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// Up to this many files, each is flushed by itself; above, all of them at once.
const FEW: usize = 32;

/// Why the store's directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the store's directory {} cannot be used", path.display())]
pub struct ObjectsError {
    path: PathBuf,
    source: std::io::Error,
}

/// When what is written must have reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flush {
    /// When the write returns.
    Each,
    /// At the next [`Objects::flush`].
    Together,
}

impl Flush {
    pub(super) fn of(files: usize) -> Self {
        if files <= FEW { Self::Each } else { Self::Together }
    }
}

/// An object store: a directory, or a service that is durable by itself.
#[derive(Debug, Clone)]
pub struct Objects {
    each: Arc<dyn ObjectStore>,
    together: Arc<dyn ObjectStore>,
    directory: Option<Directory>,
}

/// The directory of a store on this machine.
#[derive(Debug, Clone)]
struct Directory {
    path: PathBuf,
    open: Arc<File>,
    /// How long to wait for a lock.
    patience: Duration,
}

impl Objects {
    /// Opens the store in a directory, which is created where it is missing.
    ///
    /// # Errors
    /// When it cannot be created or opened.
    pub fn in_directory(path: &Path) -> Result<Self, ObjectsError> {
        let failed = |source| ObjectsError { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let open = Arc::new(File::open(path).map_err(failed)?);
        let directory = Directory { path: path.to_owned(), open, patience: PATIENCE };
        let open = || LocalFileSystem::new_with_prefix(path).map_err(|why| failed(std::io::Error::other(why)));
        Ok(Self { each: Arc::new(open()?.with_fsync(true)), together: Arc::new(open()?), directory: Some(directory) })
    }

    /// The same, waiting no longer than this for a lock.
    #[cfg(test)]
    pub(super) fn with_patience(mut self, patience: Duration) -> Self {
        self.directory.as_mut().expect("a directory").patience = patience;
        self
    }

    /// A store that is durable when a write returns.
    pub fn of_service(store: Arc<dyn ObjectStore>) -> Self {
        Self { each: store.clone(), together: store, directory: None }
    }

    /// The store; what is written to it is durable when the write returns.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.each
    }

    /// Writes a file, in place of the one that is there.
    pub(super) async fn put(&self, path: &ObjectPath, content: Bytes, flush: Flush) -> object_store::Result<()> {
        let store = match flush {
            Flush::Each => &self.each,
            Flush::Together => &self.together,
        };
        store.put(path, content.into()).await.map(|_| ())
    }

    /// Puts a file back that a backup has.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn restore(&self, path: &ObjectPath, content: Bytes) -> Result<(), PublishError> {
        Ok(self.put(path, content, Flush::Each).await?)
    }

    /// Writes a file that nobody reads yet; `false` when there is one of that name. A batch makes it of the file `spare`,
    /// which nobody needs any more, where there is one.
    pub(super) async fn put_new(
        &self,
        path: &ObjectPath,
        content: Bytes,
        spare: Option<&ObjectPath>,
        flush: Flush,
    ) -> object_store::Result<bool> {
        if let (Some(directory), Flush::Together) = (&self.directory, flush) {
            return directory.write_new(path, &content, spare).map_err(failed);
        }
        match self.each.put_opts(path, content.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets nobody else write this file until the lock is dropped. Only a directory needs it: a service knows versions.
    ///
    /// # Errors
    /// [`PublishError::Locked`] when another one holds it for too long.
    pub(super) async fn lock(&self, path: &ObjectPath) -> Result<Option<Lock>, PublishError> {
        let Some(directory) = &self.directory else { return Ok(None) };
        let beside = directory.path.join(format!("{path}.lock"));
        match Lock::take(beside, directory.patience).await {
            Ok(lock) => Ok(Some(lock)),
            Err(LockError::Held { file, holder, waited }) => Err(PublishError::Locked { file, holder, waited }),
            Err(LockError::File { source, .. }) => Err(failed(source).into()),
        }
    }

    /// Writes a file in place of the version that was read, or of none. In a directory the lock must be held since then.
    ///
    /// # Errors
    /// Also when another one wrote since.
    pub(super) async fn replace(
        &self,
        path: &ObjectPath,
        content: Bytes,
        read: Option<UpdateVersion>,
    ) -> object_store::Result<()> {
        let mode = match (&self.directory, read) {
            (Some(_), _) => PutMode::Overwrite,
            (None, Some(version)) => PutMode::Update(version),
            (None, None) => PutMode::Create,
        };
        self.each.put_opts(path, content.into(), mode.into()).await.map(|_| ())
    }

    /// Writes what [`show`](Self::show) will put in place of the file of this name. A batch writes it before the flush, so that
    /// no file has to reach the disk by itself when it is renamed.
    pub(super) async fn stage(&self, path: &ObjectPath, content: &Bytes, flush: Flush) -> object_store::Result<()> {
        match (&self.directory, flush) {
            (Some(directory), Flush::Together) => directory.write_staged(path, content).map_err(failed),
            _ => Ok(()),
        }
    }

    /// Puts what was staged in place of the file of this name.
    pub(super) async fn show(&self, path: &ObjectPath, content: Bytes, flush: Flush) -> object_store::Result<()> {
        match (&self.directory, flush) {
            (Some(directory), Flush::Together) => directory.show_staged(path).map_err(failed),
            _ => self.put(path, content, flush).await,
        }
    }

    /// Removes a file, if it is there.
    pub(super) async fn remove(&self, path: &ObjectPath, flush: Flush) -> object_store::Result<()> {
        let removed = match (&self.directory, flush) {
            (Some(directory), Flush::Together) => return directory.remove(path).map_err(failed),
            _ => self.each.delete(path).await,
        };
        match removed {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// Makes all that was written so far durable.
    pub(super) async fn flush(&self, flush: Flush) -> std::io::Result<()> {
        match (&self.directory, flush) {
            (Some(directory), Flush::Together) => {
                let open = directory.open.clone();
                tokio::task::spawn_blocking(move || rustix::fs::syncfs(&open)).await??;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// What a batch does to the directory. These calls block, and so run on the threads of [`in_parallel`](super::write::in_parallel).
///
/// Where a batch can, it makes a new file of an old one: file systems are slow to make files while others are being removed
/// (docs/decisions/0009-metadata-files-are-used-again.md).
impl Directory {
    /// Writes at the final name. A crash may leave it torn, which is found, since nothing names it before it is flushed;
    /// a staging file, a link and its removal would be three times the work for the file system.
    fn write_new(&self, path: &ObjectPath, content: &[u8], spare: Option<&ObjectPath>) -> std::io::Result<bool> {
        let file = self.file(path);
        let reused = spare.map(|spare| renameat_with(CWD, self.file(spare), CWD, &file, RenameFlags::NOREPLACE));
        let create = || OpenOptions::new().write(true).create_new(true).open(&file);
        let opened = match reused {
            Some(Ok(())) => OpenOptions::new().write(true).open(&file),
            Some(Err(Errno::EXIST)) => return Ok(false),
            // There is no spare one, or this file system does not rename so.
            Some(Err(_)) | None => create().or_else(|error| match error.kind() {
                ErrorKind::NotFound => {
                    std::fs::create_dir_all(file.parent().unwrap_or(Path::new("/")))?;
                    create()
                }
                _ => Err(error),
            }),
        };
        match opened {
            Ok(open) => overwrite(&open, content).map(|()| true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes beside the file of this name. What is there is an earlier one, or what a crash left: nobody's.
    fn write_staged(&self, path: &ObjectPath, content: &[u8]) -> std::io::Result<()> {
        let staged = OpenOptions::new().write(true).create(true).truncate(false).open(self.staging(path))?;
        overwrite(&staged, content)
    }

    /// Exchanges the staged file and the one of this name, which is the next to be staged in.
    fn show_staged(&self, path: &ObjectPath) -> std::io::Result<()> {
        let (staged, file) = (self.staging(path), self.file(path));
        match renameat_with(CWD, &staged, CWD, &file, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(()),
            // There is none of this name yet, or this file system does not exchange.
            Err(_) => std::fs::rename(staged, file),
        }
    }

    fn remove(&self, path: &ObjectPath) -> std::io::Result<()> {
        match std::fs::remove_file(self.file(path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn file(&self, path: &ObjectPath) -> PathBuf {
        self.path.join(path.as_ref())
    }

    /// The place of a file before it is shown, beside it.
    fn staging(&self, path: &ObjectPath) -> PathBuf {
        self.path.join(format!("{path}.new"))
    }
}

/// Replaces the content of a file in its place on the disk.
fn overwrite(file: &File, content: &[u8]) -> std::io::Result<()> {
    file.write_all_at(content, 0)?;
    file.set_len(content.len() as u64)
}

pub(super) fn failed(why: std::io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "directory", source: why.into() }
}
