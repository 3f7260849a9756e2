//! A device with a template of its own: a fleet of one.

use super::*;

const KIOSK: &str = "devices/kiosk.yaml";
const OWN: &str = "device.kiosk";

/// The Device of kiosk, with these labels and this content.
fn kiosk(labels: &str, content: &str) -> String {
    format!(
        "{{labels: {{{labels}}}, vars: {{port: 1}}, template: {{files: [{{path: /opt/bellwether/motd, source: files/motd}}, \
         {{path: /opt/bellwether/own, content: \"{content} {{{{ fleet }}}} {{{{ vars.port }}}}\"}}], probes: none}}}}"
    )
}

fn begin_with_kiosk() -> Story {
    let mut story = begin();
    assert_eq!(story.say(KIOSK, &kiosk("site: nowhere", "first")).land(), 2);
    story
}

fn rendered(story: &Story) -> String {
    let (device, mut known) = (name("kiosk"), std::collections::HashMap::new());
    let facts = story.declared.inventory().subject_facts(&Subject::Device(name("kiosk")));
    let mut contents = crate::render::Contents::new(&story.repository.objects, &mut known);
    let rendered = crate::render::render(&story.fleet(OWN).target, &device, &facts, &mut contents).expect("it renders");
    String::from_utf8(rendered.canonical.to_vec()).expect("JSON")
}

#[test]
fn its_template_is_a_fleet_that_has_it_alone_and_goes_in_one_wave() {
    let story = begin_with_kiosk();
    assert_eq!((fleets_of(&story, "kiosk"), story.template_commit(OWN)), (vec![OWN.to_owned()], 2));
    let line = story.fleet(OWN);
    assert_eq!(line.subjects().collect::<Vec<_>>(), [&Subject::Device(name("kiosk"))]);
    assert_eq!(*line.rollout, Rollout::of_one());
    assert!(rendered(&story).contains("first device.kiosk 1"), "{}", rendered(&story));
    for other in ["edge-1", "kios", "kiosk-2"] {
        assert!(!fleets_of(&story, other).contains(&OWN.to_owned()), "{other}");
    }
}

#[test]
fn what_it_is_made_of_moves_its_template_commit_and_nothing_else_does() {
    let mut story = begin_with_kiosk();
    let mut lands = |path: &str, content: &str| {
        let number = if content.starts_with('{') { story.say(path, content) } else { story.put(path, content) }.land();
        story.template_commit(OWN) == number
    };
    assert!(lands(KIOSK, &kiosk("site: nowhere", "second")), "its content");
    assert!(lands("files/motd", "hello again\n"), "a file that it names");
    assert!(lands(KIOSK, &kiosk("site: elsewhere", "second")), "its labels");
    assert!(!lands("files/unnamed", "2"), "another file");
    assert!(!lands("devices/edge-1.yaml", "{labels: {ring: canary}}"), "another device");
    assert!(!lands(GATEWAYS, &SPEC.replace("motd,", "greeting,")), "a fleet");
    assert!(!lands("enrollments/factory.yaml", &enrollment("kiel", &[TOKENS[0]])), "an enrollment of others");
    assert!(
        lands("enrollments/kiosks.yaml", &enrollment("kiel, rack: a", &[("k1", ", device: kiosk")])),
        "labels by its enrollment"
    );
    assert_eq!(story.template_commit("others"), 1);
}

#[test]
fn while_a_fleet_selects_it_its_own_template_counts_for_nothing_and_that_is_told() {
    let mut story = begin_with_kiosk();
    let unused = |story: &Story, fleets: &[&str]| {
        let fleets: Vec<FleetName> = fleets.iter().map(|fleet| name(fleet)).collect();
        story.declared.unused_template(&name("kiosk"), &fleets).map(|problem| problem.to_string())
    };
    assert_eq!(unused(&story, &[OWN]), None);
    assert_eq!(unused(&story, &[]), None);
    story.say(KIOSK, &kiosk("site: kiel", "first")).land();
    assert_eq!(fleets_of(&story, "kiosk"), ["gateways"]);
    let told = unused(&story, &["gateways"]).expect("a problem");
    assert!(told.contains("devices/kiosk.yaml") && told.contains("BW-0118") && told.contains("gateways"), "{told}");
    story.say("fleets/more.yaml", SPEC).land();
    assert_eq!(fleets_of(&story, "kiosk"), ["gateways", "more"], "an overlap stays one");
    story.say(KIOSK, &kiosk("site: nowhere", "first")).land();
    assert_eq!(fleets_of(&story, "kiosk"), [OWN]);
    story.say(KIOSK, "{labels: {site: kiel}}").land();
    assert_eq!(unused(&story, &["gateways"]), None, "it has none any more");
}

#[test]
fn it_ends_with_the_template_or_the_file_and_may_begin_anew() {
    let mut story = begin_with_kiosk();
    let fleet: FleetName = name(OWN);
    let in_force = |story: &Story, number| story.declared.template_in_force(&fleet, number).map(|at| at.landing.number);
    story.say(KIOSK, "{labels: {site: nowhere}}").land();
    assert_eq!((fleets_of(&story, "kiosk"), in_force(&story, 3), in_force(&story, 2)), (vec![], None, Some(2)));
    story.say(KIOSK, &kiosk("site: nowhere", "anew")).land();
    assert_eq!(in_force(&story, 4), Some(4));
    story.remove(KIOSK).land();
    assert_eq!((fleets_of(&story, "kiosk"), in_force(&story, 5)), (vec![], None));
    // One that does not parse counts as it last did.
    story.say(KIOSK, &kiosk("site: nowhere", "again")).land();
    story.put(KIOSK, "broken").land();
    assert_eq!((fleets_of(&story, "kiosk"), in_force(&story, 7)), (vec![OWN.to_owned()], Some(6)));
}

#[test]
fn no_fleet_and_no_rollout_takes_its_name() {
    let mut story = begin_with_kiosk();
    for (path, spec) in [("fleets/device.kiosk.yaml", SPEC), ("rollouts/device.kiosk.yaml", &one_wave("quick"))] {
        story.say(path, spec).land();
        let problems = story.declared.invalid().find(|(at, _)| *at == path).expect("it is invalid").1;
        assert_eq!(problems[0].code, codes::OWN_FLEET_NAME, "{path}");
    }
    story.say(KIOSK, &kiosk("site: nowhere", "second")).land();
    story.say(KIOSK, &kiosk("site: nowhere", "third")).land();
    assert_eq!((fleets_of(&story, "kiosk"), &*story.fleet(OWN).rollout), (vec![OWN.to_owned()], &Rollout::of_one()));
}

#[test]
fn it_is_held_by_name_or_with_all() {
    let mut story = begin_with_kiosk();
    let held = |story: &Story, fleet: &str| story.declared.holds(&name(fleet)).count();
    story.say("holds/kiosk.yaml", "{fleets: [device.kiosk], reason: odd}").land();
    assert_eq!((held(&story, OWN), held(&story, "gateways")), (1, 0));
    story.say("holds/all.yaml", "{all: true, reason: odd}").land();
    assert_eq!((held(&story, OWN), held(&story, "gateways")), (2, 1));
}
