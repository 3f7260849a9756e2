//! OpenPGP: certificates and signatures made by the library's own signer, each wrong in one way, and by GnuPG.

use bellwether_schemas::manifest::Person;
use bellwether_schemas::{Code, codes};
use pgp::composed::{ArmorOptions, DetachedSignature, KeyType};
use pgp::crypto::ecc_curve::ECCCurve;
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{
    KeyFlags, Notation, PacketTrait as _, PubKeyInner, PublicKey, PublicSubkey, SecretKey, SecretSubkey, Signature,
    SignatureConfig, SignatureType, SignatureVersion, Subpacket, SubpacketData, UserId,
};
use pgp::ser::Serialize as _;
use pgp::types::{Duration, KeyDetails, KeyVersion, Password, SigningKey, Tag, Timestamp};
use rand_core::OsRng;

use super::{SIGNED, keyring_of, name, rearmed, signer, signer_over, unarmoured};
use crate::verify::signature::Keyring;

/// A primary key, a subkey, and what their certificate says. The default counts, for both keys.
struct Maker {
    primary: SecretKey,
    sub: SecretSubkey,
    primary_signs: bool,
    sub_signs: bool,
    hash: HashAlgorithm,
    back: Option<Signature>,
    revocations: Vec<SignatureType>,
    /// A newer binding that takes the flag away.
    outdated: bool,
    /// For how many seconds each key is valid by its own word.
    lives: Option<u32>,
    sub_lives: Option<u32>,
}

fn kinds() -> Vec<(KeyVersion, KeyType)> {
    vec![
        (KeyVersion::V4, KeyType::Ed25519Legacy),
        (KeyVersion::V4, KeyType::Ed25519),
        (KeyVersion::V4, KeyType::ECDSA(ECCCurve::P256)),
        (KeyVersion::V4, KeyType::ECDSA(ECCCurve::P384)),
        (KeyVersion::V6, KeyType::Ed25519),
        (KeyVersion::V6, KeyType::ECDSA(ECCCurve::P256)),
    ]
}

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + seconds)
}

fn public(version: KeyVersion, kind: &KeyType) -> (PubKeyInner, pgp::types::SecretParams) {
    let (public, secret) = kind.generate(OsRng).expect("a key");
    (PubKeyInner::new(version, kind.to_alg(), at(0), None, public).expect("a key"), secret)
}

fn config(
    key: &impl SigningKey,
    kind: SignatureType,
    hash: HashAlgorithm,
    says: Vec<SubpacketData>,
) -> SignatureConfig {
    let mut config = match key.version() {
        KeyVersion::V6 => SignatureConfig::v6(OsRng, kind, key.algorithm(), hash).expect("a configuration"),
        _ => SignatureConfig::v4(kind, key.algorithm(), hash),
    };
    let says = [SubpacketData::IssuerFingerprint(key.fingerprint())].into_iter().chain(says);
    config.hashed_subpackets = says.map(|data| Subpacket::regular(data).expect("a subpacket")).collect();
    if key.version() != KeyVersion::V6 {
        config.unhashed_subpackets =
            vec![Subpacket::regular(SubpacketData::IssuerKeyId(key.legacy_key_id())).expect("a subpacket")];
    }
    config
}

fn flags(sign: bool) -> SubpacketData {
    let mut flags = KeyFlags::default();
    flags.set_certify(true);
    flags.set_sign(sign);
    SubpacketData::KeyFlags(flags)
}

impl Maker {
    fn new(version: KeyVersion, kind: &KeyType) -> Self {
        let (inner, secret) = public(version, kind);
        let primary = SecretKey::new(PublicKey::from_inner(inner).expect("a key"), secret).expect("a key");
        let (inner, secret) = public(version, kind);
        let sub = SecretSubkey::new(PublicSubkey::from_inner(inner).expect("a key"), secret).expect("a key");
        let hash = primary.hash_alg();
        let back = Some(signed_back(&sub, &primary, hash));
        let revocations = Vec::new();
        Self {
            primary,
            sub,
            primary_signs: true,
            sub_signs: true,
            hash,
            back,
            revocations,
            outdated: false,
            lives: None,
            sub_lives: None,
        }
    }

    fn v4() -> Self {
        Self::new(KeyVersion::V4, &KeyType::Ed25519Legacy)
    }

    fn certificate(&self) -> String {
        let none = Password::empty();
        let mut bytes = Vec::new();
        let public = self.primary.public_key();
        public.to_writer_with_header(&mut bytes).expect("memory");
        let mut says = vec![SubpacketData::SignatureCreationTime(at(1)), flags(self.primary_signs)];
        says.extend(self.lives.map(|lives| SubpacketData::KeyExpirationTime(Duration::from_secs(lives))));
        if self.revocations.contains(&SignatureType::KeyRevocation) {
            let says = vec![SubpacketData::SignatureCreationTime(at(9))];
            let revocation = config(&self.primary, SignatureType::KeyRevocation, self.hash, says);
            let revocation = revocation.sign_key(&self.primary, &none, public).expect("a signature");
            revocation.to_writer_with_header(&mut bytes).expect("memory");
        }
        let user = UserId::from_str(Default::default(), "Ada <ada@example.com>").expect("a user id");
        let certification = config(&self.primary, SignatureType::CertPositive, self.hash, says);
        user.to_writer_with_header(&mut bytes).expect("memory");
        let certification = certification.sign_certification(&self.primary, public, &none, Tag::UserId, &user);
        certification.expect("a signature").to_writer_with_header(&mut bytes).expect("memory");
        self.sub.public_key().to_writer_with_header(&mut bytes).expect("memory");
        self.bind(1, self.sub_signs).to_writer_with_header(&mut bytes).expect("memory");
        if self.outdated {
            self.bind(2, false).to_writer_with_header(&mut bytes).expect("memory");
        }
        if self.revocations.contains(&SignatureType::SubkeyRevocation) {
            let says = vec![SubpacketData::SignatureCreationTime(at(9))];
            let revocation = config(&self.primary, SignatureType::SubkeyRevocation, self.hash, says);
            let revocation = revocation.sign_subkey_binding(&self.primary, public, &none, self.sub.public_key());
            revocation.expect("a signature").to_writer_with_header(&mut bytes).expect("memory");
        }
        armoured("PUBLIC KEY BLOCK", &bytes)
    }

    fn bind(&self, seconds: u32, sign: bool) -> Signature {
        let mut says = vec![SubpacketData::SignatureCreationTime(at(seconds)), flags(sign)];
        says.extend(self.sub_lives.map(|lives| SubpacketData::KeyExpirationTime(Duration::from_secs(lives))));
        says.extend(self.back.clone().map(|back| SubpacketData::EmbeddedSignature(Box::new(back))));
        config(&self.primary, SignatureType::SubkeyBinding, self.hash, says)
            .sign_subkey_binding(&self.primary, self.primary.public_key(), &Password::empty(), self.sub.public_key())
            .expect("a signature")
    }

    fn keyring(&self) -> Result<Keyring, Vec<String>> {
        keyring(self.certificate())
    }

    /// What the certificate's keyring says of a signature by the primary key and by the subkey.
    #[track_caller]
    fn verdicts(&self) -> [Result<String, Code>; 2] {
        let keyring = self.keyring().expect("a certificate that can stand in a policy");
        [sign(&self.primary), sign(&self.sub)].map(|signature| signer(&keyring, &signature).map_err(|fault| fault.code))
    }
}

fn keyring(certificate: String) -> Result<Keyring, Vec<String>> {
    keyring_of(Person { openpgp: vec![certificate], ..Person::default() }, None)
        .map_err(|faults| faults.into_iter().map(|fault| fault.why).collect())
}

fn signed_back(sub: &SecretSubkey, primary: &SecretKey, hash: HashAlgorithm) -> Signature {
    config(sub, SignatureType::KeyBinding, hash, vec![SubpacketData::SignatureCreationTime(at(1))])
        .sign_primary_key_binding(sub, sub.public_key(), &Password::empty(), primary.public_key())
        .expect("a signature")
}

fn armoured(kind: &str, bytes: &[u8]) -> String {
    rearmed(&format!("PGP {kind}"), 64, bytes).replacen("-----\n", "-----\n\n", 1)
}

fn sign(key: &impl SigningKey) -> String {
    sign_as(key, SignatureType::Binary, key.hash_alg(), Vec::new())
}

fn sign_as(key: &impl SigningKey, kind: SignatureType, hash: HashAlgorithm, says: Vec<SubpacketData>) -> String {
    let says = [SubpacketData::SignatureCreationTime(at(5))].into_iter().chain(says).collect();
    written(config(key, kind, hash, says), key)
}

fn written(config: SignatureConfig, key: &impl SigningKey) -> String {
    let signature = config.sign(key, &Password::empty(), SIGNED).expect("a signature");
    shown(signature)
}

fn shown(signature: Signature) -> String {
    let include_checksum = signature.version() == SignatureVersion::V4;
    DetachedSignature::new(signature)
        .to_armored_string(ArmorOptions { headers: None, include_checksum })
        .expect("armour")
        .replace("\r\n", "\n")
        .trim_end()
        .to_owned()
}

#[test]
fn the_primary_key_and_its_signing_subkeys_count() {
    for (version, kind) in kinds() {
        let made = Maker::new(version, &kind);
        assert_eq!(made.verdicts(), [Ok("ada".to_owned()), Ok("ada".to_owned())], "{version:?} {kind:?}");
        let keyring = made.keyring().expect("a certificate");
        let other = String::from_utf8_lossy(SIGNED).replace("to sign", "to sigh");
        let fault = signer_over(&keyring, other.as_bytes(), &sign(&made.sub)).expect_err("other content");
        assert_eq!(fault.code, codes::SIGNATURE_INVALID, "{fault}");
        assert!(keyring.has_key(&name("ada")) && !keyring.has_key(&name("bob")));
    }
}

#[test]
fn key_flags_decide() {
    let made = Maker { primary_signs: false, ..Maker::v4() };
    assert_eq!(made.verdicts(), [Err(codes::SIGNATURE_UNSUPPORTED), Ok("ada".to_owned())]);
    let made = Maker { sub_signs: false, ..Maker::v4() };
    assert_eq!(made.verdicts(), [Ok("ada".to_owned()), Err(codes::SIGNATURE_UNSUPPORTED)]);
    let made = Maker { outdated: true, ..Maker::v4() };
    assert_eq!(made.verdicts(), [Ok("ada".to_owned()), Err(codes::SIGNATURE_UNSUPPORTED)]);
    let faults = Maker { primary_signs: false, sub_signs: false, ..Maker::v4() }.keyring().expect_err("no key signs");
    assert!(faults[0].contains("no key of it may sign"), "{faults:?}");
}

#[test]
fn a_subkey_must_have_signed_its_primary_key_back() {
    let made = Maker::v4();
    let thief = Maker::v4();
    let of_another_primary = signed_back(&made.sub, &thief.primary, HashAlgorithm::Sha256);
    let by_another_subkey = signed_back(&thief.sub, &made.primary, HashAlgorithm::Sha256);
    let mut made = made;
    for back in [None, Some(of_another_primary), Some(by_another_subkey)] {
        made.back = back;
        assert_eq!(made.verdicts(), [Ok("ada".to_owned()), Err(codes::SIGNATURE_UNSUPPORTED)]);
    }
}

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../testdata/openpgp-", $name)).trim_end()
    };
}

#[test]
fn what_gnupg_makes_counts() {
    for (certificate, signature) in [
        (fixture!("ed25519.asc"), fixture!("ed25519.sig")),
        (fixture!("ecdsa.asc"), fixture!("ecdsa.sig")),
        (fixture!("rsa-3072.asc"), fixture!("rsa-3072.sig")),
    ] {
        let keyring = keyring(certificate.to_owned()).expect("a certificate");
        assert_eq!(signer(&keyring, signature).as_deref(), Ok("ada"), "{certificate}");
        let other = String::from_utf8_lossy(SIGNED).replace("to sign", "to sigh");
        let fault = signer_over(&keyring, other.as_bytes(), signature).expect_err("other content");
        assert_eq!(fault.code, codes::SIGNATURE_INVALID, "{fault}");
    }
}

#[test]
fn what_gnupg_makes_otherwise_does_not() {
    for (certificate, signature, code) in [
        (fixture!("ed25519-revoked.asc"), fixture!("ed25519.sig"), codes::SIGNATURE_REVOKED),
        (fixture!("ed25519-subkey-revoked.asc"), fixture!("ed25519.sig"), codes::SIGNATURE_REVOKED),
        (fixture!("rsa-3072.asc"), fixture!("rsa-3072-sha1.sig"), codes::SIGNATURE_UNSUPPORTED),
        (fixture!("rsa-3072.asc"), fixture!("rsa-3072-text.sig"), codes::SIGNATURE_UNSUPPORTED),
        (fixture!("ed25519.asc"), fixture!("two.sig"), codes::SIGNATURE_NOT_CANONICAL),
        (fixture!("ed25519.asc"), fixture!("rsa-3072.sig"), codes::SIGNER_UNKNOWN),
    ] {
        let fault = signer(&keyring(certificate.to_owned()).expect("a certificate"), signature).expect_err("no");
        assert_eq!(fault.code, code, "{fault}");
    }
    for (certificate, part) in
        [(fixture!("rsa-2048.asc"), "not for signing"), (fixture!("sha1-certified.asc"), "SHA-2")]
    {
        let faults = keyring(certificate.to_owned()).expect_err("no key of it may sign");
        assert!(faults[0].contains(part), "{faults:?}");
    }
}

#[test]
fn revoked_keys_do_not_count() {
    let made = Maker { revocations: vec![SignatureType::SubkeyRevocation], ..Maker::v4() };
    assert_eq!(made.verdicts(), [Ok("ada".to_owned()), Err(codes::SIGNATURE_REVOKED)]);
    let made = Maker { revocations: vec![SignatureType::KeyRevocation], ..Maker::v4() };
    assert_eq!(made.verdicts(), [Err(codes::SIGNATURE_REVOKED), Err(codes::SIGNATURE_REVOKED)]);
    assert!(!made.keyring().expect("it may stand in a policy").has_key(&name("ada")));
}

#[test]
fn dates_never_decide() {
    let made = Maker { lives: Some(1), sub_lives: Some(1), ..Maker::v4() };
    assert_eq!(made.verdicts(), [Ok("ada".to_owned()), Ok("ada".to_owned())]);
    let expired = vec![SubpacketData::SignatureExpirationTime(Duration::from_secs(1))];
    let signature = sign_as(&made.sub, SignatureType::Binary, HashAlgorithm::Sha512, expired);
    assert_eq!(signer(&made.keyring().expect("a certificate"), &signature).as_deref(), Ok("ada"));
}

#[test]
fn a_certificate_ends_with_the_last_key_that_may_sign() {
    let ends = |made: &Maker| {
        let keyring = made.keyring().expect("it may stand in a policy");
        keyring.expiring().next().map(|key| key.expires.as_second() - i64::from(at(0).as_secs()))
    };
    assert_eq!(ends(&Maker::v4()), None, "no date is set");
    let made = Maker { lives: Some(100), ..Maker::v4() };
    assert_eq!(ends(&made), Some(100), "the subkey has none, and ends with the primary key");
    let made = Maker { sub_lives: Some(50), ..Maker::v4() };
    assert_eq!(ends(&made), None, "the primary key signs for ever");
    let made = Maker { primary_signs: false, sub_lives: Some(50), ..Maker::v4() };
    assert_eq!(ends(&made), Some(50));
    let made = Maker { primary_signs: false, lives: Some(40), sub_lives: Some(50), ..Maker::v4() };
    assert_eq!(ends(&made), Some(40));
    let made = Maker { lives: Some(0), ..Maker::v4() };
    assert_eq!(ends(&made), None, "zero is never");
    let made = Maker { lives: Some(100), revocations: vec![SignatureType::KeyRevocation], ..Maker::v4() };
    assert_eq!(ends(&made), None, "a revoked key has ended");
}

#[test]
fn a_key_that_is_nobodys_does_not_count() {
    let fault = signer(&Maker::v4().keyring().expect("a certificate"), &sign(&Maker::v4().sub)).expect_err("nobody's");
    assert_eq!(fault.code, codes::SIGNER_UNKNOWN, "{fault}");
}

#[test]
fn an_issuer_that_lies_proves_nothing() {
    let (made, thief) = (Maker::v4(), Maker::v4());
    let mut config = config(&thief.sub, SignatureType::Binary, HashAlgorithm::Sha256, Vec::new());
    config.hashed_subpackets.clear();
    let id = SubpacketData::IssuerKeyId(made.sub.legacy_key_id());
    config.unhashed_subpackets = vec![Subpacket::regular(id).expect("a subpacket")];
    let fault = signer(&made.keyring().expect("a certificate"), &written(config, &thief.sub)).expect_err("a lie");
    assert_eq!(fault.code, codes::SIGNATURE_INVALID, "{fault}");
}

#[test]
fn weak_hashes_other_types_and_unknown_demands_do_not_count() {
    let made = Maker::v4();
    let keyring = made.keyring().expect("a certificate");
    let refused = |signature: String, code: Code| {
        let fault = signer(&keyring, &signature).expect_err("it does not count");
        assert_eq!(fault.code, code, "{fault}");
    };
    for hash in [HashAlgorithm::Sha224, HashAlgorithm::Sha3_256] {
        // Ed25519 refuses shorter ones when it signs.
        let config = config(&made.sub, SignatureType::Binary, hash, Vec::new());
        if let Ok(signature) = config.sign(&made.sub, &Password::empty(), SIGNED) {
            refused(shown(signature), codes::SIGNATURE_UNSUPPORTED);
        }
    }
    refused(sign_as(&made.sub, SignatureType::Text, HashAlgorithm::Sha256, Vec::new()), codes::SIGNATURE_UNSUPPORTED);
    for (data, head) in [
        (SubpacketData::Other(99, vec![1].into()), [2, 99]),
        (SubpacketData::Experimental(101, vec![1].into()), [2, 101]),
        (SubpacketData::Notation(Notation { readable: true, name: "x@y.z".into(), value: "y".into() }), [15, 20]),
    ] {
        let mut config = config(&made.sub, SignatureType::Binary, HashAlgorithm::Sha256, Vec::new());
        config.hashed_subpackets.push(Subpacket::regular(data).expect("a subpacket"));
        let plain = written(config, &made.sub);
        assert_eq!(signer(&keyring, &plain).as_deref(), Ok("ada"));
        // The signer refuses to make such a demand; that it would be signed does not matter here.
        let mut bytes = unarmoured(&plain);
        let at = bytes.windows(2).position(|window| window == head).expect("the subpacket");
        bytes[at + 1] |= 0x80;
        match pgp::packet::PacketParser::new(bytes.as_slice()).next() {
            Some(Ok(pgp::packet::Packet::Signature(signature))) => {
                refused(shown(signature), codes::SIGNATURE_UNSUPPORTED)
            }
            other => panic!("expected a signature, found {other:?}"),
        }
    }
}

#[test]
fn nothing_stands_where_nobody_signs() {
    let made = Maker::v4();
    let keyring = made.keyring().expect("a certificate");
    let plain = || config(&made.sub, SignatureType::Binary, HashAlgorithm::Sha256, Vec::new());
    let subpacket = |data| Subpacket::regular(data).expect("a subpacket");
    let issuer = || subpacket(SubpacketData::IssuerKeyId(made.sub.legacy_key_id()));
    let mut inside = plain();
    inside.hashed_subpackets.push(issuer());
    inside.unhashed_subpackets.clear();
    assert_eq!(signer(&keyring, &written(inside.clone(), &made.sub)).as_deref(), Ok("ada"));
    let mut both = inside;
    both.unhashed_subpackets.push(issuer());
    let mut neither = plain();
    neither.unhashed_subpackets.clear();
    let mut twice = plain();
    twice.unhashed_subpackets.push(issuer());
    let mut more = plain();
    more.unhashed_subpackets.push(subpacket(SubpacketData::IssuerFingerprint(made.sub.fingerprint())));
    for config in [both, neither, twice, more] {
        let fault = signer(&keyring, &written(config, &made.sub)).expect_err("more than is signed");
        assert_eq!(fault.code, codes::SIGNATURE_NOT_CANONICAL, "{fault}");
    }
}

#[test]
fn the_armour_has_one_form_and_holds_one_signature() {
    let made = Maker::v4();
    let keyring = made.keyring().expect("a certificate");
    let signature = sign(&made.sub);
    assert!(signer(&keyring, &signature).is_ok());
    let bytes = unarmoured(&signature);
    let checksum = signature.lines().rev().nth(1).expect("a checksum");
    assert!(checksum.starts_with('='), "{checksum}");
    let with_checksum =
        |bytes: &[u8]| armoured("SIGNATURE", bytes).replace("\n-----END", &format!("\n{checksum}\n-----END"));
    assert!(signer(&keyring, &with_checksum(&bytes)).is_ok());
    for other in [
        armoured("SIGNATURE", &bytes),
        signature.replacen("-----\n\n", "-----\nComment: x\n\n", 1),
        signature.replacen("-----\n\n", "-----\n", 1),
        signature.replace(checksum, "=AAAA"),
        rearmed("PGP SIGNATURE", 76, &bytes),
        with_checksum(&[bytes.as_slice(), &bytes].concat()),
        with_checksum(&bytes[..bytes.len() - 1]),
        signature.replace("PGP SIGNATURE", "PGP MESSAGE"),
    ] {
        let fault = signer(&keyring, &other).expect_err("another form");
        assert_eq!(fault.code, codes::SIGNATURE_NOT_CANONICAL, "{other}");
    }
}

#[test]
fn every_bit_of_a_signature_matters() {
    for version in [KeyVersion::V4, KeyVersion::V6] {
        let made = Maker::new(version, &KeyType::Ed25519);
        let keyring = made.keyring().expect("a certificate");
        let bytes = unarmoured(&sign(&made.sub));
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let text = match pgp::packet::PacketParser::new(bytes.as_slice()).next() {
                // With the checksum that belongs to the altered bytes, where they can be read.
                Some(Ok(pgp::packet::Packet::Signature(signature))) => shown(signature),
                _ => armoured("SIGNATURE", &bytes),
            };
            assert!(signer(&keyring, &text).is_err(), "byte {at} of {version:?}");
        }
    }
}

#[test]
fn certificates_are_read_strictly() {
    let made = Maker::v4();
    let certificate = made.certificate();
    assert!(keyring(format!("{certificate}\n{}", Maker::v4().certificate())).is_err());
    assert!(keyring(certificate.replace("PUBLIC KEY BLOCK", "SIGNATURE")).is_err());
    let bytes = unarmoured(&certificate);
    for other in [
        [bytes.as_slice(), &Maker::v4().primary.public_key().to_bytes().expect("bytes")].concat(),
        [bytes.as_slice(), &unarmoured(&Maker::v4().certificate())].concat(),
        bytes[2..].to_vec(),
    ] {
        assert!(keyring(armoured("PUBLIC KEY BLOCK", &other)).is_err());
    }
    let weak = Maker::new(KeyVersion::V4, &KeyType::ECDSA(ECCCurve::Secp256k1));
    let faults = weak.keyring().expect_err("a curve that is not supported");
    assert!(faults[0].contains("not supported"), "{faults:?}");
}
