//! Devices that have removed everything, as the history asked: they are refused, though no landing says so. Each is known by
//! the entry that it was enrolled by: by another one it may come back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellwether_core::admission::{Admissions, Identity};
use bellwether_schemas::DeviceName;
use jiff::Timestamp;

use crate::publish::{DecommissionRecord, DecommissionType};
use crate::store::DeviceRow;

/// Those that left, and what is to be written of it.
#[derive(Debug, Default)]
pub(super) struct Gone {
    /// By records that are in the store.
    records: BTreeMap<DeviceName, DecommissionRecord>,
    /// What the store is to have: a record, or none any more.
    unwritten: BTreeMap<DeviceName, Option<DecommissionRecord>>,
    /// What the listeners were told last, and which word of the history that was made of.
    told: Option<(Arc<Admissions>, Arc<Admissions>)>,
}

impl Gone {
    /// Takes the records that the store has.
    pub(super) fn take(&mut self, records: Vec<DecommissionRecord>) {
        self.records.extend(records.into_iter().map(|record| (record.device.clone(), record)));
        self.told = None;
    }

    /// Since when a device is gone, if it is.
    pub(super) fn of(&self, row: &DeviceRow) -> Option<Timestamp> {
        let record = self.records.get(&row.name)?;
        (record.enrollment == row.enrollment && record.entry == row.entry).then_some(record.at)
    }

    /// A device has removed everything.
    pub(super) fn leaves(&mut self, identity: &Identity, at: Timestamp) {
        let Identity { enrollment, entry, device, .. } = identity.clone();
        let kind = DecommissionType::default();
        let record = DecommissionRecord { kind, device: device.clone(), enrollment, entry, at };
        self.unwritten.entry(device).or_insert(Some(record));
    }

    /// A device got a certificate. Where that is by the entry that it left by (a factory's is always the same), it is back.
    pub(super) fn came_back(&mut self, identity: &Identity) {
        let left =
            |record: &&DecommissionRecord| record.enrollment == identity.enrollment && record.entry == identity.entry;
        if self.records.get(&identity.device).filter(left).is_some() {
            self.unwritten.insert(identity.device.clone(), None);
        }
    }

    /// What the store is to have.
    pub(super) fn unwritten(&self) -> &BTreeMap<DeviceName, Option<DecommissionRecord>> {
        &self.unwritten
    }

    /// The store has it. Returns whom it concerns.
    pub(super) fn written(&mut self) -> BTreeSet<DeviceName> {
        let written = std::mem::take(&mut self.unwritten);
        let names = written.keys().cloned().collect();
        for (device, record) in written {
            match record {
                Some(record) => drop(self.records.insert(device, record)),
                None => drop(self.records.remove(&device)),
            }
        }
        self.told = None;
        names
    }

    /// What the history says, but for those who are gone. The same for the same word, so that it is told once.
    pub(super) fn within(&mut self, history: &Arc<Admissions>) -> Arc<Admissions> {
        if self.records.is_empty() {
            return history.clone();
        }
        if let Some((of, told)) = &self.told
            && Arc::ptr_eq(of, history)
        {
            return told.clone();
        }
        let gone = self
            .records
            .values()
            .map(|record| (record.device.clone(), (record.enrollment.clone(), record.entry.clone())));
        let mut admissions = (**history).clone();
        admissions.set_gone(gone.collect());
        let admissions = Arc::new(admissions);
        self.told = Some((history.clone(), admissions.clone()));
        admissions
    }
}
