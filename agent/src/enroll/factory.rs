//! The proof that the key of a factory certificate is here.

use std::sync::Arc;

use bellwether_schemas::enroll::{FactoryProof, factory_message};
use bellwether_schemas::name::EnrollmentName;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{InconsistentKeys, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// By what a factory's key signs, best first.
const SCHEMES: [SignatureScheme; 5] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PKCS1_SHA256,
];

/// Why there is no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FactoryError {
    #[error("the factory certificate is not a certificate in PEM")]
    Certificate,
    #[error("the factory key is not a private key in PEM")]
    Key,
    #[error("the factory key is of a kind that is not accepted: ECDSA P-256 or P-384, Ed25519, RSA are")]
    Kind,
    #[error("the factory key does not belong to the factory certificate, which must be the first in its file")]
    Mismatch,
    #[error("the factory key cannot sign")]
    Sign,
}

/// Signs a request for a certificate with the factory's key.
pub(super) fn prove(
    enrollment: &EnrollmentName,
    chain: &str,
    key: &str,
    csr_der: &[u8],
) -> Result<FactoryProof, FactoryError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let certificates = certificates.ok().filter(|all| !all.is_empty()).ok_or(FactoryError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| FactoryError::Key)?;
    let key: Arc<dyn SigningKey> = any_supported_type(&key).map_err(|_| FactoryError::Kind)?;
    let pair = CertifiedKey::new(certificates, key);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => return Err(FactoryError::Mismatch),
        Err(_) => return Err(FactoryError::Certificate),
    }
    let signer = pair.key.choose_scheme(&SCHEMES).ok_or(FactoryError::Kind)?;
    let signature = signer.sign(&factory_message(csr_der, enrollment)).map_err(|_| FactoryError::Sign)?;
    Ok(FactoryProof { chain: chain.to_owned(), signature: hex::encode(signature) })
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    };

    use super::*;

    fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let certificate = CertificateParams::default().self_signed(&key).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn keys_of_every_accepted_kind_sign_and_a_wrong_pair_is_told() {
        let lab: EnrollmentName = "lab".parse().expect("a name");
        let (other, _) = pair(&PKCS_ECDSA_P256_SHA256);
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256] {
            let (chain, key) = pair(algorithm);
            let proof = prove(&lab, &chain, &key, b"request").expect("signed");
            assert_eq!((proof.chain.as_str(), proof.signature.is_empty()), (chain.as_str(), false), "{algorithm:?}");
            assert_eq!(prove(&lab, &other, &key, b"request"), Err(FactoryError::Mismatch), "{algorithm:?}");
        }
        let (chain, key) = pair(&PKCS_ED25519);
        assert_eq!(prove(&lab, "x", &key, b"request"), Err(FactoryError::Certificate));
        assert_eq!(prove(&lab, &chain, "x", b"request"), Err(FactoryError::Key));
    }
}
