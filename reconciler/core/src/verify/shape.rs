//! What a landing's tree must hold: a policy, the fleets it had, and every blob it names.

use bellwether_schemas::manifest::Kind;
use bellwether_schemas::{ObjectId, codes};

use super::diff::{PathChange, Trees};
use super::policy::POLICY_PATH;
use super::refusal::Fault;
use super::tree::Node;
use crate::objects::{self, ObjectKind, ObjectSource};

/// The blob of the policy in `tree`, whose first parent's policy is `before`.
pub(super) fn policy_blob(
    trees: &mut Trees<'_>,
    tree: &ObjectId,
    changes: &[PathChange],
    before: Option<ObjectId>,
) -> Result<ObjectId, Fault> {
    let change = changes.binary_search_by(|change| change.path.as_str().cmp(POLICY_PATH));
    let blob = change.map_or(before, |at| changes[at].after.map(|entry| entry.id));
    if let Some(blob) = blob {
        return Ok(blob);
    }
    for kind in Kind::ALL {
        if has_manifests(trees, tree, kind)? {
            return Err(Fault::new(codes::POLICY_MISSING, format!("{POLICY_PATH} is missing")).path(POLICY_PATH));
        }
    }
    Err(Fault::new(codes::NO_MANIFESTS, "the tree has no manifest at all"))
}

fn has_manifests(trees: &mut Trees<'_>, tree: &ObjectId, kind: Kind) -> Result<bool, Fault> {
    let Some(Node::Folder(folder)) = trees.find(tree, &[kind.folder()])? else { return Ok(false) };
    let folder = trees.read(&folder)?;
    Ok(folder.iter().any(|(name, node)| matches!(node, Node::File(_)) && name.ends_with(b".yaml")))
}

/// Refuses a landing that takes every fleet of its first parent away.
pub(super) fn keeps_a_fleet(
    trees: &mut Trees<'_>,
    before: &ObjectId,
    after: &ObjectId,
    changes: &[PathChange],
) -> Result<(), Fault> {
    let folder = Kind::Fleet.folder();
    let loses_one = changes.iter().any(|change| change.after.is_none() && change.path.starts_with(folder));
    if !loses_one || has_manifests(trees, after, Kind::Fleet)? || !has_manifests(trees, before, Kind::Fleet)? {
        return Ok(());
    }
    Err(Fault::new(codes::EVERY_FLEET_LOST, "the landing leaves no fleet of those its first parent has").path(folder))
}

/// A fetch is not checked for connectivity: what a landing adds must be there.
pub(super) fn has_all_blobs(objects: &dyn ObjectSource, changes: &[PathChange]) -> Result<(), Fault> {
    for change in changes {
        if let Some(entry) = &change.after {
            objects::expect(objects, &entry.id, ObjectKind::Blob)
                .map_err(|error| Fault::from(error).path(&change.path))?;
        }
    }
    Ok(())
}
