//! The device certificate authority: made once, then it signs what admission allowed.
//!
//! In: the files under `ca/`, a device's certificate request, who it is. Out: certificates. Whether a device may have
//! one is decided elsewhere (`bellwether_core::admission`).

mod files;
mod peer;
mod request;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwether_core::admission::Identity;
use bellwether_schemas::codes::{self, Code};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

pub use peer::{Peer, PeerError};
pub use request::{RequestError, RequestedKey};

/// How long a device's certificate lasts.
pub const DEVICE_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long the authority and the server's certificate last.
const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_hours(3_650 * 24);
/// How far back certificates begin, for clocks that are behind.
const BACKDATE: SignedDuration = SignedDuration::from_hours(1);

const CA_CERT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const SERVER_CERT: &str = "server.crt";
const SERVER_KEY: &str = "server.key";

/// A name that the server's certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerName {
    /// A DNS name.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

impl std::str::FromStr for ServerName {
    type Err = AuthorityError;
    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok(Self::Ip(address));
        }
        match rustls_pki_types::DnsName::try_from(text) {
            Ok(name) => Ok(Self::Dns(name.as_ref().to_owned())),
            Err(_) => Err(AuthorityError::Name(text.to_owned())),
        }
    }
}

/// Why the authority could not be made, loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// `create`, `read`, …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others than the owner may read or write a key.
    #[error("{} may be used by others (mode {mode:o}): run chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file is not what its name says.
    #[error("{} is not a {expected} in PEM", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// The certificate and the key of the authority or the server do not belong together.
    #[error("{} and {} do not belong together", certificate.display(), key.display())]
    Mismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// Not a name that a certificate can be for.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    Name(String),
    /// A certificate for no name at all would fit no address.
    #[error("the server needs at least one DNS name or IP address")]
    NoName,
    /// No random numbers, or a signature failed.
    #[error("cannot sign a certificate")]
    Sign(#[source] rcgen::Error),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    Random,
}

impl AuthorityError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Sign(_) | Self::Random => codes::ISSUE_FAILED,
            Self::File { .. }
            | Self::Exposed { .. }
            | Self::Content { .. }
            | Self::Mismatch { .. }
            | Self::Name(_)
            | Self::NoName => codes::AUTHORITY_FILES,
        }
    }
}

/// The authority, with its keys in memory.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    not_after: Timestamp,
    server_chain: Vec<CertificateDer<'static>>,
    server_key: PrivatePkcs8KeyDer<'static>,
}

// Keys must not get into a log by way of `{:?}`.
impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new authority and the server's certificate for `names` in `dir`. Files that are there already are
    /// never overwritten.
    pub fn init(dir: &Path, names: &[ServerName], now: Timestamp) -> Result<(), AuthorityError> {
        if names.is_empty() {
            return Err(AuthorityError::NoName);
        }
        files::create_folder(dir)?;
        let ca_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Sign)?;
        let mut ca = params(now, now + AUTHORITY_LIFE)?;
        // Two authorities of one name would confuse people and path building alike.
        ca.distinguished_name = common_name(&format!("Bellwether CA {}", hex::encode(random::<4>()?)));
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.use_authority_key_identifier_extension = false;
        let certificate = ca.self_signed(&ca_key).map_err(AuthorityError::Sign)?;

        let server_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Sign)?;
        let mut server = params(now, now + AUTHORITY_LIFE)?;
        server.distinguished_name = common_name("Bellwether reconciler");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.subject_alt_names = names.iter().map(ServerName::san).collect::<Result<_, _>>()?;
        let server = server.signed_by(&server_key, &Issuer::from_params(&ca, &ca_key)).map_err(AuthorityError::Sign)?;

        files::create(&dir.join(CA_KEY), ca_key.serialize_pem().as_bytes())?;
        files::create(&dir.join(CA_CERT), certificate.pem().as_bytes())?;
        files::create(&dir.join(SERVER_KEY), server_key.serialize_pem().as_bytes())?;
        files::create(&dir.join(SERVER_CERT), server.pem().as_bytes())?;
        files::sync_folder(dir)
    }

    /// Loads the authority from `dir`.
    pub fn load(dir: &Path) -> Result<Self, AuthorityError> {
        let certificate = files::read_certificate(&dir.join(CA_CERT))?;
        let (ca_key, _) = files::read_key(&dir.join(CA_KEY))?;
        files::check_pair(&certificate, &ca_key, &dir.join(CA_CERT), &dir.join(CA_KEY))?;
        let server = files::read_certificate(&dir.join(SERVER_CERT))?;
        let (server_pair, server_key) = files::read_key(&dir.join(SERVER_KEY))?;
        files::check_pair(&server, &server_pair, &dir.join(SERVER_CERT), &dir.join(SERVER_KEY))?;
        let not_after = peer::not_after(&certificate)
            .ok_or_else(|| AuthorityError::Content { path: dir.join(CA_CERT), expected: "certificate" })?;
        let issuer = Issuer::from_ca_cert_der(&certificate, ca_key).map_err(AuthorityError::Sign)?;
        Ok(Self { issuer, certificate, not_after, server_chain: vec![server], server_key })
    }

    /// Signs a certificate for the requested key and nothing else of the request, from a little before `now` on.
    pub fn issue(&self, key: &RequestedKey, identity: &Identity, now: Timestamp) -> Result<String, AuthorityError> {
        let mut device = params(now, (now + DEVICE_LIFE).min(self.not_after))?;
        device.distinguished_name = common_name(identity.device.as_str());
        device.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        device.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let uri = identity.to_string().try_into().map_err(AuthorityError::Sign)?;
        device.subject_alt_names = vec![SanType::URI(uri)];
        let certificate = device.signed_by(key.public(), &self.issuer).map_err(AuthorityError::Sign)?;
        Ok(certificate.pem())
    }

    /// The authority's certificate, DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The server's certificate chain and key, for TLS.
    pub fn server(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.server_chain.clone(), PrivateKeyDer::Pkcs8(self.server_key.clone_key()))
    }
}

impl ServerName {
    fn san(&self) -> Result<SanType, AuthorityError> {
        match self {
            Self::Ip(address) => Ok(SanType::IpAddress(*address)),
            Self::Dns(name) => match name.as_str().try_into() {
                Ok(name) => Ok(SanType::DnsName(name)),
                Err(_) => Err(AuthorityError::Name(name.clone())),
            },
        }
    }
}

fn params(now: Timestamp, not_after: Timestamp) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    // Times before 1970 become 1970.
    let since_1970 = |at: Timestamp| Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_1970(now - BACKDATE);
    params.not_after = epoch + since_1970(not_after);
    let mut serial = random::<16>()?;
    // RFC 5280 4.1.2.2: positive, and not zero.
    serial[0] = (serial[0] & 0x7f) | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn random<const N: usize>() -> Result<[u8; N], AuthorityError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| AuthorityError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
