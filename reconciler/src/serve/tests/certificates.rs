//! Certificates over their lives: renewed, replaced, expired, revoked, and of an authority that changes.

use jiff::SignedDuration;
use tonic::{Code, Status};

use bellwether_core::certificates::SETTLE;
use bellwether_schemas::wire::proto::{RenewRequest, RenewResponse};

use super::sessions::{Open, code_of, connect, report};
use super::*;
use crate::pki;

const IDENTITY: &str = "bellwether://fleet.example/lab/t1/edge-1";
const TIMESTAMP: &str = "/devices/edge-1/timestamp.json";

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(days * 24)
}

pub(super) async fn renew(world: &World, device: &Device) -> Result<(Device, RenewResponse), Status> {
    let key = new_key();
    let csr = CertificateParams::default().serialize_request(&key).expect("a request").der().to_vec();
    let answer = connect(world, device).await.renew(RenewRequest { csr: csr.into() }).await?.into_inner();
    Ok((Device { certificate: answer.certificate.clone(), key: key.serialize_pem() }, answer))
}

/// What `updates` answers: the status, and the code of a refusal.
async fn answer(world: &World, device: &Device) -> (u16, String) {
    let (status, body) = world.get(device, TIMESTAMP).await.expect("an answer");
    (status, serde_json::from_slice::<ErrorBody>(&body).expect("an error body").code)
}

/// Nothing is published here: who gets in finds nothing.
fn gets_in() -> (u16, String) {
    (404, codes::NOT_FOUND.to_string())
}

fn refused(code: bellwether_schemas::Code) -> (u16, String) {
    (403, code.to_string())
}

async fn polls(world: &World, device: &Device) -> Result<(), Status> {
    connect(world, device).await.poll(report()).await.map(|_| ())
}

#[tokio::test]
async fn a_certificate_is_good_until_the_one_that_renews_it_was_used() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    world.answer_reports(|_| vec![Directive::SpecAvailable]);
    let old = world.device(&token(1)).await;
    let mut client = connect(&world, &old).await;
    let mut session = Open::new(&mut client).await.expect("a session");
    session.report().await;
    session.next().await.expect("open");
    let (new, _) = renew(&world, &old).await.expect("renewed");
    assert_eq!(answer(&world, &old).await, gets_in(), "nobody has used the new one");
    client.poll(report()).await.expect("nor here");

    assert_eq!(answer(&world, &new).await, gets_in());
    assert_eq!(answer(&world, &old).await, refused(codes::CERTIFICATE_REPLACED));
    let status = session.next().await.expect_err("the open session of the old one ends");
    assert_eq!((status.code(), code_of(&status)), (Code::PermissionDenied, codes::CERTIFICATE_REPLACED.as_str()));
    let status = client.poll(report()).await.expect_err("refused on the connection that is open");
    assert_eq!(code_of(&status), codes::CERTIFICATE_REPLACED.as_str());
    let mut client = connect(&world, &old).await;
    assert_eq!(Open::new(&mut client).await.err().expect("refused").code(), Code::PermissionDenied);
    let status = renew(&world, &old).await.err().expect("an old key that was stolen gets nothing");
    assert_eq!(code_of(&status), codes::CERTIFICATE_REPLACED.as_str());
    polls(&world, &new).await.expect("the new one is good for everything");
}

#[tokio::test]
async fn of_two_renewals_the_one_that_was_never_used_ends_with_the_first_use_of_the_other() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let old = world.device(&token(1)).await;
    // The answer to the first try was lost, and the device tried again a second later.
    let (_, lost) = renew(&world, &old).await.expect("renewed");
    let issued = |pem: &str| {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
        pki::Peer::from_certificate(&der, &domain()).expect("a device").issued()
    };
    let (new, again) = loop {
        let renewed = renew(&world, &old).await.expect("renewed");
        if issued(&renewed.1.certificate) > issued(&lost.certificate) {
            break renewed;
        }
    };
    assert_ne!(again.certificate, lost.certificate);
    assert_eq!(answer(&world, &new).await, gets_in());
    assert_eq!(answer(&world, &old).await, refused(codes::CERTIFICATE_REPLACED));
}

#[tokio::test]
async fn a_restart_remembers_and_a_lost_database_learns_again() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let old = Device::forged(&world.shared.authority.borrow(), IDENTITY, Timestamp::now() - days(1));
    let (new, _) = renew(&world, &old).await.expect("renewed");
    assert_eq!(answer(&world, &new).await, gets_in());

    world.restart().await;
    assert_eq!(answer(&world, &old).await, refused(codes::CERTIFICATE_REPLACED), "also the first call after a start");

    world.shared.store.run("DELETE FROM certificates").await;
    world.settle = SETTLE;
    world.restart().await;
    assert_eq!(answer(&world, &old).await, gets_in(), "nobody knows of a newer one");
    // Its renewal would come after the one that counts.
    let status = renew(&world, &old).await.err().expect("the newer one may be about to call");
    assert_eq!((status.code(), code_of(&status)), (Code::Unavailable, codes::RECONCILER_BUSY.as_str()));
    assert_eq!(answer(&world, &new).await, gets_in(), "the later one wins, though it comes second");
    assert_eq!(answer(&world, &old).await, refused(codes::CERTIFICATE_REPLACED));
    let rows = world.shared.store.certificates(&domain()).await.expect("rows");
    assert_eq!(rows.len(), 1);
    // What is made now is known to be new.
    renew(&world, &new).await.expect("renewed");
    world.say(|all| all.insert(entry(2, "t2", Some("edge-2"))));
    let fresh = world.device(&token(2)).await;
    renew(&world, &fresh).await.expect("renewed");
}

#[tokio::test]
async fn what_nobody_remembers_waits_for_its_renewal_whatever_starts_again_meanwhile() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let before = Device::forged(&world.shared.authority.borrow(), IDENTITY, Timestamp::now() - days(1));
    let waits = async |world: &World| match renew(world, &before).await {
        Ok(_) => false,
        Err(status) => code_of(&status) == codes::RECONCILER_BUSY.as_str(),
    };
    world.settle = SETTLE;
    world.restart().await;
    assert!(waits(&world).await, "the database was lost");
    world.restart().await;
    assert!(waits(&world).await, "another start does not shorten that");
    let past = Timestamp::now();
    world.shared.store.unsettle_certificates(past).await.expect("stored");
    world.restart().await;
    assert!(!waits(&world).await, "its time is over");
    world.shared.store.unsettle_certificates(past + SETTLE).await.expect("stored");
    world.restart().await;
    assert!(waits(&world).await, "the database was set back");
    world.shared.store.unsettle_certificates(past).await.expect("stored");
    world.restart().await;
    assert!(!waits(&world).await);
    world.unsettled_until.send_replace(past + SETTLE);
    assert!(waits(&world).await, "records turned out to be behind in the middle");
}

#[tokio::test]
async fn entries_of_one_device_do_not_replace_each_other_but_by_the_history() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let first = world.device(&token(1)).await;
    assert_eq!(answer(&world, &first).await, gets_in());
    world.say(|all| all.insert(entry(2, "t2", Some("edge-1"))));
    let second = world.device(&token(2)).await;
    assert_eq!(answer(&world, &second).await, gets_in());
    assert_eq!(answer(&world, &first).await, refused(codes::CERTIFICATE_REPLACED));
}

#[tokio::test]
async fn an_expired_certificate_is_good_for_one_renewal_and_nothing_else() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    world.answer_reports(|_| Vec::new());
    let expired = Device::forged(&world.shared.authority.borrow(), IDENTITY, Timestamp::now() - days(91));
    assert_eq!(answer(&world, &expired).await, (401, codes::CERTIFICATE_EXPIRED.to_string()));
    let mut client = connect(&world, &expired).await;
    for status in [
        client.poll(report()).await.map(|_| ()).expect_err("no report"),
        Open::new(&mut client).await.err().expect("no session"),
    ] {
        assert_eq!((status.code(), code_of(&status)), (Code::Unauthenticated, codes::CERTIFICATE_EXPIRED.as_str()));
    }
    let (renewed, _) = renew(&world, &expired).await.expect("renewed");
    polls(&world, &renewed).await.expect("as good as any");
    let status = renew(&world, &expired).await.err().expect("replaced by now");
    assert_eq!(code_of(&status), codes::CERTIFICATE_REPLACED.as_str());
}

#[tokio::test]
async fn an_expired_certificate_is_renewed_within_the_grace_and_for_nobody_who_is_revoked() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let issued = |age| Device::forged(&world.shared.authority.borrow(), IDENTITY, Timestamp::now() - days(age));
    let status = renew(&world, &issued(90 + 31)).await.err().expect("30 days of grace are over");
    assert_eq!((status.code(), code_of(&status)), (Code::Unauthenticated, codes::RENEWAL_TOO_LATE.as_str()));
    let late = issued(90 + 29);
    world.say(|all| all.set_revoked("edge-1".parse().expect("a name"), true));
    let status = renew(&world, &late).await.err().expect("revoked");
    assert_eq!(code_of(&status), codes::DEVICE_REVOKED.as_str());
    world.say(|all| all.set_revoked("edge-1".parse().expect("a name"), false));
    renew(&world, &late).await.expect("renewed");
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_does_not_get_in() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let early = Device::forged(&world.shared.authority.borrow(), IDENTITY, Timestamp::now() + days(2));
    assert!(world.get(&early, TIMESTAMP).await.is_err());
}

/// Listeners take a change of the authority over in a task of their own.
async fn until(what: &str, is: impl AsyncFn() -> bool) {
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !is().await {
        assert!(std::time::Instant::now() < patience, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// A report that says which authorities the device trusts.
fn trusting(authorities: Vec<Sha256Digest>) -> bellwether_schemas::wire::proto::ReportMessage {
    let authorities = authorities.iter().map(|it| it.as_bytes().to_vec().into()).collect();
    bellwether_schemas::wire::proto::ReportMessage { authorities, ..report() }
}

#[tokio::test]
async fn a_new_authority_reaches_devices_by_renewal_while_sessions_stay_open() {
    let mut world = World::start([entry(1, "t1", Some("edge-1")), entry(2, "t2", Some("edge-2"))]).await;
    world.answer_reports(|_| Vec::new());
    let ca = world.dir.path().join("ca");
    let old = world.shared.authority.borrow().fingerprints();
    let device = world.device(&token(1)).await;
    let mut client = connect(&world, &device).await;
    let mut session = Open::new(&mut client).await.expect("a session");
    let late = world.device(&token(2)).await;
    let mut late_client = connect(&world, &late).await;
    let mut late_session = Open::new(&mut late_client).await.expect("a session");
    let told = async |client: &mut super::sessions::Client, message| {
        let answer = client.poll(message).await.expect("an answer").into_inner();
        answer.directives.into_iter().map(|it| Directive::try_from(it).expect("a directive")).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut client, trusting(old.clone())).await, []);

    pki::begin_rotation(&ca, Timestamp::now()).expect("begun");
    world.reload();
    let both = world.shared.authority.borrow().fingerprints();
    session.report().await;
    assert_eq!(session.next().await.expect("open"), Some(Directive::Renew), "the session is still open");
    let (renewed, response) = renew(&world, &device).await.expect("renewed");
    until("TLS takes the new authority", async || world.get(&renewed, TIMESTAMP).await.is_ok()).await;
    assert_eq!(response.authorities, world.shared.authority.borrow().bundle());
    let mut client = connect(&world, &renewed).await;
    assert_eq!(told(&mut client, report()).await, [Directive::Renew], "it has not said yet that it trusts the new one");
    assert_eq!(told(&mut client, trusting(both.clone())).await, []);
    let rows = world.shared.store.certificates(&domain()).await.expect("rows");
    assert_eq!(rows[0].authorities.as_ref(), Some(&both));
    assert_eq!(rows[0].issuer, world.shared.authority.borrow().issuing().name);

    pki::finish_rotation(&ca, Timestamp::now()).expect("finished");
    world.reload();
    assert_eq!(told(&mut client, trusting(both)).await, [Directive::Renew], "it is to trust the old one no more");
    until("TLS ends for the old authority", async || world.get(&device, TIMESTAMP).await.is_err()).await;
    assert_eq!(answer(&world, &renewed).await, gets_in());
    let status = late_session.next().await.expect_err("an open session of the old authority ends");
    assert_eq!((status.code(), code_of(&status)), (Code::PermissionDenied, codes::AUTHORITY_ENDED.as_str()));
    late_client.poll(report()).await.expect_err("and the connection with it, so that TLS refuses the next call");
}

#[tokio::test]
async fn an_agent_that_does_not_say_what_it_trusts_renews_once() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    world.answer_reports(|_| Vec::new());
    let device = world.device(&token(1)).await;
    pki::begin_rotation(&world.dir.path().join("ca"), Timestamp::now()).expect("begun");
    world.reload();
    let directives = async |device| {
        connect(&world, device).await.poll(report()).await.expect("an answer").into_inner().directives.len()
    };
    assert_eq!(directives(&device).await, 1);
    let (renewed, _) = renew(&world, &device).await.expect("renewed");
    until("TLS takes the new authority", async || world.get(&renewed, TIMESTAMP).await.is_ok()).await;
    assert_eq!(directives(&renewed).await, 0);
}
