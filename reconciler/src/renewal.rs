//! Signs metadata again before it expires. It changes nothing for a device, so nobody is told.

use jiff::Timestamp;

use crate::publish::SLICE;
use crate::tick::Outlets;
use crate::world::World;

/// Signs again what expires. What cannot be signed now is tried with the next call.
pub async fn renew(world: &mut World, outlets: &Outlets, now: Timestamp) {
    let due = outlets.publisher.renew_due(now).into_iter();
    // What is to be published anew is not renewed as it was, and nothing is for a device that is waited for.
    let due = due.filter(|device| world.may_renew(device)).filter_map(|device| world.expected(&device));
    // A fleet that was published at once expires at once; there are days left for all of it.
    let expected = due.take(SLICE).collect();
    match outlets.publisher.renew(expected, now).await {
        Ok(renewed) => {
            let damaged: Vec<_> = renewed.damaged.into_iter().map(|(device, _)| device).collect();
            let failed = renewed.published.failed.into_iter().map(|(device, error)| {
                tracing::warn!(%device, %error, "the device's metadata is published again");
                device
            });
            world.republish(damaged.into_iter().chain(failed));
            world.renewed(renewed.published.versions);
        }
        Err(error) => tracing::error!(%error, "expiring metadata could not be renewed; it is tried again"),
    }
}
