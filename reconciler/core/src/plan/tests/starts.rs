//! After a start: what is stored of a device is neither health nor silence until it had time to report.

use bellwether_schemas::manifest::SkipStep;

use super::super::Good;
use super::*;

/// Both canaries run the target and are healthy; their wave soaks for so long.
fn soaking(seconds: u32) -> Sim {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].soak = Seconds::new(seconds);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    assert_eq!(kind(sim.plan().view.reason.as_ref()), "Soak");
    sim
}

fn until(plan: &FleetPlan) -> Timestamp {
    let Some(WaitingOn::Soak { until, .. }) = plan.view.reason else { panic!("no soak: {:?}", plan.view) };
    until
}

#[test]
fn no_wave_advances_before_its_devices_reported_again() {
    let mut sim = soaking(60);
    sim.down(3_600);
    let plan = sim.plan();
    assert_eq!(offered(&plan), [""; 0], "stored health does not count");
    assert_eq!(plan.view.waves[0].healthy, 0);
    let grace_end = sim.now + SignedDuration::from_secs(i64::from(STALE_AFTER));
    assert_eq!((until(&plan), plan.wake_at), (grace_end, Some(grace_end)), "its soak is over, but nobody has reported");
    sim.set_online(&["c1", "c2"], false);
    sim.pass(STALE_AFTER);
    let plan = sim.plan();
    assert_eq!((offered(&plan).len(), plan.record.waves[0].completed_at), (0, None), "and nobody did");
    sim.set_online(&["c1", "c2"], true);
    let plan = sim.plan();
    assert_eq!(until(&plan), sim.now + SignedDuration::from_secs(60), "it begins anew");
    sim.pass(60);
    assert_eq!(offered(&sim.plan()), ["r1", "r2", "r3"]);
}

#[test]
fn a_soak_counts_the_time_in_which_devices_could_report() {
    let mut sim = soaking(600);
    sim.pass(100);
    sim.down(3_600);
    let plan = sim.plan();
    assert_eq!(until(&plan), sim.now + SignedDuration::from_secs(500), "what has passed counts");
    assert_eq!(plan.wake_at.map(|at| at <= until(&plan)), Some(true));
    for _ in 0..10 {
        sim.pass(49);
        assert_eq!(offered(&sim.plan()), [""; 0]);
    }
    sim.pass(10);
    assert_eq!(offered(&sim.plan()), ["r1", "r2", "r3"]);
}

#[test]
fn a_halt_made_of_silence_outlives_a_start() {
    let mut sim = soaking(600);
    sim.set_online(&["c1"], false);
    sim.pass(STALE_AFTER);
    assert_eq!(sim.plan().view.state, RolloutState::Halted);
    sim.down(60);
    let plan = sim.plan();
    assert_eq!((plan.view.state, plan.view.waves[0].failed), (RolloutState::Halted, 1), "it has not reported since");
    sim.set_online(&["c1"], true);
    assert_eq!(sim.plan().view.state, RolloutState::Progressing);
}

#[test]
fn a_start_alone_halts_nothing() {
    let names: Vec<String> = (0..10).map(|i| format!("c{i}")).collect();
    let devices: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "canary")).collect();
    let mut sim = Sim::settled(canary_then_rest(), &devices);
    sim.rollout.waves[0].max_failure_rate = Some(percent_of("10%"));
    sim.commit(2, "two");
    sim.plan();
    sim.everybody_applies();
    // One has failed, and the others need no offer any more, as after the loss of what was recorded of them.
    sim.device("c0").observed.health = Health::Unhealthy;
    let plan = sim.plan();
    assert_eq!((plan.view.state, plan.view.waves[0].offered), (RolloutState::Complete, 10));
    let record = sim.record.as_mut().unwrap();
    record.stable = Some(landing(1));
    record.waves.truncate(1);
    (record.waves[0].completed_at, record.waves[0].advanced_at) = (None, None);
    let mut members: BTreeMap<_, _> = std::mem::take(&mut record.members).into();
    members.values_mut().for_each(|note| note.offered = false);
    record.members = members.into();
    sim.down(3_600);
    let plan = sim.plan();
    assert_eq!((plan.view.waves[0].failed, plan.view.waves[0].offered, plan.record.halted), (1, 10, None));
}

#[test]
fn a_device_that_never_says_how_it_is_fails_at_the_timeout() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    sim.device("c1").observed.health = Health::Unknown;
    let due = sim.now + SignedDuration::from_mins(30);
    sim.pass(1_799);
    let plan = sim.plan();
    assert_eq!((plan.view.state, offered(&plan).len()), (RolloutState::Progressing, 0), "c1 holds its wave");
    assert_eq!(plan.wake_at, Some(due));
    sim.pass(1);
    let plan = sim.plan();
    assert_eq!((plan.view.state, plan.view.waves[0].failed), (RolloutState::Halted, 1));
    assert!(!plan.record.members[&"c1".parse().unwrap()].failed.as_ref().unwrap().silent);
    sim.device("c1").observed.health = Health::Healthy;
    assert_eq!(sim.plan().view.waves[0].failed, 0, "a healthy return leaves the failed set");
}

#[test]
fn a_device_that_came_by_the_target_itself_has_the_timeout_of_its_wave() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    let digest = sim.digest(2, "c1");
    let observed = &mut sim.device("c1").observed;
    observed.running.as_mut().unwrap().digest = digest;
    observed.health = Health::Unknown;
    let due = sim.now + SignedDuration::from_mins(30);
    assert_eq!(offered(&sim.plan()), ["c2"]);
    sim.apply(&["c2"]);
    sim.pass(1_799);
    assert_eq!(sim.plan().wake_at, Some(due));
    sim.pass(1);
    assert_eq!(sim.plan().view.state, RolloutState::Halted);
}

#[test]
fn a_device_that_falls_silent_before_it_says_how_it_is_holds_nothing() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    sim.plan();
    sim.apply(&["r1", "r2", "r3"]);
    sim.device("r1").observed.health = Health::Unknown;
    sim.set_online(&["r1"], false);
    let silent = sim.now + SignedDuration::from_secs(i64::from(STALE_AFTER));
    assert_eq!(sim.plan().wake_at, Some(silent));
    sim.pass(STALE_AFTER);
    assert_eq!(sim.plan().view.state, RolloutState::Complete);
}

#[test]
fn without_a_database_time_counts_from_what_the_record_tells_last() {
    let mut sim = soaking(600);
    sim.pass(100);
    sim.plan();
    sim.down(3_600);
    sim.heard_before = None;
    let plan = sim.plan();
    assert_eq!(
        until(&plan),
        sim.now + SignedDuration::from_secs(600),
        "nothing tells of the time after it was complete"
    );
    sim.pass(50);
    assert_eq!(sim.plan().record.gaps, plan.record.gaps, "it is added once");
    sim.commit(3, "two");
    assert_eq!(sim.plan().record.gaps, plan.record.gaps);
}

#[test]
fn what_begins_after_a_start_has_no_gap_before_it() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.down(60);
    sim.report_all();
    sim.commit(2, "two");
    sim.plan();
    sim.pass(1);
    assert!(sim.plan().record.gaps.is_empty(), "nothing of it was there to be missed");
}

#[test]
fn soon_after_a_start_no_wave_goes_on_with_nobody_healthy() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].soak = Seconds::new(30);
    sim.commit(2, "two");
    sim.plan();
    sim.restart();
    sim.pass(1);
    sim.apply(&["c1", "c2"]);
    assert_eq!(kind(sim.plan().view.reason.as_ref()), "Soak");
    for name in ["c1", "c2"] {
        let spec = Good { template: landing(1), digest: sim.digest(1, name) };
        sim.device(name).pin = Some(Pinned { commit: landing(1).commit, spec: Ok(spec) });
    }
    let mut hastened = sim.clone();
    hastened.decisions.expedited = [SkipStep::Soak].into();
    for sim in [&mut sim, &mut hastened] {
        sim.pass(31);
        assert_eq!(kind(sim.plan().view.reason.as_ref()), "EmptyWave");
    }
}
