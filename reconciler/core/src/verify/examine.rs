//! What can be known about a landing before the landings before it are accepted: many are examined at the same time.
//!
//! Whoever may push makes as many as they like, of which the first may be refused. So they are read within limits that
//! all of a batch share, and nothing of a landing with one parent that nobody of the policy seems to have signed. The
//! rest is read when its turn comes, if it does.

use std::sync::{Arc, Mutex, PoisonError};

use bellwether_schemas::{CommitId, ObjectId, PersonName};
use rayon::prelude::*;

use super::commit::Commit;
use super::diff::{Budget, PathChange, TreeCache, Trees};
use super::policy::Policy;
use super::refusal::Fault;
use super::signature::{Proof, prove};
use super::walk::Step;
use crate::objects::{self, ObjectKind, ObjectSource};

/// Landings that one core examines in a row: each shares most trees with the one before.
const RUN: usize = 64;
/// What comparing one landing may cost before its turn.
const EARLY: Budget = Budget { entries: 250_000, names: 50_000, bytes: 4 << 20 };
/// The same for all landings of a batch: a second or so, and some 50 MiB.
const EARLY_BATCH: Budget = Budget { entries: 20_000_000, names: 200_000, bytes: 32 << 20 };

/// A landing that was read.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) id: CommitId,
    pub(crate) commit: Commit,
    signature: Signature,
    changes: Option<Vec<PathChange>>,
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
    fn of(commit: &Commit, proof: Proof, policy: &Arc<Policy>) -> Self {
        match proof {
            Proof::Deferred => Self::Foreseen(policy.clone(), policy.signer(commit, &proof)),
            Proof::None | Proof::Ssh(_) => Self::Proven(proof),
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

    /// What differs from the tree of its first parent.
    pub(crate) fn changes(
        &mut self,
        trees: &mut Trees<'_>,
        parent: Option<&ObjectId>,
    ) -> Result<Vec<PathChange>, Fault> {
        let diff = || trees.diff(parent.copied(), self.commit.tree, &mut Budget::LANDING.clone());
        self.changes.take().map_or_else(diff, Ok)
    }
}

/// A landing before its turn.
#[derive(Debug)]
pub(crate) struct Early {
    pub(crate) id: CommitId,
    /// None where it is read when its turn comes.
    pub(crate) examined: Option<Result<Examined, Fault>>,
}

/// Examines a batch of landings of a line, in order. Most are judged by `policy`.
pub(crate) fn early(
    objects: &dyn ObjectSource,
    cache: &mut TreeCache,
    policy: &Arc<Policy>,
    batch: Vec<Step>,
) -> Vec<Early> {
    let left = &Mutex::new(EARLY_BATCH);
    if batch.len() <= RUN {
        return Examiner { policy, left }.run(&mut Trees { objects, cache }, batch);
    }
    let run = |run| Examiner { policy, left }.run(&mut Trees { objects, cache: &mut TreeCache::default() }, run);
    batch.into_par_iter().chunks(RUN).flat_map_iter(run).collect()
}

/// Examines a landing whose turn has come.
pub(crate) fn now(objects: &dyn ObjectSource, id: CommitId, policy: &Arc<Policy>) -> Result<Examined, Fault> {
    let (commit, proof) = read(objects, id)?;
    let signature = Signature::of(&commit, proof, policy);
    Ok(Examined { id, commit, signature, changes: None })
}

/// Examines an introduction.
pub(crate) fn introduction(objects: &dyn ObjectSource, id: CommitId) -> Result<Examined, Fault> {
    let (commit, proof) = read(objects, id)?;
    Ok(Examined { id, commit, signature: Signature::Proven(proof), changes: None })
}

fn read(objects: &dyn ObjectSource, id: CommitId) -> Result<(Commit, Proof), Fault> {
    let raw = objects::read(objects, &id, ObjectKind::Commit)?;
    let commit = Commit::parse(&raw, id.as_bytes().len())?;
    let proof = prove(&commit);
    Ok((commit, proof))
}

#[derive(Clone, Copy)]
struct Examiner<'a> {
    policy: &'a Arc<Policy>,
    /// What the batch has left.
    left: &'a Mutex<Budget>,
}

impl Examiner<'_> {
    /// Newest first: git packs a tree as a delta of a newer one.
    fn run(self, trees: &mut Trees<'_>, run: Vec<Step>) -> Vec<Early> {
        let mut newest_first: Vec<_> = run
            .into_iter()
            .rev()
            .map(|Step { id, parent_tree, read, .. }| {
                let examine = |(commit, proof)| self.examine(trees, (id, commit), proof, parent_tree.as_ref());
                Early { id, examined: read.map(|read| read.map(examine)) }
            })
            .collect();
        newest_first.reverse();
        newest_first
    }

    fn examine(
        self,
        trees: &mut Trees<'_>,
        (id, commit): (CommitId, Commit),
        proof: Proof,
        parent_tree: Option<&ObjectId>,
    ) -> Examined {
        let signature = Signature::of(&commit, proof, self.policy);
        let mut examined = Examined { id, commit, signature, changes: None };
        if examined.commit.parents.len() > 1 || examined.signer(self.policy).is_ok() {
            let tree = examined.commit.tree;
            examined.changes = parent_tree.and_then(|parent| self.changes(trees, *parent, tree));
        }
        examined
    }

    /// The changes, where they are few.
    fn changes(self, trees: &mut Trees<'_>, parent: ObjectId, tree: ObjectId) -> Option<Vec<PathChange>> {
        let left = || self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let given = left().at_most(EARLY);
        let mut rest = given;
        let changes = trees.diff(Some(parent), tree, &mut rest).ok();
        let mut left = left();
        *left = left.less(given.less(rest));
        changes
    }
}
