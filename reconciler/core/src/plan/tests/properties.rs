//! What holds whatever devices and engineers do.

use proptest::prelude::*;

use bellwether_schemas::DeviceName;

use super::history::{event, fleet, name, waves};
use super::sim::Decision;
use super::*;

/// How many cases proptest has by itself.
const PROPTESTS_OWN: u32 = 256;

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

/// 64 cases, each a history of many plans, unless the environment asks proptest for another number of them.
pub(super) fn config() -> ProptestConfig {
    let asked = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    ProptestConfig { cases: if asked.cases == PROPTESTS_OWN { 64 } else { asked.cases }, ..asked }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_plan_keeps_the_rules(
        rollout in waves(),
        grace in 0..200_u32,
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut sim = fleet(rollout, 9);
        sim.grace = Seconds::new(grace);
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
