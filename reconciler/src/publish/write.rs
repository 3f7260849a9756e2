//! Writes signed metadata: targets, snapshot, and last the timestamp, which makes them visible.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::{Arc, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use tokio::runtime::Handle;

use bellwether_schemas::{DeviceName, Sha256Digest};

use super::objects::Flush;
use super::sign::{self, Triple};
use super::{Inner, Newest, PublishError, Published, Unsigned, layout};

/// Parts that work at the same time; most of their time is spent in the file system.
const PARTS: usize = 16;
/// Tries at a free version number, when a crash left files behind that nobody knows of.
const TRIES: u32 = 16;
/// Digests of stored targets that are remembered.
const REMEMBERED: usize = 500_000;

/// A device's metadata, of which all but the timestamp is written.
#[derive(Debug)]
struct Staged {
    version: NonZeroU64,
    timestamp: Bytes,
    renew_at: Timestamp,
}

impl Inner {
    pub(super) fn newest(&self) -> MutexGuard<'_, HashMap<DeviceName, Newest>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn signed(&self) -> MutexGuard<'_, HashMap<DeviceName, u64>> {
        self.signed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stored(&self) -> MutexGuard<'_, HashSet<Sha256Digest>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs and writes what each device is to find. One device that cannot be written keeps no other from it.
    pub(super) async fn publish_unsigned(
        self: &Arc<Self>,
        devices: Vec<Unsigned>,
        now: Timestamp,
    ) -> Result<Published, PublishError> {
        let _turn = self.turn().await?;
        let flush = Flush::of(devices.len());
        let mut outcome = Published::default();
        let inner = self.clone();
        let staged = in_parallel(devices, move |device: Unsigned| {
            let inner = inner.clone();
            async move {
                let staged = inner.stage(&device, now, flush).await;
                (device.binding.device, staged)
            }
        });
        let staged = outcome.succeeded(staged.await?);
        // No timestamp may reach the disk before what it names.
        self.objects.flush(flush).await.map_err(PublishError::Flush)?;
        let inner = self.clone();
        let shown = in_parallel(staged, move |(device, staged): (DeviceName, Staged)| {
            let inner = inner.clone();
            async move {
                let version = inner.show(&device, staged, flush).await;
                (device, version)
            }
        });
        let shown = outcome.succeeded(shown.await?);
        self.objects.flush(flush).await.map_err(PublishError::Flush)?;
        outcome.versions = shown;
        Ok(outcome)
    }

    /// Signs, and writes what the timestamp will name.
    async fn stage(&self, device: &Unsigned, now: Timestamp, flush: Flush) -> Result<Staged, PublishError> {
        let name = &device.binding.device;
        let newest = self.newest().get(name).copied();
        let last = newest.map_or(0, |newest| newest.version.get());
        // No client reads what is older than the timestamp before this one.
        let old = newest.and_then(|newest| newest.before);
        let (old_targets, old_snapshot) =
            (old.map(|old| layout::targets(name, old)), old.map(|old| layout::snapshot(name, old)));
        let taken = |version| PublishError::VersionsTaken { device: name.clone(), version };
        let mut floor = device.floor.max(last);
        for _ in 0..TRIES {
            let version = sign::next_version(floor, now).ok_or_else(|| taken(NonZeroU64::MAX))?;
            let Triple { timestamp, snapshot, targets, renew_at } = sign::sign(&self.keys, device, version, now);
            let (targets_path, snapshot_path) = (layout::targets(name, version), layout::snapshot(name, version));
            self.signed().insert(name.clone(), version.get());
            if self.objects.put_new(&targets_path, targets, old_targets.as_ref(), flush).await?
                && self.objects.put_new(&snapshot_path, snapshot, old_snapshot.as_ref(), flush).await?
            {
                self.objects.stage(&layout::timestamp(name), &timestamp, flush).await?;
                return Ok(Staged { version, timestamp, renew_at });
            }
            floor = version.get();
        }
        Err(taken(NonZeroU64::new(floor).unwrap_or(NonZeroU64::MAX)))
    }

    /// Writes the timestamp, and removes what no client reads any more.
    async fn show(&self, device: &DeviceName, staged: Staged, flush: Flush) -> Result<u64, PublishError> {
        let Staged { version, timestamp, renew_at } = staged;
        self.objects.show(&layout::timestamp(device), timestamp, flush).await?;
        let before = self.newest().get(device).copied();
        let newest = Newest { version, before: before.map(|before| before.version), renew_at };
        self.newest().insert(device.clone(), newest);
        if let Some(old) = before.and_then(|before| before.before) {
            self.remove(device, old, flush).await;
        }
        Ok(version.get())
    }

    /// Removes the files of an old version. A failure leaves a file that nobody reads.
    pub(super) async fn remove(&self, device: &DeviceName, version: NonZeroU64, flush: Flush) {
        for path in [layout::snapshot(device, version), layout::targets(device, version)] {
            if let Err(error) = self.objects.remove(&path, flush).await {
                tracing::debug!(%path, %error, "an old file stays");
            }
        }
    }

    /// Writes a file that is named by its content, unless it is there whole.
    pub(super) async fn put_content(
        &self,
        path: &Path,
        digest: Sha256Digest,
        content: Bytes,
        flush: Flush,
    ) -> Result<(), PublishError> {
        if self.stored().contains(&digest) {
            return Ok(());
        }
        if !self.objects.put_new(path, content.clone(), None, flush).await? {
            let found = self.objects.store().get(path).await?.bytes().await?;
            if found != content {
                // A power cut can leave a file without its content.
                self.objects.put(path, content, flush).await?;
            }
        }
        let mut stored = self.stored();
        if stored.len() >= REMEMBERED {
            stored.clear();
        }
        stored.insert(digest);
        Ok(())
    }
}

/// Does `work` on each item, in several parts at the same time; results are in the order of the items.
///
/// Each part has a thread on which it may block: handing every small file to another thread costs more than writing it.
pub(super) async fn in_parallel<T, R, F>(
    items: Vec<T>,
    work: impl Fn(T) -> F + Clone + Send + 'static,
) -> Result<Vec<R>, PublishError>
where
    T: Send + 'static,
    R: Send + 'static,
    F: Future<Output = R>,
{
    let size = items.len().div_ceil(PARTS).max(1);
    let mut items = items.into_iter().peekable();
    let mut parts = Vec::with_capacity(PARTS);
    while items.peek().is_some() {
        let (part, work, runtime) = (items.by_ref().take(size).collect::<Vec<_>>(), work.clone(), Handle::current());
        parts.push(tokio::task::spawn_blocking(move || {
            part.into_iter().map(|item| runtime.block_on(work(item))).collect::<Vec<R>>()
        }));
    }
    let mut done = Vec::new();
    for part in parts {
        done.extend(part.await?);
    }
    Ok(done)
}
