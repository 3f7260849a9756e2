//! Approvals, Holds and Resumes.

use std::collections::HashMap;

use bellwether_schemas::manifest::{Rollout, SkipStep};
use bellwether_schemas::{CommitId, FleetName};

use super::*;

/// Approves the wave `broad` of gateways at `commit`; the file is named after `path`.
fn approve(story: &mut Story, path: &str, fleet: &str, commit: &CommitId) {
    let spec = format!("{{fleet: {fleet}, commit: {commit}, open: [broad], reason: looks well}}");
    story.say(&format!("approvals/{path}.yaml"), &spec).land();
}

fn decided(story: &Story) -> crate::plan::Decisions {
    decided_from(story, &[])
}

fn decided_from(story: &Story, earlier: &[Landing]) -> crate::plan::Decisions {
    story.declared.decisions(&story.fleet("gateways").target, earlier, |commit| story.history.number_of(commit))
}

fn is_open(story: &Story) -> bool {
    let open = decided(story).opened;
    assert!(open.iter().all(|wave| wave.as_str() == "broad"), "{open:?}");
    !open.is_empty()
}

#[test]
fn an_approval_opens_gates_for_the_inputs_at_its_commit() {
    let mut story = begin();
    let introduction = story.head();
    story.put("files/motd", "second").land();
    let template = story.head();

    approve(&mut story, "old", "gateways", &introduction);
    assert!(!is_open(&story), "other inputs were in force there");
    approve(&mut story, "other", "others", &template);
    assert!(!is_open(&story), "it is for another fleet");
    approve(&mut story, "unknown", "gateways", &name("9f3c2ab000000000000000000000000000000001"));
    assert!(!is_open(&story), "its commit is not in the history");
    approve(&mut story, "template", "gateways", &template);
    assert!(is_open(&story));

    story.put("files/motd", "eighth").land();
    assert!(!is_open(&story), "what was approved is not what rolls out");
    story.put("files/motd", "second").land();
    assert!(is_open(&story), "equal inputs are the same target");
    story.remove("approvals/template.yaml").land();
    assert!(!is_open(&story), "taken back");
}

#[test]
fn an_approval_acknowledges_failures_and_lets_devices_try_again() {
    let mut story = begin();
    let commit = story.head();
    let mut say = |path: &str, what: &str| {
        let spec = format!("{{fleet: gateways, commit: {commit}, {what}, reason: the disk was full}}");
        story.say(&format!("approvals/{path}.yaml"), &spec).land();
        decided(&story)
    };
    assert_eq!(say("some", "resume: {failures: 3}").acknowledged, 3);
    assert_eq!(say("more", "resume: {failures: 17}").acknowledged, 17);
    assert_eq!(say("fewer", "resume: {failures: 2}").acknowledged, 17, "what was acknowledged stays so");
    let first = say("again", "retry: {devices: [kiosk-1, kiosk-2]}");
    let second = say("once-more", "retry: {devices: [kiosk-2]}");
    let (one, two) = (name("kiosk-1"), name("kiosk-2"));
    assert_eq!(second.retried[&one], first.retried[&one]);
    assert_eq!(second.retried[&two], first.retried[&two] + 1, "the newest landing counts");
}

#[test]
fn an_expedite_skips_what_it_names_for_the_inputs_at_its_commit() {
    let mut story = begin();
    let commit = story.head();
    let spec = format!("{{fleet: gateways, commit: {commit}, skip: [waves, soak], reason: it burns}}");
    story.say("expedites/fire.yaml", &spec).land();
    assert_eq!(decided(&story).expedited, [SkipStep::Waves, SkipStep::Soak].into());
    story.put("files/motd", "second").land();
    assert!(decided(&story).expedited.is_empty(), "it is for another template");
}

#[test]
fn a_rollout_needs_what_it_is_after_to_have_completed_the_same_commit() {
    let mut story = begin();
    let after = |fleet: &str| Rollout { after: vec![name(fleet)], ..Rollout::default() };
    let unmet = |story: &Story, fleet: &str, stable: Option<u64>| {
        let template = story.fleet("gateways").target.clone();
        let stable = |_: &FleetName| stable.map(|number| crate::plan::Landing { commit: story.head(), number });
        let mut known = HashMap::new();
        let mut contents = crate::render::Contents::new(&story.repository.objects, &mut known);
        !story.declared.unmet(&template, &after(fleet), stable, &mut contents).is_empty()
    };
    story.put("files/motd", "second").land();
    let second = story.template_commit("gateways");
    assert!(unmet(&story, "gateways", None) && unmet(&story, "gateways", Some(second - 1)));
    assert!(!unmet(&story, "gateways", Some(second)) && !unmet(&story, "gateways", Some(second + 1)));
    assert!(unmet(&story, "nobody", Some(second)), "a fleet that is not there never completes");
}

#[test]
fn an_approval_may_name_a_later_landing_with_equal_inputs() {
    let mut story = begin();
    story.put("README.md", "read on").land();
    let later = story.head();
    approve(&mut story, "later", "gateways", &later);
    assert!(is_open(&story));
}

#[test]
fn an_approval_of_a_landing_without_the_fleet_opens_nothing() {
    let mut story = begin();
    story.remove(GATEWAYS).land();
    let without = story.head();
    story.say(GATEWAYS, SPEC).land();
    approve(&mut story, "without", "gateways", &without);
    assert!(!is_open(&story));
}

#[test]
fn a_hold_stops_the_fleets_that_it_names() {
    let held = |path: &str, text: &str| {
        let mut story = begin();
        story.put(path, text).land();
        ["gateways", "others"].map(|fleet| story.declared.holds(&name(fleet)).count())
    };
    let hold = |spec| crate::testing::manifest("holds/stop.yaml", spec);
    assert_eq!(held("holds/stop.yaml", &hold("{fleets: [gateways], reason: r}")), [1, 0]);
    assert_eq!(held("holds/stop.yaml", &hold("{all: true, reason: r}")), [1, 1]);
    assert_eq!(held("holds/stop.yaml", &hold("{fleets: [gateway], reason: r}")), [0, 0]);
    // Whoever wrote these meant to stop something.
    assert_eq!(held("holds/stop.yaml", "broken"), [1, 1]);
    assert_eq!(held("holds/stop.yaml", &hold("{fleets: [], reason: r}")), [1, 1]);
    assert_eq!(held("holds/deep/stop.yaml", "kind: Hold"), [1, 1]);
    assert_eq!(held("holds/README.md", "about holds"), [0, 0]);
}

#[test]
fn a_resume_knows_the_landing_that_brought_it() {
    let mut story = begin();
    let path = "resumes/edge.yaml";
    let since = |story: &Story| {
        let resumes = story.declared.resumes().map(|at| (at.since, at.resume.reason.clone()));
        resumes.collect::<Vec<_>>()
    };
    story.say(path, "{devices: [edge-1], reason: first}").land();
    story.put("README.md", "read on").land();
    assert_eq!(since(&story), [(2, "first".to_owned())]);
    story.say(path, "{devices: [edge-1], reason: again}").land();
    assert_eq!(since(&story), [(4, "again".to_owned())]);
    story.put(path, "broken").land();
    assert_eq!(since(&story), [(4, "again".to_owned())]);
    story.remove(path).land();
    assert_eq!(since(&story), []);
}

#[test]
fn what_was_decided_about_an_earlier_target_counts_while_only_members_differ() {
    let mut story = begin();
    let first = story.fleet("gateways").target.landing;
    approve(&mut story, "first", "gateways", &first.commit);
    let enrolled = enrollment("kiel", &[("t9", ", device: kiosk-9")]);
    story.say("enrollments/more.yaml", &enrolled).land();
    let second = story.fleet("gateways").target.landing;
    assert!(first != second && !is_open(&story), "other inputs");
    let opens = |story: &Story, earlier: &[Landing]| !decided_from(story, earlier).opened.is_empty();
    assert!(opens(&story, &[first]), "its rollout went on from there");
    let elsewhere = Landing { number: first.number, commit: second.commit };
    assert!(!opens(&story, &[elsewhere]), "a history that was replaced");
    assert!(!opens(&story, &[second]), "nobody decided about that one");

    story.put("files/motd", "second").land();
    assert!(!opens(&story, &[first, second]), "it says something else than what was approved");
    let spec = SPEC.replace("dest: /opt/bellwether/app", "dest: /opt/bellwether/program");
    story.put("files/motd", "hello\n").say(GATEWAYS, &spec).land();
    assert!(!opens(&story, &[first, second]), "so does another manifest");
    story.say(GATEWAYS, SPEC).land();
    assert!(opens(&story, &[first, second]));
}

#[test]
fn a_hold_and_a_pin_decide_since_they_said_so_first() {
    let mut story = begin();
    let commit = story.head();
    let since = |story: &Story, path: &str| story.declared.counting(path).map(|(_, since)| since);
    let (hold, device) = ("holds/stop.yaml", "devices/kiosk-1.yaml");
    story.say(hold, "{fleets: [gateways], reason: look first}").land();
    story.say(device, "{labels: {a: b}}").land();
    story.say(device, &format!("{{labels: {{a: b}}, pin: {{commit: {commit}}}}}")).land();
    assert_eq!((since(&story, hold), since(&story, device)), (Some(2), Some(4)));
    story.say(hold, "{fleets: [gateways], reason: in other words}").land();
    story.say(device, &format!("{{labels: {{a: c}}, pin: {{commit: {commit}}}}}")).land();
    assert_eq!((since(&story, hold), since(&story, device)), (Some(2), Some(4)), "other words decide nothing");
    story.say(hold, "{fleets: [gateways, others], reason: in other words}").land();
    story.say(device, &format!("{{pin: {{commit: {}}}}}", story.head())).land();
    assert_eq!((since(&story, hold), since(&story, device)), (Some(7), Some(8)));
    assert_eq!(since(&story, "holds/none.yaml"), None);
}
