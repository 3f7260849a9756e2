//! TLS of the listeners: our own certificate, and on two of them a device's certificate from the other side.
//!
//! Whether a certificate is still admitted is asked on every call (`callers.rs`), not here; that includes whether it has
//! expired, since an expired one may still be renewed. New connections get what the authority's files say now.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pki::{self, Authority, AuthorityWatch};

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The server's certificate or key is not usable.
    #[error("the server's certificate cannot be used for TLS")]
    Certificate(#[source] rustls::Error),
    /// The authority's certificate cannot verify others.
    #[error("the authority's certificate cannot verify devices")]
    Authority(#[source] rustls::server::VerifierBuilderError),
}

/// Who must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clients {
    /// Nobody.
    Anyone,
    /// Everybody: one that our authority signed.
    Devices,
}

/// The protocols that a listener speaks, as ALPN names them.
pub(crate) const HTTP: &[&[u8]] = &[b"h2", b"http/1.1"];
/// gRPC needs HTTP/2.
pub(crate) const GRPC: &[&[u8]] = &[b"h2"];

/// The configuration for new connections, as it is now.
pub(crate) type ConfigWatch = watch::Receiver<Arc<ServerConfig>>;

/// The configurations of all listeners.
#[derive(Debug)]
pub(crate) struct Configs {
    pub(crate) anyone: ConfigWatch,
    pub(crate) grpc: ConfigWatch,
    pub(crate) mutual: ConfigWatch,
}

/// Makes the listeners' configurations, and makes them again whenever the authority changes. Open connections stay.
pub(crate) fn configs(
    authority: AuthorityWatch,
    tasks: &TaskTracker,
    shutdown: CancellationToken,
) -> Result<Configs, TlsError> {
    let [(anyone, a), (grpc, b), (mutual, c)] = all(&authority.borrow())?.map(watch::channel);
    tasks.spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = follow(authority, [anyone, grpc, mutual]) => {}
        }
    });
    Ok(Configs { anyone: a, grpc: b, mutual: c })
}

async fn follow(mut authority: AuthorityWatch, configs: [watch::Sender<Arc<ServerConfig>>; 3]) {
    while authority.changed().await.is_ok() {
        match all(&authority.borrow_and_update()) {
            Ok(new) => configs.iter().zip(new).for_each(|(config, new)| drop(config.send_replace(new))),
            Err(error) => {
                let code = bellwether_schemas::codes::AUTHORITY_RELOAD;
                tracing::error!(%code, error = &error as &dyn std::error::Error, "new connections get the certificate that was loaded before");
            }
        }
    }
}

fn all(authority: &Authority) -> Result<[Arc<ServerConfig>; 3], TlsError> {
    Ok([
        server_config(authority, Clients::Anyone, HTTP)?,
        server_config(authority, Clients::Devices, GRPC)?,
        for_devices(authority)?,
    ])
}

/// What a listener for devices speaks TLS with, as the authority's files are now.
///
/// # Errors
/// When they cannot be used for it.
pub fn for_devices(authority: &Authority) -> Result<Arc<ServerConfig>, TlsError> {
    server_config(authority, Clients::Devices, HTTP)
}

fn server_config(authority: &Authority, clients: Clients, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Certificate)?;
    let builder = match clients {
        Clients::Anyone => builder.with_no_client_auth(),
        Clients::Devices => {
            let roots = Arc::new(authority.roots().map_err(TlsError::Certificate)?);
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots, provider).build().map_err(TlsError::Authority)?;
            builder.with_client_cert_verifier(Arc::new(ExpiredToo(verifier)))
        }
    };
    let (chain, key) = authority.server();
    let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Certificate)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Verifies all but whether a certificate has expired: whoever bears one gets as far as the call, and is judged there.
#[derive(Debug)]
struct ExpiredToo(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for ExpiredToo {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let end = pki::not_after(end_entity).ok_or(CertificateError::BadEncoding)?;
        let end = Duration::from_secs(u64::try_from(end.as_second()).unwrap_or(0));
        self.0.verify_client_cert(end_entity, intermediates, now.min(UnixTime::since_unix_epoch(end)))
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
