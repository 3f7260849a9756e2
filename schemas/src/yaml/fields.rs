//! Reads the fields of a map, and reports every field that is missing or that nobody asked for.

use super::MAX_PROBLEMS;
use super::nearest::nearest;
use super::problem::{Problem, Report};
use super::tree::{Entry, Node, Value};
use crate::codes;

/// The fields of a map. What a reader asks for is what the kind has; `finish` reports the rest.
pub(crate) struct Fields<'n, 't, 'r> {
    node: &'n Node<'t>,
    entries: &'n [Entry<'t>],
    asked: Vec<&'static str>,
    missing: Vec<&'static str>,
    /// Fields that people look for here, and where they belong.
    elsewhere: Vec<(&'static str, &'static str)>,
    pub(crate) report: &'r mut Report,
}

impl<'n, 't, 'r> Fields<'n, 't, 'r> {
    /// The fields of `node`; `None` when it is no map, which is reported.
    pub(crate) fn of(node: &'n Node<'t>, report: &'r mut Report) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => {
                Some(Self { node, entries, asked: Vec::new(), missing: Vec::new(), elsewhere: Vec::new(), report })
            }
            _ => {
                node.wrong("fields (key: value)", report);
                None
            }
        }
    }

    /// The value of the field `name`.
    pub(crate) fn get(&mut self, name: &'static str) -> Option<&'n Node<'t>> {
        self.asked.push(name);
        self.entries.iter().find(|entry| entry.key.text == name).map(|entry| &entry.node)
    }

    /// Says where a field belongs that people may look for here.
    pub(crate) fn belongs(&mut self, name: &'static str, hint: &'static str) {
        self.elsewhere.push((name, hint));
    }

    /// Whether the field `name` is not there at all.
    pub(crate) fn lacks(&self, name: &str) -> bool {
        !self.entries.iter().any(|entry| entry.key.text == name)
    }

    /// A field that must be there; `None` when it is missing (which `finish` reports) or wrong.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Node<'t>, &mut Report) -> Option<T>,
    ) -> Option<T> {
        match self.get(name) {
            Some(node) => read(node, self.report),
            None => {
                self.missing.push(name);
                None
            }
        }
    }

    /// A field that need not be there; the outer `None` says that it is wrong, which is reported.
    #[allow(clippy::option_option, reason = "wrong, absent and there are three things")]
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Node<'t>, &mut Report) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.get(name) {
            Some(node) => read(node, self.report).map(Some),
            None => Some(None),
        }
    }

    /// A field with a default.
    pub(crate) fn or<T>(
        &mut self,
        name: &'static str,
        default: T,
        read: impl FnOnce(&Node<'t>, &mut Report) -> Option<T>,
    ) -> Option<T> {
        match self.get(name) {
            Some(node) => read(node, self.report),
            None => Some(default),
        }
    }

    /// A field that this release does not obey: any value of it is refused. Always `None`, for the type.
    #[allow(clippy::option_option, reason = "as in optional")]
    pub(crate) fn not_yet<T>(&mut self, name: &'static str) -> Option<Option<T>> {
        self.optional(name, |node, report| {
            node.not_supported(&format!("the field {name}"), report);
            None
        })
    }

    /// Checks that exactly one of the fields `names` is there, whatever is in it.
    pub(crate) fn exactly_one(&mut self, names: &[&str]) -> Option<()> {
        let there: Vec<_> = self.entries.iter().filter(|entry| names.contains(&entry.key.text.as_ref())).collect();
        let expected = format!("expected exactly one of {}", names.join(", "));
        match there.as_slice() {
            [_] => return Some(()),
            [] => {
                let message = format!("{expected}, found none of them");
                self.node.contradiction(message, self.report);
            }
            [_, rest @ ..] => {
                let found: Vec<_> = there.iter().map(|entry| entry.key.text.as_ref()).collect();
                let message = format!("{expected}, found {}", found.join(" and "));
                let place = rest[0].range;
                self.report.add(Problem::new(codes::CONTRADICTION, place.start, place.end, message));
            }
        }
        None
    }

    /// Reports every field that is missing or that nobody asked for. A required field that is only misspelt is one problem.
    pub(crate) fn finish(mut self) {
        let absent: Vec<_> = self.asked.iter().copied().filter(|name| self.lacks(name)).collect();
        let unknown = self.entries.iter().filter(|entry| !self.asked.contains(&entry.key.text.as_ref()));
        for (count, entry) in unknown.enumerate() {
            let message = format!("unknown field {}", entry.key.describe());
            let problem = Problem::new(codes::UNKNOWN_FIELD, entry.range.start, entry.range.end, message);
            let meant = if count < MAX_PROBLEMS { nearest(&entry.key.text, absent.iter().copied()) } else { None };
            let belongs = self.elsewhere.iter().find(|(name, _)| entry.key.text == *name);
            self.report.add(problem.hint(match meant {
                _ if let Some((_, hint)) = belongs => (*hint).to_owned(),
                Some(known) => format!("did you mean {known}?"),
                None => format!("known here: {}", self.asked.join(", ")),
            }));
            self.missing.retain(|name| meant != Some(name));
        }
        self.report_missing();
    }

    /// Reports every field that is missing, and judges no others.
    pub(crate) fn report_missing(self) {
        // Fields of a list's item or of the file have no key above them: the place is their first field.
        let where_to = if self.node.name == self.node.range { "beside this" } else { "below this" };
        for name in self.missing {
            let message = format!("the field {name} is missing");
            let problem = Problem::new(codes::MISSING_FIELD, self.node.name.start, self.node.name.end, message);
            self.report.add(problem.hint(format!("add {name}: {where_to}")));
        }
    }
}

impl<'t> Node<'t> {
    /// Reports that the value has the wrong form; nothing when it has been reported already.
    pub(crate) fn wrong(&self, expected: &str, report: &mut Report) {
        self.wrong_with(expected, None, report);
    }

    /// The same, with advice.
    pub(crate) fn wrong_with(&self, expected: &str, hint: Option<String>, report: &mut Report) {
        if let Some(found) = self.describe() {
            self.fault(codes::WRONG_VALUE, format!("found {found}, expected {expected}"), hint, report);
        }
    }

    /// Reports that this release does not obey the value.
    pub(crate) fn not_supported(&self, what: &str, report: &mut Report) {
        let hint = Some("remove it; it is refused because it would be ignored".to_owned());
        report_at(self.name_or_value(), codes::NOT_SUPPORTED, format!("{what} is not supported yet"), hint, report);
    }

    /// Reports that the value contradicts itself or others.
    pub(crate) fn contradiction(&self, message: String, report: &mut Report) {
        report_at(self.name_or_value(), codes::CONTRADICTION, message, None, report);
    }

    /// Reports a problem at the value, or at its key when it is empty.
    pub(crate) fn fault(&self, code: codes::Code, message: String, hint: Option<String>, report: &mut Report) {
        let place = if self.range.start == self.range.end { self.name } else { self.range };
        report_at((place.start, place.end), code, message, hint, report);
    }

    /// A field's key for a list or map, else the value.
    fn name_or_value(&self) -> (usize, usize) {
        (self.name.start, self.name.end)
    }

    /// The value for a message; `None` when a problem of it has been reported already.
    pub(crate) fn describe(&self) -> Option<String> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar.describe()),
            Value::List(nodes) => Some(if nodes.is_empty() { "an empty list" } else { "a list" }.to_owned()),
            Value::Map(_) => Some("fields".to_owned()),
            Value::Broken => None,
        }
    }
}

fn report_at(
    (start, end): (usize, usize),
    code: codes::Code,
    message: String,
    hint: Option<String>,
    report: &mut Report,
) {
    let problem = Problem::new(code, start, end, message);
    report.add(match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    });
}
