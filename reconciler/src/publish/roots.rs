//! The chain of roots: `N.root.json` lie beside the online keys, and what the store lacks of them is published.
//!
//! Each root is signed by itself and by the one before (TUF specification 5.3). The files beside the keys are what is
//! backed up: a store that was lost gets its chain back from them.

use std::num::NonZeroU64;
use std::path::Path;

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode};
use tough::schema::Root;

use super::{Objects, PublishError, layout};
use crate::keys::{Chain, NotNext, read_root, root_file};

/// Publishes the roots beside the online keys which the store lacks, and returns their versions. What the store has stays.
///
/// # Errors
/// When a root is not signed by itself and by the one before, the store holds another one of that version, one in the middle
/// is in neither place, or a file or the store fails. Nothing is published then that comes after.
pub async fn publish_roots(objects: &Objects, keys_dir: &Path) -> Result<Vec<NonZeroU64>, PublishError> {
    let mut published = Vec::new();
    let mut chain = Chain::default();
    loop {
        let version = chain.next();
        let stored = read_stored(objects.store().as_ref(), version).await?;
        let beside = read_root(keys_dir, version).map_err(|why| unusable(&why))?.map(Bytes::from);
        let bytes = match (&stored, beside) {
            (Some(stored), Some(beside)) if *stored != beside => {
                return Err(PublishError::RootDiffers { version, keys: keys_dir.to_owned() });
            }
            (Some(stored), _) => stored.clone(),
            (None, Some(beside)) => beside,
            (None, None) => break,
        };
        chain.push(&bytes).map_err(|why| unusable(&why))?;
        if stored.is_none() {
            put_new(objects, version, bytes).await?;
            published.push(version);
        }
    }
    match newest_beside(keys_dir)? {
        Some(newest) if newest >= chain.next() => {
            let why = format!("{} is there, and {} is missing", root_file(newest), root_file(chain.next()));
            Err(PublishError::Root { why: format!("{}: {why}", keys_dir.display()) })
        }
        _ => Ok(published),
    }
}

/// Stores `1.root.json` in a new store.
///
/// # Errors
/// When the store has one already, or fails.
pub async fn publish_root(objects: &Objects, root_json: &[u8]) -> Result<(), PublishError> {
    put_new(objects, NonZeroU64::MIN, Bytes::copy_from_slice(root_json)).await
}

async fn put_new(objects: &Objects, version: NonZeroU64, bytes: Bytes) -> Result<(), PublishError> {
    objects.store().put_opts(&layout::root(version), bytes.into(), PutMode::Create.into()).await?;
    Ok(())
}

/// Reads and checks the chain of roots in the store, oldest first.
pub(super) async fn load_roots(store: &dyn ObjectStore) -> Result<Vec<Root>, PublishError> {
    let mut chain = Chain::default();
    while let Some(bytes) = read_stored(store, chain.next()).await? {
        chain.push(&bytes).map_err(|why| unusable(&why))?;
    }
    Ok(chain.into_roots())
}

async fn read_stored(store: &dyn ObjectStore, version: NonZeroU64) -> Result<Option<Bytes>, PublishError> {
    match store.get(&layout::root(version)).await {
        Ok(found) => Ok(Some(found.bytes().await?)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The highest version of a root beside the keys.
fn newest_beside(keys_dir: &Path) -> Result<Option<NonZeroU64>, PublishError> {
    let failed = |why: std::io::Error| PublishError::Root { why: format!("{}: {why}", keys_dir.display()) };
    let mut newest = None;
    for entry in std::fs::read_dir(keys_dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        newest = newest.max(name.to_str().and_then(crate::keys::version_of_root_file));
    }
    Ok(newest)
}

fn unusable(why: &NotNext) -> PublishError {
    PublishError::Root { why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use tough::schema::Signed;

    use super::*;
    use crate::keys::{MAX_ROOT, SigningKey};
    use crate::publish::Publisher;
    use crate::testing::Installation;

    fn version(number: u64) -> NonZeroU64 {
        NonZeroU64::new(number).expect("not zero")
    }

    /// Puts a root beside the keys: the first one with another number, signed by the key in this file.
    fn put_beside(site: &Installation, number: u64, key: &Path) {
        let mut root = serde_json::from_slice::<Signed<Root>>(&site.root).expect("a root").signed;
        root.version = version(number);
        let signed = SigningKey::load(key).expect("a key").sign(root);
        std::fs::write(site.dir.path().join("online").join(root_file(version(number))), signed).expect("written");
    }

    async fn publish(site: &Installation) -> Result<Vec<u64>, PublishError> {
        let published = publish_roots(&site.objects(), &site.dir.path().join("online")).await?;
        Ok(published.into_iter().map(NonZeroU64::get).collect())
    }

    #[tokio::test]
    async fn a_store_gets_the_roots_that_it_lacks_and_keeps_those_that_it_has() {
        let site = Installation::new().await;
        assert_eq!(publish(&site).await.expect("as it was"), [0; 0]);
        for number in [2, 3] {
            put_beside(&site, number, &site.dir.path().join("keys/root.pem"));
        }
        assert_eq!(publish(&site).await.expect("published"), [2, 3]);
        let before = std::fs::read(site.store().join("root/3.root.json")).expect("a root");

        std::fs::remove_dir_all(site.store().join("root")).expect("lost");
        assert_eq!(publish(&site).await.expect("published again"), [1, 2, 3]);
        assert_eq!(std::fs::read(site.store().join("root/3.root.json")).expect("a root"), before);
        Publisher::open(site.objects(), site.keys()).await.expect("a chain");

        // A folder of keys that was restored from an old backup takes nothing away.
        std::fs::remove_file(site.dir.path().join("online/3.root.json")).expect("removed");
        assert_eq!(publish(&site).await.expect("as it was"), [0; 0]);
        assert_eq!(load_roots(site.objects().store().as_ref()).await.expect("a chain").len(), 3);
    }

    #[tokio::test]
    async fn a_root_that_does_not_follow_is_never_published() {
        let (site, other) = (Installation::new().await, Installation::new().await);
        put_beside(&site, 2, &other.dir.path().join("keys/root.pem"));
        assert!(matches!(publish(&site).await, Err(PublishError::Root { .. })), "signed by a foreign key");
        assert!(!site.store().join("root/2.root.json").exists());

        std::fs::remove_file(site.dir.path().join("online/2.root.json")).expect("removed");
        put_beside(&site, 3, &site.dir.path().join("keys/root.pem"));
        let gap = publish(&site).await.expect_err("the second is missing").to_string();
        assert!(gap.contains("2.root.json is missing"), "{gap}");
        assert!(!site.store().join("root/3.root.json").exists());

        let large = vec![b' '; usize::try_from(MAX_ROOT).expect("small") + 1];
        std::fs::write(site.dir.path().join("online/2.root.json"), large).expect("written");
        assert!(matches!(publish(&site).await, Err(PublishError::Root { .. })), "no agent would read it");
    }

    #[tokio::test]
    async fn keys_of_another_store_are_refused() {
        let (site, other) = (Installation::new().await, Installation::new().await);
        let refused = publish_roots(&site.objects(), &other.dir.path().join("online")).await.expect_err("another root");
        assert!(matches!(refused, PublishError::RootDiffers { version: NonZeroU64::MIN, .. }), "{refused}");
    }
}
