//! The signing certificate of a gitsign signature: its chain, its certificate log, and whom it names.

use std::time::Duration;

use bellwether_schemas::manifest::GitsignIdentity;
use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest as _, Sha256};
use sigstore_crypto::{CertificateInfo, KeyAlgorithm, SigningScheme, VerificationKey, WEBPKI_VERIFICATION_ALGS};
use sigstore_types::{DerCertificate, SignatureBytes};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Any, Decode as _, Encode as _, Tag};
use x509_cert::ext::pkix::SignedCertificateTimestampList;

use super::super::super::refusal::Fault;
use super::super::{invalid, unsupported};
use super::root::SigstoreRoot;

const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
const TIMESTAMPS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");

/// The certificate, read.
pub(super) struct Leaf<'a> {
    der: &'a [u8],
    info: CertificateInfo,
}

impl<'a> Leaf<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, Fault> {
        let info = sigstore_crypto::parse_certificate_info(&DerCertificate::new(der.to_vec()))
            .map_err(|error| invalid(format!("the signing certificate cannot be read ({error})")))?;
        if info.key_algorithm != KeyAlgorithm::EcdsaP256 {
            return Err(unsupported("the signing certificate's key is not on P-256"));
        }
        Ok(Self { der, info })
    }

    /// Checks a signature by the certificate's key.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Fault> {
        VerificationKey::from_spki_with_scheme(&self.info.public_key, SigningScheme::EcdsaP256Sha256)
            .and_then(|key| key.verify(message, &SignatureBytes::new(signature.to_vec())))
            .map_err(|_| invalid("the gitsign signature is not by the key of its certificate"))
    }

    /// Checks that an authority of the root issued the certificate, that it was valid at `time`, and that a certificate
    /// log of the root has it.
    pub(super) fn check(&self, root: &SigstoreRoot, time: Timestamp) -> Result<(), Fault> {
        let der = CertificateDer::from(self.der);
        let leaf = EndEntityCert::try_from(&der)
            .map_err(|error| invalid(format!("the signing certificate cannot be read ({error})")))?;
        let seconds = u64::try_from(time.as_second()).map_err(|_| invalid("the log's date is before 1970"))?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let mut last = None;
        for authority in root.authorities.iter().filter(|authority| authority.is_valid_at(time)) {
            let usage = KeyUsage::required(CODE_SIGNING.as_bytes());
            let anchors = std::slice::from_ref(&authority.anchor);
            let algorithms = WEBPKI_VERIFICATION_ALGS;
            match leaf.verify_for_usage(algorithms, anchors, &authority.intermediates, at, usage, None, None) {
                Ok(path) => return self.check_timestamp(root, &issuer_key(&path)?),
                Err(error) => last = Some(error),
            }
        }
        let why = last.map_or_else(|| "none was valid then".to_owned(), |error| error.to_string());
        Err(invalid(format!("no authority of the trusted root stands for the signing certificate at {time} ({why})")))
    }

    /// Checks the timestamp in the certificate (RFC 6962): a certificate log promised to show it to everybody.
    fn check_timestamp(&self, root: &SigstoreRoot, issuer_key: &[u8]) -> Result<(), Fault> {
        let broken = |why: &str| invalid(format!("the signing certificate's timestamp by a certificate log {why}"));
        let unreadable = |_| broken("cannot be read");
        let mut certificate = Certificate::from_der(self.der).map_err(unreadable)?;
        let list = certificate.tbs_certificate.get::<SignedCertificateTimestampList>().map_err(unreadable)?;
        let (_, list) = list.ok_or_else(|| broken("is missing"))?;
        let timestamps = list.parse_timestamps().map_err(|_| broken("cannot be read"))?;
        let [timestamp] = timestamps.as_slice() else { return Err(broken("is there more than once")) };
        let timestamp = timestamp.parse_timestamp().map_err(|_| broken("cannot be read"))?;
        let issued = i64::try_from(timestamp.timestamp).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        let issued = issued.ok_or_else(|| broken("has no date"))?;
        // What the log signed is the certificate before the timestamp stood in it.
        if let Some(extensions) = &mut certificate.tbs_certificate.extensions {
            extensions.retain(|extension| extension.extn_id != TIMESTAMPS);
        }
        let before = certificate.tbs_certificate.to_der().map_err(unreadable)?;
        let length = u32::try_from(before.len()).map_err(|_| broken("is over too much"))?.to_be_bytes();
        let extensions = timestamp.extensions.as_slice();
        let extensions_length = u16::try_from(extensions.len()).map_err(|_| broken("is over too much"))?.to_be_bytes();
        let signed = [
            // Version 1, a certificate's timestamp.
            &[0, 0][..],
            &timestamp.timestamp.to_be_bytes(),
            // An entry of a certificate before its timestamp.
            &[0, 1],
            Sha256::digest(issuer_key).as_slice(),
            &length[1..],
            &before,
            &extensions_length,
            extensions,
        ]
        .concat();
        let signature = SignatureBytes::new(timestamp.signature.signature.as_slice().to_vec());
        let verified = root
            .certificate_logs
            .iter()
            .filter(|log| log.id == timestamp.log_id.key_id && log.is_valid_at(issued))
            .any(|log| log.key.verify(&signed, &signature).is_ok());
        if verified { Ok(()) } else { Err(broken("is by no log of the trusted root")) }
    }

    /// Whom the certificate names, and who vouched.
    pub(super) fn identity(self) -> Result<GitsignIdentity, Fault> {
        match (self.info.identity, self.info.issuer) {
            (Some(identity), Some(issuer)) => Ok(GitsignIdentity { identity: identity.as_str().to_owned(), issuer }),
            _ => Err(invalid("the signing certificate names nobody, or no issuer")),
        }
    }
}

/// The whole SubjectPublicKeyInfo of who issued the certificate at the end of a path.
fn issuer_key(path: &VerifiedPath<'_>) -> Result<Vec<u8>, Fault> {
    match path.intermediate_certificates().next() {
        Some(issuer) => Ok(issuer.subject_public_key_info().as_ref().to_vec()),
        // webpki keeps of an anchor's only what is inside the SEQUENCE.
        None => Any::new(Tag::Sequence, path.anchor().subject_public_key_info.as_ref())
            .and_then(|key| key.to_der())
            .map_err(|error| invalid(format!("the authority's key cannot be encoded ({error})"))),
    }
}
