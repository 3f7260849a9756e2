//! Where a field stands in the text of a manifest, for problems that are found after it was read.

use std::fmt;
use std::ops::Range;

use super::problem::Report;
use super::tree::{self, Node, Value};

/// A field of a manifest: `spec.template.files[2].source`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Item(usize),
}

impl FieldPath {
    /// The field that `text` names, such as `spec.after[1]`. Keys with dots in them are added by [`Self::key`].
    pub fn of(text: &str) -> Self {
        let mut steps = Vec::new();
        for part in text.split('.').filter(|part| !part.is_empty()) {
            let mut pieces = part.split('[');
            steps.extend(pieces.next().filter(|key| !key.is_empty()).map(|key| Step::Key(key.to_owned())));
            let items = pieces.filter_map(|piece| piece.strip_suffix(']')?.parse().ok());
            steps.extend(items.map(Step::Item));
        }
        Self(steps)
    }

    /// The field `key` of this one, whatever characters it has.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.0.push(Step::Key(key.to_owned()));
        self
    }

    /// The item at this place of the list that this one is, from 0.
    #[must_use]
    pub fn item(mut self, place: usize) -> Self {
        self.0.push(Step::Item(place));
        self
    }

    /// Whether this is no field, but the manifest as a whole.
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where the fields of one text stand. It is read once, however many of them are looked for.
#[derive(Debug)]
pub struct Places<'t>(Option<Node<'t>>);

impl<'t> Places<'t> {
    /// Reads a text.
    pub fn of(text: &'t str) -> Self {
        Self(tree::read(text, usize::MAX, &mut Report::default()))
    }

    /// The byte range of a field: that of its value, or of its key where the value is a list or a map. Of a field that is not
    /// written, since it has a default, that of the innermost one around it which is.
    pub fn locate(&self, field: &FieldPath) -> Range<usize> {
        let Some(mut at) = self.0.as_ref() else { return 0..0 };
        for step in &field.0 {
            let Some(inner) = inside(at, step) else { break };
            at = inner;
        }
        let range = match at.value {
            Value::Scalar(_) => at.range,
            Value::List(_) | Value::Map(_) | Value::Broken => at.name,
        };
        range.start..range.end
    }
}

fn inside<'n, 't>(node: &'n Node<'t>, step: &Step) -> Option<&'n Node<'t>> {
    match (&node.value, step) {
        (Value::Map(entries), Step::Key(key)) => {
            entries.iter().find(|entry| entry.key.text == *key).map(|entry| &entry.node)
        }
        (Value::List(nodes), Step::Item(place)) => nodes.get(*place),
        _ => None,
    }
}

/// As [`FieldPath::of`] reads it, but for keys with dots.
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if place == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Item(item) => write!(f, "[{item}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# after: edge
kind: Rollout
metadata: {name: edge}
spec:
  after: [base, edge]
  waves:
    - name: edge
      select:
        matchLabels:
          example.com/ring: edge
";

    /// The line of the field, from 1, and its text.
    fn found(field: FieldPath) -> (usize, &'static str) {
        let range = Places::of(TEXT).locate(&field);
        (TEXT[..range.start].matches('\n').count() + 1, &TEXT[range])
    }

    #[test]
    fn a_field_is_found_where_it_stands_and_not_where_its_word_does() {
        assert_eq!(found(FieldPath::of("metadata.name")), (3, "edge"));
        assert_eq!(found(FieldPath::of("spec.after[1]")), (5, "edge"));
        assert_eq!(found(FieldPath::of("spec.after")), (5, "after"));
        assert_eq!(found(FieldPath::of("spec.waves[0].name")), (7, "edge"));
        let ring = FieldPath::of("spec.waves[0].select.matchLabels").key("example.com/ring");
        assert_eq!(found(ring.clone()), (10, "edge"));
        assert_eq!(ring.to_string(), "spec.waves[0].select.matchLabels.example.com/ring");
        assert_eq!(FieldPath::of("spec.waves").item(0).key("name"), FieldPath::of("spec.waves[0].name"));
    }

    #[test]
    fn a_field_that_is_not_written_is_where_it_would_stand() {
        assert_eq!(found(FieldPath::of("spec.waves[0].soak")), (7, "name"));
        assert_eq!(found(FieldPath::of("spec.windows[0]")), (4, "spec"));
        assert_eq!(found(FieldPath::default()), (2, "kind"));
        assert_eq!(Places::of("{").locate(&FieldPath::of("spec")), 0..0);
    }
}
