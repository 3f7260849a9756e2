//! Rollouts that do not go on, and how an engineer gets them to: as `docs/troubleshooting.md` says.

use bellwether_core::plan::{advice, device_advice};
use bellwether_schemas::api::{CommitView, DeviceView, RolloutState, RolloutView, Summary, Updated, WaitingOn};
use bellwether_tests::files::remove;
use bellwether_tests::site::ROLLOUT;
use bellwether_tests::{Site, SiteBuilder};

const PART: &str = env!("CARGO_BIN_EXE_part");
const MESSAGE: &str = "/opt/bellwether/message";

fn message(site: &Site, device: &str) -> String {
    site.device(device).read(MESSAGE).expect("it is placed")
}

/// The command that page and `bellwether why` give for a rollout.
fn command_for(rollout: &RolloutView) -> String {
    let advice = advice(rollout.reason.as_ref().expect("a reason"), None, Some(&rollout.fleet)).expect("advice");
    advice.command.expect("a command")
}

fn waits(views: &[DeviceView], device: &str, is: impl Fn(&WaitingOn) -> bool) -> bool {
    views.iter().any(|view| view.name.as_str() == device && view.reason.as_ref().is_some_and(&is))
}

#[test]
fn a_halted_rollout_is_ended_by_a_revert_and_by_nothing_less() {
    let site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    site.engineer.replace("fleets/edge.yaml", "{path: /opt/bellwether/message}", "{path: /opt/bellwether/absent}");
    let broken = site.land("Break the probe");
    let halted = site.wait_rollout("the rollout halts", |rollout| rollout.state == RolloutState::Halted);
    assert_eq!(command_for(&halted), format!("git revert --no-edit {broken} && git push"));
    site.wait_devices("who is not touched says why", |views| {
        waits(views, "edge-1", |reason| matches!(reason, WaitingOn::Failed { .. }))
            && waits(views, "edge-2", |reason| matches!(reason, WaitingOn::Halted { .. }))
    });
    let waiting = site.view("edge-2");
    assert!(waiting.why.contains("halted: 1 of 1 offered devices failed in wave canary"), "{}", waiting.why);
    let told = waiting.waits.expect("it waits");
    assert_eq!(told.rule.as_deref(), Some("rollouts/edge.yaml: maxFailureRate of wave canary"));
    assert!(told.since.is_some() && told.since == halted.waits.and_then(|told| told.since), "{:?}", told.since);
    let by = |landing: Option<CommitView>| landing.map(|landing| (landing.commit, landing.signed_by()));
    let alice = || Some((broken, "alice".to_owned()));
    assert_eq!((by(waiting.origin), by(halted.origin)), (alice(), alice()));
    let failed = site.view("edge-1");
    assert!(failed.why.contains("BW-0651") && failed.why.contains("/opt/bellwether/absent"), "{}", failed.why);
    let said = device_advice(&failed).expect("advice");
    assert!(said.text.contains("the rollout begins again with that commit"), "{}", said.text);

    // Resumed as it is: its only canary failed, and a first wave without a healthy device is not passed.
    let approve = |name: &str, what: &str| {
        let approval = format!(
            "apiVersion: bellwether/v1\nkind: Approval\nmetadata:\n  name: {name}\nspec:\n  fleet: edge\n  commit: {broken}\n  \
             {what}\n  reason: see whether it was the disk\n"
        );
        site.engineer.write(&format!("approvals/{name}.yaml"), &approval);
        site.land(&format!("Decide {name}"));
    };
    approve("go", "resume: {failures: 1}");
    let resumed = site.wait_rollout("it goes on", |rollout| rollout.state == RolloutState::Progressing);
    let decided: Vec<_> = resumed.decided.iter().map(|decided| (&*decided.file, &*decided.says)).collect();
    assert_eq!(decided, [("approvals/go.yaml", "acknowledges 1 failure")]);
    assert!(matches!(resumed.reason, Some(WaitingOn::TooFewHealthy { .. })), "{resumed:?}");
    // Tried again it fails again: that is one more than was acknowledged, or the same one; it is not tried a third time.
    let Some(WaitingOn::Failed { version, .. }) = site.view("edge-1").reason else { panic!("it failed before") };
    approve("again", "retry: {devices: [edge-1]}");
    site.wait_devices("it is tried again, and fails again", |views| {
        waits(
            views,
            "edge-1",
            |reason| matches!(reason, WaitingOn::Failed { version: failed, .. } if *failed != version),
        )
    });
    assert_eq!(message(&site, "edge-2"), "message 1 for edge-2\n", "nobody else was offered it");

    site.engineer.git(&["revert", "--no-edit", "--gpg-sign", &broken.to_string()]);
    site.engineer.push();
    let back = site.engineer.head();
    site.wait_up_to_date(&back);
    site.wait_rollout("everybody is back", |r| r.commit == back && r.state == RolloutState::Complete);
    for device in ["edge-1", "edge-2"] {
        assert_eq!(message(&site, device), format!("message 1 for {device}\n"));
        assert_eq!(
            site.view(device).version.map(|version| version.landing),
            Some(1),
            "nobody had to be offered anything"
        );
    }
}

#[test]
fn a_window_that_is_refused_leaves_the_rollout_before_it_and_one_that_is_closed_holds_offers() {
    let site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);
    let windows = |timezone: &str| {
        let in_twelve_hours = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(12);
        let start = in_twelve_hours.strftime("%H:%M");
        format!("  windows: [{{start: \"{start}\", duration: 1h, timezone: {timezone}}}]\n")
    };
    site.engineer.write("rollouts/edge.yaml", &format!("{ROLLOUT}{}", windows("Europe/Atlantis")));
    site.land("Change at night alone");
    site.wait("it is refused", || {
        let invalid = site.get::<serde_json::Value>("invalid")?.to_string();
        (invalid.contains("rollouts/edge.yaml") && invalid.contains("BW-0122")).then_some(())
    });
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let landed = site.land("Say message 2");
    site.wait_up_to_date(&landed);

    site.engineer.write("rollouts/edge.yaml", &format!("{ROLLOUT}{}", windows("UTC")));
    site.land("Change at night alone, and in a time zone that there is");
    site.engineer.replace("fleets/edge.yaml", "message 2", "message 3");
    let landed = site.land("Say message 3");
    let waiting = site.wait_rollout("it waits for its window", |rollout| {
        rollout.commit == landed && matches!(rollout.reason, Some(WaitingOn::Window { opens: Some(_), .. }))
    });
    assert_eq!(waiting.state, RolloutState::Waiting);
    assert!(waiting.why.starts_with("Its next window opens at "), "{}", waiting.why);
    assert_eq!(message(&site, "edge-1"), "message 2 for edge-1\n");

    // An emergency does not wait.
    let expedite = format!(
        "apiVersion: bellwether/v1\nkind: Expedite\nmetadata:\n  name: fire\nspec:\n  fleet: edge\n  commit: {landed}\n  \
         skip: [windows]\n  reason: it burns\n"
    );
    site.engineer.write("expedites/fire.yaml", &expedite);
    site.land("Do not wait for the night");
    site.wait_up_to_date(&landed);
}

#[test]
fn a_rejected_commit_goes_back_and_who_is_off_shows_reverting_and_blocks_nothing() {
    let together = ROLLOUT.split("  waves:").next().expect("text").to_owned()
        + "  onFailure: revert\n  waves:\n    - {name: both, percent: 100, soak: 10m}\n";
    let mut site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);
    site.engineer.write("rollouts/edge.yaml", &together);
    site.land("Go back by itself");
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let broken = site.land("Say message 2");
    site.wait_rollout("both are healthy", |rollout| rollout.commit == broken && rollout.waves[0].healthy == 2);
    // In the soak one is switched off, and on the other the probe fails.
    site.device_mut("edge-2").kill();
    std::fs::remove_file(site.device("edge-1").root().join(&MESSAGE[1..])).expect("it is there");
    let rejected = site.wait_rollout("it is given up", |rollout| rollout.state == RolloutState::Reverting);
    assert!(matches!(rejected.reason, Some(WaitingOn::Rejected { .. })), "{rejected:?}");
    site.wait_devices("edge-1 went back", |views| {
        waits(views, "edge-1", |reason| matches!(reason, WaitingOn::Failed { .. }))
    });
    assert_eq!(message(&site, "edge-1"), "message 1 for edge-1\n");
    let off = site.wait_summary("edge-2", Summary::Stale);
    assert_eq!(off.status.updated.status, Updated::Reverting, "{off:?}");
    assert!(off.why.contains("is rejected, and it goes back to"), "{}", off.why);

    // Nothing waits for it: what mends begins at once.
    site.engineer.replace("fleets/edge.yaml", "message 2", "message 3");
    let mended = site.land("Say message 3");
    site.wait_devices("edge-1 gets it", |views| {
        views.iter().any(|view| view.name.as_str() == "edge-1" && view.status.updated.status == Updated::UpToDate)
    });
    assert_eq!((site.rollout().commit, message(&site, "edge-1").as_str()), (mended, "message 3 for edge-1\n"));
}

#[test]
fn a_device_that_was_off_while_its_version_was_reverted_comes_back_to_what_counts() {
    let gated = ROLLOUT.replace("percent: 100, soak: 0s", "percent: 100, soak: 0s, gate: manual");
    let mut site = SiteBuilder::new(PART, 2).rollout(&gated).build();
    site.start_reconciler();
    site.enroll_all();
    for device in &mut site.devices {
        device.start();
    }
    let first = site.wait_rollout("the gate is reached", |r| matches!(r.reason, Some(WaitingOn::Gate { .. })));
    assert!(command_for(&first).starts_with("bellwether approve edge broad --commit-id"), "{}", command_for(&first));
    let approval = format!(
        "apiVersion: bellwether/v1\nkind: Approval\nmetadata:\n  name: go\nspec:\n  fleet: edge\n  commit: {}\n  open: \
         [broad]\n  reason: well\n",
        first.commit
    );
    site.engineer.write("approvals/go.yaml", &approval);
    site.land("Open the gate");
    site.wait_up_to_date(&site.introduction);

    // The canary takes the second message, and is switched off while the gate is shut.
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    site.wait_rollout("the gate is reached", |r| {
        r.commit == second && matches!(r.reason, Some(WaitingOn::Gate { .. }))
    });
    assert_eq!(message(&site, "edge-1"), "message 2 for edge-1\n");
    site.device_mut("edge-1").kill();
    site.wait_summary("edge-1", Summary::Stale);
    site.engineer.git(&["revert", "--no-edit", "--gpg-sign", &second.to_string()]);
    site.engineer.push();
    let back = site.engineer.head();
    let rollout = site.wait_rollout("it says who is not back", |r| r.commit == back);
    assert_eq!(rollout.state, RolloutState::Reverting, "{rollout:?}");
    assert!(matches!(rollout.reason, Some(WaitingOn::Returning { devices: 1, .. })), "{rollout:?}");
    let off = site.view("edge-1");
    assert_eq!((off.status.summary.status, off.status.updated.status), (Summary::Stale, Updated::OutOfDate), "{off:?}");
    assert!(off.why.contains("gets no offer before it reports"), "{}", off.why);

    site.device_mut("edge-1").start();
    site.wait_devices("it goes back at once, without a gate", |views| {
        views.iter().all(|view| view.status.updated.status == Updated::UpToDate)
    });
    assert_eq!(message(&site, "edge-1"), "message 1 for edge-1\n");
    assert_eq!(site.rollout().state, RolloutState::Complete);
}

#[test]
fn a_local_brake_stops_offers_at_once_and_releases_them() {
    let mut site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);
    let (done, said) = site.reconciler(&["hold", "edge", "--reason", "look first"]);
    assert!(done && said.contains("edge is held since ") && said.contains(": look first"), "{said}");
    site.wait("it is noticed", || site.reconciler_log().contains("the local holds are others now").then_some(()));
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let landed = site.land("Say message 2");
    let held = site.wait_rollout("it is held", |rollout| {
        rollout.commit == landed && matches!(rollout.reason, Some(WaitingOn::Held { .. }))
    });
    assert_eq!(command_for(&held), "bellwether-reconciler hold --release");
    assert_eq!(held.why, "Held by bellwether-reconciler hold: look first");
    // It is beside what is published: neither a restart nor a lost database releases it.
    site.kill_reconciler();
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        remove(&site.path("reconciler").join(file));
    }
    site.start_reconciler();
    site.wait_rollout("it is held still", |rollout| {
        rollout.commit == landed && matches!(rollout.reason, Some(WaitingOn::Held { .. }))
    });
    assert_eq!(message(&site, "edge-1"), "message 1 for edge-1\n");
    let (done, said) = site.reconciler(&["hold", "--release"]);
    assert!(done && said.contains("nothing is held locally"), "{said}");
    site.wait_up_to_date(&landed);
}
