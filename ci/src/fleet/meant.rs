//! What was probably meant by a value that a field does not take. Whether the field takes that is for the reader to say.

/// So many bytes.
const BYTES: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Other ways to write `value`, the likeliest first.
pub(super) fn others(value: &str) -> Vec<String> {
    let text = value.trim().trim_matches('"').trim();
    let mut others = Vec::new();
    if text.bytes().all(|c| c.is_ascii_digit()) && !text.is_empty() {
        others.extend([format!("{text}s"), format!("{text}%")]);
    }
    others.extend(truth(text).map(str::to_owned));
    others.extend(bytes(text).map(|bytes| bytes.to_string()));
    others.extend(text.find(|c: char| !c.is_ascii_digit()).map(|end| text[..end].to_owned()));
    others.extend([text.to_owned(), text.to_lowercase(), text.to_lowercase().replace(' ', "")]);
    others.retain(|other| other != value && !other.is_empty());
    others
}

/// What other formats write for a truth value.
fn truth(text: &str) -> Option<&'static str> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" => Some("true"),
        "false" | "no" | "n" | "off" | "0" => Some("false"),
        _ => None,
    }
}

/// A size with its unit, in bytes.
fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, one) = BYTES.into_iter().find(|(name, _)| *name == unit.trim())?;
    digits.parse::<u64>().ok()?.checked_mul(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_as_fields_take_it() {
        for (value, first) in [
            ("5", "5s"),
            ("yes", "true"),
            ("Off", "false"),
            ("5MiB", "5242880"),
            ("5 kB", "5000"),
            ("\"5\"", "5s"),
            ("5s", "5"),
            ("Restart", "restart"),
            (" text ", "text"),
        ] {
            assert_eq!(others(value).first().map(String::as_str), Some(first), "{value}");
        }
        assert_eq!(others("5")[1..], ["5%"]);
        assert_eq!(others("1")[2..], ["true"]);
        assert_eq!(others(""), [""; 0]);
        assert_eq!(others("text"), [""; 0]);
        assert_eq!(["99999999999999999999MiB", "20000000000GiB", "5 things", "B", "5"].map(bytes), [None; 5]);
    }
}
