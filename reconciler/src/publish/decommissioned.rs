//! The signed records of devices that have removed everything, `decommissioned/<device>.json`: by them such a device is refused
//! also after the database was lost.

use bytes::Bytes;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use object_store::ObjectStoreExt as _;
use serde::{Deserialize, Serialize};

use bellwether_schemas::{DeviceName, EnrollmentName, EntryId};

use super::objects::Flush;
use super::{PublishError, Publisher, layout, record};

/// The `_type` of such a record: the only value of its kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DecommissionType {
    /// A device that has removed everything.
    #[default]
    #[serde(rename = "bellwether-decommissioned")]
    Decommissioned,
}

/// A device that has removed everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecommissionRecord {
    /// What it is.
    #[serde(rename = "_type")]
    pub kind: DecommissionType,
    /// The device.
    pub device: DeviceName,
    /// The Enrollment that it came by.
    pub enrollment: EnrollmentName,
    /// The entry in it. By another one it may come back.
    pub entry: EntryId,
    /// When it said so.
    pub at: Timestamp,
}

impl Publisher {
    /// Signs and writes a record, durable when this returns.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn store_decommissioned(&self, record: &DecommissionRecord) -> Result<(), PublishError> {
        let _turn = self.inner.turn().await?;
        let bytes: Bytes = record::sign(&self.inner.keys, record);
        self.inner.objects.put(&layout::decommissioned_device(&record.device), bytes, Flush::Each).await?;
        Ok(())
    }

    /// Removes the record of a device that came back by the same entry.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_decommissioned(&self, device: &DeviceName) -> Result<(), PublishError> {
        let _turn = self.inner.turn().await?;
        self.inner.objects.remove(&layout::decommissioned_device(device), Flush::Each).await?;
        Ok(())
    }

    /// The records that the store has. One that is damaged or not ours counts for nothing, and is told.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn decommissioned(&self) -> Result<Vec<DecommissionRecord>, PublishError> {
        let store = self.inner.objects.store();
        let files: Vec<_> = store.list(Some(&layout::decommissioned())).try_collect().await?;
        let mut records = Vec::with_capacity(files.len());
        for file in files.into_iter().filter(|file| file.location.as_ref().ends_with(".json")) {
            let bytes = store.get(&file.location).await?.bytes().await?;
            match record::read::<DecommissionRecord>(&self.inner.roots, &bytes) {
                Ok(record) if layout::decommissioned_device(&record.device) == file.location => records.push(record),
                Ok(record) => {
                    tracing::error!(file = %file.location, device = %record.device, "the record is another device's");
                }
                Err(error) => {
                    tracing::error!(file = %file.location, code = %error.code(), %error, "a record of a decommissioned device cannot be used");
                }
            }
        }
        Ok(records)
    }
}
