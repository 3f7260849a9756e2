//! The newest commits of the current branch that nobody of the policy signed: what squash and rebase buttons make.
//!
//! The verifier refuses the branch at the first of them, and then shows only that one.

use std::path::Path;

use bellwether_core::verify::{Fault, POLICY_PATH};
use bellwether_schemas::diagnostic::{Diagnostic, Severity};
use bellwether_schemas::{CommitId, codes};

use crate::failure::Failure;
use crate::history::{committer_is_author, first_parents, parents, policy_at, signed_by, summary_of};
use crate::repo::WorkingCopy;

/// So many commits are looked at; whoever has more of them has seen the warning.
const LOOKED_AT: usize = 100;

/// The warning about what is checked out.
pub(super) fn of_head(root: &Path) -> Result<Option<Diagnostic>, Failure> {
    let Ok(copy) = WorkingCopy::discover(root) else { return Ok(None) };
    let Some(head) = copy.head()? else { return Ok(None) };
    warning(&copy, &CommitId::from_bytes(head.as_slice()).expect("a git id has 20 or 32 bytes"))
}

/// The warning, if the commit has one parent and is signed by nobody of the policy before it.
pub(super) fn warning(copy: &WorkingCopy, tip: &CommitId) -> Result<Option<Diagnostic>, Failure> {
    let mut at = *tip;
    let mut found: Vec<(CommitId, Fault)> = Vec::new();
    while found.len() < LOOKED_AT {
        // A merge may be clean and need no signature; what has no policy before it introduces the rest.
        let [parent] = parents(copy, &at)?[..] else { break };
        // A shallow clone, as CI makes it, ends somewhere.
        if !copy.has(&parent) {
            break;
        }
        let Some(Ok(policy)) = policy_at(copy, &parent)? else { break };
        match signed_by(copy, &at, &policy)? {
            Ok(_) => break,
            Err(fault) => found.push((at, fault)),
        }
        at = parent;
    }
    let Some((newest, fault)) = found.first() else { return Ok(None) };
    let more = match found.len() - 1 {
        0 => String::new(),
        1 => " and the commit before it".to_owned(),
        more => format!(" and {more} commits before it"),
    };
    let title = summary_of(copy, newest)?;
    // What the verifier judges is a landing; this is a commit yet.
    let why = if fault.code == codes::COMMIT_UNSIGNED { "it has no signature" } else { &fault.why };
    let message = format!("nobody of the policy signed {} ({title:?}){more}: {why}", newest.short());
    let pushed = is_pushed(copy, newest)?;
    let buttons = "squash and rebase buttons make such commits: turn them off on the hosting service, and merge with a merge \
                   commit";
    let again = match found.len() {
        1 => "git commit --amend --no-edit -S".to_owned(),
        _ => format!("git rebase --exec \"git commit --amend --no-edit -S\" {}", at.short()),
    };
    let hint = if !pushed && committer_is_author(copy, newest)? {
        format!("sign before you push: {again}; who may sign is shown by bellwether trust show")
    } else if !pushed {
        format!("{buttons}. Sign before you push: {again}")
    } else {
        format!(
            "{buttons}. Leave them out: git switch --detach {} && git merge -s ours --no-ff -S -m Repair {2} && git push origin \
             HEAD:{}. Then commit again, signed, what was good in them: git checkout {2} -- PATHS",
            at.short(),
            copy.branch()?,
            newest.short(),
        )
    };
    let problem = Diagnostic::error(codes::SQUASH_OR_REBASE, POLICY_PATH, message).hint(hint);
    Ok(Some(Diagnostic { severity: Severity::Warning, ..problem }))
}

/// Whether a branch of a server has the commit, as far as this clone knows. Only its newest commits are looked at.
fn is_pushed(copy: &WorkingCopy, commit: &CommitId) -> Result<bool, Failure> {
    let Ok(branch) = copy.branch() else { return Ok(false) };
    let name = format!("refs/remotes/origin/{branch}");
    let Ok(Some(mut found)) = copy.git().try_find_reference(&name) else { return Ok(false) };
    let Ok(tip) = found.peel_to_id() else { return Ok(false) };
    let tip = CommitId::from_bytes(tip.as_bytes()).expect("a git id has 20 or 32 bytes");
    let left = std::cell::Cell::new(LOOKED_AT);
    let line = first_parents(copy, &tip, |id| id == commit || left.replace(left.get().saturating_sub(1)) == 0)?;
    Ok(line.last().map_or(Ok(vec![tip]), |last| parents(copy, last))?.first() == Some(commit))
}
