//! Writes signed metadata: targets, snapshot, and last the timestamp, which makes them visible.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use tokio::task::JoinSet;

use bellwether_schemas::{DeviceName, Sha256Digest};

use super::objects::Flush;
use super::sign::{self, Triple};
use super::{Inner, PublishError, Published, Unsigned, layout};

/// Devices whose metadata is signed, written and flushed together.
const BATCH: usize = 10_000;
/// Parts that work at the same time; most of their time is spent in the file system.
const PARTS: usize = 16;
/// Tries at a free version number, when a crash left files behind that nobody knows of.
const TRIES: u32 = 16;
/// Digests of stored targets that are remembered.
const REMEMBERED: usize = 500_000;

/// A device's metadata, of which all but the timestamp is written.
#[derive(Debug)]
struct Staged {
    device: DeviceName,
    version: NonZeroU64,
    timestamp: Bytes,
    renew_at: Timestamp,
}

impl Inner {
    pub(super) fn published(&self) -> MutexGuard<'_, HashMap<DeviceName, Published>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stored(&self) -> MutexGuard<'_, HashSet<Sha256Digest>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn publish_unsigned(
        self: &std::sync::Arc<Self>,
        devices: Vec<Unsigned>,
        now: Timestamp,
    ) -> Result<Vec<(DeviceName, u64)>, PublishError> {
        let flush = Flush::of(devices.len());
        let mut versions = Vec::with_capacity(devices.len());
        let mut devices = devices.into_iter().peekable();
        while devices.peek().is_some() {
            let batch = devices.by_ref().take(BATCH).collect();
            let inner = self.clone();
            let staged = in_parallel(batch, move |device: Unsigned| {
                let inner = inner.clone();
                async move { inner.stage(&device, now, flush).await }
            });
            let staged = staged.await?;
            // No timestamp may reach the disk before what it names.
            self.objects.flush(flush).await.map_err(PublishError::Flush)?;
            let inner = self.clone();
            let shown = in_parallel(staged, move |staged: Staged| {
                let inner = inner.clone();
                async move { inner.show(staged, flush).await }
            });
            versions.extend(shown.await?);
            self.objects.flush(flush).await.map_err(PublishError::Flush)?;
        }
        Ok(versions)
    }

    /// Signs, and writes what the timestamp will name.
    async fn stage(&self, device: &Unsigned, now: Timestamp, flush: Flush) -> Result<Staged, PublishError> {
        let name = &device.binding.device;
        let last = self.published().get(name).map_or(0, |published| published.version.get());
        let taken = |version| PublishError::VersionsTaken { device: name.clone(), version };
        let mut floor = device.floor.max(last);
        for _ in 0..TRIES {
            let version = sign::next_version(floor, now).ok_or_else(|| taken(NonZeroU64::MAX))?;
            let Triple { timestamp, snapshot, targets, renew_at } = sign::sign(&self.keys, device, version, now);
            if self.objects.put_new(&layout::targets(name, version), targets, flush).await?
                && self.objects.put_new(&layout::snapshot(name, version), snapshot, flush).await?
            {
                self.objects.stage(&layout::timestamp(name), &timestamp, flush).await?;
                return Ok(Staged { device: name.clone(), version, timestamp, renew_at });
            }
            floor = version.get();
        }
        Err(taken(NonZeroU64::new(floor).unwrap_or(NonZeroU64::MAX)))
    }

    /// Writes the timestamp, and removes what no client reads any more.
    async fn show(&self, staged: Staged, flush: Flush) -> Result<(DeviceName, u64), PublishError> {
        let Staged { device, version, timestamp, renew_at } = staged;
        self.objects.show(&layout::timestamp(&device), timestamp, flush).await?;
        let before = self.published().get(&device).copied();
        let published = Published { version, before: before.map(|before| before.version), renew_at };
        self.published().insert(device.clone(), published);
        if let Some(old) = before.and_then(|before| before.before) {
            self.remove(&device, old).await;
        }
        Ok((device, version.get()))
    }

    /// Removes the files of an old version. A failure leaves a file that nobody reads.
    pub(super) async fn remove(&self, device: &DeviceName, version: NonZeroU64) {
        for path in [layout::snapshot(device, version), layout::targets(device, version)] {
            match self.objects.store().delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => tracing::debug!(%path, %error, "an old file stays"),
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
        if !self.objects.put_new(path, content.clone(), flush).await? {
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
pub(super) async fn in_parallel<T, R, F>(
    items: Vec<T>,
    work: impl Fn(T) -> F + Clone + Send + 'static,
) -> Result<Vec<R>, PublishError>
where
    T: Send + 'static,
    R: Send + 'static,
    F: Future<Output = Result<R, PublishError>> + Send,
{
    let size = items.len().div_ceil(PARTS).max(1);
    let mut items = items.into_iter().peekable();
    let mut parts = JoinSet::new();
    let mut order = 0_usize;
    while items.peek().is_some() {
        let (part, work, place) = (items.by_ref().take(size).collect::<Vec<_>>(), work.clone(), order);
        parts.spawn(async move {
            let mut done = Vec::with_capacity(part.len());
            for item in part {
                done.push(work(item).await?);
            }
            Ok::<_, PublishError>((place, done))
        });
        order += 1;
    }
    let mut done = Vec::with_capacity(order);
    while let Some(part) = parts.join_next().await {
        done.push(part??);
    }
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().flat_map(|(_, part)| part).collect())
}
