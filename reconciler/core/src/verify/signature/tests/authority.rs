//! A throw-away Sigstore: certificate authority, certificate log and transparency log, and a `gitsign` that uses them.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedAttributes, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use prost::Message as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use x509_cert::attr::Attribute;
use x509_cert::der::asn1::{BitString, GeneralizedTime, ObjectIdentifier, OctetString, SetOfVec};
use x509_cert::der::{Any, DateTime, Decode as _, Encode as _};
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};
use x509_cert::{Certificate, TbsCertificate, Version};

use super::{SIGNED, rearmed};
use crate::verify::signature::gitsign::rekor::{
    Entry, InclusionPromise, InclusionProof, KindVersion, LogId, SignedCheckpoint,
};

/// When the certificate was issued; it is valid for ten minutes.
pub(super) const ISSUED: i64 = 1_750_000_000;
pub(super) const EMAIL: &str = "ada@example.com";
pub(super) const ISSUER: &str = "https://login.example.com";
const ECDSA_WITH_SHA_256: &str = "1.2.840.10045.4.3.2";
const SHA_256: &str = "2.16.840.1.101.3.4.2.1";

fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new(text).expect("an object identifier")
}

fn algorithm(text: &str) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: oid(text), parameters: None }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).expect("a scalar")
}

fn sign(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    let signature: DerSignature = key.sign(message);
    signature.as_bytes().to_vec()
}

/// A SubjectPublicKeyInfo on P-256.
fn spki(key: &SigningKey) -> Vec<u8> {
    let head = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").expect("hexadecimal");
    [head.as_slice(), key.verifying_key().to_encoded_point(false).as_bytes()].concat()
}

fn extension(id: &str, critical: bool, value: &[u8]) -> Extension {
    Extension { extn_id: oid(id), critical, extn_value: OctetString::new(value).expect("short") }
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    assert!(content.len() < 128);
    [&[tag, u8::try_from(content.len()).expect("short")], content].concat()
}

fn code_signing() -> Extension {
    extension("2.5.29.37", false, &hex::decode("300a06082b06010505070303").expect("hexadecimal"))
}

fn authority_extensions() -> Vec<Extension> {
    vec![
        extension("2.5.29.15", true, &[3, 2, 1, 6]),
        extension("2.5.29.19", true, &[0x30, 3, 1, 1, 0xff]),
        code_signing(),
    ]
}

fn validity(from: i64, to: i64) -> Validity {
    let time = |seconds: i64| {
        let seconds = u64::try_from(seconds).expect("after 1970");
        let time = DateTime::from_unix_duration(std::time::Duration::from_secs(seconds)).expect("a date");
        Time::GeneralTime(GeneralizedTime::from_date_time(time))
    };
    Validity { not_before: time(from), not_after: time(to) }
}

fn unsigned(issuer: &str, subject: &str, key: &SigningKey, validity: Validity) -> TbsCertificate {
    TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&[7]).expect("a number"),
        signature: algorithm(ECDSA_WITH_SHA_256),
        issuer: Name::from_str(issuer).expect("a name"),
        validity,
        subject: if subject.is_empty() { Name::default() } else { Name::from_str(subject).expect("a name") },
        subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(&spki(key)).expect("a key"),
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: None,
    }
}

fn signed(tbs_certificate: TbsCertificate, key: &SigningKey) -> Certificate {
    let signature = sign(key, &tbs_certificate.to_der().expect("DER"));
    Certificate {
        tbs_certificate,
        signature_algorithm: algorithm(ECDSA_WITH_SHA_256),
        signature: BitString::from_bytes(&signature).expect("bytes"),
    }
}

/// The keys of one Sigstore. Another seed is another one.
pub(super) struct Sigstore {
    root: SigningKey,
    intermediate: SigningKey,
    certificate_log: SigningKey,
    rekor: SigningKey,
}

impl Sigstore {
    pub(super) fn new(seed: u8) -> Self {
        Self { root: key(seed), intermediate: key(seed + 1), certificate_log: key(seed + 2), rekor: key(seed + 3) }
    }

    /// The content of `trust/sigstore-root.json`.
    pub(super) fn trusted_root(&self) -> serde_json::Value {
        let long = || validity(1_600_000_000, 2_200_000_000);
        let mut root = unsigned("CN=root", "CN=root", &self.root, long());
        root.extensions = Some(authority_extensions());
        let mut intermediate = unsigned("CN=root", "CN=intermediate", &self.intermediate, long());
        intermediate.extensions = Some(authority_extensions());
        let chain = [signed(intermediate, &self.root), signed(root, &self.root)];
        let valid = json!({"start": "2024-01-01T00:00:00Z"});
        let log = |key: &SigningKey| {
            json!({
                "baseUrl": "https://log.example.com",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(spki(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid,
                },
                "logId": {"keyId": STANDARD.encode(Sha256::digest(spki(key)))},
            })
        };
        let der = |certificate: &Certificate| STANDARD.encode(certificate.to_der().expect("DER"));
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.rekor)],
            "certificateAuthorities": [{
                "uri": "https://ca.example.com",
                "certChain": {"certificates": chain.iter().map(|found| json!({"rawBytes": der(found)})).collect::<Vec<_>>()},
                "validFor": valid,
            }],
            "ctlogs": [log(&self.certificate_log)],
        })
    }

    pub(super) fn root_text(&self) -> Vec<u8> {
        self.trusted_root().to_string().into_bytes()
    }
}

/// How `gitsign` signs. The default counts.
pub(super) struct Gitsign {
    pub(super) sigstore: Sigstore,
    /// The name in the certificate, with its tag: 0x81 is an e-mail address, 0x86 a URI.
    pub(super) name: (u8, &'static str),
    pub(super) issuer: &'static str,
    pub(super) usage: bool,
    /// Who signs the certificate in place of the intermediate authority.
    pub(super) certificate_by: Option<SigningKey>,
    /// Who signs the certificate's timestamp in place of the certificate log; none at all if it has none.
    pub(super) timestamp_by: Option<Option<SigningKey>>,
    pub(super) integrated: i64,
    /// Whose signature the log has, in place of this one.
    pub(super) log_has: Option<Vec<u8>>,
    pub(super) log_by: Option<SigningKey>,
    pub(super) entry: fn(&mut Entry),
    pub(super) signer: fn(&mut SignerInfo),
    pub(super) data: fn(&mut SignedData),
    /// Signed attributes beside content type and digest.
    pub(super) digest: Option<Vec<u8>>,
    pub(super) without_entry: bool,
}

impl Default for Gitsign {
    fn default() -> Self {
        Self {
            sigstore: Sigstore::new(10),
            name: (0x81, EMAIL),
            issuer: ISSUER,
            usage: true,
            certificate_by: None,
            timestamp_by: None,
            integrated: ISSUED + 60,
            log_has: None,
            log_by: None,
            entry: |_| {},
            signer: |_| {},
            data: |_| {},
            digest: None,
            without_entry: false,
        }
    }
}

pub(super) fn stranger() -> SigningKey {
    key(99)
}

impl Gitsign {
    fn key() -> SigningKey {
        key(50)
    }

    fn certificate(&self) -> Certificate {
        let mut certificate = unsigned("CN=intermediate", "", &Self::key(), validity(ISSUED, ISSUED + 600));
        let mut extensions = vec![
            extension("2.5.29.15", true, &[3, 2, 7, 0x80]),
            extension("2.5.29.17", true, &tagged(0x30, &tagged(self.name.0, self.name.1.as_bytes()))),
            extension("1.3.6.1.4.1.57264.1.8", false, &tagged(0x0c, self.issuer.as_bytes())),
        ];
        if self.usage {
            extensions.push(code_signing());
        }
        certificate.extensions = Some(extensions);
        if let Some(timestamp) = self.timestamp(&certificate) {
            let list =
                [&u16::try_from(timestamp.len() + 2).expect("short").to_be_bytes()[..], &short(&timestamp)].concat();
            let value = tagged(0x04, &list);
            let timestamp = extension("1.3.6.1.4.1.11129.2.4.2", false, &value);
            certificate.extensions.as_mut().expect("extensions").push(timestamp);
        }
        let by = self.certificate_by.as_ref().unwrap_or(&self.sigstore.intermediate);
        signed(certificate, by)
    }

    /// RFC 6962, 3.2.
    fn timestamp(&self, before: &TbsCertificate) -> Option<Vec<u8>> {
        let by = match &self.timestamp_by {
            None => &self.sigstore.certificate_log,
            Some(by) => by.as_ref()?,
        };
        let at = u64::try_from(ISSUED * 1000).expect("after 1970").to_be_bytes();
        let before = before.to_der().expect("DER");
        let length = u32::try_from(before.len()).expect("short").to_be_bytes();
        let issuer = Sha256::digest(spki(&self.sigstore.intermediate));
        let message = [&[0, 0][..], &at, &[0, 1], &issuer, &length[1..], &before, &[0, 0]].concat();
        let id = Sha256::digest(spki(&self.sigstore.certificate_log));
        Some([&[0][..], &id, &at, &[0, 0], &[4, 3], &short(&sign(by, &message))].concat())
    }

    /// What `gitsign` puts into the commit.
    pub(super) fn armoured(&self) -> String {
        rearmed("SIGNED MESSAGE", 64, &self.message(SIGNED))
    }

    pub(super) fn message(&self, payload: &[u8]) -> Vec<u8> {
        let certificate = self.certificate();
        let digest = self.digest.clone().unwrap_or_else(|| Sha256::digest(payload).to_vec());
        let data = oid("1.2.840.113549.1.7.1");
        let attributes = SetOfVec::try_from(vec![
            attribute("1.2.840.113549.1.9.3", &Any::encode_from(&data).expect("DER")),
            attribute("1.2.840.113549.1.9.4", &octets(&digest)),
        ]);
        let attributes: SignedAttributes = attributes.expect("two attributes");
        let signed = attributes.to_der().expect("DER");
        let signature = sign(&Self::key(), &signed);
        let logged = self.log_has.as_ref().unwrap_or(&signature);
        let entry = self.entry(&certificate, &signed, logged).encode_to_vec();
        let unsigned = SetOfVec::try_from(vec![attribute("1.3.6.1.4.1.57264.3.1", &octets(&entry))]);
        let mut signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: certificate.tbs_certificate.issuer.clone(),
                serial_number: certificate.tbs_certificate.serial_number.clone(),
            }),
            digest_alg: algorithm(SHA_256),
            signed_attrs: Some(attributes),
            signature_algorithm: algorithm(ECDSA_WITH_SHA_256),
            signature: OctetString::new(signature).expect("short"),
            unsigned_attrs: (!self.without_entry).then(|| unsigned.expect("an attribute")),
        };
        (self.signer)(&mut signer);
        let certificates = SetOfVec::try_from(vec![CertificateChoices::Certificate(certificate)]).expect("one");
        let mut message = SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::try_from(vec![algorithm(SHA_256)]).expect("one"),
            encap_content_info: EncapsulatedContentInfo { econtent_type: data, econtent: None },
            certificates: Some(CertificateSet(certificates)),
            crls: None,
            signer_infos: SignerInfos(SetOfVec::try_from(vec![signer]).expect("one")),
        };
        (self.data)(&mut message);
        let content = Any::encode_from(&message).expect("DER");
        ContentInfo { content_type: oid("1.2.840.113549.1.7.2"), content }.to_der().expect("DER")
    }

    /// The entry in a log of two.
    fn entry(&self, certificate: &Certificate, signed: &[u8], signature: &[u8]) -> Entry {
        let log = self.log_by.as_ref().unwrap_or(&self.sigstore.rekor);
        let id = Sha256::digest(spki(&self.sigstore.rekor));
        let der = certificate.to_der().expect("DER");
        let pem = rearmed("CERTIFICATE", 64, &der) + "\n";
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": hex::encode(Sha256::digest(signed))}},
                "signature": {"content": STANDARD.encode(signature), "publicKey": {"content": STANDARD.encode(pem)}},
            },
        })
        .to_string();
        let promise = json!({
            "body": STANDARD.encode(&body),
            "integratedTime": self.integrated,
            "logID": hex::encode(id),
            "logIndex": 1001,
        });
        let other = Sha256::digest(b"\0another entry").to_vec();
        let leaf = Sha256::digest([b"\0", body.as_bytes()].concat());
        let root = Sha256::digest([&[1][..], &other, &leaf].concat()).to_vec();
        let head = format!("log.example.com\n2\n{}\n", STANDARD.encode(&root));
        let line = STANDARD.encode([&id[..4], &sign(log, head.as_bytes())].concat());
        let mut entry = Entry {
            log_index: 1001,
            log_id: Some(LogId { key_id: id.to_vec() }),
            kind_version: Some(KindVersion { kind: "hashedrekord".to_owned(), version: "0.0.1".to_owned() }),
            integrated_time: self.integrated,
            inclusion_promise: Some(InclusionPromise {
                signed_entry_timestamp: sign(log, promise.to_string().as_bytes()),
            }),
            inclusion_proof: Some(InclusionProof {
                log_index: 1,
                root_hash: root,
                tree_size: 2,
                hashes: vec![other],
                checkpoint: Some(SignedCheckpoint { envelope: format!("{head}\n\u{2014} log.example.com {line}\n") }),
            }),
        };
        (self.entry)(&mut entry);
        entry
    }
}

/// A vector of TLS with a length of two bytes.
fn short(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("short").to_be_bytes()[..], bytes].concat()
}

pub(super) fn octets(bytes: &[u8]) -> Any {
    Any::encode_from(&OctetString::new(bytes).expect("short")).expect("DER")
}

pub(super) fn attribute(id: &str, value: &Any) -> Attribute {
    Attribute { oid: oid(id), values: SetOfVec::try_from(vec![value.clone()]).expect("one value") }
}
