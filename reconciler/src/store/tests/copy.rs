use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;

on_each_database!(
    a_copy_is_a_state_that_was_there,
    what_is_copied_into_must_be_empty,
    there_and_back_again_nothing_is_lost,
);

/// The number that every row of one plan bears.
async fn numbers(store: &Store) -> Vec<u64> {
    let loaded = store.load_all().await.expect("loaded");
    let mut numbers: Vec<u64> = loaded.devices.iter().map(|device| device.metadata_version).collect();
    numbers.extend(loaded.rollouts.iter().map(|row| row.sequence));
    numbers.push(loaded.offered.len() as u64);
    numbers.push(loaded.events.first().map_or(0, |event| event.event.message.parse().expect("a number")));
    numbers.push(loaded.head.expect("a head").landing);
    numbers
}

/// The plan that gives all rows of the first tables and of the last ones this number.
fn numbered(plan: u64) -> PlanChange {
    let version = |text: &str| DeviceRow { metadata_version: plan, ..device(text) };
    PlanChange {
        records: BTreeMap::from([rollout_of("edge", plan)]),
        devices: (0..1_500).map(|number| version(&format!("d-{number}"))).collect(),
        offers: vec![offered("d-0", u32::try_from(plan).expect("small"))],
        events: vec![event(&plan.to_string())],
        ..PlanChange::default()
    }
}

async fn a_copy_is_a_state_that_was_there(place: Place) {
    let store = open(&place).await;
    let mut plan = PlanId::default();
    let stop = Arc::new(AtomicBool::new(false));
    store.accept_head(None, &head(1), &[]).await.expect("accepted");
    plan = store.commit_plan(plan, &numbered(1), at(1)).await.expect("stored");
    let writer = tokio::spawn({
        let (store, stop) = (store.clone(), stop.clone());
        async move {
            let mut number = 1;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                plan = store.commit_plan(plan, &numbered(number), at(1)).await.expect("stored");
            }
            number
        }
    });
    let mut copies = Vec::new();
    for round in 0..5 {
        let dir = tempfile::tempdir().expect("a directory");
        let copy = Store::open(&format!("sqlite://{}/copy.db", dir.path().display())).await.expect("a database");
        store.copy_into(&copy).await.expect("copied");
        let mut numbers = numbers(&copy).await;
        numbers.pop();
        numbers.dedup();
        assert_eq!(numbers.len(), 1, "round {round}: {numbers:?}");
        copies.extend(numbers);
    }
    stop.store(true, Ordering::Relaxed);
    let last = writer.await.expect("it ended");
    assert!(copies.is_sorted() && copies[4] > copies[0] && last > copies[4], "{copies:?} of {last}: writers went on");
}

async fn what_is_copied_into_must_be_empty(place: Place) {
    let (store, target) = (open(&place).await, Store::open(&place.another("target")).await.expect("a database"));
    store.save_devices(&[device("a")]).await.expect("stored");
    target.append_events(&[event("in use")]).await.expect("stored");
    let refused = store.copy_into(&target).await.expect_err("it has content");
    assert!(matches!(refused, StoreError::NotEmpty { table: "events" }) && refused.code() == codes::STORE_IN_USE);
    let left = target.load_all().await.expect("loaded");
    assert_eq!((left.devices.len(), left.events.len()), (0, 1));
}

/// Fills all tables, more than a page of each that grows.
async fn fill(store: &Store, objects: &InMemory) {
    declare_instance(store, objects, "blue").await.expect("declared");
    let landings: Vec<_> = (1..=3).map(landing).collect();
    store.accept_head(None, &head(3), &landings).await.expect("accepted");
    let change = PlanChange {
        records: BTreeMap::from([rollout_of("edge", 5)]),
        devices: (0..2_345).map(|number| device(&format!("d-{number}"))).collect(),
        offers: (0..2_000).map(|revision| offered("d-1", revision)).collect(),
        events: (0..1_001).map(|number| event(&number.to_string())).collect(),
        ..PlanChange::default()
    };
    store.commit_plan(PlanId::default(), &change, at(6)).await.expect("stored");
    store
        .save_devices(&[DeviceRow { reported: None, offer: None, paused: None, ..device("e") }])
        .await
        .expect("stored");
    let identity: Identity = "bellwether://example.org/plant/t1/edge-1".parse().expect("an identity");
    let (hash, fingerprint) = (Sha256Digest::of(b"token"), Sha256Digest::of(b"key"));
    let row = TokenRow { hash, fingerprint, identity, certificate: Some("PEM".to_owned()), at: at(1) };
    store.save_tokens(&[row]).await.expect("recorded");
    store.save_certificates(&[certificate(7, None)]).await.expect("recorded");
}

async fn there_and_back_again_nothing_is_lost(place: Place) {
    let (store, objects) = (open(&place).await, InMemory::new());
    fill(&store, &objects).await;
    let file = Place::sqlite();
    let (backup, restored) = (open(&file).await, Store::open(&place.another("restored")).await.expect("a database"));
    let rows = store.copy_into(&backup).await.expect("copied");
    assert_eq!(backup.copy_into(&restored).await.expect("copied"), rows);
    assert_eq!(rows, 1 + 1 + 3 + 2_346 + 2_000 + 1 + 1 + 1_001 + 1 + 1);

    let (before, after) = (store.load_all().await.expect("loaded"), restored.load_all().await.expect("loaded"));
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
    let domain = "example.org".parse().expect("a domain");
    assert_eq!(store.enrolled(&domain).await.expect("read"), restored.enrolled(&domain).await.expect("read"));
    assert_eq!(restored.certificates(&domain).await.expect("read"), [certificate(7, None)]);
    let known = check_instance(&restored, &objects).await.expect("they belong together");
    assert_eq!(known, Instance::Known("blue".to_owned()));
    // What goes on in it goes on as in the one that was lost: plans and events have the next numbers.
    let next = PlanChange { events: vec![event("next")], ..PlanChange::default() };
    restored.commit_plan(before.plan, &next, at(7)).await.expect("stored");
    let newest = restored.load_all().await.expect("loaded").events.swap_remove(0);
    assert_eq!((newest.id, newest.event.message.as_str()), (1_002, "next"));
}

/// Prints what a copy takes; BELLWETHER_FLEET=100000 for one that says something.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_fleet_is_copied_both_ways() {
    let places = HashMap::from([("SQLite", Some(Place::sqlite())), ("PostgreSQL", Place::postgres())]);
    let fleet: u64 = std::env::var("BELLWETHER_FLEET").ok().and_then(|given| given.parse().ok()).unwrap_or(5_000);
    for (name, place) in places.into_iter().filter_map(|(name, place)| Some((name, place?))) {
        let store = open(&place).await;
        let devices: Vec<_> = (0..fleet).map(|number| device(&format!("d-{number}"))).collect();
        let offers = (0..fleet).map(|number| offered(&format!("d-{number}"), 0)).collect();
        let begin = Instant::now();
        store
            .commit_plan(PlanId::default(), &PlanChange { devices, offers, ..PlanChange::default() }, at(1))
            .await
            .expect("stored");
        let stored = begin.elapsed();
        let (file, begin) = (Place::sqlite(), Instant::now());
        let backup = open(&file).await;
        let rows = store.copy_into(&backup).await.expect("copied");
        let (out, begin) = (begin.elapsed(), Instant::now());
        let restored = Store::open(&place.another("restored")).await.expect("a database");
        assert_eq!(backup.copy_into(&restored).await.expect("copied"), rows);
        let back = begin.elapsed();
        assert_eq!(rows, 2 * fleet + 1);
        println!(
            "{name}: {fleet} devices with an offer each stored in {stored:.1?}, copied to a file in {out:.1?}, back in {back:.1?}"
        );
    }
}
