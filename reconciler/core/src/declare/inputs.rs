//! What a fleet's target is made of (docs/decisions/0007): equal inputs mean the same target.

use std::collections::{BTreeMap, BTreeSet};

use bellwether_schemas::manifest::Fleet;
use bellwether_schemas::{ObjectId, Sha256Digest};

use super::{Facts, Inventory, Subject};
use crate::verify::TreeEntry;

/// The files that a template names.
pub(super) fn source_paths(fleet: &Fleet) -> impl Iterator<Item = &str> {
    let files = fleet.template.files.iter().filter_map(|file| file.source.as_deref());
    files.chain(fleet.template.artifacts.iter().filter_map(|artifact| artifact.source.path.as_deref()))
}

/// The members of a fleet that git knows, with the digests of their facts.
pub(super) fn members(
    fleet: &Fleet,
    inventory: &Inventory,
    subjects: &BTreeSet<Subject>,
) -> BTreeMap<Subject, Sha256Digest> {
    subjects
        .iter()
        .filter_map(|subject| {
            let facts = inventory.subject_facts(subject);
            fleet.selector.matches(&facts.labels).then(|| (subject.clone(), facts_digest(&facts)))
        })
        .collect()
}

/// The digest of labels and variables.
pub(super) fn facts_digest(facts: &Facts) -> Sha256Digest {
    let text = serde_json::to_vec(&(&facts.labels, &facts.vars)).expect("labels and variables are JSON already");
    Sha256Digest::of(&text)
}

/// The digest of a fleet's inputs: its manifest, the contents it names, and the labels and variables of its members.
pub(super) fn inputs(
    blob: &ObjectId,
    sources: &BTreeMap<String, TreeEntry>,
    members: &BTreeMap<Subject, Sha256Digest>,
) -> Sha256Digest {
    let sources: Vec<_> = sources.iter().map(|(path, entry)| (path, entry.id)).collect();
    let members: Vec<_> = members
        .iter()
        .map(|(subject, facts)| match subject {
            Subject::Device(device) => ("device", device.as_str(), facts),
            Subject::Unnamed(enrollment, _) => ("unnamed", enrollment.as_str(), facts),
        })
        .collect();
    Sha256Digest::of(&serde_json::to_vec(&(blob, sources, members)).expect("texts and ids are JSON"))
}
