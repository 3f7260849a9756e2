//! What can be read of a manifest in which something else is wrong: so that what refers to it can be checked all the same.

use std::collections::BTreeSet;

use super::fleet::{artifact, file};
use super::metadata::Named;
use super::probe::probe;
use super::problem::Report;
use super::rollout::after;
use super::selector::selector;
use super::tree::{self, Node, Value};
use super::{Limits, text, values};
use crate::manifest::{Artifact, File, Kind, LabelSelector, Probe, Vars};
use crate::name::{FleetName, WaveName};

/// The parts of a manifest with which nothing is wrong. It counts for nothing nevertheless.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts {
    /// The selector of a Fleet.
    pub selector: Option<LabelSelector>,
    /// The template of a Fleet.
    pub template: TemplateParts,
    /// The variables of a Fleet; none where they may stand in a field that is misspelt.
    pub vars: Option<Vars>,
    /// The waves of a Rollout, if it has a list of them.
    pub waves: Option<Vec<WaveParts>>,
    /// The fleets that a Rollout waits for.
    pub after: Vec<FleetName>,
}

/// What of a template can be read, each with its place in its list, from 0. Fields that are wrong are left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TemplateParts {
    /// Files.
    pub files: Vec<(usize, File)>,
    /// Artifacts.
    pub artifacts: Vec<(usize, Artifact)>,
    /// Probes.
    pub probes: Vec<(usize, Probe)>,
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
    let named = Named { path, kind: Kind::of_path(path)? };
    let limits = Limits::of(named.kind);
    let text = text::check(path, text, limits.bytes).ok()?;
    let mut root = tree::read(text, limits.values, &mut Report::default())?;
    let spec = field_mut(&mut root, "spec")?;
    let waves = field(spec, "waves").and_then(|node| match &node.value {
        Value::List(waves) => Some(waves.iter().map(wave).collect()),
        _ => None,
    });
    Some(Parts {
        selector: field(spec, "selector").and_then(|node| sound(node, selector)),
        vars: vars(spec),
        waves,
        after: field(spec, "after")
            .and_then(|node| sound(node, |node, report| after(node, &named, report)))
            .unwrap_or_default(),
        template: field_mut(spec, "template").map(template).unwrap_or_default(),
    })
}

fn template(node: &mut Node<'_>) -> TemplateParts {
    TemplateParts {
        files: items(node, "files", |node, report| file(node, &mut BTreeSet::new(), report)),
        artifacts: items(node, "artifacts", |node, report| {
            artifact(node, &mut BTreeSet::new(), &mut BTreeSet::new(), report)
        }),
        probes: items(node, "probes", probe),
    }
}

/// The items of a list that can be read.
fn items<T>(node: &mut Node<'_>, name: &str, read: impl Fn(&Node<'_>, &mut Report) -> Option<T>) -> Vec<(usize, T)> {
    let Some(Node { value: Value::List(nodes), .. }) = field_mut(node, name) else { return Vec::new() };
    nodes.iter_mut().enumerate().filter_map(|(place, node)| Some((place, item(node, &read)?))).collect()
}

/// What is read of an item, if need be without those of its fields with which something is wrong.
fn item<T>(node: &mut Node<'_>, read: impl Fn(&Node<'_>, &mut Report) -> Option<T>) -> Option<T> {
    let mut report = Report::default();
    let whole = read(node, &mut report);
    if whole.is_none()
        && let Value::Map(entries) = &mut node.value
    {
        let ends: Vec<_> = entries.iter().skip(1).map(|entry| entry.range.start).chain([usize::MAX]).collect();
        let mut ends = ends.into_iter();
        entries.retain(|entry| ends.next().is_some_and(|end| !report.has_any_in(entry.range.start..end)));
        return read(node, &mut Report::default());
    }
    whole
}

fn vars(spec: &Node<'_>) -> Option<Vars> {
    const KNOWN: [&str; 5] = ["selector", "vars", "template", "onLeave", "drift"];
    match (field(spec, "vars"), &spec.value) {
        (Some(node), _) => sound(node, values::vars),
        (None, Value::Map(entries)) if entries.iter().all(|entry| KNOWN.contains(&entry.key.text.as_ref())) => {
            Some(Vars::new())
        }
        _ => None,
    }
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

fn field_mut<'n, 't>(node: &'n mut Node<'t>, name: &str) -> Option<&'n mut Node<'t>> {
    match &mut node.value {
        Value::Map(entries) => entries.iter_mut().find(|entry| entry.key.text == name).map(|entry| &mut entry.node),
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
        assert_eq!(edge.match_labels.get("fleet").map(String::as_str), Some("edge"));
        assert_eq!(fleet("selector: {matchLabls: {fleet: edge}}"), None);
        assert_eq!(fleet("selector: {matchLabels: {fleet: -}}"), None);

        let rollout = |waves: &str| parts("rollouts/x.yaml", format!("spec:\n  waves: {waves}\n").as_bytes()).waves;
        let waves = rollout("[{name: a, soak: 15, select: {matchLabels: {ring: a}}}, {name: B}]").expect("a list");
        assert_eq!(waves[0].name.as_ref().map(|name| name.as_str()), Some("a"));
        assert!(waves[0].select.is_some() && waves[1] == WaveParts::default(), "{waves:?}");
        assert_eq!(rollout("3"), None);
        assert_eq!(parts("rollouts/x.yaml", b"\t"), Parts::default());
    }
    #[test]
    fn of_a_template_each_item_is_read_without_what_is_wrong_in_it() {
        let template = "{files: [{path: /a, source: fils/a}, {path: /b, content: b, mode: 0644, ownr: x}, 3, {path: /c}], \
                        probes: [{timeout: 5}, {file: {path: /b}, timeout: 5}]}";
        let text = format!("kind: Flet\nspec:\n  vars: {{a: 1}}\n  template: {template}\n");
        let read = parts("fleets/x.yaml", text.as_bytes());
        let [(1, file)] = read.template.files.as_slice() else { panic!("{:?}", read.template.files) };
        assert_eq!((file.content.as_deref(), file.mode.as_deref()), (Some("b"), None));
        assert_eq!(read.template.probes.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1]);
        assert_eq!(read.vars.map(|vars| vars.len()), Some(1));
        let vars = |spec: &str| parts("fleets/x.yaml", format!("spec: {spec}\n").as_bytes()).vars;
        assert_eq!(vars("{template: {}}"), Some(Vars::new()));
        assert_eq!(vars("{template: {}, vras: {a: 1}}"), None);
        assert_eq!(vars("{vars: {a: 01}}"), None);
    }
}
