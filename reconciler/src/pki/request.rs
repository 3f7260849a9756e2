//! The public key in a PKCS#10 request, and nothing else of it.

use bellwether_schemas::Sha256Digest;
use bellwether_schemas::codes::{self, Code};
use rcgen::{CertificateSigningRequestParams, PublicKey};
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::der_parser::asn1_rs::oid;
use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

/// No request of ours is larger, in bytes.
const MAX_REQUEST: usize = 16 * 1024;

/// A key whose holder signed the request for its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedKey {
    public: PublicKey,
    fingerprint: Sha256Digest,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Larger than any request that is meant.
    #[error("the certificate request is larger than {MAX_REQUEST} bytes")]
    TooLarge,
    /// Not PKCS#10.
    #[error("the certificate request is not PKCS#10")]
    Malformed,
    /// A key of another kind.
    #[error("the certificate request is for a key that is neither ECDSA P-256 nor Ed25519")]
    Algorithm,
    /// The signature by its own key does not verify, or it asks for extensions that cannot be read.
    #[error("the certificate request is not signed by its own key")]
    Signature,
}

impl RequestError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::TooLarge | Self::Malformed | Self::Algorithm | Self::Signature => codes::REQUEST_KEY,
        }
    }
}

impl RequestedKey {
    /// Reads a request in PEM.
    pub fn from_pem(pem: &str) -> Result<Self, RequestError> {
        if pem.len() > MAX_REQUEST {
            return Err(RequestError::TooLarge);
        }
        let der = CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|_| RequestError::Malformed)?;
        Self::from_der(&der)
    }

    /// Reads a request in DER.
    pub fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > MAX_REQUEST {
            return Err(RequestError::TooLarge);
        }
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| RequestError::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestError::Malformed);
        }
        // rcgen goes by the signature's algorithm; the curve is in the key's.
        let spki = &request.certification_request_info.subject_pki;
        let curve = spki.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        let p256 = spki.algorithm.algorithm == oid!(1.2.840.10045.2.1) && curve == Some(oid!(1.2.840.10045.3.1.7));
        let ed25519 = spki.algorithm.algorithm == oid!(1.3.101.112);
        if !(p256 || ed25519) {
            return Err(RequestError::Algorithm);
        }
        let fingerprint = Sha256Digest::of(spki.raw);
        let request = CertificateSigningRequestParams::from_der(&der.into()).map_err(|_| RequestError::Signature)?;
        Ok(Self { public: request.public_key, fingerprint })
    }

    /// SHA-256 of the key's SubjectPublicKeyInfo.
    pub fn fingerprint(&self) -> &Sha256Digest {
        &self.fingerprint
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }
}
