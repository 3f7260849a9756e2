//! What tests are made of: repositories in memory, signed by the signer that programs use.

#![allow(clippy::result_large_err, reason = "a refusal ends a run of landings; it is not on a hot path")]

mod story;

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_schemas::manifest::TrustPolicy;
use bellwether_schemas::{CommitId, ObjectId, Sha256Digest};
use jiff::Timestamp;
use ssh_key::PrivateKey;
use ssh_key::private::{Ed25519Keypair, KeypairData};

use crate::objects::{MemoryObjects, ObjectKind};
use crate::verify::{Introduction, Refusal, VerifiedHistory, VerifiedLanding, sign_commit};

pub(crate) use story::{Story, labels, manifest, name};

pub(crate) const FLEET: &str = "fleets/gateways.yaml";
pub(crate) const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// The key of a person; each number is another person's.
pub(crate) fn key(seed: u8) -> PrivateKey {
    let pair = Ed25519Keypair::from_seed(&[seed; 32]);
    PrivateKey::new(KeypairData::Ed25519(pair), "").expect("a plain key")
}

pub(crate) const ADA: u8 = 1;
pub(crate) const BOB: u8 = 2;
pub(crate) const ROBOT: u8 = 3;
pub(crate) const STRANGER: u8 = 9;

pub(crate) fn key_line(seed: u8) -> String {
    key(seed).public_key().to_openssh().expect("a key line")
}

/// A policy in which ada owns trust/, and ada, bob and a bot operate fleets/ and files/.
pub(crate) struct PolicyText {
    pub(crate) version: u64,
    pub(crate) branch: &'static str,
    pub(crate) expires: &'static str,
    pub(crate) bob: String,
    pub(crate) roles: &'static str,
    pub(crate) rules: &'static str,
}

impl Default for PolicyText {
    fn default() -> Self {
        Self {
            version: 1,
            branch: "main",
            expires: "2100-01-01T00:00:00Z",
            bob: key_line(BOB),
            roles: r#"{"owners": {"members": ["ada"]}, "operators": {"members": ["ada", "bob", "robot"]}}"#,
            rules: concat!(
                r#"[{"paths": ["trust/**"], "role": "owners"},"#,
                r#" {"paths": ["fleets/**", "files/**"], "role": "operators"}]"#
            ),
        }
    }
}

impl PolicyText {
    /// The policy as `yaml` would read it, without what it refuses.
    pub(crate) fn manifest(&self) -> TrustPolicy {
        let parse = |text: &str| -> serde_json::Value { serde_json::from_str(text).expect("JSON") };
        let people = serde_json::json!({
            "ada": {"ssh": [key_line(ADA)]},
            "bob": {"ssh": [self.bob]},
            "robot": {"ssh": [key_line(ROBOT)], "bot": true},
        });
        serde_json::from_value(serde_json::json!({
            "version": self.version, "branch": self.branch, "expires": self.expires,
            "people": people, "roles": parse(self.roles), "rules": parse(self.rules),
        }))
        .expect("a policy")
    }

    pub(crate) fn text(&self) -> String {
        let Self { version, branch, expires, bob, roles, rules } = self;
        format!(
            r#"apiVersion: bellwether/v1
kind: TrustPolicy
metadata:
  name: policy
spec:
  version: {version}
  branch: {branch}
  expires: "{expires}"
  people:
    ada:
      ssh: ["{ada}"]
    bob:
      ssh: ["{bob}"]
    robot:
      ssh: ["{robot}"]
      bot: true
  roles: {roles}
  rules: {rules}
"#,
            ada = key_line(ADA),
            robot = key_line(ROBOT),
        )
    }
}

/// What a test writes: objects, and the files of the commit at hand.
#[derive(Clone, Default)]
pub(crate) struct Repository {
    pub(crate) objects: MemoryObjects,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) commits: u32,
}

impl Repository {
    /// A repository with a policy and a fleet, introduced at its first commit.
    pub(crate) fn introduced() -> (Self, VerifiedHistory, Arc<VerifiedLanding>) {
        Self::introduced_with(&PolicyText::default())
    }

    pub(crate) fn introduced_with(policy: &PolicyText) -> (Self, VerifiedHistory, Arc<VerifiedLanding>) {
        let mut repository = Self::default();
        repository.put("trust/policy.yaml", policy.text()).put(FLEET, "v1");
        let commit = repository.commit(&[], Some(ADA));
        let (history, landing) = repository.introduce(commit).expect("the introduction counts");
        (repository, history, landing)
    }

    pub(crate) fn introduce(&self, commit: CommitId) -> Result<(VerifiedHistory, Arc<VerifiedLanding>), Refusal> {
        VerifiedHistory::introduce(&self.objects, &self.introduction(commit), "main")
    }

    pub(crate) fn introduction(&self, commit: CommitId) -> Introduction {
        Introduction { commit, policy_sha256: Sha256Digest::of(&self.files["trust/policy.yaml"]) }
    }

    pub(crate) fn put(&mut self, path: &str, content: impl Into<Vec<u8>>) -> &mut Self {
        self.files.insert(path.to_owned(), content.into());
        self
    }

    pub(crate) fn remove(&mut self, path: &str) -> &mut Self {
        self.files.remove(path).expect("the file is there");
        self
    }

    /// Writes the files as trees, and returns the root.
    pub(crate) fn tree(&mut self) -> ObjectId {
        let files: Vec<(String, ObjectId)> = self
            .files
            .iter()
            .map(|(path, content)| (path.clone(), self.objects.insert(ObjectKind::Blob, content.as_slice())))
            .collect();
        self.folder(&files)
    }

    fn folder(&mut self, files: &[(String, ObjectId)]) -> ObjectId {
        let mut folders: BTreeMap<String, Vec<(String, ObjectId)>> = BTreeMap::new();
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (path, id) in files {
            match path.split_once('/') {
                Some((folder, rest)) => folders.entry(folder.to_owned()).or_default().push((rest.to_owned(), *id)),
                None => entries.push((path.clone().into_bytes(), tree_entry("100644", path, id))),
            }
        }
        for (name, files) in folders {
            let id = self.folder(&files);
            entries.push((format!("{name}/").into_bytes(), tree_entry("40000", &name, &id)));
        }
        entries.sort();
        let raw: Vec<u8> = entries.into_iter().flat_map(|(_, entry)| entry).collect();
        self.objects.insert(ObjectKind::Tree, raw)
    }

    /// The files as a commit, signed by `signer` if any.
    pub(crate) fn commit(&mut self, parents: &[CommitId], signer: Option<u8>) -> CommitId {
        let tree = self.tree();
        self.commit_tree(tree, parents, signer)
    }

    /// An empty commit on `parent` that endorses `endorsed`.
    pub(crate) fn endorse(&mut self, parent: CommitId, endorsed: CommitId, signer: Option<u8>) -> CommitId {
        let tree = self.tree();
        self.commits += 1;
        let mut raw = unsigned_commit(&tree, &[parent], self.commits);
        raw.extend_from_slice(format!("\nEndorses: {endorsed}\n").as_bytes());
        self.write_commit(raw, signer)
    }

    pub(crate) fn commit_tree(&mut self, tree: ObjectId, parents: &[CommitId], signer: Option<u8>) -> CommitId {
        self.commits += 1;
        let raw = unsigned_commit(&tree, parents, self.commits);
        self.write_commit(raw, signer)
    }

    fn write_commit(&mut self, raw: Vec<u8>, signer: Option<u8>) -> CommitId {
        let raw = match signer {
            Some(seed) => sign_commit(&raw, &key(seed)).expect("a plain key signs"),
            None => raw,
        };
        self.objects.insert(ObjectKind::Commit, raw)
    }
}

pub(crate) fn tree_entry(mode: &str, name: impl AsRef<[u8]>, id: &ObjectId) -> Vec<u8> {
    [mode.as_bytes(), b" ", name.as_ref(), b"\0", id.as_bytes()].concat()
}

pub(crate) fn unsigned_commit(tree: &ObjectId, parents: &[CommitId], number: u32) -> Vec<u8> {
    let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
    let who = format!("Ada Example <ada@example.com> {} +0100", 1_700_000_000 + number);
    format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\nCommit {number}\n\nWith a body.\n").into_bytes()
}
