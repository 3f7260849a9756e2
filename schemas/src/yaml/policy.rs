//! Kind TrustPolicy. The keys themselves are judged when history is verified.

use std::collections::BTreeSet;

use super::fields::Fields;
use super::problem::{Problem, Report};
use super::tree::{Node, Value};
use super::values;
use crate::codes;
use crate::manifest::{GitsignIdentity, Person, PolicyRole, PolicyRule, TrustPolicy};
use crate::name::{PersonName, RoleName};
use crate::quantity::Seconds;

/// The paths that every policy must keep a rule for.
const TRUST: &str = "trust/**";
/// More people than any repository asks for one change.
const MAX_SIGNERS: u32 = 100;

/// The spec of a TrustPolicy.
pub(crate) fn policy(node: &Node<'_>, report: &mut Report) -> Option<TrustPolicy> {
    let mut fields = Fields::of(node, report)?;
    let version = fields.required("version", values::integer_in(1..=u64::MAX));
    let branch = fields.required("branch", values::words);
    let expires = fields.required("expires", values::moment);
    let mut keys = BTreeSet::new();
    let people = fields.required("people", |node, report| {
        values::map(node, report, name::<PersonName>, |node, report| person(node, &mut keys, report))
    });
    // References are checked against the names that are there, also when what they name is wrong.
    let people_there = fields.get("people").map(keys_of).unwrap_or_default();
    let roles = fields.required("roles", |node, report| {
        values::map(node, report, name::<RoleName>, |node, report| role(node, &people_there, report))
    });
    let roles_there = fields.get("roles").map(keys_of).unwrap_or_default();
    let rules = fields.required("rules", |node, report| rules(node, &roles_there, report));
    let max_silence =
        fields.optional("maxSilence", values::duration_in(Seconds::new(1)..=Seconds::new(3_650 * 86_400)));
    let sigstore_root = fields.optional("sigstoreRoot", values::hex);
    let abandons = fields.optional("abandons", values::hex);
    fields.finish();
    Some(TrustPolicy {
        version: version?,
        branch: branch?,
        expires: expires?,
        people: people?,
        roles: roles?,
        rules: rules?,
        max_silence: max_silence?,
        sigstore_root: sigstore_root?,
        abandons: abandons?,
    })
}

fn name<N: std::str::FromStr>(key: &str) -> Result<N, String>
where
    N::Err: std::fmt::Display,
{
    key.parse().map_err(|error: N::Err| error.to_string())
}

fn keys_of<'n>(node: &'n Node<'_>) -> BTreeSet<&'n str> {
    match &node.value {
        Value::Map(entries) => entries.iter().map(|entry| entry.key.text.as_ref()).collect(),
        _ => BTreeSet::new(),
    }
}

fn person(node: &Node<'_>, keys: &mut BTreeSet<String>, report: &mut Report) -> Option<Person> {
    let mut fields = Fields::of(node, report)?;
    let ssh = fields
        .or("ssh", Vec::new(), |node, report| values::list(node, report, |node, report| ssh_key(node, keys, report)));
    let openpgp = fields.or("openpgp", Vec::new(), |node, report| values::list(node, report, certificate));
    let gitsign = fields.or("gitsign", Vec::new(), |node, report| values::list(node, report, identity));
    let bot = fields.or("bot", false, values::boolean);
    fields.finish();
    Some(Person { ssh: ssh?, openpgp: openpgp?, gitsign: gitsign?, bot: bot? })
}

fn certificate(node: &Node<'_>, report: &mut Report) -> Option<String> {
    const EXPECTED: &str = "an armoured OpenPGP public key, as gpg --armor --export KEY prints it";
    let text = values::text(node, report)?;
    if text.contains("PRIVATE KEY") {
        // Never shown: it would spread into logs.
        node.fault(codes::WRONG_VALUE, format!("found a private key, expected {EXPECTED}"), None, report);
        return None;
    }
    if !text.trim_start().starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        node.wrong(EXPECTED, report);
        return None;
    }
    Some(text)
}

fn identity(node: &Node<'_>, report: &mut Report) -> Option<GitsignIdentity> {
    let mut fields = Fields::of(node, report)?;
    let identity = fields.required("identity", values::words);
    let issuer = fields.required("issuer", values::words);
    fields.finish();
    Some(GitsignIdentity { identity: identity?, issuer: issuer? })
}

/// A line `type base64 [comment]`. The type stands inside the base64 once more; a key that was cut or mixed up shows there.
fn ssh_key(node: &Node<'_>, keys: &mut BTreeSet<String>, report: &mut Report) -> Option<String> {
    const EXPECTED: &str = "an SSH public key: its type, its base64 text and perhaps a comment, on one line";
    let line = values::text(node, report)?;
    if line.contains("PRIVATE KEY") {
        // Never shown: it would spread into logs.
        let message = format!("found a private key, expected {EXPECTED}");
        let hint = Some("it is no secret any more: make a new one, and write the line of its .pub file".to_owned());
        node.fault(codes::WRONG_VALUE, message, hint, report);
        return None;
    }
    let mut words = line.split(' ');
    let (Some(kind), Some(key)) = (words.next(), words.next()) else {
        node.wrong(EXPECTED, report);
        return None;
    };
    let known = kind.starts_with("ssh-") || kind.starts_with("ecdsa-sha2-") || kind.starts_with("sk-");
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    if !known
        || key.len() < 64
        || !key.len().is_multiple_of(4)
        || !key.chars().all(base64)
        || line.contains(['\n', '\t'])
    {
        let hint = Some("write the line of the .pub file".to_owned());
        node.wrong_with(EXPECTED, hint, report);
        return None;
    }
    if !keys.insert(key.to_owned()) {
        node.fault(codes::CONTRADICTION, "the key is there twice; it belongs to one person".to_owned(), None, report);
        return None;
    }
    Some(line)
}

fn role(node: &Node<'_>, people: &BTreeSet<&str>, report: &mut Report) -> Option<PolicyRole> {
    let mut fields = Fields::of(node, report)?;
    let members = fields.required("members", |node, report| {
        values::some_items(node, report)?;
        values::distinct(node, report, |node, report| {
            let member: PersonName = values::parsed(node, report)?;
            exists(people, member.as_str(), "person", node, report)?;
            Some(member)
        })
    });
    fields.finish();
    Some(PolicyRole { members: members? })
}

fn exists(there: &BTreeSet<&str>, name: &str, what: &str, node: &Node<'_>, report: &mut Report) -> Option<()> {
    if there.contains(name) {
        return Some(());
    }
    let hint = super::nearest::nearest(name, there.iter().copied()).map(|near| format!("did you mean {near}?"));
    node.fault(codes::DANGLING_REFERENCE, format!("no {what} is named {name}"), hint, report);
    None
}

fn rules(node: &Node<'_>, roles: &BTreeSet<&str>, report: &mut Report) -> Option<Vec<PolicyRule>> {
    let nodes = values::some_items(node, report)?;
    // A role that is misspelt where it stands is one mistake, not one a rule.
    let mut told = BTreeSet::new();
    let rules: Vec<_> = nodes.iter().map(|node| rule(node, roles, &mut told, report)).collect();
    let rules: Vec<_> = rules.into_iter().collect::<Option<_>>()?;
    let covers_trust = |rule: &PolicyRule| rule.paths.iter().any(|path| matches!(path.as_str(), TRUST | "**"));
    if !rules.iter().any(covers_trust) {
        let message = format!("no rule has the path {TRUST}, so that nobody could ever change the policy");
        let problem = Problem::new(codes::CONTRADICTION, node.name.start, node.name.end, message);
        report.add(problem.hint(format!("add a rule with paths: [\"{TRUST}\"]")));
        return None;
    }
    Some(rules)
}

fn rule(
    node: &Node<'_>,
    roles: &BTreeSet<&str>,
    told: &mut BTreeSet<RoleName>,
    report: &mut Report,
) -> Option<PolicyRule> {
    let mut fields = Fields::of(node, report)?;
    let paths = fields.required("paths", |node, report| {
        values::some_items(node, report)?;
        values::distinct(node, report, glob)
    });
    let role = fields.required("role", |node, report| {
        let role: RoleName = values::parsed(node, report)?;
        if told.contains(&role) {
            return None;
        }
        if exists(roles, role.as_str(), "role", node, report).is_none() {
            told.insert(role);
            return None;
        }
        Some(role)
    });
    let signers = fields.or("signers", 1, values::integer_in(1..=MAX_SIGNERS));
    fields.finish();
    Some(PolicyRule { paths: paths?, role: role?, signers: signers? })
}

fn glob(node: &Node<'_>, report: &mut Report) -> Option<String> {
    let glob = values::words(node, report)?;
    let bad_part = |part: &str| part.is_empty() || part == "." || part == "..";
    if glob.split('/').any(bad_part) || glob.chars().any(char::is_control) {
        node.wrong("a glob such as fleets/** that is relative to the repository", report);
        return None;
    }
    Some(glob)
}
