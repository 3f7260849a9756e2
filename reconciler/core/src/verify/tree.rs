//! Trees, read strictly, and what changes between two of them.
//!
//! Trees are read from the object database and never checked out. What could mean something else on another system
//! (links, submodules, odd names, names that differ only in case) is refused.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bellwether_schemas::{ObjectId, codes};

use super::refusal::Fault;
use crate::objects::{self, ObjectKind, ObjectSource};

const MAX_DEPTH: usize = 64;
const MAX_PATH: usize = 4096;
const MAX_NAME: usize = 255;
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    File(TreeEntry),
    Folder(ObjectId),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) node: Node,
}

fn malformed(why: impl Into<String>) -> Fault {
    Fault::new(codes::TREE_MALFORMED, why)
}

/// Reads a tree object's content. The items are sorted by the bytes of their names.
pub(crate) fn parse(raw: &[u8], id_length: usize) -> Result<Vec<Item>, Fault> {
    let cut = || malformed("a tree is cut off");
    let mut items: Vec<Item> = Vec::new();
    let mut folded = HashSet::new();
    let mut rest = raw;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(cut)?;
        let (mode, after) = (&rest[..space], &rest[space + 1..]);
        let end = after.iter().position(|byte| *byte == 0).ok_or_else(cut)?;
        let name = check_name(&after[..end])?;
        let (id, after) = after[end + 1..].split_at_checked(id_length).ok_or_else(cut)?;
        let id = ObjectId::from_bytes(id).ok_or_else(cut)?;
        let node = match mode {
            b"100644" => Node::File(TreeEntry { mode: EntryMode::File, id }),
            b"100755" => Node::File(TreeEntry { mode: EntryMode::Executable, id }),
            b"40000" => Node::Folder(id),
            b"120000" => return Err(Fault::new(codes::TREE_ENTRY, "is a symbolic link").path(name)),
            b"160000" => return Err(Fault::new(codes::TREE_ENTRY, "is a submodule").path(name)),
            _ => return Err(Fault::new(codes::TREE_ENTRY, "has an odd mode").path(name)),
        };
        if !folded.insert(name.to_lowercase()) {
            let why = "stands in its folder twice, perhaps in other upper and lower case";
            return Err(Fault::new(codes::TREE_ENTRY, why).path(name));
        }
        let item = Item { name: name.to_owned(), node };
        if items.last().is_some_and(|last| !in_git_order(last, &item)) {
            return Err(malformed("the entries of a tree are not in git's order").path(name));
        }
        items.push(item);
        rest = after;
    }
    // Git sorts a folder as if its name ended in `/`; two trees are compared by name alone.
    items.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(items)
}

/// Whether `a` stands before `b` (git's `base_name_compare`).
fn in_git_order(a: &Item, b: &Item) -> bool {
    let key = |item: &Item| {
        let slash = matches!(item.node, Node::Folder(_)).then_some(b'/');
        item.name.bytes().chain(slash).collect::<Vec<u8>>()
    };
    key(a) < key(b)
}

fn check_name(raw: &[u8]) -> Result<&str, Fault> {
    let shown = || super::commit::printable(&String::from_utf8_lossy(raw));
    let odd = |why: &str| Err(Fault::new(codes::TREE_ENTRY, format!("has a name that {why}")).path(shown()));
    let Ok(name) = std::str::from_utf8(raw) else { return odd("is not UTF-8") };
    if name.is_empty() || name.len() > MAX_NAME {
        return odd("is empty or longer than 255 bytes");
    }
    if matches!(name, "." | "..") || name.eq_ignore_ascii_case(".git") || name.eq_ignore_ascii_case("git~1") {
        return odd("is special to a file system or to git");
    }
    if name.contains(['/', '\\']) {
        return odd("contains a separator");
    }
    if name.chars().any(|c| c.is_control() || is_invisible(c)) {
        return odd("contains control or invisible characters");
    }
    Ok(name)
}

/// Characters that show nothing or change the direction of text; some file systems ignore them in names.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Trees that were read, hash-checked and parsed; their content never changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct TreeCache {
    trees: HashMap<ObjectId, Arc<Vec<Item>>>,
    entries: usize,
}

/// Reads trees from a source, each once as long as the cache holds it.
pub(crate) struct Trees<'a> {
    pub(crate) objects: &'a dyn ObjectSource,
    pub(crate) cache: &'a mut TreeCache,
}

impl Trees<'_> {
    pub(crate) fn items(&mut self, id: &ObjectId) -> Result<Arc<Vec<Item>>, Fault> {
        if let Some(items) = self.cache.trees.get(id) {
            return Ok(Arc::clone(items));
        }
        let raw = objects::read(self.objects, id, ObjectKind::Tree)?;
        let items = Arc::new(parse(&raw, id.as_bytes().len())?);
        if self.cache.entries > CACHED_ENTRIES {
            *self.cache = TreeCache::default();
        }
        self.cache.entries += items.len() + 1;
        self.cache.trees.insert(*id, Arc::clone(&items));
        Ok(items)
    }

    /// What stands at `path`, of which each part is a name.
    pub(crate) fn find(&mut self, root: &ObjectId, path: &[&str]) -> Result<Option<Node>, Fault> {
        let mut node = Node::Folder(*root);
        for name in path {
            let Node::Folder(id) = node else { return Ok(None) };
            let items = self.items(&id)?;
            match items.binary_search_by(|item| item.name.as_str().cmp(name)) {
                Ok(at) => node = items[at].node,
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// Every path at which the trees differ, sorted. Folders that are the same on both sides are not read.
    pub(crate) fn diff(&mut self, before: Option<ObjectId>, after: ObjectId) -> Result<Vec<PathChange>, Fault> {
        let mut diff = Diff { changes: Vec::new(), seen: 0 };
        self.diff_folder(&mut diff, "", before, Some(after), 0)?;
        diff.changes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(diff.changes)
    }

    fn diff_folder(
        &mut self,
        diff: &mut Diff,
        folder: &str,
        before: Option<ObjectId>,
        after: Option<ObjectId>,
        depth: usize,
    ) -> Result<(), Fault> {
        if before == after {
            return Ok(());
        }
        if depth > MAX_DEPTH {
            return Err(
                Fault::new(codes::TREE_TOO_LARGE, format!("the folders are deeper than {MAX_DEPTH}")).path(folder)
            );
        }
        let empty = || Ok(Arc::new(Vec::new()));
        let in_folder = |fault| below(folder, fault);
        let old = before.map_or_else(empty, |id| self.items(&id)).map_err(in_folder)?;
        let new = after.map_or_else(empty, |id| self.items(&id)).map_err(in_folder)?;
        if depth > 0 && after.is_some() && new.is_empty() {
            return Err(malformed("the folder is empty").path(folder));
        }
        diff.seen += old.len() + new.len();
        if diff.seen > MAX_ENTRIES {
            return Err(
                Fault::new(codes::TREE_TOO_LARGE, format!("more than {MAX_ENTRIES} entries changed")).path(folder)
            );
        }
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        loop {
            let first = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some(a), Some(b)) => a.name.as_str().min(b.name.as_str()),
                (Some(only), None) | (None, Some(only)) => only.name.as_str(),
            };
            let before = old.next_if(|item| item.name == first).map(|item| item.node);
            let after = new.next_if(|item| item.name == first).map(|item| item.node);
            if before == after {
                continue;
            }
            let path = if folder.is_empty() { first.to_owned() } else { format!("{folder}/{first}") };
            if path.len() > MAX_PATH {
                return Err(
                    Fault::new(codes::TREE_TOO_LARGE, format!("a path is longer than {MAX_PATH} bytes")).path(folder)
                );
            }
            self.diff_folder(diff, &path, as_folder(before), as_folder(after), depth + 1)?;
            let (before, after) = (as_file(before), as_file(after));
            if before != after {
                diff.changes.push(PathChange { path, before, after });
            }
        }
    }
}

struct Diff {
    changes: Vec<PathChange>,
    seen: usize,
}

fn below(folder: &str, mut fault: Fault) -> Fault {
    fault.path = match fault.path {
        Some(name) if folder.is_empty() => Some(name),
        Some(name) => Some(format!("{folder}/{name}")),
        None if folder.is_empty() => None,
        None => Some(folder.to_owned()),
    };
    fault
}

fn as_folder(node: Option<Node>) -> Option<ObjectId> {
    match node {
        Some(Node::Folder(id)) => Some(id),
        Some(Node::File(_)) | None => None,
    }
}

fn as_file(node: Option<Node>) -> Option<TreeEntry> {
    match node {
        Some(Node::File(entry)) => Some(entry),
        Some(Node::Folder(_)) | None => None,
    }
}
