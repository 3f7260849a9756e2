//! The state directory: what is where, and the lock that makes it ours.
//!
//! ```text
//! identity.json   key, certificate, CA and addresses; 0600
//! memory.json     version floor, what runs, what is tried, the last failure
//! trust.json      accepted TUF root and metadata floors: kept apart from the metadata cache
//! metadata.json   verified metadata, as raw text
//! head.json       the newest signed head record we were given
//! committed.json  what is placed on the device; journal.json: a change of it that is under way
//! content/<sha256>, specs/<digest>.json
//! status.json     for people
//! decommissioned.json  alone: the device removed everything, and its keys
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bellwether_agent_core::{Durable, Status};
use bellwether_schemas::name::DeviceName;
use jiff::Timestamp;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::identity::Identity;
use crate::trust::{Metadata, Trust};

const DECOMMISSIONED: &str = "decommissioned.json";
const LOCK: &str = "lock";

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// A file in it.
    #[error("state directory")]
    Disk(#[from] DiskError),
    /// Another agent has it.
    #[error("another agent uses {}", .0.display())]
    InUse(PathBuf),
    /// The version floor is gone, though the device was enrolled.
    #[error("{} is gone, and with it what this device must not go back behind", .0.display())]
    Lost(PathBuf),
    /// The random source of the system failed.
    #[error("no random numbers")]
    Random,
}

/// A state directory that we hold the lock of.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    _lock: File,
}

impl StateDir {
    /// Opens (and makes) the directory, and locks it for as long as the value lives.
    pub(crate) fn lock(path: &Path) -> Result<Self, StateError> {
        for dir in [path.to_owned(), path.join("content"), path.join("specs")] {
            disk::private_dir(&dir)?;
        }
        let lock = disk::lock_file(&path.join(LOCK))?;
        // Somebody who asks whether an agent runs holds the lock for a moment.
        for attempt in 0..10 {
            if attempt > 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
            if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return Ok(Self { path: path.to_owned(), _lock: lock });
            }
        }
        Err(StateError::InUse(path.to_owned()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn load_identity(&self) -> Result<Option<Identity>, DiskError> {
        disk::read_json(&self.file("identity.json"))
    }

    pub(crate) fn store_identity(&self, identity: &Identity) -> Result<(), DiskError> {
        disk::replace_json(&self.file("identity.json"), identity)
    }

    pub(crate) fn load_trust(&self) -> Result<Option<Trust>, DiskError> {
        load_trust(&self.path)
    }

    pub(crate) fn store_trust(&self, trust: &Trust) -> Result<(), DiskError> {
        disk::replace_json(&self.file("trust.json"), trust)
    }

    pub(crate) fn load_metadata(&self) -> Result<Option<Metadata>, DiskError> {
        disk::read_json(&self.file("metadata.json"))
    }

    pub(crate) fn store_metadata(&self, metadata: &Metadata) -> Result<(), DiskError> {
        disk::replace_json(&self.file("metadata.json"), metadata)
    }

    pub(crate) fn forget_metadata(&self) -> Result<(), DiskError> {
        disk::remove(&self.file("metadata.json"))
    }

    pub(crate) fn load_head(&self) -> Result<Vec<u8>, DiskError> {
        load_head(&self.path)
    }

    pub(crate) fn store_head(&self, record: &[u8]) -> Result<(), DiskError> {
        disk::replace(&self.file("head.json"), record)
    }

    pub(crate) fn forget_head(&self) -> Result<(), DiskError> {
        disk::remove(&self.file("head.json"))
    }

    /// The memory; a new one, with its nonce already on disk, where there is none.
    pub(crate) fn load_memory(&self) -> Result<Durable, StateError> {
        if let Some(memory) = disk::read_json(&self.file("memory.json"))? {
            return Ok(memory);
        }
        // Enrollment writes the memory before the identity: one that is gone was lost, and is never taken as a new device's.
        if self.load_identity()?.is_some() {
            return Err(StateError::Lost(self.file("memory.json")));
        }
        let mut nonce = [0; 16];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| StateError::Random)?;
        let memory = Durable::new(hex::encode(nonce));
        self.store_memory(&memory)?;
        Ok(memory)
    }

    pub(crate) fn store_memory(&self, memory: &Durable) -> Result<(), DiskError> {
        disk::replace_json(&self.file("memory.json"), memory)
    }

    pub(crate) fn store_status(&self, status: &Status) -> Result<(), DiskError> {
        disk::publish(&self.file("status.json"), &serde_json::to_vec(status).expect("a status has string keys"))
    }
}

/// What is left of a device that was decommissioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Decommissioned {
    /// The device.
    pub(crate) device: DeviceName,
    /// When its keys were removed.
    pub(crate) at: Timestamp,
}

impl StateDir {
    /// Removes keys and state, and leaves a word of it. Where that breaks off, the next call goes on.
    pub(crate) fn forget_all(&self, device: &DeviceName, at: Timestamp) -> Result<(), DiskError> {
        if load_decommissioned(&self.path)?.is_none() {
            disk::replace_json(&self.file(DECOMMISSIONED), &Decommissioned { device: device.clone(), at })?;
        }
        // The keys first; those of a renewal that a power cut broke off lie in a file that has no name of its own yet.
        for name in ["identity.json", "identity.new", "pending.json", "pending.new"] {
            disk::remove(&self.file(name))?;
        }
        for dir in [self.path.clone(), self.file("content"), self.file("specs")] {
            let entries = std::fs::read_dir(&dir).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            for entry in entries.map_err(DiskError::io("list", &dir))? {
                // No directory but these two is the agent's: one that is a file system of its own has a lost+found.
                let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if !is_dir && ![LOCK, DECOMMISSIONED].iter().any(|kept| entry.file_name() == *kept) {
                    disk::remove(&entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// The device is enrolled anew.
    pub(crate) fn forget_decommissioned(&self) -> Result<(), DiskError> {
        disk::remove(&self.file(DECOMMISSIONED))
    }
}

/// What is left of a device that was decommissioned; needs no lock.
pub(crate) fn load_decommissioned(state: &Path) -> Result<Option<Decommissioned>, DiskError> {
    disk::read_json(&state.join(DECOMMISSIONED))
}

/// The status that a running agent wrote last; needs no lock.
pub(crate) fn load_status(state: &Path) -> Result<Option<Status>, DiskError> {
    disk::read_json(&state.join("status.json"))
}

/// The newest head record, empty where there is none; needs no lock.
pub(crate) fn load_head(state: &Path) -> Result<Vec<u8>, DiskError> {
    Ok(disk::read(&state.join("head.json"))?.unwrap_or_default())
}

/// What the device has verified; needs no lock.
pub(crate) fn load_trust(state: &Path) -> Result<Option<Trust>, DiskError> {
    disk::read_json(&state.join("trust.json"))
}

/// Whether an agent holds the lock now.
pub(crate) fn is_in_use(state: &Path) -> bool {
    let Ok(lock) = File::open(state.join(LOCK)) else { return false };
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).is_err()
}

/// Notes in the status that the agent ended, and why if it had to.
pub(crate) fn note_end(state: &Path, why: Option<String>) -> Result<(), DiskError> {
    let Some(mut status) = load_status(state)? else { return Ok(()) };
    status.connected = false;
    status.trouble = why;
    disk::publish(&state.join("status.json"), &serde_json::to_vec(&status).expect("a status has string keys"))
}

/// Who the device is; needs no lock.
pub(crate) fn load_identity(state: &Path) -> Result<Option<Identity>, DiskError> {
    disk::read_json(&state.join("identity.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_that_is_gone_is_no_new_device() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::lock(dir.path()).expect("locked");
        assert!(is_in_use(dir.path()));
        assert!(matches!(StateDir::lock(dir.path()), Err(StateError::InUse(_))));
        let first = state.load_memory().expect("a new memory");
        assert_eq!(state.load_memory().expect("the same memory"), first);
        let identity = Identity::without_key();
        state.store_identity(&identity).expect("stored");
        std::fs::remove_file(dir.path().join("memory.json")).expect("removed");
        assert!(matches!(state.load_memory(), Err(StateError::Lost(_))));
        std::fs::write(dir.path().join("memory.json"), "{").expect("written");
        assert!(matches!(state.load_memory(), Err(StateError::Disk(DiskError::Damaged { .. }))));
        drop(state);
        assert!(!is_in_use(dir.path()));
    }

    #[test]
    fn what_is_forgotten_leaves_a_word_and_nothing_that_could_be_used() {
        let dir = tempfile::tempdir().expect("a directory");
        let state = StateDir::lock(dir.path()).expect("locked");
        state.load_memory().expect("a memory");
        let left_by_a_power_cut = ["identity.new", "pending.new", "head.new", "spec.part", "metadata.new"];
        let known = ["identity.json", "pending.json", "head.json", "journal.json", "content/x", "specs/y.json"];
        for name in left_by_a_power_cut.iter().chain(&known) {
            std::fs::write(dir.path().join(name), "{}").expect("written");
        }
        std::fs::create_dir(dir.path().join("lost+found")).expect("made");
        let device = "edge-1".parse().expect("a name");
        let at = Timestamp::from_second(1_800_000_000).expect("a time");
        for later in [at, Timestamp::MAX] {
            state.forget_all(&device, later).expect("forgotten");
        }
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).expect("listed").flatten().map(|e| e.file_name()).collect();
        left.sort();
        assert_eq!(left, ["content", "decommissioned.json", "lock", "lost+found", "specs"]);
        assert_eq!(std::fs::read_dir(dir.path().join("content")).expect("listed").count(), 0);
        assert_eq!(load_decommissioned(dir.path()).expect("readable"), Some(Decommissioned { device, at }));
        state.forget_decommissioned().expect("removed");
        state.load_memory().expect("it may begin anew");
    }
}
