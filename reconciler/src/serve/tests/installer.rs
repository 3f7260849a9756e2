use super::*;

async fn get(world: &World, path: &str) -> (u16, Vec<u8>) {
    let url = format!("https://localhost:{}{path}", world.bound.enroll.port());
    let answer = http_client(world.client(None)).get(url).send().await.expect("an answer");
    (answer.status().as_u16(), answer.bytes().await.expect("a body").to_vec())
}

#[tokio::test]
async fn the_script_is_served_with_the_address_that_it_was_asked_at() {
    let world = World::start([]).await;
    let (status, body) = get(&world, "/install.sh").await;
    let source = settings(world.dir.path(), None).installer;
    let source = Source { address: format!("https://localhost:{}", world.bound.enroll.port()), ..source };
    assert_eq!((status, body), (200, source.make().expect("a script").text.into_bytes()));
}

#[tokio::test]
async fn the_script_is_made_again_when_the_authority_changes_and_not_before() {
    let world = World::start([]).await;
    let (ca, away) = (world.dir.path().join("ca"), world.dir.path().join("away"));
    let (_, first) = get(&world, "/install.sh").await;
    std::fs::rename(&ca, &away).expect("moved");
    assert_eq!(get(&world, "/install.sh").await, (200, first.clone()), "no file is read for it");
    std::fs::rename(&away, &ca).expect("moved");

    crate::pki::begin_rotation(&ca, Timestamp::now()).expect("begun");
    assert_eq!(get(&world, "/install.sh").await, (200, first.clone()), "the listeners go on with the one before");
    world.reload();
    let (status, second) = get(&world, "/install.sh").await;
    let count = |script: &[u8]| String::from_utf8_lossy(script).matches("BEGIN CERTIFICATE").count();
    assert_eq!((status, count(&second)), (200, count(&first) + 1), "it pins both");
}

#[tokio::test]
async fn what_the_script_cannot_be_made_of_is_told_to_the_operator_alone() {
    let world = World::start([]).await;
    std::fs::remove_file(world.dir.path().join("ca/server.crt")).expect("removed");
    let (status, body) = get(&world, "/install.sh").await;
    let error: ErrorBody = serde_json::from_slice(&body).expect("an error body");
    assert_eq!((status, error.code.as_str()), (500, codes::AUTHORITY_FILES.as_str()));
    assert!(!error.message.contains("ca/"), "nobody is told about files of this machine: {error:?}");
}

#[tokio::test]
async fn a_flood_of_downloads_is_told_to_wait_like_one_of_enrollments() {
    let world = World::start([]).await;
    let url = |path: &str| format!("https://localhost:{}{path}", world.bound.enroll.port());
    let client = http_client(world.client(None));
    let mut answers = std::collections::BTreeMap::<u16, usize>::new();
    // More than come back while it lasts.
    for _ in 0..400 {
        let asks = (0..64).map(|_| client.get(url("/install.sh")).send());
        for answer in futures::future::join_all(asks).await {
            *answers.entry(answer.expect("an answer").status().as_u16()).or_default() += 1;
        }
        if answers.contains_key(&429) {
            break;
        }
    }
    assert!(answers[&200] >= 4_096 && answers[&429] > 0, "{answers:?}");
    // All routes share what an address has, those that are not there too.
    for path in ["/agent/x86_64-unknown-linux-musl/bellwether-agent", "/nowhere", ENROLL_PATH, "/webhook"] {
        let asks = (0..64).map(|_| client.get(url(path)).send());
        let answers = futures::future::join_all(asks).await;
        let last = answers.into_iter().map(|answer| answer.expect("an answer")).find(|answer| answer.status() == 429);
        assert!(last.is_some_and(|answer| answer.headers().contains_key("retry-after")), "{path}");
    }
}

#[tokio::test]
async fn an_agent_is_served_whole_with_its_digest_and_nothing_else_is() {
    let world = World::start([]).await;
    let target = world.dir.path().join("agents/x86_64-unknown-linux-musl");
    std::fs::create_dir_all(&target).expect("made");
    let path = "/agent/x86_64-unknown-linux-musl/bellwether-agent";
    // Larger than what is read at once, and replaced later by one of the same length.
    for byte in [1, 2] {
        let program = vec![byte; 200_001];
        std::fs::write(target.join("new"), &program).expect("written");
        std::fs::rename(target.join("new"), target.join("bellwether-agent")).expect("replaced");
        let modified = std::time::SystemTime::now() - Duration::from_secs(u64::from(byte) * 3_600);
        let file = std::fs::File::options().write(true).open(target.join("bellwether-agent")).expect("open");
        file.set_modified(modified).expect("a time");
        let (status, body) = get(&world, path).await;
        assert!(status == 200 && body == program, "{status}, {} bytes", body.len());
        for _ in 0..2 {
            let (status, line) = get(&world, &format!("{path}.sha256")).await;
            let expected = format!("{}  bellwether-agent\n", Sha256Digest::of(&program));
            assert_eq!((status, String::from_utf8_lossy(&line).as_ref()), (200, expected.as_str()));
        }
    }
    std::fs::write(world.dir.path().join("secret"), "secret").expect("written");
    let absent = codes::AGENT_ABSENT;
    for (path, code) in [
        ("/agent/riscv64gc-unknown-linux-musl/bellwether-agent", absent),
        ("/agent/riscv64gc-unknown-linux-musl/bellwether-agent.sha256", absent),
        ("/agent/..%2f..%2fsecret/bellwether-agent", absent),
        ("/agent/x86_64-unknown-linux-musl/..%2f..%2f..%2fsecret", codes::NOT_FOUND),
        ("/agent/x86_64-unknown-linux-musl/bellwether-agent.old", codes::NOT_FOUND),
        ("/agent/", codes::NOT_FOUND),
    ] {
        let (status, body) = get(&world, path).await;
        let error: ErrorBody = serde_json::from_slice(&body).expect("an error body");
        assert_eq!((status, error.code.as_str()), (404, code.as_str()), "{path}");
        if code == absent {
            assert!(error.message.ends_with("there is x86_64-unknown-linux-musl"), "{error:?}");
        }
    }
}
