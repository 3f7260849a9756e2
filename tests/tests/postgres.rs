//! A reconciler whose state is in PostgreSQL, and what holds for the state wherever it is: one process at a time, and one
//! certificate for a token. Real servers, real processes, and real kills.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use bellwether_postgres::Server;
use bellwether_schemas::enroll::{Claim, ENROLL_PATH, EnrollRequest, EnrollResponse};
use bellwether_tests::process::Process;
use bellwether_tests::{Site, SiteBuilder, https};
use rcgen::{CertificateParams, KeyPair};

const PART: &str = env!("CARGO_BIN_EXE_part");

fn config(site: &Site) -> String {
    site.path("reconciler/reconciler.yaml").display().to_string()
}

/// Lands a new message for every device.
fn land(site: &Site, message: &str) -> bellwether_schemas::CommitId {
    let fleet = bellwether_tests::site::FLEET.replace("message 1", message);
    site.engineer.write("fleets/edge.yaml", &fleet);
    let commit = site.engineer.commit(message);
    site.engineer.push();
    commit
}

#[test]
fn a_server_that_is_started_again_is_only_a_pause() {
    let Some(mut server) = Server::start() else { return };
    let mut site = SiteBuilder::new(PART, 2).state(&server.url("postgres")).start();
    site.wait_up_to_date(&site.introduction);
    assert!(!site.path("reconciler/state.db").exists(), "nothing of the state is in a file");
    server.kill();
    let second = land(&site, "message 2");
    site.wait("a pass failed", || site.reconciler_log().contains("tried again").then_some(()));
    server.start_again();
    site.wait_up_to_date(&second);
    // And nothing of it was in memory only.
    site.kill_reconciler();
    site.start_reconciler();
    site.wait_up_to_date(&second);
}

#[test]
fn a_state_moves_from_a_file_to_a_server_by_backup_and_restore() {
    let Some(server) = Server::start() else { return };
    let mut site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);
    let backup = site.path("backup").display().to_string();
    let (made, said) = site.reconciler(&["backup", "--to", &backup]);
    assert!(made, "{said}");
    let (restored, said) = site.reconciler(&["restore", "--from", &backup]);
    assert!(!restored && said.contains("BW-0516"), "a reconciler runs on it: {said}");
    site.kill_reconciler();

    site.configure("state", &server.url("postgres"));
    let (restored, said) = site.reconciler(&["restore", "--from", &backup]);
    assert!(restored, "{said}");
    site.start_reconciler();
    site.wait_up_to_date(&site.introduction);
    let second = land(&site, "message 2");
    site.wait_up_to_date(&second);
}

#[test]
fn a_second_reconciler_stands_by_until_the_first_one_is_killed() {
    let Some(server) = Server::start() else { return };
    let mut site = SiteBuilder::new(PART, 1).state(&server.url("postgres")).start();
    site.wait_up_to_date(&site.introduction);
    // The same configuration: it opens its listeners only once the first one is gone.
    let (arguments, log) = (["reconciler", "run", "--config", &config(&site)], site.path("standby.log"));
    let mut standby = Process::start(Path::new(PART), &arguments, &log);
    site.wait("the second one says whom it waits for", || {
        standby.log().contains("standing by: the state is in use, by bellwether-reconciler, process").then_some(())
    });
    let mut third = Process::start(Path::new(PART), &arguments, &site.path("third.log"));
    site.wait("the third one waits", || third.log().contains("standing by").then_some(()));
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(third.id().cast_signed()).expect("it runs"),
        rustix::process::Signal::TERM,
    )
    .expect("it can be told to stop");
    assert!(third.wait().success(), "a standby that is stopped ends well: {}", third.log());

    site.kill_reconciler();
    let second = land(&site, "message 2");
    site.wait_up_to_date(&second);
    assert!(standby.log().contains("enroll   https://"), "it has opened its listeners: {}", standby.log());
    standby.kill();
}

#[test]
fn a_second_reconciler_on_a_file_is_refused() {
    let mut site = SiteBuilder::new(PART, 1).start();
    let said = site.reconciler_refuses();
    assert!(said.contains("error[BW-0516]") && said.contains("state.db.lock is locked"), "{said}");
    // The one that runs is not disturbed, and a kill leaves nothing that would have to be removed.
    site.wait_up_to_date(&site.introduction);
    site.kill_reconciler();
    site.start_reconciler();
}

#[test]
fn two_reconcilers_with_one_store_and_two_databases_do_not_write_by_turns() {
    let mut site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    // Somebody copies a configuration and changes what would be refused at once.
    let mut other = std::fs::read_to_string(config(&site)).expect("the configuration is there");
    let addresses = bellwether_tests::site::free_addresses();
    let lines = ["enroll", "devices", "updates", "page"].into_iter().zip(&addresses);
    let changed = [("state", "sqlite://other.db"), ("mirror", "other.git")].into_iter();
    for (field, value) in changed.chain(lines.map(|(field, address)| (field, address.as_str()))) {
        let lines = other.lines().map(|line| match line.split_once(':') {
            Some((name, was)) if name.trim_start() == field && !was.contains("https:") => {
                format!("{name}: \"{value}\"")
            }
            _ => line.to_owned(),
        });
        other = lines.collect::<Vec<_>>().join("\n") + "\n";
    }
    let file = site.path("reconciler/other.yaml");
    std::fs::write(&file, other).expect("it can be written");
    let arguments = ["reconciler", "run", "--config", file.to_str().expect("text"), "--output", "json"];
    let (mut second, line) = Process::start_and_read_line(Path::new(PART), &arguments, &site.path("other.log"));
    assert!(line.contains("https://"), "{line}: {}", second.log());
    // Whoever had the store finds that out before it writes.
    land(&site, "message 2");
    assert!(!site.reconciler_ends(), "its supervisor is to start it again");
    let said = site.reconciler_log();
    let name = format!("process {} on ", second.id());
    assert!(said.contains("BW-0540") && said.contains(&name), "{said}");
    assert!(second.ends_within(Duration::from_millis(1)).is_none(), "{}", second.log());
    second.kill();
}

#[test]
fn a_password_comes_from_a_file_and_never_from_the_address() {
    let Some(mut server) = Server::start() else { return };
    let site = SiteBuilder::new(PART, 0).state(&server.url("postgres")).build();
    server.sql("ALTER ROLE bellwether PASSWORD 'correct horse'");
    server.stop();
    let hba = server.write("passwords.conf", "local all all scram-sha-256\n");
    server.set("hba_file", &hba.display().to_string());
    server.start_again();

    let said = site.reconciler_refuses();
    assert!(said.contains("error[BW-0507]") && !said.contains("correct horse"), "{said}");
    let file = site.path("pgpass");
    std::fs::write(&file, "*:*:*:bellwether:correct horse\n").expect("written");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its mode can be set");
    let variable = format!("PGPASSFILE={}", file.display());
    let (arguments, log) = ([&variable, PART, "reconciler", "run", "--config", &config(&site)], site.path("run.log"));
    let (mut process, line) = Process::start_and_read_line(Path::new("/usr/bin/env"), &arguments, &log);
    assert!(line.starts_with("enroll"), "{line}");
    process.kill();

    site.configure("state", &server.url("postgres").replace("bellwether@", "bellwether:correct%20horse@"));
    let said = site.reconciler_refuses();
    assert!(said.contains("error[BW-0701]") && said.contains("PGPASSFILE") && !said.contains("correct"), "{said}");
}

#[test]
fn a_thousand_racing_uses_of_one_token_yield_one_certificate_with_a_file() {
    race(SiteBuilder::new(PART, 1));
}

#[test]
fn a_thousand_racing_uses_of_one_token_yield_one_certificate_with_a_server() {
    let Some(server) = Server::start() else { return };
    race(SiteBuilder::new(PART, 1).state(&server.url("postgres")));
}

/// A use of the token: a key of its own, and what came of it.
struct Race<'s> {
    client: reqwest::blocking::Client,
    token: &'s str,
    /// Uses that were answered for good.
    answered: AtomicUsize,
    /// Certificates that were handed out, with the request that they were for.
    issued: Mutex<Vec<(String, EnrollResponse)>>,
}

impl Race<'_> {
    /// Asks until there is an answer: the certificate, or that the token is spent.
    fn ask(&self, url: &str, csr: &str) -> Option<EnrollResponse> {
        let request = EnrollRequest {
            claim: Claim::Token(self.token.to_owned()),
            csr: csr.to_owned(),
            facts: Default::default(),
        };
        let body = serde_json::to_vec(&request).expect("JSON");
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let sent = self.client.post(format!("{url}{ENROLL_PATH}")).body(body.clone()).send();
            // The reconciler is away, or ends while it answers; or it is busy: the device asks again.
            let (status, said) = sent.ok().map(https::answer).unwrap_or_default();
            match status {
                200 => return Some(serde_json::from_str(&said).expect("an enrollment")),
                409 if said.contains("BW-") => return None,
                0 | 429 | 503 => {}
                other => panic!("{other}: {said}"),
            }
            assert!(Instant::now() < until, "no answer for two minutes: {status} {said}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn request() -> String {
    let key = KeyPair::generate().expect("a key");
    CertificateParams::default().serialize_request(&key).expect("a request").pem().expect("PEM")
}

fn race(builder: SiteBuilder) {
    const THREADS: usize = 20;
    const EACH: usize = 50;
    let mut site = builder.build();
    site.start_reconciler();
    site.wait_repository("the introduction is accepted", |repository| repository.head.is_some());
    let (url, token) = (site.addresses().enroll.clone(), site.tokens["edge-1"].clone());
    let ca = std::fs::read_to_string(site.path("reconciler/ca/ca.crt")).expect("the CA is there");
    let client = https::client(&ca, None);
    let race = Race { client, token: &token, answered: AtomicUsize::new(0), issued: Mutex::default() };
    let start = Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let requests: Vec<_> = (0..EACH).map(|_| request()).collect();
                start.wait();
                for csr in requests {
                    if let Some(answer) = race.ask(&url, &csr) {
                        race.issued.lock().expect("no panic").push((csr, answer));
                    }
                    race.answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        start.wait();
        for answered in [1, 200, 400, 600, 800] {
            while race.answered.load(Ordering::Relaxed) < answered {
                std::thread::yield_now();
            }
            site.kill_reconciler();
            site.start_reconciler();
        }
    });
    assert_eq!(race.answered.load(Ordering::Relaxed), THREADS * EACH);
    let issued = race.issued.into_inner().expect("no panic");
    let [(csr, first)] = &issued[..] else { panic!("{} keys have a certificate", issued.len()) };
    let records = std::fs::read_dir(site.path("reconciler/store/enrolled")).expect("the records are there");
    let mut names: Vec<_> =
        records.map(|record| record.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    let record = bellwether_tests::site::token_hash(&token).to_string();
    let certificate = format!("{record}.crt");
    assert_eq!(names, [record, certificate]);
    let race = Race {
        client: https::client(&ca, None),
        token: &token,
        answered: AtomicUsize::new(0),
        issued: Mutex::default(),
    };
    assert_eq!(race.ask(&url, csr).as_ref(), Some(first), "the winner gets the same certificate again");
    assert_eq!(race.ask(&url, &request()), None, "nobody else gets any");
}
