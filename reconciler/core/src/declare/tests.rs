//! What a history declares, told as short histories.

use std::fmt::Write as _;

use bellwether_schemas::CommitId;

use super::*;
use crate::objects::MemoryObjects;
use crate::testing::{Story, labels, name};

const GATEWAYS: &str = "fleets/gateways.yaml";
const SPEC: &str = "{selector: {matchLabels: {site: kiel}}, template: {files: [{path: /opt/bellwether/motd, source: files/motd}], \
                    artifacts: [{name: app, source: {path: artifacts/app}, length: 3, \
                    sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, dest: /opt/bellwether/app}], probes: none}}";

/// One wave of that name, for everybody.
fn one_wave(name: &str) -> String {
    format!("{{waves: [{{name: {name}, percent: 100}}]}}")
}

/// An Enrollment of site kiel with tokens `(id, what else the entry says)`.
fn enrollment(site: &str, tokens: &[(&str, &str)]) -> String {
    let mut text = format!("{{labels: {{site: {site}}}, tokens: [");
    for (id, rest) in tokens {
        let sha256 = Sha256Digest::of(id.as_bytes());
        write!(text, "{{id: {id}, sha256: {sha256}, expires: 2030-01-31T12:00:00Z{rest}}}, ").expect("a string grows");
    }
    text + "]}"
}

const TOKENS: [(&str, &str); 2] = [("t1", ", device: edge-1"), ("t2", "")];

/// Two fleets, a device of the first by name, and a token for more of them.
fn begin() -> Story {
    Story::begin(&[
        (GATEWAYS, SPEC),
        ("fleets/others.yaml", "{selector: {matchLabels: {site: oslo}}, template: {probes: none}}"),
        ("enrollments/factory.yaml", &enrollment("kiel", &TOKENS)),
        ("files/motd", "hello\n"),
        ("files/unnamed", "1"),
        ("artifacts/app", "abc"),
        ("README.md", "read me"),
    ])
}

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
    let blob = |text: &str| crate::objects::object_id(ObjectKind::Blob, text.as_bytes());
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

/// Approves the wave `broad` of gateways at `commit`; the file is named after `path`.
fn approve(story: &mut Story, path: &str, fleet: &str, commit: &CommitId) {
    let spec = format!("{{fleet: {fleet}, commit: {commit}, open: [broad], reason: looks well}}");
    story.say(&format!("approvals/{path}.yaml"), &spec).land();
}

fn is_open(story: &Story) -> bool {
    let open = story.declared.approved(&name("gateways"), |commit| story.history.number_of(commit));
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
fn fleets_select_by_the_labels_at_the_head() {
    let mut story = begin();
    let edge = |story: &Story| {
        let facts = story.declared.inventory().subject_facts(&Subject::Device(name("edge-1")));
        story.declared.fleets_of(&facts).into_iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(edge(&story), ["gateways"]);
    story.say("fleets/more.yaml", SPEC).land();
    assert_eq!(edge(&story), ["gateways", "more"], "an overlap is told, not resolved");
    story.say("devices/edge-1.yaml", "{labels: {site: bonn}}").land();
    assert_eq!(edge(&story), Vec::<String>::new());
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
fn folding_landing_by_landing_gives_what_a_restart_gives() {
    let mut story = begin();
    story.put("files/motd", "second").land();
    story.put(GATEWAYS, "broken").land();
    story.say("devices/edge-1.yaml", "{labels: {ring: canary}}").land();
    let introduction = story.history.introduction();
    let objects = &story.repository.objects;
    let (_, landings) =
        crate::verify::VerifiedHistory::restore(objects, introduction, "main", &story.head()).expect("it was accepted");
    let mut again = Declared::introduce(objects, &landings[0]).expect("every object is there");
    for landing in &landings[1..] {
        again.land(objects, landing).expect("every object is there");
    }
    assert_eq!(format!("{again:?}"), format!("{:?}", story.declared));
}

/// Small numbers from a fixed seed.
fn numbers(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    }
}

#[test]
fn members_are_kept_as_if_they_were_looked_for_anew() {
    for seed in 0..6 {
        let mut story = begin();
        let mut next = numbers(seed);
        let generated = "factory-0123456789abcdef";
        for _ in 0..25 {
            let sites = ["kiel", "oslo", "rome"];
            let site = sites[usize::try_from(next(3)).expect("small")];
            match next(5) {
                0 => {
                    let devices = ["", ", device: edge-1", ", device: edge-2", ", labels: {site: oslo}"];
                    let mut entry = || devices[usize::try_from(next(4)).expect("small")];
                    let tokens = [("t1", entry()), ("t2", entry())];
                    story.say("enrollments/factory.yaml", &enrollment(site, &tokens));
                }
                1 => drop(story.say("enrollments/other.yaml", &enrollment(site, &[("t9", ", device: edge-2")]))),
                number => {
                    let device = ["edge-1", "edge-3", generated][usize::try_from(number - 2).expect("small")];
                    let path = format!("devices/{device}.yaml");
                    if story.repository.files.contains_key(&path) && next(3) == 0 {
                        story.remove(&path);
                    } else {
                        let spec = [format!("{{labels: {{site: {site}}}}}"), format!("{{vars: {{n: {}}}}}", next(3))];
                        story.say(&path, &spec[usize::try_from(next(2)).expect("small")]);
                    }
                }
            }
            story.land();
            let declared = &story.declared;
            for (name, line) in &declared.fleets {
                let anew = members(&line.target.fleet, &declared.inventory, &declared.inventory.subjects());
                assert_eq!(line.members, anew, "{name}, seed {seed}");
            }
        }
    }
}
