//! Landings whose objects mean different things to different programs.

use bellwether_core::objects::ObjectSource as _;
use bellwether_schemas::codes;
use bellwether_tests::hostile::Who;
use gix::prelude::Write as _;

use super::{APP, SITE, begin, one};

#[test]
fn hostile_entries_that_are_no_files() {
    let (mut h, main) = begin(&one());
    for (path, mode, code) in [
        ("files/link", "120000", codes::TREE_SYMLINK),
        ("files/module", "160000", codes::TREE_SUBMODULE),
        ("files/mode", "100664", codes::TREE_MODE),
        ("files/..", "100644", codes::TREE_NAME),
        ("files/.GiT", "100644", codes::TREE_NAME),
        ("files/git~1", "100644", codes::TREE_NAME),
        ("files/APP", "100644", codes::TREE_COLLISION),
        ("files/a\u{202e}b", "100644", codes::TREE_ENTRY),
    ] {
        let landing = h.on(main).entry(path, mode, "x").by(Who::Alice);
        h.refuses_form(landing, code);
        // A clean merge is a landing as well.
        let merge = h.merge(main, landing).by(Who::Nobody);
        h.refuses_form(merge, code);
    }
}

#[test]
fn hostile_headers_that_nobody_knows() {
    let (mut h, main) = begin(&one());
    let work = h.on(main).write(APP, "new").by(Who::Bob);
    for (line, code) in [
        ("odd header", codes::COMMIT_HEADER_UNKNOWN),
        ("encoding a\nencoding b", codes::COMMIT_HEADER_TWICE),
        ("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904", codes::COMMIT_HEADER_TWICE),
        ("parent 4b825dc642cb6eb9a060e54bf8d69288fbee4904", codes::COMMIT_HEADER_MISPLACED),
        ("gpgsig a\ngpgsig b", codes::COMMIT_TWO_SIGNATURES),
        ("gpgsig a\ngpgsig-sha256 b", codes::COMMIT_TWO_SIGNATURES),
        ("encoding a\0b", codes::COMMIT_NUL),
    ] {
        // Also under a merge that would be clean, and needs no signature.
        let merge = h.merge(main, work).header(line).by(Who::Nobody);
        h.refuses_form(merge, code);
    }
}

#[test]
fn hostile_a_landing_without_manifests_or_fleets() {
    let (mut h, main) = begin(&one());
    let work = h.on(main).remove("fleets/edge.yaml").by(Who::Bob);
    h.refuses_form(work, codes::EVERY_FLEET_LOST);
    let merge = h.merge(main, work).by(Who::Alice);
    h.refuses_form(merge, codes::EVERY_FLEET_LOST);
    let empty =
        h.on(main).remove("fleets/edge.yaml").remove(APP).remove(SITE).remove("notes/todo").remove("trust/policy.yaml");
    let empty = empty.by(Who::Alice);
    h.refuses_form(empty, codes::NO_MANIFESTS);
}

#[test]
fn hostile_histories_are_real_git() {
    // Real git reads what the generator writes, and finds nothing to complain of.
    let (mut h, main) = begin(&one());
    let work =
        h.on(main).write("files/app/main", "new").entry("files/app-run", "100755", "x").remove(SITE).by(Who::Bob);
    let endorsed = h.endorse(work).by(Who::Carol);
    let merge = h.merge(main, endorsed).lands(Who::Alice);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let repository = gix::init_bare(dir.path()).expect("a repository");
    for id in h.written().to_vec() {
        let (kind, content) = h.objects().raw(&id).expect("it was written");
        let kind = gix::objs::Kind::from_bytes(kind.word().as_bytes()).expect("a kind of git");
        let written = repository.write_buf(kind, &content).expect("it can be written");
        assert_eq!(written.to_string(), id.to_string());
    }
    let checked = std::process::Command::new("git")
        .args(["fsck", "--strict", "--no-dangling", "--full"])
        .arg(merge.to_string())
        .current_dir(dir.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
