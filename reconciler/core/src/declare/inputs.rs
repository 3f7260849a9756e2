//! What a fleet's target is made of (docs/decisions/0007): equal inputs mean the same target.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_schemas::manifest::{Fleet, SelectorIndex};
use bellwether_schemas::{FleetName, ObjectId, Sha256Digest};
use rayon::prelude::*;

use super::{Facts, Inventory, Subject};
use crate::verify::TreeEntry;

/// The files that a template names.
pub(super) fn source_paths(fleet: &Fleet) -> impl Iterator<Item = &str> {
    let files = fleet.template.files.iter().filter_map(|file| file.source.as_deref());
    files.chain(fleet.template.artifacts.iter().filter_map(|artifact| artifact.source.path.as_deref()))
}

/// Subjects with the digests of their facts.
pub(super) type Members = BTreeMap<Subject, Sha256Digest>;

/// The members of each of these fleets that git knows: each subject is looked at once.
pub(super) fn members<'f>(
    fleets: &'f BTreeMap<FleetName, Arc<Fleet>>,
    inventory: &Inventory,
) -> BTreeMap<&'f FleetName, Members> {
    let index = SelectorIndex::new(fleets.iter().map(|(name, fleet)| (&fleet.selector, name)));
    let look = |subject: Subject| {
        let facts = inventory.subject_facts(&subject);
        let selecting = index.matching(&facts.labels);
        (!selecting.is_empty()).then(|| {
            let selecting: Vec<&FleetName> = selecting.into_iter().copied().collect();
            (subject, facts_digest(&facts), selecting)
        })
    };
    let subjects: Vec<Subject> =
        if fleets.is_empty() { Vec::new() } else { inventory.subjects().into_iter().collect() };
    let found: Vec<_> = subjects.into_par_iter().filter_map(look).collect();
    let mut members: BTreeMap<&FleetName, Members> = BTreeMap::new();
    for (subject, digest, selecting) in found {
        for fleet in selecting {
            members.entry(fleet).or_default().insert(subject.clone(), digest);
        }
    }
    members
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
