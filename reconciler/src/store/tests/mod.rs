use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use bellwether_core::admission::Identity;
use bellwether_core::certificates::Issued;
use bellwether_schemas::allow::Allowed;
use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::report::{Report, Reported};
use bellwether_schemas::targets::SignedOffer;
use bellwether_schemas::{CommitId, DeviceName, FleetName, Seconds, Sha256Digest, Version, codes};
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;

use super::database::query;
use super::*;
use crate::testing::{Place, idle, on_each_database};

mod copy;
mod lock;
mod migrations;
mod server;

on_each_database!(
    everything_comes_back_after_a_restart,
    of_two_plans_on_one_parent_one_is_stored_and_the_other_leaves_nothing,
    many_writers_at_once_lose_nothing,
    a_version_that_is_given_twice_stores_nothing_of_its_plan,
    offers_that_are_forgotten_are_gone_and_no_others,
    a_head_is_accepted_only_on_top_of_the_one_it_was_verified_on,
    many_rows_and_only_the_newest_events_are_kept,
    rows_come_in_the_order_of_their_bytes,
    text_that_one_database_could_not_hold_does_not_keep_a_plan_from_being_stored,
    what_this_release_does_not_write_is_an_error_with_its_place,
    a_token_stays_with_the_key_that_used_it_first,
    of_two_certificates_the_newer_one_is_remembered,
    database_and_object_store_name_each_other,
    a_store_with_content_but_no_name_is_not_taken_for_new,
);

async fn open(place: &Place) -> Store {
    Store::open(&place.url()).await.expect("a database")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_790_000_000 + seconds, 123_456_789).expect("a time")
}

fn commit(last: u8) -> CommitId {
    format!("{last:040x}").parse().expect("an id")
}

fn name(text: &str) -> DeviceName {
    text.parse().expect("a name")
}

fn device(text: &str) -> DeviceRow {
    let version = Version { landing: 7, commit: commit(7), revision: 1 };
    let signed = SignedOffer {
        fleet: "edge".parse().expect("a name"),
        version,
        template: commit(6),
        digest: Sha256Digest::of(b"spec"),
        supersedes: None,
        not_before: None,
        not_after: None,
        soak: Seconds::ZERO,
    };
    let report = Report { clock: at(0), ..idle() };
    DeviceRow {
        name: name(text),
        enrollment: "plant".parse().expect("a name"),
        entry: "t1".parse().expect("a name"),
        enrolled_at: at(1),
        reported: Some(Reported::Readable(report)),
        last_seen: Some(at(2)),
        last_progress: None,
        offer: Some(OfferRow { signed, offered_at: at(3), acknowledged_at: Some(at(4)) }),
        paused: Some(WaitingOn::AwaitingReconnect),
        awaiting_reconnect: true,
        metadata_version: 1_790_000_000,
        allows: Some(Arc::new(Allowed { exec: vec![format!("/bin/{text}")], ..Allowed::default() })),
    }
}

fn offered(text: &str, revision: u32) -> OfferedRow {
    let fleet = "edge".parse().expect("a name");
    let version = Version { landing: 7, commit: commit(7), revision };
    let digest = Sha256Digest::of(b"spec");
    OfferedRow { device: name(text), version, fleet, template: commit(6), digest, offered_at: at(3) }
}

fn rollout_of(fleet: &str, sequence: u64) -> (FleetName, RolloutRow) {
    let fleet: FleetName = fleet.parse().expect("a name");
    (fleet.clone(), RolloutRow { fleet, ..rollout(sequence) })
}

fn rollout(sequence: u64) -> RolloutRow {
    RolloutRow { fleet: "edge".parse().expect("a name"), sequence, record: serde_json::json!({"stable": null}) }
}

fn event(message: &str) -> EventRow {
    let kind = "offered".to_owned();
    EventRow { at: at(5), kind, device: Some(name("a")), fleet: None, code: None, message: message.to_owned() }
}

fn landing(number: u64) -> LandingRow {
    let last = u8::try_from(number).expect("small");
    let summary = format!("landing {number}");
    LandingRow {
        commit: commit(last),
        number,
        signers: vec!["alice".parse().expect("a name")],
        policy_version: 1,
        summary,
        committed: at(0),
    }
}

fn head(number: u64) -> HeadRow {
    HeadRow {
        introduction: commit(1),
        commit: landing(number).commit,
        landing: number,
        policy_version: 1,
        spoken: Some(at(0)),
    }
}

async fn everything_comes_back_after_a_restart(place: Place) {
    let store = open(&place).await;
    store.accept_head(None, &head(2), &[landing(1), landing(2)]).await.expect("accepted");
    let change = PlanChange {
        records: BTreeMap::from([("edge".parse().expect("a name"), rollout(1_790_000_000))]),
        devices: vec![device("b"), device("a")],
        offers: vec![offered("a", 0), offered("a", 1)],
        events: vec![event("first"), event("second")],
        ..PlanChange::default()
    };
    let plan = store.commit_plan(PlanId::default(), &change, at(6)).await.expect("stored");
    store.close().await;

    let loaded = open(&place).await.load_all().await.expect("loaded");
    assert_eq!(loaded.head, Some(head(2)));
    assert_eq!(loaded.landings, [landing(1), landing(2)]);
    assert_eq!(loaded.devices, [device("a"), device("b")]);
    assert_eq!(loaded.offered, change.offers);
    assert_eq!(loaded.rollouts, [rollout(1_790_000_000)]);
    assert_eq!(loaded.plan, plan);
    let messages: Vec<_> = loaded.events.iter().map(|stored| stored.event.message.as_str()).collect();
    assert_eq!(messages, ["second", "first"]);
}

async fn of_two_plans_on_one_parent_one_is_stored_and_the_other_leaves_nothing(place: Place) {
    let store = open(&place).await;
    let plan = |message: &str| PlanChange {
        devices: vec![device(message)],
        events: vec![event(message)],
        ..PlanChange::default()
    };
    let (a, b) = (plan("a"), plan("b"));
    let both =
        tokio::join!(store.commit_plan(PlanId::default(), &a, at(1)), store.commit_plan(PlanId::default(), &b, at(1)));
    let (stored, lost) = match both {
        (Ok(stored), Err(lost)) | (Err(lost), Ok(stored)) => (stored, lost),
        other => panic!("exactly one must be stored: {other:?}"),
    };
    assert!(matches!(lost, PlanError::Conflict { newest, .. } if newest == stored), "{lost}");
    let loaded = store.load_all().await.expect("loaded");
    assert_eq!((loaded.devices.len(), loaded.events.len(), loaded.plan), (1, 1, stored));
    store.commit_plan(stored, &PlanChange::default(), at(2)).await.expect("on top of the newest");
}

async fn a_version_that_is_given_twice_stores_nothing_of_its_plan(place: Place) {
    let store = open(&place).await;
    let change = |offers| PlanChange { offers, devices: vec![device("a")], ..PlanChange::default() };
    let first = store.commit_plan(PlanId::default(), &change(vec![offered("b", 0)]), at(1)).await.expect("stored");
    store.commit_plan(first, &change(vec![offered("a", 0), offered("b", 0)]), at(2)).await.expect_err("given before");
    let loaded = store.load_all().await.expect("loaded");
    assert_eq!((loaded.offered, loaded.plan), (vec![offered("b", 0)], first));
}

async fn many_writers_at_once_lose_nothing(place: Place) {
    let stores = [open(&place).await, open(&place).await];
    let writers = (0..40_usize).map(|writer| {
        let store = stores[writer % 2].clone();
        async move {
            loop {
                let parent = store.newest_plan().await.expect("read");
                let change = PlanChange { events: vec![event(&writer.to_string())], ..PlanChange::default() };
                match store.commit_plan(parent, &change, at(1)).await {
                    Ok(plan) => return plan,
                    Err(PlanError::Conflict { .. }) => {}
                    Err(error) => panic!("a writer is never turned away: {error:?}"),
                }
            }
        }
    });
    let mut plans: Vec<PlanId> = futures::future::join_all(writers.map(tokio::spawn).collect::<Vec<_>>())
        .await
        .into_iter()
        .map(|plan| plan.expect("it ended"))
        .collect();
    plans.sort();
    plans.dedup();
    assert_eq!(plans.len(), 40, "no two plans have one number");
    let loaded = stores[0].load_all().await.expect("loaded");
    assert_eq!((loaded.events.len(), loaded.plan), (40, plans[39]));
    let ids: Vec<i64> = loaded.events.iter().map(|event| event.id).collect();
    assert_eq!(ids, (1..=40).rev().collect::<Vec<_>>());
}

async fn offers_that_are_forgotten_are_gone_and_no_others(place: Place) {
    let store = open(&place).await;
    let all: Vec<_> = (0..2_500).map(|revision| offered("a", revision)).collect();
    let change = PlanChange { offers: all.clone(), ..PlanChange::default() };
    let plan = store.commit_plan(PlanId::default(), &change, at(1)).await.expect("stored");
    let change = PlanChange { forgotten: all[1..].to_vec(), ..PlanChange::default() };
    store.commit_plan(plan, &change, at(2)).await.expect("stored");
    assert_eq!(store.load_all().await.expect("loaded").offered, all[..1]);
}

async fn a_head_is_accepted_only_on_top_of_the_one_it_was_verified_on(place: Place) {
    let store = open(&place).await;
    store.accept_head(None, &head(1), &[landing(1)]).await.expect("accepted");
    let behind = store.accept_head(None, &head(2), &[landing(2)]).await.expect_err("not on top");
    assert!(matches!(behind, AcceptError::Conflict { found: Some(found) } if found == commit(1)), "{behind}");
    store.accept_head(Some(&commit(1)), &head(3), &[landing(2), landing(3)]).await.expect("accepted");
    // A signed reset: the branch has other landings from number 2 on.
    let other = LandingRow { commit: commit(0x22), ..landing(2) };
    let reset = HeadRow { commit: commit(0x22), policy_version: 2, spoken: None, ..head(2) };
    store.accept_head(Some(&commit(3)), &reset, std::slice::from_ref(&other)).await.expect("accepted");
    let loaded = store.load_all().await.expect("loaded");
    assert_eq!((loaded.head, loaded.landings), (Some(reset), vec![landing(1), other]));
}

async fn many_rows_and_only_the_newest_events_are_kept(place: Place) {
    let store = open(&place).await;
    let devices: Vec<_> = (0..2_500).map(|number| device(&format!("d-{number}"))).collect();
    store.save_devices(&devices).await.expect("stored");
    store.save_devices(&devices[..10]).await.expect("stored again");
    let events: Vec<_> = (0..10_500).map(|number| event(&number.to_string())).collect();
    store.append_events(&events).await.expect("appended");
    let loaded = store.load_all().await.expect("loaded");
    assert_eq!((loaded.devices.len(), loaded.events.len()), (2_500, 1_000));
    assert_eq!(loaded.events[0].event.message, "10499");
    let kept = query("SELECT COUNT(*) AS kept FROM events").fetch_one(store.database()).await.expect("counted");
    assert_eq!(kept.number("kept").expect("a number"), 10_000);
}

async fn rows_come_in_the_order_of_their_bytes(place: Place) {
    let store = open(&place).await;
    let names = ["a-2", "a-b", "a-c", "a0", "aa", "ab", "b"];
    let shuffled = ["ab", "a-c", "b", "a0", "a-b", "aa", "a-2"];
    let change = PlanChange {
        records: shuffled.iter().map(|fleet| rollout_of(fleet, 1)).collect(),
        devices: shuffled.iter().map(|name| device(name)).collect(),
        offers: shuffled.iter().map(|name| offered(name, 0)).collect(),
        ..PlanChange::default()
    };
    store.commit_plan(PlanId::default(), &change, at(1)).await.expect("stored");
    let loaded = store.load_all().await.expect("loaded");
    assert_eq!(loaded.devices.iter().map(|device| device.name.as_str()).collect::<Vec<_>>(), names);
    assert_eq!(loaded.offered.iter().map(|offer| offer.device.as_str()).collect::<Vec<_>>(), names);
    assert_eq!(loaded.rollouts.iter().map(|row| row.fleet.as_str()).collect::<Vec<_>>(), names);
}

async fn text_that_one_database_could_not_hold_does_not_keep_a_plan_from_being_stored(place: Place) {
    let store = open(&place).await;
    let report =
        Report { agent: "nul \0, not a character \u{ffff}, a smile \u{1f600}".to_owned(), clock: at(0), ..idle() };
    let talkative = DeviceRow { reported: Some(Reported::Readable(report)), ..device("a") };
    let change = PlanChange {
        devices: vec![talkative.clone()],
        events: vec![event("failed:\0\u{1f600}")],
        ..PlanChange::default()
    };
    store.commit_plan(PlanId::default(), &change, at(1)).await.expect("stored");
    let summary = LandingRow { summary: "one\0two".to_owned(), ..landing(1) };
    store.accept_head(None, &head(1), &[summary]).await.expect("accepted");
    let loaded = store.load_all().await.expect("loaded");
    assert_eq!(loaded.devices, [talkative], "in JSON every character has a form");
    assert_eq!(loaded.events[0].event.message, "failed:\u{fffd}\u{1f600}");
    assert_eq!(loaded.landings[0].summary, "one\u{fffd}two");
}

async fn a_token_stays_with_the_key_that_used_it_first(place: Place) {
    let store = open(&place).await;
    let identity: Identity = "bellwether://example.org/plant/t1/edge-1".parse().expect("an identity");
    let row = |key: &[u8], certificate: Option<&str>| TokenRow {
        hash: Sha256Digest::of(b"token"),
        fingerprint: Sha256Digest::of(key),
        identity: identity.clone(),
        certificate: certificate.map(str::to_owned),
        at: at(1),
    };
    let token = || async { store.token(&Sha256Digest::of(b"token"), &identity.domain).await.expect("read") };
    assert_eq!(token().await, None);
    for (used, known) in [
        (row(b"first", None), row(b"first", None)),
        (row(b"second", Some("two")), row(b"first", None)),
        (row(b"first", Some("one")), row(b"first", Some("one"))),
        (row(b"first", Some("other")), row(b"first", Some("one"))),
    ] {
        store.save_tokens(std::slice::from_ref(&used)).await.expect("recorded");
        assert_eq!(token().await, Some(known));
    }
    assert_eq!(store.enrolled(&identity.domain).await.expect("read"), [row(b"first", Some("one"))]);
}

fn certificate(from: i64, authorities: Option<&[u8]>) -> CertificateRow {
    CertificateRow {
        identity: "bellwether://example.org/plant/t1/edge-1".parse().expect("an identity"),
        issued: Issued {
            from: Timestamp::from_second(from).expect("a time"),
            key: Sha256Digest::of(&from.to_be_bytes()),
        },
        issuer: Sha256Digest::of(b"issuer"),
        authorities: authorities.map(|name| vec![Sha256Digest::of(name), Sha256Digest::of(b"another")]),
        unsettled_until: None,
    }
}

async fn of_two_certificates_the_newer_one_is_remembered(place: Place) {
    let store = open(&place).await;
    let domain = "example.org".parse().expect("a domain");
    for (used, known) in [(7, 7), (9, 9), (8, 9), (9, 9)] {
        store.save_certificates(&[certificate(used, Some(b"ca"))]).await.expect("recorded");
        assert_eq!(store.certificates(&domain).await.expect("read"), [certificate(known, Some(b"ca"))]);
    }
    store.save_certificates(&[certificate(9, None)]).await.expect("recorded");
    assert_eq!(store.certificates(&domain).await.expect("read"), [certificate(9, None)]);
    let until = Timestamp::from_second(1_000).expect("a time");
    store.unsettle_certificates(until).await.expect("recorded");
    let unsettled = CertificateRow { unsettled_until: Some(until), ..certificate(9, None) };
    assert_eq!(store.certificates(&domain).await.expect("read"), [unsettled]);
    // Who uses the next one does not settle it.
    let next = CertificateRow { unsettled_until: Some(until), ..certificate(10, None) };
    store.save_certificates(std::slice::from_ref(&next)).await.expect("recorded");
    assert_eq!(store.certificates(&domain).await.expect("read"), [next]);
}

async fn what_this_release_does_not_write_is_an_error_with_its_place(place: Place) {
    let store = open(&place).await;
    store.save_devices(&[device("a")]).await.expect("stored");
    let torn = "UPDATE devices SET offer = '{\"signed\":'";
    store.run(torn).await;
    let error = store.load_all().await.expect_err("unreadable").to_string();
    assert!(error.contains("table devices, column offer, row a"), "{error}");
}

#[tokio::test]
async fn other_databases_are_refused_by_their_address() {
    for url in [
        "mysql://localhost/x",
        "state.db",
        "sqlite:/x",
        "",
        "postgres://a:hunter2@localhost/x",
        "postgres://localhost/x?password=hunter2",
        "postgres://localhost/x?sslmod=verify-full",
        "postgres://localhost:port/x",
        "postgres://db.example.org/x?sslmode=prefer",
        "postgres://db.example.org/x?sslmode=allow",
    ] {
        let refused = Store::open(url).await.expect_err(url);
        assert!(matches!(refused, StoreError::Address(_)), "{url}: {refused}");
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
    let missing = Store::open("sqlite:///nowhere/at/all/state.db").await;
    assert!(matches!(missing, Err(StoreError::Open { .. })), "{missing:?}");
}

async fn database_and_object_store_name_each_other(place: Place) {
    let (store, other) = (open(&place).await, Store::open(&place.another("other")).await.expect("a database"));
    let (objects, empty) = (InMemory::new(), InMemory::new());
    let code = |result: Result<Instance, InstanceError>| result.expect_err("refused").code();
    assert_eq!(code(check_instance(&store, &objects).await), codes::NOT_INITIALISED);
    declare_instance(&store, &objects, "blue").await.expect("declared");
    let known = check_instance(&store, &objects).await.expect("they belong together");
    assert_eq!(known, Instance::Known("blue".to_owned()));
    let lost = check_instance(&other, &objects).await.expect("a database that was lost");
    assert_eq!(lost, Instance::DatabaseLost("blue".to_owned()));
    assert_eq!(code(check_instance(&store, &empty).await), codes::OBJECT_STORE_EMPTY);
    let taken = declare_instance(&other, &objects, "green").await.expect_err("the object store is in use");
    assert_eq!(taken.code(), codes::STORE_IN_USE);
    let taken = declare_instance(&store, &empty, "green").await.expect_err("the database is in use");
    assert_eq!(taken.code(), codes::STORE_IN_USE);
    declare_instance(&other, &empty, "green").await.expect("declared");
    assert_eq!(code(check_instance(&other, &objects).await), codes::STORE_MISMATCH);
}

async fn a_store_with_content_but_no_name_is_not_taken_for_new(place: Place) {
    let store = open(&place).await;
    let objects = InMemory::new();
    objects.put(&object_store::path::Path::from("devices/a/timestamp.json"), "{}".into()).await.expect("put");
    assert_eq!(check_instance(&store, &objects).await.expect_err("refused").code(), codes::DATABASE_EMPTY);
    let taken = declare_instance(&store, &objects, "blue").await.expect_err("it has content");
    assert_eq!(taken.code(), codes::STORE_IN_USE);
}
