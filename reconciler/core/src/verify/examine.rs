//! What can be known about a landing before the landings before it are accepted: many are examined at the same time.
//!
//! Nothing that somebody who merely may push can make large is read here: of a landing that nobody of the policy seems to
//! have signed only the commit, and of the others only small changes. The rest is read when its turn comes, if it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether_schemas::manifest::Kind;
use bellwether_schemas::{CommitId, ObjectId, PersonName, codes};
use rayon::prelude::*;

use super::commit::Commit;
use super::landing::VerifiedLanding;
use super::line::read_skeleton;
use super::policy::{POLICY_PATH, Policy};
use super::refusal::Fault;
use super::signature::{Keys, Proof, prove_with};
use super::tree::{Node, PathChange, TreeCache, Trees};
use crate::objects::{self, ObjectKind, ObjectSource};

/// Landings that one core examines in a row: each shares most trees with the one before.
const RUN: usize = 64;
/// Entries of trees that are looked at for one landing before its turn.
const EARLY_ENTRIES: usize = 250_000;
/// Changes that the landings of a line have together before their turn.
const EARLY_CHANGES: usize = 200_000;

/// A landing that was read.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) id: CommitId,
    pub(crate) commit: Commit,
    signature: Signature,
    content: Option<Content>,
}

/// What a landing holds. What is wrong with a part of it is kept, so that the most telling fault is named.
#[derive(Debug)]
pub(crate) struct Content {
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

impl Examined {
    /// The person of `policy` who signed, and who counts.
    pub(crate) fn signer(&self, policy: &Arc<Policy>) -> Result<PersonName, Fault> {
        match &self.signature {
            Signature::Foreseen(by, signer) if Arc::ptr_eq(by, policy) => signer.clone(),
            Signature::Foreseen(..) => policy.signer(&self.commit, &Proof::Deferred),
            Signature::Proven(proof) => policy.signer(&self.commit, proof),
        }
    }

    /// What it holds, compared with the tree of its first parent.
    pub(crate) fn content(&mut self, trees: &mut Trees<'_>, parent: Option<&ObjectId>) -> Content {
        let tree = self.commit.tree;
        self.content.take().unwrap_or_else(|| Content {
            changes: trees.diff(parent.copied(), tree),
            policy: find_policy(trees, &tree),
            shape: keeps_a_fleet(trees, parent, &tree),
        })
    }
}

/// Examines the landings of a line in order, of which the first follows `base`. Most are judged by its policy.
pub(crate) fn line(
    objects: &dyn ObjectSource,
    cache: &mut TreeCache,
    base: CommitId,
    policy: &Arc<Policy>,
    ids: &[CommitId],
) -> Vec<Result<Examined, Fault>> {
    let left = AtomicUsize::new(EARLY_CHANGES);
    if ids.len() <= RUN {
        return Examiner { policy, left: &left, keys: Keys::default() }.run(&mut Trees { objects, cache }, base, ids);
    }
    let runs = ids.par_chunks(RUN).enumerate().flat_map_iter(|(at, ids_of_run)| {
        let before = (at * RUN).checked_sub(1).map_or(base, |before| ids[before]);
        let mut examiner = Examiner { policy, left: &left, keys: Keys::default() };
        examiner.run(&mut Trees { objects, cache: &mut TreeCache::default() }, before, ids_of_run)
    });
    runs.collect()
}

/// Examines an introduction.
pub(crate) fn introduction(trees: &Trees<'_>, id: CommitId) -> Result<Examined, Fault> {
    let commit = read_commit(trees, id)?;
    let signature = Signature::Proven(prove_with(&commit, &mut Keys::default()));
    Ok(Examined { id, commit, signature, content: None })
}

/// The landing `id`, whose first parent is `parent`.
pub(crate) fn one(
    objects: &dyn ObjectSource,
    cache: &mut TreeCache,
    parent: &VerifiedLanding,
    id: CommitId,
) -> Result<Examined, Fault> {
    line(objects, cache, *parent.id(), parent.shared_policy(), &[id]).pop().expect("one was asked for")
}

struct Examiner<'a> {
    policy: &'a Arc<Policy>,
    /// Changes that may still be held.
    left: &'a AtomicUsize,
    keys: Keys,
}

impl Examiner<'_> {
    fn run(&mut self, trees: &mut Trees<'_>, base: CommitId, ids: &[CommitId]) -> Vec<Result<Examined, Fault>> {
        let mut parent = (base, None);
        let examine = |id: &CommitId| {
            let (parent_id, known) = parent;
            parent = (*id, None);
            let commit = read_commit(trees, *id)?;
            if commit.parents.first() != Some(&parent_id) {
                return Err(Fault::new(codes::COMMIT_MALFORMED, "the first parent is not the landing before"));
            }
            parent.1 = Some(commit.tree);
            let signature = self.check(&commit);
            let mut examined = Examined { id: *id, commit, signature, content: None };
            if examined.commit.parents.len() > 1 || examined.signer(self.policy).is_ok() {
                let tree = known.map_or_else(|| read_skeleton(trees.objects, parent_id).map(|found| found.tree), Ok)?;
                examined.content = self.early(trees, &tree, &examined.commit.tree);
            }
            Ok(examined)
        };
        ids.iter().map(examine).collect()
    }

    fn check(&mut self, commit: &Commit) -> Signature {
        match prove_with(commit, &mut self.keys) {
            proof @ Proof::Deferred => Signature::Foreseen(self.policy.clone(), self.policy.signer(commit, &proof)),
            proof => Signature::Proven(proof),
        }
    }

    /// The content, where it is small.
    fn early(&self, trees: &mut Trees<'_>, parent: &ObjectId, tree: &ObjectId) -> Option<Content> {
        let changes = trees.diff_within(Some(*parent), *tree, EARLY_ENTRIES).ok()?;
        let take = |left: usize| left.checked_sub(changes.len());
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        let shape = keeps_a_fleet(trees, Some(parent), tree);
        Some(Content { changes: Ok(changes), policy: find_policy(trees, tree), shape })
    }
}

fn read_commit(trees: &Trees<'_>, id: CommitId) -> Result<Commit, Fault> {
    let raw = objects::read(trees.objects, &id, ObjectKind::Commit)?;
    Commit::parse(&raw, id.as_bytes().len())
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

/// A fetch is not checked for connectivity: what a landing adds must be there.
pub(crate) fn has_all_blobs(objects: &dyn ObjectSource, changes: &[PathChange]) -> Result<(), Fault> {
    for change in changes {
        if let Some(entry) = &change.after {
            objects::expect(objects, &entry.id, ObjectKind::Blob)
                .map_err(|error| Fault::from(error).path(&change.path))?;
        }
    }
    Ok(())
}
