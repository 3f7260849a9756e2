//! gitsign: signatures of a throw-away Sigstore, each wrong in one way.

use bellwether_schemas::manifest::{GitsignIdentity, Person};
use bellwether_schemas::{Code, codes};
use cms::cert::CertificateChoices;
use cms::signed_data::{CertificateSet, SignedData};
use sha2::{Digest as _, Sha256};
use x509_cert::der::asn1::{OctetString, SetOfVec};
use x509_cert::der::{Any, Encode as _, Tag, TagNumber};

use super::authority::{EMAIL, Gitsign, ISSUED, ISSUER, Sigstore, attribute, octets, stranger};
use super::{SIGNED, keyring_of, rearmed, signer, signer_over, unarmoured};
use crate::verify::signature::Keyring;

fn ada(identity: &str, issuer: &str) -> Person {
    let identity = GitsignIdentity { identity: identity.to_owned(), issuer: issuer.to_owned() };
    Person { gitsign: vec![identity], ..Person::default() }
}

fn keyring_with(root: &[u8]) -> Keyring {
    keyring_of(ada(EMAIL, ISSUER), Some(root)).expect("an identity and a root")
}

fn keyring() -> Keyring {
    keyring_with(&Gitsign::default().sigstore.root_text())
}

#[track_caller]
fn assert_refused(armoured: &str, code: Code) {
    let fault = signer(&keyring(), armoured).expect_err("it does not count");
    assert_eq!(fault.code, code, "{fault}");
}

#[test]
fn an_identity_of_the_policy_counts() {
    assert_eq!(signer(&keyring(), &Gitsign::default().armoured()).as_deref(), Ok("ada"));
    let workflow = "https://ci.example.com/fleet/.github/workflows/land.yml@refs/heads/main";
    let signing = Gitsign { name: (0x86, workflow), ..Gitsign::default() };
    let keyring = keyring_of(ada(workflow, ISSUER), Some(&signing.sigstore.root_text())).expect("an identity");
    assert_eq!(signer(&keyring, &signing.armoured()).as_deref(), Ok("ada"));
}

#[test]
fn other_content_does_not_count() {
    let other = String::from_utf8_lossy(SIGNED).replace("to sign", "to sigh");
    let fault = signer_over(&keyring(), other.as_bytes(), &Gitsign::default().armoured()).expect_err("other content");
    assert_eq!(fault.code, codes::SIGNATURE_INVALID, "{fault}");
}

#[test]
fn a_digest_that_nobody_signed_does_not_count() {
    // The attributes that are signed hold another digest, and the ones that stand there hold the right one.
    let signing = Gitsign {
        digest: Some(vec![1; 32]),
        signer: |signer| {
            let attributes = signer.signed_attrs.take().expect("attributes");
            let kept = attributes.iter().find(|kept| kept.oid.to_string().ends_with(".9.3")).expect("a type").clone();
            let digest = attribute("1.2.840.113549.1.9.4", &octets(&Sha256::digest(SIGNED)));
            signer.signed_attrs = Some(SetOfVec::try_from(vec![kept, digest]).expect("two"));
        },
        ..Gitsign::default()
    };
    assert_refused(&signing.armoured(), codes::SIGNATURE_INVALID);
}

#[test]
fn identity_and_issuer_are_exactly_the_policys() {
    for signing in [
        Gitsign { name: (0x81, "Ada@example.com"), ..Gitsign::default() },
        Gitsign { name: (0x81, "ada@example.com.evil.example"), ..Gitsign::default() },
        Gitsign { name: (0x81, "eve@example.com"), ..Gitsign::default() },
        Gitsign { issuer: "https://login.example.com/", ..Gitsign::default() },
        Gitsign { issuer: "https://evil.example.com", ..Gitsign::default() },
    ] {
        assert_refused(&signing.armoured(), codes::SIGNER_UNKNOWN);
    }
}

#[test]
fn the_certificate_is_by_an_authority_of_the_root_and_in_a_log() {
    for signing in [
        Gitsign { certificate_by: Some(stranger()), ..Gitsign::default() },
        Gitsign { usage: false, ..Gitsign::default() },
        Gitsign { timestamp_by: Some(None), ..Gitsign::default() },
        Gitsign { timestamp_by: Some(Some(stranger())), ..Gitsign::default() },
    ] {
        assert_refused(&signing.armoured(), codes::SIGNATURE_INVALID);
    }
    // Another Sigstore, whole in itself.
    let foreign = Gitsign { sigstore: Sigstore::new(20), ..Gitsign::default() };
    assert_refused(&foreign.armoured(), codes::LOG_ENTRY);
    assert!(signer(&keyring_with(&foreign.sigstore.root_text()), &foreign.armoured()).is_ok());
}

#[test]
fn the_logs_time_lies_in_the_certificates() {
    for integrated in [ISSUED, ISSUED + 600] {
        assert!(signer(&keyring(), &Gitsign { integrated, ..Gitsign::default() }.armoured()).is_ok());
    }
    for integrated in [ISSUED - 1, ISSUED + 601] {
        assert_refused(&Gitsign { integrated, ..Gitsign::default() }.armoured(), codes::SIGNATURE_INVALID);
    }
    // What stands beside the signed time is worth nothing.
    let moved = Gitsign { integrated: ISSUED + 601, entry: |entry| entry.integrated_time -= 60, ..Gitsign::default() };
    assert_refused(&moved.armoured(), codes::LOG_ENTRY);
}

#[test]
fn authorities_and_logs_count_in_their_time_only() {
    let signing = Gitsign::default();
    for (list, code) in [
        ("certificateAuthorities", codes::SIGNATURE_INVALID),
        ("tlogs", codes::LOG_ENTRY),
        ("ctlogs", codes::SIGNATURE_INVALID),
    ] {
        for (range, counts) in [
            (r#"{"start": "2024-01-01T00:00:00Z", "end": "2025-06-16T00:00:00Z"}"#, true),
            (r#"{"start": "2024-01-01T00:00:00Z", "end": "2025-06-15T00:00:00Z"}"#, false),
            (r#"{"start": "2025-06-16T00:00:00Z"}"#, false),
        ] {
            let mut root = signing.sigstore.trusted_root();
            let range: serde_json::Value = serde_json::from_str(range).expect("JSON");
            let entry = &mut root[list][0];
            let holder = if entry.get("publicKey").is_some() { &mut entry["publicKey"] } else { entry };
            holder["validFor"] = range;
            let found = signer(&keyring_with(root.to_string().as_bytes()), &signing.armoured());
            assert_eq!(
                found.map_err(|fault| fault.code),
                if counts { Ok("ada".to_owned()) } else { Err(code) },
                "{list}"
            );
        }
    }
}

#[test]
fn an_entry_of_another_signature_proves_nothing() {
    let other = Gitsign::default().message(b"another commit");
    assert_refused(&Gitsign { log_has: Some(other[..70].to_vec()), ..Gitsign::default() }.armoured(), codes::LOG_ENTRY);
    assert_refused(&Gitsign { log_by: Some(stranger()), ..Gitsign::default() }.armoured(), codes::LOG_ENTRY);
}

#[test]
fn the_log_proves_time_and_inclusion() {
    for entry in [
        (|entry| entry.inclusion_promise = None) as fn(&mut crate::verify::signature::gitsign::rekor::Entry),
        |entry| entry.inclusion_proof = None,
        |entry| entry.log_id = None,
        |entry| entry.log_index += 1,
        |entry| entry.kind_version.as_mut().expect("a kind").version = "0.0.2".to_owned(),
        |entry| entry.inclusion_proof.as_mut().expect("a proof").hashes[0][0] ^= 1,
        |entry| entry.inclusion_proof.as_mut().expect("a proof").hashes.clear(),
        |entry| entry.inclusion_proof.as_mut().expect("a proof").root_hash[0] ^= 1,
        |entry| entry.inclusion_proof.as_mut().expect("a proof").tree_size = 3,
        |entry| entry.inclusion_proof.as_mut().expect("a proof").log_index = 0,
        |entry| entry.inclusion_proof.as_mut().expect("a proof").log_index = -1,
        |entry| entry.inclusion_proof.as_mut().expect("a proof").checkpoint = None,
        |entry| {
            let checkpoint = entry.inclusion_proof.as_mut().expect("a proof").checkpoint.as_mut().expect("a head");
            checkpoint.envelope = checkpoint.envelope.replacen("\n2\n", "\n3\n", 1);
        },
    ] {
        assert_refused(&Gitsign { entry, ..Gitsign::default() }.armoured(), codes::LOG_ENTRY);
    }
    assert_refused(&Gitsign { without_entry: true, ..Gitsign::default() }.armoured(), codes::LOG_ENTRY);
}

#[test]
fn a_message_has_one_signer_one_certificate_and_no_content() {
    let code = codes::SIGNATURE_UNSUPPORTED;
    for data in [
        (|data| data.certificates = None) as fn(&mut cms::signed_data::SignedData),
        |data| data.encap_content_info.econtent = Some(octets(SIGNED)),
        |data| data.signer_infos.0 = SetOfVec::new(),
        |data| {
            let mut other = data.signer_infos.0.as_slice()[0].clone();
            other.unsigned_attrs = None;
            data.signer_infos.0.insert(other).expect("two signers");
        },
    ] {
        assert_refused(&Gitsign { data, ..Gitsign::default() }.armoured(), code);
    }
    let signer = |signer: &mut cms::signed_data::SignerInfo| signer.signed_attrs = None;
    assert_refused(&Gitsign { signer, ..Gitsign::default() }.armoured(), code);
    let signer = |signer: &mut cms::signed_data::SignerInfo| {
        signer.digest_alg.oid = "1.3.14.3.2.26".parse().expect("SHA-1");
    };
    assert_refused(&Gitsign { signer, ..Gitsign::default() }.armoured(), code);
}

#[test]
fn nothing_stands_where_nobody_signs() {
    let code = codes::SIGNATURE_NOT_CANONICAL;
    let signer = |signer: &mut cms::signed_data::SignerInfo| {
        let more = attribute("1.2.840.113549.1.9.16.2.14", &octets(b"x"));
        signer.unsigned_attrs.as_mut().expect("the entry").insert(more).expect("two attributes");
    };
    assert_refused(&Gitsign { signer, ..Gitsign::default() }.armoured(), code);
    let signer = |signer: &mut cms::signed_data::SignerInfo| {
        signer.digest_alg.parameters = Some(x509_cert::der::Any::null());
    };
    assert_refused(&Gitsign { signer, ..Gitsign::default() }.armoured(), code);
    let data = |data: &mut cms::signed_data::SignedData| {
        data.digest_algorithms = SetOfVec::try_from(vec![
            data.digest_algorithms.as_slice()[0].clone(),
            x509_cert::spki::AlgorithmIdentifierOwned {
                oid: "1.3.14.3.2.26".parse().expect("SHA-1"),
                parameters: None,
            },
        ])
        .expect("two digests");
    };
    assert_refused(&Gitsign { data, ..Gitsign::default() }.armoured(), code);
}

#[test]
fn the_armour_has_one_form() {
    let signature = Gitsign::default().armoured();
    let bytes = unarmoured(&signature);
    for other in [
        rearmed("SIGNED MESSAGE", 76, &bytes),
        rearmed("SIGNED MESSAGE", 64, &[bytes.as_slice(), &[0]].concat()),
        signature.replacen("-----\n", "-----\n\n", 1),
    ] {
        assert!(signer(&keyring(), &other).is_err(), "{other}");
    }
}

#[test]
fn every_bit_of_a_message_matters() {
    let keyring = keyring();
    let bytes = Gitsign::default().message(SIGNED);
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        assert!(signer(&keyring, &rearmed("SIGNED MESSAGE", 64, &bytes)).is_err(), "byte {at}");
    }
}

#[test]
fn identities_need_a_root_that_is_one() {
    for (root, part) in [
        (None, "no sigstoreRoot is pinned"),
        (Some("{}"), "cannot be read"),
        (Some(r#"{"mediaType": "x"}"#), "no certificate authority"),
    ] {
        let faults = keyring_of(ada(EMAIL, ISSUER), root.map(str::as_bytes)).expect_err("no root");
        assert_eq!(faults[0].code, codes::SIGSTORE_ROOT);
        assert!(faults[0].why.contains(part), "{}", faults[0].why);
    }
    for list in ["certificateAuthorities", "tlogs", "ctlogs"] {
        let mut root = Gitsign::default().sigstore.trusted_root();
        root[list] = serde_json::json!([]);
        let faults = keyring_of(ada(EMAIL, ISSUER), Some(root.to_string().as_bytes())).expect_err("a list is empty");
        assert_eq!(faults[0].code, codes::SIGSTORE_ROOT, "{list}");
    }
    let ssh = Person { ssh: vec![crate::testing::key_line(crate::testing::ADA)], ..Person::default() };
    let fault = signer(&keyring_of(ssh, None).expect("a key"), &Gitsign::default().armoured()).expect_err("nobody's");
    assert_eq!(fault.code, codes::SIGNER_UNKNOWN);
}

/// A value of these bytes in DER.
fn der(tag: Tag, content: &[u8]) -> Vec<u8> {
    Any::new(tag, content).and_then(|any| any.to_der()).expect("it can be written")
}

fn context(number: u8) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber::new(number) }
}

/// The elements of a set, in the order that takes longest to sort.
fn many() -> Vec<u8> {
    let numbers = (0..60_000_u32).rev().map(u32::to_be_bytes);
    numbers.flat_map(|number| der(Tag::Sequence, &der(Tag::OctetString, &number))).collect()
}

#[track_caller]
fn assert_many_refused(armoured: &str) {
    let fault = signer(&keyring(), armoured).expect_err("it does not count");
    assert_eq!(fault.code, codes::SIGNATURE_UNSUPPORTED, "{fault}");
    assert!(fault.why.contains("more than 32 elements"), "{fault}");
}

/// The reader sorts sets by insertion: each of these would take it minutes.
#[test]
fn a_set_of_many_elements_is_refused_before_it_is_read() {
    let signed_data = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
    for tag in [Tag::Set, context(0), context(1)] {
        let data = der(Tag::Sequence, &[der(Tag::Integer, &[1]), der(tag, &many())].concat());
        let message = der(Tag::Sequence, &[signed_data.to_vec(), der(context(0), &data)].concat());
        assert_many_refused(&rearmed("SIGNED MESSAGE", 64, &message));
    }
    // The certificate's names are bytes of their own.
    let names = |data: &mut SignedData| {
        let certificates = data.certificates.take().expect("the signer's").0;
        let [CertificateChoices::Certificate(certificate)] = certificates.as_slice() else { panic!("one certificate") };
        let mut certificate = certificate.clone();
        let name = der(Tag::Sequence, &der(context(4), &der(Tag::Sequence, &der(Tag::Set, &many()))));
        let extensions = certificate.tbs_certificate.extensions.as_mut().expect("extensions");
        let names = extensions.iter_mut().find(|found| found.extn_id.to_string() == "2.5.29.17").expect("names");
        names.extn_value = OctetString::new(name).expect("it is short enough");
        let certificates = SetOfVec::try_from(vec![CertificateChoices::Certificate(certificate)]).expect("one");
        data.certificates = Some(CertificateSet(certificates));
    };
    assert_many_refused(&Gitsign { data: names, ..Gitsign::default() }.armoured());
}
