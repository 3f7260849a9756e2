//! Where everything is in the store. Names are safe as path segments by their types.

use std::num::NonZeroU64;

use object_store::path::Path;

use bellwether_schemas::{DeviceName, FleetName, Sha256Digest};

pub(super) fn root(version: NonZeroU64) -> Path {
    Path::from(format!("root/{version}.root.json"))
}

pub(super) fn head() -> Path {
    Path::from("head.json")
}

/// Who took the store over last.
pub(super) fn leader() -> Path {
    Path::from("leader")
}

pub(super) fn fleets() -> Path {
    Path::from("fleets")
}

pub(super) fn fleet(fleet: &FleetName) -> Path {
    Path::from(format!("fleets/{fleet}.json"))
}

pub(super) fn decommissioned() -> Path {
    Path::from("decommissioned")
}

/// The record that a device has removed everything.
pub(super) fn decommissioned_device(device: &DeviceName) -> Path {
    Path::from(format!("decommissioned/{device}.json"))
}

pub(super) fn void_tokens() -> Path {
    Path::from("enrolled/void.json")
}

pub(super) fn target(digest: &Sha256Digest, name: &str) -> Path {
    Path::from(format!("targets/{digest}.{name}"))
}

pub(super) fn devices() -> Path {
    Path::from("devices")
}

pub(super) fn enrolled() -> Path {
    Path::from("enrolled")
}

/// The record that a token is spent, and by which key.
pub(crate) fn spent(token: &Sha256Digest) -> Path {
    Path::from(format!("enrolled/{token}"))
}

/// The certificate that came of a token.
pub(crate) fn certificate(token: &Sha256Digest) -> Path {
    Path::from(format!("enrolled/{token}.crt"))
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
