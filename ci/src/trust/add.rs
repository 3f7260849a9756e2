//! `bellwether trust add`: a person, a key, a place in a role.

use std::path::PathBuf;

use bellwether_schemas::manifest::{GitsignIdentity, Person};
use bellwether_schemas::{PersonName, RoleName, codes};
use clap::Args;

use super::ChangeOptions;
use super::change::{PolicyChange, counted, joined, rules_of};
use super::keys::{self, NewKey};
use crate::failure::Failure;
use crate::meant;
use crate::output::Output;
use crate::repo::WorkingCopy;

const EXAMPLES: &str = "Examples:
  bellwether trust add bob --ssh-key bob.pub --role admins --commit && git push   (a person)
  bellwether trust add bob --ssh-key \"ssh-ed25519 AAAA… bob@laptop\"       (a second key)
  bellwether trust add eve --openpgp eve.asc --role admins               (gpg --armor --export eve > eve.asc; again
                                                                          after each change of the key)
  bellwether trust add kim --gitsign kim@example.com --issuer https://accounts.google.com --role admins
                                                                         (signs by Sigstore, without a key)
  bellwether trust add updater --bot --ssh-key updater.pub               (a program: it may write and never counts)

The second person in a role makes the rules for rollouts/** and expedites/** alone ask for two (signers: 2), unless you
pass --keep-signers. What the rule for trust/** asks for changes only by hand.";

/// Paths whose rules ask for two people as soon as there are two.
const FOR_TWO: [&str; 2] = ["rollouts/**", "expedites/**"];

/// Options of `trust add`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AddArgs {
    /// Their name in the policy
    person: PersonName,
    /// An SSH public key: a file, or the line that stands in it
    #[arg(long, value_name = "FILE|LINE")]
    ssh_key: Vec<String>,
    /// A file with an OpenPGP public key in ASCII armour
    #[arg(long, value_name = "FILE")]
    openpgp: Vec<PathBuf>,
    /// A Sigstore identity: the mail address or URI in the signing certificate
    #[arg(long, value_name = "IDENTITY", requires = "issuer")]
    gitsign: Option<String>,
    /// Address of the OIDC issuer that vouches for the identity
    #[arg(long, value_name = "URL", requires = "gitsign")]
    issuer: Option<String>,
    /// It is a program: it may write and never counts as a signer
    #[arg(long)]
    bot: bool,
    /// A role they shall be in
    #[arg(long)]
    role: Vec<RoleName>,
    /// Leave rules that ask for one signature as they are
    #[arg(long)]
    keep_signers: bool,
    #[command(flatten)]
    change: ChangeOptions,
}

pub(crate) fn run(args: &AddArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.change.repo)?;
    let mut change = PolicyChange::open(&copy)?;
    let keys = new_keys(args)?;
    refuse_known(&change, &keys, &args.person)?;
    let is_new = !change.policy().people.contains_key(&args.person);
    if is_new {
        add_person(&mut change, args, &keys)?;
    } else {
        add_keys(&mut change, args, &keys)?;
    }
    for role in &args.role {
        add_to_role(&mut change, args, role)?;
    }
    if change.is_empty() {
        let message = format!("{} has all of that already", args.person);
        return Err(Failure::finding(codes::KEY_LISTED, message)
            .hint("See what is there: bellwether trust show. Pass a key or a role that is new."));
    }
    let in_no_role = !change.policy().roles.values().any(|role| role.members.contains(&args.person));
    if in_no_role && !args.bot {
        change.say(format!(
            "{} is in no role yet, so that no rule is satisfied by them; --role puts them into one",
            args.person
        ));
    }
    let summary = if is_new { format!("Trust {}", args.person) } else { format!("Trust {} with more", args.person) };
    change.finish(&copy)?.carry_out(&copy, &summary, &args.change, output)
}

fn new_keys(args: &AddArgs) -> Result<Vec<NewKey>, Failure> {
    let mut found = Vec::new();
    for value in &args.ssh_key {
        found.push(keys::ssh_from(value)?);
    }
    for file in &args.openpgp {
        found.push(keys::openpgp_from(file)?);
    }
    if let (Some(identity), Some(issuer)) = (&args.gitsign, &args.issuer) {
        if !issuer.starts_with("https://") {
            return Err(Failure::new(
                codes::USAGE,
                format!("--issuer: found {issuer:?}, expected an https:// address"),
            )
            .hint("Such as https://accounts.google.com or https://token.actions.githubusercontent.com."));
        }
        found.push(NewKey::Gitsign(GitsignIdentity { identity: identity.clone(), issuer: issuer.clone() }));
    }
    Ok(found)
}

/// A key belongs to one person, and stands there once. Of one's own OpenPGP key a newer copy may come.
fn refuse_known(change: &PolicyChange, new: &[NewKey], person: &PersonName) -> Result<(), Failure> {
    for (at, key) in new.iter().enumerate() {
        let name = key.name();
        let owner =
            change.policy().people.iter().find(|(_, person)| {
                keys::of(person).iter().any(|known| known.kind == key.kind() && known.name == name)
            });
        if let Some((owner, _)) = owner
            && (owner != person || change.older_copy(person, key).is_none())
        {
            return Err(Failure::finding(codes::KEY_LISTED, format!("the key {name} is {owner}'s already"))
                .hint("A key belongs to one person, once. A new one: ssh-keygen -t ed25519 -f ~/.ssh/fleet"));
        }
        if new[..at].iter().any(|other| other.kind() == key.kind() && other.name() == name) {
            return Err(Failure::new(codes::KEY_LISTED, format!("the key {name} was passed twice")));
        }
    }
    Ok(())
}

fn add_person(change: &mut PolicyChange, args: &AddArgs, keys: &[NewKey]) -> Result<(), Failure> {
    if keys.is_empty() {
        let people = joined(change.policy().people.keys());
        return Err(Failure::new(codes::USAGE, format!("{} is not in the policy, and no key was passed", args.person))
            .hint(format!("Pass their key: --ssh-key FILE.pub. The people that are there: {people}")));
    }
    let mut person = Person { bot: args.bot, ..Person::default() };
    keys.iter().for_each(|key| key.add_to(&mut person));
    change.add_person(&args.person, person)?;
    let bot = if args.bot { ", a bot" } else { "" };
    change.say(format!("{}{bot}, signs with {}", args.person, joined(keys.iter().map(named))));
    Ok(())
}

fn add_keys(change: &mut PolicyChange, args: &AddArgs, keys: &[NewKey]) -> Result<(), Failure> {
    if args.bot && !change.policy().people.get(&args.person).is_some_and(|person| person.bot) {
        let message = format!("{} is in the policy already, as a person who counts", args.person);
        return Err(Failure::new(codes::USAGE, message).hint("Write bot: true beside the keys in trust/policy.yaml."));
    }
    for key in keys {
        // The older copy keeps its place in the list while the newer one is added behind it.
        let older = change.older_copy(&args.person, key);
        change.add_key(&args.person, key)?;
        match older {
            Some(at) => {
                change.remove_key(&args.person, key.kind(), at)?;
                change.say(format!("{} of {}: this copy is in force now", named(key), args.person));
            }
            None => change.say(format!("{} signs with {} too", args.person, named(key))),
        }
    }
    Ok(())
}

fn named(key: &NewKey) -> String {
    format!("{} {}", key.kind().field(), key.name())
}

fn add_to_role(change: &mut PolicyChange, args: &AddArgs, role: &RoleName) -> Result<(), Failure> {
    let policy = change.policy();
    let Some(found) = policy.roles.get(role) else {
        let roles = joined(policy.roles.keys());
        let look = format!("The roles that are there: {roles}. A new one is written by hand, with its rules.");
        return Err(Failure::finding(codes::NOT_IN_POLICY, format!("there is no role {role}")).hint(meant::hint(
            role.as_str(),
            policy.roles.keys().map(RoleName::as_str),
            look,
        )));
    };
    if found.members.contains(&args.person) {
        return Ok(());
    }
    let before = counted(policy, role);
    change.add_member(role, &args.person)?;
    change.say(format!("{} is in role {role}", args.person));
    if before == 1 && counted(change.policy(), role) == 2 {
        let rules: Vec<_> = rules_of(change.policy(), role)
            .filter(|(_, rule)| rule.signers == 1 && rule.paths.iter().all(|path| FOR_TWO.contains(&path.as_str())))
            .map(|(at, rule)| (at, rule.paths.join(", ")))
            .collect();
        for (at, paths) in rules {
            if args.keep_signers {
                change.say(format!("{paths}: one of {role} is still enough"));
            } else {
                change.set_signers(at, 2)?;
                change.say(format!("{paths}: two of {role} have to stand for a change from now on (signers: 2)"));
            }
        }
    }
    Ok(())
}
