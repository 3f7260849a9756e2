//! A value from the command line, as YAML writes it.

use crate::yaml_edit::Style;

/// What a value is written as, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar {
    pub(super) written: String,
    pub(super) text: String,
    pub(super) plain: bool,
}

/// How a value is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meant {
    /// As text whatever it looks like.
    Text,
    /// What looks like a number, `true`, `false` or `null` is that.
    AsItLooks,
}

impl Scalar {
    /// `value` in place of a scalar of that style, if there is one.
    pub(super) fn new(value: &str, style: Option<Style>, meant: Meant) -> Self {
        if let Some(text) = in_quotes(value) {
            return Self { written: value.to_owned(), text, plain: false };
        }
        if meant == Meant::AsItLooks && is_no_text(value) {
            return Self { written: value.to_owned(), text: value.to_owned(), plain: true };
        }
        let plain = style.is_none_or(|style| matches!(style, Style::Plain | Style::Block)) && is_plain(value);
        let is_single = style == Some(Style::Single) && !value.contains(char::is_control);
        let written = match (plain, is_single) {
            (true, _) => value.to_owned(),
            (_, true) => format!("'{}'", value.replace('\'', "''")),
            _ => serde_json::Value::from(value).to_string(),
        };
        Self { written, text: value.to_owned(), plain }
    }
}

/// Whether a value looks like a number, a truth value or nothing, as JSON writes them.
pub(super) fn is_no_text(value: &str) -> bool {
    use serde_json::Value;
    matches!(serde_json::from_str(value), Ok(Value::Number(_) | Value::Bool(_) | Value::Null)) && value.trim() == value
}

/// The text of a value that was given in double quotes.
fn in_quotes(value: &str) -> Option<String> {
    if !value.starts_with('"') || value.contains('\n') {
        return None;
    }
    serde_json::from_str(value).ok()
}

/// Whether every reader of YAML takes it for this text without quotes, in flow style too.
pub(super) fn is_plain(text: &str) -> bool {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_./:@+%~=".contains(c);
    let words = text.split(' ').all(|word| !word.is_empty() && !word.ends_with(':') && word.chars().all(is_word));
    let other = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    (first && words && !other.contains(&text.to_ascii_lowercase().as_str())) || is_quantity(text) || is_hash(text)
}

/// A span or a share: `15m`, `500ms`, `25%`.
fn is_quantity(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < text.len() && matches!(unit, "ms" | "s" | "m" | "h" | "d" | "%")
}

/// Hexadecimal digits that no reader takes for a number: these letters stand in none.
fn is_hash(text: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_digit() || matches!(c, 'a'..='f');
    text.len() >= 32 && text.chars().all(is_digit) && text.contains(['a', 'c', 'd', 'f'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml_edit::{Document, Shape, Step};

    #[test]
    fn a_value_is_written_in_the_style_that_is_there_where_that_can_be() {
        for (value, style, meant, written) in [
            ("Good morning", None, Meant::AsItLooks, "Good morning"),
            ("Good morning", Some(Style::Double), Meant::Text, "\"Good morning\""),
            ("it's", Some(Style::Single), Meant::Text, "'it''s'"),
            ("two\nlines", Some(Style::Single), Meant::Text, "\"two\\nlines\""),
            ("a: b", Some(Style::Plain), Meant::Text, "\"a: b\""),
            ("8080", None, Meant::AsItLooks, "8080"),
            ("8080", Some(Style::Plain), Meant::Text, "\"8080\""),
            ("\"8080\"", None, Meant::AsItLooks, "\"8080\""),
            ("true", None, Meant::Text, "\"true\""),
            ("null", None, Meant::AsItLooks, "null"),
            ("0644", None, Meant::AsItLooks, "\"0644\""),
            ("1.2.3", None, Meant::AsItLooks, "\"1.2.3\""),
            ("yes", None, Meant::AsItLooks, "\"yes\""),
            ("", None, Meant::AsItLooks, "\"\""),
            ("30s", Some(Style::Plain), Meant::Text, "30s"),
            ("{{ labels.site }}", None, Meant::AsItLooks, "\"{{ labels.site }}\""),
            ("[a, b]", None, Meant::AsItLooks, "\"[a, b]\""),
            ("registry/app@sha256:0123", None, Meant::AsItLooks, "registry/app@sha256:0123"),
            ("ends with:", None, Meant::AsItLooks, "\"ends with:\""),
            ("0123456789abcdef0123456789abcdef", None, Meant::AsItLooks, "0123456789abcdef0123456789abcdef"),
            ("01234567890123456789012345678e12", None, Meant::AsItLooks, "\"01234567890123456789012345678e12\""),
            ("a #b", None, Meant::AsItLooks, "\"a #b\""),
        ] {
            assert_eq!(Scalar::new(value, style, meant).written, written, "{value}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_it_is_meant_in_both_styles() {
        let values = [
            "a",
            " a",
            "a ",
            "a: b",
            "- a",
            "#a",
            "~",
            "é",
            "5",
            "5e3",
            "0x1f",
            "2026-01-01",
            "\t",
            "a\nb",
            "\"a\"",
            "'a'",
        ];
        for value in values {
            for style in [None, Some(Style::Plain), Some(Style::Single), Some(Style::Double), Some(Style::Block)] {
                for meant in [Meant::Text, Meant::AsItLooks] {
                    let Scalar { written, text, plain } = Scalar::new(value, style, meant);
                    for yaml in [format!("k: {written}\n"), format!("k: [{written}, b]\n")] {
                        let shape = Document::read(&yaml).expect("YAML").shape();
                        let path = [Step::Key("k"), Step::Item(0)];
                        let read = shape.at(&path).or_else(|| shape.at(&path[..1]));
                        let expected = Shape::Scalar { text: text.clone(), plain };
                        assert_eq!(read, Some(&expected), "{value:?} as {yaml}");
                    }
                }
            }
        }
    }
}
