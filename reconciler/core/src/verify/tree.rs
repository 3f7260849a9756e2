//! Trees, and what changes between two of them.
//!
//! Trees are read from the object database and never checked out. What could mean something else on another system
//! (links, submodules, odd names, names that collide) is noted when a tree is read, and refuses a landing that holds it;
//! in the branch of a merge it is compared like everything else.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use bellwether_schemas::{ObjectId, codes};

use super::name;
use super::refusal::Fault;
use crate::objects::{self, ObjectKind, ObjectSource};

const MAX_DEPTH: usize = 64;
const MAX_PATH: usize = 4096;
const MAX_ENTRIES: usize = 1_000_000;
/// Entries that are kept between landings; beyond it all are forgotten and read again.
const CACHED_ENTRIES: usize = 200_000;

/// The modes a file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryMode {
    /// 100644
    File,
    /// 100755
    Executable,
}

/// A file in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeEntry {
    /// Its mode.
    pub mode: EntryMode,
    /// Its blob.
    pub id: ObjectId,
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

/// What stands under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    File(TreeEntry),
    Folder(ObjectId),
    /// A link, a submodule or an odd mode, which no landing may hold.
    Odd {
        mode: u32,
        id: ObjectId,
    },
}

/// A tree that was read: its structure is git's, and what a landing may not hold is noted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    raw: Vec<u8>,
    items: Vec<Item>,
    fault: Option<Fault>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    name: Range<usize>,
    node: Node,
}

fn malformed(why: impl Into<String>) -> Fault {
    Fault::new(codes::TREE_MALFORMED, why)
}

impl Tree {
    /// Reads a tree object's content.
    ///
    /// # Errors
    /// The content is cut off, unsorted, or has a name twice: programs could read different things from it.
    pub(crate) fn parse(raw: Vec<u8>, id_length: usize) -> Result<Self, Fault> {
        let cut = || malformed("a tree is cut off");
        let mut items: Vec<Item> = Vec::with_capacity(raw.len() / (id_length + 16));
        let (mut fault, mut plain, mut sorted) = (None, true, true);
        let mut at = 0;
        while at < raw.len() {
            let space = at + memchr::memchr(b' ', &raw[at..]).ok_or_else(cut)?;
            let end = space + 1 + memchr::memchr(0, &raw[space + 1..]).ok_or_else(cut)?;
            let next = end + 1 + id_length;
            let id = raw.get(end + 1..next).and_then(ObjectId::from_bytes).ok_or_else(cut)?;
            let text = &raw[space + 1..end];
            let node = node_of(&raw[at..space], id)?;
            if fault.is_none() {
                fault = odd(node).err().map(|fault| fault.path(name::shown(text))).or_else(|| name::check(text).err());
            }
            plain &= name::is_folded(text);
            let item = Item { name: space + 1..end, node };
            if let Some(last) = items.last() {
                let order = |item: &Item| (item.name.clone(), matches!(item.node, Node::Folder(_)));
                if !in_git_order(&raw, order(last), order(&item)) {
                    return Err(malformed("the entries of a tree are not in git's order").path(name::shown(text)));
                }
                sorted &= raw[last.name.clone()] < *text;
            }
            items.push(item);
            at = next;
        }
        // Git sorts a folder as if its name ended in `/`; two trees are compared by name alone.
        if !sorted {
            items.sort_unstable_by(|a, b| raw[a.name.clone()].cmp(&raw[b.name.clone()]));
            let twice = items.windows(2).find(|pair| raw[pair[0].name.clone()] == raw[pair[1].name.clone()]);
            if let Some([first, _]) = twice {
                return Err(malformed("a name stands in its folder twice").path(name::shown(&raw[first.name.clone()])));
            }
        }
        let mut tree = Self { raw, items, fault };
        if !plain && tree.fault.is_none() {
            tree.fault = tree.collision();
        }
        Ok(tree)
    }

    /// Why no landing may hold this tree, if it may not.
    pub(crate) fn strict(&self) -> Result<(), Fault> {
        self.fault.clone().map_or(Ok(()), Err)
    }

    fn collision(&self) -> Option<Fault> {
        let mut folded = HashSet::new();
        let twice = self.iter().find(|(text, _)| !folded.insert(name::fold(text)));
        twice.map(|(text, _)| {
            let why =
                "differs from another name of its folder only in upper and lower case or in how accents are written";
            Fault::new(codes::TREE_COLLISION, why).path(name::shown(text))
        })
    }

    /// Names with what stands under them, sorted by the names' bytes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Node)> {
        self.items.iter().map(|item| (&self.raw[item.name.clone()], item.node))
    }

    fn get(&self, name: &[u8]) -> Option<Node> {
        let at = self.items.binary_search_by(|item| self.raw[item.name.clone()].cmp(name)).ok()?;
        Some(self.items[at].node)
    }

    fn len(&self) -> usize {
        self.items.len()
    }
}

fn node_of(mode: &[u8], id: ObjectId) -> Result<Node, Fault> {
    let octal = |mode: &[u8]| {
        let digits = (1..=6).contains(&mode.len()) && mode.iter().all(|digit| (b'0'..=b'7').contains(digit));
        digits.then(|| mode.iter().fold(0, |mode, digit| mode << 3 | u32::from(digit - b'0')))
    };
    Ok(match mode {
        b"100644" => Node::File(TreeEntry { mode: EntryMode::File, id }),
        b"100755" => Node::File(TreeEntry { mode: EntryMode::Executable, id }),
        b"40000" => Node::Folder(id),
        _ => Node::Odd { mode: octal(mode).ok_or_else(|| malformed("the mode of an entry is no number"))?, id },
    })
}

/// Refuses what no landing may hold.
fn odd(node: Node) -> Result<(), Fault> {
    match node {
        Node::File(_) | Node::Folder(_) => Ok(()),
        Node::Odd { mode: 0o120_000, .. } => Err(Fault::new(codes::TREE_SYMLINK, "is a symbolic link")),
        Node::Odd { mode: 0o160_000, .. } => Err(Fault::new(codes::TREE_SUBMODULE, "is a submodule")),
        Node::Odd { mode, .. } => Err(Fault::new(codes::TREE_MODE, format!("has the odd mode {mode:o}"))),
    }
}

/// Whether `a` stands before `b` (git's `base_name_compare`): names in the content, and whether they are folders'.
fn in_git_order(raw: &[u8], a: (Range<usize>, bool), b: (Range<usize>, bool)) -> bool {
    let (name_a, name_b) = (&raw[a.0], &raw[b.0]);
    let shared = name_a.len().min(name_b.len());
    let rest = |name: &[u8], folder: bool| name.get(shared).copied().or(folder.then_some(b'/'));
    (&name_a[..shared], rest(name_a, a.1)) < (&name_b[..shared], rest(name_b, b.1))
}

/// Trees that were read, hash-checked and parsed; their content never changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct TreeCache {
    trees: HashMap<ObjectId, Arc<Tree>>,
    entries: usize,
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
        if self.cache.entries > CACHED_ENTRIES {
            *self.cache = TreeCache::default();
        }
        self.cache.entries += tree.len() + 1;
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
    /// The trees cannot be read, or `after` holds what no landing may hold.
    pub(crate) fn diff(&mut self, before: Option<ObjectId>, after: ObjectId) -> Result<Vec<PathChange>, Fault> {
        self.diff_within(before, after, MAX_ENTRIES)
    }

    /// [`Self::diff`] that looks at so many entries only.
    pub(crate) fn diff_within(
        &mut self,
        before: Option<ObjectId>,
        after: ObjectId,
        limit: usize,
    ) -> Result<Vec<PathChange>, Fault> {
        let mut walk = Walk { strict: true, found: Vec::new(), seen: 0, limit };
        self.diff_folder(&mut walk, &[], before, Some(after), 0)?;
        // `a-b` stands before `a/b`, although the folder `a` stands before the file `a-b`.
        walk.found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        walk.found.into_iter().map(Difference::into_change).collect()
    }

    /// Every path at which two trees differ, whatever they hold; at most `limit` entries are looked at.
    pub(crate) fn differences(
        &mut self,
        before: Option<ObjectId>,
        after: ObjectId,
        limit: &mut usize,
    ) -> Result<Vec<Difference>, Fault> {
        let mut walk = Walk { strict: false, found: Vec::new(), seen: 0, limit: *limit };
        self.diff_folder(&mut walk, &[], before, Some(after), 0)?;
        *limit -= walk.seen;
        Ok(walk.found)
    }

    fn diff_folder(
        &mut self,
        walk: &mut Walk,
        folder: &[u8],
        before: Option<ObjectId>,
        after: Option<ObjectId>,
        depth: usize,
    ) -> Result<(), Fault> {
        if before == after {
            return Ok(());
        }
        let too_large = |why: String| Err(Fault::new(codes::TREE_TOO_LARGE, why).path(name::shown(folder)));
        if depth > MAX_DEPTH {
            return too_large(format!("the folders are deeper than {MAX_DEPTH}"));
        }
        let in_folder = |fault| below(folder, fault);
        let old = before.map(|id| self.read(&id)).transpose().map_err(in_folder)?;
        let new = after.map(|id| self.read(&id)).transpose().map_err(in_folder)?;
        if let Some(new) = new.as_ref().filter(|_| walk.strict) {
            new.strict().map_err(in_folder)?;
            if depth > 0 && new.len() == 0 {
                return Err(malformed("the folder is empty").path(name::shown(folder)));
            }
        }
        walk.seen += old.as_ref().map_or(0, |tree| tree.len()) + new.as_ref().map_or(0, |tree| tree.len());
        if walk.seen > walk.limit {
            return too_large(format!("more than {} entries of folders would have to be compared", walk.limit));
        }
        let mut old = old.iter().flat_map(|tree| tree.iter()).peekable();
        let mut new = new.iter().flat_map(|tree| tree.iter()).peekable();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
            };
            let before = old.next_if(|_| order.is_le());
            let after = new.next_if(|_| order.is_ge());
            let (name, _) = before.or(after).expect("one of them is next");
            let (before, after) = (before.map(|(_, node)| node), after.map(|(_, node)| node));
            if before == after {
                continue;
            }
            let path = join(folder, name);
            if path.len() > MAX_PATH {
                return too_large(format!("a path is longer than {MAX_PATH} bytes"));
            }
            let (before_file, after_file) = (no_folder(before), no_folder(after));
            if before_file != after_file {
                walk.found.push(Difference { path: path.clone(), before: before_file, after: after_file });
            }
            self.diff_folder(walk, &path, as_folder(before), as_folder(after), depth + 1)?;
        }
    }
}

struct Walk {
    strict: bool,
    found: Vec<Difference>,
    seen: usize,
    limit: usize,
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
