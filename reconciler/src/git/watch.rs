//! Notices a push to a repository on this machine at once, from the files that git renames.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::{address, chain, local};

/// A push is several events; they count as one when they come this close together.
const SETTLE: Duration = Duration::from_millis(10);

/// Why a repository cannot be watched. Polling goes on.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// It cannot be opened.
    #[error("the repository {} cannot be opened to be watched: {why}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The operating system does not watch it.
    #[error("the repository {} cannot be watched", path.display())]
    Notify {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: notify::Error,
    },
}

/// Watches the refs of a repository, as long as it lives.
#[derive(Debug)]
pub struct Watch {
    // Dropping it ends the watch.
    _watcher: notify::RecommendedWatcher,
    events: mpsc::Receiver<()>,
    /// The directory of branches, and which one it was.
    heads: PathBuf,
    inode: Option<(u64, u64)>,
}

impl Watch {
    /// Whether another directory is in the place of the one that is watched, as after a restore from a backup.
    pub fn is_stale(&self) -> bool {
        inode(&self.heads) != self.inode
    }

    /// Waits until a ref may have changed. It only means "look now". Cancel-safe but for the settling time.
    pub async fn changed(&mut self) {
        if self.events.recv().await.is_none() {
            // The watcher is gone; whoever polls sees changes still.
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(SETTLE).await;
        while self.events.try_recv().is_ok() {}
    }
}

/// Watches the repository at `url`; `None` where it is not on this machine.
///
/// # Errors
/// When it is on this machine, and cannot be opened or watched.
pub fn watch(url: &str) -> Result<Option<Watch>, WatchError> {
    let Some(path) = address::parse(url).ok().as_ref().and_then(local::path) else {
        return Ok(None);
    };
    let repo = local::open(&path).map_err(|why| WatchError::Open { path: path.clone(), why: chain(&why) })?;
    let unopened = |why: std::io::Error| WatchError::Open { path: path.clone(), why: why.to_string() };
    let dir = repo.common_dir().canonicalize().map_err(unopened)?;
    let heads = dir.join("refs/heads");
    let (sender, events) = mpsc::channel(1);
    let (top, below) = (dir.clone(), heads.clone());
    let seen = move |event: notify::Result<Event>| {
        let relevant = match event {
            Ok(event) => {
                !matches!(event.kind, EventKind::Access(_))
                    && event.paths.iter().any(|path| {
                        path.extension().is_none_or(|end| end != "lock")
                            && (path.starts_with(&below)
                                || *path == top.join("HEAD")
                                || *path == top.join("packed-refs"))
                    })
            }
            // Events may have been lost: look.
            Err(_) => true,
        };
        if relevant {
            // A full channel has an unread "look now" already.
            let _ = sender.try_send(());
        }
    };
    let unwatched = |source| WatchError::Notify { path: path.clone(), source };
    let mut watcher = notify::recommended_watcher(seen).map_err(unwatched)?;
    watcher.watch(&dir, RecursiveMode::NonRecursive).map_err(unwatched)?;
    watcher.watch(&heads, RecursiveMode::Recursive).map_err(unwatched)?;
    let inode = inode(&heads);
    Ok(Some(Watch { _watcher: watcher, events, heads, inode }))
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|found| (found.dev(), found.ino()))
}
