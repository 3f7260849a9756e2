//! What can be known about a landing before the landings before it are accepted: many are examined at the same time.

use std::sync::Arc;

use bellwether_schemas::manifest::Kind;
use bellwether_schemas::{CommitId, ObjectId, PersonName, codes};
use rayon::prelude::*;

use super::commit::Commit;
use super::landing::VerifiedLanding;
use super::line::read_skeleton;
use super::policy::{POLICY_PATH, Policy};
use super::refusal::Fault;
use super::signature::{Proof, prove};
use super::tree::{Node, PathChange, TreeCache, Trees};
use crate::objects::{self, ObjectKind, ObjectSource};

/// Landings that one core examines in a row: each shares most trees with the one before.
const RUN: usize = 64;

/// A landing that was read. What is wrong with a part of it is kept, so that the most telling fault is named.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) id: CommitId,
    pub(crate) commit: Commit,
    signature: Signature,
    /// What differs from the first parent.
    pub(crate) changes: Result<Vec<PathChange>, Fault>,
    /// The blob of the policy.
    pub(crate) policy: Result<ObjectId, Fault>,
    /// Whether the tree is one that a landing may have.
    pub(crate) shape: Result<(), Fault>,
}

/// What is known of the signature.
#[derive(Debug)]
enum Signature {
    /// What it proves by itself.
    Proven(Proof),
    /// Who signed by a policy that is probably in force at the landing.
    Foreseen(Arc<Policy>, Result<PersonName, Fault>),
}

impl Signature {
    fn check(commit: &Commit, policy: Option<&Arc<Policy>>) -> Self {
        match (prove(commit), policy) {
            (proof @ Proof::Deferred, Some(policy)) => Self::Foreseen(policy.clone(), policy.signer(commit, &proof)),
            (proof, _) => Self::Proven(proof),
        }
    }
}

impl Examined {
    /// The person of `policy` who signed, and who counts.
    pub(crate) fn signer(&self, policy: &Arc<Policy>) -> Result<PersonName, Fault> {
        match &self.signature {
            Signature::Foreseen(by, signer) if Arc::ptr_eq(by, policy) => signer.clone(),
            Signature::Foreseen(..) => policy.signer(&self.commit, &Proof::Deferred),
            Signature::Proven(proof) => policy.signer(&self.commit, proof),
        }
    }
}

/// Examines the landings of a line in order, of which the first follows `base`. Most are judged by its policy.
pub(crate) fn line(
    objects: &dyn ObjectSource,
    cache: &mut TreeCache,
    base: &VerifiedLanding,
    ids: &[CommitId],
) -> Vec<Result<Examined, Fault>> {
    if ids.len() <= RUN {
        return run(&mut Trees { objects, cache }, *base.id(), base.shared_policy(), ids);
    }
    let runs = ids.par_chunks(RUN).enumerate().flat_map_iter(|(at, ids_of_run)| {
        let before = (at * RUN).checked_sub(1).map_or(*base.id(), |before| ids[before]);
        run(&mut Trees { objects, cache: &mut TreeCache::default() }, before, base.shared_policy(), ids_of_run)
    });
    runs.collect()
}

fn run(trees: &mut Trees<'_>, base: CommitId, policy: &Arc<Policy>, ids: &[CommitId]) -> Vec<Result<Examined, Fault>> {
    let mut parent = (base, None);
    let examine = |id: &CommitId| {
        let (parent_id, known) = parent;
        parent = (*id, None);
        let tree = known.map_or_else(|| read_skeleton(trees.objects, parent_id).map(|found| found.tree), Ok)?;
        let commit = read_commit(trees, *id)?;
        if commit.parents.first() != Some(&parent_id) {
            return Err(Fault::new(codes::COMMIT_MALFORMED, "the first parent is not the landing before"));
        }
        parent.1 = Some(commit.tree);
        let signature = Signature::check(&commit, Some(policy));
        Ok(examine(trees, *id, (commit, signature), Some(tree)))
    };
    ids.iter().map(examine).collect()
}

/// Examines an introduction, of which the whole tree counts as changed.
pub(crate) fn introduction(trees: &mut Trees<'_>, id: CommitId) -> Result<Examined, Fault> {
    let commit = read_commit(trees, id)?;
    let signature = Signature::check(&commit, None);
    Ok(examine(trees, id, (commit, signature), None))
}

fn read_commit(trees: &Trees<'_>, id: CommitId) -> Result<Commit, Fault> {
    let raw = objects::read(trees.objects, &id, ObjectKind::Commit)?;
    Commit::parse(&raw, id.as_bytes().len())
}

fn examine(
    trees: &mut Trees<'_>,
    id: CommitId,
    (commit, signature): (Commit, Signature),
    parent: Option<ObjectId>,
) -> Examined {
    let tree = commit.tree;
    let changes = trees.diff(parent, tree);
    let policy = find_policy(trees, &tree);
    let shape = match &changes {
        Ok(changes) => keeps_a_fleet(trees, parent.as_ref(), &tree).and_then(|()| has_all_blobs(trees, changes)),
        Err(_) => Ok(()),
    };
    Examined { id, commit, signature, changes, policy, shape }
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
    let folder = trees.read(&folder)?;
    Ok(folder.iter().any(|(name, node)| matches!(node, Node::File(_)) && name.ends_with(b".yaml")))
}

fn keeps_a_fleet(trees: &mut Trees<'_>, before: Option<&ObjectId>, after: &ObjectId) -> Result<(), Fault> {
    let Some(before) = before else { return Ok(()) };
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
