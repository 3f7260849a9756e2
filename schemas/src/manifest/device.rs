//! Kind Device: facts and exceptions for one device.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Labels, Template, Vars, forms};
use crate::id::CommitId;

/// Facts and exceptions for one device. A device needs no such file to enroll and to be in a fleet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Device {
    /// Labels of the device; they override those of its enrollment key by key.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    #[schemars(with = "forms::Labels", extend("default" = {}))]
    pub labels: Labels,
    /// Values for templates; they override those of its fleet key by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "forms::Vars", extend("default" = {}))]
    pub vars: Vars,
    /// Keeps the device at its fleet's template of one commit, whatever the fleet rolls out. Without it the device follows
    /// its fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// Whether the device's certificates are refused. If not given, what the history said last holds: only `false` takes a
    /// revocation back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<bool>,
    /// Whether the device shall remove everything that was placed on it, and its keys. If not given, what the history said
    /// last holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decommission: Option<bool>,
    /// What the device shall run, for a device that no fleet selects: a fleet of one, named `device.<name>`. If not given,
    /// it runs what its fleet says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
}

/// Keeps a device at the template of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "commit": "9f3c2ab000000000000000000000000000000001" }]))]
pub struct Pin {
    /// The landing whose template the device keeps: a full id, never a branch.
    pub commit: CommitId,
}
