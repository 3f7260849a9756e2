//! The page as browsers and tools meet it.

use bellwether_schemas::api::EventView;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::store::EventRow;

/// What is answered to a request with these lines instead of a name.
async fn ask(world: &World, lines: &str) -> String {
    let mut stream = TcpStream::connect(world.bound.page).await.expect("connected");
    stream.write_all(format!("{lines}connection: close\r\n\r\n").as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn the_page_answers_to_its_own_names_alone() {
    let world = World::start([]).await;
    let port = world.bound.page.port();
    for host in [
        "127.0.0.1",
        "[::1]",
        "192.0.2.7:8443",
        "localhost",
        "LOCALHOST:80",
        "localhost.",
        "fleet.example",
        &format!("127.0.0.1:{port}"),
        "Fleet.Example:443",
    ] {
        let answer = ask(&world, &format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
    }
    for lines in [
        "GET /api/v1/devices HTTP/1.1\r\nhost: evil.example\r\n",
        "GET / HTTP/1.1\r\nhost: evil.example:8443\r\n",
        "GET / HTTP/1.1\r\nhost: localhost.evil.example\r\n",
        "GET / HTTP/1.1\r\nhost: evil.fleet.example\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\n",
        "GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n",
        "GET / HTTP/1.1\r\nhost: \r\n",
        "GET / HTTP/1.1\r\n",
    ] {
        let answer = ask(&world, lines).await;
        assert!(answer.starts_with("HTTP/1.1 421 ") && answer.contains(codes::PAGE_NAME.as_str()), "{lines}: {answer}");
    }
}

#[tokio::test]
async fn the_event_log_is_read_newest_first_and_by_device() {
    let world = World::start([]).await;
    let event = |n: usize| EventRow {
        at: Timestamp::UNIX_EPOCH,
        kind: "restored".to_owned(),
        device: n.is_multiple_of(100).then(|| "edge-1".parse().expect("a name")),
        fleet: None,
        code: Some(codes::RECORDS_BEHIND.to_string()),
        message: n.to_string(),
    };
    world.shared.store.append_events(&(0..1_500).map(event).collect::<Vec<_>>()).await.expect("stored");
    let client = http_client(world.client(None));
    let get = async |query: &str| {
        let url = format!("http://{}/api/v1/events{query}", world.bound.page);
        let answer = client.get(url).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    };
    let messages = async |query: &str| {
        let (status, body) = get(query).await;
        assert_eq!(status, 200, "{body}");
        let events: Vec<EventView> = serde_json::from_str(&body).expect("events");
        events.into_iter().map(|event| event.message).collect::<Vec<_>>()
    };
    let newest = messages("").await;
    assert_eq!((newest.len(), newest[0].as_str(), newest[99].as_str()), (100, "1499", "1400"));
    assert_eq!(messages("?limit=2").await, ["1499", "1498"]);
    assert_eq!(messages("?limit=1000").await.len(), 1_000);
    assert_eq!(messages("?device=edge-1&limit=3").await, ["1400", "1300", "1200"]);
    assert_eq!(messages("?device=edge-2").await, [""; 0]);
    for query in ["?limit=0", "?limit=1001", "?limit=x", "?device=No%20name", "?devices=edge-1", "?limit=1&limit=2"] {
        let (status, body) = get(query).await;
        assert!(status == 400 && body.contains(codes::API_PARAMETER.as_str()), "{query}: {body}");
    }
    let (status, _) = get("/edge-1").await;
    assert_eq!(status, 404);
}
