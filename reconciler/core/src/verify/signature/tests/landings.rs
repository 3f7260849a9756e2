//! Landings signed by OpenPGP and gitsign, and the trusted root that stands beside the policy.

use bellwether_schemas::{CommitId, Sha256Digest, codes};

use super::authority::{EMAIL, Gitsign, ISSUER};
use super::rearmed;
use crate::objects::ObjectKind;
use crate::testing::{ADA, BOB, FLEET, NOW, PolicyText, Repository, unsigned_commit};
use crate::verify::{SIGSTORE_ROOT_PATH, Stop, VerifiedHistory, attach_signature};

const POLICY: &str = "trust/policy.yaml";

/// A policy in which bob signs by gitsign too, with this pin.
fn policy(version: u64, pin: Option<&Sha256Digest>) -> String {
    let text = PolicyText { version, ..PolicyText::default() }.text();
    let identity = format!("    bob:\n      gitsign: [{{identity: \"{EMAIL}\", issuer: \"{ISSUER}\"}}]\n");
    let text = text.replacen("    bob:\n", &identity, 1);
    let pin = pin.map_or_else(String::new, |pin| format!("spec:\n  sigstoreRoot: {pin}\n"));
    if pin.is_empty() { text } else { text.replacen("spec:\n", &pin, 1) }
}

/// A history whose second landing pins a root and lists bob's identity.
fn with_identity() -> (Repository, VerifiedHistory, CommitId) {
    let (mut repository, mut history, _) = Repository::introduced();
    let root = Gitsign::default().sigstore.root_text();
    repository.put(SIGSTORE_ROOT_PATH, String::from_utf8(root.clone()).expect("text"));
    repository.put(POLICY, policy(2, Some(&Sha256Digest::of(&root))));
    let second = repository.commit(&[*history.head()], Some(ADA));
    let advanced = history.advance(&repository.objects, &second, NOW);
    assert!(advanced.stop.is_none(), "{:?}", advanced.stop);
    (repository, history, second)
}

fn commit_by_gitsign(repository: &mut Repository, parent: CommitId) -> CommitId {
    let tree = repository.tree();
    let raw = unsigned_commit(&tree, &[parent], 7);
    let signature = rearmed("SIGNED MESSAGE", 64, &Gitsign::default().message(&raw));
    repository.objects.insert(ObjectKind::Commit, attach_signature(&raw, &signature).expect("a plain commit"))
}

#[track_caller]
fn refusal(repository: &Repository, history: &mut VerifiedHistory, tip: &CommitId) -> crate::verify::Refusal {
    match history.advance(&repository.objects, tip, NOW).stop {
        Some(Stop::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn a_landing_by_an_identity_of_the_policy_counts() {
    let (mut repository, mut history, second) = with_identity();
    repository.put(FLEET, "v2");
    let third = commit_by_gitsign(&mut repository, second);
    let advanced = history.advance(&repository.objects, &third, NOW);
    assert!(advanced.stop.is_none(), "{:?}", advanced.stop);
    assert_eq!(advanced.landings[0].signers().map(ToString::to_string).collect::<Vec<_>>(), ["bob"]);
}

#[test]
fn a_policy_without_the_root_that_it_pins_is_refused() {
    let root = Gitsign::default().sigstore.root_text();
    for (file, pin) in [
        (None, Some(Sha256Digest::of(&root))),
        (Some(root.clone()), Some(Sha256Digest::of(b"another root"))),
        (Some(root.clone()), None),
        (Some(b"{}".to_vec()), Some(Sha256Digest::of(b"{}"))),
    ] {
        let (mut repository, mut history, _) = Repository::introduced();
        if let Some(file) = file {
            repository.put(SIGSTORE_ROOT_PATH, String::from_utf8(file).expect("text"));
        }
        repository.put(POLICY, policy(2, pin.as_ref()));
        let second = repository.commit(&[*history.head()], Some(ADA));
        assert_eq!(refusal(&repository, &mut history, &second).code, codes::SIGSTORE_ROOT);
    }
}

#[test]
fn the_root_changes_with_the_policy_or_not_at_all() {
    for removed in [false, true] {
        let (mut repository, mut history, second) = with_identity();
        if removed {
            repository.remove(SIGSTORE_ROOT_PATH);
        } else {
            repository.put(SIGSTORE_ROOT_PATH, "{}");
        }
        let third = repository.commit(&[second], Some(ADA));
        assert_eq!(refusal(&repository, &mut history, &third).code, codes::SIGSTORE_ROOT);
    }
}

#[test]
fn a_root_that_nothing_pins_is_a_file_like_any_other() {
    let (mut repository, mut history, _) = Repository::introduced();
    repository.put(SIGSTORE_ROOT_PATH, "{}");
    let second = repository.commit(&[*history.head()], Some(ADA));
    assert!(history.advance(&repository.objects, &second, NOW).stop.is_none());
    repository.put(SIGSTORE_ROOT_PATH, "[]");
    let third = repository.commit(&[second], Some(BOB));
    assert_eq!(refusal(&repository, &mut history, &third).code, codes::SIGNER_NOT_IN_ROLE);
}
