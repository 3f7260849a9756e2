//! What tests are made of: a repository in memory, signed by the signer that programs use, an installation, reports.

mod database;
mod installation;

use std::collections::{BTreeMap, HashMap};

use bellwether_core::objects::{MemoryObjects, ObjectKind, object_id};
use bellwether_core::verify::{Introduction, sign_commit};
use bellwether_schemas::report::{Health, Phase, Report};
use bellwether_schemas::{CommitId, ObjectId, Sha256Digest};
use jiff::Timestamp;
use ssh_key::private::{Ed25519Keypair, KeypairData, PrivateKey};

pub(crate) use database::{Place, on_each_database};
pub(crate) use installation::Installation;

/// When the first commit is made, in seconds; each further one is a second later.
pub(crate) const BEGUN: i64 = 1_700_000_000;

const POLICY: &str = "trust/policy.yaml";

/// What a device that runs nothing says, whose clock stands at the beginning of time.
pub(crate) fn idle() -> Report {
    Report {
        nonce: "n-1".to_owned(),
        agent: "0.1.0".to_owned(),
        running: None,
        applying: None,
        begun: None,
        phase: Phase::Idle,
        health: Health::Unknown,
        failure: None,
        clock: Timestamp::UNIX_EPOCH,
    }
}

/// Commits, as an engineer lands them.
#[derive(Clone, Default)]
pub(crate) struct Git {
    pub(crate) objects: MemoryObjects,
    files: BTreeMap<String, String>,
    pub(crate) tip: Option<CommitId>,
    /// The date of the next commit, where it is not simply a second later.
    pub(crate) date: Option<i64>,
    commits: i64,
    made: HashMap<CommitId, Made>,
}

/// What a commit is made of.
#[derive(Clone)]
struct Made {
    parent: Option<CommitId>,
    files: BTreeMap<String, String>,
    objects: Vec<(ObjectKind, Vec<u8>)>,
}

fn key() -> PrivateKey {
    PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[1; 32])), "").expect("a plain key")
}

/// The spec of a policy by which Ada may do everything; `more` are further fields, each with a comma after it.
pub(crate) fn policy(version: u64, more: &str) -> String {
    let line = key().public_key().to_openssh().expect("a key line");
    format!(
        "{{version: {version}, branch: main, expires: \"2100-01-01T00:00:00Z\", {more} people: {{ada: {{ssh: \
         [\"{line}\"]}}}}, roles: {{owners: {{members: [ada]}}}}, rules: [{{paths: [\"trust/**\"], role: owners}}, \
         {{paths: [\"**\"], role: owners}}]}}"
    )
}

impl Git {
    /// A signed first commit: a policy, an Enrollment of `edge-1` and `edge-2`, and these files.
    pub(crate) fn begin(files: &[(&str, &str)]) -> Self {
        let mut git = Self::default();
        let token = |device: &str| {
            let hash = Sha256Digest::of(device.as_bytes());
            format!("{{id: {device}, sha256: \"{hash}\", expires: \"2100-01-01T00:00:00Z\", device: {device}}}")
        };
        let plant = format!("{{labels: {{role: edge}}, tokens: [{}, {}]}}", token("edge-1"), token("edge-2"));
        git.land(&[&[(POLICY, &*policy(1, "")), ("enrollments/plant.yaml", &*plant)], files].concat());
        git
    }

    /// The same repository, in which the content of a file cannot be read.
    pub(crate) fn without(&self, content: &str) -> Self {
        let mut damaged = self.clone();
        damaged.objects.remove(&object_id(ObjectKind::Blob, content.as_bytes()));
        damaged
    }

    /// The text of a file at the tip.
    pub(crate) fn file(&self, path: &str) -> &str {
        &self.files[path]
    }

    /// Goes to a commit, whose files the next one is made from.
    pub(crate) fn checkout(&mut self, commit: CommitId) {
        self.files = self.made[&commit].files.clone();
        self.tip = Some(commit);
    }

    /// The commits on the first-parent line up to a commit, the newest first.
    pub(crate) fn line(&self, tip: CommitId) -> impl Iterator<Item = CommitId> {
        std::iter::successors(Some(tip), |commit| self.made[commit].parent)
    }

    /// What a clone of a branch has.
    pub(crate) fn clone_of(&self, tip: CommitId) -> MemoryObjects {
        let mut objects = MemoryObjects::default();
        self.clone_into(tip, &mut objects);
        objects
    }

    /// Adds what a clone of a branch has, as a fetch does.
    pub(crate) fn clone_into(&self, tip: CommitId, objects: &mut MemoryObjects) {
        for commit in self.line(tip) {
            for (kind, content) in &self.made[&commit].objects {
                objects.insert(*kind, content.as_slice());
            }
        }
    }

    /// Lands these files; a manifest is given by its spec alone.
    pub(crate) fn land(&mut self, files: &[(&str, &str)]) -> CommitId {
        for (path, content) in files {
            self.files.insert((*path).to_owned(), text(path, content));
        }
        self.commits += 1;
        let mut made = Vec::new();
        let blob = |(path, text): (&String, &String)| {
            let content = text.as_bytes().to_vec();
            (path.clone(), object_id(ObjectKind::Blob, &content), content)
        };
        let blobs: Vec<_> = self.files.iter().map(blob).collect();
        let entries: Vec<(String, ObjectId)> = blobs.iter().map(|(path, id, _)| (path.clone(), *id)).collect();
        made.extend(blobs.into_iter().map(|(_, _, content)| (ObjectKind::Blob, content)));
        let tree = tree(&entries, &mut made);
        let parent = self.tip.map(|tip| format!("parent {tip}\n")).unwrap_or_default();
        let date = self.date.take().unwrap_or(BEGUN + self.commits);
        let person = format!("ada <ada@example.org> {date} +0000");
        let unsigned =
            format!("tree {tree}\n{parent}author {person}\ncommitter {person}\n\nlanding {}\n", self.commits);
        made.push((ObjectKind::Commit, sign_commit(unsigned.as_bytes(), &key()).expect("signed")));
        let ids: Vec<ObjectId> =
            made.iter().map(|(kind, content)| self.objects.insert(*kind, content.as_slice())).collect();
        let commit = ids.last().and_then(|id| CommitId::from_bytes(id.as_bytes())).expect("a commit");
        self.made.insert(commit, Made { parent: self.tip, files: self.files.clone(), objects: made });
        self.tip = Some(commit);
        commit
    }

    /// Lands a commit without a file.
    pub(crate) fn remove(&mut self, path: &str) -> CommitId {
        self.files.remove(path);
        self.land(&[])
    }

    /// The tip as an introduction.
    pub(crate) fn introduction(&self) -> Introduction {
        let policy = Sha256Digest::of(self.files[POLICY].as_bytes());
        Introduction { commit: self.tip.expect("a commit"), policy_sha256: policy }
    }
}

fn text(path: &str, content: &str) -> String {
    let kind = match path.split_once('/').map(|(folder, _)| folder) {
        Some("files") => return content.to_owned(),
        Some("trust") => "TrustPolicy",
        Some("enrollments") => "Enrollment",
        Some("fleets") => "Fleet",
        Some("devices") => "Device",
        Some("rollouts") => "Rollout",
        Some("resumes") => "Resume",
        Some("holds") => "Hold",
        Some("approvals") => "Approval",
        other => panic!("{other:?} is no folder of these tests"),
    };
    let stem = path.rsplit('/').next().and_then(|file| file.strip_suffix(".yaml")).expect("a manifest");
    format!("apiVersion: bellwether/v1\nkind: {kind}\nmetadata: {{name: {stem}}}\nspec: {content}\n")
}

fn tree(files: &[(String, ObjectId)], made: &mut Vec<(ObjectKind, Vec<u8>)>) -> ObjectId {
    let mut folders: BTreeMap<&str, Vec<(String, ObjectId)>> = BTreeMap::new();
    let mut raw: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let entry = |mode: &str, name: &str, id: &ObjectId| [format!("{mode} {name}\0").as_bytes(), id.as_bytes()].concat();
    for (path, id) in files {
        match path.split_once('/') {
            Some((folder, rest)) => folders.entry(folder).or_default().push((rest.to_owned(), *id)),
            None => drop(raw.insert(path.clone(), entry("100644", path, id))),
        }
    }
    for (name, files) in folders {
        let id = tree(&files, made);
        raw.insert(format!("{name}/"), entry("40000", name, &id));
    }
    let content = raw.into_values().collect::<Vec<_>>().concat();
    let id = object_id(ObjectKind::Tree, &content);
    made.push((ObjectKind::Tree, content));
    id
}
