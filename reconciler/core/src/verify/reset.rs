//! Signed resets: a policy on a branch that gives up the accepted head, signed as that head's own policy asks.

use bellwether_schemas::{CommitId, codes};

use super::diff::Trees;
use super::examine;
use super::history::VerifiedHistory;
use super::landing::Case;
use super::policy::POLICY_PATH;
use super::refusal::{Fault, Refusal};
use crate::objects::ObjectSource;

/// Whether a branch that lacks the accepted head gives it up by a signed reset: a policy with `abandons: <accepted head>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reset {
    /// No policy on it names the accepted head.
    None,
    /// One does, and does not count.
    Refused(Refusal),
    /// One does, signed as the abandoned head's policy asks: the branch is the accepted history from now on.
    Signed,
}

/// Looks for a reset of the head of `abandoned` on `branch`, of which the landings from `place` on are its own.
pub(super) fn find_reset(
    objects: &dyn ObjectSource,
    abandoned: &VerifiedHistory,
    branch: &mut VerifiedHistory,
    place: usize,
) -> Reset {
    let mut refused = Reset::None;
    for at in place..branch.landings().len() {
        let landing = &branch.landings()[at];
        let before = &branch.landings()[at - 1];
        let names_it = landing.policy().manifest().abandons.as_ref() == Some(abandoned.head());
        if !names_it || landing.policy_version() == before.policy_version() {
            continue;
        }
        let (id, version) = (*landing.id(), landing.policy_version());
        match branch.before_landing(at, |branch| counts(objects, abandoned, branch, id, version)) {
            Ok(()) => return Reset::Signed,
            Err(fault) => refused = Reset::Refused(fault.at(id)),
        }
    }
    refused
}

/// Whether the landing `id`, whose first parent is the head of `branch`, satisfies the abandoned head's rules.
fn counts(
    objects: &dyn ObjectSource,
    abandoned: &VerifiedHistory,
    branch: &mut VerifiedHistory,
    id: CommitId,
    version: u64,
) -> Result<(), Fault> {
    let policy = abandoned.policy();
    let refused = |why: String| Fault::new(codes::RESET_REFUSED, why).path(POLICY_PATH);
    if version <= policy.version() {
        let why = format!("its policy has version {version}, and the abandoned head's has {}", policy.version());
        return Err(refused(why));
    }
    let base = branch.newest().clone();
    let mut examined = examine::now(objects, id, base.shared_policy())?;
    let mut trees = Trees { objects, cache: &mut branch.trees };
    let changes = examined.changes(&mut trees, Some(base.tree()))?;
    let case = Case::open(&mut trees, &branch.line, &examined, &changes, abandoned.newest().shared_policy())?;
    // Who stands for a path says nothing about the first parent: somebody must vouch for the line that goes on here.
    case.signer.clone().and_then(|signer| policy.check_introducer(&signer)).map_err(|fault| {
        refused(format!("nobody who may change the abandoned head's policy signed the landing itself: {}", fault.why))
    })?;
    let at = changes.iter().position(|change| change.path == POLICY_PATH);
    let people: Vec<_> = at.map(|at| case.stand_for(at)).unwrap_or_default().into_iter().collect();
    policy.check(POLICY_PATH, &people).map_err(|fault| {
        let why = format!("by the abandoned head's policy {}", fault.why);
        Fault { code: codes::RESET_REFUSED, why, ..fault }
    })
}
