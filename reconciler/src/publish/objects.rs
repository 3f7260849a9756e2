//! The object store, and how what is written to it becomes durable.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode};

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
}

impl Objects {
    /// Opens the store in a directory, which is created where it is missing.
    ///
    /// # Errors
    /// When it cannot be created or opened.
    pub fn in_directory(path: &Path) -> Result<Self, ObjectsError> {
        let failed = |source| ObjectsError { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let directory = Directory { path: path.to_owned(), open: Arc::new(File::open(path).map_err(failed)?) };
        let open = || LocalFileSystem::new_with_prefix(path).map_err(|why| failed(std::io::Error::other(why)));
        Ok(Self { each: Arc::new(open()?.with_fsync(true)), together: Arc::new(open()?), directory: Some(directory) })
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

    /// Writes a file that nobody reads yet; `false` when there is one of that name.
    pub(super) async fn put_new(&self, path: &ObjectPath, content: Bytes, flush: Flush) -> object_store::Result<bool> {
        if let (Some(directory), Flush::Together) = (&self.directory, flush) {
            return directory.write_new(path, content).await;
        }
        match self.each.put_opts(path, content.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes what [`show`](Self::show) will put in place of the file of this name. A batch writes it before the flush, so that
    /// no file has to reach the disk by itself when it is renamed.
    pub(super) async fn stage(&self, path: &ObjectPath, content: &Bytes, flush: Flush) -> object_store::Result<()> {
        match (&self.directory, flush) {
            (Some(directory), Flush::Together) => directory.write_staged(path, content.clone()).await,
            _ => Ok(()),
        }
    }

    /// Puts what was staged in place of the file of this name.
    pub(super) async fn show(&self, path: &ObjectPath, content: Bytes, flush: Flush) -> object_store::Result<()> {
        match (&self.directory, flush) {
            (Some(directory), Flush::Together) => directory.rename_staged(path).await,
            _ => self.put(path, content, flush).await,
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

impl Directory {
    /// Writes at the final name. A crash may leave it torn, which is found, since nothing names it before it is flushed;
    /// a staging file, a link and its removal would be three times the work for the file system.
    async fn write_new(&self, path: &ObjectPath, content: Bytes) -> object_store::Result<bool> {
        let file = self.path.join(path.as_ref());
        let write = move || -> std::io::Result<bool> {
            let create = || OpenOptions::new().write(true).create_new(true).open(&file);
            let mut open = match create() {
                Ok(open) => open,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    std::fs::create_dir_all(file.parent().unwrap_or(Path::new("/")))?;
                    create()?
                }
                Err(error) => return Err(error),
            };
            open.write_all(&content)?;
            Ok(true)
        };
        blocking(write).await
    }

    async fn write_staged(&self, path: &ObjectPath, content: Bytes) -> object_store::Result<()> {
        let staged = self.path.join(staging(path));
        // What a crash left there is nobody's: the file is written anew.
        blocking(move || std::fs::write(staged, content)).await
    }

    async fn rename_staged(&self, path: &ObjectPath) -> object_store::Result<()> {
        let (staged, file) = (self.path.join(staging(path)), self.path.join(path.as_ref()));
        blocking(move || std::fs::rename(staged, file)).await
    }
}

/// The name of a file before it is shown, beside it.
fn staging(path: &ObjectPath) -> String {
    format!("{path}.new")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> object_store::Result<T> {
    let done = tokio::task::spawn_blocking(work).await?;
    done.map_err(|why| object_store::Error::Generic { store: "directory", source: why.into() })
}
