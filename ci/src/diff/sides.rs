//! Both sides of a change, from git: the base as it was verified, and what the head would make of it.

use std::sync::Arc;

use bellwether_core::declare::{Declared, Proposal};
use bellwether_core::verify::{PathChange, VerifiedHistory, joined};
use bellwether_schemas::{CommitId, codes};
use jiff::Timestamp;

use crate::failure::Failure;
use crate::history::{HistoryOptions, Verifier, refused};
use crate::repo::{WorkingCopy, git};

/// Both sides of a change.
pub(super) struct Read {
    pub(super) verifier: Arc<Verifier>,
    pub(super) history: VerifiedHistory,
    pub(super) base: CommitId,
    pub(super) head: CommitId,
    /// The head, where the base has it already: nothing changes then.
    pub(super) landed: Option<CommitId>,
    pub(super) before: Declared,
    pub(super) after: Proposal,
    pub(super) changes: Vec<PathChange>,
    /// When the newer of both was committed: everything here is reckoned from then on, so that it comes out the same each time.
    pub(super) at: Timestamp,
}

pub(super) fn read(copy: &WorkingCopy, base: &str, head: &str, options: &HistoryOptions) -> Result<Read, Failure> {
    let (base, head) = (copy.resolve("--base", base)?, copy.resolve("--head", head)?);
    let common = copy.merge_bases(&base, &head)?;
    let landed = common.contains(&head).then_some(head);
    let verifier = Verifier::of(copy, &base, options)?;
    if common.is_empty() {
        let message = format!("--head {} and --base {} have no commit in common", head.short(), base.short());
        return Err(Failure::finding(codes::NOTHING_TO_LAND, message)
            .hint("Begin a branch at the base, and put the change on it: git switch --create NAME BASE"));
    }
    let (mut history, before) = verifier.declared(&base)?;
    let tip = if landed.is_some() { base } else { head };
    let landings = match history.plan_landings(&verifier.objects, &tip) {
        Ok(landings) => landings,
        Err(refusal) if refusal.code == codes::MERGE_UNCLEAN => {
            let paths = history.merge_conflicts(&verifier.objects, &head).map_err(refused)?;
            let message = format!("--base and --head both changed, since the branch began: {}", paths.join(", "));
            return Err(Failure::finding(codes::MERGE_CONFLICT, message)
                .hint("Merge the base into the branch, signed (git merge -S), resolve it there, and compare again."));
        }
        Err(refusal) => return Err(refused(refusal)),
    };
    let unreadable = |e| git("an object of the repository cannot be read", &e);
    let after = before.propose(&verifier.objects, &landings).map_err(unreadable)?;
    let changes = joined(&landings);
    // Whoever wrote the head chose its date: it must not be before that of the base.
    let at = copy.committed_at(&head)?.max(copy.committed_at(&base)?);
    Ok(Read { verifier: Arc::new(verifier), history, base, head, landed, before, after, changes, at })
}
