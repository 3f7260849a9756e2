//! What a text of a wrong form means to a person, as it is to be written.

use super::nearest::nearest;
use super::scalar::{Scalar, Sort};
use super::tree::{Entry, Node, Value};
use crate::manifest::TimeOfDay;
use crate::quantity::{Percent, Seconds};
use crate::spec::DevicePath;

/// The name that a text means to a person: `Edge`, `edge 1` and `edge_1`.
pub(crate) fn name(text: &str) -> Option<String> {
    let separator = |c: char| matches!(c, ' ' | '_' | '.' | '-');
    let lower = text.to_ascii_lowercase();
    let words: Vec<_> = lower.split(separator).filter(|word| !word.is_empty()).collect();
    Some(words.join("-")).filter(|_| text.len() <= 63)
}

/// The duration that a text means to a person: `15 minutes`, `1h 30m`, `PT5M`.
pub(crate) fn duration(text: &str) -> Option<String> {
    // The words that follow stand for days, which the reader of friendly durations leaves to calendars.
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let days = match unit.trim() {
        "w" | "week" | "weeks" => 7,
        "D" | "day" | "days" => 1,
        _ => 0_u32,
    };
    if let Some(days) = number.parse::<u32>().ok().and_then(|number| number.checked_mul(days)).filter(|days| *days > 0)
    {
        return format!("{days}d").parse::<Seconds>().ok().map(|meant| meant.to_string());
    }
    let meant: jiff::SignedDuration = text.parse().ok()?;
    let seconds = u32::try_from(meant.as_secs()).ok().filter(|_| meant.subsec_nanos() == 0)?;
    Some(Seconds::new(seconds).to_string())
}

/// The percentage that a text means to a person: `5 %`, `5 percent`.
pub(crate) fn percent(text: &str) -> Option<String> {
    let number = ["%", "percent", "per cent"].iter().find_map(|word| text.strip_suffix(word))?;
    format!("{}%", number.trim()).parse::<Percent>().ok().map(|percent| percent.to_string())
}

/// The time of a day that a text means to a person: `2:00`, `24:00`, `02:00:00`.
pub(crate) fn time(text: &str) -> Option<TimeOfDay> {
    let padded = if text.find(':') == Some(1) { format!("0{text}") } else { text.to_owned() };
    let minutes = padded.strip_suffix(":00").filter(|minutes| minutes.contains(':')).unwrap_or(&padded);
    if minutes == "24:00" { "00:00" } else { minutes }.parse().ok()
}

/// The mode that `ls -l` and `chmod` write as letters: `rw-r--r--`, `u=rw,g=r,o=r`.
pub(crate) fn mode(text: &str) -> Option<String> {
    let bits = |letters: &str| -> Option<u32> {
        letters.chars().try_fold(0, |bits, letter| match letter {
            'r' => Some(bits | 4),
            'w' => Some(bits | 2),
            'x' => Some(bits | 1),
            '-' => Some(bits),
            _ => None,
        })
    };
    let who: Vec<&str> = match text.split(',').collect::<Vec<_>>().as_slice() {
        [user, group, other] => {
            let who = [user.strip_prefix("u="), group.strip_prefix("g="), other.strip_prefix("o=")];
            who.into_iter().collect::<Option<_>>()?
        }
        [letters] if letters.is_ascii() && matches!(letters.len(), 9 | 10) => {
            let letters = &letters[letters.len() - 9..];
            vec![&letters[..3], &letters[3..6], &letters[6..]]
        }
        _ => return None,
    };
    let digits = who.into_iter().map(|letters| Some(bits(letters)?.to_string())).collect::<Option<String>>()?;
    Some(format!("0{digits}"))
}

/// The path below `folder` that a text means to a person: `./files/a`, `../files/a`, `file/a` and `a` are `files/a`.
pub(crate) fn path(text: &str, folder: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('/').skip_while(|part| matches!(*part, "" | "." | "..")).collect();
    let (first, rest) = parts.split_first()?;
    let inner = match nearest(first, [folder]) {
        Some(_) if !rest.is_empty() => rest,
        _ => &parts,
    };
    let meant = format!("/{}", inner.join("/"));
    meant.parse::<DevicePath>().is_ok().then(|| format!("{folder}{meant}"))
}

/// A value in one short line, as it can be written within others.
pub(crate) fn flow(node: &Node<'_>) -> Option<String> {
    const MOST: usize = 100;
    let all = |parts: Vec<String>| Some(parts.join(", ")).filter(|text| text.len() <= MOST);
    match &node.value {
        Value::Scalar(scalar) if scalar.text.len() > MOST || scalar.text.contains(|c| "[]{}\"'\n:#\\".contains(c)) => {
            None
        }
        Value::Scalar(scalar) if scalar.sort == Sort::Text && Scalar::plain(scalar.text.clone()).sort != Sort::Text => {
            Some(format!("\"{}\"", scalar.text))
        }
        Value::Scalar(scalar) => Some(scalar.text.clone().into_owned()),
        // More than that is not short; a hostile text has many.
        Value::List(nodes) if nodes.len() > MOST => None,
        Value::Map(entries) if entries.len() > MOST => None,
        Value::List(nodes) => Some(format!("[{}]", all(nodes.iter().map(flow).collect::<Option<_>>()?)?)),
        Value::Map(entries) => {
            let entry = |entry: &Entry<'_>| Some(format!("{}: {}", entry.key.text, flow(&entry.node)?));
            Some(format!("{{{}}}", all(entries.iter().map(entry).collect::<Option<_>>()?)?))
        }
        Value::Broken => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What reads texts, and for each text what is meant by it.
    type Meant = (fn(&str) -> Option<String>, &'static [(&'static str, Option<&'static str>)]);

    #[test]
    fn what_people_write_elsewhere_is_known_here() {
        let cases: [Meant; 5] = [
            (name, &[("Edge", Some("edge")), ("Edge_1 b", Some("edge-1-b")), ("edge.1", Some("edge-1"))]),
            (
                duration,
                &[
                    ("1w", Some("7d")),
                    ("2 weeks", Some("14d")),
                    ("3 days", Some("3d")),
                    ("1h 30m", Some("90m")),
                    ("9999999999w", None),
                    ("soon", None),
                    ("5x", None),
                ],
            ),
            (percent, &[("5 %", Some("5%")), ("5 percent", Some("5%")), ("half", None)]),
            (
                |text| time(text).map(|time| time.to_string()),
                &[("2:00", Some("02:00")), ("24:00", Some("00:00")), ("02:00:00", Some("02:00")), ("25:00", None)],
            ),
            (
                mode,
                &[
                    ("rw-r--r--", Some("0644")),
                    ("-rwxr-xr-x", Some("0755")),
                    ("u=rw,g=r,o=", Some("0640")),
                    ("rw-r--r-t", None),
                    ("read-only", None),
                    ("öööööö", None),
                ],
            ),
        ];
        for (meant, texts) in cases {
            for (text, expected) in texts {
                assert_eq!(meant(text).as_deref(), *expected, "{text}");
            }
        }
    }

    #[test]
    fn a_path_is_meant_below_its_folder() {
        for (text, expected) in [
            ("file/a", Some("files/a")),
            ("./files/a/b", Some("files/a/b")),
            ("../files/a", Some("files/a")),
            ("/files/a", Some("files/a")),
            ("a", Some("files/a")),
            ("file", Some("files/file")),
            ("etc/a", Some("files/etc/a")),
            ("files/../a", None),
            ("..", None),
            ("files//a", None),
        ] {
            assert_eq!(path(text, "files").as_deref(), expected, "{text}");
        }
    }
}
