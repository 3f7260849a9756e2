//! The great deletion: 200 devices in the middle of a rollout, some offline, some failed, beside a fleet that halted and devices
//! that have left or were revoked. Then the database is lost, or the store, or both, or old copies take their place, or git is
//! set back; and the fleet comes back.
//!
//! What must hold each time is in `docs/reliability.md`.

mod ended;
mod great;

use bellwether_postgres::Server;
use bellwether_schemas::CommitId;
use bellwether_schemas::api::{Condition, DeviceView, Summary};
use bellwether_tests::Site;
use bellwether_tests::site::token_hash;

use great::Great;

const DATABASE: [&str; 3] = ["state.db", "state.db-wal", "state.db-shm"];

#[test]
fn great_deletion_of_the_database() {
    let mut great = Great::begin();
    great.site.kill_reconciler();
    great.lose(&[&DATABASE[..], &["mirror.git"]].concat());
    great.site.start_reconciler();
    great.is_back();
    great.nothing_comes_back_that_was_ended();
    great.goes_on();
}

#[test]
fn great_deletion_of_the_store() {
    let mut great = Great::begin();
    great.site.kill_reconciler();
    great.lose(&["store"]);
    assert!(great.site.reconciler_refuses().contains("BW-0503"), "a store that is not mounted looks the same");
    let (restored, said) = great.site.reconciler(&["restore"]);
    assert!(restored && said.contains("void"), "{said}");
    great.site.start_reconciler();
    great.is_back();
    great.nothing_comes_back_that_was_ended();
    great.goes_on();
}

#[test]
fn great_deletion_of_both() {
    let mut great = Great::begin();
    great.site.kill_reconciler();
    great.lose(&[&DATABASE[..], &["mirror.git", "store"]].concat());
    assert!(great.site.reconciler_refuses().contains("BW-0501"), "only a person says that it is not a new one");
    let (restored, said) = great.site.reconciler(&["restore"]);
    assert!(restored, "{said}");
    great.site.start_reconciler();
    great.is_back_but_for_a_few_more();
    great.nothing_comes_back_but_who_left();
    // New tokens are minted as before.
    let (spare, unused) = (great.site.spare_device("spare"), bellwether_tests::site::token("minted since"));
    let entry =
        format!("  tokens:\n    - {{id: spare, sha256: {}, expires: 2099-01-01T00:00:00Z}}\n", token_hash(&unused));
    great.site.engineer.replace("enrollments/factory.yaml", "  tokens:\n", &entry);
    let landed = great.site.land("A new token");
    great.site.wait_head(&landed);
    let (enrolled, said) = great.site.enroll(&spare, &unused);
    assert!(enrolled, "one that was listed since counts: {said}");
    great.goes_on();
}

#[test]
fn great_deletion_and_an_old_copy_of_the_database() {
    let mut great = Great::begin_with_copy(&DATABASE);
    great.site.kill_reconciler();
    great.set_back(&DATABASE);
    great.site.start_reconciler();
    great.is_back();
    great.nothing_comes_back_that_was_ended();
    great.goes_on();
}

#[test]
fn great_deletion_and_an_old_copy_of_the_store() {
    let mut great = Great::begin_with_copy(&["store"]);
    great.site.kill_reconciler();
    great.set_back(&["store"]);
    great.site.start_reconciler();
    great.is_back();
    great.nothing_comes_back_that_was_ended();
    great.goes_on();
}

#[test]
fn great_deletion_and_old_copies_of_both() {
    let paths = [&DATABASE[..], &["mirror.git", "store"]].concat();
    let mut great = Great::begin_with_copy(&paths);
    great.site.kill_reconciler();
    great.set_back(&paths);
    great.site.start_reconciler();
    great.is_back_but_for_a_few_more();
    great.nothing_comes_back_that_was_ended();
    great.goes_on();
}

#[test]
fn great_deletion_and_git_set_back() {
    let mut great = Great::begin();
    great.site.kill_reconciler();
    great.lose(&[&DATABASE[..], &["mirror.git"]].concat());
    let second: CommitId =
        great.site.engineer.git(&["rev-parse", &format!("{}^", great.third)]).trim().parse().expect("git prints an id");
    great.site.engineer.force_push(&second);
    great.site.start_reconciler();
    great.site.wait_repository("it is rewound", |r| matches!(r.condition, Condition::Rewound { .. }));
    let ahead = |name: &str| great.placed[name].0.contains("message 2");
    let views = great.site.wait_devices("those that are ahead are paused, and nobody else", |views| {
        let there = views.iter().filter(|view: &&DeviceView| great.is_there(view));
        there.clone().count() >= great.site.devices.len() - great.offline.len()
            && there.clone().all(|view| {
                let paused = view.status.summary.status == Summary::ConflictPaused;
                let is_there = view.status.summary.status != Summary::AwaitingReconnect;
                is_there && paused == ahead(view.name.as_str())
            })
    });
    for view in views.iter().filter(|view| view.status.summary.status == Summary::ConflictPaused) {
        assert!(view.why.contains(&great.third.to_string()), "the missing commit is named: {}", view.why);
    }
    assert_eq!(great.placed_now(), great.placed, "nobody goes backwards");

    great.site.engineer.force_push(&great.third);
    great.is_back();
    great.nothing_comes_back_that_was_ended();
    great.goes_on();
}

/// The database of the reconciler on a server. What differs from a file is how it is lost and how it is copied; the fleet is a
/// small one.
const STATE: &str = "fleet";

/// Loses all of it; an empty one takes its place.
fn lose_database(server: &Server) {
    server.sql(&format!("DROP DATABASE {STATE} WITH (FORCE)"));
    server.create_database(STATE);
}

#[test]
fn great_deletion_of_a_postgresql_database() {
    let Some(server) = Server::start() else { return };
    let mut great = Great::begin_with(40, Some(&server.create_database(STATE)), |_| {});
    great.site.kill_reconciler();
    lose_database(&server);
    great.lose(&["mirror.git"]);
    great.site.start_reconciler();
    great.is_back();
    great.nothing_comes_back_that_was_ended();
    great.goes_on();
}

#[test]
fn great_deletion_of_a_postgresql_database_and_an_old_backup_of_it() {
    let Some(server) = Server::start() else { return };
    let mut great = Great::begin_with(40, Some(&server.create_database(STATE)), |site| {
        let (made, said) = site.reconciler(&["backup", "--to", &backup(site)]);
        assert!(made, "{said}");
    });
    great.site.kill_reconciler();
    lose_database(&server);
    let (restored, said) = great.site.reconciler(&["restore", "--from", &backup(&great.site)]);
    assert!(restored && !said.contains("void"), "the store knows every spent token: {said}");
    great.site.start_reconciler();
    great.is_back();
    great.nothing_comes_back_that_was_ended();
    great.goes_on();
}

fn backup(site: &Site) -> String {
    site.path("backup").display().to_string()
}
