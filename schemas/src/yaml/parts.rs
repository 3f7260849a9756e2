//! What can be read of a manifest in which something else is wrong: so that what refers to it can be checked all the same.

use super::problem::Report;
use super::selector::selector;
use super::tree::{self, Node, Value};
use super::{Limits, text, values};
use crate::manifest::{Kind, LabelSelector};
use crate::name::WaveName;

/// The parts of a manifest with which nothing is wrong. It counts for nothing nevertheless.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts {
    /// The selector of a Fleet.
    pub selector: Option<LabelSelector>,
    /// The waves of a Rollout, if it has a list of them.
    pub waves: Option<Vec<WaveParts>>,
}

/// The parts of a wave with which nothing is wrong.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WaveParts {
    /// Its name.
    pub name: Option<WaveName>,
    /// Its selector.
    pub select: Option<LabelSelector>,
}

/// Reads what can be read of the manifest in `text`, which stands at `path` in the repository.
pub fn parts(path: &str, text: &[u8]) -> Parts {
    read(path, text).unwrap_or_default()
}

fn read(path: &str, text: &[u8]) -> Option<Parts> {
    let limits = Limits::of(Kind::of_path(path)?);
    let text = text::check(path, text, limits.bytes).ok()?;
    let root = tree::read(text, limits.values, &mut Report::default())?;
    let spec = field(&root, "spec")?;
    let waves = field(spec, "waves").and_then(|node| match &node.value {
        Value::List(waves) => Some(waves.iter().map(wave).collect()),
        _ => None,
    });
    Some(Parts { selector: field(spec, "selector").and_then(|node| sound(node, selector)), waves })
}

fn wave(node: &Node<'_>) -> WaveParts {
    WaveParts {
        name: field(node, "name").and_then(|node| sound(node, values::parsed)),
        select: field(node, "select").and_then(|node| sound(node, selector)),
    }
}

fn field<'n, 't>(node: &'n Node<'t>, name: &str) -> Option<&'n Node<'t>> {
    match &node.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key.text == name).map(|entry| &entry.node),
        _ => None,
    }
}

/// What is read, if there is no problem with it.
fn sound<T>(node: &Node<'_>, read: impl FnOnce(&Node<'_>, &mut Report) -> Option<T>) -> Option<T> {
    let mut report = Report::default();
    read(node, &mut report).filter(|_| report.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sound_is_read_beside_what_is_not() {
        let fleet = |spec: &str| parts("fleets/x.yaml", format!("kind: Flet\nspec:\n  {spec}\n").as_bytes()).selector;
        let edge = fleet("selector: {matchLabels: {fleet: edge}}\n  templat: {}").expect("a selector");
        assert_eq!(edge.match_labels["fleet"], "edge");
        assert_eq!(fleet("selector: {matchLabls: {fleet: edge}}"), None);
        assert_eq!(fleet("selector: {matchLabels: {fleet: -}}"), None);

        let rollout = |waves: &str| parts("rollouts/x.yaml", format!("spec:\n  waves: {waves}\n").as_bytes()).waves;
        let waves = rollout("[{name: a, soak: 15, select: {matchLabels: {ring: a}}}, {name: B}]").expect("a list");
        assert_eq!(waves[0].name.as_ref().map(|name| name.as_str()), Some("a"));
        assert!(waves[0].select.is_some() && waves[1] == WaveParts::default(), "{waves:?}");
        assert_eq!(rollout("3"), None);
        assert_eq!(parts("rollouts/x.yaml", b"\t"), Parts::default());
    }
}
