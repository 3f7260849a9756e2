//! Devices, and every version each was offered.

use bellwether_schemas::Version;
use bellwether_schemas::allow::Allowlists;

use super::database::{Transaction, query, query_rows};
use super::rows::{Columns, DeviceRow, OfferedRow, json, number};
use super::{ROWS_PER_STATEMENT, Store, StoreError, failed};

impl Store {
    pub(super) async fn load_devices(&self) -> Result<Vec<DeviceRow>, StoreError> {
        let rows = query("SELECT * FROM devices ORDER BY name").fetch_all(self.database()).await;
        let mut allowlists = Allowlists::default();
        rows.map_err(failed("read the devices"))?
            .iter()
            .map(|row| {
                let columns = Columns::new(row, "devices", "name");
                Ok(DeviceRow {
                    name: columns.parsed("name")?,
                    enrollment: columns.parsed("enrollment")?,
                    entry: columns.parsed("entry")?,
                    enrolled_at: columns.parsed("enrolled_at")?,
                    reported: columns.optional_json("reported")?,
                    last_seen: columns.optional("last_seen")?,
                    last_progress: columns.optional("last_progress")?,
                    offer: columns.optional_json("offer")?,
                    paused: columns.optional_json("paused")?,
                    awaiting_reconnect: columns.flag("awaiting_reconnect")?,
                    metadata_version: columns.number("metadata_version")?,
                    allows: columns.optional_json("allows")?.map(|allowed| allowlists.share(allowed)),
                })
            })
            .collect()
    }

    pub(super) async fn load_offered(&self) -> Result<Vec<OfferedRow>, StoreError> {
        let rows = query("SELECT * FROM offers ORDER BY device, landing, revision").fetch_all(self.database()).await;
        rows.map_err(failed("read the offers"))?
            .iter()
            .map(|row| {
                let columns = Columns::new(row, "offers", "device");
                Ok(OfferedRow {
                    device: columns.parsed("device")?,
                    version: Version {
                        landing: columns.number("landing")?,
                        commit: columns.parsed("commit_id")?,
                        revision: columns.number("revision")?,
                    },
                    fleet: columns.parsed("fleet")?,
                    template: columns.parsed("template")?,
                    digest: columns.parsed("digest")?,
                    offered_at: columns.parsed("offered_at")?,
                })
            })
            .collect()
    }

    /// Stores devices as they are now, all or none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn save_devices(&self, devices: &[DeviceRow]) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        upsert_devices(&mut transaction, devices).await?;
        transaction.commit().await.map_err(failed("commit devices"))
    }
}

pub(super) async fn upsert_devices(transaction: &mut Transaction, devices: &[DeviceRow]) -> Result<(), StoreError> {
    for chunk in devices.chunks(ROWS_PER_STATEMENT) {
        let rows = chunk.iter().map(|device| {
            [
                device.name.as_str().into(),
                device.enrollment.as_str().into(),
                device.entry.as_str().into(),
                device.enrolled_at.to_string().into(),
                device.reported.as_ref().map(json).into(),
                device.last_seen.map(|at| at.to_string()).into(),
                device.last_progress.map(|at| at.to_string()).into(),
                device.offer.as_ref().map(json).into(),
                device.paused.as_ref().map(json).into(),
                device.awaiting_reconnect.into(),
                number(device.metadata_version).into(),
                device.allows.as_ref().map(json).into(),
            ]
        });
        let statement = query_rows(
            "INSERT INTO devices (name, enrollment, entry, enrolled_at, reported, last_seen, last_progress, offer, \
             paused, awaiting_reconnect, metadata_version, allows)",
            rows,
            "ON CONFLICT (name) DO UPDATE SET enrollment = excluded.enrollment, entry = excluded.entry, \
             enrolled_at = excluded.enrolled_at, reported = excluded.reported, last_seen = excluded.last_seen, \
             last_progress = excluded.last_progress, offer = excluded.offer, paused = excluded.paused, \
             awaiting_reconnect = excluded.awaiting_reconnect, metadata_version = excluded.metadata_version, \
             allows = excluded.allows",
        );
        statement.execute(&mut *transaction).await.map_err(failed("store devices"))?;
    }
    Ok(())
}

pub(super) async fn insert_offers(transaction: &mut Transaction, offers: &[OfferedRow]) -> Result<(), StoreError> {
    for chunk in offers.chunks(ROWS_PER_STATEMENT) {
        let rows = chunk.iter().map(|offer| {
            [
                offer.device.as_str().into(),
                number(offer.version.landing).into(),
                offer.version.commit.to_string().into(),
                i64::from(offer.version.revision).into(),
                offer.fleet.as_str().into(),
                offer.template.to_string().into(),
                offer.digest.to_string().into(),
                offer.offered_at.to_string().into(),
            ]
        });
        // No ON CONFLICT: a version that is given twice is a mistake that must not pass.
        let statement = query_rows(
            "INSERT INTO offers (device, landing, commit_id, revision, fleet, template, digest, offered_at)",
            rows,
            "",
        );
        statement.execute(&mut *transaction).await.map_err(failed("store offers"))?;
    }
    Ok(())
}

pub(super) async fn delete_offers(transaction: &mut Transaction, offers: &[OfferedRow]) -> Result<(), StoreError> {
    for chunk in offers.chunks(ROWS_PER_STATEMENT) {
        let rows = chunk.iter().map(|offer| {
            [
                offer.device.as_str().into(),
                number(offer.version.landing).into(),
                offer.version.commit.to_string().into(),
                i64::from(offer.version.revision).into(),
            ]
        });
        let statement = query_rows("DELETE FROM offers WHERE (device, landing, commit_id, revision) IN (", rows, ")");
        statement.execute(&mut *transaction).await.map_err(failed("forget offers"))?;
    }
    Ok(())
}
