use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData as _, SigningKey as _,
};

use super::*;

/// An authority with what it signs.
struct Factory {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Factory {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = authority(name);
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn between(&self, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = authority(name);
        // Of those in between, the dates count.
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let pem = params.signed_by(&key, &self.issuer).expect("signed").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn device(&self, key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::default();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        params.distinguished_name.push(rcgen::DnType::CommonName, "widget 7");
        change(&mut params);
        params.signed_by(key, &self.issuer).expect("signed").pem()
    }

    fn ca(&self) -> FactoryCa {
        self.pem.parse().expect("an authority")
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    // Its own dates are for git to judge.
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    params
}

fn lab() -> EnrollmentName {
    "lab".parse().expect("a name")
}

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

const CSR: &[u8] = b"the request, in DER";

fn proof(chain: String, key: &KeyPair) -> FactoryProof {
    let signature = key.sign(&factory_message(CSR, &lab())).expect("signed");
    FactoryProof { chain, signature: hex::encode(signature) }
}

fn code(found: Result<Sha256Digest, FactoryRefusal>) -> Option<Code> {
    found.err().map(|refusal| refusal.code())
}

#[test]
fn every_accepted_kind_of_key_proves_itself() {
    let factory = Factory::new("factory");
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519, &PKCS_RSA_SHA256] {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let proof = proof(factory.device(&key, |_| {}), &key);
        let found = verify_factory(&factory.ca(), &proof, CSR, &lab(), now()).expect("accepted");
        assert_eq!(found, Sha256Digest::of(&key.subject_public_key_info()), "{algorithm:?}");
    }
}

#[test]
fn a_chain_leads_to_one_of_the_authorities() {
    let (root, other) = (Factory::new("root"), Factory::new("another factory"));
    let between = root.between("line 3");
    let key = KeyPair::generate().expect("a key");
    let leaf = between.device(&key, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    let whole = proof(leaf.clone() + &between.pem, &key);
    let check =
        |ca: &str, proof: &FactoryProof| verify_factory(&ca.parse().expect("authorities"), proof, CSR, &lab(), now());
    assert!(check(&(other.pem.clone() + &root.pem), &whole).is_ok());
    assert!(check(&between.pem, &proof(leaf.clone(), &key)).is_ok(), "the one in between may be listed itself");
    assert_eq!(code(check(&root.pem, &proof(leaf.clone(), &key))), Some(codes::FACTORY_CERTIFICATE), "one is missing");
    assert_eq!(code(check(&other.pem, &whole)), Some(codes::FACTORY_CERTIFICATE));
    // An authority of the same name with another key.
    assert_eq!(code(check(&Factory::new("root").pem, &whole)), Some(codes::FACTORY_CERTIFICATE));
    let long = proof(leaf + &between.pem.repeat(MAX_CHAIN), &key);
    assert_eq!(code(check(&root.pem, &long)), Some(codes::FACTORY_CERTIFICATE));
    for chain in ["", "x", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        assert_eq!(code(check(&root.pem, &proof(chain.to_owned(), &key))), Some(codes::FACTORY_CERTIFICATE), "{chain}");
    }
}

#[test]
fn a_certificate_that_does_not_fit_is_refused_with_its_reason() {
    let factory = Factory::new("factory");
    let key = KeyPair::generate().expect("a key");
    let why = |change: fn(&mut CertificateParams)| {
        let proof = proof(factory.device(&key, change), &key);
        let refusal = verify_factory(&factory.ca(), &proof, CSR, &lab(), now()).expect_err("refused");
        assert_eq!(refusal.code(), codes::FACTORY_CERTIFICATE);
        refusal.to_string()
    };
    assert!(why(|params| params.not_after = rcgen::date_time_ymd(2025, 12, 31)).contains("has expired"));
    assert!(why(|params| params.not_before = rcgen::date_time_ymd(2026, 1, 2)).contains("not valid yet"));
    let server =
        |params: &mut CertificateParams| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert!(why(server).contains("extended key usage"));
    let authority = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert!(why(authority).contains("an authority"));
}

#[test]
fn the_proof_is_for_this_request_and_enrollment_by_that_key() {
    let factory = Factory::new("factory");
    let (key, thief) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let leaf = factory.device(&key, |_| {});
    let good = proof(leaf.clone(), &key);
    let check = |proof: &FactoryProof, csr: &[u8], enrollment: &str| {
        code(verify_factory(&factory.ca(), proof, csr, &enrollment.parse().expect("a name"), now()))
    };
    assert_eq!(check(&good, CSR, "lab"), None);
    assert_eq!(check(&good, b"another request", "lab"), Some(codes::FACTORY_PROOF));
    assert_eq!(check(&good, CSR, "other"), Some(codes::FACTORY_PROOF));
    assert_eq!(check(&proof(leaf.clone(), &thief), CSR, "lab"), Some(codes::FACTORY_PROOF));
    for signature in ["", "zz", "00"] {
        let proof = FactoryProof { chain: leaf.clone(), signature: signature.to_owned() };
        assert_eq!(check(&proof, CSR, "lab"), Some(codes::FACTORY_PROOF), "{signature:?}");
    }
}
