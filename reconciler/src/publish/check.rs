//! Reads back what was published, at a start: a crash or a power cut may have taken some of it.

use std::num::NonZeroU64;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use serde::de::DeserializeOwned;
use tough::schema::{Metafile, Role, Signed, Snapshot, Targets};

use bellwether_schemas::lives::timestamp_due;
use bellwether_schemas::spec::TargetRef;
use bellwether_schemas::targets::Binding;
use bellwether_schemas::{DeviceName, Sha256Digest};

use super::objects::Flush;
use super::presented::{binding_of, verified};
use super::write::in_parallel;
use super::{Inner, Newest, PublishError, Publisher, Unsigned, layout};

/// Targets up to this length are read and hashed by the check, of longer ones only the length is compared.
const HASHED: u64 = 8 << 20;

/// What a device should find.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The device and what it is offered.
    pub binding: Binding,
    /// The highest metadata version of the device so far, signed by us.
    pub floor: u64,
}

/// What was found of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The device.
    pub device: DeviceName,
    /// What it finds, and the version of that; none where it cannot be read.
    pub found: Option<(Binding, u64)>,
    /// Why it must be published again, if it must.
    pub damage: Option<Damage>,
}

/// Why a device must be published again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A file is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// A file is torn, altered, or signed by others.
    #[error("{file} cannot be used: {why}")]
    Unusable {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file cannot be read.
    #[error("{file} cannot be read: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// Keys signed it that the newest root does not list any more.
    #[error("it is signed by online keys that were replaced")]
    OldKeys,
    /// It is whole, and says something else than it should.
    #[error("what is published is not what was decided last")]
    Outdated,
}

/// What was read back of one device.
#[derive(Debug)]
pub(super) struct Repository {
    pub(super) unsigned: Unsigned,
    pub(super) version: NonZeroU64,
    pub(super) expires: jiff::Timestamp,
    /// Whether the newest root lists the keys that signed it.
    pub(super) is_current: bool,
}

impl Repository {
    /// Whether it says what was decided, at no lower version than it had, by keys that count.
    pub(super) fn is_as_decided(&self, expected: &Expected) -> Result<(), Damage> {
        let outdated = self.unsigned.binding != expected.binding || self.version.get() < expected.floor;
        match (outdated, self.is_current) {
            (true, _) => Err(Damage::Outdated),
            (false, false) => Err(Damage::OldKeys),
            (false, true) => Ok(()),
        }
    }
}

impl Publisher {
    /// Reads back what each device finds, in order. Removes old files.
    ///
    /// # Errors
    /// When a part of the work ends unexpectedly.
    pub async fn check(&self, devices: Vec<Expected>) -> Result<Vec<Checked>, PublishError> {
        let inner = self.inner.clone();
        let found = in_parallel(devices, move |expected: Expected| {
            let inner = inner.clone();
            async move { inner.check_device(expected).await }
        });
        found.await
    }
}

impl Inner {
    async fn check_device(&self, expected: Expected) -> Checked {
        let device = expected.binding.device.clone();
        match self.read_repository(&device).await {
            Ok(found) => {
                let damage = self.check_repository(&expected, &found).await.err();
                let found = Some((found.unsigned.binding, found.version.get()));
                Checked { device, found, damage }
            }
            Err(damage) => Checked { device, found: None, damage: Some(damage) },
        }
    }

    async fn check_repository(&self, expected: &Expected, found: &Repository) -> Result<(), Damage> {
        let device = &expected.binding.device;
        for (name, target) in &found.unsigned.targets {
            self.check_target(name, target).await?;
        }
        let before = self.remove_old(device, found.version).await;
        let renew_at = timestamp_due(found.expires);
        self.newest().insert(device.clone(), Newest { version: found.version, before, renew_at });
        found.is_as_decided(expected)
    }

    /// Reads the metadata of a device, from the timestamp on, as a client would.
    pub(super) async fn read_repository(&self, device: &DeviceName) -> Result<Repository, Damage> {
        let timestamp: (tough::schema::Timestamp, bool) = self.read_role(&layout::timestamp(device), None).await?;
        let (timestamp, timestamp_current) = timestamp;
        let meta = named(&timestamp.meta, "snapshot.json")?;
        let (snapshot, snapshot_current): (Snapshot, bool) =
            self.read_role(&layout::snapshot(device, meta.version), Some(meta)).await?;
        let meta = named(&snapshot.meta, "targets.json")?;
        let (targets, targets_current): (Targets, bool) =
            self.read_role(&layout::targets(device, meta.version), Some(meta)).await?;
        let unusable = |why: String| Damage::Unusable { file: "targets.json".to_owned(), why };
        let binding = binding_of(&targets).map_err(|why| unusable(why.to_string()))?;
        if binding.device != *device {
            return Err(unusable(format!("it is for {}", binding.device)));
        }
        let version = timestamp.version.max(snapshot.version).max(targets.version);
        let unsigned = Unsigned { binding, targets: references(&targets), floor: version.get() };
        let is_current = timestamp_current && snapshot_current && targets_current;
        Ok(Repository { unsigned, version, expires: timestamp.expires, is_current })
    }

    /// A role, and whether the newest root lists the keys that signed it.
    async fn read_role<T>(&self, path: &Path, meta: Option<&Metafile>) -> Result<(T, bool), Damage>
    where
        T: Role + DeserializeOwned,
    {
        let bytes = self.read(path).await.map_err(|why| unread(path, &why))?;
        let unusable = |why: String| Damage::Unusable { file: path.to_string(), why };
        if let Some(hashes) = meta.and_then(|meta| meta.hashes.as_ref())
            && *Sha256Digest::of(&bytes).as_bytes() != *hashes.sha256
        {
            return Err(unusable("it is not what the metadata before it names".to_owned()));
        }
        let signed: Signed<T> = verified(&self.roots, &bytes).map_err(|why| unusable(why.to_string()))?;
        let is_current = self.roots.last().is_some_and(|root| root.verify_role(&signed).is_ok());
        Ok((signed.signed, is_current))
    }

    async fn read(&self, path: &Path) -> object_store::Result<Bytes> {
        self.objects.store().get(path).await?.bytes().await
    }

    async fn check_target(&self, name: &str, target: &TargetRef) -> Result<(), Damage> {
        if self.stored().contains(&target.sha256) {
            return Ok(());
        }
        let path = layout::target(&target.sha256, name);
        let unread = |why| unread(&path, &why);
        let length = self.objects.store().head(&path).await.map_err(unread)?.size;
        let whole = length == target.length
            && (length > HASHED || Sha256Digest::of(&self.read(&path).await.map_err(unread)?) == target.sha256);
        if !whole {
            let why = "its content is not what its name says".to_owned();
            return Err(Damage::Unusable { file: path.to_string(), why });
        }
        self.stored().insert(target.sha256);
        Ok(())
    }

    /// Removes numbered files but those of `newest` and of the one before; returns the one before. Files that cannot be
    /// listed or removed stay.
    async fn remove_old(&self, device: &DeviceName, newest: NonZeroU64) -> Option<NonZeroU64> {
        let mut versions: Vec<NonZeroU64> = Vec::new();
        let prefix = layout::device(device);
        let mut files = self.objects.store().list(Some(&prefix));
        while let Ok(Some(file)) = files.try_next().await {
            versions.extend(file.location.filename().and_then(layout::version_of));
        }
        versions.sort_unstable();
        versions.dedup();
        let before = versions.iter().copied().filter(|version| *version < newest).max();
        for old in versions.into_iter().filter(|version| *version < newest && Some(*version) != before) {
            self.remove(device, old, Flush::Each).await;
        }
        before
    }
}

fn unread(path: &Path, why: &object_store::Error) -> Damage {
    match why {
        object_store::Error::NotFound { .. } => Damage::Missing(path.to_string()),
        why => Damage::Unreadable { file: path.to_string(), why: why.to_string() },
    }
}

fn named<'m>(meta: &'m std::collections::HashMap<String, Metafile>, name: &str) -> Result<&'m Metafile, Damage> {
    meta.get(name).ok_or_else(|| Damage::Missing(format!("the entry of {name}")))
}

/// The targets that metadata of ours lists.
fn references(targets: &Targets) -> Vec<(String, TargetRef)> {
    let reference = |target: &tough::schema::Target| {
        let sha256 = <[u8; 32]>::try_from(&*target.hashes.sha256).ok().map(Sha256Digest::from_bytes)?;
        Some(TargetRef { sha256, length: target.length })
    };
    let mut all: Vec<_> =
        targets.targets.iter().filter_map(|(name, target)| Some((name.raw().to_owned(), reference(target)?))).collect();
    all.sort();
    all
}
