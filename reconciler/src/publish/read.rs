//! What the store has already, so that it is not rendered or written twice.

use bellwether_schemas::Sha256Digest;
use bellwether_schemas::spec::{MAX_SPEC, SPEC_TARGET, TargetRef};
use bytes::Bytes;
use object_store::ObjectStoreExt as _;

use super::{PublishError, Publisher, layout};

impl Publisher {
    /// Whether the store was seen to hold this target since the start.
    pub fn has_target(&self, target: &TargetRef) -> bool {
        self.inner.stored().contains(&target.sha256)
    }

    /// A spec that was published before.
    ///
    /// # Errors
    /// When the store does not have it whole, or fails.
    pub async fn stored_spec(&self, digest: &Sha256Digest) -> Result<Bytes, PublishError> {
        let found = self.inner.objects.store().get(&layout::target(digest, SPEC_TARGET)).await?;
        let small = found.meta.size <= MAX_SPEC as u64;
        let content = if small { found.bytes().await? } else { Bytes::new() };
        match Sha256Digest::of(&content) == *digest {
            true => Ok(content),
            false => Err(PublishError::Mismatch { what: format!("the stored spec {digest}") }),
        }
    }
}
