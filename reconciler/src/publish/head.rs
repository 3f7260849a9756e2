//! The signed record of the accepted head, `head.json`: written before a head takes effect, and never taken as absent when
//! it is damaged. What bears our signature counts as ours, whoever brings it; what does not counts for nothing.

use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;
use object_store::{ObjectStoreExt as _, UpdateVersion};
use serde::Deserialize as _;
use tough::schema::{RoleType, Root, Signed};

use bellwether_schemas::head::{HeadRecord, MAX_HEAD};

use super::presented::{PresentedError, is_current, verified};
use super::record::{Record, sign};
use super::{Inner, Objects, PublishError, Publisher, layout};

/// A head record of ours, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// What it says.
    pub record: HeadRecord,
    /// `head.json`
    pub bytes: Bytes,
    /// Whether the newest root lists the keys that signed it.
    is_current: bool,
}

impl Publisher {
    /// The newest record that the store was seen to hold.
    pub fn head(&self) -> Option<SignedHead> {
        self.inner.head().clone()
    }

    /// Checks a record that somebody presents: signed by the targets keys of the newest root. What keys that were rotated out
    /// signed may be whoever took them; a head of ours is signed again by the new ones at the start after that.
    ///
    /// # Errors
    /// When it is not ours, or not any more.
    pub fn read_head(&self, bytes: &Bytes) -> Result<SignedHead, PresentedError> {
        let head = read(&self.inner.roots, bytes)?;
        head.is_current.then_some(head).ok_or(PresentedError::Foreign { role: RoleType::Targets })
    }

    /// Signs a record and writes it, durable when this returns. One that the store holds already stays.
    ///
    /// # Errors
    /// [`PublishError::OlderHead`] when the store holds a higher one of the same introduction; when what it holds is
    /// damaged, another reconciler writes at the same time or keeps it locked, or the store fails.
    pub async fn store_head(&self, record: &HeadRecord) -> Result<(), PublishError> {
        if self.inner.head().as_ref().is_some_and(|held| held.is_current && held.record == *record) {
            return Ok(());
        }
        let _turn = self.inner.turn().await?;
        // Read again: another reconciler may have written since. What it writes from here on is not written over.
        let _alone = self.inner.objects.lock(&layout::head()).await?;
        let (held, version) = load(&self.inner.objects, &self.inner.roots).await?.unzip();
        if let Some(held) = held.map(|held| held.record)
            && held.introduction == record.introduction
            && (held.rank() > record.rank() || (held.rank() == record.rank() && held.commit != record.commit))
        {
            return Err(PublishError::OlderHead { held: held.commit, offered: record.commit });
        }
        let bytes = sign(&self.inner.keys, record);
        self.inner.objects.replace(&layout::head(), bytes.clone(), version).await?;
        *self.inner.head() = Some(SignedHead { record: record.clone(), bytes, is_current: true });
        Ok(())
    }
}

impl Inner {
    fn head(&self) -> MutexGuard<'_, Option<SignedHead>> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the store's record, and which version of the file that is; `None` only where there is none.
pub(super) async fn load(
    objects: &Objects,
    roots: &[Root],
) -> Result<Option<(SignedHead, UpdateVersion)>, PublishError> {
    let found = match objects.store().get(&layout::head()).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if found.meta.size > MAX_HEAD as u64 {
        let why = format!("it has {} bytes, at most {MAX_HEAD} are allowed", found.meta.size);
        return Err(PublishError::Head { why, source: None });
    }
    let version = UpdateVersion { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
    let bytes = found.bytes().await?;
    let unusable = |source| PublishError::Head { why: "it is damaged or not ours".to_owned(), source: Some(source) };
    read(roots, &bytes).map(|head| Some((head, version))).map_err(unusable)
}

fn read(roots: &[Root], bytes: &Bytes) -> Result<SignedHead, PresentedError> {
    let signed: Signed<Record> = verified(roots, bytes)?;
    let is_current = is_current(roots, &signed);
    let record = HeadRecord::deserialize(&signed.signed.0).map_err(PresentedError::Malformed)?;
    Ok(SignedHead { record, bytes: bytes.clone(), is_current })
}

#[cfg(test)]
mod tests;
