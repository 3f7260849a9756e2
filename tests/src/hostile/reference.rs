//! The rules of landings and merges once more: as naive as can be, without objects, signatures, caches or early exits.
//!
//! In: what commits were meant to be. Out: every code for which a landing may be refused. Everything is computed from
//! whole sets of ancestors, path by path, in the words of the specification.

use std::collections::{BTreeSet, HashSet};

use bellwether_core::verify::POLICY_PATH;
use bellwether_schemas::{Code, CommitId, codes};

use super::{Entry, History, PolicyText, Who};

/// The codes for which a landing may be refused; none when it counts. A landing that breaks several rules may be refused
/// for any of them.
///
/// # Panics
/// When the landing has no parent, or its first parent has no policy of ours.
pub fn judge(history: &History, landing: CommitId) -> BTreeSet<Code> {
    let it = history.recorded(&landing);
    let base = it.parents[0];
    let policy = history.policy_at(&base).expect("the landing before has a policy");
    let signer = person(history, policy, landing);
    let merge = match it.parents[..] {
        [ours, theirs] => Some(Merge::new(history, landing, ours, theirs)).filter(Merge::is_clean),
        _ => None,
    };
    if signer.is_none() && merge.is_none() {
        return BTreeSet::from([why_nobody(history, landing)]);
    }
    let mut codes = BTreeSet::new();
    for path in all_paths(history) {
        if entry(history, landing, &path) == entry(history, base, &path) {
            continue;
        }
        let mut counting: BTreeSet<&str> = signer.into_iter().collect();
        if let Some(merge) = &merge {
            counting.extend(merge.who_stands_for(policy, &path));
        }
        codes.extend(what_fails(policy, &path, &counting));
    }
    if entry(history, landing, POLICY_PATH) != entry(history, base, POLICY_PATH) {
        match history.policy_at(&landing) {
            None => _ = codes.insert(codes::POLICY_MISSING),
            Some(after) if after.version <= policy.version => _ = codes.insert(codes::POLICY_VERSION),
            Some(_) => {}
        }
    }
    codes
}

/// The commit and everything before it.
pub fn ancestors(history: &History, of: CommitId) -> HashSet<CommitId> {
    let mut found = HashSet::new();
    let mut open = vec![of];
    while let Some(at) = open.pop() {
        if found.insert(at) {
            open.extend(&history.recorded(&at).parents);
        }
    }
    found
}

/// The commit and its first parents, newest first.
pub fn line(history: &History, of: CommitId) -> Vec<CommitId> {
    let mut line = vec![of];
    while let Some(parent) = history.recorded(&line[line.len() - 1]).parents.first() {
        line.push(*parent);
    }
    line
}

/// Why a landing that is no clean merge does not count without a person's signature.
fn why_nobody(history: &History, landing: CommitId) -> Code {
    let it = history.recorded(&landing);
    match (it.parents.len(), it.signer) {
        (2.., _) => codes::MERGE_UNCLEAN,
        (_, Who::Nobody) => codes::COMMIT_UNSIGNED,
        _ if !it.sound => codes::SIGNATURE_INVALID,
        (_, Who::Bot) => codes::SIGNER_IS_BOT,
        _ => codes::SIGNER_UNKNOWN,
    }
}

/// All rules that match must hold, and one must match.
fn what_fails(policy: &PolicyText, path: &str, counting: &BTreeSet<&str>) -> BTreeSet<Code> {
    let rules = policy.rules.iter().filter(|rule| path.starts_with(&format!("{}/", rule.folder)));
    let mut matched = false;
    let mut codes = BTreeSet::new();
    for rule in rules {
        matched = true;
        let members = counting.iter().filter(|person| policy.is_member(rule.role, person)).count();
        if members == 0 {
            codes.insert(codes::SIGNER_NOT_IN_ROLE);
        } else if members < usize::try_from(rule.signers).expect("a small number") {
            codes.insert(codes::NOT_ENOUGH_SIGNERS);
        }
    }
    if !matched {
        codes.insert(codes::PATH_WITHOUT_RULE);
    }
    codes
}

/// The person of a policy whose valid signature a commit has.
fn person(history: &History, policy: &PolicyText, commit: CommitId) -> Option<&'static str> {
    let it = history.recorded(&commit);
    policy.person(it.signer).filter(|_| it.sound)
}

fn entry<'h>(history: &'h History, commit: CommitId, path: &str) -> Option<&'h Entry> {
    history.files(&commit).get(path)
}

fn all_paths(history: &History) -> BTreeSet<String> {
    history.commits.values().flat_map(|commit| commit.files.keys().cloned()).collect()
}

/// A merge of two parents.
struct Merge<'h> {
    history: &'h History,
    landing: CommitId,
    ours: CommitId,
    theirs: CommitId,
    /// Landings of our line that the branch lacks.
    lacked: Vec<CommitId>,
    /// Commits of the branch that our side lacks.
    branch: HashSet<CommitId>,
}

impl<'h> Merge<'h> {
    fn new(history: &'h History, landing: CommitId, ours: CommitId, theirs: CommitId) -> Self {
        let (our, their) = (ancestors(history, ours), ancestors(history, theirs));
        let lacked = line(history, ours).into_iter().filter(|id| !their.contains(id)).collect();
        Self { history, landing, ours, theirs, lacked, branch: their.difference(&our).copied().collect() }
    }

    fn is_clean(&self) -> bool {
        all_paths(self.history).iter().all(|path| {
            let [ours, theirs, landed] = [self.ours, self.theirs, self.landing].map(|id| entry(self.history, id, path));
            let changed_by_us = self.lacked.iter().any(|id| {
                let before = self.history.recorded(id).parents.first();
                before.and_then(|before| entry(self.history, *before, path)) != entry(self.history, *id, path)
            });
            let changed_by_them = self.branch.iter().any(|id| self.wrote(*id, path));
            match (changed_by_us, changed_by_them) {
                (true, true) => false,
                (false, true) => landed == theirs,
                (true | false, false) => landed == ours,
            }
        })
    }

    /// Whether a commit's entry differs from all its parents'; without parents, from nothing.
    fn wrote(&self, commit: CommitId, path: &str) -> bool {
        let its = entry(self.history, commit, path);
        let parents = &self.history.recorded(&commit).parents;
        let from_nothing = parents.is_empty() && its.is_none();
        !from_nothing && parents.iter().all(|parent| entry(self.history, *parent, path) != its)
    }

    /// Back from the branch's tip through commits that have the landed entry: who wrote it, and who endorsed it.
    fn who_stands_for(&self, policy: &PolicyText, path: &str) -> BTreeSet<&'static str> {
        let landed = entry(self.history, self.landing, path);
        let (mut people, mut seen, mut open) = (BTreeSet::new(), HashSet::new(), vec![self.theirs]);
        while let Some(at) = open.pop() {
            if !self.branch.contains(&at) || entry(self.history, at, path) != landed || !seen.insert(at) {
                continue;
            }
            if self.wrote(at, path) || self.endorses(at) {
                people.extend(person(self.history, policy, at));
            }
            open.extend(&self.history.recorded(&at).parents);
        }
        people
    }

    /// Whether a commit is empty and names its parent.
    fn endorses(&self, commit: CommitId) -> bool {
        let it = self.history.recorded(&commit);
        matches!(it.parents[..], [parent] if it.endorses == Some(parent) && *self.history.files(&parent) == it.files)
    }
}
