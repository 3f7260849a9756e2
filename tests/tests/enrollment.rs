//! The ways in without a token, and the ways back in: approval of a key, factory certificates, a new token for a device
//! that lost its key; each with real processes, and with a database that is lost on the way.

use bellwether_schemas::api::{DeviceView, RequestView, Summary, Updated};
use bellwether_schemas::{CommitId, Sha256Digest};
use bellwether_tests::https::{answer, client};
use bellwether_tests::site::{token, token_hash};
use bellwether_tests::{Device, Site, SiteBuilder};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData as _};

const PART: &str = env!("CARGO_BIN_EXE_part");
const MESSAGE: &str = "/opt/bellwether/message";
const KIOSKS: &str = "enrollments/kiosks.yaml";
const DATABASE: [&str; 3] = ["state.db", "state.db-wal", "state.db-shm"];

fn enrollment(spec: &str) -> String {
    format!(
        "apiVersion: bellwether/v1\nkind: Enrollment\nmetadata:\n  name: kiosks\nspec:\n  labels: {{role: edge}}\n{spec}"
    )
}

/// Writes the enrollment, and waits until it counts.
fn enact(site: &Site, spec: &str, message: &str) -> CommitId {
    site.engineer.write(KIOSKS, &enrollment(spec));
    let landed = site.land(message);
    site.wait_head(&landed);
    landed
}

/// Kills the reconciler, takes its database away, and starts it again.
fn lose_the_database(site: &mut Site) {
    site.kill_reconciler();
    for file in DATABASE {
        let _absent = std::fs::remove_file(site.path("reconciler").join(file));
    }
    site.start_reconciler();
}

fn wait_current(site: &Site, name: &str) -> DeviceView {
    let current = |view: &DeviceView| view.name.as_str() == name && view.status.updated.status == Updated::UpToDate;
    let views = site.wait_devices(&format!("{name} is up to date"), |views| views.iter().any(current));
    views.into_iter().find(|view| view.name.as_str() == name).expect("it was seen just now")
}

/// Waits until the agent of a device is refused with a code.
fn wait_refused(site: &Site, device: &Device, code: &str) {
    site.wait(&format!("the agent of {} is refused with {code}", device.name), || {
        device.state_of_agent()?.trouble.filter(|trouble| trouble.starts_with(code))
    });
    let (_, said) = device.check(&[]);
    let line = said.lines().find(|line| line.starts_with("FAIL  admission: "));
    assert!(line.is_some_and(|line| line.contains(&format!("({code}) — "))), "{said}");
}

fn wait_requests(site: &Site, what: &str, is: impl Fn(&[RequestView]) -> bool) -> Vec<RequestView> {
    site.wait(what, || site.get::<Vec<RequestView>>("requests").filter(|requests| is(requests)))
}

fn fingerprint_in(log: &str) -> Sha256Digest {
    let line = log.lines().find_map(|line| line.strip_prefix("fingerprint ")).expect("it shows its fingerprint");
    line.parse().expect("64 digits")
}

#[test]
fn a_key_that_a_commit_approves_lets_its_device_in_and_no_other() {
    let mut site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    let mut newcomer = site.spare_device("newcomer");
    let stranger = site.spare_device("stranger");
    let mut closed = site.ask(&newcomer, &["--enrollment", "kiosks"]);
    assert!(!closed.wait().success() && closed.log().contains("BW-0321"), "nobody said so yet: {}", closed.log());

    enact(&site, "  approval: manual\n", "Let kiosks ask");
    let mut asking = site.ask(&newcomer, &["--enrollment", "kiosks"]);
    let mut other = site.ask(&stranger, &["--enrollment", "kiosks", "--wait", "0s"]);
    assert!(!other.wait().success() && other.log().contains("BW-0319"), "it asks once: {}", other.log());
    let waiting = wait_requests(&site, "both wait", |requests| requests.len() == 2);
    let fingerprint = fingerprint_in(&closed.log());
    let request = waiting.iter().find(|r| r.fingerprint == fingerprint).expect("the same key as before");
    assert_eq!((request.enrollment.as_str(), request.facts["os"].as_str()), ("kiosks", std::env::consts::OS));
    let command = format!("bellwether device approve {fingerprint} --enrollment kiosks --commit");
    assert!(asking.log().contains(&command), "{}", asking.log());
    assert!(site.page("/").expect("a page").contains(&waiting[0].fingerprint.to_string()));

    // Requests are kept in memory: whoever still waits asks again, also of a reconciler that lost everything but git.
    lose_the_database(&mut site);
    let waiting = wait_requests(&site, "the one that waits asks again", |requests| !requests.is_empty());
    assert_eq!(waiting.iter().map(|r| r.fingerprint).collect::<Vec<_>>(), [fingerprint]);

    let entry = format!("    - {{id: k1, fingerprint: \"{fingerprint}\", device: kiosk-1}}\n");
    let landed = enact(&site, &format!("  approval: manual\n  approved:\n{entry}"), "Approve a kiosk");
    assert!(asking.wait().success() && asking.log().contains("enrolled as kiosk-1"), "{}", asking.log());
    newcomer.start();
    let view = wait_current(&site, "kiosk-1");
    assert_eq!((view.enrollment.as_str(), view.entry.as_str()), ("kiosks", "k1"));
    assert_eq!(newcomer.read(MESSAGE).as_deref(), Some("message 1 for kiosk-1\n"));
    assert!(wait_requests(&site, "nobody waits", <[_]>::is_empty).is_empty());
    let mut other = site.ask(&stranger, &["--enrollment", "kiosks", "--wait", "0s"]);
    assert!(!other.wait().success() && !stranger.state().join("identity.json").exists());

    // A line that is gone revokes nobody; the word does, on the open session too.
    enact(&site, "  approval: manual\n", "Tidy up");
    assert_eq!(site.view("kiosk-1").status.summary.status, Summary::Online);
    let revoked = entry.replace("kiosk-1}", "kiosk-1, revoked: true}");
    let last = enact(&site, &format!("  approval: manual\n  approved:\n{revoked}"), "Revoke it");
    assert_ne!(landed, last);
    wait_refused(&site, &newcomer, "BW-0333");
    site.wait_summary("kiosk-1", Summary::Revoked);
    let fresh = site.spare_device("fresh");
    std::fs::create_dir_all(fresh.state()).expect("a folder can be made");
    let pending = serde_json::json!({"token": Sha256Digest::of(b"approval by kiosks"), "key": newcomer.identity().key});
    std::fs::write(fresh.state().join("pending.json"), pending.to_string()).expect("a file can be written");
    let mut again = site.ask(&fresh, &["--enrollment", "kiosks"]);
    assert!(!again.wait().success() && again.log().contains("BW-0322"), "nor does its key come back: {}", again.log());
}

/// An authority of a factory, and what it gave to one device, as files.
struct Factory {
    ca: String,
    certificate: String,
    key: String,
    /// The name that the device gets.
    name: String,
}

impl Factory {
    fn new(site: &Site, name: &str) -> Self {
        let (root, leaf) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "widget factory");
        let ca = params.self_signed(&root).expect("signed").pem();
        let certificate = CertificateParams::default().signed_by(&leaf, &Issuer::new(params, root)).expect("signed");
        let file = |end: &str, pem: String| {
            let path = site.path(&format!("{name}.{end}"));
            std::fs::write(&path, pem).expect("a file can be written");
            path.to_str().expect("a temporary folder has a UTF-8 name").to_owned()
        };
        let hash = Sha256Digest::of(&leaf.subject_public_key_info()).to_string();
        Self {
            ca,
            certificate: file("pem", certificate.pem()),
            key: file("key", leaf.serialize_pem()),
            name: format!("kiosks-{}", &hash[..16]),
        }
    }

    fn spec(&self) -> String {
        self.ca.lines().fold("  ca: |\n".to_owned(), |spec, line| spec + "    " + line + "\n")
    }

    /// Enrolls a device with the certificate, to the end; whether it succeeded, and what the agent said.
    fn enroll(&self, site: &Site, device: &Device) -> (bool, String) {
        let factory = ["--factory-certificate", &self.certificate, "--factory-key", &self.key];
        let mut asking = site.ask(device, &[&["--enrollment", "kiosks"], factory.as_slice()].concat());
        (asking.wait().success(), asking.log())
    }
}

#[test]
fn a_factory_certificate_lets_its_device_in_and_back_in_under_one_name() {
    let mut site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    let (ours, foreign) = (Factory::new(&site, "ours"), Factory::new(&site, "foreign"));
    let mut device = site.spare_device("widget");
    let refused = |site: &Site, factory: &Factory, device: &Device, code: &str| {
        let (done, said) = factory.enroll(site, device);
        assert!(!done && said.contains(code), "{code} expected: {said}");
    };
    refused(&site, &ours, &device, "BW-0321");
    enact(&site, &ours.spec(), "Let widgets in");
    refused(&site, &foreign, &device, "BW-0323");
    let mixed = Factory {
        key: foreign.key.clone(),
        ca: String::new(),
        name: String::new(),
        certificate: ours.certificate.clone(),
    };
    refused(&site, &mixed, &device, "does not belong");
    let (done, said) = ours.enroll(&site, &device);
    assert!(done && said.contains(&format!("enrolled as {}", ours.name)), "{said}");
    device.start();
    let view = wait_current(&site, &ours.name);
    assert_eq!((view.enrollment.as_str(), view.entry.as_str()), ("kiosks", "factory"));
    assert_eq!(view.labels.get("role").map(String::as_str), Some("edge"), "the Enrollment's labels");

    // Its disk was lost: the same identity from the factory, another key, the same device; also without a database.
    device.kill();
    let first = device.identity();
    for lost in [device.state(), device.root()] {
        std::fs::remove_dir_all(&lost).expect("it is lost");
    }
    std::fs::create_dir_all(device.root()).expect("a folder can be made");
    lose_the_database(&mut site);
    site.wait_repository("the history is accepted again", |repository| repository.head.is_some());
    // Certificates count in seconds, and which was used is lost, too.
    let enrolled_at = jiff::Timestamp::now().as_second();
    site.wait("the clock goes on", || (jiff::Timestamp::now().as_second() > enrolled_at).then_some(()));
    let (done, said) = ours.enroll(&site, &device);
    assert!(done, "{said}");
    assert_ne!(device.identity().key, first.key);
    device.start();
    wait_current(&site, &ours.name);
    assert!(site.views().len() <= 2, "no second device came of it");
    let with_old = client(&first.ca, Some(&first));
    let asked = with_old.get(format!("{}/devices/{}/timestamp.json", first.updates, ours.name)).send();
    let (status, body) = answer(asked.expect("an answer"));
    assert!(status == 403 && body.contains("BW-0332"), "the first use of the new one retired the old: {status} {body}");

    // Removing the authority ends new enrollments and throws nobody out; a Device manifest does.
    enact(&site, "", "No more widgets");
    let other = site.spare_device("another");
    refused(&site, &ours, &other, "BW-0321");
    assert_eq!(site.view(&ours.name).status.summary.status, Summary::Online);
    let path = format!("devices/{}.yaml", ours.name);
    let revoke =
        format!("apiVersion: bellwether/v1\nkind: Device\nmetadata:\n  name: {}\nspec:\n  revoked: true\n", ours.name);
    site.engineer.write(&path, &revoke);
    site.land("Revoke a widget");
    wait_refused(&site, &device, "BW-0334");
    enact(&site, &ours.spec(), "Widgets again");
    refused(&site, &ours, &other, "BW-0322");
}

#[test]
fn a_new_token_for_a_device_that_lost_its_key_replaces_the_old_certificate_for_good() {
    let mut site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    let stolen = site.device("edge-1").identity();
    let head = site.engineer.head();

    // The entry of the old token makes room for one with another id and another token.
    let old = token_hash(&site.tokens["edge-1"]).to_string();
    let fresh = token("a fresh one");
    site.engineer.replace("enrollments/factory.yaml", "id: edge-1\n", "id: again\n");
    site.engineer.replace("enrollments/factory.yaml", &old, &token_hash(&fresh).to_string());
    let landed = site.land("A new token for edge-1");
    assert_ne!(head, landed);

    // Listing it is enough: the session that is open ends, and nothing is answered any more, on either listener.
    wait_refused(&site, site.device("edge-1"), "BW-0332");
    let old_certificate_is_refused = |site: &Site| {
        let as_thief = client(&stolen.ca, Some(&stolen));
        let asked = as_thief.get(format!("{}/devices/edge-1/timestamp.json", stolen.updates)).send();
        let (status, body) = answer(asked.expect("an answer"));
        assert!(status == 403 && body.contains("BW-0332"), "{status} {body}");
        wait_refused(site, site.device("edge-1"), "BW-0332");
    };
    old_certificate_is_refused(&site);
    site.wait_summary("edge-1", Summary::Revoked);

    // Nor does a lost database know it again: what replaced it is in git.
    lose_the_database(&mut site);
    site.wait_repository("the history is accepted again", |repository| repository.head.is_some());
    old_certificate_is_refused(&site);

    let mut again = site.spare_device("edge-1-again");
    let (done, said) = site.enroll(&again, &site.tokens["edge-1"]);
    assert!(!done && said.contains("BW-0313"), "the old token is worth nothing: {said}");
    let (done, said) = site.enroll(&again, &fresh);
    assert!(done && said.contains("enrolled as edge-1"), "{said}");
    again.start();
    let view = wait_current(&site, "edge-1");
    assert_eq!(view.entry.as_str(), "again");
    assert_eq!(again.read(MESSAGE).as_deref(), Some("message 1 for edge-1\n"));
    old_certificate_is_refused(&site);
    assert_eq!(site.view("edge-1").status.summary.status, Summary::Online, "the thief disturbs nobody");

    lose_the_database(&mut site);
    wait_current(&site, "edge-1");
    let (done, said) = site.enroll(&site.spare_device("thief"), &fresh);
    assert!(!done && said.contains("BW-0314"), "a spent token stays spent: {said}");
}
