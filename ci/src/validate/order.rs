//! Rollouts whose `after` leads back to where it began: none of these fleets would ever begin.

use std::collections::{BTreeMap, VecDeque};

use bellwether_schemas::FleetName;
use bellwether_schemas::manifest::AnyManifest;

/// Which fleets each fleet waits for.
type After<'m> = BTreeMap<&'m FleetName, &'m [FleetName]>;

/// For each fleet that waits for itself, the shortest circle from it back to it.
pub(super) fn circles(manifests: &BTreeMap<String, AnyManifest>) -> Vec<Vec<&FleetName>> {
    let after: After<'_> = manifests
        .values()
        .filter_map(|manifest| match manifest {
            AnyManifest::Rollout(rollout) => Some((&rollout.metadata.name, rollout.spec.after.as_slice())),
            _ => None,
        })
        .collect();
    after.keys().filter_map(|fleet| circle(fleet, &after)).collect()
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
    use bellwether_schemas::yaml;

    /// The circles of rollouts that are written as `fleet: those before it`.
    fn circles_of(rollouts: &[(&str, &str)]) -> Vec<String> {
        let read = |(name, after): &(&str, &str)| {
            let (path, head) = (format!("rollouts/{name}.yaml"), "apiVersion: bellwether/v1\nkind: Rollout\n");
            let text = format!("{head}metadata: {{name: {name}}}\nspec: {{after: [{after}]}}\n");
            (path.clone(), yaml::parse(&path, text.as_bytes()).expect("a Rollout"))
        };
        let manifests = rollouts.iter().map(read).collect();
        let shown = |circle: Vec<&FleetName>| circle.iter().map(|fleet| fleet.as_str()).collect::<Vec<_>>().join(" ");
        circles(&manifests).into_iter().map(shown).collect()
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
