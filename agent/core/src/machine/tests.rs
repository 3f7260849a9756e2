use bellwether_schemas::codes;
use bellwether_schemas::id::{CommitId, Sha256Digest};
use bellwether_schemas::quantity::Seconds;
use bellwether_schemas::report::FailureKind;
use bellwether_schemas::version::Version;
use proptest::prelude::*;

use super::*;
use crate::event::{Probed, Pulled};

mod commit;
mod leaving;
mod probes;
mod undo;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("a time")
}

fn spec(content: &str) -> DeviceSpec {
    let text =
        format!(r#"{{"apiVersion":"bellwether/v1","files":[{{"path":"/opt/bellwether/x","content":"{content}"}}]}}"#);
    serde_json::from_str(&text).expect("a spec")
}

fn offer(landing: u64, content: &str, soak: u32) -> (SignedOffer, DeviceSpec) {
    let commit = CommitId::from_bytes(&[7; 20]).expect("20 bytes");
    let spec = spec(content);
    let offer = SignedOffer {
        fleet: "edge".parse().expect("a name"),
        version: Version { landing, commit, revision: 0 },
        template: commit,
        digest: spec.digest(),
        supersedes: None,
        not_before: None,
        not_after: None,
        soak: Seconds::new(soak),
    };
    (offer, spec)
}

/// A device whose outside world does what it is told; probes fail for contents that contain "bad", and for what is sick.
struct World {
    machine: Machine,
    queue: std::collections::VecDeque<Effect>,
    offered: Option<(SignedOffer, DeviceSpec)>,
    decommissioned: bool,
    forgotten: bool,
    placed: Option<Sha256Digest>,
    committed: Option<Sha256Digest>,
    /// What is being made final: what was before it may be gone already.
    half: Option<Sha256Digest>,
    /// Whether undoing and making final fail.
    broken: bool,
    sick: Vec<Sha256Digest>,
    persisted: Durable,
    begun: Vec<Version>,
    phases: Vec<Phase>,
    looks: Vec<(Purpose, Thoroughness)>,
    now: i64,
}

impl World {
    fn new() -> Self {
        let memory = Durable::new("nonce".to_owned());
        let mut world = Self {
            machine: Machine::new(memory.clone(), Allowed::default()),
            queue: std::collections::VecDeque::new(),
            offered: None,
            decommissioned: false,
            forgotten: false,
            placed: None,
            committed: None,
            half: None,
            broken: false,
            sick: Vec::new(),
            persisted: memory,
            begun: Vec::new(),
            phases: Vec::new(),
            looks: Vec::new(),
            now: 0,
        };
        world.tell(Event::Started { unfinished: false });
        world.tell(Event::Connected);
        world
    }

    fn tell(&mut self, event: Event) {
        let effects = self.machine.handle(event, at(self.now));
        self.queue.extend(effects);
    }

    /// Carries out one effect; whether there was one.
    fn step(&mut self) -> bool {
        let Some(effect) = self.queue.pop_front() else { return false };
        let mut bad = vec![spec("bad").digest(), spec("bad2").digest()];
        bad.extend(&self.sick);
        let broken = || Problem::lasting(codes::APPLY_FAILED, "read-only");
        match effect {
            Effect::Persist | Effect::Note => self.persisted = self.machine.memory().clone(),
            Effect::Report => {
                let report = self.machine.report("0", at(self.now));
                self.phases.push(report.phase);
                if let (Phase::Applying, Some(claim)) = (report.phase, report.applying)
                    && self.machine.memory().attempt.as_ref().is_none_or(|a| a.claim != claim)
                {
                    self.tell(Event::Directive(Directive::Proceed { version: claim.version }));
                }
            }
            Effect::Pull => {
                let offer = self.offered.clone().filter(|_| !self.decommissioned).map(Box::new);
                self.tell(Event::Pulled(Ok(Pulled { offer, decommission: self.decommissioned })));
            }
            Effect::Stage(_) => self.tell(Event::Staged(Ok(()))),
            Effect::Apply { digest, previous } => {
                assert_eq!(previous, self.way_back());
                let attempt = self.persisted.attempt.as_ref().expect("an apply is persisted before it begins");
                assert_eq!((attempt.claim.digest, attempt.step), (digest, Step::Applying));
                assert_eq!(self.persisted.begun.map(|b| b.digest), Some(digest));
                if self.begun.last() != Some(&attempt.claim.version) {
                    self.begun.push(attempt.claim.version);
                }
                self.placed = Some(digest);
                self.tell(Event::Applied(Ok(())));
            }
            Effect::Undo { .. } if self.broken => self.tell(Event::Undone(Err(broken()))),
            Effect::Undo { previous } => {
                assert_eq!(previous, self.way_back(), "what was before that may be gone");
                (self.placed, self.committed, self.half) = (previous, previous, None);
                self.tell(Event::Undone(Ok(())));
            }
            Effect::Commit { digest, .. } => {
                assert_eq!(self.placed, Some(digest), "only what is placed becomes final");
                let attempt = self.persisted.attempt.as_ref();
                let step = attempt.filter(|a| a.claim.digest == digest).map(|a| a.step);
                assert_eq!(step, Some(Step::Committing), "no return is persisted before it begins");
                self.half = Some(digest);
                if self.broken {
                    self.tell(Event::Committed(Err(broken())));
                } else {
                    (self.committed, self.half) = (self.half, None);
                    self.tell(Event::Committed(Ok(())));
                }
            }
            Effect::Probe { purpose, how, digest } => {
                self.looks.push((purpose, how));
                let problem = || Problem::lasting(codes::PROBE_FAILED, "bad");
                let result = if bad.contains(&digest) { Err(problem()) } else { Ok(()) };
                self.tell(Event::Probed(Probed { purpose, result }));
            }
            Effect::Clear if self.broken => self.tell(Event::Cleared(Err(broken()))),
            Effect::Clear => {
                assert_eq!(self.persisted.leaving, Some(Leaving::Removing), "it is persisted before it begins");
                (self.placed, self.committed, self.half) = (None, None, None);
                self.tell(Event::Cleared(Ok(())));
            }
            Effect::Forget => self.forgotten = true,
            Effect::WakeAt(_) | Effect::RetryPull(_) => {}
        }
        true
    }

    fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.step();
        }
    }

    /// Where the device can go back to.
    fn way_back(&self) -> Option<Sha256Digest> {
        self.half.or(self.committed)
    }

    fn settle(&mut self) {
        for _ in 0..100 {
            if !self.step() {
                return;
            }
        }
        panic!("the machine does not come to rest: {:?}", self.machine);
    }

    fn offer(&mut self, landing: u64, content: &str, soak: u32) {
        self.offered = Some(offer(landing, content, soak));
        self.tell(Event::Directive(Directive::SpecAvailable));
    }

    fn tick(&mut self) {
        self.tell(Event::Tick);
        self.settle();
    }

    fn shown(&self) -> crate::status::Status {
        self.machine.status(&"edge-1".parse().expect("a name"), at(self.now), None)
    }

    /// The agent dies, and starts with what is on disk.
    fn restart(&mut self) {
        self.queue.clear();
        let unfinished = self.placed != self.committed;
        self.machine = Machine::new(self.persisted.clone(), Allowed::default());
        self.tell(Event::Started { unfinished });
        self.tell(Event::Connected);
    }

    fn runs(&self) -> Option<u64> {
        self.machine.memory().running.map(|claim| claim.version.landing)
    }
}

#[test]
fn a_good_version_goes_through_every_phase_and_is_final() {
    let mut world = World::new();
    world.settle();
    world.offer(1, "good", 0);
    world.settle();
    assert_eq!(world.phases, [Phase::Fetching, Phase::Applying, Phase::Probing, Phase::Soaking, Phase::Committed]);
    assert_eq!((world.runs(), world.committed), (Some(1), Some(spec("good").digest())));
    assert_eq!(world.machine.report("0", at(0)).health, Health::Healthy);
}

#[test]
fn a_bad_version_is_undone_reported_and_never_tried_again() {
    let mut world = World::new();
    world.offer(1, "good", 0);
    world.settle();
    world.offer(2, "bad", 0);
    world.settle();
    let report = world.machine.report("0", at(0));
    let failure = report.failure.expect("a failure");
    assert_eq!((failure.kind, failure.version.map(|v| v.landing)), (FailureKind::RolledBack, Some(2)));
    assert_eq!(report.begun, failure.version, "it takes nothing that is not above, and says so");
    assert_eq!((report.phase, report.health, world.runs()), (Phase::RolledBack, Health::Healthy, Some(1)));
    assert_eq!(world.placed, Some(spec("good").digest()));
    world.tell(Event::Directive(Directive::SpecAvailable));
    world.settle();
    assert_eq!(world.begun.len(), 2);
    world.offer(3, "good2", 0);
    world.settle();
    assert_eq!((world.runs(), world.machine.memory().failure.clone()), (Some(3), None));
}

#[test]
fn a_first_version_that_fails_leaves_nothing() {
    let mut world = World::new();
    world.offer(1, "bad", 0);
    world.settle();
    let report = world.machine.report("0", at(0));
    assert_eq!((report.phase, report.running, world.placed), (Phase::RolledBack, None, None));
}

#[test]
fn soak_ends_by_time_and_what_replaces_it_goes_back_to_what_was_final() {
    let mut world = World::new();
    world.offer(1, "good", 0);
    world.settle();
    world.offer(2, "good2", 60);
    world.settle();
    assert_eq!((world.runs(), world.committed), (Some(2), Some(spec("good").digest())));
    world.offer(3, "bad", 0);
    world.settle();
    assert_eq!((world.runs(), world.placed), (Some(1), Some(spec("good").digest())));
    world.offer(4, "good2", 60);
    world.settle();
    world.now = 61;
    world.tell(Event::Woke);
    world.settle();
    assert_eq!(world.committed, Some(spec("good2").digest()));
}

#[test]
fn what_fails_in_the_last_heartbeat_of_its_soak_is_seen_before_it_is_final() {
    let mut world = World::new();
    world.offer(1, "good", 0);
    world.settle();
    world.offer(2, "good2", 60);
    world.settle();
    world.now = 45;
    world.tell(Event::Tick);
    world.settle();
    world.sick.push(spec("good2").digest());
    world.now = 60;
    world.tell(Event::Woke);
    world.settle();
    assert_eq!((world.runs(), world.placed), (Some(1), Some(spec("good").digest())));
}

#[test]
fn nothing_is_begun_without_the_word_and_a_withdrawn_offer_is_no_error() {
    let mut world = World::new();
    world.settle();
    world.offered = Some(offer(1, "good", 0));
    world.tell(Event::Directive(Directive::SpecAvailable));
    while !matches!(world.queue.front(), Some(Effect::Report)) || world.machine.phase != Phase::Applying {
        assert!(world.step());
    }
    world.queue.clear();
    assert!(world.machine.report("0", at(0)).applying.is_some());
    let (mut other, _) = offer(2, "x", 0);
    other.version.landing = 2;
    world.tell(Event::Directive(Directive::Proceed { version: other.version }));
    assert!(world.machine.memory().attempt.is_none());
    world.offered = None;
    world.tell(Event::Directive(Directive::SpecAvailable));
    world.settle();
    let report = world.machine.report("0", at(0));
    assert_eq!((report.phase, report.applying, report.failure), (Phase::Idle, None, None));
    assert!(world.begun.is_empty());
}

#[test]
fn a_pause_stops_what_was_not_begun() {
    let mut world = World::new();
    world.settle();
    let paused = Directive::Paused { code: "BW-0301".into(), reason: "missing".into(), commit: None };
    world.tell(Event::Directive(paused));
    world.tell(Event::Pulled(Ok(Pulled { offer: Some(Box::new(offer(1, "good", 0))), decommission: false })));
    world.settle();
    assert!(world.begun.is_empty());
    let status = world.machine.status(&"edge-1".parse().expect("a name"), at(0), None);
    assert!(status.waiting.contains("missing"), "{}", status.waiting);
}

#[test]
fn refusals_are_reported_once_with_their_code() {
    let mut world = World::new();
    world.offer(5, "good", 0);
    world.settle();
    world.offer(4, "good2", 0);
    world.settle();
    let failure = world.machine.memory().failure.clone().expect("a failure");
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Failed, codes::VERSION_NOT_HIGHER.as_str()));
    assert_eq!(failure.digest, None, "the content did not fail: under another version it may be taken");
    let said = world.phases.len();
    world.tell(Event::Directive(Directive::SpecAvailable));
    world.settle();
    assert_eq!(world.phases.len(), said, "the same refusal is not said again");
}

#[test]
fn a_window_is_waited_for_and_not_missed() {
    let mut world = World::new();
    world.settle();
    let (mut windowed, spec) = offer(1, "good", 0);
    (windowed.not_before, windowed.not_after) = (Some(at(10)), Some(at(20)));
    world.offered = Some((windowed, spec));
    world.tell(Event::Directive(Directive::SpecAvailable));
    world.settle();
    assert_eq!((world.begun.len(), world.phases.last()), (0, Some(&Phase::Staged)));
    world.now = 20;
    world.tell(Event::Woke);
    world.settle();
    let code = world.machine.memory().failure.as_ref().map(|f| f.code.clone());
    assert_eq!((world.begun.len(), code), (0, Some(codes::WINDOW_PASSED.to_string())));
    world.now = 15;
    world.tell(Event::Directive(Directive::SpecAvailable));
    world.settle();
    assert_eq!(world.runs(), Some(1));
}

/// Carries out effects until `wanted` is the next one, which is taken away.
fn run_to(world: &mut World, wanted: impl Fn(&Effect) -> bool) -> Effect {
    loop {
        if let Some(at) = world.queue.iter().position(&wanted) {
            return world.queue.remove(at).expect("it was just found");
        }
        assert!(world.step(), "it never comes: {:?}", world.machine);
    }
}

#[test]
fn a_word_that_comes_after_the_window_begins_nothing() {
    let mut world = World::new();
    world.settle();
    let (mut windowed, content) = offer(1, "good", 0);
    windowed.not_after = Some(at(20));
    let version = windowed.version;
    world.tell(Event::Pulled(Ok(Pulled { offer: Some(Box::new((windowed, content))), decommission: false })));
    world.tell(Event::Staged(Ok(())));
    world.queue.clear();
    world.now = 20;
    world.tell(Event::Directive(Directive::Proceed { version }));
    world.settle();
    let code = world.machine.memory().failure.as_ref().map(|f| f.code.clone());
    assert_eq!((world.begun.len(), code), (0, Some(codes::WINDOW_PASSED.to_string())));
    assert_eq!(world.machine.report("0", at(20)).phase, Phase::Idle);
}

#[test]
fn downloads_that_fail_again_and_again_are_tried_less_and_less_often() {
    let mut world = World::new();
    world.settle();
    for failures in 1..5 {
        let pulled = Pulled { offer: Some(Box::new(offer(1, "good", 0))), decommission: false };
        world.tell(Event::Pulled(Ok(pulled)));
        world.tell(Event::Staged(Err(Problem::transient(codes::DOWNLOAD_FAILED, "404"))));
        assert!(world.queue.contains(&Effect::RetryPull(failures)), "{:?}", world.queue);
        world.queue.clear();
    }
    let status = world.machine.status(&"edge-1".parse().expect("a name"), at(0), None);
    assert!(status.waiting.contains(codes::DOWNLOAD_FAILED.as_str()), "{}", status.waiting);
    world.tell(Event::Pulled(Err(Problem::transient(codes::METADATA_REFUSED, "expired"))));
    assert!(world.queue.contains(&Effect::RetryPull(5)));
    world.tell(Event::Pulled(Ok(Pulled { offer: None, decommission: false })));
    world.queue.clear();
    world.tell(Event::Pulled(Err(Problem::transient(codes::METADATA_REFUSED, "expired"))));
    assert!(world.queue.contains(&Effect::RetryPull(1)));
}

#[test]
fn a_pause_that_is_not_said_again_is_over_and_only_while_connected() {
    let mut world = World::new();
    world.settle();
    let pause = || Event::Directive(Directive::Paused { code: "BW-0301".into(), reason: "x".into(), commit: None });
    let paused = |world: &World| world.machine.status(&"e".parse().expect("a name"), at(0), None).paused.is_some();
    world.tell(pause());
    world.tell(Event::Tick);
    assert!(paused(&world), "the answer to this report is still to come");
    world.tell(Event::Disconnected);
    world.tell(Event::Tick);
    assert!(paused(&world));
    world.machine.connected = true;
    world.tell(pause());
    world.tell(Event::Tick);
    world.tell(Event::Tick);
    assert!(!paused(&world));
}

#[test]
fn a_healthy_version_leaves_its_own_earlier_refusal_behind() {
    let mut world = World::new();
    world.settle();
    let (mut early, content) = offer(1, "good", 0);
    early.not_after = Some(at(0));
    world.offered = Some((early, content));
    world.tell(Event::Directive(Directive::SpecAvailable));
    world.settle();
    assert!(world.machine.memory().failure.is_some());
    world.offer(1, "good", 0);
    world.settle();
    assert_eq!((world.runs(), world.machine.memory().failure.clone()), (Some(1), None));
}

proptest! {
    /// Whenever the agent dies, it ends on one whole version, the device is where the memory says, and nothing is begun twice.
    #[test]
    fn a_crash_after_any_effect_ends_well(crashes in proptest::collection::vec(0..25_usize, 0..4), bad: bool, soak in 0..2_u32) {
        let mut world = World::new();
        world.offer(1, "good", 0);
        world.settle();
        world.offer(2, if bad { "bad" } else { "good2" }, soak * 60);
        for steps in crashes {
            world.steps(steps);
            world.restart();
        }
        world.settle();
        world.now = 100;
        world.tell(Event::Tick);
        world.settle();
        let expected = if bad { (Some(1), spec("good")) } else { (Some(2), spec("good2")) };
        prop_assert_eq!(world.runs(), expected.0);
        prop_assert_eq!((world.placed, world.committed), (Some(expected.1.digest()), Some(expected.1.digest())));
        prop_assert!(world.begun.len() <= 2, "{:?}", world.begun);
        prop_assert!(world.machine.memory().attempt.is_none());
    }

    /// A version that falls ill while the agent dies again and again is undone or final, and the memory knows which.
    #[test]
    fn what_falls_ill_in_a_crash_is_undone_or_final(before in 0..25_usize, after in proptest::collection::vec(0..25_usize, 0..3)) {
        let mut world = World::new();
        world.offer(1, "good", 0);
        world.settle();
        world.offer(2, "good2", 0);
        world.steps(before);
        world.restart();
        world.sick.push(spec("good2").digest());
        for steps in after {
            world.steps(steps);
            world.restart();
        }
        world.settle();
        let running = world.machine.memory().running.map(|claim| claim.digest);
        prop_assert_eq!((world.placed, world.committed), (running, running));
        prop_assert!(world.machine.memory().attempt.is_none());
    }
}
