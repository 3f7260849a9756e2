//! The template language: a small part of the engine's, in which no short text can take all memory or all of the stack.
//!
//! The engine counts steps, not bytes: a name that is bound to twice itself forty times over is larger than any memory.
//! And it descends an expression term by term, so that one of a hundred thousand terms ends the process. Therefore:
//! - the statements are `for`, `if` and `set`: none that captures what it writes, and none that calls itself;
//! - a tag has few tokens, and statements nest a few times only: an expression is a small multiple of what it is given;
//! - what is made and bound to a name is measured before it is bound; what is merely looked up is there already;
//! - nothing is multiplied: the engine repeats texts and lists that way, without end;
//! - `replace` and `join` know how long their result is before they make it.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::ops::Range;

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::value::{StringInput, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};

/// The greatest length of a template in bytes; also that of a manifest.
const MAX_TEMPLATE: usize = 1 << 20;
/// Tokens in one tag.
const MAX_TOKENS: usize = 256;
/// Statements within statements; an `elif` counts as one within its `if`.
const MAX_NESTING: usize = 64;
/// Names that are bound to something that the template makes.
const MAX_BOUND: usize = 256;
/// The greatest size of a value that is made and kept, in bytes.
const MAX_VALUE: usize = 1 << 20;
/// Lists and maps within each other. A manifest has a depth of 32 at most.
const MAX_DEPTH: usize = 64;
/// What a list takes for each of its items.
const ITEM: usize = 16;

/// The filter that measures what is bound. Templates cannot name it.
const MEASURED: &str = "measured__";

/// Why a template is refused, and the line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) why: String,
    pub(super) line: usize,
}

type Tag<'a> = [(Token<'a>, Span)];

/// The filters that templates have, as [`add_filters`] adds them.
pub const FILTERS: [&str; 6] = ["default", "join", "lower", "replace", "trim", "upper"];

/// Adds the filters of the language.
pub(super) fn add_filters(environment: &mut Environment<'_>) {
    environment.add_filter("default", filters::default);
    environment.add_filter("join", join);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("replace", replace);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    environment.add_filter(MEASURED, measured);
}

/// Checks that a template keeps to the language. Returns it with a measure around all that it makes and binds to a name;
/// no line moves.
pub(super) fn prepare(template: &str) -> Result<Cow<'_, str>, Refused> {
    if template.len() > MAX_TEMPLATE {
        let why = format!("a template of {} bytes, at most {MAX_TEMPLATE} are allowed", template.len());
        return Err(Refused { why, line: 0 });
    }
    let (mut tag, mut nesting, mut bound) = (Vec::new(), Vec::new(), Vec::new());
    for token in tokenize(template, false, Default::default(), Default::default()) {
        // What is no text of the engine's language at all, the engine tells when it comes to the same place.
        let Ok((token, span)) = token else { return Ok(Cow::Borrowed(template)) };
        match token {
            Token::TemplateData(_) | Token::VariableEnd => {}
            Token::VariableStart | Token::BlockStart => tag.clear(),
            Token::BlockEnd => bound.extend(statement(&tag, &mut nesting)?),
            Token::Mul => return Err(refused("the template language does not multiply", span)),
            Token::Ident(MEASURED) => return Err(refused("this name is taken", span)),
            _ if tag.len() == MAX_TOKENS => {
                return Err(refused(format!("more than {MAX_TOKENS} words and signs in one tag"), span));
            }
            token => tag.push((token, span)),
        }
        if bound.len() > MAX_BOUND {
            return Err(refused(format!("more than {MAX_BOUND} names are bound to something that is made"), span));
        }
    }
    Ok(with_measures(template, &bound))
}

fn refused(why: impl Into<String>, span: Span) -> Refused {
    Refused { why: why.into(), line: span.start_line.into() }
}

/// Checks a statement's tag. Returns the place of the value that it binds to a name, unless that is merely looked up.
fn statement(tag: &Tag<'_>, nesting: &mut Vec<usize>) -> Result<Option<Range<usize>>, Refused> {
    let Some((Token::Ident(keyword), span)) = tag.first() else { return Ok(None) };
    match *keyword {
        "for" | "if" => nesting.push(1),
        "elif" => nesting.last_mut().into_iter().for_each(|depth| *depth += 1),
        "endfor" | "endif" => drop(nesting.pop()),
        "else" | "set" => {}
        other => return Err(refused(format!("the template language has for, if and set, and no {other}"), *span)),
    }
    if nesting.iter().sum::<usize>() > MAX_NESTING {
        return Err(refused(format!("more than {MAX_NESTING} statements within each other"), *span));
    }
    let value = match *keyword {
        "set" => match find(tag, |token| matches!(token, Token::Assign)) {
            Some(at) => &tag[at + 1..],
            None => return Err(refused("the template language has no set without a value", *span)),
        },
        "for" => {
            let Some(at) = find(tag, |token| matches!(token, Token::Ident("in"))) else { return Ok(None) };
            let rest = &tag[at + 1..];
            if let Some((Token::Ident("recursive"), span)) = rest.last() {
                return Err(refused("the template language has no recursive loops", *span));
            }
            let value = &rest[..find(rest, |token| matches!(token, Token::Ident("if"))).unwrap_or(rest.len())];
            // The engine refuses a list without brackets here.
            if find(value, |token| matches!(token, Token::Comma)).is_none() { value } else { &[] }
        }
        _ => return Ok(None),
    };
    let is_looked_up = value.iter().all(|(token, _)| is_of_a_lookup(token));
    Ok(match (value.first(), value.last()) {
        (Some((_, first)), Some((_, last))) if !is_looked_up && is_whole(value) => {
            Some(offset(first.start_offset)..offset(last.end_offset))
        }
        _ => None,
    })
}

/// Whether no bracket opens or closes outside. Else `a) ~ (a`, which the engine refuses, would be two values once it
/// stands in brackets, and one of them would not be measured.
fn is_whole(value: &Tag<'_>) -> bool {
    let depth = value.iter().try_fold(0_usize, |depth, (token, _)| match Bracket::of(token) {
        Some(Bracket::Opens) => Some(depth + 1),
        Some(Bracket::Closes) => depth.checked_sub(1),
        None => Some(depth),
    });
    depth == Some(0)
}

enum Bracket {
    Opens,
    Closes,
}

impl Bracket {
    fn of(token: &Token<'_>) -> Option<Self> {
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => Some(Self::Opens),
            Token::ParenClose | Token::BracketClose | Token::BraceClose => Some(Self::Closes),
            _ => None,
        }
    }
}

/// The first token outside of all brackets that is `wanted`.
fn find(tag: &Tag<'_>, wanted: impl Fn(&Token<'_>) -> bool) -> Option<usize> {
    let mut depth = 0_usize;
    tag.iter().position(|(token, _)| {
        match Bracket::of(token) {
            Some(Bracket::Opens) => depth += 1,
            Some(Bracket::Closes) => depth = depth.saturating_sub(1),
            None => {}
        }
        depth == 0 && wanted(token)
    })
}

/// Whether a value that consists of such tokens only makes nothing: `labels.site`, `80`, `a or b`.
fn is_of_a_lookup(token: &Token<'_>) -> bool {
    matches!(
        token,
        Token::Ident(_)
            | Token::Dot
            | Token::Str(_)
            | Token::String(_)
            | Token::Int(_)
            | Token::Int128(_)
            | Token::Float(_)
    )
}

fn offset(offset: u32) -> usize {
    usize::try_from(offset).expect("a template is shorter than 4 GiB")
}

fn with_measures<'a>(template: &'a str, bound: &[Range<usize>]) -> Cow<'a, str> {
    if bound.is_empty() {
        return Cow::Borrowed(template);
    }
    let (mut text, mut at) = (String::with_capacity(template.len() + 16 * bound.len()), 0);
    for Range { start, end } in bound {
        let (before, value) = (&template[at..*start], &template[*start..*end]);
        write!(text, "{before}({value})|{MEASURED}").expect("a string grows");
        at = *end;
    }
    text.push_str(&template[at..]);
    Cow::Owned(text)
}

fn too_large() -> Error {
    let why = format!("a value of more than {MAX_VALUE} bytes, or nested more than {MAX_DEPTH} times");
    Error::new(ErrorKind::InvalidOperation, why)
}

/// Passes a value that is not too large.
fn measured(value: &Value) -> Result<Value, Error> {
    if fits(value, MAX_DEPTH, &mut MAX_VALUE.clone()) { Ok(value.clone()) } else { Err(too_large()) }
}

/// Whether a value fits into `room`, with all that it holds, each time that it holds it; takes its size off.
fn fits(value: &Value, depth: usize, room: &mut usize) -> bool {
    let size = ITEM + value.as_str().map_or(0, str::len);
    let Some(rest) = room.checked_sub(size).filter(|_| depth > 0) else { return false };
    *room = rest;
    let mut inside = value.try_iter().into_iter().flatten();
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => inside.all(|item| fits(&item, depth - 1, room)),
        ValueKind::Map => inside.all(|key| {
            let item = value.get_item(&key);
            fits(&key, depth - 1, room) && item.is_ok_and(|item| fits(&item, depth - 1, room))
        }),
        _ => true,
    }
}

/// The filter `replace`, with a result that is not too large.
fn replace(
    state: &State<'_, '_>,
    value: StringInput<'_>,
    from: StringInput<'_>,
    to: StringInput<'_>,
) -> Result<Value, Error> {
    let found = value.as_str().matches(from.as_str()).count();
    let kept = value.as_str().len() - found * from.as_str().len();
    match found.checked_mul(to.as_str().len()).and_then(|added| added.checked_add(kept)) {
        Some(length) if length <= MAX_VALUE => filters::replace(state, value, from, to),
        _ => Err(too_large()),
    }
}

/// The filter `join`, for defined values only, with a result that is not too large.
fn join(state: &State<'_, '_>, value: &Value, joiner: Option<StringInput<'_>>) -> Result<Value, Error> {
    if has_undefined(value) {
        return Err(ErrorKind::UndefinedError.into());
    }
    let mut length = Length(MAX_VALUE);
    let between = joiner.as_ref().map_or("", StringInput::as_str);
    for item in value.try_iter().into_iter().flatten() {
        write!(length, "{item}{between}").map_err(|_| too_large())?;
    }
    filters::join(state, value, joiner)
}

/// Whether an undefined value hides in a list or a map, where the engine lets it pass.
pub(super) fn has_undefined(value: &Value) -> bool {
    let inside = || value.try_iter().into_iter().flatten();
    match value.kind() {
        ValueKind::Undefined => true,
        ValueKind::Seq => inside().any(|item| has_undefined(&item)),
        ValueKind::Map => inside().any(|key| value.get_item(&key).is_ok_and(|item| has_undefined(&item))),
        _ => false,
    }
}

/// Counts what is written, up to what is left.
struct Length(usize);

impl fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}
