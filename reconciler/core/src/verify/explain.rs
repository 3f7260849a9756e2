//! The same judgement as `landing`, shown: who stands for each path, and which rule holds or fails.

use std::collections::BTreeMap;

use bellwether_schemas::{CommitId, PersonName};

use super::branch::Branch;
use super::diff::{Budget, Difference, PathChange, Trees};
use super::examine;
use super::history::VerifiedHistory;
use super::landing::{Case, judge};
use super::merge::{Merge, clean_changes};
use super::policy::RuleOutcome;
use super::refusal::{Fault, Refusal};
use crate::objects::ObjectSource;

/// How a landing was judged.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The landing.
    pub commit: CommitId,
    /// Its landing number.
    pub landing: u64,
    /// The version of the policy that judges it: that of its first parent.
    pub policy_version: u64,
    /// How it came to its content.
    pub merge: MergeKind,
    /// Who signed it, or why nobody who counts did.
    pub signer: Result<PersonName, Fault>,
    /// Every path that it changes, sorted.
    pub paths: Vec<PathExplanation>,
    /// Why it is refused, if it is.
    pub refusal: Option<Fault>,
}

/// How a landing came to its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeKind {
    /// It is no merge.
    None,
    /// Each path comes from the only side that changed it.
    Clean {
        /// How many commits the branch brings.
        commits: usize,
    },
    /// It is new content by its signer.
    Unclean {
        /// Why, and at which path.
        why: Fault,
    },
}

/// Who stands for a path that a landing changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathExplanation {
    /// The path.
    pub path: String,
    /// Who landed it: the landing's signer.
    pub landed: Option<PersonName>,
    /// Who wrote the landed entry on the branch.
    pub wrote: Vec<PersonName>,
    /// Who endorsed it there.
    pub endorsed: Vec<PersonName>,
    /// Every rule that matches the path.
    pub rules: Vec<RuleOutcome>,
    /// Why the path is refused, if it is.
    pub refusal: Option<Fault>,
}

/// A landing that a branch would be.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The commit; of a merge that is not there yet, the tip of the branch.
    pub commit: CommitId,
    /// What it changes, sorted by path.
    pub changes: Vec<PathChange>,
}

/// What landings change together, sorted by path.
pub fn joined(landings: &[Planned]) -> Vec<PathChange> {
    let mut joined: BTreeMap<&str, PathChange> = BTreeMap::new();
    for change in landings.iter().flat_map(|landing| &landing.changes) {
        let known = joined.entry(&change.path).or_insert_with(|| change.clone());
        known.after = change.after;
    }
    joined.into_values().filter(|change| change.before != change.after).collect()
}

impl VerifiedHistory {
    /// Judges the landing `commit`, whose first parent is the head, and says how. The head stays where it is.
    ///
    /// # Errors
    /// It cannot be read as a landing on the head.
    pub fn explain(&mut self, objects: &dyn ObjectSource, commit: &CommitId) -> Result<Explanation, Refusal> {
        self.explain_landing(objects, commit).map_err(|fault| fault.at(*commit))
    }

    fn explain_landing(&mut self, objects: &dyn ObjectSource, commit: &CommitId) -> Result<Explanation, Fault> {
        let parent = self.newest().clone();
        let mut examined = examine::now(objects, *commit, parent.shared_policy())?;
        let mut trees = Trees { objects, cache: &mut self.trees };
        let changes = examined.changes(&mut trees, Some(parent.tree()))?;
        let case = Case::open(&mut trees, &self.line, &examined, &changes, parent.shared_policy())?;
        let paths = changes.iter().enumerate().map(|(at, change)| explain_path(&case, at, change)).collect();
        let merge = match &case.merge {
            Merge::None => MergeKind::None,
            Merge::Clean(branch) => MergeKind::Clean { commits: branch.len() },
            Merge::Unclean(why) => MergeKind::Unclean { why: why.clone() },
        };
        let signer = case.signer.clone();
        let refusal = judge(&mut trees, &self.line, &mut self.policies, &parent, examined).err();
        let (landing, policy_version) = (parent.number() + 1, parent.policy_version());
        Ok(Explanation { commit: *commit, landing, policy_version, merge, signer, paths, refusal })
    }

    /// What a clean merge of the branch with the tip `tip` onto the head changes, sorted by path.
    ///
    /// # Errors
    /// Both sides changed a path, or the branch cannot be compared.
    pub fn plan_merge(&mut self, objects: &dyn ObjectSource, tip: &CommitId) -> Result<Vec<PathChange>, Refusal> {
        self.plan(objects, tip).map_err(|fault| fault.at(*tip))
    }

    /// The landings that the branch with the tip `tip` would be, oldest first: each commit of its first-parent line where that
    /// goes on from the head, else one clean merge, for which the tip stands. Whether they would count is not asked.
    ///
    /// # Errors
    /// Both sides changed a path, or the branch cannot be compared; all of it within the limits of one landing.
    pub fn plan_landings(&mut self, objects: &dyn ObjectSource, tip: &CommitId) -> Result<Vec<Planned>, Refusal> {
        let Some(line) = self.leads_on(objects, *tip)? else {
            return Ok(vec![Planned { commit: *tip, changes: self.plan_merge(objects, tip)? }]);
        };
        let (mut parent, mut budget) = (*self.newest().tree(), Budget::LANDING);
        let mut trees = Trees { objects, cache: &mut self.trees };
        let plan = |(commit, tree)| {
            let changes = trees.diff(Some(parent), tree, &mut budget).map_err(|fault| fault.at(commit))?;
            parent = tree;
            Ok(Planned { commit, changes })
        };
        line.into_iter().map(plan).collect()
    }

    /// Every path that both sides changed since the branch with the tip `tip` left the line, sorted.
    ///
    /// # Errors
    /// The branch cannot be compared.
    pub fn merge_conflicts(&mut self, objects: &dyn ObjectSource, tip: &CommitId) -> Result<Vec<String>, Refusal> {
        self.conflicts(objects, tip).map_err(|fault| fault.at(*tip))
    }

    fn conflicts(&mut self, objects: &dyn ObjectSource, tip: &CommitId) -> Result<Vec<String>, Fault> {
        let side = self.line.side(objects, &[*tip], usize::MAX)?;
        let mut trees = Trees { objects, cache: &mut self.trees };
        let branch = Branch::read(&mut trees, &self.line, *tip, &side)?;
        Ok(branch.conflicts(&self.line).map(super::name::shown).collect())
    }

    fn plan(&mut self, objects: &dyn ObjectSource, tip: &CommitId) -> Result<Vec<PathChange>, Fault> {
        let side = self.line.side(objects, &[*tip], usize::MAX)?;
        let mut trees = Trees { objects, cache: &mut self.trees };
        let branch = Branch::read(&mut trees, &self.line, *tip, &side)?;
        let differences = clean_changes(&mut trees, &self.line, &branch)?;
        differences.into_iter().map(Difference::into_change).collect()
    }
}

fn explain_path(case: &Case<'_>, at: usize, change: &PathChange) -> PathExplanation {
    let people: Vec<&PersonName> = case.stand_for(at).into_iter().collect();
    let credits = |people: &[std::collections::BTreeSet<PersonName>]| {
        people.get(at).into_iter().flatten().cloned().collect::<Vec<_>>()
    };
    PathExplanation {
        path: change.path.clone(),
        landed: case.signer.as_ref().ok().cloned(),
        wrote: credits(&case.credits.wrote),
        endorsed: credits(&case.credits.endorsed),
        rules: case.policy.outcomes(&change.path, &people),
        refusal: case.policy.check(&change.path, &people).err(),
    }
}
