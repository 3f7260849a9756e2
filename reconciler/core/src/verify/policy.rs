//! The trust policy, compiled: who signs with which key, and who may change which path.
//!
//! Globs: `*` and `?` match within a folder, `**` as a whole part matches any number of folders, `{a,b}` either.
//! `fleets/**` matches everything below `fleets/`. Character classes and escapes are refused: in a class a separator
//! could match, and a rule would cover more than it seems to.

use std::collections::BTreeSet;
use std::fmt;

use bellwether_schemas::codes;
use bellwether_schemas::manifest::{AnyManifest, PolicyRule, TrustPolicy};
use bellwether_schemas::{PersonName, Sha256Digest, yaml};
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use jiff::Timestamp;

use super::refusal::Fault;
use super::signature::Keyring;

/// Where the policy stands in every landing.
pub const POLICY_PATH: &str = "trust/policy.yaml";
/// Where the Sigstore trusted root stands that a policy pins.
pub const SIGSTORE_ROOT_PATH: &str = "trust/sigstore-root.json";

/// A valid trust policy.
#[derive(Clone)]
pub struct Policy {
    manifest: TrustPolicy,
    keyring: Keyring,
    members: Vec<BTreeSet<PersonName>>,
    globs: GlobSet,
    /// The rule to which each glob of the set belongs.
    rule_of_glob: Vec<usize>,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

/// What a policy says about one path and one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every rule that matches holds.
    Allowed,
    /// No rule matches.
    NoRule,
    /// The person is not in the role of this rule.
    NotInRole {
        /// The rule as text.
        rule: String,
    },
}

impl Policy {
    /// Reads and compiles `trust/policy.yaml`. `sigstore_root` is the content of `trust/sigstore-root.json` beside it.
    ///
    /// # Errors
    /// Every problem, the first of the file if it does not parse.
    pub fn parse(text: &[u8], sigstore_root: Option<&[u8]>) -> Result<Self, Vec<Fault>> {
        Self::compile(Self::read(text)?, sigstore_root)
    }

    /// Reads `trust/policy.yaml`.
    ///
    /// # Errors
    /// Every problem, the first of the file if it does not parse.
    pub fn read(text: &[u8]) -> Result<TrustPolicy, Vec<Fault>> {
        match yaml::parse(POLICY_PATH, text) {
            Ok(AnyManifest::TrustPolicy(manifest)) => Ok(manifest.spec),
            Ok(other) => Err(vec![invalid(format!("the kind is {}, expected TrustPolicy", other.kind()))]),
            Err(diagnostics) => Err(diagnostics
                .iter()
                .map(|diagnostic| {
                    let place = diagnostic.place.map_or_else(String::new, |at| format!("{}:{}: ", at.line, at.column));
                    invalid(format!("{place}{} ({})", diagnostic.message, diagnostic.code))
                })
                .collect()),
        }
    }

    /// Compiles a policy that was parsed. `sigstore_root` counts only if it is what the policy pins.
    ///
    /// # Errors
    /// Every problem.
    pub fn compile(manifest: TrustPolicy, sigstore_root: Option<&[u8]>) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        if manifest.version == 0 {
            faults.push(invalid("version is 0, expected at least 1"));
        }
        let keyring = keyring(&manifest, sigstore_root).unwrap_or_else(|found| {
            faults.extend(found);
            Keyring::default()
        });
        for (role, found) in &manifest.roles {
            let mut seen = BTreeSet::new();
            for member in &found.members {
                if !manifest.people.contains_key(member) {
                    faults.push(invalid(format!("role {role} names {member}, who is not in people")));
                } else if !seen.insert(member) {
                    faults.push(invalid(format!("role {role} names {member} twice")));
                }
            }
        }
        let mut set = GlobSetBuilder::new();
        let (mut members, mut rule_of_glob) = (Vec::new(), Vec::new());
        for (at, rule) in manifest.rules.iter().enumerate() {
            for glob in rule_globs(&manifest, rule, &mut faults) {
                set.add(glob);
                rule_of_glob.push(at);
            }
            let role = manifest.roles.get(&rule.role);
            members.push(role.map(|role| role.members.iter().cloned().collect()).unwrap_or_default());
        }
        let globs = set.build().unwrap_or_else(|error| {
            faults.push(invalid(format!("the globs are too large ({error})")));
            GlobSet::empty()
        });
        let policy = Self { manifest, keyring, members, globs, rule_of_glob };
        if faults.is_empty() && !policy.can_be_changed() {
            let why = format!("nobody who counts could sign a change of {POLICY_PATH}");
            faults.push(Fault::new(codes::POLICY_LOCKOUT, why).path(POLICY_PATH));
        }
        if faults.is_empty() { Ok(policy) } else { Err(faults) }
    }

    /// The version.
    pub const fn version(&self) -> u64 {
        self.manifest.version
    }

    /// The branch that it is for.
    pub fn branch(&self) -> &str {
        &self.manifest.branch
    }

    /// When a head with this policy stops being accepted.
    pub const fn expires(&self) -> Timestamp {
        self.manifest.expires
    }

    /// The manifest it was made from.
    pub const fn manifest(&self) -> &TrustPolicy {
        &self.manifest
    }

    /// The keys of its people.
    pub(crate) const fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Whether this is a program, which may write and never counts.
    pub fn is_bot(&self, person: &PersonName) -> bool {
        self.manifest.people.get(person).is_some_and(|found| found.bot)
    }

    /// Whether `person` may change `path`: every rule that matches must hold, and one must match.
    pub fn may_change(&self, person: &PersonName, path: &str) -> Verdict {
        let matches = self.globs.matches(path);
        for glob in &matches {
            let rule = self.rule_of_glob[*glob];
            if !self.members[rule].contains(person) {
                return Verdict::NotInRole { rule: rule_text(&self.manifest.rules[rule]) };
            }
        }
        if matches.is_empty() { Verdict::NoRule } else { Verdict::Allowed }
    }

    /// Whether one person who counts could sign the next change of the policy.
    fn can_be_changed(&self) -> bool {
        self.manifest.people.keys().any(|person| {
            self.keyring.has_key(person)
                && !self.is_bot(person)
                && self.may_change(person, POLICY_PATH) == Verdict::Allowed
        })
    }
}

fn invalid(why: impl Into<String>) -> Fault {
    Fault::new(codes::POLICY_INVALID, why).path(POLICY_PATH)
}

fn rule_text(rule: &PolicyRule) -> String {
    format!("paths [{}] need role {}", rule.paths.join(", "), rule.role)
}

/// The keys, with the trusted root if it is the pinned one.
fn keyring(manifest: &TrustPolicy, sigstore_root: Option<&[u8]>) -> Result<Keyring, Vec<Fault>> {
    let mut faults = Vec::new();
    let fault = |why: String| Fault::new(codes::SIGSTORE_ROOT, why).path(SIGSTORE_ROOT_PATH);
    let pinned = match (&manifest.sigstore_root, sigstore_root) {
        (None, _) => None,
        (Some(_), None) => {
            faults.push(fault(format!("{SIGSTORE_ROOT_PATH} is missing, and the policy pins it as sigstoreRoot")));
            None
        }
        (Some(pin), Some(json)) => {
            let found = Sha256Digest::of(json);
            if found != *pin {
                faults.push(fault(format!("the SHA-256 of {SIGSTORE_ROOT_PATH} is {found}, the policy pins {pin}")));
            }
            Some(json).filter(|_| found == *pin)
        }
    };
    match Keyring::build(&manifest.people, pinned) {
        Ok(keyring) if faults.is_empty() => Ok(keyring),
        Ok(_) => Err(faults),
        Err(found) => {
            // Without the root that it pins, that identities lack one says nothing new.
            let root_is_known_bad = !faults.is_empty();
            faults.extend(found.into_iter().filter(|fault| !root_is_known_bad || fault.code != codes::SIGSTORE_ROOT));
            Err(faults)
        }
    }
}

fn rule_globs(manifest: &TrustPolicy, rule: &PolicyRule, faults: &mut Vec<Fault>) -> Vec<Glob> {
    let mut fault = |why: String| faults.push(invalid(why).rule(rule_text(rule)));
    if !manifest.roles.contains_key(&rule.role) {
        fault(format!("a rule names role {}, which is not in roles", rule.role));
    }
    if rule.signers != 1 {
        fault(format!("signers is {}; only 1 is supported yet", rule.signers));
    }
    if rule.paths.is_empty() {
        fault("a rule has no paths".to_owned());
    }
    let mut globs = Vec::new();
    for pattern in &rule.paths {
        match compile_glob(pattern) {
            Ok(glob) => globs.push(glob),
            Err(why) => fault(format!("the glob {pattern:?} {why}")),
        }
    }
    globs
}

fn compile_glob(pattern: &str) -> Result<Glob, String> {
    if pattern.contains(['[', ']', '\\']) || pattern.starts_with('!') {
        return Err("has a character class, an escape or a negation, which are not supported".to_owned());
    }
    if pattern.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err("can match nothing: it begins or ends with /, or has an empty part, . or ..".to_owned());
    }
    if pattern.split('/').any(|part| part != "**" && part.contains("**")) {
        return Err("has ** beside other characters; it must be a part of its own".to_owned());
    }
    GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(false)
        .build()
        .map_err(|error| format!("does not parse ({})", error.kind()))
}
