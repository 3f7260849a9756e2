//! How thoroughly what runs is looked at, and when again.

use super::*;

/// The looks since they were asked for last.
fn looks(world: &mut World) -> Vec<(Purpose, Thoroughness)> {
    std::mem::take(&mut world.looks)
}

#[test]
fn what_was_just_started_is_waited_for_and_what_soaks_is_glanced_at() {
    let mut world = World::new();
    world.offer(1, "good", 60);
    world.settle();
    assert_eq!(looks(&mut world), [(Purpose::Attempt, Thoroughness::Full)]);
    world.tick();
    assert_eq!(looks(&mut world), [(Purpose::Attempt, Thoroughness::Glance)]);
    world.restart();
    world.settle();
    assert_eq!(looks(&mut world), [(Purpose::Attempt, Thoroughness::Full)], "the device may just have booted");
    world.tick();
    assert_eq!(looks(&mut world), [(Purpose::Attempt, Thoroughness::Glance)]);
    world.now = 60;
    world.tick();
    looks(&mut world);
    world.restart();
    world.settle();
    assert_eq!(looks(&mut world), [(Purpose::Running, Thoroughness::Full)]);
    world.offer(2, "bad", 0);
    world.settle();
    assert_eq!(
        looks(&mut world),
        [(Purpose::Attempt, Thoroughness::Full), (Purpose::Restored, Thoroughness::Full)],
        "what the device goes back to is started anew"
    );
}

#[test]
fn what_runs_is_looked_at_until_it_is_well() {
    let mut world = World::new();
    world.offer(1, "good", 0);
    world.settle();
    world.sick.push(spec("good").digest());
    world.restart();
    world.settle();
    assert_eq!(world.shown().health, Health::Unhealthy);
    looks(&mut world);
    for _ in 0..2 {
        let said = world.phases.len();
        world.tick();
        assert_eq!(looks(&mut world), [(Purpose::Running, Thoroughness::Glance)]);
        assert_eq!(world.phases.len(), said + 1, "nothing is said but the heartbeat");
    }
    world.sick.clear();
    let said = world.phases.len();
    world.tick();
    assert_eq!(
        (world.shown().health, world.phases.len()),
        (Health::Healthy, said + 2),
        "that it is well is said at once"
    );
    looks(&mut world);
    world.tick();
    assert_eq!(looks(&mut world), [], "and then it is left alone");
}

#[test]
fn a_device_that_is_degraded_recovers_by_itself() {
    let mut world = World::new();
    world.offer(1, "good", 0);
    world.settle();
    world.sick.push(spec("good").digest());
    world.offer(2, "bad", 0);
    world.settle();
    assert_eq!(world.machine.report("0", at(0)).phase, Phase::Degraded);
    world.tick();
    assert_eq!(world.machine.report("0", at(0)).phase, Phase::Degraded);
    world.sick.clear();
    world.tick();
    let report = world.machine.report("0", at(0));
    assert_eq!((report.phase, report.health), (Phase::RolledBack, Health::Healthy));
}

#[test]
fn what_is_only_half_undone_is_not_looked_at() {
    let mut world = World::new();
    world.offer(1, "good", 0);
    world.settle();
    world.broken = true;
    world.offer(2, "bad", 0);
    world.settle();
    looks(&mut world);
    world.tick();
    assert_eq!(looks(&mut world), []);
    assert_eq!(world.machine.report("0", at(0)).phase, Phase::Degraded);
}
