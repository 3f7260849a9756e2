//! The newest certificate that each device was seen to use, and the certificate authorities that it says it trusts.

use bellwether_core::admission::{Domain, Identity};
use bellwether_core::certificates::Issued;
use bellwether_schemas::Sha256Digest;
use jiff::Timestamp;

use super::database::{query, query_rows};
use super::rows::Columns;
use super::{ROWS_PER_STATEMENT, Store, StoreError, failed};

/// The newest certificate that a device has used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRow {
    /// Who it is. The domain is the reconciler's.
    pub identity: Identity,
    /// Which certificate.
    pub issued: Issued,
    /// SHA-256 of the name of the authority that issued it.
    pub issuer: Sha256Digest,
    /// Fingerprints of the authorities that the device says it trusts, sorted; none where its agent does not say.
    pub authorities: Option<Vec<Sha256Digest>>,
    /// Until when a newer one may have been used of which nobody knows any more.
    pub unsettled_until: Option<Timestamp>,
}

impl Store {
    /// The newest certificate that each device has used, by identity.
    ///
    /// # Errors
    /// When the database fails, or holds a value that this release does not write.
    pub async fn certificates(&self, domain: &Domain) -> Result<Vec<CertificateRow>, StoreError> {
        let rows = query("SELECT * FROM certificates ORDER BY enrollment, entry, device");
        let rows = rows.fetch_all(self.database()).await.map_err(failed("read the certificates"))?;
        rows.iter()
            .map(|row| {
                let columns = Columns::new(row, "certificates", "device");
                let seconds: i64 = columns.number("not_before")?;
                Ok(CertificateRow {
                    identity: Identity {
                        domain: domain.clone(),
                        enrollment: columns.parsed("enrollment")?,
                        entry: columns.parsed("entry")?,
                        device: columns.parsed("device")?,
                    },
                    issued: Issued {
                        from: Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN),
                        key: columns.parsed("fingerprint")?,
                    },
                    issuer: columns.parsed("issuer")?,
                    authorities: match columns.optional_text("authorities")? {
                        Some(_) => Some(columns.list("authorities")?),
                        None => None,
                    },
                    unsettled_until: match columns.number("unsettled_until")? {
                        0 => None,
                        seconds => Some(Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)),
                    },
                })
            })
            .collect()
    }

    /// Records certificates that were used, all or none. One that is older than the recorded one changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn save_certificates(&self, rows: &[CertificateRow]) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        for chunk in rows.chunks(ROWS_PER_STATEMENT) {
            let rows = chunk.iter().map(|row| {
                let authorities = row.authorities.as_ref().map(|all| {
                    let all: Vec<_> = all.iter().map(ToString::to_string).collect();
                    all.join(" ")
                });
                [
                    row.identity.enrollment.as_str().into(),
                    row.identity.entry.as_str().into(),
                    row.identity.device.as_str().into(),
                    row.issued.from.as_second().into(),
                    row.issued.key.to_string().into(),
                    row.issuer.to_string().into(),
                    authorities.into(),
                    row.unsettled_until.map_or(0, Timestamp::as_second).into(),
                ]
            });
            let statement = query_rows(
                "INSERT INTO certificates (enrollment, entry, device, not_before, fingerprint, issuer, authorities, unsettled_until)",
                rows,
                "ON CONFLICT (enrollment, entry, device) DO UPDATE SET not_before = excluded.not_before, \
                 fingerprint = excluded.fingerprint, issuer = excluded.issuer, authorities = excluded.authorities, \
                 unsettled_until = excluded.unsettled_until \
                 WHERE (excluded.not_before, excluded.fingerprint) >= (certificates.not_before, certificates.fingerprint)",
            );
            statement.execute(&mut transaction).await.map_err(failed("record certificates"))?;
        }
        transaction.commit().await.map_err(failed("commit certificates"))
    }

    /// Notes that what is recorded may be older than what was used: nobody relies on it before that time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unsettle_certificates(&self, until: Timestamp) -> Result<(), StoreError> {
        let unsettled = query("UPDATE certificates SET unsettled_until = $1").bind(until.as_second());
        unsettled.execute(self.database()).await.map_err(failed("unsettle certificates")).map(drop)
    }
}
