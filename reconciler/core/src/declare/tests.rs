//! What a history declares, told as short histories.

mod broken;
mod decisions;
mod judged;
mod own;
mod templates;

use std::fmt::Write as _;

use bellwether_schemas::codes;

use super::*;
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

/// The fleets that claim a device, by what git knows of it.
fn fleets_of(story: &Story, device: &str) -> Vec<String> {
    let device: DeviceName = name(device);
    let facts = story.declared.inventory().subject_facts(&Subject::Device(device.clone()));
    story.declared.fleets_of(&device, &facts).into_iter().map(ToString::to_string).collect()
}

#[test]
fn fleets_select_by_the_labels_at_the_head() {
    let mut story = begin();
    let edge = |story: &Story| fleets_of(story, "edge-1");
    assert_eq!(edge(&story), ["gateways"]);
    story.say("fleets/more.yaml", SPEC).land();
    assert_eq!(edge(&story), ["gateways", "more"], "an overlap is told, not resolved");
    story.say("devices/edge-1.yaml", "{labels: {site: bonn}}").land();
    assert_eq!(edge(&story), Vec::<String>::new());
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
    for seed in 0..12 {
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
            if next(3) == 0 {
                let (site, n) = (sites[usize::try_from(next(3)).expect("small")], next(3));
                let spec = format!(
                    "{{selector: {{matchLabels: {{site: {site}}}}}, vars: {{n: {n}}}, template: {{probes: none}}}}"
                );
                story.say("fleets/others.yaml", &spec);
            }
            story.land();
            let declared = &story.declared;
            for (name, line) in &declared.fleets {
                let subjects = declared.inventory.subjects().into_iter();
                let anew = subjects.map(|subject| (declared.inventory.subject_facts(&subject), subject));
                let anew = anew.filter(|(facts, _)| line.target.fleet.selector.matches(&facts.labels));
                let anew = anew.map(|(facts, subject)| (subject, facts_digest(&facts))).collect();
                assert_eq!(line.members, anew, "{name}, seed {seed}");
            }
        }
    }
}
