use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;

on_each_database!(
    a_state_is_one_reconcilers_at_a_time_and_says_whose,
    two_states_are_locked_apart,
    a_lock_that_is_dropped_is_given_back,
);

/// Long enough for a loaded machine; what is waited for takes a second or two.
const PATIENCE: Duration = Duration::from_secs(60);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes a moment only")
}

async fn a_state_is_one_reconcilers_at_a_time_and_says_whose(place: Place) {
    let held = Store::lock(&place.url()).await.expect("it is free");
    // The lock is there before the tables are, and does not keep its holder from working.
    let store = open(&place).await;
    store.save_devices(&[device("a")]).await.expect("stored");
    let refused = Store::lock(&place.url()).await.expect_err("it is taken");
    assert_eq!(refused.code(), codes::STATE_LOCKED);
    let said = refused.to_string();
    assert!(said.contains("BW-0516") && said.contains(&format!("process {} on ", std::process::id())), "{said}");
    store.close().await;
    held.release().await;
    Store::lock(&place.url()).await.expect("it is free again").release().await;
}

async fn two_states_are_locked_apart(place: Place) {
    let _held = Store::lock(&place.url()).await.expect("it is free");
    Store::lock(&place.another("other")).await.expect("that one is free").release().await;
}

async fn a_lock_that_is_dropped_is_given_back(place: Place) {
    drop(Store::lock(&place.url()).await.expect("it is free"));
    let again = async {
        loop {
            match Store::lock(&place.url()).await {
                Ok(lock) => break lock,
                Err(StateLockError::Held { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    soon(again).await.release().await;
}

#[tokio::test]
async fn on_a_file_a_second_reconciler_is_refused_at_once() {
    let place = Place::sqlite();
    let _held = Store::lock(&place.url()).await.expect("it is free");
    let second = Store::lock_when_free(&place.url(), &CancellationToken::new()).await.expect_err("there is no standby");
    let Place::Sqlite(dir) = &place else { unreachable!("it is SQLite") };
    assert!(second.to_string().contains(&format!("{}/state.db.lock", dir.path().display())), "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_server_a_second_reconciler_stands_by_until_the_first_one_ends() {
    let Some(place) = Place::postgres() else { return };
    let first = Store::lock(&place.url()).await.expect("it is free");
    let (url, shutdown) = (place.url(), CancellationToken::new());
    let mut standby = std::pin::pin!(Store::lock_when_free(&url, &shutdown));
    assert!(tokio::time::timeout(Duration::from_secs(2), &mut standby).await.is_err(), "the first one has it");
    first.release().await;
    let second = soon(standby).await.expect("the server answers").expect("nobody stops it");
    Store::lock(&url).await.expect_err("the second one has it");

    let third = Store::lock_when_free(&url, &shutdown);
    shutdown.cancel();
    assert!(soon(third).await.expect("the server answers").is_none(), "a standby can be stopped");
    second.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_started_again_leaves_the_state_with_its_reconciler() {
    let Some(mut place) = Place::postgres() else { return };
    let mut held = Store::lock(&place.url()).await.expect("it is free");
    let Place::Postgres(server) = &mut place else { unreachable!("it is PostgreSQL") };
    server.kill();
    server.start_again();
    let store = open(&place).await;
    let is_held = async || {
        let holders =
            query("SELECT COUNT(*) AS holders FROM pg_locks WHERE locktype = 'advisory' AND classid = 1651268198");
        let row = holders.fetch_one(store.database()).await.expect("read");
        row.number("holders").expect("a number") == 1
    };
    let again = async {
        while !is_held().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = soon(again) => {}
        lost = held.lost() => panic!("nobody else wants it: {lost}"),
    }
    assert_eq!(Store::lock(&place.url()).await.expect_err("it is held").code(), codes::STATE_LOCKED);
    held.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_another_reconciler_took_meanwhile_is_lost() {
    let Some(place) = Place::postgres() else { return };
    let (url, shutdown) = (place.url(), CancellationToken::new());
    let mut first = Store::lock(&url).await.expect("it is free");
    let mut standby = std::pin::pin!(Store::lock_when_free(&url, &shutdown));
    assert!(tokio::time::timeout(Duration::from_secs(2), &mut standby).await.is_err(), "the first one has it");
    // The connection is cut again and again until the standby, which asks more often, is the first to ask.
    let store = open(&place).await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1651268198";
    let second = async {
        loop {
            store.run(cut).await;
            if let Ok(second) = tokio::time::timeout(Duration::from_secs(3), &mut standby).await {
                return second.expect("the server answers").expect("nobody stops it");
            }
        }
    };
    let second = soon(second).await;
    let lost = soon(first.lost()).await;
    let said = lost.to_string();
    assert!(lost.code() == codes::STATE_LOCK_LOST && said.contains("BW-0517"), "{said}");
    assert!(said.contains(&format!("process {} on ", std::process::id())), "{said}");
    Store::lock(&url).await.expect_err("the second one still has it");
    second.release().await;
}
