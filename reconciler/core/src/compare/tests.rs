//! What a change is said to do, told as edits of a small repository.

mod decisions;
mod loosened;
mod refused;

use std::fmt::Write as _;

use bellwether_schemas::manifest::Labels;
use jiff::Timestamp;

use super::*;
use crate::testing::{Repository, Story, labels, name};
use crate::verify::joined;

const EDGE: &str = "fleets/edge.yaml";
const GREETS: &str = "{selector: {matchLabels: {fleet: edge}}, template: {files: [{path: /opt/bellwether/motd, content: \
                      \"Hello {{ device.name }} at {{ labels.site }}\"}], probes: [{file: {path: /opt/bellwether/motd}}]}}";
const WAVES: &str = "{waves: [{name: canary, select: {matchLabels: {ring: canary}}}, {name: rest, percent: 100}]}";

fn token(id: &str, rest: &str) -> String {
    let sha256 = bellwether_schemas::Sha256Digest::of(id.as_bytes());
    format!("{{id: {id}, sha256: {sha256}, expires: 2030-01-31T12:00:00Z{rest}}}")
}

fn enrollment(tokens: &[String]) -> String {
    format!("{{labels: {{fleet: edge, site: kiel}}, tokens: [{}]}}", tokens.join(", "))
}

fn tokens() -> Vec<String> {
    vec![
        token("t1", ", device: edge-1, labels: {ring: canary}"),
        token("t2", ", device: edge-2, labels: {site: oslo}"),
        token("t3", ""),
    ]
}

/// A fleet of three devices, of which one has no name yet, and another fleet with none.
fn begin() -> Story {
    Story::begin(&[
        (EDGE, GREETS),
        ("fleets/other.yaml", "{selector: {matchLabels: {fleet: other}}, template: {probes: none}}"),
        ("rollouts/edge.yaml", WAVES),
        ("enrollments/factory.yaml", &enrollment(&tokens())),
    ])
}

fn greets(text: &str) -> String {
    GREETS.replace("Hello {{ device.name }} at {{ labels.site }}", text)
}

/// What is said of these edits, and how their fleets would roll out.
fn told(story: &Story, edit: impl FnOnce(&mut Story) -> &mut Story) -> String {
    told_of(story, None, edit)
}

fn told_of(story: &Story, devices: Option<Vec<Device>>, edit: impl FnOnce(&mut Story) -> &mut Story) -> String {
    let mut edited = story.clone();
    edit(&mut edited);
    // Nobody signs it: what a change does is told before it counts.
    let tip = edited.repository.commit(&[story.head()], None);
    told_at(story, devices, &edited.repository, tip)
}

/// What is said of the branch with this tip.
fn told_at(story: &Story, devices: Option<Vec<Device>>, repository: &Repository, tip: CommitId) -> String {
    let objects = &repository.objects;
    let mut history = story.history.clone();
    let landings = history.plan_landings(objects, &tip).expect("it can be compared");
    let changes = joined(&landings);
    let after = story.declared.propose(objects, &landings).expect("every object is there");
    let sides = Sides { objects, history: &history, before: &story.declared, after: &after, changes: &changes };
    let devices = devices.unwrap_or_else(|| Device::listed(sides.before, after.declared()));
    let found = compare(&sides, &devices).expect("every object is there");
    let mut text = String::new();
    for change in &found.fleets {
        let joined = change.members.iter().filter(|member| member.from.is_some()).count();
        writeln!(
            text,
            "{} {:?}: {} of {} change, {joined} come from elsewhere, {} leave",
            change.fleet,
            change.fate,
            change.changed(),
            change.members.len(),
            change.left
        )
        .expect("a String takes it");
        for variant in &change.variants {
            let contents = |shown: &Shown| {
                shown.spec.files.iter().filter_map(|file| file.content.clone()).collect::<Vec<_>>().join("|")
            };
            let before = variant.before.as_ref().map(contents);
            let by = variant.differs_by.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let by = if by.is_empty() { by } else { format!(", by {by}") };
            let after = contents(&variant.after);
            writeln!(text, "  {} as {}{by}: {before:?} → {after:?}", variant.devices, variant.example)
                .expect("a String takes it");
        }
        if let Some(forecast) = forecast(&sides, change, Timestamp::UNIX_EPOCH) {
            let waves = forecast.outcome.waves.iter().map(|wave| format!("{} {}", wave.name, wave.members));
            writeln!(text, "  {:?} in waves {}", forecast.outcome.state, waves.collect::<Vec<_>>().join(", "))
                .expect("a String takes it");
        }
    }
    for Decision { path, says, comes, .. } in &found.decisions {
        writeln!(text, "{} {path} {says}", if *comes { "+" } else { "-" }).expect("a String takes it");
    }
    for risk in &found.risks {
        let fleet = risk.fleet.as_ref().map(|fleet| format!("{fleet}: ")).unwrap_or_default();
        writeln!(text, "{} {fleet}{}", risk.code, risk.what).expect("a String takes it");
    }
    if found.admitted > 0 {
        writeln!(text, "{} admitted", found.admitted).expect("a String takes it");
    }
    text
}

#[test]
fn what_no_device_sees_is_no_change() {
    let story = begin();
    assert_eq!(told(&story, |story| story.put("README.md", "x")), "");
    assert_eq!(told(&story, |story| story.put("files/unnamed", "x")), "");
    let commented = format!("# a comment\n{}", crate::testing::manifest(EDGE, GREETS));
    let same = told(&story, |story| story.put(EDGE, &commented));
    assert_eq!(
        same, "edge Changes: 0 of 3 change, 0 come from elsewhere, 0 leave\n",
        "a template commit, and the same digest"
    );
}

#[test]
fn what_differs_by_a_devices_own_values_is_one_change() {
    let story = begin();
    let all = told(&story, |story| story.say(EDGE, &greets("Good day {{ device.name }} at {{ labels.site }}")));
    insta::assert_snapshot!(all);
    let by_site = "{% if labels.site == 'oslo' %}Hei{% else %}Moin{% endif %} {{ device.name }}";
    let two = told(&story, |story| story.say(EDGE, &greets(by_site)));
    insta::assert_snapshot!(two);
    let greets_all = greets("Good day {{ device.name }} at {{ labels.site }}");
    let differs = |edit: &dyn Fn(&mut Story)| {
        let mut edited = story.clone();
        edit(&mut edited);
        edited.land();
        told(&edited, |story| story.say(EDGE, &greets_all))
    };
    let one_site = |story: &mut Story| {
        story.say("devices/edge-2.yaml", "{labels: {site: kiel}}");
    };
    assert!(differs(&|_| ()).contains("3 as edge-1, by device, site: "));
    assert!(differs(&one_site).contains("3 as edge-1, by device: "), "all have the same label");
}

#[test]
fn devices_that_move_leave_and_come_are_told() {
    let story = begin();
    let narrowed = GREETS.replace("fleet: edge", "fleet: edge, site: kiel");
    insta::assert_snapshot!("orphaned", told(&story, |story| story.say(EDGE, &narrowed)));
    let moved = "{labels: {fleet: other}}";
    insta::assert_snapshot!("moved", told(&story, |story| story.say("devices/edge-2.yaml", moved)));
    let other = greets("Hi").replace("fleet: edge", "site: kiel");
    insta::assert_snapshot!("overlapping", told(&story, |story| story.say("fleets/kiel.yaml", &other)));
    let deleted = told(&story, |story| story.remove(EDGE).say("fleets/new.yaml", &greets("Hi")));
    insta::assert_snapshot!("deleted_and_new", deleted);
    let more = enrollment(&[tokens(), vec![token("t4", ", device: edge-4")]].concat());
    insta::assert_snapshot!("admitted", told(&story, |story| story.say("enrollments/factory.yaml", &more)));
    let unlisted = told(&story, |story| story.say("devices/edge-9.yaml", "{labels: {fleet: edge, site: kiel}}"));
    assert!(
        unlisted.contains("1 as edge-9") && !unlisted.contains("admitted"),
        "a manifest lets nobody in: {unlisted}"
    );
    let mut listed = story.clone();
    listed.say("devices/edge-9.yaml", "{labels: {fleet: edge}}");
    listed.land();
    let more = enrollment(&[tokens(), vec![token("t9", ", device: edge-9")]].concat());
    let known = told(&listed, |story| story.say("enrollments/factory.yaml", &more));
    assert!(known.contains("1 admitted"), "it had a manifest before: {known}");
    let revoked = told(&story, |story| {
        let mut tokens = tokens();
        tokens[1] = token("t2", ", device: edge-2, revoked: true");
        story.say("enrollments/factory.yaml", &enrollment(&tokens)).say("devices/edge-1.yaml", "{decommission: true}")
    });
    insta::assert_snapshot!("revoked", revoked);
}

#[test]
fn what_is_dangerous_is_told_with_its_code() {
    let mut story = begin();
    story.say(
        "rollouts/edge.yaml",
        "{waves: [{name: canary, percent: 5, soak: 1h}, {name: rest, percent: 100, gate: manual}], maxFailureRate: 1%, \
         budget: [{by: [site], maxUnavailable: 1}], windows: [{start: \"02:00\", duration: 1h}]}",
    );
    story.land();
    let loosened = told(&story, |story| {
        story
            .say(EDGE, &greets("Hi").replace("probes: [{file: {path: /opt/bellwether/motd}}]", "probes: none"))
            .say("rollouts/edge.yaml", "{waves: [{name: rest, percent: 100}], maxFailureRate: 50%}")
    });
    insta::assert_snapshot!("loosened", loosened);
    story.say("rollouts/edge.yaml", "{waves: [{name: all, percent: 100}]}");
    story.land();
    let at_once = told(&story, |story| story.say(EDGE, &greets("Hi")));
    insta::assert_snapshot!("at_once", at_once);
    let broken = told(&story, |story| story.say(EDGE, &greets("{{ labels.ring }}")));
    insta::assert_snapshot!("unrendered", broken);
    insta::assert_snapshot!("invalid", told(&story, |story| story.say(EDGE, "{selctor: {}}")));
}

#[test]
fn a_rollout_that_lets_more_through_is_told_without_its_fleet() {
    let mut story = begin();
    story.say(
        "rollouts/edge.yaml",
        "{waves: [{name: canary, percent: 5, soak: 1h}, {name: rest, percent: 100}], maxFailureRate: 0%}",
    );
    story.land();
    let shorter = "{waves: [{name: canary, percent: 5, soak: 1m}, {name: rest, percent: 100}], maxFailureRate: 0%}";
    insta::assert_snapshot!("rollout_alone", told(&story, |story| story.say("rollouts/edge.yaml", shorter)));
    insta::assert_snapshot!("rollout_removed", told(&story, |story| story.remove("rollouts/edge.yaml")));
}

#[test]
fn an_inventory_says_whom_it_reaches_and_who_is_offline() {
    let story = begin();
    let device = |name_: &str, entry: Option<&str>, labels: Labels, is_offline| Device {
        name: name(name_),
        shown: name_.to_owned(),
        entry: entry.map(|entry| (name("factory"), name(entry))),
        labels,
        is_offline,
        allows: None,
    };
    let devices = vec![
        device("edge-1", Some("t1"), Labels::new(), false),
        device("factory-0123456789abcdef", Some("t3"), Labels::new(), true),
        device("elsewhere", None, labels(&[("fleet", "edge"), ("site", "rome")]), false),
        device("nobody", None, Labels::new(), false),
    ];
    let all = told_of(&story, Some(devices), |story| story.say(EDGE, &greets("Hi {{ labels.site }}")));
    insta::assert_snapshot!(all);
}

#[test]
fn a_branch_is_compared_as_its_merge() {
    let mut story = begin();
    let (fork, other) = (story.head(), "{selector: {matchLabels: {fleet: other}}, template: {probes: none}}");
    story.say("fleets/other.yaml", &other.replace("probes", "files: [], probes"));
    story.land();
    // The branch began before that, and has the file as it was.
    story.say("fleets/other.yaml", other).say(EDGE, &greets("Hi"));
    let tip = story.repository.commit(&[fork], None);
    let landings = story.history.plan_landings(&story.repository.objects, &tip).expect("it can be compared");
    let paths: Vec<_> = joined(&landings).into_iter().map(|change| change.path).collect();
    assert_eq!(paths, [EDGE], "what the line changed since stays");
}
