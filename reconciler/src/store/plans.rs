//! Plans: stored by compare-and-set on the newest plan, together with all that they change.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use bellwether_schemas::FleetName;

use super::database::{On, query};
use super::devices::{delete_offers, insert_offers, upsert_devices};
use super::events::insert_events;
use super::rows::{Columns, DeviceRow, EventRow, OfferedRow, RolloutRow, number};
use super::{Store, StoreError, failed};

/// How many plans are kept to look at.
const KEPT_PLANS: i64 = 1_000;

/// The number of a stored plan; 0 is the plan before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanId(i64);

/// Why a plan was not stored.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It was made on top of a plan that is not the newest: plan again.
    #[error("the plan was made on plan {}, but the newest is plan {}", .parent.0, .newest.0)]
    Conflict {
        /// The plan it was made on.
        parent: PlanId,
        /// The newest.
        newest: PlanId,
    },
    /// The database failed.
    #[error("the plan could not be stored")]
    Store(#[from] StoreError),
}

/// What a plan changes.
#[derive(Debug, Default)]
pub struct PlanChange {
    /// Rollout records that changed.
    pub records: BTreeMap<FleetName, RolloutRow>,
    /// Fleets whose record goes.
    pub removed: BTreeSet<FleetName>,
    /// Devices that changed, whole.
    pub devices: Vec<DeviceRow>,
    /// Offers that are made now.
    pub offers: Vec<OfferedRow>,
    /// Offers that need not be remembered any more.
    pub forgotten: Vec<OfferedRow>,
    /// What people should know about it.
    pub events: Vec<EventRow>,
}

impl Store {
    pub(super) async fn newest_plan(&self) -> Result<PlanId, StoreError> {
        newest_plan(self.database()).await.map(PlanId)
    }

    /// The stored rollouts.
    ///
    /// # Errors
    /// When the database fails, or holds what is no row.
    pub async fn load_rollouts(&self) -> Result<Vec<RolloutRow>, StoreError> {
        let rows = query("SELECT * FROM rollouts ORDER BY fleet").fetch_all(self.database()).await;
        rows.map_err(failed("read the rollouts"))?
            .iter()
            .map(|row| {
                let columns = Columns::new(row, "rollouts", "fleet");
                Ok(RolloutRow {
                    fleet: columns.parsed("fleet")?,
                    sequence: columns.number("sequence")?,
                    record: columns.json("record")?,
                })
            })
            .collect()
    }

    /// Stores a plan that was made on top of `parent`: all of it, or nothing.
    ///
    /// # Errors
    /// [`PlanError::Conflict`] when another plan was stored since; else when the database fails.
    pub async fn commit_plan(&self, parent: PlanId, change: &PlanChange, at: Timestamp) -> Result<PlanId, PlanError> {
        let mut transaction = self.write().await?;
        let newest = newest_plan(&mut transaction).await?;
        if newest != parent.0 {
            return Err(PlanError::Conflict { parent, newest: PlanId(newest) });
        }
        for row in change.records.values() {
            query(
                "INSERT INTO rollouts (fleet, sequence, record) VALUES ($1, $2, $3) \
                 ON CONFLICT (fleet) DO UPDATE SET sequence = excluded.sequence, record = excluded.record",
            )
            .bind(row.fleet.as_str())
            .bind(number(row.sequence))
            .bind(row.record.to_string())
            .execute(&mut transaction)
            .await
            .map_err(failed("store a rollout"))?;
        }
        for fleet in &change.removed {
            let removed = query("DELETE FROM rollouts WHERE fleet = $1").bind(fleet.as_str());
            removed.execute(&mut transaction).await.map_err(failed("remove a rollout"))?;
        }
        upsert_devices(&mut transaction, &change.devices).await?;
        insert_offers(&mut transaction, &change.offers).await?;
        delete_offers(&mut transaction, &change.forgotten).await?;
        insert_events(&mut transaction, &change.events).await?;
        let id = newest + 1;
        query("INSERT INTO plans (id, parent, at) VALUES ($1, $2, $3)")
            .bind(id)
            .bind(parent.0)
            .bind(at.to_string())
            .execute(&mut transaction)
            .await
            .map_err(failed("store a plan"))?;
        query("DELETE FROM plans WHERE id <= $1")
            .bind(id - KEPT_PLANS)
            .execute(&mut transaction)
            .await
            .map_err(failed("prune plans"))?;
        transaction.commit().await.map_err(failed("commit a plan"))?;
        Ok(PlanId(id))
    }
}

async fn newest_plan<'c>(on: impl Into<On<'c>>) -> Result<i64, StoreError> {
    let row = query("SELECT COALESCE(MAX(id), 0) AS newest FROM plans").fetch_one(on).await;
    row.and_then(|row| row.number("newest")).map_err(failed("read the newest plan"))
}
