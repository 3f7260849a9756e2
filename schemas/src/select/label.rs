//! Terms of a label selector.

use super::Fault;
use super::token::{Kind, Tokens};
use crate::manifest::{LabelSelector, Operator, Requirement};
use crate::yaml::{is_label_word, label_key};

/// One term.
#[derive(Debug)]
pub(super) enum LabelTerm {
    /// The label has this value.
    Equal(String, String),
    /// Anything else.
    Other(Requirement),
}

impl LabelTerm {
    pub(super) fn read(tokens: &mut Tokens<'_>) -> Result<Self, Fault> {
        if tokens.take(Kind::Not) {
            let key = key(tokens)?;
            return Ok(Self::Other(Requirement { key, operator: Operator::DoesNotExist, values: Vec::new() }));
        }
        let key = key(tokens)?;
        let operator = match tokens.peek() {
            None | Some(Kind::Comma) => Operator::Exists,
            Some(Kind::Equal) => {
                tokens.next();
                return Ok(Self::Equal(key, value(tokens)?));
            }
            Some(Kind::NotEqual) => Operator::NotIn,
            Some(Kind::Word("in")) => Operator::In,
            Some(Kind::Word("notin")) => Operator::NotIn,
            Some(found) => {
                let at = tokens.next().map_or(0, |(_, at)| at);
                return Err(Fault::new(at, unknown_operator(found)));
            }
        };
        let values = match (operator, tokens.peek()) {
            (Operator::Exists | Operator::DoesNotExist, _) => Vec::new(),
            (_, Some(Kind::NotEqual)) => {
                tokens.next();
                vec![value(tokens)?]
            }
            (Operator::In | Operator::NotIn, _) => {
                tokens.next();
                values(tokens)?
            }
        };
        Ok(Self::Other(Requirement { key, operator, values }))
    }

    /// Adds it to what must hold.
    pub(super) fn add_to(self, selector: &mut LabelSelector) {
        match self {
            // One value for each key fits there; a second one contradicts it, and must still hold.
            Self::Equal(key, value) if selector.match_labels.contains_key(&key) => {
                let term = Requirement { key, operator: Operator::In, values: vec![value] };
                selector.match_expressions.push(term);
            }
            Self::Equal(key, value) => {
                selector.match_labels.insert(key, value);
            }
            Self::Other(term) => selector.match_expressions.push(term),
        }
    }
}

fn unknown_operator(found: Kind<'_>) -> String {
    let expected = "expected =, !=, in (…), notin (…), a comma or the end";
    match found {
        Kind::Other('<' | '>') => format!("found {found}; labels are texts and are not compared by size; {expected}"),
        _ => format!("found {found}, {expected}"),
    }
}

fn key(tokens: &mut Tokens<'_>) -> Result<String, Fault> {
    let (word, at) = tokens.word("the key of a label")?;
    label_key(word).map_err(|problem| Fault::new(at, problem))
}

/// A value; none at all is the empty one.
fn value(tokens: &mut Tokens<'_>) -> Result<String, Fault> {
    match tokens.peek() {
        None | Some(Kind::Comma) => Ok(String::new()),
        Some(_) => {
            let (word, at) = tokens.word("a value")?;
            checked(word, at)
        }
    }
}

fn values(tokens: &mut Tokens<'_>) -> Result<Vec<String>, Fault> {
    if !tokens.take(Kind::Open) {
        let found = tokens.next();
        return Err(match found {
            Some((found, at)) => Fault::new(at, format!("found {found}, expected values in parentheses: (a,b)")),
            None => tokens.ended("values in parentheses: (a,b)"),
        });
    }
    let mut values = Vec::new();
    loop {
        let (word, at) = tokens.word("a value")?;
        values.push(checked(word, at)?);
        match tokens.next() {
            Some((Kind::Comma, _)) => {}
            Some((Kind::Close, _)) => return Ok(values),
            Some((found, at)) => return Err(Fault::new(at, format!("found {found}, expected a comma or \")\""))),
            None => return Err(tokens.ended("a comma or \")\"")),
        }
    }
}

fn checked(word: &str, at: usize) -> Result<String, Fault> {
    if is_label_word(word) {
        return Ok(word.to_owned());
    }
    let expected = "at most 63 letters, digits, -, _ and . (a letter or digit first and last)";
    Err(Fault::new(at, format!("found {word:?}, expected {expected}")))
}
