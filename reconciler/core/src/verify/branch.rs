//! The branch of a merge, path by path: which commit changed what.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bellwether_schemas::{CommitId, ObjectId, codes};

use super::commit::Skeleton;
use super::diff::{Budget, Difference, Trees};
use super::line::{Line, SideCommit, read_skeleton};
use super::refusal::Fault;

/// For all commits of one branch: seconds, and minutes where its trees are as large as they may be, since they are hashed.
const BUDGET: Budget = Budget { entries: 50_000_000, names: 2_000_000, bytes: 128 << 20 };
/// Bytes that the paths of one branch may have together, each counted once.
const MAX_PATHS: usize = 32 << 20;

/// A path of a branch, by its place in a table.
pub(super) type PathId = u32;

/// What the second parent of a merge brings.
#[derive(Debug)]
pub(crate) struct Branch {
    /// Children before parents; the first is the second parent, unless the line reaches that already.
    pub(super) commits: Vec<BranchCommit>,
    paths: PathTable,
    pub(crate) tip_tree: ObjectId,
    /// The newest landing that the branch has.
    pub(crate) fork: u64,
    /// What comparing its commits has left to compare its tip.
    pub(super) left: Budget,
}

#[derive(Debug)]
pub(super) struct BranchCommit {
    pub(super) id: CommitId,
    pub(super) fork: u64,
    pub(super) parents: Vec<Parent>,
    /// Without parents every path is its own.
    all: HashSet<PathId>,
}

/// A parent of a commit of the branch.
#[derive(Debug)]
pub(super) struct Parent {
    /// Its place in the branch, if it is there.
    pub(super) place: Option<usize>,
    /// The newest landing that it is or descends from.
    pub(super) fork: u64,
    /// The paths at which the commit differs from it.
    pub(super) differs: HashSet<PathId>,
}

impl BranchCommit {
    /// Whether its entry differs from all parents'.
    pub(super) fn wrote(&self, path: PathId) -> bool {
        match self.parents.as_slice() {
            [] => self.all.contains(&path),
            parents => parents.iter().all(|parent| parent.differs.contains(&path)),
        }
    }

    fn differing(&self) -> impl Iterator<Item = &PathId> {
        self.parents.first().map_or(&self.all, |parent| &parent.differs).iter()
    }
}

impl Branch {
    /// Reads the branch with the tip `tip`; `side` is what it brings, parents first.
    ///
    /// # Errors
    /// Something in it cannot be compared.
    pub(crate) fn read(trees: &mut Trees<'_>, line: &Line, tip: CommitId, side: &[SideCommit]) -> Result<Self, Fault> {
        let mut reader = Reader { trees, paths: PathTable::default(), left: BUDGET, line_trees: HashMap::new() };
        let places: HashMap<CommitId, usize> =
            side.iter().rev().enumerate().map(|(at, commit)| (commit.id, at)).collect();
        let mut commits = Vec::with_capacity(side.len());
        for commit in side.iter().rev() {
            let tree = skeleton(commit)?.tree;
            let mut parents = Vec::with_capacity(skeleton(commit)?.parents.len());
            for parent in &skeleton(commit)?.parents {
                let place = places.get(parent).copied();
                let (fork, before) = match place.map(|place| &side[side.len() - 1 - place]) {
                    Some(parent) => (parent.fork, skeleton(parent)?.tree),
                    None => (line.newest_landing(parent).unwrap_or(0), reader.tree_of(*parent)?),
                };
                parents.push(Parent { place, fork, differs: reader.differs(Some(before), tree)? });
            }
            let all = match parents.is_empty() {
                true => reader.differs(None, tree)?,
                false => HashSet::new(),
            };
            commits.push(BranchCommit { id: commit.id, fork: commit.fork, parents, all });
        }
        let (fork, tip_tree) = match side.last() {
            Some(tip) => (tip.fork, skeleton(tip)?.tree),
            None => (line.newest_landing(&tip).unwrap_or(0), reader.tree_of(tip)?),
        };
        Ok(Self { commits, paths: reader.paths, tip_tree, fork, left: reader.left })
    }

    /// The number of its commits.
    pub(crate) fn len(&self) -> usize {
        self.commits.len()
    }

    /// The paths that one of its commits changed.
    pub(crate) fn changed(&self) -> BTreeSet<&[u8]> {
        let wrote = |commit: &BranchCommit, path: &PathId| commit.wrote(*path);
        let changed = self.commits.iter().flat_map(|commit| commit.differing().filter(move |path| wrote(commit, path)));
        changed.map(|path| self.paths.path(*path)).collect()
    }

    /// The paths that the line changed too since the branch left it, sorted.
    pub(crate) fn conflicts(&self, line: &Line) -> impl Iterator<Item = &[u8]> {
        self.changed().into_iter().filter(|path| line.changed_between(path, self.fork, line.head_number()))
    }

    /// The place of a path in the table; none for one at which no two of its commits differ.
    pub(super) fn path_id(&self, path: &[u8]) -> Option<PathId> {
        self.paths.ids.get(path).copied()
    }
}

/// Every path of a branch, once.
#[derive(Debug, Default)]
struct PathTable {
    ids: HashMap<Arc<[u8]>, PathId>,
    paths: Vec<Arc<[u8]>>,
    bytes: usize,
}

impl PathTable {
    fn path(&self, id: PathId) -> &[u8] {
        &self.paths[id as usize]
    }

    fn take(&mut self, path: Vec<u8>) -> Result<PathId, Fault> {
        if let Some(known) = self.ids.get(path.as_slice()) {
            return Ok(*known);
        }
        self.bytes += path.len();
        if self.bytes > MAX_PATHS {
            return Err(too_large("the names of the paths that it changes are too many"));
        }
        let id = PathId::try_from(self.paths.len()).map_err(|_| too_large("it changes too many paths"))?;
        let path: Arc<[u8]> = path.into();
        self.paths.push(path.clone());
        self.ids.insert(path, id);
        Ok(id)
    }
}

fn too_large(why: &str) -> Fault {
    Fault::new(codes::TREE_TOO_LARGE, format!("the branch cannot be compared: {why}"))
}

fn skeleton(commit: &SideCommit) -> Result<&Skeleton, Fault> {
    commit.skeleton.as_ref().ok_or_else(|| {
        let why = format!("commit {} of the branch cannot be read as git reads it", commit.id.short());
        Fault::new(codes::COMMIT_MALFORMED, why)
    })
}

/// Compares the trees of a branch, within limits for all of it.
struct Reader<'r, 't> {
    trees: &'r mut Trees<'t>,
    paths: PathTable,
    left: Budget,
    /// The trees of the commits that the branch left the line at.
    line_trees: HashMap<CommitId, ObjectId>,
}

impl Reader<'_, '_> {
    /// The tree of a commit that the line reaches.
    fn tree_of(&mut self, commit: CommitId) -> Result<ObjectId, Fault> {
        Ok(match self.line_trees.entry(commit) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => *new.insert(read_skeleton(self.trees.objects, commit)?.tree),
        })
    }

    fn differs(&mut self, before: Option<ObjectId>, after: ObjectId) -> Result<HashSet<PathId>, Fault> {
        let mut differs = HashSet::new();
        let mut take = |found: Difference| {
            differs.insert(self.paths.take(found.path)?);
            Ok(())
        };
        self.trees.differences(before, after, &mut self.left, &mut take)?;
        Ok(differs)
    }
}
