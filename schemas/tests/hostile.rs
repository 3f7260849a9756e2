//! Hostile YAML is refused in little time and little memory.
//!
//! A process of its own, because the allocator counts for all of it: what a text takes is what is added to what was there.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bellwether_schemas::codes::{self, Code};
use bellwether_schemas::yaml::{MAX_DEPTH, MAX_ENROLLMENT, MAX_MANIFEST, MAX_PROBLEMS, MAX_VALUES, parse};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The greatest number of bytes that a text may take while it is refused, beside itself.
const MOST_MEMORY: usize = 64 << 20;

/// The greatest number of bytes that a person is shown.
const MOST_SHOWN: usize = 200_000;

/// The head of a Fleet, whose spec follows.
const HEAD: &str = "apiVersion: bellwether/v1\nkind: Fleet\nmetadata: {name: edge}\nspec:\n";

/// The codes with which a text is refused where a Fleet belongs.
fn refused(text: impl AsRef<[u8]>) -> Vec<Code> {
    refused_at("fleets/edge.yaml", text)
}

/// The codes with which a text is refused, in the time and memory that it may take.
fn refused_at(path: &str, text: impl AsRef<[u8]>) -> Vec<Code> {
    // Where tests are threads of one process, only one may count.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = text.as_ref();
    let shown = String::from_utf8_lossy(&text[..text.len().min(40)]).into_owned();
    MEMORY.reset_peak_usage();
    let (before, begun) = (MEMORY.current_usage(), Instant::now());
    let problems = parse(path, text).expect_err(&shown);
    let (took, memory) = (begun.elapsed(), MEMORY.peak_usage().saturating_sub(before));
    // Unoptimised code is given a hundred times as long, on a machine that may be busy; what grows faster than the text
    // takes longer still.
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 10_000 } else { 100 });
    let limit = if path.starts_with("enrollments/") { 4 * limit } else { limit };
    assert!(took < limit, "{shown:?}…: {took:?}");
    assert!(memory < MOST_MEMORY, "{shown:?}…: {memory} bytes");
    println!("{took:>12.1?} and {:>6} KiB for {:>8} bytes: {shown:?}…", memory >> 10, text.len());
    let text: String = problems.iter().map(ToString::to_string).collect();
    assert!(text.len() < MOST_SHOWN, "{shown:?}…: {} bytes are shown", text.len());
    assert!(problems.len() <= MAX_PROBLEMS + 1);
    problems.iter().map(|problem| problem.code).collect()
}

/// A text of almost 1 MiB that repeats `part` after `head`.
fn long(head: &str, part: &str) -> String {
    filled(head, part, MAX_MANIFEST)
}

fn filled(head: &str, part: &str, length: usize) -> String {
    format!("{head}{}", part.repeat((length - head.len()) / part.len()))
}

#[test]
fn bombs_of_aliases_never_go_off() {
    let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (outer, inner) in ('b'..='z').zip('a'..='y') {
        let aliases = [format!("*{inner}").as_str(); 9].join(",");
        writeln!(bomb, "{outer}: &{outer} [{aliases}]").expect("a String takes everything");
    }
    println!("{:?}", refused(&bomb));
    println!("{:?}", refused(format!("{HEAD}  a: !!binary aGk=\n")));
    assert!(refused(&bomb).contains(&codes::YAML_FORBIDDEN));
    // Every alias of an anchor, of itself, and of none.
    assert!(refused(long("a: &a x\nb: [", "*a ,")).contains(&codes::YAML_FORBIDDEN));
    assert!(refused(long("", "a: &x *x\n")).contains(&codes::YAML_SYNTAX));
    assert!(!refused("a: &a [*a]\n").is_empty());
    assert_eq!(refused("[*b, *b]\n").iter().filter(|code| **code == codes::YAML_FORBIDDEN).count(), 2);
    assert!(!refused(long("[", "&a x,")).is_empty());
}

#[test]
fn depth_is_cut_off() {
    for deep in ["[", "{a: ", "{? ", "- ", "? ", "- ? ", "a: [", "[{a: ", "!!seq [", "&a [", "\"a\": {"] {
        assert!(!refused(deep.repeat(100_000)).is_empty(), "{deep}");
        assert!(!refused(long("", deep)).is_empty(), "{deep}");
    }
    for deep in ["[", "{a: ", "- "] {
        assert_eq!(refused(deep.repeat(100_000)), [codes::TOO_LARGE], "{deep}");
    }
    // In block style each level is a line that is indented further: 1 MiB has room for 1,447 levels.
    let block: String = (0..1_400).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert_eq!(refused(&block), [codes::TOO_LARGE]);
    let ends = format!("{}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
    assert_eq!(refused(ends), [codes::TOO_LARGE]);
    assert!(!refused("]".repeat(100_000)).is_empty());
    assert!(!refused("}".repeat(100_000)).is_empty());
}

#[test]
fn duplicate_keys_are_found_however_many_there_are() {
    let codes = refused(format!("{HEAD}{}", "  a: 1\n".repeat(40_000)));
    assert_eq!((codes.len(), codes.first()), (MAX_PROBLEMS + 1, Some(&codes::YAML_FORBIDDEN)));
    assert!(!refused(long(HEAD, "  a: 1\n")).is_empty());
    assert!(!refused(long("{", "a,")).is_empty());
    let pairs: String = (0..20_000).flat_map(|n| [format!("  k{n}: 1\n"), format!("  k{n}: 2\n")]).collect();
    assert_eq!(refused(format!("{HEAD}{pairs}")).len(), MAX_PROBLEMS + 1);
    // Under the same name after an escape.
    assert!(refused(format!("{HEAD}  \"a\\x62\": 1\n  ab: 1\n")).contains(&codes::YAML_FORBIDDEN));
}

#[test]
fn tags_merge_keys_and_directives_are_refused() {
    assert!(refused(format!("{HEAD}  a: !!binary aGk=\n")).contains(&codes::YAML_FORBIDDEN));
    for text in ["!!python/object/apply:os.system [id]\n", "!x {a: b}\n", "! a\n", "!<tag:yaml.org,2002:str> a\n"] {
        assert!(refused(text).contains(&codes::YAML_FORBIDDEN), "{text}");
    }
    assert!(!refused(long("a: !", "x")).is_empty());
    assert!(!refused(long("", "!a ")).is_empty());
    assert!(!refused(long("[", "!a b,")).is_empty());
    assert!(!refused(long("%TAG ! tag:", "x")).is_empty());
    assert!(!refused(long("", "%a\n")).is_empty());
    assert!(!refused(long("", "%TAG !a! tag:a,2000:\n")).is_empty());
    assert!(refused(format!("{HEAD}  <<: {{a: 1}}\n")).contains(&codes::YAML_FORBIDDEN));
    assert!(!refused(long("", "<<: {a: 1}\n")).is_empty());
    assert!(!refused(long("", "<<: *a\n")).is_empty());
}

#[test]
fn bytes_that_are_no_plain_text_are_refused() {
    assert_eq!(refused(b"a: \xff\n"), [codes::YAML_SYNTAX]);
    assert_eq!(refused(b"a: \0\n"), [codes::YAML_SYNTAX]);
    assert_eq!(refused(vec![0; MAX_MANIFEST]).len(), MAX_PROBLEMS + 1);
    assert_eq!(refused(vec![0xff; MAX_MANIFEST]), [codes::YAML_SYNTAX]);
    assert_eq!(refused(b"\xff\xfea\0:\0 \0b\0"), [codes::YAML_SYNTAX]);
    assert_eq!(refused(b"\xed\xa0\x80"), [codes::YAML_SYNTAX]);
    assert_eq!(refused("a: \u{2028}b: 2\n"), [codes::YAML_FORBIDDEN]);
    assert_eq!(refused(format!("\u{feff}{HEAD}  {{}}\n")), [codes::YAML_FORBIDDEN]);
    assert_eq!(refused(long("", "\u{feff}")).len(), MAX_PROBLEMS + 1);
    assert_eq!(refused(long("", "\u{202e}")).len(), MAX_PROBLEMS + 1);
}

#[test]
fn carriage_returns_are_one_problem() {
    assert_eq!(refused("a: 1\rb: 2\n"), [codes::YAML_SYNTAX]);
    assert_eq!(refused(format!("{HEAD}  {{}}\n").replace('\n', "\r\n")), [codes::YAML_SYNTAX]);
    assert_eq!(refused(long("", "a: b\r\n")), [codes::YAML_SYNTAX]);
    assert_eq!(refused(long("", "\r")), [codes::YAML_SYNTAX]);
    assert_eq!(refused(b"a: 1\r\nb: \0\n"), [codes::YAML_SYNTAX, codes::YAML_SYNTAX]);
}

#[test]
fn length_is_cut_off() {
    assert_eq!(refused(vec![b'a'; MAX_MANIFEST + 1]), [codes::TOO_LARGE]);
    assert_eq!(refused(vec![b'a'; 64 << 20]), [codes::TOO_LARGE]);
    assert_eq!(refused(long("", "a")), [codes::WRONG_VALUE]);
    assert_eq!(refused(long("[", "a,")).last(), Some(&codes::TOO_LARGE));
    assert_eq!(refused(long("[", "[],")).last(), Some(&codes::TOO_LARGE));
    assert_eq!(refused(long("- ", "\n- ")).last(), Some(&codes::TOO_LARGE));
    // A line of 1 MiB: of keys, of values in each style, of comments, of blanks.
    let parts =
        ["a", "a ", "a: ", "? ", "- - - ", "\"", "'", "\\", "#", " ", "\t", "\n", "\u{e9}", "a#", "{}", "[]", "'' "];
    for part in parts {
        for head in ["", "\"", "[", "a: |\n "] {
            assert!(!refused(long(head, part)).is_empty(), "{head:?} {part:?}");
        }
    }
    for head in ["a: ", "? ", "- ", "'", "# ", "{", "a: >\n ", "a: >-\n\n "] {
        assert!(!refused(long(head, "a ")).is_empty(), "{head:?}");
    }
    let key = "k".repeat(MAX_MANIFEST - 200);
    for text in [format!("{key}: 1\n"), format!("? {key}\n: 1\n"), format!("{{{key}: 1}}\n"), format!("\"{key}\": 1\n")]
    {
        assert!(!refused(text).is_empty());
    }
    assert_eq!(refused(format!("{HEAD}  ? {key}\n  : 1\n")).first(), Some(&codes::MISSING_FIELD));
}

#[test]
fn numbers_are_never_computed() {
    let head = format!("{HEAD}  selector: {{}}\n  template: {{probes: none}}\n  vars:\n    n: ");
    for number in ["9".repeat(900_000), format!("1e{}", "9".repeat(900_000)), format!("0x{}", "f".repeat(900_000))] {
        assert_eq!(refused(format!("{head}{number}\n")), [codes::WRONG_VALUE]);
        assert!(!refused(&number).is_empty());
    }
    for number in ["1e400", "-1e400", "0.1e-400", ".inf", "-.inf", ".nan", "0o17", "0755", "1_000", "1e1000000000"] {
        assert_eq!(refused(format!("{head}{number}\n")), [codes::WRONG_VALUE], "{number}");
    }
    assert_eq!(refused(long(&format!("{head}["), "1e9999,")).last(), Some(&codes::TOO_LARGE));
}

#[test]
fn what_does_not_end_is_refused() {
    for text in [
        "a: \"b\n",
        "a: 'b\n",
        "a: \"\\q\"\n",
        "a: \"\\x4\"\n",
        "a: \"\\uD800\"\n",
        "a: \"\\U00110000\"\n",
        "a: \"\\",
        "a: [b\n",
        "a: {b\n",
        "a: |9\n b\n",
        "a: |+-\n",
        "? \n? \n",
        ": : :\n",
        "&\n",
        "*\n",
        "!\n",
        "%\n",
        "@a\n",
        "`a\n",
        "|",
        ">",
        "-\t-\n",
        "a:\n\t- b\n",
        "a: b: c\n",
        "--- --- ---\n",
        "...\n...\n",
        "---\n...\n---\n",
    ] {
        assert!(!refused(text).is_empty(), "{text:?}");
        assert!(!refused(format!("{HEAD}{text}")).is_empty(), "{text:?}");
        assert!(!refused(long("", text)).is_empty(), "{text:?}");
        assert!(!refused(long(HEAD, text)).is_empty(), "{text:?}");
    }
    assert!(!refused(long("a: \"", "\\q")).is_empty());
    assert!(!refused(long("a: \"", "\\x41")).is_empty());
    assert!(!refused(long("a: |\n", " x\n")).is_empty());
}

#[test]
fn documents_are_one() {
    assert!(refused(format!("{HEAD}  {{}}\n---\n{HEAD}  {{}}\n")).contains(&codes::YAML_FORBIDDEN));
    assert!(!refused(long("", "---\n")).is_empty());
    assert!(!refused(long("", "--- a\n...\n")).is_empty());
    assert!(!refused(long("", "...\n")).is_empty());
    assert!(!refused("").is_empty());
}

#[test]
fn many_problems_are_cut_off_and_counted() {
    let lines: String = (0..40_000).map(|n| format!("  f{n}: 1\n")).collect();
    assert_eq!(refused(format!("{HEAD}{lines}")).len(), MAX_PROBLEMS + 1);
    let line: String = (0..40_000).map(|n| format!("f{n}: 1, ")).collect();
    assert_eq!(refused(format!("{HEAD}  {{{line}}}\n")).len(), MAX_PROBLEMS + 1);
}

#[test]
fn many_wrong_values_are_refused_quickly() {
    let head = "apiVersion: bellwether/v1\nkind: Rollout\nmetadata: {name: edge}\nspec:\n  windows:\n";
    let window = "  - {start: \"02:00\", duration: 1h, timezone: Europa/Frankfurt}\n";
    let codes = refused_at("rollouts/edge.yaml", format!("{head}{}", window.repeat(10_000)));
    assert_eq!(codes.first(), Some(&codes::TIME_ZONE_UNKNOWN));
    assert_eq!((codes.len(), codes.last()), (MAX_PROBLEMS + 1, Some(&codes::TOO_LARGE)));
}

/// An Enrollment has four times the room, so four times the time, and no more memory than others may take.
#[test]
fn an_enrollment_is_held_to_the_same() {
    let head = "apiVersion: bellwether/v1\nkind: Enrollment\nmetadata: {name: edge}\nspec:\n  tokens:\n";
    let refused = |text: String| refused_at("enrollments/edge.yaml", text);
    assert_eq!(refused(filled(head, "  - {id: a}\n", MAX_ENROLLMENT)), [codes::TOO_LARGE]);
    let just_fits = format!("[{}]\n", "a,".repeat(4 * MAX_VALUES - 2));
    assert_eq!(refused(just_fits), [codes::WRONG_VALUE]);
    // Texts that are not in the file as they are, and so are kept apart from it.
    assert_eq!(refused(filled("[", "\"\\x61aaa\",", MAX_ENROLLMENT)).last(), Some(&codes::TOO_LARGE));
    let keys: String = (0..4 * MAX_VALUES / 2 - 2).map(|n| format!("\"\\x61{n:x}\": a\n")).collect();
    assert!(!refused(keys).is_empty());
}
