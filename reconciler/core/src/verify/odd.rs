//! What no landing may hold, of files by their paths: for those who have no trees yet, such as a working copy with an index.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bellwether_schemas::{Code, codes};

use super::refusal::Fault;
use super::{name, tree};

/// The modes of files, and of a folder that an index has as a whole.
const PLAIN: [u32; 3] = [0o100_644, 0o100_755, 0o40_000];

/// Why a landing with files of these paths and modes would be refused, each reason at its path; in the order of the paths.
pub fn odd_entries<'f>(files: impl IntoIterator<Item = (&'f [u8], u32)>) -> Vec<Fault> {
    let mut folders: BTreeMap<&[u8], BTreeSet<&[u8]>> = BTreeMap::new();
    let mut faults = Vec::new();
    for (path, mode) in files {
        if !PLAIN.contains(&mode) {
            faults.push(tree::odd_mode(mode).path(name::shown(path)));
        }
        let mut end = path.len();
        loop {
            let begin = memchr::memrchr(b'/', &path[..end]).map_or(0, |at| at + 1);
            let folder = &path[..begin.saturating_sub(1)];
            let is_known = !folders.entry(folder).or_default().insert(&path[begin..end]);
            if is_known || begin == 0 {
                break;
            }
            end = begin - 1;
        }
    }
    for (folder, names) in folders {
        faults.extend(of_names(names).map(|(name, fault)| {
            let path = if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() };
            fault.path(name::shown(&path))
        }));
    }
    faults.sort_by(|a, b| a.path.cmp(&b.path));
    faults
}

/// The odd names of a folder.
fn of_names(names: BTreeSet<&[u8]>) -> impl Iterator<Item = (&[u8], Fault)> {
    let plain = names.iter().all(|name| name::is_folded(name));
    let mut folded = HashSet::new();
    names.into_iter().filter_map(move |text| {
        let is_twice = !plain && !folded.insert(name::fold(text));
        name::check(text).err().or_else(|| is_twice.then(tree::collides)).map(|fault| (text, fault))
    })
}

/// Why no landing may hold an entry of this name, if it may not.
pub fn odd_name(name: &[u8]) -> Option<Fault> {
    name::check(name).err()
}

/// Whether a landing is refused for what no tree may hold.
pub fn is_of_tree(code: Code) -> bool {
    [
        codes::TREE_ENTRY,
        codes::TREE_SYMLINK,
        codes::TREE_SUBMODULE,
        codes::TREE_MODE,
        codes::TREE_NAME,
        codes::TREE_COLLISION,
    ]
    .contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_trees_may_not_hold_is_told_at_its_path() {
        let odd = odd_entries([
            (&b"files/A.txt"[..], 0o100_644),
            (b"files/a.txt", 0o100_755),
            (b"files/link", 0o120_000),
            (b"files/.GIT/config", 0o100_644),
            (b"files/\xff/x", 0o100_644),
            (b"files/\xff/y", 0o100_644),
            (b"sub", 0o160_000),
            (b"docs/README.md", 0o100_644),
        ]);
        let told: Vec<_> = odd.iter().map(|fault| (fault.code, fault.path.as_deref().expect("a path"))).collect();
        assert_eq!(
            told,
            [
                (codes::TREE_NAME, "files/.GIT"),
                (codes::TREE_COLLISION, "files/a.txt"),
                (codes::TREE_SYMLINK, "files/link"),
                (codes::TREE_ENTRY, "files/\u{fffd}"),
                (codes::TREE_SUBMODULE, "sub"),
            ]
        );
        assert!(odd.iter().all(|fault| is_of_tree(fault.code)));
    }
}
