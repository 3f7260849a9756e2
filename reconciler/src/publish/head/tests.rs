use std::collections::HashMap;

use bellwether_schemas::head::HeadType;
use bellwether_schemas::{CommitId, codes};
use jiff::Timestamp;
use serde_json::json;
use std::num::NonZeroU64;
use tough::schema::{Snapshot, Targets};

use super::*;
use crate::publish::publish_root;
use crate::testing::Installation;

impl Installation {
    async fn stores(&self, record: &HeadRecord) -> Result<(), PublishError> {
        self.publisher.store_head(record).await
    }
}

fn commit(number: u64) -> CommitId {
    format!("{number:040x}").parse().expect("an id")
}

fn record(policy_version: u64, landing: u64) -> HeadRecord {
    HeadRecord {
        kind: HeadType::Head,
        introduction: commit(0xabc),
        commit: commit(landing),
        landing,
        policy_version,
        spoken: Some(Timestamp::UNIX_EPOCH),
        max_silence: None,
    }
}

fn value(record: &HeadRecord) -> Record {
    Record(serde_json::to_value(record).expect("JSON"))
}

#[tokio::test]
async fn a_record_is_found_again_and_is_signed_by_the_targets_key_alone() {
    let site = Installation::new().await;
    assert_eq!(site.publisher.head(), None);
    site.stores(&record(1, 5)).await.expect("stored");
    let head = site.publisher.head().expect("a record");
    assert_eq!((&head.record, &*head.bytes), (&record(1, 5), &*std::fs::read(site.head()).expect("written")));
    let again = site.restarted().await.expect("a publisher").head();
    assert_eq!(again, Some(head.clone()));
    let signed: Signed<Record> = serde_json::from_slice(&head.bytes).expect("an envelope");
    let ids: Vec<_> = signed.signatures.iter().map(|signature| &signature.keyid).collect();
    assert_eq!(ids, [site.keys().targets.id()]);
}

#[tokio::test]
async fn the_store_never_goes_back_but_for_another_introduction() {
    let site = Installation::new().await;
    site.stores(&record(2, 5)).await.expect("stored");
    let twin = HeadRecord { commit: commit(99), ..record(2, 5) };
    for below in [record(2, 4), record(1, 9), twin] {
        let refused = site.stores(&below).await.expect_err("below what is stored");
        assert_eq!(refused.code(), codes::HEAD_RECORD_OLDER, "{refused}");
    }
    // Another reconciler writes to the same store.
    site.restarted().await.expect("a publisher").store_head(&record(2, 8)).await.expect("stored");
    site.stores(&record(2, 6)).await.expect_err("the store has a newer one meanwhile");
    site.stores(&record(3, 1)).await.expect("a signed reset");
    site.stores(&HeadRecord { introduction: commit(0xdef), ..record(1, 1) }).await.expect("another introduction");
}

#[tokio::test]
async fn whoever_comes_between_reading_and_writing_is_not_written_over() {
    let site = Installation::new().await;
    site.stores(&record(2, 5)).await.expect("stored");
    // Another reconciler is about to write.
    let other = Objects::in_directory(&site.dir.path().join("store")).expect("a store");
    let lock = other.lock(&layout::head()).await.expect("locked");
    let lower = record(2, 6);
    let mut waiting = std::pin::pin!(site.stores(&lower));
    let early = tokio::time::timeout(std::time::Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "it waits its turn: {early:?}");
    let higher = site.keys().targets.sign(value(&record(2, 8)));
    std::fs::write(site.head(), &higher).expect("written");
    drop(lock);
    let refused = waiting.await.expect_err("the other one stands above");
    assert_eq!(refused.code(), codes::HEAD_RECORD_OLDER, "{refused}");
    assert_eq!(std::fs::read(site.head()).expect("there"), higher);
    site.stores(&record(2, 9)).await.expect("nobody holds the lock any more");
}

#[tokio::test]
async fn who_keeps_the_record_locked_is_named_and_waited_for_no_longer_than_is_sensible() {
    let site = Installation::new().await;
    let objects = site.objects().with_patience(std::time::Duration::from_millis(100));
    let publisher = Publisher::open(objects, site.keys()).await.expect("a publisher");
    let held = site.objects().lock(&layout::head()).await.expect("locked");
    let refused = async || publisher.store_head(&record(2, 5)).await.expect_err("another one holds it");
    let error = refused().await;
    assert_eq!(error.code(), codes::STORE_LOCKED, "{error}");
    let (file, process) = (site.store().join("head.json.lock"), format!("process {} on ", std::process::id()));
    assert!(error.to_string().contains(&file.display().to_string()) && error.to_string().contains(&process), "{error}");
    // Whoever may write to the store may have written this.
    for name in [&[b'\n'; 1_000][..], b"\xff", b""] {
        std::fs::write(&file, name).expect("written");
        assert!(refused().await.to_string().contains("left no name"));
    }
    assert!(!site.head().exists() && publisher.head().is_none());
    drop(held);
    publisher.store_head(&record(2, 5)).await.expect("nobody holds it any more");
    // Nor is another file written over.
    let other = site.store().join("other");
    std::fs::write(&other, "mine").expect("written");
    std::fs::remove_file(&file).expect("removed");
    std::os::unix::fs::symlink(&other, &file).expect("a link");
    publisher.store_head(&record(2, 6)).await.expect_err("a link is no lock");
    assert_eq!(std::fs::read(&other).expect("there"), b"mine");
}

#[tokio::test]
async fn a_service_replaces_only_the_version_that_was_read() {
    let site = Installation::new().await;
    let root = std::fs::read(site.dir.path().join("store/root/1.root.json")).expect("a root");
    let objects = Objects::of_service(std::sync::Arc::new(object_store::memory::InMemory::new()));
    publish_root(&objects, &root).await.expect("a root");
    let publisher = Publisher::open(objects.clone(), site.keys()).await.expect("a publisher");
    let version = async || {
        let found = load(&objects, &publisher.inner.roots).await.expect("readable");
        found.map(|(head, version)| (head.record.landing, version))
    };
    let replace = async |read| objects.replace(&layout::head(), "late".into(), read).await;
    assert_eq!(version().await, None);
    publisher.store_head(&record(2, 5)).await.expect("the first");
    let (landing, first) = version().await.expect("a record");
    assert_eq!(landing, 5);
    publisher.store_head(&record(2, 6)).await.expect("the next");
    // Who read before, or found nothing, comes too late.
    for read in [None, Some(first)] {
        let late = replace(read).await.expect_err("another one wrote since");
        assert!(
            matches!(late, object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }),
            "{late}"
        );
    }
    let (landing, second) = version().await.expect("a record");
    assert_eq!(landing, 6);
    replace(Some(second)).await.expect("nobody came between");
}

#[tokio::test]
async fn a_damaged_or_forged_record_is_an_error_with_advice_and_never_absent() {
    let site = Installation::new().await;
    site.stores(&record(2, 5)).await.expect("stored");
    let good = std::fs::read(site.head()).expect("written");
    let strangers = Installation::new().await;
    let unsigned = json!({"signed": value(&record(9, 9)).0, "signatures": []}).to_string();
    let altered = String::from_utf8(good.clone()).expect("text").replace("\"landing\":5", "\"landing\":6");
    let table = [
        ("torn", good[..good.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("altered", altered.into_bytes()),
        ("unsigned", unsigned.into_bytes()),
        ("signed by another installation", strangers.keys().targets.sign(value(&record(9, 9)))),
        ("signed by the key of another role", site.keys().snapshot.sign(value(&record(9, 9)))),
        ("too large", [vec![b' '; MAX_HEAD], good.clone()].concat()),
        ("another type", site.keys().targets.sign(Record(json!({"_type": "targets", "landing": 1})))),
    ];
    for (what, bytes) in table {
        std::fs::write(site.head(), &bytes).expect("written");
        let refused = site.restarted().await.expect_err(what);
        assert_eq!(refused.code(), codes::HEAD_RECORD_UNUSABLE, "{what}: {refused}");
        // A reconciler that runs does not write over it either.
        site.stores(&record(2, 6)).await.expect_err(what);
        assert_eq!(std::fs::read(site.head()).expect("there"), bytes, "{what}");
        if what != "too large" {
            site.publisher.read_head(&bytes.into()).expect_err(what);
        }
    }
    std::fs::write(site.head(), good).expect("restored");
    site.stores(&record(2, 6)).await.expect("stored");
}

#[tokio::test]
async fn a_signature_over_a_role_is_none_over_a_record_and_the_other_way_round() {
    let site = Installation::new().await;
    let keys = site.keys();
    let targets = Targets {
        spec_version: "1.0.0".to_owned(),
        version: NonZeroU64::MIN,
        expires: Timestamp::MAX,
        targets: HashMap::new(),
        delegations: None,
        _extra: HashMap::new(),
    };
    let role = keys.targets.sign(targets);
    verified::<Targets>(&site.publisher.inner.roots, &role).expect("targets of ours");
    site.publisher.read_head(&role.into()).expect_err("they are no record");
    let record = keys.targets.sign(value(&record(1, 1)));
    site.publisher.read_head(&record.clone().into()).expect("a record of ours");
    verified::<Targets>(&site.publisher.inner.roots, &record).expect_err("it is no targets role");
    verified::<Snapshot>(&site.publisher.inner.roots, &record).expect_err("nor another");
    // A record with everything that targets have: what a client reads as targets is signed as targets.
    let mut both = serde_json::to_value(self::record(1, 1)).expect("JSON");
    let fields = json!({"spec_version": "1.0.0", "version": 1, "expires": "2099-01-01T00:00:00Z", "targets": {}});
    both.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    let both = keys.targets.sign(Record(both));
    verified::<Targets>(&site.publisher.inner.roots, &both).expect_err("its type is signed");
}

#[tokio::test]
async fn a_record_of_a_key_that_was_replaced_counts_and_is_signed_anew() {
    let site = Installation::new().await;
    site.stores(&record(1, 5)).await.expect("stored");
    let old = site.publisher.head().expect("a record");
    site.replace_targets_key();
    let publisher = site.restarted().await.expect("a publisher");
    assert_eq!(publisher.head().map(|head| head.record), Some(record(1, 5)), "an earlier root answers for it");
    publisher.read_head(&old.bytes).expect_err("whoever took the old key may present what it signs");
    publisher.store_head(&record(1, 5)).await.expect("stored");
    let new = publisher.head().expect("a record");
    assert_ne!(new.bytes, old.bytes, "devices that know the newest root alone can read it");
    site.publisher.read_head(&new.bytes).expect_err("the root before knows nothing of the new key");
}
