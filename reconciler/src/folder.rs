//! Notices that files in a folder changed. It only means "look now".

use std::path::Path;
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// A change is several events; they count as one when they come this close together.
const SETTLE: Duration = Duration::from_millis(100);

/// A folder that is watched, as long as this lives.
#[derive(Debug)]
pub(crate) struct FolderWatch {
    events: mpsc::Receiver<()>,
    // Dropping it ends the watch.
    _watcher: Option<notify::RecommendedWatcher>,
}

impl FolderWatch {
    /// Watches a folder. Where the system does not, that is said, and nothing is noticed.
    pub(crate) fn new(dir: &Path) -> Self {
        let (sender, events) = mpsc::channel(1);
        let seen = move |event: notify::Result<notify::Event>| {
            // Reading the files is an event as well; lost events mean "look".
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                let _ = sender.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(seen).and_then(|mut watcher| {
            watcher.watch(dir, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(path = %dir.display(), %error, "changes in this folder are not noticed by themselves");
        });
        Self { events, _watcher: watcher.ok() }
    }

    /// Waits until something may have changed.
    pub(crate) async fn changed(&mut self) {
        if self.events.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        sleep(SETTLE).await;
        while self.events.try_recv().is_ok() {}
    }
}
