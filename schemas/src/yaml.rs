//! Manifests from YAML text, with every problem and its place.

use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::manifest::{AnyManifest, Kind};

/// Reads the manifest in `text`, which stands at `path` in the repository.
///
/// # Errors
/// Every problem of the file, each with its place.
pub fn parse(path: &str, text: &[u8]) -> Result<AnyManifest, Vec<Diagnostic>> {
    let fail = |message: String| vec![Diagnostic::error(codes::YAML_SYNTAX, path, message)];
    let text = std::str::from_utf8(text).map_err(|e| fail(e.to_string()))?;
    let kind = Kind::of_path(path).ok_or_else(|| fail("not a manifest".to_owned()))?;
    macro_rules! read {
        ($kind:ident) => {
            serde_saphyr::from_str(text).map(AnyManifest::$kind).map_err(|e| fail(e.to_string()))
        };
    }
    match kind {
        Kind::Fleet => read!(Fleet),
        Kind::Rollout => read!(Rollout),
        Kind::Device => read!(Device),
        Kind::Enrollment => read!(Enrollment),
        Kind::TrustPolicy => read!(TrustPolicy),
        Kind::Approval => read!(Approval),
        Kind::Hold => read!(Hold),
        Kind::Expedite => read!(Expedite),
        Kind::Resume => read!(Resume),
    }
}
