//! A repository in memory, the world on it, and a database in a folder: what a pass uses, but for publishing.

use std::collections::BTreeMap;

use bellwether_core::admission::Identity;
use bellwether_core::objects::{MemoryObjects, ObjectKind};
use bellwether_core::verify::{Introduction, sign_commit};
use bellwether_schemas::report::{Claim, Health, Phase, Report, Reported};
use bellwether_schemas::targets::SignedOffer;
use bellwether_schemas::{CommitId, DeviceName, ObjectId, Seconds, Sha256Digest};
use jiff::{SignedDuration, Timestamp};
use ssh_key::private::{Ed25519Keypair, KeypairData, PrivateKey};

use crate::repository::{Repository, SharedObjects};
use crate::store::{Loaded, PlanError, PlanId, Store};
use crate::world::{Device, Timing, World};

/// Commits, as an engineer lands them.
#[derive(Clone)]
pub(super) struct Git {
    objects: MemoryObjects,
    files: BTreeMap<String, String>,
    pub(super) tip: Option<CommitId>,
    commits: u32,
}

fn key() -> PrivateKey {
    PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[1; 32])), "").expect("a plain key")
}

impl Git {
    /// A signed first commit: a policy, an Enrollment of `edge-1` and `edge-2`, and these files.
    pub(super) fn begin(files: &[(&str, &str)]) -> Self {
        let mut git = Self { objects: MemoryObjects::default(), files: BTreeMap::new(), tip: None, commits: 0 };
        let line = key().public_key().to_openssh().expect("a key line");
        let policy = format!(
            "{{version: 1, branch: main, expires: \"2100-01-01T00:00:00Z\", people: {{ada: {{ssh: [\"{line}\"]}}}}, \
             roles: {{owners: {{members: [ada]}}}}, rules: [{{paths: [\"trust/**\"], role: owners}}, \
             {{paths: [\"**\"], role: owners}}]}}"
        );
        let token = |device: &str| {
            let hash = Sha256Digest::of(device.as_bytes());
            format!("{{id: {device}, sha256: \"{hash}\", expires: \"2100-01-01T00:00:00Z\", device: {device}}}")
        };
        let plant = format!("{{labels: {{role: edge}}, tokens: [{}, {}]}}", token("edge-1"), token("edge-2"));
        git.land(&[&[("trust/policy.yaml", &*policy), ("enrollments/plant.yaml", &*plant)], files].concat());
        git
    }

    /// The same repository, in which the content of a file cannot be read.
    pub(super) fn without(&self, content: &str) -> Self {
        let mut damaged = self.clone();
        damaged.objects.remove(&bellwether_core::objects::object_id(ObjectKind::Blob, content.as_bytes()));
        damaged
    }

    /// Lands these files; a manifest is given by its spec alone.
    pub(super) fn land(&mut self, files: &[(&str, &str)]) {
        for (path, content) in files {
            if path.starts_with("files/") {
                self.files.insert((*path).to_owned(), (*content).to_owned());
                continue;
            }
            let kind = match path.split_once('/').map(|(folder, _)| folder) {
                Some("trust") => "TrustPolicy",
                Some("enrollments") => "Enrollment",
                Some("fleets") => "Fleet",
                Some("rollouts") => "Rollout",
                Some("resumes") => "Resume",
                other => panic!("{other:?} is no folder of these tests"),
            };
            let stem = path.rsplit('/').next().and_then(|file| file.strip_suffix(".yaml")).expect("a manifest");
            let text =
                format!("apiVersion: bellwether/v1\nkind: {kind}\nmetadata: {{name: {stem}}}\nspec: {content}\n");
            self.files.insert((*path).to_owned(), text);
        }
        self.commits += 1;
        let files: Vec<(String, ObjectId)> = self
            .files
            .iter()
            .map(|(path, text)| (path.clone(), self.objects.insert(ObjectKind::Blob, text.as_bytes())))
            .collect();
        let tree = self.tree(&files);
        let parent = self.tip.map(|tip| format!("parent {tip}\n")).unwrap_or_default();
        let person = format!("ada <ada@example.org> {} +0000", 1_700_000_000 + self.commits);
        let unsigned =
            format!("tree {tree}\n{parent}author {person}\ncommitter {person}\n\nlanding {}\n", self.commits);
        let signed = sign_commit(unsigned.as_bytes(), &key()).expect("signed");
        let id = self.objects.insert(ObjectKind::Commit, signed);
        self.tip = CommitId::from_bytes(id.as_bytes());
    }

    fn tree(&mut self, files: &[(String, ObjectId)]) -> ObjectId {
        let mut folders: BTreeMap<&str, Vec<(String, ObjectId)>> = BTreeMap::new();
        let mut raw: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let entry =
            |mode: &str, name: &str, id: &ObjectId| [format!("{mode} {name}\0").as_bytes(), id.as_bytes()].concat();
        for (path, id) in files {
            match path.split_once('/') {
                Some((folder, rest)) => folders.entry(folder).or_default().push((rest.to_owned(), *id)),
                None => drop(raw.insert(path.clone(), entry("100644", path, id))),
            }
        }
        for (name, files) in folders {
            let id = self.tree(&files);
            raw.insert(format!("{name}/"), entry("40000", name, &id));
        }
        self.objects.insert(ObjectKind::Tree, raw.into_values().collect::<Vec<_>>().concat())
    }

    pub(super) fn introduction(&self) -> Introduction {
        let policy = Sha256Digest::of(self.files["trust/policy.yaml"].as_bytes());
        Introduction { commit: self.tip.expect("a commit"), policy_sha256: policy }
    }
}

/// The world with its database and its clock.
pub(super) struct Site {
    pub(super) world: World,
    pub(super) introduction: Introduction,
    pub(super) now: Timestamp,
    store: Store,
    _dir: tempfile::TempDir,
}

pub(super) const STALE: SignedDuration = SignedDuration::from_secs(180);

impl Site {
    /// Introduced at the tip of `git`, with what another database had; its own is empty.
    pub(super) async fn open(git: &Git, loaded: Loaded) -> Self {
        let loaded = Loaded { plan: PlanId::default(), ..loaded };
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(&format!("sqlite://{}", dir.path().join("state.db").display())).await.expect("opened");
        let now = Timestamp::constant(1_800_000_000, 0);
        let introduction = git.introduction();
        let mut site = Self { world: world(git, introduction, loaded, now), introduction, now, store, _dir: dir };
        site.fetch(git);
        site
    }

    /// Fetches, and takes the tip.
    pub(super) fn fetch(&mut self, git: &Git) {
        self.world.repository.reopen(SharedObjects::new(git.objects.clone()));
        let moved = self.world.repository.advance(&git.tip.expect("a commit"), self.now);
        self.world.fetched();
        if moved.condition || !moved.landings.is_empty() {
            self.world.moved();
        }
    }

    /// A pass with these reports, stored.
    pub(super) async fn pass(&mut self, reports: &[(&str, Reported)]) -> Result<(), PlanError> {
        for (device, reported) in reports {
            self.world.observe(&identity(device), reported.clone(), None, self.now);
        }
        self.world.plan(&"example.org".parse().expect("a domain"), self.now);
        let reporters: Vec<DeviceName> = reports.iter().map(|(device, _)| device.parse().expect("a name")).collect();
        self.world.acknowledge(&reporters, self.now);
        if let Some(change) = self.world.take_change() {
            self.world.plan = self.store.commit_plan(self.world.plan, &change, self.now).await?;
        }
        Ok(())
    }

    pub(super) fn later(&mut self, span: SignedDuration) {
        self.now = self.now.checked_add(span).expect("a time");
    }

    pub(super) fn device(&self, name: &str) -> &Device {
        &self.world.devices()[&name.parse::<DeviceName>().expect("a name")]
    }

    pub(super) fn offer(&self, name: &str) -> Option<SignedOffer> {
        self.device(name).row.offer.as_ref().map(|offer| offer.signed.clone())
    }

    /// The database, as a start would read it.
    pub(super) async fn stored(&self) -> Loaded {
        self.store.load_all().await.expect("loaded")
    }
}

fn world(git: &Git, introduction: Introduction, loaded: Loaded, now: Timestamp) -> World {
    let mut repository = Repository::new(SharedObjects::new(git.objects.clone()), introduction, "main");
    repository.restore(loaded.head.clone());
    let hour = SignedDuration::from_hours(1);
    let timing = Timing {
        heartbeat: "1m".parse::<Seconds>().expect("a span"),
        stale_after: "3m".parse::<Seconds>().expect("a span"),
        serving_since: now.checked_sub(hour).expect("a time"),
    };
    World::new(repository, timing, loaded).expect("readable")
}

pub(super) fn identity(device: &str) -> Identity {
    format!("bellwether://example.org/plant/{device}/{device}").parse().expect("an identity")
}

/// What a device that runs nothing says.
pub(super) fn idle() -> Report {
    Report {
        nonce: "n-1".to_owned(),
        agent: "0.1.0".to_owned(),
        running: None,
        applying: None,
        phase: Phase::Idle,
        health: Health::Unknown,
        failure: None,
        clock: Timestamp::UNIX_EPOCH,
    }
}

/// What a device says that runs what it was offered, and is well.
pub(super) fn runs(offer: &SignedOffer) -> Report {
    Report { running: Some(claim(offer)), phase: Phase::Committed, health: Health::Healthy, ..idle() }
}

pub(super) fn claim(offer: &SignedOffer) -> Claim {
    Claim { version: offer.version, template: offer.template, digest: offer.digest }
}
