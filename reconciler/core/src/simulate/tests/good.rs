//! Releases that are well, and what is in their way.

use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::manifest::{Gate, MaxUnavailable, Window, Zone};

use super::*;
use crate::plan::HoldNote;

fn text(outcome: &Outcome) -> String {
    serde_json::to_string(outcome).expect("an outcome has text keys")
}

fn after(outcome: &Outcome, at: Option<Timestamp>) -> i64 {
    at.expect("it happened").duration_since(outcome.start).as_secs()
}

fn whats(outcome: &Outcome) -> Vec<(MomentKind, &str)> {
    outcome.moments.iter().map(|m| (m.what, m.wave.as_ref().map_or("", |wave| wave.as_str()))).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let story = story();
    let scene = scene(&story, Rollout::default(), 200);
    let faults = Faults { failure_rate: rate("2%"), offline: rate("5%"), ..Faults::default() };
    let first = text(&simulate(&scene, &faults, 7));
    assert_eq!(first, text(&simulate(&scene, &faults, 7)));
    assert_ne!(first, text(&simulate(&scene, &faults, 8)), "the seed matters");
}

#[test]
fn a_good_release_reaches_everybody_wave_by_wave() {
    let story = story();
    let outcome = simulate(&scene(&story, Rollout::default(), 200), &Faults::default(), 1);
    assert_eq!((outcome.state, outcome.reason.clone()), (RolloutState::Complete, None));
    let members: Vec<u64> = outcome.waves.iter().map(|wave| wave.members).collect();
    assert_eq!(members, [10, 40, 150]);
    assert!(outcome.waves.iter().all(|wave| wave.healthy == wave.members && wave.failed + wave.harmed == 0));
    assert_eq!((outcome.tried, outcome.harmed, outcome.offers, outcome.unnoticed), (200, 0, 200, 0));
    for pair in outcome.waves.windows(2) {
        assert_eq!(pair[1].opened_at, pair[0].advanced_at);
        let soak = pair[0].advanced_at.zip(pair[0].completed_at).map(|(end, begin)| end.duration_since(begin));
        assert_eq!(soak.map(|soak| soak.as_secs()), Some(900), "it soaks for as long as it says");
    }
    let took = after(&outcome, outcome.completed_at);
    assert!((3 * 900..3 * 900 + 3 * 240).contains(&took), "three soaks, and a while to apply: {took} s");
    assert_eq!(outcome.samples.last().map(|sample| sample.counts.healthy), Some(200));
    assert!(outcome.worst.unavailable <= 150);
}

#[test]
fn a_gate_waits_for_people_and_nobody_else() {
    let story = story();
    let mut waves = Rollout::default().waves;
    waves[2].gate = Gate::Manual;
    let mut scene = scene(&story, rollout(waves), 100);
    scene.approvals = Approvals::After(seconds("2h"));
    let outcome = simulate(&scene, &Faults::default(), 1);
    assert_eq!(outcome.state, RolloutState::Complete);
    let reached = outcome.waves[2].gate_reached_at.expect("it was reached");
    assert_eq!(Some(reached), outcome.waves[1].advanced_at);
    assert_eq!(outcome.waves[2].opened_at.map(|at| at.duration_since(reached).as_secs()), Some(7_200));

    scene.approvals = Approvals::Never;
    let outcome = simulate(&scene, &Faults { offline: rate("1%"), ..Faults::default() }, 1);
    assert_eq!(outcome.state, RolloutState::Waiting);
    assert!(matches!(outcome.reason, Some(WaitingOn::Gate { .. })), "{:?}", outcome.reason);
    assert_eq!(outcome.waves[2].opened_at, None);
}

#[test]
fn a_hold_stops_everything() {
    let story = story();
    let mut scene = scene(&story, Rollout::default(), 20);
    scene.holds = vec![HoldNote { path: "holds/x.yaml".to_owned(), reason: "holidays".to_owned(), since: None }];
    let outcome = simulate(&scene, &Faults::default(), 1);
    assert_eq!((outcome.state, outcome.offers), (RolloutState::Waiting, 0));
}

#[test]
fn devices_apply_inside_their_window_only() {
    let story = story();
    let window: Window = serde_json::from_value(serde_json::json!({
        "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "start": "02:00", "duration": "3h", "timezone": "UTC",
    }))
    .expect("a window");
    let mut rollout = Rollout { windows: vec![window], ..Rollout::default() };
    // START is at 08:00 UTC.
    let outcome = simulate(&scene(&story, rollout.clone(), 40), &Faults::default(), 1);
    assert_eq!(outcome.state, RolloutState::Complete);
    let first = outcome.samples.iter().find(|sample| sample.counts.tried > 0).expect("they try");
    assert_eq!(after(&outcome, Some(first.at)) / 60, 18 * 60, "at 02:00 of the next day");
    let opens: Vec<_> = whats(&outcome).into_iter().filter(|(what, _)| *what == MomentKind::WindowOpens).collect();
    assert_eq!(opens, [(MomentKind::WindowOpens, "canary")], "the soaks fit into one window");

    rollout.windows[0].timezone = Zone::Label("tz".to_owned());
    let outcome = simulate(&scene(&story, rollout, 40), &Faults::default(), 1);
    assert_eq!((outcome.state, outcome.tried), (RolloutState::Waiting, 0), "nobody has such a label");
    assert!(matches!(outcome.reason, Some(WaitingOn::Window { .. })), "{:?}", outcome.reason);
}

#[test]
fn a_budget_bounds_what_is_unavailable() {
    let story = story();
    let budget =
        bellwether_schemas::manifest::Budget { by: vec!["site".to_owned()], max_unavailable: MaxUnavailable::Count(2) };
    let rollout = Rollout { budget: vec![budget], ..rollout(vec![canaries(), percent("rest", 100)]) };
    let outcome = simulate(&scene(&story, rollout, 60), &Faults::default(), 3);
    assert_eq!((outcome.state, outcome.worst.unavailable), (RolloutState::Complete, 4), "two of each site");
}

#[test]
fn devices_that_come_and_go_are_no_bad_release() {
    let story = story();
    let faults = Faults { offline: rate("10%"), ..Faults::default() };
    for seed in 0..10 {
        let outcome = simulate(&scene(&story, Rollout::default(), 100), &faults, seed);
        assert_eq!(outcome.state, RolloutState::Complete, "seed {seed}: {:?} {:?}", outcome.reason, outcome.moments);
        assert_eq!(outcome.harmed, 0);
    }
}

#[test]
fn a_site_without_power_delays_and_does_not_revert() {
    let story = story();
    let outage = Outage {
        devices: bellwether_schemas::select::labels("site=kiel").expect("a selector"),
        begins: seconds("10m"),
        lasts: seconds("3h"),
    };
    let faults = Faults { outages: vec![outage], ..Faults::default() };
    let rollout = Rollout { on_failure: bellwether_schemas::manifest::OnFailure::Revert, ..Rollout::default() };
    let outcome = simulate(&scene(&story, rollout, 100), &faults, 1);
    assert_eq!(outcome.state, RolloutState::Complete, "{:?}", outcome.moments);
    let halts = whats(&outcome).iter().filter(|(what, _)| *what == MomentKind::Halts).count();
    let ends = whats(&outcome).iter().filter(|(what, _)| *what == MomentKind::HaltEnds).count();
    assert!(halts > 0 && halts == ends, "its canaries fall silent in their soak: {:?}", outcome.moments);
    assert_eq!(outcome.offers, 100, "nobody goes back");
}

#[test]
fn a_new_fleet_rolls_out_to_devices_that_run_nothing() {
    let story = story();
    let mut scene = scene(&story, Rollout::default(), 50);
    scene.before = None;
    scene.devices.iter_mut().for_each(|device| device.before = None);
    let outcome = simulate(&scene, &Faults::default(), 1);
    assert_eq!((outcome.state, outcome.tried), (RolloutState::Complete, 50));
}

#[test]
fn a_sweep_says_how_often_and_whom() {
    let story = story();
    let scene = scene(&story, Rollout::default(), 60);
    let rates = [rate("0%"), rate("5%"), rate("100%")];
    let swept = sweep(&scene, &Faults::default(), &rates, 12, 1);
    assert_eq!(swept, sweep(&scene, &Faults::default(), &rates, 12, 1));
    assert_eq!((swept[0].completed, swept[0].halted, swept[0].harmed.worst), (12, 0, 0));
    assert_eq!((swept[2].completed, swept[2].halted, swept[2].halted_in[0].runs), (0, 12, 12));
    assert_eq!((swept[2].harmed, swept[2].beyond_first_wave), (Spread { median: 3, p95: 3, worst: 3 }, 0));
    let one_core = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    assert_eq!(swept, one_core.install(|| sweep(&scene, &Faults::default(), &rates, 12, 1)));
}

#[test]
fn nothing_is_heard_of_a_device_that_is_off() {
    let story = story();
    let devices = bellwether_schemas::select::labels("ring=canary").expect("a selector");
    // They go on with what they began, and say so when they are back.
    let outage = Outage { devices, begins: seconds("20s"), lasts: seconds("20m") };
    let faults = Faults { outages: vec![outage], ..Faults::default() };
    let rollout = rollout(vec![canaries(), percent("rest", 100)]);
    let outcome = simulate(&scene(&story, rollout, 40), &faults, 1);
    assert_eq!(outcome.waves[0].completed_at.map(|at| after(&outcome, Some(at))), Some(20 + 1_200));
    let healthy =
        outcome.samples.iter().find(|sample| sample.counts.healthy == 4).expect("they are well by themselves");
    assert!(after(&outcome, Some(healthy.at)) < 300);
}

#[test]
fn who_applies_for_longer_than_it_may_is_timed_out() {
    let story = story();
    let rollout = Rollout { device_timeout: seconds("10m"), ..rollout(vec![percent("all", 100)]) };
    let scene = scene(&story, rollout, 20);
    let applies = |time| {
        let faults = Faults { apply_time: seconds(time), ..Faults::default() };
        simulate(&scene, &faults, 1).state
    };
    assert_eq!((applies("6m"), applies("25m")), (RolloutState::Complete, RolloutState::Halted));
}
