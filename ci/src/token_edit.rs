//! Adds entries to the `tokens:` of an Enrollment as text, so that comments and layout stay as they are.

use std::fmt::Write as _;

use bellwether_schemas::manifest::Token;

/// The file `text` with `tokens` at the end of `spec.tokens`; says why when the layout is not understood.
pub(crate) fn append(text: &str, tokens: &[Token]) -> Result<String, String> {
    let lines: Vec<&str> = text.lines().collect();
    let spec = block(&lines, "spec", 0, 0..lines.len())?.ok_or("found no block spec: of its own lines")?;
    let (mut result, at, indent) = match key_line(&lines, "tokens", &spec)? {
        Some((line, column)) => in_place(&lines, line, column, spec.end)?,
        None => {
            let column = spec.clone().find(|n| is_content(lines[*n])).map_or(2, |n| indent_of(lines[n]));
            let end = last_content(&lines, spec.clone()) + 1;
            let mut result: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            result.insert(end, format!("{:column$}tokens:", ""));
            (result, end + 1, column + 2)
        }
    };
    result.splice(at..at, tokens.iter().flat_map(|token| entry_lines(token, indent)));
    let mut joined = result.join("\n");
    joined.push('\n');
    Ok(joined)
}

/// The lines (with an empty list opened), the place for new entries, and their indentation.
fn in_place(lines: &[&str], line: usize, column: usize, end: usize) -> Result<(Vec<String>, usize, usize), String> {
    let mut result: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let rest = lines[line].trim_start()["tokens:".len()..].trim();
    let (value, comment) = rest.split_once('#').map_or((rest, None), |(value, comment)| (value.trim(), Some(comment)));
    match value {
        "" => {}
        "[]" => {
            let comment = comment.map(|text| format!("  #{text}")).unwrap_or_default();
            result[line] = format!("{:column$}tokens:{comment}", "");
            return Ok((result, line + 1, column + 2));
        }
        other => return Err(format!("line {}: found tokens: {other}, expected one entry a line", line + 1)),
    }
    let inside = |n: &usize| {
        let text = lines[*n];
        !is_content(text)
            || indent_of(text) > column
            || (indent_of(text) == column && text.trim_start().starts_with("- "))
    };
    let block_end = (line + 1..end).find(|n| !inside(n)).unwrap_or(end);
    let items = line + 1..block_end;
    let Some(first) = items.clone().find(|n| is_content(lines[*n])) else { return Ok((result, line + 1, column + 2)) };
    if !lines[first].trim_start().starts_with("- ") {
        return Err(format!(
            "line {}: found {:?}, expected an entry that begins with a hyphen",
            first + 1,
            lines[first].trim()
        ));
    }
    Ok((result, last_content(lines, items) + 1, indent_of(lines[first])))
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

fn entry_lines(token: &Token, indent: usize) -> Vec<String> {
    let mut text = format!(
        "- id: {}\n  sha256: \"{}\"\n  expires: \"{}\"\n",
        quoted(token.id.as_str()),
        token.sha256,
        token.expires
    );
    if let Some(device) = &token.device {
        let _infallible = writeln!(text, "  device: {}", quoted(device.as_str()));
    }
    if !token.labels.is_empty() {
        text.push_str("  labels:\n");
        for (key, value) in &token.labels {
            let _infallible = writeln!(text, "    {}: {}", quoted(key), quoted(value));
        }
    }
    text.lines().map(|line| format!("{:indent$}{line}", "")).collect()
}

/// A scalar that is read as a string whatever it looks like: plain where that is safe, else in double quotes.
pub(crate) fn quoted(text: &str) -> String {
    let plain = text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        && text.bytes().next().is_some_and(|c| c.is_ascii_lowercase())
        && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
