//! The envelope of every manifest: `apiVersion`, `kind`, `metadata`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::fields::Fields;
use super::problem::Report;
use super::tree::Node;
use super::values::{self, Meaning};
use super::{ApiVersion, Kind};
use crate::codes;
use crate::manifest::{Labels, Metadata};

/// What the place of a file says about the manifest in it.
pub(crate) struct Named<'p> {
    pub(crate) path: &'p str,
    pub(crate) kind: Kind,
}

impl Named<'_> {
    /// The name that the manifest must have, if its kind asks for one.
    pub(crate) fn name(&self) -> Option<&str> {
        match self.kind {
            Kind::Fleet | Kind::Rollout | Kind::Device | Kind::Enrollment => {
                let file = self.path.rsplit('/').next().unwrap_or(self.path);
                Some(file.strip_suffix(".yaml").unwrap_or(file))
            }
            Kind::TrustPolicy | Kind::Approval | Kind::Hold | Kind::Expedite | Kind::Resume => None,
        }
    }
}

/// `apiVersion`
pub(crate) fn api_version(node: &Node<'_>, report: &mut Report) -> Option<ApiVersion> {
    values::word(&[(crate::API_VERSION, Meaning::Is(ApiVersion::V1))], node, report)
}

/// `kind`, which must be that of the folder.
pub(crate) fn kind(node: &Node<'_>, named: &Named<'_>, report: &mut Report) -> Option<Kind> {
    let known = Kind::ALL.map(|kind| (kind.word(), Meaning::Is(kind)));
    let found = values::word(&known, node, report)?;
    let message = match found {
        _ if found != named.kind => {
            let (here, there) = (named.kind.folder(), found.folder());
            format!("found {found}, expected {} in {here}/ (a {found} belongs in {there}/)", named.kind)
        }
        Kind::TrustPolicy if named.path != "trust/policy.yaml" => {
            "the TrustPolicy stands in trust/policy.yaml, and nothing else in trust/ is one".to_owned()
        }
        _ => return Some(found),
    };
    node.fault(codes::WRONG_KIND, message, None, report);
    None
}

/// `metadata`
pub(crate) fn metadata<N>(node: &Node<'_>, named: &Named<'_>, report: &mut Report) -> Option<Metadata<N>>
where
    N: FromStr + schemars::JsonSchema + AsRef<str>,
    N::Err: Display,
{
    let mut fields = Fields::of(node, report)?;
    let name = fields.required("name", |node, report| {
        let name: N = values::parsed(node, report)?;
        match named.name() {
            // Only the name of a device's own fleet has a dot, and that is nobody's file.
            Some(_) if name.as_ref().contains('.') => {
                let message = format!("found {:?}, which is the fleet of one that a Device's own template makes", name.as_ref());
                let hint = "give it another name; what such a device runs stands in spec.template of its Device, and it has no Rollout";
                node.fault(codes::OWN_FLEET_NAME, message, Some(hint.to_owned()), report);
                None
            }
            Some(expected) if expected != name.as_ref() => {
                let message = format!("found {:?}, expected {expected:?} as in {}", name.as_ref(), named.path);
                let hint = Some("rename the file, or correct the name".to_owned());
                node.fault(codes::WRONG_KIND, message, hint, report);
                None
            }
            _ => Some(name),
        }
    });
    let labels = fields.or("labels", Labels::new(), values::labels);
    let annotations = fields.or("annotations", BTreeMap::new(), values::annotations);
    fields.finish();
    Some(Metadata { name: name?, labels: labels?, annotations: annotations? })
}
