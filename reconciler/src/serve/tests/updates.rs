use super::*;

fn code(body: &[u8]) -> String {
    serde_json::from_slice::<ErrorBody>(body).expect("an error body").code
}

/// Publishes metadata in which `device` has the one target `content`, and returns the target's file name.
async fn publish(world: &World, device: &str, version: u64, content: &str) -> String {
    let sha256 = Sha256Digest::of(content.as_bytes());
    let file = format!("{sha256}.spec.json");
    world.put(&format!("targets/{file}"), content).await;
    let targets = serde_json::json!({"signed": {"targets": {"spec.json": {"hashes": {"sha256": sha256}}}}});
    let snapshot = serde_json::json!({"signed": {"meta": {"targets.json": {"version": version}}}});
    let timestamp = serde_json::json!({"signed": {"meta": {"snapshot.json": {"version": version}}}});
    world.put(&format!("devices/{device}/{version}.targets.json"), targets.to_string()).await;
    world.put(&format!("devices/{device}/{version}.snapshot.json"), snapshot.to_string()).await;
    world.put(&format!("devices/{device}/timestamp.json"), timestamp.to_string()).await;
    file
}

#[tokio::test]
async fn a_device_gets_its_own_metadata_and_targets_and_no_others() {
    let world = World::start([entry(1, "t1", Some("edge-1")), entry(2, "t2", Some("edge-2"))]).await;
    let (one, two) = (world.device(&token(1)).await, world.device(&token(2)).await);
    let first = publish(&world, "edge-1", 7, "one").await;
    let second = publish(&world, "edge-2", 9, "two").await;
    world.put("root/1.root.json", "{}").await;

    for path in ["timestamp.json", "7.snapshot.json", "7.targets.json", "1.root.json"] {
        assert_eq!(world.get(&one, &format!("/devices/edge-1/{path}")).await.expect("an answer").0, 200, "{path}");
        let (status, body) = world.get(&two, &format!("/devices/edge-1/{path}")).await.expect("an answer");
        assert_eq!((status, code(&body).as_str()), (403, codes::NOT_YOURS.as_str()), "{path}");
    }
    assert_eq!(world.get(&one, &format!("/targets/{first}")).await.expect("an answer"), (200, b"one".to_vec()));
    let (status, body) = world.get(&one, &format!("/targets/{second}")).await.expect("an answer");
    assert_eq!((status, code(&body).as_str()), (403, codes::NOT_YOURS.as_str()));

    for path in
        ["/devices/edge-1/2.root.json", "/devices/edge-1/head.json", "/devices/edge-1/..%2Fedge-2", "/head.json"]
    {
        let (status, body) = world.get(&one, path).await.expect("an answer");
        assert_eq!((status, code(&body).as_str()), (404, codes::NOT_FOUND.as_str()), "{path}");
    }
}

#[tokio::test]
async fn a_target_counts_while_the_current_metadata_lists_it() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let device = world.device(&token(1)).await;
    assert_eq!(world.get(&device, "/targets/nothing-published").await.expect("an answer").0, 403);
    let old = publish(&world, "edge-1", 1, "old").await;
    assert_eq!(world.get(&device, &format!("/targets/{old}")).await.expect("an answer").0, 200);
    let new = publish(&world, "edge-1", 2, "new").await;
    assert_eq!(world.get(&device, &format!("/targets/{new}")).await.expect("an answer").0, 200);
    assert_eq!(world.get(&device, &format!("/targets/{old}")).await.expect("an answer").0, 403);
}

#[tokio::test]
async fn large_targets_arrive_whole() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let device = world.device(&token(1)).await;
    let content = "0123456789abcdef".repeat(200_000);
    let file = publish(&world, "edge-1", 1, &content).await;
    let (status, body) = world.get(&device, &format!("/targets/{file}")).await.expect("an answer");
    assert_eq!(
        (status, body.len(), Sha256Digest::of(&body)),
        (200, content.len(), Sha256Digest::of(content.as_bytes()))
    );
}

#[tokio::test]
async fn nobody_writes_here() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let device = world.device(&token(1)).await;
    publish(&world, "edge-1", 1, "one").await;
    let url = format!("https://localhost:{}/devices/edge-1/timestamp.json", world.bound.updates.port());
    for method in [http::Method::PUT, http::Method::POST, http::Method::DELETE, http::Method::HEAD] {
        let client = http_client(world.client(Some(&device)));
        let answer = client.request(method.clone(), &url).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 405, "{method}");
    }
}

#[tokio::test]
async fn revocation_counts_from_the_next_request_on() {
    let world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let device = world.device(&token(1)).await;
    publish(&world, "edge-1", 1, "one").await;
    let client = http_client(world.client(Some(&device)));
    let url = format!("https://localhost:{}/devices/edge-1/timestamp.json", world.bound.updates.port());
    assert_eq!(client.get(&url).send().await.expect("an answer").status().as_u16(), 200);
    world.say(|all| all.insert(Entry { revoked: true, ..entry(1, "t1", Some("edge-1")) }));
    let answer = client.get(&url).send().await.expect("an answer on the same connection");
    assert_eq!(answer.status().as_u16(), 403);
    assert_eq!(code(&answer.bytes().await.expect("a body")), codes::CERTIFICATE_REVOKED.as_str());
}

#[tokio::test]
async fn an_entry_that_no_landing_lists_gets_nothing() {
    let world = World::start([]).await;
    let device = Device::forged(
        &world.shared.authority.borrow(),
        "bellwether://fleet.example/lab/gone/edge-1",
        Timestamp::now(),
    );
    publish(&world, "edge-1", 1, "one").await;
    let (status, body) = world.get(&device, "/devices/edge-1/timestamp.json").await.expect("an answer");
    assert_eq!((status, code(&body).as_str()), (403, codes::ENTRY_UNLISTED.as_str()));
}
