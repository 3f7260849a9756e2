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
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pki::Peer;
use crate::store::{CertificateRow, Store, StoreError};

/// Records that are written in one transaction, and as many wait for the next one.
const BATCH: usize = 1_000;
/// How long a record may take.
const WRITE_TIME: Duration = Duration::from_secs(20);

/// Shared by all that judge callers.
#[derive(Debug, Clone)]
pub(super) struct UsedCertificates {
    /// Until when what nobody remembers is not renewed.
    settled: Timestamp,
    /// The same for all, where records turned out to be behind while this runs.
    unsettled_until: watch::Receiver<Timestamp>,
    /// Certificates that were made before begin before this.
    made_before: Timestamp,
    newest: Arc<Mutex<HashMap<Identity, Known>>>,
    writer: mpsc::Sender<Write>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    issued: Issued,
    /// Until when a newer one may have been used of which nobody knows any more.
    unsettled_until: Option<Timestamp>,
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
        (settle, unsettled_until): (SignedDuration, watch::Receiver<Timestamp>),
        (tasks, shutdown): (&TaskTracker, &CancellationToken),
    ) -> Result<Self, StoreError> {
        let rows = store.certificates(domain).await?.into_iter();
        let newest = rows
            .map(|CertificateRow { identity, issued, issuer, authorities, unsettled_until }| {
                (identity, Known { issued, unsettled_until, issuer, authorities })
            })
            .collect();
        let (writer, writes) = mpsc::channel(BATCH);
        tasks.spawn(record(store.clone(), writes, shutdown.clone()));
        let now = Timestamp::now();
        let (settled, made_before) = (now + settle, DEVICE_CERTIFICATE.begins(now));
        Ok(Self { settled, unsettled_until, made_before, newest: Arc::new(Mutex::new(newest)), writer })
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
                let unsettled_until = self.unsettled_until(known.as_ref(), peer);
                self.record(peer, Known { issued: used, unsettled_until, issuer: peer.issuer, authorities }).await?;
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
    /// and of which nobody remembers that it is the newest, may have been replaced long ago, and the record of that lost: its
    /// renewal would come after the certificate that counts. Until the device has called with that, everybody waits; another
    /// start does not shorten it.
    pub(super) fn unsettled(&self, peer: &Peer, now: Timestamp) -> Option<Duration> {
        let until = self.unsettled_until(self.newest().get(&peer.identity), peer)?;
        Duration::try_from(until.duration_since(now)).ok().filter(|left| !left.is_zero())
    }

    fn unsettled_until(&self, known: Option<&Known>, peer: &Peer) -> Option<Timestamp> {
        if peer.not_before.as_second() >= self.made_before.as_second() {
            return None;
        }
        let own = known.map_or(Some(self.settled), |known| known.unsettled_until);
        own.max(Some(*self.unsettled_until.borrow()).filter(|until| *until > Timestamp::MIN))
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
        let Known { issued, issuer, authorities, unsettled_until } = known.clone();
        let row = CertificateRow { identity: peer.identity.clone(), issued, issuer, authorities, unsettled_until };
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
