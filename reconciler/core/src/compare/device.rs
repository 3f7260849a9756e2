//! The devices of a comparison: those of an inventory, or those that git lists.

use std::sync::Arc;

use bellwether_schemas::allow::Allowed;
use bellwether_schemas::enroll::made_name;
use bellwether_schemas::manifest::Labels;
use bellwether_schemas::{DeviceName, Sha256Digest};

use crate::declare::{Declared, EntryKey, Facts, Inventory, Subject};

/// A device that somebody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name; for an entry that names none, one of the form that the device will get.
    pub name: DeviceName,
    /// How people know it.
    pub shown: String,
    /// By which entry it came, if that is known.
    pub entry: Option<EntryKey>,
    /// Its labels, where git does not say.
    pub labels: Labels,
    /// Whether it is silent for longer than devices should be.
    pub is_offline: bool,
    /// What its operator allows, if that is known.
    pub allows: Option<Arc<Allowed>>,
}

/// Why a device is not told anything any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Revoked,
    Decommissioned,
}

impl Device {
    /// Every device that one of both sides lists, each entry that names no device being one; by name.
    pub fn listed(before: &Declared, after: &Declared) -> Vec<Self> {
        let mut devices = std::collections::BTreeMap::new();
        for inventory in [before.inventory(), after.inventory()] {
            for (key, named) in inventory.entries() {
                let (enrollment, id) = key;
                let unnamed = || made_name(enrollment, &Sha256Digest::of(id.as_str().as_bytes())).ok();
                let Some(name) = named.cloned().or_else(unnamed) else { continue };
                let shown = match named {
                    Some(device) => device.to_string(),
                    None => format!("the device with the token {id} of {enrollment}"),
                };
                // A device that git names has the entry that counts.
                let entry = named.is_none().then(|| key.clone());
                devices.insert(name.clone(), Self::of_git(name, shown, entry));
            }
            for name in inventory.devices() {
                devices.entry(name.clone()).or_insert_with(|| Self::of_git(name.clone(), name.to_string(), None));
            }
        }
        devices.into_values().collect()
    }

    /// One of which only git tells.
    const fn of_git(name: DeviceName, shown: String, entry: Option<EntryKey>) -> Self {
        Self { name, shown, entry, labels: Labels::new(), is_offline: false, allows: None }
    }

    /// Its labels on a side; none where nobody knows it there. Of one whose entry is not known git is not asked whether it is.
    pub(super) fn labels(&self, inventory: &Inventory) -> Option<Labels> {
        let is_known = match &self.entry {
            Some(entry) => inventory.lists(entry) || inventory.names(&self.name),
            None => !self.labels.is_empty() || inventory.names(&self.name),
        };
        is_known.then(|| self.facts(inventory).labels)
    }

    /// Whether an Enrollment has an entry for it. A manifest of its own lets nobody in.
    pub(super) fn may_enroll(&self, inventory: &Inventory) -> bool {
        self.entry.as_ref().is_some_and(|entry| inventory.lists(entry))
            || inventory.admissions().entry_of(&self.name).is_some()
    }

    pub(super) fn facts(&self, inventory: &Inventory) -> Facts {
        match &self.entry {
            Some((enrollment, entry)) => inventory.facts(&self.name, enrollment, entry),
            None if inventory.names(&self.name) => inventory.subject_facts(&Subject::Device(self.name.clone())),
            None => Facts { labels: self.labels.clone(), ..Facts::default() },
        }
    }

    /// Whether an inventory that does not say by which entry it came has other labels than git has.
    pub(super) fn is_contradicted(&self, labels: &Labels) -> bool {
        self.entry.is_none() && self.labels.iter().any(|(key, value)| labels.get(key) != Some(value))
    }

    pub(super) fn ended(&self, inventory: &Inventory) -> Option<Ended> {
        let admissions = inventory.admissions();
        let entry = self.entry.as_ref().or_else(|| admissions.entry_of(&self.name));
        if admissions.is_decommissioned(&self.name) {
            Some(Ended::Decommissioned)
        } else if admissions.is_device_revoked(&self.name)
            || entry.is_some_and(|entry| admissions.is_entry_revoked(entry))
        {
            Some(Ended::Revoked)
        } else {
            None
        }
    }
}
