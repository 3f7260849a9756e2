//! What becomes final, and what happens meanwhile.

use super::*;

/// v1 is final, v2 soaks for a minute, and v3 waits for the reconciler's word.
fn soaking_and_asking() -> (World, Version) {
    let mut world = World::new();
    world.offer(1, "good", 0);
    world.settle();
    world.offer(2, "good2", 60);
    world.settle();
    world.offer(3, "good3", 0);
    let asks = |effect: &Effect| *effect == Effect::Report;
    while world.machine.report("0", at(0)).phase != Phase::Applying {
        world.step();
    }
    run_to(&mut world, asks);
    assert!(world.queue.is_empty());
    (world, offer(3, "", 0).0.version)
}

#[test]
fn the_word_to_begin_is_not_mixed_up_with_a_probe_of_what_soaks() {
    let (mut world, version) = soaking_and_asking();
    world.tell(Event::Tick);
    run_to(&mut world, |effect| matches!(effect, Effect::Probe { .. }));
    world.queue.clear();
    world.tell(Event::Directive(Directive::Proceed { version }));
    assert_eq!(world.runs(), Some(2));
    world.tell(Event::Probed(Probed { purpose: Purpose::Attempt, result: Ok(()) }));
    world.settle();
    assert_eq!((world.runs(), world.placed), (Some(3), Some(spec("good3").digest())), "it was really applied");
    assert_eq!(world.committed, world.placed);
}

#[test]
fn the_word_to_begin_waits_for_a_commit_that_is_under_way() {
    let (mut world, version) = soaking_and_asking();
    world.now = 61;
    world.tell(Event::Woke);
    let commit = run_to(&mut world, |effect| matches!(effect, Effect::Commit { .. }));
    assert_eq!(commit, Effect::Commit { digest: spec("good2").digest(), keep: Some(spec("good3").digest()) });
    world.tell(Event::Directive(Directive::Proceed { version }));
    world.committed = Some(spec("good2").digest());
    world.tell(Event::Committed(Ok(())));
    run_to(&mut world, |effect| matches!(effect, Effect::Apply { .. }));
    let attempt = world.machine.memory().attempt.clone().expect("v3 is being tried");
    assert_eq!((attempt.claim.version, attempt.previous.map(|p| p.version.landing)), (version, Some(2)));
}

#[test]
fn what_was_asked_is_asked_again_after_a_commit() {
    let (mut world, _) = soaking_and_asking();
    world.now = 61;
    world.tell(Event::Woke);
    run_to(&mut world, |effect| matches!(effect, Effect::Commit { .. }));
    world.tell(Event::Committed(Ok(())));
    let report = world.machine.report("0", at(61));
    assert_eq!((report.phase, report.applying.map(|claim| claim.version.landing)), (Phase::Applying, Some(3)));
}

/// v1 is final, v2 is healthy, and its commit is the next thing to do.
fn about_to_commit() -> World {
    let mut world = World::new();
    world.offer(1, "good", 0);
    world.settle();
    world.offer(2, "good2", 0);
    while !matches!(world.queue.front(), Some(Effect::Commit { .. })) {
        assert!(world.step(), "it never comes: {:?}", world.machine);
    }
    world
}

#[test]
fn a_commit_that_was_begun_is_never_undone() {
    for steps in 0..2 {
        let mut world = about_to_commit();
        world.steps(steps);
        world.sick.push(spec("good2").digest());
        world.restart();
        let report = world.machine.report("0", at(0));
        assert_eq!((report.phase, report.applying), (Phase::Soaking, None), "after {steps} steps");
        world.settle();
        let good2 = Some(spec("good2").digest());
        assert_eq!((world.runs(), world.placed, world.committed), (Some(2), good2, good2), "after {steps} steps");
        let report = world.machine.report("0", at(0));
        assert_eq!((report.phase, report.health), (Phase::Committed, Health::Unhealthy), "it is seen to be ill");
    }
}

#[test]
fn a_commit_that_fails_is_tried_at_each_heartbeat_and_never_undone() {
    let mut world = about_to_commit();
    world.broken = true;
    world.settle();
    world.sick.push(spec("good2").digest());
    for _ in 0..3 {
        world.tick();
        let report = world.machine.report("0", at(0));
        assert_eq!((report.phase, world.runs(), world.placed), (Phase::Soaking, Some(2), Some(spec("good2").digest())));
        assert!(world.shown().waiting.contains("could not be made final"), "{}", world.shown().waiting);
    }
    world.restart();
    world.settle();
    world.tick();
    assert_eq!(world.machine.report("0", at(0)).health, Health::Unhealthy, "that it fell ill is seen all the same");
    world.broken = false;
    world.tick();
    assert_eq!((world.runs(), world.committed), (Some(2), Some(spec("good2").digest())));
}

#[test]
fn a_commit_that_fails_is_overtaken_by_the_next_offer_which_goes_back_to_it() {
    let mut world = about_to_commit();
    world.broken = true;
    world.settle();
    world.offer(3, "good3", 60);
    world.settle();
    assert_eq!((world.runs(), world.placed), (Some(3), Some(spec("good3").digest())));
    let attempt = world.machine.memory().attempt.clone().expect("it soaks");
    assert_eq!(attempt.previous.map(|previous| previous.version.landing), Some(2), "what was before may be gone");
    world.broken = false;
    world.sick.push(spec("good3").digest());
    world.tick();
    let good2 = Some(spec("good2").digest());
    assert_eq!((world.runs(), world.placed, world.committed), (Some(2), good2, good2));
    assert_eq!(world.machine.report("0", at(0)).phase, Phase::RolledBack);
}
