//! Who is a device: tokens, names of the server, certificates; and what a device may ask for.

use std::path::Path;

use bellwether_schemas::Sha256Digest;
use bellwether_schemas::api::{Summary, Updated};
use bellwether_schemas::report::Health;
use bellwether_tests::https::{answer, client};
use bellwether_tests::site::{FLEET, token, token_hash};
use bellwether_tests::{Device, Site, SiteBuilder};

const PART: &str = env!("CARGO_BIN_EXE_part");
const MESSAGE: &str = "/opt/bellwether/message";

/// Enrolls a device that must be refused with a code.
fn refused(site: &Site, device: &Device, token: &str, code: &str) -> String {
    let (done, said) = site.enroll(device, token);
    assert!(!done && said.contains(&format!("error[{code}]")), "{code} expected: {said}");
    assert!(said.contains("hint: "), "it says what to do: {said}");
    assert!(!device.state().join("identity.json").exists(), "there is no certificate");
    assert!(!said.contains(token), "a token is a secret");
    said
}

#[test]
fn a_token_enrolls_one_device_once() {
    let site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    let thief = site.spare_device("thief");
    refused(&site, &thief, &site.tokens["edge-1"], "BW-0314");
    refused(&site, &thief, &token("never minted"), "BW-0311");
    refused(&site, &thief, "not a token", "BW-0310");
    let log = site.reconciler_log();
    for code in ["BW-0314", "BW-0311", "BW-0310"] {
        assert!(log.contains(code), "the reconciler says so too: {log}");
    }
    assert!(!log.contains(&site.tokens["edge-1"]));
    assert_eq!(site.views().len(), 1, "nobody else came in");
    assert_eq!(site.view("edge-1").status.summary.status, Summary::Online);
}

#[test]
fn expired_and_revoked_tokens_are_refused_each_with_its_reason() {
    let site = SiteBuilder::new(PART, 1).start();
    let entry = |id: &str, expires: &str, more: &str| {
        let hash = token_hash(&token(id));
        format!("    - {{id: {id}, sha256: {hash}, expires: {expires}{more}}}\n")
    };
    let manifest = "apiVersion: bellwether/v1\nkind: Enrollment\nmetadata:\n  name: spare\nspec:\n  tokens:\n"
        .to_owned()
        + &entry("old", "2020-01-01T00:00:00Z", "")
        + &entry("lost", "2099-01-01T00:00:00Z", ", revoked: true")
        + &entry("good", "2099-01-01T00:00:00Z", "");
    site.engineer.write("enrollments/spare.yaml", &manifest);
    let landed = site.land("Spare tokens");
    site.wait_head(&landed);

    let device = site.spare_device("newcomer");
    let said = refused(&site, &device, &token("old"), "BW-0312");
    assert!(said.contains("2020-01-01"), "it says when: {said}");
    refused(&site, &device, &token("lost"), "BW-0313");
    let (done, said) = site.enroll(&device, &token("good"));
    assert!(done, "{said}");
    assert!(said.contains("enrolled as spare-"), "a token without a device makes a name of its own: {said}");
}

/// The power goes after the certificate was issued and before the device has it on disk.
#[test]
fn a_device_that_lost_the_answer_gets_its_certificate_again() {
    let site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    let first = site.device("edge-1").identity();
    let token = &site.tokens["edge-1"];
    let pending = serde_json::json!({"token": Sha256Digest::of(token.as_bytes()), "key": first.key});

    let again = site.spare_device("edge-1-again");
    std::fs::create_dir_all(again.state()).expect("a folder can be made");
    std::fs::write(again.state().join("pending.json"), pending.to_string()).expect("a file can be written");
    let (done, said) = site.enroll(&again, token);
    assert!(done, "{said}");
    assert_eq!(again.identity(), first, "the certificate that was issued, and no second one");
}

#[test]
fn a_server_by_another_name_or_authority_is_refused_as_exactly_that() {
    let mut site = SiteBuilder::new(PART, 1).names("127.0.0.1,bellwether.test").build();
    site.start_reconciler();
    let (device, enroll) = (site.device("edge-1"), site.addresses().enroll.clone());
    let by_name = enroll.replace("127.0.0.1", "localhost");
    let (done, said) = device.enroll(&by_name, &site.ca(), &site.root_json(), &site.tokens["edge-1"]);
    assert!(!done && said.contains("error[BW-0611]"), "{said}");
    assert!(said.contains(&by_name) && said.contains("127.0.0.1") && said.contains("bellwether.test"), "{said}");

    let elsewhere = site.path("elsewhere");
    let names = ["127.0.0.1".parse().expect("a name")];
    bellwether_reconciler::pki::Authority::init(&elsewhere, &names, jiff::Timestamp::now()).expect("an authority");
    let foreign = elsewhere.join("ca.crt");
    let (done, said) = device.enroll(&enroll, &foreign, &site.root_json(), &site.tokens["edge-1"]);
    assert!(!done && said.contains("error[BW-0612]"), "{said}");

    let nobody = "https://127.0.0.1:1";
    let (done, said) = device.enroll(nobody, &site.ca(), &site.root_json(), &site.tokens["edge-1"]);
    assert!(!done && said.contains("error[BW-0610]") && said.contains(nobody), "{said}");

    // None of this spent the token.
    site.enroll_all();
}

#[test]
fn a_device_gets_what_is_its_own_and_nothing_else() {
    let site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);
    let identity = site.device("edge-1").identity();
    let own = client(&identity.ca, Some(&identity));
    let get = |path: &str| answer(own.get(format!("{}{path}", identity.updates)).send().expect("an answer"));

    let (status, timestamp) = get("/devices/edge-1/timestamp.json");
    assert_eq!(status, 200, "{timestamp}");
    let digest = |device: &str| site.view(device).target.expect("it has a target");
    assert_eq!(get(&format!("/targets/{}.spec.json", digest("edge-1"))).0, 200);

    let others = [
        "/devices/edge-2/timestamp.json".to_owned(),
        "/devices/edge-2/1.root.json".to_owned(),
        "/devices/absent/timestamp.json".to_owned(),
        "/devices/edge-1%2f..%2fedge-2/timestamp.json".to_owned(),
        format!("/targets/{}.spec.json", digest("edge-2")),
        format!("/targets/{}.spec.json", Sha256Digest::of(b"never published")),
        "/targets/..%2fdevices%2fedge-2%2ftimestamp.json".to_owned(),
    ];
    for path in others {
        let (status, body) = get(&path);
        assert_eq!(status, 403, "{path}: {body}");
        assert!(body.contains("BW-0340"), "{path}: {body}");
    }
    for path in ["/devices/edge-1/head.json", "/devices/edge-1/..%2fedge-2%2ftimestamp.json", "/head.json", "/"] {
        assert_eq!(get(path).0, 404, "{path}");
    }
    let (status, body) =
        answer(own.post(format!("{}/devices/edge-1/timestamp.json", identity.updates)).send().expect("an answer"));
    assert!(status == 405 && body.contains("BW-0342"), "{status} {body}");
    assert!(site.reconciler_log().contains("BW-0340"), "the reconciler says who asked: {}", site.reconciler_log());

    let stranger = client(&identity.ca, None);
    stranger.get(format!("{}/devices/edge-1/timestamp.json", identity.updates)).send().expect_err("no certificate");
}

#[test]
fn a_certificate_of_a_foreign_authority_is_refused() {
    let (mut site, foreign) = (SiteBuilder::new(PART, 1).start(), SiteBuilder::new(PART, 1).start());
    site.wait_up_to_date(&site.introduction);
    let (ours, theirs) = (site.device("edge-1").identity(), foreign.device("edge-1").identity());
    let intruder = client(&ours.ca, Some(&theirs));
    intruder.get(format!("{}/devices/edge-1/timestamp.json", ours.updates)).send().expect_err("not our certificate");

    // Its agent, sent here, says so as well, and keeps what it has.
    let device = site.device_mut("edge-1");
    device.kill();
    device.pretend(&bellwether_tests::device::Identity {
        key: theirs.key,
        certificate: theirs.certificate,
        ..ours.clone()
    });
    device.start();
    site.wait("the agent is refused", || {
        let trouble = site.device("edge-1").state_of_agent()?.trouble?;
        trouble.starts_with("BW-0613").then_some(())
    });
    assert_eq!(site.device("edge-1").read(MESSAGE).as_deref(), Some("message 1 for edge-1\n"));
    site.wait("the reconciler says so too", || site.reconciler_log().contains("BW-0330").then_some(()));

    let device = site.device_mut("edge-1");
    device.kill();
    device.pretend(&ours);
    device.start();
    site.wait_summary("edge-1", Summary::Online);
}

#[test]
fn killed_again_and_again_a_device_holds_the_old_or_the_new_and_ends_up_to_date() {
    let mut site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    let message = |number: u64| format!("message {number} for edge-1\n");
    // Delays from a fixed seed; where in an apply a kill falls is up to the machine, and every place must be good.
    let mut random: u64 = 0x5eed;
    let mut last = site.introduction;
    for number in 2..=11 {
        site.engineer.replace("fleets/edge.yaml", &format!("message {}", number - 1), &format!("message {number}"));
        last = site.land(&format!("Say message {number}"));
        for _ in 0..3 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            std::thread::sleep(std::time::Duration::from_millis((random >> 33) % 120));
            site.device_mut("edge-1").kill();
            let held = site.device("edge-1").read(MESSAGE).expect("the file is never absent");
            let whole = (1..=number).any(|n| held == message(n));
            assert!(whole, "after commit {number} the device holds {held:?}");
            site.device_mut("edge-1").start();
        }
    }
    site.wait_up_to_date(&last);
    assert_eq!(site.device("edge-1").read(MESSAGE), Some(message(11)));
    let folder = site.device("edge-1").root().join("opt/bellwether");
    let left = std::fs::read_dir(folder).expect("a folder").count();
    assert_eq!(left, 1, "no temporary file is left");
    assert_eq!(site.view("edge-1").status.updated.status, Updated::UpToDate);
}

/// Variables that give a process another clock, by `faketime` of Debian; nothing where it is absent.
fn clock(shows: &str) -> Option<[String; 3]> {
    let library = ["x86_64", "aarch64"].map(|arch| format!("/usr/lib/{arch}-linux-gnu/faketime/libfaketime.so.1"));
    let library = library.into_iter().find(|library| Path::new(library).exists());
    if library.is_none() {
        println!("skipped: libfaketime is not installed (Debian: faketime)");
    }
    // Waiting is by the monotonic clock, which nobody can set wrong.
    Some([format!("LD_PRELOAD={}", library?), format!("FAKETIME={shows}"), "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned()])
}

#[test]
fn six_days_without_the_server_are_survived_by_agents_that_start_again() {
    let clocks = ["+2d", "+4d", "+6d"].map(clock);
    let [Some(_), Some(_), Some(last)] = &clocks else { return };
    let mut site = SiteBuilder::new(PART, 2).fleet(FLEET).start();
    site.wait_up_to_date(&site.introduction);
    site.kill_reconciler();
    for clock in clocks.iter().flatten() {
        for name in ["edge-1", "edge-2"] {
            let device = site.device_mut(name);
            device.kill();
            std::fs::remove_file(device.state().join("status.json")).expect("the agent wrote it");
            device.start_under(&["/usr/bin/env", &clock[0], &clock[1], &clock[2]]);
        }
        for name in ["edge-1", "edge-2"] {
            let status = site.wait("what runs is looked at, and well", || {
                site.device(name).state_of_agent().filter(|status| status.health == Health::Healthy)
            });
            assert!(status.running.is_some() && !status.connected && status.failure.is_none(), "{status:?}");
            assert_eq!(site.device(name).read(MESSAGE), Some(format!("message 1 for {name}\n")));
        }
    }
    site.start_reconciler_under(&["/usr/bin/env", &last[0], &last[1], &last[2]]);
    for name in ["edge-1", "edge-2"] {
        site.wait_summary(name, Summary::Online);
    }
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    site.wait_up_to_date(&second);
}

#[test]
fn a_clock_far_off_is_said_and_harms_nothing() {
    let (Some(past), Some(future)) = (clock("@1970-01-01 00:00:10"), clock("@2099-01-01 00:00:10")) else { return };
    let mut site = SiteBuilder::new(PART, 1).fleet(FLEET).start();
    site.wait_up_to_date(&site.introduction);
    let with_clock = |site: &mut Site, clock: &[String; 3]| {
        let device = site.device_mut("edge-1");
        device.kill();
        std::fs::remove_file(device.state().join("status.json")).expect("the agent wrote it");
        device.start_under(&["/usr/bin/env", &clock[0], &clock[1], &clock[2]]);
    };
    let trouble = |site: &Site, code: &str| {
        site.wait(&format!("the agent says {code}"), || {
            site.device("edge-1").state_of_agent()?.trouble.filter(|trouble| trouble.starts_with(code))
        })
    };

    // Without a battery a device boots in 1970: the time of the last verification is used, so that it can work.
    with_clock(&mut site, &past);
    let said = trouble(&site, "BW-0605");
    assert!(said.contains("1970"), "{said}");
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    site.wait_up_to_date(&second);

    // In 2099 every certificate has expired: it says so, and what runs goes on.
    with_clock(&mut site, &future);
    let said = trouble(&site, "BW-0616");
    assert!(said.to_lowercase().contains("expired"), "{said}");
    assert_eq!(site.device("edge-1").read(MESSAGE).as_deref(), Some("message 2 for edge-1\n"));

    // A future clock was never taken for the truth.
    let device = site.device_mut("edge-1");
    device.kill();
    device.start();
    site.engineer.replace("fleets/edge.yaml", "message 2", "message 3");
    let third = site.land("Say message 3");
    site.wait_up_to_date(&third);
}
