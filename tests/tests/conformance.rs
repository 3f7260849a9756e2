//! What a running site publishes is read by three independent TUF clients. (The agents read it too, over mutual TLS.)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bellwether_schemas::spec::{DeviceSpec, TargetRef};
use bellwether_schemas::targets::{Binding, EXTRA_KEY};
use bellwether_schemas::{CommitId, Sha256Digest};
use bellwether_tests::site::FLEET;
use bellwether_tests::{Site, SiteBuilder};
use futures::TryStreamExt as _;
use sigstore_tuf::client::Updater;
use sigstore_tuf::transport::{FetchFuture, Repository};

const PART: &str = env!("CARGO_BIN_EXE_part");
const LARGE: &str = "a file that is a target of its own\n";

/// A site whose devices have run two versions, with a target beside `spec.json`.
fn published() -> (Site, CommitId) {
    let site = SiteBuilder::new(PART, 3).start();
    site.wait_up_to_date(&site.introduction);
    let source = "    files:\n      - {path: /opt/bellwether/large, source: files/large.txt}\n";
    site.engineer.write("files/large.txt", LARGE);
    site.engineer.write("fleets/edge.yaml", &FLEET.replace("    files:\n", source));
    let second = site.land("A file of the repository");
    site.wait_up_to_date(&second);
    (site, second)
}

/// What each device must find, as the API says: its digest, and that of every target.
fn expected(site: &Site) -> Vec<(String, BTreeMap<String, Sha256Digest>)> {
    let large = TargetRef::to(LARGE.as_bytes());
    let of = |spec| BTreeMap::from([("spec.json".to_owned(), spec), (large.name(), large.sha256)]);
    let views = site.views().into_iter();
    views.map(|view| (view.name.to_string(), of(view.target.expect("it has a target")))).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().expect("a runtime")
}

#[test]
fn tough_reads_it() {
    let (site, _) = published();
    let root = std::fs::read(site.root_json()).expect("a root");
    let url = |path: &Path| url::Url::from_directory_path(path).expect("an absolute path");
    for (device, targets) in expected(&site) {
        let metadata = url(&site.store().join("devices").join(&device));
        let loader = tough::RepositoryLoader::new(&root, metadata, url(&site.store().join("targets")));
        let read = async {
            let repository = loader.transport(tough::FilesystemTransport).load().await.expect("tough accepts it");
            let mut found = BTreeMap::new();
            for (name, _) in repository.all_targets() {
                let stream = repository.read_target(name).await.expect("a target").expect("it is listed");
                let chunks: Vec<_> = stream.try_collect().await.expect("it is whole");
                found.insert(name.raw().to_owned(), Sha256Digest::of(&chunks.concat()));
            }
            found
        };
        assert_eq!(runtime().block_on(read), targets, "{device}");
    }
}

/// A published repository as a directory.
struct Files {
    store: PathBuf,
    device: String,
}

impl Repository for Files {
    fn fetch_metadata<'a>(&'a self, name: &'a str, _: u64) -> FetchFuture<'a> {
        let folder = if name.ends_with(".root.json") { "root".to_owned() } else { format!("devices/{}", self.device) };
        Box::pin(std::future::ready(Ok(std::fs::read(self.store.join(folder).join(name)).ok())))
    }
    fn fetch_target<'a>(&'a self, path: &'a str, _: u64) -> FetchFuture<'a> {
        Box::pin(std::future::ready(Ok(std::fs::read(self.store.join("targets").join(path)).ok())))
    }
}

#[test]
fn sigstore_tuf_reads_it_with_what_we_signed_beside() {
    let (site, second) = published();
    let root = std::fs::read(site.root_json()).expect("a root");
    for (device, targets) in expected(&site) {
        let read = async {
            let files = Files { store: site.store(), device: device.clone() };
            let mut updater = Updater::new(files, &root).expect("a root");
            let now = jiff::Timestamp::now();
            updater.refresh(now).await.expect("sigstore-tuf accepts it");
            for (name, digest) in &targets {
                let content = updater.get_target(name, now).await.expect("a target");
                assert_eq!(Sha256Digest::of(&content), *digest, "{device}: {name}");
                if name == "spec.json" {
                    let spec = DeviceSpec::from_canonical(&content).expect("a canonical spec");
                    assert_eq!(spec.targets().count(), 1);
                }
            }
            let role = updater.trusted().targets_role("targets").expect("targets");
            assert_eq!(role.targets.len(), targets.len());
            serde_json::from_value::<Binding>(role.extra[EXTRA_KEY].clone()).expect("a binding")
        };
        let binding = runtime().block_on(read);
        let offer = binding.offer.expect("an offer");
        assert_eq!(binding.device.as_str(), device);
        assert_eq!((offer.version.commit, offer.version.landing, offer.template), (second, 2, second));
        assert_eq!(offer.digest, targets["spec.json"]);
    }
}

/// A Python that has the module `tuf`: the one that the environment names, else the system's if it has it.
fn python() -> Option<String> {
    if let Ok(named) = std::env::var("BELLWETHER_PYTHON") {
        return Some(named);
    }
    let has_it = Command::new("python3").args(["-c", "import tuf.ngclient"]).output().is_ok_and(|o| o.status.success());
    if !has_it {
        println!("skipped: no Python with the package tuf (set BELLWETHER_PYTHON; ci/test does)");
    }
    has_it.then(|| "python3".to_owned())
}

fn python_tuf(python: &str, site: &Site, device: &str, targets: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/read_with_python_tuf.py");
    let work = site.path("python").join(device);
    let mut command = Command::new(python);
    command.arg(script).arg(site.store()).arg(site.root_json()).arg(work).arg(device).args(targets);
    command.output().expect("python starts")
}

#[test]
fn python_tuf_reads_it() {
    let Some(python) = python() else { return };
    let (site, _) = published();
    for (device, targets) in expected(&site) {
        let names: Vec<&str> = targets.keys().map(String::as_str).collect();
        let output = python_tuf(&python, &site, &device, &names);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: BTreeMap<String, Sha256Digest> = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(found, targets, "{device}");
    }

    // The same client goes on with what is published next, and refuses what was before it.
    let folder = site.store().join("devices/edge-1");
    let before = std::fs::read(folder.join("timestamp.json")).expect("a file");
    site.engineer.write("files/large.txt", "another\n");
    let third = site.land("Another file");
    site.wait_up_to_date(&third);
    let output = python_tuf(&python, &site, "edge-1", &["spec.json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(folder.join("timestamp.json"), before).expect("a file can be written");
    let output = python_tuf(&python, &site, "edge-1", &["spec.json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("BadVersionNumberError"), "{said}");
}
