//! The command beside a running fleet: real reconciler, real agents, and a history that loses commits.

use std::path::{Path, PathBuf};
use std::process::Command;

use bellwether_schemas::CommitId;
use bellwether_schemas::api::{Condition, DeviceView, EventView, RepositoryView, Summary, Updated, WaitingOn};
use bellwether_schemas::manifest::{AnyManifest, Resume};
use bellwether_tests::site::{digest_of, policy};
use bellwether_tests::{Site, SiteBuilder};

use crate::{BELLWETHER, Ran};

const MESSAGE: &str = "/opt/bellwether/message";
const PAUSED: &str = "status.summary.status=ConflictPaused";

/// The command takes the place of the harness's program: it has reconciler and agent in it, for its demo.
fn program(dir: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let file = dir.join("part");
    let script = format!("#!/bin/sh\nword=$1\nshift\nexec '{BELLWETHER}' \"__$word\" \"$@\"\n");
    std::fs::write(&file, script).expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("a program");
    file
}

/// The command in the engineer's working copy, beside this site's server.
fn bellwether(site: &Site, arguments: &[&str]) -> Ran {
    let mut command = Command::new(BELLWETHER);
    command.args(arguments).current_dir(site.engineer.work()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", site.path("engineer"));
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("BELLWETHER_SERVER", &site.addresses().page);
    Ran::from(command.output().expect("it runs"))
}

/// `device resume` with these arguments, committed but not pushed; what it wrote, and what it said.
fn resume(site: &Site, arguments: &[&str]) -> (Resume, String) {
    let key = site.path("engineer/key");
    let signed = ["--reason", "old images", "--commit", "--author", "Alice <alice@example.com>", "--key"];
    let key = key.to_str().expect("text");
    let ran = bellwether(site, &[&["device", "resume"], arguments, &signed, &[key]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let path = site.engineer.git(&["show", "--format=", "--name-only"]);
    let text = std::fs::read(site.engineer.work().join(path.trim())).expect("the file is there");
    match bellwether_schemas::yaml::parse(path.trim(), &text).expect("a manifest") {
        AnyManifest::Resume(manifest) => (manifest.spec, ran.err),
        other => panic!("no Resume: {other:?}"),
    }
}

fn names(devices: &[DeviceView]) -> Vec<&str> {
    devices.iter().map(|device| device.name.as_str()).collect()
}

fn paused(site: &Site) -> Vec<DeviceView> {
    let ran = bellwether(site, &["get", "devices", "--field-selector", PAUSED, "--output", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    serde_json::from_str(&ran.out).expect("devices")
}

/// Keeps an image of a device, or puts it back.
fn copy(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).expect("a folder can be removed");
    }
    let status = Command::new("cp").arg("-a").args([from, to]).status().expect("cp runs");
    assert!(status.success());
}

fn missing(device: &DeviceView) -> Vec<CommitId> {
    device.missing_commits().into_iter().collect()
}

#[test]
fn paused_devices_are_resumed_by_selector_and_adopted_ones_go_on_by_themselves() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut site = SiteBuilder::new(program(dir.path()).to_str().expect("text"), 3).start();
    site.wait_up_to_date(&site.introduction);
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    site.wait_up_to_date(&second);
    let (device, old, new) = (site.path("devices/edge-1"), site.path("old-image"), site.path("new-image"));
    site.device_mut("edge-1").kill();
    copy(&device, &old);
    site.device_mut("edge-1").start();
    site.engineer.replace("fleets/edge.yaml", "message 2", "message 3");
    let third = site.land("Say message 3");
    site.wait_up_to_date(&third);

    // Adopt: the commits come back, and everybody goes on without further action.
    site.engineer.force_push(&site.introduction);
    site.wait_devices("all are paused", |all| all.iter().all(|v| v.status.summary.status == Summary::ConflictPaused));
    assert_eq!(names(&paused(&site)), ["edge-1", "edge-2", "edge-3"]);
    let rewound: RepositoryView = site.get("repository").expect("the repository");
    assert!(matches!(rewound.condition, Condition::Rewound { .. }), "{rewound:?}");
    let metrics = site.page("/metrics").expect("metrics");
    let counted = format!("bellwether_missing_commit_devices{{commit=\"{third}\"}} 3");
    assert!(metrics.contains(&counted) && metrics.contains("bellwether_missing_commits 1"), "{metrics}");
    assert!(site.reconciler_log().contains("BW-0305"), "several devices that lack one commit are told of");
    let ran = bellwether(&site, &["get", "events", "--limit", "1000"]);
    assert!(
        ran.code == Some(0) && ran.out.contains("BW-0305") && ran.out.contains("enrolled"),
        "{}{}",
        ran.out,
        ran.err
    );
    let ran = bellwether(&site, &["get", "events", "--device", "edge-2", "--output", "json"]);
    let events: Vec<EventView> = serde_json::from_str(&ran.out).expect("events");
    let is_of = |event: &EventView| event.device.as_ref().is_some_and(|device| device.as_str() == "edge-2");
    assert!(!events.is_empty() && events.iter().all(is_of), "{events:?}");
    assert!(events.is_sorted_by(|a, b| a.id > b.id), "{events:?}");
    site.engineer.force_push(&third);
    site.wait_devices("all take part again", |all| {
        let well = |v: &DeviceView| (v.status.summary.status, v.status.updated.status);
        all.iter().all(|v| well(v) == (Summary::Online, Updated::UpToDate) && v.conflict.is_none())
    });

    // One device is set back to an old image, and the history is given up: another introduction goes on from the first.
    site.device_mut("edge-1").kill();
    copy(&device, &new);
    copy(&old, &device);
    // Before the device is back, so that nobody tells it to take the third landing once more.
    site.kill_reconciler();
    site.engineer.reset(&site.introduction);
    site.engineer.write("trust/policy.yaml", &policy(&site.engineer.public_key(), 2));
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 4");
    let fresh = site.engineer.commit("A new introduction");
    site.engineer.force_push(&fresh);
    site.introduce(&fresh, &digest_of(&site.engineer.work().join("trust/policy.yaml")));
    let started = jiff::Timestamp::now();
    site.start_reconciler();
    site.device_mut("edge-1").start();
    // What devices said before the start does not tell: edge-1 ran another image then.
    let all = site.wait_devices("all are paused", |all| {
        let paused = |v: &DeviceView| v.status.summary.status == Summary::ConflictPaused;
        let reported = |v: &DeviceView| v.last_seen.is_some_and(|seen| seen >= started);
        all.len() == 3 && all.iter().all(|v| paused(v) && reported(v)) && missing(&all[0]) == [second]
    });
    assert_eq!((missing(&all[1]), missing(&all[2])), (vec![third], vec![third]));
    let why = bellwether(&site, &["why", "edge-2"]);
    assert!(why.out.contains(&format!("missing    {third}, which it runs as v3: ahead")), "{}", why.out);
    let command = format!("bellwether device resume edge-2 --over {third}");
    assert!(why.out.contains(&command), "{}", why.out);

    // A Resume is for what the device ran. One that moved on since then is paused again.
    let (decision, said) = resume(&site, &["edge-1"]);
    assert_eq!((decision.over, decision.devices), (vec![second], vec!["edge-1".parse().expect("a name")]));
    assert!(said.contains("Resumes 1 paused device, over 1 missing commit."), "{said}");
    site.device_mut("edge-1").kill();
    copy(&new, &device);
    site.engineer.push();
    site.wait_head(&site.engineer.head());
    site.device_mut("edge-1").start();
    site.wait_devices("edge-1 lacks the other commit", |all| {
        all.iter().any(|v| v.name.as_str() == "edge-1" && missing(v) == [third])
    });
    assert_eq!(site.view("edge-1").status.summary.status, Summary::ConflictPaused);
    assert_eq!(site.device("edge-1").read(MESSAGE).as_deref(), Some("message 3 for edge-1\n"));

    // Force: those that are chosen, and nobody else.
    let (decision, said) = resume(&site, &["--field-selector", &format!("{PAUSED},name!=edge-3")]);
    let devices: Vec<_> = decision.devices.iter().map(|name| name.as_str()).collect();
    assert_eq!((decision.over, devices), (vec![third], vec!["edge-1", "edge-2"]));
    assert!(said.contains("1 other device names the same missing commits, and stays paused."), "{said}");
    site.engineer.push();
    site.wait_devices("both are moved", |all| {
        let moved = |v: &DeviceView| v.status.updated.status == Updated::UpToDate && v.conflict.is_none();
        all.iter().filter(|v| v.name.as_str() != "edge-3").all(moved)
    });
    for device in ["edge-1", "edge-2"] {
        assert_eq!(site.device(device).read(MESSAGE), Some(format!("message 4 for {device}\n")));
    }
    assert_eq!(names(&paused(&site)), ["edge-3"]);
    assert_eq!(site.device("edge-3").read(MESSAGE).as_deref(), Some("message 3 for edge-3\n"));
    let ran = bellwether(&site, &["device", "resume", "edge-2", "--reason", "again"]);
    assert!(ran.code == Some(1) && ran.err.contains("BW-0741"), "{}", ran.err);
    let ran = bellwether(&site, &["device", "resume", "edge-9", "--reason", "unknown"]);
    assert!(ran.code == Some(1) && ran.err.contains("does not know edge-9"), "{}", ran.err);
    // An ordinary change reaches those that take part, so they are not stuck, and not the paused one.
    site.engineer.replace("fleets/edge.yaml", "message 4", "message 5");
    site.land("Say message 5");
    site.wait("both go on", || {
        let says = |name: &str| site.device(name).read(MESSAGE) == Some(format!("message 5 for {name}\n"));
        (says("edge-1") && says("edge-2")).then_some(())
    });
    assert_eq!(site.view("edge-3").status.summary.status, Summary::ConflictPaused);
}

/// The waves, with their members, of what the next change would do to the devices that the reconciler knows.
fn simulated(site: &Site) -> Vec<(String, u64)> {
    let inventory = site.addresses().page.clone();
    let ran =
        bellwether(site, &["simulate", "--fleet", "edge", "--next", "--inventory", &inventory, "--output", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let said: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(said["outcome"]["state"], "Complete", "{said}");
    let waves = said["outcome"]["waves"].as_array().expect("waves").iter();
    waves
        .map(|wave| (wave["name"].as_str().expect("a name").to_owned(), wave["members"].as_u64().expect("a number")))
        .collect()
}

#[test]
fn a_held_rollout_says_since_when_by_which_rule_and_who_signed_what() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let site = SiteBuilder::new(program(dir.path()).to_str().expect("text"), 2).start();
    site.wait_up_to_date(&site.introduction);
    assert_eq!(simulated(&site), [("canary".to_owned(), 1), ("broad".to_owned(), 1)]);
    let hold = "apiVersion: bellwether/v1\nkind: Hold\nmetadata: {name: stop}\nspec: {all: true, reason: look first}\n";
    site.engineer.write("holds/stop.yaml", hold);
    let held = site.land("Hold everything");
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    let rollout = site.wait_rollout("it is held", |rollout| {
        rollout.commit == second && matches!(rollout.reason, Some(WaitingOn::Held { .. }))
    });
    let since = rollout.decided[0].origin.as_ref().expect("the landing of the hold").committed;
    let since = since.strftime("since      %Y-%m-%d %H:%M:%S UTC").to_string();
    let why = bellwether(&site, &["why", "edge-2"]);
    for line in [
        "edge-2: Held by holds/stop.yaml: look first (BW-0402)",
        &format!("  {since}"),
        "  ends       when the hold is released",
        "  by rule    holds/stop.yaml",
        &format!("  landing    v3 ({}) \"Say message 2\", by alice", second.short()),
        &format!("  decided    holds/stop.yaml stops offers: v2 ({}) \"Hold everything\", by alice", held.short()),
        "  bellwether hold --name stop --release --commit && git push",
    ] {
        assert!(why.out.lines().any(|told| told == line), "{line}: {}{}", why.out, why.err);
    }
    let rollouts = bellwether(&site, &["get", "rollouts"]);
    for line in [
        &format!("edge  v3 ({})  Waiting", second.short()),
        "  \"Say message 2\", by alice",
        &format!("  decided  holds/stop.yaml stops offers: v2 ({}) \"Hold everything\", by", held.short()),
        "    Held by holds/stop.yaml: look first (BW-0402)",
        &format!("    {}", since.replace("since    ", "since  ")),
        "    Waits for the same as canary.",
    ] {
        assert!(rollouts.out.lines().any(|told| told == line), "{line}: {}{}", rollouts.out, rollouts.err);
    }
    assert!(rollouts.out.lines().all(|line| line.len() <= 80), "{}", rollouts.out);
}
