//! Plans that break a rule, made by hand: each is refused, and says which.

use bellwether_schemas::manifest::SkipStep;

use super::super::act::{Acts, Grant};
use super::super::lint::lint;
use super::super::planner::Stage;
use super::*;

/// A canary that was offered the second commit, and two others that wait for its wave; none of them holds a place.
fn begun() -> (Planner, Stage) {
    let rollout = Rollout { max_in_flight: Some(percent_of("50%")), ..canary_then_rest() };
    let mut sim = Sim::settled(rollout.clone(), &[("c1", "canary"), ("r1", "rest"), ("r2", "rest")]);
    sim.rollout = rollout;
    sim.commit(2, "two");
    sim.plan();
    let (planner, _) = Planner::begin(sim.terms(), sim.members(), sim.record.clone(), sim.timing());
    let stage = planner.stage();
    (planner, stage)
}

/// The offer of what the target means for a row.
fn target(planner: &Planner, i: usize) -> Action {
    let Landing { commit, number } = planner.terms.head;
    Action::Offer {
        version: Version { landing: number, commit, revision: 0 },
        template: planner.record.target,
        digest: planner.rows[i].target().unwrap(),
        window: Span::default(),
        soak: Seconds::ZERO,
    }
}

const C1: usize = 0;
const R1: usize = 1;

/// What the linter says of a plan that offers the target to a row.
fn of_offer(change: impl FnOnce(&mut Planner), i: usize) -> String {
    let (mut planner, stage) = begun();
    change(&mut planner);
    let acts = Acts { actions: vec![(u32::try_from(i).unwrap(), target(&planner, i))], grants: Vec::new() };
    lint(&planner, &stage, &acts).map_or_else(|unsound| unsound.to_string(), |()| "sound".to_owned())
}

/// What it says when nothing is done, and the record is another one than before.
fn of_record(change: impl FnOnce(&mut Planner)) -> String {
    let (mut planner, stage) = begun();
    change(&mut planner);
    lint(&planner, &stage, &Acts::default()).map_or_else(|unsound| unsound.to_string(), |()| "sound".to_owned())
}

fn held(planner: &mut Planner) {
    planner.terms.holds.push(HoldNote { path: "holds/stop.yaml".to_owned(), reason: "stop".to_owned(), since: None });
}

fn halted(reverts: bool) -> impl FnOnce(&mut Planner) {
    move |planner| {
        planner.record.halted = serde_json::from_value(serde_json::json!({
            "wave": "canary", "failures": 1, "offered": 1, "reverts": reverts
        }))
        .unwrap();
    }
}

#[test]
fn an_offer_that_a_rule_allows_is_sound() {
    assert_eq!(of_offer(|_| {}, C1), "sound");
    assert_eq!(of_record(|_| {}), "sound");
}

#[test]
fn nobody_is_offered_what_its_wave_a_halt_a_hold_or_itself_forbids() {
    assert_eq!(of_offer(|_| {}, R1), "r1 is offered the target, and its wave is not open");
    assert_eq!(of_offer(halted(false), C1), "c1 is offered the target in a halt");
    assert_eq!(of_offer(halted(true), C1), "c1 is offered what is rejected");
    assert_eq!(of_offer(held, C1), "c1 is offered something in spite of a Hold");
    let silent = |planner: &mut Planner| planner.rows[C1].observed.last_seen = None;
    assert_eq!(of_offer(silent, C1), "c1 is offered something, and it is silent");
    let paused = |planner: &mut Planner| planner.rows[C1].observed.paused = Some(Box::new(WaitingOn::Orphaned));
    assert_eq!(of_offer(paused, C1), "c1 is offered something, and it is paused");
    let failed = |planner: &mut Planner| {
        let note = serde_json::json!({"failed": {"version": {"landing": 2, "commit": landing(2).commit}}});
        let noted: super::super::MemberRecord = serde_json::from_value(note).unwrap();
        planner.rows[C1].note.failed = noted.failed;
    };
    assert_eq!(of_offer(failed, C1), "c1 is offered what failed on it");
    let pinned = |planner: &mut Planner| {
        let pin = Pinned { commit: landing(1).commit, spec: Err("gone".to_owned()) };
        planner.rows[C1].pin = Some(Box::new(pin));
    };
    assert_eq!(of_offer(pinned, C1), "c1 is offered something that its pin does not name");
    let closed = |planner: &mut Planner| {
        let windows = vec![bellwether_schemas::manifest::Window {
            days: Vec::new(),
            start: "02:00".parse().unwrap(),
            duration: Seconds::minutes(60),
            timezone: bellwether_schemas::manifest::Zone::Named("Europe/Berlin".to_owned()),
        }];
        let rollout = Rollout { windows, ..canary_then_rest() };
        let nobody = std::iter::empty();
        planner.clocks = super::super::clocks::Clocks::of(&rollout, &mut Vec::new(), nobody, planner.timing.now);
    };
    assert_eq!(of_offer(closed, C1), "c1 is offered something outside its windows");
    let rewound = |planner: &mut Planner| {
        planner.terms.condition =
            Condition::Rewound { accepted: landing(2).commit, landing: 2, tip: landing(1).commit, reset: None };
    };
    assert_eq!(of_offer(rewound, C1), "something is done although the history was rewound");
}

#[test]
fn what_is_offered_is_in_its_window_and_rendered_for_the_device() {
    let said = |change: fn(&mut Action)| {
        let (planner, stage) = begun();
        let mut action = target(&planner, C1);
        change(&mut action);
        let acts = Acts { actions: vec![(0, action)], grants: Vec::new() };
        lint(&planner, &stage, &acts).unwrap_err().to_string()
    };
    let other = |action: &mut Action| {
        let Action::Offer { digest, .. } = action else { return };
        *digest = Sha256Digest::of(b"other");
    };
    assert_eq!(said(other), "c1 is offered what is neither its target nor its stable version");
    let late = |action: &mut Action| {
        let Action::Offer { window, .. } = action else { return };
        window.until = Some(Timestamp::UNIX_EPOCH);
    };
    assert_eq!(said(late), "c1 is offered something for a time that is over");
}

#[test]
fn one_thing_is_done_for_a_device_and_places_are_there() {
    let (planner, stage) = begun();
    let twice = Acts { actions: vec![(0, Action::Withdraw), (0, target(&planner, C1))], grants: Vec::new() };
    assert_eq!(lint(&planner, &stage, &twice).unwrap_err().to_string(), "two things are done for one device");
    let grant = Grant { row: 1, in_budget: true, in_flight: true, hastens: false };
    let taken = Acts { actions: Vec::new(), grants: vec![grant] };
    let said = |planner: &Planner, acts: &Acts| lint(planner, &stage, acts).unwrap_err().to_string();
    assert_eq!(said(&planner, &taken), "r1 is offered something, and holds no place for it");
    let (mut planner, _) = begun();
    planner.slots.hold(1, &mut planner.rows[R1], true, true);
    assert_eq!(said(&planner, &taken), "r1 is offered something, and maxInFlight has no place");
    let hastened = Grant { row: 1, in_budget: true, in_flight: true, hastens: true };
    let hastened = Acts { actions: Vec::new(), grants: vec![hastened] };
    assert_eq!(lint(&planner, &stage, &hastened), Ok(()), "what brings back what was healthy needs none");
}

/// The canary runs the target, and is healthy.
fn is_healthy(planner: &mut Planner) {
    let (target, Landing { commit, number }) = (planner.rows[C1].target().unwrap(), planner.record.target);
    let version = Version { landing: number, commit, revision: 0 };
    let observed = &mut planner.rows[C1].observed;
    observed.running = Some(Claim { version, template: commit, digest: target });
    observed.health = Health::Healthy;
}

/// Its wave was complete by `completed`, and goes on.
fn goes_on(planner: &mut Planner, completed: Timestamp) {
    let (now, canary) = (planner.timing.now, &mut planner.record.waves[0]);
    (canary.completed_at, canary.advanced_at) = (Some(completed), Some(now));
}

#[test]
fn a_wave_goes_on_when_it_ended_is_healthy_and_soaked() {
    let healthy = |planner: &mut Planner| {
        is_healthy(planner);
        goes_on(planner, planner.timing.now);
    };
    assert_eq!(of_record(healthy), "sound");
    let at_work = |planner: &mut Planner| goes_on(planner, planner.timing.now);
    assert_eq!(of_record(at_work), "wave canary is complete, and c1 has not ended");
    let silent = |planner: &mut Planner| {
        healthy(planner);
        planner.rows[C1].observed.last_seen = None;
    };
    assert_eq!(of_record(silent), "wave canary goes on with 0 healthy of 1");
    let needed = |planner: &mut Planner| {
        planner.record.rollout.min_healthy = 2;
        healthy(planner);
    };
    assert_eq!(of_record(needed), "wave canary goes on with 1 healthy of 2");
    let in_a_halt = |planner: &mut Planner| {
        halted(false)(planner);
        healthy(planner);
    };
    assert_eq!(of_record(in_a_halt), "wave canary goes on in a halt");
    let soak = |planner: &mut Planner, seconds| {
        planner.record.rollout.waves[0].soak = Seconds::minutes(1);
        is_healthy(planner);
        goes_on(planner, planner.timing.now - SignedDuration::from_secs(seconds));
    };
    assert_eq!(of_record(|planner| soak(planner, 59)), "wave canary goes on before its soak is over");
    assert_eq!(of_record(|planner| soak(planner, 60)), "sound");
    let missed = |planner: &mut Planner| {
        let until = planner.timing.now - SignedDuration::from_secs(10);
        planner.record.gaps.add(super::super::Gap { from: until - SignedDuration::from_secs(1), until });
        soak(planner, 60);
    };
    assert_eq!(of_record(missed), "wave canary goes on before its soak is over", "nobody listened for a second");
    let started = |planner: &mut Planner| {
        planner.timing.serving_since = planner.timing.now - SignedDuration::from_secs(10);
        soak(planner, 60);
    };
    assert_eq!(of_record(started), "wave canary goes on before its soak is over", "nobody may have reported again");
    let hurried = |planner: &mut Planner| {
        planner.terms.decisions.expedited = [SkipStep::Soak, SkipStep::Waves].into();
        soak(planner, 1);
    };
    assert_eq!(of_record(hurried), "sound");
    let soaks = |planner: &mut Planner| {
        planner.rows[C1].observed.changing = true;
        soak(planner, 60);
    };
    assert_eq!(of_record(soaks), "wave canary goes on, and c1 still soaks");
}

#[test]
fn waves_open_in_order_behind_their_gates_and_stay_open() {
    let wave = |planner: &Planner, place: usize| super::super::WaveRecord {
        name: planner.record.rollout.waves[place].name.clone(),
        opened_at: planner.timing.now,
        completed_at: None,
        advanced_at: None,
    };
    let opens = |planner: &mut Planner| {
        let next = wave(planner, 1);
        planner.record.waves.push(next);
    };
    let ends = |planner: &mut Planner| {
        is_healthy(planner);
        goes_on(planner, planner.timing.now);
    };
    assert_eq!(of_record(opens), "a wave opens while canary goes on");
    assert_eq!(of_record(|planner| planner.record.waves.clear()), "1 waves were open, and now 0 are");
    assert_eq!(
        of_record(|planner| planner.record.waves[0].name = "x".parse().unwrap()),
        "wave x is not the Rollout's wave 1"
    );
    let hasty = |planner: &mut Planner| planner.record.waves[0].advanced_at = Some(planner.timing.now);
    assert_eq!(of_record(hasty), "wave canary went on before it was complete");
    let joined = |planner: &mut Planner| {
        ends(planner);
        opens(planner);
        planner.change(R1, |row| row.note.wave = Some(1));
    };
    assert_eq!(of_record(joined), "sound");
    let gated = |planner: &mut Planner| {
        planner.record.rollout.waves[1].gate = Gate::Manual;
        joined(planner);
    };
    assert_eq!(of_record(gated), "wave rest opens with its gate closed");
    let in_spite = |planner: &mut Planner| {
        held(planner);
        joined(planner);
    };
    assert_eq!(of_record(in_spite), "wave rest opens in spite of holds/stop.yaml");
    let early = |planner: &mut Planner| planner.record.stable = Some(planner.record.target);
    assert_eq!(of_record(early), "something else is stable, and waves go on");
}

#[test]
fn what_is_kept_between_plans_is_counted_again() {
    let drifted = of_record(|planner| planner.tallies[0].healthy += 1);
    assert!(drifted.starts_with("wave canary has "), "{drifted}");
    let stolen = of_record(|planner| planner.rows[R1].flies = true);
    assert_eq!(stolen, "places are held by others than is kept");
}

#[test]
fn a_planner_whose_plan_is_unsound_plans_no_more_and_says_so() {
    let (planner, _) = begun();
    let mut record = planner.record();
    // As of somebody who changed the record by hand: both waves are open, and the first one goes on.
    record.waves.push(super::super::WaveRecord { name: "rest".parse().unwrap(), ..record.waves[0].clone() });
    let (terms, timing) = (planner.terms.clone(), planner.timing);
    let (mut broken, plan) = Planner::begin(terms, Vec::new(), Some(record), timing);
    let unsound = plan.unwrap_err();
    assert_eq!(unsound.to_string(), "a wave opens while canary goes on");
    assert_eq!(broken.plan(timing), Err(unsound.clone()));
    let reason = WaitingOn::Unsound { breach: unsound.to_string() };
    assert_eq!(broken.show(&broken.reasons()).reason, Some(reason));
}
