//! Failures, silence and halts.

use bellwether_schemas::manifest::SkipStep;

use super::*;

#[test]
fn one_failed_canary_halts_the_fleet() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.fail(&["c1"]);
    let plan = sim.plan();
    assert_eq!(withdrawn(&plan), ["c1", "c2"], "one failed, the other had not begun");
    assert_eq!(plan.view.state, RolloutState::Halted);
    assert_eq!(reasons(&plan), ["Failed", "Halted", "Halted", "Halted", "Halted"]);
    let halted = WaitingOn::Halted {
        wave: "canary".parse().unwrap(),
        failures: 1,
        offered: 2,
        unrendered: 0,
        commit: landing(2).commit,
    };
    assert_eq!(*why(&plan, "r1"), halted);
    let WaitingOn::Failed { version, failure: Some(failure) } = why(&plan, "c1") else { panic!("no failure") };
    assert_eq!((version.landing, failure.code.as_str()), (2, "BW-0601"));
    sim.pass(100_000);
    assert_eq!(offered(&sim.plan()), [""; 0], "a halt does not end by itself");
    sim.commit(3, "three");
    assert_eq!(offered(&sim.plan()), ["c1", "c2"], "a newer target does");
}

#[test]
fn a_halt_that_another_wave_makes_from_now_on_is_news_of_the_rollout() {
    let mut sim = Sim::settled(Rollout { min_failures: 0, ..canary_then_rest() }, &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    sim.plan();
    sim.fail(&["r1"]);
    let halt = sim.plan().record.halted.unwrap();
    sim.device("c1").observed.health = Health::Unhealthy;
    let plan = sim.plan_on();
    let halted = plan.record.halted.unwrap();
    assert_eq!((halt.wave.as_str(), halted.wave.as_str()), ("rest", "canary"));
    assert_eq!((halted.failures, plan.changed), (halt.failures, Changed::Rollout));
}

#[test]
fn a_later_wave_halts_only_above_its_rate_and_from_min_failures_on() {
    let names: Vec<String> = (0..10).map(|i| format!("r{i}")).collect();
    let mut devices = vec![("c1", "canary")];
    devices.extend(names.iter().map(|name| (name.as_str(), "rest")));
    let (all, few) = (percent_of("30%"), percent_of("2%"));
    for (rate, min_failures, failing, state) in [
        (few, 3, 2, RolloutState::Complete),
        (few, 3, 3, RolloutState::Halted),
        (all, 3, 3, RolloutState::Complete),
        (all, 3, 4, RolloutState::Halted),
        (few, 1, 1, RolloutState::Halted),
    ] {
        let mut sim = Sim::settled(canary_then_rest(), &devices);
        (sim.rollout.max_failure_rate, sim.rollout.min_failures) = (rate, min_failures);
        sim.commit(2, "two");
        sim.plan();
        sim.apply(&["c1"]);
        sim.plan();
        for name in &names[..failing] {
            sim.fail(&[name]);
        }
        sim.everybody_applies();
        assert_eq!(sim.plan().view.state, state, "{rate} {min_failures} {failing}");
    }
}

#[test]
fn a_wave_has_its_own_rate() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].max_failure_rate = Some(percent_of("50%"));
    sim.commit(2, "two");
    sim.plan();
    sim.fail(&["c1"]);
    sim.apply(&["c2"]);
    assert_eq!(offered(&sim.plan()), ["r1", "r2", "r3"]);
}

#[test]
fn failing_in_soak_counts() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].soak = Seconds::new(60);
    sim.commit(2, "two");
    sim.plan();
    let old = sim.device("c1").observed.running;
    sim.apply(&["c1", "c2"]);
    assert_eq!(kind(sim.plan().view.reason.as_ref()), "Soak");
    sim.pass(30);
    sim.fail(&["c1"]);
    sim.device("c1").observed.running = old;
    assert_eq!(sim.plan().view.state, RolloutState::Halted);
}

#[test]
fn a_wave_waits_for_the_last_look_of_a_device_whose_own_soak_ends_with_it() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].soak = Seconds::new(60);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    sim.device("c2").observed.changing = true;
    sim.plan();
    sim.pass(60);
    let plan = sim.plan();
    assert!(offered(&plan).is_empty() && kind(plan.view.reason.as_ref()) == "InFlight", "{plan:#?}");
    let mut endless = sim.clone();
    endless.pass(30 * 60 - 1);
    assert_eq!(offered(&endless.plan()), [""; 0]);
    endless.pass(1);
    assert_eq!(offered(&endless.plan()), ["r1", "r2", "r3"], "for no longer than deviceTimeout");
    let mut hastened = sim.clone();
    hastened.decisions.expedited.insert(SkipStep::Soak);
    assert_eq!(offered(&hastened.plan()), ["r1", "r2", "r3"], "an emergency fix does not");
    sim.device("c2").observed.changing = false;
    assert_eq!(offered(&sim.plan()), ["r1", "r2", "r3"]);
}

#[test]
fn failing_probes_on_the_target_count_before_the_device_has_gone_back() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].soak = Seconds::new(60);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    sim.plan();
    sim.device("c1").observed.health = Health::Unhealthy;
    assert_eq!(sim.plan().view.state, RolloutState::Halted);
}

#[test]
fn a_failure_counts_only_if_it_names_a_version_that_was_offered_for_the_target() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.fail(&["c1"]);
    let stale_failure = sim.device("c1").observed.failure.clone();
    sim.plan();
    sim.commit(3, "three");
    assert_eq!(offered(&sim.plan()), ["c1", "c2"]);
    assert_eq!(sim.device("c1").observed.failure, stale_failure, "it is still reported");
    assert_eq!(sim.plan().view.state, RolloutState::Progressing);
    sim.device("c1").observed.failure.as_mut().unwrap().version = None;
    assert_eq!(sim.plan().view.state, RolloutState::Progressing);
}

#[test]
fn a_transient_failure_is_none_until_the_timeout() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.fail(&["c1"]);
    sim.device("c1").observed.failure.as_mut().unwrap().kind = FailureKind::Transient;
    assert_eq!(sim.plan().view.state, RolloutState::Progressing);
    sim.pass(1_800);
    assert_eq!(sim.plan().view.state, RolloutState::Halted);
}

#[test]
fn the_timeout_runs_from_the_offer_or_the_last_progress() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    let plan = sim.plan();
    sim.pass(1_000);
    sim.begin(&["c1"]);
    sim.apply(&["c2"]);
    let due = sim.now + SignedDuration::from_mins(30);
    sim.pass(1_799);
    let (one, two) = (sim.plan(), plan);
    assert_eq!((one.view.state, one.wake_at), (RolloutState::Progressing, Some(due)));
    assert!(two.wake_at.is_some());
    sim.pass(1);
    let plan = sim.plan();
    assert_eq!(plan.view.state, RolloutState::Halted);
    assert!(matches!(why(&plan, "c1"), WaitingOn::Failed { failure: None, .. }));
    // It makes it after all: that leaves the failed set, but a halt that was no mere silence stays.
    sim.apply(&["c1"]);
    let plan = sim.plan();
    assert_eq!((plan.view.waves[0].failed, plan.view.state), (0, RolloutState::Halted));
}

#[test]
fn silence_before_the_point_of_no_return_takes_the_offer_back() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1"]);
    sim.set_online(&["c2"], false);
    sim.pass(STALE_AFTER);
    let plan = sim.plan();
    assert_eq!((withdrawn(&plan), kind(Some(why(&plan, "c2")))), (vec!["c2"], "Stale".to_owned()));
    assert_eq!(offered(&plan), ["r1", "r2", "r3"], "it does not hold its wave");
    sim.set_online(&["c2"], true);
    assert_eq!(offered(&sim.plan()), ["c2"]);
}

#[test]
fn silence_after_the_point_of_no_return_is_a_failure_at_the_timeout_and_its_halt_ends_with_it() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1"]);
    sim.begin(&["c2"]);
    sim.set_online(&["c2"], false);
    sim.pass(1_799);
    assert_eq!(sim.plan().view.state, RolloutState::Progressing);
    sim.pass(1);
    assert_eq!(sim.plan().view.state, RolloutState::Halted);
    sim.set_online(&["c2"], true);
    sim.apply(&["c2"]);
    assert_eq!(offered(&sim.plan()), ["r1", "r2", "r3"]);
}

#[test]
fn silence_in_the_soak_of_the_first_wave_counts() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].soak = Seconds::new(600);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    sim.plan();
    sim.set_online(&["c1"], false);
    sim.pass(STALE_AFTER);
    let plan = sim.plan();
    assert_eq!((plan.view.state, plan.view.waves[0].failed), (RolloutState::Halted, 1));
    sim.set_online(&["c1"], true);
    let plan = sim.plan();
    assert_eq!((plan.view.state, kind(plan.view.reason.as_ref())), (RolloutState::Progressing, "Soak".to_owned()));
    let soaks_anew = sim.now + SignedDuration::from_secs(600);
    assert!(matches!(plan.view.reason, Some(WaitingOn::Soak { until, .. }) if until == soaks_anew));
}

#[test]
fn silence_in_a_later_wave_is_no_failure() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[1].soak = Seconds::new(600);
    sim.rollout.min_failures = 1;
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    sim.plan();
    sim.everybody_applies();
    sim.set_online(&["c1", "r1"], false);
    sim.plan();
    sim.pass(STALE_AFTER);
    let plan = sim.plan();
    assert_eq!((plan.view.waves[0].failed, plan.view.waves[1].failed), (0, 0));
    assert_eq!(kind(plan.view.reason.as_ref()), "Soak");
}

#[test]
fn after_a_start_no_silence_is_judged_before_the_devices_had_time_to_report() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.begin(&["c1"]);
    sim.set_online(&["c1", "c2"], false);
    sim.pass(10_000);
    sim.down(0);
    let plan = sim.plan();
    assert_eq!((withdrawn(&plan).len(), plan.view.waves[0].failed), (0, 0));
    assert_eq!(plan.wake_at, Some(sim.now + SignedDuration::from_secs(i64::from(STALE_AFTER))));
    sim.pass(STALE_AFTER);
    let plan = sim.plan();
    assert_eq!((withdrawn(&plan), plan.view.waves[0].failed), (vec!["c2"], 1));
}

#[test]
fn a_render_error_is_a_failure_of_its_wave_and_of_no_other() {
    let devices = [("c1", "canary"), ("r1", "rest"), ("x1", "")];
    let mut sim = Sim::settled(canary_then_rest(), &devices);
    sim.rollout.min_failures = 1;
    sim.commit(2, "site {ring}");
    let plan = sim.plan();
    assert_eq!(offered(&plan), ["c1"]);
    assert_eq!(*why(&plan, "x1"), WaitingOn::RenderError { why: "undefined label ring".to_owned() });
    sim.apply(&["c1"]);
    let plan = sim.plan();
    assert_eq!((plan.view.state, plan.view.waves[1].failed), (RolloutState::Halted, 1));
    assert_eq!(offered(&plan), [""; 0], "the wave opened and halted in one plan");
}

#[test]
fn a_failed_canary_is_not_mended_by_moving_it_away() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].max_failure_rate = Some(percent_of("50%"));
    sim.commit(2, "two");
    sim.plan();
    sim.fail(&["c1"]);
    sim.plan();
    sim.devices.remove("c1");
    sim.commit(3, "two");
    let plan = sim.plan();
    assert_eq!((plan.view.waves[0].members, plan.view.waves[0].failed), (2, 1));
    sim.fail(&["c2"]);
    assert_eq!(sim.plan().view.state, RolloutState::Halted);
}

#[test]
fn a_device_that_failed_is_not_offered_the_same_target_again() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    sim.plan();
    sim.apply(&["r1", "r2"]);
    sim.fail(&["r3"]);
    let plan = sim.plan();
    assert_eq!((plan.view.state, reasons(&plan)[4].as_str()), (RolloutState::Complete, "Failed"));
    sim.pass(100_000);
    assert_eq!(offered(&sim.plan()), [""; 0]);
    sim.commit(3, "two");
    assert_eq!(offered(&sim.plan()), [""; 0], "a commit that changes nothing for it does not either");
}
