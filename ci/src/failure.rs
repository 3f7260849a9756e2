//! How the command says that something failed: code, what, why, and what to do.

use std::fmt;
use std::process::ExitCode;

use bellwether_schemas::Code;
use bellwether_schemas::codes;

use crate::output::{self, Output, Paint};

/// Why a subcommand ended without doing what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    message: String,
    hint: Option<String>,
    cause: Option<String>,
    exit: u8,
    /// Whether what was printed has said it already.
    is_told: bool,
}

impl Failure {
    /// Usage or environment: exit code 2.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, cause: None, exit: 2, is_told: false }
    }

    /// Something was found, as against "could not be done": exit code 1.
    pub(crate) fn finding(code: Code, message: impl Into<String>) -> Self {
        Self { exit: 1, ..Self::new(code, message) }
    }

    /// Findings that stand on standard output: there is nothing more to say.
    pub(crate) fn told(code: Code) -> Self {
        Self { is_told: true, ..Self::finding(code, String::new()) }
    }

    /// The same with a runnable hint in place of the code's general one.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with what caused it.
    #[must_use]
    pub(crate) fn because(mut self, cause: &(dyn std::error::Error + 'static)) -> Self {
        self.cause = Some(chain(cause));
        self
    }

    /// Says it, on stderr, and gives the exit code.
    pub(crate) fn report(&self, output: Output) -> ExitCode {
        match output {
            _ if self.is_told => {}
            Output::Text => {
                let text = crate::get::printable(&self.to_string());
                output::note(format!("{}{text}", Paint::stderr().red("error")));
            }
            Output::Json => output::note(self.json().to_string()),
        }
        ExitCode::from(self.exit)
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub(crate) fn advice(&self) -> &str {
        match &self.hint {
            Some(hint) => hint,
            None => codes::explain(self.code.as_str()).map_or("", |known| known.mend),
        }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({ "error": {
            "code": self.code.as_str(), "message": self.message, "cause": self.cause, "hint": self.advice(),
        }})
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]: {}", self.code, self.message)?;
        if let Some(cause) = &self.cause {
            write!(f, "\n  because: {cause}")?;
        }
        write!(f, "\n  hint: {}", self.advice())
    }
}

/// An error with all its sources, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        // Some libraries repeat their source in their own text.
        let said = inner.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = inner.source();
    }
    text
}

/// A file that could not be read or written.
pub(crate) fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind;
    let failure = Failure::new(codes::FILE_ACCESS, format!("{what} {}", path.display())).because(error);
    match error.kind() {
        ErrorKind::NotFound => failure.hint("Name a path that is there (relative ones begin in the current folder)."),
        ErrorKind::PermissionDenied => {
            failure.hint("Look at owner and permissions: ls -ld on the path and its folder.")
        }
        ErrorKind::StorageFull => failure.hint("Make room on that file system: df -h shows what is left."),
        _ => failure,
    }
}
