//! Commits without any plan: whatever the rules say, something of it comes up.

use bellwether_schemas::CommitId;
use bellwether_tests::hostile::{Draft, History, PolicyText, Who};
use proptest::prelude::*;
use proptest::sample::Index;

use super::PATHS;
use crate::{one, two};

/// What a commit does to its files.
#[derive(Debug, Clone)]
enum Edit {
    Write(usize, u8),
    Remove(usize),
    Executable(usize),
    Take(usize, Index),
    TakeAll(Index),
    Policy(usize),
}

/// How a merge begins.
#[derive(Debug, Clone)]
enum Style {
    ThreeWay,
    Ours,
    Theirs,
    Octopus(Index),
}

/// A commit of a random history. Indexes choose among the commits before it.
#[derive(Debug, Clone)]
pub(super) struct Step {
    first: Index,
    second: Option<(Index, Style)>,
    edits: Vec<Edit>,
    endorses: Option<Index>,
    who: Who,
    /// Whether the signature is another commit's.
    stolen: bool,
    /// Whether it has no parents.
    orphan: bool,
}

fn edit() -> impl Strategy<Value = Edit> {
    let path = || 0..PATHS.len();
    prop_oneof![
        8 => (path(), 0..3_u8).prop_map(|(path, value)| Edit::Write(path, value)),
        3 => path().prop_map(Edit::Remove),
        1 => path().prop_map(Edit::Executable),
        4 => (path(), any::<Index>()).prop_map(|(path, from)| Edit::Take(path, from)),
        1 => any::<Index>().prop_map(Edit::TakeAll),
        1 => (0..3_usize).prop_map(Edit::Policy),
    ]
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![
        6 => Just(Who::Alice),
        4 => Just(Who::Nobody),
        4 => Just(Who::Bob),
        2 => Just(Who::Carol),
        1 => Just(Who::CarolsLaptop),
        2 => Just(Who::Mallory),
        1 => Just(Who::Bot),
        1 => Just(Who::Forge),
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let style = prop_oneof![
        12 => Just(Style::ThreeWay),
        3 => Just(Style::Ours),
        3 => Just(Style::Theirs),
        1 => any::<Index>().prop_map(Style::Octopus),
    ];
    let second = prop_oneof![Just(None), (any::<Index>(), style).prop_map(Some)];
    // Merges as git makes them are the most frequent ones.
    let edits = prop_oneof![2 => Just(Vec::new()), 3 => prop::collection::vec(edit(), 1..3)];
    let endorses = prop_oneof![5 => Just(None), 1 => any::<Index>().prop_map(Some)];
    let stolen = prop::bool::weighted(0.05);
    let orphan = prop::bool::weighted(0.02);
    (any::<Index>(), second, edits, endorses, who(), stolen, orphan).prop_map(
        |(first, second, edits, endorses, who, stolen, orphan)| Step {
            first,
            second,
            edits,
            endorses,
            who,
            stolen,
            orphan,
        },
    )
}

/// Policies that landings may bring, in rising versions.
fn policies() -> [PolicyText; 3] {
    [
        one().version(2).without("mallory"),
        two().version(3).with_member("owners", "bob"),
        two().version(4).signers("notes", 2).without("bob"),
    ]
}

/// Writes the commits on top of those that are there, of which the second is signed by Alice.
pub(super) fn write(h: &mut History, commits: &mut Vec<CommitId>, steps: &[Step]) {
    for step in steps {
        let first = *step.first.get(commits);
        let draft = match &step.second {
            _ if step.orphan => h.root(),
            // An endorsement stands on what it endorses, or beside it.
            _ if step.endorses.is_some() => h.endorse(first),
            None => h.on(first),
            Some((second, style)) => {
                let second = *second.get(commits);
                let fork = h.fork(first, second);
                match (style, fork) {
                    (Style::Octopus(third), _) => h.on(first).parents(&[first, second, *third.get(commits)]),
                    (Style::ThreeWay, Some(fork)) => h.merge_from(fork, first, second),
                    (Style::Ours | Style::ThreeWay, _) => h.on(first).parents(&[first, second]),
                    (Style::Theirs, _) => h.on(second).parents(&[first, second]),
                }
            }
        };
        // Half of all endorsements are what they should be.
        let draft = match step.endorses {
            Some(other) if other.index(2) == 1 => draft.endorses(*other.get(commits)),
            Some(_) => {
                commits.push(draft.by(step.who));
                continue;
            }
            None => draft,
        };
        let draft = step.edits.iter().fold(draft, |draft, edit| apply(draft, edit, commits));
        commits.push(if step.stolen { draft.with_signature_of(commits[1]) } else { draft.by(step.who) });
    }
}

fn apply<'h>(draft: Draft<'h>, edit: &Edit, commits: &[CommitId]) -> Draft<'h> {
    match edit {
        Edit::Write(path, value) => draft.write(PATHS[*path], &value.to_string()),
        Edit::Executable(path) => draft.entry(PATHS[*path], "100755", "0"),
        Edit::Remove(path) => draft.remove_if_there(PATHS[*path]),
        Edit::Take(path, from) => draft.take(PATHS[*path], *from.get(commits)),
        Edit::TakeAll(from) => draft.take_all(*from.get(commits)),
        Edit::Policy(number) => draft.policy(&policies()[*number]),
    }
}
