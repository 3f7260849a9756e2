//! SSH signatures as OpenSSH makes them, and what does not count.

use bellwether_schemas::codes;
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey};

use super::super::Keys;
use super::{SIGNED, check, check_over, rearmed, unarmoured};
use crate::testing::{ADA, key, key_line};
use crate::verify::{Commit, SigningKey, check_signature, sign_commit};

macro_rules! fixture {
    ($name:literal) => {
        (
            include_str!(concat!("../../testdata/", $name, ".pub")),
            include_str!(concat!("../../testdata/", $name, ".sig")),
        )
    };
}

#[test]
fn signatures_by_openssh_verify() {
    for (key, signature) in [
        fixture!("ed25519"),
        fixture!("ed25519-sha256"),
        fixture!("ecdsa-p256"),
        fixture!("ecdsa-p384"),
        fixture!("rsa-3072"),
    ] {
        let expected = SigningKey::from_line(key.trim_end()).expect("a key that counts");
        assert_eq!(check(signature), Ok(expected), "{key}");
        let other = String::from_utf8(SIGNED.to_vec()).expect("text").replace("to sign", "to sigh");
        assert_eq!(check_over(other.as_bytes(), signature), Err(codes::SIGNATURE_INVALID), "{key}");
    }
}

#[test]
fn other_kinds_and_purposes_do_not_count() {
    for ((_, signature), code) in [
        (fixture!("ecdsa-p521"), codes::SIGNATURE_UNSUPPORTED),
        (fixture!("rsa-2048"), codes::SIGNATURE_UNSUPPORTED),
        (fixture!("other-namespace"), codes::SIGNATURE_INVALID),
    ] {
        assert_eq!(check(signature), Err(code));
    }
    for (text, code) in [
        ("-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----", codes::SIGNATURE_UNSUPPORTED),
        ("-----BEGIN SIGNED MESSAGE-----\nMII=\n-----END SIGNED MESSAGE-----", codes::SIGNATURE_UNSUPPORTED),
        ("hello", codes::SIGNATURE_UNSUPPORTED),
        ("-----BEGIN SSH SIGNATURE-----", codes::SIGNATURE_NOT_CANONICAL),
        ("-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----", codes::SIGNATURE_NOT_CANONICAL),
        ("-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----", codes::SIGNATURE_UNSUPPORTED),
    ] {
        assert_eq!(check(text), Err(code), "{text}");
    }
}

/// A signature after a change of its bytes.
fn altered(signature: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut bytes = unarmoured(signature);
    change(&mut bytes);
    rearmed("SSH SIGNATURE", 70, &bytes)
}

#[test]
fn every_byte_of_an_ed25519_signature_matters() {
    let (_, signature) = fixture!("ed25519");
    assert!(check(&altered(signature, |_| {})).is_ok());
    assert!(check(&altered(signature, |bytes| bytes.push(0))).is_err());
    let length = altered(signature, |_| {}).len();
    for at in 0..length {
        let mut reached = true;
        let text = altered(signature, |bytes| match bytes.get_mut(at) {
            Some(byte) => *byte ^= 1,
            None => reached = false,
        });
        if !reached {
            break;
        }
        assert!(check(&text).is_err(), "byte {at}");
    }
}

#[test]
fn an_rsa_signature_with_sha_1_does_not_count() {
    let (_, signature) = fixture!("rsa-3072");
    let text = altered(signature, |bytes| {
        // The signature's algorithm is the last name in the blob: rsa-sha2-512 (12 bytes) becomes ssh-rsa.
        let at = bytes.windows(12).position(|window| window == b"rsa-sha2-512").expect("OpenSSH signs with SHA-512");
        bytes.splice(at - 4..at + 12, [0, 0, 0, 7].into_iter().chain(*b"ssh-rsa"));
        let outer = at - 8;
        let length = u32::from_be_bytes(bytes[outer..outer + 4].try_into().expect("four bytes")) - 5;
        bytes.splice(outer..outer + 4, length.to_be_bytes());
    });
    assert_eq!(check(&text), Err(codes::SIGNATURE_UNSUPPORTED));
}

#[test]
fn what_is_signed_here_reads_as_gits() {
    let raw = sign_commit(SIGNED, &key(ADA)).expect("a plain key");
    let text = String::from_utf8(raw.clone()).expect("text");
    assert!(text.contains("+0000\ngpgsig -----BEGIN SSH SIGNATURE-----\n U1NIU0lH"), "{text}");
    assert!(text.contains("\n -----END SSH SIGNATURE-----\n\nA commit to sign\n"), "{text}");
    let commit = Commit::parse(&raw, 20).expect("a plain commit");
    assert_eq!(check_signature(&commit), Ok(SigningKey::of(key(ADA).public_key()).expect("a key that counts")));
    assert!(matches!(sign_commit(&raw, &key(ADA)), Err(crate::verify::SignError::Signed)));
    assert!(matches!(sign_commit(b"tree", &key(ADA)), Err(crate::verify::SignError::Commit(_))));
}

#[test]
fn ecdsa_keys_of_the_signer_count() {
    use rand_core::OsRng;
    for curve in [ssh_key::EcdsaCurve::NistP256, ssh_key::EcdsaCurve::NistP384] {
        let key = PrivateKey::random(&mut OsRng, ssh_key::Algorithm::Ecdsa { curve }).expect("a key");
        let raw = sign_commit(SIGNED, &key).expect("a plain key");
        assert!(check_signature(&Commit::parse(&raw, 20).expect("a plain commit")).is_ok());
    }
}

#[test]
fn commits_of_sha_256_repositories_are_signed_under_their_own_header() {
    let tree = "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321";
    let who = "Ada <ada@example.com> 1700000000 +0000";
    let unsigned = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nx\n");
    let raw = sign_commit(unsigned.as_bytes(), &key(ADA)).expect("a plain key");
    assert!(String::from_utf8_lossy(&raw).contains("\ngpgsig-sha256 -----BEGIN"));
    assert!(check_signature(&Commit::parse(&raw, 32).expect("a plain commit")).is_ok());
    assert!(Commit::parse(&raw, 20).is_err());
}

#[test]
fn a_signature_for_another_namespace_by_a_known_key_does_not_count() {
    let signature = key(ADA).sign("file", HashAlg::Sha512, SIGNED).expect("a plain key");
    assert_eq!(check(&signature.to_pem(LineEnding::LF).expect("armour")), Err(codes::SIGNATURE_INVALID));
    let line = key_line(ADA);
    assert!(SigningKey::from_line(&format!("restrict {line}")).is_err());
    assert!(SigningKey::from_line(&format!("{line}\n{line}")).is_err());
    let shown = PublicKey::from_openssh(&line).expect("a key").fingerprint(HashAlg::Sha256).to_string();
    assert_eq!(SigningKey::from_line(&line).expect("a key").fingerprint(), shown);
}

#[test]
fn a_signature_has_one_form_only() {
    for (_, signature) in [fixture!("ed25519"), fixture!("ecdsa-p256"), fixture!("rsa-3072")] {
        let signature = signature.trim_end();
        let bytes = unarmoured(signature);
        assert!(check(&rearmed("SSH SIGNATURE", 70, &bytes)).is_ok());
        let (first, rest) = signature.split_once('\n').expect("several lines");
        for other in [
            rearmed("SSH SIGNATURE", 64, &bytes),
            rearmed("SSH SIGNATURE", 76, &bytes),
            rearmed("SSH SIGNATURE", 70, &[bytes.as_slice(), &[0]].concat()),
            format!("{first}\n\n{rest}"),
            format!("{first} \n{rest}"),
            format!("{first}\r\n{rest}"),
            format!("{first}\nVersion: 1\n\n{rest}"),
            signature.replace("\n-----END", "\n\n-----END"),
            format!("{signature}\n{signature}"),
        ] {
            assert!(check(&other).is_err(), "{other}");
        }
        // What attach_signature would trim, a hostile server need not.
        for tail in ["\n", "\n\n", " "] {
            assert_eq!(
                super::super::sshsig::verify(&format!("{signature}{tail}"), SIGNED, &mut Keys::default())
                    .map_err(|fault| fault.code),
                Err(codes::SIGNATURE_NOT_CANONICAL)
            );
        }
    }
}

#[test]
fn base64_has_no_spare_bits() {
    let (_, signature) = fixture!("ed25519");
    let padding = signature.find('=').expect("the fixture's base64 is padded");
    let last = signature.as_bytes()[padding - 1];
    let spare = [b'A', b'Q', b'g', b'w'].contains(&last);
    assert!(spare || signature[padding..].matches('=').count() == 1, "{}", char::from(last));
    let other = char::from(last + 1);
    let text = format!("{}{other}{}", &signature[..padding - 1], &signature[padding..]);
    assert_eq!(check(&text), Err(codes::SIGNATURE_NOT_CANONICAL));
}

#[test]
fn numbers_of_an_ecdsa_signature_are_as_short_as_they_can_be() {
    let (_, signature) = fixture!("ecdsa-p256");
    let longer = altered(signature, |bytes| {
        // The blob ends: string { string algorithm, string { mpint r, mpint s } }.
        let name = b"ecdsa-sha2-nistp256";
        let at = bytes.windows(name.len()).rposition(|window| window == name).expect("its algorithm") + name.len();
        for (length, start) in [(at - name.len() - 8, at - name.len() - 4), (at, at + 4)] {
            let old = u32::from_be_bytes(bytes[length..start].try_into().expect("four bytes"));
            bytes[length..start].copy_from_slice(&(old + 1).to_be_bytes());
        }
        let old = u32::from_be_bytes(bytes[at + 4..at + 8].try_into().expect("four bytes"));
        bytes[at + 4..at + 8].copy_from_slice(&(old + 1).to_be_bytes());
        bytes.insert(at + 8, 0);
    });
    assert!(check(signature).is_ok());
    assert_eq!(check(&longer), Err(codes::SIGNATURE_INVALID));
}

#[test]
fn hashes_other_than_sha_2_do_not_count() {
    let (_, signature) = fixture!("ed25519-sha256");
    let other = altered(signature, |bytes| {
        let at = bytes.windows(6).position(|window| window == b"sha256").expect("its hash");
        bytes[at..at + 6].copy_from_slice(b"sha1\0\0");
    });
    assert_eq!(check(&other), Err(codes::SIGNATURE_UNSUPPORTED));
}
