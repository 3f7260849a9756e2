//! How results are shown: text for people, JSON for programs; colours on a terminal only.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

/// The form of what a subcommand prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    // For people.
    #[default]
    Text,
    // One JSON document on stdout; failures as JSON on stderr.
    Json,
}

/// Prints a line. A reader that went away (`| head`) ends the output, not the command.
pub(crate) fn line(text: impl AsRef<str>) {
    let _closed = writeln!(std::io::stdout().lock(), "{}", text.as_ref());
}

/// Prints a note for people on stderr, where it does not get into a pipe.
pub(crate) fn note(text: impl AsRef<str>) {
    let _closed = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
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
        Self(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    /// Colours where stderr is a terminal and `NO_COLOR` is not set.
    pub(crate) fn stderr() -> Self {
        Self(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
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
