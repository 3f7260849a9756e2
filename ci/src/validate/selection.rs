//! Selectors: which of the devices that git knows they choose, whether none, and whether two fleets choose the same.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bellwether_core::declare::unused_template;
use bellwether_schemas::diagnostic::Severity;
use bellwether_schemas::manifest::{LabelSelector, Labels, Requirement, SelectorIndex};
use bellwether_schemas::yaml::{FieldPath, nearest};
use bellwether_schemas::{DeviceName, FleetName, codes};

use super::finding::{Finding, instead};
use super::manifests::Manifests;
use crate::devices::Known;

/// Which fleet selects which devices, as far as git knows devices.
pub(super) struct Selection<'m> {
    devices: &'m [Known],
    /// The members of each fleet, as places in `devices`.
    members: BTreeMap<&'m FleetName, Vec<usize>>,
    /// The devices that two fleets select.
    overlaps: BTreeMap<(&'m FleetName, &'m FleetName), Vec<usize>>,
    /// All of these devices.
    several: HashSet<usize>,
    /// The devices with a template of their own.
    with_template: BTreeMap<&'m DeviceName, usize>,
    /// Those of them that a fleet selects, and these fleets.
    templates_unused: Vec<(usize, Vec<FleetName>)>,
}

impl<'m> Selection<'m> {
    pub(super) fn of(manifests: &'m Manifests, devices: &'m [Known]) -> Self {
        let index = SelectorIndex::new(manifests.selectors().map(|(_, name, selector)| (selector, name)));
        let mut selection = Self {
            devices,
            members: BTreeMap::new(),
            overlaps: BTreeMap::new(),
            several: HashSet::new(),
            with_template: BTreeMap::new(),
            templates_unused: Vec::new(),
        };
        for (place, device) in devices.iter().enumerate() {
            let selecting = index.matching(&device.facts.labels);
            for fleet in &selecting {
                selection.members.entry(fleet).or_default().push(place);
            }
            if manifests.has_template(&FleetName::of_device(&device.name)) {
                selection.with_template.entry(&device.name).or_insert(place);
                if !selecting.is_empty() {
                    selection.templates_unused.push((place, selecting.iter().map(|name| (**name).clone()).collect()));
                }
            }
            if let [first, others @ ..] = selecting.as_slice() {
                if !others.is_empty() {
                    selection.several.insert(place);
                }
                for other in others {
                    selection.overlaps.entry((first, other)).or_default().push(place);
                }
            }
        }
        selection
    }

    /// The devices of a fleet that git lists.
    pub(super) fn members(&self, fleet: &FleetName) -> impl Iterator<Item = &'m Known> {
        let places = self.members.get(fleet).into_iter().flatten();
        places.map(|place| &self.devices[*place]).filter(|device| device.is_listed)
    }

    /// Those of them that would be offered what the fleet says: what several fleets select is offered nothing.
    pub(super) fn offered(&self, fleet: &FleetName) -> impl Iterator<Item = &'m Known> {
        let places = self.members.get(fleet).into_iter().flatten().filter(|place| !self.several.contains(place));
        places.map(|place| &self.devices[*place]).filter(|device| device.is_listed)
    }

    /// The device of this name that has a template of its own, if git lists it.
    pub(super) fn device(&self, name: &DeviceName) -> Option<&'m Known> {
        let place = self.with_template.get(name)?;
        Some(&self.devices[*place]).filter(|device| device.is_listed)
    }

    /// What is wrong with the selectors of fleets and waves.
    pub(super) fn problems(&self, manifests: &Manifests) -> Vec<Finding> {
        let mut found: Vec<_> =
            self.overlaps.iter().map(|((first, second), both)| self.overlap(first, second, both)).collect();
        found.extend(self.templates_unused.iter().map(|(place, fleets)| {
            let problem = unused_template(&self.devices[*place].name, fleets);
            Finding::of(problem, FieldPath::of("spec.template"))
        }));
        // What an Enrollment or a Device that cannot be read names may be what is selected.
        if manifests.has_all_devices() {
            found.extend(self.nothing_selected(manifests));
        }
        found
    }

    /// The selectors that choose nothing.
    fn nothing_selected(&self, manifests: &Manifests) -> Vec<Finding> {
        let (known, mut found) = (Vocabulary::of(self.devices.iter()), Vec::new());
        for (path, name, selector) in manifests.selectors() {
            if !self.members.contains_key(name) && !self.devices.is_empty() {
                found.extend(known.selects_nothing(path, "spec.selector", selector, "device that git knows"));
            }
        }
        for (path, name, place, selector) in manifests.wave_selectors() {
            let mut members = self.members(name).peekable();
            if members.peek().is_some() && !members.any(|device| selector.matches(&device.facts.labels)) {
                let field = format!("spec.waves[{place}].select");
                let whom = format!("device of the fleet {name}");
                found.extend(Vocabulary::of(self.members(name)).selects_nothing(path, &field, selector, &whom));
            }
        }
        found
    }

    fn overlap(&self, first: &FleetName, second: &FleetName, both: &[usize]) -> Finding {
        // What nobody is listed for may become a problem, and is none yet.
        let listed = both.iter().map(|place| &self.devices[*place]).find(|device| device.is_listed);
        let device = listed.unwrap_or(&self.devices[both[0]]);
        let more = match both.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!("the fleets {first} and {second} both select {}{more}", device.shown);
        let hint = format!(
            "a device can be in one fleet only: give {first} or {second} a selector that leaves these devices out, or the \
             devices other labels"
        );
        let mut problem =
            Finding::error(codes::OVERLAP, &second.path(), FieldPath::of("spec.selector"), message).hint(hint);
        if listed.is_none() {
            problem.problem.severity = Severity::Warning;
        }
        problem
    }
}

/// Which values a term probably means.
fn meant(term: &Requirement, there: &BTreeSet<&str>) -> Option<String> {
    let (value, near) = term.values.iter().find_map(|value| Some((value, nearest(value, there.iter().copied())?)))?;
    Some(format!("did you mean {near} in place of {value}?"))
}

/// The labels that devices have.
struct Vocabulary<'d>(BTreeMap<&'d str, BTreeSet<&'d str>>);

impl<'d> Vocabulary<'d> {
    fn of(devices: impl Iterator<Item = &'d Known>) -> Self {
        let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (key, value) in devices.flat_map(|device| &device.facts.labels) {
            labels.entry(key).or_default().insert(value);
        }
        Self(labels)
    }

    /// The warning that a selector at `field` chooses nothing, about the term that nothing satisfies if there is one.
    fn selects_nothing(&self, path: &str, field: &str, selector: &LabelSelector, whom: &str) -> Option<Finding> {
        if selector.is_empty() {
            return None;
        }
        let field = FieldPath::of(field);
        let warning = |field, message: String| Finding::warning(codes::SELECTS_NOTHING, path, field, message);
        for (key, value) in &selector.match_labels {
            let at = field.clone().key("matchLabels").key(key);
            let Some(values) = self.0.get(key.as_str()) else {
                let problem = warning(at, format!("no {whom} has a label {key}"));
                return Some(problem.hint(instead(key, "labels", self.0.keys().copied())));
            };
            if !values.contains(value.as_str()) {
                let problem = warning(at, format!("no {whom} has the label {key}={value}"));
                return Some(problem.hint(instead(value, &format!("values of {key}"), values.iter().copied())));
            }
        }
        for (place, term) in selector.match_expressions.iter().enumerate() {
            let alone = LabelSelector { match_labels: Labels::new(), match_expressions: vec![term.clone()] };
            let values = self.0.get(term.key.as_str());
            let satisfied = |labels: &Labels| alone.matches(labels);
            let by_value = values
                .into_iter()
                .flatten()
                .any(|value| satisfied(&Labels::from_iter([(term.key.clone(), (*value).to_owned())])));
            if !by_value && !satisfied(&Labels::new()) {
                let at = field.clone().key("matchExpressions").item(place).key("key");
                let problem = warning(at, format!("no {whom} has a label {} as this term wants it", term.key));
                let hint = match values {
                    None => instead(&term.key, "labels", self.0.keys().copied()),
                    Some(values) if let Some(near) = meant(term, values) => near,
                    Some(values) => instead("", &format!("values of {}", term.key), values.iter().copied()),
                };
                return Some(problem.hint(hint));
            }
        }
        let problem = warning(field, format!("no {whom} has all of these labels"));
        Some(problem.hint("each of them alone is there: compare with the labels in enrollments/ and devices/"))
    }
}
