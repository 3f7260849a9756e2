//! What holds whatever devices and engineers do.

use proptest::prelude::*;

use bellwether_schemas::DeviceName;
use bellwether_schemas::manifest::{Budget, MaxUnavailable, OnFailure, SkipStep, Window, Zone};

use super::super::Good;
use super::sim::Decision;
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
    Acknowledge(u8),
    Retry(usize),
    Expedite,
    Pin(usize, bool),
    Site(usize),
    Unmet(bool),
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
        1 => (0..4_u8).prop_map(Event::Acknowledge),
        1 => (0..12_usize).prop_map(Event::Retry),
        1 => Just(Event::Expedite),
        1 => (0..12_usize, any::<bool>()).prop_map(|(i, on)| Event::Pin(i, on)),
        1 => (0..12_usize).prop_map(Event::Site),
        1 => any::<bool>().prop_map(Event::Unmet),
    ]
}

fn waves() -> impl Strategy<Value = Rollout> {
    let gated = |mut wave: Wave, manual: bool, soak: u32| {
        (wave.gate, wave.soak) = (if manual { Gate::Manual } else { Gate::Automatic }, Seconds::new(soak));
        wave
    };
    let ways = (any::<bool>(), any::<bool>(), any::<bool>(), 0..3_u32);
    (ways, 0..3_u32, 0..3_u32, limits()).prop_map(
        move |((by_label, manual, reverts, retries), soak, failures, limits)| {
            let first = if by_label { select("canary", "canary") } else { percent("canary", 10) };
            let waves = vec![first, percent("early", 40), percent("rest", 100)];
            let waves = waves.into_iter().enumerate().map(|(i, wave)| gated(wave, manual && i == 1, soak * 50));
            let on_failure = if reverts { OnFailure::Revert } else { OnFailure::Halt };
            Rollout { waves: waves.collect(), min_failures: failures, on_failure, retries, ..limits }
        },
    )
}

/// Limits beside waves, each often absent.
fn limits() -> impl Strategy<Value = Rollout> {
    let often = || prop::option::weighted(0.3, 1..4_u32);
    (often(), often(), often(), any::<bool>()).prop_map(|(of_site, of_all, in_flight, windows)| {
        let budget = |by: &[&str], count| Budget {
            by: by.iter().map(|by| (*by).to_owned()).collect(),
            max_unavailable: MaxUnavailable::Count(count),
        };
        let of_site = of_site.map(|count| budget(&["site"], count));
        let nightly = Window {
            days: Window::every_day(),
            start: "00:30".parse().unwrap(),
            duration: Seconds::minutes(90),
            timezone: Zone::default(),
        };
        Rollout {
            max_in_flight: in_flight.map(|share| percent_of(&format!("{}%", share * 15))),
            budget: of_site.into_iter().chain(of_all.map(|count| budget(&[], count))).collect(),
            windows: Some(nightly).filter(|_| windows).into_iter().collect(),
            lost_after: Seconds::minutes(20),
            ..Rollout::default()
        }
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
            Event::Acknowledge(failures) => self.decisions.acknowledged = u64::from(failures),
            Event::Retry(i) => {
                self.head += 1;
                self.decisions.retried.insert(name(i).parse().unwrap(), self.head);
            }
            Event::Expedite => self.decisions.expedited = SkipStep::ALL.into_iter().collect(),
            Event::Unmet(on) => {
                let unmet = Unmet::After("gateways".parse().unwrap());
                self.unmet = Some(unmet).filter(|_| on).into_iter().collect();
            }
            Event::Commit(content) => {
                self.approved.clear();
                self.decisions = Decisions::default();
                self.commit(self.target + 1, &format!("content {content}"));
            }
            Event::Restart => self.down(0),
            Event::Unwell(i)
            | Event::Offline(i)
            | Event::Online(i)
            | Event::Pause(i, _)
            | Event::Pin(i, _)
            | Event::Site(i) => {
                if self.devices.contains_key(&name(i)) {
                    match *event {
                        Event::Pin(_, on) => {
                            let spec = Good { template: landing(1), digest: self.digest(1, &name(i)) };
                            let pinned = Pinned { commit: landing(1).commit, spec: Ok(spec) };
                            self.device(&name(i)).pin = on.then_some(pinned);
                        }
                        Event::Site(_) => {
                            self.device(&name(i)).labels.insert("site".to_owned(), format!("s{}", i % 3));
                        }
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

/// Whether a device is unavailable as a budget sees it: on its way, ill, or silent and not given up.
fn is_unavailable(sim: &Sim, name: &str, rollout: &Rollout) -> bool {
    let observed = &sim.devices[name].observed;
    if !is_live(sim, name) {
        let since = observed.last_seen.unwrap_or(observed.enrolled_at);
        return sim.now < since + rollout.lost_after.signed();
    }
    // Who is paused begins nothing.
    let begun = observed.changing || observed.outstanding().is_some_and(|offer| offer.acknowledged_at.is_some());
    let moves = is_on_the_way(sim, name) && (observed.paused.is_none() || begun);
    observed.health == Health::Unhealthy || moves
}

fn is_live(sim: &Sim, name: &str) -> bool {
    let seen = sim.devices[name].observed.last_seen;
    seen.is_some_and(|seen| sim.now < seen + Seconds::new(STALE_AFTER).signed())
}

fn is_on_the_way(sim: &Sim, name: &str) -> bool {
    let observed = &sim.devices[name].observed;
    observed.outstanding().is_some() || observed.applying.is_some()
}

/// What every plan keeps to; `before` is how everything was when it was made.
fn check(before: &Sim, sim: &Sim, plan: &FleetPlan) {
    for (name, decision) in &plan.decisions {
        check_reason(before, plan, name, decision);
        if let Some(Action::Offer { .. }) = decision.action {
            check_offer(before, plan, name, decision.action.unwrap());
        }
    }
    check_limits(before, sim, plan);
    if let Some(at) = plan.wake_at {
        assert!(at > sim.now);
    }
    for pair in plan.record.waves.windows(2) {
        assert!(pair[0].advanced_at.is_some(), "a wave opened before its predecessor advanced");
    }
    let waves_before = before.record.as_ref().map_or(0, |record| record.waves.len());
    let early = &plan.record.rollout.waves[1];
    if early.gate == Gate::Manual && !sim.approved.contains(&"early") && sim.decisions.expedited.is_empty() {
        // A commit that changes nobody goes on with the waves that are open, whoever approved them.
        let opened = plan.record.waves.get(1).filter(|_| waves_before < 2);
        let skipped = opened.is_none_or(|wave| wave.advanced_at == Some(wave.opened_at));
        assert!(skipped, "the gate is closed");
    }
}

fn check_reason(sim: &Sim, plan: &FleetPlan, name: &DeviceName, decision: &Decision) {
    let device = &sim.devices[name.as_str()];
    let at_target = device.observed.runs(sim.digest(sim.target, name.as_str()));
    let is_rejected = plan.record.is_rejected() && device.pin.is_none();
    let is_pinned_there = |pin: &Pinned| pin.spec.as_ref().is_ok_and(|good| device.observed.runs(good.digest));
    let at_target = at_target && device.pin.as_ref().is_none_or(is_pinned_there);
    let well = at_target && device.observed.health != Health::Unhealthy && !is_rejected;
    assert_eq!(decision.reason.is_none(), well && device.observed.paused.is_none(), "{name}: {decision:?}");
}

fn check_offer(sim: &Sim, plan: &FleetPlan, name: &DeviceName, action: Action) {
    let Action::Offer { template, digest: offered, window, .. } = action else { return };
    let (device, note) = (&sim.devices[name.as_str()], &plan.record.members[name]);
    let paused = device.observed.paused.is_some();
    assert!(is_live(sim, name.as_str()) && !paused && sim.holds.is_empty(), "{name} must not be offered anything");
    let goes_back = plan.record.is_rejected();
    assert!(plan.record.halted.is_none() || goes_back, "{name} is offered something during a halt");
    let hastens = goes_back || note.returns || !sim.decisions.expedited.is_empty();
    if !plan.record.rollout.windows.is_empty() && !hastens {
        let (from, until) = (window.from.unwrap(), window.until.unwrap());
        assert!(
            sim.now < until && from <= sim.now + SignedDuration::from_mins(60),
            "{name}: {window:?} at {}",
            sim.now
        );
    }
    if let Some(pin) = &device.pin {
        assert_eq!(Ok(offered), pin.spec.as_ref().map(|good| good.digest));
        return;
    }
    let target = landing(sim.target);
    assert!(note.failed.is_none() || goes_back, "{name} failed at it before");
    if template == target && !plan.record.is_complete() {
        assert!(offered == sim.digest(sim.target, name.as_str()) && !goes_back);
        let open = note.wave.is_some_and(|wave| wave < plan.record.waves.len() || note.follows);
        assert!(open, "{name}'s wave is not open");
    } else if !plan.record.is_complete() {
        let good = note.good.as_ref().map(|good| good.template);
        assert!(Some(template) == plan.record.stable || Some(template) == good, "{template:?}");
    }
}

/// No place is given out that there is not.
fn check_limits(before: &Sim, sim: &Sim, plan: &FleetPlan) {
    let rollout = &plan.record.rollout;
    let names: Vec<&str> = sim.devices.keys().map(String::as_str).collect();
    let is_new = |name: &&str| {
        let offered = plan.decisions[&name.parse().unwrap()].action;
        matches!(offered, Some(Action::Offer { .. }))
    };
    for budget in &rollout.budget {
        let mut groups: BTreeMap<Vec<Option<&String>>, Vec<&str>> = BTreeMap::new();
        for name in &names {
            let labels = &sim.devices[*name].labels;
            groups.entry(budget.by.iter().map(|by| labels.get(by)).collect()).or_default().push(name);
        }
        for group in groups.values() {
            let limit = usize::try_from(budget.max_unavailable.of(group.len() as u64)).unwrap();
            let takes = group.iter().filter(|name| is_new(name) && !is_unavailable(before, name, rollout)).count();
            let held = group.iter().filter(|name| is_new(name) || is_unavailable(sim, name, rollout)).count();
            assert!(takes == 0 || held <= limit, "{held} of {group:?} are unavailable, {limit} may be");
        }
    }
    if let Some(share) = rollout.max_in_flight {
        let limit = usize::try_from(share.floor_of(names.len() as u64).max(1)).unwrap();
        let hastens = |name: &&&str| plan.record.is_rejected() || plan.record.members[&name.parse().unwrap()].returns;
        let takes = names.iter().filter(|name| is_new(name) && !is_on_the_way(before, name) && !hastens(name)).count();
        let flies = |name: &&&str| {
            let (device, note) = (&sim.devices[**name], &plan.record.members[&name.parse().unwrap()]);
            let to_target =
                device.observed.outstanding().is_some_and(|offer| offer.digest == sim.digest(sim.target, name));
            to_target && note.failed.is_none() && device.observed.paused.is_none()
        };
        let flying = names.iter().filter(flies).count();
        assert!(takes == 0 || flying <= limit, "{flying} are on the way, {limit} may be");
    }
}

/// 64 cases, unless `PROPTEST_CASES` asks for more: each is a history of many plans.
#[expect(clippy::disallowed_methods, reason = "proptest takes its settings from the environment, and so does this")]
fn config() -> ProptestConfig {
    let asked = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => asked,
        None => ProptestConfig { cases: 64, ..asked },
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_plan_keeps_the_rules(rollout in waves(), events in prop::collection::vec(event(), 1..60)) {
        let mut sim = fleet(rollout, 9);
        sim.commit(2, "content 9");
        for event in &events {
            // `plan` also asserts that planning again without news is a no-op.
            let before = sim.clone();
            let plan = sim.plan();
            check(&before, &sim, &plan);
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
            let beyond: Vec<_> = offered(&plan).into_iter().filter(|name| !first.iter().any(|known| known == name)).collect();
            prop_assert!(beyond.is_empty(), "{beyond:?} beyond {first:?}");
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
