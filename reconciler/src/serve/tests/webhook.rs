//! The webhook as hosting services call it. The signatures are from their documentation, or made by another program.

use std::os::unix::fs::PermissionsExt as _;

use axum::body::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::serve::webhook::{AT_ONCE, Patience, Webhook, router};

/// The example of GitHub's documentation ("Validating webhook deliveries").
const SECRET: &str = "It's a Secret to Everybody";
const BODY: &str = "Hello, World!";
const HUB: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
/// A signing token and a call, as in the documentation of Standard Webhooks.
const TOKEN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOKEN_BODY: &str = "{\"test\": 2432232314}";
const ID: (&str, &str) = ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek");
const TIME: (&str, &str) = ("webhook-timestamp", "1614265330");
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

struct Hook {
    world: World,
    secret: PathBuf,
}

impl Hook {
    async fn with(secret: &str) -> Self {
        let world = World::start_with([], |dir| Some(dir.join("webhook.secret"))).await;
        let hook = Self { secret: world.dir.path().join("webhook.secret"), world };
        hook.write(secret, 0o600);
        hook
    }

    fn write(&self, secret: &str, mode: u32) {
        std::fs::write(&self.secret, secret).expect("written");
        std::fs::set_permissions(&self.secret, std::fs::Permissions::from_mode(mode)).expect("chmod");
    }

    async fn call(&self, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> (u16, String, String) {
        call(&self.world, headers, body).await
    }

    /// Whether a fetch was asked for since this was asked last.
    fn asked(&mut self) -> bool {
        self.world.fetch_asked.try_recv().is_ok()
    }
}

/// Calls, and returns status, code and message.
async fn call(world: &World, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> (u16, String, String) {
    let url = format!("https://localhost:{}/webhook", world.bound.enroll.port());
    let mut request = http_client(world.client(None)).post(url).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let bytes = answer.bytes().await.expect("a body");
    match status {
        202 => (status, String::new(), String::new()),
        _ => {
            let problem: ErrorBody = serde_json::from_slice(&bytes).expect("an error body");
            (status, problem.code, problem.message)
        }
    }
}

#[tokio::test]
async fn a_call_that_github_signed_means_fetch_now_and_nothing_else_does() {
    let mut hook = Hook::with(SECRET).await;
    assert_eq!(hook.call(&[("X-Hub-Signature-256", HUB)], BODY).await.0, 202);
    assert!(hook.asked());
    let wrong = HUB.replace('7', "8");
    for (headers, body) in [
        (vec![("X-Hub-Signature-256", HUB)], "Hello, World?"),
        (vec![("X-Hub-Signature-256", HUB)], ""),
        (vec![("X-Hub-Signature-256", wrong.as_str())], BODY),
        (vec![("X-Hub-Signature-256", &HUB[..HUB.len() - 2])], BODY),
        (vec![("X-Hub-Signature-256", "sha256=")], BODY),
        (vec![("X-Hub-Signature-256", &HUB[7..])], BODY),
        (vec![("X-Hub-Signature-256", HUB), ("X-Hub-Signature-256", HUB)], BODY),
        (vec![("X-Hub-Signature", HUB)], BODY),
        (vec![], BODY),
    ] {
        let (status, code, message) = hook.call(&headers, body).await;
        assert_eq!((status, code.as_str()), (401, codes::WEBHOOK_SIGNATURE.as_str()), "{headers:?} {message}");
        assert!(!hook.asked(), "{headers:?}");
    }
}

#[tokio::test]
async fn a_call_that_gitlab_signed_with_a_signing_token_counts() {
    let mut hook = Hook::with(TOKEN).await;
    let other = format!("v1,{} v1a,x {SIGNATURE}", "A".repeat(43) + "=");
    for signature in [SIGNATURE, other.as_str()] {
        assert_eq!(hook.call(&[ID, TIME, ("webhook-signature", signature)], TOKEN_BODY).await.0, 202, "{signature}");
        assert!(hook.asked());
    }
    let later = ("webhook-timestamp", "1614265331");
    let many = format!("{}{SIGNATURE}", "v1,AAAA ".repeat(8));
    for headers in [
        [ID, later, ("webhook-signature", SIGNATURE)],
        [("webhook-id", "msg_other"), TIME, ("webhook-signature", SIGNATURE)],
        [ID, TIME, ("webhook-signature", &SIGNATURE[3..])],
        [ID, TIME, ("webhook-signature", "v1,")],
        [ID, TIME, ("webhook-signature", many.as_str())],
        [ID, ID, ("webhook-signature", SIGNATURE)],
    ] {
        let (status, code, _) = hook.call(&headers, TOKEN_BODY).await;
        assert_eq!((status, code.as_str()), (401, codes::WEBHOOK_SIGNATURE.as_str()), "{headers:?}");
    }
    let (status, _, message) = hook.call(&[("X-Gitlab-Token", TOKEN)], TOKEN_BODY).await;
    assert_eq!(status, 401);
    assert!(message.contains("signing token") && message.contains("poll"), "{message}");
    assert!(!hook.asked());
}

#[tokio::test]
async fn the_secret_is_read_again_at_each_call_and_must_be_its_owners_alone() {
    let mut hook = Hook::with(SECRET).await;
    let signed = [("X-Hub-Signature-256", HUB)];
    assert_eq!(hook.call(&signed, BODY).await.0, 202);
    hook.write("another secret, and long enough", 0o600);
    assert_eq!(hook.call(&signed, BODY).await.0, 401);
    assert!(hook.asked());
    for (secret, mode) in [(SECRET, 0o640), ("", 0o600), ("too short", 0o600), ("two\nlines of a secret", 0o600)] {
        hook.write(secret, mode);
        let (status, code, message) = hook.call(&signed, BODY).await;
        assert_eq!((status, code.as_str()), (503, codes::WEBHOOK_SECRET.as_str()), "{secret:?}");
        assert!(!message.contains("webhook.secret"), "the path is nobody's business: {message}");
    }
    std::fs::remove_file(&hook.secret).expect("removed");
    assert_eq!(hook.call(&signed, BODY).await.0, 503);
    hook.write(SECRET, 0o600);
    let (status, ..) = hook.call(&[ID, TIME, ("webhook-signature", SIGNATURE)], TOKEN_BODY).await;
    assert_eq!(status, 503, "a plain secret is no signing token");
    assert!(!hook.asked());
}

#[tokio::test]
async fn a_body_is_capped_also_when_nobody_says_how_long_it_is() {
    let mut hook = Hook::with(SECRET).await;
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let endless = futures::stream::iter((0..26).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    let (status, code, _) = hook.call(&[("X-Hub-Signature-256", HUB)], reqwest::Body::wrap_stream(endless)).await;
    assert_eq!((status, code.as_str()), (413, codes::WEBHOOK_REQUEST.as_str()));
    let pieces = BODY.as_bytes().chunks(3).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)));
    let chunked = reqwest::Body::wrap_stream(futures::stream::iter(pieces.collect::<Vec<_>>()));
    assert!(!hook.asked());
    assert_eq!(hook.call(&[("X-Hub-Signature-256", HUB)], chunked).await.0, 202);
    assert!(hook.asked());
}

#[tokio::test]
async fn a_burst_of_calls_leaves_one_fetch_waiting() {
    let mut hook = Hook::with(SECRET).await;
    let signed = [("X-Hub-Signature-256", HUB)];
    // Nobody takes them here, as while a fetch is running.
    let url = format!("https://localhost:{}/webhook", hook.world.bound.enroll.port());
    let client = http_client(hook.world.client(None));
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let calls = (0..10).map(|_| client.post(&url).header(signed[0].0, signed[0].1).body(BODY).send());
        let answers = futures::future::join_all(calls).await;
        statuses.extend(answers.into_iter().map(|answer| answer.expect("an answer").status().as_u16()));
    }
    assert!(statuses.contains(&202) && statuses.contains(&429), "{statuses:?}");
    assert!(hook.asked() && !hook.asked(), "one and no more");
}

#[tokio::test]
async fn calls_that_stop_in_the_middle_give_their_places_back_soon() {
    let mut hook = Hook::with(SECRET).await;
    let signed = [("X-Hub-Signature-256", HUB)];
    let begin = std::time::Instant::now();
    let stopping = (0..AT_ONCE).map(|_| {
        let begun = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"Hello"))]);
        let body = reqwest::Body::wrap_stream(futures::StreamExt::chain(begun, futures::stream::pending()));
        hook.call(&signed, body)
    });
    for (status, code, message) in futures::future::join_all(stopping).await {
        assert_eq!((status, code.as_str()), (400, codes::WEBHOOK_REQUEST.as_str()), "{message}");
    }
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    assert_eq!(hook.call(&signed, BODY).await.0, 202);
    assert!(hook.asked());
}

/// Sends a call's head, and then a byte of its body again and again until the other side has enough: what that said.
async fn drip(address: SocketAddr, header: &str) -> String {
    let (mut from, mut to) = TcpStream::connect(address).await.expect("connected").into_split();
    let head = format!("POST /webhook HTTP/1.1\r\nhost: x\r\n{header}content-length: 1000000\r\n\r\n");
    to.write_all(head.as_bytes()).await.expect("sent");
    let dripping = tokio::spawn(async move {
        while to.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), from.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(read.is_ok(), "the connection is still there after {answer:?}");
    tokio::time::timeout(Duration::from_secs(20), dripping).await.expect("nobody takes more").expect("no panic");
    answer
}

#[tokio::test]
async fn who_drips_a_call_keeps_neither_its_place_nor_its_connection() {
    let dir = tempfile::tempdir().expect("a folder");
    let secret = dir.path().join("webhook.secret");
    std::fs::write(&secret, SECRET).expect("written");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("chmod");
    let (fetch_now, mut fetch_asked) = mpsc::channel(1);
    let hook = Webhook::new(Some(secret), fetch_now, Arc::default());
    // It never pauses, and so is only ever late.
    let hook = hook.with_patience(Patience { whole: Duration::from_millis(500), pause: Duration::from_secs(60) });
    let listener = Listener::bind("enroll", "127.0.0.1:0".parse().expect("an address")).await.expect("bound");
    let (address, shutdown) = (listener.address(), CancellationToken::new());
    let service = Service { router: router(Arc::new(hook)), tls: None, devices_of: None, limits: ENROLL };
    let serving = tokio::spawn(listener.serve(service, shutdown.clone()));

    let signed = format!("x-hub-signature-256: {HUB}\r\n");
    for answer in futures::future::join_all((0..AT_ONCE).map(|_| drip(address, &signed))).await {
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("the call took longer than 500ms"), "{answer}");
    }
    let answer = drip(address, "").await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "nothing of it is waited for: {answer}");
    let call =
        reqwest::Client::builder().no_proxy().build().expect("a client").post(format!("http://{address}/webhook"));
    let answer = call.header("X-Hub-Signature-256", HUB).body(BODY).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 202);
    assert!(fetch_asked.try_recv().is_ok());
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), serving).await.expect("no task is left").expect("no panic");
}

#[tokio::test]
async fn without_a_secret_there_is_no_webhook_and_only_post_is_a_call() {
    let world = World::start([]).await;
    let (status, code, message) = call(&world, &[("X-Hub-Signature-256", HUB)], BODY).await;
    assert_eq!((status, code.as_str()), (404, codes::WEBHOOK_OFF.as_str()));
    assert!(message.contains("webhookSecretFile"), "{message}");
    let url = format!("https://localhost:{}/webhook", world.bound.enroll.port());
    let got = http_client(world.client(None)).get(url).send().await.expect("an answer");
    assert_eq!((got.status().as_u16(), got.headers()["allow"].to_str().expect("text")), (405, "POST"));
    let page = format!("http://{}/metrics", world.bound.page);
    let metrics = reqwest::Client::builder().no_proxy().build().expect("a client").get(page).send().await;
    let metrics = metrics.expect("an answer").text().await.expect("text");
    assert!(metrics.contains("bellwether_webhook_calls_total{result=\"accepted\"} 0\n"), "{metrics}");
    assert!(metrics.contains("bellwether_webhook_calls_total{result=\"refused\"} 1\n"), "{metrics}");
}
