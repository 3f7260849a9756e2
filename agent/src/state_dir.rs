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
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};

use bellwether_agent_core::{Durable, Status};
use rustix::fs::FlockOperation;

use crate::disk::{self, DiskError};
use crate::identity::Identity;
use crate::trust::{Metadata, Trust};

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// A file in it.
    #[error("state directory")]
    Disk(#[from] DiskError),
    /// Another agent has it.
    #[error("another agent uses {}", .0.display())]
    InUse(PathBuf),
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
        let lock = disk::create(&path.join("lock"))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| StateError::InUse(path.to_owned()))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
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
        disk::read_json(&self.file("trust.json"))
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
        Ok(disk::read(&self.file("head.json"))?.unwrap_or_default())
    }

    pub(crate) fn store_head(&self, record: &[u8]) -> Result<(), DiskError> {
        disk::replace(&self.file("head.json"), record)
    }

    /// The memory; a new one, with its nonce already on disk, where there is none.
    pub(crate) fn load_memory(&self) -> Result<Durable, StateError> {
        if let Some(memory) = disk::read_json(&self.file("memory.json"))? {
            return Ok(memory);
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

/// The status that a running agent wrote last; needs no lock.
pub(crate) fn load_status(state: &Path) -> Result<Option<Status>, DiskError> {
    disk::read_json(&state.join("status.json"))
}

/// Who the device is; needs no lock.
pub(crate) fn load_identity(state: &Path) -> Result<Option<Identity>, DiskError> {
    disk::read_json(&state.join("identity.json"))
}
