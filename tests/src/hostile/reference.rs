//! The rules of landings and merges once more: as naive as can be, without objects, signatures, caches or early exits.
//!
//! In: what commits were meant to be. Out: every code for which a landing may be refused. Everything is computed from
//! whole sets of ancestors, path by path, in the words of the specification.

use std::collections::{BTreeSet, HashMap, HashSet};

use bellwether_core::verify::POLICY_PATH;
use bellwether_schemas::{Code, CommitId, codes};

use super::{Entry, History, PolicyText, Who};

/// A part of the rules that can be left out, to see what it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A merge that keeps an entry against the line has written it.
    KeptIsWritten,
    /// An endorsement stands for what was written below it on the branch.
    EndorsesWhatIsBelow,
}

/// The codes for which a landing may be refused, in a history that begins at `introduction`; none when it counts. A landing
/// that breaks several rules may be refused for any of them.
///
/// # Panics
/// When the landing has no parent, or its first parent has no policy of ours.
pub fn judge(history: &History, introduction: CommitId, landing: CommitId) -> BTreeSet<Code> {
    judge_by(None, history, introduction, landing)
}

/// The same without a part of the rules.
///
/// # Panics
/// As [`judge`].
pub fn judge_without(part: Part, history: &History, introduction: CommitId, landing: CommitId) -> BTreeSet<Code> {
    judge_by(Some(part), history, introduction, landing)
}

fn judge_by(without: Option<Part>, history: &History, introduction: CommitId, landing: CommitId) -> BTreeSet<Code> {
    let it = history.recorded(&landing);
    let base = it.parents[0];
    let policy = history.policy_at(&base).expect("the landing before has a policy");
    let signer = person(history, policy, landing);
    let merge = match it.parents[..] {
        [_, theirs] => Some(Merge::new(history, introduction, landing, theirs)).filter(Merge::is_clean),
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
            let standing = merge.who_stands_for(&path, without);
            counting.extend(standing.into_iter().filter_map(|commit| person(history, policy, commit)));
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
    introduction: CommitId,
    landing: CommitId,
    theirs: CommitId,
    /// Our line, oldest first: the landing with the number n comes after n others.
    line: Vec<CommitId>,
    /// The number of the newest landing that each commit before `theirs` is or descends from; 0 where there is none.
    forks: HashMap<CommitId, usize>,
    /// Commits of the branch that our side lacks.
    branch: HashSet<CommitId>,
}

impl<'h> Merge<'h> {
    fn new(history: &'h History, introduction: CommitId, landing: CommitId, theirs: CommitId) -> Self {
        let ours = history.recorded(&landing).parents[0];
        let line: Vec<CommitId> = line(history, ours).into_iter().rev().collect();
        let fork = |of: CommitId| {
            let known = ancestors(history, of);
            line.iter().rposition(|id| known.contains(id)).map_or(0, |place| place + 1)
        };
        let their = ancestors(history, theirs);
        let forks = their.iter().map(|id| (*id, fork(*id))).collect();
        let branch = their.difference(&ancestors(history, ours)).copied().collect();
        Self { history, introduction, landing, theirs, line, forks, branch }
    }

    fn is_clean(&self) -> bool {
        all_paths(self.history).iter().all(|path| {
            let ours = self.line[self.line.len() - 1];
            let [ours, theirs, landed] = [ours, self.theirs, self.landing].map(|id| entry(self.history, id, path));
            let changed_by_us = self.line_changed(path, self.forks[&self.theirs], self.line.len());
            let changed_by_them = self.branch.iter().any(|id| self.wrote(*id, path));
            match (changed_by_us, changed_by_them) {
                (true, true) => false,
                (false, true) => landed == theirs,
                (true | false, false) => landed == ours,
            }
        })
    }

    /// Whether a landing after number `after` up to number `until` changed a path. The introduction changed every path.
    fn line_changed(&self, path: &str, after: usize, until: usize) -> bool {
        self.line[after..until].iter().any(|id| {
            let before = self.history.recorded(id).parents.first();
            let before = before.and_then(|before| entry(self.history, *before, path));
            *id == self.introduction || before != entry(self.history, *id, path)
        })
    }

    /// Whether a commit's entry differs from all its parents'; without parents, from nothing.
    fn wrote(&self, commit: CommitId, path: &str) -> bool {
        let its = entry(self.history, commit, path);
        let parents = &self.history.recorded(&commit).parents;
        let from_nothing = parents.is_empty() && its.is_none();
        !from_nothing && self.kept_from(commit, path).is_empty()
    }

    /// The parents that have the same entry.
    fn kept_from(&self, commit: CommitId, path: &str) -> Vec<CommitId> {
        let its = entry(self.history, commit, path);
        let parents = self.history.recorded(&commit).parents.iter().copied();
        parents.filter(|parent| entry(self.history, *parent, path) == its).collect()
    }

    /// The parents from which a commit has its entry: those that it kept against the line are none.
    fn has_it_from(&self, commit: CommitId, path: &str, without: Option<Part>) -> Vec<CommitId> {
        let mut parents = self.kept_from(commit, path);
        if without != Some(Part::KeptIsWritten) {
            parents.retain(|parent| !self.line_changed(path, self.forks[parent], self.forks[&commit]));
        }
        parents
    }

    /// Whether a commit wrote its entry, by itself or against the line.
    fn is_writer(&self, commit: CommitId, path: &str, without: Option<Part>) -> bool {
        let against_the_line = || !self.kept_from(commit, path).is_empty();
        self.wrote(commit, path) || (self.has_it_from(commit, path, without).is_empty() && against_the_line())
    }

    /// The commits of the branch from which one has the landed entry, with that one.
    fn where_from(&self, commit: CommitId, path: &str, without: Option<Part>) -> HashSet<CommitId> {
        let landed = entry(self.history, self.landing, path);
        let (mut found, mut open) = (HashSet::new(), vec![commit]);
        while let Some(at) = open.pop() {
            if self.branch.contains(&at) && entry(self.history, at, path) == landed && found.insert(at) {
                open.extend(self.has_it_from(at, path, without));
            }
        }
        found
    }

    /// The commits whose signers stand for a landed entry: that wrote it, and that endorse such a commit.
    fn who_stands_for(&self, path: &str, without: Option<Part>) -> HashSet<CommitId> {
        let is_writer = |commit: &CommitId| self.is_writer(*commit, path, without);
        let was_written = |commit: CommitId| {
            without == Some(Part::EndorsesWhatIsBelow) || self.where_from(commit, path, without).iter().any(is_writer)
        };
        let mut commits = self.where_from(self.theirs, path, without);
        commits.retain(|commit| is_writer(commit) || (self.endorses(*commit) && was_written(*commit)));
        commits
    }

    /// Whether a commit is empty and names its parent.
    fn endorses(&self, commit: CommitId) -> bool {
        let it = self.history.recorded(&commit);
        matches!(it.parents[..], [parent] if it.endorses == Some(parent) && *self.history.files(&parent) == it.files)
    }
}
