//! `bellwether trust remove`: a person, or one key. This is how a key ends: dates do not end it.

use bellwether_schemas::manifest::PolicyRule;
use bellwether_schemas::{PersonName, RoleName, codes};
use clap::Args;

use super::ChangeOptions;
use super::change::{PolicyChange, counted, joined, rules_of};
use super::keys::{self, ListedKey};
use crate::failure::Failure;
use crate::meant;
use crate::output::{self, Output};
use crate::repo::WorkingCopy;

const EXAMPLES: &str = "Examples:
  bellwether trust remove bob --commit && git push              (the person, with all keys and roles)
  bellwether trust remove bob --only-key SHA256:Zb6Y… --commit  (one key only; bellwether trust show lists them)
  bellwether trust remove bob --lower-signers --commit          (rules that the rest cannot satisfy ask for fewer)

What they signed stays valid: every landing is judged by the policy that was in force before it.";

/// Options of `trust remove`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RemoveArgs {
    /// Their name in the policy
    person: PersonName,
    /// Remove this key only: its fingerprint, or its Sigstore identity
    #[arg(long, value_name = "FINGERPRINT")]
    only_key: Option<String>,
    /// Let rules ask for as many people as are left
    #[arg(long, conflicts_with = "only_key")]
    lower_signers: bool,
    #[command(flatten)]
    change: ChangeOptions,
}

pub(crate) fn run(args: &RemoveArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.change.repo)?;
    let mut change = PolicyChange::open(&copy)?;
    let person = &args.person;
    let Some(found) = change.policy().people.get(person) else {
        let people = change.policy().people.keys();
        let look = format!("The people that are there: {}", joined(people.clone()));
        return Err(Failure::finding(codes::NOT_IN_POLICY, format!("{person} is not in the policy"))
            .hint(meant::hint(person.as_str(), people.map(PersonName::as_str), look)));
    };
    let keys = keys::of(found);
    let summary = match &args.only_key {
        Some(wanted) => remove_key(&mut change, person, &keys, wanted)?,
        None => remove_person(&mut change, person, args.lower_signers)?,
    };
    change.finish(&copy)?.carry_out(&copy, &summary, &args.change, output)?;
    output::note(format!(
        "What {person} signed until then stays valid. Tokens, devices, approvals and holds are not touched: look through them \
         if {person} is not trusted any more (git log --author, bellwether get devices)."
    ));
    Ok(())
}

fn remove_key(
    change: &mut PolicyChange,
    person: &PersonName,
    keys: &[ListedKey],
    wanted: &str,
) -> Result<String, Failure> {
    let listed = || joined(keys.iter().map(|key| &key.name));
    let Some(key) = keys.iter().find(|key| is_named(key, wanted)) else {
        return Err(Failure::finding(codes::NOT_IN_POLICY, format!("{person} has no key {wanted}")).hint(meant_key(
            keys,
            wanted,
            &format!("The keys of {person}: {}", listed()),
        )));
    };
    if keys.len() == 1 {
        let message = format!("{} is the only key of {person}", key.name);
        return Err(Failure::finding(codes::RULE_UNSATISFIABLE, message).hint(format!(
            "Add the new key first: bellwether trust add {person} --ssh-key FILE. Or remove {person} as a whole: \
             bellwether trust remove {person}"
        )));
    }
    change.remove_key(person, key.kind, key.at)?;
    change.say(format!("{person} does not sign with {} {} any more", key.kind.field(), key.name));
    Ok(format!("Trust a key of {person} no longer"))
}

/// A hint that names the key whose name is near, or begins or ends as what was written: fingerprints are long.
fn meant_key(keys: &[ListedKey], wanted: &str, look: &str) -> String {
    const PART: usize = 4;
    let bare = |name: &str| name.trim_start_matches("SHA256:").trim_end_matches(['…', '.']).to_owned();
    let part = bare(wanted);
    let is_part = |key: &&ListedKey| {
        let name = bare(&key.name);
        part.len() >= PART && (name.starts_with(&part) || name.ends_with(&part))
    };
    let mut parts = keys.iter().filter(is_part);
    match (parts.next(), parts.next()) {
        (Some(key), None) => format!("Did you mean {}? {look}", key.name),
        _ => meant::hint(wanted, keys.iter().map(|key| key.name.as_str()), look),
    }
}

/// Whether `wanted` means this key. Fingerprints are copied from programs that write them with spaces or without a prefix.
fn is_named(key: &ListedKey, wanted: &str) -> bool {
    let plain: String = wanted.split_whitespace().collect();
    key.name == wanted
        || key.name.strip_prefix("SHA256:") == Some(&plain)
        || (key.kind == keys::KeyKind::Openpgp && key.name.eq_ignore_ascii_case(&plain))
        || (key.kind == keys::KeyKind::Gitsign && key.name.split(" (").next() == Some(wanted))
}

/// So many paths are named that nobody could change any more.
const NAMED: usize = 5;

fn remove_person(change: &mut PolicyChange, person: &PersonName, lower_signers: bool) -> Result<String, Failure> {
    let bot = change.policy().people.get(person).is_some_and(|person| person.bot);
    let roles: Vec<RoleName> = change
        .policy()
        .roles
        .iter()
        .filter(|(_, role)| role.members.contains(person))
        .map(|(name, _)| name.clone())
        .collect();
    for role in &roles {
        if change.policy().roles.get(role).is_some_and(|role| role.members.len() == 1) {
            let paths: Vec<_> = rules_of(change.policy(), role).flat_map(|(_, rule)| rule.paths.clone()).collect();
            let needs = match paths.len().saturating_sub(NAMED) {
                _ if paths.is_empty() => String::new(),
                0 => format!(", and nobody else may change {}", paths.join(", ")),
                more => format!(", and nobody else may change {} and {more} more", paths[..NAMED].join(", ")),
            };
            return Err(Failure::finding(
                codes::RULE_UNSATISFIABLE,
                format!("{person} is the only member of role {role}{needs}"),
            ));
        }
        change.remove_member(role, person)?;
    }
    change.remove_person(person)?;
    let from = if roles.is_empty() { String::new() } else { format!("; was in role {}", joined(&roles)) };
    change.say(format!("{person} is not in the policy any more{from}"));
    if !bot {
        roles.iter().try_for_each(|role| leave_enough(change, role, lower_signers))?;
    }
    Ok(format!("Trust {person} no longer"))
}

/// Sees that each rule of a role can still be satisfied.
fn leave_enough(change: &mut PolicyChange, role: &RoleName, lower_signers: bool) -> Result<(), Failure> {
    let left = u32::try_from(counted(change.policy(), role)).unwrap_or(u32::MAX);
    let short: Vec<_> = rules_of(change.policy(), role)
        .filter(|(_, rule)| rule.signers > left)
        .map(|(at, rule)| (at, shown(rule)))
        .collect();
    for (at, rule) in short {
        if left == 0 || !lower_signers {
            let failure = Failure::finding(codes::RULE_UNSATISFIABLE, format!("{rule}, and {left} would be left"));
            return Err(if left == 0 {
                failure
            } else {
                failure.hint(format!(
                    "Let somebody else into the role first: bellwether trust add PERSON --role {role}. Or let the rule ask \
                     for {left}: --lower-signers"
                ))
            });
        }
        change.set_signers(at, left)?;
        change.say(format!("{rule} no more, but for {left} (signers: {left})"));
    }
    Ok(())
}

fn shown(rule: &PolicyRule) -> String {
    format!("the rule for {} asks for {} of {}", rule.paths.join(", "), rule.signers, rule.role)
}
