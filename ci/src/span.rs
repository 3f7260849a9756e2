//! Spans of time, as people say them.

use jiff::Timestamp;

/// `3 h 20 min`, `4 min 10 s`, `2 d 3 h`: the two greatest units.
pub(crate) fn spoken(seconds: i64) -> String {
    let units = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let Some(first) = units.iter().position(|(count, _)| *count > 0) else { return "0 s".to_owned() };
    let parts = units[first..].iter().take(2).filter(|(count, _)| *count > 0);
    parts.map(|(count, unit)| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

/// How long after `start` that was.
pub(crate) fn after(start: Timestamp, at: Timestamp) -> String {
    spoken(at.duration_since(start).as_secs())
}

/// A number with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_numbers_are_said_as_people_do() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (250, "4 min 10 s"),
            (12_000, "3 h 20 min"),
            (86_405, "1 d"),
            (183_600, "2 d 3 h"),
        ] {
            assert_eq!(spoken(seconds), text);
        }
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
