//! People and keys as YAML, in flow style and in block style.

use bellwether_schemas::PersonName;
use bellwether_schemas::manifest::Person;

use super::keys::NewKey;
use crate::token_edit::quoted;
use crate::yaml_edit::Written;

/// A person with all keys, as an entry of `people`.
pub(super) fn person_entry(name: &PersonName, person: &Person) -> Written {
    let lists = [
        ("ssh", person.ssh.iter().cloned().map(NewKey::Ssh).collect::<Vec<_>>()),
        ("openpgp", person.openpgp.iter().cloned().map(NewKey::Openpgp).collect()),
        ("gitsign", person.gitsign.iter().cloned().map(NewKey::Gitsign).collect()),
    ];
    let lists = lists.iter().filter(|(_, keys)| !keys.is_empty());
    let mut fields: Vec<_> =
        lists.map(|(name, keys)| field(name, &keys.iter().map(item).collect::<Vec<_>>())).collect();
    if person.bot {
        fields.push(Written::line("bot: true"));
    }
    let flow: Vec<_> = fields.iter().map(|field| field.flow.as_str()).collect();
    let name = quoted(name.as_str());
    let block = std::iter::once(format!("{name}:")).chain(indented(fields.iter().flat_map(|field| &field.block)));
    Written { flow: format!("{name}: {{{}}}", flow.join(", ")), block: block.collect() }
}

/// A field with a list.
pub(super) fn field(name: &str, items: &[Written]) -> Written {
    let flow: Vec<_> = items.iter().map(|item| item.flow.as_str()).collect();
    let lines = items.iter().flat_map(|item| {
        item.block.iter().enumerate().map(|(at, line)| format!("{} {line}", if at == 0 { "-" } else { " " }))
    });
    let lines: Vec<_> = lines.collect();
    let block = std::iter::once(format!("{name}:")).chain(indented(&lines)).collect();
    Written { flow: format!("{name}: [{}]", flow.join(", ")), block }
}

fn indented<'l>(lines: impl IntoIterator<Item = &'l String>) -> impl Iterator<Item = String> {
    let lines: Vec<_> = lines.into_iter().map(|line| format!("  {line}").trim_end().to_owned()).collect();
    lines.into_iter()
}

/// A key as an item of its list.
pub(super) fn item(key: &NewKey) -> Written {
    match key {
        NewKey::Ssh(line) if is_plain(line) => Written::line(line.clone()),
        NewKey::Ssh(line) => Written::line(in_quotes(line)),
        NewKey::Openpgp(armour) => {
            let lines = armour.trim_end().lines().map(str::to_owned);
            Written { flow: in_quotes(armour), block: std::iter::once("|".to_owned()).chain(lines).collect() }
        }
        NewKey::Gitsign(identity) => {
            let fields = [("identity", &identity.identity), ("issuer", &identity.issuer)];
            let block: Vec<_> = fields.iter().map(|(name, text)| format!("{name}: {}", in_quotes(text))).collect();
            Written { flow: format!("{{{}}}", block.join(", ")), block }
        }
    }
}

/// Whether a key's line is read as itself without quotes, also between brackets.
fn is_plain(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_lowercase())
        && line.bytes().all(|c| c.is_ascii_alphanumeric() || b" +/=-_.@".contains(&c))
}

/// YAML reads what JSON writes, and the reader of manifests refuses what is hidden in either.
fn in_quotes(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
