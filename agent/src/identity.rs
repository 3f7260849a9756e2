//! Who the device is: key, certificate, and where its reconciler listens.

use bellwether_schemas::id::Sha256Digest;
use bellwether_schemas::lives::is_renewal_due;
use bellwether_schemas::name::DeviceName;
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

/// The device's identity. One file holds all of it, so that key and certificate always belong together.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Identity {
    /// The name in the certificate.
    pub(crate) device: DeviceName,
    /// PKCS#8, PEM.
    pub(crate) key: String,
    /// PEM.
    pub(crate) certificate: String,
    /// The only authorities that servers are trusted by, PEM: one, or two while the reconciler replaces its own.
    pub(crate) ca: String,
    /// `https://host:port` of the `devices` listener.
    pub(crate) devices: String,
    /// `https://host:port` of the `updates` listener.
    pub(crate) updates: String,
}

#[cfg(test)]
impl Identity {
    /// One that names a device, and that nobody can use.
    pub(crate) fn without_key() -> Self {
        let device = "edge-1".parse().expect("a name");
        let [key, certificate, ca, devices, updates] = Default::default();
        Self { device, key, certificate, ca, devices, updates }
    }
}

// The key is a secret: it must not get into a log by way of `{:?}`.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("device", &self.device).finish_non_exhaustive()
    }
}

/// A new key with a request for its certificate.
pub(crate) struct KeyRequest {
    /// PKCS#8, PEM.
    pub(crate) key: String,
    /// PKCS#10, PEM.
    pub(crate) request_pem: String,
    /// PKCS#10, DER.
    pub(crate) request_der: Vec<u8>,
    /// SHA-256 of the key's SubjectPublicKeyInfo.
    pub(crate) fingerprint: Sha256Digest,
}

impl KeyRequest {
    /// Makes an ECDSA P-256 key and a request that it signs.
    pub(crate) fn make() -> Result<Self, rcgen::Error> {
        Self::with(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
    }

    /// A request that a key made earlier signs.
    pub(crate) fn again(key: &str) -> Result<Self, rcgen::Error> {
        Self::with(&KeyPair::from_pem(key)?)
    }

    fn with(key: &KeyPair) -> Result<Self, rcgen::Error> {
        let request = CertificateParams::default().serialize_request(key)?;
        Ok(Self {
            key: key.serialize_pem(),
            request_pem: request.pem()?,
            request_der: request.der().to_vec(),
            fingerprint: Sha256Digest::of(&key.subject_public_key_info()),
        })
    }
}

impl Identity {
    /// Whether two thirds of the certificate's life are over, so that it shall be renewed. A certificate that cannot be read shall be, too.
    pub(crate) fn is_renewable(&self, now: Timestamp) -> bool {
        let Some((from, until)) = life(&self.certificate) else { return true };
        is_renewal_due(from, until, now)
    }
}

/// From when to when a certificate in PEM is valid.
pub(crate) fn life(pem: &str) -> Option<(Timestamp, Timestamp)> {
    life_of(&CertificateDer::from_pem_slice(pem.as_bytes()).ok()?)
}

/// From when to when a certificate is valid.
pub(crate) fn life_of(certificate: &CertificateDer<'_>) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let validity = certificate.validity();
    let at = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
    Some((at(validity.not_before)?, at(validity.not_after)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life() {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 3, 2);
        let certificate = params.self_signed(&key).expect("a certificate").pem();
        let identity = Identity {
            device: "edge-1".parse().expect("a name"),
            key: key.serialize_pem(),
            certificate,
            ca: String::new(),
            devices: String::new(),
            updates: String::new(),
        };
        let at = |text: &str| text.parse().expect("a time");
        assert!(!identity.is_renewable(at("2026-02-09T00:00:00Z")));
        assert!(identity.is_renewable(at("2026-02-11T00:00:00Z")));
        assert!(Identity { certificate: "x".into(), ..identity }.is_renewable(at("2026-02-09T00:00:00Z")));
    }

    #[test]
    fn the_same_key_makes_another_request() {
        let first = KeyRequest::make().expect("a request");
        let again = KeyRequest::again(&first.key).expect("a request");
        assert_eq!((&first.key, first.fingerprint), (&again.key, again.fingerprint));
        assert_ne!(first.fingerprint, KeyRequest::make().expect("a request").fingerprint);
        assert!(!format!("{:?}", again.request_pem).contains("PRIVATE"));
    }
}
