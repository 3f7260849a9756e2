//! The object store, and how what is written to it becomes durable.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

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
    directory: Option<Arc<File>>,
}

impl Objects {
    /// Opens the store in a directory, which is created where it is missing.
    ///
    /// # Errors
    /// When it cannot be created or opened.
    pub fn in_directory(path: &Path) -> Result<Self, ObjectsError> {
        let failed = |source| ObjectsError { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let directory = File::open(path).map_err(failed)?;
        let open = || LocalFileSystem::new_with_prefix(path).map_err(|why| failed(std::io::Error::other(why)));
        Ok(Self {
            each: Arc::new(open()?.with_fsync(true)),
            together: Arc::new(open()?),
            directory: Some(Arc::new(directory)),
        })
    }

    /// A store that is durable when a write returns.
    pub fn of_service(store: Arc<dyn ObjectStore>) -> Self {
        Self { each: store.clone(), together: store, directory: None }
    }

    /// The store; what is written to it is durable when the write returns.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.each
    }

    pub(super) fn writer(&self, flush: Flush) -> &Arc<dyn ObjectStore> {
        match flush {
            Flush::Each => &self.each,
            Flush::Together => &self.together,
        }
    }

    /// Makes all that was written so far durable.
    pub(super) async fn flush(&self, flush: Flush) -> std::io::Result<()> {
        match (&self.directory, flush) {
            (Some(directory), Flush::Together) => {
                let directory = directory.clone();
                tokio::task::spawn_blocking(move || rustix::fs::syncfs(&directory)).await??;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
