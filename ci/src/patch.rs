//! What differs between two texts, as a patch that `git apply` takes.
//!
//! In: a path in the repository and the texts before and after. Out: the patch, which nothing shortens; `coloured` is for
//! people only.

use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices_deadline, group_diff_ops};

use crate::output::Paint;

/// Lines that do not differ, shown around those that do.
const CONTEXT: usize = 3;

/// How long the smallest patch is looked for. What is found by then is a patch too, and longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The patch that makes `after` of `before`; a text that is empty is a file that is not there. Empty where nothing differs.
pub(crate) fn unified(path: &str, before: &str, after: &str) -> String {
    let [old, new] = [before, after].map(|text| text.split_inclusive('\n').collect::<Vec<_>>());
    let operations = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, Some(Instant::now() + PATIENCE));
    let mut patch = String::new();
    for hunk in group_diff_ops(operations, CONTEXT) {
        if patch.is_empty() {
            patch = format!("--- {}\n+++ {}\n", side("a", path, before), side("b", path, after));
        }
        patch.push_str(&header(&hunk));
        for operation in &hunk {
            let (tag, was, is) = operation.as_tag_tuple();
            match tag {
                DiffTag::Equal => lines(&mut patch, ' ', &old[was]),
                DiffTag::Delete | DiffTag::Insert | DiffTag::Replace => {
                    lines(&mut patch, '-', &old[was]);
                    lines(&mut patch, '+', &new[is]);
                }
            }
        }
    }
    patch
}

/// The patch in colours, where there are any.
pub(crate) fn coloured(patch: &str, paint: Paint) -> String {
    let line = |line: &str| {
        let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
        let shown = match text.as_bytes().first() {
            _ if text.starts_with("--- ") || text.starts_with("+++ ") => paint.bold(text),
            Some(b'-') => paint.red(text),
            Some(b'+') => paint.green(text),
            Some(b'@') => paint.yellow(text),
            _ => text.to_owned(),
        };
        shown + end
    };
    patch.split_inclusive('\n').map(line).collect()
}

/// The name of one side, as git writes it.
fn side(prefix: &str, path: &str, text: &str) -> String {
    let name = format!("{prefix}/{path}");
    match text {
        "" => "/dev/null".to_owned(),
        _ if name.contains(|c: char| c.is_control() || c == '"' || c == '\\') => quoted(&name),
        // Behind a name with a space git expects where it ends.
        _ if name.contains(' ') => name + "\t",
        _ => name,
    }
}

/// A name in quotes, as git's `quote_c_style` does it.
fn quoted(name: &str) -> String {
    let mut text = "\"".to_owned();
    for byte in name.bytes() {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\{byte:03o}")),
        }
    }
    text + "\""
}

fn header(hunk: &[DiffOp]) -> String {
    let [Some(first), Some(last)] = [hunk.first(), hunk.last()] else { return String::new() };
    let old = span(first.old_range().start, last.old_range().end);
    let new = span(first.new_range().start, last.new_range().end);
    format!("@@ -{old} +{new} @@\n")
}

/// Where the lines of a hunk begin, from 1, and how many they are. Of none, the line before them counts.
fn span(start: usize, end: usize) -> String {
    match end - start {
        0 => format!("{start},0"),
        1 => (start + 1).to_string(),
        length => format!("{},{length}", start + 1),
    }
}

fn lines(patch: &mut String, sign: char, lines: &[&str]) {
    for line in lines {
        patch.push(sign);
        patch.push_str(line);
        if !line.ends_with('\n') {
            patch.push_str("\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What git makes of `before` by the patch; `None` where no file is left.
    fn applied(path: &str, before: &str, patch: &str) -> Option<String> {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        if !before.is_empty() {
            std::fs::write(&file, before).expect("a file");
        }
        std::fs::write(dir.path().join("patch"), patch).expect("a file");
        let mut git = Command::new("git");
        git.args(["apply", "--whitespace=nowarn", "patch"]).current_dir(dir.path());
        git.env("HOME", dir.path()).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CEILING_DIRECTORIES", dir.path());
        let output = git.output().expect("git is installed");
        assert!(output.status.success(), "{}\n{patch}", String::from_utf8_lossy(&output.stderr));
        std::fs::read_to_string(&file).ok()
    }

    #[test]
    fn git_makes_the_second_text_of_the_first() {
        let long: String = (0..40).map(|n| format!("line {n}\n")).collect();
        let far = long.replace("line 2\n", "").replace("line 30\n", "line 30\nand more\n").replace("line 39\n", "end");
        for (path, before, after) in [
            ("holds/new.yaml", "", "a: 1\n"),
            ("holds/gone.yaml", "a: 1\nb: 2\n", ""),
            ("fleets/edge.yaml", long.as_str(), far.as_str()),
            ("fleets/edge.yaml", far.as_str(), long.as_str()),
            ("a.yaml", "no end", "no end\n"),
            ("a.yaml", "a\r\nb\r\n", "a\r\nc\r\nb\r\n"),
            ("a.yaml", "a\rb\nc\n", "a\rb\nd\rend"),
            ("files/a name.txt", "a\n", "b\n"),
            ("files/a \"quoted\"\tüber.txt", "a\n", "b\n"),
            ("files/über.txt", "-- a\n++ b\n", "++ a\n"),
        ] {
            let patch = unified(path, before, after);
            assert_eq!(applied(path, before, &patch).unwrap_or_default(), after, "{path}\n{patch}");
        }
        assert_eq!(unified("a.yaml", &long, &long), "");
    }

    #[test]
    fn a_patch_shows_what_differs_with_three_lines_around_it() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let patch = unified("fleets/edge.yaml", before, &before.replace("5\n", "five\n"));
        let expected =
            "--- a/fleets/edge.yaml\n+++ b/fleets/edge.yaml\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n";
        assert_eq!(patch, expected);
        assert_eq!(unified("a", "", "x\n"), "--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+x\n");
        assert_eq!(coloured(&patch, Paint::none()), patch);
    }

    #[test]
    fn many_lines_that_are_all_others_take_no_longer_than_patience_allows() {
        let [before, after] =
            ["a", "b"].map(|of| (0..60_000).map(|n| format!("- {of}{}\n", n / 2)).collect::<String>());
        let begun = Instant::now();
        assert!(unified("a", &before, &after).len() > 400_000);
        assert!(begun.elapsed() < 10 * PATIENCE, "{:?}", begun.elapsed());
    }
}
