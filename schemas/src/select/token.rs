//! A selector's text as tokens.

use std::fmt;

use super::Fault;

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'t> {
    Word(&'t str),
    /// `=` or `==`.
    Equal,
    NotEqual,
    Not,
    Comma,
    Open,
    Close,
    /// Something that no selector has.
    Other(char),
}

impl fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "{word:?}"),
            Self::Equal => f.write_str("\"=\""),
            Self::NotEqual => f.write_str("\"!=\""),
            Self::Not => f.write_str("\"!\""),
            Self::Comma => f.write_str("a comma"),
            Self::Open => f.write_str("\"(\""),
            Self::Close => f.write_str("\")\""),
            Self::Other(other) => write!(f, "{other:?}"),
        }
    }
}

/// The tokens of a text, with the byte at which each begins.
#[derive(Debug)]
pub(super) struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Tokens<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<Kind<'t>> {
        self.look().map(|(kind, _, _)| kind)
    }

    /// The next token, and where it begins.
    pub(super) fn next(&mut self) -> Option<(Kind<'t>, usize)> {
        let (kind, begin, end) = self.look()?;
        self.at = end;
        Some((kind, begin))
    }

    /// Takes the next token if it is this one.
    pub(super) fn take(&mut self, wanted: Kind<'_>) -> bool {
        let is = self.peek() == Some(wanted);
        if is {
            self.next();
        }
        is
    }

    /// The next token, which must be a word: `what`.
    pub(super) fn word(&mut self, what: &str) -> Result<(&'t str, usize), Fault> {
        match self.next() {
            Some((Kind::Word(word), at)) => Ok((word, at)),
            Some((found, at)) => Err(Fault::new(at, format!("found {found}, expected {what}"))),
            None => Err(self.ended(what)),
        }
    }

    /// The text ends where something was expected.
    pub(super) fn ended(&self, expected: &str) -> Fault {
        Fault::new(self.text.len(), format!("it ends here, expected {expected}"))
    }

    fn look(&self) -> Option<(Kind<'t>, usize, usize)> {
        let rest = &self.text[self.at..];
        let rest = rest.trim_start();
        let begin = self.text.len() - rest.len();
        let first = rest.chars().next()?;
        let (kind, length) = match first {
            '=' if rest.starts_with("==") => (Kind::Equal, 2),
            '=' => (Kind::Equal, 1),
            '!' if rest.starts_with("!=") => (Kind::NotEqual, 2),
            '!' => (Kind::Not, 1),
            ',' => (Kind::Comma, 1),
            '(' => (Kind::Open, 1),
            ')' => (Kind::Close, 1),
            '<' | '>' | '"' | '\'' => (Kind::Other(first), 1),
            _ => {
                let ends = |c: char| c.is_whitespace() || "=!,()<>\"'".contains(c);
                let length = rest.find(ends).unwrap_or(rest.len());
                (Kind::Word(&rest[..length]), length)
            }
        };
        Some((kind, begin, begin + length))
    }
}
