//! Spent enrollment tokens: a cache of `enrolled/` in the object store, and the list of who enrolled.

use bellwether_core::admission::{Domain, Identity};
use bellwether_schemas::Sha256Digest;
use jiff::Timestamp;

use super::database::{Row, query, query_rows};
use super::rows::Columns;
use super::{ROWS_PER_STATEMENT, Store, StoreError, failed};

/// A token that was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// SHA-256 of the token.
    pub hash: Sha256Digest,
    /// SHA-256 of the SubjectPublicKeyInfo of the key that used it.
    pub fingerprint: Sha256Digest,
    /// Who enrolled with it. The domain is the reconciler's.
    pub identity: Identity,
    /// The certificate that was issued, PEM; none where issuing failed.
    pub certificate: Option<String>,
    /// When it was used.
    pub at: Timestamp,
}

impl Store {
    /// The row of a token, if it was used as far as the database knows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn token(&self, hash: &Sha256Digest, domain: &Domain) -> Result<Option<TokenRow>, StoreError> {
        let row = query("SELECT * FROM tokens WHERE hash = $1").bind(hash.to_string());
        let row = row.fetch_optional(self.database()).await.map_err(failed("read a token"))?;
        row.map(|row| read(&row, domain)).transpose()
    }

    /// Everybody who enrolled and got a certificate.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn enrolled(&self, domain: &Domain) -> Result<Vec<TokenRow>, StoreError> {
        let rows = query("SELECT * FROM tokens WHERE certificate IS NOT NULL ORDER BY at, hash");
        let rows = rows.fetch_all(self.database()).await.map_err(failed("read who enrolled"))?;
        rows.iter().map(|row| read(row, domain)).collect()
    }

    /// Every token that was used.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tokens(&self, domain: &Domain) -> Result<Vec<TokenRow>, StoreError> {
        let rows = query("SELECT * FROM tokens ORDER BY hash").fetch_all(self.database()).await;
        rows.map_err(failed("read which tokens are spent"))?.iter().map(|row| read(row, domain)).collect()
    }

    /// Records tokens as used, and their certificates once there are any. The key that used one first stays.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn save_tokens(&self, tokens: &[TokenRow]) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        for chunk in tokens.chunks(ROWS_PER_STATEMENT) {
            let rows = chunk.iter().map(|token| {
                [
                    token.hash.to_string().into(),
                    token.fingerprint.to_string().into(),
                    token.identity.device.as_str().into(),
                    token.identity.enrollment.as_str().into(),
                    token.identity.entry.as_str().into(),
                    token.certificate.as_deref().into(),
                    token.at.to_string().into(),
                ]
            });
            let statement = query_rows(
                "INSERT INTO tokens (hash, fingerprint, device, enrollment, entry, certificate, at)",
                rows,
                "ON CONFLICT (hash) DO UPDATE SET certificate = COALESCE(tokens.certificate, excluded.certificate) \
                 WHERE tokens.fingerprint = excluded.fingerprint",
            );
            statement.execute(&mut transaction).await.map_err(failed("record tokens as used"))?;
        }
        transaction.commit().await.map_err(failed("commit tokens as used"))
    }
}

fn read(row: &Row, domain: &Domain) -> Result<TokenRow, StoreError> {
    let columns = Columns::new(row, "tokens", "hash");
    Ok(TokenRow {
        hash: columns.parsed("hash")?,
        fingerprint: columns.parsed("fingerprint")?,
        identity: Identity {
            domain: domain.clone(),
            enrollment: columns.parsed("enrollment")?,
            entry: columns.parsed("entry")?,
            device: columns.parsed("device")?,
        },
        certificate: columns.optional_text("certificate")?,
        at: columns.parsed("at")?,
    })
}
