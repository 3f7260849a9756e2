//! The devices that manifests name, with the labels and variables they have.

use std::collections::BTreeMap;

use bellwether_core::declare::Facts;
use bellwether_schemas::DeviceName;
use bellwether_schemas::manifest::AnyManifest;

/// A device that manifests name, or that enrolls with a token without a name of its own.
#[derive(Debug)]
pub(crate) struct Known {
    /// How people know it.
    pub(crate) shown: String,
    /// Its name; for a token without a name, one of the form that the device will get.
    pub(crate) name: DeviceName,
    /// The enrollment's labels, overridden by the token's, overridden by the Device manifest's; and its variables.
    pub(crate) facts: Facts,
}

/// Each device that `manifests` name.
pub(crate) fn known<'a>(manifests: impl Iterator<Item = &'a AnyManifest> + Clone) -> Vec<Known> {
    let mut devices: BTreeMap<DeviceName, Known> = BTreeMap::new();
    let mut unnamed = Vec::new();
    for manifest in manifests.clone() {
        let AnyManifest::Enrollment(enrollment) = manifest else { continue };
        for token in &enrollment.spec.tokens {
            let mut labels = enrollment.spec.labels.clone();
            labels.extend(token.labels.clone());
            if let Some(name) = &token.device {
                devices.entry(name.clone()).or_insert_with(|| named(name)).facts.labels.extend(labels);
            } else if let Ok(name) = format!("{}-0000000000000000", enrollment.metadata.name).parse() {
                let shown = format!("a device with the token {} of {}", token.id, enrollment.metadata.name);
                unnamed.push(Known { shown, name, facts: Facts { labels, ..Facts::default() } });
            }
        }
    }
    for manifest in manifests {
        let AnyManifest::Device(device) = manifest else { continue };
        let name = &device.metadata.name;
        let facts = &mut devices.entry(name.clone()).or_insert_with(|| named(name)).facts;
        facts.labels.extend(device.spec.labels.clone());
        facts.vars.clone_from(&device.spec.vars);
    }
    devices.into_values().chain(unnamed).collect()
}

fn named(name: &DeviceName) -> Known {
    Known { shown: name.to_string(), name: name.clone(), facts: Facts::default() }
}
