//! Manifests from YAML text, with every problem and its place.
//!
//! `text` checks the bytes, `tree` makes a tree with places and refuses YAML that says something else than it seems to,
//! and the readers of each kind make typed values from the tree. A reader reports what is wrong and goes on, so that one
//! run shows all problems of a file; each problem is reported once, at the place where it is mended.
//!
//! Only the grammar is borrowed (the event parser of serde-saphyr). Deserializing with serde would end at the first
//! problem and lose the places. Tests hold the readers and the serde form of the types together.

mod decision;
mod device;
mod enrollment;
mod fields;
mod fleet;
mod locate;
mod meant;
mod metadata;
mod nearest;
mod parts;
mod policy;
mod probe;
mod problem;
mod rollout;
mod scalar;
mod selector;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod values;
mod window;

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::manifest::{AnyManifest, ApiVersion, Kind, Manifest};
use fields::Fields;
pub use locate::{FieldPath, Places};
use metadata::Named;
pub use nearest::nearest;
pub use parts::{Parts, TemplateParts, WaveParts, parts};
use problem::Report;
use tree::Node;
pub(crate) use values::{is_label_word, label_key};

/// The greatest length of a manifest in bytes.
pub const MAX_MANIFEST: usize = 1 << 20;

/// The same of an Enrollment, in which ten thousand tokens have room.
pub const MAX_ENROLLMENT: usize = 4 << 20;

/// The greatest depth of lists and maps inside each other.
pub const MAX_DEPTH: usize = 32;

/// The greatest number of values in a manifest, keys included.
pub const MAX_VALUES: usize = 100_000;

/// How much a manifest of a kind may have.
#[derive(Debug, Clone, Copy)]
struct Limits {
    bytes: usize,
    values: usize,
}

impl Limits {
    const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Enrollment => Self { bytes: MAX_ENROLLMENT, values: MAX_VALUES * (MAX_ENROLLMENT / MAX_MANIFEST) },
            Kind::Fleet
            | Kind::Rollout
            | Kind::Device
            | Kind::TrustPolicy
            | Kind::Approval
            | Kind::Hold
            | Kind::Expedite
            | Kind::Resume => Self { bytes: MAX_MANIFEST, values: MAX_VALUES },
        }
    }
}

/// The greatest number of problems that are reported for one manifest.
pub const MAX_PROBLEMS: usize = 100;

/// Reads the manifest in `text`, which stands at `path` in the repository.
///
/// # Errors
/// Every problem of the file (up to [`MAX_PROBLEMS`]) in the order of the text, each with its place.
pub fn parse(path: &str, text: &[u8]) -> Result<AnyManifest, Vec<Diagnostic>> {
    let kind = Kind::of_path(path).ok_or_else(|| {
        let message = "no kind of manifest belongs here";
        let hint = "manifests are .yaml files directly in fleets/, rollouts/, devices/, enrollments/ and so on";
        vec![Diagnostic::error(codes::UNEXPECTED_FILE, path, message).hint(hint)]
    })?;
    let limits = Limits::of(kind);
    let text = text::check(path, text, limits.bytes)?;
    let mut report = Report::default();
    let manifest = tree::read(text, limits.values, &mut report).and_then(|root| read(path, kind, &root, &mut report));
    match manifest {
        Some(manifest) if report.is_empty() => Ok(manifest),
        _ => Err(report.into_diagnostics(path, text)),
    }
}

/// Says what is wrong with a label that comes from elsewhere than a manifest and shall be written into one.
///
/// # Errors
/// When the key or the value does not follow the grammar of labels.
pub fn check_label(key: &str, value: &str) -> Result<(), String> {
    values::label_key(key)?;
    if values::is_label_word(value) {
        return Ok(());
    }
    Err(format!(
        "{value:?} is no value of a label: at most 63 letters, digits, -, _ and . (a letter or digit first and last)"
    ))
}

fn read(path: &str, kind: Kind, root: &Node<'_>, report: &mut Report) -> Option<AnyManifest> {
    let named = Named { path, kind };
    let mut fields = Fields::of(root, report)?;
    let api_version = fields.required("apiVersion", metadata::api_version);
    let stated = fields.required("kind", |node, report| metadata::kind(node, &named, report));
    // Of another format or another kind, the fields cannot be judged.
    let (Some(api_version), Some(kind)) = (api_version, stated.or(fields.lacks("kind").then_some(kind))) else {
        fields.report_missing();
        return None;
    };
    macro_rules! manifest {
        ($kind:ident, $spec:expr) => {{
            let metadata = fields.required("metadata", |node, report| metadata::metadata(node, &named, report));
            let spec = fields.required("spec", $spec);
            fields.finish();
            Some(AnyManifest::$kind(Manifest { api_version, kind, metadata: metadata?, spec: spec? }))
        }};
    }
    match kind {
        Kind::Fleet => manifest!(Fleet, fleet::fleet),
        Kind::Rollout => manifest!(Rollout, |node, report| rollout::rollout(node, &named, report)),
        Kind::Device => manifest!(Device, device::device),
        Kind::Enrollment => manifest!(Enrollment, enrollment::enrollment),
        Kind::TrustPolicy => manifest!(TrustPolicy, policy::policy),
        Kind::Approval => manifest!(Approval, decision::approval),
        Kind::Hold => manifest!(Hold, decision::hold),
        Kind::Expedite => manifest!(Expedite, decision::expedite),
        Kind::Resume => manifest!(Resume, decision::resume),
    }
}
