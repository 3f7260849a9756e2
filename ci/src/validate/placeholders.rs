//! What was probably meant by a placeholder that cannot be rendered, from what the template engine says about it.

use std::sync::LazyLock;

use bellwether_core::render::FILTERS;
use bellwether_schemas::manifest::Fleet;
use bellwether_schemas::yaml::nearest;
use regex::Regex;

use super::finding::instead;
use crate::devices::Known;

/// What placeholders begin with.
const ROOTS: [&str; 4] = ["device", "fleet", "labels", "vars"];

/// What to write, as far as the error shows what was meant.
pub(super) fn hint(why: &str, fleet: &Fleet, device: &Known) -> Option<String> {
    if why.contains("undefined") {
        let known = || format!("known are device.name, fleet, labels.KEY and vars.NAME: {}", variables(fleet, device));
        return missing(why, fleet, device).or_else(|| misnamed(why, fleet, device)).or_else(|| Some(known()));
    }
    unknown_filter(why).or_else(|| unclosed(why).map(str::to_owned))
}

/// The variables that a device has, as far as they are few.
fn variables(fleet: &Fleet, device: &Known) -> String {
    let names = fleet.vars.keys().chain(device.facts.vars.keys()).map(String::as_str);
    instead("", "variables", names)
}

/// Which label or variable the template names and the device does not have.
fn missing(why: &str, fleet: &Fleet, device: &Known) -> Option<String> {
    static NAMED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\b(labels|vars)\.([A-Za-z_][A-Za-z0-9_]*)").expect("a literal pattern"));
    NAMED.captures_iter(why).find_map(|named| {
        let (of, key) = (&named[1], &named[2]);
        let there: Vec<&str> = match of {
            "labels" => device.facts.labels.keys().map(String::as_str).collect(),
            _ => fleet.vars.keys().chain(device.facts.vars.keys()).map(String::as_str).collect(),
        };
        if there.contains(&key) {
            return None;
        }
        let what = if of == "labels" { "label" } else { "variable" };
        let lacks = format!("{} has no {what} {key}", device.shown);
        Some(match nearest(key, there.iter().copied()) {
            Some(near) => format!("{lacks}: did you mean {of}.{near}?"),
            None => format!(
                "{lacks}: give it to every device of the fleet, or say what holds without it: {{{{ {of}.{key} | default(\"…\") }}}}"
            ),
        })
    })
}

/// What a name means that is none: `var.page`, `device.nam`, `page`.
fn misnamed(why: &str, fleet: &Fleet, device: &Known) -> Option<String> {
    static NAMED: LazyLock<Regex> = LazyLock::new(|| {
        let name = r"([A-Za-z_][A-Za-z0-9_]*)";
        Regex::new(&format!(r"\{{[{{%][^}}]*?\b{name}(?:\.{name})?\s*(?:[|}}]|%\}})")).expect("a literal pattern")
    });
    NAMED.captures_iter(why).find_map(|named| {
        let (root, key) = (&named[1], named.get(2).map(|key| key.as_str()));
        match key {
            Some("name") if root == "device" => None,
            Some(_) if root == "device" => Some("did you mean device.name? A device has nothing else".to_owned()),
            Some(key) if !ROOTS.contains(&root) => Some(format!("did you mean {}.{key}?", nearest(root, ROOTS)?)),
            Some(_) => None,
            None if fleet.vars.contains_key(root) || device.facts.vars.contains_key(root) => {
                Some(format!("did you mean vars.{root}?"))
            }
            None if device.facts.labels.contains_key(root) => Some(format!("did you mean labels.{root}?")),
            None => None,
        }
    })
}

fn unknown_filter(why: &str) -> Option<String> {
    static NAMED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"filter ([A-Za-z0-9_]+) is unknown").expect("a literal pattern"));
    let name = &NAMED.captures(why)?[1];
    Some(instead(name, "filters", FILTERS.into_iter()))
}

/// What lacks its end.
fn unclosed(why: &str) -> Option<&'static str> {
    if !why.contains("syntax error") {
        None
    } else if why.contains("expected end of variable block") {
        Some("a placeholder ends with two braces: {{ vars.NAME }}; braces that are meant as text: {{ \"{{\" }}")
    } else if why.contains("expected end of block") || why.contains("unexpected end of input") {
        Some("{% if … %} ends with {% endif %}, {% for … %} with {% endfor %}, and each tag with %}")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(why: &str) -> String {
        let known = bellwether_schemas::yaml::parts("fleets/x.yaml", b"spec: {vars: {page: 1}, template: {}}\n");
        let template = serde_json::from_value(serde_json::json!({"probes": "none"})).expect("a template");
        let fleet = Fleet { vars: known.vars.expect("variables"), ..Fleet::of_one(template) };
        let device = Known {
            shown: "e1".to_owned(),
            name: "e1".parse().expect("a name"),
            facts: bellwether_core::declare::Facts {
                labels: [("shop".to_owned(), "kiel".to_owned())].into_iter().collect(),
                ..Default::default()
            },
            is_listed: true,
            is_named: true,
        };
        hint(why, &fleet, &device).unwrap_or_default()
    }

    #[test]
    fn what_a_placeholder_means_is_said() {
        let undefined = |text: &str| said(&format!("files[0].content: undefined value in {text:?}"));
        for (text, meant) in [
            ("{{ vars.pag }}", "did you mean vars.page?"),
            ("{{ var.page }}", "did you mean vars.page?"),
            ("is {{ vars.page }} {{ label.shop|upper }}", "did you mean labels.shop?"),
            ("{{ device.nam }}", "did you mean device.name?"),
            ("{{ page }}", "did you mean vars.page?"),
            ("{{shop}}", "did you mean labels.shop?"),
            ("{% if var.page %}", "did you mean vars.page?"),
            (
                "{{ nothing }}",
                "known are device.name, fleet, labels.KEY and vars.NAME: there are these variables: page",
            ),
        ] {
            assert!(undefined(text).contains(meant), "{text}: {}", undefined(text));
        }
        assert_eq!(said("unknown filter: filter uper is unknown in \"…\""), "did you mean upper?");
        assert!(said("unknown filter: filter md5 is unknown").contains("default, join, lower"));
        assert!(said("syntax error: unexpected `}`, expected end of variable block in \"…\"").contains("two braces"));
        assert!(said("syntax error: unexpected end of input, expected end of block in \"…\"").contains("endif"));
        assert_eq!(said("files[0].mode: it is no mode"), "");
    }
}
