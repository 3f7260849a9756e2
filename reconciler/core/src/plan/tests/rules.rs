//! Waves: who is in them, what opens them, when they are done.

use super::*;

#[test]
fn the_first_rollout_goes_wave_by_wave_too() {
    let mut sim = Sim::new(canary_then_rest(), &FIVE);
    let plan = sim.plan();
    assert_eq!(offered(&plan), ["c1", "c2"]);
    assert_eq!(reasons(&plan), ["InFlight", "InFlight", "Wave", "Wave", "Wave"]);
    sim.apply(&["c1"]);
    assert_eq!(offered(&sim.plan()), [""; 0], "c2 is not done");
    sim.apply(&["c2"]);
    let plan = sim.plan();
    assert_eq!(offered(&plan), ["r1", "r2", "r3"]);
    assert_eq!(plan.record.stable, None);
    sim.everybody_applies();
    let plan = sim.plan();
    assert_eq!((plan.view.state, plan.record.stable), (RolloutState::Complete, Some(landing(1))));
    assert_eq!(reasons(&plan), ["-"; 5]);
    assert_eq!((plan.view.reason, plan.wake_at), (None, None));
}

#[test]
fn an_offer_carries_version_template_digest_and_soak() {
    let mut sim = Sim::new(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].soak = Seconds::minutes(5);
    let plan = sim.plan();
    let version = Version { landing: 1, commit: landing(1).commit, revision: 0 };
    let digest = sim.digest(1, "c1");
    let (window, soak) = (Span::default(), Seconds::minutes(5));
    let offer = Action::Offer { version, template: landing(1), digest, window, soak };
    assert_eq!(plan.decisions[&"c1".parse().unwrap()].action, Some(offer));
    assert_eq!(*why(&plan, "c1"), WaitingOn::InFlight { version, since: sim.now });
}

#[test]
fn a_device_that_is_changing_what_it_must_give_up_is_awaited_and_holds_its_wave() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    let lost = Version { landing: 9, commit: landing(9).commit, revision: 0 };
    let claim = Claim { version: lost, template: lost.commit, digest: Sha256Digest::of(b"lost") };
    sim.device("c1").changes = true;
    sim.device("c1").observed.applying = Some(Box::new(claim));
    let plan = sim.plan();
    assert_eq!(offered(&plan), ["c2"]);
    assert!(matches!(why(&plan, "c1"), WaitingOn::InFlight { version, .. } if *version == lost), "{plan:#?}");
    sim.apply(&["c2"]);
    assert_eq!(offered(&sim.plan()), [""; 0], "c1 is not done");
    // It ended, and is offered what it shall run.
    (sim.device("c1").changes, sim.device("c1").observed.applying) = (false, None);
    assert_eq!(offered(&sim.plan()), ["c1"]);
}

#[test]
fn a_wave_soaks_before_the_next_one_opens() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].soak = Seconds::new(60);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1", "c2"]);
    let until = sim.now + SignedDuration::from_secs(60);
    let plan = sim.plan();
    assert_eq!(*why(&plan, "r1"), WaitingOn::Soak { wave: "canary".parse().unwrap(), until });
    assert_eq!(plan.view.reason.as_ref(), Some(why(&plan, "r1")));
    assert_eq!(plan.wake_at, Some(until));
    sim.pass(59);
    assert_eq!(offered(&sim.plan()), [""; 0]);
    sim.pass(1);
    assert_eq!(offered(&sim.plan()), ["r1", "r2", "r3"]);
}

#[test]
fn a_gate_is_an_entry_condition_that_an_approval_opens() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[1].gate = Gate::Manual;
    sim.commit(2, "two");
    assert_eq!(kind(Some(why(&sim.plan(), "r1"))), "Wave", "its turn has not come");
    sim.apply(&["c1", "c2"]);
    let plan = sim.plan();
    let gate = WaitingOn::Gate { wave: "rest".parse().unwrap(), commit: landing(2).commit };
    assert_eq!((why(&plan, "r1"), plan.view.state), (&gate, RolloutState::Waiting));
    sim.approved = vec!["rest"];
    assert_eq!(offered(&sim.plan()), ["r1", "r2", "r3"]);
}

#[test]
fn percent_waves_hold_their_share_of_the_fleet_earlier_waves_included() {
    let devices: Vec<(String, &str)> = (0..40).map(|i| (format!("d{i:02}"), "canary")).collect();
    let devices: Vec<(&str, &str)> = devices.iter().map(|(name, ring)| (name.as_str(), *ring)).collect();
    let mut sim = Sim::new(Rollout::default(), &devices);
    sim.rollout.waves.iter_mut().for_each(|wave| wave.soak = Seconds::ZERO);
    let mut sizes = Vec::new();
    for _ in 0..3 {
        sizes.push(offered(&sim.plan()).len());
        sim.everybody_applies();
    }
    assert_eq!(sizes, [2, 8, 30], "5 %, 25 % and all of 40");
}

#[test]
fn percent_waves_take_the_lowest_hashes_of_fleet_stable_and_device() {
    let mut sim = Sim::settled(rollout(vec![percent("canary", 40), percent("rest", 100)]), &FIVE);
    sim.commit(2, "two");
    let (fleet, stable) = ("edge".parse().unwrap(), landing(1).commit);
    let mut names: Vec<&str> = FIVE.iter().map(|(name, _)| *name).collect();
    names.sort_by_key(|name| super::super::place::order(&fleet, &stable, &name.parse().unwrap()));
    let mut first = names[..2].to_vec();
    first.sort_unstable();
    assert_eq!(offered(&sim.plan()), first);
}

#[test]
fn the_order_of_hashes_never_changes() {
    let order = super::super::place::order(&"edge".parse().unwrap(), &landing(1).commit, &"d1".parse().unwrap());
    let mut text = b"edge\0".to_vec();
    text.extend(landing(1).commit.as_bytes());
    text.extend(b"\0d1");
    assert_eq!(order.to_be_bytes(), Sha256Digest::of(&text).as_bytes()[..8]);
}

#[test]
fn a_percent_wave_that_adds_nobody_is_skipped_with_its_gate() {
    let mut sim = Sim::settled(Rollout::default(), &[("only", "canary")]);
    sim.rollout.waves.iter_mut().for_each(|wave| wave.gate = Gate::Manual);
    sim.approved = vec!["canary"];
    sim.commit(2, "two");
    assert_eq!(offered(&sim.plan()), ["only"]);
    sim.apply(&["only"]);
    sim.plan();
    sim.pass(900);
    assert_eq!(sim.plan().view.state, RolloutState::Complete);
}

#[test]
fn the_first_percent_wave_has_a_live_device() {
    let mut sim = Sim::settled(rollout(vec![percent("canary", 20), percent("rest", 100)]), &FIVE);
    sim.set_online(&["c1", "c2", "r1", "r3"], false);
    sim.pass(STALE_AFTER);
    sim.commit(2, "two");
    assert_eq!(offered(&sim.plan()), ["r2"]);
}

#[test]
fn a_select_wave_without_a_live_device_is_never_passed_silently() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.set_online(&["c1", "c2"], false);
    sim.pass(STALE_AFTER);
    sim.commit(2, "two");
    let plan = sim.plan();
    assert_eq!(plan.view.reason, Some(WaitingOn::EmptyWave { wave: "canary".parse().unwrap() }));
    assert_eq!(reasons(&plan), ["Stale", "Stale", "Wave", "Wave", "Wave"]);
    assert_eq!((offered(&plan).len(), plan.view.waves[0].open), (0, false));
    sim.set_online(&["c2"], true);
    assert_eq!(offered(&sim.plan()), ["c2"]);
}

#[test]
fn a_fleet_without_devices_waits_for_its_first_one() {
    let mut sim = Sim::new(Rollout::default(), &[]);
    let plan = sim.plan();
    assert_eq!((plan.view.state, kind(plan.view.reason.as_ref())), (RolloutState::Progressing, "EmptyWave".to_owned()));
    sim.commit(2, "two");
    assert_eq!(sim.plan().record.stable, None);
    sim.enroll("first", "rest");
    assert_eq!(offered(&sim.plan()), ["first"]);
}

#[test]
fn a_wave_needs_min_healthy_devices() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    (sim.rollout.min_healthy, sim.rollout.waves[0].max_failure_rate) = (2, Some(percent_of("50%")));
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1"]);
    sim.fail(&["c2"]);
    let plan = sim.plan();
    let few = WaitingOn::TooFewHealthy { wave: "canary".parse().unwrap(), healthy: 1, needed: 2 };
    assert_eq!((why(&plan, "r1"), plan.view.waves[0].reason.as_ref()), (&few, Some(&few)));
    assert_eq!(kind(Some(why(&plan, "c2"))), "Failed");
}

#[test]
fn a_device_that_runs_the_target_already_needs_no_offer() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    for name in ["c1", "c2"] {
        let digest = sim.digest(2, name);
        sim.device(name).observed.running.as_mut().unwrap().digest = digest;
    }
    let plan = sim.plan();
    assert_eq!(offered(&plan), ["r1", "r2", "r3"]);
    assert_eq!(reasons(&plan)[..2], ["-", "-"]);
    assert_eq!((plan.view.waves[0].offered, plan.view.waves[0].healthy), (2, 2));
}

#[test]
fn a_device_that_was_offline_is_not_offered_and_holds_nothing() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.set_online(&["c2", "r3"], false);
    sim.pass(STALE_AFTER);
    sim.commit(2, "two");
    assert_eq!(offered(&sim.plan()), ["c1"]);
    sim.apply(&["c1"]);
    assert_eq!(offered(&sim.plan()), ["r1", "r2"]);
    sim.apply(&["r1", "r2"]);
    assert_eq!(sim.plan().view.state, RolloutState::Complete);
    sim.set_online(&["c2"], true);
    assert_eq!(offered(&sim.plan()), ["c2"], "it gets what is stable when it is back");
}

#[test]
fn a_member_that_comes_back_in_soak_does_not_prolong_it() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.rollout.waves[0].soak = Seconds::new(60);
    sim.set_online(&["c2"], false);
    sim.pass(STALE_AFTER);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["c1"]);
    sim.plan();
    sim.pass(30);
    sim.set_online(&["c2"], true);
    assert_eq!(offered(&sim.plan()), ["c2"]);
    sim.pass(30);
    assert_eq!(offered(&sim.plan()), ["r1", "r2", "r3"]);
}

#[test]
fn members_of_an_open_wave_are_recorded_and_later_ones_do_not_hold_it() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.enroll("c3", "canary");
    assert_eq!(offered(&sim.plan()), ["c3"], "its wave is open");
    sim.apply(&["c1", "c2"]);
    let plan = sim.plan();
    assert_eq!(offered(&plan), ["r1", "r2", "r3"], "although c3 is not done");
    assert_eq!(plan.view.waves[0].members, 3);
}

#[test]
fn a_joiner_gets_stable_until_its_wave_opens() {
    let mut sim = Sim::settled(rollout(vec![percent("canary", 20), percent("early", 60), percent("rest", 100)]), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.enroll("new", "rest");
    let plan = sim.plan();
    let Some(Action::Offer { template, digest, .. }) = plan.decisions[&"new".parse().unwrap()].action else {
        panic!("no offer")
    };
    assert_eq!((template, digest), (landing(1), sim.digest(1, "new")));
    assert_eq!(why(&plan, "new"), &WaitingOn::Wave { wave: "rest".parse().unwrap(), after: "canary".parse().unwrap() });
    for _ in 0..3 {
        sim.everybody_applies();
        sim.plan();
    }
    assert_eq!(sim.device("new").observed.offer.unwrap().template, landing(2).commit);
}

#[test]
fn a_joiner_that_fails_at_stable_is_no_failure_of_the_rollout() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.enroll("new", "rest");
    sim.plan();
    sim.fail(&["new"]);
    let plan = sim.plan();
    assert_eq!((kind(Some(why(&plan, "new"))), offered(&plan).len()), ("Failed".to_owned(), 0));
    sim.apply(&["c1", "c2"]);
    assert_eq!(offered(&sim.plan()), ["new", "r1", "r2", "r3"]);
}

#[test]
fn without_stable_a_joiner_waits_for_its_wave() {
    let mut sim = Sim::new(canary_then_rest(), &FIVE);
    sim.plan();
    sim.enroll("new", "rest");
    assert_eq!(offered(&sim.plan()), [""; 0]);
}

#[test]
fn a_device_that_never_reported_is_not_offered() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.enroll("new", "rest");
    (sim.device("new").observed.last_seen, sim.device("new").online) = (None, false);
    let plan = sim.plan();
    assert_eq!(*why(&plan, "new"), WaitingOn::Stale { last_seen: None, begun: None });
    sim.set_online(&["new"], true);
    assert_eq!(offered(&sim.plan()), ["new"]);
}

#[test]
fn a_paused_device_is_left_alone_and_counts_nowhere() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.device("c2").observed.paused = Some(Box::new(WaitingOn::AwaitingReconnect));
    sim.commit(2, "two");
    let plan = sim.plan();
    assert_eq!((offered(&plan), why(&plan, "c2")), (vec!["c1"], &WaitingOn::AwaitingReconnect));
    sim.apply(&["c1"]);
    sim.plan();
    sim.everybody_applies();
    assert_eq!(sim.plan().view.state, RolloutState::Complete);
    sim.device("c2").observed.paused = None;
    assert_eq!(offered(&sim.plan()), ["c2"]);
}

#[test]
fn a_hold_stops_offers_and_takes_back_those_that_were_not_begun() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    sim.plan();
    sim.begin(&["c1"]);
    sim.hold(true);
    let plan = sim.plan();
    assert_eq!(withdrawn(&plan), ["c2"]);
    assert_eq!(reasons(&plan), ["InFlight", "Held", "Held", "Held", "Held"]);
    assert_eq!(plan.view.state, RolloutState::Waiting);
    sim.hold(false);
    assert_eq!(offered(&sim.plan()), ["c2"]);
}

#[test]
fn a_wave_with_a_late_member_on_its_way_is_not_empty() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.device("c2").observed.paused = Some(Box::new(WaitingOn::AwaitingReconnect));
    sim.commit(2, "two");
    assert_eq!(offered(&sim.plan()), ["c1"]);
    sim.set_online(&["c1"], false);
    sim.pass(STALE_AFTER);
    assert_eq!(kind(Some(why(&sim.plan(), "r1"))), "EmptyWave");
    sim.device("c2").observed.paused = None;
    let plan = sim.plan();
    assert_eq!((offered(&plan), kind(Some(why(&plan, "r1")))), (vec!["c2"], "TooFewHealthy".to_owned()));
}

#[test]
fn while_the_branch_is_rewound_nothing_is_offered_and_nothing_recorded() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.commit(2, "two");
    let before = sim.record.clone();
    sim.condition = Condition::Rewound { accepted: landing(2).commit, landing: 2, tip: landing(1).commit, reset: None };
    let plan = sim.plan();
    assert_eq!((reasons(&plan), offered(&plan).len()), (vec!["Repository".to_owned(); 5], 0));
    assert!(plan.view.waves.iter().all(|wave| kind(wave.reason.as_ref()) == "Repository"), "{:?}", plan.view);
    assert_eq!((sim.record.clone(), plan.changed), (before, Changed::Nothing));
    sim.condition = Condition::Unreachable { why: "no route".to_owned() };
    assert_eq!(offered(&sim.plan()), ["c1", "c2"]);
}
