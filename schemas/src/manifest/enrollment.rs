//! Kind Enrollment: who may enroll, and with which labels.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FactoryCa, Labels, forms};
use crate::id::Sha256Digest;
use crate::name::{DeviceName, EntryId};

/// Which devices may enroll, how, and with which labels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Enrollment {
    /// Labels of every device that enrolls here.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    #[schemars(with = "forms::Labels", extend("default" = {}))]
    pub labels: Labels,
    /// Tokens: each enrolls one device, once. `bellwether token mint` makes them, and writes their entries here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("default" = []))]
    pub tokens: Vec<Token>,
    /// Keys that a person approved: each enrolls one device. `bellwether device approve` writes them here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("default" = []))]
    pub approved: Vec<ApprovedKey>,
    /// Whether devices without a token may ask, and wait for a person to approve their key.
    pub approval: ApprovalMode,
    /// Certificates, in PEM, of the authorities whose certificates devices bring from the factory: each such device may
    /// enroll, without a token. If not given, none may; removing it revokes nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<FactoryCa>,
}

/// A token, known to git by its hash only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "id": "edge-1-token",
    "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "expires": "2030-01-31T12:00:00Z",
    "device": "edge-1",
}]))]
pub struct Token {
    /// Its id, unique in the Enrollment among tokens and keys, and not `factory`; certificates name it.
    #[schemars(extend("not" = { "const": "factory" }))]
    pub id: EntryId,
    /// SHA-256 of the token's 32 random bytes. The token itself never stands in git.
    pub sha256: Sha256Digest,
    /// When it stops being accepted, as an RFC 3339 time stamp.
    #[schemars(with = "forms::Moment")]
    pub expires: Timestamp,
    /// The name of the device that enrolls with it; a name made from its key if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceName>,
    /// Labels of the device that enrolls with it; they override those of the Enrollment key by key.
    #[serde(default, skip_serializing_if = "is_empty")]
    #[schemars(with = "forms::Labels", extend("default" = {}))]
    pub labels: Arc<Labels>,
    /// Whether the certificate made with it is refused. If not given, what the history said last holds: only `false` takes a
    /// revocation back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<bool>,
}

fn is_empty(labels: &Arc<Labels>) -> bool {
    labels.is_empty()
}

/// A key that a person approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "id": "k-ba7816bf8f01",
    "fingerprint": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "device": "edge-1",
}]))]
pub struct ApprovedKey {
    /// Its id, unique in the Enrollment among tokens and keys, and not `factory`; certificates name it.
    #[schemars(extend("not" = { "const": "factory" }))]
    pub id: EntryId,
    /// SHA-256 of the key's SubjectPublicKeyInfo, as `bellwether-agent enroll` shows it on the device.
    pub fingerprint: Sha256Digest,
    /// The name that the device gets.
    pub device: DeviceName,
    /// Labels of the device; they override those of the Enrollment key by key.
    #[serde(default, skip_serializing_if = "is_empty")]
    #[schemars(with = "forms::Labels", extend("default" = {}))]
    pub labels: Arc<Labels>,
    /// Whether the certificate made for it is refused. If not given, what the history said last holds: only `false` takes a
    /// revocation back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<bool>,
}

/// What a device needs to enroll that has no token. Tokens, approved keys and factory certificates count in either mode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ApprovalMode {
    /// It cannot: requests without a token are refused.
    #[default]
    Token,
    /// A person's approval of its key, for which it waits.
    Manual,
}
