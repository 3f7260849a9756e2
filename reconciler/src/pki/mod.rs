//! The device certificate authority: made once, then it signs what admission allowed; and its replacement by another one.
//!
//! In: the files under `ca/`, a device's certificate request, who it is. Out: certificates. Whether a device may have
//! one is decided elsewhere (`bellwether_core::admission`).
//!
//! `ca.crt` holds every authority that is trusted: one, or two while it is being replaced. `ca.key` belongs to the one that
//! issues. The server's certificate is signed by the authority that all devices know.

mod ceremony;
mod error;
mod files;
mod peer;
mod request;
mod watch;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::admission::Identity;
use bellwether_core::certificates::{reissued_begins, renewal_begins};
use bellwether_schemas::Sha256Digest;
use bellwether_schemas::lives::{DEVICE_CERTIFICATE, Life, is_renewal_due};
use jiff::Timestamp;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType,
    SerialNumber,
};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};

pub use ceremony::{begin_rotation, finish_rotation, init, renew_server};
pub use error::AuthorityError;
pub(crate) use peer::not_after;
pub use peer::{Peer, PeerError};
pub use request::{RequestError, RequestedKey};
pub use watch::{AuthorityWatch, renew_if_due, watch_authority};

use peer::Fields;

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

impl std::fmt::Display for ServerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => f.pad(name),
            Self::Ip(address) => address.fmt(f),
        }
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

/// A certificate authority that devices' certificates may be of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// Its certificate, DER.
    pub certificate: CertificateDer<'static>,
    /// SHA-256 of that.
    pub fingerprint: Sha256Digest,
    /// SHA-256 of its name, by which certificates name their issuer.
    pub name: Sha256Digest,
    /// When its certificate ends.
    pub not_after: Timestamp,
}

/// What the server's certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCertificate {
    /// The names it is for.
    pub names: Vec<ServerName>,
    /// When it begins.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
    /// SHA-256 of the name of the authority that signed it.
    pub issuer: Sha256Digest,
}

/// The authority, with its keys in memory.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// All that are trusted; the one that issues is the first.
    trusted: Vec<Trusted>,
    server: ServerCertificate,
    server_chain: Vec<CertificateDer<'static>>,
    server_key: PrivatePkcs8KeyDer<'static>,
}

// Keys must not get into a log by way of `{:?}`.
impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("trusted", &self.trusted.len()).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new authority and the server's certificate for `names` in `dir`. Files that are there already are
    /// never overwritten.
    pub fn init(dir: &Path, names: &[ServerName], now: Timestamp) -> Result<(), AuthorityError> {
        ceremony::init(dir, names, now)
    }

    /// Loads the authority from `dir`.
    pub fn load(dir: &Path) -> Result<Self, AuthorityError> {
        let (ca_path, server_path) = (dir.join(CA_CERT), dir.join(SERVER_CERT));
        let unreadable =
            |path: &Path| AuthorityError::Content { path: path.to_owned(), expected: "certificate of ours" };
        let (issuing, ca_key, _) = files::read_pair(&ca_path, &dir.join(CA_KEY))?;
        let mut trusted = files::read_certificates(&ca_path)?
            .into_iter()
            .map(|certificate| Trusted::new(certificate).ok_or_else(|| unreadable(&ca_path)))
            .collect::<Result<Vec<_>, _>>()?;
        trusted.sort_by_key(|it| it.certificate != issuing);
        let (certificate, _, server_key) = files::read_pair(&server_path, &dir.join(SERVER_KEY))?;
        let fields = Fields::read(&certificate).ok_or_else(|| unreadable(&server_path))?;
        let server = ServerCertificate {
            names: peer::server_names(&certificate).ok_or_else(|| unreadable(&server_path))?,
            not_before: fields.not_before,
            not_after: fields.not_after,
            issuer: fields.issuer,
        };
        let unvouched =
            |source| AuthorityError::Unvouched { certificate: server_path.clone(), authority: ca_path.clone(), source };
        if !trusted.iter().any(|it| it.name == fields.issuer) {
            return Err(unvouched(None));
        }
        vouched(&trusted, &certificate, fields.not_after).map_err(|why| unvouched(Some(why)))?;
        let issuer = Issuer::from_ca_cert_der(&issuing, ca_key).map_err(AuthorityError::Sign)?;
        Ok(Self { issuer, trusted, server, server_chain: vec![certificate], server_key })
    }

    /// Signs a certificate for the requested key and nothing else of the request, from a little before `now` on.
    pub fn issue(&self, key: &RequestedKey, identity: &Identity, now: Timestamp) -> Result<String, AuthorityError> {
        self.sign(key, identity, (DEVICE_CERTIFICATE.begins(now), now))
    }

    /// The same for an identity whose newest certificate began at `newest`: the new one comes after it, however often that
    /// was renewed by somebody who has its key.
    pub fn issue_after(
        &self,
        key: &RequestedKey,
        identity: &Identity,
        (newest, now): (Timestamp, Timestamp),
    ) -> Result<String, AuthorityError> {
        self.sign(key, identity, (reissued_begins(newest, now), now))
    }

    /// The same for a device that has a certificate, which the new one comes after.
    ///
    /// # Errors
    /// Also when the device renewed so often that the new one would begin in the future.
    pub fn renew(&self, key: &RequestedKey, peer: &Peer, now: Timestamp) -> Result<String, AuthorityError> {
        let from = renewal_begins(peer.not_before, now).ok_or(AuthorityError::TooOften)?;
        self.sign(key, &peer.identity, (from, now))
    }

    fn sign(
        &self,
        key: &RequestedKey,
        identity: &Identity,
        (from, now): (Timestamp, Timestamp),
    ) -> Result<String, AuthorityError> {
        let mut device = params(from, DEVICE_CERTIFICATE.ends(now).min(self.issuing().not_after))?;
        device.distinguished_name = common_name(identity.device.as_str());
        device.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        device.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let uri = identity.to_string().try_into().map_err(AuthorityError::Sign)?;
        device.subject_alt_names = vec![SanType::URI(uri)];
        let certificate = device.signed_by(key.public(), &self.issuer).map_err(AuthorityError::Sign)?;
        Ok(certificate.pem())
    }

    /// The authority that issues.
    pub fn issuing(&self) -> &Trusted {
        &self.trusted[0]
    }

    /// The certificate of the authority that issues, DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.issuing().certificate
    }

    /// Every authority that is trusted; the one that issues is the first.
    pub fn trusted(&self) -> &[Trusted] {
        &self.trusted
    }

    /// Fingerprints of every authority that is trusted, sorted.
    pub fn fingerprints(&self) -> Vec<Sha256Digest> {
        let mut all: Vec<_> = self.trusted.iter().map(|it| it.fingerprint).collect();
        all.sort_unstable();
        all
    }

    /// Certificates of every authority that is trusted, PEM: what devices pin.
    pub fn bundle(&self) -> String {
        bundle(&self.trusted)
    }

    /// Roots for TLS: every authority that is trusted.
    pub fn roots(&self) -> Result<RootCertStore, rustls::Error> {
        roots(&self.trusted)
    }

    /// What the server's certificate says.
    pub fn server_certificate(&self) -> &ServerCertificate {
        &self.server
    }

    /// Whether the server's certificate is to be renewed.
    pub fn is_server_due(&self, now: Timestamp) -> bool {
        is_renewal_due(self.server.not_before, self.server.not_after, now)
    }

    /// The server's certificate chain and key, for TLS.
    pub fn server(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.server_chain.clone(), PrivateKeyDer::Pkcs8(self.server_key.clone_key()))
    }
}

impl Trusted {
    fn new(certificate: CertificateDer<'static>) -> Option<Self> {
        let fields = Fields::read(&certificate)?;
        let fingerprint = Sha256Digest::of(&certificate);
        Some(Self { certificate, fingerprint, name: fields.subject, not_after: fields.not_after })
    }
}

fn bundle<'a>(trusted: impl IntoIterator<Item = &'a Trusted>) -> String {
    trusted.into_iter().map(|it| crate::keys::pem("CERTIFICATE", &it.certificate)).collect()
}

fn roots(trusted: &[Trusted]) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for authority in trusted {
        roots.add(authority.certificate.clone())?;
    }
    Ok(roots)
}

/// Whether one of the authorities signed the server's certificate. That it has ended says nothing against it here: it is
/// renewed.
fn vouched(trusted: &[Trusted], certificate: &CertificateDer<'_>, not_after: Timestamp) -> Result<(), rustls::Error> {
    let parsed = rustls::server::ParsedCertificate::try_from(certificate)?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let end = Duration::from_secs(u64::try_from(not_after.as_second()).unwrap_or(0));
    let (roots, at) = (Arc::new(roots(trusted)?), UnixTime::since_unix_epoch(end));
    let algorithms = provider.signature_verification_algorithms.all;
    rustls::client::verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], at, algorithms)
}

/// The fields that all our certificates have.
fn params(not_before: Timestamp, not_after: Timestamp) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    // Times before 1970 become 1970.
    let since_1970 = |at: Timestamp| Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_1970(not_before);
    params.not_after = epoch + since_1970(not_after);
    let mut serial = random::<16>()?;
    // RFC 5280 4.1.2.2: positive, and not zero.
    serial[0] = (serial[0] & 0x7f) | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn lasting(life: Life, now: Timestamp) -> Result<CertificateParams, AuthorityError> {
    params(life.begins(now), life.ends(now))
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

/// The file in which the key of an authority, or an earlier file of the server, is kept.
fn kept(dir: &Path, what: &str, name: &str, end: &str) -> PathBuf {
    dir.join(format!("{what}-{name}.{end}"))
}

#[cfg(test)]
mod tests;
