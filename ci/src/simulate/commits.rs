//! The two commits between which a fleet changes, as the history has them.

use bellwether_core::declare::Declared;
use bellwether_core::objects::ObjectError;
use bellwether_core::verify::{Stop, VerifiedHistory};
use bellwether_schemas::{CommitId, codes};

use crate::failure::Failure;
use crate::history::{Objects, first_with_policy, refused};
use crate::repo::{WorkingCopy, git};

/// A verified history, and what it declares at two of its landings.
pub(super) struct Commits {
    pub(super) objects: Objects,
    pub(super) history: VerifiedHistory,
    /// At the first one; none where it is the next release after the second one.
    pub(super) before: Option<Declared>,
    pub(super) after: Declared,
}

/// Reads the history up to `to`, and what it declares there and at `from`: by default the landing before. Where there is none, it
/// is the next change that is asked for.
pub(super) fn read(copy: &WorkingCopy, from: Option<&str>, to: &str, next: bool) -> Result<Commits, Failure> {
    copy.require_whole_history()?;
    let tip = copy.resolve("--to", to)?;
    let from = from.map(|from| copy.resolve("--from", from)).transpose()?;
    let objects = Objects::of(copy.git());
    let unreadable = |e: ObjectError| git("an object cannot be read", &e);
    let (introduction, branch) = first_with_policy(copy.git(), &tip)?;
    let (mut history, first) = VerifiedHistory::introduce(&objects, &introduction, &branch).map_err(refused)?;
    let advanced = history.advance(&objects, &tip, jiff::Timestamp::now());
    match advanced.stop {
        None => {}
        Some(Stop::Refused(refusal)) => return Err(refused(refusal)),
        Some(Stop::Rewound { .. }) => {
            return Err(Failure::finding(codes::GIT_FAILED, "the history is not in one line"));
        }
    }
    let from = match (next, from) {
        (true, _) => None,
        (false, Some(from)) => Some(landing(&history, first.number(), &from)?),
        (false, None) => history.head_number().checked_sub(1).filter(|before| *before >= first.number()),
    };
    if from.is_some_and(|from| from >= history.head_number()) {
        return Err(Failure::new(codes::USAGE, "--from is not before --to")
            .hint("--from names the older landing: what devices run; --to the newer one: what they shall run."));
    }
    let mut after = Declared::introduce(&objects, &first).map_err(unreadable)?;
    let mut before = None;
    for landing in &advanced.landings {
        if from == Some(after.head().number) {
            before = Some(after.clone());
        }
        after.land(&objects, landing).map_err(unreadable)?;
    }
    Ok(Commits { objects, history, before, after })
}

/// The number of a landing that is named.
fn landing(history: &VerifiedHistory, first: u64, commit: &CommitId) -> Result<u64, Failure> {
    let number = history.number_of(commit).filter(|number| *number >= first);
    number.ok_or_else(|| {
        let message = format!("--from: {} is no landing of the history that leads to --to", commit.short());
        Failure::new(codes::USAGE, message).hint(
            "Landings are the commits on the first-parent line: git log --first-parent --oneline. --from is the older one.",
        )
    })
}
