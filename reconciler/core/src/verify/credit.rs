//! Who stands for what a clean merge brings: whoever wrote the landed entries, and whoever endorsed them.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_schemas::{CommitId, PersonName, codes};
use jiff::Timestamp;

use super::branch::{Branch, BranchCommit, Parent, PathId};
use super::commit::{Commit, trailer};
use super::diff::PathChange;
use super::landing::signer_of;
use super::line::Line;
use super::policy::Policy;
use super::refusal::Fault;
use crate::objects::{self, ObjectKind, ObjectSource};

/// Steps of who stands for which path, over all commits of a branch and all who endorse.
const MAX_STEPS: usize = 10_000_000;
/// Signatures that are checked for one branch.
const MAX_SIGNATURES: usize = 20_000;

/// The trailer of an endorsement, with the id of its parent.
pub const ENDORSES: &str = "Endorses";

/// Who stands for the paths that a clean merge changes, beside its signer.
#[derive(Debug, Default)]
pub(crate) struct Credits {
    /// For each path of the landing, in order.
    pub(crate) wrote: Vec<BTreeSet<PersonName>>,
    pub(crate) endorsed: Vec<BTreeSet<PersonName>>,
    /// The newest date that one of them signed.
    pub(crate) spoken: Option<Timestamp>,
}

/// A person who signed a commit of the branch, and when.
struct Author {
    person: PersonName,
    signed: Timestamp,
}

/// The landed paths that a commit has as they landed, each with who endorsed it on the way there.
type Landed = BTreeMap<usize, BTreeSet<usize>>;

impl Credits {
    /// Goes back from the branch's tip, for each path through the commits that have the landed entry, to whoever wrote it.
    /// `changes` are those of a clean merge, so the tip has every landed entry.
    ///
    /// An endorsement stands for what was written below it; what a branch has of old is endorsed by nobody. A merge that
    /// keeps an entry against a change of the line, which one of its parents lacks, has written it: somebody must have
    /// signed that choice.
    ///
    /// # Errors
    /// A commit cannot be read now, or the branch is too large.
    pub(crate) fn of(
        branch: &Branch,
        line: &Line,
        changes: &[PathChange],
        policy: &Policy,
        objects: &dyn ObjectSource,
    ) -> Result<Self, Fault> {
        let paths: Vec<Option<PathId>> = changes.iter().map(|change| branch.path_id(change.path.as_bytes())).collect();
        let mut walk = Walk { line, changes, paths, endorsers: Vec::new(), credits: Self::empty(changes.len()) };
        let mut authors = Authors { objects, policy, left: MAX_SIGNATURES };
        // The paths at which each commit, reached through others that have it too, has the landed entry.
        let mut landed: Vec<Landed> = vec![Landed::new(); branch.commits.len()];
        if let Some(tip) = landed.first_mut() {
            *tip = (0..changes.len()).map(|path| (path, BTreeSet::new())).collect();
        }
        let mut steps = 0;
        for (at, commit) in branch.commits.iter().enumerate() {
            let here = std::mem::take(&mut landed[at]);
            let known: usize = here.values().map(|endorsers| 1 + endorsers.len()).sum();
            steps += known * commit.parents.len().max(1);
            if steps > MAX_STEPS {
                return Err(Fault::new(codes::TREE_TOO_LARGE, "the branch has too many commits and paths to compare"));
            }
            walk.visit(commit, here, &mut landed, &mut authors)?;
        }
        Ok(walk.credits)
    }

    fn empty(paths: usize) -> Self {
        Self { wrote: vec![BTreeSet::new(); paths], endorsed: vec![BTreeSet::new(); paths], spoken: None }
    }
}

struct Walk<'a> {
    line: &'a Line,
    changes: &'a [PathChange],
    paths: Vec<Option<PathId>>,
    /// Each once, with the newest date.
    endorsers: Vec<Author>,
    credits: Credits,
}

impl Walk<'_> {
    fn visit(
        &mut self,
        commit: &BranchCommit,
        here: Landed,
        landed: &mut [Landed],
        authors: &mut Authors<'_>,
    ) -> Result<(), Fault> {
        let mut wrote: Vec<(usize, BTreeSet<usize>)> = Vec::new();
        let mut kept = Vec::new();
        for (path, endorsers) in here {
            let from = self.kept_from(commit, path);
            if !from.is_empty() {
                kept.push((path, endorsers, from));
            } else if !commit.parents.is_empty() || self.paths[path].is_some_and(|id| commit.wrote(id)) {
                // A commit without parents did not write what it lacks.
                wrote.push((path, endorsers));
            }
        }
        if !wrote.is_empty() {
            let author = authors.of(commit.id)?;
            for (path, endorsers) in wrote {
                self.credit(path, author.as_ref().map(|(author, _)| author), &endorsers);
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        let endorser = self.endorser(commit, authors)?;
        for (path, mut endorsers, from) in kept {
            endorsers.extend(endorser);
            for parent in from {
                if let Some(place) = commit.parents[parent].place {
                    landed[place].entry(path).or_default().extend(endorsers.iter().copied());
                }
            }
        }
        Ok(())
    }

    /// The parents that have the landed entry too, and from which the commit did not choose it against the line.
    fn kept_from(&self, commit: &BranchCommit, path: usize) -> Vec<usize> {
        let (id, name) = (self.paths[path], self.changes[path].path.as_bytes());
        let has_it = |parent: &Parent| id.is_none_or(|id| !parent.differs.contains(&id));
        let is_merge = commit.parents.len() > 1;
        let chosen = |parent: &Parent| is_merge && self.line.changed_between(name, parent.fork, commit.fork);
        let kept = commit.parents.iter().enumerate().filter(|(_, parent)| has_it(parent) && !chosen(parent));
        kept.map(|(at, _)| at).collect()
    }

    /// Who endorses by a commit that is an endorsement: empty, of its only parent, by a person who counts.
    fn endorser(&mut self, commit: &BranchCommit, authors: &mut Authors<'_>) -> Result<Option<usize>, Fault> {
        let [parent] = commit.parents.as_slice() else { return Ok(None) };
        if !parent.differs.is_empty() || !authors.endorses(commit.id)? {
            return Ok(None);
        }
        let Some((author, true)) = authors.of(commit.id)? else { return Ok(None) };
        let known = self.endorsers.iter().position(|endorser| endorser.person == author.person);
        match known {
            Some(at) => self.endorsers[at].signed = self.endorsers[at].signed.max(author.signed),
            None => self.endorsers.push(author),
        }
        Ok(known.or_else(|| self.endorsers.len().checked_sub(1)))
    }

    fn credit(&mut self, path: usize, author: Option<&Author>, endorsers: &BTreeSet<usize>) {
        let endorsers = endorsers.iter().map(|at| &self.endorsers[*at]);
        for endorser in endorsers {
            self.credits.endorsed[path].insert(endorser.person.clone());
            self.credits.spoken = self.credits.spoken.max(Some(endorser.signed));
        }
        if let Some(author) = author {
            self.credits.wrote[path].insert(author.person.clone());
            self.credits.spoken = self.credits.spoken.max(Some(author.signed));
        }
    }
}

/// Finds out who signed commits of the branch.
struct Authors<'a> {
    objects: &'a dyn ObjectSource,
    policy: &'a Policy,
    left: usize,
}

impl Authors<'_> {
    /// Who signed the commit, and whether it endorses its parent. None where no person who counts has validly signed it:
    /// nothing about it can cause a refusal.
    fn of(&mut self, id: CommitId) -> Result<Option<(Author, bool)>, Fault> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            Fault::new(codes::TREE_TOO_LARGE, format!("more than {MAX_SIGNATURES} signatures of the branch matter"))
        })?;
        let raw = objects::read(self.objects, &id, ObjectKind::Commit)?;
        let Ok(commit) = Commit::parse(&raw, id.as_bytes().len()) else { return Ok(None) };
        let Ok(person) = signer_of(&commit, self.policy) else { return Ok(None) };
        let endorses = commit.parents.len() == 1 && endorsed(&raw) == commit.parents.first().copied();
        Ok(Some((Author { person, signed: commit.committed }, endorses)))
    }

    /// Whether the commit says that it endorses something: cheaper than its signature.
    fn endorses(&self, id: CommitId) -> Result<bool, Fault> {
        Ok(endorsed(&objects::read(self.objects, &id, ObjectKind::Commit)?).is_some())
    }
}

fn endorsed(raw: &[u8]) -> Option<CommitId> {
    trailer(raw, ENDORSES)?.parse().ok()
}
