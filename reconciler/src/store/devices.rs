//! Devices, and every version each was offered.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use bellwether_schemas::{DeviceName, Version};

use super::rows::{Columns, DeviceRow, OfferedRow, json, number};
use super::{ROWS_PER_STATEMENT, Store, StoreError, failed};

impl Store {
    pub(super) async fn load_devices(&self) -> Result<Vec<DeviceRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM devices ORDER BY name").fetch_all(self.pool()).await;
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
                })
            })
            .collect()
    }

    pub(super) async fn load_offered(&self) -> Result<Vec<OfferedRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM offers ORDER BY device, landing, revision").fetch_all(self.pool()).await;
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

    /// Forgets a device, all but its offers: their versions must never be given again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_device(&self, device: &DeviceName) -> Result<(), StoreError> {
        let removed = sqlx::query("DELETE FROM devices WHERE name = $1").bind(device.as_str());
        removed.execute(self.pool()).await.map_err(failed("remove a device"))?;
        Ok(())
    }
}

pub(super) async fn upsert_devices(connection: &mut SqliteConnection, devices: &[DeviceRow]) -> Result<(), StoreError> {
    for chunk in devices.chunks(ROWS_PER_STATEMENT) {
        let mut statement = QueryBuilder::<Sqlite>::new(
            "INSERT INTO devices (name, enrollment, entry, enrolled_at, reported, last_seen, last_progress, offer, \
             paused, awaiting_reconnect, metadata_version) ",
        );
        statement.push_values(chunk, |mut row, device| {
            row.push_bind(device.name.as_str())
                .push_bind(device.enrollment.as_str())
                .push_bind(device.entry.as_str())
                .push_bind(device.enrolled_at.to_string())
                .push_bind(device.reported.as_ref().map(json))
                .push_bind(device.last_seen.map(|at| at.to_string()))
                .push_bind(device.last_progress.map(|at| at.to_string()))
                .push_bind(device.offer.as_ref().map(json))
                .push_bind(device.paused.as_ref().map(json))
                .push_bind(device.awaiting_reconnect)
                .push_bind(number(device.metadata_version));
        });
        statement.push(
            " ON CONFLICT (name) DO UPDATE SET enrollment = excluded.enrollment, entry = excluded.entry, \
             enrolled_at = excluded.enrolled_at, reported = excluded.reported, last_seen = excluded.last_seen, \
             last_progress = excluded.last_progress, offer = excluded.offer, paused = excluded.paused, \
             awaiting_reconnect = excluded.awaiting_reconnect, metadata_version = excluded.metadata_version",
        );
        statement.build().execute(&mut *connection).await.map_err(failed("store devices"))?;
    }
    Ok(())
}

pub(super) async fn insert_offers(connection: &mut SqliteConnection, offers: &[OfferedRow]) -> Result<(), StoreError> {
    for chunk in offers.chunks(ROWS_PER_STATEMENT) {
        let mut statement = QueryBuilder::<Sqlite>::new(
            "INSERT INTO offers (device, landing, commit_id, revision, fleet, template, digest, offered_at) ",
        );
        statement.push_values(chunk, |mut row, offer| {
            row.push_bind(offer.device.as_str())
                .push_bind(number(offer.version.landing))
                .push_bind(offer.version.commit.to_string())
                .push_bind(i64::from(offer.version.revision))
                .push_bind(offer.fleet.as_str())
                .push_bind(offer.template.to_string())
                .push_bind(offer.digest.to_string())
                .push_bind(offer.offered_at.to_string());
        });
        // No ON CONFLICT: a version that is given twice is a mistake that must not pass.
        statement.build().execute(&mut *connection).await.map_err(failed("store offers"))?;
    }
    Ok(())
}

pub(super) async fn delete_offers(connection: &mut SqliteConnection, offers: &[OfferedRow]) -> Result<(), StoreError> {
    for chunk in offers.chunks(ROWS_PER_STATEMENT) {
        let mut statement =
            QueryBuilder::<Sqlite>::new("DELETE FROM offers WHERE (device, landing, commit_id, revision) IN (");
        statement.push_values(chunk, |mut row, offer| {
            row.push_bind(offer.device.as_str())
                .push_bind(number(offer.version.landing))
                .push_bind(offer.version.commit.to_string())
                .push_bind(i64::from(offer.version.revision));
        });
        statement.push(")");
        statement.build().execute(&mut *connection).await.map_err(failed("forget offers"))?;
    }
    Ok(())
}
