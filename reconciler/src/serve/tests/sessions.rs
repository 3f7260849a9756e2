use bellwether_schemas::allow::{Allowed, MAX_ENTRIES};
use bellwether_schemas::report::{Presented, Report, Reported};
use bellwether_schemas::wire::proto::{AllowsMessage, DirectiveMessage, RenewRequest, ReportMessage};
use bellwether_schemas::wire::{allows_message, report_message};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use super::super::devices::contract::devices_client::DevicesClient;
use super::*;
use crate::testing::idle;

pub(super) fn report() -> ReportMessage {
    let report = Report { clock: Timestamp::now(), ..idle() };
    report_message(report, Some(Presented { timestamp: b"t".to_vec(), ..Presented::default() }))
}

pub(super) type Client = DevicesClient<Channel>;

pub(super) async fn connect(world: &World, device: &Device) -> Client {
    let mut tls = world.client(Some(device));
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let (connector, address) = (TlsConnector::from(Arc::new(tls)), world.bound.devices);
    let connect = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = "localhost".try_into().expect("a name");
            Ok::<_, std::io::Error>(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    let channel = Endpoint::from_static("http://localhost").connect_with_connector(connect).await.expect("connected");
    DevicesClient::new(channel)
}

pub(super) struct Open {
    reports: mpsc::Sender<ReportMessage>,
    directives: Streaming<DirectiveMessage>,
}

impl Open {
    pub(super) async fn new(client: &mut DevicesClient<Channel>) -> Result<Self, Status> {
        let (reports, stream) = mpsc::channel(8);
        let directives = client.session(ReceiverStream::new(stream)).await?.into_inner();
        Ok(Self { reports, directives })
    }

    pub(super) async fn report(&self) {
        self.reports.send(report()).await.expect("the session takes it");
    }

    pub(super) async fn next(&mut self) -> Result<Option<Directive>, Status> {
        let message = tokio::time::timeout(std::time::Duration::from_secs(20), self.directives.message());
        let message = message.await.expect("something comes down the session")?;
        Ok(message.map(|message| message.try_into().expect("a directive")))
    }
}

pub(super) fn code_of(status: &Status) -> &str {
    status.metadata().get("bellwether-code").expect("a code").to_str().expect("text")
}

pub(super) fn name(text: &str) -> bellwether_schemas::DeviceName {
    text.parse().expect("a name")
}

#[tokio::test]
async fn reports_go_to_the_loop_and_directives_come_back() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let (seen_sender, mut seen) = mpsc::unbounded_channel();
    world.answer_reports(move |incoming| {
        let facts = (incoming.identity.to_string(), incoming.report_only, incoming.begins_session);
        assert!(matches!(incoming.reported, Reported::Readable(_)));
        seen_sender.send(facts).expect("the test listens");
        vec![Directive::Interval { seconds: 30 }, Directive::SpecAvailable]
    });
    let device = world.device(&token(1)).await;
    let mut client = connect(&world, &device).await;
    let mut session = Open::new(&mut client).await.expect("a session");
    let identity = "bellwether://fleet.example/lab/t1/edge-1";
    for presented in [true, false] {
        session.report().await;
        assert_eq!(session.next().await.expect("open"), Some(Directive::Interval { seconds: 30 }));
        assert_eq!(session.next().await.expect("open"), Some(Directive::SpecAvailable));
        // Only the first report of a session carries metadata.
        assert_eq!(seen.recv().await, Some((identity.to_owned(), false, presented)));
    }
    assert!(world.shared.sessions.send(&name("edge-1"), Directive::Renew));
    assert_eq!(session.next().await.expect("open"), Some(Directive::Renew));
    assert!(!world.shared.sessions.send(&name("edge-2"), Directive::Renew));

    let polled = client.poll(report()).await.expect("an answer").into_inner();
    assert_eq!(polled.directives.len(), 2);
    assert_eq!(seen.recv().await, Some((identity.to_owned(), false, true)));
    assert_eq!(world.shared.sessions.reports(), 3);

    drop(session.reports);
    assert_eq!(session.directives.message().await.expect("an orderly end"), None);
    assert_eq!(world.shared.sessions.count(), 0);
}

#[tokio::test]
async fn what_a_device_allows_goes_to_the_loop_unless_it_is_too_much() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let (seen_sender, mut seen) = mpsc::unbounded_channel();
    world.answer_reports(move |incoming| {
        seen_sender.send((incoming.begins_session, incoming.allows.clone())).expect("the test listens");
        vec![Directive::SpecAvailable]
    });
    let device = world.device(&token(1)).await;
    let mut session = Open::new(&mut connect(&world, &device).await).await.expect("a session");
    let allowed = Allowed { exec: vec!["/bin/true".into()], ..Allowed::default() };
    let too_much = AllowsMessage { exec: vec!["/x".to_owned(); MAX_ENTRIES + 1], ..AllowsMessage::default() };
    let nothing = Allowed { exec: vec![], paths: vec![], units: vec![], probe_hosts: vec![] };
    for (said, begins, heard) in [
        (allows_message(&allowed), true, Some(allowed)),
        (None, false, None),
        (Some(too_much), false, None),
        (Some(AllowsMessage::default()), false, Some(nothing)),
    ] {
        session.reports.send(ReportMessage { allows: said, ..report() }).await.expect("the session takes it");
        assert_eq!(session.next().await.expect("open"), Some(Directive::SpecAvailable));
        assert_eq!(seen.recv().await, Some((begins, heard)));
    }
}

#[tokio::test]
async fn revocation_closes_the_open_session_and_says_why() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    world.answer_reports(|_| vec![Directive::SpecAvailable]);
    let device = world.device(&token(1)).await;
    let mut client = connect(&world, &device).await;
    let mut session = Open::new(&mut client).await.expect("a session");
    session.report().await;
    session.next().await.expect("open");

    world.say(|all| all.insert(entry(2, "t2", None)));
    session.report().await;
    session.next().await.expect("a change that does not concern it closes nothing");

    world.say(|all| all.set_revoked(name("edge-1"), true));
    let status = session.next().await.expect_err("closed");
    assert_eq!((status.code(), code_of(&status)), (Code::PermissionDenied, codes::DEVICE_REVOKED.as_str()));
    assert!(status.message().starts_with(codes::DEVICE_REVOKED.as_str()), "{status}");
    assert_eq!(world.shared.sessions.count(), 0);

    // The connection ends with it; a new one is told the same.
    let status = connect(&world, &device).await.poll(report()).await.expect_err("refused");
    assert_eq!(code_of(&status), codes::DEVICE_REVOKED.as_str());
    let mut client = connect(&world, &device).await;
    assert_eq!(Open::new(&mut client).await.err().expect("refused").code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_newer_session_replaces_the_older_one() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    world.answer_reports(|_| vec![Directive::SpecAvailable]);
    let device = world.device(&token(1)).await;
    let (mut first, mut second) = (connect(&world, &device).await, connect(&world, &device).await);
    let mut old = Open::new(&mut first).await.expect("a session");
    let mut new = Open::new(&mut second).await.expect("a session");
    let status = old.next().await.expect_err("replaced");
    assert_eq!((status.code(), code_of(&status)), (Code::Aborted, codes::SESSION_REPLACED.as_str()));
    new.report().await;
    assert_eq!(new.next().await.expect("open"), Some(Directive::SpecAvailable));
    assert_eq!(world.shared.sessions.count(), 1);
}

#[tokio::test]
async fn an_entry_that_no_landing_lists_may_report_and_not_renew() {
    let mut world = World::start([]).await;
    world.answer_reports(|incoming| {
        assert!(incoming.report_only);
        Vec::new()
    });
    let uri = "bellwether://fleet.example/lab/gone/edge-1";
    let device = Device::forged(&world.shared.authority.borrow(), uri, Timestamp::now());
    let mut client = connect(&world, &device).await;
    client.poll(report()).await.expect("it may report");
    let csr = CertificateParams::default().serialize_request(&new_key()).expect("a request").der().to_vec();
    let status = client.renew(RenewRequest { csr: csr.into() }).await.expect_err("it may not renew");
    assert_eq!(code_of(&status), codes::ENTRY_UNLISTED.as_str());
}

#[tokio::test]
async fn a_renewed_certificate_is_for_the_same_device_and_a_new_key() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let device = world.device(&token(1)).await;
    let mut client = connect(&world, &device).await;
    let renew = |key: &KeyPair| {
        let csr = CertificateParams::default().serialize_request(key).expect("a request").der().to_vec();
        RenewRequest { csr: csr.into() }
    };
    let same = KeyPair::from_pem(&device.key).expect("a key");
    let status = client.renew(renew(&same)).await.expect_err("the old key");
    assert_eq!((status.code(), code_of(&status)), (Code::InvalidArgument, codes::REQUEST_KEY.as_str()));

    let key = new_key();
    let certificate = client.renew(renew(&key)).await.expect("renewed").into_inner().certificate;
    let peer = |pem: &str| {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
        crate::pki::Peer::from_certificate(&der, &domain()).expect("a device")
    };
    let (old, new) = (peer(&device.certificate), peer(&certificate));
    assert!(old.identity == new.identity && old.key != new.key);
    let renewed = Device { certificate, key: key.serialize_pem() };
    assert_eq!(world.get(&renewed, "/devices/edge-1/timestamp.json").await.expect("an answer").0, 404);
}

#[tokio::test]
async fn messages_that_are_too_large_are_refused() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    world.answer_reports(|_| Vec::new());
    let device = world.device(&token(1)).await;
    let mut client = connect(&world, &device).await;
    let mut large = report();
    large.nonce = "n".repeat(64 * 1024);
    let status = client.poll(large).await.expect_err("too large");
    assert_eq!((status.code(), code_of(&status)), (Code::ResourceExhausted, codes::MESSAGE_TOO_LARGE.as_str()));
    let mut metadata = report();
    metadata.presented.as_mut().expect("presented").targets = vec![0; 1024 * 1024].into();
    assert_eq!(client.poll(metadata).await.expect_err("too large").code(), Code::ResourceExhausted);
    let mut fits = report();
    fits.presented.as_mut().expect("presented").targets = vec![0; 1024 * 1024 - 64].into();
    client.poll(fits).await.expect("it fits");
}

#[tokio::test]
async fn polls_in_a_hurry_are_refused_and_reports_in_a_session_slowed_down() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    world.answer_reports(|_| vec![Directive::SpecAvailable]);
    let device = world.device(&token(1)).await;
    let mut client = connect(&world, &device).await;
    let status = loop {
        while world.shared.sessions.take(&name("edge-1")).is_ok() {}
        if let Err(status) = client.poll(report()).await {
            break status;
        }
    };
    assert_eq!((status.code(), code_of(&status)), (Code::ResourceExhausted, codes::TOO_MANY_REQUESTS.as_str()));
    let mut session = Open::new(&mut client).await.expect("a session");
    for _ in 0..3 {
        session.report().await;
        assert_eq!(session.next().await.expect("open"), Some(Directive::SpecAvailable));
    }
}

#[tokio::test]
async fn the_end_closes_sessions_with_a_status_that_means_come_back() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let device = world.device(&token(1)).await;
    let mut client = connect(&world, &device).await;
    let mut session = Open::new(&mut client).await.expect("a session");
    world.shutdown.cancel();
    assert_eq!(session.next().await.expect_err("closed").code(), Code::Unavailable);
}

#[tokio::test]
async fn a_session_that_outlives_its_certificate_is_told_to_renew_it() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    world.answer_reports(|_| vec![Directive::SpecAvailable]);
    for (days, due) in [(61, true), (59, false)] {
        let issued = Timestamp::now() - jiff::SignedDuration::from_hours(days * 24);
        let uri = "bellwether://fleet.example/lab/t1/edge-1";
        let device = Device::forged(&world.shared.authority.borrow(), uri, issued);
        let mut client = connect(&world, &device).await;
        let polled = client.poll(report()).await.expect("an answer").into_inner();
        assert_eq!(polled.directives.len(), 1 + usize::from(due), "after {days} days");
        let mut session = Open::new(&mut client).await.expect("a session");
        session.report().await;
        assert_eq!(session.next().await.expect("open"), Some(Directive::SpecAvailable));
        if due {
            assert_eq!(session.next().await.expect("open"), Some(Directive::Renew));
        }
    }
}
