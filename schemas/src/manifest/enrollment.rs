//! Kind Enrollment: who may enroll, and with which labels.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FactoryCa, Labels};
use crate::id::Sha256Digest;
use crate::name::{DeviceName, EntryId};

/// Who may enroll, and with which labels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Enrollment {
    /// Labels of every device that enrolls here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// Tokens: each enrolls one device, once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<Token>,
    /// Keys that a person approved: each enrolls one device.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<ApprovedKey>,
    /// Whether devices without a token may ask, and wait for a person to approve their key.
    pub approval: ApprovalMode,
    /// Certificates, in PEM, of the authorities whose certificates devices bring from the factory: each such device may
    /// enroll, without a token. Removing it ends that and revokes nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<FactoryCa>,
}

/// A token, known to git by its hash only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Token {
    /// Its id, unique in the Enrollment among tokens and keys; certificates name it.
    pub id: EntryId,
    /// SHA-256 of the token's 32 random bytes.
    pub sha256: Sha256Digest,
    /// When it stops being accepted, as an RFC 3339 time stamp.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires: Timestamp,
    /// The name of the device that enrolls with it; a name made from its key if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceName>,
    /// Labels of the device that enrolls with it; they override those of the Enrollment key by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// Whether the certificate made with it is refused; what the history said last holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<bool>,
}

/// A key that a person approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovedKey {
    /// Its id, unique in the Enrollment among tokens and keys; certificates name it.
    pub id: EntryId,
    /// SHA-256 of the key's SubjectPublicKeyInfo, as `bellwether-agent enroll` shows it.
    pub fingerprint: Sha256Digest,
    /// The name of the device.
    pub device: DeviceName,
    /// Labels of the device; they override those of the Enrollment key by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// Whether the certificate made for it is refused; what the history said last holds.
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
