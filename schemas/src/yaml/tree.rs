//! A tree of the text with places, from the events of the YAML parser.
//!
//! YAML that lets a file say something else than it seems to is refused here: anchors, aliases, tags, merge keys,
//! directives, duplicate keys, keys that are not text, several documents.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::MAX_DEPTH;
use super::problem::{Problem, Report};
use super::scalar::{Scalar, Sort};
use crate::codes;

/// A byte range of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Range {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A value and its place.
#[derive(Debug)]
pub(crate) struct Node<'t> {
    pub(crate) value: Value<'t>,
    /// Where the value is.
    pub(crate) range: Range,
    /// Where a person looks for it: its key, or the value itself where it has none.
    pub(crate) name: Range,
}

/// A value.
#[derive(Debug)]
pub(crate) enum Value<'t> {
    Scalar(Scalar<'t>),
    List(Vec<Node<'t>>),
    /// Without duplicate keys.
    Map(Vec<Entry<'t>>),
    /// A problem of it has been reported already.
    Broken,
}

/// A key and its value.
#[derive(Debug)]
pub(crate) struct Entry<'t> {
    pub(crate) key: Scalar<'t>,
    pub(crate) range: Range,
    line: usize,
    pub(crate) node: Node<'t>,
}

/// The one document in `text`, of so many values at most; `None` when the tree cannot be completed, which is reported.
pub(crate) fn read<'t>(text: &'t str, most: usize, report: &mut Report) -> Option<Node<'t>> {
    let options = serde_saphyr::granit_parser::options! {
        strict_indentation: true,
        emit_anchor_events: true,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH + 1,
        block_nesting_limit: MAX_DEPTH + 1,
    };
    let parser = Parser::new_from_str_with_options(text, options);
    Builder { text, parser, report, values: 0, most, has_tabs: text.contains('\t'), tab: None }.document()
}

/// Doubles the room for one more, but for no more than may follow: the last doubling of a hostile text is the greatest.
fn make_room<T>(all: &mut Vec<T>, may_follow: usize) {
    if all.len() == all.capacity() {
        all.reserve_exact(all.len().max(4).min(may_follow + 1));
    }
}

struct Builder<'t, 'r> {
    text: &'t str,
    parser: Parser<'t, StrInput<'t>>,
    report: &'r mut Report,
    values: usize,
    most: usize,
    has_tabs: bool,
    /// The first tab that a value stands behind in its line. The scanner takes some, and then stumbles over what stands below.
    tab: Option<usize>,
}

impl<'t> Builder<'t, '_> {
    fn document(&mut self) -> Option<Node<'t>> {
        self.directives();
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    self.forbid(self.range(&span), "a second document", "make it a file of its own");
                    return None;
                }
                Event::DocumentStart(..) => {}
                event => root = Some(self.node(event, span, 1)?),
            }
        }
        if root.is_none() {
            self.report.add(Problem::new(codes::WRONG_VALUE, 0, 0, "found nothing, expected a manifest"));
        }
        root
    }

    /// Directives stand before the document; nothing else there begins with `%`.
    fn directives(&mut self) {
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            let end = start + line.trim_end().len();
            if line.starts_with('%') {
                self.forbid(Range { start, end }, "a directive", "remove the line");
            } else if !line.trim_start().is_empty() && !line.trim_start().starts_with('#') {
                break;
            }
            start += line.len();
        }
    }

    /// The next event that is part of the tree.
    fn next(&mut self) -> Option<(Event<'t>, Span)> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Anchor(_, name), span))) => {
                    self.forbid(
                        self.range(&span),
                        &format!("the anchor &{name}"),
                        "write the value out where it is needed",
                    );
                }
                Some(Ok(next)) => return Some(next),
                Some(Err(error)) => {
                    self.syntax(&error);
                    return None;
                }
                None => return None,
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Option<Node<'t>> {
        let range = self.range(&span);
        self.values += 1;
        if self.has_tabs && self.tab.is_none() {
            self.tab = tab_before(self.text, range.start);
        }
        if self.values > self.most {
            self.limit(range, format!("more than {} values", self.most));
            return None;
        }
        if let Some(tag) = span.tag_span() {
            self.forbid(self.range(&tag), "a tag", "remove it; quotes make text of anything");
        }
        let value = match event {
            Event::Scalar(..) if span.tag_span().is_some() => Value::Broken,
            Event::Scalar(text, ScalarStyle::Plain, ..) => Value::Scalar(Scalar::plain(text)),
            Event::Scalar(text, ..) => Value::Scalar(Scalar::quoted(text)),
            Event::SequenceStart(..) | Event::MappingStart(..) if depth > MAX_DEPTH => {
                self.limit(range, format!("a depth of more than {MAX_DEPTH}"));
                return None;
            }
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.map(depth)?,
            _ => {
                self.forbid(range, "an alias", "write the value out");
                Value::Broken
            }
        };
        // A list or a map has no end of its own; a person looks at where it begins.
        let range = match &value {
            Value::Map(entries) => entries.first().map_or(range, |first| first.range),
            Value::List(nodes) => nodes.first().map_or(range, |first| first.name),
            _ => range,
        };
        Some(Node { value, range, name: range })
    }

    fn list(&mut self, depth: usize) -> Option<Value<'t>> {
        let mut nodes = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => {
                    nodes.shrink_to_fit();
                    return Some(Value::List(nodes));
                }
                (event, span) => {
                    let node = self.node(event, span, depth + 1)?;
                    make_room(&mut nodes, self.most - self.values);
                    nodes.push(node);
                }
            }
        }
    }

    fn map(&mut self, depth: usize) -> Option<Value<'t>> {
        let mut entries = Vec::new();
        let mut broken = false;
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let plain = matches!(event, Event::Scalar(_, ScalarStyle::Plain, ..));
            let line = span.start.line();
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let mut node = self.node(event, span, depth + 1)?;
            match key.value {
                Value::Scalar(scalar) if plain && scalar.text == "<<" => {
                    self.forbid(key.range, "a merge key", "write the fields out");
                }
                Value::Scalar(scalar) if scalar.sort == Sort::Text => {
                    node.name = key.range;
                    make_room(&mut entries, (self.most - self.values) / 2);
                    entries.push(Entry { key: scalar, range: key.range, line, node });
                }
                Value::Scalar(scalar) => {
                    let hint = format!("write the key in quotes: \"{}\"", scalar.text);
                    self.forbid(key.range, &format!("{} as a key", scalar.describe()), &hint);
                }
                Value::List(_) | Value::Map(_) => {
                    broken = true;
                    self.forbid(
                        key.range,
                        "a key that is not text",
                        "a text that begins with { needs quotes around it",
                    );
                }
                Value::Broken => broken = true,
            }
        }
        let mut entries = self.without_duplicates(entries);
        // A hostile text has many small ones.
        entries.shrink_to_fit();
        Some(if broken { Value::Broken } else { Value::Map(entries) })
    }

    fn without_duplicates(&mut self, mut entries: Vec<Entry<'t>>) -> Vec<Entry<'t>> {
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        let mut twice = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            match first.get(entry.key.text.as_ref()) {
                Some(line) => {
                    let what = format!("the key {} again, first on line {line}", entry.key.describe());
                    self.forbid(entry.range, &what, "keep one of them");
                    twice.push(at);
                }
                None => {
                    first.insert(&entry.key.text, entry.line);
                }
            }
        }
        let mut at = 0..;
        let mut twice = twice.into_iter().peekable();
        entries.retain(|_| twice.next_if_eq(&at.next().expect("fewer entries than numbers")).is_none());
        entries
    }

    fn range(&self, span: &Span) -> Range {
        let range = span.byte_range().unwrap_or(self.text.len()..self.text.len());
        let shown = self.text.get(range.clone()).map_or(0, |text| text.trim_end().len());
        Range { start: range.start, end: range.start + shown }
    }

    fn forbid(&mut self, range: Range, what: &str, hint: &str) {
        let problem = Problem::new(
            codes::YAML_FORBIDDEN,
            range.start,
            range.end,
            format!("found {what}, which manifests must not use"),
        );
        self.report.add(problem.hint(hint));
    }

    fn limit(&mut self, range: Range, what: String) {
        self.report.add(Problem::new(codes::TOO_LARGE, range.start, range.end, format!("found {what}")));
    }

    fn syntax(&mut self, error: &ScanError) {
        let at = error.marker().byte_offset().unwrap_or(self.text.len());
        let problem = match (error.kind(), self.tab_at_fault(&error.info(), at)) {
            (ErrorKind::RecursionLimitExceeded, _) => Problem::new(codes::TOO_LARGE, at, at, error.info()),
            (_, Some(tab)) => Problem::new(codes::YAML_SYNTAX, tab, tab + 1, "found a tab before the text of a line")
                .hint("indent by spaces: YAML takes no tabs there"),
            (_, None) => {
                let problem = Problem::new(codes::YAML_SYNTAX, at, at, error.info());
                match advice(&error.info()) {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                }
            }
        };
        self.report.add(problem);
    }

    /// The tab because of which the scanner says this about a place: in its line, in a line of the scalar that begins there, or
    /// before a value above.
    fn tab_at_fault(&self, info: &str, at: usize) -> Option<usize> {
        let below = || {
            let line_ends = self.text[at..].match_indices('\n').map(|(end, _)| at + end + 1);
            line_ends.filter_map(|start| tab_in_indentation(self.text, start)).next()
        };
        let in_line = tab_in_indentation(self.text, at);
        in_line.or_else(|| if info.contains("tab") { below() } else { None }).or(self.tab)
    }
}

/// Where a tab is among what the line begins with.
fn tab_in_indentation(text: &str, at: usize) -> Option<usize> {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let indentation = text[start..].bytes().take_while(|byte| matches!(byte, b' ' | b'\t'));
    indentation.enumerate().find(|(_, byte)| *byte == b'\t').map(|(place, _)| start + place)
}

/// Where a tab is before a place, if nothing else than spaces and tabs is there in its line.
fn tab_before(text: &str, at: usize) -> Option<usize> {
    // From the place back: a hostile text has many values on one long line.
    let before = text[..at].trim_end_matches([' ', '\t']);
    let begins = before.is_empty() || before.ends_with('\n');
    text[before.len()..at].find('\t').filter(|_| begins).map(|place| before.len() + place)
}

/// What mends that which the scanner says most often.
fn advice(info: &str) -> Option<&'static str> {
    if info.contains("quoted scalar") {
        Some("close the quote that was opened above")
    } else if info.contains("mapping values are not allowed") {
        Some("put the value in quotes if it has a colon and a space in it, else begin a new line")
    } else if info.contains("expected key") || info.contains("indentation") {
        Some("let it begin in the column of the fields beside it, and close what was opened above")
    } else {
        None
    }
}
