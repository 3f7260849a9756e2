//! Which landings change what devices run: the template commit of a fleet.

use super::*;

type Change = fn(&mut Story) -> &mut Story;

/// Lands a change right after the introduction; returns the landing number of the template commit.
fn template_after(change: Change) -> u64 {
    let mut story = begin();
    assert_eq!((story.template_commit("gateways"), story.template_commit("others")), (1, 1));
    change(&mut story);
    assert_eq!(story.land(), 2);
    story.template_commit("gateways")
}

#[test]
fn an_introduction_changes_every_fleet() {
    let mut story = Story::begin_after(&[("fleets/gateways.yaml", SPEC)], &[(GATEWAYS, SPEC)]);
    assert_eq!((story.history.head_number(), story.template_commit("gateways")), (2, 2));
    assert!(story.declared.template_in_force(&name("gateways"), 1).is_none());
    story.put("files/motd", "here now").land();
    assert_eq!(story.template_commit("gateways"), 3);
}

#[test]
fn what_a_fleet_is_made_of_moves_its_template_commit() {
    let changes: &[(&str, Change)] = &[
        ("the fleet file", |s| s.say(GATEWAYS, &SPEC.replace("motd,", "greeting,"))),
        ("a variable of the fleet", |s| s.say(GATEWAYS, &SPEC.replace("template:", "vars: {a: 1}, template:"))),
        ("a named file", |s| s.put("files/motd", "other\n")),
        ("a named file is removed", |s| s.remove("files/motd")),
        ("a named artifact", |s| s.put("artifacts/app", "abd")),
        ("a member's label, by its Device", |s| s.say("devices/edge-1.yaml", "{labels: {ring: canary}}")),
        ("a member's variable, by its Device", |s| s.say("devices/edge-1.yaml", "{vars: {port: 1}}")),
        ("a label of the Enrollment", |s| s.say("enrollments/factory.yaml", &enrollment("kiel, rack: a", &TOKENS))),
        ("a label of the entry", |s| {
            s.say(
                "enrollments/factory.yaml",
                &enrollment("kiel", &[("t1", ", device: edge-1, labels: {ring: canary}"), TOKENS[1]]),
            )
        }),
        ("a device joins", |s| {
            s.say("enrollments/factory.yaml", &enrollment("kiel", &[TOKENS[0], TOKENS[1], ("t3", ", device: edge-2")]))
        }),
        ("a device leaves", |s| s.say("devices/edge-1.yaml", "{labels: {site: oslo}}")),
        ("a first token for unnamed devices", |s| s.say("enrollments/more.yaml", &enrollment("kiel", &[("t9", "")]))),
    ];
    for (what, change) in changes {
        assert_eq!(template_after(*change), 2, "{what}");
    }
}

#[test]
fn nothing_else_moves_it() {
    let changes: &[(&str, Change)] = &[
        ("a README", |s| s.put("README.md", "read on")),
        ("a README beside fleets", |s| s.put("fleets/README.md", "about fleets")),
        ("another fleet", |s| {
            s.say(
                "fleets/others.yaml",
                "{selector: {matchLabels: {site: oslo}}, vars: {a: 1}, template: {probes: none}}",
            )
        }),
        ("its Rollout", |s| s.say("rollouts/gateways.yaml", &one_wave("all"))),
        ("a file that it does not name", |s| s.put("files/unnamed", "2")),
        ("one more token for unnamed devices", |s| {
            s.say("enrollments/factory.yaml", &enrollment("kiel", &[TOKENS[0], TOKENS[1], ("t3", "")]))
        }),
        ("a tidied token", |s| s.say("enrollments/factory.yaml", &enrollment("kiel", &TOKENS[..1]))),
        ("a tidied Enrollment", |s| s.remove("enrollments/factory.yaml")),
        ("a device of no fleet", |s| s.say("devices/lone.yaml", "{labels: {site: bonn}}")),
        ("a revocation", |s| s.say("devices/edge-1.yaml", "{revoked: true}")),
        ("a Hold", |s| s.say("holds/stop.yaml", "{all: true, reason: tests}")),
        ("its file breaks", |s| s.put(GATEWAYS, "kind: [")),
    ];
    for (what, change) in changes {
        assert_eq!(template_after(*change), 1, "{what}");
    }
}

#[test]
fn a_deleted_fleet_is_gone_and_returns_as_a_new_one() {
    let mut story = begin();
    let gateways: FleetName = name("gateways");
    story.say("rollouts/gateways.yaml", &one_wave("all")).remove(GATEWAYS).land();
    assert_eq!(story.declared.fleets().keys().map(FleetName::as_str).collect::<Vec<_>>(), ["others"]);
    story.put("README.md", "read on").land();
    story.say(GATEWAYS, SPEC).land();
    assert_eq!(story.template_commit("gateways"), 4);
    assert_eq!(story.fleet("gateways").rollout.waves[0].name.as_str(), "all", "judged as a new fleet");
    let numbers: Vec<_> = (0..=5)
        .map(|n| story.declared.template_in_force(&gateways, n).map(|template| template.landing.number))
        .collect();
    assert_eq!(numbers, [None, Some(1), None, None, Some(4), Some(4)]);
}

#[test]
fn a_landing_has_the_template_that_was_in_force_there() {
    let mut story = begin();
    story.put("README.md", "read on").land();
    story.put("files/motd", "third").land();
    story.put("README.md", "and on").land();
    let at = |n, fleet: &str| {
        let template = story.declared.template_in_force(&name(fleet), n);
        template.map(|template| (template.landing.number, template.sources["files/motd"].id))
    };
    let blob = |text: &str| crate::objects::object_id(crate::objects::ObjectKind::Blob, text.as_bytes());
    for (n, expected) in [
        (0, None),
        (1, Some((1, blob("hello\n")))),
        (2, Some((1, blob("hello\n")))),
        (3, Some((3, blob("third")))),
        (4, Some((3, blob("third")))),
    ] {
        assert_eq!(at(n, "gateways"), expected, "{n}");
    }
    assert_eq!(at(4, "unknown"), None);
}
