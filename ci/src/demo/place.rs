//! Where everything of a demo is.

use std::path::{Path, PathBuf};

use bellwether_schemas::DeviceName;

/// The demo's folder.
pub(crate) struct Place {
    /// As it was given, for people.
    shown: PathBuf,
    /// Absolute, for processes.
    dir: PathBuf,
    devices: u32,
}

impl Place {
    pub(crate) fn new(shown: &Path, dir: PathBuf, devices: u32) -> Self {
        Self { shown: shown.to_path_buf(), dir, devices }
    }

    pub(crate) fn shown(&self) -> &Path {
        &self.shown
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Says that the folder is a demo, and how many devices it has.
    pub(crate) fn marker(&self) -> PathBuf {
        self.dir.join("demo.json")
    }

    /// Says that the demo is not finished. Written before all else, and removed last.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.dir.join("demo.unfinished")
    }

    /// Everything that making a demo puts into its folder, but for that last mark.
    pub(crate) fn parts(&self) -> [PathBuf; 7] {
        ["demo.json", "devices", "fleet", "fleet.git", "keys", "logs", "reconciler"].map(|part| self.dir.join(part))
    }

    pub(crate) fn bare_repository(&self) -> PathBuf {
        self.dir.join("fleet.git")
    }

    pub(crate) fn working_copy(&self) -> PathBuf {
        self.dir.join("fleet")
    }

    pub(crate) fn signing_key(&self) -> PathBuf {
        self.dir.join("keys/engineer")
    }

    pub(crate) fn root_keys(&self) -> PathBuf {
        self.dir.join("keys/root")
    }

    pub(crate) fn online_keys(&self) -> PathBuf {
        self.dir.join("reconciler/keys/online")
    }

    pub(crate) fn reconciler(&self) -> PathBuf {
        self.dir.join("reconciler")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.reconciler().join("reconciler.yaml")
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.reconciler().join("ca/ca.crt")
    }

    pub(crate) fn tuf_root(&self) -> PathBuf {
        self.reconciler().join("store/root/1.root.json")
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }

    pub(crate) fn device(&self, device: &DeviceName) -> PathBuf {
        self.dir.join("devices").join(device.as_str())
    }

    /// The token of a device that is not enrolled yet.
    pub(crate) fn token(&self, device: &DeviceName) -> PathBuf {
        self.device(device).join("token")
    }

    /// device-1, device-2 and so on.
    pub(crate) fn devices(&self) -> impl Iterator<Item = DeviceName> {
        (1..=self.devices).map(|number| format!("device-{number}").parse().expect("letters, a hyphen and digits"))
    }
}
