//! How results are shown: text for people, JSON for programs; colours on a terminal only.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::OnceLock;

use bellwether_schemas::codes;
use clap::ValueEnum as _;
use serde::Serialize;

use crate::failure::Failure;

/// Why standard output did not take something.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// The form of what a subcommand prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    // For people.
    Text,
    // One JSON document on stdout; failures as JSON on stderr.
    Json,
}

/// What `--output` takes. Each subcommand prints some of these forms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// For people
    #[default]
    Text,
    /// One JSON document on stdout, and failures as JSON on stderr
    Json,
    /// A picture
    Svg,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// Annotations in the log of a GitHub workflow
    Github,
    /// A Code Quality report of GitLab
    Gitlab,
    /// A JUnit report: each file is a test
    Junit,
    /// For a comment on a pull request
    Markdown,
}

impl Form {
    /// What every subcommand can print.
    pub(crate) const COMMON: &[Self] = &[Self::Text, Self::Json];

    /// Takes the forms that a subcommand can print.
    pub(crate) fn among(forms: &'static [Self]) -> impl clap::builder::TypedValueParser<Value = Self> {
        use clap::builder::{PossibleValuesParser, TypedValueParser as _};
        PossibleValuesParser::new(forms.iter().filter_map(Self::to_possible_value))
            .try_map(|text| Self::from_str(&text, false))
    }

    /// Reads `FORM=FILE`, of one of these forms.
    pub(crate) fn with_file(text: &str, forms: &[Self]) -> Result<(Self, PathBuf), String> {
        let split = text.split_once('=').filter(|(_, file)| !file.is_empty());
        let (form, file) =
            split.ok_or_else(|| format!("found {text:?}, expected FORM=FILE, such as json=found.json"))?;
        let name = |form: &Self| form.to_possible_value().map(|known| known.get_name().to_owned()).unwrap_or_default();
        match forms.iter().find(|known| name(known) == form) {
            Some(form) => Ok((*form, file.into())),
            None => {
                let names: Vec<_> = forms.iter().map(name).collect();
                Err(format!("found the form {form:?}, expected one of {}", names.join(", ")))
            }
        }
    }
}

impl From<Form> for Output {
    fn from(form: Form) -> Self {
        match form {
            Form::Json => Self::Json,
            Form::Text | Form::Svg | Form::Sarif | Form::Github | Form::Gitlab | Form::Junit | Form::Markdown => {
                Self::Text
            }
        }
    }
}

/// Prints a line. A reader that went away (`| head`) ends the output, not the command.
pub(crate) fn line(text: impl AsRef<str>) {
    bytes(format!("{}\n", text.as_ref()).as_bytes());
}

/// Prints what has no lines.
pub(crate) fn bytes(content: &[u8]) {
    let mut out = io::stdout().lock();
    match out.write_all(content).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => drop(LOST.set(error)),
        Err(_) | Ok(()) => {}
    }
}

/// The columns that text for people fits into.
const COLUMNS: usize = 80;

/// A text behind `label`, broken between words so that its lines fit; they begin below each other.
pub(crate) fn hanging(label: &str, text: &str) -> String {
    let indent = label.chars().count();
    let (mut lines, mut column) = (label.to_owned(), indent);
    for (place, word) in text.split_whitespace().enumerate() {
        let width = word.chars().count();
        match (place, column + 1 + width > COLUMNS) {
            (0, _) => {}
            (_, false) => {
                lines.push(' ');
                column += 1;
            }
            (_, true) => {
                lines.push('\n');
                lines.push_str(&" ".repeat(indent));
                column = indent;
            }
        }
        lines.push_str(word);
        column += width;
    }
    lines.trim_end().to_owned()
}

/// Whether everything that was printed was taken, by a full disk for example.
pub(crate) fn complete() -> Result<(), Failure> {
    let Some(error) = LOST.get() else { return Ok(()) };
    Err(Failure::new(codes::FILE_ACCESS, "what the command printed is incomplete: standard output did not take it")
        .because(error)
        .hint("The command itself has done its work. Make room where its output goes (df -h), before you ask again."))
}

/// Prints a note for people on stderr, where it does not get into a pipe.
pub(crate) fn note(text: impl AsRef<str>) {
    let _closed = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// The same before a failure may follow, which alone stands on stderr where JSON was asked for.
pub(crate) fn aside(output: Output, text: impl AsRef<str>) {
    if output == Output::Text {
        note(text);
    }
}

/// Prints one JSON document.
pub(crate) fn json(value: &impl Serialize) {
    line(serde_json::to_string_pretty(value).expect("what the command prints has text keys only"));
}

/// Colours for one stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    /// Colours where stdout is a terminal and `NO_COLOR` is not set.
    pub(crate) fn stdout() -> Self {
        Self(io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    /// Colours where stderr is a terminal and `NO_COLOR` is not set.
    pub(crate) fn stderr() -> Self {
        Self(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    /// Colours, wherever it goes.
    #[cfg(test)]
    pub(crate) fn always() -> Self {
        Self(true)
    }

    /// None.
    pub(crate) fn none() -> Self {
        Self(false)
    }

    pub(crate) fn is_on(self) -> bool {
        self.0
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("31;1", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn wrap(self, style: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
