//! A lock on a file: held by one process at a time, which leaves its name in it, and gone with that process.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};

const PAUSE: Duration = Duration::from_millis(20);
/// Bytes of a name that are read: anybody with the store may have written it.
const LONGEST: u64 = 200;

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another process holds it.
    #[error("{} was locked for {} ms, {holder}", file.display(), waited.as_millis())]
    Held {
        /// The lock.
        file: PathBuf,
        /// Who took it, as it says itself.
        holder: String,
        /// How long this one waited.
        waited: Duration,
    },
    /// The file cannot be locked.
    #[error("{} cannot be locked", file.display())]
    File {
        /// The lock.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A lock, held until it is dropped or the process ends. Its file says who took it last.
#[derive(Debug)]
pub(crate) struct Lock {
    _held: File,
}

impl Lock {
    /// Takes a lock, or says who holds it after `patience`.
    pub(crate) async fn take(path: PathBuf, patience: Duration) -> Result<Self, LockError> {
        let since = Instant::now();
        loop {
            let file = path.clone();
            let tried =
                tokio::task::spawn_blocking(move || try_take(&file)).await.unwrap_or_else(|end| Err(end.into()));
            match tried {
                Ok(held) => return Ok(Self { _held: held }),
                Err(why) if why.kind() != ErrorKind::WouldBlock => {
                    return Err(LockError::File { file: path, source: why });
                }
                Err(_) if since.elapsed() < patience => tokio::time::sleep(PAUSE).await,
                Err(_) => {
                    return Err(LockError::Held { holder: holder(&path), file: path, waited: since.elapsed() });
                }
            }
        }
    }
}

fn try_take(path: &Path) -> std::io::Result<File> {
    // Somebody with the store may have put a link here, to a file that is not to be written over.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(open(path, flags, Mode::from_raw_mode(0o644))?);
    file.try_lock()?;
    // The name helps people; without it the lock holds as well.
    let _ = file.set_len(0).and_then(|()| file.write_all(own_name().as_bytes()));
    Ok(file)
}

/// This process, as another one shall find it: the same number may run on another machine.
pub(crate) fn own_name() -> String {
    format!("process {} on {}", std::process::id(), rustix::system::uname().nodename().to_string_lossy())
}

fn holder(path: &Path) -> String {
    let mut name = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut name));
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    match read {
        Ok(_) if !name.is_empty() => format!("last by {name}"),
        _ => "by a process that left no name in it".to_owned(),
    }
}
