//! Adds and removes entries of an Enrollment as text, so that comments and layout stay as they are.

use std::collections::BTreeSet;

use bellwether_schemas::manifest::{ApprovedKey, Labels, Token};

use crate::yaml_edit::{Document, Step, Written};

/// The file `text` with `tokens` at the end of `spec.tokens`; says why when the layout is not understood.
pub(crate) fn append(text: &str, tokens: &[Token]) -> Result<String, String> {
    extended(text, "tokens", tokens.iter().map(written_token).collect())
}

/// The file `text` with `keys` at the end of `spec.approved`; says why when the layout is not understood.
pub(crate) fn approve(text: &str, keys: &[ApprovedKey]) -> Result<String, String> {
    extended(text, "approved", keys.iter().map(written_key).collect())
}

/// The file `text` without these entries (by their places, from 0) of the list `spec.<list>`.
pub(crate) fn remove(text: &str, list: &str, places: &BTreeSet<usize>) -> Result<String, String> {
    let mut document = Document::read(text)?;
    document.remove_items(&[Step::Key("spec"), Step::Key(list)], places)?;
    Ok(document.text().to_owned())
}

fn extended(text: &str, list: &str, entries: Vec<Written>) -> Result<String, String> {
    let mut document = Document::read(text)?;
    document.extend_list(&[Step::Key("spec")], list, &entries)?;
    Ok(document.text().to_owned())
}

fn written_token(token: &Token) -> Written {
    let mut fields = vec![
        format!("id: {}", quoted(token.id.as_str())),
        format!("sha256: \"{}\"", token.sha256),
        format!("expires: \"{}\"", token.expires),
    ];
    fields.extend(token.device.as_ref().map(|device| format!("device: {}", quoted(device.as_str()))));
    written(fields, &token.labels)
}

fn written_key(key: &ApprovedKey) -> Written {
    let fields = vec![
        format!("id: {}", quoted(key.id.as_str())),
        format!("fingerprint: \"{}\"", key.fingerprint),
        format!("device: {}", quoted(key.device.as_str())),
    ];
    written(fields, &key.labels)
}

/// An entry in both styles.
fn written(fields: Vec<String>, labels: &Labels) -> Written {
    let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{}: {}", quoted(key), quoted(value))).collect();
    let (mut flow, mut block) = (fields.clone(), fields);
    if !labels.is_empty() {
        flow.push(format!("labels: {{{}}}", labels.join(", ")));
        block.push("labels:".to_owned());
        block.extend(labels.iter().map(|label| format!("  {label}")));
    }
    Written { flow: format!("{{{}}}", flow.join(", ")), block }
}

/// A scalar that is read as a string whatever it looks like: plain where that is safe, else in double quotes.
pub(crate) fn quoted(text: &str) -> String {
    let plain = text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
        && text.bytes().next().is_some_and(|c| c.is_ascii_lowercase())
        && !matches!(text, "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n");
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
