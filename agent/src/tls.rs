//! TLS to the reconciler: the pinned authorities only, one crypto provider, the agent's own idea of time; and what went wrong, in so many words.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bellwether_agent_core::Problem;
use bellwether_schemas::{Code, Sha256Digest, codes};
use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::identity::{Identity, life_of};

/// Why no TLS configuration can be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The CA file.
    #[error("the CA is not a certificate in PEM")]
    Ca,
    /// The device's key or certificate.
    #[error("the device's key or certificate cannot be read")]
    Identity,
    /// What rustls refuses.
    #[error("key, certificate and CA do not fit")]
    Refused(#[source] rustls::Error),
}

/// The clock for certificates: never before what is known to have passed.
#[derive(Debug)]
struct Floored {
    verified: Option<Timestamp>,
}

impl TimeProvider for Floored {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(crate::clock::now(self.verified).0.as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Verifies all but whether a server's certificate has begun. Our authority signs none for the future, so one that begins
/// later than the clock shows proves that the clock is behind; a device without a battery would never come back otherwise
/// (docs/decisions/0016-what-ends-when.md).
#[derive(Debug)]
struct NotYetToo(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for NotYetToo {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let (begins, _) = life_of(end_entity).ok_or(CertificateError::BadEncoding)?;
        let begins = Duration::from_secs(u64::try_from(begins.as_second()).unwrap_or(0));
        let now = now.max(UnixTime::since_unix_epoch(begins));
        self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Why authorities are not taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VouchError {
    /// They cannot be read.
    #[error(transparent)]
    Unusable(#[from] TlsError),
    /// None of them signed the server's certificate, or that is not usable.
    #[error("none of them vouches for the server's certificate")]
    Unvouched(#[source] rustls::Error),
    /// Nothing was shown.
    #[error("the server showed no certificate")]
    NoCertificate,
}

/// Whether one of the authorities in `ca` vouches for the certificates that the server at `address` showed.
pub(crate) fn vouch(
    ca: &str,
    certificates: &[CertificateDer<'_>],
    address: &str,
    verified: Option<Timestamp>,
) -> Result<(), VouchError> {
    let [certificate, others @ ..] = certificates else { return Err(VouchError::NoCertificate) };
    let host = crate::session::host_and_port(address).map_or(address, |(host, _)| host);
    let name = ServerName::try_from(host).map_err(|_| TlsError::Identity)?;
    let now = Floored { verified }.current_time().ok_or(TlsError::Identity)?;
    verifier(ca)?.verify_server_cert(certificate, others, &name, &[], now).map(drop).map_err(VouchError::Unvouched)
}

/// SHA-256 of each authority's certificate in `ca`.
pub(crate) fn fingerprints(ca: &str) -> Vec<Sha256Digest> {
    CertificateDer::pem_slice_iter(ca.as_bytes()).flatten().map(|certificate| Sha256Digest::of(&certificate)).collect()
}

fn verifier(ca: &str) -> Result<NotYetToo, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.map_err(|_| TlsError::Ca)?).map_err(|_| TlsError::Ca)?;
    }
    if roots.is_empty() {
        return Err(TlsError::Ca);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    verifier.build().map(NotYetToo).map_err(|_| TlsError::Ca)
}

/// A client that trusts only the authorities in `ca`, with or without the device's certificate.
pub(crate) fn client(
    ca: &str,
    identity: Option<&Identity>,
    verified: Option<Timestamp>,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = verifier(ca)?;
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Floored { verified }))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Refused)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some(identity) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|_| TlsError::Identity)?;
    builder.with_client_auth_cert(chain.map_err(|_| TlsError::Identity)?, key).map_err(TlsError::Refused)
}

/// Waits until the server has judged our certificate. With TLS 1.3 it does so after the handshake, and HTTP/2, which would
/// already write by then, loses what it says. Session tickets, or anything else that it sends, mean that it is content.
pub(crate) async fn hear_verdict(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    let (tcp, tls) = stream.get_mut();
    while tls.protocol_version() == Some(ProtocolVersion::TLSv1_3)
        && tls.tls13_tickets_received() == 0
        && tls.wants_read()
    {
        tcp.readable().await?;
        match tls.read_tls(&mut Received(tcp)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                tls.process_new_packets().map_err(io::Error::other)?;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What has arrived on a connection.
struct Received<'a>(&'a TcpStream);

impl io::Read for Received<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

/// What to say about a connection that failed; `address` is what was connected to.
pub(crate) fn problem(address: &str, error: &(dyn Error + 'static)) -> Problem {
    let (code, what) = match find_rustls(error) {
        None => (codes::SERVER_UNREACHABLE_AGENT, crate::cli::chain(error)),
        Some(rustls::Error::InvalidCertificate(why)) => refused(why),
        Some(rustls::Error::AlertReceived(alert)) => {
            (codes::TLS_FAILED, format!("the server refused the connection, or this device's certificate: {alert:?}"))
        }
        Some(other) => (codes::TLS_FAILED, other.to_string()),
    };
    Problem::transient(code, format!("{address}: {what}"))
}

/// Why a server's certificate is refused.
fn refused(why: &CertificateError) -> (Code, String) {
    match why {
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = presented.iter().map(|name| plain_name(name)).collect::<Vec<_>>().join(", ");
            let what = format!("the server's certificate is not for this name; the names in it: {names}");
            (codes::TLS_NAME_MISMATCH, what)
        }
        CertificateError::NotValidForName => {
            (codes::TLS_NAME_MISMATCH, "the server's certificate is not for this name".to_owned())
        }
        // One of the same name that has another key makes a bad signature.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let what = "the server's certificate was not signed by the pinned CA: \
                        the reconciler was set up anew, or somebody else answers here";
            (codes::TLS_UNTRUSTED, what.to_owned())
        }
        CertificateError::ExpiredContext { time, not_after } => {
            let until = shown(*not_after);
            (codes::TLS_TIME, format!("the server's certificate expired at {until}, {}", by_this_clock(*time)))
        }
        CertificateError::Expired | CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            (codes::TLS_TIME, format!("the server's certificate is not valid at this time: {why}"))
        }
        other => (codes::TLS_FAILED, format!("the server's certificate is not usable: {other}")),
    }
}

/// A name as people write it. rustls tells names as `DnsName("localhost")` and `IpAddress(127.0.0.1)`.
fn plain_name(presented: &str) -> &str {
    let inner = |kind: &str| presented.strip_prefix(kind)?.strip_suffix(')');
    inner("DnsName(").or_else(|| inner("IpAddress(")).map_or(presented, |name| name.trim_matches('"'))
}

/// Which time a certificate was judged by, and what the clock had to do with it.
fn by_this_clock(time: UnixTime) -> String {
    let clock = Timestamp::now();
    match i64::try_from(time.as_secs()) {
        Ok(used) if clock.as_second() < used => {
            format!("and it is {} at least, though this device's clock shows {clock:.0}", shown(time))
        }
        Ok(_) | Err(_) => format!("and this device's clock shows {}", shown(time)),
    }
}

fn shown(time: UnixTime) -> String {
    let time = i64::try_from(time.as_secs()).ok().and_then(|second| Timestamp::from_second(second).ok());
    time.map_or_else(|| "a time beyond the year 9999".to_owned(), |time| time.to_string())
}

/// Finds the TLS error in a chain; I/O errors hide theirs from `source`.
fn find_rustls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next: Option<&'a (dyn Error + 'static)> = Some(error);
    for _ in 0..32 {
        let error = next?;
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests;
