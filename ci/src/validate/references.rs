//! Fleets and waves that manifests name.

use std::collections::BTreeSet;

use bellwether_core::declare::Declared;
use bellwether_schemas::manifest::{AnyManifest, HoldScope, Kind};
use bellwether_schemas::yaml::{FieldPath, nearest};
use bellwether_schemas::{DeviceName, FleetName, codes};

use super::finding::{Finding, instead};
use super::manifests::Manifests;
use crate::devices::Known;

/// Names of fleets and waves that are not there.
pub(super) fn problems(manifests: &Manifests) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, name, after) in manifests.after() {
        found.extend(missing(manifests, path, FieldPath::of("metadata.name"), name));
        let after = after.iter().enumerate();
        found.extend(
            after.filter_map(|(place, name)| missing(manifests, path, FieldPath::of("spec.after").item(place), name)),
        );
    }
    for (path, manifest) in &manifests.parsed {
        let mut fleet = |field: FieldPath, fleet: &FleetName| found.extend(missing(manifests, path, field, fleet));
        match manifest {
            AnyManifest::Expedite(expedite) => fleet(FieldPath::of("spec.fleet"), &expedite.spec.fleet),
            AnyManifest::Hold(hold) => {
                if let Some(HoldScope::Fleets(fleets)) = hold.spec.scope() {
                    let fleets = fleets.iter().enumerate();
                    fleets.for_each(|(place, name)| fleet(FieldPath::of("spec.fleets").item(place), name));
                }
            }
            AnyManifest::Approval(approval) => {
                fleet(FieldPath::of("spec.fleet"), &approval.spec.fleet);
                // Of a fleet that is not there, nothing can be said of its waves.
                if !manifests.has_fleet(&approval.spec.fleet) {
                    continue;
                }
                let Some(waves) = manifests.waves(&approval.spec.fleet) else { continue };
                let there = waves.iter().map(|wave| wave.as_str());
                for (place, wave) in approval.spec.open.iter().enumerate() {
                    if !there.clone().any(|name| name == wave.as_str()) {
                        let message = format!("the rollout of {} has no wave {wave}", approval.spec.fleet);
                        let field = FieldPath::of("spec.open").item(place);
                        let problem = Finding::error(codes::DANGLING_REFERENCE, path, field, message);
                        found.push(problem.hint(instead(wave.as_str(), "waves", there.clone())));
                    }
                }
            }
            AnyManifest::Fleet(_)
            | AnyManifest::Rollout(_)
            | AnyManifest::Device(_)
            | AnyManifest::Enrollment(_)
            | AnyManifest::TrustPolicy(_)
            | AnyManifest::Resume(_) => {}
        }
    }
    found
}

/// Devices that manifests name, and that nobody enrolls. A name that is only like others may be one whose line was deleted, which
/// only the history of a base tells.
pub(super) fn devices(manifests: &Manifests, devices: &[Known], history: Option<&Declared>) -> Vec<Finding> {
    if !manifests.has_all_devices() {
        return Vec::new();
    }
    let mut enrolled: BTreeSet<&DeviceName> = BTreeSet::new();
    for (_, _, enrollment) in manifests.enrollments() {
        enrolled.extend(enrollment.tokens.iter().filter_map(|token| token.device.as_ref()));
        enrolled.extend(enrollment.approved.iter().map(|key| &key.device));
    }
    let own = |name: &DeviceName| manifests.texts.contains_key(&FleetName::of_device(name).path());
    let of_history = devices.iter().filter(|device| device.is_named && !own(&device.name)).map(|device| &device.name);
    enrolled.extend(of_history);
    let has_entry =
        |name: &DeviceName| history.is_some_and(|known| known.inventory().admissions().entry_of(name).is_some());
    let unknown = |path: &str, field: FieldPath, name: &DeviceName| {
        if enrolled.contains(name) || has_entry(name) || is_made(name) {
            return None;
        }
        let there = || enrolled.iter().map(|name| name.as_str());
        let letters = |name: &str| name.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        let is_typo = nearest(name.as_str(), there()).is_some_and(|near| letters(near) != letters(name.as_str()));
        if history.is_none() && !is_typo {
            return None;
        }
        let message = format!("no enrollment names a device {name}");
        let problem = Finding::warning(codes::DANGLING_REFERENCE, path, field, message);
        Some(problem.hint(instead(name.as_str(), "devices", there().collect::<Vec<_>>().into_iter())))
    };
    let mut found = Vec::new();
    for (path, manifest) in &manifests.parsed {
        match manifest {
            AnyManifest::Device(device) => {
                found.extend(unknown(path, FieldPath::of("metadata.name"), &device.metadata.name));
            }
            AnyManifest::Approval(approval) => {
                let named = approval.spec.retry.iter().flat_map(|retry| &retry.devices).enumerate();
                let field = |place| FieldPath::of("spec.retry.devices").item(place);
                found.extend(named.filter_map(|(place, name)| unknown(path, field(place), name)));
            }
            AnyManifest::Resume(resume) => {
                let named = resume.spec.devices.iter().enumerate();
                let field = |place| FieldPath::of("spec.devices").item(place);
                found.extend(named.filter_map(|(place, name)| unknown(path, field(place), name)));
            }
            _ => {}
        }
    }
    found
}

/// Whether a name has the form of those that enrolling makes: `<enrollment>-<16 hexadecimal digits>`.
fn is_made(name: &DeviceName) -> bool {
    let digits = name.as_str().rsplit_once('-').map(|(_, digits)| digits);
    digits.is_some_and(|digits| digits.len() == 16 && digits.bytes().all(|c| c.is_ascii_hexdigit()))
}

fn missing(manifests: &Manifests, path: &str, field: FieldPath, fleet: &FleetName) -> Option<Finding> {
    if manifests.has_fleet(fleet) {
        return None;
    }
    let folder = format!("{}/", Kind::Fleet.folder());
    let there = manifests.texts.keys().filter_map(|path| path.strip_prefix(&folder)?.strip_suffix(".yaml"));
    let problem = Finding::error(codes::DANGLING_REFERENCE, path, field, format!("there is no fleet {fleet}"));
    Some(problem.hint(instead(fleet.as_str(), "fleets", there)))
}
