//! The platform goes back to the release that was there before, with the database that was backed up before the upgrade.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use bellwether_reconciler::keys::OnlineKeys;
use bellwether_reconciler::publish::{Objects, Publisher};
use bellwether_schemas::CommitId;
use bellwether_schemas::api::{RolloutState, Summary, Updated, WaitingOn};
use bellwether_tests::{Site, SiteBuilder};
use sqlx::{Connection as _, Row as _, SqliteConnection};

const PART: &str = env!("CARGO_BIN_EXE_part");
const MESSAGE: &str = "/opt/bellwether/message";
const DATABASE: [&str; 3] = ["state.db", "state.db-wal", "state.db-shm"];

/// Leaves database and store as a newer release would that ran here: with a migration, and with records of rollouts that have
/// a field which this release does not know.
fn as_a_newer_release_leaves_it(site: &Site) -> i64 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut database = open(site).await;
        let future = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                      SELECT version + 1, 'of the future', success, checksum, 0 FROM _sqlx_migrations \
                      ORDER BY version DESC LIMIT 1";
        sqlx::query(future).execute(&mut database).await.expect("it runs");
        let newest = newest_migration(&mut database).await;
        database.close().await.expect("closed");

        let objects = Objects::in_directory(&site.store()).expect("a store");
        let keys = OnlineKeys::load(&site.path("reconciler/keys/online")).expect("online keys");
        let publisher = Publisher::open(objects, keys).await.expect("a publisher");
        let mut records = publisher.fleets().await.expect("read");
        assert_eq!(records.len(), 1, "{records:?}");
        for record in &mut records {
            record.sequence += 1;
            record.record["ofANewerRelease"] = true.into();
        }
        publisher.store_fleets(records).await.expect("stored");
        newest
    })
}

async fn open(site: &Site) -> SqliteConnection {
    let file = site.path("reconciler/state.db");
    SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.expect("a database")
}

async fn newest_migration(database: &mut SqliteConnection) -> i64 {
    let newest = sqlx::query("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(database).await;
    newest.expect("read").get(0)
}

/// The file on a device: placed anew it is another one.
fn placed(site: &Site, device: &str) -> (u64, String) {
    let device = site.device(device);
    let file = device.root().join(MESSAGE.trim_start_matches('/'));
    (std::fs::metadata(file).expect("it is placed").ino(), device.read(MESSAGE).expect("it is placed"))
}

fn enrolls(site: &mut Site, device: &str) {
    let (enrolled, said) = site.enroll(site.device(device), &site.tokens[device]);
    assert!(enrolled, "{said}");
    site.device_mut(device).start();
}

fn move_aside(site: &Site, files: &[&str]) {
    for file in files.iter().map(|file| site.path("reconciler").join(file)).filter(|file| file.exists()) {
        let mut aside = file.clone().into_os_string();
        aside.push(".newer");
        std::fs::rename(&file, Path::new(&aside)).expect("it can be moved");
    }
}

/// Says the second message everywhere, then a third that fails on the canary, so that its rollout halts.
fn goes_on_and_halts(site: &Site) -> (CommitId, CommitId) {
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    site.wait_up_to_date(&second);
    site.engineer.replace("fleets/edge.yaml", "message 2", "message 3");
    site.engineer.replace("fleets/edge.yaml", "{path: /opt/bellwether/message}", "{path: /opt/bellwether/absent}");
    let third = site.land("Say message 3, and break the probe");
    is_halted(site, &third);
    (second, third)
}

/// The third landing failed on the canary, which went back, and nobody else is offered it.
fn is_halted(site: &Site, third: &CommitId) {
    let halted = site.wait_rollout("the rollout is halted", |rollout| rollout.state == RolloutState::Halted);
    assert!(halted.commit == *third && matches!(halted.reason, Some(WaitingOn::Halted { failures: 1, .. })));
    site.wait_devices("the canary has gone back, and nobody else is offered anything", |views| {
        let (canary, others): (Vec<_>, Vec<_>) = views.iter().partition(|view| view.name.as_str() == "edge-1");
        let online = |status: Summary| matches!(status, Summary::Online | Summary::Error);
        canary.len() == 1
            && others.len() == 2
            && views.iter().all(|view| online(view.status.summary.status))
            && canary.iter().all(|view| view.status.updated.status == Updated::Failed)
            && others.iter().all(|view| matches!(view.reason, Some(WaitingOn::Halted { .. })))
            && views.iter().all(|view| view.version.map(|version| version.landing) == Some(2))
    });
}

#[test]
fn platform_is_rolled_back_with_its_database() {
    let mut site = SiteBuilder::new(PART, 3).build();
    site.start_reconciler();
    site.wait_repository("the introduction is accepted", |repository| repository.head.is_some());
    enrolls(&mut site, "edge-1");
    enrolls(&mut site, "edge-2");
    site.wait_devices("both run the first message", |views| {
        views.len() == 2 && views.iter().all(|view| view.status.updated.status == Updated::UpToDate)
    });
    let backup = site.path("before-the-upgrade").display().to_string();
    let (made, said) = site.reconciler(&["backup", "--to", &backup]);
    assert!(made, "{said}");

    // The newer release is run for a while: git and devices move on, and another device comes.
    enrolls(&mut site, "edge-3");
    site.wait_up_to_date(&site.introduction);
    let (second, third) = goes_on_and_halts(&site);
    let devices = ["edge-1", "edge-2", "edge-3"];
    let before = devices.map(|device| placed(&site, device));
    site.kill_reconciler();
    let newest = as_a_newer_release_leaves_it(&site);

    // The older one refuses, says what to do, and touches nothing; the other commands do the same.
    let said = site.reconciler_refuses();
    for part in [
        "error[BW-0518]",
        &format!("it has migration {newest}, and this release knows those up to {}", newest - 1),
        "restore the backup that was made before the upgrade",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    for (command, option) in [("backup", "--to"), ("restore", "--from")] {
        let place = if command == "backup" { format!("{backup}-again") } else { backup.clone() };
        let (done, said) = site.reconciler(&[command, option, &place]);
        assert!(!done && said.contains("BW-0518"), "{command}: {said}");
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    assert_eq!(runtime.block_on(async { newest_migration(&mut open(&site).await).await }), newest);

    // What it says is done: the database of before the upgrade, and the store as it is.
    move_aside(&site, &DATABASE);
    let (restored, said) = site.reconciler(&["restore", "--from", &backup, "--output", "json"]);
    let outcome: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert!(restored && outcome["awaited"] == 3 && outcome["voidTokens"] == false, "{said}");
    site.start_reconciler();
    assert!(site.reconciler_log().contains("BW-0530"), "{}", site.reconciler_log());

    // Git is the truth: nobody goes backwards, nobody is applied anew or paused, and what failed is not tried again.
    is_halted(&site, &third);
    assert_eq!(devices.map(|device| placed(&site, device)), before);
    for device in devices {
        let log = site.device(device).log();
        assert!(!log.contains("paused") && site.view(device).version.is_some_and(|v| v.commit == second), "{log}");
    }
    let (enrolled, said) = site.enroll(&site.spare_device("thief"), &site.tokens["edge-3"]);
    assert!(!enrolled && said.contains("BW-0314"), "a spent token stays spent: {said}");

    // It stays so after another start, and goes on with the next commit.
    site.kill_reconciler();
    site.start_reconciler();
    is_halted(&site, &third);
    assert_eq!(devices.map(|device| placed(&site, device)), before);
    site.engineer.replace("fleets/edge.yaml", "{path: /opt/bellwether/absent}", "{path: /opt/bellwether/message}");
    let good = site.land("Mend the probe");
    site.wait_up_to_date(&good);
    assert_eq!(site.device("edge-3").read(MESSAGE).as_deref(), Some("message 3 for edge-3\n"));
}
