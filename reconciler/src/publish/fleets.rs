//! The signed record of each fleet's rollout, `fleets/<fleet>.json`: written before the offers that it allows, so that a
//! rollout outlives the database.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use bellwether_schemas::FleetName;

use super::objects::Flush;
use super::write::in_parallel;
use super::{PublishError, Publisher, layout, record};

/// The `_type` of a fleet's record: the only value of its kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FleetType {
    /// A fleet's record.
    #[default]
    #[serde(rename = "bellwether-rollout")]
    Rollout,
}

/// The rollout of one fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetRecord {
    /// What it is.
    #[serde(rename = "_type")]
    pub kind: FleetType,
    /// The fleet.
    pub fleet: FleetName,
    /// Rises with each record of the fleet, also after all records were lost: of two, the higher one is the newer.
    pub sequence: u64,
    /// A [`bellwether_core::plan::RolloutRecord`].
    pub record: Value,
}

impl Publisher {
    /// Signs and writes records, durable when this returns.
    ///
    /// # Errors
    /// When the store fails. Then some may be written: write all of them again.
    pub async fn store_fleets(&self, records: Vec<FleetRecord>) -> Result<(), PublishError> {
        let _turn = self.inner.turn().await?;
        let inner = self.inner.clone();
        let written = in_parallel(records, move |it: FleetRecord| {
            let inner = inner.clone();
            async move {
                let bytes: Bytes = record::sign(&inner.keys, &it);
                inner.objects.put(&layout::fleet(&it.fleet), bytes, Flush::Each).await
            }
        });
        written.await?.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(())
    }

    /// Removes the records of fleets that ended.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove_fleets(&self, fleets: &BTreeSet<FleetName>) -> Result<(), PublishError> {
        let _turn = self.inner.turn().await?;
        for fleet in fleets {
            self.inner.objects.remove(&layout::fleet(fleet), Flush::Each).await?;
        }
        Ok(())
    }

    /// The records that the store has, by fleet. One that is damaged or not ours counts for nothing, and is told.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn fleets(&self) -> Result<Vec<FleetRecord>, PublishError> {
        let store = self.inner.objects.store();
        let mut files: Vec<_> = store.list(Some(&layout::fleets())).try_collect().await?;
        files.sort_by(|a, b| a.location.cmp(&b.location));
        let mut records = Vec::with_capacity(files.len());
        for file in files.into_iter().filter(|file| file.location.as_ref().ends_with(".json")) {
            let bytes = store.get(&file.location).await?.bytes().await?;
            match record::read::<FleetRecord>(&self.inner.roots, &bytes) {
                Ok(record) if layout::fleet(&record.fleet) == file.location => records.push(record),
                Ok(record) => {
                    tracing::error!(file = %file.location, fleet = %record.fleet, "the record is another fleet's")
                }
                Err(error) => {
                    tracing::error!(file = %file.location, code = %error.code(), %error, "a fleet's record cannot be used");
                }
            }
        }
        Ok(records)
    }
}
