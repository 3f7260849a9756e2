//! The accepted history: from a pinned introduction forward, along first parents, never back.

use std::collections::{HashMap, HashSet};

use bellwether_schemas::{CommitId, Sha256Digest, codes};
use jiff::Timestamp;

use super::commit::parents_of;
use super::landing::{Base, VerifiedLanding, judge, judge_introduction};
use super::policy::{POLICY_PATH, Policy};
use super::refusal::{Fault, Refusal};
use super::tree::{TreeCache, Trees};
use crate::objects::{self, ObjectKind, ObjectSource};

/// How much of a branch is read before any of it is judged. Everybody who may push can make commits, also those who sign
/// nothing that counts: without a limit each poll would read them all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// Landings beyond what is accepted.
    pub(super) landings: usize,
    /// Commits beyond what is accepted, whatever parents lead to them.
    pub(super) commits: usize,
}

const REACH: Reach = Reach { landings: 100_000, commits: 1_000_000 };

/// What the reconciler's configuration pins: the first trusted commit, and the policy in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Introduction {
    /// The commit.
    pub commit: CommitId,
    /// The SHA-256 of the content of `trust/policy.yaml` in it.
    pub policy_sha256: Sha256Digest,
}

/// A history that counts up to its head.
#[derive(Debug, Clone)]
pub struct VerifiedHistory {
    introduction: Introduction,
    branch: String,
    /// Every commit on the first-parent line, from the root to the head.
    line: Vec<CommitId>,
    numbers: HashMap<CommitId, u64>,
    head: Base,
    trees: TreeCache,
}

/// What came of a step forward.
#[derive(Debug)]
#[must_use = "a refusal that nobody reads stalls the repository in silence"]
pub struct Advanced {
    /// The landings that count, oldest first; the last is the new head. They count even when there is a stop.
    pub landings: Vec<VerifiedLanding>,
    /// Why the head is not at the tip.
    pub stop: Option<Stop>,
}

/// Why the head is not at the branch's tip.
#[derive(Debug)]
pub enum Stop {
    /// The repository is stalled: a landing is refused.
    Refused(Refusal),
    /// The branch verifies from the introduction, and the accepted head is not among its ancestors.
    Rewound {
        /// The history of the branch.
        branch: Box<VerifiedHistory>,
        /// The landings of the branch from the introduction on.
        branch_landings: Vec<VerifiedLanding>,
        /// Whether the branch gives up the accepted head by a signed reset.
        reset: Reset,
    },
}

/// Whether a branch that lacks the accepted head gives it up by a signed reset: a policy with `abandons: <accepted head>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reset {
    /// No policy on it names the accepted head.
    None,
    /// One does, and does not count.
    Refused(Refusal),
    /// One does, signed as the abandoned head's policy asks: the branch is the accepted history from now on.
    Signed,
}

impl VerifiedHistory {
    /// Begins at the introduction. Commits before it are counted, not judged.
    ///
    /// The introduction's policy must be the pinned one, and someone who may change that policy must have signed the
    /// commit. Its changes are its whole tree.
    ///
    /// # Errors
    /// The introduction does not match, or cannot be read.
    pub fn introduce(
        objects: &dyn ObjectSource,
        introduction: &Introduction,
        branch: &str,
    ) -> Result<(Self, VerifiedLanding), Refusal> {
        let line = line_to_root(objects, introduction.commit)?;
        let numbers: HashMap<CommitId, u64> = line.iter().copied().zip(1..).collect();
        let number = numbers[&introduction.commit];
        let mut cache = TreeCache::default();
        let mut trees = Trees { objects, cache: &mut cache };
        let landing = judge_introduction(&mut trees, introduction.commit, number, &introduction.policy_sha256, branch)
            .map_err(|fault| fault.at(introduction.commit))?;
        let head = landing.as_base();
        let history =
            Self { introduction: *introduction, branch: branch.to_owned(), line, numbers, head, trees: cache };
        Ok((history, landing))
    }

    /// Verifies again a history up to a head that was accepted before. No clock is asked: what was accepted stays so.
    ///
    /// Returns every landing from the introduction on.
    ///
    /// # Errors
    /// The first refusal.
    pub fn restore(
        objects: &dyn ObjectSource,
        introduction: &Introduction,
        branch: &str,
        head: &CommitId,
    ) -> Result<(Self, Vec<VerifiedLanding>), Refusal> {
        let (mut history, first) = Self::introduce(objects, introduction, branch)?;
        let mut landings = vec![first];
        // What was accepted bit by bit is no longer than it is.
        match history.line_from_head(objects, *head, usize::MAX)? {
            Some(line) => {
                let (accepted, refusal) = judge_line(objects, &mut history.trees, &history.head, &line, branch);
                if let Some(refusal) = refusal {
                    return Err(refusal);
                }
                accepted.iter().for_each(|landing| history.take(landing));
                landings.extend(accepted);
                Ok((history, landings))
            }
            None => {
                let why =
                    format!("its first-parent line does not lead to the introduction {}", introduction.commit.short());
                Err(Fault::new(codes::INTRODUCTION_OFF_BRANCH, why).at(*head))
            }
        }
    }

    /// Moves the head towards `tip`, the branch's newest commit, as far as the landings count: [`Self::judge`], and
    /// [`Self::take`] of each landing.
    pub fn advance(&mut self, objects: &dyn ObjectSource, tip: &CommitId, now: Timestamp) -> Advanced {
        let advanced = self.judge(objects, tip, now);
        advanced.landings.iter().for_each(|landing| self.take(landing));
        advanced
    }

    /// Judges what lies between the head and `tip`, the branch's newest commit. The head stays where it is.
    ///
    /// A tip that lies beyond what is read in one go is refused before any of it is judged.
    pub fn judge(&mut self, objects: &dyn ObjectSource, tip: &CommitId, now: Timestamp) -> Advanced {
        self.judge_within(objects, tip, now, REACH)
    }

    /// Moves the head by one landing.
    ///
    /// # Panics
    /// When its first parent is not the head.
    pub fn take(&mut self, landing: &VerifiedLanding) {
        assert_eq!(landing.parent(), Some(&self.head.id), "landings are taken in the order in which they were judged");
        self.head = landing.as_base();
        self.line.push(self.head.id);
        self.numbers.insert(self.head.id, self.head.number);
    }

    /// [`Self::judge`], with a reach of its own.
    pub(super) fn judge_within(
        &mut self,
        objects: &dyn ObjectSource,
        tip: &CommitId,
        now: Timestamp,
        reach: Reach,
    ) -> Advanced {
        if *tip == self.head.id {
            return Advanced { landings: Vec::new(), stop: None };
        }
        let line = match self.line_from_head(objects, *tip, reach.landings) {
            Ok(Some(line)) => line,
            Ok(None) => return Advanced { landings: Vec::new(), stop: Some(self.off_line(objects, tip, reach)) },
            Err(refusal) => return stopped(refusal),
        };
        let (accepted, refusal) = judge_line(objects, &mut self.trees, &self.head, &line, &self.branch);
        if let Some(newest) = accepted.last()
            && newest.policy().expires() <= now
        {
            return stopped(expired(newest, refusal.as_ref()));
        }
        Advanced { landings: accepted, stop: refusal.map(Stop::Refused) }
    }

    /// The accepted head.
    pub const fn head(&self) -> &CommitId {
        &self.head.id
    }

    /// The head's landing number.
    pub const fn head_number(&self) -> u64 {
        self.head.number
    }

    /// The number of any commit on the line up to the head, also before the introduction.
    pub fn number_of(&self, commit: &CommitId) -> Option<u64> {
        self.numbers.get(commit).copied()
    }

    /// The commit with this number.
    pub fn commit_at(&self, number: u64) -> Option<&CommitId> {
        self.line.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// The policy in the head's tree: what judges the next landing.
    pub fn policy(&self) -> &Policy {
        &self.head.policy.policy
    }

    /// The introduction it began at.
    pub const fn introduction(&self) -> &Introduction {
        &self.introduction
    }

    /// The branch it is of.
    pub fn branch(&self) -> &str {
        &self.branch
    }

    /// The commits after the head up to `tip` along first parents, oldest first; `None` when the head is not on that
    /// line. They must not be more than `limit`.
    fn line_from_head(
        &self,
        objects: &dyn ObjectSource,
        tip: CommitId,
        limit: usize,
    ) -> Result<Option<Vec<CommitId>>, Refusal> {
        let mut line = Vec::new();
        let mut at = tip;
        // A commit of our own line leads only to older ones of it: the head, once missed, does not come any more.
        while !self.numbers.contains_key(&at) {
            if line.len() == limit {
                let accepted = self.head.id.short();
                let why = format!("more than {limit} landings lie between it and what is accepted ({accepted})");
                return Err(Fault::new(codes::TOO_MANY_LANDINGS, why).at(tip));
            }
            line.push(at);
            match parents(objects, at)?.first() {
                Some(parent) => at = *parent,
                None => return Ok(None),
            }
        }
        line.reverse();
        Ok((at == self.head.id).then_some(line))
    }

    /// Why a branch whose first-parent line misses the head is not followed.
    fn off_line(&self, objects: &dyn ObjectSource, tip: &CommitId, reach: Reach) -> Stop {
        match self.is_ancestor_of(objects, *tip, reach.commits) {
            Err(refusal) => return Stop::Refused(refusal),
            Ok(true) => {
                let why = format!("it reaches the accepted head {} only through another parent", self.head.id.short());
                return Stop::Refused(Fault::new(codes::HEAD_OFF_LINE, why).at(*tip));
            }
            Ok(false) => {}
        }
        // It was in reach up to where it leaves our own line, so it is in reach as a whole.
        match Self::restore(objects, &self.introduction, &self.branch, tip) {
            Ok((branch, branch_landings)) => Stop::Rewound { branch: Box::new(branch), branch_landings, reset: Reset::None },
            Err(refusal) => Stop::Refused(refusal),
        }
    }

    /// Whether the head is an ancestor of `tip` through any parents, of which at most `limit` are read.
    fn is_ancestor_of(&self, objects: &dyn ObjectSource, tip: CommitId, limit: usize) -> Result<bool, Refusal> {
        let mut seen = HashSet::from([tip]);
        let mut open = vec![tip];
        while let Some(at) = open.pop() {
            if at == self.head.id {
                return Ok(true);
            }
            if seen.len() > limit {
                let why = format!("more than {limit} commits lie between it and what is accepted");
                return Err(Fault::new(codes::TOO_MANY_LANDINGS, why).at(tip));
            }
            if !self.numbers.contains_key(&at) {
                open.extend(parents(objects, at)?.into_iter().filter(|parent| seen.insert(*parent)));
            }
        }
        Ok(false)
    }
}

fn stopped(refusal: Refusal) -> Advanced {
    Advanced { landings: Vec::new(), stop: Some(Stop::Refused(refusal)) }
}

/// Judges the commits of `line` in order, each by the one before it, up to the first refusal.
fn judge_line(
    objects: &dyn ObjectSource,
    cache: &mut TreeCache,
    head: &Base,
    line: &[CommitId],
    branch: &str,
) -> (Vec<VerifiedLanding>, Option<Refusal>) {
    let mut accepted: Vec<VerifiedLanding> = Vec::with_capacity(line.len());
    let mut trees = Trees { objects, cache };
    for id in line {
        let base = accepted.last().map_or_else(|| head.clone(), VerifiedLanding::as_base);
        match judge(&mut trees, *id, &base, branch) {
            Ok(landing) => accepted.push(landing),
            Err(fault) => return (accepted, Some(fault.at(*id))),
        }
    }
    (accepted, None)
}

/// The head does not advance onto a policy that has expired.
fn expired(newest: &VerifiedLanding, refusal: Option<&Refusal>) -> Refusal {
    let mut why = format!("its policy expired at {}", newest.policy().expires());
    if let Some(refusal) = refusal {
        why.push_str(&format!("; besides, {refusal}"));
    }
    Fault::new(codes::POLICY_EXPIRED, why).path(POLICY_PATH).at(*newest.id())
}

/// The first-parent line from the root to `commit`.
fn line_to_root(objects: &dyn ObjectSource, commit: CommitId) -> Result<Vec<CommitId>, Refusal> {
    let mut line = vec![commit];
    let mut at = commit;
    while let Some(parent) = parents(objects, at)?.first() {
        line.push(*parent);
        at = *parent;
    }
    line.reverse();
    Ok(line)
}

fn parents(objects: &dyn ObjectSource, id: CommitId) -> Result<Vec<CommitId>, Refusal> {
    let raw = objects::read(objects, &id, ObjectKind::Commit).map_err(|error| Fault::from(error).at(id))?;
    parents_of(&raw, id.as_bytes().len()).map_err(|fault| fault.at(id))
}
