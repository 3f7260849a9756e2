//! One change of `trust/policy.yaml`: made in the text and in the typed policy at once, and written only if both agree.

use bellwether_core::verify::{POLICY_PATH, Policy, SIGSTORE_ROOT_PATH};
use bellwether_schemas::manifest::{AnyManifest, Person, PolicyRule, TrustPolicy};
use bellwether_schemas::{CommitId, PersonName, RoleName, codes, yaml};

use super::ChangeOptions;
use super::keys::{KeyKind, NewKey};
use super::written::{field, item, person_entry};
use crate::committed;
use crate::decision;
use crate::failure::Failure;
use crate::output::{self, Output, Paint};
use crate::patch;
use crate::repo::{Edit, WorkingCopy};
use crate::sign::Signer;
use crate::token_edit::quoted;
use crate::yaml_edit::Step::{Item, Key};
use crate::yaml_edit::{Document, Step, Written};

/// A policy that is being changed.
pub(super) struct PolicyChange {
    before: Vec<u8>,
    document: Document,
    policy: TrustPolicy,
    /// What was done, one sentence each.
    done: Vec<String>,
}

impl PolicyChange {
    /// Begins at the file in the working copy.
    pub(super) fn open(copy: &WorkingCopy) -> Result<Self, Failure> {
        let before = copy.read(POLICY_PATH)?.ok_or_else(|| {
            let message = format!("{} does not exist", copy.root().join(POLICY_PATH).display());
            Failure::new(codes::NOT_A_REPOSITORY, message).hint("Write a first policy: bellwether trust init")
        })?;
        Self::of(before)
    }

    fn of(before: Vec<u8>) -> Result<Self, Failure> {
        let policy = parse(&before)?;
        let text = std::str::from_utf8(&before).expect("a manifest that parsed is UTF-8");
        let document = Document::read(text).map_err(|why| layout(&why))?;
        Ok(Self { before, document, policy, done: Vec::new() })
    }

    pub(super) const fn policy(&self) -> &TrustPolicy {
        &self.policy
    }

    pub(super) fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    /// Says what was done, for people.
    pub(super) fn say(&mut self, done: impl Into<String>) {
        self.done.push(done.into());
    }

    pub(super) fn add_person(&mut self, name: &PersonName, person: Person) -> Result<(), Failure> {
        self.text(|text| text.push_entry(&PEOPLE, &person_entry(name, &person)))?;
        self.policy.people.insert(name.clone(), person);
        Ok(())
    }

    pub(super) fn add_key(&mut self, name: &PersonName, key: &NewKey) -> Result<(), Failure> {
        let person = [Key("spec"), Key("people"), Key(name.as_str())];
        let list = [person[0], person[1], person[2], Key(key.kind().field())];
        self.text(|text| {
            if text.has(&[list[0], list[1], list[2], list[3], Item(0)]) {
                text.push_item(&list, &item(key))
            } else if text.has(&list) {
                Err(format!("{name} has an empty list of {} keys", key.kind().field()))
            } else {
                text.push_entry(&person, &field(key.kind().field(), std::slice::from_ref(&item(key))))
            }
        })?;
        key.add_to(self.policy.people.get_mut(name).expect("whoever gets a key is there"));
        Ok(())
    }

    /// The place of another copy of an OpenPGP key among those of a person, if it is one that differs.
    pub(super) fn older_copy(&self, name: &PersonName, key: &NewKey) -> Option<usize> {
        let NewKey::Openpgp(armour) = key else { return None };
        let listed = &self.policy.people.get(name)?.openpgp;
        let is_copy = |other: &String| NewKey::Openpgp(other.clone()).name() == key.name();
        listed.iter().position(is_copy).filter(|at| listed[*at].trim() != armour.trim())
    }

    pub(super) fn remove_key(&mut self, name: &PersonName, kind: KeyKind, at: usize) -> Result<(), Failure> {
        let person = [Key("spec"), Key("people"), Key(name.as_str())];
        let list = [person[0], person[1], person[2], Key(kind.field())];
        let found = self.policy.people.get_mut(name).expect("whose key is removed is there");
        let left = match kind {
            KeyKind::Ssh => remove(&mut found.ssh, at),
            KeyKind::Openpgp => remove(&mut found.openpgp, at),
            KeyKind::Gitsign => remove(&mut found.gitsign, at),
        };
        self.text(|text| match left {
            0 => text.remove_entry(&person, kind.field()),
            _ => text.remove_item(&list, at),
        })
    }

    pub(super) fn remove_person(&mut self, name: &PersonName) -> Result<(), Failure> {
        self.policy.people.remove(name);
        self.text(|text| text.remove_entry(&PEOPLE, name.as_str()))
    }

    pub(super) fn add_member(&mut self, role: &RoleName, name: &PersonName) -> Result<(), Failure> {
        self.text(|text| text.push_item(&members(role), &Written::line(quoted(name.as_str()))))?;
        self.policy.roles.get_mut(role).expect("a role that is changed is there").members.push(name.clone());
        Ok(())
    }

    pub(super) fn remove_member(&mut self, role: &RoleName, name: &PersonName) -> Result<(), Failure> {
        let list = &mut self.policy.roles.get_mut(role).expect("a role that is changed is there").members;
        let at = list.iter().position(|member| member == name).expect("who leaves a role is in it");
        list.remove(at);
        self.text(|text| text.remove_item(&members(role), at))
    }

    pub(super) fn set_signers(&mut self, rule: usize, signers: u32) -> Result<(), Failure> {
        let path = [Key("spec"), Key("rules"), Item(rule), Key("signers")];
        self.text(|text| match text.has(&path) {
            true => text.replace(&path, &signers.to_string()),
            false => text.push_entry(&path[..3], &Written::line(format!("signers: {signers}"))),
        })?;
        self.policy.rules[rule].signers = signers;
        Ok(())
    }

    fn text(&mut self, edit: impl FnOnce(&mut Document) -> Result<(), String>) -> Result<(), Failure> {
        edit(&mut self.document).map_err(|why| layout(&why))
    }

    /// Raises the version, and gives the edit: read again, and judged as the verifier judges a policy.
    pub(super) fn finish(mut self, copy: &WorkingCopy) -> Result<Finished, Failure> {
        let version = self.raise()?;
        let after = self.read_again()?;
        let sigstore_root = copy.read(SIGSTORE_ROOT_PATH)?;
        Policy::compile(self.policy, sigstore_root.as_deref()).map_err(|faults| {
            let whys: Vec<_> = faults.iter().map(|fault| fault.why.as_str()).collect();
            let code = faults.first().map_or(codes::POLICY_INVALID, |fault| fault.code);
            Failure::finding(code, format!("the policy would not be valid: {}", whys.join("; ")))
        })?;
        let edit = Edit { path: POLICY_PATH.to_owned(), before: Some(self.before), after: Some(after.into_bytes()) };
        Ok(Finished { edit, version, done: self.done })
    }

    fn raise(&mut self) -> Result<u64, Failure> {
        let version = self.policy.version.checked_add(1).ok_or_else(|| layout("version cannot be raised"))?;
        self.text(|text| text.replace(&[Key("spec"), Key("version")], &version.to_string()))?;
        self.policy.version = version;
        Ok(version)
    }

    /// The changed text, if it is read as the changed policy.
    fn read_again(&self) -> Result<String, Failure> {
        let after = self.document.text();
        match parse(after.as_bytes()) {
            Ok(policy) if policy == self.policy => Ok(after.to_owned()),
            _ => Err(layout("the new lines would not be read as they are meant")),
        }
    }
}

/// A change that can be written.
pub(super) struct Finished {
    edit: Edit,
    version: u64,
    done: Vec<String>,
}

impl Finished {
    /// Writes or commits the change, and says what was done and what happens next.
    pub(super) fn carry_out(
        self,
        copy: &WorkingCopy,
        summary: &str,
        options: &ChangeOptions,
        output: Output,
    ) -> Result<(), Failure> {
        let message =
            format!("{summary}\n\n{}", self.done.iter().map(|done| format!("- {done}\n")).collect::<String>());
        let edits = [self.edit];
        let committed = save(copy, &edits, &message, options)?;
        let diff = decision::diff(&edits);
        if output == Output::Json {
            output::json(&serde_json::json!({
                "file": POLICY_PATH, "version": self.version, "changes": self.done, "commit": committed, "diff": diff,
            }));
            return Ok(());
        }
        self.done.iter().for_each(output::line);
        output::line(format!("{POLICY_PATH} has version {} now.", self.version));
        output::bytes(patch::coloured(&diff, Paint::stdout()).as_bytes());
        output::note(match committed {
            Some(commit) => format!("Committed as {}, signed. {}", commit.short(), committed::next(copy, &commit)),
            None => format!(
                "It counts when it is committed, signed, and pushed: git diff {POLICY_PATH}, git commit -S {POLICY_PATH}, git push"
            ),
        });
        Ok(())
    }
}

/// Commits `edits` where that was asked for, else writes them.
pub(super) fn save(
    copy: &WorkingCopy,
    edits: &[Edit],
    message: &str,
    options: &ChangeOptions,
) -> Result<Option<CommitId>, Failure> {
    if !options.commit {
        copy.write(edits)?;
        return Ok(None);
    }
    let signer = Signer::find(&options.sign, copy)?;
    copy.commit(edits, message, &signer).map(Some)
}

/// The rules that name `role`, with their place in the policy.
pub(super) fn rules_of<'p>(
    policy: &'p TrustPolicy,
    role: &'p RoleName,
) -> impl Iterator<Item = (usize, &'p PolicyRule)> {
    policy.rules.iter().enumerate().filter(move |(_, rule)| rule.role == *role)
}

/// How many members of `role` count: bots do not.
pub(super) fn counted(policy: &TrustPolicy, role: &RoleName) -> usize {
    let members = policy.roles.get(role).map(|role| role.members.as_slice()).unwrap_or_default();
    members.iter().filter(|member| policy.people.get(*member).is_some_and(|person| !person.bot)).count()
}

/// The names in a list for a message.
pub(super) fn joined<N: ToString>(names: impl IntoIterator<Item = N>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

const PEOPLE: [Step<'static>; 2] = [Key("spec"), Key("people")];

fn members(role: &RoleName) -> [Step<'_>; 4] {
    [Key("spec"), Key("roles"), Key(role.as_str()), Key("members")]
}

/// The policy in a text.
pub(super) fn parse(text: &[u8]) -> Result<TrustPolicy, Failure> {
    match yaml::parse(POLICY_PATH, text) {
        Ok(AnyManifest::TrustPolicy(manifest)) => Ok(manifest.spec),
        Ok(_) => Err(Failure::finding(codes::WRONG_KIND, format!("{POLICY_PATH} is not a TrustPolicy"))),
        Err(problems) => {
            let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Err(Failure::finding(codes::WRONG_VALUE, format!("{POLICY_PATH} does not parse:\n{}", list.join("\n")))
                .hint("Mend it first: bellwether validate"))
        }
    }
}

fn layout(why: &str) -> Failure {
    Failure::finding(codes::LAYOUT, format!("{POLICY_PATH}: {why}"))
}

/// Removes an item, and says how many are left.
fn remove<T>(list: &mut Vec<T>, at: usize) -> usize {
    list.remove(at);
    list.len()
}

#[cfg(test)]
mod tests {
    use bellwether_schemas::manifest::GitsignIdentity;

    use super::*;

    const POLICY: &str = "apiVersion: bellwether/v1
kind: TrustPolicy
metadata: {name: policy}
spec:
  version: 4   # raised by hand so far
  branch: main
  expires: \"2030-01-01T00:00:00Z\"
  people:
    # Ada keeps the keys.
    ada:
      ssh: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl] # laptop
    bob: {ssh: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIr8B2iQXkPZBJTvSoH9WrVqxTLMwzkkgqMEXE3qLRpQ]}
    # Nobody else.
  roles:
    admins: {members: [ada, bob]}
  rules:
    - {paths: [\"trust/**\", \"**\"], role: admins} # all
";

    fn name(text: &str) -> PersonName {
        text.parse().expect("a name")
    }

    fn keys() -> [NewKey; 3] {
        let armour = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEabc=\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n";
        let identity = GitsignIdentity { identity: "kim@example.com".into(), issuer: "https://issuer.example".into() };
        let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBhbYCYLpHyb1xX8Cj0LXJ4OxJdlKAyhyFBV7UfBBPuJ kim: old # key";
        [NewKey::Ssh(line.to_owned()), NewKey::Openpgp(armour.to_owned()), NewKey::Gitsign(identity)]
    }

    /// The changed text, once it is read as the changed policy.
    fn changed(edit: impl FnOnce(&mut PolicyChange) -> Result<(), Failure>) -> String {
        let mut change = PolicyChange::of(POLICY.as_bytes().to_vec()).expect("a policy");
        edit(&mut change).expect("the layout is understood");
        change.raise().expect("a version");
        change.read_again().expect("it is read as it is meant")
    }

    #[test]
    fn a_person_with_a_key_of_each_kind_is_read_as_it_is_meant() {
        let text = changed(|change| {
            let mut person = Person { bot: true, ..Person::default() };
            keys().iter().for_each(|key| key.add_to(&mut person));
            change.add_person(&name("kim"), person)?;
            change.add_member(&"admins".parse().expect("a role"), &name("kim"))
        });
        insta::assert_snapshot!(text);
    }

    #[test]
    fn keys_are_added_in_the_style_that_is_there() {
        let text = changed(|change| {
            for person in ["ada", "bob"] {
                for key in &keys()[usize::from(person == "bob")..] {
                    change.add_key(&name(person), key)?;
                }
            }
            change.set_signers(0, 2)
        });
        insta::assert_snapshot!(text);
    }

    #[test]
    fn keys_and_people_are_removed_and_comments_stay() {
        let text = changed(|change| {
            change.remove_member(&"admins".parse().expect("a role"), &name("bob"))?;
            change.remove_person(&name("bob"))?;
            change.add_key(&name("ada"), &keys()[1])?;
            change.remove_key(&name("ada"), KeyKind::Ssh, 0)
        });
        insta::assert_snapshot!(text);
    }
}
