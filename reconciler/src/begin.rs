//! What a start makes of what is there: database, store and mirror become the [`World`], before any listener is open.

use std::collections::BTreeMap;

use bellwether_core::admission::Domain;

use crate::publish::{Checked, Publisher};
use crate::repository::Repository;
use crate::restore::{self, Start};
use crate::run::RunError;
use crate::store::{HeadRow, Instance, Store};
use crate::tick::store_head;
use crate::world::{Timing, World};

/// What a start stands on.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'g> {
    /// The database.
    pub store: &'g Store,
    /// The TUF repositories.
    pub publisher: &'g Publisher,
    /// The name in certificates.
    pub domain: &'g Domain,
    /// How the two of them stand to each other.
    pub instance: &'g Instance,
}

/// Makes the world of a start at `timing.serving_since`. The accepted head is stored before it is returned.
///
/// # Errors
/// The first part that cannot be used.
pub async fn begin(ground: &Ground<'_>, mut repository: Repository, timing: Timing) -> Result<World, RunError> {
    let (Ground { store, publisher, domain, instance }, now) = (*ground, timing.serving_since);
    let Start { loaded, checked, fleets, decommissioned } =
        restore::start(store, publisher, domain, instance, now).await?;
    let rollouts = loaded.rollouts.clone();
    let record = publisher.head().map(|head| HeadRow::from(&head.record));
    let unstored = repository.restore(loaded.head.clone(), record, now);
    let mut world = World::new(repository, timing, loaded);
    world.take_landings(unstored);
    store_head(&mut world, store, publisher).await.map_err(RunError::Head)?;
    // Who got a certificate just before an earlier run ended, and never came to be known by it.
    for row in store.enrolled(domain).await? {
        world.enrolled_before(&row.identity, now);
    }
    world.republish(checked.into_iter().filter_map(|Checked { device, damage, .. }| {
        tracing::warn!(%device, damage = %damage?, "the device's metadata is published again");
        Some(device)
    }));
    let written: BTreeMap<_, _> = fleets.iter().map(|record| (&record.fleet, record.sequence)).collect();
    for row in rollouts.into_iter().filter(|row| written.get(&row.fleet) != Some(&row.sequence)) {
        world.rewrite_record(row, now);
    }
    world.take_decommissioned(decommissioned);
    Ok(world)
}
