//! A running reconciler takes over roots that people put beside its online keys.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use bellwether_schemas::codes;
use bellwether_schemas::lives::is_end_near;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tough::schema::Root;

use super::{PublishError, Publisher, publish_roots};
use crate::folder::FolderWatch;
use crate::keys::Chain;

/// How often the end of the root is looked at.
const LOOK: Duration = Duration::from_secs(6 * 3_600);

/// The newest root, as far as people ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewestRoot {
    pub(crate) version: NonZeroU64,
    pub(crate) expires: Timestamp,
}

impl From<&Root> for NewestRoot {
    fn from(root: &Root) -> Self {
        Self { version: root.version, expires: root.expires }
    }
}

impl Publisher {
    /// The newest root that is published.
    pub(crate) fn newest_root(&self) -> NewestRoot {
        *self.inner.newest_root.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes the roots beside the online keys that have come since. One that lists other online keys than those that are
    /// loaded waits for a restart: devices would refuse what these sign.
    ///
    /// # Errors
    /// [`PublishError::NeedsRestart`], when a root does not follow from the one before, or the store fails.
    pub(crate) async fn follow_roots(&self, keys_dir: &Path) -> Result<(), PublishError> {
        let chain = Chain::read(keys_dir).map_err(|why| PublishError::Root { why: why.to_string() })?;
        let Some(newest) = chain.newest().filter(|root| root.version > self.newest_root().version) else {
            return Ok(());
        };
        let is_ours = |(role, key): (_, &crate::keys::SigningKey)| {
            newest.roles.get(&role).is_some_and(|keys| keys.keyids.contains(key.id()))
        };
        if !self.inner.keys.roles().into_iter().all(is_ours) {
            return Err(PublishError::NeedsRestart { version: newest.version });
        }
        for version in publish_roots(&self.inner.objects, keys_dir).await? {
            tracing::info!(%version, "published a root");
        }
        *self.inner.newest_root.lock().unwrap_or_else(PoisonError::into_inner) = newest.into();
        Ok(())
    }
}

/// Takes new roots over until `shutdown`, and says when the newest one ends soon.
pub(crate) async fn follow(publisher: Publisher, keys_dir: &Path, shutdown: CancellationToken) {
    let mut folder = FolderWatch::new(keys_dir);
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = folder.changed() => {}
            _ = look.tick() => {
                let until = publisher.newest_root().expires;
                if is_end_near(until, Timestamp::now()) {
                    tracing::warn!(code = %codes::ROOT_ENDS, %until, "the TUF root ends soon: bellwether keys rotate");
                }
            }
        }
        if let Err(error) = publisher.follow_roots(keys_dir).await {
            tracing::error!(code = %error.code(), error = ?anyhow::Error::from(error), "a new root is not published");
        }
    }
}
