//! What cannot be read: it counts as before, or is absent, and is told.

use super::*;
use crate::declare::take::AT_A_TIME;
use crate::objects::MemoryObjects;

#[test]
fn a_manifest_that_breaks_counts_as_its_newest_version_that_did_not() {
    let mut story = begin();
    story.say(GATEWAYS, &SPEC.replace("template:", "vars: {a: 2}, template:")).land();
    let good = story.repository.files[GATEWAYS].clone();
    let bad = String::from_utf8(good.clone()).expect("text").replace("probes: none", "probs: none");
    story.put(GATEWAYS, &bad).land();
    let invalid: Vec<_> = story.declared.invalid().collect();
    let [(path, problems)] = invalid.as_slice() else { panic!("one manifest is broken: {invalid:?}") };
    assert_eq!((*path, problems[0].file.as_str(), problems[0].code), (GATEWAYS, GATEWAYS, codes::UNKNOWN_FIELD));
    assert_eq!(problems[0].place.expect("a place").line, 4);
    let vars = |story: &Story| story.fleet("gateways").target.fleet.vars.get("a").cloned();
    assert_eq!((story.template_commit("gateways"), vars(&story)), (2, Some(2.into())));

    story.put("files/motd", "while it is broken").land();
    assert_eq!((story.template_commit("gateways"), vars(&story)), (4, Some(2.into())), "what it names goes on");

    story.repository.files.insert(GATEWAYS.to_owned(), good);
    story.land();
    assert_eq!((story.template_commit("gateways"), story.declared.invalid().count()), (4, 0), "as if never broken");
}

#[test]
fn every_kind_counts_as_before_when_it_breaks() {
    let mut story = begin();
    story
        .say("rollouts/gateways.yaml", &one_wave("all"))
        .say("devices/edge-1.yaml", "{labels: {ring: canary}, revoked: true}")
        .say("holds/stop.yaml", "{fleets: [gateways], reason: tests}")
        .land();
    for path in ["rollouts/gateways.yaml", "devices/edge-1.yaml", "holds/stop.yaml", "enrollments/factory.yaml"] {
        story.put(path, "spec: &anchor {}");
    }
    story.put("files/motd", "judged by the Rollout as it was").land();
    assert_eq!(story.declared.invalid().count(), 4);
    assert_eq!(story.fleet("gateways").rollout.waves[0].name.as_str(), "all");
    let inventory = story.declared.inventory();
    let facts = inventory.subject_facts(&Subject::Device(name("edge-1")));
    assert_eq!(facts.labels, labels(&[("site", "kiel"), ("ring", "canary")]));
    assert!(inventory.admissions().is_device_revoked(&name("edge-1")));
    assert_eq!(story.declared.holds(&name("gateways")).count(), 1);
    assert_eq!(story.declared.holds(&name("others")).count(), 0);
}

#[test]
fn an_entry_with_another_token_than_before_is_told_and_the_rest_of_its_manifest_counts() {
    let mut story = begin();
    let path = "enrollments/factory.yaml";
    let good = enrollment("kiel, rack: a", &TOKENS);
    let (first, other) = (Sha256Digest::of(b"t2"), Sha256Digest::of(b"fresh"));
    story.say(path, &good.replace(&first.to_string(), &other.to_string())).land();
    let invalid: Vec<_> = story.declared.invalid().collect();
    let [(file, [problem])] = invalid.as_slice() else { panic!("one problem: {invalid:?}") };
    assert_eq!((*file, problem.code), (path, codes::TOKEN_CHANGED));
    assert!(problem.message.starts_with("entry t2 had another token before"), "{problem:?}");
    let admissions = story.declared.inventory().admissions();
    let now = "2026-01-01T00:00:00Z".parse().expect("a time");
    assert!(admissions.token(&first, now).is_ok() && admissions.token(&other, now).is_err());
    let facts = story.declared.inventory().subject_facts(&Subject::Device(name("edge-1")));
    assert_eq!(facts.labels, labels(&[("site", "kiel"), ("rack", "a")]));

    story.put("README.md", "read on").land();
    assert_eq!(story.declared.invalid().count(), 1, "as long as it stands there");
    story.remove(path).land();
    story.say(path, &good).land();
    assert_eq!(story.declared.invalid().count(), 0);
}

#[test]
fn a_manifest_that_never_parsed_is_absent() {
    let mut story = begin();
    story.put("fleets/new.yaml", "kind: Fleet").put("devices/edge-1.yaml", "kind: Device").land();
    let invalid: Vec<_> = story.declared.invalid().map(|(path, _)| path).collect();
    assert_eq!(invalid, ["devices/edge-1.yaml", "fleets/new.yaml"]);
    assert!(!story.declared.fleets().contains_key(&name::<FleetName>("new")));
    assert_eq!(story.template_commit("gateways"), 1);
    story.say("fleets/new.yaml", SPEC).land();
    assert_eq!(story.template_commit("new"), 3, "it begins where it first parses");

    // A version from before the introduction was never trusted.
    let story = Story::begin_after(&[(GATEWAYS, SPEC)], &[("fleets/others.yaml", SPEC), (GATEWAYS, "broken")]);
    assert!(!story.declared.fleets().contains_key(&name::<FleetName>("gateways")));
}

#[test]
fn a_rollout_of_which_no_version_is_valid_is_not_replaced_by_the_defaults() {
    let mut story = begin();
    let is_unread = |story: &Story| story.declared.fleets()[&name::<FleetName>("gateways")].is_rollout_unread();
    let path = "rollouts/gateways.yaml";
    story.put(path, "kind: Rollout").land();
    assert!(!is_unread(&story), "the target was there before it");
    let changed = |text: &str| SPEC.replace("template:", &format!("vars: {{a: {text}}}, template:"));
    story.say(GATEWAYS, &changed("1")).land();
    assert!(is_unread(&story), "it judges this one");
    story.say(path, "{minHealthy: 3}").land();
    let line = &story.declared.fleets()[&name::<FleetName>("gateways")];
    assert_eq!((line.is_rollout_unread(), line.rollout.min_healthy), (false, 3), "mended, it does");
    story.put(path, "kind: Rollout").land();
    story.say(GATEWAYS, &changed("2")).land();
    let line = &story.declared.fleets()[&name::<FleetName>("gateways")];
    assert_eq!((line.is_rollout_unread(), line.rollout.min_healthy), (false, 3), "the newest valid one counts");
    // Nobody has to have one.
    story.remove(path).land();
    story.put(path, "kind: Rollout").land();
    story.say(GATEWAYS, &changed("3")).land();
    assert!(is_unread(&story));
    story.remove(path).land();
    assert!(!is_unread(&story));
}

#[test]
fn what_is_no_manifest_is_told_and_harms_nobody() {
    let mut story = begin();
    story.say("devices/edge-1.yaml", "{labels: {ring: canary}}").land();
    story.put("devices/edge-1.yaml.yaml", "x").put("devices/deep/edge-1.yaml", "x").put("fleets/notes.txt", "x").land();
    let invalid: Vec<_> = story.declared.invalid().map(|(path, problems)| (path, problems[0].code)).collect();
    assert_eq!(invalid.len(), 3, "{invalid:?}");
    assert!(invalid.contains(&("fleets/notes.txt", codes::UNEXPECTED_FILE)), "{invalid:?}");
    for path in ["devices/edge-1.yaml.yaml", "devices/deep/edge-1.yaml", "fleets/notes.txt"] {
        story.remove(path);
    }
    story.land();
    let facts = story.declared.inventory().subject_facts(&Subject::Device(name("edge-1")));
    assert_eq!(facts.labels, labels(&[("site", "kiel"), ("ring", "canary")]), "its own manifest is still there");
}

#[test]
fn a_landing_that_cannot_be_read_changes_nothing() {
    let mut story = begin();
    story.put("files/motd", "second").say("devices/edge-1.yaml", "{labels: {ring: canary}}");
    story.say(GATEWAYS, &SPEC.replace("template:", "vars: {a: 2}, template:"));
    story.say("rollouts/gateways.yaml", &one_wave("all"));
    let landing = story.verify();
    let lost = landing.changes().last().and_then(|change| change.after).expect("a change").id;
    let before = format!("{:?}", story.declared);
    let mut objects: MemoryObjects = story.repository.objects.clone();
    objects.remove(&lost);
    assert_eq!(story.declared.land(&objects, &landing), Err(ObjectError::Missing(lost)));
    assert_eq!(format!("{:?}", story.declared), before);
    story.declared.land(&story.repository.objects, &landing).expect("it is back");
    assert_eq!((story.template_commit("gateways"), story.declared.head().number), (2, 2));
}

#[test]
fn a_long_landing_is_taken_in_parts_and_all_or_nothing() {
    let mut story = begin();
    let devices = 2 * AT_A_TIME + 10;
    for n in 0..devices {
        story.say(&format!("devices/edge-{n}.yaml"), "{labels: {ring: canary}}");
    }
    story.say(GATEWAYS, &SPEC.replace("template:", "vars: {a: 2}, template:"));
    let landing = story.verify();
    let before = format!("{:?}", story.declared);
    for path in ["devices/edge-0.yaml", "devices/edge-99.yaml", GATEWAYS] {
        let lost = landing.changes().iter().find(|change| change.path == path).and_then(|change| change.after);
        let lost = lost.expect("it changed").id;
        let mut objects: MemoryObjects = story.repository.objects.clone();
        objects.remove(&lost);
        assert_eq!(story.declared.land(&objects, &landing), Err(ObjectError::Missing(lost)), "{path}");
        assert_eq!(format!("{:?}", story.declared), before, "{path}");
    }
    story.declared.land(&story.repository.objects, &landing).expect("it is back");
    assert_eq!(story.declared.inventory().devices().count(), devices);
    assert_eq!(story.declared.fleets()[&name("gateways")].target.landing.number, 2);
}
