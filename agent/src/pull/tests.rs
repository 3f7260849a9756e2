use std::collections::BTreeMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use bellwether_schemas::id::CommitId;
use bellwether_schemas::quantity::Seconds;
use bellwether_schemas::version::Version;
use serde_json::{Value, json};

use super::*;

/// Versions are seconds, as the publisher makes them.
const START: u64 = 1_800_000_000;

fn at(second: u64) -> Timestamp {
    Timestamp::from_second(i64::try_from(START + second).expect("a second")).expect("a time")
}

pub(crate) struct Key(Ed25519KeyPair);

impl Key {
    pub(crate) fn new() -> Self {
        Self(Ed25519KeyPair::generate().expect("a key"))
    }

    fn public(&self) -> Value {
        let public = hex::encode(self.0.public_key().as_ref());
        json!({"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": public}})
    }

    fn id(&self) -> String {
        Sha256Digest::of(&canonical(&self.public())).to_string()
    }

    pub(crate) fn sign(&self, signed: &Value) -> Vec<u8> {
        signed_by(signed, &[self])
    }
}

fn canonical(value: &Value) -> Vec<u8> {
    sigstore_tuf::canonical_json::to_canonical_bytes(value).expect("canonical")
}

pub(crate) fn signed_by(signed: &Value, keys: &[&Key]) -> Vec<u8> {
    let text = canonical(signed);
    let signatures: Vec<Value> =
        keys.iter().map(|key| json!({"keyid": key.id(), "sig": hex::encode(key.0.sign(&text).as_ref())})).collect();
    serde_json::to_vec(&json!({"signed": signed, "signatures": signatures})).expect("JSON")
}

pub(crate) fn root(version: u64, root: &Key, online: &Key) -> Value {
    let role = |key: &Key| json!({"keyids": [key.id()], "threshold": 1});
    json!({
        "_type": "root", "spec_version": "1.0.0", "version": version, "expires": "2099-01-01T00:00:00Z",
        "consistent_snapshot": true, "keys": {root.id(): root.public(), online.id(): online.public()},
        "roles": {"root": role(root), "timestamp": role(online), "snapshot": role(online), "targets": role(online)}
    })
}

/// A reconciler's `updates` listener in memory, and the device that asks it.
struct Site {
    root: Key,
    online: Key,
    files: BTreeMap<String, Vec<u8>>,
    contents: BTreeMap<Sha256Digest, Vec<u8>>,
    trust: Trust,
    held: Option<Metadata>,
}

impl Source for Site {
    async fn metadata(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Problem> {
        Ok(self.files.get(name).filter(|bytes| bytes.len() as u64 <= limit).cloned())
    }
    async fn download(&self, target: TargetRef, _: &str, to: &Path) -> Result<(), Problem> {
        let content = self.contents.get(&target.sha256).ok_or_else(|| reject("no such target"))?;
        std::fs::write(to, content).map_err(|e| reject(e.to_string()))
    }
}

fn binding(device: &str, landing: u64, digest: Sha256Digest) -> Value {
    let commit = CommitId::from_bytes(&[7; 20]).expect("20 bytes");
    let offer = SignedOffer {
        fleet: "edge".parse().expect("a name"),
        version: Version { landing, commit, revision: 0 },
        template: commit,
        digest,
        supersedes: None,
        not_before: None,
        not_after: None,
        soak: Seconds::ZERO,
    };
    let device = device.parse().expect("a name");
    serde_json::to_value(Binding::new(device, Some(offer))).expect("JSON")
}

impl Site {
    fn new() -> Self {
        let (key, online) = (Key::new(), Key::new());
        let first = String::from_utf8(key.sign(&root(1, &key, &online))).expect("text");
        check_root(first.as_bytes()).expect("a root");
        let pinned = Sha256Digest::of(first.as_bytes());
        let trust = Trust { root: first, pinned, floors: Floors::default(), verified: None };
        let files = BTreeMap::from([("1.root.json".to_owned(), trust.root.clone().into_bytes())]);
        Self { root: key, online, files, contents: BTreeMap::new(), trust, held: None }
    }

    /// Publishes version `second` for `device`: a spec with this content, as good for 100 seconds.
    fn publish(&mut self, second: u64, device: &str, content: &str) {
        let spec = format!(
            r#"{{"apiVersion":"bellwether/v1","files":[{{"content":"{content}","path":"/opt/bellwether/x"}}]}}"#
        );
        let digest = Sha256Digest::of(spec.as_bytes());
        let targets = json!({SPEC_TARGET: {"length": spec.len(), "hashes": {"sha256": digest.to_string()}}});
        self.contents.insert(digest, spec.into_bytes());
        self.publish_targets(second, targets, binding(device, second, digest));
    }

    fn publish_targets(&mut self, second: u64, targets: Value, binding: Value) {
        let (version, expires) = (START + second, at(second + 100).to_string());
        let mut role = |name: &str, file: String, rest: Value| {
            let mut signed = json!({"_type": name, "spec_version": "1.0.0", "version": version, "expires": expires});
            signed.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
            let bytes = self.online.sign(&signed);
            let hashes = json!({"sha256": Sha256Digest::of(&bytes).to_string()});
            let entry = json!({"version": version, "length": bytes.len(), "hashes": hashes});
            self.files.insert(file, bytes);
            entry
        };
        let rest = json!({"targets": targets, EXTRA_KEY: binding});
        let targets = role("targets", format!("{version}.targets.json"), rest);
        let rest = json!({"meta": {"targets.json": targets}});
        let snapshot = role("snapshot", format!("{version}.snapshot.json"), rest);
        role("timestamp", "timestamp.json".to_owned(), json!({"meta": {"snapshot.json": snapshot}}));
    }

    /// Pulls as the agent does; what was verified is kept.
    fn pull(&mut self, now: u64) -> Result<Pulled, Problem> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let dir = tempfile::tempdir().expect("a directory");
        runtime.block_on(async {
            let mut trust = self.trust.clone();
            let walked = refresh_root(self, &mut trust).await;
            self.trust = trust;
            walked?;
            let device = "edge-1".parse().expect("a name");
            let found = refresh(self, &self.trust, self.held.clone(), &device, at(now)).await?;
            let pulled = found.load_offer(self, &dir.path().join("spec.json")).await?;
            (self.trust, self.held) = (found.trust, Some(found.metadata));
            Ok(pulled)
        })
    }

    fn offered(&mut self, now: u64) -> Result<u64, String> {
        match self.pull(now) {
            Ok(pulled) => Ok(pulled.offer.expect("an offer").0.version.landing),
            Err(problem) => Err(problem.code.to_string()),
        }
    }
}

/// Our root is not one of the reconciler's chain.
fn foreign() -> Result<u64, String> {
    Err(codes::ROOT_FOREIGN.to_string())
}

fn refused() -> Result<u64, String> {
    Err(codes::METADATA_REFUSED.to_string())
}

#[test]
fn what_is_signed_for_this_device_is_taken_and_the_same_again() {
    let mut site = Site::new();
    site.publish(10, "edge-1", "one");
    assert_eq!(site.offered(20), Ok(10));
    assert_eq!(site.offered(30), Ok(10));
    site.publish(40, "edge-1", "two");
    assert_eq!(site.offered(50), Ok(40));
}

#[test]
fn older_metadata_is_refused_also_where_the_cache_is_lost() {
    let mut site = Site::new();
    site.publish(10, "edge-1", "one");
    let old = site.files.clone();
    site.publish(20, "edge-1", "two");
    assert_eq!(site.offered(30), Ok(20));
    site.files = old;
    assert_eq!(site.offered(31), refused());
    site.held = None;
    assert_eq!(site.offered(32), refused());
    site.publish(33, "edge-1", "three");
    assert_eq!(site.offered(34), Ok(33));
}

#[test]
fn metadata_that_nobody_renews_is_refused() {
    let mut site = Site::new();
    site.publish(10, "edge-1", "one");
    assert_eq!(site.offered(20), Ok(10));
    assert_eq!(site.offered(111), refused(), "the held timestamp has expired, and the same one was served");
    site.held = None;
    assert_eq!(site.offered(111), refused());
}

#[test]
fn parts_of_different_versions_are_refused() {
    for part in ["snapshot", "targets"] {
        let mut site = Site::new();
        site.publish(10, "edge-1", "one");
        site.publish(20, "edge-1", "two");
        let old = site.files[&format!("{}.{part}.json", START + 10)].clone();
        site.files.insert(format!("{}.{part}.json", START + 20), old);
        assert_eq!(site.offered(30), refused(), "{part}");
    }
}

#[test]
fn torn_metadata_is_refused_and_mends() {
    for part in ["timestamp.json".to_owned(), format!("{}.targets.json", START + 20)] {
        let mut site = Site::new();
        site.publish(10, "edge-1", "one");
        assert_eq!(site.offered(15), Ok(10));
        site.publish(20, "edge-1", "two");
        let whole = site.files[&part].clone();
        site.files.insert(part.clone(), whole[..whole.len() / 2].to_vec());
        assert_eq!(site.offered(30), refused(), "{part}");
        site.files.insert(part, whole);
        assert_eq!(site.offered(31), Ok(20));
    }
}

#[test]
fn metadata_of_another_device_or_other_keys_is_refused_and_moves_no_floor() {
    let mut site = Site::new();
    site.publish(50, "edge-2", "theirs");
    assert_eq!(site.offered(60), Err(codes::METADATA_FOREIGN.to_string()));
    let ours = std::mem::replace(&mut site.online, Key::new());
    site.publish(50, "edge-1", "forged");
    assert_eq!(site.offered(60), refused());
    assert_eq!((site.trust.floors, &site.held), (Floors::default(), &None));
    site.online = ours;
    site.publish(10, "edge-1", "one");
    assert_eq!(site.offered(60), Ok(10));
}

#[test]
fn an_offer_and_its_spec_belong_together_and_need_what_is_listed() {
    let digest = Sha256Digest::of(b"other");
    let listed = json!({SPEC_TARGET: {"length": 5, "hashes": {"sha256": digest.to_string()}}});
    let mine = |landing| binding("edge-1", landing, Sha256Digest::of(b"{}"));
    for (targets, binding) in [
        (listed.clone(), mine(1)),
        (json!({}), mine(1)),
        (listed, json!({"device": "edge-1"})),
        (json!({}), Value::Null),
    ] {
        let mut site = Site::new();
        site.publish_targets(10, targets.clone(), binding.clone());
        assert_eq!(site.offered(20), refused(), "{targets} {binding}");
    }
    // A newer reconciler may say beside the offer what this agent does not know.
    for binding in [json!({"device": "edge-1"}), json!({"device": "edge-1", "more": 1})] {
        let mut site = Site::new();
        site.publish_targets(10, json!({}), binding);
        assert_eq!(site.pull(20), Ok(Pulled { offer: None, decommission: false }));
    }
    let mut site = Site::new();

    let blob = Sha256Digest::of(b"blob");
    let spec = format!(
        r#"{{"apiVersion":"bellwether/v1","files":[{{"path":"/opt/bellwether/x","source":{{"length":4,"sha256":"{blob}"}}}}]}}"#
    );
    let digest = Sha256Digest::of(spec.as_bytes());
    let listed = json!({SPEC_TARGET: {"length": spec.len(), "hashes": {"sha256": digest.to_string()}}});
    site.contents.insert(digest, spec.into_bytes());
    site.publish_targets(30, listed, binding("edge-1", 30, digest));
    assert_eq!(site.offered(40), Err(codes::SPEC_UNUSABLE.to_string()));
}

#[test]
fn a_new_root_counts_only_when_the_old_one_signed_it_and_frees_from_lost_keys() {
    let mut site = Site::new();
    site.publish(50, "edge-1", "one");
    assert_eq!(site.offered(60), Ok(50));
    let (thief, online) = (Key::new(), Key::new());
    let name = "2.root.json".to_owned();
    site.files.insert(name.clone(), thief.sign(&root(2, &thief, &online)));
    assert_eq!(site.offered(61), foreign());
    // Version 3 in the place of 2 skips a root that may have taken a key away.
    site.files.insert(name.clone(), site.root.sign(&root(3, &site.root, &online)));
    assert_eq!(site.offered(61), refused());
    site.files.insert(name, site.root.sign(&root(2, &site.root, &online)));
    assert_eq!(site.offered(61), refused(), "the old keys count no more");
    site.online = online;
    site.publish(20, "edge-1", "two");
    assert_eq!(site.offered(62), Ok(20), "what the old keys signed binds nobody");
    assert!(site.trust.root.contains("\"version\":2"));
}

#[test]
fn a_clock_that_runs_ahead_never_becomes_the_floor() {
    let mut site = Site::new();
    site.publish(10, "edge-1", "one");
    assert_eq!(site.offered(90), Ok(10));
    assert_eq!(site.trust.verified, Some(at(10)));
    // Nor does a reconciler's clock that runs ahead of the device's.
    site.publish(80, "edge-1", "two");
    assert_eq!(site.offered(40), Ok(80));
    assert_eq!(site.trust.verified, Some(at(40)));
}

#[test]
fn a_device_that_was_off_for_many_rotations_reaches_the_newest_root_and_keeps_how_far_it_came() {
    let mut site = Site::new();
    // Each root is signed by the key before and by its own.
    let keys: Vec<_> = (2..=300).map(|_| Key::new()).collect();
    for (version, new) in (2..).zip(&keys) {
        let old = if version == 2 { &site.root } else { &keys[version - 3] };
        let signed = root(version as u64, new, &site.online);
        site.files.insert(format!("{version}.root.json"), signed_by(&signed, &[old, new]));
    }
    let broken = site.files.insert("200.root.json".to_owned(), b"{}".to_vec()).expect("a root");
    assert_eq!(site.offered(60), refused());
    assert!(site.trust.root.contains("\"version\":199"), "what was verified is kept");
    site.files.insert("200.root.json".to_owned(), broken);
    site.publish(50, "edge-1", "one");
    assert_eq!(site.offered(60), Ok(50));
    assert!(site.trust.root.contains("\"version\":300"));
}

#[test]
fn a_reconciler_with_other_keys_is_told_apart_from_damaged_metadata() {
    let mut site = Site::new();
    site.publish(10, "edge-1", "one");
    assert_eq!(site.offered(20), Ok(10));

    // A torn signature of a reconciler of ours.
    let ours = std::mem::replace(&mut site.online, Key::new());
    site.publish(30, "edge-1", "two");
    assert_eq!(site.offered(40), refused());

    // Another installation: its first root is not ours, or it does not have as many.
    let theirs = Key::new();
    site.files.insert("1.root.json".to_owned(), theirs.sign(&root(1, &theirs, &site.online)));
    assert_eq!(site.offered(40), foreign());
    site.files.remove("1.root.json");
    assert_eq!(site.offered(40), foreign());
    site.online = ours;
    site.publish(50, "edge-1", "three");
    assert_eq!(site.offered(60), Ok(50), "what our keys sign counts as before");
}

#[test]
fn who_shall_remove_everything_is_offered_nothing_beside() {
    let mut site = Site::new();
    let leaves = |offer| serde_json::to_value(Binding { decommission: true, ..offer }).expect("JSON");
    let device: DeviceName = "edge-1".parse().expect("a name");
    site.publish_targets(1, json!({}), leaves(Binding::new(device.clone(), None)));
    let pulled = site.pull(2).expect("pulled");
    assert_eq!((pulled.decommission, pulled.offer), (true, None));

    let offer: Binding = serde_json::from_value(binding("edge-1", 3, Sha256Digest::of(b"x"))).expect("a binding");
    let targets = json!({SPEC_TARGET: {"length": 1, "hashes": {"sha256": Sha256Digest::of(b"x").to_string()}}});
    site.publish_targets(3, targets, leaves(offer));
    assert_eq!(site.pull(4).expect_err("both").code, codes::METADATA_REFUSED);
}
