//! One landing: signer, paths, tree.

use bellwether_schemas::{ObjectId, codes};

use super::*;
use crate::objects::{MemoryObjects, ObjectKind, ObjectSource as _};
use crate::verify::EntryMode;

#[test]
fn a_landing_by_a_member_of_the_role_counts_and_says_what_changed() {
    let (mut repository, mut history, first) = Repository::introduced();
    repository.put(FLEET, "v2").put("files/motd", "hello");
    let second = repository.commit(&[*history.head()], Some(BOB));
    let advanced = history.advance(&repository.objects, &second, NOW);
    assert_accepted(&advanced, &[second]);
    let landing = &advanced.landings[0];
    assert_eq!(
        (landing.number(), landing.signers().next().expect("a signer").as_str(), landing.policy_version()),
        (2, "bob", 1)
    );
    assert_eq!((landing.parent(), landing.summary()), (Some(first.id()), "Commit 2"));
    assert_eq!(landing.committed().as_second(), 1_700_000_002);
    let paths: Vec<_> =
        landing.changes().iter().map(|c| (c.path.as_str(), c.before.is_some(), c.after.is_some())).collect();
    assert_eq!(paths, [("files/motd", false, true), (FLEET, true, true)]);
    assert_eq!((history.head(), history.head_number(), history.number_of(&second)), (&second, 2, Some(2)));
}

#[test]
fn removals_and_modes_are_changes() {
    let (mut repository, mut history, _) = Repository::introduced();
    let blob = repository.objects.insert(ObjectKind::Blob, "v1");
    let policy = repository.objects.insert(ObjectKind::Blob, repository.files["trust/policy.yaml"].as_slice());
    let fleets = repository.objects.insert(ObjectKind::Tree, tree_entry("100755", "gateways.yaml", &blob));
    let trust = repository.objects.insert(ObjectKind::Tree, tree_entry("100644", "policy.yaml", &policy));
    let root = [tree_entry("40000", "fleets", &fleets), tree_entry("40000", "trust", &trust)].concat();
    let root = repository.objects.insert(ObjectKind::Tree, root);
    let second = repository.commit_tree(root, &[*history.head()], Some(BOB));
    let advanced = history.advance(&repository.objects, &second, NOW);
    assert_accepted(&advanced, &[second]);
    let change = &advanced.landings[0].changes()[0];
    assert_eq!(change.after.map(|entry| (entry.mode, entry.id)), Some((EntryMode::Executable, blob)));

    repository.put("fleets/other.yaml", "x").remove(FLEET);
    let third = repository.commit(&[second], Some(BOB));
    let advanced = history.advance(&repository.objects, &third, NOW);
    assert_accepted(&advanced, &[third]);
    let changes: Vec<_> = advanced.landings[0].changes().iter().map(|c| (c.path.as_str(), c.after.is_some())).collect();
    assert_eq!(changes, [(FLEET, false), ("fleets/other.yaml", true)]);
}

#[test]
fn an_empty_landing_counts_when_a_person_signed_it() {
    let (mut repository, mut history, _) = Repository::introduced();
    let second = repository.commit(&[*history.head()], Some(BOB));
    assert_accepted(&history.advance(&repository.objects, &second, NOW), &[second]);
}

#[test]
fn only_people_of_the_policy_sign() {
    let (mut repository, mut history, first) = Repository::introduced();
    repository.put(FLEET, "v2");
    for (signer, code) in
        [(None, codes::COMMIT_UNSIGNED), (Some(STRANGER), codes::SIGNER_UNKNOWN), (Some(ROBOT), codes::SIGNER_IS_BOT)]
    {
        let second = repository.commit(&[*first.id()], signer);
        let advanced = history.advance(&repository.objects, &second, NOW);
        assert_eq!(assert_refused(&advanced, code).commit, second);
        assert_eq!(history.head(), first.id());
    }
}

#[test]
fn every_matching_rule_must_hold_and_one_must_match() {
    let policy = PolicyText {
        rules: concat!(
            r#"[{"paths": ["trust/**", "fleets/secure/*"], "role": "owners"},"#,
            r#" {"paths": ["fleets/**", "trust/**"], "role": "operators"}]"#
        ),
        ..PolicyText::default()
    };
    let (mut repository, mut history, first) = Repository::introduced_with(&policy);
    repository.put("notes.txt", "?");
    let denied = repository.commit(&[*first.id()], Some(ADA));
    let advanced = history.advance(&repository.objects, &denied, NOW);
    assert_eq!(assert_refused(&advanced, codes::PATH_WITHOUT_RULE).path.as_deref(), Some("notes.txt"));

    repository.remove("notes.txt").put("fleets/secure/vault.yaml", "x").put(FLEET, "v2");
    let bobs = repository.commit(&[*first.id()], Some(BOB));
    let advanced = history.advance(&repository.objects, &bobs, NOW);
    let refusal = assert_refused(&advanced, codes::SIGNER_NOT_IN_ROLE);
    assert_eq!(refusal.path.as_deref(), Some("fleets/secure/vault.yaml"));
    assert_eq!(refusal.rule.as_deref(), Some("paths [trust/**, fleets/secure/*] need role owners"));
    let adas = repository.commit(&[*first.id()], Some(ADA));
    assert_accepted(&history.advance(&repository.objects, &adas, NOW), &[adas]);

    repository.remove("fleets/secure/vault.yaml");
    let removal = repository.commit(&[adas], Some(BOB));
    assert_refused(&history.advance(&repository.objects, &removal, NOW), codes::SIGNER_NOT_IN_ROLE);
}

#[test]
fn nothing_is_deleted_as_a_whole() {
    let (mut repository, mut history, first) = Repository::introduced();
    let mut refused = |files: &[(&str, &str)], code| {
        let mut copy = Repository { files: Default::default(), ..repository.clone() };
        for (path, content) in files {
            copy.put(path, *content);
        }
        let commit = copy.commit(&[*first.id()], Some(ADA));
        assert_refused(&history.advance(&copy.objects, &commit, NOW), code);
    };
    let policy = PolicyText::default().text();
    refused(&[], codes::NO_MANIFESTS);
    refused(&[("fleets/README.md", "none")], codes::NO_MANIFESTS);
    refused(&[(FLEET, "v1")], codes::POLICY_MISSING);
    refused(&[("trust/policy.yaml", &policy)], codes::EVERY_FLEET_LOST);
    refused(&[("trust/policy.yaml", &policy), ("fleets/deep/x.yaml", ""), ("fleets/x", "")], codes::EVERY_FLEET_LOST);
    repository.put("fleets/other.yaml", "").remove(FLEET);
    let commit = repository.commit(&[*first.id()], Some(ADA));
    assert_accepted(&history.advance(&repository.objects, &commit, NOW), &[commit]);
}

#[test]
fn what_a_landing_adds_must_be_there_and_what_is_read_must_be_whole() {
    let (mut repository, mut history, first) = Repository::introduced();
    repository.put(FLEET, "v2");
    let second = repository.commit(&[*first.id()], Some(BOB));
    let ids = |repository: &Repository| -> Vec<ObjectId> {
        let mut copy = Repository { files: repository.files.clone(), ..Repository::default() };
        let root = copy.tree();
        let fleets = [b"40000 fleets\0".as_slice()].concat();
        let raw = crate::objects::read(&copy.objects, &root, ObjectKind::Tree).expect("just written");
        let at = raw.windows(fleets.len()).position(|window| window == fleets).expect("a folder") + fleets.len();
        let folder = ObjectId::from_bytes(&raw[at..at + 20]).expect("20 bytes");
        vec![second, root, folder, crate::objects::object_id(ObjectKind::Blob, b"v2")]
    };
    for id in ids(&repository) {
        let mut damaged = repository.objects.clone();
        assert!(damaged.remove(&id).is_some());
        assert_refused(&history.clone().advance(&damaged, &second, NOW), codes::OBJECT_MISSING);
        // The object is there under its name and holds something else.
        struct Swapped<'a>(&'a MemoryObjects, ObjectId);
        impl crate::objects::ObjectSource for Swapped<'_> {
            fn raw(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), crate::objects::ObjectError> {
                let (kind, mut content) = self.0.raw(id)?;
                if *id == self.1 {
                    content.push(b'\n');
                }
                Ok((kind, content))
            }
        }
        let swapped = Swapped(&repository.objects, id);
        if swapped.header(&id).expect("it is there").0 == ObjectKind::Blob {
            // A blob is read by whoever needs it, and then checked.
            let read = crate::objects::read(&swapped, &id, ObjectKind::Blob);
            assert_eq!(read, Err(crate::objects::ObjectError::Corrupt(id)));
        } else {
            assert_refused(&history.clone().advance(&swapped, &second, NOW), codes::OBJECT_DAMAGED);
        }
    }
    assert_accepted(&history.advance(&repository.objects, &second, NOW), &[second]);
}
