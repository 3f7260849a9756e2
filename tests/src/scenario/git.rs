//! The repository that engineers work in, in memory: real objects, real signatures.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bellwether_core::objects::{MemoryObjects, ObjectKind, object_id};
use bellwether_core::verify::{Introduction, sign_commit};
use bellwether_schemas::{CommitId, ObjectId, Sha256Digest};
use jiff::Timestamp;
use ssh_key::PrivateKey;
use ssh_key::private::Ed25519Keypair;

const POLICY: &str = "trust/policy.yaml";

/// A clone, with what is staged in it.
#[derive(Default)]
pub(super) struct Git {
    pub(super) objects: MemoryObjects,
    /// The working tree.
    pub(super) files: BTreeMap<String, String>,
    /// Its landings, the oldest first.
    pub(super) line: Vec<CommitId>,
    trees: HashMap<CommitId, BTreeMap<String, String>>,
    /// Landings that are on the line no more, with their numbers.
    left: Vec<(CommitId, usize)>,
    /// Contents that the repository does not have.
    lost: BTreeSet<ObjectId>,
}

/// Who makes a landing.
#[derive(Debug, Clone)]
pub(super) struct Signers {
    /// Signs it.
    pub(super) by: String,
    /// Wrote it on a branch, and signed that: then it is a merge.
    pub(super) with: Option<String>,
}

impl Git {
    /// Lands what is staged.
    pub(super) fn commit(&mut self, message: &str, signers: &Signers, at: Timestamp) -> CommitId {
        let tree = self.write_tree();
        let tip = self.line.last().copied();
        let mut parents: Vec<CommitId> = tip.into_iter().collect();
        if let Some(author) = &signers.with {
            let branch = self.write_commit(tree, &parents, message, author, at);
            parents.push(branch);
        }
        let landing = self.write_commit(tree, &parents, message, &signers.by, at);
        self.trees.insert(landing, self.files.clone());
        self.line.push(landing);
        landing
    }

    /// Sets the branch back to a landing.
    pub(super) fn rewind(&mut self, number: usize) {
        let lost = self.line.split_off(number);
        self.left.extend(lost.into_iter().enumerate().map(|(i, commit)| (commit, number + i + 1)));
        self.files = self.trees[self.line.last().expect("a landing is left")].clone();
    }

    /// Puts the branch where it was before it was set back last.
    pub(super) fn restore(&mut self) {
        for (commit, number) in std::mem::take(&mut self.left) {
            self.line.truncate(number - 1);
            self.line.push(commit);
        }
        self.files = self.trees[self.line.last().expect("a landing is left")].clone();
    }

    /// Takes back what a landing changed.
    pub(super) fn revert(&mut self, number: usize) -> Result<(), String> {
        let at = |number: usize| number.checked_sub(1).and_then(|i| self.line.get(i)).map(|commit| &self.trees[commit]);
        let (Some(before), Some(after)) = (at(number - 1).cloned(), at(number).cloned()) else {
            return Err(format!("there is no v{number} with a landing before it"));
        };
        let changed = |path: &&String| before.get(*path) != after.get(*path);
        let paths: Vec<String> = before.keys().chain(after.keys()).filter(changed).cloned().collect();
        for path in paths {
            match before.get(&path) {
                Some(text) => drop(self.files.insert(path, text.clone())),
                None => drop(self.files.remove(&path)),
            }
        }
        Ok(())
    }

    /// Whether something is staged.
    pub(super) fn is_dirty(&self) -> bool {
        self.line.last().is_none_or(|tip| self.trees[tip] != self.files)
    }

    /// The first landing, as a reconciler's configuration pins it.
    pub(super) fn introduction(&self) -> Introduction {
        let commit = self.line[0];
        Introduction { commit, policy_sha256: Sha256Digest::of(self.trees[&commit][POLICY].as_bytes()) }
    }

    /// The content of a staged file is not in the repository.
    pub(super) fn lose(&mut self, path: &str) -> Result<(), String> {
        let text = self.files.get(path).ok_or_else(|| format!("there is no {path}"))?;
        self.lost.insert(object_id(ObjectKind::Blob, text.as_bytes()));
        Ok(())
    }

    /// It is there again.
    pub(super) fn find(&mut self) {
        self.lost.clear();
        self.write_tree();
    }

    /// Commits by their versions, also those that are on the line no more.
    pub(super) fn named(&self) -> impl Iterator<Item = (CommitId, String)> {
        let line = self.line.iter().enumerate().map(|(i, commit)| (*commit, format!("v{}", i + 1)));
        let left = self.left.iter().map(|(commit, number)| (*commit, format!("the lost v{number}")));
        line.chain(left)
    }

    /// A policy by which these people may do everything, and what they may not do alone.
    pub(super) fn write_policy(&mut self, people: &[String], two: &[String]) {
        let keys: Vec<String> = people
            .iter()
            .map(|name| {
                let line = key(name).public_key().to_openssh().expect("a key line");
                format!("{name}: {{ssh: [\"{line}\"]}}")
            })
            .collect();
        let double = two.iter().map(|path| format!(", {{paths: [\"{path}\"], role: owners, signers: 2}}"));
        let text = format!(
            "apiVersion: bellwether/v1\nkind: TrustPolicy\nmetadata: {{name: policy}}\nspec: {{version: 1, branch: main, \
             expires: \"2100-01-01T00:00:00Z\", people: {{{}}}, roles: {{owners: {{members: [{}]}}}}, rules: [{{paths: \
             [\"trust/**\"], role: owners}}, {{paths: [\"**\"], role: owners}}{}]}}\n",
            keys.join(", "),
            people.join(", "),
            double.collect::<String>()
        );
        self.files.insert(POLICY.to_owned(), text);
    }

    fn write_commit(
        &mut self,
        tree: ObjectId,
        parents: &[CommitId],
        message: &str,
        who: &str,
        at: Timestamp,
    ) -> CommitId {
        let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let person = format!("{who} <{who}@example.org> {} +0000", at.as_second());
        let unsigned = format!("tree {tree}\n{parents}author {person}\ncommitter {person}\n\n{message}\n");
        let raw = sign_commit(unsigned.as_bytes(), &key(who)).expect("signed");
        let id = self.objects.insert(ObjectKind::Commit, raw);
        CommitId::from_bytes(id.as_bytes()).expect("a commit")
    }

    fn write_tree(&mut self) -> ObjectId {
        let files: Vec<(String, ObjectId)> = self
            .files
            .iter()
            .map(|(path, text)| (path.clone(), self.objects.insert(ObjectKind::Blob, text.as_bytes())))
            .collect();
        for lost in &self.lost {
            self.objects.remove(lost);
        }
        tree(&files, &mut self.objects)
    }
}

fn tree(files: &[(String, ObjectId)], objects: &mut MemoryObjects) -> ObjectId {
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
        let id = tree(&files, objects);
        raw.insert(format!("{name}/"), entry("40000", name, &id));
    }
    objects.insert(ObjectKind::Tree, raw.into_values().collect::<Vec<_>>().concat())
}

/// The key of a person: the same in each run.
fn key(name: &str) -> PrivateKey {
    let seed = Sha256Digest::of(name.as_bytes());
    PrivateKey::from(Ed25519Keypair::from_seed(seed.as_bytes()))
}

/// The text of a manifest, given by its spec alone.
pub(super) fn manifest(path: &str, spec: &str) -> Result<String, String> {
    let kind = match path.split_once('/').map(|(folder, _)| folder) {
        Some("files" | "artifacts") => return Ok(spec.to_owned()),
        Some("enrollments") => "Enrollment",
        Some("fleets") => "Fleet",
        Some("devices") => "Device",
        Some("rollouts") => "Rollout",
        Some("approvals") => "Approval",
        Some("holds") => "Hold",
        Some("expedites") => "Expedite",
        Some("resumes") => "Resume",
        _ => return Err(format!("{path} is in no folder of a repository")),
    };
    let file = path.rsplit('/').next().expect("a path has a last part");
    let name = file.strip_suffix(".yaml").ok_or_else(|| format!("{path} is no manifest"))?;
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    Ok(format!("apiVersion: bellwether/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n{spec}"))
}
