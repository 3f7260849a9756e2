//! The keys of one installation, its store on this machine, and the publisher of both.

use std::num::NonZeroU64;
use std::path::PathBuf;

use jiff::Timestamp;
use tough::schema::{RoleType, Root, Signed};

use crate::keys::{self, OnlineKeys, SigningKey};
use crate::publish::{Objects, PublishError, Publisher, publish_root};

/// Keys, store and publisher as `bellwether-reconciler init` makes them, in a folder that goes with this.
pub(crate) struct Installation {
    pub(crate) dir: tempfile::TempDir,
    /// `1.root.json`
    pub(crate) root: Vec<u8>,
    pub(crate) publisher: Publisher,
}

impl Installation {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let made = keys::init(&dir.path().join("keys"), &dir.path().join("online"), Timestamp::now()).expect("keys");
        let objects = Objects::in_directory(&dir.path().join("store")).expect("a store");
        publish_root(&objects, &made.root_json).await.expect("a root");
        let online = OnlineKeys::load(&dir.path().join("online")).expect("online keys");
        let publisher = Publisher::open(objects, online).await.expect("a publisher");
        Self { dir, root: made.root_json, publisher }
    }

    /// The publisher of a process that was started again, or of another one.
    pub(crate) async fn restarted(&self) -> Result<Publisher, PublishError> {
        Publisher::open(self.objects(), self.keys()).await
    }

    pub(crate) fn objects(&self) -> Objects {
        Objects::in_directory(&self.store()).expect("a store")
    }

    pub(crate) fn keys(&self) -> OnlineKeys {
        OnlineKeys::load(&self.dir.path().join("online")).expect("online keys")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// `head.json`
    pub(crate) fn head(&self) -> PathBuf {
        self.store().join("head.json")
    }

    /// Replaces the targets key as a key ceremony does; a publisher that is opened after that has the new one.
    pub(crate) fn replace_targets_key(&self) {
        let (made, fresh) = (self.dir.path().join("made"), self.dir.path().join("fresh"));
        let other = keys::init(&made, &fresh, Timestamp::now()).expect("keys");
        let other: Signed<Root> = serde_json::from_slice(&other.root_json).expect("a root");
        let root = std::fs::read(self.dir.path().join("store/root/1.root.json")).expect("a root");
        let mut root = serde_json::from_slice::<Signed<Root>>(&root).expect("a root").signed;
        root.version = NonZeroU64::new(2).expect("not zero");
        root.keys.extend(other.signed.keys);
        root.roles.insert(RoleType::Targets, other.signed.roles[&RoleType::Targets].clone());
        let ceremony = SigningKey::load(&self.dir.path().join("keys/root.pem")).expect("the root key");
        std::fs::write(self.dir.path().join("store/root/2.root.json"), ceremony.sign(root)).expect("written");
        std::fs::rename(fresh.join("targets.pem"), self.dir.path().join("online/targets.pem")).expect("replaced");
    }
}
