//! Scenes that are made from a history.

use super::*;
use crate::declare::Declared;

const ROLLOUT: &str = "{waves: [{name: canary, select: {matchLabels: {ring: canary}}}, {name: rest, percent: 100}]}";
const CANARY: &str = "{labels: {kind: edge, ring: canary}}";
const REST: &str = "{labels: {kind: edge, ring: rest}}";

/// Three landings: a fleet with a canary and three others, another content, another Rollout.
fn begun() -> (Story, [Declared; 3]) {
    let devices =
        [("devices/a.yaml", CANARY), ("devices/b.yaml", REST), ("devices/c.yaml", REST), ("devices/d.yaml", REST)];
    let mut story = Story::begin(&[&[FLEET, ("rollouts/edge.yaml", ROLLOUT)][..], &devices].concat());
    let first = story.declared.clone();
    story.say("fleets/edge.yaml", &FLEET.1.replace("content: one", "content: two")).land();
    let second = story.declared.clone();
    story.say("rollouts/edge.yaml", &ROLLOUT.replace("waves:", "minHealthy: 2, waves:")).land();
    let third = story.declared.clone();
    (story, [first, second, third])
}

fn staged<'a>(
    story: &'a Story,
    before: Option<&'a Declared>,
    after: &'a Declared,
    devices: u32,
) -> Result<Scene<'a>, NotStaged> {
    let fleet = Box::leak(Box::new(name("edge")));
    let stage = Stage { objects: &story.repository.objects, history: &story.history, before, after, fleet };
    stage.set(&virtual_devices(&stage, devices), START, seconds("90d"))
}

#[test]
fn what_runs_and_what_rolls_out_is_rendered_from_the_landings() {
    let (story, [first, second, third]) = begun();
    let scene = staged(&story, Some(&first), &second, 8).expect("a scene");
    assert_eq!((scene.target.number, scene.before.map(|before| before.template.number)), (2, Some(1)));
    let rings: Vec<&str> =
        scene.devices.iter().map(|device| device.labels.get("ring").map_or("", String::as_str)).collect();
    assert_eq!(rings.iter().filter(|ring| **ring == "canary").count(), 2, "one in four is a canary: {rings:?}");
    let device = &scene.devices[0];
    assert!(device.before.is_some() && device.target.is_ok() && device.before != device.target.clone().ok());
    assert_eq!(simulate(&scene, &Faults::default(), 1).state, RolloutState::Complete);

    let unchanged = staged(&story, Some(&second), &third, 8).map(|scene| scene.target);
    assert_eq!(unchanged, Err(NotStaged::NothingChanges { fleet: name("edge"), landing: 2 }));
    let long = staged(&story, Some(&first), &third, 8).expect("a scene");
    assert_eq!((long.target.number, long.head.number, long.rollout.min_healthy), (2, 3, 1), "judged by what was there");
}

#[test]
fn the_next_change_is_judged_by_the_rollout_at_the_head() {
    let (story, [_, second, third]) = begun();
    for (at, needed) in [(&second, 1), (&third, 2)] {
        let scene = staged(&story, None, at, 8).expect("a scene");
        assert_eq!(scene.rollout.min_healthy, needed);
        let outcome = simulate(&scene, &Faults::default(), 1);
        assert_eq!((outcome.state, outcome.tried), (RolloutState::Complete, 8));
        let bad = simulate(&scene, &Faults { failure_rate: rate("100%"), ..Faults::default() }, 1);
        assert_eq!((bad.state, bad.harmed), (RolloutState::Halted, 2));
    }
}

#[test]
fn a_list_of_devices_is_what_git_makes_of_it() {
    let (story, [first, second, _]) = begun();
    let fleet = name("edge");
    let (objects, history) = (&story.repository.objects, &story.history);
    let stage = Stage { objects, history, before: Some(&first), after: &second, fleet: &fleet };
    let known =
        |text: &str, pairs: &[(&str, &str)]| Known { name: name(text), entry: None, labels: labels(pairs), like: None };
    let list = vec![
        known("z", &[("kind", "edge")]),
        known("a", &[("kind", "lab")]),
        known("elsewhere", &[("kind", "lab")]),
        known("z", &[("kind", "edge"), ("ring", "late")]),
    ];
    let found = known_devices(&stage, list);
    let scene = stage.set(&found, START, seconds("90d")).expect("a scene");
    let found: Vec<_> =
        scene.devices.iter().map(|device| (device.name.as_str(), device.labels.get("ring").cloned())).collect();
    assert_eq!(
        found,
        [("a", Some("canary".to_owned())), ("z", Some("late".to_owned()))],
        "git knows better what it names"
    );
    assert_eq!(
        stage.set(&[], START, seconds("90d")).map(|scene| scene.target),
        Err(NotStaged::NoDevices(fleet.clone()))
    );
}

#[test]
fn what_cannot_be_rendered_counts_as_failure() {
    let (mut story, [_, second, _]) = begun();
    story.say("fleets/edge.yaml", &FLEET.1.replace("content: one", "content: \"{{ labels.site }}\"")).land();
    let scene = staged(&story, Some(&second), &story.declared, 8).expect("a scene");
    assert!(scene.devices.iter().all(|device| device.target.is_err()));
    let outcome = simulate(&scene, &Faults::default(), 1);
    assert_eq!((outcome.state, outcome.offers, outcome.tried), (RolloutState::Halted, 0, 0));
}

#[test]
fn devices_are_made_up_in_proportion_to_what_git_has_of_each_kind() {
    let (mut story, _) = begun();
    let token = |i: usize| {
        let ring = if i < 2 { "canary" } else { "rest" };
        format!("{{id: t{i}, sha256: {i:064x}, expires: 2030-01-31T12:00:00Z, labels: {{ring: {ring}}}}}")
    };
    let tokens: Vec<String> = (0..8).map(token).collect();
    story.say("enrollments/plant.yaml", &format!("{{labels: {{kind: edge}}, tokens: [{}]}}", tokens.join(", "))).land();
    let scene = staged(&story, None, &story.declared, 24).expect("a scene");
    let canaries = scene.devices.iter().filter(|device| device.labels.get("ring").is_some_and(|ring| ring == "canary"));
    assert_eq!((canaries.count(), scene.devices.len()), (6, 24), "one named and two tokens of twelve");
}
