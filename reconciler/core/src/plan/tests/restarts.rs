//! A restart at any step changes nothing.

use proptest::prelude::*;

use bellwether_schemas::DeviceName;

use super::history::{Event, event, fleet, waves};
use super::properties::config;
use super::*;

/// What is the same with a restart and without: the record but for its times, what each device has still to take, and its
/// target.
#[derive(Debug, PartialEq)]
struct Rest {
    record: serde_json::Value,
    offers: BTreeMap<DeviceName, (Option<Sha256Digest>, Option<Sha256Digest>)>,
}

impl Rest {
    fn of(sim: &Sim) -> Self {
        let mut record = serde_json::to_value(&sim.record).unwrap();
        forget_times(&mut record);
        let offers = sim.devices.iter().map(|(name, device)| {
            // What it runs, or failed at, may have been published once more and taken back.
            let offer = device.observed.outstanding().map(|offer| offer.digest);
            (name.parse().unwrap(), (offer, sim.render(sim.target, device).ok()))
        });
        Self { record, offers: offers.collect() }
    }
}

/// Leaves out when something was; that it was counts. Revisions count plans.
fn forget_times(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|name, _| !["gaps", "revision"].contains(&name.as_str()));
            for (name, value) in fields {
                match name.as_str() {
                    "begunAt" | "openedAt" | "completedAt" | "advancedAt" | "at" => *value = true.into(),
                    _ => forget_times(value),
                }
            }
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(forget_times),
        _ => {}
    }
}

/// A restart in the middle of the second: the record comes from the database, and everybody reports again at once.
fn restart(sim: &mut Sim) {
    let text = serde_json::to_string(&sim.record).unwrap();
    sim.down(0);
    sim.record = serde_json::from_str(&text).unwrap();
    sim.report_all();
}

/// Time in which nothing happens; everything that a start puts off falls in it.
fn quiet(sim: &mut Sim) {
    for _ in 0..12 {
        sim.plan();
        sim.pass(60);
    }
    sim.plan();
}

/// The same event with times by which a start cannot decide what comes first: a little, or long after everything is due.
fn coarse(event: Event) -> Event {
    match event {
        Event::Pass(seconds) if seconds < 1_000 => Event::Pass(seconds % 20 + 1),
        Event::Pass(_) => Event::Pass(10_000),
        Event::Down(seconds) => Event::Down(seconds % 10),
        Event::Rewound(seconds) => Event::Rewound(seconds % 10),
        // Nobody knows then when anything was.
        Event::Lose => Event::Restart,
        other => other,
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_restart_at_any_step_does_nothing(
        rollout in waves(),
        grace in 0..200_u32,
        events in prop::collection::vec(event(), 1..40),
    ) {
        let mut sim = fleet(rollout, 9);
        sim.grace = Seconds::new(grace);
        sim.commit(2, "content 9");
        for event in &events {
            sim.plan();
            let mut told = sim.clone();
            told.report_all();
            told.plan();
            let mut again = told.clone();
            restart(&mut again);
            let plan = again.plan();
            let acts = plan.decisions.values().filter(|decision| decision.action.is_some()).count();
            prop_assert_eq!((acts, Rest::of(&again)), (0, Rest::of(&told)));
            sim.happen(event);
        }
    }

    #[test]
    fn after_a_restart_everything_comes_as_without(
        rollout in waves(),
        grace in 0..120_u32,
        events in prop::collection::vec(event().prop_map(coarse), 1..40),
        at in any::<prop::sample::Index>(),
    ) {
        let (device_timeout, lost_after) = (Seconds::minutes(60), Seconds::minutes(60 * 24));
        let rollout = Rollout { device_timeout, lost_after, windows: Vec::new(), ..rollout };
        let mut sim = fleet(rollout, 9);
        sim.grace = Seconds::new(grace);
        sim.commit(2, "content 9");
        let (before, after) = events.split_at(at.index(events.len()));
        for event in before {
            sim.plan();
            sim.happen(event);
        }
        sim.plan();
        // Who is off is known to be before: what comes first, that or the end of a soak, a start may decide.
        sim.pass(STALE_AFTER);
        sim.plan();
        let mut restarted = sim.clone();
        restart(&mut restarted);
        quiet(&mut sim);
        quiet(&mut restarted);
        prop_assert_eq!(Rest::of(&restarted), Rest::of(&sim), "in the quiet after it");
        for event in after {
            sim.happen(event);
            restarted.happen(event);
            sim.plan();
            restarted.plan();
            prop_assert_eq!(Rest::of(&restarted), Rest::of(&sim), "after {:?}", event);
        }
    }
}
