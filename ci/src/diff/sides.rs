//! Both sides of a change, from git: the base as it was verified, and what the head would make of it.

use bellwether_core::declare::{Declared, Proposal};
use bellwether_core::plan::Landing;
use bellwether_core::verify::{PathChange, VerifiedHistory};
use bellwether_schemas::{CommitId, codes};
use jiff::Timestamp;

use crate::failure::Failure;
use crate::history::{HistoryOptions, Objects, Verifier, first_parents, refused};
use crate::repo::{WorkingCopy, git};

/// Both sides of a change.
pub(super) struct Read {
    pub(super) objects: Objects,
    pub(super) history: VerifiedHistory,
    pub(super) base: CommitId,
    pub(super) head: CommitId,
    pub(super) before: Declared,
    pub(super) after: Proposal,
    pub(super) changes: Vec<PathChange>,
    /// When the head was committed: everything here is reckoned from then on, so that it comes out the same each time.
    pub(super) at: Timestamp,
}

pub(super) fn read(copy: &WorkingCopy, base: &str, head: &str, options: &HistoryOptions) -> Result<Read, Failure> {
    let (base, head) = (copy.resolve("--base", base)?, copy.resolve("--head", head)?);
    if head != base && copy.is_ancestor(&head, &base)? {
        let message = format!("--head {} is in --base {} already", head.short(), base.short());
        return Err(Failure::new(codes::USAGE, message).hint(
            "--base names what devices run, --head what they would run. Of a landing: --base COMMIT~1 --head COMMIT",
        ));
    }
    let verifier = Verifier::of(copy, &base, options)?;
    let (mut history, before) = verifier.declared(&base)?;
    let objects = verifier.objects;
    let changes = match history.plan_landing(&objects, &head) {
        Ok(changes) => changes,
        Err(refusal) if refusal.code == codes::MERGE_UNCLEAN => {
            let paths = history.merge_conflicts(&objects, &head).map_err(refused)?;
            let message = format!("--base and --head both changed, since the branch began: {}", paths.join(", "));
            return Err(Failure::finding(codes::MERGE_CONFLICT, message)
                .hint("Merge the base into the branch, signed (git merge -S), resolve it there, and compare again."));
        }
        Err(refusal) => return Err(refused(refusal)),
    };
    let line = first_parents(copy, &head, |id| *id == base || history.number_of(id).is_some())?;
    let goes_on =
        line.last().map_or(Ok(Vec::new()), |oldest| crate::history::parents(copy, oldest))?.first() == Some(&base);
    // Merged, it is one landing, whose commit is not there yet.
    let landings = if goes_on { u64::try_from(line.len()).unwrap_or(1) } else { 1 };
    let landing = Landing { commit: head, number: before.head().number + landings };
    let unreadable = |e| git("an object of the repository cannot be read", &e);
    let after = before.propose(&objects, landing, &changes).map_err(unreadable)?;
    let at = copy.committed_at(&head)?;
    Ok(Read { objects, history, base, head, before, after, changes, at })
}
