//! Rollouts that do not go on, and how an engineer gets them to: as `docs/troubleshooting.md` says.

use bellwether_core::plan::{advice, device_advice};
use bellwether_schemas::api::{DeviceView, RolloutState, RolloutView, Summary, Updated, WaitingOn};
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
    let failed = site.view("edge-1");
    assert!(failed.why.contains("BW-0651") && failed.why.contains("/opt/bellwether/absent"), "{}", failed.why);
    let said = device_advice(&failed).expect("advice");
    assert!(said.text.contains("the rollout begins again with that commit"), "{}", said.text);

    // Resuming it as it is, is not there yet; the manifest is refused and changes nothing.
    let resume = format!(
        "apiVersion: bellwether/v1\nkind: Approval\nmetadata:\n  name: go\nspec:\n  fleet: edge\n  commit: {broken}\n  \
         resume: {{failures: 1}}\n  reason: go on\n"
    );
    site.engineer.write("approvals/go.yaml", &resume);
    site.engineer.write("README.md", "a commit that changes nothing for the fleet\n");
    let landed = site.land("Resume as it is");
    site.wait_head(&landed);
    let invalid: serde_json::Value = site.get("invalid").expect("the API answers");
    assert!(invalid[0]["path"] == "approvals/go.yaml" && invalid.to_string().contains("BW-0107"), "{invalid}");
    assert_eq!(site.rollout().state, RolloutState::Halted);

    site.engineer.git(&["revert", "--no-edit", "--gpg-sign", &broken.to_string()]);
    site.engineer.push();
    let back = site.engineer.head();
    site.wait_up_to_date(&back);
    let rollout = site.rollout();
    assert!(rollout.state == RolloutState::Complete && rollout.commit == back, "{rollout:?}");
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
fn a_window_is_refused_and_the_rollout_before_it_counts() {
    let site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);
    let windows = "  windows: [{days: [mon], start: \"02:00\", duration: 1s, timezone: UTC}]\n";
    site.engineer.write("rollouts/edge.yaml", &format!("{ROLLOUT}{windows}"));
    site.land("Change at night alone");
    let said = site.wait("it is refused", || {
        let invalid = site.get::<serde_json::Value>("invalid")?.to_string();
        invalid.contains("rollouts/edge.yaml").then_some(invalid)
    });
    assert!(said.contains("BW-0107") && said.contains("windows") && said.contains("not supported yet"), "{said}");
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let landed = site.land("Say message 2");
    site.wait_up_to_date(&landed);
    let waves: Vec<String> = site.rollout().waves.iter().map(|wave| wave.name.to_string()).collect();
    assert_eq!(waves, ["canary", "broad"], "as it was before, and at once: no window holds it");
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
    let rollout = site.wait_rollout("it does not wait for who is off", |r| r.commit == back);
    assert_eq!(rollout.state, RolloutState::Complete, "{rollout:?}");
    let off = site.view("edge-1");
    assert_eq!((off.status.summary.status, off.status.updated.status), (Summary::Stale, Updated::OutOfDate), "{off:?}");
    assert!(off.why.contains("gets no offer before it reports"), "{}", off.why);

    site.device_mut("edge-1").start();
    site.wait_devices("it goes back at once, without a gate", |views| {
        views.iter().all(|view| view.status.updated.status == Updated::UpToDate)
    });
    assert_eq!(message(&site, "edge-1"), "message 1 for edge-1\n");
}
