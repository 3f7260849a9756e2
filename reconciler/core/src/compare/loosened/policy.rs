//! A policy that asks less for a signature, or lets more people give one.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_schemas::PersonName;
use bellwether_schemas::manifest::{Person, PolicyRule, TrustPolicy};

use crate::verify::RuleIndex;

/// Each way in which a policy asks less than before. Rules are compared by what they ask at paths: a role with another name,
/// or a rule in two parts, asks the same.
pub(in crate::compare) fn loosened(before: &TrustPolicy, after: &TrustPolicy) -> Vec<String> {
    let mut found = at_paths(&Rules::of(before), &Rules::of(after));
    for (name, person) in &after.people {
        let Some(known) = before.people.get(name) else { continue };
        if known.bot && !person.bot {
            found.push(format!("{name} is no bot any more, and counts"));
        }
        let (come, gone) = (keys_beyond(person, known), keys_beyond(known, person));
        found.extend(other_keys(come, gone).map(|keys| format!("{name} has {keys}")));
    }
    match (before.max_silence, after.max_silence) {
        (Some(from), Some(to)) if to > from => found.push(format!("maxSilence: {from} → {to}")),
        (Some(from), None) => found.push(format!("maxSilence: {from} → no limit")),
        _ => {}
    }
    if after.expires > before.expires {
        found.push(format!("it expires later: {} → {}", before.expires, after.expires));
    }
    if after.sigstore_root.is_some() && after.sigstore_root != before.sigstore_root {
        found.push("another Sigstore root vouches for gitsign signatures".to_owned());
    }
    if let Some(head) = after.abandons.filter(|head| before.abandons != Some(*head)) {
        found.push(format!("it gives up the head {}: a reset of the history", head.short()));
    }
    found
}

/// How many keys a person has that are not those of another state of it.
fn keys_beyond(person: &Person, known: &Person) -> usize {
    // What follows algorithm and key is a comment.
    let ssh = |line: &str| line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    let known_ssh: BTreeSet<_> = known.ssh.iter().map(|line| ssh(line)).collect();
    person.ssh.iter().filter(|line| !known_ssh.contains(&ssh(line))).count()
        + person.openpgp.iter().filter(|key| !known.openpgp.contains(key)).count()
        + person.gitsign.iter().filter(|key| !known.gitsign.contains(key)).count()
}

/// What keys a person has that came, while others may have gone.
fn other_keys(come: usize, gone: usize) -> Option<String> {
    match (come, gone) {
        (0, _) => None,
        (1, 0) => Some("1 more key".to_owned()),
        (more, 0) => Some(format!("{more} more keys")),
        (1, _) => Some("another key".to_owned()),
        (others, _) => Some(format!("{others} other keys")),
    }
}

/// What a policy asks at each path.
struct Rules<'p> {
    policy: &'p TrustPolicy,
    index: RuleIndex,
}

/// A rule, and who counts for it.
struct Asked<'p> {
    rule: &'p PolicyRule,
    signing: BTreeSet<&'p PersonName>,
}

impl<'p> Rules<'p> {
    fn of(policy: &'p TrustPolicy) -> Self {
        // What is wrong with it is told by whoever judges it.
        Self { policy, index: RuleIndex::of(policy, &mut Vec::new()) }
    }

    fn at(&self, path: &str) -> Vec<Asked<'p>> {
        let asked = |at: usize| {
            let rule = &self.policy.rules[at];
            let members = self.policy.roles.get(&rule.role).into_iter().flat_map(|role| &role.members);
            let is_bot = |person: &PersonName| self.policy.people.get(person).is_some_and(|person| person.bot);
            Asked { rule, signing: members.filter(|member| !is_bot(member)).collect() }
        };
        self.index.at(path).map(asked).collect()
    }
}

impl Asked<'_> {
    /// Whether whoever fulfils it fulfils another: at worst those sign who could not sign for that.
    fn implies(&self, other: &Asked<'_>) -> bool {
        let others = u32::try_from(self.signing.difference(&other.signing).count()).unwrap_or(u32::MAX);
        self.rule.signers.saturating_sub(others) >= other.rule.signers
    }
}

/// Where somebody may change something who might not before: what is asked there before and after.
fn at_paths(before: &Rules<'_>, after: &Rules<'_>) -> Vec<String> {
    let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut joined: BTreeMap<&PersonName, Vec<&str>> = BTreeMap::new();
    for (glob, path) in probes(before.policy, after.policy) {
        let (was, is) = (before.at(&path), after.at(&path));
        // Where no rule is, nobody may change anything.
        if is.is_empty() {
            continue;
        }
        let lost: Vec<_> = was.iter().filter(|rule| !is.iter().any(|now| now.implies(rule))).collect();
        if was.is_empty() || !lost.is_empty() {
            let people = joining(&lost, &is);
            if let Some(told) = told(&lost, &is, people.is_empty()) {
                found.entry(told).or_default().push(glob);
            }
            people.into_iter().for_each(|person| joined.entry(person).or_default().push(glob));
        }
    }
    let asked = found.into_iter().map(|(told, globs)| format!("{}: {told}", globs.join(", ")));
    asked.chain(together(joined)).collect()
}

/// Who counts from now on, each once: those who count at the same paths together.
fn together(joined: BTreeMap<&PersonName, Vec<&str>>) -> impl Iterator<Item = String> {
    let mut by_globs: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
    for (person, globs) in joined {
        by_globs.entry(globs).or_default().push(person.as_str());
    }
    let told = |(globs, people): (Vec<&str>, Vec<&str>)| {
        let count = if people.len() == 1 { "counts" } else { "count" };
        format!("{} {count} now for {}", people.join(", "), globs.join(", "))
    };
    by_globs.into_iter().map(told)
}

/// The people who count now, and did not for each of these rules.
fn joining<'p>(lost: &[&Asked<'p>], now: &[Asked<'p>]) -> BTreeSet<&'p PersonName> {
    if lost.is_empty() {
        return BTreeSet::new();
    }
    let could = |person: &&PersonName| lost.iter().all(|rule| rule.signing.contains(person));
    now.iter().flat_map(|asked| &asked.signing).copied().filter(|person| !could(person)).collect()
}

/// What became of rules that ask for more than the new ones do; nothing where only people joined.
fn told(lost: &[&Asked<'_>], now: &[Asked<'_>], nobody_joins: bool) -> Option<String> {
    let to = asking(now.iter().map(|asked| asked.rule));
    if lost.is_empty() {
        return Some(format!("nobody → {to}"));
    }
    let from = asking(lost.iter().map(|asked| asked.rule));
    match from == to {
        true => nobody_joins.then_some(from),
        false => Some(format!("{from} → {to}")),
    }
}

fn asking<'p>(rules: impl Iterator<Item = &'p PolicyRule>) -> String {
    let asked: BTreeSet<_> = rules.map(|rule| format!("{} of {}", rule.signers, rule.role)).collect();
    asked.into_iter().collect::<Vec<_>>().join(" and ")
}

/// Each glob of both policies, with a path that it matches.
fn probes<'p>(before: &'p TrustPolicy, after: &'p TrustPolicy) -> BTreeMap<&'p str, String> {
    let globs = before.rules.iter().chain(&after.rules).flat_map(|rule| &rule.paths);
    globs.map(|glob| (glob.as_str(), instance(glob))).collect()
}

/// A path that a glob matches, with names that stand in no other glob.
fn instance(glob: &str) -> String {
    let mut path = String::new();
    let mut rest = glob;
    while let Some(next) = rest.chars().next() {
        rest = &rest[next.len_utf8()..];
        match next {
            '*' if rest.starts_with('*') => {
                rest = rest.trim_start_matches('*');
                path.push_str("any");
            }
            '*' => path.push_str("any"),
            '?' => path.push('a'),
            '{' => {
                let (choices, after) = rest.split_once('}').unwrap_or((rest, ""));
                path.push_str(choices.split(',').next().unwrap_or_default());
                rest = after;
            }
            plain => path.push(plain),
        }
    }
    path
}
