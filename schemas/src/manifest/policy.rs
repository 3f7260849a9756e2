//! Kind TrustPolicy: who may sign what.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{CommitId, Sha256Digest};
use crate::name::{PersonName, RoleName};
use crate::quantity::Seconds;

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
    /// The longest time without a signed commit; after it the repository counts as frozen by whoever serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_silence: Option<Seconds>,
    /// SHA-256 of `trust/sigstore-root.json`, the Sigstore trusted root by which `gitsign` signatures are checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigstore_root: Option<Sha256Digest>,
    /// The accepted head that a signed reset gives up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandons: Option<CommitId>,
}

/// A person and the keys that are theirs. A key belongs to one person only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Person {
    /// SSH public keys in the form of an `authorized_keys` line, without options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<String>,
    /// OpenPGP certificates (transferable public keys), in ASCII armour.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub openpgp: Vec<String>,
    /// Sigstore identities, with which `gitsign` signs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gitsign: Vec<GitsignIdentity>,
    /// Whether this is a program: it may write and never counts as a signer.
    pub bot: bool,
}

/// A Sigstore identity: both must be in the signing certificate exactly as they stand here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitsignIdentity {
    /// The certificate's subject alternative name: an e-mail address or a URI.
    pub identity: String,
    /// The address of the OIDC issuer that vouched for it.
    pub issuer: String,
}

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
    /// How many distinct people of the role, bots left out.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub signers: u32,
}

fn one() -> u32 {
    1
}
