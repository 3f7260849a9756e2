//! Publishes to each device its own small TUF repository, in a shared store with shared targets.
//!
//! In: what each device is to be offered. Out: signed metadata, of which the timestamp is written last, so that
//! a crash at any point leaves a valid repository. It decides nothing about what is offered.

mod check;
mod decommissioned;
mod fleets;
mod follow;
mod head;
pub(crate) mod layout;
mod leader;
mod objects;
mod presented;
mod read;
mod record;
mod roots;
mod sign;
mod survey;
mod void;
mod write;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tough::schema::Root;

use bellwether_schemas::spec::{SPEC_TARGET, TargetRef};
use bellwether_schemas::targets::Binding;
use bellwether_schemas::{Code, CommitId, DeviceName, Sha256Digest, codes};

use crate::keys::OnlineKeys;

pub use check::{Checked, Damage, Expected};
pub use decommissioned::{DecommissionRecord, DecommissionType};
pub use fleets::{FleetRecord, FleetType};
pub(crate) use follow::follow;
pub use head::SignedHead;
pub use objects::{Objects, ObjectsError};
pub use presented::{PresentedError, PresentedMetadata};
pub use roots::{publish_root, publish_roots};
pub use survey::{Enrolled, Survey, Surveyed};
use void::VoidRecord;

use objects::Flush;
use roots::load_roots;
use write::in_parallel;

/// Devices that are published at one time: enough that flushing costs little for each, and so few that reports
/// do not wait for long.
pub const SLICE: usize = 4_096;

/// Why something was not published. What was published before stays valid.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store failed.
    #[error("{}: the store failed", self.code())]
    Objects(#[from] object_store::Error),
    /// The store could not be flushed to its disk.
    #[error("{}: the store could not be flushed to its disk", self.code())]
    Flush(#[source] std::io::Error),
    /// The store has no usable root.
    #[error("{}: the store has no usable root: {why}", self.code())]
    Root {
        /// What is wrong with it.
        why: String,
    },
    /// The store and the folder of the keys hold different roots of one version.
    #[error("{}: root {version} in the store is another one than in {}", self.code(), keys.display())]
    RootDiffers {
        /// The version.
        version: NonZeroU64,
        /// The folder of the online keys.
        keys: PathBuf,
    },
    /// The online keys are not those of the newest root.
    #[error("{}: the {role} key is not the one that root {version} lists", self.code())]
    ForeignKey {
        /// The role.
        role: tough::schema::RoleType,
        /// The newest root.
        version: NonZeroU64,
    },
    /// A new root lists other online keys than those that are loaded.
    #[error("{}: root {version} lists other online keys than those that are loaded", self.code())]
    NeedsRestart {
        /// The root.
        version: NonZeroU64,
    },
    /// Content is not what it is said to be.
    #[error("{}: {what} has other content than its digest says", self.code())]
    Mismatch {
        /// The spec or the target.
        what: String,
    },
    /// No version number is free.
    #[error("{}: the versions up to {version} of {device} are taken by files that nobody knows of", self.code())]
    VersionsTaken {
        /// The device.
        device: DeviceName,
        /// The last that was tried.
        version: NonZeroU64,
    },
    /// The store's record of the accepted head cannot be used.
    #[error("{}: head.json in the store cannot be used: {why}", self.code())]
    Head {
        /// What is wrong with it.
        why: String,
        /// Why, where it could be read.
        source: Option<PresentedError>,
    },
    /// The store knows a newer accepted head.
    #[error("{}: head.json in the store names {held}, which stands above {offered}", self.code())]
    OlderHead {
        /// The head that the store names.
        held: CommitId,
        /// The head that was to be accepted.
        offered: CommitId,
    },
    /// Another process keeps a file from being written.
    #[error(
        "{}: {} was locked for {} ms, {holder}: end that process; fuser -v {} shows which one has it",
        self.code(), file.display(), waited.as_millis(), file.display()
    )]
    Locked {
        /// The lock.
        file: PathBuf,
        /// Who took it, as it says itself.
        holder: String,
        /// How long this one waited.
        waited: Duration,
    },
    /// Another process took the store over.
    #[error("{}: another reconciler took the store over: {by}", self.code())]
    TakenOver {
        /// Who, as it says itself.
        by: String,
    },
    /// A part of the work ended unexpectedly.
    #[error("{}: a part of publishing ended unexpectedly", self.code())]
    Task(#[from] tokio::task::JoinError),
}

impl PublishError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Objects(_) | Self::Flush(_) | Self::VersionsTaken { .. } | Self::Task(_) => {
                codes::OBJECT_STORE_FAILED
            }
            Self::Root { .. } => codes::STORE_ROOT_UNUSABLE,
            Self::RootDiffers { .. } => codes::ROOT_DIFFERS,
            Self::NeedsRestart { .. } => codes::ROOT_NEEDS_RESTART,
            Self::ForeignKey { .. } => codes::KEYS_NOT_IN_ROOT,
            Self::Mismatch { .. } => codes::TARGET_MISMATCH,
            Self::Head { .. } => codes::HEAD_RECORD_UNUSABLE,
            Self::OlderHead { .. } => codes::HEAD_RECORD_OLDER,
            Self::Locked { .. } => codes::STORE_LOCKED,
            Self::TakenOver { .. } => codes::STORE_TAKEN_OVER,
        }
    }
}

/// What one device is to find.
#[derive(Debug, Clone)]
pub struct DeviceTargets {
    /// The device and what it is offered.
    pub binding: Binding,
    /// `spec.json`, canonical; given exactly when something is offered.
    pub spec: Option<Bytes>,
    /// The other targets that the spec needs.
    pub targets: Vec<TargetRef>,
    /// Contents of targets that are written together with the metadata; the others are stored already, by
    /// [`Publisher::put_target`].
    pub contents: Vec<(TargetRef, Bytes)>,
    /// The highest metadata version of the device so far, signed by us; 0 for none.
    pub floor: u64,
}

/// Signs and writes the repositories of the devices. Cheap to clone; clones share what they know.
#[derive(Debug, Clone)]
pub struct Publisher {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    objects: Objects,
    keys: OnlineKeys,
    /// Every root of the chain, oldest first.
    roots: Vec<Root>,
    /// The newest root that is published; it may have come since the start.
    newest_root: Mutex<follow::NewestRoot>,
    /// What each device's newest metadata is, as far as it was published or checked since the start.
    newest: Mutex<HashMap<DeviceName, Newest>>,
    /// The highest version that was signed for each device since the start, published or not.
    signed: Mutex<HashMap<DeviceName, u64>>,
    /// Targets that were seen whole in the store since the start.
    stored: Mutex<HashSet<Sha256Digest>>,
    /// The newest record of the accepted head.
    head: Mutex<Option<SignedHead>>,
    /// The record of void tokens.
    void: Mutex<Option<VoidRecord>>,
    /// The introduction of the history that the landings in that record are of, once it is known.
    introduction: OnceLock<CommitId>,
    /// What stands in the store's `leader` while this process leads; none for one that never took the store over.
    leader: Mutex<Option<Bytes>>,
}

/// The newest metadata of a device.
#[derive(Debug, Clone, Copy)]
struct Newest {
    version: NonZeroU64,
    /// The version before, whose files are kept for a client that is in the middle of reading.
    before: Option<NonZeroU64>,
    renew_at: Timestamp,
}

/// A device's repository before its number is known.
#[derive(Debug, Clone)]
struct Unsigned {
    binding: Binding,
    targets: Vec<(String, TargetRef)>,
    floor: u64,
}

impl Publisher {
    /// Opens the store with the keys to sign with.
    ///
    /// # Errors
    /// When the store fails, its root chain or its record of the accepted head cannot be used, or the keys are not those of
    /// its newest root.
    pub async fn open(objects: Objects, keys: OnlineKeys) -> Result<Self, PublishError> {
        let roots = load_roots(objects.store().as_ref()).await?;
        let newest =
            roots.last().ok_or_else(|| PublishError::Root { why: "root/1.root.json is missing".to_owned() })?;
        for (role, key) in keys.roles() {
            if !newest.roles.get(&role).is_some_and(|keys| keys.keyids.contains(key.id())) {
                return Err(PublishError::ForeignKey { role, version: newest.version });
            }
        }
        let newest_root = Mutex::new(newest.into());
        let head = Mutex::new(head::load(&objects, &roots).await?.map(|(head, _)| head));
        let void = Mutex::new(void::load(&objects, &roots).await?);
        let (newest, signed, stored, introduction, leader) = Default::default();
        let inner =
            Inner { objects, keys, roots, newest_root, newest, signed, stored, head, void, introduction, leader };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Stores the content of a target; a target that is there stays.
    ///
    /// # Errors
    /// When the content is not what `target` says, or the store fails.
    pub async fn put_target(&self, target: &TargetRef, content: Bytes) -> Result<(), PublishError> {
        let name = target.name();
        if TargetRef::to(&content) != *target {
            return Err(PublishError::Mismatch { what: name });
        }
        self.inner.put_content(&layout::target(&target.sha256, &name), target.sha256, content, Flush::Each).await
    }

    /// Signs and publishes what each device is to find, all of them together: [`SLICE`] at a time are a good number.
    ///
    /// # Errors
    /// When the store as a whole fails. Then some devices may have been published: publish all of them again.
    pub async fn publish(&self, devices: Vec<DeviceTargets>, now: Timestamp) -> Result<Published, PublishError> {
        let flush = Flush::of(devices.len());
        let mut failed = Vec::new();
        let mut unsigned = Vec::with_capacity(devices.len());
        let mut contents = HashMap::new();
        for device in devices {
            let name = device.binding.device.clone();
            match prepare(device, &mut contents) {
                Ok(device) => unsigned.push(device),
                Err(error) => failed.push((name, error)),
            }
        }
        let inner = self.inner.clone();
        let stored = in_parallel(
            contents.into_iter().collect(),
            move |((digest, name), content): ((Sha256Digest, String), Bytes)| {
                let inner = inner.clone();
                async move { inner.put_content(&layout::target(&digest, &name), digest, content, flush).await }
            },
        );
        stored.await?.into_iter().collect::<Result<Vec<()>, _>>()?;
        let mut outcome = self.inner.publish_unsigned(unsigned, now).await?;
        outcome.failed.extend(failed);
        Ok(outcome)
    }

    /// The highest version that was signed for a device since the start; 0 for none.
    pub fn signed_version(&self, device: &DeviceName) -> u64 {
        self.inner.signed().get(device).copied().unwrap_or(0)
    }

    /// Devices whose metadata should be signed again now, since it expires.
    pub fn renew_due(&self, now: Timestamp) -> Vec<DeviceName> {
        let newest = self.inner.newest();
        let mut due: Vec<_> =
            newest.iter().filter(|(_, it)| it.renew_at <= now).map(|(device, _)| device.clone()).collect();
        due.sort();
        due
    }

    /// Signs the metadata of devices again, if it is as decided: what somebody put there is not signed. Returns their new
    /// versions, and those that must be published anew.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn renew(&self, devices: Vec<Expected>, now: Timestamp) -> Result<Renewed, PublishError> {
        let inner = self.inner.clone();
        let read = in_parallel(devices, move |expected: Expected| {
            let inner = inner.clone();
            async move { (inner.read_repository(&expected.binding.device).await, expected) }
        });
        let (mut unsigned, mut damaged) = (Vec::new(), Vec::new());
        for (found, expected) in read.await? {
            match found.and_then(|found| found.is_as_decided(&expected).map(|()| found.unsigned)) {
                Ok(as_decided) => unsigned.push(as_decided),
                Err(damage) => damaged.push((expected.binding.device, damage)),
            }
        }
        Ok(Renewed { published: self.inner.publish_unsigned(unsigned, now).await?, damaged })
    }
}

/// What came of publishing.
#[derive(Debug, Default)]
#[must_use = "devices that failed must be published again"]
pub struct Published {
    /// The metadata version that each device has now.
    pub versions: Vec<(DeviceName, u64)>,
    /// Devices that could not be written; what they had before stays valid.
    pub failed: Vec<(DeviceName, PublishError)>,
}

impl Published {
    /// Keeps what succeeded, and notes the rest as failed.
    fn succeeded<T>(&mut self, results: Vec<(DeviceName, Result<T, PublishError>)>) -> Vec<(DeviceName, T)> {
        let mut succeeded = Vec::with_capacity(results.len());
        for (device, result) in results {
            match result {
                Ok(done) => succeeded.push((device, done)),
                Err(error) => self.failed.push((device, error)),
            }
        }
        succeeded
    }
}

/// What [`Publisher::renew`] did.
#[derive(Debug)]
pub struct Renewed {
    /// The devices that were renewed.
    pub published: Published,
    /// Devices whose metadata could not be read: publish them anew.
    pub damaged: Vec<(DeviceName, Damage)>,
}

/// Checks that a device's spec is the one that will be signed, and splits its contents off.
fn prepare(
    device: DeviceTargets,
    contents: &mut HashMap<(Sha256Digest, String), Bytes>,
) -> Result<Unsigned, PublishError> {
    let DeviceTargets { binding, spec, targets, contents: files, floor } = device;
    let reference = spec.as_deref().map(TargetRef::to);
    if reference.map(|spec| spec.sha256) != binding.offer.as_ref().map(|offer| offer.digest) {
        return Err(PublishError::Mismatch { what: format!("the spec of {}", binding.device) });
    }
    if let Some((wrong, _)) = files.iter().find(|(target, content)| TargetRef::to(content) != *target) {
        return Err(PublishError::Mismatch { what: wrong.name() });
    }
    let mut named: Vec<_> = reference.map(|reference| (SPEC_TARGET.to_owned(), reference)).into_iter().collect();
    named.extend(targets.iter().map(|target| (target.name(), *target)));
    contents.extend(reference.zip(spec).map(|(spec, content)| ((spec.sha256, SPEC_TARGET.to_owned()), content)));
    contents.extend(files.into_iter().map(|(target, content)| ((target.sha256, target.name()), content)));
    Ok(Unsigned { binding, targets: named, floor })
}

#[cfg(test)]
mod tests;
