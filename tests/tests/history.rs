//! Devices ahead of the git history: paused, adopted, forced.

use bellwether_schemas::api::{Condition, Summary, Updated};
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
    site.engineer.reset(&site.introduction);
    site.engineer.write("trust/policy.yaml", &policy(&site.engineer.public_key(), 2));
    site.engineer.replace("fleets/edge.yaml", "message 1", "message 3");
    let fresh = site.engineer.commit("A new introduction");
    site.engineer.force_push(&fresh);
    let new_policy = bellwether_tests::site::digest_of(&site.engineer.work().join("trust/policy.yaml"));
    site.kill_reconciler();
    site.introduce(&fresh, &new_policy);
    site.start_reconciler();

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
fn an_empty_database_beside_a_store_refuses_to_start() {
    let mut site = SiteBuilder::new(PART, 1).start();
    site.wait_up_to_date(&site.introduction);
    site.kill_reconciler();
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        // The journal files are there only while the database is open.
        let _ = std::fs::remove_file(site.path("reconciler").join(file));
    }
    let said = site.reconciler_refuses();
    assert!(said.contains("BW-0502"), "{said}");
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
