//! The devices that manifests name, with the labels they have.

use std::collections::BTreeMap;

use bellwether_schemas::manifest::{AnyManifest, Labels};

/// Each device with its labels: the enrollment's, overridden by the token's, overridden by the Device manifest's.
pub(crate) fn known<'a>(manifests: impl Iterator<Item = &'a AnyManifest> + Clone) -> BTreeMap<String, Labels> {
    let mut devices: BTreeMap<String, Labels> = BTreeMap::new();
    for manifest in manifests.clone() {
        let AnyManifest::Enrollment(enrollment) = manifest else { continue };
        for token in &enrollment.spec.tokens {
            let unnamed = || format!("a device with the token {} of {}", token.id, enrollment.metadata.name);
            let name = token.device.as_ref().map_or_else(unnamed, ToString::to_string);
            let labels = devices.entry(name).or_default();
            labels.extend(enrollment.spec.labels.clone());
            labels.extend(token.labels.clone());
        }
    }
    for manifest in manifests {
        let AnyManifest::Device(device) = manifest else { continue };
        devices.entry(device.metadata.name.to_string()).or_default().extend(device.spec.labels.clone());
    }
    devices
}
