//! What holds whatever devices and engineers do.

use proptest::prelude::*;

use super::*;

/// Something that happens to a fleet.
#[derive(Debug, Clone)]
enum Event {
    Pass(u32),
    Apply(usize),
    Begin(usize),
    Fail(usize),
    Unwell(usize),
    Offline(usize),
    Online(usize),
    Enroll(usize),
    Leave(usize),
    Pause(usize, bool),
    Hold(bool),
    Approve,
    Commit(u8),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let device = 0..12_usize;
    prop_oneof![
        3 => (1..2_000_u32).prop_map(Event::Pass),
        6 => device.clone().prop_map(Event::Apply),
        2 => device.clone().prop_map(Event::Begin),
        1 => device.clone().prop_map(Event::Fail),
        1 => device.clone().prop_map(Event::Unwell),
        1 => device.clone().prop_map(Event::Offline),
        1 => device.clone().prop_map(Event::Online),
        1 => device.clone().prop_map(Event::Enroll),
        1 => device.clone().prop_map(Event::Leave),
        1 => (device, any::<bool>()).prop_map(|(i, on)| Event::Pause(i, on)),
        1 => any::<bool>().prop_map(Event::Hold),
        1 => Just(Event::Approve),
        1 => (0..5_u8).prop_map(Event::Commit),
        1 => Just(Event::Restart),
    ]
}

fn waves() -> impl Strategy<Value = Rollout> {
    let gated = |mut wave: Wave, manual: bool, soak: u32| {
        (wave.gate, wave.soak) = (if manual { Gate::Manual } else { Gate::Automatic }, Seconds::new(soak));
        wave
    };
    (any::<bool>(), any::<bool>(), 0..3_u32, 0..3_u32).prop_map(move |(by_label, manual, soak, failures)| {
        let first = if by_label { select("canary", "canary") } else { percent("canary", 10) };
        let waves = vec![first, percent("early", 40), percent("rest", 100)];
        let waves = waves.into_iter().enumerate().map(|(i, wave)| gated(wave, manual && i == 1, soak * 50));
        Rollout { min_failures: failures, ..rollout(waves.collect()) }
    })
}

fn name(i: usize) -> String {
    format!("d{i:02}")
}

fn fleet(rollout: Rollout, n: usize) -> Sim {
    let names: Vec<String> = (0..n).map(name).collect();
    let ring = |i: usize| if i.is_multiple_of(4) { "canary" } else { "rest" };
    let devices: Vec<(&str, &str)> = names.iter().enumerate().map(|(i, name)| (name.as_str(), ring(i))).collect();
    Sim::settled(rollout, &devices)
}

impl Sim {
    fn happen(&mut self, event: &Event) {
        let waiting = |sim: &Self, i: usize| {
            sim.devices.get(&name(i)).is_some_and(|d| d.online && d.observed.outstanding().is_some())
        };
        match *event {
            Event::Pass(seconds) => self.pass(seconds),
            Event::Apply(i) if waiting(self, i) => self.apply(&[&name(i)]),
            Event::Begin(i) if waiting(self, i) => self.begin(&[&name(i)]),
            Event::Fail(i) if waiting(self, i) => self.fail(&[&name(i)]),
            Event::Apply(_) | Event::Begin(_) | Event::Fail(_) => {}
            Event::Enroll(i) => {
                if !self.devices.contains_key(&name(i)) {
                    self.enroll(&name(i), "rest");
                }
            }
            Event::Leave(i) => {
                self.devices.remove(&name(i));
            }
            Event::Hold(on) => self.hold(on),
            Event::Approve => self.approved = vec!["early"],
            Event::Commit(content) => {
                self.approved.clear();
                self.commit(self.target + 1, &format!("content {content}"));
            }
            Event::Restart => self.down(0),
            Event::Unwell(i) | Event::Offline(i) | Event::Online(i) | Event::Pause(i, _) => {
                if self.devices.contains_key(&name(i)) {
                    match *event {
                        Event::Unwell(_) => self.device(&name(i)).observed.health = Health::Unhealthy,
                        Event::Pause(_, on) => {
                            self.device(&name(i)).observed.paused = on.then(|| Box::new(WaitingOn::AwaitingReconnect));
                        }
                        _ => self.set_online(&[&name(i)], matches!(event, Event::Online(_))),
                    }
                }
            }
        }
    }
}

/// What every plan keeps to; `waves_before` is how many waves the plan before had opened.
fn check(sim: &Sim, plan: &FleetPlan, waves_before: usize) {
    let target = landing(sim.target);
    let halted = plan.record.halted.is_some();
    for (name, decision) in &plan.decisions {
        let device = &sim.devices[name.as_str()];
        let digest = sim.digest(sim.target, name.as_str());
        let at_target = device.observed.runs(digest);
        let paused = device.observed.paused.is_some();
        let well = at_target && device.observed.health != Health::Unhealthy;
        assert_eq!(decision.reason.is_none(), well && !paused, "{name}: {decision:?}");
        if let Some(Action::Offer { template, digest: offered, .. }) = decision.action {
            let fresh =
                device.observed.last_seen.is_some_and(|seen| sim.now < seen + Seconds::new(STALE_AFTER).signed());
            assert!(fresh && !paused && sim.holds.is_empty() && !halted, "{name} must not be offered anything");
            let note = &plan.record.members[name];
            assert!(note.failed.is_none(), "{name} failed at it before");
            if template == target && !plan.record.is_complete() {
                assert_eq!(offered, digest);
                let open = note.wave.is_some_and(|wave| wave < plan.record.waves.len() || note.follows);
                assert!(open, "{name}'s wave is not open");
            } else if !plan.record.is_complete() {
                assert_eq!(Some(template), plan.record.stable);
            }
        }
    }
    if let Some(at) = plan.wake_at {
        assert!(at > sim.now);
    }
    for pair in plan.record.waves.windows(2) {
        assert!(pair[0].advanced_at.is_some(), "a wave opened before its predecessor advanced");
    }
    let early = &plan.record.rollout.waves[1];
    if early.gate == Gate::Manual && !sim.approved.contains(&"early") {
        // A commit that changes nobody goes on with the waves that are open, whoever approved them.
        let opened = plan.record.waves.get(1).filter(|_| waves_before < 2);
        let skipped = opened.is_none_or(|wave| wave.advanced_at == Some(wave.opened_at));
        assert!(skipped, "the gate is closed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_keeps_the_rules(rollout in waves(), events in prop::collection::vec(event(), 1..60)) {
        let mut sim = fleet(rollout, 9);
        sim.commit(2, "content 9");
        for event in &events {
            // `plan` also asserts that planning again without news is a no-op.
            let waves_before = sim.record.as_ref().map_or(0, |record| record.waves.len());
            let plan = sim.plan();
            check(&sim, &plan, waves_before);
            sim.happen(event);
        }
    }

    #[test]
    fn a_release_that_fails_everywhere_reaches_the_first_wave_only(rollout in waves(), order in prop::collection::vec(0..12_usize, 1..40)) {
        let mut sim = fleet(rollout, 12);
        sim.commit(2, "bad");
        let first: Vec<String> = offered(&sim.plan()).into_iter().map(str::to_owned).collect();
        for i in order {
            let ready = sim.devices[&name(i)].observed.outstanding().is_some();
            if ready {
                sim.fail(&[&name(i)]);
            }
            sim.pass(40);
            sim.approved = vec!["early"];
            let plan = sim.plan();
            prop_assert!(offered(&plan).is_empty(), "{:?} beyond {first:?}", offered(&plan));
        }
    }

    #[test]
    fn the_same_input_gives_the_same_plan(rollout in waves(), n in 1..12_usize) {
        let mut sim = fleet(rollout, n);
        sim.commit(2, "two");
        prop_assert_eq!(sim.plan_only(), sim.plan_only());
    }

    #[test]
    fn a_good_release_reaches_everybody(rollout in waves(), n in 4..12_usize) {
        let mut sim = fleet(rollout, n);
        sim.commit(2, "two");
        sim.approved = vec!["early"];
        for _ in 0..20 {
            sim.plan();
            sim.everybody_applies();
            sim.pass(60);
        }
        let plan = sim.plan();
        prop_assert_eq!(plan.record.stable, Some(landing(2)));
        prop_assert!(reasons(&plan).iter().all(|reason| reason == "-"));
    }
}
