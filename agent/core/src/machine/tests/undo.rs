//! What could not be applied or undone.

use super::*;
use crate::event::NotApplied;

/// v1 runs and v2 is being applied; the effects are the test's to answer.
fn applying() -> World {
    let mut world = World::new();
    world.offer(1, "good", 0);
    world.settle();
    world.offer(2, "good2", 0);
    run_to(&mut world, |effect| matches!(effect, Effect::Apply { .. }));
    world
}

fn not_applied(changed: bool) -> Event {
    Event::Applied(Err(NotApplied { problem: Problem::lasting(codes::APPLY_FAILED, "no space"), changed }))
}

#[test]
fn a_failure_before_anything_was_changed_is_no_rollback() {
    let mut world = applying();
    world.tell(not_applied(false));
    world.settle();
    let report = world.machine.report("0", at(0));
    let kind = report.failure.as_ref().map(|failure| failure.kind);
    assert_eq!((report.phase, report.health, kind), (Phase::Idle, Health::Healthy, Some(FailureKind::Failed)));
    assert_eq!((world.runs(), world.machine.memory().attempt.clone()), (Some(1), None));
}

#[test]
fn an_undo_that_fails_says_so_with_its_cause_and_the_cause_stays_when_it_worked() {
    let mut world = applying();
    world.tell(not_applied(true));
    run_to(&mut world, is_undo);
    world.tell(Event::Undone(Err(Problem::lasting(codes::APPLY_FAILED, "read-only"))));
    world.settle();
    let failure = world.machine.memory().failure.clone().expect("a failure");
    assert_eq!(failure.code, codes::ROLLBACK_FAILED.as_str());
    assert!(failure.message.contains("read-only") && failure.message.contains("no space"), "{}", failure.message);
    assert!(world.shown().waiting.contains("tried at each heartbeat"), "{}", world.shown().waiting);
    world.tick();
    let failure = world.machine.memory().failure.clone().expect("a failure");
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::RolledBack, codes::APPLY_FAILED.as_str()));
    assert_eq!(world.runs(), Some(1));
}

#[test]
fn a_journal_that_the_memory_does_not_know_is_undone_until_it_is_gone() {
    let mut world = World::new();
    world.settle();
    world.machine = Machine::new(world.persisted.clone(), Allowed::default());
    world.tell(Event::Started { unfinished: true });
    for _ in 0..2 {
        run_to(&mut world, is_undo);
        world.tell(Event::Undone(Err(Problem::lasting(codes::APPLY_FAILED, "read-only"))));
        world.settle();
        world.tell(Event::Tick);
    }
    world.settle();
    assert_eq!(world.phases.last(), Some(&Phase::RolledBack));
}

fn is_undo(effect: &Effect) -> bool {
    matches!(effect, Effect::Undo { .. })
}

/// v1 is final, v2 failed, and cannot be undone.
fn stuck() -> World {
    let mut world = World::new();
    world.offer(1, "good", 0);
    world.settle();
    world.broken = true;
    world.offer(2, "bad", 0);
    world.settle();
    world.tick();
    let report = world.machine.report("0", at(0));
    assert_eq!((report.phase, report.applying.map(|c| c.version.landing)), (Phase::Degraded, Some(2)));
    world
}

#[test]
fn a_device_that_cannot_be_undone_takes_the_next_offer_at_once() {
    let mut world = stuck();
    world.offer(3, "good3", 60);
    world.settle();
    assert_eq!((world.runs(), world.placed), (Some(3), Some(spec("good3").digest())), "{:?}", world.machine);
    let attempt = world.machine.memory().attempt.clone().expect("it soaks");
    assert_eq!(attempt.previous.map(|previous| previous.version.landing), Some(1), "the way back stays what was final");
    (world.broken, world.now) = (false, 61);
    world.tick();
    assert_eq!((world.committed, world.shown().health), (Some(spec("good3").digest()), Health::Healthy));
}

#[test]
fn a_second_version_that_fails_over_one_that_cannot_be_undone_goes_back_to_what_was_final() {
    let mut world = stuck();
    world.offer(3, "bad2", 0);
    world.settle();
    assert_eq!((world.begun.len(), world.machine.report("0", at(0)).phase), (3, Phase::Degraded));
    world.broken = false;
    world.tick();
    assert_eq!((world.runs(), world.placed), (Some(1), Some(spec("good").digest())));
    assert_eq!(world.machine.report("0", at(0)).phase, Phase::RolledBack);
}

#[test]
fn what_is_asked_for_while_an_undo_is_stuck_stays_asked_for() {
    let mut world = stuck();
    world.offered = Some(offer(3, "good3", 0));
    world.tell(Event::Directive(Directive::SpecAvailable));
    while world.machine.report("0", at(0)).phase != Phase::Applying {
        assert!(world.step(), "{:?}", world.machine);
    }
    // The word does not come before the next heartbeats, at which the undo is tried again.
    for _ in 0..2 {
        world.queue.clear();
        world.tell(Event::Tick);
        let report = world.machine.report("0", at(0));
        assert_eq!((report.phase, report.applying.map(|c| c.version.landing)), (Phase::Applying, Some(3)));
        run_to(&mut world, is_undo);
        world.tell(Event::Undone(Err(Problem::lasting(codes::APPLY_FAILED, "read-only"))));
        let report = world.machine.report("0", at(0));
        assert_eq!((report.phase, report.applying.map(|c| c.version.landing)), (Phase::Applying, Some(3)));
    }
    assert!(world.shown().waiting.contains("word to apply v3"), "{}", world.shown().waiting);
    world.offered = None;
    world.tell(Event::Directive(Directive::SpecAvailable));
    world.queue.retain(|effect| *effect == Effect::Pull);
    world.settle();
    assert_eq!(world.machine.report("0", at(0)).phase, Phase::Degraded, "a withdrawn offer leaves what was");
}

#[test]
fn a_journal_of_nobody_keeps_no_offer_waiting() {
    let mut world = World::new();
    world.settle();
    world.machine = Machine::new(world.persisted.clone(), Allowed::default());
    world.broken = true;
    world.tell(Event::Started { unfinished: true });
    world.tell(Event::Connected);
    world.settle();
    world.tick();
    assert_eq!(world.machine.report("0", at(0)).phase, Phase::Degraded);
    world.broken = false;
    world.offer(1, "good", 0);
    world.settle();
    assert_eq!((world.runs(), world.committed), (Some(1), Some(spec("good").digest())));
}
