//! Problems as they are found, and the diagnostics they become.

use super::MAX_PROBLEMS;
use crate::codes::{self, Code};
use crate::diagnostic::{Diagnostic, Place, Severity};

/// The greatest number of characters of a line that is shown; a message and a hint may have twice as many.
const MAX_SHOWN: usize = 200;

/// A problem at a byte range of the text.
#[derive(Debug)]
pub(crate) struct Problem {
    code: Code,
    start: usize,
    end: usize,
    message: String,
    hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(code: Code, start: usize, end: usize, message: impl Into<String>) -> Self {
        Self { code, start, end: end.max(start), message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything that is wrong with one manifest.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: Vec<Problem>,
    unshown: usize,
}

impl Report {
    pub(crate) fn add(&mut self, problem: Problem) {
        // Room for more than are shown, because problems are not found in the order of the text.
        if self.problems.len() < 10 * MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.unshown += 1;
        }
    }

    /// Counts a problem that is not shown, whatever it is.
    pub(crate) const fn leave_out(&mut self) {
        self.unshown += 1;
    }

    /// Whether there are so many problems that advice on one more helps nobody.
    pub(crate) fn is_crowded(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    /// Whether a problem begins in a range of bytes.
    pub(crate) fn has_any_in(&self, range: std::ops::Range<usize>) -> bool {
        self.problems.iter().any(|problem| range.contains(&problem.start))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The diagnostics in the order of the text. One pass: a hostile text has many problems on one long line.
    pub(crate) fn into_diagnostics(mut self, file: &str, text: &str) -> Vec<Diagnostic> {
        self.problems.sort_by_key(|p| (p.start, p.end, p.code));
        let unshown = self.unshown + self.problems.len().saturating_sub(MAX_PROBLEMS);
        let mut cursor = Cursor { text, at: 0, line: 1, line_start: 0, column: 1 };
        let mut shown: Vec<_> =
            self.problems.into_iter().take(MAX_PROBLEMS).map(|problem| cursor.diagnostic(file, problem)).collect();
        if unshown > 0 {
            shown.push(Diagnostic::error(codes::TOO_LARGE, file, format!("{unshown} more problems are not shown")));
        }
        shown
    }
}

/// A place in the text that only moves forward.
struct Cursor<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    line_start: usize,
    column: usize,
}

impl Cursor<'_> {
    fn move_to(&mut self, to: usize) {
        let passed = &self.text[self.at..to];
        self.line += passed.matches('\n').count();
        match passed.rfind('\n') {
            Some(last) => {
                self.line_start = self.at + last + 1;
                self.column = self.text[self.line_start..to].chars().count() + 1;
            }
            None => self.column += passed.chars().count(),
        }
        self.at = to;
    }

    fn diagnostic(&mut self, file: &str, problem: Problem) -> Diagnostic {
        let start = self.text.floor_char_boundary(problem.start);
        let end = self.text.floor_char_boundary(problem.end).max(start);
        self.move_to(start);
        let line: String = self.text[self.line_start..]
            .chars()
            .take_while(|c| !matches!(c, '\n' | '\r'))
            .take(MAX_SHOWN)
            .map(|c| if shows(c) { c } else { '\u{fffd}' })
            .collect();
        Diagnostic {
            severity: Severity::Error,
            code: problem.code,
            file: file.to_owned(),
            place: Some(Place::of(&self.text[start..end], self.line, self.column, start)),
            snippet: (self.column <= MAX_SHOWN).then(|| line.trim_end().to_owned()),
            message: clip(&problem.message, 2 * MAX_SHOWN),
            hint: problem.hint.map(|hint| clip(&hint, 2 * MAX_SHOWN)),
        }
    }
}

/// Whether a character may go to a terminal as it is.
fn shows(character: char) -> bool {
    character == '\t' || super::text::hidden(character).is_none()
}

/// `text`, cut after `most` characters.
pub(crate) fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}
