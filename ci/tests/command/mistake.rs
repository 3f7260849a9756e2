//! Mistakes and their mends, written as `schemas/src/codes/examples.rs` describes it: made and mended in a repository.

use std::iter::once;
use std::ops::Range;
use std::path::Path;

use crate::{BELLWETHER, Sandbox};

/// Stands for anything: for lines if it is one, else for a part of a line.
const ANYTHING: &str = "…";

/// A mistake, and what mends it.
pub(crate) struct Mistake<'e> {
    parts: Vec<Part<'e>>,
}

enum Part<'e> {
    /// A piece of a file of the repository, or the whole of another file.
    File { path: &'e str, lines: Vec<Line<'e>> },
    /// A command for a shell.
    Command(Line<'e>),
}

#[derive(Clone, Copy)]
struct Line<'e> {
    sign: Sign,
    text: &'e str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Stays,
    Mistake,
    Mend,
}

/// What mends a mistake that was made.
enum Mend<'e> {
    File { path: &'e str, text: Option<String> },
    Command(&'e str),
}

/// A mistake that was made in a repository.
pub(crate) struct Made<'e> {
    sandbox: &'e Sandbox,
    mends: Vec<Mend<'e>>,
}

impl<'e> Mistake<'e> {
    pub(crate) fn of(text: &'e str) -> Self {
        let mut parts = Vec::new();
        for line in text.lines() {
            let sign = match line.chars().next() {
                Some(' ') => Sign::Stays,
                Some('-') => Sign::Mistake,
                Some('+') => Sign::Mend,
                _ if line == ANYTHING => Sign::Stays,
                _ => {
                    parts.push(Part::File { path: line, lines: Vec::new() });
                    continue;
                }
            };
            let line = Line { sign, text: if line == ANYTHING { line } else { &line[1..] } };
            match (line.text.strip_prefix("$ "), parts.last_mut()) {
                (Some(text), _) => parts.push(Part::Command(Line { sign, text })),
                (None, Some(Part::File { lines, .. })) => lines.push(line),
                (None, _) => panic!("no file is named before {:?}", line.text),
            }
        }
        Self { parts }
    }

    /// What is to be asked whether all is well, as arguments of the command.
    pub(crate) fn question(&self) -> Vec<&'e str> {
        let asked = self.parts.iter().find_map(|part| match part {
            Part::Command(line) => question(line),
            Part::File { .. } => None,
        });
        asked.map_or_else(|| vec!["validate"], |arguments| arguments.split(' ').collect())
    }

    /// Makes it.
    pub(crate) fn make(&self, sandbox: &'e Sandbox) -> Made<'e> {
        let mut mends = Vec::new();
        for part in &self.parts {
            match part {
                Part::File { path, lines } => {
                    let file = sandbox.repository().join(path);
                    let (wrong, right) = match std::fs::read_to_string(&file) {
                        Ok(text) => piece(path, &text, lines),
                        Err(_) => (whole(lines, Sign::Mistake), whole(lines, Sign::Mend)),
                    };
                    put(sandbox, path, wrong.as_deref());
                    mends.push(Mend::File { path, text: right });
                }
                Part::Command(line) if question(line).is_some() => {}
                Part::Command(line) if line.sign == Sign::Mend => mends.push(Mend::Command(line.text)),
                Part::Command(line) => shell(sandbox, line.text),
            }
        }
        Made { sandbox, mends }
    }
}

impl Made<'_> {
    pub(crate) fn mend(&self) {
        for mend in &self.mends {
            match mend {
                Mend::File { path, text } => put(self.sandbox, path, text.as_deref()),
                Mend::Command(text) => shell(self.sandbox, text),
            }
        }
    }
}

/// The arguments of the command, if the line asks whether all is well.
fn question<'e>(line: &Line<'e>) -> Option<&'e str> {
    let asks = |arguments: &&str| arguments.starts_with("validate") || arguments.starts_with("diff");
    line.text.strip_prefix("bellwether ").filter(asks)
}

fn shell(sandbox: &Sandbox, text: &str) {
    let mut command = sandbox.prepared("sh", &["-c", text], &sandbox.repository());
    let own = Path::new(BELLWETHER).parent().expect("it lies in a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(once(own).chain(std::env::split_paths(&path))).expect("no folder has a colon");
    let output = command.env("PATH", path).output().expect("there is a shell");
    assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Writes a file, or removes it.
fn put(sandbox: &Sandbox, path: &str, text: Option<&str>) {
    match text {
        Some(text) => sandbox.write(path, text),
        None => drop(std::fs::remove_file(sandbox.repository().join(path))),
    }
}

/// A file that the repository does not have, with the mistake or mended; none if it shall not be there.
fn whole(lines: &[Line<'_>], sign: Sign) -> Option<String> {
    let text: String = of(lines, &[Sign::Stays, sign]).map(|line| format!("{}\n", line.text)).collect();
    assert!(!text.contains(ANYTHING), "nobody knows what {ANYTHING} stands for in a new file: {text}");
    (!text.is_empty()).then_some(text)
}

/// A file with the mistake, and mended. The piece stands in it mended, or with the mistake, or without both.
fn piece(path: &str, text: &str, lines: &[Line<'_>]) -> (Option<String>, Option<String>) {
    let old: Vec<&str> = text.lines().collect();
    let forms = [&[Sign::Stays, Sign::Mend][..], &[Sign::Stays, Sign::Mistake], &[Sign::Stays]];
    let found = forms.into_iter().find_map(|form| {
        let pattern: Vec<_> = of(lines, form).map(|line| line.text).collect();
        if pattern.is_empty() {
            return None;
        }
        let mut places = (0..=old.len()).filter_map(|start| places(&pattern, &old, start));
        let found = places.next()?;
        let again = places.next();
        assert!(again.is_none(), "{path} has more than one piece with {pattern:?}");
        Some((form, found))
    });
    let (form, places) = found.unwrap_or_else(|| panic!("{path} has no piece as the example shows it"));
    let (first, last) = (places[0].start, places[places.len() - 1].end);
    let with = |sign: Sign| {
        let mut places = places.iter();
        let mut new: Vec<&str> = old[..first].to_vec();
        for line in lines {
            // What stands there already is kept as it stands there.
            let there = if form.contains(&line.sign) { places.next() } else { None };
            match there {
                _ if line.sign != Sign::Stays && line.sign != sign => {}
                Some(place) => new.extend(&old[place.clone()]),
                None => new.push(line.text),
            }
        }
        new.extend(&old[last..]);
        Some(format!("{}\n", new.join("\n")))
    };
    (with(Sign::Mistake), with(Sign::Mend))
}

fn of<'l, 'e>(lines: &'l [Line<'e>], signs: &'l [Sign]) -> impl Iterator<Item = &'l Line<'e>> {
    lines.iter().filter(|line| signs.contains(&line.sign))
}

/// The lines of a text, from `start` on, that each line of a pattern stands for.
fn places(pattern: &[&str], text: &[&str], start: usize) -> Option<Vec<Range<usize>>> {
    let Some((first, rest)) = pattern.split_first() else { return Some(Vec::new()) };
    let most = if *first == ANYTHING { text.len() } else { start + 1 };
    let least = if *first == ANYTHING { start } else { start + 1 };
    (least..=most).find_map(|end| {
        let is_meant = *first == ANYTHING || text.get(start).is_some_and(|line| is_like(line, first));
        let rest = if is_meant { places(rest, text, end)? } else { return None };
        Some(once(start..end).chain(rest).collect())
    })
}

fn is_like(line: &str, pattern: &str) -> bool {
    match pattern.split_once(ANYTHING) {
        Some((before, behind)) => line.strip_prefix(before).is_some_and(|rest| rest.ends_with(behind)),
        None => line == pattern,
    }
}
