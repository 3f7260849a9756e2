//! Selectors as text: by label, in Kubernetes' syntax, and by field. Command, API and page read them with this.
//!
//! ```text
//! labels   site=kiel,ring!=canary,env in (a,b),env notin (c),has,!has
//! fields   status.summary.status=ConflictPaused,fleet!=edge
//! ```
//!
//! All terms must hold. A text without terms is refused: an unset variable in a script must not choose every device.

mod field;
mod label;
#[cfg(test)]
mod tests;
mod token;

pub use field::Field;

use field::FieldTerm;
use label::LabelTerm;
use token::{Kind, Tokens};

use crate::api::DeviceView;
use crate::codes::{self, Code};
use crate::manifest::LabelSelector;

/// The greatest length of a selector, in bytes.
pub const MAX_SELECTOR: usize = 4_096;

/// What a selector goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectorKind {
    /// Labels.
    Label,
    /// Fields of what the API says about a device.
    Field,
    /// Both: what is typed into the page's search box.
    Search,
}

impl SelectorKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Label => "label selector",
            Self::Field => "field selector",
            Self::Search => "search",
        }
    }
}

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {text:?}, character {at}: {problem}", kind.name())]
pub struct SelectorError {
    kind: SelectorKind,
    /// The text, shortened.
    text: String,
    at: usize,
    problem: String,
}

impl SelectorError {
    /// What the text was to be.
    pub fn kind(&self) -> SelectorKind {
        self.kind
    }

    /// The character at which it goes wrong, counted from 1.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What was found there, and what was expected.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// The stable code.
    pub const fn code(&self) -> Code {
        codes::SELECTOR_INVALID
    }
}

/// A fault at a byte of the text.
#[derive(Debug)]
struct Fault {
    at: usize,
    problem: String,
}

impl Fault {
    fn new(at: usize, problem: impl Into<String>) -> Self {
        Self { at, problem: problem.into() }
    }

    fn of(self, kind: SelectorKind, text: &str) -> SelectorError {
        let before = text.char_indices().take_while(|(index, _)| *index < self.at).count();
        let shown: String = text.chars().take(200).collect();
        SelectorError { kind, text: shown, at: before + 1, problem: self.problem }
    }
}

/// Reads a label selector.
///
/// # Errors
/// Where and why the text is none.
pub fn labels(text: &str) -> Result<LabelSelector, SelectorError> {
    let mut found = LabelSelector::default();
    each_term(SelectorKind::Label, text, |tokens| LabelTerm::read(tokens).map(|term| term.add_to(&mut found)))?;
    Ok(found)
}

/// Chooses devices by their labels and by fields of what the API says about them. Without terms it chooses all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceSelector {
    labels: Option<LabelSelector>,
    fields: Vec<FieldTerm>,
}

impl DeviceSelector {
    /// Reads a label selector and a field selector; one that is not given chooses all.
    ///
    /// # Errors
    /// Where and why a text is none.
    pub fn read(by_label: Option<&str>, by_field: Option<&str>) -> Result<Self, SelectorError> {
        let mut fields = Vec::new();
        let labels = by_label.map(labels).transpose()?;
        if let Some(text) = by_field {
            each_term(SelectorKind::Field, text, |tokens| FieldTerm::read(tokens).map(|term| fields.push(term)))?;
        }
        Ok(Self { labels, fields })
    }

    /// Reads what was typed into a search box: terms of both kinds, where a field's name means the field; `None` if it is
    /// plain text.
    ///
    /// # Errors
    /// Where and why a text with operators is no selector.
    pub fn search(text: &str) -> Result<Option<Self>, SelectorError> {
        if !text.contains(['=', '!', '(']) {
            return Ok(None);
        }
        let (mut labels, mut fields) = (LabelSelector::default(), Vec::new());
        each_term(SelectorKind::Search, text, |tokens| match tokens.peek() {
            Some(Kind::Word(word)) if Field::named(word).is_some() => {
                FieldTerm::read(tokens).map(|term| fields.push(term))
            }
            _ => LabelTerm::read(tokens).map(|term| term.add_to(&mut labels)),
        })?;
        Ok(Some(Self { labels: Some(labels).filter(|labels| !labels.is_empty()), fields }))
    }

    /// Whether it chooses every device.
    pub fn is_all(&self) -> bool {
        self.labels.is_none() && self.fields.is_empty()
    }

    /// Whether a device is chosen.
    pub fn matches(&self, device: &DeviceView) -> bool {
        self.labels.as_ref().is_none_or(|labels| labels.matches(&device.labels))
            && self.fields.iter().all(|term| term.matches(device))
    }
}

/// Reads terms with commas between them.
fn each_term(
    kind: SelectorKind,
    text: &str,
    mut read: impl FnMut(&mut Tokens<'_>) -> Result<(), Fault>,
) -> Result<(), SelectorError> {
    let mut all = || {
        if text.len() > MAX_SELECTOR {
            let problem = format!("it has {} bytes, and may have {MAX_SELECTOR}", text.len());
            return Err(Fault::new(0, problem));
        }
        let mut tokens = Tokens::new(text);
        if tokens.peek().is_none() {
            return Err(Fault::new(0, "it is empty; leave it out to choose all"));
        }
        loop {
            read(&mut tokens)?;
            match tokens.next() {
                None => return Ok(()),
                Some((Kind::Comma, _)) => {}
                Some((found, at)) => return Err(Fault::new(at, format!("found {found}, expected a comma or the end"))),
            }
        }
    };
    all().map_err(|fault| fault.of(kind, text))
}
