//! Kind Device: facts and exceptions for one device.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Labels, Template, Vars};
use crate::id::CommitId;

/// Facts and exceptions for one device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Device {
    /// Labels; they override those of its enrollment key by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// Values for templates; they override those of its fleet key by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: Vars,
    /// Keeps the device at its fleet's template of one commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// Whether the device's certificates are refused; what the history said last holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<bool>,
    /// Whether the device shall remove everything that was placed on it, and its keys; what the history said last holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decommission: Option<bool>,
    /// What the device shall run, for a device that no fleet selects: a fleet of one, named `device.<name>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
}

/// Keeps a device at the template of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The commit.
    pub commit: CommitId,
}
