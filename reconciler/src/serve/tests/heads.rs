//! Head records between devices and the loop.

use bellwether_schemas::head::{HeadRecord, HeadType, MAX_HEAD};
use bytes::Bytes;

use super::sessions::{Open, connect, name, report};
use super::*;

fn record(landing: u64) -> HeadRecord {
    HeadRecord {
        kind: HeadType::Head,
        introduction: "11".repeat(20).parse().expect("an id"),
        commit: format!("{landing:040x}").parse().expect("an id"),
        landing,
        policy_version: 1,
        spoken: None,
        max_silence: None,
    }
}

async fn signed(publisher: &Publisher, landing: u64) -> Bytes {
    publisher.store_head(&record(landing)).await.expect("stored");
    publisher.head().expect("a record").bytes
}

#[tokio::test]
async fn only_records_of_ours_that_the_store_does_not_hold_reach_the_loop() {
    let mut world = World::start([entry(1, "t1", Some("edge-1"))]).await;
    let (seen_sender, mut seen) = mpsc::unbounded_channel();
    world.answer_reports(move |incoming| {
        seen_sender.send(incoming.head.clone()).expect("the test listens");
        Vec::new()
    });
    let foreign = signed(&Installation::new().await.publisher, 9).await;
    let (older, held) = (signed(&world.shared.publisher, 5).await, signed(&world.shared.publisher, 6).await);
    let altered =
        Bytes::from(String::from_utf8(older.to_vec()).expect("text").replace("\"landing\":5", "\"landing\":7"));
    let padded = Bytes::from([vec![b' '; MAX_HEAD], older.to_vec()].concat());
    let table = [
        ("ours", older, Some(record(5))),
        ("what the store holds", held, None),
        ("signed by others", foreign, None),
        ("altered", altered, None),
        ("too large", padded, None),
        ("no record", Bytes::from_static(b"{}"), None),
        ("nothing", Bytes::new(), None),
    ];
    let device = world.device(&token(1)).await;
    let mut client = connect(&world, &device).await;
    for (what, head, expected) in table {
        let mut message = report();
        message.presented.as_mut().expect("presented").head = head;
        client.poll(message).await.expect("an answer: what a device holds is no reason to refuse it");
        assert_eq!(seen.recv().await, Some(expected), "{what}");
    }
}

#[tokio::test]
async fn every_session_is_told_of_a_new_head_once() {
    let mut world = World::start([entry(1, "t1", Some("edge-1")), entry(2, "t2", Some("edge-2"))]).await;
    world.answer_reports(|_| Vec::new());
    let mut sessions = Vec::new();
    for number in [1, 2] {
        let device = world.device(&token(number)).await;
        let mut client = connect(&world, &device).await;
        let session = Open::new(&mut client).await.expect("a session");
        session.report().await;
        sessions.push(session);
    }
    let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
    for record in [&first, &first, &second] {
        world.shared.sessions.announce_head(record.clone());
    }
    for session in &mut sessions {
        for record in [&first, &second] {
            let told = session.next().await.expect("open");
            assert_eq!(told, Some(Directive::Head { record: record.to_vec() }));
        }
    }
    assert!(world.shared.sessions.send(&name("edge-1"), Directive::Renew));
    assert_eq!(sessions[0].next().await.expect("open"), Some(Directive::Renew), "nothing else came");
}
