//! Entries of Enrollments, across files and against the last commit: what the reconciler would not take as it is written.

use std::collections::BTreeMap;

use bellwether_core::admission::Proof;
use bellwether_core::declare::{Declared, changed_proof};
use bellwether_schemas::manifest::{AnyManifest, Enrollment, Token};
use bellwether_schemas::yaml::FieldPath;
use bellwether_schemas::{CommitId, DeviceName, EntryId, codes, yaml};
use jiff::Timestamp;

use super::base;
use super::finding::Finding;
use super::manifests::Manifests;

/// Entries that name a device of another Enrollment, that changed, or that have expired. What `declared` is told of goes back
/// to the introduction, else only to the last commits.
pub(super) fn problems(
    manifests: &Manifests,
    base: Option<&CommitId>,
    declared: Option<&Declared>,
    now: Timestamp,
) -> Vec<Finding> {
    let repo = gix::open(&manifests.root).ok();
    let committed = repo.as_ref().map(|repo| Committed::of(repo, base));
    let mut found = named_twice(manifests);
    for (path, name, enrollment) in manifests.enrollments() {
        let before = committed.as_ref().map(|committed| committed.versions(path)).unwrap_or_default();
        match declared {
            Some(declared) => found.extend(changed(path, enrollment, |id| base::proof(declared, name, id))),
            None => {
                let known = first_listed(&before);
                found.extend(changed(path, enrollment, |id| known.get(id)));
            }
        }
        found.extend(expired(path, enrollment, &before, now));
    }
    found
}

/// Devices that more than one Enrollment names.
fn named_twice(manifests: &Manifests) -> Vec<Finding> {
    let mut first: BTreeMap<&DeviceName, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for (path, _, enrollment) in manifests.enrollments() {
        let tokens = enrollment.tokens.iter().enumerate();
        let tokens = tokens.map(|(place, token)| ("tokens", place, token.device.as_ref(), token.revoked));
        let keys = enrollment.approved.iter().enumerate();
        let keys = keys.map(|(place, key)| ("approved", place, Some(&key.device), key.revoked));
        // A revoked entry gives its device free.
        for (list, place, device, _) in tokens.chain(keys).filter(|entry| entry.3 != Some(true)) {
            let Some(device) = device else { continue };
            match first.get(device) {
                Some(other) if *other != path => {
                    let message = format!("{device} is named in {other} already");
                    let field = FieldPath::of("spec").key(list).item(place).key("device");
                    found.push(Finding::error(codes::CONTRADICTION, path, field, message).hint(
                        "one Enrollment at most names a device; to move it, set revoked: true on its entry there",
                    ));
                }
                Some(_) => {}
                None => drop(first.insert(device, path)),
            }
        }
    }
    found
}

/// Entries that list another token or key than what they are known by.
fn changed<'k>(path: &str, enrollment: &Enrollment, known: impl Fn(&EntryId) -> Option<&'k Proof>) -> Vec<Finding> {
    let changed = proofs(enrollment).filter_map(|(id, proof, field)| {
        let is_other = known(id).is_some_and(|known| !known.is_same(&proof));
        is_other.then(|| Finding::of(changed_proof(path, id, &proof), field))
    });
    changed.collect()
}

/// What each entry was first listed with, which counts.
fn first_listed(before: &[Enrollment]) -> BTreeMap<&EntryId, Proof> {
    let mut known = BTreeMap::new();
    for (id, proof, _) in before.iter().flat_map(proofs) {
        known.entry(id).or_insert(proof);
    }
    known
}

/// Tokens that nobody can use any more. One that is new was never of use; of those that were committed the file is told once,
/// for they may have been used.
fn expired(path: &str, enrollment: &Enrollment, before: &[Enrollment], now: Timestamp) -> Vec<Finding> {
    let newest = before.last();
    let is_old = |token: &Token| newest.is_some_and(|newest| newest.tokens.iter().any(|old| old.id == token.id));
    let tokens = enrollment.tokens.iter().enumerate();
    let expired = tokens.filter(|(_, token)| token.expires <= now && token.revoked != Some(true));
    let (old, new): (Vec<_>, Vec<_>) = expired.partition(|(_, token)| is_old(token));
    let field = |place: usize| FieldPath::of("spec.tokens").item(place).key("expires");
    let mut found: Vec<_> = new
        .into_iter()
        .map(|(place, token)| {
            let message =
                format!("the token {} has expired at {}: no device can enroll with it", token.id, token.expires);
            let problem = Finding::error(codes::TOKEN_EXPIRED, path, field(place), message);
            problem.hint(format!("make another: {}", mint(path)))
        })
        .collect();
    if let Some((place, token)) = old.first() {
        let message = match old.len() {
            1 => format!("the token {} has expired at {}: no device can enroll with it", token.id, token.expires),
            many => {
                format!("{many} tokens have expired, {} at {}: no device can enroll with them", token.id, token.expires)
            }
        };
        let problem = Finding::warning(codes::TOKEN_EXPIRED, path, field(*place), message);
        found.push(problem.hint(format!(
            "delete what has expired; that shuts out no device which enrolled with it. For one that did not: {}",
            mint(path)
        )));
    }
    found
}

/// The command that makes another token.
fn mint(path: &str) -> String {
    format!("bellwether token mint {}", path.trim_start_matches("enrollments/").trim_end_matches(".yaml"))
}

/// The entries of an Enrollment, and the field of what proves each.
fn proofs(enrollment: &Enrollment) -> impl Iterator<Item = (&EntryId, Proof, FieldPath)> {
    let field = |list: &str, place, key: &str| FieldPath::of("spec").key(list).item(place).key(key);
    let tokens = enrollment.tokens.iter().enumerate();
    let tokens = tokens.map(move |(place, token)| {
        (&token.id, Proof::Token { hash: token.sha256, expires: token.expires }, field("tokens", place, "sha256"))
    });
    let keys = enrollment.approved.iter().enumerate();
    let keys = keys.map(move |(place, key)| {
        (&key.id, Proof::Key { fingerprint: key.fingerprint }, field("approved", place, "fingerprint"))
    });
    tokens.chain(keys)
}

/// The commits that the working tree is compared with.
struct Committed<'r>(Vec<gix::Commit<'r>>);

impl<'r> Committed<'r> {
    /// The last commit and the one before it, and what the branch will be merged into.
    fn of(repo: &'r gix::Repository, base: Option<&CommitId>) -> Self {
        let head = repo.head_commit().ok();
        let parent = head.as_ref().and_then(|head| repo.find_commit(head.parent_ids().next()?).ok());
        let base = base.and_then(|base| repo.find_commit(gix::ObjectId::from_bytes_or_panic(base.as_bytes())).ok());
        Self(match base {
            Some(base) => vec![base],
            None => parent.into_iter().chain(head).collect(),
        })
    }

    /// An Enrollment as these commits have it, oldest first; what does not parse there counts for nothing.
    fn versions(&self, path: &str) -> Vec<Enrollment> {
        self.0.iter().filter_map(|commit| version(commit, path)).collect()
    }
}

fn version(commit: &gix::Commit<'_>, path: &str) -> Option<Enrollment> {
    let entry = commit.tree().ok()?.lookup_entry_by_path(path).ok()??;
    match yaml::parse(path, &entry.object().ok()?.detach().data) {
        Ok(AnyManifest::Enrollment(enrollment)) => Some(enrollment.spec),
        _ => None,
    }
}
