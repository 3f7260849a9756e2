//! Trees, read from the object database and never checked out.
//!
//! What could mean something else on another system (links, submodules, odd names, names that collide) is noted when a
//! tree is read, and refuses a landing that holds it; in the branch of a merge it is compared like everything else.

use std::collections::HashSet;
use std::ops::Range;

use bellwether_schemas::{ObjectId, codes};

use super::name;
use super::refusal::Fault;

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

pub(super) fn malformed(why: impl Into<String>) -> Fault {
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
        twice.map(|(text, _)| collides().path(name::shown(text)))
    }

    /// Names with what stands under them, sorted by the names' bytes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], Node)> {
        self.items.iter().map(|item| (&self.raw[item.name.clone()], item.node))
    }

    /// What stands under a name.
    pub(super) fn get(&self, name: &[u8]) -> Option<Node> {
        let at = self.items.binary_search_by(|item| self.raw[item.name.clone()].cmp(name)).ok()?;
        Some(self.items[at].node)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What it costs to read and to hold: its entries, of which long names make more.
    pub(super) fn cost(&self) -> usize {
        self.items.len().max(self.raw.len() / 64) + 1
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
        Node::Odd { mode, .. } => Err(odd_mode(mode)),
    }
}

/// Why no landing may hold an entry of a mode that is neither a file's nor a folder's.
pub(super) fn odd_mode(mode: u32) -> Fault {
    match mode {
        0o120_000 => Fault::new(codes::TREE_SYMLINK, "is a symbolic link"),
        0o160_000 => Fault::new(codes::TREE_SUBMODULE, "is a submodule"),
        mode => Fault::new(codes::TREE_MODE, format!("has the odd mode {mode:o}")),
    }
}

/// Two names of a folder are one for some file systems.
pub(super) fn collides() -> Fault {
    let why = "differs from another name of its folder only in upper and lower case or in how accents are written";
    Fault::new(codes::TREE_COLLISION, why)
}

/// Whether `a` stands before `b` (git's `base_name_compare`): names in the content, and whether they are folders'.
fn in_git_order(raw: &[u8], a: (Range<usize>, bool), b: (Range<usize>, bool)) -> bool {
    let (name_a, name_b) = (&raw[a.0], &raw[b.0]);
    let shared = name_a.len().min(name_b.len());
    let rest = |name: &[u8], folder: bool| name.get(shared).copied().or(folder.then_some(b'/'));
    (&name_a[..shared], rest(name_a, a.1)) < (&name_b[..shared], rest(name_b, b.1))
}
