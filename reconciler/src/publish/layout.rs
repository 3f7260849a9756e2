//! Where everything is in the store. Names are safe as path segments by their types.

use std::num::NonZeroU64;

use object_store::path::Path;

use bellwether_schemas::{DeviceName, Sha256Digest};

pub(super) fn root(version: NonZeroU64) -> Path {
    Path::from(format!("root/{version}.root.json"))
}

pub(super) fn head() -> Path {
    Path::from("head.json")
}

pub(super) fn target(digest: &Sha256Digest, name: &str) -> Path {
    Path::from(format!("targets/{digest}.{name}"))
}

pub(super) fn device(device: &DeviceName) -> Path {
    Path::from(format!("devices/{device}"))
}

pub(super) fn timestamp(device: &DeviceName) -> Path {
    Path::from(format!("devices/{device}/timestamp.json"))
}

pub(super) fn snapshot(device: &DeviceName, version: NonZeroU64) -> Path {
    Path::from(format!("devices/{device}/{version}.snapshot.json"))
}

pub(super) fn targets(device: &DeviceName, version: NonZeroU64) -> Path {
    Path::from(format!("devices/{device}/{version}.targets.json"))
}

/// The version in the name of a numbered file; `None` for other files.
pub(super) fn version_of(file: &str) -> Option<NonZeroU64> {
    let (version, rest) = file.split_once('.')?;
    matches!(rest, "snapshot.json" | "targets.json").then(|| version.parse().ok())?
}
