//! All pairs of what a device runs and what its reconciler was restored to, with the rules of both sides: who goes on, who
//! is paused, and what is offered and taken.
//!
//! The agent is its own state machine. The reconciler is its rules for reports and offers, around a memory that may be lost.

mod lines;
mod server;
mod unit;
mod walks;

use std::sync::LazyLock;

use bellwether_core::classify::{Pause, Standing};
use bellwether_schemas::manifest::Resume;
use bellwether_schemas::report::{Claim, Phase};
use bellwether_schemas::{CommitId, Seconds, Sha256Digest, codes};

use self::lines::{FIRST, Head, Lines, SECOND};
use self::server::{RECORDS, Records, Server};
use self::unit::Unit;

static LINES: LazyLock<Lines> = LazyLock::new(Lines::new);

/// More rounds than anything needs.
const ROUNDS: usize = 12;

/// How far the device came with its last offer before the reconciler was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Published, and the device has not looked.
    Unseen,
    /// Downloaded, and waiting for the word to apply it.
    Asked,
    /// Being applied, and that ends well later.
    Applying,
    /// Being applied when the power was cut, and that ends well after the start.
    CutOff,
    /// Healthy, and soaking.
    Soaking,
    /// Final.
    Committed,
    /// It failed, and is published still.
    Failed,
    /// It failed, and was withdrawn.
    Withdrawn,
}

const STAGES: [Stage; 8] = [
    Stage::Unseen,
    Stage::Asked,
    Stage::Applying,
    Stage::CutOff,
    Stage::Soaking,
    Stage::Committed,
    Stage::Failed,
    Stage::Withdrawn,
];

/// What a device lived through, and what its reconciler was restored to.
#[derive(Debug, Clone, Copy)]
struct Pair {
    /// The landing at which it got what it ran before; none for a new device.
    before: Option<usize>,
    /// The landing of its last offer.
    last: usize,
    stage: Stage,
    restored: Head,
    records: Records,
}

fn pairs() -> Vec<Pair> {
    let mut pairs = Vec::new();
    let heads = (1..=FIRST).map(Head::First).chain((3..=SECOND).map(Head::Second));
    for restored in heads {
        for records in RECORDS {
            for stage in STAGES {
                for last in 1..=FIRST {
                    let befores = std::iter::once(None).chain((1..last).map(Some));
                    pairs.extend(befores.map(|before| Pair { before, last, stage, restored, records }));
                }
            }
        }
    }
    pairs
}

/// A device and its reconciler.
struct Two {
    unit: Unit<'static>,
    server: Server<'static>,
}

impl Two {
    /// A pair after the reconciler was restored, and before the device reported.
    fn restored(pair: Pair) -> Self {
        let unit = Unit::new(&LINES);
        let server = Server::new(&LINES, Head::First(pair.before.unwrap_or(pair.last)));
        let mut two = Self { unit, server };
        if pair.before.is_some() {
            assert_eq!(two.settle(), None);
        }
        let old = two.server.known.clone();
        two.server.head = Head::First(pair.last);
        two.come_to(pair.stage);
        two.server.restore(pair.restored, pair.records, old, &mut two.unit);
        two.unit.begun.clear();
        two.unit.old = two.unit.running().map(|claim| claim.version);
        two
    }

    fn come_to(&mut self, stage: Stage) {
        let (target, before) = (self.server.target(), self.unit.running().map(|claim| claim.digest));
        match stage {
            Stage::Unseen => self.server.decide(&self.unit.report()),
            Stage::Asked => {
                self.pass();
            }
            Stage::Applying | Stage::CutOff => {
                self.unit.slow = true;
                self.rounds();
                if stage == Stage::CutOff {
                    self.unit.restart(self.server.known.offer.as_ref());
                }
            }
            Stage::Soaking => {
                self.server.soak = Seconds::minutes(60);
                self.rounds();
                self.server.soak = Seconds::ZERO;
            }
            Stage::Committed => {
                self.rounds();
            }
            Stage::Failed | Stage::Withdrawn => {
                self.unit.bad.insert(target);
                // Two reports until it is begun and has failed; the next one has it withdrawn.
                self.pass();
                self.pass();
                if stage == Stage::Withdrawn {
                    self.rounds();
                }
            }
        }
        if before != Some(target) {
            assert!(self.is_at(stage, target), "{stage:?}: {:?}", self.unit.report());
        }
    }

    /// Whether the device is where this stage is, on its way to what it did not run before.
    fn is_at(&self, stage: Stage, target: Sha256Digest) -> bool {
        let report = self.unit.state();
        let names = |claim: Option<Claim>| claim.is_some_and(|claim| claim.digest == target);
        let failed = report.failure.is_some_and(|failure| failure.digest == Some(target));
        let published = self.server.known.offer.as_ref().is_some_and(|offer| offer.digest == target);
        let last = self.unit.begun.last().map(|begun| begun.offer.digest);
        match stage {
            Stage::Unseen => published && self.unit.held.as_ref().is_none_or(|offer| offer.digest != target),
            Stage::Asked => names(report.applying) && last != Some(target),
            Stage::Applying | Stage::CutOff => names(report.applying) && last == Some(target),
            Stage::Soaking => names(report.running) && report.phase == Phase::Soaking,
            Stage::Committed => names(report.running) && report.phase == Phase::Committed,
            Stage::Failed => failed && published,
            Stage::Withdrawn => {
                failed && !published && self.unit.held.as_ref().is_none_or(|offer| offer.digest != target)
            }
        }
    }

    fn pass(&mut self) -> Option<Pause> {
        let pause = self.server.pass(&mut self.unit);
        self.unit.heartbeat(self.server.known.offer.as_ref());
        pause
    }

    /// Passes until nothing changes any more: the pause at the end, if there is one.
    fn rounds(&mut self) -> Option<Pause> {
        for _ in 0..ROUNDS {
            let before = (self.unit.state(), self.server.known.offer.clone());
            let pause = self.pass();
            if before == (self.unit.state(), self.server.known.offer.clone()) {
                return pause;
            }
        }
        panic!("it does not come to rest: {:?}", self.unit.report());
    }

    /// Lets everything come to its end, what is under way as well: the pause at the end, if there is one.
    fn settle(&mut self) -> Option<Pause> {
        self.pass();
        self.unit.finish(self.server.known.offer.as_ref());
        self.rounds()
    }

    fn is_at_target(&self) -> bool {
        self.unit.running().is_some_and(|claim| claim.digest == self.server.target())
    }
}

/// A Resume over these commits.
fn resume(over: &[CommitId]) -> Resume {
    Resume { over: over.to_vec(), devices: Vec::new(), selector: None, reason: "tests".to_owned() }
}

#[test]
fn pairs_all_go_on_or_are_paused_as_what_they_run_says() {
    let (mut paused, mut went_on) = (0, 0);
    for pair in pairs() {
        let mut two = Two::restored(pair);
        let pause = two.settle();
        let two = &two;
        let history = two.server.history();
        let begun = &two.unit.begun;
        assert!(begun.iter().all(unit::Beginning::is_allowed), "{pair:?}: {begun:?}");
        assert!(!two.unit.refused, "{pair:?} refused a version: {:?}", two.unit.report());
        // What it runs, when all that was under way has ended, says it all.
        let is_lost = |commit: &CommitId| history.number_of(commit).is_none();
        let lost = |claim: &Claim| is_lost(&claim.version.commit) && is_lost(&claim.template);
        let expected = two.unit.running().filter(lost);
        match (&pause, expected) {
            (Some(pause), Some(claim)) => {
                paused += 1;
                assert_eq!(pause.commit, Some(claim.version.commit), "{pair:?}");
                assert!(begun.is_empty(), "{pair:?}: a paused device began {begun:?}");
            }
            (None, None) => {
                went_on += 1;
                let gave_up = two.unit.bad.contains(&two.server.target());
                assert!(two.is_at_target() || gave_up, "{pair:?} is stuck: {:?}", two.unit.report());
                assert!(begun.len() <= 1, "{pair:?}: {begun:?}");
            }
            (pause, expected) => panic!("{pair:?}: {pause:?}, and it runs {expected:?}"),
        }
    }
    assert!(paused > 500 && went_on > 500, "{paused} paused, {went_on} went on");
}

/// What a device does once its missing commits are overruled: exactly one step, and then like any other.
#[test]
fn pairs_a_forced_device_takes_one_step_and_is_not_stuck() {
    let mut forced = 0;
    for pair in pairs() {
        let mut two = Two::restored(pair);
        let Some(pause) = two.settle() else { continue };
        let missing = pause.commit.expect("a commit is missing");
        two.server.resumes.push(resume(&[missing]));
        let again = two.settle();
        assert_eq!(again, None, "{pair:?} stays paused");
        if two.unit.bad.contains(&two.server.target()) {
            continue;
        }
        forced += 1;
        assert!(two.is_at_target(), "{pair:?} is stuck: {:?}", two.unit.report());
        assert!(!two.unit.refused, "{pair:?} refused a version: {:?}", two.unit.report());
        // Equal content is no step at all, and a version that is missing still.
        match two.unit.begun.as_slice() {
            [] => assert!(matches!(two.server.standing(&two.unit.report()), Standing::Normal { supersedes: Some(_) })),
            [step] => assert!(step.gives_up_what_runs(), "{pair:?}: {step:?}"),
            more => panic!("{pair:?}: {more:?}"),
        }
        two.goes_on_to_the_next_landing(pair);
    }
    assert!(forced > 500, "{forced}");
}

/// What a device does once its missing commits are back.
#[test]
fn pairs_go_on_when_the_commits_return() {
    for pair in pairs() {
        let mut two = Two::restored(pair);
        let Some(_) = two.settle() else { continue };
        two.server.head = Head::First(FIRST);
        assert_eq!(two.settle(), None, "{pair:?} stays paused");
        let gave_up = two.unit.bad.contains(&two.server.target());
        assert!(two.is_at_target() || gave_up, "{pair:?} is stuck: {:?}", two.unit.report());
        assert!(two.unit.begun.iter().all(|step| step.offer.supersedes.is_none()), "{pair:?}: {:?}", two.unit.begun);
        two.server.head = Head::AboveFirst(FIRST);
        assert_eq!(two.settle(), None);
        assert!(two.is_at_target(), "{pair:?} is stuck: {:?}", two.unit.report());
    }
}

/// Whoever is behind, equal, or new, goes on as if nothing had been restored.
#[test]
fn pairs_that_are_not_ahead_go_on_without_giving_anything_up() {
    for pair in pairs() {
        let knows = |number: usize| match pair.restored {
            Head::First(head) => number <= head,
            _ => number <= 2,
        };
        if !knows(pair.last) {
            continue;
        }
        let mut two = Two::restored(pair);
        assert_eq!(two.settle(), None, "{pair:?}");
        let begun = &two.unit.begun;
        assert!(begun.iter().all(|step| step.offer.supersedes.is_none()), "{pair:?}: {begun:?}");
        two.goes_on_to_the_next_landing(pair);
    }
}

/// What a device claims to run that cannot be: other content than was signed by its version, or its commit as another landing.
#[test]
fn pairs_of_which_the_device_says_what_cannot_be_are_paused_and_forced_by_their_names_alone() {
    let altered: fn(&mut Claim) = |claim| claim.digest = Sha256Digest::of(b"altered");
    let misnumbered: fn(&mut Claim) = |claim| claim.version.landing += 1_000;
    let (mut paused, mut unknown) = (0, 0);
    for pair in pairs() {
        for (change, code) in [(altered, codes::VERSION_ALTERED), (misnumbered, codes::REPORT_UNREADABLE)] {
            let mut two = Two::restored(pair);
            let (None, Some(ran)) = (two.settle(), two.unit.running()) else { continue };
            if two.server.history().number_of(&ran.version.commit).is_none() {
                // The commit is missing, its content is not: what it runs is judged by that.
                continue;
            }
            two.unit.misremember(change, two.server.known.offer.as_ref());
            two.unit.begun.clear();
            if code == codes::VERSION_ALTERED && two.server.signed(&ran.version).is_none() {
                // All records of what was signed were lost.
                unknown += 1;
                continue;
            }
            paused += 1;
            two.server.resumes.push(resume(&[ran.version.commit]));
            let pause = two.settle();
            assert_eq!(pause.map(|pause| pause.code), Some(code), "{pair:?}");
            assert!(two.unit.begun.is_empty(), "{pair:?}: a paused device began {:?}", two.unit.begun);
            two.server.resumes = vec![Resume { devices: vec!["edge-1".parse().expect("a name")], ..resume(&[]) }];
            two.server.head = two.server.head.next();
            assert_eq!(two.settle(), None, "{pair:?} stays paused");
            assert!(two.is_at_target(), "{pair:?} is stuck: {:?}", two.unit.report());
            let [step] = two.unit.begun.as_slice() else { panic!("{pair:?}: {:?}", two.unit.begun) };
            assert!(step.gives_up_what_runs(), "{pair:?}: {step:?}");
        }
    }
    assert!(paused > 500 && unknown > 10, "{paused} paused, {unknown} unknown");
}

/// While the branch lacks the accepted head, nobody is offered anything.
#[test]
fn pairs_begin_nothing_while_the_repository_is_rewound() {
    for pair in pairs() {
        let mut two = Two::restored(pair);
        let known = |two: &Two| {
            let is_known = |claim: Claim| two.server.history().number_of(&claim.version.commit).is_some();
            two.unit.running().is_none_or(is_known)
        };
        two.server.rewound = true;
        two.server.resumes.push(resume(&[]));
        let pause = two.settle();
        assert_eq!(two.unit.begun.len(), 0, "{pair:?}: {:?}", two.unit.begun);
        assert_eq!(pause.is_none(), known(&two), "{pair:?}");
    }
}

impl Two {
    /// A landing with new content is taken in one ordinary step.
    fn goes_on_to_the_next_landing(&mut self, pair: Pair) {
        self.unit.begun.clear();
        self.server.head = self.server.head.next();
        assert_eq!(self.settle(), None, "{pair:?}: the next landing");
        assert!(self.is_at_target(), "{pair:?} is stuck at the next landing: {:?}", self.unit.report());
        assert_eq!(self.unit.begun.len(), 1, "{pair:?}: {:?}", self.unit.begun);
    }
}
