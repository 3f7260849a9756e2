//! Commits and trees that git would not have written, or that mean too much.

use bellwether_schemas::{ObjectId, codes};

use super::*;
use crate::objects::MemoryObjects;
use crate::verify::commit::Skeleton;
use crate::verify::tree::Tree;
use crate::verify::{Commit, Fault};

fn parse_tree(raw: &[u8]) -> Result<Vec<String>, Fault> {
    let tree = Tree::parse(raw.to_vec(), 20)?;
    tree.strict()?;
    Ok(tree.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect())
}

const TREE: &str = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n";
const PARENT: &str = "parent 4b825dc642cb6eb9a060e54bf8d69288fbee4905\n";
const AUTHOR: &str = "author A <a@b> 1 +0000\n";
const COMMITTER: &str = "committer C D <c@d> 1700000000 -0130\n";

#[test]
fn known_headers_pass() {
    let extra = "encoding ISO-8859-1\nmergetag object 1\n type commit\n \n tagger x\nchange-id abc\n";
    let raw = format!(
        "{TREE}{PARENT}{PARENT}{AUTHOR}{COMMITTER}{extra}gpgsig one\n two\n  three\n\n\n\nSubject\u{7} line\nmore"
    );
    let commit = Commit::parse(raw.as_bytes(), 20).expect("git writes this");
    assert_eq!((commit.parents.len(), commit.committed.as_second()), (2, 1_700_000_000));
    assert_eq!(commit.signature.as_deref(), Some("one\ntwo\n three"));
    assert_eq!(commit.summary, "Subject\u{fffd} line");
    let payload = String::from_utf8(commit.payload).expect("text");
    assert_eq!(payload, raw.replace("gpgsig one\n two\n  three\n", ""));
    assert_eq!(Skeleton::parse(raw.as_bytes(), 20).expect("parents").parents, commit.parents);
    // A signature in the message is message.
    let raw = format!("{TREE}{AUTHOR}{COMMITTER}\ngpgsig x\n");
    assert_eq!(Commit::parse(raw.as_bytes(), 20).expect("a plain commit").signature, None);
}

#[test]
fn everything_else_is_refused_with_its_own_code() {
    use codes::{
        COMMIT_HEADER_MISPLACED as MISPLACED, COMMIT_HEADER_TWICE as TWICE, COMMIT_HEADER_UNKNOWN as UNKNOWN,
        COMMIT_MALFORMED as MALFORMED, COMMIT_NUL, COMMIT_TWO_SIGNATURES,
    };
    let cases = [
        (String::new(), MALFORMED),
        (format!("{TREE}{AUTHOR}{COMMITTER}"), MALFORMED),
        (format!("{AUTHOR}{COMMITTER}\nx"), MALFORMED),
        (format!("{TREE}{TREE}{AUTHOR}{COMMITTER}\nx"), TWICE),
        (format!("{TREE}{AUTHOR}{COMMITTER}{TREE}\nx"), TWICE),
        (format!("{TREE}{AUTHOR}{PARENT}{COMMITTER}\nx"), MISPLACED),
        (format!("{TREE}{AUTHOR}{COMMITTER}{PARENT}\nx"), MISPLACED),
        (format!("{PARENT}{TREE}{AUTHOR}{COMMITTER}\nx"), MISPLACED),
        (format!("{TREE}{COMMITTER}{AUTHOR}\nx"), MISPLACED),
        (format!("{TREE}{AUTHOR}{AUTHOR}{COMMITTER}\nx"), TWICE),
        (format!("{TREE}{AUTHOR}{COMMITTER}{AUTHOR}\nx"), TWICE),
        (format!("{TREE}{AUTHOR}{COMMITTER}{COMMITTER}\nx"), TWICE),
        (format!("{TREE}{AUTHOR}\nx"), MALFORMED),
        (format!("{TREE}{COMMITTER}\nx"), MALFORMED),
        (format!("{TREE}{AUTHOR}{COMMITTER}gpgsig a\ngpgsig b\n\nx"), COMMIT_TWO_SIGNATURES),
        (format!("{TREE}{AUTHOR}{COMMITTER}gpgsig a\ngpgsig-sha256 b\n\nx"), COMMIT_TWO_SIGNATURES),
        (format!("{TREE}{AUTHOR}{COMMITTER}gpgsig-sha256 b\n\nx"), UNKNOWN),
        // Where a signature stands is not signed: elsewhere it would make another id of the same content.
        (format!("{TREE}{AUTHOR}{COMMITTER}gpgsig a\nencoding b\n\nx"), MISPLACED),
        (format!("{TREE}{AUTHOR}gpgsig a\n{COMMITTER}\nx"), MISPLACED),
        (format!("{TREE}{AUTHOR}{COMMITTER}encoding a\nencoding b\n\nx"), TWICE),
        (format!("{TREE}{AUTHOR}{COMMITTER}change-id a\nchange-id b\n\nx"), TWICE),
        (format!("{TREE}{AUTHOR}{COMMITTER}encoding a\n b\n\nx"), MALFORMED),
        (format!("{TREE}{AUTHOR}{COMMITTER}HG:extra a\n\nx"), UNKNOWN),
        (format!("{TREE}{AUTHOR}{COMMITTER}gpgsig\n\nx"), MALFORMED),
        (format!("{TREE}{AUTHOR}{COMMITTER}\nx\0y"), COMMIT_NUL),
        (format!(" {TREE}{AUTHOR}{COMMITTER}\nx"), MALFORMED),
        (format!("{TREE} more\n{AUTHOR}{COMMITTER}\nx"), MALFORMED),
        (format!("{TREE}{AUTHOR} more\n{COMMITTER}\nx"), MALFORMED),
        (format!("{}{AUTHOR}{COMMITTER}\nx", TREE.to_uppercase()), MALFORMED),
        (format!("{}{AUTHOR}{COMMITTER}\nx", TREE.replace("904", "90")), MALFORMED),
        (format!("{}{AUTHOR}{COMMITTER}\nx", TREE.replace("4b825", "4B825")), MALFORMED),
        (format!("{}{AUTHOR}{COMMITTER}\nx", TREE.replace(' ', "  ")), MALFORMED),
        (format!("{TREE}{PARENT} x\n{AUTHOR}{COMMITTER}\nx"), MALFORMED),
        (format!("{TREE}author A <a@b>\n{COMMITTER}\nx"), MALFORMED),
        (format!("{TREE}author A a@b 1 +0000\n{COMMITTER}\nx"), MALFORMED),
        (format!("{TREE}author A <a@b> <c> 1 +0000\n{COMMITTER}\nx"), MALFORMED),
        (format!("{TREE}author A<a@b> 1 +0000\n{COMMITTER}\nx"), MALFORMED),
        (format!("{TREE}author A <a@b> 01 +0000\n{COMMITTER}\nx"), MALFORMED),
        (format!("{TREE}author A <a@b> -1 +0000\n{COMMITTER}\nx"), MALFORMED),
        (format!("{TREE}author A <a@b> 1 0000\n{COMMITTER}\nx"), MALFORMED),
        (format!("{TREE}author A <a@b> 1 +00000\n{COMMITTER}\nx"), MALFORMED),
        (format!("{TREE}author A <a@b> 99999999999999999999 +0000\n{COMMITTER}\nx"), MALFORMED),
        (format!("{TREE}author A <a@b> 999999999999999 +0000\n{COMMITTER}\nx"), MALFORMED),
    ];
    for (raw, code) in cases {
        let found = Commit::parse(raw.as_bytes(), 20).expect_err(&raw);
        assert_eq!(found.code, code, "{raw}");
    }
}

fn id() -> ObjectId {
    "4b825dc642cb6eb9a060e54bf8d69288fbee4904".parse().expect("an id")
}

fn entries(entries: &[(&str, &str)]) -> Vec<u8> {
    entries.iter().flat_map(|(mode, name)| tree_entry(mode, name, &id())).collect()
}

#[test]
fn trees_as_git_writes_them_pass() {
    // Git sorts folders as if they ended in `/`.
    let raw = entries(&[("100644", "a-b"), ("100755", "a.b"), ("40000", "a"), ("100644", "a0"), ("100644", "ß 1")]);
    let names = parse_tree(&raw).expect("git writes this");
    assert_eq!(names, ["a", "a-b", "a.b", "a0", "ß 1"]);
    assert_eq!(parse_tree(b""), Ok(Vec::new()));
}

#[test]
fn entries_that_could_mean_something_else_are_refused_with_their_own_code() {
    use codes::{TREE_COLLISION, TREE_ENTRY, TREE_MODE, TREE_NAME, TREE_SUBMODULE, TREE_SYMLINK};
    for (mode, name, code) in [
        ("120000", "link", TREE_SYMLINK),
        ("160000", "module", TREE_SUBMODULE),
        ("100664", "x", TREE_MODE),
        ("100600", "x", TREE_MODE),
        ("040000", "x", TREE_MODE),
        ("0", "x", TREE_MODE),
        ("100644", "", TREE_ENTRY),
        ("100644", ".", TREE_NAME),
        ("100644", "..", TREE_NAME),
        ("100644", "...", TREE_NAME),
        ("40000", ".git", TREE_NAME),
        ("40000", ".GIT", TREE_NAME),
        ("40000", ".git ", TREE_NAME),
        ("40000", ".git.", TREE_NAME),
        ("40000", ".git::$INDEX_ALLOCATION", TREE_NAME),
        ("40000", "git~1", TREE_NAME),
        ("40000", "GIT~1", TREE_NAME),
        ("40000", ".g\u{200c}it", TREE_NAME),
        ("40000", "．git", TREE_NAME),
        ("100644", "a/b", TREE_ENTRY),
        ("100644", "a\\b", TREE_ENTRY),
        ("100644", "a\nb", TREE_ENTRY),
        ("100644", "a\u{7f}", TREE_ENTRY),
        ("100644", "a\u{202e}b", TREE_ENTRY),
    ] {
        let found = parse_tree(&entries(&[(mode, name)])).expect_err(name);
        assert_eq!(found.code, code, "{mode} {name:?}");
        assert!(found.path.is_some());
    }
    for name in [".gitattributes", ".github", "git", "gitignore", ".gitkeep", "a.git", "x:y", "…"] {
        parse_tree(&entries(&[("100644", name)])).expect(name);
    }
    let long = "x".repeat(256);
    assert_eq!(parse_tree(&entries(&[("100644", &long)])).expect_err("long").code, TREE_ENTRY);
    assert_eq!(parse_tree(&tree_entry("100644", b"\xff", &id())).expect_err("bytes").code, TREE_ENTRY);
    for pair in [("A", "a"), ("É", "é"), ("e\u{301}", "é"), ("É", "e\u{301}"), ("ﬁ", "fi"), ("K", "k")] {
        let mut pair = [("100644", pair.0), ("100644", pair.1)];
        pair.sort_by_key(|(_, name)| name.as_bytes());
        assert_eq!(parse_tree(&entries(&pair)).expect_err("a collision").code, TREE_COLLISION, "{pair:?}");
    }
}

#[test]
fn trees_that_git_would_not_write_are_refused() {
    let unsorted = entries(&[("100644", "b"), ("100644", "a")]);
    let folder_first = entries(&[("40000", "a"), ("100644", "a.b")]);
    let whole = entries(&[("100644", "a")]);
    let twice = entries(&[("100644", "a"), ("100644", "a")]);
    // A file and a folder of one name do not stand side by side in the order.
    let apart = entries(&[("100644", "a"), ("100644", "a.b"), ("40000", "a")]);
    let no_mode = entries(&[("", "a")]);
    let odd_mode = entries(&[("1009", "a")]);
    for raw in [
        &unsorted,
        &folder_first,
        &twice,
        &apart,
        &no_mode,
        &odd_mode,
        &whole[..whole.len() - 1].to_vec(),
        &whole[..3].to_vec(),
        &b"100644 a".to_vec(),
    ] {
        assert_eq!(parse_tree(raw).expect_err("odd").code, codes::TREE_MALFORMED);
    }
}

#[test]
fn odd_entries_refuse_the_landing_with_their_whole_path() {
    let (mut repository, mut history, first) = Repository::introduced();
    let link = repository.objects.insert(ObjectKind::Blob, "/etc/shadow");
    let inner = repository.objects.insert(ObjectKind::Tree, tree_entry("120000", "motd", &link));
    let files = repository.objects.insert(ObjectKind::Tree, tree_entry("40000", "deep", &inner));
    let raw = crate::objects::read(&repository.objects, first.tree(), ObjectKind::Tree).expect("a tree");
    let root = [tree_entry("40000", "files", &files), raw].concat();
    let root = repository.objects.insert(ObjectKind::Tree, root);
    let commit = repository.commit_tree(root, &[*first.id()], Some(ADA));
    let advanced = history.advance(&repository.objects, &commit, NOW);
    assert_eq!(assert_refused(&advanced, codes::TREE_SYMLINK).path.as_deref(), Some("files/deep/motd"));
}

#[test]
fn a_landing_after_one_with_an_odd_name_is_compared_without_panic() {
    let (mut repository, mut history, first) = Repository::introduced();
    let tree = *first.tree();
    let raw = crate::objects::read(&repository.objects, &tree, ObjectKind::Tree).expect("a tree");
    let blob = repository.objects.insert(ObjectKind::Blob, "x");
    let root = [raw, tree_entry("100644", b"\xff", &blob)].concat();
    let root = repository.objects.insert(ObjectKind::Tree, root);
    // Nobody signed either; the second drops the name again, and is looked at before the first is judged.
    let odd = repository.commit_tree(root, &[*first.id()], None);
    let merge = repository.commit_tree(tree, &[odd, *first.id()], None);
    let advanced = history.advance(&repository.objects, &merge, NOW);
    assert_eq!(assert_refused(&advanced, codes::COMMIT_UNSIGNED).commit, odd);
}

#[test]
fn trees_that_explode_or_never_end_are_refused() {
    let (mut repository, mut history, first) = Repository::introduced();
    let old = crate::objects::read(&repository.objects, first.tree(), ObjectKind::Tree).expect("a tree");
    let mut with = |build: &dyn Fn(&mut MemoryObjects) -> ObjectId| {
        let files = build(&mut repository.objects);
        let root = [tree_entry("40000", "files", &files), old.clone()].concat();
        let root = repository.objects.insert(ObjectKind::Tree, root);
        let commit = repository.commit_tree(root, &[*first.id()], Some(ADA));
        history.advance(&repository.objects, &commit, NOW)
    };
    let nested = |objects: &mut MemoryObjects, width: usize, depth: usize| {
        let blob = objects.insert(ObjectKind::Blob, "x");
        let mut id = objects.insert(ObjectKind::Tree, tree_entry("100644", "x", &blob));
        for _ in 0..depth {
            let names = (0..width).map(|n| format!("{n:03}"));
            let raw: Vec<u8> = names.flat_map(|name| tree_entry("40000", name, &id)).collect();
            id = objects.insert(ObjectKind::Tree, raw);
        }
        id
    };
    assert_refused(&with(&|objects| nested(objects, 1, 200)), codes::TREE_TOO_LARGE);
    assert_refused(&with(&|objects| nested(objects, 200, 6)), codes::TREE_TOO_LARGE);
    assert_refused(&with(&|objects| objects.insert(ObjectKind::Tree, "")), codes::TREE_MALFORMED);
}
