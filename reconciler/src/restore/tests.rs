//! Databases and stores that are gone, or older than they were.

use std::path::{Path, PathBuf};

use bellwether_core::admission::VoidTokens;
use bellwether_core::certificates::Issued;
use bellwether_schemas::report::{Claim, Report, Reported};
use bellwether_schemas::targets::{Binding, EnrolledBy, SignedOffer};
use bellwether_schemas::{CommitId, Seconds, Sha256Digest, Version};
use bytes::Bytes;

use super::mark::Mark;
use super::*;
use crate::config::Config;
use crate::pki::{Authority, RequestedKey};
use crate::publish::{DeviceTargets, FleetType};
use crate::store::{CertificateRow, Instance, OfferRow, OfferedRow, RolloutRow, check_instance, declare_instance};
use crate::testing::{Installation, idle};

const SPEC: &[u8] = br#"{"apiVersion":"bellwether/v1"}"#;

/// An installation with a database and an authority, as `init` makes them.
struct Site {
    installed: Installation,
    store: Store,
    authority: Authority,
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn domain() -> Domain {
    "example.org".parse().expect("a domain")
}

fn commit(number: u64) -> CommitId {
    format!("{number:040x}").parse().expect("an id")
}

fn signed(landing: u64) -> SignedOffer {
    SignedOffer {
        fleet: "edge".parse().expect("a name"),
        version: Version { landing, commit: commit(landing), revision: 0 },
        template: commit(1),
        digest: Sha256Digest::of(SPEC),
        supersedes: None,
        not_before: None,
        not_after: None,
        soak: Seconds::ZERO,
    }
}

fn row(name: &str, offer: Option<SignedOffer>, metadata_version: u64) -> DeviceRow {
    let offer = offer.map(|signed| OfferRow { signed, offered_at: now(), acknowledged_at: None });
    DeviceRow {
        name: name.parse().expect("a name"),
        enrollment: "plant".parse().expect("a name"),
        entry: name.parse().expect("an id"),
        enrolled_at: now(),
        reported: None,
        last_seen: None,
        last_progress: None,
        offer,
        paused: None,
        awaiting_reconnect: false,
        metadata_version,
        allows: None,
    }
}

impl Site {
    async fn new() -> Self {
        let installed = Installation::new().await;
        // The root is published already; a store is new without it.
        std::fs::remove_dir_all(installed.store()).expect("removed");
        let store = Store::open(&database(&installed)).await.expect("a database");
        let objects = installed.objects();
        declare_instance(&store, objects.store().as_ref(), "blue").await.expect("declared");
        crate::publish::publish_root(&objects, &installed.root).await.expect("a root");
        let ca = installed.dir.path().join("ca");
        Authority::init(&ca, &["localhost".parse().expect("a name")], now()).expect("an authority");
        let authority = Authority::load(&ca).expect("an authority");
        Self { installed, store, authority }
    }

    async fn publish(&self, device: &str, offer: Option<SignedOffer>) -> u64 {
        let spec = offer.is_some().then(|| Bytes::from_static(SPEC));
        let enrolled =
            EnrolledBy { enrollment: "plant".parse().expect("a name"), entry: device.parse().expect("an entry") };
        let binding = Binding { enrolled: Some(enrolled), ..Binding::new(device.parse().expect("a name"), offer) };
        let targets = DeviceTargets { binding, spec, targets: Vec::new(), contents: Vec::new(), floor: 0 };
        let done = self.installed.publisher.publish(vec![targets], now()).await.expect("published");
        done.versions[0].1
    }

    /// Has a device enroll; returns the hash of its token.
    async fn enroll(&self, device: &str) -> Sha256Digest {
        let token = Sha256Digest::of(device.as_bytes());
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let request = rcgen::CertificateParams::default().serialize_request(&pair).expect("a request");
        let key = RequestedKey::from_der(request.der()).expect("a key");
        let identity: Identity =
            format!("bellwether://example.org/plant/{device}/{device}").parse().expect("an identity");
        let certificate = Some(self.authority.issue(&key, &identity, now()).expect("issued"));
        let row = TokenRow { hash: token, fingerprint: *key.fingerprint(), identity, certificate, at: now() };
        self.installed.publisher.keep_tokens(vec![row]).await.expect("recorded");
        token
    }

    async fn store_record(&self, sequence: u64) {
        let record = FleetRecord {
            kind: FleetType::Rollout,
            fleet: "edge".parse().expect("a name"),
            sequence,
            record: serde_json::json!({ "of": sequence }),
        };
        self.installed.publisher.store_fleets(vec![record]).await.expect("stored");
    }

    async fn save(&self, change: PlanChange) {
        let plan = self.store.load_all().await.expect("loaded").plan;
        self.store.commit_plan(plan, &change, now()).await.expect("stored");
    }

    async fn lose_database(&mut self) {
        self.store.close().await;
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(self.installed.dir.path().join(format!("state.db{end}")));
        }
        self.store = Store::open(&database(&self.installed)).await.expect("a database");
    }

    fn lose_store(&self) {
        std::fs::remove_dir_all(self.installed.store()).expect("removed");
    }

    async fn start(&self) -> Start {
        let objects = self.installed.objects();
        let publisher = self.installed.restarted().await.expect("a publisher");
        let instance = check_instance(&self.store, objects.store().as_ref()).await.expect("they belong together");
        start(&self.store, &publisher, &domain(), &instance, now()).await.expect("started")
    }

    fn config(&self) -> Config {
        let dir = self.installed.dir.path();
        let text = format!(
            "repository: /srv/fleet.git\ndomain: example.org\nkeys: online\nintroduction:\n  commit: {}\n  policySha256: {}\n",
            commit(1),
            Sha256Digest::of(b"policy")
        );
        std::fs::write(dir.join("reconciler.yaml"), text).expect("written");
        Config::load(&dir.join("reconciler.yaml")).expect("a configuration")
    }

    async fn restore(&mut self, from: Option<&Path>) -> Result<Restored, RestoreError> {
        self.store.close().await;
        let restored = restore(&self.config(), from, now()).await;
        self.store = Store::open(&database(&self.installed)).await.expect("a database");
        restored
    }

    async fn mark(&self) -> Option<Mark> {
        mark::read(self.installed.objects().store().as_ref()).await.expect("read")
    }

    async fn back_up(&self, name: &str) -> PathBuf {
        let to = self.installed.dir.path().join(name);
        back_up(&self.store, self.installed.objects().store().as_ref(), &to, now()).await.expect("a backup");
        to
    }
}

fn database(installed: &Installation) -> String {
    format!("sqlite://{}", installed.dir.path().join("state.db").display())
}

fn names(rows: &[DeviceRow], awaited: bool) -> Vec<&str> {
    rows.iter().filter(|row| row.awaiting_reconnect == awaited).map(|row| row.name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_is_filled_from_the_store() {
    let mut site = Site::new().await;
    let token = site.enroll("edge-1").await;
    site.enroll("edge-2").await;
    site.publish("edge-1", Some(signed(3))).await;
    let version = site.publish("edge-1", Some(signed(5))).await;
    site.publish("edge-2", None).await;
    site.store_record(17).await;
    site.lose_database().await;

    let Start { loaded, checked, fleets, .. } = site.start().await;
    assert_eq!((names(&loaded.devices, true), names(&loaded.devices, false)), (vec!["edge-1"], vec!["edge-2"]));
    let edge = &loaded.devices[0];
    assert_eq!(edge.offer.as_ref().map(|offer| offer.signed.clone()), Some(signed(5)));
    assert_eq!((edge.metadata_version, edge.entry.as_str()), (version, "edge-1"));
    let offered: Vec<u64> = loaded.offered.iter().map(|offered| offered.version.landing).collect();
    assert_eq!(offered, [3, 5], "also what it may still run");
    assert_eq!(
        loaded.rollouts,
        [RolloutRow { fleet: fleets[0].fleet.clone(), sequence: 17, record: serde_json::json!({"of": 17}) }]
    );
    assert!(
        checked.iter().all(|checked| checked.device.as_str() == "edge-2" && checked.damage.is_none()),
        "{checked:?}"
    );
    assert!(site.store.token(&token, &domain()).await.expect("read").expect("a token").certificate.is_some());

    // What was recovered is as good as what was never lost; a device reports in between.
    let mut reported = edge.clone();
    reported.awaiting_reconnect = false;
    site.save(PlanChange { devices: vec![reported], ..PlanChange::default() }).await;
    let again = site.start().await;
    assert_eq!(names(&again.loaded.devices, true), Vec::<&str>::new());
    assert!(again.checked.iter().all(|checked| checked.damage.is_none()), "{:?}", again.checked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_used_no_token_is_known_by_its_metadata() {
    let mut site = Site::new().await;
    site.publish("edge-1", Some(signed(3))).await;
    site.publish("edge-2", None).await;
    site.lose_database().await;
    let Start { loaded, .. } = site.start().await;
    assert_eq!((names(&loaded.devices, true), names(&loaded.devices, false)), (vec!["edge-1"], vec!["edge-2"]));
    let entry = |row: &DeviceRow| (row.enrollment.to_string(), row.entry.to_string());
    assert_eq!(
        loaded.devices.iter().map(entry).collect::<Vec<_>>(),
        [("plant".to_owned(), "edge-1".to_owned()), ("plant".to_owned(), "edge-2".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_has_removed_everything_is_gone_also_after_either_was_lost() {
    let mut site = Site::new().await;
    site.enroll("edge-1").await;
    site.publish("edge-1", None).await;
    let record = DecommissionRecord {
        kind: DecommissionType::default(),
        device: "edge-1".parse().expect("a name"),
        enrollment: "plant".parse().expect("a name"),
        entry: "edge-1".parse().expect("an entry"),
        at: now(),
    };
    site.installed.publisher.store_decommissioned(&record).await.expect("stored");
    site.lose_database().await;
    let Start { loaded, decommissioned, .. } = site.start().await;
    assert_eq!(decommissioned, std::slice::from_ref(&record));
    let mut row = loaded.devices[0].clone();
    row.paused = Some(WaitingOn::Decommissioned { at: record.at });
    site.save(PlanChange { devices: vec![row], ..PlanChange::default() }).await;

    // The store is set back, beside the same database; then the database too, to a time after that.
    site.installed.publisher.forget_decommissioned(&record.device).await.expect("removed");
    assert_eq!(site.start().await.decommissioned, std::slice::from_ref(&record));
    assert_eq!(site.installed.publisher.decommissioned().await.expect("read"), std::slice::from_ref(&record));
    let copy = site.back_up("copy").await;
    site.installed.publisher.forget_decommissioned(&record.device).await.expect("removed");
    site.lose_database().await;
    site.restore(Some(&copy)).await.expect("restored");
    assert_eq!(site.start().await.decommissioned, [record]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_middle_of_a_recovery_is_a_loss_still() {
    let mut site = Site::new().await;
    site.enroll("edge-1").await;
    site.publish("edge-1", Some(signed(3))).await;
    site.lose_database().await;
    recover(&site.store, &site.installed.publisher, &domain(), "lost", now()).await.expect("recovered");
    // The name was not written yet.
    let Start { loaded, .. } = site.start().await;
    assert_eq!(names(&loaded.devices, true), ["edge-1"]);
    assert_eq!(loaded.offered.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_set_back_is_told_from_a_crash() {
    let site = Site::new().await;
    site.publish("edge-1", Some(signed(3))).await;
    let version = site.publish("edge-1", Some(signed(5))).await;
    let other = site.publish("edge-2", Some(signed(3))).await;
    let rollout =
        |sequence| RolloutRow { fleet: "edge".parse().expect("a name"), sequence, record: serde_json::json!({}) };
    let save = async |offer, known, sequence: u64| {
        let rows = vec![row("edge-1", Some(offer), known), row("edge-2", Some(signed(3)), other)];
        let records = [(rollout(0).fleet, rollout(sequence))].into();
        site.save(PlanChange { devices: rows, records, ..PlanChange::default() }).await;
        site.start().await
    };
    site.store_record(7).await;

    let used = CertificateRow {
        identity: "bellwether://example.org/plant/t1/edge-1".parse().expect("an identity"),
        issued: Issued { from: Timestamp::UNIX_EPOCH, key: Sha256Digest::of(b"key") },
        issuer: Sha256Digest::of(b"issuer"),
        authorities: None,
        unsettled_until: None,
    };
    site.store.save_certificates(std::slice::from_ref(&used)).await.expect("stored");
    let is_settled = async || site.store.certificates(&domain()).await.expect("rows")[0].unsettled_until.is_none();

    // Published, and the number of that not stored: the start knows it, and nobody is waited for.
    let started = save(signed(5), version - 1, 7).await;
    assert_eq!(names(&started.loaded.devices, true), Vec::<&str>::new());
    assert_eq!(started.loaded.devices[0].metadata_version, version);
    // Decided and stored, and not published: it is published.
    let started = save(signed(6), version, 8).await;
    assert_eq!(names(&started.loaded.devices, true), Vec::<&str>::new());
    assert!(started.checked[0].damage.is_some() && started.checked[1].damage.is_none());
    assert!(is_settled().await);
    // What is published is news to the database.
    let started = save(signed(4), version - 1, 7).await;
    assert_eq!(names(&started.loaded.devices, true), ["edge-1", "edge-2"], "whoever else was set back with it");
    assert_eq!(started.loaded.devices[0].offer.as_ref().map(|offer| offer.signed.clone()), Some(signed(5)));
    assert!(!is_settled().await, "nor is it known which certificate was used last");
    // So is by which entry it came in.
    let before = DeviceRow { entry: "earlier".parse().expect("an id"), ..row("edge-1", Some(signed(4)), version - 1) };
    site.save(PlanChange { devices: vec![before], ..PlanChange::default() }).await;
    assert_eq!(site.start().await.loaded.devices[0].entry.as_str(), "edge-1");
    // So is the record of a rollout.
    let started = save(signed(5), version, 6).await;
    assert_eq!(names(&started.loaded.devices, true), ["edge-1", "edge-2"]);
    assert_eq!(started.loaded.rollouts[0].record, serde_json::json!({ "of": 7 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_claims_a_version_is_waited_for_though_nothing_was_signed_for_it() {
    let site = Site::new().await;
    site.store_record(7).await;
    let claim = Claim { version: signed(3).version, template: commit(1), digest: Sha256Digest::of(SPEC) };
    let claims = Reported::Readable(Report { running: Some(claim), ..idle() });
    let rows = vec![DeviceRow { reported: Some(claims), ..row("edge-1", None, 0) }, row("edge-2", None, 0)];
    site.save(PlanChange { devices: rows, ..PlanChange::default() }).await;
    let Start { loaded, .. } = site.start().await;
    assert_eq!((names(&loaded.devices, true), names(&loaded.devices, false)), (vec!["edge-1"], vec!["edge-2"]));
}

mod backups;
