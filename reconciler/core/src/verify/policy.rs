//! The trust policy, compiled: who signs with which key, and who may change which path.
//!
//! Globs: `*` and `?` match within a folder, `**` as a whole part matches any number of folders, `{a,b}` either.
//! `fleets/**` matches everything below `fleets/`. Character classes and escapes are refused: in a class a separator
//! could match, and a rule would cover more than it seems to.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use bellwether_schemas::manifest::{AnyManifest, PolicyRule, TrustPolicy};
use bellwether_schemas::{ObjectId, PersonName, RoleName, Sha256Digest, codes, yaml};
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use jiff::Timestamp;

use super::commit::Commit;
use super::diff::Trees;
use super::refusal::Fault;
use super::signature::{ExpiringKey, Keyring, Proof};
use super::tree::Node;
use crate::objects::{self, ObjectKind};

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
    rules: RuleIndex,
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

/// One rule of a policy that matches a path, and how far it is fulfilled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleOutcome {
    /// The rule as text.
    pub rule: String,
    /// The role whose members count.
    pub role: RoleName,
    /// How many distinct people of the role it asks for.
    pub needed: u32,
    /// Who of the role stands for the path.
    pub counted: Vec<PersonName>,
}

impl RuleOutcome {
    /// Whether the rule holds.
    pub fn holds(&self) -> bool {
        self.counted.len() >= self.needed as usize
    }
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
        let rules = RuleIndex::of(&manifest, &mut faults);
        let members = manifest.rules.iter().map(|rule| {
            let role = manifest.roles.get(&rule.role);
            role.map(|role| role.members.iter().cloned().collect()).unwrap_or_default()
        });
        let members = members.collect();
        let policy = Self { manifest, keyring, members, rules };
        if faults.is_empty() && !policy.can_be_changed() {
            let why = format!("too few people with a key count to sign a change of {POLICY_PATH}");
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

    /// The OpenPGP certificates in it that end by a date of their own, for whoever wants to warn: no date decides whether a
    /// signature counts.
    pub fn expiring_keys(&self) -> impl Iterator<Item = ExpiringKey> + '_ {
        self.keyring.expiring()
    }

    /// The manifest it was made from.
    pub const fn manifest(&self) -> &TrustPolicy {
        &self.manifest
    }

    /// The person who signed a commit, of which `proof` is the proof, and who counts.
    pub(crate) fn signer(&self, commit: &Commit, proof: &Proof) -> Result<PersonName, Fault> {
        let person = self.keyring.signer(commit, proof)?;
        if self.is_bot(person) {
            let why = format!("{person} is a bot: bots may write and never count");
            return Err(Fault::new(codes::SIGNER_IS_BOT, why));
        }
        Ok(person.clone())
    }

    /// Whether this is a program, which may write and never counts.
    pub fn is_bot(&self, person: &PersonName) -> bool {
        self.manifest.people.get(person).is_some_and(|found| found.bot)
    }

    /// Whether `people`, who are distinct and no bots, may change `path`: every rule that matches must hold, and one must match.
    pub(crate) fn check(&self, path: &str, people: &[&PersonName]) -> Result<(), Fault> {
        let mut matched = false;
        for at in self.rules_of(path) {
            matched = true;
            let rule = &self.manifest.rules[at];
            let counted = people.iter().filter(|person| self.members[at].contains(**person)).count();
            if counted < rule.signers as usize {
                return Err(shortfall(path, rule, counted, people));
            }
        }
        if matched {
            return Ok(());
        }
        let why = format!("no rule of policy version {} covers {path}", self.version());
        Err(Fault::new(codes::PATH_WITHOUT_RULE, why).path(path))
    }

    /// Whether `person` is in a role that may change the policy, perhaps with others.
    pub(crate) fn check_introducer(&self, person: &PersonName) -> Result<(), Fault> {
        if self.rules_of(POLICY_PATH).any(|at| self.members[at].contains(person)) {
            return Ok(());
        }
        let why = format!("{person} is in no role that may change {POLICY_PATH}");
        Err(Fault::new(codes::SIGNER_NOT_IN_ROLE, why).path(POLICY_PATH))
    }

    /// Every rule that matches `path`, with who of `people` counts for it.
    pub(crate) fn outcomes(&self, path: &str, people: &[&PersonName]) -> Vec<RuleOutcome> {
        let outcome = |at: usize| {
            let rule = &self.manifest.rules[at];
            let counted =
                people.iter().filter(|person| self.members[at].contains(**person)).copied().cloned().collect();
            RuleOutcome { rule: rule_text(rule), role: rule.role.clone(), needed: rule.signers, counted }
        };
        self.rules_of(path).map(outcome).collect()
    }

    fn rules_of(&self, path: &str) -> impl Iterator<Item = usize> {
        self.rules.at(path)
    }

    /// Whether people who count could sign the next change of the policy.
    fn can_be_changed(&self) -> bool {
        let signing = |at: &usize| {
            let members = self.members[*at].iter();
            members.filter(|person| !self.is_bot(person) && self.keyring.has_key(person)).count()
        };
        let mut rules = self.rules_of(POLICY_PATH).peekable();
        rules.peek().is_some() && rules.all(|at| signing(&at) >= self.manifest.rules[at].signers as usize)
    }
}

/// The rules of a policy by the paths they match.
#[derive(Clone)]
pub(crate) struct RuleIndex {
    globs: GlobSet,
    /// The rule to which each glob of the set belongs.
    rule_of_glob: Vec<usize>,
}

impl RuleIndex {
    /// Those of the rules that are valid; what is wrong with the others is added to `faults`.
    pub(crate) fn of(manifest: &TrustPolicy, faults: &mut Vec<Fault>) -> Self {
        let mut set = GlobSetBuilder::new();
        let mut rule_of_glob = Vec::new();
        for (at, rule) in manifest.rules.iter().enumerate() {
            for glob in rule_globs(manifest, rule, faults) {
                set.add(glob);
                rule_of_glob.push(at);
            }
        }
        let globs = set.build().unwrap_or_else(|error| {
            faults.push(invalid(format!("the globs are too large ({error})")));
            GlobSet::empty()
        });
        Self { globs, rule_of_glob }
    }

    /// The rules that match `path`, each once, in the order in which they stand.
    pub(crate) fn at(&self, path: &str) -> impl Iterator<Item = usize> + use<> {
        let mut rules: Vec<usize> = self.globs.matches(path).into_iter().map(|glob| self.rule_of_glob[glob]).collect();
        rules.dedup();
        rules.into_iter()
    }
}

/// Policies that were read, by their blobs: the content of a blob never changes, and its judgement neither.
#[derive(Debug, Clone)]
pub(crate) struct Policies {
    branch: String,
    read: HashMap<ObjectId, Arc<Policy>>,
}

impl Policies {
    /// Policies for the watched branch.
    pub(crate) fn new(branch: &str) -> Self {
        Self { branch: branch.to_owned(), read: HashMap::new() }
    }

    pub(crate) fn branch(&self) -> &str {
        &self.branch
    }

    /// The policy in `tree`, whose blob is `blob`, with the trusted root that it pins beside it.
    pub(crate) fn read(
        &mut self,
        trees: &mut Trees<'_>,
        tree: &ObjectId,
        blob: ObjectId,
    ) -> Result<Arc<Policy>, Fault> {
        if let Some(known) = self.read.get(&blob).filter(|known| known.manifest().sigstore_root.is_none()) {
            return Ok(known.clone());
        }
        let text = objects::read(trees.objects, &blob, ObjectKind::Blob)?;
        let manifest = Policy::read(&text).map_err(combine)?;
        let root = match manifest.sigstore_root {
            Some(_) => sigstore_root(trees, tree)?,
            None => None,
        };
        let policy = Policy::compile(manifest, root.as_deref()).map_err(combine)?;
        if policy.branch() != self.branch {
            let why = format!("the policy is for branch {:?}, and {:?} is watched", policy.branch(), self.branch);
            return Err(Fault::new(codes::POLICY_BRANCH, why).path(POLICY_PATH));
        }
        let policy = Arc::new(policy);
        self.read.insert(blob, policy.clone());
        Ok(policy)
    }
}

fn sigstore_root(trees: &mut Trees<'_>, tree: &ObjectId) -> Result<Option<Vec<u8>>, Fault> {
    let path: Vec<&str> = SIGSTORE_ROOT_PATH.split('/').collect();
    match trees.find(tree, &path)? {
        Some(Node::File(entry)) => Ok(Some(objects::read(trees.objects, &entry.id, ObjectKind::Blob)?)),
        _ => Ok(None),
    }
}

/// All problems of a policy as one fault.
fn combine(faults: Vec<Fault>) -> Fault {
    let why = faults.iter().map(|fault| fault.why.as_str()).collect::<Vec<_>>().join("; ");
    let first = faults.into_iter().next().unwrap_or_else(|| Fault::new(codes::POLICY_INVALID, ""));
    Fault { why, ..first }
}

/// Why a rule does not hold.
fn shortfall(path: &str, rule: &PolicyRule, counted: usize, people: &[&PersonName]) -> Fault {
    let (text, needed) = (rule_text(rule), rule.signers);
    let names = people.iter().map(|person| person.as_str()).collect::<Vec<_>>().join(", ");
    let (code, why) = match (counted, people) {
        (0, []) => (codes::SIGNER_NOT_IN_ROLE, format!("nobody who counts stands for {path}: {text}")),
        (0, [one]) => (codes::SIGNER_NOT_IN_ROLE, format!("{one} may not change {path}: {text}")),
        (0, _) => (codes::SIGNER_NOT_IN_ROLE, format!("none of {names} may change {path}: {text}")),
        _ => {
            let why = format!("{counted} of {needed} who must stand for {path} ({names}): {text}");
            (codes::NOT_ENOUGH_SIGNERS, why)
        }
    };
    Fault::new(code, why).path(path).rule(text)
}

fn invalid(why: impl Into<String>) -> Fault {
    Fault::new(codes::POLICY_INVALID, why).path(POLICY_PATH)
}

fn rule_text(rule: &PolicyRule) -> String {
    let paths = rule.paths.join(", ");
    match rule.signers {
        1 => format!("paths [{paths}] need role {}", rule.role),
        signers => format!("paths [{paths}] need {signers} of role {}", rule.role),
    }
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
    if rule.signers == 0 {
        fault("signers is 0, expected at least 1".to_owned());
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
