//! What is published, read back by two independent TUF clients, and mended after what a power cut can do.

use std::path::{Path, PathBuf};

use futures::TryStreamExt as _;
use jiff::SignedDuration;
use sigstore_tuf::client::Updater;
use sigstore_tuf::transport::{FetchFuture, Repository};

use bellwether_schemas::report::Presented;
use bellwether_schemas::targets::{EXTRA_KEY, SignedOffer};
use bellwether_schemas::{Seconds, Version};

use super::*;
use crate::testing::Installation;

const SPEC: &[u8] = br#"{"apiVersion":"bellwether/v1"}"#;

impl Installation {
    fn device(&self, device: &str) -> PathBuf {
        self.store().join("devices").join(device)
    }

    fn url(&self, path: &str) -> url::Url {
        url::Url::from_directory_path(self.store().join(path)).expect("an absolute path")
    }

    async fn tough(&self, device: &str) -> tough::error::Result<tough::Repository> {
        let metadata = self.url(&format!("devices/{device}"));
        tough::RepositoryLoader::new(&self.root, metadata, self.url("targets")).load().await
    }

    fn updater(&self, device: &str) -> Updater {
        Updater::new(Files { metadata: self.device(device), targets: self.store().join("targets") }, &self.root)
            .expect("a root")
    }

    fn presented(&self, device: &str, version: u64) -> Presented {
        let read = |name: &str| std::fs::read(self.device(device).join(name)).expect("a file");
        Presented {
            timestamp: read("timestamp.json"),
            snapshot: read(&format!("{version}.snapshot.json")),
            targets: read(&format!("{version}.targets.json")),
            head: Vec::new(),
        }
    }
}

struct Files {
    metadata: PathBuf,
    targets: PathBuf,
}

impl Repository for Files {
    fn fetch_metadata<'a>(&'a self, name: &'a str, _: u64) -> FetchFuture<'a> {
        Box::pin(std::future::ready(Ok(std::fs::read(self.metadata.join(name)).ok())))
    }
    fn fetch_target<'a>(&'a self, path: &'a str, _: u64) -> FetchFuture<'a> {
        Box::pin(std::future::ready(Ok(std::fs::read(self.targets.join(path)).ok())))
    }
}

fn commit() -> CommitId {
    "9f3c2ab000000000000000000000000000000001".parse().expect("an id")
}

fn binding(device: &str, landing: u64, spec: &[u8]) -> Binding {
    let offer = SignedOffer {
        fleet: "edge".parse().expect("a name"),
        version: Version { landing, commit: commit(), revision: 0 },
        template: commit(),
        digest: Sha256Digest::of(spec),
        supersedes: None,
        not_before: None,
        not_after: None,
        soak: Seconds::ZERO,
    };
    Binding::new(device.parse().expect("a name"), Some(offer))
}

fn offered(device: &str, landing: u64, targets: Vec<TargetRef>, floor: u64) -> DeviceTargets {
    let spec = Some(Bytes::from_static(SPEC));
    DeviceTargets { binding: binding(device, landing, SPEC), spec, targets, contents: Vec::new(), floor }
}

fn nothing(device: &str) -> DeviceTargets {
    let binding = Binding::new(device.parse().expect("a name"), None);
    DeviceTargets { binding, spec: None, targets: Vec::new(), contents: Vec::new(), floor: 0 }
}

fn name(device: &str) -> DeviceName {
    device.parse().expect("a name")
}

fn damaged(checked: Vec<Checked>) -> Vec<(DeviceName, Damage)> {
    checked.into_iter().filter_map(|checked| Some((checked.device, checked.damage?))).collect()
}

fn truncate(path: &Path) {
    let length = path.metadata().expect("a file").len();
    std::fs::File::options().write(true).open(path).expect("a file").set_len(length / 2).expect("truncated");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_independent_clients_read_what_is_published() {
    let site = Installation::new().await;
    let artifact = Bytes::from_static(b"an artifact");
    let reference = TargetRef::to(&artifact);
    site.publisher.put_target(&reference, artifact.clone()).await.expect("stored");
    let devices = vec![offered("edge-1", 7, vec![reference], 0), nothing("edge-2")];
    let _ = site.publisher.publish(devices, Timestamp::now()).await.expect("published");

    let read = site.tough("edge-1").await.expect("tough accepts it");
    let spec = tough::TargetName::new("spec.json").expect("a name");
    let stream = read.read_target(&spec).await.expect("a target").expect("listed");
    let chunks: Vec<Bytes> = stream.try_collect().await.expect("whole");
    assert_eq!(chunks.concat(), SPEC);
    assert_eq!(site.tough("edge-2").await.expect("tough accepts it").all_targets().count(), 0);

    let mut updater = site.updater("edge-1");
    updater.refresh(Timestamp::now()).await.expect("sigstore-tuf accepts it");
    assert_eq!(updater.get_target("spec.json", Timestamp::now()).await.expect("a spec"), SPEC);
    assert_eq!(updater.get_target(&reference.name(), Timestamp::now()).await.expect("an artifact"), artifact);
    let extra = updater.trusted().targets_role("targets").expect("targets").extra[EXTRA_KEY].clone();
    assert_eq!(serde_json::from_value::<Binding>(extra).expect("a binding"), binding("edge-1", 7, SPEC));
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_versions_only_rise_and_old_files_go() {
    let site = Installation::new().await;
    let now = Timestamp::now();
    let mut versions = Vec::new();
    for landing in 1..=4 {
        let done = site.publisher.publish(vec![offered("edge-1", landing, Vec::new(), 0)], now).await;
        versions.push(done.expect("published").versions[0].1);
        site.updater("edge-1").refresh(now).await.expect("accepted");
    }
    let clock = u64::try_from(now.as_second()).expect("after 1970");
    assert_eq!(versions, [clock, clock + 1, clock + 2, clock + 3], "also within one second");
    let mut files: Vec<_> = std::fs::read_dir(site.device("edge-1"))
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    files.sort();
    let kept = |version: u64| [format!("{version}.snapshot.json"), format!("{version}.targets.json")];
    assert_eq!(files, [kept(versions[2]).as_slice(), &kept(versions[3]), &["timestamp.json".to_owned()]].concat());

    // What a device presented lifts the version above everything that was ever signed for it, whatever the clock says.
    let presented = offered("edge-1", 5, Vec::new(), clock + 1_000_000);
    let lifted = site.publisher.publish(vec![presented], Timestamp::UNIX_EPOCH).await.expect("published");
    assert_eq!(lifted.versions, [(name("edge-1"), clock + 1_000_001)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_flushed_together_leaves_the_same_files() {
    let site = Installation::new().await;
    let now = Timestamp::now();
    let names: Vec<String> = (0..40).map(|number| format!("edge-{number}")).collect();
    let mut version = 0;
    for landing in [1, 1_000_000, 3, 4] {
        if landing == 3 {
            // A crash before the timestamp was shown.
            std::fs::write(site.device("edge-7").join("timestamp.json.new"), "{").expect("written");
        }
        let devices = names.iter().map(|device| offered(device, landing, Vec::new(), 0)).collect();
        let done = site.publisher.publish(devices, now).await.expect("published");
        assert_eq!((done.versions.len(), done.failed.len()), (names.len(), 0));
        version = done.versions[0].1;
    }
    for device in &names {
        let mut files: Vec<_> = std::fs::read_dir(site.device(device))
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        files.sort();
        let kept = |version: u64| [format!("{version}.snapshot.json"), format!("{version}.targets.json")];
        let timestamps = ["timestamp.json".to_owned(), "timestamp.json.new".to_owned()];
        assert_eq!(files, [kept(version - 1).as_slice(), &kept(version), &timestamps].concat());
        let mut updater = site.updater(device);
        updater.refresh(now).await.expect("accepted");
        let extra = updater.trusted().targets_role("targets").expect("targets").extra[EXTRA_KEY].clone();
        assert_eq!(serde_json::from_value::<Binding>(extra).expect("a binding"), binding(device, 4, SPEC));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_makes_new_files_of_old_ones() {
    use std::os::unix::fs::MetadataExt as _;
    let site = Installation::new().await;
    let now = Timestamp::now();
    let inodes = || {
        let files = std::fs::read_dir(site.device("edge-1")).expect("a directory");
        let inodes = files.map(|entry| entry.expect("an entry").metadata().expect("metadata").ino());
        inodes.collect::<std::collections::BTreeSet<_>>()
    };
    let mut seen = Vec::new();
    for landing in 1..=4 {
        let devices = (0..40).map(|number| offered(&format!("edge-{number}"), landing, Vec::new(), 0)).collect();
        let done = site.publisher.publish(devices, now).await.expect("published");
        assert!(done.failed.is_empty());
        seen.push(inodes());
    }
    assert_eq!(seen[2], seen[3], "nothing is made or removed any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_cannot_be_written_keeps_no_other_from_it() {
    let site = Installation::new().await;
    let now = Timestamp::now();
    std::fs::create_dir_all(site.store().join("devices")).expect("a directory");
    for count in [2, 40] {
        let bad = format!("edge-{}", count + 1);
        std::fs::write(site.device(&bad), "in the way").expect("written");
        let devices = (0..=count + 1).map(|number| offered(&format!("edge-{number}"), 1, Vec::new(), 0)).collect();
        let done = site.publisher.publish(devices, now).await.expect("published");
        assert_eq!(done.failed.iter().map(|(device, _)| device.as_str()).collect::<Vec<_>>(), [bad.as_str()]);
        assert_eq!(done.versions.len(), count + 1);
        site.updater("edge-0").refresh(now).await.expect("accepted");
        std::fs::remove_file(site.device(&bad)).expect("removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_cannot_be_read_is_published_again_and_keeps_no_other_from_renewal() {
    let site = Installation::new().await;
    let now = Timestamp::now();
    let devices = ["good", "bad"].map(|device| offered(device, 1, Vec::new(), 0));
    let version = site.publisher.publish(devices.to_vec(), now).await.expect("published").versions[0].1;
    let timestamp = site.device("bad").join("timestamp.json");
    std::fs::remove_file(&timestamp).expect("removed");
    std::fs::create_dir(&timestamp).expect("a directory in its place");
    let restarted = site.restarted().await.expect("a publisher");
    let expected = ["good", "bad"].map(|device| Expected { binding: binding(device, 1, SPEC), floor: version });
    let found = damaged(restarted.check(expected.to_vec()).await.expect("checked"));
    assert_eq!(found.iter().map(|(device, _)| device.as_str()).collect::<Vec<_>>(), ["bad"]);
    let renewed = restarted.renew(expected.to_vec(), now).await.expect("renewed");
    assert_eq!((renewed.damaged.len(), renewed.published.versions.len()), (1, 1), "{renewed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_finds_everything_that_a_power_cut_took() {
    let site = Installation::new().await;
    let now = Timestamp::now();
    let names =
        ["whole", "no-timestamp", "torn-timestamp", "torn-snapshot", "no-targets", "other-offer", "below-floor"];
    let devices = names.iter().map(|device| offered(device, 1, Vec::new(), 0)).collect();
    let version = site.publisher.publish(devices, now).await.expect("published").versions[0].1;
    std::fs::remove_file(site.device("no-timestamp").join("timestamp.json")).expect("removed");
    truncate(&site.device("torn-timestamp").join("timestamp.json"));
    truncate(&site.device("torn-snapshot").join(format!("{version}.snapshot.json")));
    std::fs::remove_file(site.device("no-targets").join(format!("{version}.targets.json"))).expect("removed");
    let expected = |device: &&str| match *device {
        "other-offer" => Expected { binding: binding(device, 2, SPEC), floor: version },
        "below-floor" => Expected { binding: binding(device, 1, SPEC), floor: version + 5 },
        device => Expected { binding: binding(device, 1, SPEC), floor: version },
    };

    let restarted = site.restarted().await.expect("a publisher");
    let found = damaged(restarted.check(names.iter().map(expected).collect()).await.expect("checked"));
    let devices: Vec<_> = found.iter().map(|(device, _)| device.as_str()).collect();
    assert_eq!(devices, names[1..]);
    assert!(matches!(&found[0].1, Damage::Missing(file) if file.ends_with("no-timestamp/timestamp.json")));
    assert!(matches!(&found[2].1, Damage::Unusable { file, .. } if file.ends_with(".snapshot.json")));
    assert_eq!((&found[4].1, &found[5].1), (&Damage::Outdated, &Damage::Outdated));

    let again = names[1..].iter().map(|device| offered(device, 1, Vec::new(), version + 5)).collect();
    let _ = restarted.publish(again, now).await.expect("published");
    let whole = |device: &&str| Expected { binding: binding(device, 1, SPEC), floor: version };
    assert_eq!(damaged(restarted.check(names.iter().map(whole).collect()).await.expect("checked")), []);
    for device in names {
        site.updater(device).refresh(now).await.expect(device);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_target_is_found_and_written_again() {
    let site = Installation::new().await;
    let now = Timestamp::now();
    let version =
        site.publisher.publish(vec![offered("edge-1", 1, Vec::new(), 0)], now).await.expect("published").versions[0].1;
    truncate(&site.store().join("targets").join(format!("{}.spec.json", Sha256Digest::of(SPEC))));
    let restarted = site.restarted().await.expect("a publisher");
    let expected = vec![Expected { binding: binding("edge-1", 1, SPEC), floor: version }];
    let found = damaged(restarted.check(expected).await.expect("checked"));
    assert!(matches!(&found[0].1, Damage::Unusable { file, .. } if file.ends_with(".spec.json")), "{found:?}");
    let _ = restarted.publish(vec![offered("edge-1", 1, Vec::new(), version)], now).await.expect("published");
    let mut updater = site.updater("edge-1");
    updater.refresh(now).await.expect("accepted");
    assert_eq!(updater.get_target("spec.json", now).await.expect("a spec"), SPEC);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_a_crash_used_up_are_never_used_again() {
    let site = Installation::new().await;
    let now = Timestamp::now();
    let clock = u64::try_from(now.as_second()).expect("after 1970");
    // A crash came after these files, and before the timestamp and the record of it.
    std::fs::create_dir_all(site.device("edge-1")).expect("a directory");
    std::fs::write(site.device("edge-1").join(format!("{clock}.targets.json")), "torn").expect("written");
    std::fs::write(site.device("edge-1").join(format!("{}.snapshot.json", clock + 1)), "torn").expect("written");
    let done = site.publisher.publish(vec![offered("edge-1", 1, Vec::new(), 0)], now).await.expect("published");
    assert_eq!(done.versions, [(name("edge-1"), clock + 2)]);
    site.updater("edge-1").refresh(now).await.expect("accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_renewed_before_half_of_its_life() {
    let site = Installation::new().await;
    let now = Timestamp::now();
    let done = site.publisher.publish(vec![offered("edge-1", 1, Vec::new(), 0)], now).await.expect("published");
    let (version, later) = (done.versions[0].1, now + SignedDuration::from_hours(73));
    assert_eq!(site.publisher.renew_due(now + SignedDuration::from_hours(71)), []);
    assert_eq!(site.publisher.renew_due(later), [name("edge-1")]);
    let expected = |landing, floor| vec![Expected { binding: binding("edge-1", landing, SPEC), floor }];
    // What somebody put there is not signed, nor what the store had before.
    for put_there in [expected(2, 0), expected(1, version + 1)] {
        let renewed = site.publisher.renew(put_there, later).await.expect("renewed");
        assert_eq!((renewed.published.versions.len(), renewed.damaged), (0, vec![(name("edge-1"), Damage::Outdated)]));
    }
    let renewed = site.publisher.renew(expected(1, version), later).await.expect("renewed");
    assert_eq!((renewed.published.versions.len(), renewed.damaged), (1, Vec::new()));
    assert_eq!(site.publisher.renew_due(later), []);
    let late = now + SignedDuration::from_hours(24 * 9);
    let mut updater = site.updater("edge-1");
    updater.refresh(late).await.expect("still valid after the first one's end");
    let extra = updater.trusted().targets_role("targets").expect("targets").extra[EXTRA_KEY].clone();
    assert_eq!(serde_json::from_value::<Binding>(extra).expect("a binding"), binding("edge-1", 1, SPEC));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_metadata_of_ours_and_of_that_device_counts() {
    let (ours, other) = (Installation::new().await, Installation::new().await);
    let now = Timestamp::now();
    let version =
        ours.publisher.publish(vec![offered("edge-1", 7, Vec::new(), 0)], now).await.expect("published").versions[0].1;
    let presented = ours.presented("edge-1", version);
    let read = ours.publisher.read_presented(&name("edge-1"), &presented, now).expect("ours");
    assert_eq!((read.version, read.binding, read.is_current), (version, binding("edge-1", 7, SPEC), true));

    let refused = |publisher: &Publisher, device: &str, presented: &Presented| {
        publisher.read_presented(&name(device), presented, now).expect_err("refused")
    };
    assert!(matches!(refused(&ours.publisher, "edge-2", &presented), PresentedError::OtherDevice { .. }));
    assert!(matches!(refused(&other.publisher, "edge-1", &presented), PresentedError::Foreign { .. }));
    let text = String::from_utf8(presented.targets.clone()).expect("text");
    let altered = Presented { targets: text.replace("\"landing\":7", "\"landing\":8").into(), ..presented.clone() };
    assert_ne!(altered.targets, presented.targets);
    assert!(matches!(refused(&ours.publisher, "edge-1", &altered), PresentedError::Foreign { .. }));
    let swapped = Presented { targets: presented.snapshot.clone(), ..presented.clone() };
    assert!(matches!(refused(&ours.publisher, "edge-1", &swapped), PresentedError::Malformed(_)));
    assert!(matches!(refused(&ours.publisher, "edge-1", &Presented::default()), PresentedError::Malformed(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keys_signed_that_were_rotated_out_counts_up_to_the_clock_and_proves_nothing() {
    let site = Installation::new().await;
    let (now, device) = (Timestamp::now(), name("edge-1"));
    let sign = async |floor, now| {
        let done = site.publisher.publish(vec![offered("edge-1", 7, Vec::new(), floor)], now).await.expect("published");
        site.presented("edge-1", done.versions[0].1)
    };
    let given = sign(0, now).await;
    // Whoever took the keys gives it any version.
    let made = sign(u64::MAX - 1, now).await;
    site.publisher.read_presented(&device, &made, now).expect("a version is as high as the keys in force say");

    site.replace_targets_key();
    let publisher = site.restarted().await.expect("a publisher");
    let read = publisher.read_presented(&device, &given, now).expect("it was ours");
    assert!(!read.is_current);
    let refused = publisher.read_presented(&device, &made, now).expect_err("nobody gave that");
    assert!(matches!(refused, PresentedError::AboveClock { version: u64::MAX }), "{refused}");
    // One role is enough to use the versions up.
    let mixed = Presented { targets: made.targets, ..given };
    publisher.read_presented(&device, &mixed, now).expect_err("nor one of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_signed_that_is_not_what_it_says() {
    let site = Installation::new().await;
    let wrong = DeviceTargets { spec: Some(Bytes::from_static(b"{}")), ..offered("edge-1", 1, Vec::new(), 0) };
    let missing = DeviceTargets { spec: None, ..offered("edge-1", 1, Vec::new(), 0) };
    let content = (TargetRef::to(b"a"), Bytes::from_static(b"b"));
    let other = DeviceTargets { contents: vec![content], ..offered("edge-1", 1, Vec::new(), 0) };
    for wrong in [wrong, missing, other] {
        let refused = site.publisher.publish(vec![wrong], Timestamp::now()).await.expect("nothing else failed");
        assert!(matches!(refused.failed[..], [(_, PublishError::Mismatch { .. })]), "{refused:?}");
        assert!(refused.versions.is_empty());
    }
    let target = site.publisher.put_target(&TargetRef::to(b"a"), Bytes::from_static(b"b")).await;
    assert!(matches!(target, Err(PublishError::Mismatch { .. })));
    assert!(!site.store().join("devices").exists() && !site.store().join("targets").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_root_does_not_list_are_refused_at_the_start() {
    let (ours, other) = (Installation::new().await, Installation::new().await);
    let foreign = other.keys();
    let objects = Objects::in_directory(&ours.store()).expect("a store");
    assert!(matches!(Publisher::open(objects, foreign).await, Err(PublishError::ForeignKey { .. })));
    std::fs::remove_file(ours.store().join("root/1.root.json")).expect("removed");
    let keys = OnlineKeys::load(&ours.dir.path().join("online")).expect("keys");
    let objects = Objects::in_directory(&ours.store()).expect("a store");
    assert!(matches!(Publisher::open(objects, keys).await, Err(PublishError::Root { .. })));
}

/// Drafts the next root, signs it with the one root key, and puts it in force.
fn rotate(site: &Installation, draft: &str, new_online: bool) {
    let (draft, online) = (site.dir.path().join(draft), site.dir.path().join("online"));
    let change = (&crate::keys::Change::default(), new_online);
    let drafted = crate::keys::begin(&online, &draft, change, Timestamp::now()).expect("drafted");
    crate::keys::sign_draft(&drafted.path, &site.dir.path().join("keys")).expect("signed");
    crate::keys::finish(&draft, &online, &[]).expect("in force");
}

/// Puts a published root where clients of files look for it; the `updates` listener gives it to all devices.
fn serve_root(site: &Installation, version: u64) {
    let file = format!("{version}.root.json");
    std::fs::copy(site.store().join("root").join(&file), site.device("edge-1").join(&file)).expect("published");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_with_the_same_online_keys_is_published_while_running() {
    let site = Installation::new().await;
    let keys = site.dir.path().join("online");
    rotate(&site, "draft", false);
    site.publisher.follow_roots(&keys).await.expect("published");
    assert_eq!(site.publisher.newest_root().version.get(), 2);
    let _ =
        site.publisher.publish(vec![offered("edge-1", 1, Vec::new(), 0)], Timestamp::now()).await.expect("published");
    serve_root(&site, 2);
    site.updater("edge-1").refresh(Timestamp::now()).await.expect("what is signed counts as before");
    site.publisher.follow_roots(&keys).await.expect("nothing has come since");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_online_keys_wait_for_a_restart_and_then_sign_everything_again() {
    let site = Installation::new().await;
    let (now, keys) = (Timestamp::now(), site.dir.path().join("online"));
    let _ = site.publisher.publish(vec![offered("edge-1", 1, Vec::new(), 0)], now).await.expect("published");
    rotate(&site, "draft", true);
    let waits = site.publisher.follow_roots(&keys).await.expect_err("the old keys are loaded");
    assert!(matches!(waits, PublishError::NeedsRestart { version } if version.get() == 2), "{waits}");
    site.updater("edge-1").refresh(now).await.expect("nothing has changed for devices");

    publish_roots(&site.objects(), &keys).await.expect("published");
    serve_root(&site, 2);
    let publisher = site.restarted().await.expect("the new keys are in the new root");
    let expected = Expected { binding: binding("edge-1", 1, SPEC), floor: 0 };
    let checked = publisher.check(vec![expected.clone()]).await.expect("checked");
    assert_eq!(damaged(checked), [(name("edge-1"), Damage::OldKeys)]);
    assert!(site.updater("edge-1").refresh(now).await.is_err(), "devices of the new root refuse it");
    let _ = publisher.publish(vec![offered("edge-1", 1, Vec::new(), 0)], now).await.expect("published");
    assert_eq!(damaged(publisher.check(vec![expected]).await.expect("checked")), []);
    site.updater("edge-1").refresh(now).await.expect("a client that knows the first root follows");
    site.tough("edge-1").await.expect("tough as well");
}
