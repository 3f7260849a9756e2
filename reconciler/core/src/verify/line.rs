//! The first-parent line up to a landing, and everything that it has taken in: what merges are compared with.

use std::collections::HashMap;

use bellwether_schemas::{CommitId, codes};

use super::commit::Skeleton;
use super::landing::VerifiedLanding;
use super::refusal::{Fault, Refusal};
use crate::objects::{self, ObjectKind, ObjectSource};

/// A commit that a landing brings beside itself.
#[derive(Debug, Clone)]
pub(crate) struct SideCommit {
    pub(crate) id: CommitId,
    /// Tree and parents; none where the commit cannot be read as git reads it.
    pub(crate) skeleton: Option<Skeleton>,
    /// The number of the newest landing among its ancestors; 0 where there is none.
    pub(crate) fork: u64,
}

/// The first-parent line.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// From the root on.
    ids: Vec<CommitId>,
    /// The number of the introduction.
    introduced: u64,
    /// Every commit that the newest landing reaches, with the number of the newest landing that it is or descends from.
    reached: HashMap<CommitId, u64>,
    /// The landings after the introduction that changed each path, rising.
    changed: HashMap<String, Vec<u64>>,
}

impl Line {
    /// The line up to the introduction. What came before it is read for who descends from whom, not judged.
    pub(crate) fn introduce(objects: &dyn ObjectSource, introduction: CommitId) -> Result<Self, Refusal> {
        let mut newest_first = Vec::new();
        let mut next = Some(introduction);
        while let Some(id) = next {
            let skeleton = skeleton(objects, id)?;
            next = skeleton.parents.first().copied();
            newest_first.push((id, skeleton.parents));
        }
        let mut line = Self { ids: Vec::new(), introduced: 0, reached: HashMap::new(), changed: HashMap::new() };
        for (id, parents) in newest_first.into_iter().rev() {
            let side =
                line.side(objects, parents.get(1..).unwrap_or_default(), usize::MAX).map_err(|fault| fault.at(id))?;
            line.push(id, side.iter().map(|commit| (commit.id, commit.fork)));
        }
        line.introduced = line.head_number();
        Ok(line)
    }

    fn push(&mut self, id: CommitId, side: impl IntoIterator<Item = (CommitId, u64)>) {
        self.reached.extend(side);
        self.ids.push(id);
        self.reached.insert(id, self.head_number());
    }

    /// Goes on by a landing.
    pub(crate) fn take(&mut self, landing: &VerifiedLanding) {
        self.push(*landing.id(), landing.brought().iter().copied());
        let number = self.head_number();
        for change in landing.changes() {
            match self.changed.get_mut(&change.path) {
                Some(numbers) => numbers.push(number),
                None => drop(self.changed.insert(change.path.clone(), vec![number])),
            }
        }
    }

    /// Takes back the newest landing, which is after the introduction.
    pub(crate) fn undo(&mut self, landing: &VerifiedLanding) {
        for change in landing.changes() {
            if let Some(numbers) = self.changed.get_mut(&change.path) {
                numbers.pop();
                if numbers.is_empty() {
                    self.changed.remove(&change.path);
                }
            }
        }
        for (commit, _) in landing.brought() {
            self.reached.remove(commit);
        }
        self.reached.remove(landing.id());
        let newest = self.ids.pop();
        debug_assert_eq!(newest.as_ref(), Some(landing.id()), "landings are taken back in reverse");
    }

    pub(crate) fn head_number(&self) -> u64 {
        self.ids.len() as u64
    }

    /// The number of a commit on the line.
    pub(crate) fn number_of(&self, commit: &CommitId) -> Option<u64> {
        let number = *self.reached.get(commit)?;
        (self.at(number) == Some(commit)).then_some(number)
    }

    /// The commit on the line with this number.
    pub(crate) fn at(&self, number: u64) -> Option<&CommitId> {
        self.ids.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// The number of the newest landing that a commit is or descends from; none where the line does not reach it.
    pub(crate) fn newest_landing(&self, commit: &CommitId) -> Option<u64> {
        self.reached.get(commit).copied()
    }

    /// The commits that `tips` reach and the line does not, parents before children; so many that their [`Skeleton::cost`]
    /// is within `limit`.
    ///
    /// # Errors
    /// One of them cannot be read now, or there are too many.
    pub(crate) fn side(
        &self,
        objects: &dyn ObjectSource,
        tips: &[CommitId],
        limit: usize,
    ) -> Result<Vec<SideCommit>, Fault> {
        enum Step {
            Enter(CommitId),
            Leave(CommitId, Option<Skeleton>),
        }
        let mut side: Vec<SideCommit> = Vec::new();
        let mut forks: HashMap<CommitId, u64> = HashMap::new();
        let mut open: Vec<Step> = tips.iter().rev().copied().map(Step::Enter).collect();
        let mut left = limit;
        while let Some(step) = open.pop() {
            match step {
                Step::Enter(id) => {
                    if self.reached.contains_key(&id) || forks.contains_key(&id) {
                        continue;
                    }
                    // 0 until its parents are known: nobody asks before.
                    forks.insert(id, 0);
                    let skeleton = match read_skeleton(objects, id) {
                        Ok(skeleton) => Some(skeleton),
                        Err(fault) if fault.is_passing() => return Err(fault),
                        Err(_) => None,
                    };
                    left = left.checked_sub(skeleton.as_ref().map_or(1, Skeleton::cost)).ok_or_else(|| {
                        let why =
                            format!("it brings more than {limit} commits, of which large ones count more than once");
                        Fault::new(codes::TOO_MANY_LANDINGS, why)
                    })?;
                    let parents = skeleton.as_ref().map(|skeleton| skeleton.parents.clone()).unwrap_or_default();
                    open.push(Step::Leave(id, skeleton));
                    open.extend(parents.into_iter().rev().map(Step::Enter));
                }
                Step::Leave(id, skeleton) => {
                    let parents = skeleton.iter().flat_map(|skeleton| &skeleton.parents);
                    let known = |parent| self.reached.get(parent).or_else(|| forks.get(parent)).copied();
                    let fork = parents.filter_map(known).max().unwrap_or(0);
                    forks.insert(id, fork);
                    side.push(SideCommit { id, skeleton, fork });
                }
            }
        }
        Ok(side)
    }

    /// Whether a landing after number `after`, up to number `to`, changed the path, even if it was undone since. The
    /// introduction counts as changing every path.
    pub(crate) fn changed_between(&self, path: &[u8], after: u64, to: u64) -> bool {
        if after >= to {
            return false;
        }
        if after < self.introduced {
            return true;
        }
        let numbers = std::str::from_utf8(path).ok().and_then(|path| self.changed.get(path));
        numbers.is_some_and(|numbers| {
            let next = numbers.partition_point(|number| *number <= after);
            numbers.get(next).is_some_and(|number| *number <= to)
        })
    }
}

pub(crate) fn read_skeleton(objects: &dyn ObjectSource, id: CommitId) -> Result<Skeleton, Fault> {
    let raw = objects::read(objects, &id, ObjectKind::Commit)?;
    Skeleton::parse(&raw, id.as_bytes().len())
}

fn skeleton(objects: &dyn ObjectSource, id: CommitId) -> Result<Skeleton, Refusal> {
    read_skeleton(objects, id).map_err(|fault| fault.at(id))
}
