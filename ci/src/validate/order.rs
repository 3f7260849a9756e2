//! Rollouts whose `after` leads back to where it began: none of these fleets would ever begin.

use std::collections::{BTreeMap, VecDeque};

use bellwether_schemas::yaml::FieldPath;
use bellwether_schemas::{FleetName, codes};

use super::finding::Finding;
use super::manifests::Manifests;

/// Which fleets each fleet waits for.
type After<'m> = BTreeMap<&'m FleetName, &'m [FleetName]>;

/// Each fleet that waits for itself, with the shortest circle from it back to it.
pub(super) fn problems(manifests: &Manifests) -> Vec<Finding> {
    let after: After<'_> = manifests.after().map(|(_, fleet, after)| (fleet, after)).collect();
    circles(&after).into_iter().filter_map(|circle| told(&circle, &after)).collect()
}

fn told(circle: &[&FleetName], after: &After<'_>) -> Option<Finding> {
    let (first, second) = (circle.first()?, circle.get(1)?);
    let place = after.get(first)?.iter().position(|fleet| fleet == *second)?;
    let way = circle.iter().map(|fleet| fleet.as_str()).collect::<Vec<_>>().join(" → ");
    let (path, field) = (format!("rollouts/{first}.yaml"), FieldPath::of("spec.after").item(place));
    let problem = Finding::error(codes::AFTER_CIRCLE, &path, field, format!("the fleets wait for each other: {way}"));
    Some(problem.hint(format!("remove {second} from after here, or another step of the circle")))
}

/// For each fleet that waits for itself, the shortest circle from it back to it.
fn circles<'m>(after: &After<'m>) -> Vec<Vec<&'m FleetName>> {
    after.keys().filter_map(|fleet| circle(fleet, after)).collect()
}

/// The shortest way from a fleet back to it.
fn circle<'m>(fleet: &'m FleetName, after: &After<'m>) -> Option<Vec<&'m FleetName>> {
    let mut came_from: BTreeMap<&FleetName, &FleetName> = BTreeMap::new();
    let mut next = VecDeque::from([fleet]);
    while let Some(here) = next.pop_front() {
        for there in after.get(here).copied().unwrap_or_default() {
            if came_from.contains_key(there) {
                continue;
            }
            came_from.insert(there, here);
            if there == fleet {
                return Some(way_back(fleet, &came_from));
            }
            next.push_back(there);
        }
    }
    None
}

/// From `fleet` to `fleet`, by what each was reached from.
fn way_back<'m>(fleet: &'m FleetName, came_from: &BTreeMap<&'m FleetName, &'m FleetName>) -> Vec<&'m FleetName> {
    let mut way = vec![fleet];
    while let Some(before) = came_from.get(way[way.len() - 1]) {
        way.push(before);
        if *before == fleet {
            break;
        }
    }
    way.reverse();
    way
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles of rollouts that are written as `fleet: those before it`.
    fn circles_of(rollouts: &[(&str, &str)]) -> Vec<String> {
        let names =
            |text: &str| -> Vec<FleetName> { text.split(", ").map(|name| name.parse().expect("a name")).collect() };
        let read: Vec<_> = rollouts.iter().map(|(name, after)| (names(name).remove(0), names(after))).collect();
        let after = read.iter().map(|(name, after)| (name, after.as_slice())).collect();
        let shown = |circle: Vec<&FleetName>| circle.iter().map(|fleet| fleet.as_str()).collect::<Vec<_>>().join(" ");
        circles(&after).into_iter().map(shown).collect()
    }

    #[test]
    fn each_fleet_of_a_circle_is_told_once_and_those_before_it_are_not() {
        let chain = [("a", "b"), ("b", "c, d"), ("c", "d"), ("d", "nobody")];
        assert_eq!(circles_of(&chain), Vec::<String>::new());
        assert_eq!(circles_of(&[("a", "b"), ("b", "a")]), ["a b a", "b a b"]);
        assert_eq!(circles_of(&[("z", "a"), ("a", "b"), ("b", "c"), ("c", "a")]), ["a b c a", "b c a b", "c a b c"]);
    }

    #[test]
    fn of_two_circles_the_shorter_one_is_told() {
        let both = [("a", "b, x"), ("b", "c"), ("c", "a"), ("x", "a")];
        assert_eq!(circles_of(&both), ["a x a", "b c a b", "c a b c", "x a x"]);
    }
}
