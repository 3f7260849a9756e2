//! Commits that decisions and pins name. One that is no landing decides nothing, and nobody would notice.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bellwether_schemas::diagnostic::Diagnostic;
use bellwether_schemas::manifest::AnyManifest;
use bellwether_schemas::{CommitId, codes};

use super::entries::About;
use crate::failure::Failure;
use crate::history::first_parents;
use crate::repo::WorkingCopy;

/// Manifests that name a commit which is no landing of what is checked out. None where git does not know it all: there is no
/// repository or no commit, or the clone lacks older ones.
pub(super) fn not_landed(root: &Path, manifests: &BTreeMap<String, AnyManifest>) -> Result<Vec<About>, Failure> {
    let named: Vec<_> = manifests.iter().filter_map(|(path, manifest)| Some((path, commit_of(manifest)?))).collect();
    let Ok(copy) = WorkingCopy::discover(root) else { return Ok(Vec::new()) };
    let Some(head) = copy.head()?.filter(|_| !copy.is_shallow()) else { return Ok(Vec::new()) };
    let head = CommitId::from_bytes(head.as_slice()).expect("a git id has 20 or 32 bytes");
    let unknown = unknown(&copy, &head, named.iter().map(|(_, commit)| **commit).collect())?;
    let told = named.into_iter().filter(|(_, commit)| unknown.contains(commit)).map(|(path, commit)| {
        let is_there = commit.as_bytes().len() == head.as_bytes().len() && copy.has(commit);
        let problem = Diagnostic::error(codes::COMMIT_NOT_IN_HISTORY, path, message(commit, is_there));
        (problem.hint(hint(is_there)), commit.to_string())
    });
    Ok(told.collect())
}

fn commit_of(manifest: &AnyManifest) -> Option<&CommitId> {
    match manifest {
        AnyManifest::Approval(approval) => Some(&approval.spec.commit),
        AnyManifest::Expedite(expedite) => Some(&expedite.spec.commit),
        AnyManifest::Device(device) => device.spec.pin.as_ref().map(|pin| &pin.commit),
        // The commits of a Resume are missing: that is why it is there.
        AnyManifest::Resume(_)
        | AnyManifest::Fleet(_)
        | AnyManifest::Rollout(_)
        | AnyManifest::Enrollment(_)
        | AnyManifest::TrustPolicy(_)
        | AnyManifest::Hold(_) => None,
    }
}

/// Those of `wanted` that are not on the first-parent line of `head`. It is walked once, and no further than needed.
fn unknown(copy: &WorkingCopy, head: &CommitId, wanted: BTreeSet<CommitId>) -> Result<BTreeSet<CommitId>, Failure> {
    let wanted = RefCell::new(wanted);
    first_parents(copy, head, |commit| {
        let all_found = wanted.borrow().is_empty();
        wanted.borrow_mut().remove(commit);
        all_found
    })?;
    Ok(wanted.into_inner())
}

fn message(commit: &CommitId, is_there: bool) -> String {
    match is_there {
        true => format!("the commit {} is there, and is no landing of the branch", commit.short()),
        false => format!("there is no commit {}", commit.short()),
    }
}

fn hint(is_there: bool) -> &'static str {
    match is_there {
        true => "name a landing: git log --first-parent --oneline; if it landed on another branch, merge that first",
        false => "fetch what is missing and merge it, or name a landing: git log --first-parent --oneline",
    }
}
