//! What people decide with a change, pins and branches of several landings.

use super::*;

/// A repository in which version 2 of the greeting rolls out.
fn rolling() -> (Story, CommitId, CommitId) {
    let mut story = begin();
    let first = story.head();
    story.say(EDGE, &greets("Hi {{ device.name }}"));
    story.land();
    let second = story.head();
    (story, first, second)
}

#[test]
fn what_people_decide_is_told_when_it_comes_and_when_it_goes() {
    let (mut story, first, second) = rolling();
    let decisions = [
        ("holds/fair.yaml", "{fleets: [edge, other], reason: fair}".to_owned()),
        ("holds/all.yaml", "{all: true, reason: fair}".to_owned()),
        ("approvals/go.yaml", format!("{{fleet: edge, commit: {second}, open: [rest], reason: fine}}")),
        ("approvals/on.yaml", format!("{{fleet: edge, commit: {second}, resume: {{failures: 2}}, reason: fine}}")),
        (
            "approvals/retry.yaml",
            format!("{{fleet: edge, commit: {second}, retry: {{devices: [edge-1]}}, reason: fine}}"),
        ),
        ("approvals/late.yaml", format!("{{fleet: edge, commit: {first}, open: [rest], reason: fine}}")),
        ("expedites/fix.yaml", format!("{{fleet: edge, commit: {second}, skip: [waves, soak], reason: hole}}")),
        ("resumes/reset.yaml", format!("{{over: [{second}], devices: [edge-1], reason: meant}}")),
    ];
    let come = told(&story, |story| decisions.iter().fold(story, |story, (path, spec)| story.say(path, spec)));
    insta::assert_snapshot!("decided", hide(&come, &[first, second]));
    for (path, spec) in &decisions {
        story.say(path, spec);
    }
    story.land();
    let go = told(&story, |story| decisions.iter().fold(story, |story, (path, _)| story.remove(path)));
    insta::assert_snapshot!("no_longer_decided", hide(&go, &[first, second]));
    let one = told(&story, |story| story.remove("holds/all.yaml"));
    assert_eq!(one, "- holds/all.yaml stops all offers\n", "another Hold stops both");
    let reworded = told(&story, |story| story.say("holds/all.yaml", "{all: true, reason: another}"));
    assert_eq!(reworded, "", "who holds what is as it was");
    insta::assert_snapshot!("unreadable_hold", told(&story, |story| story.say("holds/new.yaml", "{fleet: [edge]}")));
}

#[test]
fn what_an_approval_of_an_earlier_target_decides_depends_on_what_rolls_out() {
    let (mut story, _, second) = rolling();
    let more = enrollment(&[tokens(), vec![token("t4", ", device: edge-4")]].concat());
    story.say("enrollments/factory.yaml", &more);
    story.land();
    let approves = |commit: CommitId| format!("{{fleet: edge, commit: {commit}, open: [rest], reason: fine}}");
    let went_on = told(&story, |story| story.say("approvals/go.yaml", &approves(second)));
    let counts = "opens wave rest of edge at v2 (SECOND), which counts if the rollout that began there goes on to what edge \
                  has now\n";
    assert_eq!(hide(&went_on, &[story.head(), second]), format!("+ approvals/go.yaml {counts}"));
    story.say("approvals/go.yaml", &approves(story.head()));
    let now = told(&story, |story| story.put("README.md", "x"));
    assert!(now.contains("opens wave rest of edge at v3 (") && !now.contains("which"), "{now}");
    let nowhere = "{fleet: edge, commit: 0123456789012345678901234567890123456789, open: [rest], reason: fine}";
    let nowhere = told(&story, |story| story.say("approvals/go.yaml", nowhere));
    assert!(nowhere.ends_with("at 0123456, which is not in the accepted history\n"), "{nowhere}");
}

/// The ids of these commits are others in each repository.
fn hide(text: &str, commits: &[CommitId]) -> String {
    let names = ["FIRST", "SECOND"];
    commits
        .iter()
        .zip(names)
        .fold(text.to_owned(), |text, (commit, name)| text.replace(&commit.short().to_string(), name))
}

#[test]
fn a_device_that_is_pinned_gets_what_its_pin_names_and_takes_no_part_in_the_rollout() {
    let (mut story, first, second) = rolling();
    let pin = |commit: CommitId| format!("{{pin: {{commit: {commit}}}}}");
    let back = told(&story, |story| story.say("devices/edge-1.yaml", &pin(first)));
    insta::assert_snapshot!("pinned", hide(&back, &[first, second]));
    story.say("devices/edge-1.yaml", &pin(first));
    story.land();
    let past = told(&story, |story| story.say(EDGE, &greets("Bye {{ device.name }}")));
    insta::assert_snapshot!("past_a_pin", hide(&past, &[first, second]));
    let unpinned = told(&story, |story| story.remove("devices/edge-1.yaml"));
    insta::assert_snapshot!("unpinned", hide(&unpinned, &[first, second]));
    let nowhere = "{pin: {commit: 0123456789012345678901234567890123456789}}";
    insta::assert_snapshot!("pinned_to_nothing", told(&story, |story| story.say("devices/edge-2.yaml", nowhere)));
}

#[test]
fn devices_that_are_let_in_again_are_told() {
    let mut story = begin();
    story.say("devices/edge-1.yaml", "{revoked: true}");
    story.land();
    insta::assert_snapshot!("readmitted", told(&story, |story| story.say("devices/edge-1.yaml", "{revoked: false}")));
}

#[test]
fn each_landing_of_a_branch_is_judged_by_the_rollout_before_it() {
    let story = begin();
    let mut branch = story.clone();
    branch.say("rollouts/edge.yaml", "{waves: [{name: few, percent: 40}, {name: all, percent: 100}]}");
    let rollout = branch.repository.commit(&[story.head()], None);
    branch.say(EDGE, &greets("Hi"));
    let apart = branch.repository.commit(&[rollout], None);
    let told = told_at(&story, None, &branch.repository, apart);
    assert!(told.contains("BW-0806 edge: it is judged by a Rollout") && !told.contains("BW-0807"), "{told}");
    branch.say("rollouts/edge.yaml", WAVES);
    let restored = branch.repository.commit(&[apart], None);
    let told = told_at(&story, None, &branch.repository, restored);
    assert!(told.contains("BW-0806 edge: it is judged by a Rollout"), "{told}");
    branch.say("rollouts/edge.yaml", "{waves: [{name: few, percent: 40}, {name: all, percent: 100}]}");
    let together = branch.repository.commit(&[story.head()], None);
    let waves = |tip| {
        let told = told_at(&story, None, &branch.repository, tip);
        told.lines().find_map(|line| line.split_once("in waves ")).map(|(_, waves)| waves.to_owned())
    };
    assert_eq!(waves(apart).as_deref(), Some("few 2, all 1"), "pushed as two landings, the first judges the second");
    assert_eq!(waves(together).as_deref(), Some("canary 1, rest 2"), "as one, what was there before does");
}

#[test]
fn a_device_that_another_entry_names_must_enroll_anew() {
    let story = begin();
    let mut tokens = tokens();
    tokens[1] = token("t9", ", device: edge-2, labels: {site: oslo}");
    let told = told(&story, |story| story.say("enrollments/factory.yaml", &enrollment(&tokens)));
    assert!(told.contains("BW-0802 1 device would be named by another entry, must enroll anew"), "{told}");
    assert!(told.contains(": edge-2"), "{told}");
}

#[test]
fn a_wave_that_loses_its_last_device_is_told_before_it_waits() {
    let story = begin();
    let lost = told(&story, |story| story.say("devices/edge-1.yaml", "{labels: {ring: other}}"));
    assert!(lost.contains("BW-0404 edge: no device has the labels of wave canary any more"), "{lost}");
    let kept = told(&story, |story| {
        story
            .say("devices/edge-1.yaml", "{labels: {ring: other}}")
            .say("devices/edge-2.yaml", "{labels: {ring: canary}}")
    });
    assert!(!kept.contains("BW-0404"), "{kept}");
}

#[test]
fn what_a_template_in_a_file_makes_of_a_devices_own_values_is_one_change() {
    let mut story = begin();
    let fleet = "{selector: {matchLabels: {fleet: edge}}, template: {files: [{path: /opt/bellwether/motd, source: \
                 files/motd, template: true}], probes: none}}";
    story.put("files/motd", "Hello {{ device.name }} at {{ labels.site }}").say(EDGE, fleet);
    story.land();
    let told = told(&story, |story| story.put("files/motd", "Hi {{ device.name }} at {{ labels.site }}"));
    assert!(told.contains("  3 as edge-1, by device, site: "), "{told}");
}
