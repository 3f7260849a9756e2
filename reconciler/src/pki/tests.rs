use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use bellwether_core::admission::Domain;
use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SigningKey};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::UnixTime;

use rustls_pki_types::pem::PemObject as _;

use super::*;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("a time")
}

fn authority() -> (tempfile::TempDir, Authority) {
    let dir = tempfile::tempdir().expect("a folder");
    let names = ["localhost", "127.0.0.1"].map(|name| name.parse().expect("a name"));
    Authority::init(&dir.path().join("ca"), &names, now()).expect("made");
    let authority = Authority::load(&dir.path().join("ca")).expect("loaded");
    (dir, authority)
}

fn identity() -> Identity {
    "bellwether://fleet.example/lab/t1/edge-1".parse().expect("an identity")
}

fn domain() -> Domain {
    "fleet.example".parse().expect("a domain")
}

fn request(key: &impl SigningKey) -> RequestedKey {
    let csr = CertificateParams::default().serialize_request(key).expect("a request");
    RequestedKey::from_pem(&csr.pem().expect("PEM")).expect("accepted")
}

fn verify(authority: &Authority, der: &CertificateDer<'_>, at: Timestamp) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.as_second()).expect("after 1970")));
    verifier.verify_client_cert(der, &[], at).map(|_| ())
}

#[test]
fn a_certificate_carries_the_identity_and_the_key_for_ninety_days() {
    let (_dir, authority) = authority();
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let requested = request(&key);
        let pem = authority.issue(&requested, &identity(), now()).expect("issued");
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
        let peer = Peer::from_certificate(&der, &domain()).expect("a device");
        assert_eq!((&peer.identity, &peer.key), (&identity(), requested.fingerprint()));
        assert_eq!(peer.not_after, now() + DEVICE_LIFE);
        let minute = SignedDuration::from_mins(1);
        verify(&authority, &der, now() - minute).expect("valid a little before it was made");
        verify(&authority, &der, now() + DEVICE_LIFE - minute).expect("valid to the end");
        assert!(verify(&authority, &der, now() + DEVICE_LIFE + minute).is_err(), "not after it");
    }
}

#[test]
fn nothing_of_the_request_but_its_key_counts() {
    let (_dir, authority) = authority();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let mut params = CertificateParams::new(["evil.example".to_owned()]).expect("params");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let csr = params.serialize_request(&key).expect("a request");
    let requested = RequestedKey::from_der(csr.der()).expect("accepted");
    let pem = authority.issue(&requested, &identity(), now()).expect("issued");
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    assert_eq!(Peer::from_certificate(&der, &domain()).expect("a device").identity, identity());
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).expect("X.509");
    assert!(!parsed.is_ca());
    let usage = parsed.extended_key_usage().expect("readable").expect("there").value;
    assert!(usage.client_auth && !usage.server_auth);
}

#[test]
fn requests_that_are_not_what_they_should_be_are_refused() {
    let csr = |key: &KeyPair| CertificateParams::default().serialize_request(key).expect("a request").der().to_vec();
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key");
    assert_eq!(RequestedKey::from_der(&csr(&p384)), Err(RequestError::Algorithm));

    let good = csr(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"));
    let mut forged = good.clone();
    *forged.last_mut().expect("bytes") ^= 1;
    assert_eq!(RequestedKey::from_der(&forged), Err(RequestError::Signature));
    let mut longer = good;
    longer.push(0);
    assert_eq!(RequestedKey::from_der(&longer), Err(RequestError::Malformed));
    assert_eq!(RequestedKey::from_pem("no PEM"), Err(RequestError::Malformed));
    assert_eq!(RequestedKey::from_der(&vec![0x30; MAX + 1]), Err(RequestError::TooLarge));
}

const MAX: usize = 16 * 1024;

#[test]
fn a_certificate_of_another_authority_domain_or_purpose_is_no_devices() {
    let (_dir, ours) = authority();
    let (_other_dir, other) = authority();
    let key = request(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"));
    let pem = other.issue(&key, &identity(), now()).expect("issued");
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
    assert!(verify(&ours, &der, now()).is_err(), "another authority");

    let elsewhere = "other.example".parse().expect("a domain");
    let refused = Peer::from_certificate(&der, &elsewhere).expect_err("another domain");
    assert!(matches!(refused, PeerError::Domain { .. }));

    let (chain, _) = ours.server();
    assert!(verify(&ours, &chain[0], now()).is_err(), "the server's certificate is no client's");
    assert_eq!(Peer::from_certificate(&chain[0], &domain()), Err(PeerError::NoIdentity));
}

#[test]
fn files_are_for_their_owner_and_never_overwritten() {
    let (dir, _) = authority();
    let ca = dir.path().join("ca");
    for file in [CA_KEY, CA_CERT, SERVER_KEY, SERVER_CERT] {
        let mode = std::fs::metadata(ca.join(file)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let before = std::fs::read(ca.join(CA_KEY)).expect("readable");
    let again = Authority::init(&ca, &[ServerName::Dns("localhost".into())], now());
    assert!(matches!(again, Err(AuthorityError::File { action: "create", .. })));
    assert_eq!(std::fs::read(ca.join(CA_KEY)).expect("readable"), before);

    std::fs::set_permissions(ca.join(CA_KEY), std::fs::Permissions::from_mode(0o640)).expect("changed");
    let exposed = Authority::load(&ca).expect_err("others may read the key");
    assert!(exposed.to_string().contains("chmod 600"), "{exposed}");
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (dir, _) = authority();
    let (other, _) = authority();
    std::fs::copy(other.path().join("ca").join(CA_KEY), dir.path().join("ca").join(CA_KEY)).expect("copied");
    assert!(matches!(Authority::load(&dir.path().join("ca")), Err(AuthorityError::Mismatch { .. })));
    std::fs::write(dir.path().join("ca").join(CA_CERT), "torn").expect("written");
    assert!(matches!(Authority::load(&dir.path().join("ca")), Err(AuthorityError::Content { .. })));
    std::fs::remove_file(dir.path().join("ca").join(CA_CERT)).expect("removed");
    assert!(matches!(Authority::load(&dir.path().join("ca")), Err(AuthorityError::File { action: "read", .. })));
}

#[test]
fn server_names_are_dns_names_or_addresses() {
    assert_eq!("127.0.0.1".parse::<ServerName>().expect("a name"), ServerName::Ip([127, 0, 0, 1].into()));
    assert!(matches!("[::1]".parse(), Ok(ServerName::Ip(_))));
    assert!(matches!("bw.example".parse(), Ok(ServerName::Dns(_))));
    for bad in ["", "a b", "https://x", "x:443"] {
        assert!(bad.parse::<ServerName>().is_err(), "{bad}");
    }
}
