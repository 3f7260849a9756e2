//! Keys that a person approves, factory certificates, and how much the world may ask for.

use std::time::Duration;

use bellwether_core::admission::Open;
use bellwether_schemas::api::RequestView;
use bellwether_schemas::enroll::{FactoryProof, factory_message};
use bellwether_schemas::lives::DEVICE_CERTIFICATE;
use rcgen::{BasicConstraints, IsCa, Issuer, PublicKeyData as _, SigningKey as _};

use super::*;

fn lab() -> bellwether_schemas::EnrollmentName {
    "lab".parse().expect("a name")
}

fn fingerprint(key: &KeyPair) -> Sha256Digest {
    Sha256Digest::of(&key.subject_public_key_info())
}

fn approved(id: &str, key: &KeyPair, device: &str) -> Entry {
    Entry { proof: Proof::Key { fingerprint: fingerprint(key) }, ..entry(0, id, Some(device)) }
}

/// What is answered without a certificate.
fn refused(answer: Result<EnrollResponse, (u16, ErrorBody)>) -> (u16, String) {
    let (status, body) = answer.expect_err("no certificate");
    assert!(!body.hint.is_empty() && !body.message.is_empty(), "{body:?}");
    (status, body.code)
}

async fn manual() -> World {
    let world = World::start([]).await;
    world.say(|all| all.set_open(lab(), Open { manual: true, ca: None }));
    world
}

impl World {
    async fn requests(&self) -> Vec<RequestView> {
        let url = format!("http://{}/api/v1/requests", self.bound.page);
        let answer = reqwest::Client::builder().no_proxy().build().expect("a client").get(url).send().await;
        serde_json::from_slice(&answer.expect("an answer").bytes().await.expect("a body")).expect("requests")
    }
}

#[tokio::test]
async fn a_key_waits_until_a_commit_lists_it_and_then_gets_one_certificate() {
    let mut world = manual().await;
    let (key, other) = (new_key(), new_key());
    let ask = || Claim::Approval(lab());
    for _ in 0..2 {
        assert_eq!(refused(world.ask(ask(), &key).await), (202, codes::ENROLL_PENDING.to_string()));
    }
    let waiting = world.requests().await;
    let [request] = waiting.as_slice() else { panic!("one waits: {waiting:?}") };
    assert_eq!((request.fingerprint, &request.enrollment), (fingerprint(&key), &lab()));
    assert_eq!((request.facts["os"].as_str(), request.address.to_string().as_str()), ("linux", "127.0.0.1"));
    assert!(request.last_asked > request.first_asked);

    world.say(|all| all.insert(approved("k1", &key, "edge-1")));
    assert!(world.requests().await.is_empty(), "it waits for nobody any more");
    let first = world.ask(ask(), &key).await.expect("enrolled");
    assert_eq!(first.device.as_str(), "edge-1");
    let enrolled = world.enrolled.recv().await.expect("registered");
    assert_eq!(enrolled.identity.to_string(), "bellwether://fleet.example/lab/k1/edge-1");
    assert_eq!(world.ask(ask(), &key).await.expect("a lost answer is given again"), first);
    assert_eq!(refused(world.ask(ask(), &other).await).0, 202, "another key gets nothing by it");

    // The certificate that was issued, and no newer one, also after the database was lost: an old copy of the key is
    // worth no more than the old certificate.
    world.shared.store.run("DELETE FROM tokens").await;
    assert_eq!(world.ask(ask(), &key).await.expect("the same"), first);

    // Where the store was lost too, nobody knows that it has one: then its approval is void, and a later one counts.
    let path = world.dir.path().join("store/enrolled");
    world.void_tokens.send_replace(VoidTokens::UpTo(1));
    assert_eq!(world.ask(ask(), &key).await.expect("its own is there still"), first);
    std::fs::remove_dir_all(&path).expect("lost");
    world.shared.store.run("DELETE FROM tokens").await;
    assert_eq!(refused(world.ask(ask(), &key).await), (403, codes::TOKEN_VOID.to_string()));
    world.void_tokens.send_replace(VoidTokens::UpTo(0));

    // Approved anew, for another device or by another entry, it gets a new one.
    world.say(|all| all.insert(approved("k2", &key, "edge-2")));
    assert_eq!(world.ask(ask(), &key).await.expect("enrolled").device.as_str(), "edge-2");
    world.say(|all| all.insert(Entry { revoked: true, ..approved("k2", &key, "edge-2") }));
    assert_eq!(refused(world.ask(ask(), &key).await), (403, codes::APPROVAL_REVOKED.to_string()));
}

#[tokio::test]
async fn a_use_of_an_approved_key_that_ended_in_the_middle_goes_on() {
    let world = manual().await;
    let key = new_key();
    world.say(|all| all.insert(approved("k1", &key, "edge-1")));
    let hash = Sha256Digest::of(format!("approved key lab/k1/edge-1 {}", fingerprint(&key)).as_bytes());
    world.put(&format!("enrolled/{hash}"), format!("{}\n", fingerprint(&key))).await;
    let first = world.ask(Claim::Approval(lab()), &key).await.expect("nothing was issued, so it is now");
    assert_eq!(world.ask(Claim::Approval(lab()), &key).await.expect("the same"), first);
}

#[tokio::test]
async fn only_an_enrollment_that_people_approve_for_takes_requests() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let key = new_key();
    let closed = (403, codes::ENROLL_CLOSED.to_string());
    assert_eq!(refused(world.ask(Claim::Approval(lab()), &key).await), closed);
    assert_eq!(refused(world.ask(Claim::Approval("other".parse().expect("a name")), &key).await), closed);
    assert!(world.requests().await.is_empty());
    world.say(|all| all.set_open(lab(), Open { manual: true, ca: None }));
    assert_eq!(refused(world.ask(Claim::Approval(lab()), &key).await).0, 202);
    world.say(|all| all.set_open(lab(), Open::default()));
    assert!(world.requests().await.is_empty(), "nobody can approve it any more");
    assert_eq!(refused(world.ask(Claim::Approval(lab()), &key).await), closed);
    world.enroll(&token(1), &key).await.expect("tokens count in either mode");
}

#[tokio::test]
async fn who_waits_is_told_how_long() {
    let world = manual().await;
    let csr = CertificateParams::default().serialize_request(&new_key()).expect("a request").pem().expect("PEM");
    let request = EnrollRequest { claim: Claim::Approval(lab()), csr, facts: [].into() };
    let url = format!("https://localhost:{}{ENROLL_PATH}", world.bound.enroll.port());
    let body = serde_json::to_vec(&request).expect("JSON");
    let answer = http_client(world.client(None)).post(url).body(body).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().expect("text")), (202, "5"));
}

/// An authority, and the certificate of a device that it made.
struct Factory {
    issuer: Issuer<'static, KeyPair>,
    ca: Arc<bellwether_schemas::manifest::FactoryCa>,
}

impl Factory {
    fn new() -> Self {
        let key = new_key();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { issuer: Issuer::new(params, key), ca: Arc::new(pem.parse().expect("an authority")) }
    }

    fn certificate(&self, key: &KeyPair) -> String {
        CertificateParams::default().signed_by(key, &self.issuer).expect("signed").pem()
    }
}

impl World {
    /// Enrolls with a certificate of the factory for one key, for another new key.
    async fn with_factory(
        &self,
        chain: &str,
        factory: &KeyPair,
        key: &KeyPair,
    ) -> Result<EnrollResponse, (u16, ErrorBody)> {
        let csr = CertificateParams::default().serialize_request(key).expect("a request");
        let signature = hex::encode(factory.sign(&factory_message(csr.der(), &lab())).expect("signed"));
        let proof = FactoryProof { chain: chain.to_owned(), signature };
        let request =
            EnrollRequest { claim: Claim::Factory(lab(), proof), csr: csr.pem().expect("PEM"), facts: [].into() };
        self.post(serde_json::to_vec(&request).expect("JSON")).await
    }
}

#[tokio::test]
async fn a_factory_certificate_enrolls_its_device_and_again_with_a_new_key() {
    let mut world = World::start([]).await;
    let (factory, widget) = (Factory::new(), new_key());
    let chain = factory.certificate(&widget);
    let closed = world.with_factory(&chain, &widget, &new_key()).await;
    assert_eq!(refused(closed), (403, codes::ENROLL_CLOSED.to_string()));
    world.say(|all| all.set_open(lab(), Open { manual: false, ca: Some(factory.ca.clone()) }));

    let first = world.with_factory(&chain, &widget, &new_key()).await.expect("enrolled");
    let name = format!("lab-{}", &fingerprint(&widget).to_string()[..16]);
    assert_eq!(first.device.as_str(), name);
    let enrolled = world.enrolled.recv().await.expect("registered");
    assert_eq!(enrolled.identity.to_string(), format!("bellwether://fleet.example/lab/factory/{name}"));
    let again = world.with_factory(&chain, &widget, &new_key()).await.expect("a device that lost its key comes back");
    assert_eq!((again.device, again.certificate == first.certificate), (first.device, false));

    // Neither a certificate of another factory, nor the right one in the hands of somebody else.
    let foreign = Factory::new().certificate(&widget);
    let answer = world.with_factory(&foreign, &widget, &new_key()).await;
    assert_eq!(refused(answer), (403, codes::FACTORY_CERTIFICATE.to_string()));
    let answer = world.with_factory(&chain, &new_key(), &new_key()).await;
    assert_eq!(refused(answer), (403, codes::FACTORY_PROOF.to_string()));

    world.say(|all| all.set_revoked(name.parse().expect("a name"), true));
    let answer = world.with_factory(&chain, &widget, &new_key()).await;
    assert_eq!(refused(answer), (403, codes::APPROVAL_REVOKED.to_string()));
    world.say(|all| all.set_revoked(name.parse().expect("a name"), false));
    world.say(|all| all.set_open(lab(), Open::default()));
    let answer = world.with_factory(&chain, &widget, &new_key()).await;
    assert_eq!(refused(answer), (403, codes::ENROLL_CLOSED.to_string()), "the last statement of ca counts");
}

#[tokio::test]
async fn a_factory_certificate_brings_its_device_back_however_often_a_thief_renewed() {
    let world = World::start([]).await;
    let (factory, widget) = (Factory::new(), new_key());
    let chain = factory.certificate(&widget);
    world.say(|all| all.set_open(lab(), Open { manual: false, ca: Some(factory.ca.clone()) }));
    let name = format!("lab-{}", &fingerprint(&widget).to_string()[..16]);
    // Each renewal begins a second after the one before, up to now; a certificate that is issued begins an hour ago.
    let soon = Timestamp::now() + DEVICE_CERTIFICATE.backdate;
    let stolen = Device::forged(
        &world.shared.authority.borrow(),
        &format!("bellwether://fleet.example/lab/factory/{name}"),
        soon - jiff::SignedDuration::from_secs(1),
    );
    let path = format!("/devices/{name}/timestamp.json");
    assert_eq!(world.get(&stolen, &path).await.expect("an answer").0, 404, "it gets in, and finds nothing");
    let key = new_key();
    let answer = world.with_factory(&chain, &widget, &key).await.expect("enrolled");
    let back = Device { certificate: answer.certificate, key: key.serialize_pem() };
    assert_eq!(world.get(&back, &path).await.expect("an answer").0, 404);
    assert_eq!(world.get(&stolen, &path).await.expect("an answer").0, 403, "it is replaced");
}

#[test]
fn a_thousand_devices_behind_one_address_are_installed_at_once_and_a_flood_is_not() {
    let (limits, now) = (enroll::Limits::default(), tokio::time::Instant::now());
    let network = |text: &str| text.parse::<std::net::IpAddr>().expect("an address").into();
    for _ in 0..4_096 {
        assert_eq!(limits.take(network("192.0.2.1"), now), Ok(()));
    }
    for _ in 0..100_000 {
        assert_eq!(limits.take(network("192.0.2.1"), now), Err(Duration::from_millis(50)));
    }
    assert_eq!(limits.take(network("192.0.2.2"), now), Ok(()), "what one has too much of is taken from nobody else");
    let others = (0..20_000_u32).filter(|n| limits.take(network(&format!("2001:db8:0:{n:x}::1")), now).is_ok());
    assert_eq!(others.count(), 16_384 - 4_097, "all together have a limit, too");
    assert_eq!(limits.take(network("192.0.2.3"), now), Err(Duration::from_millis(5)));
    assert_eq!(limits.take(network("192.0.2.1"), now + Duration::from_millis(50)), Ok(()));
}

#[tokio::test]
async fn a_flood_is_told_to_wait_before_anything_of_it_is_read() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let url = format!("https://localhost:{}{ENROLL_PATH}", world.bound.enroll.port());
    let client = http_client(world.client(None));
    let mut answers = std::collections::BTreeMap::<u16, usize>::new();
    // More than come back while it lasts.
    for _ in 0..400 {
        let asks = (0..64).map(|_| client.post(&url).body("not JSON").send());
        for answer in futures::future::join_all(asks).await {
            let answer = answer.expect("an answer");
            if answer.status() == 429 {
                assert_eq!(answer.headers()["retry-after"], "1");
            }
            *answers.entry(answer.status().as_u16()).or_default() += 1;
        }
        if answers.contains_key(&429) {
            break;
        }
    }
    assert!(answers[&400] >= 4_096 && answers[&429] > 0, "{answers:?}");
    assert_eq!(answers.len(), 2, "{answers:?}");
}
