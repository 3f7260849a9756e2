use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

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
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut answer = [0; 15];
    idle.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    world.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(4), world.bound.tasks.wait()).await.expect("ended");
    assert!(TcpStream::connect(world.bound.page).await.is_err());
}
