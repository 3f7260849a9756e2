//! A store that says what nobody decided: devices take only what is signed, theirs, and explained.

use std::path::{Path, PathBuf};

use bellwether_reconciler::keys::{self, OnlineKeys};
use bellwether_reconciler::publish::{DeviceTargets, Objects, Publisher, publish_root};
use bellwether_schemas::api::{Summary, Updated};
use bellwether_schemas::report::Claim;
use bellwether_schemas::spec::DeviceSpec;
use bellwether_schemas::targets::{Binding, SignedOffer, Supersedes};
use bellwether_schemas::{CommitId, Seconds, Version};
use bellwether_tests::{Site, SiteBuilder};

const PART: &str = env!("CARGO_BIN_EXE_part");
const MESSAGE: &str = "/opt/bellwether/message";
const HOSTILE: &str = "nobody decided this\n";

/// Somebody who can write the store, perhaps with the online keys.
struct Intruder {
    runtime: tokio::runtime::Runtime,
    publisher: Publisher,
}

impl Intruder {
    fn new(store: &Path, online: &Path) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let objects = Objects::in_directory(store).expect("a store");
        let keys = OnlineKeys::load(online).expect("online keys");
        let publisher = runtime.block_on(Publisher::open(objects, keys)).expect("a publisher");
        Self { runtime, publisher }
    }

    /// With the site's own keys: what a thief of the reconciler could publish.
    fn with_keys_of(site: &Site) -> Self {
        Self::new(&site.store(), &site.path("reconciler/keys/online"))
    }

    /// Publishes an offer with the hostile content for a device, above everything that it has seen.
    fn publish(&self, site: &Site, device: &str, mut offer: SignedOffer) {
        let spec = hostile_spec();
        offer.digest = spec.digest();
        let binding = Binding::new(device.parse().expect("a name"), Some(offer));
        let floor = metadata_version(&site.store().join("devices").join(device)).unwrap_or(0);
        let (targets, contents) = Default::default();
        let targets = DeviceTargets { binding, spec: Some(spec.canonical().into()), targets, contents, floor };
        let published = self.runtime.block_on(self.publisher.publish(vec![targets], jiff::Timestamp::now()));
        assert!(published.expect("the store works").failed.is_empty(), "it is published");
    }
}

fn hostile_spec() -> DeviceSpec {
    let spec = format!(r#"{{"apiVersion":"bellwether/v1","files":[{{"content":{HOSTILE:?},"path":"{MESSAGE}"}}]}}"#);
    DeviceSpec::from_canonical(spec.as_bytes()).expect("a spec")
}

/// The version of a device's published timestamp.
fn metadata_version(folder: &Path) -> Option<u64> {
    let timestamp: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("timestamp.json")).ok()?).ok()?;
    timestamp["signed"]["version"].as_u64()
}

fn offer(claim: &Claim, version: Version, supersedes: Option<Supersedes>) -> SignedOffer {
    SignedOffer {
        fleet: "edge".parse().expect("a name"),
        version,
        template: claim.template,
        digest: claim.digest,
        supersedes,
        not_before: None,
        not_after: None,
        soak: Seconds::ZERO,
    }
}

/// A site whose devices run the second landing.
fn at_second_landing(devices: usize) -> (Site, CommitId) {
    let site = SiteBuilder::new(PART, devices).start();
    site.wait_up_to_date(&site.introduction);
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    site.wait_up_to_date(&second);
    (site, second)
}

fn running(site: &Site, device: &str) -> Claim {
    site.device(device).state_of_agent().and_then(|status| status.running).expect("it runs something")
}

/// Starts a device's agent again, so that it pulls what is published now.
fn pull_again(site: &mut Site, device: &str) {
    let device = site.device_mut(device);
    device.kill();
    device.start();
}

/// The device says that it refuses what it finds, where an operator looks, and keeps what it runs.
fn refuses(site: &Site, device: &str, code: &str, what: &str) {
    site.wait(&format!("{device} refuses by {code}"), || {
        let failure = site.device(device).state_of_agent()?.failure?;
        (failure.code == code && failure.message.contains(what)).then_some(())
    });
    let said = site.device(device).status();
    assert!(said.contains(code) && said.contains(what), "{said}");
    assert!(site.device(device).log().contains(what), "{}", site.device(device).log());
    assert_eq!(site.device(device).read(MESSAGE), Some(format!("message 2 for {device}\n")));
}

/// What is landed next is taken: nothing above was left behind.
fn goes_on(site: &Site) {
    site.engineer.replace("fleets/edge.yaml", "message 2", "message 3");
    let third = site.land("Say message 3");
    site.wait_up_to_date(&third);
    for device in &site.devices {
        assert_eq!(device.read(MESSAGE), Some(format!("message 3 for {}\n", device.name)));
    }
}

/// A device at its second landing finds `hostile` instead of what the reconciler published, and refuses it by `code`.
/// One attempt a site: the reconciler publishes anew as soon as the device shows it metadata that it did not make.
fn refuses_offer(code: &str, what: impl Fn(&Site) -> String, hostile: impl Fn(&Site, &Claim) -> SignedOffer) {
    let (mut site, second) = at_second_landing(1);
    let claim = running(&site, "edge-1");
    Intruder::with_keys_of(&site).publish(&site, "edge-1", hostile(&site, &claim));
    pull_again(&mut site, "edge-1");
    refuses(&site, "edge-1", code, &what(&site));
    assert_eq!(running(&site, "edge-1").version.commit, second);
    goes_on(&site);
}

fn first_landing(site: &Site) -> Version {
    Version { landing: 1, commit: site.introduction, revision: 0 }
}

#[test]
fn an_unexplained_lower_version_is_refused() {
    refuses_offer("BW-0630", |_| "v1".to_owned(), |site, claim| offer(claim, first_landing(site), None));
}

#[test]
fn an_explanation_that_is_about_something_else_explains_nothing() {
    refuses_offer(
        "BW-0630",
        |_| "is not what runs".to_owned(),
        |site, claim| {
            let first = first_landing(site);
            offer(claim, first, Some(Supersedes::Running { version: first, digest: claim.digest }))
        },
    );
}

#[test]
fn an_altered_version_is_refused() {
    refuses_offer("BW-0631", |_| "other content".to_owned(), |_, claim| offer(claim, claim.version, None));
}

#[test]
fn the_same_number_at_another_commit_is_no_other_version() {
    refuses_offer(
        "BW-0631",
        |site| site.introduction.short(),
        |site, claim| offer(claim, Version { commit: site.introduction, ..claim.version }, None),
    );
}

/// Before its first effect an agent asks, and the reconciler acknowledges only what it offered itself.
#[test]
fn what_the_reconciler_did_not_offer_is_never_applied() {
    let (mut site, _) = at_second_landing(1);
    let claim = running(&site, "edge-1");
    let exactly = Supersedes::Running { version: claim.version, digest: claim.digest };
    let first = first_landing(&site);
    Intruder::with_keys_of(&site).publish(&site, "edge-1", offer(&claim, first, Some(exactly)));
    pull_again(&mut site, "edge-1");

    site.wait("the agent asks", || site.device("edge-1").log().contains("pulled offer=\"v1").then_some(()));
    let paused = site.wait_summary("edge-1", Summary::ConflictPaused);
    assert!(paused.why.contains("BW-0302") || paused.why.contains("signed"), "{}", paused.why);
    assert_eq!(site.device("edge-1").read(MESSAGE).as_deref(), Some("message 2 for edge-1\n"));
}

#[test]
fn metadata_of_another_device_is_refused() {
    let (mut site, _) = at_second_landing(2);
    let claim = running(&site, "edge-2");
    // Higher than anything that edge-1 has seen, and signed by the right keys, but for edge-2.
    Intruder::with_keys_of(&site).publish(&site, "edge-2", offer(&claim, claim.version, None));
    let [one, two] = ["edge-1", "edge-2"].map(|device| site.store().join("devices").join(device));
    copy_over(&two, &one);
    pull_again(&mut site, "edge-1");
    refuses(&site, "edge-1", "BW-0621", "edge-2");
}

#[test]
fn metadata_signed_by_foreign_keys_is_refused() {
    let (mut site, _) = at_second_landing(1);
    let claim = running(&site, "edge-1");
    let elsewhere = site.path("elsewhere");
    let now = jiff::Timestamp::now();
    let made = keys::init(&elsewhere.join("root"), &elsewhere.join("online"), now).expect("keys");
    let store = elsewhere.join("store");
    let objects = Objects::in_directory(&store).expect("a store");
    let foreign = tokio::runtime::Runtime::new().expect("a runtime");
    foreign.block_on(publish_root(&objects, &made.root_json)).expect("a root");
    let higher = Version { landing: 9, ..claim.version };
    Intruder::new(&store, &elsewhere.join("online")).publish(&site, "edge-1", offer(&claim, higher, None));

    copy_over(&store.join("devices/edge-1"), &site.store().join("devices/edge-1"));
    pull_again(&mut site, "edge-1");
    refuses(&site, "edge-1", "BW-0620", "timestamp.json");
}

#[test]
fn older_metadata_is_refused() {
    let site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    let (folder, kept) = (site.store().join("devices/edge-1"), site.path("kept"));
    std::fs::create_dir_all(&kept).expect("a folder can be made");
    copy_over(&folder, &kept);
    let mut site = site;
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    site.wait_up_to_date(&second);
    copy_over(&kept, &folder);
    pull_again(&mut site, "edge-1");
    refuses(&site, "edge-1", "BW-0620", "timestamp.json");
    goes_on(&site);
}

#[test]
fn torn_metadata_is_refused_and_mended_by_the_next_start() {
    let (mut site, _) = at_second_landing(1);
    let folder = site.store().join("devices/edge-1");
    for role in ["timestamp.json", "targets.json"] {
        let files = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        let torn = files.filter(|path| path.to_string_lossy().ends_with(role)).max().expect("there is one");
        let whole = std::fs::read(&torn).expect("a file");
        std::fs::write(&torn, &whole[..whole.len() / 2]).expect("a file can be written");
        // What it holds verified already and needs no second look: a device that lost its cache does.
        site.device_mut("edge-1").kill();
        std::fs::remove_file(site.device("edge-1").state().join("metadata.json")).expect("the agent wrote it");
        pull_again(&mut site, "edge-1");
        refuses(&site, "edge-1", "BW-0620", role);

        site.kill_reconciler();
        site.start_reconciler();
        site.wait("the failure is over", || site.device("edge-1").failure().is_none().then_some(()));
        site.wait_devices("it is up to date", |views| {
            views.iter().all(|view| view.status.updated.status == Updated::UpToDate)
        });
    }
    goes_on(&site);
}

/// Copies the files of one folder over those of another.
fn copy_over(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let file: PathBuf = entry.expect("an entry").path();
        std::fs::copy(&file, to.join(file.file_name().expect("a name"))).expect("a file can be copied");
    }
}
