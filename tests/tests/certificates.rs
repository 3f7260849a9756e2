//! Certificates, their authority and the TUF keys over their lives, with real processes.

use std::path::Path;

use bellwether_reconciler::keys::{self, Change};
use bellwether_schemas::api::{DeviceView, Summary};
use bellwether_tests::device::Identity;
use bellwether_tests::https::{answer, client};
use bellwether_tests::{Site, SiteBuilder};

const PART: &str = env!("CARGO_BIN_EXE_part");
const FLEET: &str = "fleets/edge.yaml";

fn authorities(site: &Site, device: &str) -> usize {
    site.device(device).identity().ca.matches("BEGIN CERTIFICATE").count()
}

/// What `updates` answers whoever bears this identity.
fn asks(identity: &Identity, ca: &str) -> (u16, String) {
    let url = format!("{}/devices/{}/timestamp.json", identity.updates, identity.device);
    answer(client(ca, Some(identity)).get(url).send().expect("an answer"))
}

/// Lands the next message, and waits until every device shows it.
fn say(site: &Site, before: u64) {
    site.engineer.replace(FLEET, &format!("message {before}"), &format!("message {}", before + 1));
    let commit = site.land(&format!("Say message {}", before + 1));
    site.wait_up_to_date(&commit);
}

/// How often the agent connected since it was started first.
fn connections(site: &Site, device: &str) -> usize {
    site.device(device).log().matches("connected").count()
}

#[test]
fn the_authority_is_replaced_while_a_device_is_off_and_nobody_is_enrolled_again() {
    let mut site = SiteBuilder::new(PART, 3).start();
    site.wait_up_to_date(&site.introduction);
    let before = site.device("edge-1").identity();
    for device in ["edge-2", "edge-3"] {
        site.device_mut(device).kill();
    }

    let (done, said) = site.reconciler(&["certs", "rotate-ca"]);
    assert!(done && said.contains("3 of 3 devices still need the old authority"), "{said}");
    // Somebody stole it: it never renews, and matters no more.
    let revoke = "apiVersion: bellwether/v1\nkind: Device\nmetadata:\n  name: edge-3\nspec:\n  revoked: true\n";
    site.engineer.write("devices/edge-3.yaml", revoke);
    site.land("Revoke edge-3");
    site.wait_summary("edge-3", Summary::Revoked);
    site.wait("edge-1 trusts both", || (authorities(&site, "edge-1") == 2).then_some(()));
    let renewed = site.device("edge-1").identity();
    assert_ne!((&renewed.key, &renewed.certificate), (&before.key, &before.certificate));
    site.wait("the certificate before is refused", || {
        let (status, body) = asks(&before, &before.ca);
        (status == 403 && body.contains("BW-0332")).then_some(())
    });
    let said = site.wait("edge-1 needs the old one no more", || {
        let (done, said) = site.reconciler(&["certs", "finish-ca"]);
        assert!(!done && said.contains("error[BW-0366]"), "edge-2 knows nothing yet: {said}");
        said.contains("1 of 2 devices").then_some(said)
    });
    assert!(said.contains("edge-2 (has not renewed yet)"), "{said}");

    site.device_mut("edge-2").start();
    site.wait("edge-2 trusts both", || (authorities(&site, "edge-2") == 2).then_some(()));
    site.wait("the old authority ends", || site.reconciler(&["certs", "finish-ca"]).0.then_some(()));
    for device in ["edge-1", "edge-2"] {
        site.wait("only the new one is trusted", || (authorities(&site, device) == 1).then_some(()));
    }
    assert_ne!(site.device("edge-1").identity().ca, before.ca);
    let old = client(&site.device("edge-1").identity().ca, Some(&before));
    old.get(format!("{}/devices/edge-1/timestamp.json", before.updates)).send().expect_err("TLS ends for the old one");
    site.engineer.replace(FLEET, "message 1", "message 2");
    let commit = site.land("Say message 2");
    site.wait_devices("the other two take it", |views| {
        let runs = |view: &&DeviceView| view.version.is_some_and(|version| version.commit == commit);
        views.iter().filter(runs).count() == 2
    });
}

#[test]
fn a_server_certificate_for_another_name_is_taken_over_and_a_damaged_one_is_not() {
    let site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    let (ca, enroll) = (std::fs::read_to_string(site.ca()).expect("a file"), site.addresses().enroll.clone());
    let address = enroll.trim_start_matches("https://").parse().expect("an address");
    let reaches = || {
        let builder = reqwest::blocking::Client::builder().no_proxy().resolve("bellwether.test", address);
        let roots = reqwest::Certificate::from_pem(ca.as_bytes()).expect("a certificate");
        let client = builder.tls_certs_only([roots]).build().expect("a client");
        client.get(format!("https://bellwether.test:{}/", address.port())).send().is_ok()
    };
    assert!(!reaches(), "the name is not in the certificate");
    let connected = connections(&site, "edge-1");

    let damaged = site.path("reconciler/ca/server.crt");
    let good = std::fs::read(&damaged).expect("a certificate");
    std::fs::write(&damaged, "-----BEGIN CERT").expect("written");
    site.wait("the damage is said", || site.reconciler_log().contains("BW-0362").then_some(()));
    let own = client(&ca, None);
    own.get(&enroll).send().expect("the certificate before is still used");
    std::fs::write(&damaged, good).expect("written");

    let (done, said) = site.reconciler(&["certs", "renew", "--names", "127.0.0.1,bellwether.test"]);
    assert!(done && said.contains("bellwether.test"), "{said}");
    site.wait("the new certificate is used", || reaches().then_some(()));
    say(&site, 1);
    assert_eq!(connections(&site, "edge-1"), connected, "the session stayed open");
}

#[test]
fn a_certificate_that_expired_while_the_device_was_off_is_renewed_and_then_good_for_everything() {
    let library = Path::new("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1");
    if !library.exists() {
        return println!("skipped: libfaketime is not installed (Debian: faketime)");
    }
    let mut site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    let before = site.device("edge-1").identity();
    site.device_mut("edge-1").kill();
    site.kill_reconciler();
    let preload = format!("LD_PRELOAD={}", library.display());
    let clock = ["/usr/bin/env", &preload, "FAKETIME=+100d", "FAKETIME_DONT_FAKE_MONOTONIC=1"];
    site.start_reconciler_under(&clock);
    let (status, body) = asks(&before, &before.ca);
    assert!(status == 401 && body.contains("BW-0331"), "{status} {body}");
    let (_, said) = site.device("edge-1").check(&[]);
    for (line, code) in [("FAIL  admission: ", "(BW-0331) — "), ("FAIL  clock: ", "(BW-0304) — ")] {
        assert!(said.lines().any(|found| found.starts_with(line) && found.contains(code)), "{line}{code}: {said}");
    }
    site.device_mut("edge-1").start();
    site.wait("the certificate is renewed", || (site.device("edge-1").identity() != before).then_some(()));
    say(&site, 1);
    let (status, body) = asks(&before, &before.ca);
    assert!(status != 200, "{status} {body}");
}

/// Drafts, signs and puts in force, as one person who has the only root key.
fn rotate(site: &Site, draft: &str, new_online: bool) {
    let (draft, online) = (site.path(draft), site.path("reconciler/keys/online"));
    let now = jiff::Timestamp::now();
    let drafted = keys::begin(&online, &draft, (&Change::default(), new_online), now).expect("drafted");
    keys::sign_draft(&drafted.path, &site.path("keys/root")).expect("signed");
    keys::finish(&draft, &online, &[]).expect("in force");
}

fn root_version(site: &Site, device: &str) -> Option<u64> {
    let trust: serde_json::Value =
        serde_json::from_slice(&std::fs::read(site.device(device).state().join("trust.json")).ok()?).ok()?;
    let root: serde_json::Value = serde_json::from_str(trust["root"].as_str()?).ok()?;
    root["signed"]["version"].as_u64()
}

#[test]
fn roots_and_online_keys_are_rotated_and_devices_follow_also_those_that_were_off() {
    let mut site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);
    site.device_mut("edge-2").kill();

    // The online keys stay: the running reconciler publishes the root.
    rotate(&site, "draft-2", false);
    let published = site.store().join("root/2.root.json");
    site.wait("the root is published", || published.exists().then_some(()));

    // New online keys: what is signed with the old ones would be refused, so the root waits for a restart.
    rotate(&site, "draft-3", true);
    site.wait("a restart is asked for", || site.reconciler_log().contains("BW-0527").then_some(()));
    assert!(!site.store().join("root/3.root.json").exists());
    site.kill_reconciler();
    site.start_reconciler();
    site.engineer.replace(FLEET, "message 1", "message 2");
    let commit = site.land("Say message 2");
    site.wait("edge-1 follows", || (root_version(&site, "edge-1") == Some(3)).then_some(()));
    site.wait("edge-1 takes what the new keys sign", || {
        let message = site.device("edge-1").read("/opt/bellwether/message")?;
        message.starts_with("message 2").then_some(())
    });

    site.device_mut("edge-2").start();
    site.wait_up_to_date(&commit);
    assert_eq!(root_version(&site, "edge-2"), Some(3), "it was off during both");
}

#[test]
fn a_device_that_pins_a_root_of_another_installation_says_that_it_is_to_enroll_again() {
    let mut site = SiteBuilder::new(PART, 1).build();
    site.start_reconciler();
    site.wait_repository("the introduction is accepted", |repository| repository.head.is_some());
    let other = site.path("other");
    keys::init(&other, &other.join("online"), jiff::Timestamp::now()).expect("keys");
    let root = other.join("online/1.root.json");
    let (enroll, ca) = (site.addresses().enroll.clone(), site.ca());
    let (done, said) = site.device("edge-1").enroll(&enroll, &ca, &root, &site.tokens["edge-1"]);
    assert!(done, "{said}");
    site.device_mut("edge-1").start();
    site.wait("it says so", || site.device("edge-1").log().contains("BW-0617").then_some(()));
    assert!(site.device("edge-1").log().contains("enroll again"));
    assert_eq!(site.device("edge-1").read("/opt/bellwether/message"), None, "nothing is taken");
}
