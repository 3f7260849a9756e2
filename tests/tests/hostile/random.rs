//! Random small histories: the verifier agrees with the reference about every landing of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bellwether_core::verify::{Refusal, VerifiedHistory};
use bellwether_schemas::{Code, CommitId, codes};
use bellwether_tests::hostile::{Draft, History, PolicyText, Who, reference};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};

use super::{one, two};

const PATHS: [&str; 5] = ["files/a", "files/b", "files/b/x", "notes/c", "notes/d"];

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
struct Step {
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

fn step() -> impl Strategy<Value = Step> {
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

/// Writes the commits, on top of an introduction by Alice and a commit before it.
fn write(first: &PolicyText, steps: &[Step]) -> (History, Vec<CommitId>) {
    let mut h = History::empty();
    let root = h.root().policy(first).write("files/b/x", "0").by(Who::Nobody);
    let introduction = h.on(root).write("files/a", "0").by(Who::Alice);
    let mut commits = vec![root, introduction];
    for step in steps {
        let first = *step.first.get(&commits);
        let draft = match &step.second {
            _ if step.orphan => h.root(),
            // An endorsement stands on what it endorses, or beside it.
            _ if step.endorses.is_some() => h.endorse(first),
            None => h.on(first),
            Some((second, style)) => {
                let second = *second.get(&commits);
                let fork = h.fork(first, second);
                match (style, fork) {
                    (Style::Octopus(third), _) => h.on(first).parents(&[first, second, *third.get(&commits)]),
                    (Style::ThreeWay, Some(fork)) => h.merge_from(fork, first, second),
                    (Style::Ours | Style::ThreeWay, _) => h.on(first).parents(&[first, second]),
                    (Style::Theirs, _) => h.on(second).parents(&[first, second]),
                }
            }
        };
        // Half of all endorsements are what they should be.
        let draft = match step.endorses {
            Some(other) if other.index(2) == 1 => draft.endorses(*other.get(&commits)),
            Some(_) => {
                commits.push(draft.by(step.who));
                continue;
            }
            None => draft,
        };
        let draft = step.edits.iter().fold(draft, |draft, edit| apply(draft, edit, &commits));
        commits.push(if step.stolen { draft.with_signature_of(introduction) } else { draft.by(step.who) });
    }
    (h, commits)
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

/// How often merges were judged that change something, by the code if they were refused.
type Seen = BTreeMap<Option<Code>, usize>;

/// Histories that begin at an introduction.
type Begun = BTreeMap<CommitId, VerifiedHistory>;

/// What the reference says about each commit.
type Judged = BTreeMap<CommitId, BTreeSet<Code>>;

fn count(h: &History, judged: &Judged, seen: &mut Seen) {
    for (id, codes) in judged {
        if let [ours, _] = h.recorded(id).parents[..]
            && h.files(id) != h.files(&ours)
        {
            *seen.entry(codes.first().copied()).or_default() += 1;
        }
    }
}

/// Judges the line that ends in `tip`: in one go from the newest commit on that can be an introduction, and landing by
/// landing from the oldest.
fn compare(h: &History, tip: CommitId, judged: &Judged, begun: &mut Begun) -> Result<(), TestCaseError> {
    let line = reference::line(h, tip);
    let introduces = |id: &CommitId| {
        let it = h.recorded(id);
        let person = h.policy_at(id).and_then(|policy| Some((policy, policy.person(it.signer)?)));
        it.sound && person.is_some_and(|(policy, person)| policy.is_member("owners", person))
    };
    let newest = line[1..].iter().position(introduces);
    let oldest = line[1..].iter().rposition(introduces);
    for (introduction, stepwise) in [(newest, false), (oldest, true)] {
        let Some(at) = introduction else { return Ok(()) };
        let landings: Vec<CommitId> = line[..=at].iter().rev().copied().collect();
        let pushes = if stepwise { landings.as_slice() } else { &landings[landings.len() - 1..] };
        let begin = || h.try_introduce(line[at + 1]).expect("an owner signed it");
        let found = h.advance_from(begun.entry(line[at + 1]).or_insert_with(begin), pushes);
        agree(h, &landings, judged, found)?;
    }
    Ok(())
}

/// Compares what was found for a line of landings with what the reference says about each.
fn agree(
    h: &History,
    landings: &[CommitId],
    judged: &Judged,
    (landed, refusal): (usize, Option<Refusal>),
) -> Result<(), TestCaseError> {
    let count = landings.iter().take_while(|id| judged[id].is_empty()).count();
    let why = landings.get(count).map(|id| &judged[id]);
    let agreed = landed == count
        && match (&refusal, why) {
            (Some(refusal), Some(why)) => why.contains(&refusal.code),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
    let line: Vec<String> = landings.iter().map(CommitId::short).collect();
    prop_assert!(
        agreed,
        "of {line:?}, by the rules {count} count and then {why:?}; by the verifier {landed}, and then {refusal:?}\n{h}"
    );
    Ok(())
}

#[test]
fn hostile_random_histories_are_judged_as_the_rules_say() {
    let seen = Mutex::new(Seen::new());
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let policy = prop_oneof![Just(one()), Just(two())];
    let result = runner.run(&(policy, prop::collection::vec(step(), 3..12)), |(policy, steps)| {
        let (h, commits) = write(&policy, &steps);
        // Only what follows a policy can be a landing.
        let follows = |id: &&CommitId| h.recorded(id).parents.first().is_some_and(|first| h.policy_at(first).is_some());
        let judged: Judged = commits.iter().filter(follows).map(|id| (*id, reference::judge(&h, *id))).collect();
        count(&h, &judged, &mut seen.lock().expect("no test panicked"));
        let mut begun = Begun::new();
        commits[2..]
            .iter()
            .filter(|id| !h.recorded(id).parents.is_empty())
            .try_for_each(|tip| compare(&h, *tip, &judged, &mut begun))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // The histories are worth something only if they reach every outcome of a merge.
    let seen = seen.into_inner().expect("no test panicked");
    let least = usize::try_from(cases).expect("a small number") / 50;
    for code in [None, Some(codes::SIGNER_NOT_IN_ROLE), Some(codes::NOT_ENOUGH_SIGNERS), Some(codes::MERGE_UNCLEAN)] {
        let count = seen.get(&code).copied().unwrap_or_default();
        assert!(count >= least, "{count} merges were judged with {code:?}: {seen:?}");
    }
}
