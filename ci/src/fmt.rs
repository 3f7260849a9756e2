//! `bellwether fmt`: brings manifests into one layout.
//!
//! A library formats (docs/decisions/0025). What it makes is believed only after it was read again: the same values, the same
//! comments in the same places among them, and nothing left to format. Else the file stays as it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bellwether_core::verify::POLICY_PATH;
use bellwether_schemas::diagnostic::{Diagnostic, Severity};
use bellwether_schemas::manifest::Kind;
use bellwether_schemas::{codes, yaml};
use clap::Args;
use pretty_yaml::config::{FormatOptions, LanguageOptions, LayoutOptions, LineBreak};
use serde_json::json;

use crate::decision::diff;
use crate::failure::{self, Failure};
use crate::meant;
use crate::output::{self, Output, Paint};
use crate::patch;
use crate::repo::{Edit, WorkingCopy, shown};
use crate::yaml_edit::{Document, pieces};

const EXAMPLES: &str = "Examples:
  bellwether fmt                         (every manifest of the repository here but the policy)
  bellwether fmt fleets/edge.yaml        (one; or a folder)
  bellwether fmt trust/policy.yaml       (only if it is named: then raise its version)
  bellwether fmt --check                 (for CI and hooks: writes nothing, exits 1 and names what would change)

Indentation, spaces, blank lines and quotes change; values, comments, their order and the order of fields do not. A manifest
that is not valid is told and stays as it is (exit code 1). So does one whose values or comments would not be the same
afterwards, with a warning.";

/// Longer than any line: what the library breaks ends in a bracket that stands too far left for the reader of manifests.
const WIDTH: usize = 16 << 20;

/// How often a text is formatted at most until it stays the same.
const MOST_ROUNDS: usize = 4;

/// Options of `fmt`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FmtArgs {
    /// Only these files and folders
    paths: Vec<PathBuf>,
    /// Write nothing, show what would change, and exit 1 if something would (BW-0742)
    #[arg(long)]
    check: bool,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
}

/// What becomes of a manifest.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// It has the layout already.
    Same,
    /// It gets this text.
    Formatted(String),
    /// It is no valid manifest.
    Invalid(Vec<Diagnostic>),
    /// It could not be formatted without changing more than its layout.
    LeftAlone(String),
}

/// What became of all manifests.
#[derive(Debug, Default)]
struct Found {
    edits: Vec<Edit>,
    /// Of manifests that stay as they are.
    problems: Vec<Diagnostic>,
}

pub(crate) fn run(args: &FmtArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.repo)?;
    let paths = manifests(copy.root(), &args.paths)?;
    let mut found = Found::default();
    for path in &paths {
        let before = copy.read(path)?.unwrap_or_default();
        match outcome(path, &before) {
            Outcome::Same => {}
            Outcome::Formatted(after) => {
                found.edits.push(Edit { path: path.clone(), before: Some(before), after: Some(after.into_bytes()) });
            }
            Outcome::Invalid(problems) => found.problems.extend(problems),
            Outcome::LeftAlone(why) => found.problems.push(left_alone(path, &why)),
        }
    }
    if !args.check {
        copy.write(&found.edits)?;
    }
    report(&found, paths.len(), args.check, output);
    finish(&found, paths.len(), args)
}

/// What is told of a manifest that is valid, and whose layout stays.
fn left_alone(path: &str, why: &str) -> Diagnostic {
    let hint = "nothing is wrong with it; it is formatted once that part is written another way";
    let told = Diagnostic::error(codes::LAYOUT, path, format!("stays as it is: {why}")).hint(hint);
    Diagnostic { severity: Severity::Warning, ..told }
}

/// What becomes of the manifest `text` at `path`.
fn outcome(path: &str, text: &[u8]) -> Outcome {
    let manifest = match yaml::parse(path, text) {
        Ok(manifest) => manifest,
        Err(problems) => return Outcome::Invalid(problems),
    };
    let text = std::str::from_utf8(text).expect("a manifest that parsed is UTF-8");
    match formatted(text) {
        Ok(after) if after == text => Outcome::Same,
        Ok(after) if yaml::parse(path, after.as_bytes()).as_ref() == Ok(&manifest) => Outcome::Formatted(after),
        Ok(_) => Outcome::LeftAlone("a list or map in brackets that has comments inside".to_owned()),
        Err(why) => Outcome::LeftAlone(why),
    }
}

/// The text in the one layout; says why where that would be more than another layout.
fn formatted(text: &str) -> Result<String, String> {
    let format =
        |text: &str| pretty_yaml::format_text(text, &options()).map_err(|error| format!("it is not read: {error}"));
    let mut after = format(text)?;
    // A comment behind a list comes to rest only once the list is indented.
    for _ in 0..MOST_ROUNDS {
        let next = format(&after)?;
        if next == after {
            says_the_same(text, &after)?;
            return Ok(after);
        }
        after = next;
    }
    Err("it would look different each time".to_owned())
}

/// Refuses a text that says something else than the one before: in its values, or in its comments and their places.
fn says_the_same(before: &str, after: &str) -> Result<(), String> {
    let [old, new] = [before, after].map(|text| Document::read(text).map(|document| document.shape()));
    if old? != new? {
        return Err("a value would change: of a block of text with spaces or empty lines at its end".to_owned());
    }
    if pieces(before)? != pieces(after)? {
        return Err("a comment would be lost, or stand elsewhere among the values".to_owned());
    }
    Ok(())
}

fn options() -> FormatOptions {
    FormatOptions {
        layout: LayoutOptions { print_width: WIDTH, indent_width: 2, line_break: LineBreak::Lf },
        // As the template and docs write it: {a: b}, and lists indented below their key.
        language: LanguageOptions { brace_spacing: false, prefer_single_line: true, ..LanguageOptions::default() },
    }
}

/// The manifests in the folders of all kinds, or those of them that were named.
fn manifests(root: &Path, named: &[PathBuf]) -> Result<BTreeSet<String>, Failure> {
    let wanted = named.iter().map(|path| inside(root, path)).collect::<Result<Vec<_>, _>>()?;
    let mut found = BTreeSet::new();
    for kind in Kind::ALL {
        let dir = root.join(kind.folder());
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(failure::file("cannot read", &dir, &e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| failure::file("cannot read", &dir, &e))?;
            let path = format!("{}/{}", kind.folder(), entry.file_name().to_string_lossy());
            let is_wanted = match kind {
                // Another layout of it is a change that needs a higher version, and whom its rules ask.
                Kind::TrustPolicy => wanted.iter().any(|wanted| wanted == Path::new(&path)),
                _ => wanted.is_empty() || wanted.iter().any(|wanted| Path::new(&path).starts_with(wanted)),
            };
            // What a link points to may lie anywhere.
            let is_file = entry.file_type().is_ok_and(|file_type| file_type.is_file());
            if is_wanted && is_file && Kind::of_path(&path).is_some() {
                found.insert(path);
            }
        }
    }
    match (found.is_empty(), named.first()) {
        (true, Some(first)) => {
            Err(Failure::finding(codes::NO_SUCH_OBJECT, format!("{} has no manifests", first.display()))
                .hint("Name a manifest or a folder of them, such as fleets/edge.yaml or fleets."))
        }
        (true, None) => {
            Err(Failure::new(codes::NOT_A_REPOSITORY, format!("{} has no manifests", shown(root).display())))
        }
        _ => Ok(found),
    }
}

/// A path of the working copy that was named from its root, or from where the command runs.
fn inside(root: &Path, path: &Path) -> Result<PathBuf, Failure> {
    let real_root = root.canonicalize().map_err(|e| failure::file("cannot read", root, &e))?;
    let found = [root.join(path), path.to_path_buf()].into_iter().find_map(|path| {
        let real = path.canonicalize().ok()?;
        real.strip_prefix(&real_root).ok().map(Path::to_path_buf)
    });
    found.ok_or_else(|| {
        let message = format!("{} is not in the repository {}", path.display(), shown(root).display());
        let there = nameable(root);
        Failure::new(codes::USAGE, message).hint(meant::hint(
            &path.to_string_lossy(),
            there.iter().map(String::as_str),
            "Name a file or folder in it, such as fleets/edge.yaml.",
        ))
    })
}

/// The folders of all kinds, and the manifests in them.
fn nameable(root: &Path) -> Vec<String> {
    let folders = Kind::ALL.into_iter().map(Kind::folder).filter(|folder| root.join(folder).is_dir());
    let files = |folder: &str| {
        meant::files(root, folder).into_iter().map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
    };
    folders.flat_map(|folder| std::iter::once(folder.to_owned()).chain(files(folder))).collect()
}

fn report(found: &Found, files: usize, check: bool, output: Output) {
    if output == Output::Json {
        let changed: Vec<_> = found.edits.iter().map(|edit| &edit.path).collect();
        return output::json(&json!({
            "files": files, "changed": changed, "written": !check, "diff": diff(&found.edits), "problems": found.problems,
        }));
    }
    output::bytes(patch::coloured(&diff(&found.edits), Paint::stdout()).as_bytes());
    found.problems.iter().for_each(|problem| output::line(problem.to_string()));
    match found.edits.len() {
        // What would change is the failure.
        changed if check && changed > 0 => {}
        0 if found.problems.is_empty() => {
            let are = if files == 1 { "is" } else { "are" };
            output::note(format!("{} {are} in the layout already.", of(files)));
        }
        0 => {}
        changed => output::note(format!("Formatted {changed} of {}: {}", of(files), listed(found))),
    }
    if !check && found.edits.iter().any(|edit| edit.path == POLICY_PATH) {
        output::note(format!("Raise version in {POLICY_PATH} before you commit it: it counts only with a higher one."));
    }
}

fn of(files: usize) -> String {
    format!("{files} {}", if files == 1 { "manifest" } else { "manifests" })
}

/// Names of those that change, as many as a message lists.
fn listed(found: &Found) -> String {
    const LISTED: usize = 20;
    let names: Vec<_> = found.edits.iter().take(LISTED).map(|edit| edit.path.as_str()).collect();
    let more = match found.edits.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    names.join(", ") + &more
}

fn finish(found: &Found, files: usize, args: &FmtArgs) -> Result<(), Failure> {
    let is_error = |problem: &&Diagnostic| problem.severity == Severity::Error;
    if let Some(first) = found.problems.iter().find(is_error) {
        let invalid: BTreeSet<_> = found.problems.iter().filter(is_error).map(|problem| &problem.file).collect();
        let stay =
            if invalid.len() == 1 { "is not valid, and stays as it is" } else { "are not valid, and stay as they are" };
        let message = format!("{} of {} {stay}", invalid.len(), of(files));
        return Err(Failure::finding(first.code, message).hint("Mend them first: bellwether validate"));
    }
    if args.check && !found.edits.is_empty() {
        let count = found.edits.len();
        let would = if count == 1 { "file would" } else { "files would" };
        let message = format!("{count} {would} change: {}", listed(found));
        let named = args.paths.iter().map(|path| format!(" {}", path.display())).collect::<String>();
        return Err(Failure::finding(codes::NOT_FORMATTED, message)
            .hint(format!("Bring them into the layout, and commit that: bellwether fmt{named}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manifests below a folder of the source, by their paths in a repository.
    fn source(folder: &str) -> Vec<(String, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
        // Policies are taken only by name.
        let policies = std::fs::read_dir(root.join("trust")).expect("a folder");
        let policies = policies.map(|entry| Path::new("trust").join(entry.expect("an entry").file_name()));
        let named = Kind::ALL.iter().map(|kind| PathBuf::from(kind.folder())).filter(|dir| root.join(dir).is_dir());
        let named: Vec<_> = named.chain(policies).collect();
        let paths = manifests(&root, &named).expect("manifests");
        let read = |path: &String| std::fs::read_to_string(root.join(path)).expect("a file");
        // Only one place has a policy.
        let place = |path: &String| if path.starts_with("trust/") { POLICY_PATH.to_owned() } else { path.clone() };
        paths.iter().map(|path| (place(path), read(path))).collect()
    }

    #[test]
    fn every_valid_manifest_says_the_same_afterwards() {
        let all = source("schemas/testdata/valid");
        for (path, text) in &all {
            let after = match outcome(path, text.as_bytes()) {
                Outcome::Same => continue,
                Outcome::Formatted(after) => after,
                other => panic!("{path}: {other:?}"),
            };
            assert_eq!(yaml::parse(path, after.as_bytes()), yaml::parse(path, text.as_bytes()), "{path}");
            assert_eq!(pieces(&after), pieces(text), "{path}");
            assert_eq!(outcome(path, after.as_bytes()), Outcome::Same, "{path}");
        }
        assert!(all.len() > 30, "{}", all.len());
    }

    #[test]
    fn what_init_writes_has_the_layout() {
        use clap::ValueEnum as _;
        let values = crate::template::Placeholders {
            branch: "main",
            person: "ada",
            key: "KEY",
            expires: "2030-01-01T00:00:00Z",
        };
        for example in crate::template::Example::value_variants() {
            let files = crate::template::files(*example, &values);
            let manifests = files.into_iter().filter(|file| Kind::of_path(&file.path).is_some());
            for file in manifests {
                let text = String::from_utf8(file.after.expect("a new file")).expect("text");
                assert_eq!(formatted(&text), Ok(text), "{}", file.path);
            }
        }
    }

    #[test]
    fn a_manifest_that_is_not_valid_stays_as_it_is() {
        let all = source("schemas/testdata/invalid");
        for (path, text) in &all {
            assert!(matches!(outcome(path, text.as_bytes()), Outcome::Invalid(_)), "{path}");
        }
        assert!(all.len() > 30, "{}", all.len());
    }

    #[test]
    fn layout_changes_and_nothing_else() {
        for (before, after) in [
            ("a:\n- 1\n-   b: 2\n    c: 3\n", "a:\n  - 1\n  - b: 2\n    c: 3\n"),
            ("a: { b: 1,c: [ 2,3 ] }   # d\n", "a: {b: 1, c: [2, 3]} # d\n"),
            ("\n\na: 1\n\n\n\n# b\nb: 'two'\n\n", "a: 1\n\n# b\nb: \"two\"\n"),
            ("a:\n      # of b\n      b: 1   \n", "a:\n  # of b\n  b: 1\n"),
            ("a: |\n     x\n\n       y\nb: 1\n", "a: |\n  x\n\n    y\nb: 1\n"),
            ("a: [x,\n   y\n  ]\n", "a: [x, y]\n"),
            ("a:\n- 1  # b\n# c\n", "a:\n  - 1 # b\n# c\n"),
        ] {
            assert_eq!(formatted(before).as_deref(), Ok(after), "{before}");
        }
        let long = format!("a: {} # {}\n", "word ".repeat(60).trim(), "c".repeat(200));
        assert_eq!(formatted(&long), Ok(long.clone()), "a long line that is no list stays one");
    }

    #[test]
    fn what_would_change_more_is_left_alone() {
        for text in ["a: |+\n  x\n\n\nb: 1\n", "a: |\n  x  \n  y\n"] {
            let why = formatted(text).expect_err("a value would change");
            assert!(why.contains("value"), "{text}: {why}");
        }
        let head = "apiVersion: bellwether/v1\nkind: Hold\nmetadata: {name: h}\nspec:\n  reason: x\n  fleets:";
        let manifest = format!("{head} [a, # why\n    b]\n");
        let Outcome::LeftAlone(why) = outcome("holds/h.yaml", manifest.as_bytes()) else { panic!("{manifest}") };
        assert!(why.contains("comments inside"), "{why}");
    }

    #[test]
    fn a_text_that_says_something_else_is_not_believed() {
        let before = "a: 1 # b\nc:\n  - x\n  # d\n  - '2'\n";
        for (after, why) in [
            ("a: 1 # b\nc:\n  - x\n  - '2'\n", "comment"),
            ("a: 1\n# b\nc:\n  - x\n  - '2'\n  # d\n", "comment"),
            ("a: 1 # b\nc:\n  # d\n  - x\n  - '2'\n", "comment"),
            ("a: 1 # b\nc:\n  - x\n  # d\n  - 2\n", "value"),
            ("a: 1 # b\nc: [x, # d\n '2', '']\n", "value"),
            ("c: [x, # d\n '2']\na: 1 # b\n", "value"),
        ] {
            let found = says_the_same(before, after).expect_err(after);
            assert!(found.contains(why), "{after}: {found}");
        }
        assert_eq!(says_the_same(before, "a:   1\n# b\nc: [x, # d\n \"2\"]"), Ok(()));
    }

    #[test]
    fn ten_thousand_entries_are_formatted() {
        let entry =
            |n: u32| format!("-   id: t-{n}\n    sha256: \"{n:064}\"   # of {n}\n    labels: {{ site: kiel }}\n");
        let text = "tokens:\n".to_owned() + &(0..10_000).map(entry).collect::<String>();
        let after = formatted(&text).expect("it can be");
        assert!(after.ends_with(" # of 9999\n    labels: {site: kiel}\n"), "{}", &after[after.len() - 200..]);
    }
}
