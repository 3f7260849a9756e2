//! What a backup brings back, and what an interrupted restore leaves.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_brings_back_what_it_holds_and_the_store_what_is_newer() {
    let mut site = Site::new().await;
    site.enroll("edge-1").await;
    let version = site.publish("edge-1", Some(signed(3))).await;
    let offered = OfferedRow {
        device: "edge-1".parse().expect("a name"),
        version: signed(3).version,
        fleet: signed(3).fleet,
        template: signed(3).template,
        digest: signed(3).digest,
        offered_at: now(),
    };
    let devices = vec![row("edge-1", Some(signed(3)), version), row("edge-9", None, 0)];
    site.save(PlanChange { devices, offers: vec![offered], ..PlanChange::default() }).await;
    let backup = site.back_up("backup").await;
    // A device enrolls, and another offer is made, after it.
    let late = site.enroll("edge-2").await;
    let newer = site.publish("edge-1", Some(signed(5))).await;
    site.publish("edge-2", Some(signed(5))).await;

    let refused = site.restore(Some(&backup)).await.expect_err("there is a database");
    assert!(matches!(&refused, RestoreError::InUse(_)) && refused.code() == codes::RESTORE_REFUSED, "{refused:?}");
    site.lose_database().await;
    let restored = site.restore(Some(&backup)).await.expect("restored");
    assert_eq!((restored.recovered.devices, restored.recovered.awaited), (3, 2));
    assert!(!restored.new_store && !restored.void_tokens, "the store knows what was spent since");
    let Start { loaded, .. } = site.start().await;
    assert_eq!(
        (names(&loaded.devices, true), names(&loaded.devices, false)),
        (vec!["edge-1", "edge-2"], vec!["edge-9"])
    );
    assert_eq!(loaded.devices[0].metadata_version, newer);
    assert_eq!(loaded.devices[0].offer.as_ref().map(|offer| offer.signed.version.landing), Some(5));
    assert!(site.store.token(&late, &domain()).await.expect("read").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_is_made_anew_and_tokens_that_may_be_spent_are_void() {
    let mut site = Site::new().await;
    let token = site.enroll("edge-1").await;
    let version = site.publish("edge-1", Some(signed(3))).await;
    let kept = TokenRow {
        hash: token,
        fingerprint: Sha256Digest::of(b"a key"),
        identity: "bellwether://example.org/plant/edge-1/edge-1".parse().expect("an identity"),
        certificate: None,
        at: now(),
    };
    site.store.save_tokens(&[kept]).await.expect("stored");
    site.save(PlanChange { devices: vec![row("edge-1", Some(signed(3)), version)], ..PlanChange::default() }).await;
    let backup = site.back_up("backup").await;

    for from in [None, Some(backup.as_path())] {
        site.lose_store();
        if from.is_some() {
            site.lose_database().await;
        }
        let restored = site.restore(from).await.expect("restored");
        assert!(restored.new_store && restored.void_tokens);
        let publisher = site.installed.restarted().await.expect("the chain of roots is back");
        assert_eq!(publisher.void_tokens(), VoidTokens::All, "until a head is accepted");
        assert!(site.installed.store().join(format!("enrolled/{token}")).exists(), "and the token is spent");
        assert_eq!(names(&site.start().await.loaded.devices, true), ["edge-1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_restore_is_no_state_to_run_on_and_ends_as_it_would_have() {
    let mut site = Site::new().await;
    site.enroll("edge-1").await;
    let backup = site.back_up("backup").await;
    for from in [None, Some(backup.as_path())] {
        site.lose_store();
        site.lose_database().await;
        // The first root is missing (a backup has it), so it ends in the middle.
        let root = site.installed.dir.path().join("online/1.root.json");
        let aside = site.installed.dir.path().join("aside");
        std::fs::rename(&root, &aside).expect("moved");
        let place = from.map(|from| from.display().to_string());
        match from {
            None => drop(site.restore(None).await.expect_err("no root")),
            Some(_) => {
                let mark = Mark { new_store: true, from: place.clone() };
                mark::set(site.installed.objects().store().as_ref(), &mark).await.expect("set");
            }
        }
        assert_eq!(site.mark().await, Some(Mark { new_store: true, from: place.clone() }));
        let refused = refuse_unfinished(site.installed.objects().store().as_ref()).await.expect_err("it is half made");
        assert_eq!(refused.code(), codes::RESTORE_UNFINISHED);

        std::fs::rename(&aside, &root).expect("moved back");
        if from.is_some() {
            let other = site.restore(None).await.expect_err("another restore");
            assert!(matches!(other, RestoreError::Unfinished(_)), "{other:?}");
        }
        let restored = site.restore(from).await.expect("restored");
        assert!(restored.new_store && restored.void_tokens, "{restored:?}");
        assert_eq!(site.mark().await, None);
        let publisher = site.installed.restarted().await.expect("a publisher");
        assert_eq!(publisher.void_tokens(), VoidTokens::All);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_writes_the_records_of_spent_tokens_that_the_store_lacks() {
    let site = Site::new().await;
    let kept = TokenRow {
        hash: Sha256Digest::of(b"a token"),
        fingerprint: Sha256Digest::of(b"a key"),
        identity: "bellwether://example.org/plant/edge-1/edge-1".parse().expect("an identity"),
        certificate: None,
        at: now(),
    };
    site.store.save_tokens(std::slice::from_ref(&kept)).await.expect("stored");
    site.start().await;
    assert!(site.installed.store().join(format!("enrolled/{}", kept.hash)).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nothing_left_only_keys_and_git_are_needed() {
    let mut site = Site::new().await;
    site.lose_store();
    site.lose_database().await;
    let restored = site.restore(None).await.expect("restored");
    assert_eq!((restored.recovered.devices, restored.new_store, restored.void_tokens), (0, true, true));
    let objects = site.installed.objects();
    let instance = check_instance(&site.store, objects.store().as_ref()).await.expect("they belong together");
    assert!(matches!(instance, Instance::Known(_)));
    // A mark that is set is never taken back.
    let publisher = site.installed.restarted().await.expect("a publisher");
    publisher.store_void_tokens(Some(4)).await.expect("stored");
    publisher.store_void_tokens(Some(3)).await.expect("stored");
    assert_eq!(publisher.void_tokens(), VoidTokens::UpTo(4));
    // Another history numbers its landings anew: there the mark is what its first head lists.
    let publisher = site.installed.restarted().await.expect("a publisher");
    publisher.void_within(commit(1)).await.expect("stored");
    assert_eq!(publisher.void_tokens(), VoidTokens::UpTo(4), "the first that is named is the one that is meant");
    let publisher = site.installed.restarted().await.expect("a publisher");
    publisher.void_within(commit(2)).await.expect("stored");
    assert_eq!(publisher.void_tokens(), VoidTokens::All);
    publisher.store_void_tokens(Some(1)).await.expect("stored");
    let publisher = site.installed.restarted().await.expect("a publisher");
    publisher.void_within(commit(2)).await.expect("stored");
    assert_eq!(publisher.void_tokens(), VoidTokens::UpTo(1));
    site.restore(None).await.expect("again");
    let publisher = site.installed.restarted().await.expect("a publisher");
    assert_eq!(publisher.void_tokens(), VoidTokens::All, "what was spent since is not known either");

    std::fs::remove_file(site.installed.dir.path().join("online/targets.pem")).expect("removed");
    let refused = site.restore(None).await.expect_err("keys are no state");
    assert_eq!(refused.code(), codes::KEY_UNREADABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_whole_or_not_there_and_is_of_one_store() {
    let mut site = Site::new().await;
    let backup = site.back_up("backup").await;
    let objects = site.installed.objects();
    let taken = back_up(&site.store, objects.store().as_ref(), &backup, now()).await.expect_err("it is there");
    assert!(matches!(taken, BackupError::Exists(_)));
    let nowhere = site.installed.dir.path().join("no/such/folder");
    let _ = std::fs::write(site.installed.dir.path().join("no"), "in the way");
    back_up(&site.store, objects.store().as_ref(), &nowhere, now()).await.expect_err("no room");

    site.lose_database().await;
    let mut other = Site::new().await;
    other.lose_database().await;
    std::fs::write(other.installed.store().join("instance.json"), r#"{"instance":"green"}"#).expect("written");
    let refused = other.restore(Some(&backup)).await.expect_err("another's");
    assert!(matches!(refused, RestoreError::Other { .. }), "{refused:?}");
    for (file, text) in [("backup.json", "{\"format\":9}"), ("backup.json", "")] {
        std::fs::write(backup.join(file), text).expect("written");
        let refused = site.restore(Some(&backup)).await.expect_err("no backup");
        assert!(matches!(refused, RestoreError::Backup(BackupError::Form { .. })), "{refused:?}");
    }
}
