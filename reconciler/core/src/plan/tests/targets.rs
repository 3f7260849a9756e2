//! New targets: news, no news, and the way back.

use super::super::Good;
use super::*;

#[test]
fn a_target_that_changes_no_digest_is_stable_at_once() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "one");
    let plan = sim.plan();
    assert_eq!((plan.record.stable, plan.view.state), (Some(landing(2)), RolloutState::Complete));
    assert_eq!(offered(&plan), [""; 0]);
}

#[test]
fn a_rollout_goes_on_under_a_target_that_changes_no_digest() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].soak = Seconds::new(60);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    let until = sim.now + SignedDuration::from_secs(60);
    sim.plan();
    sim.pass(30);
    sim.commit(3, "two");
    // Nor can a Rollout that was edited meanwhile shorten what is under way.
    sim.rollout.waves[0].soak = Seconds::ZERO;
    sim.enroll("new", "rest");
    let plan = sim.plan();
    assert_eq!(plan.view.reason, Some(WaitingOn::Soak { wave: "canary".parse().unwrap(), until }));
    sim.pass(30);
    sim.plan();
    sim.everybody_applies();
    assert_eq!(sim.plan().record.stable, Some(landing(3)));
}

#[test]
fn a_change_of_labels_alone_is_a_rollout_like_any_other() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "site {ring}");
    for _ in 0..3 {
        sim.plan();
        sim.everybody_applies();
    }
    assert_eq!(sim.plan().record.stable, Some(landing(2)));
    // Stable rendered with the new labels equals the target; what was stable then does not.
    sim.device("r1").ring = "elsewhere".to_owned();
    sim.commit(3, "site {ring}");
    let plan = sim.plan();
    assert_eq!(plan.record.stable, Some(landing(2)));
    assert_eq!((offered(&plan), kind(Some(why(&plan, "r1")))), (vec!["r1"], "InFlight".to_owned()));
    assert!(plan.view.waves[0].done, "both canaries are at their target, unchanged");

    sim.commit(4, "place {ring}");
    sim.plan();
    sim.device("r2").ring = "elsewhere".to_owned();
    sim.device("r2").observed.running = None;
    sim.commit(5, "place {ring}");
    let plan = sim.plan();
    assert_eq!(kind(Some(why(&plan, "r2"))), "Wave");
    assert_eq!(plan.decisions[&"r2".parse().unwrap()].action, None, "that would be the new label, untested");
}

#[test]
fn a_newer_target_begins_again_at_the_first_wave() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1"]);
    sim.plan();
    sim.commit(3, "three");
    let plan = sim.plan();
    assert_eq!(offered(&plan), ["c1", "c2"]);
    assert_eq!((plan.record.stable, plan.record.waves.len()), (Some(landing(1)), 1));
}

#[test]
fn who_was_offered_the_abandoned_version_follows_directly_after_the_first_wave() {
    let three = rollout(vec![select("canary", "canary"), percent("early", 60), percent("rest", 100)]);
    let mut sim = Sim::settled(three, &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    let early = offered(&sim.plan()).first().map(|name| (*name).to_owned()).unwrap();
    sim.begin(&[&early]);
    sim.rollout.waves[1].gate = Gate::Manual;
    sim.commit(3, "three");
    assert_eq!(offered(&sim.plan()), ["c1", "c2"]);
    sim.apply(&["c1", "c2"]);
    let plan = sim.plan();
    assert_eq!(offered(&plan), [&early], "although the second wave's gate is closed");
    assert_eq!(plan.view.waves[1].members, 1);
    sim.fail(&[&early]);
    sim.rollout.min_failures = 1;
    let plan = sim.plan();
    assert_eq!(plan.view.waves[1].failed, 1, "and it counts there");
}

#[test]
fn an_offer_of_the_abandoned_version_that_was_not_begun_is_taken_back() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    sim.plan();
    sim.begin(&["r1"]);
    sim.commit(3, "three");
    assert_eq!(withdrawn(&sim.plan()), ["r2", "r3"]);
}

#[test]
fn a_target_equal_to_stable_is_a_return_of_those_that_left() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[1].gate = Gate::Manual;
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1"]);
    sim.begin(&["c2"]);
    sim.plan();
    sim.commit(3, "one");
    let plan = sim.plan();
    assert_eq!((offered(&plan), plan.record.stable), (vec!["c1", "c2"], Some(landing(3))));
    sim.apply(&["c1", "c2"]);
    assert_eq!(reasons(&sim.plan()), ["-"; 5]);
}

#[test]
fn a_return_takes_back_what_was_not_begun() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.commit(3, "one");
    let plan = sim.plan();
    assert_eq!((withdrawn(&plan), offered(&plan).len()), (vec!["c1", "c2"], 0));
}

#[test]
fn nothing_is_stable_vacuously() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.devices.clear();
    sim.commit(2, "two");
    assert_eq!(sim.plan().record.stable, Some(landing(1)));
    // Other devices, another template: nobody has shown that it is good.
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.devices.clear();
    sim.enroll("n1", "rest");
    sim.enroll("n2", "canary");
    sim.commit(2, "two");
    let plan = sim.plan();
    assert_eq!(plan.record.stable, Some(landing(1)));
    assert!(
        matches!(plan.decisions[&"n1".parse().unwrap()].action, Some(Action::Offer { template, .. }) if template == landing(1))
    );
    assert!(
        matches!(plan.decisions[&"n2".parse().unwrap()].action, Some(Action::Offer { template, .. }) if template == landing(2))
    );
}

#[test]
fn devices_that_move_in_with_an_unchanged_template_get_it_at_once() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.enroll("new", "rest");
    sim.commit(2, "one");
    let plan = sim.plan();
    assert_eq!((offered(&plan), plan.record.stable), (vec!["new"], Some(landing(2))));
}

#[test]
fn a_return_shows_who_goes_back_until_everybody_said_so() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].soak = Seconds::minutes(10);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1"]);
    sim.begin(&["c2"]);
    sim.commit(3, "one");
    let returning = |devices| Some(WaitingOn::Returning { commit: landing(3).commit, devices });
    let plan = sim.plan();
    assert_eq!((plan.view.state, plan.view.reason), (RolloutState::Reverting, returning(2)), "c2 was about to leave");
    assert!(plan.record.is_complete(), "the next commit begins at once");
    sim.apply(&["c2"]);
    sim.set_online(&["c1"], false);
    sim.pass(STALE_AFTER * 10);
    assert_eq!(sim.plan().view.reason, returning(1), "c1 is off, and not back");
    sim.hold(true);
    let plan = sim.plan();
    assert_eq!((plan.view.state, kind(plan.view.reason.as_ref())), (RolloutState::Reverting, "Held".to_owned()));
    sim.hold(false);
    sim.set_online(&["c1"], true);
    sim.plan();
    sim.apply(&["c1"]);
    let plan = sim.plan();
    assert_eq!((plan.view.state, plan.view.reason), (RolloutState::Complete, None));
}

#[test]
fn a_percent_wave_of_nobody_but_followers_that_are_pinned_or_left_is_skipped() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves.insert(1, Wave { gate: Gate::Manual, ..percent("early", 20) });
    sim.commit(2, "two");
    sim.plan();
    sim.device("c2").ring = "rest".to_owned();
    sim.commit(3, "three");
    let mut pinned = sim.clone();
    let spec = Good { template: landing(1), digest: pinned.digest(1, "c2") };
    pinned.device("c2").pin = Some(Pinned { commit: landing(1).commit, spec: Ok(spec) });
    pinned.plan();
    pinned.apply(&["c1"]);
    assert_eq!(offered(&pinned.plan()), ["r1", "r2", "r3"]);
    sim.plan();
    sim.apply(&["c1"]);
    assert_eq!(offered(&sim.plan()), ["c2"], "it follows directly");
    sim.devices.remove("c2");
    assert_eq!(offered(&sim.plan()), ["r1", "r2", "r3"]);
}

#[test]
fn who_fails_on_the_way_back_holds_no_return_up() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].soak = Seconds::minutes(10);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    sim.plan();
    sim.commit(3, "one");
    sim.plan();
    sim.apply(&["c1"]);
    sim.fail(&["c2"]);
    let plan = sim.plan();
    assert_eq!((plan.view.state, reasons(&plan)[1].as_str()), (RolloutState::Complete, "Failed"));
    let planner = &sim.run.as_ref().unwrap().planner;
    assert_eq!(planner.completion(), "1 device went back, and that failed on 1 device.");
}

#[test]
fn who_did_not_come_to_what_is_stable_yet_does_not_go_back_to_it() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.set_online(&["r1"], false);
    sim.pass(STALE_AFTER);
    sim.commit(2, "two");
    for _ in 0..3 {
        sim.plan();
        sim.everybody_applies();
        sim.pass(1);
    }
    assert_eq!(sim.plan().view.state, RolloutState::Complete);
    sim.commit(3, "two");
    sim.enroll("r9", "rest");
    let plan = sim.plan();
    assert_eq!((plan.view.state, plan.view.reason), (RolloutState::Complete, None), "r1 is still at the first");
}
