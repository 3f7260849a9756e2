//! The way back from a tip along first parents: each commit is read once, and what its signature proves by itself is found
//! out on all cores while the walk goes on.

use std::sync::atomic::{AtomicUsize, Ordering};

use bellwether_schemas::{CommitId, ObjectId};
use rayon::prelude::*;

use super::commit::{Commit, Skeleton};
use super::history::Reach;
use super::refusal::{Fault, Refusal};
use super::signature::{Keys, Proof, prove_with};
use crate::objects::{self, ObjectError, ObjectKind, ObjectSource};

/// Commits, and bytes of them, that are in memory while their signatures are checked.
const BLOCK: (usize, usize) = (8_192, 8 << 20);
/// Commits that one core checks in a row.
const RUN: usize = 32;

/// A commit on the way, whose bytes have its id as their hash.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) id: CommitId,
    /// The tree of its first parent, where the way goes on to it.
    pub(crate) parent_tree: Option<ObjectId>,
    pub(crate) tree: ObjectId,
    /// What was read; none where it is too large to be kept.
    pub(crate) read: Option<Result<(Commit, Proof), Fault>>,
}

/// The commits from a tip back to one that was looked for.
#[derive(Debug)]
pub(crate) struct Way {
    /// Oldest first; without the one that was looked for.
    pub(crate) steps: Vec<Step>,
    /// The one that was looked for; none where the way ends in a root commit before.
    pub(crate) met: Option<CommitId>,
}

/// Walks from `tip` to the first commit that `wanted` holds of; none where that is out of reach.
///
/// # Errors
/// A commit cannot be read, or not even its parents can be understood.
pub(crate) fn walk(
    objects: &dyn ObjectSource,
    tip: CommitId,
    reach: Reach,
    wanted: &(dyn Fn(&CommitId) -> bool + Sync),
) -> Result<Option<Way>, Refusal> {
    let mut walker = Walker { objects, wanted, at: Some(tip), left: reach.landings };
    let room = AtomicUsize::new(reach.kept);
    let mut steps = Vec::new();
    let mut block = walker.block()?;
    while !block.is_empty() {
        let (checked, next) = rayon::join(|| check(block, &room), || walker.block());
        steps.extend(checked?);
        block = next?;
    }
    let met = match walker.at {
        Some(at) if !wanted(&at) => return Ok(None),
        at => at,
    };
    steps.reverse();
    for at in 1..steps.len() {
        steps[at].parent_tree = Some(steps[at - 1].tree);
    }
    Ok(Some(Way { steps, met }))
}

struct Walker<'a> {
    objects: &'a dyn ObjectSource,
    wanted: &'a (dyn Fn(&CommitId) -> bool + Sync),
    /// Where it stands; none behind a root commit.
    at: Option<CommitId>,
    left: usize,
}

/// A commit of which nobody has checked the hash yet.
struct Raw {
    id: CommitId,
    content: Vec<u8>,
    skeleton: Skeleton,
}

impl Walker<'_> {
    /// The next commits, newest first; none at the end of the way. What they say of their parents is believed: a later
    /// check of their hash ends the whole walk if it fails. So what cannot be read ends a block, and is told only behind
    /// one that was checked: damaged bytes may have led there.
    fn block(&mut self) -> Result<Vec<Raw>, Refusal> {
        let (mut block, mut bytes) = (Vec::new(), 0);
        while let Some(id) = self.at.filter(|at| self.left > 0 && !(self.wanted)(at)) {
            if block.len() == BLOCK.0 || bytes >= BLOCK.1 {
                break;
            }
            let raw = match self.read(id) {
                Err(_) if !block.is_empty() => break,
                raw => raw.map_err(|fault| fault.at(id))?,
            };
            let Some(left) = self.left.checked_sub(raw.skeleton.weight) else {
                self.left = 0;
                break;
            };
            self.left = left;
            self.at = raw.skeleton.parents.first().copied();
            bytes += raw.content.len();
            block.push(raw);
        }
        Ok(block)
    }

    fn read(&self, id: CommitId) -> Result<Raw, Fault> {
        let content = objects::unchecked(self.objects, &id, ObjectKind::Commit)?;
        match Skeleton::parse(&content, id.as_bytes().len()) {
            Ok(skeleton) => {
                // What would end the walk must be its own bytes.
                if skeleton.weight > self.left {
                    objects::check(&id, ObjectKind::Commit, &content)?;
                }
                Ok(Raw { id, content, skeleton })
            }
            // Bytes that are not the object's say nothing about it.
            Err(fault) => Err(objects::check(&id, ObjectKind::Commit, &content).err().map_or(fault, Fault::from)),
        }
    }
}

/// Checks hashes and signatures, on all cores.
fn check(block: Vec<Raw>, room: &AtomicUsize) -> Result<Vec<Step>, Refusal> {
    let check_run = |run: Vec<Raw>| {
        let mut keys = Keys::default();
        run.into_iter().map(move |raw| check_one(raw, &mut keys, room)).collect::<Vec<_>>()
    };
    if block.len() <= RUN {
        return check_run(block).into_iter().collect();
    }
    block.into_par_iter().chunks(RUN).flat_map_iter(check_run).collect()
}

fn check_one(raw: Raw, keys: &mut Keys, room: &AtomicUsize) -> Result<Step, Refusal> {
    let Raw { id, content, skeleton } = raw;
    let unread = |error: ObjectError| Fault::from(error).at(id);
    objects::check(&id, ObjectKind::Commit, &content).map_err(unread)?;
    let read = Commit::parse(&content, id.as_bytes().len()).map(|mut commit| {
        let proof = prove_with(&commit, keys);
        if proof != Proof::Deferred {
            commit.forget_signature();
        }
        (commit, proof)
    });
    let size = read.as_ref().map_or(0, |(commit, _)| commit.size());
    let take = |left: usize| left.checked_sub(size);
    let kept = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
    Ok(Step { id, parent_tree: None, tree: skeleton.tree, read: kept.then_some(read) })
}
