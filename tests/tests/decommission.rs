//! The end of a device: by commit, with real processes.

use std::time::Duration;

use bellwether_schemas::api::{Summary, WaitingOn};
use bellwether_tests::site::{FLEET, token, token_hash};
use bellwether_tests::{Site, SiteBuilder};

const PART: &str = env!("CARGO_BIN_EXE_part");
const MESSAGE: &str = "/opt/bellwether/message";
const NOTES: &str = "/opt/bellwether/notes";

fn say(site: &Site, decommission: bool) {
    let manifest = format!(
        "apiVersion: bellwether/v1\nkind: Device\nmetadata:\n  name: edge-2\nspec:\n  decommission: {decommission}\n"
    );
    site.engineer.write("devices/edge-2.yaml", &manifest);
    let landed = site.land("The last word on edge-2");
    site.wait_head(&landed);
}

#[test]
fn a_device_removes_what_it_placed_and_its_keys_and_is_refused_from_then_on() {
    let mut site = SiteBuilder::new(PART, 2).fleet(FLEET).start();
    site.wait_up_to_date(&site.introduction);
    std::fs::write(site.device("edge-2").root().join(NOTES.trim_start_matches('/')), "mine").expect("written");
    let identity = site.device("edge-2").identity();

    // While it is away it is shown as what it is; its fleet does not wait for it (edge-1 is the canary).
    site.device_mut("edge-2").kill();
    say(&site, true);
    site.wait_devices("edge-2 is being decommissioned", |views| {
        views.iter().any(|view| view.name.as_str() == "edge-2" && view.reason == Some(WaitingOn::Decommissioning))
    });
    assert_eq!(site.view("edge-2").fleet, None);
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    site.wait("the rest goes on", || {
        let said = site.device("edge-1").read(MESSAGE)?;
        (said == "message 2 for edge-1\n").then_some(())
    });
    assert_eq!(site.device("edge-2").read(MESSAGE).as_deref(), Some("message 1 for edge-2\n"));
    site.wait_rollout("it completes", |rollout| rollout.commit == second);

    // It comes back, and goes.
    site.device_mut("edge-2").start();
    assert!(site.device_mut("edge-2").ends_within(Duration::from_secs(60)), "{}", site.device("edge-2").log());
    site.wait_summary("edge-2", Summary::Decommissioned);
    let device = site.device("edge-2");
    assert_eq!((device.read(MESSAGE), device.read(NOTES).as_deref()), (None, Some("mine")), "others' files stay");
    assert!(!device.state().join("identity.json").exists() && !device.state().join("memory.json").exists());
    assert!(device.status().contains("decommissioned at"), "{}", device.status());
    assert!(device.check(&[]).1.contains("was decommissioned at"), "{}", device.check(&[]).1);

    // The service ends well when it is started again, so that nothing restarts it for ever.
    site.device_mut("edge-2").start();
    assert!(site.device_mut("edge-2").ends_within(Duration::from_secs(20)), "{}", site.device("edge-2").log());

    // A copy of its keys is worth nothing, also after the database was lost.
    let thief = site.spare_device("thief");
    std::fs::create_dir_all(thief.state()).expect("made");
    thief.pretend(&identity);
    let refused = |site: &Site| {
        let (_, said) = site.spare_device("thief").check(&[]);
        assert!(said.contains("FAIL  admission") && said.contains("(BW-0370)"), "{said}");
    };
    refused(&site);
    site.kill_reconciler();
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(site.path("reconciler").join(file));
    }
    site.start_reconciler();
    site.wait_repository("the history is accepted", |repository| repository.head.is_some());
    refused(&site);
    site.wait_summary("edge-2", Summary::Decommissioned);

    // It is brought back by a commit and a new token, and by nothing less.
    let entry = format!(
        "apiVersion: bellwether/v1\nkind: Enrollment\nmetadata:\n  name: again\nspec:\n  tokens:\n    - {{id: t2, sha256: {}, \
         expires: 2099-01-01T00:00:00Z, device: edge-2, labels: {{role: edge}}}}\n",
        token_hash(&token("again"))
    );
    site.engineer.write("enrollments/again.yaml", &entry);
    // Another Enrollment takes a device over only where the entry that it counts under is revoked.
    let before = token_hash(&site.tokens["edge-2"]);
    site.engineer.replace(
        "enrollments/factory.yaml",
        &format!("sha256: {before}\n"),
        &format!("sha256: {before}\n      revoked: true\n"),
    );
    let landed = site.land("A new token");
    site.wait_head(&landed);
    let (done, said) = site.enroll(site.device("edge-2"), &token("again"));
    assert!(!done && said.contains("BW-0313") && said.contains("decommissioned"), "{said}");
    say(&site, false);
    let (done, said) = site.enroll(site.device("edge-2"), &token("again"));
    assert!(done, "{said}");
    site.device_mut("edge-2").start();
    site.wait_summary("edge-2", Summary::Online);
    site.wait("it runs what its fleet runs", || {
        site.device("edge-2").read(MESSAGE).filter(|said| said == "message 2 for edge-2\n")
    });
}
