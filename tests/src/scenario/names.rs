//! Sets of devices, as scenarios write and show them: `edge-1..edge-10`.

use std::collections::BTreeSet;

use bellwether_schemas::DeviceName;

/// More runs of names than this are shown as a number.
const SHOWN: usize = 6;

/// The names that a text lists.
///
/// # Errors
/// What cannot be read.
pub(super) fn expand(text: &str) -> Result<BTreeSet<DeviceName>, String> {
    let mut names = BTreeSet::new();
    let name = |text: &str| text.parse::<DeviceName>().map_err(|_| format!("{text:?} is no device"));
    for part in text.split(',') {
        match part.split_once("..") {
            None => drop(names.insert(name(part)?)),
            Some((first, last)) => {
                let range = split(first).zip(split(last)).filter(|((a, from), (b, to))| a == b && from <= to);
                let ((prefix, from), (_, to)) = range.ok_or_else(|| format!("{part:?} is no range of devices"))?;
                for number in from..=to {
                    names.insert(name(&format!("{prefix}{number}"))?);
                }
            }
        }
    }
    Ok(names)
}

/// A name's number, and what stands before it.
fn split(name: &str) -> Option<(&str, u64)> {
    let (prefix, number) = name.rsplit_once('-')?;
    Some((&name[..=prefix.len()], number.parse().ok()?))
}

/// The names as few words as possible.
pub(super) fn compress<'a>(names: impl IntoIterator<Item = &'a DeviceName>) -> String {
    let mut keys: Vec<(&str, Option<u64>)> = names
        .into_iter()
        .map(|name| split(name.as_str()).map_or((name.as_str(), None), |(prefix, number)| (prefix, Some(number))))
        .collect();
    keys.sort_unstable();
    let mut runs: Vec<(&str, Option<u64>, Option<u64>)> = Vec::new();
    for (prefix, number) in &keys {
        match runs.last_mut() {
            Some((known, _, last)) if known == prefix && number.is_some() && last.map(|last| last + 1) == *number => {
                *last = *number;
            }
            _ => runs.push((prefix, *number, *number)),
        }
    }
    let shown: Vec<String> = runs.iter().map(|run| shown(*run)).collect();
    match (keys.len(), runs.len()) {
        (count, runs) if runs > SHOWN => format!("{count} devices"),
        (count, _) if count > 3 => format!("{} ({count})", shown.join(", ")),
        _ => shown.join(", "),
    }
}

fn shown((prefix, first, last): (&str, Option<u64>, Option<u64>)) -> String {
    match (first, last) {
        (Some(first), Some(last)) if first == last => format!("{prefix}{first}"),
        (Some(first), Some(last)) if first + 1 == last => format!("{prefix}{first}, {prefix}{last}"),
        (Some(first), Some(last)) => format!("{prefix}{first}..{prefix}{last}"),
        _ => prefix.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_they_are_written() {
        for text in ["edge-1", "edge-1, edge-2", "edge-2..edge-4", "a, edge-9..edge-11 (4)"] {
            let written = text.replace(", ", ",").replace(" (4)", "");
            let names = expand(&written).expect("a set");
            assert_eq!(compress(&names), text);
        }
        assert_eq!(compress(&expand("e-1,e-3,e-5,e-7,e-9,e-11,e-13").expect("a set")), "7 devices");
        assert!(expand("edge-3..edge-1").is_err() && expand("edge-1..core-2").is_err());
    }
}
