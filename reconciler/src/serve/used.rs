//! The newest certificate that each device has used: in memory for every call, in the database for the next start.
//!
//! A first use counts once it is stored. What a database lost is learned again, since the later of two certificates wins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bellwether_core::admission::{Domain, Identity};
use bellwether_core::certificates::{Issued, Use, judge_use};
use bellwether_schemas::Sha256Digest;
use bellwether_schemas::lives::DEVICE_CERTIFICATE;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pki::Peer;
use crate::store::{CertificateRow, Store, StoreError};

/// Records that are written in one transaction, and as many wait for the next one.
const BATCH: usize = 1_000;
/// How long a record may take.
const WRITE_TIME: Duration = Duration::from_secs(20);

/// How long a certificate waits for its renewal whose use nobody remembers: a newer one may be about to call.
pub(crate) const SETTLE: Duration = Duration::from_secs(600);

/// Shared by all that judge callers.
#[derive(Debug, Clone)]
pub(super) struct UsedCertificates {
    /// Until when what nobody remembers is not renewed.
    settled: Instant,
    /// Certificates that were made before begin before this.
    made_before: Timestamp,
    newest: Arc<Mutex<HashMap<Identity, Known>>>,
    writer: mpsc::Sender<Write>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    issued: Issued,
    /// Whether its identity was not known of before it was used in this run.
    learned: bool,
    issuer: Sha256Digest,
    authorities: Option<Vec<Sha256Digest>>,
}

#[derive(Debug)]
struct Write {
    row: CertificateRow,
    done: oneshot::Sender<()>,
}

/// A use could not be recorded now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotRecorded;

/// What came of looking at a certificate that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It counts.
    Newest,
    /// It counts from now on, and the one before does not any more.
    Replaces,
    /// A newer one was used.
    Replaced(Issued),
}

impl UsedCertificates {
    /// Reads what is recorded, and records further uses until the end.
    pub(super) async fn load(
        store: &Store,
        domain: &Domain,
        settle: Duration,
        (tasks, shutdown): (&TaskTracker, &CancellationToken),
    ) -> Result<Self, StoreError> {
        let rows = store.certificates(domain).await?.into_iter();
        let newest = rows
            .map(|CertificateRow { identity, issued, issuer, authorities }| {
                (identity, Known { issued, learned: false, issuer, authorities })
            })
            .collect();
        let (writer, writes) = mpsc::channel(BATCH);
        tasks.spawn(record(store.clone(), writes, shutdown.clone()));
        let made_before = DEVICE_CERTIFICATE.begins(Timestamp::now());
        Ok(Self { settled: Instant::now() + settle, made_before, newest: Arc::new(Mutex::new(newest)), writer })
    }

    fn newest(&self) -> MutexGuard<'_, HashMap<Identity, Known>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at a certificate that is used, and records a first use.
    pub(super) async fn see(&self, peer: &Peer) -> Result<Seen, NotRecorded> {
        let used = peer.issued();
        let known = self.newest().get(&peer.identity).cloned();
        match judge_use(known.as_ref().map(|known| &known.issued), &used) {
            Use::Newest => Ok(Seen::Newest),
            Use::Replaced => Ok(Seen::Replaced(known.map_or(used, |known| known.issued))),
            Use::First => {
                let authorities = known.as_ref().and_then(|known| known.authorities.clone());
                let learned = known.as_ref().is_none_or(|known| known.learned);
                self.record(peer, Known { issued: used, learned, issuer: peer.issuer, authorities }).await?;
                Ok(if known.is_some() { Seen::Replaces } else { Seen::Newest })
            }
        }
    }

    /// Keeps which authorities a device says it trusts.
    pub(super) async fn trusts(&self, peer: &Peer, authorities: Vec<Sha256Digest>) -> Result<(), NotRecorded> {
        let known = self.newest().get(&peer.identity).cloned();
        match known {
            Some(known) if known.issued == peer.issued() => {
                let said = Known { authorities: Some(authorities), ..known.clone() };
                if said == known { Ok(()) } else { self.record(peer, said).await }
            }
            // Of a certificate that does not count any more.
            _ => Ok(()),
        }
    }

    /// How long the bearer of a certificate must wait before it may be renewed. One that was made before this process began,
    /// and that nobody had seen used then, may have been replaced long ago, and the record of that lost: its renewal would
    /// come after the certificate that counts. Until the device has called with that, everybody waits.
    pub(super) fn unsettled(&self, peer: &Peer, now: Instant) -> Option<Duration> {
        let remembered = self.newest().get(&peer.identity).is_some_and(|known| !known.learned);
        let is_new = peer.not_before.as_second() >= self.made_before.as_second();
        let left = self.settled.saturating_duration_since(now);
        (!remembered && !is_new && !left.is_zero()).then_some(left)
    }

    /// When the newest certificate of an identity began, as far as one was used.
    pub(super) fn newest_of(&self, identity: &Identity) -> Option<Timestamp> {
        self.newest().get(identity).map(|known| known.issued.from)
    }

    /// Which authorities the bearer of the newest certificate says it trusts.
    pub(super) fn trusted_by(&self, peer: &Peer) -> Option<Vec<Sha256Digest>> {
        self.newest().get(&peer.identity).and_then(|known| known.authorities.clone())
    }

    async fn record(&self, peer: &Peer, known: Known) -> Result<(), NotRecorded> {
        let (done, stored) = oneshot::channel();
        let Known { issued, issuer, authorities, .. } = known.clone();
        let row = CertificateRow { identity: peer.identity.clone(), issued, issuer, authorities };
        self.writer.send_timeout(Write { row, done }, WRITE_TIME).await.map_err(|_| NotRecorded)?;
        timeout(WRITE_TIME, stored).await.map_err(|_| NotRecorded)?.map_err(|_| NotRecorded)?;
        let mut newest = self.newest();
        // A later one may have been stored in the meantime.
        if newest.get(&peer.identity).is_none_or(|held| held.issued <= known.issued) {
            newest.insert(peer.identity.clone(), known);
        }
        Ok(())
    }
}

/// Writes what waits, together; who waits for a write that failed is told by the end of its channel.
async fn record(store: Store, mut writes: mpsc::Receiver<Write>, shutdown: CancellationToken) {
    let mut batch = Vec::new();
    loop {
        let received = tokio::select! {
            () = shutdown.cancelled() => return,
            received = writes.recv_many(&mut batch, BATCH) => received,
        };
        if received == 0 {
            return;
        }
        let (rows, done): (Vec<_>, Vec<_>) = batch.drain(..).map(|write| (write.row, write.done)).unzip();
        match store.save_certificates(&latest(rows)).await {
            Ok(()) => {
                for done in done {
                    let _ = done.send(());
                }
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "which certificates are used cannot be recorded"
                );
            }
        }
    }
}

/// Of several rows of one device the last of those that were issued last: a statement may touch a row only once.
fn latest(rows: Vec<CertificateRow>) -> Vec<CertificateRow> {
    let mut latest: HashMap<Identity, CertificateRow> = HashMap::new();
    for row in rows {
        if latest.get(&row.identity).is_none_or(|held| held.issued <= row.issued) {
            latest.insert(row.identity.clone(), row);
        }
    }
    latest.into_values().collect()
}
