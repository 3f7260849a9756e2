//! `bellwether-agent check` on devices that are well, and on such as a person at 3 a.m. meets.

use bellwether_schemas::api::{Summary, Updated};
use bellwether_tests::site::{token, token_hash};
use bellwether_tests::{Site, SiteBuilder};

const PART: &str = env!("CARGO_BIN_EXE_part");

/// Lines that are not as they should be.
fn findings(said: &str) -> Vec<String> {
    said.lines().filter(|line| !line.starts_with("ok ")).map(str::to_owned).collect()
}

/// The only thing that is wrong, at this listener or part, by this code.
fn only(site: &Site, what: &str, code: &str) -> String {
    let (fine, said) = site.device("edge-1").check(&[]);
    let found = findings(&said);
    assert!(!fine && found.len() == 1, "{said}");
    assert!(found[0].starts_with(&format!("FAIL  {what}: ")) && found[0].contains(&format!("({code}) — ")), "{said}");
    found[0].clone()
}

#[test]
fn a_device_that_is_well_is_told_so_also_before_it_is_enrolled() {
    let mut site = SiteBuilder::new(PART, 1).build();
    site.start_reconciler();
    let (server, ca) = (site.addresses().enroll.clone(), site.ca());
    let ca = ca.to_str().expect("UTF-8");
    std::fs::create_dir_all(site.device("edge-1").root().join("opt/bellwether")).expect("made");
    let (fine, said) = site.device("edge-1").check(&["--server", &server, "--ca", ca]);
    assert!(fine && said.contains("devices are enrolled here") && said.contains("as the reconciler's does"), "{said}");
    let devices = site.addresses().devices.clone();
    let (fine, said) = site.device("edge-1").check(&["--server", &devices, "--ca", ca]);
    assert!(!fine && (said.contains("BW-0614") || said.contains("BW-0613")), "another listener is told apart: {said}");

    site.enroll_all();
    site.device_mut("edge-1").start();
    site.wait_up_to_date(&site.introduction);
    let before = std::fs::read(site.device("edge-1").state().join("trust.json")).expect("there");
    let (fine, said) = site.device("edge-1").check(&["--server", &server]);
    assert!(fine, "{said}");
    for line in ["lets edge-1 in", "it verifies, v1", "root 1, pinned", "good until", "it runs and waits for"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let (_, json) = site.device("edge-1").check(&["--output", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(json.as_array().is_some_and(|all| all.iter().all(|finding| finding["level"] == "ok")), "{json}");
    assert_eq!(std::fs::read(site.device("edge-1").state().join("trust.json")).expect("there"), before);
    assert_eq!(site.view("edge-1").status.summary.status, Summary::Online, "a look is no report");

    // The network is gone.
    site.kill_reconciler();
    let (fine, said) = site.device("edge-1").check(&[]);
    let found = findings(&said);
    assert!(!fine && found.len() == 2 && found.iter().all(|line| line.contains("(BW-0610)")), "{said}");
}

#[test]
fn names_anchors_and_admission_are_told_apart() {
    let mut site = SiteBuilder::new(PART, 1).names("127.0.0.1,bellwether.test").start();
    site.wait_up_to_date(&site.introduction);
    let device = site.device("edge-1");
    let good = device.identity();

    // An address that the certificate is not for.
    let by_name =
        bellwether_tests::device::Identity { devices: good.devices.replace("127.0.0.1", "localhost"), ..good.clone() };
    device.pretend(&by_name);
    let said = only(&site, "devices", "BW-0611");
    assert!(said.contains("127.0.0.1, bellwether.test"), "{said}");

    // The reconciler was set up anew: another authority answers here.
    let other = SiteBuilder::new(PART, 1).build();
    let ca = std::fs::read_to_string(other.ca()).expect("a CA");
    site.device("edge-1").pretend(&bellwether_tests::device::Identity { ca, ..good.clone() });
    let (_, said) = site.device("edge-1").check(&[]);
    let found = findings(&said);
    assert!(found.len() == 2 && found.iter().all(|line| line.contains("(BW-0612)")), "{said}");
    site.device("edge-1").pretend(&good);

    // Its keys were made anew: the root that is pinned is another chain's.
    let trust = site.device("edge-1").state().join("trust.json");
    let before = std::fs::read_to_string(&trust).expect("there");
    let mut foreign: serde_json::Value = serde_json::from_str(&before).expect("JSON");
    foreign["root"] = std::fs::read_to_string(other.root_json()).expect("a root").into();
    site.device_mut("edge-1").kill();
    std::fs::write(&trust, foreign.to_string()).expect("written");
    let (_, said) = site.device("edge-1").check(&[]);
    assert!(said.contains("FAIL  metadata: 1.root.json") && said.contains("(BW-0617) — "), "{said}");
    std::fs::write(&trust, before).expect("written");
    site.device_mut("edge-1").start();
    site.wait_summary("edge-1", Summary::Online);

    // The history revokes it.
    site.engineer.write(
        "devices/edge-1.yaml",
        "apiVersion: bellwether/v1\nkind: Device\nmetadata:\n  name: edge-1\nspec:\n  revoked: true\n",
    );
    let landed = site.land("Revoke a device");
    site.wait_head(&landed);
    only(&site, "admission", "BW-0334");
}

#[test]
fn a_device_that_lost_its_state_takes_part_again_by_a_new_token_and_without_a_resume() {
    let mut site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    site.device_mut("edge-1").kill();
    let state = site.device("edge-1").state();
    std::fs::remove_file(state.join("memory.json")).expect("it was there");
    let (_, said) = site.device("edge-1").check(&[]);
    let lost = said.lines().find(|line| line.starts_with("FAIL  state directory: ")).unwrap_or_default();
    assert!(lost.contains("memory.json is gone") && lost.contains("(BW-0601) — "), "{said}");

    let old = token_hash(&site.tokens["edge-1"]).to_string();
    let fresh = token("a fresh one");
    site.engineer.replace("enrollments/factory.yaml", "id: edge-1\n", "id: again\n");
    site.engineer.replace("enrollments/factory.yaml", &old, &token_hash(&fresh).to_string());
    let landed = site.land("A new token for edge-1");
    site.wait_head(&landed);
    let (done, said) = site.enroll(site.device("edge-1"), &fresh);
    assert!(!done && said.contains("BW-0601") && said.contains("needs no Resume"), "no token is spent on it: {said}");

    // As it is told.
    std::fs::rename(&state, state.with_extension("lost")).expect("moved");
    std::fs::remove_dir_all(site.device("edge-1").root().join("opt/bellwether")).expect("removed");
    let (done, said) = site.enroll(site.device("edge-1"), &fresh);
    assert!(done, "{said}");
    site.device_mut("edge-1").start();
    site.wait("it runs what it ran before", || {
        site.device("edge-1").read("/opt/bellwether/message").filter(|said| said == "message 1 for edge-1\n")
    });
    let words = |site: &Site| {
        let status = site.view("edge-1").status;
        (status.summary.status, status.updated.status)
    };
    site.wait("it takes part", || (words(&site) == (Summary::Online, Updated::UpToDate)).then_some(()));
}
