//! A problem in a file, with its place: what was found, what was expected, what to do.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::codes::Code;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The object is refused.
    Error,
    /// The object is taken, and is probably not what was meant.
    Warning,
}

/// A place in a text: lines and columns from 1, columns in characters, and the byte range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Line of the end.
    pub end_line: usize,
    /// Column after the last character.
    pub end_column: usize,
    /// First byte.
    pub start: usize,
    /// Byte after the last one.
    pub end: usize,
}

impl Place {
    /// The place of `text`, which begins at this line, column and byte.
    pub fn of(text: &str, line: usize, column: usize, start: usize) -> Self {
        let (breaks, last) = (text.matches('\n').count(), text.rsplit('\n').next().unwrap_or_default());
        let end_column = last.chars().count() + if breaks == 0 { column } else { 1 };
        Self { line, column, end_line: line + breaks, end_column, start, end: start + text.len() }
    }
}

/// One problem of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The stable code.
    #[serde(serialize_with = "code_text")]
    #[schemars(with = "String", regex(pattern = "^BW-[0-9]{4}$"))]
    pub code: Code,
    /// The file, relative to the repository.
    pub file: String,
    /// The place in it; absent when the problem is the file as a whole.
    pub place: Option<Place>,
    /// The line at that place, for people.
    pub snippet: Option<String>,
    /// What is wrong: found and expected, in a sentence fragment.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What `bellwether validate --output json` prints. What is in it changes only with `$schema`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Validation<'a> {
    /// Which form this is: that of `bellwether schema validation`.
    #[serde(rename = "$schema")]
    pub schema: &'a str,
    /// How many manifests were read.
    pub files: usize,
    /// How many errors were found.
    pub errors: usize,
    /// How many warnings were found.
    pub warnings: usize,
    /// Every problem, sorted by file and place.
    pub problems: &'a [Diagnostic],
}

impl Validation<'_> {
    /// The `$id` of its JSON Schema.
    pub const SCHEMA: &'static str = "urn:bellwether:v1:validation";
}

fn code_text<S: serde::Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

impl Diagnostic {
    /// An error in a file as a whole.
    pub fn error(code: Code, file: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            file: file.to_owned(),
            place: None,
            snippet: None,
            message: message.into(),
            hint: None,
        }
    }

    /// The same problem at the byte range `start..end` of `text`.
    #[must_use]
    pub fn at(mut self, text: &str, start: usize, end: usize) -> Self {
        let start = floor_boundary(text, start);
        let end = floor_boundary(text, end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = text[..start].matches('\n').count() + 1;
        let column = text[line_start..start].chars().count() + 1;
        self.place = Some(Place::of(&text[start..end], line, column, start));
        self.snippet = Some(text[line_start..line_end].trim_end_matches('\r').chars().take(200).collect());
        self
    }

    /// The same problem with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// `file:line:column: error[BW-0101]: message`, then the line with a mark under the place, then the hint.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(place) = &self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, ": {severity}[{}]: {}", self.code, self.message)?;
        if let (Some(place), Some(snippet)) = (&self.place, &self.snippet) {
            let gutter = place.line.to_string();
            let mark = "^".repeat(place.end.saturating_sub(place.start).clamp(1, 200));
            let room = snippet.chars().count().saturating_sub(place.column - 1).max(1);
            let mark: String = mark.chars().take(room).collect();
            write!(f, "\n{gutter} | {snippet}")?;
            write!(f, "\n{:width$} | {:indent$}{mark}", "", "", width = gutter.len(), indent = place.column - 1)?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_place_in_characters() {
        let text = "a: 1\nß: wrong\n";
        let shown = Diagnostic::error(crate::codes::UNKNOWN_FIELD, "fleets/x.yaml", "found wrong, expected right")
            .at(text, 9, 14)
            .hint("write right");
        assert_eq!(
            shown.to_string(),
            "fleets/x.yaml:2:4: error[BW-0103]: found wrong, expected right\n2 | ß: wrong\n  |    ^^^^^\n  hint: write right"
        );
    }
}
