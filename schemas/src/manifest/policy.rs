//! Kind TrustPolicy: who may sign what.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forms;
use crate::id::{CommitId, Sha256Digest};
use crate::name::{PersonName, RoleName};
use crate::quantity::Seconds;

/// Who may sign what. The one TrustPolicy stands in `trust/policy.yaml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustPolicy {
    /// The number of the policy, from 1; it must rise with each change of the policy.
    #[schemars(range(min = 1))]
    pub version: u64,
    /// The branch it is for; on any other it is worth nothing.
    #[schemars(regex(pattern = forms::WORDS), extend("examples" = ["main"]))]
    pub branch: String,
    /// When a head with this policy stops being accepted, as an RFC 3339 time stamp. What was accepted before stays accepted.
    #[schemars(with = "forms::Moment")]
    pub expires: Timestamp,
    /// The people (and bots) who may sign, by name, with their keys.
    pub people: BTreeMap<PersonName, Person>,
    /// The roles that rules name, by name, with the people in them.
    pub roles: BTreeMap<RoleName, PolicyRole>,
    /// The rules. All that match a path must hold; a path that none matches is denied. One must have the path `trust/**` or
    /// `**`.
    #[schemars(length(min = 1), extend(
        "contains" = { "properties": { "paths": { "contains": { "enum": ["trust/**", "**"] } } }, "required": ["paths"] },
        "examples" = [[
            { "paths": ["trust/**", "enrollments/**"], "role": "admins", "signers": 2 },
            { "paths": ["fleets/**", "rollouts/**", "files/**"], "role": "operators" },
        ]],
    ))]
    pub rules: Vec<PolicyRule>,
    /// The longest time without a signed commit, 1 s to 3650 d; after it the repository counts as frozen by whoever serves
    /// it. No limit if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = forms::SOME_TIME, "examples" = ["30d"]))]
    pub max_silence: Option<Seconds>,
    /// SHA-256 of `trust/sigstore-root.json`, the Sigstore trusted root by which `gitsign` signatures are checked. Without it
    /// none of them counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigstore_root: Option<Sha256Digest>,
    /// The accepted head that a signed reset gives up. Only for a policy that goes back behind it; otherwise leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandons: Option<CommitId>,
}

/// A person and the keys that are theirs. A key belongs to one person only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("examples" = [{
    "ssh": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtMUC0zKP3o8pVo4A3NSxxpcS9A1zPHnvvRdiF9s3lD alice@example.com"],
}]))]
pub struct Person {
    /// SSH public keys, each as the line of its `.pub` file, without options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<forms::SshKey>", extend("default" = []))]
    pub ssh: Vec<String>,
    /// OpenPGP certificates (transferable public keys), in ASCII armour.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<forms::OpenPgp>", extend("default" = []))]
    pub openpgp: Vec<String>,
    /// Sigstore identities, with which `gitsign` signs. They count only with `sigstoreRoot`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("default" = []))]
    pub gitsign: Vec<GitsignIdentity>,
    /// Whether this is a program: it may write, and never counts as a signer.
    pub bot: bool,
}

/// A Sigstore identity: both must be in the signing certificate exactly as they stand here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "identity": "alice@example.com", "issuer": "https://accounts.example.com" }]))]
pub struct GitsignIdentity {
    /// The certificate's subject alternative name: an e-mail address or a URI.
    #[schemars(regex(pattern = forms::WORDS), extend("examples" = ["alice@example.com"]))]
    pub identity: String,
    /// The address of the OIDC issuer that vouched for it.
    #[schemars(regex(pattern = forms::WORDS), extend("examples" = ["https://accounts.example.com"]))]
    pub issuer: String,
}

/// People who may do something together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "members": ["alice", "bob"] }]))]
pub struct PolicyRole {
    /// Its members: names of `people`, each once.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub members: Vec<PersonName>,
}

/// Which role must sign changes to which paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{ "paths": ["fleets/**", "rollouts/**"], "role": "operators", "signers": 1 }]))]
pub struct PolicyRule {
    /// The paths it is about, as globs: `*` matches within a folder, `**` across folders.
    #[schemars(with = "Vec<forms::Glob>", length(min = 1), extend("uniqueItems" = true))]
    pub paths: Vec<String>,
    /// The role whose people must sign: a name of `roles`.
    pub role: RoleName,
    /// How many distinct people of the role must sign, bots left out: 1 to 100.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub signers: u32,
}

fn one() -> u32 {
    1
}
