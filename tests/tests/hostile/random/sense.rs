//! What two signers are for, said without the rules of merges: rule and reference might be wrong together.

use std::collections::BTreeSet;

use bellwether_schemas::CommitId;
use bellwether_tests::hostile::{History, reference};

/// The first path of a landing that counts for which too few people, each by a signed commit that knows what the line last
/// did to the path, chose the entry that landed.
pub(super) fn unfounded(h: &History, introduction: CommitId, landing: CommitId) -> Option<String> {
    let base = h.recorded(&landing).parents[0];
    let policy = h.policy_at(&base).expect("it was judged");
    let line = reference::line(h, base);
    let all = reference::ancestors(h, landing);
    let paths: BTreeSet<&String> = h.files(&landing).keys().chain(h.files(&base).keys()).collect();
    let mut changed = paths.into_iter().filter(|path| h.files(&landing).get(*path) != h.files(&base).get(*path));
    let founded = |path: &&String| {
        let entry = |commit: &CommitId| h.files(commit).get(*path);
        let last = line.iter().find(|id| **id == introduction || entry(id) != entry(&h.recorded(id).parents[0]));
        let last = last.expect("the introduction is on the line");
        let chose = |commit: &&CommitId| {
            let it = h.recorded(commit);
            let chose = it.endorses.is_some() || it.parents.iter().any(|parent| entry(parent) != entry(commit));
            it.sound && chose && entry(commit) == entry(&landing) && reference::ancestors(h, **commit).contains(last)
        };
        let people: BTreeSet<&str> =
            all.iter().filter(chose).filter_map(|commit| policy.person(h.recorded(commit).signer)).collect();
        let mut rules = policy.rules.iter().filter(|rule| path.starts_with(&format!("{}/", rule.folder)));
        rules.all(|rule| {
            let members = people.iter().filter(|person| policy.is_member(rule.role, person)).count();
            members >= usize::try_from(rule.signers).expect("a small number")
        })
    };
    changed.find(|path| !founded(path)).cloned()
}
