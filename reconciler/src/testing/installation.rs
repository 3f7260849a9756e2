//! The keys of one installation, its store on this machine, and the publisher of both.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::keys::{self, OnlineKeys};
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
}
