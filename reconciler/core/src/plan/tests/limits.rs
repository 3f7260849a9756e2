//! What holds offers back beside waves: budgets, `maxInFlight`, windows, and what must be there before a start.

use bellwether_schemas::manifest::{Budget, MaxUnavailable, OnFailure, Window};

use super::*;

/// Sites of three devices each, in one wave.
const SITES: [(&str, &str); 6] = [("a1", ""), ("a2", ""), ("a3", ""), ("b1", ""), ("b2", ""), ("b3", "")];

fn one_wave() -> Rollout {
    rollout(vec![percent("all", 100)])
}

fn sites(budget: &[(&str, u32)]) -> Sim {
    let mut sim = Sim::settled(one_wave(), &SITES);
    for (name, _) in SITES {
        sim.device(name).labels.insert("site".to_owned(), name[..1].to_owned());
    }
    let budget = budget.iter().map(|(by, count)| Budget {
        by: if by.is_empty() { Vec::new() } else { vec![(*by).to_owned()] },
        max_unavailable: MaxUnavailable::Count(*count),
    });
    sim.rollout.budget = budget.collect();
    sim
}

/// The first letters of names.
fn of_sites(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name[..1].to_owned()).collect()
}

#[test]
fn a_budget_gives_out_so_many_places_in_each_group() {
    let mut sim = sites(&[("site", 1)]);
    sim.commit(2, "two");
    let plan = sim.plan();
    let first: Vec<String> = offered(&plan).into_iter().map(str::to_owned).collect();
    assert_eq!(of_sites(&offered(&plan)), ["a", "b"]);
    let waiting = SITES.iter().map(|(name, _)| *name).find(|name| name.starts_with('a') && *name != first[0]).unwrap();
    let WaitingOn::Budget { group, limit, unavailable, holders } = why(&plan, waiting) else { panic!("{plan:#?}") };
    assert_eq!((group["site"].as_str(), *limit, *unavailable), ("a", 1, 1));
    assert_eq!(holders.iter().map(|holder| holder.as_str()).collect::<Vec<_>>(), [first[0].as_str()], "it is named");
    sim.apply(&[first[1].as_str()]);
    let plan = sim.plan();
    assert_eq!(of_sites(&offered(&plan)), ["b"], "its own site goes on, the other waits");
}

#[test]
fn who_is_offline_or_ill_holds_a_place_and_who_is_lost_does_not() {
    let mut sim = sites(&[("site", 1)]);
    sim.rollout.lost_after = Seconds::minutes(10);
    sim.set_online(&["a1"], false);
    sim.device("b1").observed.health = Health::Unhealthy;
    sim.pass(STALE_AFTER);
    sim.commit(2, "two");
    // One that is ill holds its place itself, and may be offered what could mend it.
    assert_eq!(offered(&sim.plan()), ["b1"]);
    sim.apply(&["b1"]);
    assert_eq!(of_sites(&offered(&sim.plan())), ["b"]);
    sim.pass(600 - STALE_AFTER);
    assert_eq!(of_sites(&offered(&sim.plan())), ["a"], "it is given up");
}

#[test]
fn a_device_that_went_back_and_is_well_gives_its_place_back() {
    let mut sim = sites(&[("", 1)]);
    sim.rollout.waves[0].max_failure_rate = Some(percent_of("100%"));
    sim.commit(2, "two");
    let first = offered(&sim.plan())[0].to_owned();
    sim.fail(&[&first]);
    let next = offered(&sim.plan()).iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert!(next.len() == 1 && next[0] != first, "{next:?}");
}

#[test]
fn who_is_still_at_what_it_began_holds_its_place_out_of_time_or_paused() {
    for paused in [false, true] {
        let mut sim = sites(&[("", 1)]);
        sim.rollout.waves[0].max_failure_rate = Some(percent_of("100%"));
        sim.commit(2, "two");
        let first = offered(&sim.plan())[0].to_owned();
        sim.begin(&[&first]);
        if paused {
            sim.device(&first).observed.paused = Some(Box::new(WaitingOn::Orphaned));
        } else {
            sim.pass(1_800);
        }
        let plan = sim.plan();
        assert_eq!(plan.view.waves[0].failed, u64::from(!paused));
        assert_eq!(offered(&plan), [""; 0], "{first} is not at work");
    }
}

#[test]
fn a_device_needs_a_place_in_every_budget() {
    let mut sim = sites(&[("site", 2), ("", 3)]);
    sim.commit(2, "two");
    let plan = sim.plan();
    assert_eq!(offered(&plan).len(), 3, "of four that the sites would allow");
    let mut of_sites = of_sites(&offered(&plan));
    of_sites.dedup();
    assert_eq!(of_sites.len(), 2);
}

#[test]
fn max_in_flight_is_a_share_of_the_fleet_and_at_least_one() {
    for (share, flying) in [("1%", 1), ("34%", 2), ("50%", 3), ("100%", 6)] {
        let mut sim = sites(&[]);
        sim.rollout.max_in_flight = Some(percent_of(share));
        sim.commit(2, "two");
        let plan = sim.plan();
        assert_eq!(offered(&plan).len(), flying, "{share}");
        if flying < 6 {
            let waiting = plan.decisions.values().filter_map(|decision| decision.reason.as_ref());
            let told = waiting.filter(|reason| matches!(reason, WaitingOn::MaxInFlight { .. })).count();
            assert_eq!(told, 6 - flying, "{share}");
        }
        for _ in 0..6 {
            sim.everybody_applies();
            sim.plan();
        }
        assert_eq!(sim.plan().view.state, RolloutState::Complete, "{share}");
    }
}

fn window(start: &str, duration: &str) -> Window {
    Window {
        days: Window::every_day(),
        start: start.parse().unwrap(),
        duration: duration.parse().unwrap(),
        timezone: "label:tz".parse().unwrap(),
    }
}

/// A fleet of one wave with a window from 02:00 to 05:00 where the devices are; it is 00:00 UTC.
fn at_night() -> Sim {
    let mut sim = sites(&[]);
    for (name, zone) in
        SITES.iter().map(|(name, _)| *name).zip(["UTC", "Europe.Berlin", "Asia.Tokyo", "UTC", "UTC", "UTC"])
    {
        sim.device(name).labels.insert("tz".to_owned(), zone.to_owned());
    }
    sim.rollout.windows = vec![window("02:00", "3h")];
    let midnight: Timestamp = "2030-01-02T00:00:00Z".parse().unwrap();
    sim.pass(u32::try_from(midnight.duration_since(sim.now).as_secs()).unwrap());
    sim
}

#[test]
fn an_offer_goes_out_an_hour_before_the_window_of_its_device_and_says_when_it_is() {
    let mut sim = at_night();
    sim.commit(2, "two");
    // In Berlin it is 01:00, in Tokyo 09:00.
    let plan = sim.plan();
    assert_eq!(offered(&plan), ["a2"]);
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let Some(Action::Offer { window, .. }) = plan.decisions[&"a2".parse().unwrap()].action else { panic!("no offer") };
    let span = Span { from: Some(at("2030-01-02T01:00:00Z")), until: Some(at("2030-01-02T04:00:00Z")) };
    assert_eq!(window, span, "02:00 to 05:00 in Berlin");
    let opens = |plan: &FleetPlan, name: &str| match why(plan, name) {
        WaitingOn::Window { opens, .. } => opens.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(opens(&plan, "a2"), at("2030-01-02T01:00:00Z"), "it is offered, and waits for its time");
    assert_eq!(opens(&plan, "a1"), at("2030-01-02T02:00:00Z"));
    assert_eq!(opens(&plan, "a3"), at("2030-01-02T17:00:00Z"));
    assert_eq!(plan.wake_at.unwrap(), at("2030-01-02T00:01:30Z"), "silence comes first");
    sim.pass(3_600);
    assert_eq!(offered(&sim.plan()), ["a1", "b1", "b2", "b3"]);
    sim.everybody_applies();
    sim.plan();
    sim.pass(3 * 3_600);
    let plan = sim.plan();
    assert_eq!(plan.decisions.values().filter(|decision| decision.reason.is_none()).count(), 5);
}

#[test]
fn what_was_not_begun_when_its_window_closes_is_withdrawn_and_offered_in_the_next() {
    let mut sim = at_night();
    sim.rollout.device_timeout = Seconds::minutes(600);
    sim.commit(2, "two");
    sim.plan();
    sim.pass(4 * 3_600);
    let plan = sim.plan();
    assert!(withdrawn(&plan).contains(&"a2"), "{plan:#?}");
    assert!(matches!(why(&plan, "a2"), WaitingOn::Window { .. }));
    sim.pass(20 * 3_600);
    assert!(offered(&sim.plan()).contains(&"a2"));
    // The agent was too late, and says so: that is no failure.
    sim.pass(3_600);
    sim.fail(&["a2"]);
    sim.device("a2").observed.failure.as_mut().unwrap().code = "BW-0632".to_owned();
    let plan = sim.plan();
    assert_eq!((plan.view.waves[0].failed, plan.view.state), (0, RolloutState::Waiting), "{:#?}", plan.view);
}

#[test]
fn the_timeout_runs_from_the_window() {
    let mut sim = at_night();
    sim.commit(2, "two");
    sim.plan();
    sim.pass(3_600 + 1_799);
    assert_eq!(sim.plan().view.waves[0].failed, 0);
    sim.pass(1);
    assert_eq!(sim.plan().view.waves[0].failed, 1, "a2 had its half hour inside");
}

#[test]
fn a_label_that_names_no_zone_is_a_reason() {
    let mut sim = at_night();
    sim.device("b1").labels.insert("tz".to_owned(), "Atlantis".to_owned());
    sim.device("b2").labels.remove("tz");
    sim.commit(2, "two");
    let plan = sim.plan();
    for (name, part) in [("b1", "Atlantis"), ("b2", "no such label")] {
        let WaitingOn::Window { opens: None, why: Some(said) } = why(&plan, name) else {
            panic!("{:?}", why(&plan, name))
        };
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn what_must_be_there_before_a_start_is_waited_for_and_not_after() {
    let mut sim = Sim::settled(canary_then_rest(), &FIVE);
    sim.unmet = vec![Unmet::After("gateways".parse().unwrap())];
    sim.commit(2, "two");
    let plan = sim.plan();
    assert_eq!((offered(&plan).len(), plan.view.state), (0, RolloutState::Waiting));
    assert!(matches!(why(&plan, "c1"), WaitingOn::After { fleet, .. } if fleet.as_str() == "gateways"));
    let why = "artifacts/app.tar has 3 bytes".to_owned();
    sim.unmet = vec![Unmet::Artifact { name: "app".to_owned(), why }];
    assert_eq!(kind(sim.plan().view.reason.as_ref()), "Artifact");
    sim.unmet.clear();
    assert_eq!(offered(&sim.plan()), ["c1", "c2"]);
    sim.unmet = vec![Unmet::After("gateways".parse().unwrap())];
    sim.everybody_applies();
    assert_eq!(offered(&sim.plan()), ["r1", "r2", "r3"], "what has begun goes on");
}

#[test]
fn a_select_wave_takes_its_limit_and_the_others_come_later() {
    let mut sim =
        Sim::settled(canary_then_rest(), &[("c1", "canary"), ("c2", "canary"), ("c3", "canary"), ("r1", "rest")]);
    sim.rollout.waves[0].limit = Some(percent_of("50%"));
    sim.commit(2, "two");
    let plan = sim.plan();
    assert_eq!(offered(&plan).len(), 2, "half of four");
    assert_eq!((plan.view.waves[0].members, plan.view.waves[1].members), (2, 2));
    // Who joins does not make it larger.
    sim.enroll("c4", "canary");
    sim.everybody_applies();
    sim.plan();
    let note = &sim.record.as_ref().unwrap().members[&"c4".parse().unwrap()];
    assert_eq!(note.wave, Some(1), "{note:?}");
}

#[test]
fn who_ran_out_of_time_and_goes_back_holds_a_place() {
    let budget = vec![Budget { by: Vec::new(), max_unavailable: MaxUnavailable::Count(2) }];
    let rollout = Rollout { budget, on_failure: OnFailure::Revert, ..one_wave() };
    let mut sim = Sim::settled(rollout, &[("a", ""), ("b", ""), ("c", "")]);
    sim.commit(2, "two");
    let two: Vec<String> = offered(&sim.plan()).into_iter().map(str::to_owned).collect();
    sim.apply(&[&two[0], &two[1]]);
    let third = offered(&sim.plan())[0].to_owned();
    sim.fail(&[&third]);
    sim.plan();
    sim.commit(3, "three");
    assert_eq!(offered(&sim.plan()), two);
    sim.pass(1801);
    let plan = sim.plan();
    assert_eq!(
        (offered(&plan), kind(Some(why(&plan, &two[0])))),
        (two.iter().map(String::as_str).collect(), "Reverting".to_owned())
    );
    sim.decisions.acknowledged = 2;
    assert_eq!(kind(Some(why(&sim.plan(), &third))), "Budget", "both are still on the way back");
}
