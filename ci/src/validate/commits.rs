//! Commits that decisions and pins name. One that is no landing decides nothing, and nobody would notice.

use std::cell::RefCell;
use std::collections::BTreeSet;

use bellwether_schemas::manifest::AnyManifest;
use bellwether_schemas::yaml::FieldPath;
use bellwether_schemas::{CommitId, codes};

use super::finding::Finding;
use super::manifests::Manifests;
use crate::failure::Failure;
use crate::history::first_parents;
use crate::repo::WorkingCopy;

/// Manifests that name a commit which is no landing of what is checked out. None where git does not know it all: there is no
/// repository or no commit, or the clone lacks older ones.
pub(super) fn problems(manifests: &Manifests) -> Result<Vec<Finding>, Failure> {
    let named = manifests.parsed.iter().filter_map(|(path, manifest)| {
        let (commit, field) = commit_of(manifest)?;
        Some((path, commit, field))
    });
    let named: Vec<_> = named.collect();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let Ok(copy) = WorkingCopy::discover(&manifests.root) else { return Ok(Vec::new()) };
    let Some(head) = copy.head()?.filter(|_| !copy.is_shallow()) else { return Ok(Vec::new()) };
    let head = CommitId::from_bytes(head.as_slice()).expect("a git id has 20 or 32 bytes");
    let unknown = unknown(&copy, &head, named.iter().map(|(_, commit, _)| **commit).collect())?;
    let told = named.into_iter().filter(|(_, commit, _)| unknown.contains(commit)).map(|(path, commit, field)| {
        let is_there = commit.as_bytes().len() == head.as_bytes().len() && copy.has(commit);
        let field = FieldPath::of(field);
        Finding::error(codes::COMMIT_NOT_IN_HISTORY, path, field, message(commit, is_there)).hint(hint(is_there))
    });
    Ok(told.collect())
}

/// The commit that a manifest names, and the field that does.
fn commit_of(manifest: &AnyManifest) -> Option<(&CommitId, &'static str)> {
    match manifest {
        AnyManifest::Approval(approval) => Some((&approval.spec.commit, "spec.commit")),
        AnyManifest::Expedite(expedite) => Some((&expedite.spec.commit, "spec.commit")),
        AnyManifest::Device(device) => device.spec.pin.as_ref().map(|pin| (&pin.commit, "spec.pin.commit")),
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
