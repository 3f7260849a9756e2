//! Which process writes the store. Where several reconcilers stand by for one state, one that was replaced may not know it yet:
//! before it writes it looks who took the store over last, under a lock, so that it never writes over its successor's work.

use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use object_store::ObjectStoreExt as _;

use super::objects::Flush;
use super::{Inner, PublishError, Publisher, layout};
use crate::lock::{Lock, own_name};

impl Publisher {
    /// Takes the store over: every publisher that took it over before writes no more. One that never does is not looked after.
    ///
    /// # Errors
    /// [`PublishError::Locked`] when whoever has the store is in the middle of writing for too long; when the store fails.
    pub async fn take_over(&self, now: Timestamp) -> Result<(), PublishError> {
        let name = Bytes::from(format!("{}, since {now:.9}\n", own_name()));
        let objects = &self.inner.objects;
        let _alone = objects.lock(&layout::leader()).await?;
        objects.put(&layout::leader(), name.clone(), Flush::Each).await?;
        *self.inner.leader() = Some(name);
        Ok(())
    }
}

impl Inner {
    fn leader(&self) -> MutexGuard<'_, Option<Bytes>> {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets nobody else write what a leader writes until what this returns is dropped. A service knows no locks: there it is a
    /// look before the write.
    pub(super) async fn turn(&self) -> Result<Option<Lock>, PublishError> {
        let Some(own) = self.leader().clone() else { return Ok(None) };
        let lock = self.objects.lock(&layout::leader()).await?;
        let found = match self.objects.store().get(&layout::leader()).await {
            Ok(found) => found.bytes().await?,
            // Somebody put an older copy of the store back while this runs.
            Err(object_store::Error::NotFound { .. }) => Bytes::new(),
            Err(error) => return Err(error.into()),
        };
        match found == own {
            true => Ok(lock),
            false => Err(PublishError::TakenOver { by: String::from_utf8_lossy(&found).trim_end().to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use bellwether_schemas::{CommitId, codes};

    use super::*;
    use crate::keys::OnlineKeys;
    use crate::publish::{DecommissionRecord, DeviceTargets, Objects};
    use crate::testing::Installation;

    fn nothing(device: &str) -> DeviceTargets {
        let binding = bellwether_schemas::targets::Binding::new(device.parse().expect("a name"), None);
        DeviceTargets { binding, spec: None, targets: Vec::new(), contents: Vec::new(), floor: 0 }
    }

    /// Everything that one leader writes, and what came of it.
    async fn write_all(publisher: &Publisher, landing: u64) -> [Result<(), PublishError>; 6] {
        let commit: CommitId = "ab".repeat(20).parse().expect("an id");
        let head = serde_json::json!({
            "_type": "bellwether-head", "introduction": commit, "commit": commit, "landing": landing, "policyVersion": 1,
        });
        let head = serde_json::from_value(head).expect("a record");
        let fleet = serde_json::json!({"_type": "bellwether-rollout", "fleet": "edge", "sequence": 1, "record": {}});
        let gone = serde_json::json!({
            "_type": "bellwether-decommissioned", "device": "edge-1", "enrollment": "plant", "entry": "t1", "at": Timestamp::UNIX_EPOCH,
        });
        let gone: DecommissionRecord = serde_json::from_value(gone).expect("a record");
        [
            publisher.publish(vec![nothing("edge-1")], Timestamp::now()).await.map(drop),
            publisher.store_head(&head).await,
            publisher.store_fleets(vec![serde_json::from_value(fleet).expect("a record")]).await,
            publisher.store_decommissioned(&gone).await,
            publisher.forget_decommissioned(&gone.device).await,
            publisher.remove_fleets(&BTreeSet::from(["edge".parse().expect("a name")])).await,
        ]
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_was_replaced_writes_nothing_any_more() {
        let site = Installation::new().await;
        let (first, now) = (&site.publisher, Timestamp::now());
        first.take_over(now).await.expect("nobody has it");
        for done in write_all(first, 1).await {
            done.expect("it leads");
        }
        let second = site.restarted().await.expect("a publisher");
        second.take_over(now + Duration::from_nanos(1)).await.expect("nobody writes");
        for refused in write_all(first, 2).await.into_iter().chain([first.store_void_tokens(Some(1)).await]) {
            let error = refused.expect_err("another one leads");
            let says = error.to_string();
            assert!(error.code() == codes::STORE_TAKEN_OVER && says.contains(&own_name()), "{says}");
        }
        for done in write_all(&second, 3).await {
            done.expect("it leads");
        }
        // An older copy of the store names nobody of those who run.
        std::fs::remove_file(site.store().join("leader")).expect("removed");
        let refused = second.publish(vec![nothing("edge-1")], now).await.expect_err("nobody knows who leads");
        assert_eq!(refused.code(), codes::STORE_TAKEN_OVER);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_successor_comes_when_what_is_being_written_is_whole() {
        let site = Installation::new().await;
        let now = Timestamp::now();
        site.publisher.take_over(now).await.expect("nobody has it");
        let writing = site.publisher.inner.turn().await.expect("it leads");
        assert!(writing.is_some());
        let objects: Objects = site.objects().with_patience(Duration::from_millis(50));
        let keys: OnlineKeys = site.keys();
        let second = Publisher::open(objects, keys).await.expect("a publisher");
        let refused = second.take_over(now).await.expect_err("the first one is writing");
        assert_eq!(refused.code(), codes::STORE_LOCKED);
        drop(writing);
        second.take_over(now + Duration::from_nanos(1)).await.expect("it is whole");
    }
}
