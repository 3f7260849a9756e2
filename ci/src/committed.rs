//! What is said of a commit that the command made: whether it counts as it is, and what is left to do.

use bellwether_core::verify::Fault;
use bellwether_schemas::CommitId;

use crate::failure::Failure;
use crate::history::{HistoryOptions, Verifier, parents, refused};
use crate::repo::WorkingCopy;

/// What a commit on the current branch comes to.
enum Worth {
    Counts,
    Refused(Fault),
    /// The branch is not the one that the policy is for.
    Aside {
        branch: String,
        watched: String,
    },
}

/// Says what comes next, and what is not in the commit.
pub(crate) fn next(copy: &WorkingCopy, commit: &CommitId) -> String {
    let next = counts_when(copy, commit);
    // The commit is made; a file that cannot be looked at is no reason to say that it is not.
    match copy.left_out() {
        Ok(Some(files)) => format!("{next}\nOther changes are not in it, and stay as they are: {files} (git status)."),
        _ => next,
    }
}

fn counts_when(copy: &WorkingCopy, commit: &CommitId) -> String {
    // The commit is made; why it cannot be judged is for `trust check` to tell.
    let Ok(worth) = worth(copy, commit) else {
        return "It counts when it is pushed (git push), if what it stands on does: bellwether trust check".to_owned();
    };
    match worth {
        Worth::Counts => "It counts when it is pushed: git push".to_owned(),
        Worth::Refused(fault) => format!(
            "Pushed as it is, it would be refused ({}): {}. Put it on a branch, let another person of the role endorse it \
             (bellwether trust endorse), and land it (bellwether land BRANCH).",
            fault.code, fault.why
        ),
        Worth::Aside { branch, watched } => format!(
            "It counts when {watched} has it: git push, and then the merge button, or: git switch {watched} && bellwether land \
             {branch}"
        ),
    }
}

fn worth(copy: &WorkingCopy, commit: &CommitId) -> Result<Worth, Failure> {
    let verifier = Verifier::of(copy, commit, &HistoryOptions::default())?;
    let Some(parent) = parents(copy, commit)?.first().copied() else { return Ok(Worth::Counts) };
    let branch = copy.branch()?;
    if branch != verifier.branch {
        return Ok(Worth::Aside { branch, watched: verifier.branch });
    }
    let mut history = verifier.up_to(&parent)?;
    let refusal = history.explain(&verifier.objects, commit).map_err(refused)?.refusal;
    Ok(refusal.map_or(Worth::Counts, Worth::Refused))
}
