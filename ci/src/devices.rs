//! The devices that manifests name, with the labels and variables they have.

use std::collections::BTreeMap;

use bellwether_core::declare::Facts;
use bellwether_schemas::manifest::{AnyManifest, Enrollment};
use bellwether_schemas::{DeviceName, EnrollmentName};

/// A device that manifests name, or that enrolls with a token without a name of its own.
#[derive(Debug)]
pub(crate) struct Known {
    /// How people know it.
    pub(crate) shown: String,
    /// Its name; for a token without a name, one of the form that the device will get.
    pub(crate) name: DeviceName,
    /// The enrollment's labels, overridden by the token's, overridden by the Device manifest's; and its variables.
    pub(crate) facts: Facts,
    /// Whether a manifest lists it. Else it stands for whoever will come by an enrollment in which nobody is listed yet.
    pub(crate) is_listed: bool,
    /// Whether `name` is its own.
    pub(crate) is_named: bool,
}

impl Known {
    /// A name of the form that devices get which enroll here without one of their own.
    pub(crate) fn made_name(enrollment: &EnrollmentName) -> Option<DeviceName> {
        format!("{enrollment}-0000000000000000").parse().ok()
    }
}

/// Each device that `manifests` name.
pub(crate) fn known<'a>(manifests: impl Iterator<Item = &'a AnyManifest> + Clone) -> Vec<Known> {
    let mut devices: BTreeMap<DeviceName, Known> = BTreeMap::new();
    let mut unnamed = Vec::new();
    for manifest in manifests.clone() {
        let AnyManifest::Enrollment(enrollment) = manifest else { continue };
        let made_name = |shown: String, labels, is_listed| {
            let name = Known::made_name(&enrollment.metadata.name)?;
            Some(Known { shown, name, facts: Facts { labels, ..Facts::default() }, is_listed, is_named: false })
        };
        let Enrollment { tokens, approved, ca, .. } = &enrollment.spec;
        if tokens.is_empty() && approved.is_empty() && ca.is_none() {
            let shown = format!("whoever enrolls by {}", enrollment.metadata.name);
            unnamed.extend(made_name(shown, enrollment.spec.labels.clone(), false));
        }
        if enrollment.spec.ca.is_some() {
            let shown = format!("a device with a factory certificate for {}", enrollment.metadata.name);
            unnamed.extend(made_name(shown, enrollment.spec.labels.clone(), true));
        }
        for key in &enrollment.spec.approved {
            let mut labels = enrollment.spec.labels.clone();
            labels.extend((*key.labels).clone());
            devices.entry(key.device.clone()).or_insert_with(|| named(&key.device)).facts.labels.extend(labels);
        }
        for token in &enrollment.spec.tokens {
            let mut labels = enrollment.spec.labels.clone();
            labels.extend((*token.labels).clone());
            if let Some(name) = &token.device {
                devices.entry(name.clone()).or_insert_with(|| named(name)).facts.labels.extend(labels);
            } else {
                let shown = format!("a device with the token {} of {}", token.id, enrollment.metadata.name);
                unnamed.extend(made_name(shown, labels, true));
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
    Known { shown: name.to_string(), name: name.clone(), facts: Facts::default(), is_listed: true, is_named: true }
}
