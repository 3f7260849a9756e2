//! What a scalar is: YAML 1.2's core schema, without the spellings that other readers take differently.

use std::borrow::Cow;

use super::problem::clip;

/// A scalar of the text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar<'t> {
    pub(crate) text: Cow<'t, str>,
    pub(crate) sort: Sort,
}

/// What a scalar is. Only plain scalars (without quotes) are anything but text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Text,
    Null,
    Bool(bool),
    /// A whole number as JSON writes it.
    Integer,
    /// Any other number, or what some reader of YAML takes for one: `1.5`, `0755`, `0x1f`, `1e5`, `.inf`, `1_000`.
    Number,
}

impl<'t> Scalar<'t> {
    pub(crate) fn plain(text: Cow<'t, str>) -> Self {
        let sort = match text.as_ref() {
            "" | "~" | "null" | "Null" | "NULL" => Sort::Null,
            "true" | "True" | "TRUE" => Sort::Bool(true),
            "false" | "False" | "FALSE" => Sort::Bool(false),
            other if is_integer(other) => Sort::Integer,
            other if is_number(other) => Sort::Number,
            _ => Sort::Text,
        };
        Self { text, sort }
    }

    pub(crate) fn quoted(text: Cow<'t, str>) -> Self {
        Self { text, sort: Sort::Text }
    }

    /// The scalar for a message.
    pub(crate) fn describe(&self) -> String {
        let shown = clip(&self.text, 60);
        match self.sort {
            Sort::Text => format!("{shown:?}"),
            Sort::Null => "nothing".to_owned(),
            Sort::Bool(value) => value.to_string(),
            Sort::Integer | Sort::Number => format!("the number {shown}"),
        }
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.bytes().all(|c| c.is_ascii_digit())
        && match digits.as_bytes() {
            [] => false,
            [b'0'] => !text.starts_with('-'),
            [first, ..] => *first != b'0',
        }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let radix = |prefix: &str, digit: fn(u8) -> bool| {
        unsigned
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|c| digit(c) || c == b'_'))
    };
    if radix("0x", |c| c.is_ascii_hexdigit())
        || radix("0o", |c| c.is_ascii_digit())
        || radix("0b", |c| c.is_ascii_digit())
    {
        return true;
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit() || c == b'_');
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole)
        && digits(part)
        && (whole.starts_with(|c: char| c.is_ascii_digit()) || part.starts_with(|c: char| c.is_ascii_digit()))
        && exponent.is_none_or(|e| !e.is_empty() && digits(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_what_every_reader_takes_them_for() {
        for (sort, texts) in [
            (Sort::Null, &["", "~", "null"][..]),
            (Sort::Bool(true), &["true", "True"]),
            (Sort::Integer, &["0", "7", "-3", "100"]),
            (Sort::Number, &["1.5", "0755", "-0", "+1", "0x1f", "0o17", "1e5", "1_000", ".inf", "-.5", "1."]),
            (
                Sort::Text,
                &["abc", "yes", "on", "12:30", "1.2.3", "v1", "e5", ".", "-", "_1", "0xg", "2026-01-01", "5%"],
            ),
        ] {
            for text in texts {
                assert_eq!(Scalar::plain((*text).into()).sort, sort, "{text}");
            }
        }
    }
}
