//! From a signed commit to running devices: rollouts, with every component real.

use bellwether_schemas::api::{RolloutState, Summary, Updated, WaitingOn};
use bellwether_tests::SiteBuilder;
use bellwether_tests::site::{FLEET, ROLLOUT, stalled_by};

const PART: &str = env!("CARGO_BIN_EXE_part");
const MESSAGE: &str = "/opt/bellwether/message";

#[test]
fn a_first_rollout_reaches_every_device() {
    let site = SiteBuilder::new(PART, 3).start();
    site.wait_up_to_date(&site.introduction);

    for device in &site.devices {
        assert_eq!(device.read(MESSAGE), Some(format!("message 1 for {}\n", device.name)));
        let view = site.view(&device.name);
        let version = view.version.expect("it runs something");
        assert_eq!((version.landing, version.commit, version.revision), (1, site.introduction, 0));
        assert_eq!(view.reason, None);
        assert!(device.status().contains("v1"), "{}", device.status());
    }
    let rollout = site.wait_rollout("the rollout is complete", |rollout| rollout.state == RolloutState::Complete);
    assert!(rollout.waves.iter().all(|wave| wave.done), "{rollout:?}");
}

#[test]
fn a_second_commit_goes_through_the_canary_and_a_manual_gate() {
    let gated = ROLLOUT.replace("percent: 100, soak: 0s", "percent: 100, soak: 0s, gate: manual");
    let site = SiteBuilder::new(PART, 3).rollout(&gated).start();
    // The first rollout has no stable to fall back to, so it goes through the same waves.
    approve(&site, 1);
    site.wait_up_to_date(&site.introduction);

    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    site.wait_devices("the canary runs the second message", |views| {
        views
            .iter()
            .any(|v| v.name.as_str() == "edge-1" && v.status.updated.status == Updated::UpToDate && is(v, &second))
    });
    let waiting = site.wait_devices("the others wait for the gate", |views| {
        let others = views.iter().filter(|view| view.name.as_str() != "edge-1");
        others.clone().count() == 2 && others.clone().all(|v| matches!(v.reason, Some(WaitingOn::Gate { .. })))
    });
    for view in waiting.iter().filter(|view| view.name.as_str() != "edge-1") {
        assert_eq!(site.device(view.name.as_str()).read(MESSAGE), Some(format!("message 1 for {}\n", view.name)));
        assert!(view.why.contains("broad"), "{}", view.why);
    }

    approve(&site, 2);
    site.wait_up_to_date(&second);
    assert_eq!(site.device("edge-3").read(MESSAGE).as_deref(), Some("message 2 for edge-3\n"));
}

/// Opens the gate of wave broad for the newest template commit.
fn approve(site: &bellwether_tests::Site, number: u32) {
    let commit = site.rollout().commit;
    site.engineer.write(
        &format!("approvals/edge-{number}.yaml"),
        &format!(
            "apiVersion: bellwether/v1\nkind: Approval\nmetadata:\n  name: edge-{number}\nspec:\n  fleet: edge\n  \
             commit: {commit}\n  open: [broad]\n  reason: the canary looks well\n"
        ),
    );
    site.land("Open the gate");
}

fn is(view: &bellwether_schemas::api::DeviceView, commit: &bellwether_schemas::CommitId) -> bool {
    view.version.is_some_and(|version| version.commit == *commit)
}

#[test]
fn a_failing_probe_rolls_back_and_halts() {
    let site = SiteBuilder::new(PART, 3).start();
    site.wait_up_to_date(&site.introduction);

    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    site.engineer.replace(
        "fleets/edge.yaml",
        "file: {path: /opt/bellwether/message}",
        "file: {path: /opt/bellwether/absent}",
    );
    site.land("Break the probe");
    let halted = site.wait_rollout("the rollout halts", |rollout| rollout.state == RolloutState::Halted);
    assert!(matches!(halted.reason, Some(WaitingOn::Halted { failures: 1, .. })), "{halted:?}");

    let canary = site.wait_devices("the canary has failed", |views| {
        views.iter().any(|v| v.name.as_str() == "edge-1" && v.status.updated.status == Updated::Failed)
    });
    let canary = canary.iter().find(|view| view.name.as_str() == "edge-1").expect("the canary");
    assert_eq!(canary.version.map(|version| version.landing), Some(1), "it went back");
    assert_eq!(canary.offered, canary.version, "what failed does not stay published");
    assert!(canary.why.contains("BW-"), "the device's own code is shown: {}", canary.why);
    for device in &site.devices {
        assert_eq!(device.read(MESSAGE), Some(format!("message 1 for {}\n", device.name)), "{}", device.name);
    }

    // A good commit ends the halt.
    site.engineer.replace("fleets/edge.yaml", "absent", "message");
    let good = site.land("Mend the probe");
    site.wait_up_to_date(&good);
    assert_eq!(site.device("edge-1").read(MESSAGE).as_deref(), Some("message 2 for edge-1\n"));
}

#[test]
fn an_unsigned_commit_is_refused_and_the_last_good_head_stays() {
    let site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);

    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let unsigned = site.engineer.commit_unsigned("Nobody signed this");
    site.engineer.push();
    let stalled = site.wait_repository("the repository is stalled", |repository| stalled_by(repository).is_some());
    assert_eq!(stalled_by(&stalled), Some("BW-0204"), "{stalled:?}");
    assert!(stalled.why.contains(&unsigned.short()), "{}", stalled.why);
    assert_eq!(stalled.head.map(|head| head.commit), Some(site.introduction));
    assert!(site.views().iter().all(|view| view.status.updated.status == Updated::UpToDate));

    // The same content, signed, is taken.
    site.engineer.reset(&site.introduction);
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let signed = site.engineer.commit("Signed");
    site.engineer.force_push(&signed);
    site.wait_up_to_date(&signed);
}

#[test]
fn a_broken_manifest_stops_only_itself() {
    let site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);

    site.engineer
        .write("fleets/other.yaml", &FLEET.replace("name: edge", "name: other").replace("selector", "selecter"));
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let commit = site.land("One good change, one broken manifest");
    site.wait_up_to_date(&commit);
    let invalid: Vec<serde_json::Value> = site.get("invalid").expect("the API answers");
    let shown = invalid[0].to_string();
    assert!(shown.contains("fleets/other.yaml:6:3") && shown.contains("selecter"), "{shown}");
}

#[test]
fn a_hold_stops_offers_and_its_removal_lets_them_go_on() {
    let site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);

    let hold =
        "apiVersion: bellwether/v1\nkind: Hold\nmetadata:\n  name: freeze\nspec:\n  all: true\n  reason: trade fair\n";
    site.engineer.write("holds/freeze.yaml", hold);
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    site.land("Change and hold in one commit");
    let held = site.wait_devices("every device is held", |views| {
        views.iter().all(|view| matches!(view.reason, Some(WaitingOn::Held { .. })))
    });
    assert!(held.iter().all(|view| view.why.contains("trade fair")), "{held:?}");

    std::fs::remove_file(site.engineer.work().join("holds/freeze.yaml")).expect("the hold is there");
    let released = site.land("The fair is over");
    site.wait_devices("every device is at its target again", |views| {
        views.iter().all(|view| view.status.updated.status == Updated::UpToDate && is(view, &released))
    });
}

#[test]
fn killed_in_the_middle_of_a_rollout_both_sides_go_on() {
    let slow = FLEET.replace("attempts: 1", "attempts: 1\n        initialDelay: 2s");
    let mut site = SiteBuilder::new(PART, 3).fleet(&slow).start();
    site.wait_up_to_date(&site.introduction);

    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    site.wait_devices("the canary applies", |views| {
        views.iter().any(|v| v.name.as_str() == "edge-1" && v.status.updated.status == Updated::Updating)
    });
    site.kill_reconciler();
    site.device_mut("edge-1").kill();
    site.start_reconciler();
    site.device_mut("edge-1").start();
    site.wait_up_to_date(&second);
    for device in &site.devices {
        assert_eq!(device.read(MESSAGE), Some(format!("message 2 for {}\n", device.name)));
        assert_eq!(site.view(&device.name).status.summary.status, Summary::Online);
    }
}
