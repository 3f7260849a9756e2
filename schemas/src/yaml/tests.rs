//! The files of `testdata/`: one mistake each, named after it, with what a person is shown. Hostile text is in `tests/hostile.rs`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::parse;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::manifest::{AnyManifest, Kind, Manifest};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// The files of a kind below `valid` or `invalid`, as (name, path in a repository, text).
fn files(group: &str, kind: Kind) -> Vec<(String, String, Vec<u8>)> {
    let folder = testdata().join(group).join(kind.folder());
    let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_stem().and_then(|name| name.to_str()).expect("a name in UTF-8").to_owned();
            let place = match kind {
                Kind::TrustPolicy => "trust/policy.yaml".to_owned(),
                _ => format!("{}/{name}.yaml", kind.folder()),
            };
            (name, place, std::fs::read(&path).expect("a readable file"))
        })
        .collect()
}

fn shown(problems: &[Diagnostic]) -> String {
    problems.iter().fold(String::new(), |mut all, problem| {
        writeln!(all, "{problem}").expect("a String takes everything");
        all
    })
}

#[test]
fn invalid_files_are_refused_with_what_helps() {
    for kind in Kind::ALL {
        let mut all = String::new();
        for (name, path, text) in files("invalid", kind) {
            let problems = parse(&path, &text).expect_err(&name);
            assert!(!problems.is_empty(), "{name} has no problems");
            assert!(
                name == "many-mistakes" || problems.len() == 1,
                "{name}: one mistake, shown as\n{}",
                shown(&problems)
            );
            writeln!(all, "## {name}\n{}", shown(&problems)).expect("a String takes everything");
        }
        insta::assert_snapshot!(format!("invalid-{}", kind.folder()), all);
    }
}

#[test]
fn valid_files_say_what_serde_reads_from_them() {
    let mut count = 0;
    for kind in Kind::ALL {
        for (name, path, text) in files("valid", kind) {
            let read = parse(&path, &text).map_err(|problems| shown(&problems)).expect(&name);
            assert_eq!(read, by_serde(kind, std::str::from_utf8(&text).expect("UTF-8")), "{name}");
            count += 1;
        }
    }
    assert!(count > 15, "only {count} files were found");
}

/// The other way to read a manifest: strict serde-saphyr, over the derived forms of the types.
fn by_serde(kind: Kind, text: &str) -> AnyManifest {
    use serde_saphyr::{MergeKeyPolicy, from_str_with_options};
    let options = serde_saphyr::options! {
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        strict_indentation: true,
        reject_unsupported_tags: true,
    };
    macro_rules! read {
        ($kind:ident) => {
            from_str_with_options::<Manifest<_, _>>(text, options).map(AnyManifest::$kind).expect("serde reads it")
        };
    }
    match kind {
        Kind::Fleet => read!(Fleet),
        Kind::Rollout => read!(Rollout),
        Kind::Device => read!(Device),
        Kind::Enrollment => read!(Enrollment),
        Kind::TrustPolicy => read!(TrustPolicy),
        Kind::Approval => read!(Approval),
        Kind::Hold => read!(Hold),
        Kind::Expedite => read!(Expedite),
        Kind::Resume => read!(Resume),
    }
}

#[test]
fn a_manifest_has_its_place() {
    let problem = |path: &str, text: &str| {
        parse(path, text.as_bytes()).expect_err("a wrong place").iter().map(|p| p.code).collect::<Vec<_>>()
    };
    let policy = String::from_utf8(files("valid", Kind::TrustPolicy).remove(0).2).expect("UTF-8");
    assert_eq!(problem("trust/other.yaml", &policy), [codes::WRONG_KIND]);
    for path in ["README.md", "fleets/a/b.yaml", "fleets/a.yml", "files/a.yaml", ""] {
        assert_eq!(problem(path, &policy), [codes::UNEXPECTED_FILE], "{path}");
    }
}

/// Where a tab is put in a line, in place of what it is indented by.
const TABS: [fn(&str) -> String; 3] = [
    |_| "\t".to_owned(),
    |indentation| format!("\t{}", &indentation[2..]),
    |indentation| format!("{}\t", &indentation[2..]),
];

#[test]
fn a_tab_in_place_of_spaces_is_told_where_it_stands_in_whichever_line() {
    let mut tried = 0;
    for (name, path, text) in Kind::ALL.into_iter().flat_map(|kind| files("valid", kind)) {
        let text = String::from_utf8(text).expect("UTF-8");
        let lines: Vec<_> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let words = line.trim_start();
            let indentation = &line[..line.len() - words.len()];
            // Of a comment, YAML does not say what stands before it.
            if indentation.is_empty() || words.is_empty() || words.starts_with('#') {
                continue;
            }
            for tab in TABS.map(|tab| tab(indentation)) {
                let wrong = format!("{tab}{words}");
                let all = [&lines[..at], &[wrong.as_str()], &lines[at + 1..]].concat().join("\n");
                let problems = parse(&path, all.as_bytes()).expect_err(&name);
                let [problem] = problems.as_slice() else { panic!("{name}: {wrong:?}\n{}", shown(&problems)) };
                let place = problem.place.expect("a place");
                let column = tab.find('\t').expect("a tab") + 1;
                assert_eq!((place.line, place.column), (at + 1, column), "{name}: {wrong:?}\n{problem}");
                assert_eq!(problem.code, codes::YAML_SYNTAX, "{name}: {wrong:?}");
                assert!(problem.hint.as_ref().is_some_and(|hint| hint.contains("indent by spaces")), "{problem}");
                tried += 1;
            }
        }
    }
    assert!(tried > 1_000, "only {tried} tabs were tried");
}

#[test]
fn a_tab_that_the_scanner_takes_is_told_when_it_stumbles_below() {
    let fleet = |spec: &str| format!("apiVersion: bellwether/v1\nkind: Fleet\nspec:\n{spec}");
    let place = |text: &str| {
        let problems = parse("fleets/edge.yaml", text.as_bytes()).expect_err("a tab");
        let place = problems[0].place.expect("a place");
        (place.line, place.column, problems[0].message.contains("a tab before the text"))
    };
    assert_eq!(place(&fleet("  \tselector: {}\n  vars: {}\n")), (4, 3, true));
    assert_eq!(place(&fleet("  vars:\n    \ta: 1\n    b: 2\n")), (5, 5, true));
    // What a text of several lines begins with is its own.
    assert!(!place(&fleet("  vars:\n    a: |\n      all:\n      \tmake\n   b: 2\n")).2);
}

#[test]
fn a_good_manifest_is_read_quickly() {
    let (_, path, text) = files("valid", Kind::Fleet).into_iter().find(|f| f.0 == "everything").expect("the file");
    let rounds = 200_u32;
    let begun = Instant::now();
    for _ in 0..rounds {
        parse(&path, &text).expect("a good manifest");
    }
    let each = begun.elapsed() / rounds;
    let limit = Duration::from_micros(if cfg!(debug_assertions) { 20_000 } else { 500 });
    assert!(each < limit, "{} bytes took {each:?}", text.len());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[ \\-:{}\\[\\]&*!|>'\"%#,?a-c0-9\n\u{e9}]{0,200}") {
        for kind in [Kind::Fleet, Kind::TrustPolicy] {
            let _ = parse(&format!("{}/policy.yaml", kind.folder()), text.as_bytes());
        }
    }

    #[test]
    fn a_cut_or_changed_manifest_makes_no_panic(at in 0..2_000_usize, byte in proptest::num::u8::ANY) {
        for kind in Kind::ALL {
            for (name, path, mut text) in files("valid", kind) {
                let at = at % text.len();
                text[at] = byte;
                let _ = parse(&path, &text);
                text.truncate(at);
                proptest::prop_assert!(parse(&path, &text).map_err(|all| assert!(!all.is_empty())).is_err() || at > 40, "{}", name);
            }
        }
    }
}
