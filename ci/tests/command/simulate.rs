//! `simulate`: what a change would do, told from the history alone.

use crate::{Ran, Sandbox};

/// A repository with a canary and nine others, whose newest landing changes the fleet.
fn fleet() -> Sandbox {
    let sandbox = Sandbox::with_repository();
    for i in 0..10 {
        let ring = if i == 0 { "canary" } else { "rest" };
        let text = format!(
            "apiVersion: bellwether/v1\nkind: Device\nmetadata: {{name: edge-{i}}}\nspec: {{labels: {{fleet: edge, ring: {ring}}}}}\n"
        );
        sandbox.write(&format!("devices/edge-{i}.yaml"), &text);
    }
    sandbox.git(&["add", "."]);
    sandbox.git(&["commit", "-qm", "Name ten devices"]);
    sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good morning");
    sandbox.git(&["commit", "-qam", "Say good morning"]);
    sandbox
}

fn simulate(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    sandbox.bellwether(&[&["simulate", "--fleet", "edge", "--devices", "20"], arguments].concat())
}

fn json(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err))
}

/// The text without ids of commits, which are others each time.
fn without_ids(text: &str) -> String {
    let is_id = |word: &str| word.len() == 7 && word.bytes().all(|c| c.is_ascii_hexdigit());
    let parts = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
    parts
        .map(|part| {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            if is_id(word) { part.replace(word, "1234567") } else { part.to_owned() }
        })
        .collect()
}

#[test]
fn a_good_and_a_bad_release_of_a_small_fleet() {
    let sandbox = fleet();
    let good = simulate(&sandbox, &[]);
    assert_eq!(good.code, Some(0), "{}", good.err);
    assert_eq!(good.out, simulate(&sandbox, &[]).out, "the same again");
    let bad = simulate(&sandbox, &["--failure-rate", "100%", "--mode", "in-soak", "--seed", "3"]);
    assert_eq!(bad.code, Some(0), "{}", bad.err);
    insta::assert_snapshot!(without_ids(&format!("{}\n\n{}", good.out, bad.out)));
}

#[test]
fn programs_get_json_and_pages_a_picture() {
    let sandbox = fleet();
    let said = json(&simulate(&sandbox, &["--output", "json"]));
    assert_eq!((said["outcome"]["state"].as_str(), said["scene"]["devices"].as_u64()), (Some("Complete"), Some(20)));
    let waves: Vec<_> =
        said["outcome"]["waves"].as_array().expect("waves").iter().map(|wave| wave["members"].as_u64()).collect();
    assert_eq!(waves, [Some(2), Some(18)], "a tenth are canaries");
    let swept = json(&simulate(&sandbox, &["--sweep", "4", "--output", "json"]));
    let rates = swept["sweep"].as_array().expect("rates");
    assert_eq!((rates.len(), &rates[9]["halted"], &rates[9]["beyondFirstWave"]), (10, &4.into(), &0.into()));
    let text = simulate(&sandbox, &["--sweep", "4"]);
    assert!(text.out.contains("Of 4 runs in which it fails on 100% of the devices, 4 halt, 0 reach"), "{}", text.out);

    let drawn = simulate(&sandbox, &["--output", "svg"]);
    assert_eq!(drawn.code, Some(0), "{}", drawn.err);
    let picture = drawn.out;
    let mut open = Vec::new();
    for tag in picture.split('<').skip(1).map(|part| part.split_once('>').expect("a tag ends").0) {
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{picture}"),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split_whitespace().next().expect("a name")),
        }
    }
    assert!(open.is_empty() && picture.starts_with("<svg ") && picture.contains(">canary</text>"), "{picture}");
    assert!(picture.contains(">The rollout is complete after "), "{picture}");
}

#[test]
fn devices_come_from_a_list() {
    let sandbox = fleet();
    sandbox.write("list.csv", "name,ring,fleet\nedge-0,,\nedge-1,,\nother-1,canary,edge\nelsewhere,canary,lab\n");
    let ran = sandbox.bellwether(&["simulate", "--fleet", "edge", "--inventory", "list.csv", "--output", "json"]);
    let waves = &json(&ran)["outcome"]["waves"];
    let members = [0, 1].map(|i| waves[i]["members"].as_u64());
    assert_eq!(members, [Some(2), Some(1)], "git knows two, the list says what the third is");
}

#[test]
fn devices_are_those_that_git_lists() {
    let sandbox = fleet();
    let all = ["simulate", "--fleet", "edge", "--from", "HEAD~1", "--listed"];
    let ran = sandbox.bellwether(&[&all[..], &["--output", "json"]].concat());
    let (waves, diff) = (&json(&ran)["outcome"]["waves"], &["diff", "--base", "HEAD~1", "--output", "json"]);
    let members = |at: usize| waves[at]["members"].as_u64();
    assert_eq!([0, 1].map(members), [Some(1), Some(9)]);
    let said = json(&sandbox.bellwether(diff));
    let forecast = &said["fleets"][0]["rollout"]["waves"];
    assert_eq!([0, 1].map(|at| forecast[at]["devices"].as_u64()), [0, 1].map(members), "those of diff");

    let fold = |more: &[&str]| sandbox.bellwether(&[&all[..], &["--output", "markdown"], more].concat()).out;
    let good = fold(&[]);
    let says = "<details><summary><code>edge</code>: is complete after ";
    assert!(
        good.starts_with(says) && good.contains(", in every wave: 10 of 10 devices try it, and it fails on 0<"),
        "{good}"
    );
    assert!(
        good.contains("\n```text\nFleet edge: ") && good.contains("  devices   10 devices that git lists\n"),
        "{good}"
    );
    let bad = fold(&["--failure-rate", "100%", "--mode", "in-soak"]);
    let says =
        "<code>edge</code>: stops in wave <code>canary</code>: 1 of 10 devices try it, and it fails on 1</summary>";
    assert!(bad.contains(says) && bad.ends_with("</details>\n"), "{bad}");
}

#[test]
fn a_hold_waits_for_people_and_is_no_finding() {
    let sandbox = fleet();
    assert_eq!(sandbox.bellwether(&["hold", "edge", "--reason", "the holidays", "--commit"]).code, Some(0));
    let held = simulate(&sandbox, &["--next"]);
    assert_eq!(held.code, Some(0), "{}", held.err);
    assert!(held.out.contains("It does not go on. Held by holds/hold-edge.yaml: the holidays"), "{}", held.out);
    let comment = simulate(&sandbox, &["--next", "--output", "markdown"]).out;
    assert!(comment.contains("does not go on: a Hold stops it"), "{comment}");
}

#[test]
fn what_cannot_be_simulated_is_told_with_what_to_do() {
    let sandbox = fleet();
    let refused = |arguments: &[&str], exit: i32, expected: &[&str]| {
        let ran = sandbox.bellwether(&[&["simulate"], arguments].concat());
        assert_eq!(ran.code, Some(exit), "{arguments:?}: {}{}", ran.out, ran.err);
        for text in expected {
            assert!(ran.err.contains(text), "{arguments:?}: expected {text:?} in {}", ran.err);
        }
    };
    refused(&["--fleet", "nowhere"], 1, &["BW-0733", "no fleet nowhere"]);
    refused(&["--fleet", "edge", "--from", "HEAD", "--to", "HEAD~1"], 2, &["BW-0720", "--from"]);
    refused(&["--fleet", "edge", "--from", "HEAD"], 2, &["BW-0720", "not before"]);
    refused(&["--fleet", "edge", "--from", "HEAD~2", "--to", "HEAD~2"], 2, &["BW-0720", "not before"]);
    refused(&["--fleet", "edge", "--site-outage", "site=kiel"], 2, &["SELECTOR@BEGINS+LASTS"]);
    refused(&["--fleet", "edge", "--inventory", "nowhere.csv"], 2, &["BW-0722"]);
    refused(&["--fleet", "edge", "--sweep", "--output", "svg"], 2, &["BW-0720", "cannot be drawn"]);
    refused(&["--fleet", "edge", "--sweep", "--output", "markdown"], 2, &["BW-0720", "cannot go into a comment"]);
    refused(&["--fleet", "edge", "--listed", "--devices", "5"], 2, &["cannot be used with"]);
    sandbox.write("list.csv", "name\nelsewhere\n");
    refused(&["--fleet", "edge", "--inventory", "list.csv"], 1, &["BW-0760", "selects no device"]);

    sandbox.replace("rollouts/edge.yaml", "  deviceTimeout: 30m", "  deviceTimeout: 31m");
    sandbox.git(&["commit", "-qam", "Wait longer"]);
    refused(&["--fleet", "edge"], 1, &["BW-0760", "nothing rolls out", "bellwether simulate --fleet edge --next"]);
    let next = simulate(&sandbox, &["--next", "--output", "json"]);
    assert_eq!(
        json(&next)["scene"]["rollout"]["deviceTimeout"],
        "31m",
        "the Rollout at the head judges the next change"
    );
    sandbox.replace("rollouts/edge.yaml", "  deviceTimeout: 31m", "  deviceTimeout: 90s");
    sandbox.git(&["commit", "-qam", "Wait for less"]);
    let next = json(&simulate(&sandbox, &["--next", "--output", "json"]));
    assert_eq!(next["outcome"]["state"], "Complete", "applying is not taken to last longer than it may");
    assert_eq!(next["scene"]["assumptions"]["applying"], "takes 30s, give or take half");
    refused(&["--fleet", "edge", "--next", "--apply-time", "5m"], 1, &["BW-0762"]);
    sandbox.replace("rollouts/edge.yaml", "  deviceTimeout: 90s", "  deviceTimeout: 31m");
    sandbox.replace("rollouts/edge.yaml", "timezone: UTC", "timezone: \"label:tz\"");
    sandbox.git(&["commit", "-qam", "Go by the label tz"]);
    refused(&["--fleet", "edge", "--next"], 1, &["BW-0761", "Nothing more happens after that"]);
    sandbox.replace("rollouts/edge.yaml", "timezone: \"label:tz\"", "timezone: UTC");
    sandbox.replace("rollouts/edge.yaml", "ring: canary", "ring: nobody");
    sandbox.git(&["commit", "-qam", "Select nobody"]);
    refused(
        &["--fleet", "edge", "--next"],
        1,
        &["BW-0761", "wave canary selects nobody (BW-0404)", "change the wave in rollouts/edge.yaml"],
    );
    let empty = sandbox.bellwether(&["simulate", "--fleet", "edge", "--next", "--devices", "20"]);
    assert!(empty.out.contains("It does not end. Wave canary selects nobody: none of the 20 devices"), "{}", empty.out);
    let off = ["--fleet", "edge", "--next", "--offline", "100%"];
    sandbox.replace("rollouts/edge.yaml", "ring: nobody", "ring: canary");
    sandbox.git(&["commit", "-qam", "Select the canary"]);
    refused(&off, 1, &["BW-0761", "--horizon 365d"]);

    sandbox.replace("fleets/edge.yaml", "{{ vars.greeting }}", "{{ labels.bay }}");
    sandbox.git(&["commit", "-qam", "Say the bay"]);
    refused(&["--fleet", "edge"], 1, &["BW-0762", "halts in wave canary"]);
    let assumed = sandbox.bellwether(&["simulate", "--fleet", "edge", "--failure-rate", "1%"]);
    assert_eq!(assumed.code, Some(0), "who assumes failures sees what they do: {}", assumed.err);
}
