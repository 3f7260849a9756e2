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
    /// It is this key's, spent just now or by a use that was cut off, and no certificate came of it yet.
    Held,
    /// This key spent it before, and got this certificate.
    Issued(String),
    /// It is spent by another key.
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
        let record = format!("{}\n", used.key).into_bytes();
        match self.objects.put_opts(&layout::spent(&used.token), record.into(), only_new()).await {
            Ok(_) => {
                self.cache(used, None).await;
                Ok(Spend::Held)
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
        Ok(Some(self.read(&layout::certificate(token)).await?.map_or(Spend::Held, Spend::Issued)))
    }

    /// Records the certificate that came of a use, and returns the one that is recorded: another process may have been first
    /// with the same key.
    pub(super) async fn record(&self, used: &Use, certificate: String) -> Result<String, object_store::Error> {
        let path = layout::certificate(&used.token);
        let recorded = match self.objects.put_opts(&path, certificate.clone().into_bytes().into(), only_new()).await {
            Ok(_) => certificate,
            Err(error @ object_store::Error::AlreadyExists { .. }) => self.read(&path).await?.ok_or(error)?,
            Err(error) => return Err(error),
        };
        self.cache(used, Some(recorded.clone())).await;
        Ok(recorded)
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

fn only_new() -> PutOptions {
    PutOptions { mode: PutMode::Create, ..PutOptions::default() }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use object_store::local::LocalFileSystem;

    use super::*;
    use crate::testing::{Place, on_each_database};

    on_each_database!(a_thousand_uses_of_one_token_that_are_cut_off_again_and_again_yield_one_certificate);

    /// Everything that a process has open, and one that is started again opens anew.
    async fn opened(place: &Place, dir: &std::path::Path) -> Arc<SpentTokens> {
        let objects = LocalFileSystem::new_with_prefix(dir).expect("a store").with_fsync(true);
        let store = Store::open(&place.url()).await.expect("a database");
        Arc::new(SpentTokens::new(Arc::new(objects), store, "example.org".parse().expect("a domain")))
    }

    fn used(key: u32) -> Use {
        let identity = "bellwether://example.org/plant/t1/edge-1".parse().expect("an identity");
        let key = Sha256Digest::of(&key.to_be_bytes());
        Use { token: Sha256Digest::of(b"token"), key, identity, at: Timestamp::UNIX_EPOCH }
    }

    async fn a_thousand_uses_of_one_token_that_are_cut_off_again_and_again_yield_one_certificate(place: Place) {
        let dir = tempfile::tempdir().expect("a directory");
        // Who was told that the token is theirs, and who got a certificate for it.
        let (held, issued) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        // Few at first, so that some are cut off before the first use has ended, some in the middle of it, and some after it.
        for (round, (keys, ended)) in
            [(0..40, 0), (40..100, 1), (100..500, 50), (500..1_000, 500)].into_iter().enumerate()
        {
            let tokens = opened(&place, dir.path()).await;
            let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
            let mut uses = tokio::task::JoinSet::new();
            for key in keys {
                let (tokens, answered) = (tokens.clone(), answered.clone());
                let (held, issued) = (held.clone(), issued.clone());
                uses.spawn(async move {
                    match tokens.spend(&used(key)).await.expect("the store works") {
                        Spend::Held => {
                            held.lock().expect("no panic").push(key);
                            let certificate = format!("certificate of {key}");
                            let certificate = tokens.record(&used(key), certificate).await.expect("the store works");
                            issued.lock().expect("no panic").push((key, certificate));
                        }
                        Spend::Issued(certificate) => issued.lock().expect("no panic").push((key, certificate)),
                        Spend::Spent => {}
                    }
                    let _ = answered.send(key);
                });
            }
            for _ in 0..ended {
                answers.recv().await.expect("uses go on");
            }
            // The end of a process: nothing that was under way goes on.
            uses.shutdown().await;
            tokens.store.close().await;
            assert!(
                held.lock().expect("no panic").len() <= 1,
                "round {round}: one key at most was told that it is its own"
            );
        }

        let held = held.lock().expect("no panic").clone();
        let (tokens, issued) = (opened(&place, dir.path()).await, issued.lock().expect("no panic").clone());
        let mut certificates = Vec::new();
        for forgotten in [false, true] {
            if forgotten {
                tokens.store.run("DELETE FROM tokens").await;
            }
            for key in 0..1_000 {
                match tokens.spend(&used(key)).await.expect("the store works") {
                    // Its use was cut off: it goes on with it, and what another process makes of that meanwhile is the same.
                    Spend::Held => {
                        let first = tokens.record(&used(key), format!("certificate of {key}")).await.expect("it works");
                        let late = tokens.record(&used(key), "another".to_owned()).await.expect("the store works");
                        assert_eq!(late, first);
                        certificates.push((key, first));
                    }
                    Spend::Issued(certificate) => certificates.push((key, certificate)),
                    Spend::Spent => {}
                }
            }
        }
        assert_eq!(certificates.len(), 2, "one key has it, whether the database remembers or not: {certificates:?}");
        for (key, certificate) in issued.iter().chain(&certificates) {
            assert_eq!((*key, certificate), (certificates[0].0, &certificates[0].1));
            assert!(held.is_empty() || held == [*key], "whoever was told so has it");
        }
    }
}
