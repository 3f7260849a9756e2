//! Entries of Enrollments, across files and against the last commit: what the reconciler would not take as it is written.

use std::collections::BTreeMap;
use std::path::Path;

use bellwether_core::admission::Proof;
use bellwether_core::declare::changed_proof;
use bellwether_schemas::diagnostic::Diagnostic;
use bellwether_schemas::manifest::{AnyManifest, Enrollment};
use bellwether_schemas::{DeviceName, EntryId, codes, yaml};

/// A problem, and what it is about in the file.
pub(super) type About = (Diagnostic, String);

/// Devices that more than one Enrollment names.
pub(super) fn named_twice(manifests: &BTreeMap<String, AnyManifest>) -> Vec<About> {
    let mut first: BTreeMap<&DeviceName, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for (path, enrollment) in enrollments(manifests) {
        // A revoked entry gives its device free.
        let tokens = enrollment.tokens.iter().filter(|token| token.revoked != Some(true));
        let keys = enrollment.approved.iter().filter(|key| key.revoked != Some(true));
        for device in tokens.filter_map(|token| token.device.as_ref()).chain(keys.map(|key| &key.device)) {
            match first.get(device) {
                Some(other) if *other != path => {
                    let message = format!("{device} is named in {other} already");
                    let problem = Diagnostic::error(codes::CONTRADICTION, path, message);
                    found.push((
                        problem.hint(
                            "one Enrollment at most names a device; to move it, set revoked: true on its entry there",
                        ),
                        device.to_string(),
                    ));
                }
                Some(_) => {}
                None => drop(first.insert(device, path)),
            }
        }
    }
    found
}

/// Entries that list another token or key than in the last commit, or in the one before it.
pub(super) fn changed(root: &Path, manifests: &BTreeMap<String, AnyManifest>) -> Vec<About> {
    let Ok(repo) = gix::open(root) else { return Vec::new() };
    let Ok(head) = repo.head_commit() else { return Vec::new() };
    let parent = head.parent_ids().next().and_then(|id| repo.find_commit(id).ok());
    let mut found = Vec::new();
    for (path, enrollment) in enrollments(manifests) {
        let before: Vec<_> = parent.iter().chain([&head]).filter_map(|commit| committed(commit, path)).collect();
        let mut known: BTreeMap<&EntryId, Proof> = BTreeMap::new();
        for (id, proof) in before.iter().flat_map(proofs) {
            // The first that was listed counts.
            known.entry(id).or_insert(proof);
        }
        let is_other = |(id, proof): &(&EntryId, Proof)| known.get(id).is_some_and(|known| !known.is_same(proof));
        found.extend(proofs(enrollment).filter(is_other).map(|(id, proof)| {
            let about = match proof {
                Proof::Token { hash, .. } => hash,
                Proof::Key { fingerprint } => fingerprint,
            };
            (changed_proof(path, id, &proof), about.to_string())
        }));
    }
    found
}

fn proofs(enrollment: &Enrollment) -> impl Iterator<Item = (&EntryId, Proof)> {
    let tokens = enrollment.tokens.iter();
    let tokens = tokens.map(|token| (&token.id, Proof::Token { hash: token.sha256, expires: token.expires }));
    tokens.chain(enrollment.approved.iter().map(|key| (&key.id, Proof::Key { fingerprint: key.fingerprint })))
}

fn enrollments(manifests: &BTreeMap<String, AnyManifest>) -> impl Iterator<Item = (&str, &Enrollment)> {
    manifests.iter().filter_map(|(path, manifest)| match manifest {
        AnyManifest::Enrollment(enrollment) => Some((path.as_str(), &enrollment.spec)),
        _ => None,
    })
}

/// An Enrollment as a commit has it; what does not parse there counts for nothing.
fn committed(commit: &gix::Commit<'_>, path: &str) -> Option<Enrollment> {
    let entry = commit.tree().ok()?.lookup_entry_by_path(path).ok()??;
    match yaml::parse(path, &entry.object().ok()?.detach().data) {
        Ok(AnyManifest::Enrollment(enrollment)) => Some(enrollment.spec),
        _ => None,
    }
}
