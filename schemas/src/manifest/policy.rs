//! Kind TrustPolicy: who may sign what.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NotYet;
use crate::name::{PersonName, RoleName};

/// Who may sign what (`trust/policy.yaml`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustPolicy {
    /// Rises with each change of the policy.
    #[schemars(range(min = 1))]
    pub version: u64,
    /// The branch it is for; on any other it is worth nothing.
    pub branch: String,
    /// When a head with this policy stops being accepted, as an RFC 3339 time stamp. Never looks back at history.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub expires: Timestamp,
    /// The people, by name.
    pub people: BTreeMap<PersonName, Person>,
    /// The roles, by name.
    pub roles: BTreeMap<RoleName, PolicyRole>,
    /// The rules. All that match a path must hold; a path that none matches is denied.
    pub rules: Vec<PolicyRule>,
    /// The accepted head that a signed reset gives up. Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandons: Option<NotYet>,
}

/// A person and the keys that are theirs. A key belongs to one person only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Person {
    /// SSH public keys in the form of an `authorized_keys` line, without options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<String>,
    /// OpenPGP certificates. Not supported yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub openpgp: Vec<NotYet>,
    /// Sigstore identities. Not supported yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gitsign: Vec<GitsignIdentity>,
    /// Whether this is a program: it may write and never counts as a signer.
    pub bot: bool,
}

/// A Sigstore identity. Not supported yet.
pub type GitsignIdentity = NotYet;

/// People who may do something together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyRole {
    /// Its members.
    pub members: Vec<PersonName>,
}

/// Which role must sign changes to which paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyRule {
    /// Globs: `*` matches within a folder, `**` across folders.
    #[schemars(length(min = 1))]
    pub paths: Vec<String>,
    /// The role.
    pub role: RoleName,
    /// How many distinct people of the role. Only 1 is supported yet.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub signers: u32,
}

fn one() -> u32 {
    1
}
