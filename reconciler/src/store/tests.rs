use std::collections::BTreeMap;

use jiff::Timestamp;

use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::report::{Report, Reported};
use bellwether_schemas::targets::SignedOffer;
use bellwether_schemas::{CommitId, DeviceName, Seconds, Sha256Digest, Version, codes};
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;

use super::*;
use crate::testing::idle;

fn url(dir: &tempfile::TempDir) -> String {
    format!("sqlite://{}/state.db", dir.path().display())
}

async fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(&url(&dir)).await.expect("a database");
    (dir, store)
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
    }
}

fn offered(text: &str, revision: u32) -> OfferedRow {
    let fleet = "edge".parse().expect("a name");
    let version = Version { landing: 7, commit: commit(7), revision };
    let digest = Sha256Digest::of(b"spec");
    OfferedRow { device: name(text), version, fleet, template: commit(6), digest, offered_at: at(3) }
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

#[tokio::test]
async fn everything_comes_back_after_a_restart() {
    let (dir, store) = open().await;
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

    let loaded = Store::open(&url(&dir)).await.expect("a database").load_all().await.expect("loaded");
    assert_eq!(loaded.head, Some(head(2)));
    assert_eq!(loaded.landings, [landing(1), landing(2)]);
    assert_eq!(loaded.devices, [device("a"), device("b")]);
    assert_eq!(loaded.offered, change.offers);
    assert_eq!(loaded.rollouts, [rollout(1_790_000_000)]);
    assert_eq!(loaded.plan, plan);
    let messages: Vec<_> = loaded.events.iter().map(|stored| stored.event.message.as_str()).collect();
    assert_eq!(messages, ["second", "first"]);
}

#[tokio::test]
async fn of_two_plans_on_one_parent_one_is_stored_and_the_other_leaves_nothing() {
    let (_dir, store) = open().await;
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

#[tokio::test]
async fn a_version_that_is_given_twice_stores_nothing_of_its_plan() {
    let (_dir, store) = open().await;
    let change = |offers| PlanChange { offers, devices: vec![device("a")], ..PlanChange::default() };
    let first = store.commit_plan(PlanId::default(), &change(vec![offered("b", 0)]), at(1)).await.expect("stored");
    store.commit_plan(first, &change(vec![offered("a", 0), offered("b", 0)]), at(2)).await.expect_err("given before");
    let loaded = store.load_all().await.expect("loaded");
    assert_eq!((loaded.offered, loaded.plan), (vec![offered("b", 0)], first));
}

#[tokio::test]
async fn a_head_is_accepted_only_on_top_of_the_one_it_was_verified_on() {
    let (_dir, store) = open().await;
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

#[tokio::test]
async fn a_head_of_an_earlier_release_gets_the_policy_version_of_its_landing() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = SqliteConnectOptions::from_str(&url(&dir)).expect("an address").create_if_missing(true);
    let before = SqlitePoolOptions::new().connect_with(options).await.expect("a database");
    sqlx::migrate!("migrations/sqlite").run_to(2, &before).await.expect("migrated");
    for statement in [
        format!("INSERT INTO head VALUES (1, '{}', '{}', 2)", commit(1), commit(2)),
        format!("INSERT INTO landings VALUES ('{}', 2, '{}', 'ada', 7, 's', '{}')", commit(1), commit(2), at(0)),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&before).await.expect("inserted");
    }
    before.close().await;
    let head = Store::open(&url(&dir)).await.expect("a database").load_all().await.expect("loaded").head;
    assert_eq!(head, Some(HeadRow { policy_version: 7, spoken: None, ..super::tests::head(2) }));
}

#[tokio::test]
async fn many_rows_and_only_the_newest_events_are_kept() {
    let (_dir, store) = open().await;
    let devices: Vec<_> = (0..2_500).map(|number| device(&format!("d-{number}"))).collect();
    store.save_devices(&devices).await.expect("stored");
    store.save_devices(&devices[..10]).await.expect("stored again");
    let events: Vec<_> = (0..10_500).map(|number| event(&number.to_string())).collect();
    store.append_events(&events).await.expect("appended");
    let loaded = store.load_all().await.expect("loaded");
    assert_eq!((loaded.devices.len(), loaded.events.len()), (2_500, 1_000));
    assert_eq!(loaded.events[0].event.message, "10499");
    let kept: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM events").fetch_one(store.pool()).await.expect("counted");
    assert_eq!(kept, 10_000);
}

#[tokio::test]
async fn what_this_release_does_not_write_is_an_error_with_its_place() {
    let (_dir, store) = open().await;
    store.save_devices(&[device("a")]).await.expect("stored");
    let torn = "UPDATE devices SET offer = '{\"signed\":'";
    sqlx::query(torn).execute(store.pool()).await.expect("torn");
    let error = store.load_all().await.expect_err("unreadable").to_string();
    assert!(error.contains("table devices, column offer, row a"), "{error}");
}

#[tokio::test]
async fn other_databases_are_refused_by_their_address() {
    for url in ["mysql://localhost/x", "state.db", "sqlite:/x", ""] {
        assert!(matches!(Store::open(url).await, Err(StoreError::Address { .. })), "{url}");
    }
    let missing = Store::open("sqlite:///nowhere/at/all/state.db").await;
    assert!(matches!(missing, Err(StoreError::Open { .. })), "{missing:?}");
}

#[tokio::test]
async fn database_and_object_store_name_each_other() {
    let ((_a, store), (_b, other)) = (open().await, open().await);
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

#[tokio::test]
async fn a_store_with_content_but_no_name_is_not_taken_for_new() {
    let (_dir, store) = open().await;
    let objects = InMemory::new();
    objects.put(&object_store::path::Path::from("devices/a/timestamp.json"), "{}".into()).await.expect("put");
    assert_eq!(check_instance(&store, &objects).await.expect_err("refused").code(), codes::DATABASE_EMPTY);
    let taken = declare_instance(&store, &objects, "blue").await.expect_err("it has content");
    assert_eq!(taken.code(), codes::STORE_IN_USE);
}
