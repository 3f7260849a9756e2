//! The end of a device.

use super::*;

/// A device that runs v1 and learns that it shall remove everything; nothing of that was done yet.
fn told() -> World {
    let mut world = World::new();
    world.offer(1, "good", 0);
    world.settle();
    world.decommissioned = true;
    world.tell(Event::Directive(Directive::SpecAvailable));
    world
}

fn phase(world: &World) -> Phase {
    world.machine.report("0", at(0)).phase
}

#[test]
fn everything_is_removed_then_reported_until_it_is_recorded_and_then_forgotten() {
    let mut world = told();
    world.settle();
    let report = world.machine.report("0", at(0));
    assert_eq!((report.phase, report.running, world.placed), (Phase::Decommissioned, None, None));
    assert_eq!(world.phases.last(), Some(&Phase::Decommissioned), "it says so at once");
    world.phases.clear();
    world.looks.clear();
    world.tick();
    assert_eq!((world.phases.as_slice(), world.looks.len()), (&[Phase::Decommissioned][..], 0), "and again");
    assert!(!world.forgotten, "nobody has recorded it");
    world.tell(Event::Dismissed);
    world.settle();
    assert!(world.forgotten);
}

#[test]
fn who_was_not_told_by_signed_metadata_removes_nothing_whatever_it_is_refused_for() {
    let mut world = World::new();
    world.offer(1, "good", 0);
    world.settle();
    world.tell(Event::Dismissed);
    world.settle();
    assert!(!world.forgotten && world.runs() == Some(1) && world.placed.is_some());

    let mut world = told();
    world.broken = true;
    world.settle();
    world.tell(Event::Dismissed);
    world.settle();
    assert!(!world.forgotten, "what is placed comes before the keys");
}

#[test]
fn what_is_under_way_ends_with_it_and_a_pause_does_not_keep_it() {
    // In the middle of an attempt that soaks, with another offer on its way, and paused.
    let mut world = World::new();
    world.offer(1, "good", 3_600);
    world.settle();
    world.tell(Event::Directive(Directive::Paused { code: "BW-0301".into(), reason: "ahead".into(), commit: None }));
    world.settle();
    world.decommissioned = true;
    world.tell(Event::Directive(Directive::SpecAvailable));
    world.settle();
    let memory = world.machine.memory();
    assert_eq!((memory.leaving, &memory.attempt, world.placed), (Some(Leaving::Removed), &None, None));
    world.offered = Some(offer(2, "good2", 0));
    world.tell(Event::Directive(Directive::SpecAvailable));
    world.settle();
    assert_eq!((phase(&world), world.begun.len()), (Phase::Decommissioned, 1), "nothing is begun any more");
}

#[test]
fn a_restart_at_any_step_goes_on_with_it() {
    for steps in 0..12 {
        let mut world = told();
        world.steps(steps);
        world.restart();
        world.settle();
        assert_eq!((phase(&world), world.placed), (Phase::Decommissioned, None), "after {steps} steps");
        world.restart();
        world.settle();
        world.tell(Event::Dismissed);
        world.settle();
        assert!(world.forgotten, "after {steps} steps");
    }
}

#[test]
fn a_removal_that_fails_is_said_and_tried_again() {
    let mut world = told();
    world.broken = true;
    world.settle();
    let failure = world.machine.memory().failure.clone().expect("a failure");
    assert_eq!((phase(&world), failure.code.as_str()), (Phase::Degraded, codes::APPLY_FAILED.as_str()));
    world.decommissioned = false;
    world.tell(Event::Directive(Directive::SpecAvailable));
    world.settle();
    assert_eq!(world.machine.memory().leaving, Some(Leaving::Removing), "half of it is gone: it is brought to its end");
    world.decommissioned = true;
    world.broken = false;
    world.tick();
    assert_eq!((phase(&world), world.machine.memory().failure.clone()), (Phase::Decommissioned, None));
}

#[test]
fn taken_back_before_it_was_recorded_it_is_a_device_with_nothing_placed_and_the_same_floor() {
    let mut world = told();
    world.settle();
    world.decommissioned = false;
    world.offer(1, "good", 0);
    world.settle();
    assert_eq!((phase(&world), world.placed), (Phase::Idle, None), "v1 was begun once");
    world.offer(2, "good", 0);
    world.settle();
    assert_eq!((world.runs(), phase(&world)), (Some(2), Phase::Committed));
    world.tell(Event::Dismissed);
    world.settle();
    assert!(!world.forgotten);
}
