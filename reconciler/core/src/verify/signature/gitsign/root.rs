//! The Sigstore trusted root that a policy pins: certificate authorities, transparency logs and certificate logs, each
//! with the time in which it counts.

use std::fmt;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use sigstore_crypto::VerificationKey;
use sigstore_trust_root::TrustedRoot;
use sigstore_trust_root::trusted_root::CertChain;
use sigstore_types::{DerPublicKey, LogKeyId, TimeRange};

/// A trusted root, read.
pub(in super::super) struct SigstoreRoot {
    pub(super) authorities: Vec<Authority>,
    pub(super) rekor: Vec<LogKey>,
    pub(super) certificate_logs: Vec<LogKey>,
}

/// A certificate authority (Fulcio).
pub(super) struct Authority {
    pub(super) anchor: TrustAnchor<'static>,
    pub(super) intermediates: Vec<CertificateDer<'static>>,
    valid_for: Option<TimeRange>,
}

/// A log's key and its id.
pub(super) struct LogKey {
    pub(super) id: [u8; 32],
    pub(super) key: VerificationKey,
    valid_for: Option<TimeRange>,
}

impl fmt::Debug for SigstoreRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = (self.authorities.len(), self.rekor.len(), self.certificate_logs.len());
        f.debug_tuple("SigstoreRoot").field(&counts).finish()
    }
}

impl Authority {
    pub(super) fn is_valid_at(&self, time: Timestamp) -> bool {
        self.valid_for.is_none_or(|range| range.contains(time))
    }
}

impl LogKey {
    pub(super) fn is_valid_at(&self, time: Timestamp) -> bool {
        self.valid_for.is_none_or(|range| range.contains(time))
    }
}

impl SigstoreRoot {
    /// Reads `trusted_root.json` (`dev.sigstore.trustroot.v1.TrustedRoot`).
    ///
    /// # Errors
    /// Why it cannot be used, in a sentence fragment.
    pub(in super::super) fn parse(json: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(json).map_err(|_| "the trusted root is not UTF-8".to_owned())?;
        let root =
            TrustedRoot::from_json(text).map_err(|error| format!("the trusted root cannot be read ({error})"))?;
        let authorities =
            root.certificate_authorities.iter().map(|found| authority(&found.cert_chain, found.valid_for));
        let rekor = root.tlogs.iter().filter_map(|log| {
            log_key(&log.public_key.raw_bytes, &log.log_id.key_id, log.public_key.valid_for).transpose()
        });
        let certificate_logs = root.ctlogs.iter().filter_map(|log| {
            log_key(&log.public_key.raw_bytes, &log.log_id.key_id, log.public_key.valid_for).transpose()
        });
        let root = Self {
            authorities: authorities.collect::<Result<_, _>>()?,
            rekor: rekor.collect::<Result<_, _>>()?,
            certificate_logs: certificate_logs.collect::<Result<_, _>>()?,
        };
        for (there, what) in [
            (!root.authorities.is_empty(), "certificate authority"),
            (!root.rekor.is_empty(), "transparency log"),
            (!root.certificate_logs.is_empty(), "certificate log"),
        ] {
            if !there {
                return Err(format!("the trusted root has no {what} that can be used"));
            }
        }
        Ok(root)
    }
}

fn authority(chain: &CertChain, valid_for: Option<TimeRange>) -> Result<Authority, String> {
    let mut certificates: Vec<_> = chain
        .certificates
        .iter()
        .map(|certificate| CertificateDer::from(certificate.raw_bytes.as_bytes().to_vec()))
        .collect();
    let anchor = certificates.pop().ok_or("a certificate authority of the trusted root has no certificate")?;
    let anchor = webpki::anchor_from_trusted_cert(&anchor)
        .map_err(|error| format!("a certificate of the trusted root cannot be read ({error})"))?
        .to_owned();
    Ok(Authority { anchor, intermediates: certificates, valid_for })
}

/// None for a key of a kind that is not known: a newer trusted root may have such beside others.
fn log_key(key: &DerPublicKey, id: &LogKeyId, valid_for: Option<TimeRange>) -> Result<Option<LogKey>, String> {
    let Ok(key) = VerificationKey::from_spki(key) else { return Ok(None) };
    let id =
        id.as_bytes().try_into().map_err(|_| "a log of the trusted root has an id that is no SHA-256".to_owned())?;
    Ok(Some(LogKey { id, key, valid_for }))
}
