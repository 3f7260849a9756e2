//! The newest commits of the current branch that nobody of the policy signed: what squash and rebase buttons make.
//!
//! The verifier refuses the branch at the first of them, and then shows only that one.

use std::path::Path;

use bellwether_core::verify::Fault;
use bellwether_schemas::diagnostic::{Diagnostic, Severity};
use bellwether_schemas::{CommitId, codes};

use crate::failure::Failure;
use crate::history::{committer_is_author, first_changed, first_parents, parents, policy_at, signed_by, summary_of};
use crate::repo::WorkingCopy;

/// So many commits are looked at; whoever has more of them has seen the warning.
const LOOKED_AT: usize = 100;

const BUTTONS: &str = "squash and rebase buttons make such commits: turn them off on the hosting service, and merge with a \
                       merge commit";

/// The warning about what is checked out.
pub(super) fn of_head(root: &Path) -> Result<Option<Diagnostic>, Failure> {
    let Ok(copy) = WorkingCopy::discover(root) else { return Ok(None) };
    let Some(head) = copy.head()? else { return Ok(None) };
    warning(&copy, &CommitId::from_bytes(head.as_slice()).expect("a git id has 20 or 32 bytes"))
}

/// The newest commits of a line that nobody of the policy signed.
struct Unsigned {
    newest: CommitId,
    /// Why the newest of them does not count.
    fault: Fault,
    count: usize,
    /// The commit before all of them.
    before: CommitId,
}

impl Unsigned {
    /// Those up to `tip`, if it has one parent and is signed by nobody of the policy before it.
    fn of(copy: &WorkingCopy, tip: &CommitId) -> Result<Option<Self>, Failure> {
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
        let count = found.len();
        Ok(found.into_iter().next().map(|(newest, fault)| Self { newest, fault, count, before: at }))
    }

    /// The command that signs all of them.
    fn again(&self) -> String {
        match self.count {
            1 => "git commit --amend --no-edit -S".to_owned(),
            _ => format!("git rebase --exec \"git commit --amend --no-edit -S\" {}", self.before.short()),
        }
    }

    /// The commands that leave them out of a branch that a server has.
    fn repair(&self, branch: &str) -> String {
        let (before, newest) = (self.before.short(), self.newest.short());
        format!(
            "leave them out: git switch --detach {before} && git merge -s ours --no-ff -S -m Repair {newest} && git push origin \
             HEAD:{branch}. Then commit again, signed, what was good in them: git checkout {newest} -- PATHS"
        )
    }
}

/// The warning, if the commit has one parent and is signed by nobody of the policy before it.
pub(super) fn warning(copy: &WorkingCopy, tip: &CommitId) -> Result<Option<Diagnostic>, Failure> {
    let Some(unsigned) = Unsigned::of(copy, tip)? else { return Ok(None) };
    let Unsigned { newest, fault, .. } = &unsigned;
    let more = match unsigned.count - 1 {
        0 => String::new(),
        1 => " and the commit before it".to_owned(),
        more => format!(" and {more} commits before it"),
    };
    let title = summary_of(copy, newest)?;
    // What the verifier judges is a landing; this is a commit yet.
    let why = if fault.code == codes::COMMIT_UNSIGNED { "it has no signature" } else { &fault.why };
    let message = format!("nobody of the policy signed {} ({title:?}){more}: {why}", newest.short());
    let (pushed, again) = (is_pushed(copy, newest)?, unsigned.again());
    let hint = match unknown_key(fault) {
        Some(advice) if !pushed => format!("{advice}. Sign again before you push: {again}"),
        _ if pushed => format!("{BUTTONS}. The server has these: {}", unsigned.repair(&copy.branch()?)),
        _ if committer_is_author(copy, newest)? => {
            format!("sign before you push: {again}; who may sign is shown by bellwether trust show")
        }
        _ => format!("{BUTTONS}. Sign before you push: {again}"),
    };
    let place = first_changed(copy, newest)?;
    let problem = Diagnostic::error(codes::SQUASH_OR_REBASE, &place, message).hint(hint);
    Ok(Some(Diagnostic { severity: Severity::Warning, ..problem }))
}

/// What happened to a branch, and how it is mended, whose newest landings nobody of the policy signed.
pub(super) fn repair(copy: &WorkingCopy, tip: &CommitId, branch: &str) -> Result<Option<String>, Failure> {
    let Some(unsigned) = Unsigned::of(copy, tip)? else { return Ok(None) };
    let title = summary_of(copy, &unsigned.newest)?;
    let which = match unsigned.count {
        1 => format!("{} ({title:?}) is", unsigned.newest.short()),
        count => format!("the {count} newest commits up to {} ({title:?}) are", unsigned.newest.short()),
    };
    let advice = unknown_key(&unsigned.fault).unwrap_or_else(|| BUTTONS.to_owned());
    Ok(Some(format!("{which} signed by nobody of the policy; {advice}. On {branch}, {}", unsigned.repair(branch))))
}

/// What to do about a commit that somebody signed with a key which the policy does not know.
pub(super) fn unknown_key(fault: &Fault) -> Option<String> {
    if fault.code != codes::SIGNER_UNKNOWN {
        return None;
    }
    let how = match &fault.why {
        why if why.starts_with("the OpenPGP key") => "--openpgp KEY.asc",
        why if why.starts_with("the key") => "--ssh-key KEY.pub",
        _ => "--gitsign IDENTITY --issuer URL",
    };
    Some(format!(
        "sign with a key that bellwether trust show lists (git config user.signingKey KEY), or let somebody of the policy add \
         this one in a landing before: bellwether trust add PERSON {how}"
    ))
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
