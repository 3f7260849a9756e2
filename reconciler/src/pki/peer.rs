//! Who is at the other end: the identity in a certificate that TLS has verified.

use bellwether_core::admission::{Domain, Identity};
use bellwether_schemas::Sha256Digest;
use bellwether_schemas::codes::{self, Code};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// A device at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub identity: Identity,
    /// SHA-256 of its certificate's SubjectPublicKeyInfo.
    pub key: Sha256Digest,
    /// When its certificate ends.
    pub not_after: Timestamp,
}

/// Why a verified certificate is no device's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It cannot be read, or bears no identity, or several.
    #[error("the certificate bears no device identity")]
    NoIdentity,
    /// It bears an identity of another domain.
    #[error("the certificate is of domain {found}, this reconciler's is {expected}")]
    Domain {
        /// Its domain.
        found: Domain,
        /// Ours.
        expected: Domain,
    },
}

impl PeerError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::NoIdentity | Self::Domain { .. } => codes::CERTIFICATE_FOREIGN,
        }
    }
}

impl Peer {
    /// Reads the identity from a certificate that TLS has verified against our authority.
    pub fn from_certificate(der: &CertificateDer<'_>, domain: &Domain) -> Result<Self, PeerError> {
        let peer = read(der).ok_or(PeerError::NoIdentity)?;
        if peer.identity.domain != *domain {
            return Err(PeerError::Domain { found: peer.identity.domain, expected: domain.clone() });
        }
        Ok(peer)
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then_some(certificate)
}

fn read(der: &CertificateDer<'_>) -> Option<Peer> {
    let certificate = parse(der)?;
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    // Exactly one name, and it is the identity: a second one could only mislead.
    let [GeneralName::URI(uri)] = names.as_slice() else { return None };
    Some(Peer {
        identity: uri.parse().ok()?,
        key: Sha256Digest::of(certificate.public_key().raw),
        not_after: Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?,
    })
}

pub(super) fn not_after(der: &CertificateDer<'_>) -> Option<Timestamp> {
    Timestamp::from_second(parse(der)?.validity().not_after.timestamp()).ok()
}

/// The SubjectPublicKeyInfo of a certificate, DER.
pub(super) fn public_key(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    Some(parse(der)?.public_key().raw.to_vec())
}
