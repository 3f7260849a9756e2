//! Where each value of a YAML text stands. Only for text that the reader of manifests has accepted: it knows neither
//! anchors nor tags.

use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, StructureStyle};

use super::shape::Style;

/// A value, and the bytes it takes.
#[derive(Debug)]
pub(super) struct Node {
    /// From its first byte to behind its last one; a block ends where its last value does.
    pub(super) range: Range<usize>,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Scalar { text: String, style: Style },
    List { flow: bool, items: Vec<Node> },
    Map { flow: bool, entries: Vec<Entry> },
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) start: usize,
    pub(super) node: Node,
}

/// The document in `text`; says why when there is none.
pub(super) fn read(text: &str) -> Result<Node, String> {
    let mut reader = Reader { text, parser: Parser::new_from_str(text) };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(..), _) => {}
            (event, span) => return reader.node(&event, &span),
        }
    }
}

fn style_of(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
    }
}

struct Reader<'t> {
    text: &'t str,
    parser: Parser<'t, StrInput<'t>>,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<(Event<'t>, Span), String> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(error.info().to_owned()),
            None => Err("the text ends too early".to_owned()),
        }
    }

    fn node(&mut self, event: &Event<'t>, span: &Span) -> Result<Node, String> {
        let range = self.range(span);
        match event {
            Event::Scalar(text, style, ..) => {
                let (text, style) = (text.clone().into_owned(), style_of(*style));
                let start = if style == Style::Block { self.header_of(range.start) } else { range.start };
                Ok(Node { range: start..range.end.max(start), value: Value::Scalar { text, style } })
            }
            Event::SequenceStart(style, ..) => self.list(range.start, *style == StructureStyle::Flow),
            Event::MappingStart(style, ..) => self.map(range.start, *style == StructureStyle::Flow),
            _ => Err("found an alias".to_owned()),
        }
    }

    fn list(&mut self, start: usize, flow: bool) -> Result<Node, String> {
        let mut items: Vec<Node> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                let last = items.last().map_or(start, |item| item.range.end);
                let end = if flow { self.range(&span).end } else { last };
                return Ok(Node { range: start..end, value: Value::List { flow, items } });
            }
            items.push(self.node(&event, &span)?);
        }
    }

    fn map(&mut self, start: usize, flow: bool) -> Result<Node, String> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => {
                    let last = entries.last().map_or(start, |entry| entry.node.range.end);
                    let end = if flow { self.range(&span).end } else { last };
                    return Ok(Node { range: start..end, value: Value::Map { flow, entries } });
                }
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err("found a key that is not text".to_owned()),
            };
            let key_range = self.range(&span);
            let (event, span) = self.next()?;
            let mut node = self.node(&event, &span)?;
            // A value that is not there stands wherever the parser noticed.
            if node.range.is_empty() {
                node.range = key_range.end..key_range.end;
            }
            entries.push(Entry { key, start: key_range.start, node });
        }
    }

    /// Where a block of text begins: at its `|` or `>`, which the parser does not count in.
    fn header_of(&self, content: usize) -> usize {
        let before = self.text[..content].trim_end();
        let line = before.rfind('\n').map_or(0, |newline| newline + 1);
        before[line..].find(" |").or_else(|| before[line..].find(" >")).map_or(content, |space| line + space + 1)
    }

    /// Without the white space that ends a block of text.
    fn range(&self, span: &Span) -> Range<usize> {
        let range = span.byte_range().unwrap_or(self.text.len()..self.text.len());
        let shown = self.text.get(range.clone()).map_or(0, |text| text.trim_end().len());
        range.start..range.start + shown
    }
}
