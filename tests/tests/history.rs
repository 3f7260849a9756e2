//! Devices ahead of the git history: paused, adopted, forced.

use bellwether_schemas::CommitId;
use bellwether_schemas::api::{Condition, RepositoryView, Summary, Updated};
use bellwether_tests::files::{copy, put, remove};
use bellwether_tests::site::{ROLLOUT, policy};
use bellwether_tests::{Site, SiteBuilder};

const PART: &str = env!("CARGO_BIN_EXE_part");
const MESSAGE: &str = "/opt/bellwether/message";

/// A site whose devices all run the second landing.
fn at_second_landing() -> (Site, bellwether_schemas::CommitId) {
    let site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    site.wait_up_to_date(&second);
    (site, second)
}

#[test]
fn a_history_forced_back_pauses_the_devices_ahead_and_its_return_ends_that() {
    let (site, second) = at_second_landing();

    site.engineer.force_push(&site.introduction);
    let rewound =
        site.wait_repository("the repository is rewound", |r| matches!(r.condition, Condition::Rewound { .. }));
    assert!(rewound.why.contains(&second.short()), "{}", rewound.why);
    for device in ["edge-1", "edge-2"] {
        let view = site.wait_summary(device, Summary::ConflictPaused);
        assert!(view.why.contains(&second.to_string()), "the missing commit is named: {}", view.why);
        assert_eq!(
            site.device(device).read(MESSAGE),
            Some(format!("message 2 for {device}\n")),
            "it keeps what it runs"
        );
    }

    site.engineer.force_push(&second);
    site.wait_devices("every device takes part again", |views| {
        views.iter().all(|v| v.status.summary.status == Summary::Online && v.status.updated.status == Updated::UpToDate)
    });
}

#[test]
fn a_new_introduction_and_a_signed_resume_move_paused_devices_by_supersedes() {
    let (mut site, second) = at_second_landing();
    // The reset is made deliberate: history goes on from the first commit, and the configuration says so.
    let fresh = go_on_from_the_first(&site, "");
    let new_policy = bellwether_tests::site::digest_of(&site.engineer.work().join("trust/policy.yaml"));
    site.kill_reconciler();
    site.introduce(&fresh, &new_policy);
    site.start_reconciler();
    move_paused_devices(&site, &second);
}

#[test]
fn a_signed_reset_and_a_signed_resume_move_paused_devices_by_supersedes() {
    let (site, second) = at_second_landing();
    // The policy itself says what is given up, and who runs the reconciler does nothing.
    let fresh = go_on_from_the_first(&site, &format!("  abandons: {second}\n"));
    site.wait_head(&fresh);
    move_paused_devices(&site, &second);
}

/// Gives the second landing up; `more` is what the new policy says besides.
fn go_on_from_the_first(site: &Site, more: &str) -> CommitId {
    site.engineer.reset(&site.introduction);
    site.engineer.write("trust/policy.yaml", &(policy(&site.engineer.public_key(), 2) + more));
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 3");
    let fresh = site.engineer.commit("Go on from the first landing");
    site.engineer.force_push(&fresh);
    fresh
}

/// Both devices run what was given up, and are moved one after the other.
fn move_paused_devices(site: &Site, second: &CommitId) {
    for device in ["edge-1", "edge-2"] {
        let view = site.wait_summary(device, Summary::ConflictPaused);
        assert!(view.why.contains(&second.to_string()), "{}", view.why);
    }

    let resume = format!(
        "apiVersion: bellwether/v1\nkind: Resume\nmetadata:\n  name: reset\nspec:\n  over: [{second}]\n  devices: [edge-1]\n  \
         reason: the second landing was withdrawn\n"
    );
    site.engineer.write("resumes/reset.yaml", &resume);
    site.land("Force edge-1");
    site.wait_devices("edge-1 is moved", |views| {
        views.iter().any(|v| v.name.as_str() == "edge-1" && v.status.updated.status == Updated::UpToDate)
    });
    assert_eq!(site.device("edge-1").read(MESSAGE).as_deref(), Some("message 3 for edge-1\n"));
    assert_eq!(site.view("edge-2").status.summary.status, Summary::ConflictPaused, "only edge-1 was named");
    assert_eq!(site.device("edge-2").read(MESSAGE).as_deref(), Some("message 2 for edge-2\n"));

    site.engineer.replace("resumes/reset.yaml", "  devices: [edge-1]\n", "");
    site.land("Force every device that runs the withdrawn landing");
    site.wait_devices("edge-2 is moved too", |views| {
        views.iter().all(|v| v.status.updated.status == Updated::UpToDate && v.status.summary.status == Summary::Online)
    });
    assert_eq!(site.device("edge-2").read(MESSAGE).as_deref(), Some("message 3 for edge-2\n"));
}

#[test]
fn a_backup_made_while_running_brings_the_fleet_back_and_another_release_s_is_refused() {
    let mut site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);
    let to = site.path("backup").display().to_string();
    let (made, said) = site.reconciler(&["backup", "--to", &to]);
    assert!(made && said.contains("no secrets"), "{said}");
    let (made, said) = site.reconciler(&["backup", "--to", &to]);
    assert!(!made && said.contains("BW-0531") && said.contains("exists already"), "{said}");
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    site.wait_up_to_date(&second);
    site.kill_reconciler();

    let (restored, said) = site.reconciler(&["restore", "--from", &to]);
    assert!(!restored && said.contains("BW-0532") && said.contains("move it aside"), "{said}");
    for path in [&DATABASE[..], &["mirror.git", "store"]].concat() {
        remove(&site.path("reconciler").join(path));
    }
    let (restored, said) = site.reconciler(&["restore", "--from", &to, "--output", "json"]);
    let outcome: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert!(restored && outcome["awaited"] == 2 && outcome["voidTokens"] == true, "{said}");
    for device in &mut site.devices {
        device.kill();
    }
    site.start_reconciler();
    for device in ["edge-1", "edge-2"] {
        site.wait_summary(device, Summary::AwaitingReconnect);
        let published = site.store().join("devices").join(device);
        assert!(!published.exists(), "nothing is published for it before it has reported");
    }
    site.devices[0].start();
    site.wait_summary("edge-1", Summary::Online);
    assert_eq!(site.view("edge-2").status.summary.status, Summary::AwaitingReconnect);
    site.devices[1].start();
    site.wait_up_to_date(&second);
    assert_eq!(site.view("edge-1").version.map(|version| version.commit), Some(second), "it goes on where it was");
}

#[test]
fn a_merge_the_other_way_round_is_refused() {
    let site = SiteBuilder::new(PART, 1).rollout(ROLLOUT).start();
    site.wait_up_to_date(&site.introduction);
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    site.wait_up_to_date(&second);

    // A branch from before takes main as its second parent, and is pushed over main.
    site.engineer.git(&["checkout", "--quiet", "-b", "side", &site.introduction.to_string()]);
    site.engineer.write("README.md", "a side line\n");
    site.engineer.commit("A side line");
    site.engineer.git(&["merge", "--quiet", "--no-ff", "--gpg-sign", "-m", "The wrong way round", "main"]);
    let foxtrot = site.engineer.head();
    site.engineer.force_push(&foxtrot);
    let stalled =
        site.wait_repository("the repository is stalled", |r| bellwether_tests::site::stalled_by(r).is_some());
    assert_eq!(bellwether_tests::site::stalled_by(&stalled), Some("BW-0224"), "{stalled:?}");
    assert_eq!(stalled.head.map(|head| head.commit), Some(second));
}

/// Takes a copy of what a restore would bring back.
fn back_up(site: &Site, name: &str, paths: &[&str]) {
    for path in paths {
        let (from, to) = (site.path("reconciler").join(path), site.path(name).join(path));
        copy(&from, &to);
    }
}

const DATABASE: [&str; 3] = ["state.db", "state.db-wal", "state.db-shm"];

fn is_rewound(repository: &RepositoryView, missing: &CommitId) -> bool {
    matches!(&repository.condition, Condition::Rewound { accepted, .. } if accepted == missing)
}

/// A site at its second landing, whose reconciler is down, with a backup of `paths` from the first; the git server was set
/// back to the first landing too, and the mirror is gone.
fn set_back(paths: &[&str]) -> (Site, CommitId) {
    let mut site = SiteBuilder::new(PART, 2).start();
    site.wait_up_to_date(&site.introduction);
    site.kill_reconciler();
    back_up(&site, "backup", paths);
    site.start_reconciler();
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 2");
    let second = site.land("Say message 2");
    site.wait_up_to_date(&second);
    let holds = |device: &bellwether_tests::Device| {
        let record = std::fs::read_to_string(device.state().join("head.json")).unwrap_or_default();
        record.contains(&second.to_string()).then_some(())
    };
    for device in &site.devices {
        site.wait("the device holds the newest head", || holds(device));
    }
    site.kill_reconciler();
    put(&site, "backup", "reconciler", paths);
    remove(&site.path("reconciler/mirror.git"));
    site.engineer.force_push(&site.introduction);
    (site, second)
}

/// Nothing moves until the missing commits return, whatever else is pushed; then everything goes on.
fn goes_on_from(site: &Site, second: &CommitId) {
    for device in ["edge-1", "edge-2"] {
        site.wait_summary(device, Summary::ConflictPaused);
        assert_eq!(
            site.device(device).read(MESSAGE),
            Some(format!("message 2 for {device}\n")),
            "it keeps what it runs"
        );
    }
    site.engineer.reset(&site.introduction);
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 3");
    site.land("Another second landing");
    let other = site.engineer.head();
    let view = site.wait_repository(
        "the other landing was seen",
        |r| matches!(&r.condition, Condition::Rewound { tip, .. } if *tip == other),
    );
    assert!(is_rewound(&view, second) && view.head.map(|head| head.commit) == Some(site.introduction), "nothing moved");
    site.engineer.force_push(second);
    site.wait_repository("the head is what it was", |r| {
        r.condition == Condition::Verified && r.head.as_ref().is_some_and(|head| head.commit == *second)
    });
    site.wait_devices("every device takes part again", |views| {
        views.iter().all(|v| v.status.summary.status == Summary::Online && v.status.updated.status == Updated::UpToDate)
    });
}

#[test]
fn an_older_database_beside_the_store_does_not_roll_the_head_back() {
    let (mut site, second) = set_back(&DATABASE);
    site.start_reconciler();
    site.wait_repository("the store's record is missing from the branch", |r| is_rewound(r, &second));
    goes_on_from(&site, &second);
}

#[test]
fn a_device_brings_back_the_head_that_database_and_store_lost() {
    let paths = [&DATABASE[..], &["store"]].concat();
    let (mut site, second) = set_back(&paths);
    for device in &mut site.devices {
        device.kill();
    }
    site.start_reconciler();
    let forgotten = site.wait_repository("it is verified", |r| r.condition == Condition::Verified);
    assert_eq!(forgotten.head.map(|head| head.commit), Some(site.introduction), "nobody is left who knows better");
    for device in &mut site.devices {
        device.start();
    }
    site.wait_repository("a device's record is missing from the branch", |r| is_rewound(r, &second));
    goes_on_from(&site, &second);
}

#[test]
fn a_damaged_record_of_the_head_is_never_taken_as_absent() {
    let mut site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    site.kill_reconciler();
    let record = site.path("reconciler/store/head.json");
    let text = std::fs::read_to_string(&record).expect("the record is in the store");
    std::fs::write(&record, text.replace("\"landing\":1", "\"landing\":0")).expect("written");
    let said = site.reconciler_refuses();
    assert!(said.contains("BW-0280") && said.contains("head.json"), "{said}");
}

#[test]
fn a_silence_is_seen_by_reconciler_and_devices_and_stops_no_offer() {
    let mut site = SiteBuilder::new(PART, 2).build();
    site.start_reconciler();
    site.enroll_all();
    site.devices[0].start();
    site.wait_summary("edge-1", Summary::Online);
    let with = |version, silence: &str| {
        let policy = policy(&site.engineer.public_key(), version);
        policy.replace("  people:\n", &format!("  maxSilence: {silence}\n  people:\n"))
    };
    site.engineer.write("trust/policy.yaml", &with(2, "2s"));
    site.land("Let nobody be silent for long");
    let frozen = |r: &RepositoryView| matches!(r.condition, Condition::Frozen { .. });
    let view = site.wait_repository("the repository is frozen", frozen);
    assert!(view.why.contains("maxSilence"), "{}", view.why);
    let metrics = site.wait("the metrics say so", || {
        let text = site.page("/metrics")?;
        text.contains("bellwether_repository_condition{condition=\"Frozen\"} 1").then_some(text)
    });
    assert!(metrics.contains("bellwether_repository_condition{condition=\"Verified\"} 0"));
    site.wait("the device says so", || site.device("edge-1").status().contains("BW-0242").then_some(()));
    let status: serde_json::Value = serde_json::from_str(&site.device("edge-1").status_json()).expect("JSON");
    assert_eq!(status["frozen"]["code"], "BW-0242", "{status}");
    assert_eq!(status["frozen"]["maxSilence"], "2s", "{status}");

    // The accepted head stays in force: a device that comes meanwhile gets what it says.
    site.devices[1].start();
    site.wait_up_to_date(&site.introduction);
    assert!(site.wait_repository("it still is", frozen).head.is_some());

    site.engineer.write("trust/policy.yaml", &with(3, "1h"));
    site.land("Speak");
    site.wait_repository("a signed commit ends it", |r| r.condition == Condition::Verified);
    site.wait("the device knows", || (!site.device("edge-1").status().contains("BW-0242")).then_some(()));
}
