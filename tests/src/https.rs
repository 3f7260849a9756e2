//! HTTPS as a device or a stranger would speak it: one trusted CA, and a client certificate if there is one.

use std::sync::Arc;

use reqwest::blocking::{Client, Response};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::device::Identity;

/// A client that trusts `ca` only, with the certificate of `identity`.
pub fn client(ca: &str, identity: Option<&Identity>) -> Client {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(authority.expect("a certificate")).expect("a CA");
    }
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots);
    let tls = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
            let chain = chain.collect::<Result<_, _>>().expect("the agent keeps PEM");
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("the agent keeps PEM");
            builder.with_client_auth_cert(chain, key).expect("key and certificate belong together")
        }
    };
    let client = Client::builder().tls_backend_preconfigured(tls).no_proxy();
    client.redirect(reqwest::redirect::Policy::none()).build().expect("a client can be made")
}

/// Status and body of an answer.
pub fn answer(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    (status, response.text().unwrap_or_default())
}
