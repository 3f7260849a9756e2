//! Random small histories: the verifier agrees with the reference about every landing of each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bellwether_core::verify::VerifiedHistory;
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
#[derive(Debug, Clone, Copy)]
enum Style {
    ThreeWay,
    Ours,
    Theirs,
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
    let style = prop_oneof![4 => Just(Style::ThreeWay), 1 => Just(Style::Ours), 1 => Just(Style::Theirs)];
    let second = prop_oneof![Just(None), (any::<Index>(), style).prop_map(Some)];
    // Merges as git makes them are the most frequent ones.
    let edits = prop_oneof![2 => Just(Vec::new()), 3 => prop::collection::vec(edit(), 1..3)];
    let endorses = prop_oneof![5 => Just(None), 1 => any::<Index>().prop_map(Some)];
    let stolen = prop::bool::weighted(0.05);
    (any::<Index>(), second, edits, endorses, who(), stolen)
        .prop_map(|(first, second, edits, endorses, who, stolen)| Step { first, second, edits, endorses, who, stolen })
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
        let draft = match step.second {
            // An endorsement stands on what it endorses, or beside it.
            _ if step.endorses.is_some() => h.endorse(first),
            None => h.on(first),
            Some((second, style)) => {
                let second = *second.get(&commits);
                match style {
                    Style::ThreeWay => h.merge(first, second),
                    Style::Ours => h.on(first).parents(&[first, second]),
                    Style::Theirs => h.on(second).parents(&[first, second]),
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

/// Judges the line that ends in `tip`, from the newest commit on that can be an introduction.
fn compare(h: &History, tip: CommitId, judged: &Judged, begun: &mut Begun) -> Result<(), TestCaseError> {
    let line = reference::line(h, tip);
    let introduces = |id: &&CommitId| {
        let it = h.recorded(id);
        let policy = h.policy_at(id).expect("each commit has a policy");
        it.sound && policy.person(it.signer).is_some_and(|person| policy.is_member("owners", person))
    };
    let Some(introduction) = line[1..].iter().find(introduces) else { return Ok(()) };
    let mut expected = (0, BTreeSet::new());
    for id in line.iter().take_while(|id| *id != introduction).collect::<Vec<_>>().into_iter().rev() {
        let codes = &judged[id];
        if !codes.is_empty() {
            expected.1 = codes.clone();
            break;
        }
        expected.0 += 1;
    }
    let begin = || h.try_introduce(*introduction).expect("an owner signed it");
    let (landed, refusal) = h.advance_from(begun.entry(*introduction).or_insert_with(begin), tip);
    let found = refusal.as_ref().map(|refusal| refusal.code);
    let agreed = landed == expected.0 && found.map_or(expected.1.is_empty(), |code| expected.1.contains(&code));
    prop_assert!(
        agreed,
        "by the rules, {} landings count and then {:?}; the verifier counts {landed} and then says {refusal:?}; tip {}, introduction {}\n{h}",
        expected.0,
        expected.1,
        tip.short(),
        introduction.short(),
    );
    Ok(())
}

#[test]
fn hostile_random_histories_are_judged_as_the_rules_say() {
    let seen = Mutex::new(Seen::new());
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1500);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let policy = prop_oneof![Just(one()), Just(two())];
    let result = runner.run(&(policy, prop::collection::vec(step(), 3..12)), |(policy, steps)| {
        let (h, commits) = write(&policy, &steps);
        let judged: Judged = commits[1..].iter().map(|id| (*id, reference::judge(&h, *id))).collect();
        count(&h, &judged, &mut seen.lock().expect("no test panicked"));
        let mut begun = Begun::new();
        commits[2..].iter().try_for_each(|tip| compare(&h, *tip, &judged, &mut begun))
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
