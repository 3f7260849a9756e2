//! The devices of a simulation: those of an inventory; else made-up ones, like the members that git knows; else, where it
//! knows none, such as the Rollout and the Enrollments speak of.

use bellwether_core::compare::Device;
use bellwether_core::declare::{Declared, FleetLine};
use bellwether_core::simulate::{Known, Stage, known_devices, virtual_devices};
use bellwether_schemas::manifest::{AnyManifest, LabelSelector, Labels, Operator};

use super::SimulateArgs;
use crate::failure::Failure;
use crate::span::grouped;

/// Devices that are made up, unless somebody says how many.
const DEVICES: u32 = 100;

/// Of the devices that are made up where git knows none, one in so many is in each wave that selects its devices.
const SELECTED: usize = 10;

/// The devices, and where they come from.
pub(super) struct Cast {
    pub(super) devices: Vec<Known>,
    from: Source,
}

/// Where devices come from.
enum Source {
    Inventory,
    /// Those that git lists.
    Listed,
    /// Made up, like the members that git knows.
    Members,
    /// Made up, since git knows no member.
    Selectors {
        /// The manifest that gives them their labels, if not the selector of the fleet itself.
        enrollment: Option<String>,
    },
}

impl Cast {
    pub(super) fn of(args: &SimulateArgs, stage: &Stage<'_>) -> Result<Self, Failure> {
        let known = |name, entry, labels| Known { name, entry, labels, like: None };
        if let Some(place) = &args.inventory {
            let all = crate::inventory::read(place, args.ca.as_deref())?.into_iter();
            let all = all.map(|device| known(device.name, device.entry, device.labels)).collect();
            return Ok(Self { devices: known_devices(stage, all), from: Source::Inventory });
        }
        if args.listed {
            let all = Device::listed(stage.before.unwrap_or(stage.after), stage.after).into_iter();
            let all = all.map(|device| known(device.name, device.entry, device.labels)).collect();
            return Ok(Self { devices: known_devices(stage, all), from: Source::Listed });
        }
        let count = args.devices.unwrap_or(DEVICES);
        let devices = virtual_devices(stage, count);
        match stage.after.fleets().get(stage.fleet) {
            Some(line) if devices.is_empty() => {
                Ok(Self::by_selectors(stage, line, usize::try_from(count).unwrap_or(usize::MAX)))
            }
            _ => Ok(Self { devices, from: Source::Members }),
        }
    }

    /// As many devices as are asked for, that the fleet and each wave with a selector would have.
    fn by_selectors(stage: &Stage<'_>, line: &FleetLine, count: usize) -> Self {
        let selector = &line.target.fleet.selector;
        let given = given(stage.after, selector);
        let mut common = given.as_ref().map(|(_, labels)| (*labels).clone()).unwrap_or_default();
        common.extend(lacking(selector, &common));
        let rollout = if stage.before.is_some() { &line.rollout } else { line.next_rollout() };
        let kinds: Vec<Labels> = rollout
            .waves
            .iter()
            .filter_map(|wave| wave.select.as_ref())
            .map(|select| common.clone().into_iter().chain(lacking(select, &common)).collect())
            .collect();
        let device = |at: usize| Known {
            name: format!("virtual-{:06}", at + 1).parse().expect("a name of letters and digits"),
            entry: None,
            // The first of them have to be in the first waves, however few there are.
            labels: kinds.get(at).or_else(|| kinds.get(at % SELECTED.max(kinds.len() + 1))).unwrap_or(&common).clone(),
            like: None,
        };
        let devices = known_devices(stage, (0..count).map(device).collect());
        Self { devices, from: Source::Selectors { enrollment: given.map(|(path, _)| path.to_owned()) } }
    }

    /// How many there are, and what they are like.
    pub(super) fn described(&self) -> String {
        let count = grouped(u64::try_from(self.devices.len()).unwrap_or(u64::MAX));
        match &self.from {
            Source::Inventory => format!("{count} devices of the inventory"),
            Source::Listed => format!("{count} devices that git lists"),
            Source::Members => format!("{count} devices, made up with the labels that git gives to members"),
            Source::Selectors { enrollment: Some(path) } => format!(
                "{count} devices, all made up: git knows none of this fleet yet; their labels are those of {path} and of the waves"
            ),
            Source::Selectors { enrollment: None } => format!(
                "{count} devices, all made up: git knows none of this fleet yet; their labels are those that its selector and \
                 waves ask for"
            ),
        }
    }
}

/// The first Enrollment by which devices of the fleet come, and the labels that it gives.
fn given<'d>(declared: &'d Declared, selector: &LabelSelector) -> Option<(&'d str, &'d Labels)> {
    declared.manifests().find_map(|(path, manifest)| match manifest {
        AnyManifest::Enrollment(enrollment) if selector.matches(&enrollment.spec.labels) => {
            Some((path, &enrollment.spec.labels))
        }
        _ => None,
    })
}

/// The labels that a device with those of `there` needs besides for a selector to take it, as far as labels can make it so.
fn lacking(selector: &LabelSelector, there: &Labels) -> Labels {
    let mut labels = selector.match_labels.clone();
    for term in &selector.match_expressions {
        match term.operator {
            Operator::In => labels.extend(term.values.first().map(|value| (term.key.clone(), value.clone()))),
            Operator::Exists if !there.contains_key(&term.key) => drop(labels.insert(term.key.clone(), "x".to_owned())),
            Operator::Exists | Operator::NotIn | Operator::DoesNotExist => {}
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use bellwether_schemas::manifest::Requirement;

    use super::*;

    #[test]
    fn labels_are_those_that_a_selector_asks_for() {
        let labels = |all: &[(&str, &str)]| -> Labels {
            all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let term = |key: &str, operator, values: &[&str]| Requirement {
            key: key.to_owned(),
            operator,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let selector = LabelSelector {
            match_labels: labels(&[("fleet", "edge")]),
            match_expressions: vec![
                term("ring", Operator::In, &["canary", "early"]),
                term("site", Operator::Exists, &[]),
                term("tz", Operator::Exists, &[]),
                term("lab", Operator::DoesNotExist, &[]),
                term("env", Operator::NotIn, &["test"]),
            ],
        };
        let there = labels(&[("tz", "UTC")]);
        let lacking = lacking(&selector, &there);
        assert_eq!(lacking, labels(&[("fleet", "edge"), ("ring", "canary"), ("site", "x")]));
        assert!(selector.matches(&there.into_iter().chain(lacking).collect()));
    }
}
