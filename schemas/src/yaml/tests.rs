//! The files of `testdata/`: one mistake each, named after it, with what a person is shown; and hostile text.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::parse;
use crate::codes::{self, Code};
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

/// Parses hostile text in the time that hostile text may take, and returns the codes.
fn hostile(text: impl AsRef<[u8]>) -> Vec<Code> {
    hostile_at("fleets/edge.yaml", text)
}

fn hostile_at(path: &str, text: impl AsRef<[u8]>) -> Vec<Code> {
    let begun = Instant::now();
    let problems = parse(path, text.as_ref()).expect_err("hostile text");
    // Unoptimised code is given a hundred times as long, on a machine that may be busy; what grows faster than the text
    // takes longer still.
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 10_000 } else { 100 });
    assert!(begun.elapsed() < limit, "took {:?}", begun.elapsed());
    let shown: usize = problems.iter().map(|problem| problem.to_string().len()).sum();
    assert!(shown < 200_000, "{shown} bytes are shown");
    problems.iter().map(|problem| problem.code).collect()
}

/// A text of almost 1 MiB that repeats `part` after `head`.
fn long(head: &str, part: &str) -> String {
    format!("{head}{}", part.repeat((super::MAX_MANIFEST - head.len()) / part.len()))
}

#[test]
fn hostile_text_is_refused_quickly() {
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n";
    assert!(hostile(bomb).contains(&codes::YAML_FORBIDDEN));
    assert_eq!(hostile("[".repeat(100_000)), [codes::TOO_LARGE]);
    assert_eq!(hostile("{a: ".repeat(100_000)), [codes::TOO_LARGE]);
    assert_eq!(hostile("- ".repeat(100_000)), [codes::TOO_LARGE]);
    assert_eq!(hostile(long("", "a").into_bytes()), [codes::WRONG_VALUE]);
    assert_eq!(hostile(vec![b'a'; super::MAX_MANIFEST + 1]), [codes::TOO_LARGE]);
    assert_eq!(hostile(long("[", "a,")).last(), Some(&codes::TOO_LARGE));
    assert!(!hostile(long("", "\"")).is_empty());
    assert!(!hostile(long("", "\\")).is_empty());
    assert!(!hostile(long("", "#")).is_empty());
    assert!(!hostile(long("", "\n")).is_empty());
    assert!(!hostile(long("", "? ")).is_empty());
    assert!(!hostile(long("", "a: ")).is_empty());
    assert!(!hostile(long("", "---\n")).is_empty());
    assert!(!hostile(long("", "%a\n")).is_empty());
    assert!(!hostile(long("a: !", "x")).is_empty());
    assert!(!hostile(long("a: |\n", " x\n")).is_empty());
    assert!(!hostile(long("", "\u{202e}")).is_empty());
    assert!(!hostile(long("", "a: &x *x\n")).is_empty());
}

#[test]
fn many_problems_are_cut_off_and_counted() {
    let lines: String = (0..40_000).map(|n| format!("  f{n}: 1\n")).collect();
    let head = "apiVersion: bellwether/v1\nkind: Fleet\nmetadata: {name: edge}\nspec:\n";
    let codes = hostile(format!("{head}{lines}"));
    assert_eq!(codes.len(), super::MAX_PROBLEMS + 1);
    let line: String = (0..40_000).map(|n| format!("f{n}: 1, ")).collect();
    assert_eq!(hostile(format!("{head}  {{{line}}}\n")).len(), super::MAX_PROBLEMS + 1);
    assert_eq!(hostile(format!("{head}{}", "  a: 1\n".repeat(40_000))).len(), super::MAX_PROBLEMS + 1);
}

#[test]
fn windows_of_unknown_zones_are_refused_quickly() {
    let head = "apiVersion: bellwether/v1\nkind: Rollout\nmetadata: {name: edge}\nspec:\n  windows:\n";
    let window = "  - {start: \"02:00\", duration: 1h, timezone: Europa/Frankfurt}\n";
    let codes = hostile_at("rollouts/edge.yaml", format!("{head}{}", window.repeat(10_000)));
    assert_eq!(codes.first(), Some(&codes::TIME_ZONE_UNKNOWN));
    assert_eq!((codes.len(), codes.last()), (super::MAX_PROBLEMS + 1, Some(&codes::TOO_LARGE)));
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    assert_eq!(hostile(b"a: \xff\n"), [codes::YAML_SYNTAX]);
    assert_eq!(hostile(b"a: \0\n"), [codes::YAML_SYNTAX]);
    assert_eq!(hostile("a: 1\rb: 2\n"), [codes::YAML_SYNTAX]);
    assert_eq!(hostile("a: \u{2028}b: 2\n"), [codes::YAML_FORBIDDEN]);
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
