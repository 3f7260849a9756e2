//! What people decide: resumes, retries, emergencies, pins; and what a rollout does by itself when it fails.

use bellwether_schemas::manifest::{OnFailure, OnNewer, SkipStep};

use super::super::Good;
use super::*;

/// The canary c1 failed, c2 is healthy, and it halted.
fn halted() -> Sim {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c2"]);
    sim.fail(&["c1"]);
    assert_eq!(sim.plan().view.state, RolloutState::Halted);
    sim
}

#[test]
fn acknowledged_failures_let_it_go_on_and_one_more_halts_again() {
    let mut sim = halted();
    sim.decisions.acknowledged = 1;
    assert_eq!(offered(&sim.plan()), ["r1", "r2", "r3"]);
    sim.rollout.min_failures = 1;
    sim.fail(&["r1"]);
    assert_eq!(sim.plan().view.state, RolloutState::Progressing, "its own Rollout says minFailures: 3");
    sim.fail(&["r2", "r3"]);
    let plan = sim.plan();
    assert_eq!(plan.view.state, RolloutState::Halted, "three beyond the one");
    sim.decisions.acknowledged = 3;
    assert_eq!(sim.plan().view.state, RolloutState::Progressing, "two beyond are fewer than minFailures");
}

#[test]
fn an_acknowledgement_from_before_does_not_resume_a_halt() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.decisions.acknowledged = 1;
    sim.commit(2, "two");
    sim.plan();
    sim.fail(&["c1"]);
    assert_eq!(sim.plan().view.state, RolloutState::Progressing);
    sim.fail(&["c2"]);
    assert_eq!(sim.plan().view.state, RolloutState::Halted, "one was acknowledged, not two");
}

#[test]
fn a_retry_is_for_what_failed_before_it() {
    let mut sim = halted();
    // The Approval landed as v3.
    sim.head = 3;
    sim.decisions.retried = [("c1".parse().unwrap(), 3)].into();
    let plan = sim.plan();
    assert_eq!((plan.view.waves[0].failed, offered(&plan)), (0, vec!["c1"]));
    sim.fail(&["c1"]);
    let plan = sim.plan();
    assert_eq!((plan.view.state, plan.view.waves[0].failed), (RolloutState::Halted, 1));
    assert_eq!(offered(&plan), [""; 0], "not a third time");
}

#[test]
fn a_retry_ends_a_halt_when_no_failure_is_left_that_nobody_decided_about() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.fail(&["c1", "c2"]);
    assert_eq!(sim.plan().view.state, RolloutState::Halted);
    let approve = |sim: &mut Sim, name: &str| {
        sim.head += 1;
        sim.decisions.retried.insert(name.parse().unwrap(), sim.head);
    };
    approve(&mut sim, "c1");
    let plan = sim.plan();
    assert_eq!((plan.view.state, plan.view.waves[0].failed), (RolloutState::Halted, 1), "c2 is left");
    let running = Claim { version: landing_version(2), template: landing(2).commit, digest: sim.digest(2, "c2") };
    let c2 = &mut sim.device("c2").observed;
    (c2.running, c2.health) = (Some(running), Health::Healthy);
    let plan = sim.plan();
    assert_eq!(
        (plan.view.state, plan.view.waves[0].failed),
        (RolloutState::Halted, 0),
        "c2 is well, and nobody decided"
    );
    approve(&mut sim, "r1");
    assert_eq!(sim.plan().view.state, RolloutState::Halted, "r1 is of another wave");
    approve(&mut sim, "c2");
    assert_eq!(offered(&sim.plan()), ["c1"]);
}

#[test]
fn a_device_is_offered_the_target_again_as_often_as_retries_say_before_it_counts() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.retries = 2;
    sim.commit(2, "two");
    sim.plan();
    for _ in 0..2 {
        sim.fail(&["c1"]);
        let plan = sim.plan();
        assert_eq!((offered(&plan), plan.view.waves[0].failed), (vec!["c1"], 0));
    }
    sim.fail(&["c1"]);
    assert_eq!(sim.plan().view.state, RolloutState::Halted);
}

#[test]
fn a_rollback_for_a_connection_that_could_not_be_had_is_inconclusive() {
    for (down, failed) in [(true, 0), (false, 1)] {
        let mut sim = Sim::settled(canary_then_rest(), &FIVE);
        sim.commit(2, "two");
        sim.plan();
        sim.begin(&["c1"]);
        if down {
            sim.down(7_200);
        } else {
            sim.pass(60);
        }
        sim.report_all();
        sim.fail_anew("c1");
        sim.device("c1").observed.failure.as_mut().unwrap().code = "BW-0652".to_owned();
        let plan = sim.plan();
        assert_eq!((plan.view.waves[0].failed, offered(&plan).len()), (failed, 1 - usize::try_from(failed).unwrap()));
    }
}

/// A fleet that goes back by itself; both canaries run the second commit, c1 failed in the soak, c2 is healthy.
fn rejected(first: &str) -> Sim {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.on_failure = OnFailure::Revert;
    sim.rollout.waves[0].soak = Seconds::minutes(10);
    sim.contents.insert(1, first.to_owned());
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    sim.plan();
    let before = Claim { version: landing_version(1), template: landing(1).commit, digest: sim.digest(1, "c1") };
    sim.fail_anew("c1");
    sim.device("c1").observed.running = Some(before);
    sim
}

fn landing_version(number: u64) -> Version {
    Version { landing: number, commit: landing(number).commit, revision: 0 }
}

#[test]
fn a_rejected_commit_goes_back_and_is_offered_to_nobody() {
    let mut sim = rejected("one");
    let plan = sim.plan();
    assert_eq!((plan.view.state, offered(&plan)), (RolloutState::Reverting, vec!["c2"]));
    let Some(Action::Offer { template, .. }) = plan.decisions[&"c2".parse().unwrap()].action else {
        panic!("no offer")
    };
    assert_eq!(template, landing(1));
    assert_eq!(reasons(&plan), ["Failed", "Reverting", "Rejected", "Rejected", "Rejected"]);
    sim.apply(&["c2"]);
    let plan = sim.plan();
    assert_eq!((plan.view.state, kind(Some(why(&plan, "c2")))), (RolloutState::Rejected, "Rejected".to_owned()));
    assert_eq!(offered(&sim.plan()), [""; 0]);
    // Who comes in now gets what is stable.
    sim.enroll("new", "rest");
    assert_eq!(offered(&sim.plan()), ["new"]);
    // A signed Approval brings it back.
    sim.decisions.acknowledged = 1;
    let plan = sim.plan();
    assert!(offered(&plan).contains(&"c2"), "{plan:#?}");
}

#[test]
fn who_is_off_shows_that_it_goes_back_and_blocks_nothing() {
    let mut sim = rejected("one");
    sim.set_online(&["c2"], false);
    sim.pass(STALE_AFTER);
    let plan = sim.plan();
    assert_eq!((plan.view.state, offered(&plan).len()), (RolloutState::Reverting, 0));
    assert_eq!(kind(Some(why(&plan, "c2"))), "Reverting");
    sim.commit(3, "three");
    let plan = sim.plan();
    assert_eq!(offered(&plan), ["c1"], "the next commit begins");
    assert_eq!(kind(Some(why(&plan, "c2"))), "Stale");
}

#[test]
fn a_device_goes_back_to_what_was_healthy_on_it_last() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.on_failure = OnFailure::Revert;
    sim.rollout.waves[0].soak = Seconds::minutes(10);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    sim.plan();
    // The second was healthy on both, and abandoned in its soak.
    sim.commit(3, "three");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    sim.plan();
    let good = Good { template: landing(2), digest: sim.digest(2, "c2") };
    assert_eq!(sim.record.as_ref().unwrap().members[&"c2".parse().unwrap()].good.as_deref(), Some(&good));
    sim.device("c1").observed.health = Health::Unhealthy;
    let plan = sim.plan();
    let offers: Vec<Landing> = plan
        .decisions
        .values()
        .filter_map(|decision| decision.action)
        .map(|action| match action {
            Action::Offer { template, .. } => template,
            Action::Withdraw => panic!("nothing is withdrawn"),
        })
        .collect();
    assert_eq!(offers, [landing(2), landing(2)], "not to the first");
}

#[test]
fn a_broken_way_back_is_not_tried_twice() {
    let mut sim = rejected("one");
    sim.plan();
    sim.fail(&["c2"]);
    let plan = sim.plan();
    assert_eq!(
        (offered(&plan).len(), plan.view.state),
        (0, RolloutState::Rejected),
        "there is nothing else to go back to"
    );
    assert_eq!(kind(Some(why(&plan, "c2"))), "BackFailed");
}

#[test]
fn nor_on_the_device_for_which_the_target_was_given_up() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.on_failure = OnFailure::Revert;
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1"]);
    sim.plan();
    sim.device("c1").observed.health = Health::Unhealthy;
    assert!(offered(&sim.plan()).contains(&"c1"), "back to what it had");
    sim.fail(&["c1"]);
    for _ in 0..3 {
        let plan = sim.plan();
        assert_eq!((offered(&plan), kind(Some(why(&plan, "c1")))), (Vec::new(), "BackFailed".to_owned()));
        sim.pass(60);
    }
    // Nor what a pin names, on a device on which the target failed before.
    let spec = Good { template: landing(1), digest: sim.digest(1, "c1") };
    sim.device("c1").pin = Some(Pinned { commit: landing(1).commit, spec: Ok(spec) });
    for _ in 0..3 {
        let plan = sim.plan();
        assert_eq!((offered(&plan), kind(Some(why(&plan, "c1")))), (Vec::new(), "Failed".to_owned()));
        sim.pass(60);
    }
}

#[test]
fn silence_alone_halts_and_does_not_go_back() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.on_failure = OnFailure::Revert;
    sim.rollout.waves[0].soak = Seconds::minutes(10);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    sim.plan();
    sim.set_online(&["c1"], false);
    sim.pass(STALE_AFTER);
    let plan = sim.plan();
    assert_eq!((plan.view.state, offered(&plan).len()), (RolloutState::Halted, 0));
    sim.set_online(&["c1"], true);
    assert_eq!(sim.plan().view.state, RolloutState::Progressing, "its halt ends with it");
}

#[test]
fn an_emergency_goes_to_everybody_once_one_canary_is_healthy() {
    let mut sim =
        Sim::settled(rollout(vec![select("canary", "canary"), percent("early", 60), percent("rest", 100)]), &FIVE);
    sim.rollout.waves.iter_mut().for_each(|wave| wave.soak = Seconds::minutes(60));
    sim.rollout.waves[2].gate = Gate::Manual;
    sim.commit(2, "two");
    sim.decisions.expedited = [SkipStep::Waves, SkipStep::Soak, SkipStep::Gates].into();
    assert_eq!(offered(&sim.plan()), ["c1", "c2"], "a canary comes first");
    sim.apply(&["c2"]);
    let plan = sim.plan();
    assert_eq!(offered(&plan), ["r1", "r2", "r3"]);
    sim.apply(&["r1", "r2", "r3"]);
    let plan = sim.plan();
    assert_eq!(plan.view.state, RolloutState::Progressing, "c1 holds its end");
    assert_eq!(kind(plan.view.reason.as_ref()), "InFlight", "and is the reason why there is none yet");
    sim.apply(&["c1"]);
    assert_eq!(sim.plan().view.state, RolloutState::Complete);
}

#[test]
fn an_emergency_still_halts() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.decisions.expedited = SkipStep::ALL.into_iter().collect();
    sim.commit(2, "two");
    sim.plan();
    sim.fail(&["c1"]);
    let plan = sim.plan();
    assert_eq!((plan.view.state, offered(&plan).len()), (RolloutState::Halted, 0));
}

#[test]
fn a_pin_keeps_a_device_out_of_the_waves_at_its_commit() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    let pin = |sim: &Sim, number| {
        let good = Good { template: landing(number), digest: sim.digest(number, "c1") };
        Some(Pinned { commit: landing(number).commit, spec: Ok(good) })
    };
    sim.device("c1").pin = pin(&sim.clone(), 1);
    sim.commit(2, "two");
    let plan = sim.plan();
    assert_eq!((offered(&plan), kind(Some(why(&plan, "c1")))), (vec!["c2"], "Pinned".to_owned()));
    assert_eq!(plan.view.waves[0].members, 1);
    sim.apply(&["c2"]);
    sim.plan();
    // Pinned to another, it is offered that, at once.
    sim.device("c1").pin = pin(&sim.clone(), 2);
    assert!(offered(&sim.plan()).contains(&"c1"));
    sim.fail(&["c1"]);
    let plan = sim.plan();
    assert!(
        !offered(&plan).contains(&"c1") && plan.view.state != RolloutState::Halted,
        "it counts in no wave: {plan:#?}"
    );
    assert_eq!(kind(Some(why(&plan, "c1"))), "Failed");
    sim.device("c1").pin = Some(Pinned { commit: landing(7).commit, spec: Err("it is not in the history".to_owned()) });
    assert!(matches!(why(&sim.plan(), "c1"), WaitingOn::Pinned { why: Some(_), .. }));
}

#[test]
fn a_rollout_that_ends_first_keeps_its_target() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.on_newer = OnNewer::Finish;
    let rolls =
        |sim: &Sim, waits_for_nothing| super::super::rolls(sim.record.as_ref(), landing(3), waits_for_nothing).number;
    assert_eq!(rolls(&sim, false), 3, "nothing runs");
    sim.commit(2, "two");
    sim.plan();
    assert_eq!((rolls(&sim, false), rolls(&sim, true)), (2, 3), "a return and an emergency do not wait");
    sim.fail(&["c1"]);
    sim.plan();
    assert_eq!(rolls(&sim, false), 3, "what stopped by itself keeps nobody waiting");
}

#[test]
fn what_was_decided_counts_for_what_goes_on_and_for_nothing_new() {
    let mut sim = halted();
    sim.decisions.acknowledged = 1;
    assert_eq!(sim.plan().view.state, RolloutState::Progressing);
    // Nobody said anything about the next commit itself, only about the one before.
    sim.kept = Some(std::mem::take(&mut sim.decisions));
    sim.enroll("c9", "canary");
    sim.commit(3, "two");
    let plan = sim.plan();
    assert_eq!((plan.view.state, plan.record.earlier), (RolloutState::Progressing, vec![landing(2)]));
    assert_eq!(sim.plan().view.state, RolloutState::Progressing);

    sim.commit(4, "four");
    let plan = sim.plan();
    assert_eq!((plan.record.target, plan.record.earlier), (landing(4), Vec::new()));
    sim.fail(&["c2"]);
    // The world forgets it with the next plan, since the record does.
    sim.kept = None;
    assert_eq!(sim.plan().view.state, RolloutState::Halted, "it is another content");
}

#[test]
fn a_new_rollout_takes_no_decision_of_the_one_before_even_in_its_first_plan() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].gate = Gate::Manual;
    sim.commit(2, "two");
    sim.approved = vec!["canary"];
    assert_eq!(offered(&sim.plan()), ["c1", "c2"]);
    sim.approved.clear();
    sim.kept = Some(Decisions { opened: ["canary".parse().unwrap()].into(), ..Decisions::default() });
    sim.commit(3, "three");
    let plan = sim.plan_only();
    assert_eq!((offered(&plan).len(), kind(plan.view.reason.as_ref()).as_str()), (0, "Gate"));
}
