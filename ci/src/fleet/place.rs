//! A place in a manifest as people write it: `artifacts[name=firmware].source.path`.

use std::fmt;
use std::str::FromStr;

use crate::yaml_edit::{Shape, Step};

/// What a template has: paths that begin with one of these begin at `spec.template`.
const OF_TEMPLATE: [&str; 7] = ["files", "artifacts", "services", "containers", "os", "hooks", "probes"];

/// A place, from the manifest's root on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    parts: Vec<Part>,
}

/// One part of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Key(String),
    /// `[2]`: the third item.
    Item(usize),
    /// `[name=app]`: the item whose field is so.
    Where {
        field: String,
        value: String,
    },
}

/// What there is of a place.
#[derive(Debug)]
pub(super) struct Found<'p> {
    pub(super) steps: Vec<Step<'p>>,
    /// The parts behind them that are not there.
    lacking: &'p [Part],
}

impl<'p> Found<'p> {
    /// Whether all of it is there.
    pub(super) fn is_whole(&self) -> bool {
        self.lacking.is_empty()
    }

    /// The first part that is not there, as people write it.
    pub(super) fn first_lacking(&self) -> String {
        shown(&self.lacking[..self.lacking.len().min(1)])
    }

    /// The keys that are not there, where nothing else is missing.
    pub(super) fn lacking_keys(&self) -> Option<Vec<&'p str>> {
        let key = |part: &'p Part| match part {
            Part::Key(key) => Some(key.as_str()),
            Part::Item(_) | Part::Where { .. } => None,
        };
        self.lacking.iter().map(key).collect()
    }
}

impl Place {
    /// As much of the place as there is.
    pub(super) fn find<'p>(&'p self, root: &Shape) -> Found<'p> {
        let (mut steps, mut here) = (Vec::new(), root);
        for (at, part) in self.parts.iter().enumerate() {
            let step = part.step(here);
            let next = step.and_then(|step| here.at(&[step]));
            let (Some(step), Some(next)) = (step, next) else { return Found { steps, lacking: &self.parts[at..] } };
            steps.push(step);
            here = next;
        }
        Found { steps, lacking: &[] }
    }

    /// The first parts of it, so many.
    pub(super) fn shown(&self, length: usize) -> String {
        shown(&self.parts[..length])
    }

    /// The name of a field whose parts are `keys` and the numbers between them.
    pub(super) fn is(&self, keys: &[&str]) -> bool {
        let own: Vec<_> = self
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Key(key) => Some(key.as_str()),
                Part::Item(_) | Part::Where { .. } => None,
            })
            .collect();
        own == keys
    }

    /// Whether it lies where a manifest may have any fields.
    pub(super) fn is_free(&self) -> bool {
        matches!(self.parts.as_slice(), [_, Part::Key(key), ..] if key == "vars")
    }

    /// The place of a field that stands beside the map which this one ends in.
    pub(super) fn beside(&self, up: usize, key: &str) -> Self {
        let mut parts = self.parts[..self.parts.len().saturating_sub(up)].to_vec();
        parts.push(Part::Key(key.to_owned()));
        Self { parts }
    }
}

impl Part {
    fn step(&self, here: &Shape) -> Option<Step<'_>> {
        match (self, here) {
            (Self::Key(key), Shape::Map(_)) => Some(Step::Key(key)),
            (Self::Item(at), Shape::List(_)) => Some(Step::Item(*at)),
            (Self::Where { field, value }, Shape::List(items)) => {
                let is = |item: &Shape| matches!(item.at(&[Step::Key(field)]), Some(Shape::Scalar { text, .. }) if text == value);
                items.iter().position(is).map(Step::Item)
            }
            _ => None,
        }
    }
}

/// What could stand behind a place that is there: its keys, or its items by what tells them apart.
pub(super) fn next(shape: &Shape) -> Vec<String> {
    match shape {
        Shape::Scalar { .. } => Vec::new(),
        Shape::Map(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
        Shape::List(items) => {
            let name = |(at, item): (usize, &Shape)| {
                let named = ["name", "path"].into_iter().find_map(|field| match item.at(&[Step::Key(field)]) {
                    Some(Shape::Scalar { text, .. }) => Some(format!("[{field}={text}]")),
                    _ => None,
                });
                named.unwrap_or_else(|| format!("[{at}]"))
            };
            items.iter().enumerate().map(name).collect()
        }
    }
}

fn shown(parts: &[Part]) -> String {
    parts.iter().fold(String::new(), |mut text, part| {
        match part {
            Part::Key(key) => {
                let dot = if text.is_empty() { "" } else { "." };
                let mark = if key.contains(['.', '[', ']', '=', '"']) { "\"" } else { "" };
                text.push_str(&format!("{dot}{mark}{key}{mark}"));
            }
            Part::Item(at) => text.push_str(&format!("[{at}]")),
            Part::Where { field, value } => text.push_str(&format!("[{field}={value}]")),
        }
        text
    })
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.parts))
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            rest = match rest.strip_prefix('[') {
                Some(inner) => {
                    let (inner, after) =
                        inner.split_once(']').ok_or_else(|| format!("found {text:?}, expected ] behind ["))?;
                    parts.push(item(inner)?);
                    after
                }
                None => {
                    let dotted = if parts.is_empty() { Some(rest) } else { rest.strip_prefix('.') };
                    let (key, after) =
                        key(dotted.ok_or_else(|| format!("found {text:?}, expected . before {rest:?}"))?)?;
                    parts.push(Part::Key(key));
                    after
                }
            };
        }
        let prefix: &[&str] = match parts.first() {
            Some(Part::Key(key)) if OF_TEMPLATE.contains(&key.as_str()) => &["spec", "template"],
            Some(Part::Key(key)) if key == "spec" => &[],
            Some(Part::Key(_)) => &["spec"],
            _ => return Err(format!("found {text:?}, expected a field first, such as vars.greeting")),
        };
        let prefix = prefix.iter().map(|key| Part::Key((*key).to_owned()));
        Ok(Self { parts: prefix.chain(parts).collect() })
    }
}

/// A key and what stands behind it. One in quotes may have anything in it.
fn key(text: &str) -> Result<(String, &str), String> {
    if let Some(inner) = text.strip_prefix('"') {
        let (key, after) = inner.split_once('"').ok_or_else(|| format!("found {text:?}, expected a second \""))?;
        return Ok((key.to_owned(), after));
    }
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (key, after) = text.split_at(end);
    if key.is_empty() || key.contains([']', '=', '"']) {
        return Err(format!("found {text:?}, expected the name of a field"));
    }
    Ok((key.to_owned(), after))
}

/// What stands between brackets.
fn item(text: &str) -> Result<Part, String> {
    if let Some((field, value)) = text.split_once('=') {
        return match field {
            "" => Err(format!("found [{text}], expected [name=…]")),
            _ => Ok(Part::Where { field: field.to_owned(), value: value.to_owned() }),
        };
    }
    text.parse().map(Part::Item).map_err(|_| format!("found [{text}], expected a number from 0, or [name=…]"))
}

/// A place, and what shall stand there.
#[derive(Debug, Clone)]
pub(super) struct Assignment {
    pub(super) place: Place,
    pub(super) value: String,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut depth, mut quoted) = (0_usize, false);
        for (at, c) in text.char_indices() {
            match c {
                '"' if depth == 0 => quoted = !quoted,
                '[' if !quoted => depth += 1,
                ']' if !quoted => depth = depth.saturating_sub(1),
                '=' if depth == 0 && !quoted => {
                    return Ok(Self { place: text[..at].parse()?, value: text[at + 1..].to_owned() });
                }
                _ => {}
            }
        }
        Err(format!("found {text:?}, expected PATH=VALUE, such as vars.greeting=Hello"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml_edit::Document;

    fn place(text: &str) -> Place {
        text.parse().expect("a place")
    }

    #[test]
    fn places_begin_where_their_first_field_belongs() {
        for (written, whole) in [
            ("vars.greeting", "spec.vars.greeting"),
            ("files[0].mode", "spec.template.files[0].mode"),
            ("artifacts[name=fw-2.0].source.path", "spec.template.artifacts[name=fw-2.0].source.path"),
            ("spec.template.probes[1].timeout", "spec.template.probes[1].timeout"),
            ("template.files[path=/etc/a=b].content", "spec.template.files[path=/etc/a=b].content"),
            ("selector.matchLabels.\"example.com/site\"", "spec.selector.matchLabels.\"example.com/site\""),
            ("onLeave", "spec.onLeave"),
        ] {
            assert_eq!(place(written).to_string(), whole);
        }
        for wrong in ["", ".vars", "vars.", "vars..x", "[0]", "files[0]mode", "files[0", "files[x]", "a]b", "\"a"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_stands_behind_the_first_equals_sign_outside_brackets() {
        for (written, at, value) in [
            ("vars.a=b=c", "spec.vars.a", "b=c"),
            ("files[path=/etc/a=b].content=x=y", "spec.template.files[path=/etc/a=b].content", "x=y"),
            ("vars.\"a=b\"=\"5\"", "spec.vars.\"a=b\"", "\"5\""),
            ("vars.a=", "spec.vars.a", ""),
        ] {
            let read: Assignment = written.parse().expect("an assignment");
            assert_eq!((read.place.to_string().as_str(), read.value.as_str()), (at, value));
        }
        assert!("vars.a".parse::<Assignment>().is_err());
    }

    #[test]
    fn as_much_is_found_as_there_is() {
        let text = "spec:\n  template:\n    files:\n      - {path: /a, mode: x}\n      - {path: /b}\n  vars: {x: 1}\n";
        let shape = Document::read(text).expect("YAML").shape();
        for (written, there, lacking) in [
            ("files[path=/b].path", "spec.template.files[1].path", Some(vec![])),
            ("files[path=/b].mode", "spec.template.files[1]", Some(vec!["mode"])),
            ("files[path=/c].mode", "spec.template.files", None),
            ("files[2].mode", "spec.template.files", None),
            ("vars.x.y", "spec.vars.x", Some(vec!["y"])),
            ("var.x", "spec", Some(vec!["var", "x"])),
        ] {
            let place = place(written);
            let found = place.find(&shape);
            assert_eq!(crate::yaml_edit::shown(&found.steps), there, "{written}");
            assert_eq!(found.lacking_keys(), lacking, "{written}");
        }
        let files = place("files");
        assert_eq!(next(shape.at(&files.find(&shape).steps).expect("there")), ["[path=/a]", "[path=/b]"]);
    }
}
