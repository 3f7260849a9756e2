//! The CMS message (RFC 5652) of a gitsign signature: detached, one signer, one certificate, signed attributes.

use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use x509_cert::attr::{Attribute, Attributes};
use x509_cert::der::asn1::{ObjectIdentifier, OctetString};
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::der::{Any, Decode as _, DecodeOwned, Encode as _, Header, Length, Reader as _, SliceReader, Tag};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::super::super::refusal::Fault;
use super::super::{invalid, not_canonical, unsupported};
use super::rekor;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const ECDSA_WITH_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// Elements of a set. Each set that a signature needs has one or a few.
const MAX_SET: usize = 32;

/// What counts of a message that has the only form which is taken.
pub(super) struct Message {
    /// The signer's certificate, in DER.
    pub(super) certificate: Vec<u8>,
    /// The SHA-256 of the content, as the signed attributes say.
    pub(super) digest: Vec<u8>,
    /// What the signature is over: the signed attributes as a DER SET.
    pub(super) signed: Vec<u8>,
    pub(super) signature: Vec<u8>,
    /// The log's entry, as a serialised `TransparencyLogEntry`.
    pub(super) log_entry: Option<Vec<u8>>,
}

impl Message {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let unreadable = |error| invalid(format!("the gitsign signature cannot be read ({error})"));
        check_sets(bytes).map_err(unreadable)??;
        let outer = ContentInfo::from_der(bytes).map_err(unreadable)?;
        if outer.content_type != SIGNED_DATA {
            return Err(unsupported("the message is no CMS SignedData"));
        }
        let data: SignedData = outer.content.decode_as().map_err(unreadable)?;
        // What is verified below is what was read, written again: it must be what stands there.
        let again = ContentInfo { content_type: SIGNED_DATA, content: Any::encode_from(&data).map_err(unreadable)? };
        if again.to_der().map_err(unreadable)? != bytes {
            return Err(not_canonical("the gitsign signature is not in DER"));
        }
        let content = &data.encap_content_info;
        if data.version != CmsVersion::V1
            || content.econtent_type != DATA
            || content.econtent.is_some()
            || data.crls.is_some()
        {
            return Err(unsupported("the gitsign signature is not a detached one over data"));
        }
        let [digest_algorithm] = data.digest_algorithms.as_slice() else {
            return Err(not_canonical("the gitsign signature names more or less than one digest"));
        };
        is_algorithm(digest_algorithm, SHA_256)?;
        let certificates = data.certificates.as_ref().map(|set| set.0.as_slice()).unwrap_or_default();
        let [cms::cert::CertificateChoices::Certificate(certificate)] = certificates else {
            return Err(unsupported("the gitsign signature must carry one certificate, the signer's"));
        };
        let [signer] = data.signer_infos.0.as_slice() else {
            return Err(unsupported("the gitsign signature must be by one signer"));
        };
        for extension in certificate.tbs_certificate.extensions.iter().flatten() {
            // The names of its subject are read too, and lie in a string of bytes.
            if extension.extn_id == SubjectAltName::OID {
                check_sets(extension.extn_value.as_bytes()).map_err(unreadable)??;
            }
        }
        names_certificate(signer, certificate)?;
        is_algorithm(&signer.digest_alg, SHA_256)?;
        is_algorithm(&signer.signature_algorithm, ECDSA_WITH_SHA_256)?;
        let attributes = signer
            .signed_attrs
            .as_ref()
            .ok_or_else(|| unsupported("the gitsign signature has no signed attributes"))?;
        let content_type: ObjectIdentifier = single(attributes, CONTENT_TYPE, "content type")?;
        if content_type != DATA {
            return Err(unsupported("the gitsign signature is over something other than data"));
        }
        let digest: OctetString = single(attributes, MESSAGE_DIGEST, "message digest")?;
        Ok(Self {
            certificate: certificate.to_der().map_err(unreadable)?,
            digest: digest.into_bytes(),
            signed: attributes.to_der().map_err(unreadable)?,
            signature: signer.signature.as_bytes().to_vec(),
            log_entry: log_entry(signer.unsigned_attrs.as_ref())?,
        })
    }
}

/// Refuses sets of many elements. The reader of DER sorts each set by insertion, before anything of it is known: an
/// unsigned commit could keep it busy for minutes. Every constructed value that is no SEQUENCE may be a set by its tag.
fn check_sets(bytes: &[u8]) -> x509_cert::der::Result<Result<(), Fault>> {
    let mut reader = SliceReader::new(bytes)?;
    let mut open: Vec<(Length, usize)> = Vec::new();
    while !reader.is_finished() {
        while open.last().is_some_and(|(end, _)| *end <= reader.position()) {
            open.pop();
        }
        if let Some((_, left)) = open.last_mut() {
            let Some(fewer) = left.checked_sub(1) else {
                return Ok(Err(unsupported(format!(
                    "a set in the gitsign signature has more than {MAX_SET} elements"
                ))));
            };
            *left = fewer;
        }
        let header = Header::decode(&mut reader)?;
        if header.tag.is_constructed() {
            let elements = if header.tag == Tag::Sequence { usize::MAX } else { MAX_SET };
            open.push(((reader.position() + header.length)?, elements));
        } else {
            reader.read_slice(header.length)?;
        }
    }
    Ok(Ok(()))
}

fn names_certificate(signer: &SignerInfo, certificate: &x509_cert::Certificate) -> Result<(), Fault> {
    let certificate = &certificate.tbs_certificate;
    match &signer.sid {
        SignerIdentifier::IssuerAndSerialNumber(id)
            if signer.version == CmsVersion::V1
                && id.issuer == certificate.issuer
                && id.serial_number == certificate.serial_number =>
        {
            Ok(())
        }
        _ => Err(unsupported("the gitsign signature does not name its signer by the certificate's issuer and number")),
    }
}

/// The algorithm, without parameters: nobody signs these, so only one form of them is taken.
fn is_algorithm(found: &AlgorithmIdentifierOwned, expected: ObjectIdentifier) -> Result<(), Fault> {
    if found.oid != expected {
        return Err(unsupported("the gitsign signature is not by ECDSA with SHA-256"));
    }
    if found.parameters.is_some() {
        return Err(not_canonical("the gitsign signature's algorithm has parameters"));
    }
    Ok(())
}

/// The only value of the only attribute of a type.
fn single<T: DecodeOwned>(attributes: &Attributes, oid: ObjectIdentifier, what: &str) -> Result<T, Fault> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    match (found.next(), found.next()) {
        (Some(attribute), None) => value(attribute),
        _ => Err(invalid(format!("the gitsign signature must say its {what} once"))),
    }
}

fn value<T: DecodeOwned>(attribute: &Attribute) -> Result<T, Fault> {
    let [value] = attribute.values.as_slice() else {
        return Err(invalid("an attribute of the gitsign signature must have one value"));
    };
    value
        .to_der()
        .and_then(|der| T::from_der(&der))
        .map_err(|error| invalid(format!("an attribute of the gitsign signature cannot be read ({error})")))
}

/// The log's entry. It is the only attribute that may stand where nobody signs.
fn log_entry(attributes: Option<&Attributes>) -> Result<Option<Vec<u8>>, Fault> {
    let Some(attributes) = attributes else { return Ok(None) };
    match attributes.as_slice() {
        [attribute] if attribute.oid == rekor::ATTRIBUTE => {
            value::<OctetString>(attribute).map(|entry| Some(entry.into_bytes()))
        }
        _ => Err(not_canonical("the gitsign signature has attributes that nobody signed, beside the log's entry")),
    }
}
