//! Records that were lost: what devices say takes their place, and nothing is decided before they had time to say it.

use super::*;

fn awaited(sim: &mut Sim, names: &[&str]) {
    for name in names {
        sim.device(name).observed.paused = Some(Box::new(WaitingOn::AwaitingReconnect));
    }
}

/// Why no wave opens yet.
fn reconnects(sim: &Sim) -> WaitingOn {
    WaitingOn::Reconnects { until: sim.serving_since + Seconds::new(STALE_AFTER).signed() }
}

/// A process that begins now, with these records.
fn restarted(sim: &mut Sim, record: Option<RolloutRecord>) {
    sim.serving_since = sim.now;
    sim.record = record;
}

const FOUR: [(&str, &str); 4] = [("a", "canary"), ("b", "canary"), ("c", "rest"), ("d", "rest")];

#[test]
fn nothing_moves_before_those_that_are_waited_for_had_time_to_report() {
    let mut sim = Sim::settled(canary_then_rest(), &FOUR);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["a"]);
    let record = sim.record.clone();
    restarted(&mut sim, record);
    awaited(&mut sim, &["b", "c", "d"]);
    let plan = sim.plan();
    assert!(sim.record.as_ref().unwrap().waves[0].completed_at.is_none(), "b may have failed");
    assert_eq!(plan.decisions[&"b".parse().unwrap()].reason, Some(WaitingOn::AwaitingReconnect));
    assert_eq!(plan.wake_at, Some(sim.now + SignedDuration::from_secs(STALE_AFTER.into())));

    // Who does not come back in time is away like any other.
    sim.pass(STALE_AFTER);
    sim.set_online(&["a"], true);
    sim.plan();
    assert!(sim.record.as_ref().unwrap().waves[0].completed_at.is_some());
}

#[test]
fn a_halt_that_silence_made_does_not_end_with_the_records() {
    let mut sim = Sim::settled(canary_then_rest(), &FOUR);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["a"]);
    sim.begin(&["b"]);
    sim.set_online(&["b"], false);
    sim.pass(STALE_AFTER * 20);
    assert_eq!(sim.plan().view.state, RolloutState::Halted, "b was told to apply, and is not heard of since");
    let record = sim.record.clone();
    restarted(&mut sim, record);
    awaited(&mut sim, &["a", "b", "c", "d"]);
    let is_offer = |plan: &FleetPlan| plan.decisions.values().any(|it| matches!(it.action, Some(Action::Offer { .. })));
    for _ in 0..3 {
        let plan = sim.plan();
        assert!(plan.view.state == RolloutState::Halted && !is_offer(&plan), "{:?}", plan.view);
        for name in ["a", "c", "d"] {
            sim.device(name).observed.paused = None;
        }
        sim.pass(STALE_AFTER);
    }
    // It comes back, and is well: the silence has ended, and the halt with it.
    sim.device("b").observed.paused = None;
    sim.set_online(&["b"], true);
    sim.apply(&["b"]);
    assert_ne!(sim.plan().view.state, RolloutState::Halted);
}

#[test]
fn no_wave_opens_for_the_few_that_report_first() {
    let mut sim = Sim::new(canary_then_rest(), &FOUR);
    restarted(&mut sim, None);
    awaited(&mut sim, &["b", "c", "d"]);
    let plan = sim.plan();
    assert_eq!(plan.view.reason, Some(reconnects(&sim)));
    assert!(sim.record.as_ref().unwrap().waves.is_empty());
    sim.pass(STALE_AFTER);
    sim.set_online(&["a"], true);
    sim.plan();
    assert_eq!(sim.record.as_ref().unwrap().waves.len(), 1);
}

#[test]
fn a_fleet_of_which_one_device_is_known_passes_no_gate() {
    let gated = || {
        let mut rollout = canary_then_rest();
        rollout.waves[1].gate = Gate::Manual;
        rollout
    };
    let mut sim = Sim::settled(gated(), &FOUR);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["a", "b"]);
    sim.plan();
    let all = sim.devices.clone();
    for records_lost in [false, true] {
        let mut sim = sim.clone();
        let record = sim.record.clone();
        restarted(&mut sim, record.filter(|_| !records_lost));
        sim.records_lost = records_lost;
        sim.devices.retain(|name, _| name == "a");
        assert_eq!(sim.plan().view.reason, Some(reconnects(&sim)), "the others may come");
        // The others are away for longer than anybody waits.
        if records_lost {
            sim.pass(STALE_AFTER);
            sim.set_online(&["a"], true);
            sim.plan();
            let plan = sim.plan();
            assert!(matches!(plan.view.reason, Some(WaitingOn::Gate { .. })), "{:?}", plan.view.reason);
        }
        sim.devices = all.clone();
        sim.set_online(&["a", "b", "c", "d"], true);
        let plan = sim.plan();
        for name in ["c", "d"] {
            let action = plan.decisions[&name.parse().unwrap()].action;
            assert!(!matches!(action, Some(Action::Offer { .. })), "{name} waits for the gate");
        }
        sim.approved = vec!["rest"];
        sim.pass(STALE_AFTER);
        sim.set_online(&["a", "b", "c", "d"], true);
        let plan = sim.plan();
        assert!(matches!(plan.decisions[&"c".parse().unwrap()].action, Some(Action::Offer { .. })), "{:?}", plan.view);
    }
}

#[test]
fn without_records_a_percent_wave_takes_those_first_that_tried_the_target() {
    let names: Vec<String> = (0..20).map(|n| format!("d{n:02}")).collect();
    let devices: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "rest")).collect();
    let mut sim = Sim::settled(rollout(vec![percent("early", 30), percent("rest", 100)]), &devices);
    sim.commit(2, "two");
    sim.plan();
    let (failing, others): (Vec<&str>, Vec<&str>) = {
        let offered = |name: &&String| sim.devices[*name].observed.outstanding().is_some();
        let mut taken: Vec<&str> = names.iter().filter(offered).map(String::as_str).collect();
        (vec![taken.remove(0)], taken)
    };
    assert_eq!(others.len(), 5);
    sim.apply(&others);
    sim.fail(&failing);
    sim.plan();
    for device in sim.devices.values_mut() {
        device.observed.offer = None;
    }
    restarted(&mut sim, None);
    sim.records_lost = true;
    sim.pass(STALE_AFTER);
    sim.set_online(&names.iter().map(String::as_str).collect::<Vec<_>>(), true);
    let plan = sim.plan();
    let is_offer = |name: &String| matches!(plan.decisions[&name.parse().unwrap()].action, Some(Action::Offer { .. }));
    assert!(!names.iter().any(is_offer), "it reaches nobody whom it had not reached");
    assert_eq!((plan.view.waves[0].members, plan.view.waves[0].failed), (6, 1));
}

#[test]
fn without_records_a_failed_content_is_not_tried_again_and_the_rollout_halts_again() {
    let mut sim = Sim::settled(canary_then_rest(), &FOUR);
    sim.commit(2, "two");
    sim.plan();
    sim.apply(&["b"]);
    sim.fail(&["a"]);
    assert_eq!(sim.plan().view.state, RolloutState::Halted);
    // Offers are gone with the store, the report stays.
    for device in sim.devices.values_mut() {
        device.observed.offer = None;
    }
    let begun = sim.record.clone().map(|record| RolloutRecord {
        waves: Vec::new(),
        members: BTreeMap::new().into(),
        gaps: super::super::Gaps::default(),
        halted: None,
        ..record
    });
    let older = Sim::settled(canary_then_rest(), &FOUR).record;
    for record in [None, older, begun] {
        let mut sim = sim.clone();
        let records_lost = record.is_none();
        restarted(&mut sim, record);
        sim.records_lost = records_lost;
        let early = sim.plan();
        assert_eq!(early.view.reason == Some(reconnects(&sim)), records_lost);
        sim.pass(STALE_AFTER);
        sim.set_online(&["a", "b", "c", "d"], true);
        let plan = sim.plan();
        let is_offer =
            |plan: &FleetPlan| matches!(plan.decisions[&"a".parse().unwrap()].action, Some(Action::Offer { .. }));
        assert!(!is_offer(&early) && !is_offer(&plan));
        assert_eq!(plan.view.state, RolloutState::Halted);
    }
    // Somebody lands the same again: then it is tried.
    let mut again = sim.clone();
    again.record = None;
    again.commit(3, "two");
    again.pass(STALE_AFTER);
    let plan = again.plan();
    assert!(matches!(plan.decisions[&"a".parse().unwrap()].action, Some(Action::Offer { .. })), "{:?}", plan.view);
    // Other content is tried, also of a rollout that begins as late as that.
    restarted(&mut sim, None);
    sim.records_lost = true;
    sim.plan();
    sim.commit(3, "three");
    let plan = sim.plan();
    assert!(matches!(plan.decisions[&"a".parse().unwrap()].action, Some(Action::Offer { .. })));
    assert!(!sim.record.as_ref().unwrap().rebuilt);
}
