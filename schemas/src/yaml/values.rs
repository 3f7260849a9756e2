//! Readers of single values, of lists and of maps with free keys.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use jiff::Timestamp;

use super::meant;
use super::nearest::nearest;
use super::problem::Report;
use super::scalar::{Scalar, Sort};
use super::tree::{Node, Value};
use crate::codes;
use crate::manifest::{Labels, Vars};
use crate::quantity::{Percent, Seconds};
use crate::spec::DevicePath;

fn scalar<'n, 't>(node: &'n Node<'t>, expected: &str, report: &mut Report) -> Option<&'n Scalar<'t>> {
    match &node.value {
        Value::Scalar(scalar) => Some(scalar),
        _ => {
            node.wrong(expected, report);
            None
        }
    }
}

/// Text, which needs quotes where it looks like something else.
pub(crate) fn text_of<'n>(node: &'n Node<'_>, expected: &str, report: &mut Report) -> Option<&'n str> {
    let scalar = scalar(node, expected, report)?;
    if scalar.sort == Sort::Text {
        return Some(&scalar.text);
    }
    let hint = (scalar.sort != Sort::Null).then(|| format!("in quotes it is text: \"{}\"", scalar.text));
    node.wrong_with(expected, hint, report);
    None
}

/// Any text.
pub(crate) fn text(node: &Node<'_>, report: &mut Report) -> Option<String> {
    text_of(node, "text", report).map(str::to_owned)
}

/// Text that is not blank.
pub(crate) fn words(node: &Node<'_>, report: &mut Report) -> Option<String> {
    let text = text(node, report)?;
    if text.trim().is_empty() {
        node.wrong("text that is not empty", report);
        return None;
    }
    Some(text)
}

/// Text of a form that `T` checks; its error says what was found and what was expected.
pub(crate) fn parsed<T>(node: &Node<'_>, report: &mut Report) -> Option<T>
where
    T: FromStr + schemars::JsonSchema,
    T::Err: Display,
{
    let expected = article(&T::schema_name());
    let text = text_of(node, &expected, report)?;
    let told = |error: T::Err| {
        let meant = meant::name(text).filter(|meant| T::schema_name().ends_with("Name") && meant.parse::<T>().is_ok());
        let hint = meant.map(|meant| format!("did you mean {meant}?"));
        node.fault(codes::WRONG_VALUE, error.to_string(), hint, report);
    };
    text.parse().map_err(told).ok()
}

/// A digest or id, which may consist of decimal digits only and yet need no quotes.
pub(crate) fn hex<T>(node: &Node<'_>, report: &mut Report) -> Option<T>
where
    T: FromStr + schemars::JsonSchema,
    T::Err: Display,
{
    let scalar = scalar(node, &article(&T::schema_name()), report)?;
    scalar.text.parse().map_err(|error: T::Err| node.fault(codes::WRONG_VALUE, error.to_string(), None, report)).ok()
}

/// `FleetName` as people say it: "a fleet name".
fn article(schema_name: &str) -> String {
    let mut words = String::from("a");
    if schema_name.starts_with(['A', 'E', 'O']) {
        words.push('n');
    }
    for c in schema_name.chars() {
        if c.is_uppercase() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}

/// A duration.
pub(crate) fn duration(node: &Node<'_>, report: &mut Report) -> Option<Seconds> {
    with_unit(node, "a duration such as 30s or 15m", ("s", meant::duration), report)
}

/// A percentage.
pub(crate) fn percent(node: &Node<'_>, report: &mut Report) -> Option<Percent> {
    with_unit(node, "a percentage such as 2%", ("%", meant::percent), report)
}

/// A number with its unit; `meant` says what a text without that form means to a person.
fn with_unit<T>(
    node: &Node<'_>,
    expected: &str,
    (unit, meant): (&str, fn(&str) -> Option<String>),
    report: &mut Report,
) -> Option<T>
where
    T: FromStr,
    T::Err: Display,
{
    let scalar = scalar(node, expected, report)?;
    if scalar.sort != Sort::Text {
        let hint = (scalar.sort == Sort::Integer).then(|| format!("write the unit, such as {}{unit}", scalar.text));
        node.wrong_with(expected, hint, report);
        return None;
    }
    let told = |error: T::Err| {
        let hint = meant(&scalar.text).map(|meant| format!("did you mean {meant}?"));
        node.fault(codes::WRONG_VALUE, error.to_string(), hint, report);
    };
    scalar.text.parse().map_err(told).ok()
}

/// A duration between two others.
pub(crate) fn duration_in(range: RangeInclusive<Seconds>) -> impl FnOnce(&Node<'_>, &mut Report) -> Option<Seconds> {
    move |node, report| {
        let duration = duration(node, report)?;
        if range.contains(&duration) {
            return Some(duration);
        }
        node.wrong(&format!("a duration from {} to {}", range.start(), range.end()), report);
        None
    }
}

/// A whole number in a range.
pub(crate) fn integer_in<T>(range: RangeInclusive<T>) -> impl FnOnce(&Node<'_>, &mut Report) -> Option<T>
where
    T: FromStr + PartialOrd + Display,
{
    move |node, report| {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let scalar = scalar(node, &expected, report)?;
        let number = scalar.text.parse().ok().filter(|number| range.contains(number));
        match number {
            Some(number) if scalar.sort == Sort::Integer => Some(number),
            Some(_) if scalar.sort == Sort::Text => {
                node.wrong_with(&expected, Some("remove the quotes".to_owned()), report);
                None
            }
            _ => {
                let bare = scalar.text.strip_suffix('%').map(str::trim_end);
                let bare = bare.filter(|bare| bare.parse().is_ok_and(|number: T| range.contains(&number)));
                node.wrong_with(&expected, bare.map(|bare| format!("write it without the sign: {bare}")), report);
                None
            }
        }
    }
}

/// `true` or `false`.
pub(crate) fn boolean(node: &Node<'_>, report: &mut Report) -> Option<bool> {
    match &node.value {
        Value::Scalar(Scalar { sort: Sort::Bool(value), .. }) => Some(*value),
        _ => {
            node.wrong("true or false", report);
            None
        }
    }
}

/// What a word stands for.
pub(crate) enum Meaning<T> {
    Is(T),
    NotYet,
}

/// One of several words.
pub(crate) fn word<T: Copy>(known: &[(&str, Meaning<T>)], node: &Node<'_>, report: &mut Report) -> Option<T> {
    let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
    let expected = match names.as_slice() {
        [one] => (*one).to_owned(),
        all => format!("one of {}", all.join(", ")),
    };
    let found = text_of(node, &expected, report)?;
    match known.iter().find(|(name, _)| *name == found) {
        Some((_, Meaning::Is(value))) => Some(*value),
        Some((name, Meaning::NotYet)) => {
            let supported = known.iter().filter(|(_, meaning)| matches!(meaning, Meaning::Is(_)));
            let supported: Vec<_> = supported.map(|(name, _)| *name).collect();
            let hint = Some(format!("supported: {}", supported.join(", ")));
            node.fault(codes::NOT_SUPPORTED, format!("{name:?} is not supported yet"), hint, report);
            None
        }
        None => {
            let hint = nearest(found, names).map(|name| format!("did you mean {name}?"));
            node.wrong_with(&expected, hint, report);
            None
        }
    }
}

/// A moment, as RFC 3339 writes it.
pub(crate) fn moment(node: &Node<'_>, report: &mut Report) -> Option<Timestamp> {
    const EXPECTED: &str = "a time stamp such as 2030-01-31T12:00:00Z";
    let text = text_of(node, EXPECTED, report)?;
    let moment = text.parse().ok().filter(|_| text.as_bytes().get(10) == Some(&b'T') && !text.contains('['));
    if moment.is_none() {
        node.wrong(EXPECTED, report);
    }
    moment
}

/// A list; every item is read, also after a wrong one.
pub(crate) fn list<T>(
    node: &Node<'_>,
    report: &mut Report,
    mut read: impl FnMut(&Node<'_>, &mut Report) -> Option<T>,
) -> Option<Vec<T>> {
    let mut all = Some(Vec::new());
    for item in items(node, report)? {
        match (read(item, report), &mut all) {
            (Some(value), Some(all)) => all.push(value),
            // What follows is read for its problems; a hostile text has many items, and none of them is kept.
            _ => all = None,
        }
    }
    all
}

/// The nodes of a list.
pub(crate) fn items<'n, 't>(node: &'n Node<'t>, report: &mut Report) -> Option<&'n [Node<'t>]> {
    match &node.value {
        Value::List(nodes) => Some(nodes),
        _ => {
            let hint = match (&node.value, meant::flow(node)) {
                (Value::Map(entries), Some(item)) if !entries.is_empty() => {
                    Some(format!("write a list with one item: [{item}]"))
                }
                (Value::Map(_), _) => Some("write it as a list: \"- \" before its first field".to_owned()),
                _ => None,
            };
            node.wrong_with("a list", hint, report);
            None
        }
    }
}

/// The nodes of a list of words.
pub(crate) fn word_items<'n, 't>(node: &'n Node<'t>, report: &mut Report) -> Option<&'n [Node<'t>]> {
    let is_word = matches!(&node.value, Value::Scalar(Scalar { sort: Sort::Text, .. }));
    match if is_word { meant::flow(node) } else { None } {
        Some(word) => {
            node.wrong_with("a list", Some(format!("write [{word}]")), report);
            None
        }
        None => items(node, report),
    }
}

/// The same, with at least one item.
pub(crate) fn some_items<'n, 't>(node: &'n Node<'t>, report: &mut Report) -> Option<&'n [Node<'t>]> {
    match items(node, report)? {
        [] => {
            node.fault(codes::WRONG_VALUE, "found an empty list, expected at least one item".to_owned(), None, report);
            None
        }
        items => Some(items),
    }
}

/// A list of names without repetition.
pub(crate) fn names<T>(node: &Node<'_>, report: &mut Report) -> Option<Vec<T>>
where
    T: FromStr + schemars::JsonSchema + PartialEq + Display,
    T::Err: Display,
{
    distinct(node, report, parsed::<T>)
}

/// A list whose items differ.
pub(crate) fn distinct<T: PartialEq + Display>(
    node: &Node<'_>,
    report: &mut Report,
    read: impl Fn(&Node<'_>, &mut Report) -> Option<T>,
) -> Option<Vec<T>> {
    word_items(node, report)?;
    let mut seen: BTreeMap<String, ()> = BTreeMap::new();
    list(node, report, |item, report| {
        let value = read(item, report)?;
        if seen.insert(value.to_string(), ()).is_some() {
            item.contradiction(format!("{value} is there twice"), report);
            return None;
        }
        Some(value)
    })
}

/// A map with free keys; every entry is read, also after a wrong one.
pub(crate) fn map<K, V, M: FromIterator<(K, V)>>(
    node: &Node<'_>,
    report: &mut Report,
    mut key: impl FnMut(&str) -> Result<K, String>,
    mut value: impl FnMut(&Node<'_>, &mut Report) -> Option<V>,
) -> Option<M> {
    let Value::Map(entries) = &node.value else {
        node.wrong("fields (key: value)", report);
        return None;
    };
    let mut all = Some(Vec::with_capacity(entries.len()));
    for entry in entries {
        let key = key(&entry.key.text).map_err(|message| {
            let place = super::problem::Problem::new(codes::WRONG_VALUE, entry.range.start, entry.range.end, message);
            report.add(place);
        });
        match (key, value(&entry.node, report), &mut all) {
            (Ok(key), Some(value), Some(all)) => all.push((key, value)),
            _ => all = None,
        }
    }
    all.map(M::from_iter)
}

/// Labels, whose keys and values follow the grammar of Kubernetes.
pub(crate) fn labels(node: &Node<'_>, report: &mut Report) -> Option<Labels> {
    map(node, report, label_key, label_value)
}

/// Annotations: keys as of labels, any text as value.
pub(crate) fn annotations(node: &Node<'_>, report: &mut Report) -> Option<BTreeMap<String, String>> {
    map(node, report, label_key, text)
}

/// The key of a label.
pub(crate) fn label_key(key: &str) -> Result<String, String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let part = |part: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty() && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    let prefixed = prefix.is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(part));
    if prefixed && !name.is_empty() && is_label_word(name) {
        return Ok(key.to_owned());
    }
    Err(format!("{key:?} is no key of a label: 1 to 63 letters, digits, -, _ and ., perhaps after a domain and /"))
}

/// The key of a label, as a value.
pub(crate) fn key_of_label(node: &Node<'_>, report: &mut Report) -> Option<String> {
    let key = text(node, report)?;
    label_key(&key).map_err(|message| node.fault(codes::WRONG_VALUE, message, None, report)).ok()
}

/// The value of a label.
pub(crate) fn label_value(node: &Node<'_>, report: &mut Report) -> Option<String> {
    let value = text(node, report)?;
    if is_label_word(&value) {
        return Some(value);
    }
    node.wrong("at most 63 letters, digits, -, _ and . (a letter or digit first and last)", report);
    None
}

pub(crate) fn is_label_word(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || (text.len() <= 63
            && text.chars().all(|c| ends(c) || matches!(c, '-' | '_' | '.'))
            && text.starts_with(ends)
            && text.ends_with(ends))
}

/// Free values for templates.
pub(crate) fn vars(node: &Node<'_>, report: &mut Report) -> Option<Vars> {
    map(node, report, |key| Ok(key.to_owned()), json)
}

fn json(node: &Node<'_>, report: &mut Report) -> Option<serde_json::Value> {
    Some(match &node.value {
        Value::List(_) => list(node, report, json)?.into(),
        Value::Map(_) => serde_json::Value::Object(map(node, report, |key| Ok(key.to_owned()), json)?),
        Value::Scalar(scalar) => match scalar.sort {
            Sort::Text => scalar.text.as_ref().into(),
            Sort::Null => serde_json::Value::Null,
            Sort::Bool(value) => value.into(),
            // What is rendered must be what is written: neither 1.10 as 1.1 nor 0755 as 755.
            Sort::Integer | Sort::Number => {
                let number = serde_json::from_str::<serde_json::Number>(&scalar.text).ok();
                match number.filter(|number| number.to_string() == scalar.text) {
                    Some(number) => number.into(),
                    None => {
                        let hint = format!("in quotes it is text: \"{}\"", scalar.text);
                        node.wrong_with("a number that readers of YAML agree on", Some(hint), report);
                        return None;
                    }
                }
            }
        },
        Value::Broken => return None,
    })
}

/// An absolute path on a device, or a template of one.
pub(crate) fn device_path(node: &Node<'_>, report: &mut Report) -> Option<String> {
    let path = text_of(node, "an absolute path on the device", report)?;
    if !is_template(path)
        && let Err(error) = path.parse::<DevicePath>()
    {
        node.fault(codes::WRONG_VALUE, error.to_string(), None, report);
        return None;
    }
    Some(path.to_owned())
}

/// A path of the repository below `folder`.
pub(crate) fn path_below(folder: &'static str) -> impl FnOnce(&Node<'_>, &mut Report) -> Option<String> {
    move |node, report| {
        let expected = format!("a path below {folder}/, without . and .. parts");
        let path = text_of(node, &expected, report)?;
        // The grammar of a device path is what is wanted, read from the root of the repository.
        let good =
            path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/') && rest.parse::<DevicePath>().is_ok());
        if !good {
            let hint = meant::path(path, folder).map(|path| format!("write {path}"));
            node.wrong_with(&expected, hint, report);
            return None;
        }
        Some(path.to_owned())
    }
}

/// Whether a string is a template, whose value is known only when it is rendered.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}
