//! The manifests that engineers write: one envelope, nine kinds.
//!
//! These types say what a manifest may contain. `crate::yaml` makes them from text and reports every problem with its
//! place; whether several manifests fit together is `bellwether-core`'s business.

mod decision;
mod device;
mod enrollment;
mod factory_ca;
mod fleet;
mod forms;
mod http_url;
mod policy;
mod rollout;
mod selector;
mod selector_index;
mod window;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use decision::{Approval, Expedite, HaltResume, Hold, HoldScope, Resume, Retry, SkipStep};
pub use device::{Device, Pin};
pub use enrollment::{ApprovalMode, ApprovedKey, Enrollment, Token};
pub use factory_ca::{FactoryCa, InvalidCa};
pub use fleet::{
    Artifact, ArtifactSource, Drift, ExecProbe, File, FileContent, FileProbe, Fleet, HttpProbe, OnLeave, Probe,
    ProbeAction, Probes, Template, Unpack,
};
pub use http_url::{HttpUrl, InvalidHttpUrl};
pub use policy::{GitsignIdentity, Person, PolicyRole, PolicyRule, TrustPolicy};
pub use rollout::{Budget, Gate, MaxUnavailable, OnFailure, OnNewer, Rollout, Wave, WaveMembers};
pub use selector::{LabelSelector, Operator, Requirement};
pub use selector_index::SelectorIndex;
pub use window::{Day, DayRange, InvalidWindow, TimeOfDay, Window, Zone};

/// Labels: what selectors match. `crate::yaml` holds them to the grammar of Kubernetes.
///
/// A key is 1 to 63 letters, digits, `-`, `_` and `.`, with a letter or digit first and last, perhaps after a domain name
/// (at most 253 lower-case characters) and `/`. A value is empty, or of the same form without the domain.
pub type Labels = litemap::LiteMap<String, String>;

/// Free values for templates.
pub type Vars = BTreeMap<String, serde_json::Value>;

/// A field that the format has and that this release does not obey yet; `crate::yaml` refuses any value of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NotYet(pub serde_json::Value);

impl JsonSchema for NotYet {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NotYet".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "Not supported yet: refused by this release.", "not": {} })
    }
}

/// What every manifest says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metadata<N> {
    /// The name. The file of a Fleet, Rollout, Device or Enrollment is named after it: `<name>.yaml`.
    pub name: N,
    /// Labels of the manifest itself, for people and tools. Labels by which devices are chosen are in `spec.labels` of a
    /// Device or an Enrollment.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    #[schemars(with = "forms::Labels", extend("default" = {}))]
    pub labels: Labels,
    /// Notes for people and tools, such as the number of a ticket. Bellwether does not read them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "forms::Annotations", extend("default" = {}))]
    pub annotations: BTreeMap<String, String>,
}

/// The kinds of manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// Devices chosen by labels, with what they shall run.
    Fleet,
    /// How changes to a fleet roll out.
    Rollout,
    /// Facts and exceptions for one device.
    Device,
    /// Who may enroll.
    Enrollment,
    /// Who may sign what.
    TrustPolicy,
    /// Opens gates.
    Approval,
    /// Stops offers.
    Hold,
    /// Lets an emergency fix skip steps.
    Expedite,
    /// Ends the pause of devices by force.
    Resume,
}

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Fleet,
        Self::Rollout,
        Self::Device,
        Self::Enrollment,
        Self::TrustPolicy,
        Self::Approval,
        Self::Hold,
        Self::Expedite,
        Self::Resume,
    ];

    /// The folder in which manifests of this kind live.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Fleet => "fleets",
            Self::Rollout => "rollouts",
            Self::Device => "devices",
            Self::Enrollment => "enrollments",
            Self::TrustPolicy => "trust",
            Self::Approval => "approvals",
            Self::Hold => "holds",
            Self::Expedite => "expedites",
            Self::Resume => "resumes",
        }
    }

    /// The kind whose folder `path` lies in directly, when it is a `.yaml` file there.
    pub fn of_path(path: &str) -> Option<Self> {
        let (folder, file) = path.split_once('/')?;
        if file.contains('/') || !file.ends_with(".yaml") {
            return None;
        }
        Self::ALL.into_iter().find(|kind| kind.folder() == folder)
    }

    /// The word that `kind:` takes.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fleet => "Fleet",
            Self::Rollout => "Rollout",
            Self::Device => "Device",
            Self::Enrollment => "Enrollment",
            Self::TrustPolicy => "TrustPolicy",
            Self::Approval => "Approval",
            Self::Hold => "Hold",
            Self::Expedite => "Expedite",
            Self::Resume => "Resume",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One manifest of a known kind, as it stands in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest<N, S> {
    /// The version of the format, always `bellwether/v1`: a manifest of another version is refused.
    pub api_version: ApiVersion,
    /// The kind; it must be that of the folder.
    pub kind: Kind,
    /// What the manifest is called: its name, perhaps with labels and annotations of its own.
    pub metadata: Metadata<N>,
    /// What it says.
    pub spec: S,
}

/// The one `apiVersion` there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ApiVersion {
    /// `bellwether/v1`
    #[serde(rename = "bellwether/v1")]
    V1,
}

impl JsonSchema for ApiVersion {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ApiVersion".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "const": crate::API_VERSION })
    }
}

/// A manifest of any kind.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "held behind Arc; a box more would buy nothing")]
pub enum AnyManifest {
    /// `fleets/<name>.yaml`
    Fleet(Manifest<crate::FleetName, Fleet>),
    /// `rollouts/<name>.yaml`
    Rollout(Manifest<crate::FleetName, Rollout>),
    /// `devices/<name>.yaml`
    Device(Manifest<crate::DeviceName, Device>),
    /// `enrollments/<name>.yaml`
    Enrollment(Manifest<crate::EnrollmentName, Enrollment>),
    /// `trust/policy.yaml`
    TrustPolicy(Manifest<crate::name::ManifestName, TrustPolicy>),
    /// `approvals/*.yaml`
    Approval(Manifest<crate::name::ManifestName, Approval>),
    /// `holds/*.yaml`
    Hold(Manifest<crate::name::ManifestName, Hold>),
    /// `expedites/*.yaml`
    Expedite(Manifest<crate::name::ManifestName, Expedite>),
    /// `resumes/*.yaml`
    Resume(Manifest<crate::name::ManifestName, Resume>),
}

impl AnyManifest {
    /// The kind of the manifest.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Fleet(_) => Kind::Fleet,
            Self::Rollout(_) => Kind::Rollout,
            Self::Device(_) => Kind::Device,
            Self::Enrollment(_) => Kind::Enrollment,
            Self::TrustPolicy(_) => Kind::TrustPolicy,
            Self::Approval(_) => Kind::Approval,
            Self::Hold(_) => Kind::Hold,
            Self::Expedite(_) => Kind::Expedite,
            Self::Resume(_) => Kind::Resume,
        }
    }
}
