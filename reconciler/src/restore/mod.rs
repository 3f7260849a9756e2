//! What was lost, and how it comes back: from git, from the signed records in the store, and from what devices hold.
//!
//! A database that is gone, or older than its store, is told by what is in it; then every device that has a version is waited
//! for (`AwaitingReconnect`), and nothing is published for it before it has reported.

mod backup;
mod command;
mod mark;
mod merge;

use std::collections::BTreeMap;

use bellwether_core::admission::{Domain, Identity};
use bellwether_core::certificates::SETTLE;
use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::targets::EnrolledBy;
use bellwether_schemas::{DeviceName, codes};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::pki::Peer;
use crate::publish::{
    Checked, DecommissionRecord, DecommissionType, Enrolled, Expected, FleetRecord, PublishError, Publisher, Survey,
    Surveyed,
};
use crate::store::{
    DeviceRow, EventRow, Instance, Loaded, PlanChange, PlanError, Store, StoreError, TokenRow, adopt_instance,
};

pub use backup::{BackupError, back_up};
pub use command::{RestoreError, Restored, restore};
pub use mark::{UnfinishedError, refuse_unfinished};

/// Why the records could not be brought together.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The database failed.
    #[error("the database failed")]
    Store(#[from] StoreError),
    /// The plan of the recovery could not be stored.
    #[error("what was recovered could not be stored")]
    Plan(#[from] PlanError),
    /// The store failed.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// What came back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Devices that are known.
    pub devices: usize,
    /// Of them, those that are waited for.
    pub awaited: usize,
    /// Fleets whose rollout the store knew better than the database.
    pub rollouts: usize,
    /// Tokens that are known to be spent.
    pub tokens: usize,
}

/// What a start finds.
#[derive(Debug)]
pub struct Start {
    /// Everything that the database has now.
    pub loaded: Loaded,
    /// What each device finds in the store that is not waited for.
    pub checked: Vec<Checked>,
    /// The rollouts that the store has.
    pub fleets: Vec<FleetRecord>,
    /// The devices that have removed everything.
    pub decommissioned: Vec<DecommissionRecord>,
}

/// Reads database and store at a start. Where the database is gone or older than the store, what it lacks comes back first.
///
/// # Errors
/// When either fails.
pub async fn start(
    store: &Store,
    publisher: &Publisher,
    domain: &Domain,
    instance: &Instance,
    now: Timestamp,
) -> Result<Start, RecoverError> {
    let mut loaded = store.load_all().await?;
    let fleets = publisher.fleets().await?;
    let mut checked = publisher.check(expected(&loaded.devices)).await?;
    let reason = match instance {
        Instance::DatabaseLost(_) => Some("the database is empty"),
        Instance::Known(_) if is_older(&loaded, &fleets, &checked) => Some("the database is older than the store"),
        Instance::Known(_) => None,
    };
    if let Some(reason) = reason {
        let recovered = recover(store, publisher, domain, reason, now).await?;
        tracing::warn!(code = %codes::RECORDS_BEHIND, ?recovered, "{reason}: it was filled from the store");
        loaded = store.load_all().await?;
        checked = publisher.check(expected(&loaded.devices)).await?;
    }
    // Only now: a crash before is a loss still.
    if let Instance::DatabaseLost(name) = instance {
        adopt_instance(store, name).await?;
    }
    let versions: BTreeMap<_, _> =
        checked.iter().filter_map(|found| Some((&found.device, found.found.as_ref()?.1))).collect();
    for row in &mut loaded.devices {
        row.metadata_version = row.metadata_version.max(versions.get(&row.name).copied().unwrap_or(0));
    }
    // The store may have been set back beside the same database; what was lost with it must not be lost with the other one too.
    publisher.keep_lacking_tokens(store.tokens(domain).await?).await?;
    let decommissioned = decommissioned(publisher, &loaded.devices).await?;
    Ok(Start { loaded, checked, fleets, decommissioned })
}

/// Who has removed everything, as the store says; what it lacks, since it was set back, is written again from the database.
async fn decommissioned(publisher: &Publisher, rows: &[DeviceRow]) -> Result<Vec<DecommissionRecord>, PublishError> {
    let stored = publisher.decommissioned().await?;
    let mut records: BTreeMap<_, _> = stored.into_iter().map(|record| (record.device.clone(), record)).collect();
    for row in rows {
        let Some(WaitingOn::Decommissioned { at }) = row.paused else { continue };
        let kind = DecommissionType::default();
        let (device, enrollment, entry) = (row.name.clone(), row.enrollment.clone(), row.entry.clone());
        let record = DecommissionRecord { kind, device, enrollment, entry, at };
        if records.get(&row.name) != Some(&record) {
            tracing::warn!(device = %row.name, "the store does not know that the device was decommissioned: it is told again");
            publisher.store_decommissioned(&record).await?;
            records.insert(row.name.clone(), record);
        }
    }
    Ok(records.into_values().collect())
}

/// What each device should find in the store.
fn expected(rows: &[DeviceRow]) -> Vec<Expected> {
    let rows = rows.iter().filter(|row| !row.awaiting_reconnect);
    rows.map(|row| Expected { binding: row.binding(), floor: row.metadata_version }).collect()
}

/// Whether the database was set back: the store has something that is written after the database has it.
fn is_older(loaded: &Loaded, fleets: &[FleetRecord], checked: &[Checked]) -> bool {
    let rollouts: BTreeMap<_, _> = loaded.rollouts.iter().map(|row| (&row.fleet, row.sequence)).collect();
    let newer = |record: &FleetRecord| rollouts.get(&record.fleet).is_none_or(|stored| *stored < record.sequence);
    let rows: BTreeMap<_, _> = loaded.devices.iter().map(|row| (&row.name, row)).collect();
    // A version alone may be ahead: it is stored after it was published. What is published is stored before.
    let ahead = |checked: &Checked| {
        let row = rows.get(&checked.device);
        row.zip(checked.found.as_ref()).is_some_and(|(row, (binding, version))| {
            *version > row.metadata_version && binding.offer.as_ref() != row.offer.as_ref().map(|offer| &offer.signed)
        })
    };
    fleets.iter().any(newer) || checked.iter().any(ahead)
}

/// Fills the database with what the store remembers and it lacks, and has every device waited for that has a version.
///
/// # Errors
/// When either fails. Then nothing, or a part of it, is stored: do it again.
async fn recover(
    store: &Store,
    publisher: &Publisher,
    domain: &Domain,
    reason: &str,
    now: Timestamp,
) -> Result<Recovered, RecoverError> {
    let loaded = store.load_all().await?;
    let fleets = publisher.fleets().await?;
    let survey = publisher.survey().await?;
    let (tokens, identities) = enrolled(&survey, domain, now);
    let merged = merge::merge(&loaded, &survey, &fleets, &identities, now);
    let recovered = Recovered {
        devices: merged.devices.len(),
        awaited: merged.devices.iter().filter(|row| row.awaiting_reconnect).count(),
        rollouts: merged.rollouts.len(),
        tokens: tokens.len(),
    };
    store.save_tokens(&tokens).await?;
    let message = format!("{reason}; devices known: {}, waited for: {}", recovered.devices, recovered.awaited);
    let event = EventRow {
        at: now,
        kind: "restored".to_owned(),
        device: None,
        fleet: None,
        code: Some(codes::RECORDS_BEHIND.to_string()),
        message,
    };
    let change = PlanChange {
        records: merged.rollouts,
        devices: merged.devices,
        offers: merged.offers,
        events: vec![event],
        ..PlanChange::default()
    };
    // What is recorded of certificates is as old as the rest.
    store.unsettle_certificates(now + SETTLE).await?;
    store.commit_plan(loaded.plan, &change, now).await?;
    Ok(recovered)
}

/// Who enrolled, as the store says: spent tokens, and for each device its identity, by its metadata, which follows each
/// enrollment, or by its newest certificate.
fn enrolled(survey: &Survey, domain: &Domain, now: Timestamp) -> (Vec<TokenRow>, BTreeMap<DeviceName, Identity>) {
    let mut tokens = Vec::with_capacity(survey.enrolled.len());
    let mut newest: BTreeMap<DeviceName, Peer> = BTreeMap::new();
    for Enrolled { token, fingerprint, certificate } in &survey.enrolled {
        // Without a certificate nobody came of it, and its file alone keeps it spent.
        let Some(certificate) = certificate else { continue };
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok();
        let Some(Ok(peer)) = der.map(|der| Peer::from_certificate(&der, domain)) else { continue };
        tokens.push(TokenRow {
            hash: *token,
            fingerprint: *fingerprint,
            identity: peer.identity.clone(),
            certificate: Some(certificate.clone()),
            at: now,
        });
        let known = newest.get(&peer.identity.device);
        if known.is_none_or(|known| known.not_after < peer.not_after) {
            newest.insert(peer.identity.device.clone(), peer);
        }
    }
    let mut identities: BTreeMap<_, _> = newest.into_iter().map(|(device, peer)| (device, peer.identity)).collect();
    for Surveyed { device, enrolled, .. } in &survey.devices {
        if let Some(EnrolledBy { enrollment, entry }) = enrolled.clone() {
            let identity = Identity { domain: domain.clone(), enrollment, entry, device: device.clone() };
            identities.insert(device.clone(), identity);
        }
    }
    (tokens, identities)
}

#[cfg(test)]
mod tests;
