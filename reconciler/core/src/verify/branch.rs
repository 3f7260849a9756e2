//! The branch of a merge, path by path: which commit changed what, and who stands for what landed.

use std::collections::{BTreeSet, HashMap, HashSet};

use bellwether_schemas::{CommitId, ObjectId, PersonName, codes};
use jiff::Timestamp;

use super::commit::{Commit, trailer};
use super::landing::signer_of;
use super::line::{Line, SideCommit, read_skeleton};
use super::policy::Policy;
use super::refusal::Fault;
use super::tree::{PathChange, Trees};
use crate::objects::{self, ObjectKind, ObjectSource};

/// Entries of trees that are looked at for one branch.
const MAX_COMPARED: usize = 5_000_000;
/// Steps of who stands for which path, over all commits of a branch.
const MAX_STEPS: usize = 10_000_000;

/// The trailer of an endorsement, with the id of its parent.
pub const ENDORSES: &str = "Endorses";

/// What the second parent of a merge brings.
#[derive(Debug)]
pub(crate) struct Branch {
    /// Children before parents; the first is the second parent, unless the line reaches that already.
    commits: Vec<BranchCommit>,
    pub(crate) tip_tree: ObjectId,
    /// The newest landing that the branch has.
    pub(crate) fork: u64,
}

#[derive(Debug)]
struct BranchCommit {
    id: CommitId,
    /// Each parent's place in the branch, if it is there, and the paths at which the commit differs from it.
    parents: Vec<(Option<usize>, HashSet<Vec<u8>>)>,
    /// Without parents every path is its own.
    all: HashSet<Vec<u8>>,
}

impl BranchCommit {
    /// The paths whose entry differs from all parents'.
    fn wrote(&self) -> impl Iterator<Item = &[u8]> {
        let (first, rest) = match self.parents.split_first() {
            Some(((_, first), rest)) => (first, rest),
            None => (&self.all, [].as_slice()),
        };
        first.iter().filter(move |path| rest.iter().all(|(_, differs)| differs.contains(*path))).map(Vec::as_slice)
    }

    fn wrote_path(&self, path: &[u8]) -> bool {
        match self.parents.as_slice() {
            [] => self.all.contains(path),
            parents => parents.iter().all(|(_, differs)| differs.contains(path)),
        }
    }
}

impl Branch {
    /// Reads the branch with the tip `tip`; `side` is what it brings, parents first.
    ///
    /// # Errors
    /// Something in it cannot be compared.
    pub(crate) fn read(trees: &mut Trees<'_>, line: &Line, tip: CommitId, side: &[SideCommit]) -> Result<Self, Fault> {
        let mut limit = MAX_COMPARED;
        let places: HashMap<CommitId, usize> =
            side.iter().rev().enumerate().map(|(at, commit)| (commit.id, at)).collect();
        let mut commits = Vec::with_capacity(side.len());
        for commit in side.iter().rev() {
            let Some(skeleton) = &commit.skeleton else {
                let why = format!("commit {} of the branch cannot be read as git reads it", commit.id.short());
                return Err(Fault::new(codes::COMMIT_MALFORMED, why));
            };
            let mut parents = Vec::with_capacity(skeleton.parents.len());
            for parent in &skeleton.parents {
                let tree = read_skeleton(trees.objects, *parent)?.tree;
                parents.push((places.get(parent).copied(), paths(trees, Some(tree), skeleton.tree, &mut limit)?));
            }
            let all = match parents.is_empty() {
                true => paths(trees, None, skeleton.tree, &mut limit)?,
                false => HashSet::new(),
            };
            commits.push(BranchCommit { id: commit.id, parents, all });
        }
        let fork = side.last().map(|commit| commit.fork).or_else(|| line.newest_landing(&tip)).unwrap_or(0);
        Ok(Self { commits, tip_tree: read_skeleton(trees.objects, tip)?.tree, fork })
    }

    /// The number of its commits.
    pub(crate) fn len(&self) -> usize {
        self.commits.len()
    }

    /// The paths that one of its commits changed.
    pub(crate) fn changed(&self) -> BTreeSet<&[u8]> {
        self.commits.iter().flat_map(BranchCommit::wrote).collect()
    }
}

fn paths(
    trees: &mut Trees<'_>,
    before: Option<ObjectId>,
    after: ObjectId,
    limit: &mut usize,
) -> Result<HashSet<Vec<u8>>, Fault> {
    Ok(trees.differences(before, after, limit)?.into_iter().map(|found| found.path).collect())
}

/// Who stands for the paths that a clean merge changes, beside its signer.
#[derive(Debug, Default)]
pub(crate) struct Credits {
    /// For each path of the landing, in order.
    pub(crate) wrote: Vec<BTreeSet<PersonName>>,
    pub(crate) endorsed: Vec<BTreeSet<PersonName>>,
    /// The newest date that one of them signed.
    pub(crate) spoken: Option<Timestamp>,
}

impl Credits {
    /// Goes back from the branch's tip, for each path through the commits that have the landed entry: to who wrote it, past
    /// who endorsed it. `changes` are those of a clean merge, so the tip has every landed entry.
    ///
    /// # Errors
    /// A commit cannot be read now, or the branch is too large.
    pub(crate) fn of(
        branch: &Branch,
        changes: &[PathChange],
        policy: &Policy,
        objects: &dyn ObjectSource,
    ) -> Result<Self, Fault> {
        let mut credits = Self {
            wrote: vec![BTreeSet::new(); changes.len()],
            endorsed: vec![BTreeSet::new(); changes.len()],
            spoken: None,
        };
        // The paths at which each commit, reached through others that have it too, has the landed entry.
        let mut landed: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); branch.commits.len()];
        if let Some(tip) = landed.first_mut() {
            *tip = (0..changes.len()).collect();
        }
        let mut steps = 0;
        for (at, commit) in branch.commits.iter().enumerate() {
            let here = std::mem::take(&mut landed[at]);
            steps += here.len() * commit.parents.len().max(1);
            if steps > MAX_STEPS {
                return Err(Fault::new(codes::TREE_TOO_LARGE, "the branch has too many commits and paths to compare"));
            }
            let (wrote, kept): (Vec<usize>, Vec<usize>) =
                here.iter().partition(|path| commit.wrote_path(changes[**path].path.as_bytes()));
            if !wrote.is_empty()
                && let Some(author) = Author::of(objects, commit.id, policy)?
            {
                credits.credit(&author, &wrote, |credits| &mut credits.wrote);
            }
            if let [(_, differs)] = commit.parents.as_slice()
                && differs.is_empty()
                && !kept.is_empty()
                && let Some(author) = Author::of(objects, commit.id, policy)?
                && author.endorses
            {
                credits.credit(&author, &kept, |credits| &mut credits.endorsed);
            }
            for (place, differs) in &commit.parents {
                let Some(place) = place else { continue };
                landed[*place].extend(kept.iter().filter(|path| !differs.contains(changes[**path].path.as_bytes())));
            }
        }
        Ok(credits)
    }

    fn credit(
        &mut self,
        author: &Author,
        paths: &[usize],
        field: impl Fn(&mut Self) -> &mut Vec<BTreeSet<PersonName>>,
    ) {
        for path in paths {
            field(self)[*path].insert(author.person.clone());
        }
        self.spoken = self.spoken.max(Some(author.signed));
    }
}

/// The person who signed a commit of a branch.
struct Author {
    person: PersonName,
    signed: Timestamp,
    /// Whether the commit endorses its parent, given that it is empty.
    endorses: bool,
}

impl Author {
    /// None where no person who counts has validly signed the commit. Nothing about it can cause a refusal.
    fn of(objects: &dyn ObjectSource, id: CommitId, policy: &Policy) -> Result<Option<Self>, Fault> {
        let raw = objects::read(objects, &id, ObjectKind::Commit)?;
        let Ok(commit) = Commit::parse(&raw, id.as_bytes().len()) else { return Ok(None) };
        let Ok(person) = signer_of(&commit, policy) else { return Ok(None) };
        let endorses = trailer(&raw, ENDORSES).and_then(|id| id.parse().ok()) == commit.parents.first().copied()
            && commit.parents.len() == 1;
        Ok(Some(Self { person, signed: commit.committed, endorses }))
    }
}
