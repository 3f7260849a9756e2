//! Fleets and waves that manifests name.

use bellwether_schemas::manifest::{AnyManifest, HoldScope, Kind};
use bellwether_schemas::yaml::FieldPath;
use bellwether_schemas::{FleetName, codes};

use super::finding::{Finding, instead};
use super::manifests::Manifests;

/// Names of fleets and waves that are not there.
pub(super) fn problems(manifests: &Manifests) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, manifest) in &manifests.parsed {
        let mut fleet = |field: FieldPath, fleet: &FleetName| found.extend(missing(manifests, path, field, fleet));
        match manifest {
            AnyManifest::Rollout(rollout) => {
                fleet(FieldPath::of("metadata.name"), &rollout.metadata.name);
                let after = rollout.spec.after.iter().enumerate();
                after.for_each(|(place, name)| fleet(FieldPath::of("spec.after").item(place), name));
            }
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
            | AnyManifest::Device(_)
            | AnyManifest::Enrollment(_)
            | AnyManifest::TrustPolicy(_)
            | AnyManifest::Resume(_) => {}
        }
    }
    found
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
