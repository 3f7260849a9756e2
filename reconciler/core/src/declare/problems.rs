//! Problems of manifests that parse: what they say does not fit what else is there. `bellwether validate` says the same.

use bellwether_schemas::diagnostic::Diagnostic;
use bellwether_schemas::{DeviceName, EntryId, FleetName, codes};

use crate::admission::Proof;

/// An entry that lists another token or key than the one that it was first listed with.
pub fn changed_proof(path: &str, entry: &EntryId, listed: &Proof) -> Diagnostic {
    let (code, what) = match listed {
        Proof::Token { .. } => (codes::TOKEN_CHANGED, "token"),
        Proof::Key { .. } => (codes::KEY_CHANGED, "key"),
    };
    let why = format!("entry {entry} had another {what} before, which it keeps; a new {what} needs an id of its own");
    Diagnostic::error(code, path, why)
}

/// A device that these fleets select, so that its own template counts for nothing.
pub fn unused_template(device: &DeviceName, fleets: &[FleetName]) -> Diagnostic {
    let names: Vec<_> = fleets.iter().map(FleetName::as_str).collect();
    let (noun, verb) = if fleets.len() == 1 { ("fleet", "selects") } else { ("fleets", "select") };
    let why = format!("the {noun} {} {verb} {device}, so its own template does not count", names.join(" and "));
    let hint = "remove spec.template, or narrow the selector or the labels so that no fleet selects the device";
    Diagnostic::error(codes::OWN_TEMPLATE_UNUSED, &FleetName::of_device(device).path(), why).hint(hint)
}
