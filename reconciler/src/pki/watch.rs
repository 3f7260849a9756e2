//! The authority's files as they are now: read again when they change, and the server's certificate renewed in time.
//!
//! Files that cannot be used change nothing: what was loaded before goes on, and the log says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether_schemas::codes;
use bellwether_schemas::lives::is_end_near;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Authority, AuthorityError, renew_server};
use crate::folder::FolderWatch;

/// The authority as it is now.
pub type AuthorityWatch = watch::Receiver<Arc<Authority>>;

/// How often expiries are looked at.
const LOOK: Duration = Duration::from_secs(3_600);

/// Loads the authority, and keeps it as its files are until `shutdown`: they are read again when they change or at SIGHUP. The
/// server's certificate is renewed when that is due.
///
/// # Errors
/// When the files cannot be used now.
pub fn watch_authority(dir: &Path, shutdown: CancellationToken) -> Result<AuthorityWatch, AuthorityError> {
    renew_if_due(dir, &Authority::load(dir)?, Timestamp::now());
    let authority = Authority::load(dir)?;
    warn_of_ends(&authority, Timestamp::now());
    let (sender, receiver) = watch::channel(Arc::new(authority));
    let task = Task { dir: dir.to_owned(), sender, folder: FolderWatch::new(dir) };
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = task.run() => {}
        }
    });
    Ok(receiver)
}

struct Task {
    dir: PathBuf,
    sender: watch::Sender<Arc<Authority>>,
    folder: FolderWatch,
}

impl Task {
    async fn run(mut self) {
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                () = self.folder.changed() => {}
                Some(()) = next(&mut hangup) => {}
                _ = look.tick() => {
                    let authority = self.sender.borrow().clone();
                    warn_of_ends(&authority, Timestamp::now());
                    renew_if_due(&self.dir, &authority, Timestamp::now());
                }
            }
            self.reload();
        }
    }

    fn reload(&self) {
        match Authority::load(&self.dir) {
            Ok(authority) => {
                let changed = |held: &mut Arc<Authority>| {
                    let same = held.trusted == authority.trusted && held.server_chain == authority.server_chain;
                    if !same {
                        *held = Arc::new(authority);
                    }
                    !same
                };
                if self.sender.send_if_modified(changed) {
                    let authority = self.sender.borrow().clone();
                    let (names, trusted) = (shown(&authority), authority.trusted.len());
                    tracing::info!(names, trusted, "the authority's files were loaded again");
                }
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!(code = %codes::AUTHORITY_RELOAD, "the authority's files changed and cannot be used, so nothing changes: {error:#}");
            }
        }
    }
}

async fn next(hangup: &mut Option<tokio::signal::unix::Signal>) -> Option<()> {
    match hangup {
        Some(hangup) => hangup.recv().await,
        None => std::future::pending().await,
    }
}

/// Renews the server's certificate if that is due. One that cannot be renewed now may be later: that it could not is said,
/// and ends nothing.
pub fn renew_if_due(dir: &Path, authority: &Authority, now: Timestamp) {
    if !authority.is_server_due(now) {
        return;
    }
    match renew_server(dir, None, now) {
        Ok(()) => tracing::info!(names = shown(authority), "the server's certificate was renewed"),
        Err(error) => {
            let (until, error) = (authority.server.not_after, anyhow::Error::from(error));
            tracing::error!(code = %codes::SERVER_CERTIFICATE_ENDS, %until, "the server's certificate cannot be renewed: {error:#}");
        }
    }
}

fn warn_of_ends(authority: &Authority, now: Timestamp) {
    let until = authority.issuing().not_after;
    if is_end_near(until, now) {
        tracing::warn!(code = %codes::AUTHORITY_ENDS, %until, "the certificate authority ends soon: run bellwether-reconciler certs rotate-ca");
    }
}

fn shown(authority: &Authority) -> String {
    authority.server.names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
