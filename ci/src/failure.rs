//! How the command says that something failed: code, what, why, and what to do.

use std::fmt;

use bellwether_schemas::Code;
use bellwether_schemas::codes;

/// Why a subcommand ended without doing what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    message: String,
    hint: Option<String>,
    cause: Option<String>,
    exit: u8,
}

impl Failure {
    /// Usage or environment: exit code 2.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, cause: None, exit: 2 }
    }

    /// Something was found, as against "could not be done": exit code 1.
    pub(crate) fn finding(code: Code, message: impl Into<String>) -> Self {
        Self { exit: 1, ..Self::new(code, message) }
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

    pub(crate) fn exit(&self) -> u8 {
        self.exit
    }

    fn advice(&self) -> &str {
        match &self.hint {
            Some(hint) => hint,
            None => codes::explain(self.code.as_str()).map_or("", |known| known.mend),
        }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
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
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// A file that could not be read or written.
pub(crate) fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new(codes::FILE_ACCESS, format!("{what} {}", path.display())).because(error)
}
