//! Random small histories: the verifier agrees with the reference about every landing of each.

mod any;
mod sense;
mod team;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bellwether_core::verify::{Refusal, VerifiedHistory};
use bellwether_schemas::{Code, CommitId, codes};
use bellwether_tests::hostile::reference::{self, Part};
use bellwether_tests::hostile::{History, PolicyText, Who};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{one, two};

const PATHS: [&str; 5] = ["files/a", "files/b", "files/b/x", "notes/c", "notes/d"];

/// How a history goes on from its introduction.
#[derive(Debug, Clone)]
enum Plan {
    Any(Vec<any::Step>),
    Team(Vec<team::Move>),
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![
        1 => prop::collection::vec(any::step(), 3..12).prop_map(Plan::Any),
        1 => team::moves().prop_map(Plan::Team),
    ]
}

/// Writes the commits, on top of an introduction by Alice and a commit before it.
fn write(first: &PolicyText, plan: &Plan) -> (History, Vec<CommitId>) {
    let mut h = History::empty();
    let root = h.root().policy(first).write("files/b/x", "0").by(Who::Nobody);
    let introduction = h.on(root).write("files/a", "0").by(Who::Alice);
    let mut commits = vec![root, introduction];
    match plan {
        Plan::Any(steps) => any::write(&mut h, &mut commits, steps),
        Plan::Team(moves) => team::write(&mut h, &mut commits, moves),
    }
    (h, commits)
}

/// What was seen over all histories.
#[derive(Debug, Default)]
struct Seen {
    /// Merges that change something, by the code if they were refused.
    merges: BTreeMap<Option<Code>, usize>,
    /// Landings that would have been judged otherwise without that merges write what they keep against the line.
    kept: usize,
    /// Landings that would have been judged otherwise without that endorsements stand for what is below them.
    below: usize,
}

/// A history, what the verifier begins at its introductions, and what the reference says about each landing after one.
struct Bench<'h> {
    h: &'h History,
    begun: BTreeMap<CommitId, VerifiedHistory>,
    judged: BTreeMap<(CommitId, CommitId), BTreeSet<Code>>,
}

impl Bench<'_> {
    /// Judges the line that ends in `tip`: in one go from the newest commit on that can be an introduction, and landing by
    /// landing from the oldest.
    fn compare(&mut self, tip: CommitId) -> Result<(), TestCaseError> {
        let h = self.h;
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
            let introduction = line[at + 1];
            let landings: Vec<CommitId> = line[..=at].iter().rev().copied().collect();
            let pushes = if stepwise { landings.as_slice() } else { &landings[landings.len() - 1..] };
            let begin = || h.try_introduce(introduction).expect("an owner signed it");
            let found = h.advance_from(self.begun.entry(introduction).or_insert_with(begin), pushes);
            self.agree(introduction, &landings, found)?;
        }
        Ok(())
    }

    /// Compares what was found for a line of landings with what the reference says about each.
    fn agree(
        &mut self,
        introduction: CommitId,
        landings: &[CommitId],
        (landed, refusal): (usize, Option<Refusal>),
    ) -> Result<(), TestCaseError> {
        let h = self.h;
        let (mut count, mut why) = (0, None);
        for id in landings {
            let judge = || reference::judge(h, introduction, *id);
            let codes = self.judged.entry((introduction, *id)).or_insert_with(judge);
            if !codes.is_empty() {
                why = Some(codes.clone());
                break;
            }
            count += 1;
        }
        let agreed = landed == count
            && match (&refusal, &why) {
                (Some(refusal), Some(why)) => why.contains(&refusal.code),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
        let (begin, line) = (introduction.short(), landings.iter().map(CommitId::short).collect::<Vec<_>>());
        prop_assert!(
            agreed,
            "of {line:?} from {begin} on, by the rules {count} count and then {why:?}; by the verifier {landed}, and then \
             {refusal:?}\n{h}"
        );
        Ok(())
    }

    /// Whatever counts, people knew what they chose.
    fn makes_sense(&self) -> Result<(), TestCaseError> {
        for ((introduction, id), _) in self.judged.iter().filter(|(_, codes)| codes.is_empty()) {
            let unfounded = sense::unfounded(self.h, *introduction, *id);
            prop_assert!(
                unfounded.is_none(),
                "{} counts from {} on, and too few people chose its {unfounded:?}\n{}",
                id.short(),
                introduction.short(),
                self.h
            );
        }
        Ok(())
    }

    /// Counts what was compared.
    fn count(&self, seen: &mut Seen) {
        let h = self.h;
        for ((introduction, id), codes) in &self.judged {
            if let [ours, _] = h.recorded(id).parents[..]
                && h.files(id) != h.files(&ours)
            {
                *seen.merges.entry(codes.first().copied()).or_default() += 1;
                let decides = |part| reference::judge_without(part, h, *introduction, *id) != *codes;
                seen.kept += usize::from(decides(Part::KeptIsWritten));
                seen.below += usize::from(decides(Part::EndorsesWhatIsBelow));
            }
        }
    }
}

#[test]
fn hostile_random_histories_are_judged_as_the_rules_say() {
    let seen = Mutex::new(Seen::default());
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let policy = prop_oneof![Just(one()), Just(two())];
    let result = runner.run(&(policy, plan()), |(policy, plan)| {
        let (h, commits) = write(&policy, &plan);
        let mut bench = Bench { h: &h, begun: BTreeMap::new(), judged: BTreeMap::new() };
        // What has no parents is no landing.
        commits[2..].iter().filter(|id| !h.recorded(id).parents.is_empty()).try_for_each(|tip| bench.compare(*tip))?;
        bench.makes_sense()?;
        bench.count(&mut seen.lock().expect("no test panicked"));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    // The histories are worth something only if they reach every outcome of a merge, and each part of the rules decides.
    let seen = seen.into_inner().expect("no test panicked");
    let least = usize::try_from(cases).expect("a small number") / 50;
    for code in [None, Some(codes::SIGNER_NOT_IN_ROLE), Some(codes::NOT_ENOUGH_SIGNERS), Some(codes::MERGE_UNCLEAN)] {
        let count = seen.merges.get(&code).copied().unwrap_or_default();
        assert!(count >= least, "{count} merges were judged with {code:?}: {seen:?}");
    }
    assert!(seen.kept > 0 && seen.below > 0, "a part of the rules decided nothing: {seen:?}");
}
