//! The accepted history: from a pinned introduction forward, along first parents, never back.

use std::collections::HashSet;
use std::sync::Arc;

use bellwether_schemas::{CommitId, ObjectId, Sha256Digest, codes};
use jiff::Timestamp;

use super::diff::{TreeCache, Trees};
use super::examine::{self, Early};
use super::landing::{VerifiedLanding, judge, judge_introduction};
use super::line::{Line, read_skeleton};
use super::policy::{POLICY_PATH, Policies, Policy};
use super::refusal::{Fault, Refusal};
use super::reset::{Reset, find_reset};
use super::walk::{Step, Way, walk};
use crate::objects::ObjectSource;

/// How much of a branch is read before any of it is judged. Everybody who may push can make commits, also those who sign
/// nothing that counts: without a limit each poll would read them all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// Landings beyond what is accepted.
    pub(super) landings: usize,
    /// Commits beyond what is accepted, whatever parents lead to them.
    pub(super) commits: usize,
    /// Bytes of commits that are kept until their turn.
    pub(super) kept: usize,
}

pub(super) const REACH: Reach = Reach { landings: 100_000, commits: 1_000_000, kept: 64 << 20 };
/// Landings of which the changes are in memory while they are judged.
const BATCH: usize = 4_096;

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
    pub(super) line: Line,
    /// From the introduction on. None of them is ever judged again.
    landings: Vec<Arc<VerifiedLanding>>,
    pub(super) policies: Policies,
    pub(super) trees: TreeCache,
}

/// What came of a step forward.
#[derive(Debug)]
#[must_use = "a refusal that nobody reads stalls the repository in silence"]
pub struct Advanced {
    /// The landings that count, oldest first; the last is the new head. They count even when there is a stop.
    pub landings: Vec<Arc<VerifiedLanding>>,
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
        branch_landings: Vec<Arc<VerifiedLanding>>,
        /// Whether the branch gives up the accepted head by a signed reset.
        reset: Reset,
    },
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
    ) -> Result<(Self, Arc<VerifiedLanding>), Refusal> {
        let line = Line::introduce(objects, introduction.commit)?;
        let (mut trees, mut policies) = (TreeCache::default(), Policies::new(branch));
        let landing = judge_introduction(
            &mut Trees { objects, cache: &mut trees },
            &mut policies,
            introduction.commit,
            line.head_number(),
            &introduction.policy_sha256,
        );
        let landing = Arc::new(landing.map_err(|fault| fault.at(introduction.commit))?);
        let landings = vec![landing.clone()];
        Ok((Self { introduction: *introduction, line, landings, policies, trees }, landing))
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
    ) -> Result<(Self, Vec<Arc<VerifiedLanding>>), Refusal> {
        let (mut history, _) = Self::introduce(objects, introduction, branch)?;
        // What was accepted bit by bit is no longer than it is.
        let way = history.way_to(objects, *head, Reach { landings: usize::MAX, ..REACH })?;
        if way.met.as_ref() != Some(history.head()) {
            return Err(history.off_introduction(*head));
        }
        match history.go_on(objects, way.steps) {
            Some(refusal) => Err(refusal),
            None => {
                let landings = history.landings.clone();
                Ok((history, landings))
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

    /// [`Self::judge`], with a reach of its own.
    pub(super) fn judge_within(
        &mut self,
        objects: &dyn ObjectSource,
        tip: &CommitId,
        now: Timestamp,
        reach: Reach,
    ) -> Advanced {
        let way = match self.way_to(objects, *tip, reach) {
            Ok(way) => way,
            Err(refusal) => return stopped(refusal),
        };
        if way.met.as_ref() != Some(self.head()) {
            let stop = self.off_line(objects, tip, way, now, reach);
            return Advanced { landings: Vec::new(), stop: Some(stop) };
        }
        let before = self.landings.len();
        let refusal = self.go_on(objects, way.steps);
        let landings = self.go_back(before);
        match landings.last() {
            Some(newest) if newest.policy().expires() <= now => stopped(expired(newest, refusal.as_ref())),
            _ => Advanced { landings, stop: refusal.map(Stop::Refused) },
        }
    }

    /// Moves the head by one landing.
    ///
    /// # Panics
    /// When its first parent is not the head.
    pub fn take(&mut self, landing: &Arc<VerifiedLanding>) {
        assert_eq!(landing.parent(), Some(self.head()), "landings are taken in the order in which they were judged");
        self.line.take(landing);
        self.landings.push(landing.clone());
    }

    /// Judges the commits of a line, each by the one before it, and moves the head up to the first refusal. While those of
    /// a batch are judged, those of the next are examined.
    fn go_on(&mut self, objects: &dyn ObjectSource, steps: Vec<Step>) -> Option<Refusal> {
        let mut steps = steps.into_iter();
        let mut next_batch = || steps.by_ref().take(BATCH).collect::<Vec<_>>();
        let policy = self.newest().shared_policy().clone();
        let mut batch = examine::early(objects, &mut self.trees, &policy, next_batch());
        while !batch.is_empty() {
            let (next, policy) = (next_batch(), self.newest().shared_policy().clone());
            let examine_next = || examine::early(objects, &mut TreeCache::default(), &policy, next);
            let (refusal, examined) = rayon::join(|| self.judge_batch(objects, batch), examine_next);
            if refusal.is_some() {
                return refusal;
            }
            batch = examined;
        }
        None
    }

    fn judge_batch(&mut self, objects: &dyn ObjectSource, batch: Vec<Early>) -> Option<Refusal> {
        for Early { id, examined } in batch {
            let parent = self.newest().clone();
            let examined = examined.unwrap_or_else(|| examine::now(objects, id, parent.shared_policy()));
            let judged = examined.and_then(|examined| {
                let mut trees = Trees { objects, cache: &mut self.trees };
                judge(&mut trees, &self.line, &mut self.policies, &parent, examined)
            });
            match judged {
                Ok(landing) => self.take(&Arc::new(landing)),
                Err(fault) => return Some(fault.at(id)),
            }
        }
        None
    }

    /// Moves the head back until `count` landings are left, and returns those that are not, oldest first.
    fn go_back(&mut self, count: usize) -> Vec<Arc<VerifiedLanding>> {
        let gone = self.landings.split_off(count);
        gone.iter().rev().for_each(|landing| self.line.undo(landing));
        gone
    }

    pub(super) fn newest(&self) -> &Arc<VerifiedLanding> {
        self.landings.last().expect("a history begins with its introduction, which stays")
    }

    /// The accepted head.
    pub fn head(&self) -> &CommitId {
        self.newest().id()
    }

    /// The head's landing number.
    pub fn head_number(&self) -> u64 {
        self.line.head_number()
    }

    /// The number of any commit on the line up to the head, also before the introduction.
    pub fn number_of(&self, commit: &CommitId) -> Option<u64> {
        self.line.number_of(commit)
    }

    /// The commit with this number.
    pub fn commit_at(&self, number: u64) -> Option<&CommitId> {
        self.line.at(number)
    }

    /// The accepted landing with this number; none before the introduction.
    pub fn landing_at(&self, number: u64) -> Option<&Arc<VerifiedLanding>> {
        let place = number.checked_sub(self.landings[0].number())?;
        self.landings.get(usize::try_from(place).ok()?)
    }

    /// The policy in force: that of the head.
    pub fn policy(&self) -> &Policy {
        self.newest().policy()
    }

    /// The accepted landings from the introduction on.
    pub fn landings(&self) -> &[Arc<VerifiedLanding>] {
        &self.landings
    }

    /// The introduction it began at.
    pub const fn introduction(&self) -> &Introduction {
        &self.introduction
    }

    /// The branch it is of.
    pub fn branch(&self) -> &str {
        self.policies.branch()
    }

    /// The way back from `tip` to our line, which must not be out of reach. A commit of our own line leads only to
    /// older ones of it: the head, once missed, does not come any more.
    fn way_to(&self, objects: &dyn ObjectSource, tip: CommitId, reach: Reach) -> Result<Way, Refusal> {
        let way = walk(objects, tip, reach, &|id| self.number_of(id).is_some())?;
        way.ok_or_else(|| {
            let (limit, accepted) = (reach.landings, self.head().short());
            let why = format!("more than {limit} landings lie between it and what is accepted ({accepted})");
            Fault::new(codes::TOO_MANY_LANDINGS, why).at(tip)
        })
    }

    /// The commits by which the first-parent line of `tip` goes on from the head, with their trees, oldest first; none where it
    /// does not.
    pub(super) fn leads_on(
        &self,
        objects: &dyn ObjectSource,
        tip: CommitId,
    ) -> Result<Option<Vec<(CommitId, ObjectId)>>, Refusal> {
        let way = self.way_to(objects, tip, REACH)?;
        let goes_on = way.met.as_ref() == Some(self.head());
        Ok(goes_on.then(|| way.steps.iter().map(|step| (step.id, step.tree)).collect()))
    }

    /// Why a branch whose first-parent line misses the head is not followed.
    fn off_line(&self, objects: &dyn ObjectSource, tip: &CommitId, way: Way, now: Timestamp, reach: Reach) -> Stop {
        match self.is_ancestor_of(objects, *tip, reach.commits) {
            Err(refusal) => return Stop::Refused(refusal),
            Ok(true) => {
                let why = format!("it reaches the accepted head {} only through another parent", self.head().short());
                return Stop::Refused(Fault::new(codes::HEAD_OFF_LINE, why).at(*tip));
            }
            Ok(false) => {}
        }
        self.rewound(objects, *tip, way, now).unwrap_or_else(Stop::Refused)
    }

    /// The history of a branch that leaves our line before the head.
    fn rewound(&self, objects: &dyn ObjectSource, tip: CommitId, way: Way, now: Timestamp) -> Result<Stop, Refusal> {
        let fork = way.met.and_then(|met| self.number_of(&met)).ok_or_else(|| self.off_introduction(tip))?;
        // Landings that both have are not judged again.
        let introduced = self.landings[0].number();
        let Some(shared) = fork.checked_sub(introduced).and_then(|shared| usize::try_from(shared).ok()) else {
            return Err(self.off_introduction(tip));
        };
        let mut branch = self.clone();
        branch.go_back(shared + 1);
        if let Some(refusal) = branch.go_on(objects, way.steps) {
            return Err(refusal);
        }
        let reset = match find_reset(objects, self, &mut branch, shared + 1) {
            // The head does not move onto an expired policy, whatever way it moves.
            Reset::Signed if branch.policy().expires() <= now => Reset::Refused(expired(branch.newest(), None)),
            reset => reset,
        };
        let branch_landings = branch.landings.clone();
        Ok(Stop::Rewound { branch: Box::new(branch), branch_landings, reset })
    }

    fn off_introduction(&self, tip: CommitId) -> Refusal {
        let introduction = self.introduction.commit.short();
        let why = format!("its first-parent line does not lead to the introduction {introduction}");
        Fault::new(codes::INTRODUCTION_OFF_BRANCH, why).at(tip)
    }

    /// Whether the head is an ancestor of `tip` through any parents, of which at most `limit` are read.
    fn is_ancestor_of(&self, objects: &dyn ObjectSource, tip: CommitId, limit: usize) -> Result<bool, Refusal> {
        let mut seen = HashSet::from([tip]);
        let (mut open, mut left) = (vec![tip], limit);
        while let Some(at) = open.pop() {
            if at == *self.head() {
                return Ok(true);
            }
            // What the head reaches does not lead to it.
            if self.line.newest_landing(&at).is_some() {
                continue;
            }
            let skeleton = read_skeleton(objects, at).map_err(|fault| fault.at(at))?;
            left = left.checked_sub(skeleton.cost()).ok_or_else(|| {
                let why = format!("more than {limit} commits lie between it and what is accepted");
                Fault::new(codes::TOO_MANY_LANDINGS, why).at(tip)
            })?;
            open.extend(skeleton.parents.into_iter().filter(|parent| seen.insert(*parent)));
        }
        Ok(false)
    }

    /// Goes back to the landing at `place`, lets `look` see its first parent's history, and comes back.
    pub(super) fn before_landing<T>(&mut self, place: usize, look: impl FnOnce(&mut Self) -> T) -> T {
        let gone = self.go_back(place);
        let seen = look(self);
        gone.iter().for_each(|landing| self.take(landing));
        seen
    }
}

fn stopped(refusal: Refusal) -> Advanced {
    Advanced { landings: Vec::new(), stop: Some(Stop::Refused(refusal)) }
}

/// The head does not advance onto a policy that has expired.
fn expired(newest: &VerifiedLanding, refusal: Option<&Refusal>) -> Refusal {
    let mut why = format!("its policy expired at {}", newest.policy().expires());
    if let Some(refusal) = refusal {
        why.push_str(&format!("; besides, {refusal}"));
    }
    Fault::new(codes::POLICY_EXPIRED, why).path(POLICY_PATH).at(*newest.id())
}
