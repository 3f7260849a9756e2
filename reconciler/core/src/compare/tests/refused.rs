//! Changes and devices whose operators allow less than the change wants.

use std::sync::Arc;

use bellwether_schemas::allow::Allowed;
use bellwether_schemas::manifest::Labels;
use bellwether_schemas::{Code, codes};

use super::*;
use crate::testing::{Story, labels, name};
use crate::verify::Planned;

const EDGE: &str = "fleets/edge.yaml";

/// A fleet whose template has these files and probes.
fn edge(files: &str, probes: &str) -> String {
    format!("{{selector: {{matchLabels: {{role: edge}}}}, template: {{files: [{files}], probes: {probes}}}}}")
}

fn device(named: &str, more: &[(&str, &str)], allows: Option<Allowed>) -> Device {
    let labels: Labels = labels(&[&[("role", "edge")], more].concat());
    Device {
        name: name(named),
        shown: named.to_owned(),
        entry: None,
        labels,
        is_offline: false,
        allows: allows.map(Arc::new),
    }
}

/// What is told of the devices that would refuse the fleet's change from `before` to `after`.
fn told(before: &str, after: &str, devices: &[Device]) -> Vec<String> {
    let mut story = Story::begin(&[(EDGE, before)]);
    let declared = story.declared.clone();
    let landing = story.say(EDGE, after).verify();
    let objects = &story.repository.objects;
    let landings = [Planned { commit: *landing.id(), changes: landing.changes().to_vec() }];
    let proposal = declared.propose(objects, &landings).expect("every object is there");
    let history = &story.history;
    let sides = Sides { objects, history, before: &declared, after: &proposal, changes: landing.changes() };
    let found = compare(&sides, devices).expect("every object is there");
    let is_ours = |code: &Code| *code == codes::CHANGE_NOT_ALLOWED;
    found.risks.into_iter().filter(|risk| is_ours(&risk.code)).map(|risk| risk.what).collect()
}

const FILE: &str = "{path: /opt/bellwether/a, content: one}";

fn under(path: &str) -> Option<Allowed> {
    Some(Allowed { paths: vec![path.to_owned()], ..Allowed::default() })
}

#[test]
fn devices_that_would_refuse_are_counted_and_the_first_is_named_with_what_it_does_not_allow() {
    let (before, after) = (edge(FILE, "none"), edge("{path: /srv/a, content: one}", "none"));
    let devices = [
        device("edge-1", &[], under("/srv")),
        device("edge-2", &[], under("/opt/bellwether")),
        device("edge-3", &[], None),
        device("edge-4", &[], under("/srv/b")),
    ];
    let expected = "2 of the 4 devices that change would refuse it: edge-2 does not allow the path /srv/a";
    assert_eq!(told(&before, &after, &devices), [expected]);
    let nothing = Allowed { exec: vec![], paths: vec![], units: vec![], probe_hosts: vec![] };
    let expected = "1 of the 1 device that changes would refuse it: edge-1 does not allow the path /srv/a";
    assert_eq!(told(&before, &after, &[device("edge-1", &[], Some(nothing))]), [expected]);
}

#[test]
fn what_is_allowed_or_not_known_or_not_asked_is_no_risk() {
    let (before, after) = (edge(FILE, "none"), edge("{path: /srv/a, content: one}", "none"));
    let devices = [device("edge-1", &[], under("/srv")), device("edge-2", &[], None)];
    assert_eq!(told(&before, &after, &devices), Vec::<String>::new());
    // It refuses what it is to run already, and the change asks nothing else of it.
    let for_kiel = after.replace("content: one", "content: \"{{ 'two' if labels.site == 'kiel' else 'one' }}\"");
    let devices = [
        device("edge-1", &[("site", "kiel")], under("/srv")),
        device("edge-2", &[("site", "bonn")], under("/opt/bellwether")),
    ];
    assert_eq!(told(&after, &for_kiel, &devices), Vec::<String>::new());
    let elsewhere = [device("edge-1", &[("site", "kiel")], under("/opt/bellwether"))];
    assert_eq!(told(&after, &for_kiel, &elsewhere).len(), 1, "the fleet does change");
}

#[test]
fn each_device_is_judged_by_what_it_would_run_itself() {
    let probes = "[{http: {url: \"http://{{ labels.site }}.example/\"}}]";
    let (before, after) = (edge(FILE, "none"), edge(FILE, probes));
    let host = |host: &str| Some(Allowed { probe_hosts: vec![host.to_owned()], ..Allowed::default() });
    let devices = [
        device("edge-1", &[("site", "kiel")], host("kiel.example")),
        device("edge-2", &[("site", "bonn")], host("bonn.example")),
        device("edge-3", &[("site", "bonn")], host("kiel.example")),
    ];
    let expected = "1 of the 3 devices that change would refuse it: edge-3 does not allow the host \"bonn.example\"";
    assert_eq!(told(&before, &after, &devices), [expected]);
}
