//! What judges a template is what held before it: Rollout and labels at the first parent.

use super::*;

#[test]
fn the_rollout_at_the_first_parent_judges_a_template() {
    let mut story = begin();
    let waves = |story: &Story, fleet| story.fleet(fleet).rollout.waves[0].name.to_string();
    story.say("rollouts/gateways.yaml", &one_wave("second")).land();
    assert_eq!(waves(&story, "gateways"), "canary", "a Rollout does not judge what is rolling out already");

    story.put("files/motd", "third").land();
    assert_eq!(waves(&story, "gateways"), "second");

    story.put("files/motd", "fourth").say("rollouts/gateways.yaml", &one_wave("fourth")).land();
    assert_eq!(waves(&story, "gateways"), "second", "nobody loosens the Rollout in the landing that it judges");

    story.put("files/motd", "fifth").remove("rollouts/gateways.yaml").land();
    assert_eq!(waves(&story, "gateways"), "fourth");
    story.put("files/motd", "sixth").land();
    assert_eq!(waves(&story, "gateways"), "canary", "without a Rollout the default judges");

    story.say("fleets/new.yaml", SPEC).say("rollouts/new.yaml", &one_wave("new")).land();
    assert_eq!(waves(&story, "new"), "new", "a new fleet has no first parent");
}

#[test]
fn the_labels_at_the_first_parent_place_devices_into_waves() {
    let mut story = begin();
    let ring = |story: &Story| {
        let facts = story.fleet("gateways").judged.subject_facts(&Subject::Device(name("edge-1")));
        facts.labels.get("ring").cloned()
    };
    story.say("devices/edge-1.yaml", "{labels: {ring: canary}}").land();
    assert_eq!((story.template_commit("gateways"), ring(&story)), (2, None));
    story.put("README.md", "read on").land();
    assert_eq!((story.template_commit("gateways"), ring(&story)), (2, None));
    story.say("devices/edge-1.yaml", "{labels: {ring: broad}}").land();
    assert_eq!((story.template_commit("gateways"), ring(&story)), (4, Some("canary".to_owned())));
    story.say("devices/edge-1.yaml", "{labels: {ring: last}}").say("fleets/new.yaml", SPEC).land();
    let facts = story.fleet("new").judged.subject_facts(&Subject::Device(name("edge-1")));
    assert_eq!(facts.labels, labels(&[("site", "kiel"), ("ring", "last")]), "a new fleet has no first parent");
}

#[test]
fn no_landing_removes_its_own_canary_by_the_labels_of_an_enrollment() {
    let mut story = begin();
    let (device, factory, t2) = (name("factory-0123456789abcdef"), name("factory"), name("t2"));
    story.say("enrollments/factory.yaml", &enrollment("kiel, ring: canary", &TOKENS)).land();
    let ring = |story: &Story| {
        let placing = story.fleet("gateways").judged.placing_labels(&device, &factory, &t2);
        placing.expect("its entry is listed").get("ring").cloned()
    };
    assert_eq!(ring(&story), None, "at the first parent it was none");
    story.say("enrollments/factory.yaml", &enrollment("kiel", &TOKENS)).put("files/motd", "bad").land();
    assert_eq!(ring(&story), Some("canary".to_owned()));
    assert_eq!(story.declared.inventory().placing_labels(&device, &factory, &t2), Some(labels(&[("site", "kiel")])));
    let late = story.fleet("gateways").judged.placing_labels(&device, &factory, &name("t9"));
    assert_eq!(late, None, "the labels of the head place who came later");
}
