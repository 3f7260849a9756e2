//! Certificates that devices bring from their factory: whether an authority of the Enrollment stands behind one, and
//! whether its key signed the request.
//!
//! In: what a device sent, the authorities that git lists, the time. Out: the hash of the factory's key, by which the
//! device is known, or why it is refused. The dates of the authorities are not judged: git says how long they count.

use std::time::Duration;

use bellwether_schemas::codes::{self, Code};
use bellwether_schemas::enroll::{FactoryProof, factory_message};
use bellwether_schemas::manifest::FactoryCa;
use bellwether_schemas::{EnrollmentName, Sha256Digest};
use jiff::Timestamp;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, aws_lc_rs};

/// The greatest number of certificates that a device may send.
const MAX_CHAIN: usize = 8;

/// By what a factory's key may sign a request: of one that fits the key, any.
const PROOFS: [&dyn SignatureVerificationAlgorithm; 8] = [
    aws_lc_rs::ECDSA_P256_SHA256,
    aws_lc_rs::ECDSA_P256_SHA384,
    aws_lc_rs::ECDSA_P384_SHA256,
    aws_lc_rs::ECDSA_P384_SHA384,
    aws_lc_rs::ED25519,
    aws_lc_rs::RSA_PKCS1_2048_8192_SHA256,
    aws_lc_rs::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
    aws_lc_rs::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
];

/// Why a device's factory certificate does not let it in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactoryRefusal {
    /// What it sent is no chain of certificates.
    #[error("the factory certificate cannot be read: {0}")]
    Unreadable(&'static str),
    /// No authority stands behind it, or not now, or not for this.
    #[error("the factory certificate is refused: {0}")]
    Certificate(String),
    /// Its key did not sign the request.
    #[error("the request is not signed by the key of the factory certificate")]
    Proof,
}

impl FactoryRefusal {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Unreadable(_) | Self::Certificate(_) => codes::FACTORY_CERTIFICATE,
            Self::Proof => codes::FACTORY_PROOF,
        }
    }
}

/// Checks that one of the authorities stands behind the certificate at `now`, and that its key signed this request for this
/// enrollment. Returns the SHA-256 of that key's SubjectPublicKeyInfo.
///
/// # Errors
/// When the certificate or the proof does not hold.
pub fn verify_factory(
    ca: &FactoryCa,
    proof: &FactoryProof,
    csr_der: &[u8],
    enrollment: &EnrollmentName,
    now: Timestamp,
) -> Result<Sha256Digest, FactoryRefusal> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(proof.chain.as_bytes()).take(MAX_CHAIN + 1).collect();
    let chain = chain.map_err(|_| FactoryRefusal::Unreadable("it is not PEM"))?;
    let [leaf, between @ ..] = chain.as_slice() else { return Err(FactoryRefusal::Unreadable("there is none")) };
    if chain.len() > MAX_CHAIN {
        return Err(FactoryRefusal::Unreadable("it comes with more than 7 others"));
    }
    let leaf = EndEntityCert::try_from(leaf).map_err(|error| FactoryRefusal::Certificate(error.to_string()))?;

    let authorities: Vec<CertificateDer<'_>> = ca.certificates().map(CertificateDer::from).collect();
    let anchors = authorities.iter().map(webpki::anchor_from_trusted_cert);
    // One that webpki cannot use signs for nobody.
    let anchors: Vec<TrustAnchor<'_>> = anchors.filter_map(Result::ok).collect();
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let usage = KeyUsage::client_auth();
    leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, between, at, usage, None, None)
        .map_err(|error| FactoryRefusal::Certificate(reason(&error)))?;

    let signature = hex::decode(&proof.signature).map_err(|_| FactoryRefusal::Proof)?;
    let message = factory_message(csr_der, enrollment);
    let holds = |algorithm: &&dyn SignatureVerificationAlgorithm| {
        leaf.verify_signature(*algorithm, &message, &signature).is_ok()
    };
    if !PROOFS.iter().any(holds) {
        return Err(FactoryRefusal::Proof);
    }
    Ok(Sha256Digest::of(&leaf.subject_public_key_info()))
}

/// The usual reasons in words of ours.
fn reason(error: &webpki::Error) -> String {
    let text = match error {
        webpki::Error::UnknownIssuer => "no authority in the Enrollment's ca signed it",
        webpki::Error::InvalidSignatureForPublicKey => "it bears the name of an authority in ca and not its signature",
        webpki::Error::CertExpired { .. } => "it, or one between it and the authority, has expired",
        webpki::Error::CertNotValidYet { .. } => "it, or one between it and the authority, is not valid yet",
        webpki::Error::RequiredEkuNotFoundContext(_) => "its extended key usage does not allow client authentication",
        webpki::Error::CaUsedAsEndEntity => "it is the certificate of an authority, not of a device",
        other => return other.to_string(),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests;
