//! The entry of the transparency log (Rekor, version 1) in a gitsign signature.
//!
//! The body of the entry is not read but made: from this very signature, certificate and digest. So an entry that
//! verifies is one for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_schemas::codes;
use jiff::Timestamp;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use sigstore_types::{Checkpoint, Sha256Hash, SignatureBytes};
use x509_cert::der::asn1::ObjectIdentifier;

use super::super::super::refusal::Fault;
use super::super::not_canonical;
use super::cms;
use super::root::{LogKey, SigstoreRoot};

/// The unsigned attribute that holds the entry (gitsign, internal/rekor/oid).
pub(super) const ATTRIBUTE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.3.1");

/// `dev.sigstore.rekor.v1.TransparencyLogEntry` of sigstore's protobuf-specs.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct Entry {
    #[prost(int64, tag = "1")]
    pub(in super::super) log_index: i64,
    #[prost(message, optional, tag = "2")]
    pub(in super::super) log_id: Option<LogId>,
    #[prost(message, optional, tag = "3")]
    pub(in super::super) kind_version: Option<KindVersion>,
    #[prost(int64, tag = "4")]
    pub(in super::super) integrated_time: i64,
    #[prost(message, optional, tag = "5")]
    pub(in super::super) inclusion_promise: Option<InclusionPromise>,
    #[prost(message, optional, tag = "6")]
    pub(in super::super) inclusion_proof: Option<InclusionProof>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct LogId {
    #[prost(bytes = "vec", tag = "1")]
    pub(in super::super) key_id: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct KindVersion {
    #[prost(string, tag = "1")]
    pub(in super::super) kind: String,
    #[prost(string, tag = "2")]
    pub(in super::super) version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct InclusionPromise {
    #[prost(bytes = "vec", tag = "1")]
    pub(in super::super) signed_entry_timestamp: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct InclusionProof {
    #[prost(int64, tag = "1")]
    pub(in super::super) log_index: i64,
    #[prost(bytes = "vec", tag = "2")]
    pub(in super::super) root_hash: Vec<u8>,
    #[prost(int64, tag = "3")]
    pub(in super::super) tree_size: i64,
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub(in super::super) hashes: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "5")]
    pub(in super::super) checkpoint: Option<SignedCheckpoint>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct SignedCheckpoint {
    #[prost(string, tag = "1")]
    pub(in super::super) envelope: String,
}

fn fault(why: impl Into<String>) -> Fault {
    Fault::new(codes::LOG_ENTRY, why)
}

/// Checks the log's entry for a signature, and returns when the log took it in.
pub(super) fn verify(message: &cms::Message, root: &SigstoreRoot) -> Result<Timestamp, Fault> {
    let bytes = message.log_entry.as_deref().ok_or_else(|| {
        fault("the gitsign signature carries no entry of the transparency log: it was not made in offline mode")
    })?;
    let entry = Entry::decode(bytes).map_err(|error| fault(format!("the log's entry cannot be read ({error})")))?;
    if entry.encode_to_vec() != bytes {
        return Err(not_canonical("the log's entry is not encoded as gitsign writes it"));
    }
    let kind = entry.kind_version.clone().unwrap_or_default();
    if (kind.kind.as_str(), kind.version.as_str()) != ("hashedrekord", "0.0.1") {
        return Err(fault(format!("the log's entry is a {} {}, expected hashedrekord 0.0.1", kind.kind, kind.version)));
    }
    let body = body(message);
    let id = entry.log_id.as_ref().map(|id| id.key_id.as_slice()).unwrap_or_default();
    let time = Timestamp::from_second(entry.integrated_time).map_err(|_| fault("the log's entry has no date"))?;
    let log = root
        .rekor
        .iter()
        .find(|log| log.id.as_slice() == id && log.is_valid_at(time))
        .ok_or_else(|| fault("the log's entry is by a log that the trusted root does not know at that time"))?;
    check_promise(&entry, &body, log)?;
    check_inclusion(&entry, &body, log)?;
    Ok(time)
}

/// The entry's content as Rekor canonicalises it (RFC 8785), for this signature.
fn body(message: &cms::Message) -> String {
    format!(
        concat!(
            r#"{{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{{"data":{{"hash":{{"algorithm":"sha256","value":"{}"}}}},"#,
            r#""signature":{{"content":"{}","publicKey":{{"content":"{}"}}}}}}}}"#
        ),
        hex::encode(Sha256::digest(&message.signed)),
        STANDARD.encode(&message.signature),
        STANDARD.encode(pem(&message.certificate)),
    )
}

fn pem(certificate: &[u8]) -> String {
    let base64 = STANDARD.encode(certificate);
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in base64.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

/// The signed entry timestamp: the log's signature over entry, number and time.
fn check_promise(entry: &Entry, body: &str, log: &LogKey) -> Result<(), Fault> {
    let promise = entry.inclusion_promise.as_ref().ok_or_else(|| fault("the log's entry carries no signed time"))?;
    let signed = format!(
        r#"{{"body":"{}","integratedTime":{},"logID":"{}","logIndex":{}}}"#,
        STANDARD.encode(body),
        entry.integrated_time,
        hex::encode(log.id),
        entry.log_index,
    );
    log.key
        .verify(signed.as_bytes(), &SignatureBytes::new(promise.signed_entry_timestamp.clone()))
        .map_err(|_| fault("the log's entry is for another signature, or its log did not sign it"))
}

/// The inclusion proof, up to a tree head that the log signed.
fn check_inclusion(entry: &Entry, body: &str, log: &LogKey) -> Result<(), Fault> {
    let proof = entry.inclusion_proof.as_ref().ok_or_else(|| fault("the log's entry carries no inclusion proof"))?;
    let envelope = proof.checkpoint.as_ref().map(|checkpoint| checkpoint.envelope.as_str()).unwrap_or_default();
    check_head(envelope, log)?;
    let checkpoint = Checkpoint::from_text(envelope)
        .map_err(|error| fault(format!("the log's tree head is unreadable ({error})")))?;
    let broken = || fault("the inclusion proof does not lead from this signature's entry to the log's tree head");
    let hash = |bytes: &[u8]| Sha256Hash::try_from(bytes).map_err(|_| broken());
    let (index, size) = (u64::try_from(proof.log_index), u64::try_from(proof.tree_size));
    let (index, size) = index.ok().zip(size.ok()).ok_or_else(broken)?;
    let root = hash(&proof.root_hash)?;
    if size != checkpoint.tree_size() || root != *checkpoint.root_hash() {
        return Err(broken());
    }
    let hashes = proof.hashes.iter().map(|bytes| hash(bytes)).collect::<Result<Vec<_>, _>>()?;
    let leaf = sigstore_merkle::hash_leaf(body.as_bytes());
    sigstore_merkle::verify_inclusion_proof(&leaf, index, size, &hashes, &root).map_err(|_| broken())
}

/// A tree head that the log signed, and nobody else: a signed note (C2SP) with one signature, in its one form.
fn check_head(envelope: &str, log: &LogKey) -> Result<(), Fault> {
    let unsigned = || fault("the log did not sign the tree head of the inclusion proof");
    let (text, line) = envelope.split_once("\n\n").ok_or_else(unsigned)?;
    let text = format!("{text}\n");
    let line = line.strip_prefix("\u{2014} ").and_then(|line| line.strip_suffix('\n')).ok_or_else(unsigned)?;
    let (name, signature) = line.split_once(' ').ok_or_else(unsigned)?;
    let signature = STANDARD.decode(signature).map_err(|_| unsigned())?;
    let signature = signature.strip_prefix(&log.id[..4]).ok_or_else(unsigned)?;
    // Nobody signs the name in this line; the log's own name for itself begins with it.
    let origin = text.lines().next().unwrap_or_default();
    if origin != name && origin.strip_prefix(name).is_none_or(|rest| !rest.starts_with(" - ")) {
        return Err(not_canonical("the name beside the signature of the log's tree head is not the log's"));
    }
    log.key.verify(text.as_bytes(), &SignatureBytes::new(signature.to_vec())).map_err(|_| unsigned())
}
