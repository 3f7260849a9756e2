//! One landing, judged by the policy at its first parent and by nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_schemas::manifest::Kind;
use bellwether_schemas::{CommitId, ObjectId, PersonName, Sha256Digest, codes};
use jiff::Timestamp;

use super::commit::Commit;
use super::policy::{POLICY_PATH, Policy, SIGSTORE_ROOT_PATH, Verdict};
use super::refusal::Fault;
use super::signature::prove;
use super::tree::{Node, PathChange, Trees};
use crate::objects::{self, ObjectKind};

/// A landing that counts. Only this module makes it.
#[derive(Debug, Clone)]
pub struct VerifiedLanding {
    id: CommitId,
    number: u64,
    parent: Option<CommitId>,
    tree: ObjectId,
    signers: BTreeSet<PersonName>,
    spoken: Option<Timestamp>,
    policy: PolicyAt,
    summary: String,
    committed: Timestamp,
    changes: Vec<PathChange>,
}

impl VerifiedLanding {
    /// The commit.
    pub const fn id(&self) -> &CommitId {
        &self.id
    }

    /// `git rev-list --first-parent --count <commit>`.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The first parent; `None` for a root commit, which only an introduction can be.
    pub const fn parent(&self) -> Option<&CommitId> {
        self.parent.as_ref()
    }

    /// The root tree.
    pub const fn tree(&self) -> &ObjectId {
        &self.tree
    }

    /// Who stands for it: its signer and, in a clean merge, who wrote and endorsed what it brought.
    pub fn signers(&self) -> impl Iterator<Item = &PersonName> {
        self.signers.iter()
    }

    /// The newest date that somebody who stands for it signed, by their own clock; none where nobody did.
    pub const fn spoken(&self) -> Option<Timestamp> {
        self.spoken
    }

    /// The policy in its own tree.
    pub fn policy(&self) -> &Policy {
        &self.policy.policy
    }

    /// The version of the policy in its own tree.
    pub fn policy_version(&self) -> u64 {
        self.policy.policy.version()
    }

    /// The first line of its message, for people.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The committer's date, which the committer chose.
    pub const fn committed(&self) -> Timestamp {
        self.committed
    }

    /// What the next landing is compared with and judged by.
    pub(crate) fn as_base(&self) -> Base {
        Base { id: self.id, number: self.number, tree: self.tree, policy: self.policy.clone() }
    }

    /// What differs from the first parent, sorted by path; for an introduction its whole tree.
    pub fn changes(&self) -> &[PathChange] {
        &self.changes
    }
}

/// A policy and the blob it was read from.
#[derive(Debug, Clone)]
pub(crate) struct PolicyAt {
    pub(crate) blob: ObjectId,
    pub(crate) policy: Arc<Policy>,
}

/// The landing before: what the next one is compared with and judged by.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) id: CommitId,
    pub(crate) number: u64,
    pub(crate) tree: ObjectId,
    pub(crate) policy: PolicyAt,
}

/// Judges the landing `id`, whose first parent is `base`.
pub(crate) fn judge(
    trees: &mut Trees<'_>,
    id: CommitId,
    base: &Base,
    branch: &str,
) -> Result<VerifiedLanding, Fault> {
    let raw = objects::read(trees.objects, &id, ObjectKind::Commit)?;
    let commit = Commit::parse(&raw, id.as_bytes().len())?;
    if commit.parents.first() != Some(&base.id) {
        return Err(Fault::new(codes::COMMIT_MALFORMED, "the first parent is not the landing before"));
    }
    let signer = signer(&commit, &base.policy.policy)?;
    let changes = trees.diff(Some(base.tree), commit.tree)?;
    may_change_all(&base.policy.policy, &signer, &changes)?;
    let blob = find_policy(trees, &commit.tree)?;
    keeps_a_fleet(trees, &base.tree, &commit.tree)?;
    // A pin that does not hold any more is found in the landing that breaks it, not at the next start.
    let keeps_root = base.policy.policy.manifest().sigstore_root.is_none() || {
        let path: Vec<&str> = SIGSTORE_ROOT_PATH.split('/').collect();
        trees.find(&base.tree, &path)? == trees.find(&commit.tree, &path)?
    };
    let policy = if blob == base.policy.blob && keeps_root {
        base.policy.clone()
    } else {
        let policy = read_policy(trees, &commit.tree, blob, branch)?;
        let (old, new) = (base.policy.policy.version(), policy.version());
        if new <= old && blob != base.policy.blob {
            let why = format!("the policy changed and its version went from {old} to {new}");
            return Err(Fault::new(codes::POLICY_VERSION, why).path(POLICY_PATH));
        }
        PolicyAt { blob, policy: Arc::new(policy) }
    };
    has_all_blobs(trees, &changes)?;
    Ok(landing(id, base.number + 1, commit, signer, policy, changes))
}

/// Judges an introduction: its policy must be the pinned one, and it must be signed by someone who may change that policy.
pub(crate) fn judge_introduction(
    trees: &mut Trees<'_>,
    id: CommitId,
    number: u64,
    pinned: &Sha256Digest,
    branch: &str,
) -> Result<VerifiedLanding, Fault> {
    let raw = objects::read(trees.objects, &id, ObjectKind::Commit)?;
    let commit = Commit::parse(&raw, id.as_bytes().len())?;
    let blob = find_policy(trees, &commit.tree)?;
    let text = objects::read(trees.objects, &blob, ObjectKind::Blob)?;
    let found = Sha256Digest::of(&text);
    if found != *pinned {
        let why = format!("the policy's SHA-256 is {found}, the introduction pins {pinned}");
        return Err(Fault::new(codes::INTRODUCTION_MISMATCH, why).path(POLICY_PATH));
    }
    let policy = read_policy(trees, &commit.tree, blob, branch)?;
    let signer = signer(&commit, &policy)?;
    may_change(&policy, &signer, POLICY_PATH)?;
    let changes = trees.diff(None, commit.tree)?;
    has_all_blobs(trees, &changes)?;
    let policy = PolicyAt { blob, policy: Arc::new(policy) };
    Ok(landing(id, number, commit, signer, policy, changes))
}

fn landing(
    id: CommitId,
    number: u64,
    commit: Commit,
    signer: PersonName,
    policy: PolicyAt,
    changes: Vec<PathChange>,
) -> VerifiedLanding {
    VerifiedLanding {
        id,
        number,
        parent: commit.parents.first().copied(),
        tree: commit.tree,
        signers: BTreeSet::from([signer]),
        spoken: Some(commit.committed),
        policy,
        summary: commit.summary,
        committed: commit.committed,
        changes,
    }
}

/// The person of `policy` who signed, and who counts.
fn signer(commit: &Commit, policy: &Policy) -> Result<PersonName, Fault> {
    let person = policy.keyring().signer(commit, &prove(commit))?;
    if policy.is_bot(person) {
        return Err(Fault::new(codes::SIGNER_IS_BOT, format!("{person} is a bot: bots may write and never count")));
    }
    Ok(person.clone())
}

fn may_change_all(policy: &Policy, signer: &PersonName, changes: &[PathChange]) -> Result<(), Fault> {
    changes.iter().try_for_each(|change| may_change(policy, signer, &change.path))
}

fn may_change(policy: &Policy, signer: &PersonName, path: &str) -> Result<(), Fault> {
    match policy.may_change(signer, path) {
        Verdict::Allowed => Ok(()),
        Verdict::NoRule => {
            let why = format!("no rule of policy version {} covers {path}", policy.version());
            Err(Fault::new(codes::PATH_WITHOUT_RULE, why).path(path))
        }
        Verdict::NotInRole { rule } => {
            let why = format!("{signer} may not change {path}: {rule}");
            Err(Fault::new(codes::SIGNER_NOT_IN_ROLE, why).path(path).rule(rule))
        }
    }
}

/// The blob of the policy in a tree, or why the tree cannot count without one.
fn find_policy(trees: &mut Trees<'_>, tree: &ObjectId) -> Result<ObjectId, Fault> {
    if let Some(Node::File(entry)) = trees.find(tree, &["trust", "policy.yaml"])? {
        return Ok(entry.id);
    }
    for kind in Kind::ALL {
        if has_manifests(trees, tree, kind)? {
            return Err(Fault::new(codes::POLICY_MISSING, format!("{POLICY_PATH} is missing")).path(POLICY_PATH));
        }
    }
    Err(Fault::new(codes::NO_MANIFESTS, "the tree has no manifest at all"))
}

fn has_manifests(trees: &mut Trees<'_>, tree: &ObjectId, kind: Kind) -> Result<bool, Fault> {
    let Some(Node::Folder(folder)) = trees.find(tree, &[kind.folder()])? else { return Ok(false) };
    let items = trees.items(&folder)?;
    Ok(items.iter().any(|item| matches!(item.node, Node::File(_)) && item.name.ends_with(".yaml")))
}

fn keeps_a_fleet(trees: &mut Trees<'_>, before: &ObjectId, after: &ObjectId) -> Result<(), Fault> {
    let folder = [Kind::Fleet.folder()];
    if trees.find(before, &folder)? == trees.find(after, &folder)?
        || has_manifests(trees, after, Kind::Fleet)?
        || !has_manifests(trees, before, Kind::Fleet)?
    {
        return Ok(());
    }
    Err(Fault::new(codes::EVERY_FLEET_LOST, "the landing leaves no fleet of those its first parent has")
        .path(Kind::Fleet.folder()))
}

/// The policy of `blob` in `tree`, with the trusted root that stands beside it.
fn read_policy(trees: &mut Trees<'_>, tree: &ObjectId, blob: ObjectId, branch: &str) -> Result<Policy, Fault> {
    let text = objects::read(trees.objects, &blob, ObjectKind::Blob)?;
    let manifest = Policy::read(&text).map_err(combine)?;
    let root = match manifest.sigstore_root {
        Some(_) => sigstore_root(trees, tree)?,
        None => None,
    };
    let policy = Policy::compile(manifest, root.as_deref()).map_err(combine)?;
    if policy.branch() != branch {
        let why = format!("the policy is for branch {:?}, and {branch:?} is watched", policy.branch());
        return Err(Fault::new(codes::POLICY_BRANCH, why).path(POLICY_PATH));
    }
    Ok(policy)
}

fn sigstore_root(trees: &mut Trees<'_>, tree: &ObjectId) -> Result<Option<Vec<u8>>, Fault> {
    let path: Vec<&str> = SIGSTORE_ROOT_PATH.split('/').collect();
    match trees.find(tree, &path)? {
        Some(Node::File(entry)) => Ok(Some(objects::read(trees.objects, &entry.id, ObjectKind::Blob)?)),
        _ => Ok(None),
    }
}

/// All problems of a policy as one fault.
fn combine(faults: Vec<Fault>) -> Fault {
    let why = faults.iter().map(|fault| fault.why.as_str()).collect::<Vec<_>>().join("; ");
    let first = faults.into_iter().next().unwrap_or_else(|| Fault::new(codes::POLICY_INVALID, ""));
    Fault { why, ..first }
}

/// A fetch is not checked for connectivity: what a landing adds must be there, whole.
fn has_all_blobs(trees: &Trees<'_>, changes: &[PathChange]) -> Result<(), Fault> {
    for change in changes {
        if let Some(entry) = &change.after {
            objects::read(trees.objects, &entry.id, ObjectKind::Blob)
                .map_err(|error| Fault::from(error).path(&change.path))?;
        }
    }
    Ok(())
}
