//! What `validate` found, in the form that whoever reads it wants: a person, a program, a hosting service.

mod github;
mod gitlab;
mod json;
mod junit;
mod markdown;
mod sarif;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bellwether_schemas::diagnostic::{Diagnostic, Severity};

use crate::output::{Form, Paint};

/// The forms of the findings.
pub(super) const FORMS: &[Form] =
    &[Form::Text, Form::Json, Form::Sarif, Form::Github, Form::Gitlab, Form::Junit, Form::Markdown];

/// What was looked at, and what was found.
pub(super) struct Report<'a> {
    /// Sorted by file and place.
    pub(super) problems: &'a [Diagnostic],
    /// The text of each manifest.
    pub(super) texts: &'a BTreeMap<String, Vec<u8>>,
    /// The files and folders that were asked about; all if empty.
    pub(super) scope: &'a [PathBuf],
}

impl Report<'_> {
    /// The report, with a line's end.
    pub(super) fn written(&self, form: Form, paint: Paint) -> String {
        match form {
            // No picture is among the forms.
            Form::Text | Form::Svg => text::written(self, paint),
            Form::Json => json::written(self),
            Form::Sarif => sarif::written(self),
            Form::Github => github::written(self),
            Form::Gitlab => gitlab::written(self),
            Form::Junit => junit::written(self),
            Form::Markdown => markdown::written(self),
        }
    }

    fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }

    /// `2 errors and 1 warning in 40 manifests`; where only some were asked about, `no problems in fleets/edge.yaml`.
    fn summary(&self) -> String {
        let number = |count: usize, noun: &str| match count {
            1 => format!("1 {noun}"),
            count => format!("{count} {noun}s"),
        };
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let found = match (errors, warnings) {
            (0, 0) => "no problems".to_owned(),
            (errors, 0) => number(errors, "error"),
            (0, warnings) => number(warnings, "warning"),
            (errors, warnings) => format!("{} and {}", number(errors, "error"), number(warnings, "warning")),
        };
        let wanted: Vec<_> = self.scope.iter().map(|path| path.display().to_string()).collect();
        let all = number(self.texts.len(), "manifest");
        // The repository itself has an empty path in it.
        if wanted.is_empty() || wanted.iter().any(String::is_empty) {
            let is_sound = errors + warnings == 0;
            return if is_sound { format!("{all}, {found}") } else { format!("{found} in {all}") };
        }
        // A commit counts as a whole: what is said of it is not of these files alone.
        let beside = self.problems.iter().filter(|problem| !self.is_asked(&problem.file)).count();
        let beside = if beside > 0 { format!(", {beside} of them about the commit as a whole") } else { String::new() };
        format!("{found} in {}{beside} ({all} were read)", wanted.join(", "))
    }

    /// Whether a file is among those that were asked about.
    fn is_asked(&self, file: &str) -> bool {
        self.scope.is_empty() || self.scope.iter().any(|path| Path::new(file).starts_with(path))
    }
}

/// What a problem is told apart by, also when lines move: code, file, message, and a number where all that is the same.
fn fingerprints(problems: &[Diagnostic]) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let fingerprint = |problem: &Diagnostic| {
        let text = format!("{}\n{}\n{}", problem.code, problem.file, problem.message);
        let again = seen.entry(text.clone()).or_default();
        *again += 1;
        bellwether_schemas::Sha256Digest::of(format!("{text}\n{again}").as_bytes()).to_string()
    };
    problems.iter().map(fingerprint).collect()
}

/// What somebody else wrote, in one line: a log takes a line that begins with `::` for a command, and a terminal what
/// follows an escape.
fn one_line(text: &str) -> String {
    crate::get::printable(text).replace('\n', "\u{fffd}")
}
