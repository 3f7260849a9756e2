//! A copy of everything that is state, while the reconciler runs: the database as an SQLite file, whatever it is in, and the
//! records that are in the store alone.
//!
//! Not in it: keys and the certificate authority, which are secrets with backups of their own, contents and metadata of
//! devices, which are published again, and the mirror, which is fetched again.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bellwether_schemas::{Code, CommitId, codes};
use bytes::Bytes;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use object_store::ObjectStore;
use object_store::ObjectStoreExt as _;
use serde::{Deserialize, Serialize};

use crate::store::{Instance, InstanceError, Store, StoreError, check_instance};

/// The database in a backup.
pub(super) const DATABASE: &str = "state.db";
/// The store's records in a backup.
pub(super) const RECORDS: &str = "store";
/// What a backup says of itself.
const ABOUT: &str = "backup.json";
/// The form of a backup.
const FORMAT: u32 = 1;

/// Why no backup could be made or read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The place is taken.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A file of it.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What failed.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is none.
    #[error("{} is no backup: {why}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The database.
    #[error("the database cannot be copied")]
    Store(#[from] StoreError),
    /// Database and store do not belong together.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// The store.
    #[error("the store cannot be copied")]
    Objects(#[from] object_store::Error),
}

impl BackupError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Instance(error) => error.code(),
            _ => codes::BACKUP_FAILED,
        }
    }
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// The form of the backup.
    pub format: u32,
    /// Which store it is of.
    pub instance: String,
    /// When it was begun.
    pub at: Timestamp,
    /// The accepted head.
    pub head: Option<CommitId>,
    /// How many devices it knows.
    pub devices: usize,
}

/// Copies database and records into the new folder `to`, which appears when it is whole.
///
/// # Errors
/// When the folder exists, or something cannot be read or written; then no folder is left.
pub async fn back_up(
    store: &Store,
    objects: &dyn ObjectStore,
    to: &Path,
    now: Timestamp,
) -> Result<About, BackupError> {
    let Instance::Known(instance) = check_instance(store, objects).await? else {
        return Err(InstanceError::EmptyDatabase.into());
    };
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let to =
        std::path::absolute(to).map_err(|source| BackupError::File { doing: "find", path: to.to_owned(), source })?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let partial = to.with_file_name(format!(".{name}.partial"));
    remove_folder(&partial)?;
    let made = fill(store, objects, &partial, instance, now).await;
    let finished = match made {
        Ok(about) => file("rename", &partial, |partial| std::fs::rename(partial, &to)).map(|()| about),
        Err(error) => Err(error),
    };
    if finished.is_err() {
        remove_folder(&partial)?;
    }
    let about = finished?;
    sync_folder(to.parent().unwrap_or(Path::new("/")))?;
    Ok(about)
}

async fn fill(
    store: &Store,
    objects: &dyn ObjectStore,
    to: &Path,
    instance: String,
    now: Timestamp,
) -> Result<About, BackupError> {
    create_folder(to)?;
    let database = to.join(DATABASE);
    let copy = Store::open(&format!("sqlite://{}", database.display())).await?;
    store.copy_into(&copy).await?;
    let loaded = copy.load_all().await?;
    copy.close().await;
    // After the database: what it knows to be spent is among the records.
    copy_records(objects, &to.join(RECORDS)).await?;
    let head = loaded.head.map(|head| head.commit);
    let about = About { format: FORMAT, instance, at: now, head, devices: loaded.devices.len() };
    let text = serde_json::to_vec_pretty(&about).expect("a struct of strings and numbers");
    write(&to.join(ABOUT), &text)?;
    // All of it at once: there may be a record for each device.
    file("sync", to, |to| Ok(rustix::fs::syncfs(std::fs::File::open(to)?)?))?;
    Ok(about)
}

/// Whether a file of the store is a record that only the store has.
fn is_record(path: &str) -> bool {
    ["root/", "fleets/", "enrolled/", "decommissioned/"].iter().any(|folder| path.starts_with(folder))
        || matches!(path, "head.json" | "instance.json")
}

async fn copy_records(objects: &dyn ObjectStore, to: &Path) -> Result<(), BackupError> {
    create_folder(to)?;
    let mut folders = std::collections::BTreeSet::from([to.to_owned()]);
    let mut files = objects.list(None);
    while let Some(found) = files.try_next().await? {
        let path = found.location.as_ref();
        if !is_record(path) || path.ends_with(".lock") {
            continue;
        }
        let bytes = match objects.get(&found.location).await {
            Ok(found) => found.bytes().await?,
            // A fleet ended just now.
            Err(object_store::Error::NotFound { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let file = to.join(path);
        let folder = file.parent().unwrap_or(to).to_owned();
        if folders.insert(folder.clone()) {
            create_folder(&folder)?;
        }
        write(&file, &bytes)?;
    }
    Ok(())
}

/// Reads what a backup says of itself.
pub(super) fn read(from: &Path) -> Result<About, BackupError> {
    let path = from.join(ABOUT);
    let text = file("read", &path, |path| std::fs::read(path))?;
    let form = |why: String| BackupError::Form { path: path.clone(), why };
    let about: About = serde_json::from_slice(&text).map_err(|error| form(error.to_string()))?;
    match about.format {
        FORMAT => Ok(about),
        other => {
            Err(form(format!("its format is {other}, and this release reads {FORMAT}: use the release that made it")))
        }
    }
}

/// The records of a backup: where each belongs in the store, and its content.
pub(super) fn records(from: &Path) -> Result<Vec<(String, Bytes)>, BackupError> {
    let top = from.join(RECORDS);
    let mut records = Vec::new();
    let mut folders = vec![top.clone()];
    while let Some(folder) = folders.pop() {
        for entry in file("list", &folder, |folder| std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>())? {
            let path = entry.path();
            let kind = file("look at", &path, |_| entry.file_type())?;
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let within = path.strip_prefix(&top).ok().and_then(Path::to_str).filter(|within| is_record(within));
            let within =
                within.ok_or_else(|| BackupError::Form { path: path.clone(), why: "it is no record".to_owned() })?;
            records.push((within.to_owned(), file("read", &path, |path| std::fs::read(path))?.into()));
        }
    }
    records.sort();
    Ok(records)
}

fn file<T>(doing: &'static str, path: &Path, work: impl FnOnce(&Path) -> std::io::Result<T>) -> Result<T, BackupError> {
    work(path).map_err(|source| BackupError::File { doing, path: path.to_owned(), source })
}

fn create_folder(path: &Path) -> Result<(), BackupError> {
    file("create", path, |path| std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path))
}

fn remove_folder(path: &Path) -> Result<(), BackupError> {
    file("remove", path, |path| match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
}

fn sync_folder(path: &Path) -> Result<(), BackupError> {
    file("sync", path, |path| std::fs::File::open(path)?.sync_all())
}

fn write(path: &Path, content: &[u8]) -> Result<(), BackupError> {
    file("write", path, |path| {
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(content)
    })
}

/// A copy of a database file that goes when this is dropped.
#[derive(Debug)]
pub(super) struct Copy(PathBuf);

impl Copy {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", self.0.display()));
        }
    }
}

/// Copies a file of a backup, to be opened and changed.
pub(super) fn copy_of(path: &Path) -> Result<Copy, BackupError> {
    let name = format!("bellwether-restore-{}.db", std::process::id());
    let copy = Copy(std::env::temp_dir().join(name));
    let mut from = file("read", path, |path| std::fs::File::open(path))?;
    file("write", copy.path(), |to| {
        let mut to = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        std::io::copy(&mut from, &mut to)
    })?;
    Ok(copy)
}
