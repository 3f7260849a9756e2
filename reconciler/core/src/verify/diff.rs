//! What changes between two trees, within limits: a few small trees that hold each other many times expand to any size.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use bellwether_schemas::{ObjectId, codes};

use super::name;
use super::refusal::Fault;
use super::tree::{Node, Tree, TreeEntry, malformed};
use crate::objects::{self, ObjectKind, ObjectSource};

const MAX_DEPTH: usize = 64;
const MAX_PATH: usize = 4096;
/// Cost of the trees that are kept between landings; beyond it all are forgotten and read again.
const CACHED: usize = 200_000;
/// Cost of the trees that lie in each other, which a comparison holds at the same time.
const MAX_OPEN: usize = 2_000_000;

/// What comparisons may still cost. Whoever may push makes what is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Entries of trees that are looked at ([`Tree::cost`]).
    pub(crate) entries: usize,
    /// Names under which two trees differ, those of folders included.
    pub(crate) names: usize,
    /// Bytes of the paths that they stand for.
    pub(crate) bytes: usize,
}

impl Budget {
    /// For the changes of a landing: half a second, and some 160 MiB.
    pub(crate) const LANDING: Self = Self { entries: 1_000_000, names: 1_000_000, bytes: 64 << 20 };

    /// The smaller of two, part by part.
    pub(crate) fn at_most(self, other: Self) -> Self {
        self.with(other, usize::min)
    }

    /// What is left of it when so much is spent.
    pub(crate) fn less(self, spent: Self) -> Self {
        self.with(spent, usize::saturating_sub)
    }

    fn with(self, other: Self, by: fn(usize, usize) -> usize) -> Self {
        let (entries, names, bytes) =
            (by(self.entries, other.entries), by(self.names, other.names), by(self.bytes, other.bytes));
        Self { entries, names, bytes }
    }

    fn spend_entries(&mut self, count: usize) -> Result<(), Fault> {
        if spend(&mut self.entries, count) {
            return Ok(());
        }
        Err(too_large("more entries of folders would have to be compared than are in one go"))
    }

    fn spend_name(&mut self, length: usize) -> Result<(), Fault> {
        if spend(&mut self.names, 1) && spend(&mut self.bytes, length) {
            return Ok(());
        }
        Err(too_large("it differs at more paths than are compared in one go"))
    }
}

/// Whether there is so much. If not, all is gone: what it was for has been read.
fn spend(left: &mut usize, count: usize) -> bool {
    let rest = left.checked_sub(count);
    *left = rest.unwrap_or(0);
    rest.is_some()
}

fn too_large(why: impl Into<String>) -> Fault {
    Fault::new(codes::TREE_TOO_LARGE, why)
}

/// A path at which two trees differ; `None` where the path is absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathChange {
    /// The path, its parts separated by `/`.
    pub path: String,
    /// What the first parent has there.
    pub before: Option<TreeEntry>,
    /// What the landing has there.
    pub after: Option<TreeEntry>,
}

/// Trees that were read, hash-checked and parsed; their content never changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct TreeCache {
    trees: HashMap<ObjectId, Arc<Tree>>,
    cost: usize,
}

/// Reads trees from a source, each once as long as the cache holds it.
pub(crate) struct Trees<'a> {
    pub(crate) objects: &'a dyn ObjectSource,
    pub(crate) cache: &'a mut TreeCache,
}

/// A path at which two trees differ, as bytes: in a branch anything may stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) path: Vec<u8>,
    pub(crate) before: Option<Node>,
    pub(crate) after: Option<Node>,
}

impl Difference {
    /// The same where only files count. What `before` has and `after` lacks may be odd: a landing may be compared before its
    /// turn, with one that nobody has judged.
    ///
    /// # Errors
    /// The path is not UTF-8.
    pub(crate) fn into_change(self) -> Result<PathChange, Fault> {
        let file = |node: Option<Node>| match node {
            Some(Node::File(entry)) => Some(entry),
            Some(Node::Folder(_) | Node::Odd { .. }) | None => None,
        };
        let path = String::from_utf8(self.path).map_err(|error| {
            Fault::new(codes::TREE_ENTRY, "has a name that is not UTF-8").path(name::shown(error.as_bytes()))
        })?;
        Ok(PathChange { path, before: file(self.before), after: file(self.after) })
    }
}

impl Trees<'_> {
    pub(crate) fn read(&mut self, id: &ObjectId) -> Result<Arc<Tree>, Fault> {
        if let Some(tree) = self.cache.trees.get(id) {
            return Ok(Arc::clone(tree));
        }
        let raw = objects::read(self.objects, id, ObjectKind::Tree)?;
        let tree = Arc::new(Tree::parse(raw, id.as_bytes().len())?);
        if self.cache.cost > CACHED {
            *self.cache = TreeCache::default();
        }
        self.cache.cost += tree.cost();
        self.cache.trees.insert(*id, Arc::clone(&tree));
        Ok(tree)
    }

    /// What stands at `path`, of which each part is a name.
    pub(crate) fn find(&mut self, root: &ObjectId, path: &[&str]) -> Result<Option<Node>, Fault> {
        let mut node = Node::Folder(*root);
        for name in path {
            let Node::Folder(id) = node else { return Ok(None) };
            match self.read(&id)?.get(name.as_bytes()) {
                Some(found) => node = found,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// Every path at which the trees of two landings differ, sorted. Folders that are the same on both sides are not read.
    ///
    /// # Errors
    /// The trees cannot be read, `after` holds what no landing may hold, or the comparison costs more than there is.
    pub(crate) fn diff(
        &mut self,
        before: Option<ObjectId>,
        after: ObjectId,
        budget: &mut Budget,
    ) -> Result<Vec<PathChange>, Fault> {
        let mut found = Vec::new();
        let mut take = |difference| {
            found.push(difference);
            Ok(())
        };
        Walk { trees: self, strict: true, budget, open: 0, take: &mut take }.folder(&[], before, Some(after), 0)?;
        // `a-b` stands before `a/b`, although the folder `a` stands before the file `a-b`.
        found.sort_unstable_by(|a: &Difference, b| a.path.cmp(&b.path));
        found.into_iter().map(Difference::into_change).collect()
    }

    /// Gives `take` every path at which two trees differ, whatever they hold.
    ///
    /// # Errors
    /// The trees cannot be read, the comparison costs more than there is, or `take` fails.
    pub(crate) fn differences(
        &mut self,
        before: Option<ObjectId>,
        after: ObjectId,
        budget: &mut Budget,
        take: &mut dyn FnMut(Difference) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        Walk { trees: self, strict: false, budget, open: 0, take }.folder(&[], before, Some(after), 0)
    }
}

/// A comparison of two trees.
struct Walk<'w, 't> {
    trees: &'w mut Trees<'t>,
    /// Whether `after` is a landing's.
    strict: bool,
    budget: &'w mut Budget,
    /// Cost of the trees that are held now.
    open: usize,
    take: &'w mut dyn FnMut(Difference) -> Result<(), Fault>,
}

impl Walk<'_, '_> {
    fn folder(
        &mut self,
        folder: &[u8],
        before: Option<ObjectId>,
        after: Option<ObjectId>,
        depth: usize,
    ) -> Result<(), Fault> {
        if before == after {
            return Ok(());
        }
        let in_folder = |fault| below(folder, fault);
        if depth > MAX_DEPTH {
            return Err(in_folder(too_large(format!("the folders are deeper than {MAX_DEPTH}"))));
        }
        let mut read = |id: Option<ObjectId>| id.map(|id| self.trees.read(&id)).transpose().map_err(in_folder);
        let (old, new) = (read(before)?, read(after)?);
        if let Some(new) = new.as_ref().filter(|_| self.strict) {
            new.strict().map_err(in_folder)?;
            if depth > 0 && new.is_empty() {
                return Err(in_folder(malformed("the folder is empty")));
            }
        }
        let cost = [&old, &new].into_iter().flatten().map(|tree| tree.cost()).sum();
        self.budget.spend_entries(cost).map_err(in_folder)?;
        self.open += cost;
        if self.open > MAX_OPEN {
            return Err(in_folder(too_large("folders in each other have more entries than are compared in one go")));
        }
        let mut old = old.iter().flat_map(|tree| tree.iter()).peekable();
        let mut new = new.iter().flat_map(|tree| tree.iter()).peekable();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
            };
            let before = old.next_if(|_| order.is_le());
            let after = new.next_if(|_| order.is_ge());
            let (name, _) = before.or(after).expect("one of them is next");
            let (before, after) = (before.map(|(_, node)| node), after.map(|(_, node)| node));
            if before != after {
                self.name(&join(folder, name), before, after, depth)?;
            }
        }
        self.open -= cost;
        Ok(())
    }

    /// A name under which the two differ.
    fn name(&mut self, path: &[u8], before: Option<Node>, after: Option<Node>, depth: usize) -> Result<(), Fault> {
        if path.len() > MAX_PATH {
            let folder = path.iter().rposition(|byte| *byte == b'/').map_or(&path[..0], |end| &path[..end]);
            return Err(below(folder, too_large(format!("a path is longer than {MAX_PATH} bytes"))));
        }
        self.budget.spend_name(path.len()).map_err(|fault| below(path, fault))?;
        let (before_file, after_file) = (no_folder(before), no_folder(after));
        if before_file != after_file {
            (self.take)(Difference { path: path.to_vec(), before: before_file, after: after_file })?;
        }
        self.folder(path, as_folder(before), as_folder(after), depth + 1)
    }
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match folder {
        [] => name.to_vec(),
        folder => [folder, b"/", name].concat(),
    }
}

fn below(folder: &[u8], fault: Fault) -> Fault {
    let path = match &fault.path {
        Some(name) => name::shown(&join(folder, name.as_bytes())),
        None => name::shown(folder),
    };
    if path.is_empty() { fault } else { fault.path(path) }
}

fn as_folder(node: Option<Node>) -> Option<ObjectId> {
    match node {
        Some(Node::Folder(id)) => Some(id),
        Some(Node::File(_) | Node::Odd { .. }) | None => None,
    }
}

fn no_folder(node: Option<Node>) -> Option<Node> {
    node.filter(|node| !matches!(node, Node::Folder(_)))
}
