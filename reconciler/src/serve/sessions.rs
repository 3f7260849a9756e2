//! Which devices have a session now, and the way to each of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use bellwether_schemas::codes;
use bellwether_schemas::report::Directive;
use bellwether_schemas::wire::proto::DirectiveMessage;
use bellwether_schemas::{DeviceName, Sha256Digest};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;

use super::problem::{Class, Problem};
use super::rate::Rates;

/// Directives that may wait for a device to read them; a device that lets more pile up is cut off.
const WAITING: usize = 64;

/// The open sessions, at most one of each device.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<DeviceName, Open>>,
    rates: Mutex<Rates>,
    /// The head record that was announced last.
    head: Mutex<Bytes>,
    next: AtomicU64,
    reports: AtomicU64,
}

#[derive(Debug)]
struct Open {
    id: u64,
    /// SHA-256 of the key of the certificate that it was opened with.
    key: Sha256Digest,
    directives: mpsc::Sender<DirectiveMessage>,
    end: oneshot::Sender<Status>,
}

/// A session's end that the registry does not hold.
pub(super) struct Session {
    pub(super) id: u64,
    /// Where replies go.
    pub(super) directives: mpsc::Sender<DirectiveMessage>,
    /// Cancelled when the device's stream is gone.
    pub(super) gone: CancellationToken,
    pub(super) stream: DirectiveStream,
}

/// What is sent down a session: directives, then the status it ends with.
pub(super) struct DirectiveStream {
    directives: mpsc::Receiver<DirectiveMessage>,
    end: Option<oneshot::Receiver<Status>>,
    _gone: DropGuard,
}

impl DirectiveStream {
    async fn next(&mut self) -> Option<Result<DirectiveMessage, Status>> {
        let end = self.end.as_mut()?;
        tokio::select! {
            biased;
            status = end => {
                self.end = None;
                // Dropped without a status: the device ended the session itself.
                status.ok().map(Err)
            }
            directive = self.directives.recv() => directive.map(Ok),
        }
    }

    pub(super) fn into_stream(self) -> impl futures::Stream<Item = Result<DirectiveMessage, Status>> + Send {
        futures::stream::unfold(self, |mut stream| async move { Some((stream.next().await?, stream)) })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds the lock")
}

impl Sessions {
    /// Sends a directive to the device if it has a session. A device that does not read is cut off.
    pub fn send(&self, device: &DeviceName, directive: Directive) -> bool {
        let mut open = lock(&self.open);
        let Some(session) = open.get(device) else { return false };
        match session.directives.try_send(directive.into()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => {
                open.remove(device);
                false
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                let slow =
                    Problem::new(Class::TooMany, codes::TOO_MANY_REQUESTS, "the device does not read its directives");
                if let Some(session) = open.remove(device) {
                    let _ = session.end.send(slow.into());
                }
                false
            }
        }
    }

    /// Gives every session the newest `head.json`, once.
    pub fn announce_head(&self, record: Bytes) {
        let before = std::mem::replace(&mut *lock(&self.head), record.clone());
        if before == record {
            return;
        }
        let devices: Vec<DeviceName> = lock(&self.open).keys().cloned().collect();
        for device in devices {
            self.send(&device, Directive::Head { record: record.to_vec() });
        }
    }

    /// Ends the device's session with this status, if it has one.
    pub fn close(&self, device: &DeviceName, status: Status) {
        if let Some(session) = lock(&self.open).remove(device) {
            let _ = session.end.send(status);
        }
    }

    /// Ends the device's session with this status, if another key than this one opened it.
    pub(super) fn close_of_other_key(&self, device: &DeviceName, key: &Sha256Digest, status: Status) {
        let mut open = lock(&self.open);
        if open.get(device).is_some_and(|session| session.key != *key)
            && let Some(session) = open.remove(device)
        {
            let _ = session.end.send(status);
        }
    }

    /// Ends every session with this status.
    pub fn close_all(&self, status: &Status) {
        for (_, session) in lock(&self.open).drain() {
            let _ = session.end.send(status.clone());
        }
    }

    /// The number of devices that have a session.
    pub fn count(&self) -> usize {
        lock(&self.open).len()
    }

    /// The number of reports that arrived since the start.
    pub fn reports(&self) -> u64 {
        self.reports.load(Ordering::Relaxed)
    }

    pub(super) fn count_report(&self) {
        self.reports.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one call of the device, or says how long it must wait.
    pub(super) fn take(&self, device: &DeviceName) -> Result<(), std::time::Duration> {
        lock(&self.rates).take(device, Instant::now())
    }

    /// Opens a session; the device's earlier one ends.
    pub(super) fn open(&self, device: &DeviceName, key: Sha256Digest) -> Session {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (directives, waiting) = mpsc::channel(WAITING);
        let (end, ended) = oneshot::channel();
        let gone = CancellationToken::new();
        let stream = DirectiveStream { directives: waiting, end: Some(ended), _gone: gone.clone().drop_guard() };
        let opened = Open { id, key, directives: directives.clone(), end };
        if let Some(old) = lock(&self.open).insert(device.clone(), opened) {
            let message = format!("a newer session of {device} took over");
            let _ = old.end.send(Problem::new(Class::Replaced, codes::SESSION_REPLACED, message).into());
        }
        Session { id, directives, gone, stream }
    }

    /// Ends this session of the device, not a newer one.
    pub(super) fn end(&self, device: &DeviceName, id: u64, status: Option<Status>) {
        let mut open = lock(&self.open);
        if open.get(device).is_some_and(|session| session.id == id)
            && let Some(session) = open.remove(device)
            && let Some(status) = status
        {
            let _ = session.end.send(status);
        }
    }
}
