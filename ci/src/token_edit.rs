//! Adds and removes entries of an Enrollment as text, so that comments and layout stay as they are.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bellwether_schemas::manifest::{ApprovedKey, Labels, Token};

/// The file `text` with `tokens` at the end of `spec.tokens`; says why when the layout is not understood.
pub(crate) fn append(text: &str, tokens: &[Token]) -> Result<String, String> {
    append_to(text, "tokens", tokens.iter().map(token_lines))
}

/// The file `text` with `keys` at the end of `spec.approved`; says why when the layout is not understood.
pub(crate) fn approve(text: &str, keys: &[ApprovedKey]) -> Result<String, String> {
    append_to(text, "approved", keys.iter().map(key_lines))
}

/// The file `text` without these entries (by their places, from 0) of the list `spec.<list>`, which has `count` entries.
pub(crate) fn remove(text: &str, list: &str, places: &BTreeSet<usize>, count: usize) -> Result<String, String> {
    let lines = lines_of(text);
    let spec = block(&lines, "spec", 0, 0..lines.len())?.ok_or("found no block spec: of its own lines")?;
    let (line, column) = key_line(&lines, list, &spec)?.ok_or_else(|| format!("found no {list}:"))?;
    let items = list_lines(&lines, line, column, spec.end);
    let indent = items.clone().find(|n| is_content(lines[*n])).map_or(0, |n| indent_of(lines[n]));
    let begins = |n: &usize| is_content(lines[*n]) && indent_of(lines[*n]) == indent && is_item(lines[*n]);
    let starts: Vec<usize> = items.clone().filter(begins).collect();
    if starts.len() != count {
        return Err(format!("line {}: expected {count} entries, each beginning on a line of its own", line + 1));
    }
    // What stands above an entry stays: it may be about others, too.
    let end_of = |place: usize| {
        let next = starts.get(place + 1).copied().unwrap_or(items.end);
        last_content(&lines, starts[place]..next) + 1
    };
    let gone: BTreeSet<usize> = places.iter().flat_map(|place| starts[*place]..end_of(*place)).collect();
    let mut kept: Vec<String> =
        lines.iter().enumerate().filter(|(n, _)| !gone.contains(n)).map(|(_, line)| (*line).to_owned()).collect();
    if places.len() == count {
        let comment = lines[line].split_once('#').map(|(_, comment)| format!("  #{comment}"));
        kept[line] = format!("{:column$}{list}: []{}", "", comment.unwrap_or_default());
    }
    Ok(kept.join("\n") + "\n")
}

fn lines_of(text: &str) -> Vec<&str> {
    text.strip_suffix('\n').unwrap_or(text).split('\n').collect()
}

fn append_to(text: &str, list: &str, entries: impl Iterator<Item = Vec<String>>) -> Result<String, String> {
    let lines = lines_of(text);
    let spec = block(&lines, "spec", 0, 0..lines.len())?.ok_or("found no block spec: of its own lines")?;
    let (mut result, at, indent) = match key_line(&lines, list, &spec)? {
        Some((line, column)) => in_place(&lines, list, (line, column), spec.end)?,
        None => {
            let column = spec.clone().find(|n| is_content(lines[*n])).map_or(2, |n| indent_of(lines[n]));
            let end = last_content(&lines, spec.clone()) + 1;
            let mut result: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            result.insert(end, format!("{:column$}{list}:", ""));
            (result, end + 1, column + 2)
        }
    };
    let indented = |line: String| format!("{:indent$}{line}", "");
    result.splice(at..at, entries.flatten().map(indented));
    let mut joined = result.join("\n");
    joined.push('\n');
    Ok(joined)
}

/// The lines (with an empty list opened), the place for new entries, and their indentation.
fn in_place(
    lines: &[&str],
    list: &str,
    (line, column): (usize, usize),
    end: usize,
) -> Result<(Vec<String>, usize, usize), String> {
    let mut result: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let rest = lines[line].trim_start()[list.len() + 1..].trim();
    let (value, comment) = rest.split_once('#').map_or((rest, None), |(value, comment)| (value.trim(), Some(comment)));
    match value {
        "" => {}
        "[]" => {
            let comment = comment.map(|text| format!("  #{text}")).unwrap_or_default();
            result[line] = format!("{:column$}{list}:{comment}", "");
            return Ok((result, line + 1, column + 2));
        }
        other => return Err(format!("line {}: found {list}: {other}, expected one entry a line", line + 1)),
    }
    let items = list_lines(lines, line, column, end);
    let Some(first) = items.clone().find(|n| is_content(lines[*n])) else { return Ok((result, line + 1, column + 2)) };
    if !is_item(lines[first]) {
        return Err(format!(
            "line {}: found {:?}, expected an entry that begins with a hyphen",
            first + 1,
            lines[first].trim()
        ));
    }
    Ok((result, last_content(lines, items) + 1, indent_of(lines[first])))
}

/// The lines of the list whose key stands at `line` and `column`.
fn list_lines(lines: &[&str], line: usize, column: usize, end: usize) -> std::ops::Range<usize> {
    let inside = |n: &usize| {
        let text = lines[*n];
        !is_content(text) || indent_of(text) > column || (indent_of(text) == column && is_item(text))
    };
    line + 1..(line + 1..end).find(|n| !inside(n)).unwrap_or(end)
}

fn is_item(line: &str) -> bool {
    line.trim_start().starts_with("- ")
}

/// The lines inside the block `key:` at `column`.
fn block(
    lines: &[&str],
    key: &str,
    column: usize,
    within: std::ops::Range<usize>,
) -> Result<Option<std::ops::Range<usize>>, String> {
    let is_key = |n: &usize| is_content(lines[*n]) && indent_of(lines[*n]) == column && key_of(lines[*n]) == Some(key);
    let Some(start) = within.clone().find(is_key) else { return Ok(None) };
    let rest = lines[start].trim_start()[key.len() + 1..].trim();
    if !(rest.is_empty() || rest.starts_with('#')) {
        return Err(format!("line {}: found {key}: {rest}, expected its fields on lines of their own", start + 1));
    }
    let end = (start + 1..within.end).find(|n| is_content(lines[*n]) && indent_of(lines[*n]) <= column);
    Ok(Some(start + 1..end.unwrap_or(within.end)))
}

/// The line and column of `key:` among the fields of a block.
fn key_line(lines: &[&str], key: &str, block: &std::ops::Range<usize>) -> Result<Option<(usize, usize)>, String> {
    let Some(first) = block.clone().find(|n| is_content(lines[*n])) else { return Ok(None) };
    let column = indent_of(lines[first]);
    let found = block.clone().find(|n| indent_of(lines[*n]) == column && key_of(lines[*n]) == Some(key));
    Ok(found.map(|line| (line, column)))
}

fn key_of(line: &str) -> Option<&str> {
    line.trim_start().split_once(':').map(|(key, _)| key)
}

fn is_content(line: &str) -> bool {
    let text = line.trim();
    !text.is_empty() && !text.starts_with('#')
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn last_content(lines: &[&str], range: std::ops::Range<usize>) -> usize {
    range.clone().rev().find(|n| is_content(lines[*n])).unwrap_or(range.start.saturating_sub(1))
}

fn token_lines(token: &Token) -> Vec<String> {
    let id = quoted(token.id.as_str());
    let mut text = format!("- id: {id}\n  sha256: \"{}\"\n  expires: \"{}\"\n", token.sha256, token.expires);
    if let Some(device) = &token.device {
        let _infallible = writeln!(text, "  device: {}", quoted(device.as_str()));
    }
    with_labels(text, &token.labels)
}

fn key_lines(key: &ApprovedKey) -> Vec<String> {
    let (id, device) = (quoted(key.id.as_str()), quoted(key.device.as_str()));
    let text = format!("- id: {id}\n  fingerprint: \"{}\"\n  device: {device}\n", key.fingerprint);
    with_labels(text, &key.labels)
}

fn with_labels(mut text: String, labels: &Labels) -> Vec<String> {
    if !labels.is_empty() {
        text.push_str("  labels:\n");
        for (key, value) in labels {
            let _infallible = writeln!(text, "    {}: {}", quoted(key), quoted(value));
        }
    }
    text.lines().map(str::to_owned).collect()
}

/// A scalar that is read as a string whatever it looks like: plain where that is safe, else in double quotes.
pub(crate) fn quoted(text: &str) -> String {
    let plain = text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        && text.bytes().next().is_some_and(|c| c.is_ascii_lowercase())
        && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
