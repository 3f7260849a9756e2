//! Who is at the other end: the identity in a certificate that TLS has verified.

use std::net::IpAddr;

use bellwether_core::admission::{Domain, Identity};
use bellwether_core::certificates::Issued;
use bellwether_schemas::Sha256Digest;
use bellwether_schemas::codes::{self, Code};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::ServerName;

/// A device at the other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub identity: Identity,
    /// SHA-256 of its certificate's SubjectPublicKeyInfo.
    pub key: Sha256Digest,
    /// When its certificate begins.
    pub not_before: Timestamp,
    /// When its certificate ends.
    pub not_after: Timestamp,
    /// SHA-256 of the name of the authority that issued it.
    pub issuer: Sha256Digest,
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
    /// Its certificate, as far as it matters which of two was issued later.
    pub fn issued(&self) -> Issued {
        Issued { from: self.not_before, key: self.key }
    }

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
    let Fields { not_before, not_after, issuer, .. } = Fields::of(&certificate)?;
    let key = Sha256Digest::of(certificate.public_key().raw);
    Some(Peer { identity: uri.parse().ok()?, key, not_before, not_after, issuer })
}

/// What every certificate says.
pub(super) struct Fields {
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// SHA-256 of the name of whom it is for, DER.
    pub(super) subject: Sha256Digest,
    /// SHA-256 of the name of who signed it, DER.
    pub(super) issuer: Sha256Digest,
}

impl Fields {
    pub(super) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        Self::of(&parse(der)?)
    }

    fn of(certificate: &X509Certificate<'_>) -> Option<Self> {
        let validity = certificate.validity();
        Some(Self {
            not_before: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            not_after: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
            subject: Sha256Digest::of(certificate.subject().as_raw()),
            issuer: Sha256Digest::of(certificate.issuer().as_raw()),
        })
    }
}

/// When a certificate ends.
pub(crate) fn not_after(der: &CertificateDer<'_>) -> Option<Timestamp> {
    Some(Fields::read(der)?.not_after)
}

/// The names that a server's certificate is for.
pub(super) fn server_names(der: &CertificateDer<'_>) -> Option<Vec<ServerName>> {
    let certificate = parse(der)?;
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    names.iter().map(server_name).collect()
}

fn server_name(name: &GeneralName<'_>) -> Option<ServerName> {
    match name {
        GeneralName::DNSName(name) => Some(ServerName::Dns((*name).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            Some(ServerName::Ip(v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok()?))
        }
        _ => None,
    }
}

/// The SubjectPublicKeyInfo of a certificate, DER.
pub(super) fn public_key(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    Some(parse(der)?.public_key().raw.to_vec())
}
