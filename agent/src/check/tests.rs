use std::path::Path;

use bellwether_agent_core::Durable;
use bellwether_agent_core::check::Level;
use bellwether_schemas::allow::Allowed;
use bellwether_schemas::codes;

use super::*;
use crate::identity::{Identity, KeyRequest};
use crate::state_dir::StateDir;
use crate::trust::{Floors, Trust};

fn subject(dir: &Path) -> Subject {
    Subject {
        state: dir.join("state"),
        root: dir.join("root"),
        config: Some(dir.join("agent.yaml")),
        server: None,
        ca: None,
    }
}

/// What was found that is not as it should be, by what was looked at.
fn found(dir: &Path) -> Vec<(String, Option<bellwether_schemas::Code>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let found = runtime.block_on(check(&subject(dir)));
    found.into_iter().filter(|f| f.level != Level::Ok).map(|f| (f.what, f.code)).collect()
}

/// A directory for each part, and an operator who allows nothing.
fn device() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir_all(dir.path().join("root/opt/bellwether")).expect("made");
    std::fs::write(dir.path().join("agent.yaml"), "{}").expect("written");
    dir
}

/// An enrolled device whose listeners are at a port that nobody listens at.
fn enrolled(dir: &Path) -> StateDir {
    let state = StateDir::lock(&dir.join("state")).expect("locked");
    state.store_memory(&Durable::new("n".to_owned())).expect("stored");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("a certificate").pem();
    let (devices, updates) = ("https://127.0.0.1:1".to_owned(), "https://127.0.0.1:1".to_owned());
    let identity = Identity {
        device: "edge-1".parse().expect("a name"),
        key: key.serialize_pem(),
        ca: certificate.clone(),
        certificate,
        devices,
        updates,
    };
    state.store_identity(&identity).expect("stored");
    let (root_key, online) = (crate::pull::tests::Key::new(), crate::pull::tests::Key::new());
    let root = root_key.sign(&crate::pull::tests::root(1, &root_key, &online));
    let pinned = bellwether_schemas::id::Sha256Digest::of(&root);
    let root = String::from_utf8(root).expect("text");
    state.store_trust(&Trust { root, pinned, floors: Floors::default(), verified: None }).expect("stored");
    state
}

#[test]
fn a_device_that_is_not_enrolled_is_told_so_and_nothing_else_is_wrong() {
    let dir = device();
    assert_eq!(found(dir.path()), [("enrollment".to_owned(), Some(codes::NOT_ENROLLED))]);
    assert!(!dir.path().join("state").exists(), "a look makes nothing");
}

#[test]
fn what_the_operator_allows_must_be_there() {
    let dir = device();
    std::fs::write(dir.path().join("agent.yaml"), "paths: [/srv/none, /opt/bellwether]\nexec: [/bin/none]\n")
        .expect("written");
    let found = found(dir.path());
    let unusable = Some(codes::ALLOWED_UNUSABLE);
    assert_eq!(found[..2], [("allowed path".to_owned(), unusable), ("allowed program".to_owned(), unusable)]);
    std::fs::write(dir.path().join("agent.yaml"), "exce: []\n").expect("written");
    assert_eq!(super::tests::found(dir.path())[0], ("configuration".to_owned(), Some(codes::AGENT_CONFIG)));
}

#[test]
fn an_enrolled_device_that_nobody_answers_is_told_what_is_well_and_what_not() {
    let dir = device();
    let state = enrolled(dir.path());
    let unreachable = Some(codes::SERVER_UNREACHABLE_AGENT);
    assert_eq!(found(dir.path()), [("devices".to_owned(), unreachable), ("updates".to_owned(), unreachable)]);
    drop(state);
    assert_eq!(found(dir.path())[0], ("agent".to_owned(), Some(codes::AGENT_STOPPED)));
}

#[test]
fn what_is_damaged_or_lost_is_named() {
    let dir = device();
    let state = enrolled(dir.path());
    let path = |name: &str| dir.path().join("state").join(name);
    let damaged = Some(codes::AGENT_STATE);
    for name in ["trust.json", "memory.json", "metadata.json", "status.json"] {
        let good = std::fs::read(path(name)).ok();
        std::fs::write(path(name), "{").expect("written");
        assert_eq!(found(dir.path())[0], (name.to_owned(), damaged), "{name}");
        match good {
            Some(good) => std::fs::write(path(name), good).expect("written"),
            None => std::fs::remove_file(path(name)).expect("removed"),
        }
    }
    for (name, what) in [("journal.json", "state directory"), ("committed.json", "state directory")] {
        std::fs::write(path(name), "{").expect("written");
        assert_eq!(found(dir.path())[0], (what.to_owned(), damaged), "{name}");
        std::fs::remove_file(path(name)).expect("removed");
    }
    for (name, what) in [("memory.json", "state directory"), ("trust.json", "trust anchor")] {
        let good = std::fs::read(path(name)).expect("there");
        std::fs::remove_file(path(name)).expect("removed");
        assert_eq!(found(dir.path())[0], (what.to_owned(), damaged), "{name}");
        std::fs::write(path(name), good).expect("written");
    }
    // A key that is not the certificate's.
    let identity = state.load_identity().expect("readable").expect("there");
    let key = KeyRequest::make().expect("a key").key;
    state.store_identity(&Identity { key, ..identity }).expect("stored");
    assert_eq!(found(dir.path()), [("enrollment".to_owned(), damaged)], "and no listener is asked with it");
}

#[test]
fn a_config_without_a_file_counts_as_the_defaults() {
    let dir = device();
    let allowed = local::allowed(&dir.path().join("root"), &Allowed::default());
    assert!(allowed.iter().all(|finding| finding.level == Level::Ok), "{allowed:?}");
}
