//! `diff`: what a branch does to devices, from git to text.

use std::path::Path;

use serde_json::Value;

use crate::Ran;
use crate::reports::check_jsonschema;
use crate::team::{Team, steady};

/// A team whose factory has a canary and three more devices.
fn team() -> Team {
    let team = Team::new();
    for arguments in [
        &["--device", "edge-1", "--label", "ring=canary"][..],
        &["--device", "edge-2"],
        &["--device", "edge-3", "--label", "site=oslo"],
        &["--device", "edge-4"],
    ] {
        let ran = team.ada(&[&["token", "mint", "factory", "--commit"], arguments].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
    team.sandbox.git(&["switch", "-qc", "change"]);
    team
}

fn commit(team: &Team, message: &str) {
    team.sandbox.git(&["add", "--all"]);
    team.sandbox.git(&["commit", "-qm", message]);
}

fn diff(team: &Team, arguments: &[&str]) -> Ran {
    team.ada(&[&["diff", "--base", "main"], arguments].concat())
}

#[test]
fn a_change_is_told_with_its_devices_waves_and_risks() {
    let team = team();
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good day");
    team.sandbox.write("files/about.txt", "About.\nMore <b>about</b> `it` @all.\n");
    team.sandbox.replace("rollouts/edge.yaml", "soak: 15m", "soak: 5m");
    commit(&team, "Say good day");
    for form in ["text", "markdown"] {
        let ran = diff(&team, &["--output", form]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        insta::assert_snapshot!(form, steady(&ran.out));
    }
    let ran = diff(&team, &["--output", "json"]);
    let said: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((&said["changed"], &said["devices"]), (&4.into(), &4.into()));
    assert_eq!(said["head"]["landing"], said["base"]["landing"].as_u64().expect("a number") + 1);
    let codes: Vec<_> = said["risks"].as_array().expect("risks").iter().map(|risk| risk["code"].as_str()).collect();
    assert_eq!(codes, ["BW-0810", "BW-0806", "BW-0807"].map(Some), "two must sign for the Rollout");
    let waves = said["fleets"][0]["rollout"]["waves"].as_array().expect("waves");
    assert_eq!(waves.iter().map(|wave| wave["devices"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(3)]);
    assert_eq!(waves[0]["soak"], 15 * 60, "the Rollout of before judges it");
}

#[test]
fn the_same_commits_give_the_same_bytes() {
    let team = team();
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good day");
    commit(&team, "Say good day");
    let out = team.sandbox.dir.path().join("whole.md");
    let out = out.to_str().expect("UTF-8");
    for form in ["text", "json", "markdown"] {
        let first = diff(&team, &["--output", form, "--out", out]);
        let whole = std::fs::read_to_string(out).expect("it was written");
        let again = diff(&team, &["--output", form, "--out", out]);
        assert_eq!(first.out, again.out, "{form}");
        assert_eq!(whole, std::fs::read_to_string(out).expect("it was written"), "{form}");
    }
    let also = ["json=../d.json", "markdown=../d.md"].map(|also| format!("--also={also}"));
    let ran = diff(&team, &[&also[0], &also[1]]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for (file, form) in [("d.json", "json"), ("d.md", "markdown")] {
        let written = std::fs::read_to_string(team.sandbox.dir.path().join(file)).expect("it was written");
        assert_eq!(written, diff(&team, &["--output", form]).out);
    }
}

#[test]
fn a_landing_and_its_test_merge_are_compared_alike() {
    let team = team();
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good day");
    commit(&team, "Say good day");
    let branch = diff(&team, &[]);
    team.sandbox.git(&["switch", "-qc", "merged", "main"]);
    team.button_merges("change");
    let merged = diff(&team, &[]);
    // Only the moment from which it is reckoned may differ, and no window depends on it here: the one that there is never closes.
    assert_eq!(steady(&branch.out), steady(&merged.out));
    team.sandbox.git(&["switch", "-q", "main"]);
    team.sandbox.git(&["merge", "-q", "--ff-only", "change"]);
    let landed = team.ada(&["diff", "--base", "HEAD~1", "--head", "HEAD"]);
    assert!(landed.code == Some(0) && landed.out.contains("4 of 4 devices"), "{}{}", landed.out, landed.err);
}

#[test]
fn of_what_the_base_has_already_nothing_changes() {
    let team = team();
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good day");
    commit(&team, "Say good day");
    let tip = team.sandbox.git(&["rev-parse", "HEAD"]);
    team.sandbox.git(&["switch", "-q", "main"]);
    // Neither a line that went on, nor a merge, nor one commit on both sides is anything else to devices.
    let has_it = |base: &str, head: &str| {
        let ran = team.ada(&["diff", "--base", base, "--head", head]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{base} {head}");
        let expected = "nothing changes, for the base has ";
        assert!(ran.out.contains(expected) && ran.out.lines().count() == 1, "{base} {head}: {}", ran.out);
    };
    has_it("main", "main");
    has_it("main", "main~1");
    has_it("change", "main");
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Moin");
    let ran = diff(&team, &[]);
    let expected = "Note: commits are compared, and this is in none yet: fleets/edge.yaml\n";
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), expected), "who forgot to commit is told");
    team.sandbox.git(&["restore", "."]);
    team.button_merges("change");
    has_it("main", "change");
    let ran = team.ada(&["diff", "--base", "main", "--head", "change", "--output", "markdown"]);
    let short = &tip[..7];
    let expected = format!("\n**nothing changes, for the base has `{short}` already**, v");
    assert!(ran.out.contains(&expected), "{}", ran.out);
    let ran = team.ada(&["diff", "--base", "main", "--head", "change", "--output", "json"]);
    let said: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!((&said["landed"], &said["changed"]), (&tip.trim().into(), &0.into()));
    assert_eq!((&said["base"], &said["fleets"]), (&said["head"], &Value::Array(vec![])));
}

#[test]
fn an_artifact_is_new_once() {
    let team = team();
    let artifact = "    artifacts:\n      - name: app\n        source: {path: artifacts/app}\n        sha256: \
                    ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n        length: 3\n        dest: \
                    /opt/bellwether/app\n";
    team.sandbox.write("artifacts/app", "abc");
    team.sandbox.replace("fleets/edge.yaml", "  template:\n", &format!("  template:\n{artifact}"));
    commit(&team, "Add an artifact");
    let told = diff(&team, &[]).out;
    assert!(told.contains("new artifact app, 3 bytes, SHA-256 ba7816bf"), "{told}");
    let ran = team.ada(&["token", "mint", "factory", "--device", "edge-5", "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let told = team.ada(&["diff", "--base", "HEAD~1"]).out;
    assert!(told.contains("+artifact app in") && !told.contains("new artifact"), "one more device gets it: {told}");
}

#[test]
fn a_forecast_says_what_it_takes_for_granted() {
    let team = Team::of_ada();
    let ran = team.ada(&["token", "mint", "factory", "--device", "edge-1", "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let other =
        team.sandbox.read("fleets/edge.yaml").replace("name: edge", "name: first").replace("fleet: edge", "fleet: x");
    team.sandbox.write("fleets/first.yaml", &other);
    team.sandbox.write(
        "rollouts/edge.yaml",
        "apiVersion: bellwether/v1\nkind: Rollout\nmetadata: {name: edge}\nspec:\n  after: [first]\n  waves: [{name: all, \
         percent: 100, gate: manual}]\n",
    );
    commit(&team, "Wait for the first fleet, and for somebody");
    team.sandbox.git(&["switch", "-qc", "change"]);
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good day");
    commit(&team, "Say good day");
    let expected =
        "Reckoned as if first had completed the same landing when it begins, and somebody opened all at once.";
    for form in ["text", "json", "markdown"] {
        let ran = diff(&team, &["--output", form]);
        assert!(ran.out.contains(expected), "{form}: {}{}", ran.out, ran.err);
    }
    let ran = team.ada(&["hold", "edge", "--reason", "fair", "--commit"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let held = diff(&team, &[]).out;
    assert!(held.contains("\nIt does not begin. Held by holds/hold-edge.yaml: fair\n"), "{held}");
}

#[test]
fn what_is_printed_as_json_is_what_its_schema_says() {
    let team = team();
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good day");
    team.sandbox.replace("rollouts/edge.yaml", "soak: 15m", "soak: 5m");
    commit(&team, "Say good day");
    let file = team.sandbox.dir.path().join("diff.json");
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/json/comparison.json");
    for (base, head) in [("main", "change"), ("main", "main"), ("main~4", "main")] {
        let ran = team.ada(&["diff", "--base", base, "--head", head, "--output", "json"]);
        assert!(
            ran.code == Some(0) && ran.out.contains("\"$schema\": \"urn:bellwether:v1:comparison\""),
            "{}",
            ran.err
        );
        std::fs::write(&file, ran.out).expect("a file");
        check_jsonschema(&schema, &file);
    }
}

#[test]
fn an_inventory_is_a_file_of_the_api_or_a_table() {
    let team = team();
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good day");
    commit(&team, "Say good day");
    team.sandbox.write("../devices.csv", "name,fleet,site\nelsewhere-1,edge,rome\nelsewhere-2,other,rome\n");
    let ran = diff(&team, &["--inventory", "../devices.csv"]);
    assert!(ran.out.contains("1 of 2 devices of the inventory gets something else"), "{}{}", ran.out, ran.err);
    let device = |name: &str, entry: &str, status: &str| {
        format!(
            "{{\"name\": \"{name}\", \"enrollment\": \"factory\", \"entry\": \"{entry}\", \"labels\": {{}}, \"status\": \
             {{\"summary\": {{\"status\": \"{status}\"}}}}}}"
        )
    };
    let devices = [device("edge-1", "edge-1", "Online"), device("edge-2", "edge-2", "Stale")].join(", ");
    team.sandbox.write("../devices.json", &format!("[{devices}]"));
    let ran = diff(&team, &["--inventory", "../devices.json"]);
    assert!(ran.out.contains("2 of 2 devices") && ran.out.contains("risk[BW-0808]"), "{}{}", ran.out, ran.err);
    for (content, file) in [("{}", "x.json"), ("[{}]", "y.json"), ("site\nkiel\n", "z.csv")] {
        team.sandbox.write(&format!("../{file}"), content);
        let ran = diff(&team, &["--inventory", &format!("../{file}")]);
        assert!(ran.code == Some(2) && ran.err.contains("--inventory"), "{file}: {}", ran.err);
    }
    let ran = diff(&team, &["--inventory", "../nowhere.json"]);
    assert!(ran.code == Some(2) && ran.err.contains("BW-0722"), "{}", ran.err);
    let ran = diff(&team, &["--inventory", ".."]);
    assert!(ran.code == Some(2) && ran.err.contains("--inventory: .. is a folder"), "{}", ran.err);
    assert!(ran.err.contains("name,site,ring"), "{}", ran.err);
    // Nobody listens at port 1.
    let ran = diff(&team, &["--inventory", "http://127.0.0.1:1"]);
    assert!(
        ran.code == Some(2) && ran.err.contains("Check --inventory") && !ran.err.contains("--server"),
        "{}",
        ran.err
    );
    let ran = diff(&team, &["--inventory", "http://"]);
    assert!(ran.code == Some(2) && ran.err.contains("--inventory: expected the address"), "{}", ran.err);
    assert!(!ran.err.contains("--server"), "{}", ran.err);
}

#[test]
fn what_cannot_be_merged_cannot_be_compared() {
    let team = team();
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good day");
    commit(&team, "Say good day");
    team.sandbox.git(&["switch", "-q", "main"]);
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Moin");
    commit(&team, "Say moin");
    team.sandbox.git(&["switch", "-q", "change"]);
    let ran = diff(&team, &[]);
    assert!(ran.code == Some(1) && ran.err.contains("BW-0275") && ran.err.contains("git merge -S"), "{}", ran.err);
    team.sandbox.git(&["switch", "-q", "--orphan", "lone"]);
    team.sandbox.write("fleets/lone.yaml", "x");
    commit(&team, "Begin elsewhere");
    let ran = diff(&team, &[]);
    assert!(ran.code == Some(1) && ran.err.contains("have no commit in common"), "{}", ran.err);
    let ran = team.ada(&["diff", "--base", "nowhere"]);
    assert!(ran.code == Some(2) && ran.err.contains("BW-0733"), "{}", ran.err);
    let ran = team.ada(&["diff"]);
    assert!(ran.code == Some(2) && ran.err.contains("--base <REV>"), "{}", ran.err);
}

#[test]
fn a_comment_has_room_for_what_matters_and_the_rest_is_in_a_file() {
    let team = team();
    let content: String = (0..300).map(|n| format!("          line {n} ``` </details> {}\n", "x".repeat(40))).collect();
    for n in 0..30 {
        let fleet = team.sandbox.read("fleets/edge.yaml").replace("name: edge", &format!("name: f{n:02}"));
        let fleet = fleet.replace("fleet: edge", &format!("fleet: f{n:02}"));
        let fleet = fleet.replace("          {{ vars.greeting }} from {{ device.name }}.\n", &content);
        team.sandbox.write(&format!("fleets/f{n:02}.yaml"), &fleet);
        let device = format!(
            "apiVersion: bellwether/v1\nkind: Device\nmetadata: {{name: d{n:02}}}\nspec: {{labels: {{fleet: f{n:02}}}}}\n"
        );
        team.sandbox.write(&format!("devices/d{n:02}.yaml"), &device);
    }
    commit(&team, "Add thirty fleets");
    let out = team.sandbox.dir.path().join("whole.md");
    let ran = diff(&team, &["--output", "markdown", "--out", out.to_str().expect("UTF-8")]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let (characters, opened) = (ran.out.chars().count(), ran.out.matches("<details><summary>").count());
    assert!(characters <= 65_536 && ran.out.starts_with("<!-- bellwether-diff -->\n"), "{characters}");
    assert!(opened > 3 && opened < 30 && ran.out.contains("fleets are not shown"), "{opened}");
    let whole = std::fs::read_to_string(out).expect("it was written");
    assert_eq!(whole.matches("<details><summary>").count(), 30);
    // What somebody writes into a file closes neither the block nor the fold.
    assert_eq!(ran.out.matches("\n````diff\n").count(), opened);
}

#[test]
fn what_people_decide_is_told_and_a_pin_says_what_a_device_gets() {
    let team = team();
    let first = team.sandbox.git(&["rev-parse", "HEAD"]);
    let first = first.trim();
    team.sandbox.replace("fleets/edge.yaml", "greeting: Hello", "greeting: Good day");
    commit(&team, "Say good day");
    team.sandbox.git(&["switch", "-q", "main"]);
    team.sandbox.git(&["merge", "-q", "--ff-only", "change"]);
    for arguments in
        [&["hold", "edge", "--reason", "fair"][..], &["device", "pin", "edge-2", first, "--reason", "it hangs"]]
    {
        let ran = team.ada(&[arguments, &["--commit"]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
    let ran = team.ada(&["diff", "--base", "HEAD~2", "--output", "json"]);
    let said: Value = serde_json::from_str(&ran.out).expect("JSON");
    let decisions = said["decisions"].as_array().expect("decisions");
    let says: Vec<_> = decisions.iter().filter_map(|decision| decision["says"].as_str()).collect();
    assert!(says[0].starts_with("keeps edge-2 at v") && says[1] == "stops offers to edge", "{says:?}");
    assert_eq!((&said["changed"], &said["fleets"][0]["variants"][0]["example"]), (&1.into(), &"edge-2".into()));
    // What the reconciler would publish is what the pin names.
    let rendered = team.ada(&["render", "edge-2"]);
    assert!(
        rendered.out.contains("Hello from edge-2") && rendered.err.contains("a pin keeps edge-2 at"),
        "{}",
        rendered.out
    );
    assert!(team.ada(&["render", "edge-1"]).out.contains("Good day from edge-1"));
    team.sandbox.git(&["rm", "-q", "devices/edge-2.yaml"]);
    team.sandbox.git(&["rm", "-qr", "holds"]);
    commit(&team, "Let both go on");
    let ran = team.ada(&["diff", "--base", "HEAD~1"]);
    assert!(ran.out.contains("risk[BW-0811]: edge: no Hold stops it any more"), "{}", ran.out);
    assert!(ran.out.contains("- devices/edge-2.yaml: keeps edge-2 at v"), "{}", ran.out);
    assert!(ran.out.contains("-  Hello from edge-2.\n+  Good day from edge-2."), "{}", ran.out);
}
