//! The operator's brake: holds that need no git (`bellwether-reconciler hold`), in a file beside what is published.
//!
//! The file is in the store's folder, so that a lost database releases nothing. It only ever stops: one that cannot be read
//! holds every fleet.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bellwether_schemas::FleetName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The local holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalHolds {
    /// Each of them.
    pub holds: Vec<LocalHold>,
}

/// One of them: it stops offers, and starts none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalHold {
    /// The fleet; every fleet if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<FleetName>,
    /// Since when.
    pub since: Timestamp,
    /// Why, for whoever reads it later.
    pub reason: String,
}

impl LocalHolds {
    /// The hold that covers a fleet.
    pub fn of(&self, fleet: &FleetName) -> Option<&LocalHold> {
        self.holds.iter().find(|hold| hold.fleet.as_ref().is_none_or(|held| held == fleet))
    }
}

/// Where the local holds are.
#[derive(Debug, Clone)]
pub struct Brake {
    dir: PathBuf,
}

impl Brake {
    /// The brake of a store, whose folder for it is created where it is missing.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn of_store(store: &Path) -> io::Result<Self> {
        let dir = store.join("held");
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// The folder to watch.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What holds now. What cannot be read holds every fleet.
    pub fn read(&self) -> LocalHolds {
        let unreadable = |why: String| LocalHolds {
            holds: vec![LocalHold {
                fleet: None,
                since: Timestamp::UNIX_EPOCH,
                reason: format!("{} cannot be read ({why}), so it stops every fleet", self.file().display()),
            }],
        };
        match fs::read(self.file()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => LocalHolds::default(),
            Err(error) => unreadable(error.to_string()),
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| unreadable(error.to_string())),
        }
    }

    /// Writes what holds from now on. It is durable when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, holds: &LocalHolds) -> io::Result<()> {
        // Nothing in it is secret, and what root wrote the reconciler's user must read, or it would hold for ever.
        let readable = fs::Permissions::from_mode(0o644);
        let mut staged = tempfile::Builder::new().permissions(readable).tempfile_in(&self.dir)?;
        staged.write_all(&serde_json::to_vec(holds).expect("holds have string keys"))?;
        staged.as_file().sync_all()?;
        staged.persist(self.file()).map_err(|error| error.error)?;
        File::open(&self.dir)?.sync_all()
    }

    fn file(&self) -> PathBuf {
        self.dir.join("local.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_holds_everything() {
        let dir = tempfile::tempdir().expect("a folder");
        let brake = Brake::of_store(dir.path()).expect("a folder");
        assert_eq!(brake.read(), LocalHolds::default());
        let edge: FleetName = "edge".parse().expect("a name");
        let other: FleetName = "other".parse().expect("a name");
        let hold = LocalHold { fleet: Some(edge.clone()), since: Timestamp::UNIX_EPOCH, reason: "look".to_owned() };
        brake.write(&LocalHolds { holds: vec![hold.clone()] }).expect("written");
        assert_eq!((brake.read().of(&edge), brake.read().of(&other)), (Some(&hold), None));
        let mode = fs::metadata(brake.file()).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o444, 0o444, "whoever wrote it, the reconciler reads it");
        fs::write(brake.file(), "torn {").expect("written");
        assert!(brake.read().of(&other).is_some_and(|hold| hold.reason.contains("so it stops every fleet")));
    }
}
