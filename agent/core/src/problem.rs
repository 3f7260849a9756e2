//! A problem as the device reports it.

use bellwether_schemas::Code;
use bellwether_schemas::allow::NotAllowed;
use bellwether_schemas::report::{Failure, FailureKind, MAX_MESSAGE};
use bellwether_schemas::version::Version;
use jiff::Timestamp;

/// Something that went wrong, with what a person needs to act on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Problem {
    /// The stable code.
    pub code: Code,
    /// What happened, where and why.
    pub message: String,
    /// Whether trying again may help by itself.
    pub transient: bool,
}

impl Problem {
    /// A problem that stays until a person acts.
    pub fn lasting(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: plain(&message.into()), transient: false }
    }

    /// A problem that may go away by itself.
    pub fn transient(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: plain(&message.into()), transient: true }
    }

    pub(crate) fn failure(&self, version: Option<Version>, kind: FailureKind, at: Timestamp) -> Failure {
        let (code, message) = (self.code.to_string(), shortened(&self.message));
        Failure { version, digest: None, kind, code, message, at }
    }
}

impl From<NotAllowed> for Problem {
    fn from(refused: NotAllowed) -> Self {
        Self::lasting(refused.code(), refused.to_string())
    }
}

/// A text from elsewhere (a program, a server) as one line that does nothing to a terminal or a log.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The text, cut to what a report may carry.
fn shortened(text: &str) -> String {
    let mut end = text.len().min(MAX_MESSAGE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_cannot_move_the_cursor() {
        let problem = Problem::lasting(bellwether_schemas::codes::PROBE_FAILED, "no\u{1b}[2Jgood\r\nfine");
        assert_eq!(problem.message, "no [2Jgood  fine");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = shortened(&"ß".repeat(MAX_MESSAGE));
        assert!(cut.len() <= MAX_MESSAGE && cut.chars().all(|c| c == 'ß'));
    }
}
