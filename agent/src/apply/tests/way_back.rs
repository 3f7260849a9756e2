//! Which version a device goes back to, when an undo or a commit did not come to its end.

use super::*;

/// Everything of the first spec but the artifact, which was never needed before.
fn third() -> DeviceSpec {
    spec(r#""files":[{"path":"/opt/bellwether/a","content":"5"},{"path":"/opt/bellwether/d","content":"6"}]"#)
}

/// The second spec without its artifact: to make it final removes what the first one needs.
fn without_artifact() -> DeviceSpec {
    spec(r#""files":[{"path":"/opt/bellwether/a","content":"3"},{"path":"/opt/bellwether/new/c","content":"4"}]"#)
}

/// A device with the first spec, on which the one without artifact is placed and the third is staged.
fn placed() -> Device {
    let device = prepared();
    device.applier.stage(&without_artifact()).expect("staged");
    device.apply(&without_artifact().digest()).expect("applied");
    device.applier.stage(&third()).expect("staged");
    device
}

/// Runs `then` after a commit that the power ended at each of its steps.
fn after_each_step_of_a_commit(then: impl Fn(&Device, u32)) {
    let keep = third().digest();
    for step in 0.. {
        let device = placed();
        device.limit(step);
        let ended = device.applier.commit(&without_artifact().digest(), Some(&keep));
        device.power();
        then(&device, step);
        if ended.is_ok() {
            assert!(step >= 4, "only {step} crash points were tried");
            return;
        }
    }
}

fn tree_of(last: &DeviceSpec) -> BTreeMap<String, String> {
    let device = placed();
    device.applier.commit(&without_artifact().digest(), Some(&third().digest())).expect("committed");
    if *last != without_artifact() {
        device.install(last);
    }
    device.tree()
}

#[test]
fn a_commit_that_was_begun_is_finished_from_each_of_its_steps() {
    let (digest, keep) = (without_artifact().digest(), third().digest());
    let expected = tree_of(&without_artifact());
    after_each_step_of_a_commit(|device, step| {
        for _ in 0..2 {
            device.applier.commit(&digest, Some(&keep)).expect("committed");
            assert_eq!((device.tree(), device.committed()), (expected.clone(), Some(digest)), "step {step}");
            assert!(!device.applier.is_unfinished().expect("read"));
            assert!(!device.applier.has_content(&Sha256Digest::of(b"app two")), "step {step}: nobody needs it");
        }
        device.install(&third());
    });
}

#[test]
fn a_commit_that_is_overtaken_is_what_the_next_version_goes_back_to() {
    let previous = without_artifact().digest();
    let (expected, next) = (tree_of(&without_artifact()), tree_of(&third()));
    after_each_step_of_a_commit(|device, step| {
        device.applier.apply(&third().digest(), Some(&previous)).expect("applied");
        // A restart in the middle of it goes on with the same way back.
        device.applier.apply(&third().digest(), Some(&previous)).expect("applied");
        for _ in 0..2 {
            device.applier.undo(Some(&previous)).expect("undone");
            assert_eq!((device.tree(), device.committed()), (expected.clone(), Some(previous)), "step {step}");
        }
        device.install(&third());
        assert_eq!(device.tree(), next, "step {step}");
    });
}

#[test]
fn an_attempt_that_could_not_even_begin_leaves_an_overtaken_commit_in_place() {
    let previous = without_artifact().digest();
    let expected = tree_of(&without_artifact());
    let blocked = spec(r#""files":[{"path":"/opt/bellwether/theirs","content":"ours"}]"#);
    after_each_step_of_a_commit(|device, step| {
        assert!(matches!(device.applier.stage(&blocked), Err(ApplyError::Foreign(_))));
        assert!(matches!(device.applier.apply(&blocked.digest(), Some(&previous)), Err(ApplyError::Foreign(_))));
        device.applier.undo(Some(&previous)).expect("undone");
        assert_eq!((device.tree(), device.committed()), (expected.clone(), Some(previous)), "step {step}");
    });
}

#[test]
fn the_same_content_again_is_its_own_way_back() {
    let digest = without_artifact().digest();
    let expected = tree_of(&without_artifact());
    after_each_step_of_a_commit(|device, step| {
        device.applier.stage(&without_artifact()).expect("staged");
        for _ in 0..2 {
            device.applier.apply(&digest, Some(&digest)).expect("applied");
        }
        device.applier.undo(Some(&digest)).expect("undone");
        assert_eq!((device.tree(), device.committed()), (expected.clone(), Some(digest)), "step {step}");
    });
}

#[test]
fn a_version_is_begun_over_an_undo_that_failed_and_goes_back_to_the_same() {
    let device = prepared();
    let (before, previous) = (device.tree(), first().digest());
    device.apply(&second().digest()).expect("applied");
    device.limit(3);
    device.applier.undo(Some(&previous)).expect_err("the power went");
    device.power();
    device.applier.stage(&third()).expect("staged");
    device.applier.apply(&third().digest(), Some(&previous)).expect("applied");
    assert_eq!(device.tree()["/opt/bellwether/a"], "644 5");
    device.applier.undo(Some(&previous)).expect("undone");
    assert_eq!((device.tree(), device.committed()), (before, Some(previous)));
}

#[test]
fn an_undo_without_a_journal_does_not_claim_what_is_not_there() {
    let device = prepared();
    device.applier.undo(Some(&first().digest())).expect("it is there");
    device.install(&second());
    let undone = device.applier.undo(Some(&first().digest()));
    assert!(matches!(undone, Err(ApplyError::NotFinal { .. })), "{undone:?}");
    assert!(matches!(device.applier.undo(None), Err(ApplyError::NotFinal { .. })));
}

#[test]
fn an_artifact_that_somebody_changed_is_no_end_of_the_way_back() {
    let device = prepared();
    let one = Sha256Digest::of(b"app one").to_string()[..16].to_owned();
    let file = device.path(&format!("/opt/bellwether/app/{one}/app"));
    std::fs::write(&file, "changed").expect("written");
    let before = device.tree();
    assert!(!device.applier.has_content(&Sha256Digest::of(b"app one")), "there is no other copy");
    device.apply(&second().digest()).expect("applied");
    device.applier.undo(Some(&first().digest())).expect("undone");
    assert_eq!(device.tree(), before, "the link leads to it, for its probes to judge");

    device.store("app one");
    std::fs::write(device.applier.content(&Sha256Digest::of(b"app one")), "damaged").expect("written");
    device.apply(&second().digest()).expect("applied");
    device.applier.undo(Some(&first().digest())).expect("undone");
    assert_eq!(device.tree(), before, "nothing is left of a copy that is none");

    std::fs::remove_file(&file).expect("removed");
    device.apply(&second().digest()).expect("applied");
    let undone = device.applier.undo(Some(&first().digest()));
    assert!(matches!(undone, Err(ApplyError::Content(_))), "{undone:?}");
    device.store("app one");
    device.applier.undo(Some(&first().digest())).expect("undone");
    assert_eq!(std::fs::read_to_string(&file).expect("read"), "app one");
}
