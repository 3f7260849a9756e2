//! What database and store remember together, where one of them was lost or set back: the newer of both, and for each device
//! everything that was ever signed for it. Decides by what is given, and reads nothing.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_core::admission::Identity;
use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::report::Reported;
use bellwether_schemas::targets::{EnrolledBy, SignedOffer};
use bellwether_schemas::{CommitId, DeviceName, FleetName};
use jiff::Timestamp;

use crate::publish::{FleetRecord, Survey, Surveyed};
use crate::store::{DeviceRow, Loaded, OfferRow, OfferedRow, RolloutRow};

/// What is to be in the database.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// Every known device.
    pub(super) devices: Vec<DeviceRow>,
    /// Offers that the database lacks.
    pub(super) offers: Vec<OfferedRow>,
    /// Rollouts that the store knows better.
    pub(super) rollouts: BTreeMap<FleetName, RolloutRow>,
}

/// Merges what the database has with what the store remembers. `enrolled` are the newest identities of devices that got a
/// certificate.
pub(super) fn merge(
    loaded: &Loaded,
    survey: &Survey,
    fleets: &[FleetRecord],
    enrolled: &BTreeMap<DeviceName, Identity>,
    now: Timestamp,
) -> Merged {
    let mut known: BTreeSet<(DeviceName, CommitId, u32)> = loaded.offered.iter().map(key).collect();
    let named: BTreeSet<&DeviceName> = loaded.offered.iter().map(|offered| &offered.device).collect();
    let surveyed: BTreeMap<&DeviceName, &Surveyed> = survey.devices.iter().map(|it| (&it.device, it)).collect();
    let mut merged = Merged::default();
    for found in &survey.devices {
        for signed in found.offer.iter().chain(&found.earlier) {
            let offered = offered(&found.device, signed, now);
            if known.insert(key(&offered)) {
                merged.offers.push(offered);
            }
        }
    }
    let rows = loaded.devices.iter().cloned().map(|row| (row.name.clone(), row));
    let mut rows: BTreeMap<DeviceName, DeviceRow> = rows.collect();
    for (device, identity) in enrolled {
        rows.entry(device.clone()).or_insert_with(|| unknown(identity, now));
    }
    for (name, mut row) in rows {
        let found = surveyed.get(&name).copied();
        if let Some(found) = found.filter(|found| found.version > row.metadata_version) {
            row.metadata_version = found.version;
            if let Some(EnrolledBy { enrollment, entry }) = found.enrolled.clone() {
                (row.enrollment, row.entry) = (enrollment, entry);
            }
            if row.offer.as_ref().map(|offer| &offer.signed) != found.offer.as_ref() {
                row.offer =
                    found.offer.clone().map(|signed| OfferRow { signed, offered_at: now, acknowledged_at: None });
            }
        }
        let signed = found.is_some_and(|found| found.offer.is_some() || !found.earlier.is_empty());
        row.awaiting_reconnect = signed || row.offer.is_some() || named.contains(&name) || claims_a_version(&row);
        // That it is gone is no judgement of what it runs.
        row.paused = row.paused.filter(WaitingOn::is_gone);
        merged.devices.push(row);
    }
    for record in fleets {
        let stored = loaded.rollouts.iter().find(|row| row.fleet == record.fleet);
        if stored.is_none_or(|row| row.sequence < record.sequence) {
            let FleetRecord { fleet, sequence, record, .. } = record.clone();
            merged.rollouts.insert(fleet.clone(), RolloutRow { fleet, sequence, record });
        }
    }
    merged
}

fn key(offered: &OfferedRow) -> (DeviceName, CommitId, u32) {
    (offered.device.clone(), offered.version.commit, offered.version.revision)
}

fn offered(device: &DeviceName, signed: &SignedOffer, now: Timestamp) -> OfferedRow {
    OfferedRow {
        device: device.clone(),
        version: signed.version,
        fleet: signed.fleet.clone(),
        template: signed.template,
        digest: signed.digest,
        offered_at: now,
    }
}

/// A device that the database does not have.
fn unknown(identity: &Identity, now: Timestamp) -> DeviceRow {
    DeviceRow {
        name: identity.device.clone(),
        enrollment: identity.enrollment.clone(),
        entry: identity.entry.clone(),
        enrolled_at: now,
        reported: None,
        last_seen: None,
        last_progress: None,
        offer: None,
        paused: None,
        awaiting_reconnect: false,
        metadata_version: 0,
        allows: None,
    }
}

fn claims_a_version(row: &DeviceRow) -> bool {
    match &row.reported {
        Some(Reported::Readable(report)) => report.running.is_some() || report.applying.is_some(),
        Some(Reported::Unreadable { .. }) | None => false,
    }
}
