//! TLS of the listeners: our own certificate, and on two of them a device's certificate from the other side.
//!
//! Whether a certificate is still admitted is asked on every call (`bellwether_core::admission`), not here.
//! A device whose certificate has expired is refused by TLS; the grace in which it may still renew is not built yet.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};

use crate::pki::Authority;

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

pub(crate) fn server_config(
    authority: &Authority,
    clients: Clients,
    protocols: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Certificate)?;
    let builder = match clients {
        Clients::Anyone => builder.with_no_client_auth(),
        Clients::Devices => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.certificate().clone()).map_err(TlsError::Certificate)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(TlsError::Authority)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let (chain, key) = authority.server();
    let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Certificate)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}
