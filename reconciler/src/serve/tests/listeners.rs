use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::certificates::renew;
use super::sessions::{Open, connect, report};
use super::*;

const IDENTITY: &str = "bellwether://fleet.example/lab/t1/edge-1";

#[tokio::test]
async fn certificates_that_are_foreign_or_missing_do_not_get_in() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let foreign = Device::forged(&authority(&elsewhere.path().join("ca")), IDENTITY, Timestamp::now());
    assert!(world.get(&foreign, "/devices/edge-1/timestamp.json").await.is_err(), "another authority");

    let url = format!("https://localhost:{}/devices/edge-1/timestamp.json", world.bound.updates.port());
    assert!(http_client(world.client(None)).get(url).send().await.is_err(), "no certificate");

    let good = Device::forged(&world.shared.authority.borrow(), IDENTITY, Timestamp::now());
    assert_eq!(world.get(&good, "/devices/edge-1/timestamp.json").await.expect("an answer").0, 404, "ours gets in");
}

#[tokio::test]
async fn a_certificate_of_another_domain_is_told_so() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let uri = "bellwether://other.example/lab/t1/edge-1";
    let device = Device::forged(&world.shared.authority.borrow(), uri, Timestamp::now());
    let (status, body) = world.get(&device, "/devices/edge-1/timestamp.json").await.expect("an answer");
    let error: ErrorBody = serde_json::from_slice(&body).expect("an error body");
    assert_eq!((status, error.code.as_str()), (403, codes::CERTIFICATE_FOREIGN.as_str()));
    assert!(error.message.contains("other.example") && error.message.contains("fleet.example"), "{error:?}");
}

#[tokio::test]
async fn a_listener_that_cannot_bind_says_which_and_where() {
    let world = World::start([]).await;
    let taken = world.bound.page;
    let mut settings = settings(world.dir.path(), None);
    settings.listen.page = taken;
    let error = start(settings, world.shared.clone(), CancellationToken::new()).await.expect_err("taken");
    assert_eq!(error.to_string(), format!("listener page cannot bind {taken}"));
    assert_eq!(error.code(), codes::LISTENER_BIND);
}

#[tokio::test]
async fn the_page_answers_get_alone_and_is_ready_after_the_first_pass() {
    let world = World::start([]).await;
    let url = |path: &str| format!("http://{}{path}", world.bound.page);
    let client = http_client(world.client(None));
    let status = async |path: &str| client.get(url(path)).send().await.expect("an answer").status().as_u16();
    assert_eq!((status("/healthz").await, status("/readyz").await, status("/").await), (200, 503, 200));
    world.views.send_modify(|views| Arc::make_mut(views).ready = true);
    assert_eq!(status("/readyz").await, 200);
    for method in [http::Method::POST, http::Method::PUT, http::Method::DELETE, http::Method::HEAD] {
        for path in ["/", "/api/v1/devices", "/nowhere"] {
            let answer = client.request(method.clone(), url(path)).send().await.expect("an answer");
            assert_eq!((answer.status().as_u16(), answer.headers()["allow"].as_bytes()), (405, &b"GET"[..]), "{path}");
        }
    }
}

#[tokio::test]
async fn the_end_is_orderly_and_does_not_wait_for_idle_clients() {
    let world = World::start([]).await;
    let mut idle = TcpStream::connect(world.bound.page).await.expect("connected");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let mut answer = [0; 15];
    idle.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    world.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(4), world.bound.tasks.wait()).await.expect("ended");
    assert!(TcpStream::connect(world.bound.page).await.is_err());
}

#[tokio::test]
async fn who_bears_another_certificate_of_a_device_takes_none_of_its_places() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    world.answer_reports(|_| vec![Directive::SpecAvailable]);
    let stolen = world.device(&token(1)).await;
    let renewed = renew(&world, &stolen).await.expect("renewed").0;
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut client = connect(&world, &stolen).await;
        client.poll(report()).await.expect("an answer");
        held.push(client);
    }
    let turned_away = async {
        let mut client = connect(&world, &stolen).await;
        client.poll(report()).await
    };
    let turned_away = tokio::time::timeout(Duration::from_secs(5), turned_away).await.expect("at once");
    assert!(turned_away.is_err(), "it has as many as there may be with one certificate");

    let mut client = connect(&world, &renewed).await;
    let mut session = Open::new(&mut client).await.expect("the device itself gets in");
    session.report().await;
    assert_eq!(session.next().await.expect("open"), Some(Directive::SpecAvailable));
}

#[tokio::test]
async fn one_address_does_not_take_all_connections_to_enroll() {
    let world = World::start([]).await;
    let mut held = Vec::new();
    for _ in 0..600 {
        held.push(TcpStream::connect(world.bound.enroll).await.expect("connected"));
    }
    let last = held.last_mut().expect("one");
    let end = tokio::time::timeout(Duration::from_secs(5), last.read_u8()).await.expect("at once");
    end.expect_err("it is turned away");
    let error = held[0].try_read(&mut [0]).expect_err("nothing came");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "the first is still taken");
    // Another address gets in: all of 127/8 are this machine.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.2:0".parse().expect("an address")).expect("bound");
    let stream = socket.connect(world.bound.enroll).await.expect("connected");
    let mut tls = world.client(None);
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = "localhost".try_into().expect("a name");
    tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await.expect("a handshake");
}

/// A connection to `updates`, and what is answered on it to one request after another.
struct Connection(tokio_rustls::client::TlsStream<TcpStream>);

impl Connection {
    async fn new(world: &World, device: &Device) -> Self {
        let mut tls = world.client(Some(device));
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = TcpStream::connect(world.bound.updates).await.expect("connected");
        let name = "localhost".try_into().expect("a name");
        Self(tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await.expect("a handshake"))
    }

    async fn status(&mut self) -> String {
        self.0
            .write_all(b"GET /devices/edge-1/timestamp.json HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await
            .expect("sent");
        let mut answer = Vec::new();
        // The body is one JSON object.
        while !answer.ends_with(b"}") {
            assert_ne!(self.0.read_buf(&mut answer).await.expect("an answer"), 0, "it ended");
        }
        String::from_utf8_lossy(&answer["HTTP/1.1 ".len()..][..3]).into_owned()
    }

    async fn ends(&mut self) {
        let end = tokio::time::timeout(Duration::from_secs(4), self.0.read_u8()).await.expect("it ends");
        assert_eq!(end.expect_err("nothing more comes").kind(), std::io::ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn a_connection_ends_with_the_call_that_is_refused_for_good() {
    let world = World::start([entry(1, "t1", Some("edge-1")), entry(2, "t2", Some("edge-2"))]).await;
    let authority = world.shared.authority.borrow().clone();
    let forged = |uri: &str, days: i64| {
        Device::forged(&authority, uri, Timestamp::now() - jiff::SignedDuration::from_hours(24 * days))
    };
    let device = forged(IDENTITY, 0);
    let mut before = Connection::new(&world, &device).await;
    assert_eq!([before.status().await, before.status().await], ["404", "404"], "who is admitted goes on");

    // What may change by itself ends nothing: a renewal, or a landing that is pushed again.
    let mut expired = Connection::new(&world, &forged(IDENTITY, 100)).await;
    assert_eq!([expired.status().await, expired.status().await], ["401", "401"]);
    let mut unlisted = Connection::new(&world, &forged("bellwether://fleet.example/lab/t9/edge-9", 0)).await;
    assert_eq!([unlisted.status().await, unlisted.status().await], ["403", "403"]);

    world.say(|all| all.set_revoked("edge-1".parse().expect("a name"), true));
    assert_eq!(before.status().await, "403");
    before.ends().await;
    let mut after = Connection::new(&world, &device).await;
    assert_eq!(after.status().await, "403", "it is told why");
    after.ends().await;
    let mut foreign = Connection::new(&world, &forged("bellwether://other.example/lab/t1/edge-1", 0)).await;
    assert_eq!(foreign.status().await, "403");
    foreign.ends().await;
}
