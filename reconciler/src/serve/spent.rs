//! Which tokens are spent: a record in the object store that only one key can make, cached in the database.

use std::sync::Arc;

use bellwether_core::admission::{Domain, Identity};
use bellwether_schemas::Sha256Digest;
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::pki::Peer;
use crate::publish::layout;
use crate::store::{Store, TokenRow};

/// No record or certificate of ours is larger, in bytes.
const MAX_RECORD: u64 = 16 * 1024;

/// How a token stands for a key that wants to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Spend {
    /// It was spent just now, by this key.
    Fresh,
    /// This key spent it before, and got this certificate.
    Issued(String),
    /// It is spent: by another key, or no certificate came of it.
    Spent,
}

/// The records under `enrolled/`.
pub(super) struct SpentTokens {
    objects: Arc<dyn ObjectStore>,
    store: Store,
    domain: Domain,
}

/// A token and the key that uses it.
#[derive(Debug, Clone)]
pub(super) struct Use {
    pub(super) token: Sha256Digest,
    pub(super) key: Sha256Digest,
    pub(super) identity: Identity,
    pub(super) at: Timestamp,
}

impl Use {
    fn row(&self, certificate: Option<String>) -> TokenRow {
        let (hash, fingerprint) = (self.token, self.key);
        TokenRow { hash, fingerprint, identity: self.identity.clone(), certificate, at: self.at }
    }
}

impl SpentTokens {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, store: Store, domain: Domain) -> Self {
        Self { objects, store, domain }
    }

    /// Spends the token for this key, unless it is spent.
    pub(super) async fn spend(&self, used: &Use) -> Result<Spend, object_store::Error> {
        if let Some(known) = self.cached(&used.token, &used.key).await {
            return Ok(known);
        }
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let record = format!("{}\n", used.key).into_bytes();
        match self.objects.put_opts(&layout::spent(&used.token), record.into(), options).await {
            Ok(_) => {
                self.cache(used, None).await;
                Ok(Spend::Fresh)
            }
            Err(object_store::Error::AlreadyExists { .. }) => {
                let spend = self.look_up(&used.token, &used.key).await?.unwrap_or(Spend::Spent);
                if let Spend::Issued(certificate) = &spend {
                    self.recover(used, certificate).await;
                }
                Ok(spend)
            }
            Err(error) => Err(error),
        }
    }

    /// How a token that was used stands for this key; none where nobody used it.
    pub(super) async fn look_up(
        &self,
        token: &Sha256Digest,
        key: &Sha256Digest,
    ) -> Result<Option<Spend>, object_store::Error> {
        if let Some(known) = self.cached(token, key).await {
            return Ok(Some(known));
        }
        let Some(record) = self.read(&layout::spent(token)).await? else { return Ok(None) };
        // A record that cannot be read was made by nobody we know: the token stays spent.
        if record.trim_end().parse().ok() != Some(*key) {
            return Ok(Some(Spend::Spent));
        }
        Ok(Some(self.read(&layout::certificate(token)).await?.map_or(Spend::Spent, Spend::Issued)))
    }

    /// Records the certificate that came of a use.
    pub(super) async fn record(&self, used: &Use, certificate: &str) -> Result<(), object_store::Error> {
        let bytes = certificate.to_owned().into_bytes();
        self.objects.put(&layout::certificate(&used.token), bytes.into()).await?;
        self.cache(used, Some(certificate.to_owned())).await;
        Ok(())
    }

    /// What the database knows, where that settles it.
    async fn cached(&self, token: &Sha256Digest, key: &Sha256Digest) -> Option<Spend> {
        match self.store.token(token, &self.domain).await {
            Ok(Some(row)) if row.fingerprint != *key => Some(Spend::Spent),
            Ok(Some(row)) => row.certificate.map(Spend::Issued),
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "the database cannot say whether a token is spent; asking the object store");
                None
            }
        }
    }

    /// Tells the database what it has lost. Who enrolled is in the certificate: the entry may say otherwise by now.
    async fn recover(&self, used: &Use, certificate: &str) {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok();
        if let Some(Ok(peer)) = der.map(|der| Peer::from_certificate(&der, &self.domain)) {
            let used = Use { identity: peer.identity, ..used.clone() };
            self.cache(&used, Some(certificate.to_owned())).await;
        }
    }

    async fn cache(&self, used: &Use, certificate: Option<String>) {
        if let Err(error) = self.store.save_tokens(&[used.row(certificate)]).await {
            tracing::warn!(%error, "the object store has the record of an enrollment, the database could not take it");
        }
    }

    async fn read(&self, path: &Path) -> Result<Option<String>, object_store::Error> {
        let found = match self.objects.get(path).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if found.meta.size > MAX_RECORD {
            return Ok(Some(String::new()));
        }
        // What is not text is no record of ours.
        Ok(Some(String::from_utf8(found.bytes().await?.to_vec()).unwrap_or_default()))
    }
}
