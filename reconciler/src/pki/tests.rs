use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use bellwether_core::admission::Domain;
use jiff::SignedDuration;
use rcgen::{BasicConstraints, IsCa, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SigningKey};
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
    let roots = authority.roots().expect("roots");
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
        assert_eq!(peer.not_after, now() + DEVICE_CERTIFICATE.length);
        let minute = SignedDuration::from_mins(1);
        verify(&authority, &der, now() - minute).expect("valid a little before it was made");
        verify(&authority, &der, now() + DEVICE_CERTIFICATE.length - minute).expect("valid to the end");
        assert!(verify(&authority, &der, now() + DEVICE_CERTIFICATE.length + minute).is_err(), "not after it");
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

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_renewed_server_certificate_has_a_new_key_and_the_old_pair_is_kept() {
    let (dir, before) = authority();
    let ca = dir.path().join("ca");
    let old_key = std::fs::read(ca.join(SERVER_KEY)).expect("a key");
    renew_server(&ca, None, now()).expect("renewed");
    let same = Authority::load(&ca).expect("loaded");
    assert_eq!(same.server_certificate().names, before.server_certificate().names);
    assert_ne!(same.server().0, before.server().0);
    assert_eq!(same.fingerprints(), before.fingerprints(), "devices trust what they trusted");

    let names = ["bw.example", "::1"].map(|name| name.parse().expect("a name"));
    renew_server(&ca, Some(&names), now()).expect("renewed");
    assert_eq!(Authority::load(&ca).expect("loaded").server_certificate().names, names);
    let kept: Vec<_> = files(&ca).into_iter().filter(|name| name.starts_with("server-")).collect();
    assert_eq!(kept.len(), 4, "two certificates and their keys: {kept:?}");
    assert!(kept.iter().any(|name| std::fs::read(ca.join(name)).expect("readable") == old_key));
    for file in files(&ca) {
        let mode = std::fs::metadata(ca.join(&file)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert!(matches!(renew_server(&ca, Some(&[]), now()), Err(AuthorityError::NoName)));
}

/// Ten years with nobody looking: the server's certificate is renewed whenever it is due, and all that is issued is valid.
#[test]
fn ten_years_pass_and_no_certificate_ends() {
    let (dir, _) = authority();
    let ca = dir.path().join("ca");
    let day = SignedDuration::from_hours(24);
    let key = request(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"));
    let mut renewals = 0;
    for days in (0..3_660).step_by(30) {
        let now = now() + day * days;
        if Authority::load(&ca).expect("loaded").is_server_due(now) {
            renew_server(&ca, None, now).expect("renewed");
            renewals += 1;
        }
        let authority = Authority::load(&ca).expect("loaded");
        assert!(authority.server_certificate().not_after > now + day * 60, "on day {days}");
        let pem = authority.issue(&key, &identity(), now).expect("issued");
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
        verify(&authority, &der, now + day * 89).expect("for its whole life");
    }
    assert!((12..=16).contains(&renewals), "{renewals}");
}

fn issued_by(authority: &Authority) -> CertificateDer<'static> {
    let key = request(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"));
    let pem = authority.issue(&key, &identity(), now()).expect("issued");
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")
}

#[test]
fn an_authority_is_replaced_with_an_overlap() {
    let (dir, old) = authority();
    let ca = dir.path().join("ca");
    let (before, server) = (issued_by(&old), old.server().0);
    assert!(matches!(finish_rotation(&ca, now()), Err(AuthorityError::NotRotating)));

    begin_rotation(&ca, now()).expect("begun");
    let both = Authority::load(&ca).expect("loaded");
    assert_eq!((both.trusted().len(), both.issuing() == old.issuing()), (2, false));
    assert_eq!(both.server().0, server, "the server keeps what all devices know");
    let during = issued_by(&both);
    for certificate in [&before, &during] {
        verify(&both, certificate, now()).expect("both are trusted");
    }
    assert!(verify(&old, &during, now()).is_err(), "the new one issues");
    assert!(matches!(begin_rotation(&ca, now()), Err(AuthorityError::Rotating)));
    renew_server(&ca, None, now()).expect("renewed meanwhile");
    let renewed = Authority::load(&ca).expect("loaded");
    assert_eq!(renewed.server_certificate().issuer, old.issuing().name, "by the one that all devices know");

    finish_rotation(&ca, now()).expect("finished");
    let new = Authority::load(&ca).expect("loaded");
    assert_eq!(new.trusted(), [both.issuing().clone()]);
    assert_eq!(new.server_certificate().issuer, new.issuing().name);
    verify(&new, &during, now()).expect("the new one stays");
    assert!(verify(&new, &before, now()).is_err(), "the old one has ended");
    assert!(new.bundle().matches("BEGIN CERTIFICATE").count() == 1);
    begin_rotation(&ca, now()).expect("and once more");
}

/// What a crash leaves after each step of a change is loaded, and the same change is finished by asking for it again.
#[test]
fn a_change_that_broke_off_is_finished_by_the_next_call() {
    let copy = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to).expect("a folder");
        for file in files(from) {
            std::fs::copy(from.join(&file), to.join(&file)).expect("copied");
        }
    };
    let (dir, _) = authority();
    let (ca, broken) = (dir.path().join("ca"), dir.path().join("broken"));
    copy(&ca, &broken);
    let old_key = std::fs::read(ca.join(CA_KEY)).expect("a key");
    begin_rotation(&ca, now()).expect("begun");

    // The bundle is there, and the key still waits.
    for file in [CA_CERT, CA_KEY] {
        std::fs::copy(ca.join(file), broken.join(file)).expect("copied");
    }
    std::fs::rename(broken.join(CA_KEY), files::next(&broken.join(CA_KEY))).expect("waits");
    std::fs::write(broken.join(CA_KEY), old_key).expect("written");
    std::fs::set_permissions(broken.join(CA_KEY), std::fs::Permissions::from_mode(0o600)).expect("changed");
    assert_eq!(Authority::load(&broken).expect("loaded").trusted().len(), 2);
    begin_rotation(&broken, now()).expect("finished");
    let (one, other) = (Authority::load(&ca).expect("loaded"), Authority::load(&broken).expect("loaded"));
    assert_eq!(one.issuing(), other.issuing());

    // The key alone was written: nothing fits it, and it is made anew.
    let (dir, old) = authority();
    let ca = dir.path().join("ca");
    std::fs::copy(broken.join(CA_KEY), files::next(&ca.join(CA_KEY))).expect("copied");
    assert_eq!(Authority::load(&ca).expect("loaded").trusted(), old.trusted());
    begin_rotation(&ca, now()).expect("begun");
    assert_eq!(Authority::load(&ca).expect("loaded").trusted().len(), 2);

    // The server's new certificate is there, and its key still waits.
    let old_key = std::fs::read(ca.join(SERVER_KEY)).expect("a key");
    renew_server(&ca, None, now()).expect("renewed");
    std::fs::rename(ca.join(SERVER_KEY), files::next(&ca.join(SERVER_KEY))).expect("waits");
    files::replace(&ca.join(SERVER_KEY), &old_key).expect("written");
    let waiting = Authority::load(&ca).expect("loaded").server().0;
    renew_server(&ca, None, now()).expect("renewed once more");
    assert_ne!(Authority::load(&ca).expect("loaded").server().0, waiting);
}

#[test]
fn a_server_certificate_that_devices_do_not_trust_is_refused() {
    let ((dir, _), (other, _)) = (authority(), authority());
    for file in [SERVER_CERT, SERVER_KEY] {
        std::fs::copy(other.path().join("ca").join(file), dir.path().join("ca").join(file)).expect("copied");
    }
    assert!(matches!(Authority::load(&dir.path().join("ca")), Err(AuthorityError::Unvouched { .. })));
}

#[test]
fn a_renewal_comes_after_what_it_renews() {
    let (_dir, authority) = authority();
    let key = request(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"));
    let peer = |pem: String| {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
        Peer::from_certificate(&der, &domain()).expect("a device")
    };
    let first = peer(authority.issue(&key, &identity(), now()).expect("issued"));
    let second = peer(authority.renew(&key, &first, now()).expect("renewed in the same second"));
    assert!(second.issued() > first.issued());
    assert_eq!(second.not_after, now() + DEVICE_CERTIFICATE.length);
    let at_the_end = Peer { not_before: now(), ..second };
    assert!(matches!(authority.renew(&key, &at_the_end, now()), Err(AuthorityError::TooOften)));
}
