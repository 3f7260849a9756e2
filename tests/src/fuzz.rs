//! What the fuzz targets in `fuzz/` do with their bytes. Each says more than "it does not panic"; the same functions run
//! over the committed corpus as an ordinary test.
//!
//! `fuzz/` is a workspace of its own and takes this file as it is, so that fuzzing does not build the whole harness.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use bellwether_core::objects::{ObjectKind, ObjectSource as _};
use bellwether_core::verify::{
    Commit, Policy, SigningKey, VerifiedHistory, attach_signature, check_signature, sign_commit,
};
use bellwether_schemas::ObjectId;
use gix::objs::tree::EntryKind;
use gix::objs::{TreeRef, WriteTo as _};
use jiff::Timestamp;

use crate::hostile::{History, PolicyText, Who};

/// A target: its name, which is that of its corpus, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 4] = [("commit", commit), ("policy", policy), ("sshsig", sshsig), ("tree", tree)];

/// A commit that is taken has one meaning: what was read of it, written again, is what was there.
///
/// # Panics
/// When that does not hold.
pub fn commit(data: &[u8]) {
    for id_length in [20, 32] {
        let Ok(commit) = Commit::parse(data, id_length) else { continue };
        assert!(!data.contains(&0), "a NUL passed");
        let parents: String = commit.parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let begins = format!("tree {}\n{parents}author ", commit.tree);
        assert!(data.starts_with(begins.as_bytes()), "tree and parents are not what stands there");
        assert!(commit.parents.iter().chain([&commit.tree]).all(|id| id.as_bytes().len() == id_length));
        let unsigned = Commit::parse(&commit.payload, id_length).expect("what is signed is a commit");
        assert_eq!(unsigned.signature, None, "a signature is left in what is signed");
        assert_eq!(
            (unsigned.tree, &unsigned.parents, unsigned.committed),
            (commit.tree, &commit.parents, commit.committed)
        );
        let Some(signature) = &commit.signature else {
            assert_eq!(commit.payload, data, "without a signature everything is what is signed");
            continue;
        };
        assert!(commit.payload.len() < data.len());
        if let Ok(again) = attach_signature(&commit.payload, signature) {
            let again = Commit::parse(&again, id_length).expect("what the signer writes is taken");
            assert_eq!(again.payload, commit.payload, "the signer and the reader differ in what is signed");
            assert_eq!(again.signature.as_deref(), Some(signature.trim_end()));
        }
    }
}

/// A policy that is taken says the same when it is written again, and does not lock everybody out.
///
/// # Panics
/// When that does not hold.
pub fn policy(data: &[u8]) {
    let Ok(policy) = Policy::parse(data, None) else { return };
    let manifest = policy.manifest();
    assert!(policy.version() >= 1 && !manifest.rules.is_empty(), "a policy that nobody could change");
    assert!(manifest.rules.iter().all(|rule| manifest.roles.contains_key(&rule.role)), "a rule without its role");
    let members = manifest.roles.values().flat_map(|role| &role.members);
    assert!(members.clone().all(|member| manifest.people.contains_key(member)), "a member who is nobody");
    let people: Vec<_> = manifest.people.values().filter(|person| !person.bot).collect();
    assert!(
        people.iter().any(|person| !person.ssh.is_empty() || !person.openpgp.is_empty() || !person.gitsign.is_empty())
    );
    let mut keys: Vec<SigningKey> = Vec::new();
    for line in manifest.people.values().flat_map(|person| &person.ssh) {
        let key = SigningKey::from_line(line).expect("a key of a policy counts");
        assert!(!keys.contains(&key), "a key of two people, or twice of one");
        keys.push(key);
    }
    let again = serde_json::json!({
        "apiVersion": "bellwether/v1", "kind": "TrustPolicy", "metadata": {"name": "policy"}, "spec": manifest,
    });
    let again = Policy::parse(again.to_string().as_bytes(), None).expect("JSON is YAML");
    assert_eq!(again.manifest(), manifest, "written again, it says something else");
}

/// The commit that the signatures of the corpus are over, and the keys that made them.
const SIGNED: &[u8] = include_bytes!("../testdata/sshsig/commit.txt");
const KEYS: [&str; 5] = [
    include_str!("../testdata/sshsig/ed25519.pub"),
    include_str!("../testdata/sshsig/ed25519-sha256.pub"),
    include_str!("../testdata/sshsig/ecdsa-p256.pub"),
    include_str!("../testdata/sshsig/ecdsa-p384.pub"),
    include_str!("../testdata/sshsig/rsa-3072.pub"),
];

/// Nobody but the holders of the corpus' keys can sign the corpus' commit: what verifies is by one of them.
///
/// # Panics
/// When that does not hold.
pub fn sshsig(data: &[u8]) {
    let armoured = |bytes: &[u8]| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        format!("-----BEGIN SSH SIGNATURE-----\n{text}\n-----END SSH SIGNATURE-----")
    };
    // As armour, and as the bytes in it, which mutations reach more easily so.
    let texts = std::str::from_utf8(data).ok().map(str::to_owned).into_iter().chain([armoured(data)]);
    for text in texts {
        let Ok(raw) = attach_signature(SIGNED, &text) else { continue };
        let Ok(commit) = Commit::parse(&raw, 20) else { continue };
        let Ok(key) = check_signature(&commit) else { continue };
        assert_eq!(commit.payload, SIGNED, "it is over something else");
        let known = KEYS.iter().any(|line| SigningKey::from_line(line.trim_end()).is_ok_and(|known| known == key));
        assert!(known, "{} signed, and nobody has that key", key.fingerprint());
    }
}

/// A history to land trees on.
static BEGUN: LazyLock<(History, VerifiedHistory)> = LazyLock::new(|| {
    let history = History::introduced(&PolicyText::default());
    let begun = history.try_introduce(history.main()).expect("it was introduced");
    (history, begun)
});
const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// A tree that a landing may have is one that git's own reader understands in the same way.
///
/// # Panics
/// When that does not hold.
pub fn tree(data: &[u8]) {
    let (history, begun) = &*BEGUN;
    let main = *begun.head();
    let raw = |id: &ObjectId| history.objects().raw(id).expect("it was written").1;
    let commit = Commit::parse(&raw(&main), main.as_bytes().len()).expect("the generator wrote it");
    let mut objects = history.objects().clone();
    let folder = objects.insert(ObjectKind::Tree, data);
    let mut root = raw(&commit.tree);
    let name = b"40000 files\0";
    let at = root.windows(name.len()).position(|window| window == name).expect("it has this folder") + name.len();
    root.splice(at..at + folder.as_bytes().len(), folder.as_bytes().iter().copied());
    let root = objects.insert(ObjectKind::Tree, root);
    let who = "Alice <alice@example.com> 1700000000 +0000";
    let landing = format!("tree {root}\nparent {main}\nauthor {who}\ncommitter {who}\n\nA tree\n");
    let key = Who::Alice.key().expect("a person");
    let landing = objects.insert(ObjectKind::Commit, sign_commit(landing.as_bytes(), key).expect("a plain commit"));
    if begun.clone().advance(&objects, &landing, NOW).landings.is_empty() {
        return;
    }
    let read = TreeRef::from_bytes(data, gix::hash::Kind::Sha1).expect("git reads it");
    let mut names = BTreeSet::new();
    for entry in &read.entries {
        assert!(matches!(entry.mode.kind(), EntryKind::Tree | EntryKind::Blob | EntryKind::BlobExecutable));
        let name = std::str::from_utf8(entry.filename).expect("names are text");
        assert!(!name.is_empty() && !name.contains('/') && !matches!(name, "." | ".."), "{name:?}");
        assert!(!name.eq_ignore_ascii_case(".git"), "{name:?}");
        assert!(names.insert(name.to_lowercase()), "{name:?} is there twice");
    }
    assert!(read.entries.windows(2).all(|pair| pair[0] < pair[1]), "the entries are not in git's order");
    let mut again = Vec::new();
    read.write_to(&mut again).expect("it can be written");
    assert_eq!(again, data, "written again, it is another tree");
}
