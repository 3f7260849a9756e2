//! What somebody who may push, and signs nothing that counts, can make a look at the repository cost.
//!
//! What these build would take minutes or gigabytes without its limit.

use std::collections::HashSet;
use std::sync::Mutex;

use bellwether_schemas::{ObjectId, codes};

use super::*;
use crate::objects::{MemoryObjects, ObjectError, ObjectSource};
use crate::verify::Fault;
use crate::verify::diff::{Budget, TreeCache, Trees};

const ALL: Budget = Budget { entries: usize::MAX, names: usize::MAX, bytes: usize::MAX };

/// Counts what is read.
struct Counted<'a>(&'a MemoryObjects, Mutex<Vec<ObjectId>>);

impl Counted<'_> {
    fn reads_of(&self, wanted: &HashSet<ObjectId>) -> usize {
        self.1.lock().expect("nobody panicked").iter().filter(|id| wanted.contains(id)).count()
    }
}

impl ObjectSource for Counted<'_> {
    fn raw(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), ObjectError> {
        self.1.lock().expect("nobody panicked").push(*id);
        self.0.raw(id)
    }
}

/// A folder of `width` folders, each of which holds as many, and so on; in the last are files.
fn expanding(objects: &mut MemoryObjects, width: usize, depth: usize, file: bool) -> ObjectId {
    let blob = objects.insert(ObjectKind::Blob, "x");
    let mut id = objects.insert(ObjectKind::Tree, if file { tree_entry("100644", "x", &blob) } else { Vec::new() });
    for _ in 0..depth {
        let raw: Vec<u8> = (0..width).flat_map(|n| tree_entry("40000", format!("{n:03}"), &id)).collect();
        id = objects.insert(ObjectKind::Tree, raw);
    }
    id
}

/// A folder of files with names of this length; `first` makes it differ from others.
fn wide(objects: &mut MemoryObjects, count: usize, length: usize, first: usize) -> ObjectId {
    let blob = objects.insert(ObjectKind::Blob, "x");
    let names = (first..first + count).map(|n| format!("{n:07}{}", "n".repeat(length - 7)));
    let raw: Vec<u8> = names.flat_map(|name| tree_entry("100644", name, &blob)).collect();
    objects.insert(ObjectKind::Tree, raw)
}

/// The root tree with the folder `files` beside what it has.
fn with_files(repository: &mut Repository, root: &ObjectId, files: &ObjectId) -> ObjectId {
    let old = crate::objects::read(&repository.objects, root, ObjectKind::Tree).expect("a tree");
    repository.objects.insert(ObjectKind::Tree, [tree_entry("40000", "files", files), old].concat())
}

#[test]
fn parents_and_bytes_of_commits_beside_a_landing_count() {
    let (mut repository, history, first) = Repository::introduced();
    let mut side = |raw: Vec<u8>, limit: usize| {
        let tip = repository.objects.insert(ObjectKind::Commit, raw);
        history.line.side(&repository.objects, &[tip], limit).map(|side| side.len()).map_err(|fault| fault.code)
    };
    let plain = unsigned_commit(first.tree(), &[*first.id()], 1);
    assert_eq!(side(plain.clone(), 1), Ok(1));
    let octopus = unsigned_commit(first.tree(), &[*first.id(); 500], 1);
    assert_eq!(side(octopus.clone(), 500), Ok(1));
    assert_eq!(side(octopus, 499), Err(codes::TOO_MANY_LANDINGS));
    let long = [plain, vec![b'x'; 1 << 18]].concat();
    assert_eq!(side(long.clone(), 64), Ok(1));
    assert_eq!(side(long, 63), Err(codes::TOO_MANY_LANDINGS));
}

#[test]
fn a_commit_that_names_its_parent_many_times_is_compared_with_it_in_no_time() {
    let (mut repository, mut history, first) = Repository::introduced();
    let mut tip = *first.id();
    for number in 0..2 {
        let raw = unsigned_commit(first.tree(), &[tip; 21_500], number);
        tip = repository.objects.insert(ObjectKind::Commit, raw);
    }
    let merge = repository.commit_tree(*first.tree(), &[*first.id(), tip], None);
    let objects = Counted(&repository.objects, Mutex::default());
    assert_accepted(&history.advance(&objects, &merge, NOW), &[merge]);
    assert!(objects.1.into_inner().expect("nobody panicked").len() < 50, "each commit is read a few times");
}

#[test]
fn a_large_landing_counts_as_many() {
    let (mut repository, mut history, first) = Repository::introduced();
    let raw = [unsigned_commit(first.tree(), &[*first.id()], 1), vec![b'x'; 1 << 16]].concat();
    let large = repository.objects.insert(ObjectKind::Commit, raw);
    let tip = repository.commit(&[large], None);
    let reach = |landings| crate::verify::history::Reach { landings, ..crate::verify::history::REACH };
    let within = history.judge_within(&repository.objects, &tip, NOW, reach(17));
    assert_refused(&within, codes::COMMIT_UNSIGNED);
    let beyond = history.judge_within(&repository.objects, &tip, NOW, reach(16));
    assert_refused(&beyond, codes::TOO_MANY_LANDINGS);
    // Bytes that are not the commit's own decide nothing: they may be mended.
    let mut damaged = repository.objects.clone();
    let (_, content) = damaged.remove(&large).expect("a commit");
    let damaged = Damaged(damaged, large, [content, vec![b'y'; 1 << 16]].concat());
    let refused = history.judge_within(&damaged, &tip, NOW, reach(16));
    assert_eq!(assert_refused(&refused, codes::OBJECT_DAMAGED).commit, large);
}

/// Objects of which one commit has other bytes.
struct Damaged(MemoryObjects, CommitId, Vec<u8>);

impl ObjectSource for Damaged {
    fn raw(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), ObjectError> {
        if *id == self.1 { Ok((ObjectKind::Commit, self.2.clone())) } else { self.0.raw(id) }
    }
}

#[test]
fn a_comparison_ends_where_its_budget_does() {
    let mut objects = MemoryObjects::default();
    let files = expanding(&mut objects, 10, 5, true);
    let deep = (0..9).fold(objects.insert(ObjectKind::Tree, ""), |below, level| {
        // 16 MiB each, of which all lie in each other.
        let wide = wide(&mut objects, 4_000, 4_000, level);
        let raw = crate::objects::read(&objects, &wide, ObjectKind::Tree).expect("a tree");
        objects.insert(ObjectKind::Tree, [raw, tree_entry("40000", "z", &below)].concat())
    });
    let compare = |tree: ObjectId, mut budget: Budget| {
        let (mut found, mut cache) = (0, TreeCache::default());
        let mut take = |_| {
            found += 1;
            Ok(())
        };
        let mut trees = Trees { objects: &objects, cache: &mut cache };
        let compared = trees.differences(None, tree, &mut budget, &mut take);
        (compared.map_err(|fault| fault.why), found, budget)
    };
    // 111,110 folders and 100,000 files.
    let (done, found, left) = compare(files, ALL);
    assert_eq!((done, found), (Ok(()), 100_000));
    assert_eq!(usize::MAX - left.names, 211_110);
    for (budget, paths) in [
        (Budget { entries: 1_000, ..ALL }, 700),
        (Budget { names: 1_000, ..ALL }, 500),
        (Budget { bytes: 20_000, ..ALL }, 1_000),
    ] {
        let (stopped, found, _) = compare(files, budget);
        assert!(stopped.is_err() && found > 0 && found < paths, "{budget:?}: {found}, {stopped:?}");
    }
    // What does not suffice is gone.
    assert_eq!(compare(files, Budget { entries: 5, ..ALL }).2.entries, 0);
    let (stopped, ..) = compare(deep, ALL);
    assert!(stopped.as_ref().is_err_and(|why| why.contains("in each other")), "{stopped:?}");
}

#[test]
fn trees_that_are_kept_are_counted_by_their_bytes() {
    let mut objects = MemoryObjects::default();
    let large: Vec<ObjectId> = (0..30).map(|n| wide(&mut objects, 250, 4_000, n)).collect();
    let counted = Counted(&objects, Mutex::default());
    let mut cache = TreeCache::default();
    let mut trees = Trees { objects: &counted, cache: &mut cache };
    for id in &large {
        trees.read(id).expect("a tree");
    }
    trees.read(&large[29]).expect("a tree");
    assert_eq!(counted.reads_of(&HashSet::from([large[29]])), 1, "the last is kept");
    trees.read(&large[0]).expect("a tree");
    assert_eq!(counted.reads_of(&HashSet::from([large[0]])), 2, "the first is not: they have 30 MiB");
}

#[test]
fn merges_that_nobody_signed_are_compared_early_within_one_limit_for_all() {
    let (mut repository, mut history, first) = Repository::introduced();
    let folders: Vec<ObjectId> = (0..16).map(|n| wide(&mut repository.objects, 40_000, 10, 40_000 * n)).collect();
    let mut tip = *first.id();
    for files in &folders {
        let tree = with_files(&mut repository, first.tree(), files);
        tip = repository.commit_tree(tree, &[tip, *first.id()], None);
    }
    let objects = Counted(&repository.objects, Mutex::default());
    assert_refused(&history.advance(&objects, &tip, NOW), codes::MERGE_UNCLEAN);
    // Two of 40,000 names are more than one landing may have, and four of those are what all may have.
    let reads = objects.reads_of(&folders.into_iter().collect());
    assert!(reads < 10, "{reads} of 16 folders were read for a landing that is refused");
}

#[test]
fn a_branch_from_a_bad_landing_that_was_repaired_is_compared_within_limits() {
    let (mut repository, mut history, first) = Repository::introduced();
    let good = *first.tree();
    let files = expanding(&mut repository.objects, 200, 6, false);
    let tree = with_files(&mut repository, &good, &files);
    let bad = repository.commit_tree(tree, &[*first.id()], None);
    assert_refused(&history.advance(&repository.objects, &bad, NOW), codes::COMMIT_UNSIGNED);
    let repair = repository.commit_tree(good, &[*first.id(), bad], Some(ADA));
    assert_accepted(&history.advance(&repository.objects, &repair, NOW), &[repair]);
    // It differs from its parent at nothing, and from main at more than can be compared.
    let branch = repository.commit_tree(tree, &[bad], None);
    let merge = repository.commit_tree(good, &[repair, branch], None);
    let refused = history.advance(&repository.objects, &merge, NOW);
    let why = &assert_refused(&refused, codes::MERGE_UNCLEAN).why;
    assert!(why.contains("more paths than are compared in one go"), "{why}");
}

#[test]
fn who_endorses_often_counts_once_on_the_way_too() {
    let (mut repository, mut history, first) = Repository::introduced();
    for path in 0..500 {
        repository.put(&format!("files/{path}"), "x");
    }
    let mut tip = repository.commit(&[*first.id()], Some(BOB));
    for _ in 0..300 {
        tip = repository.endorse(tip, tip, Some(BOB));
    }
    let merge = repository.commit(&[*first.id(), tip], None);
    assert_accepted(&history.advance(&repository.objects, &merge, NOW), &[merge]);
}

/// A fault that names the limit, so that whoever meets it by accident knows.
#[test]
fn a_limit_that_is_met_is_named() {
    let mut objects = MemoryObjects::default();
    let files = expanding(&mut objects, 10, 3, true);
    let mut trees = Trees { objects: &objects, cache: &mut TreeCache::default() };
    let Fault { code, path, why, .. } =
        trees.diff(None, files, &mut Budget { names: 100, ..ALL }).expect_err("it has 2,110 names");
    assert_eq!(code, codes::TREE_TOO_LARGE);
    assert!(path.is_some_and(|path| path.starts_with("000/")) && why.contains("differs at more paths"), "{why}");
}
