//! The record that tokens are void, `enrolled/void.json`: where records of spent tokens were lost, nobody knows which of the
//! tokens that the history listed until then are spent.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use bellwether_core::admission::VoidTokens;
use bellwether_schemas::{CommitId, Sha256Digest};

use crate::store::TokenRow;

use super::objects::Flush;
use super::write::in_parallel;
use super::{Inner, Objects, PublishError, Publisher, layout, record};

/// The `_type` of the record: the only value of its kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum VoidType {
    /// A record of void tokens.
    #[default]
    #[serde(rename = "bellwether-void-tokens")]
    VoidTokens,
}

/// Which tokens are void.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VoidRecord {
    /// The introduction of the history whose landings are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    introduction: Option<CommitId>,
    /// What it is.
    #[serde(rename = "_type")]
    kind: VoidType,
    /// Those that landings up to this one list; all of them until a head is accepted after the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    up_to: Option<u64>,
}

impl Publisher {
    /// Which tokens are void; none where no record of a spent token was ever lost.
    pub fn void_tokens(&self) -> VoidTokens {
        match *self.inner.void() {
            None => VoidTokens::None,
            Some(VoidRecord { up_to: Some(landing), .. }) => VoidTokens::UpTo(landing),
            Some(VoidRecord { up_to: None, .. }) => VoidTokens::All,
        }
    }

    /// Signs a record and writes it, durable when this returns. Tokens that are void stay so.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn store_void_tokens(&self, up_to: Option<u64>) -> Result<(), PublishError> {
        let held = *self.inner.void();
        let up_to = match held.map(|held| held.up_to) {
            // Undecided becomes decided, and a mark only rises.
            Some(Some(before)) => up_to.map(|up_to| up_to.max(before)),
            Some(None) | None => up_to,
        };
        let introduction = self.inner.introduction.get().copied().or(held.and_then(|held| held.introduction));
        self.write_void(held, VoidRecord { up_to, introduction, ..VoidRecord::default() }).await
    }

    /// Says which history the landings are of. Under another introduction than before they are numbered anew: what was void is
    /// then what the first head that is accepted lists.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn void_within(&self, introduction: CommitId) -> Result<(), PublishError> {
        let introduction = *self.inner.introduction.get_or_init(|| introduction);
        let Some(held) = *self.inner.void() else { return Ok(()) };
        let up_to = held.up_to.filter(|_| held.introduction.is_none_or(|before| before == introduction));
        self.write_void(Some(held), VoidRecord { up_to, introduction: Some(introduction), ..held }).await
    }

    async fn write_void(&self, held: Option<VoidRecord>, new: VoidRecord) -> Result<(), PublishError> {
        if held == Some(new) {
            return Ok(());
        }
        let _turn = self.inner.turn().await?;
        let bytes: Bytes = record::sign(&self.inner.keys, &new);
        self.inner.objects.put(&layout::void_tokens(), bytes, Flush::Each).await?;
        *self.inner.void() = Some(new);
        Ok(())
    }
}

impl Publisher {
    /// Records tokens as spent, with the certificates that came of them; what is there stays.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keep_tokens(&self, tokens: Vec<TokenRow>) -> Result<(), PublishError> {
        let inner = self.inner.clone();
        let written = in_parallel(tokens, move |token: TokenRow| {
            let inner = inner.clone();
            async move {
                let record = Bytes::from(format!("{}\n", token.fingerprint));
                inner.objects.put_new(&layout::spent(&token.hash), record, None, Flush::Each).await?;
                if let Some(certificate) = token.certificate {
                    inner
                        .objects
                        .put_new(&layout::certificate(&token.hash), certificate.into(), None, Flush::Each)
                        .await?;
                }
                Ok::<_, object_store::Error>(())
            }
        });
        written.await?.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(())
    }

    /// The same for those that the store lacks: none, mostly.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keep_lacking_tokens(&self, tokens: Vec<TokenRow>) -> Result<(), PublishError> {
        let files = self.inner.objects.store().list(Some(&layout::enrolled()));
        let held: HashSet<Path> = files.map_ok(|file| file.location).try_collect().await?;
        let lacking: Vec<_> = tokens.into_iter().filter(|token| !held.contains(&layout::spent(&token.hash))).collect();
        if !lacking.is_empty() {
            let count = lacking.len();
            tracing::warn!(count, "the store lacks records of spent tokens: they are written again");
        }
        self.keep_tokens(lacking).await
    }

    /// Records that a token is spent that a certificate proves to be; a record that is there stays.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn spend_again(&self, token: &Sha256Digest) -> Result<(), PublishError> {
        // No key's fingerprint: nobody gets the certificate again by it.
        let record = Bytes::from_static(b"proven by a certificate\n");
        let written = self.inner.objects.put_new(&layout::spent(token), record, None, Flush::Each).await?;
        if written {
            tracing::warn!(%token, "the record of a spent token was lost; a device proves that it is spent");
        }
        Ok(())
    }
}

impl Inner {
    fn void(&self) -> MutexGuard<'_, Option<VoidRecord>> {
        self.void.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the store's record. One that is damaged or not ours makes every token void.
pub(super) async fn load(
    objects: &Objects,
    roots: &[tough::schema::Root],
) -> Result<Option<VoidRecord>, object_store::Error> {
    let bytes = match objects.store().get(&layout::void_tokens()).await {
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(record::read(roots, &bytes).unwrap_or_else(|error| {
        tracing::error!(code = %error.code(), %error, "the record of void tokens cannot be used: every token is void");
        VoidRecord::default()
    })))
}
