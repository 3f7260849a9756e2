//! Paths on the device, beneath a root directory.
//!
//! Each part of a path is opened by itself, relative to the directory before it, and never through a symbolic link. A
//! [`DevicePath`] has no `..`, so nothing outside the root can be reached, whatever changes meanwhile.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use bellwether_schemas::id::Sha256Digest;
use bellwether_schemas::spec::DevicePath;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::ApplyError;
use super::inventory::Original;

/// The directory that the device's paths begin at.
pub(super) struct Root {
    dir: OwnedFd,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    File,
    Other,
}

/// Whether a file may take the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replace {
    Allowed,
    Forbidden,
}

/// An open parent directory and a name in it.
pub(super) struct Place {
    pub(super) dir: OwnedFd,
    pub(super) name: String,
    pub(super) path: String,
}

const DIR: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::RDONLY);
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::RDONLY);
/// Permissions of the directories that this agent makes.
const MODE: Mode = Mode::from_raw_mode(0o755);
/// The largest file of somebody else that is kept to be restored.
const MAX_ORIGINAL: u64 = 64 << 20;

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Self, ApplyError> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let dir = rustix::fs::open(path, flags, Mode::empty())
            .map_err(ApplyError::device("open", &path.display().to_string()))?;
        Ok(Self { dir })
    }

    /// The parent of a path; `None` where it does not exist. `make` makes it.
    pub(super) fn place(&self, path: &str, make: bool) -> Result<Option<Place>, ApplyError> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let place = |dir| Place { dir, name: name.to_owned(), path: path.to_owned() };
        Ok(self.dir(parent, make)?.map(place))
    }

    fn dir(&self, path: &str, make: bool) -> Result<Option<OwnedFd>, ApplyError> {
        let mut dir = self.dir.try_clone().map_err(ApplyError::io("open", path))?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let mut made = false;
            if make {
                match rustix::fs::mkdirat(&dir, part, MODE) {
                    Ok(()) => {
                        made = true;
                        sync(&dir, path)?;
                    }
                    Err(Errno::EXIST) => {}
                    Err(errno) => return Err(ApplyError::device("make a directory for", path)(errno)),
                }
            }
            dir = match rustix::fs::openat(&dir, part, DIR, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    return Err(ApplyError::Unsafe { path: path.to_owned(), part: part.to_owned() });
                }
                Err(errno) => return Err(ApplyError::device("open a directory of", path)(errno)),
            };
            if made {
                // Whatever the umask is that the agent was started with.
                rustix::fs::fchmod(&dir, MODE).map_err(ApplyError::device("set the mode of", path))?;
            }
        }
        Ok(Some(dir))
    }

    pub(super) fn has_dir(&self, path: &str) -> Result<bool, ApplyError> {
        Ok(self.dir(path, false)?.is_some())
    }

    pub(super) fn look(&self, path: &DevicePath) -> Result<Found, ApplyError> {
        match self.place(path.as_str(), false)? {
            Some(place) => place.look(),
            None => Ok(Found::Nothing),
        }
    }

    pub(super) fn read_original(&self, path: &DevicePath) -> Result<(Original, Vec<u8>), ApplyError> {
        let place = self.place(path.as_str(), false)?.ok_or_else(|| ApplyError::Foreign(path.to_string()))?;
        let file = place.open()?.ok_or_else(|| ApplyError::Foreign(path.to_string()))?;
        let stat = rustix::fs::fstat(&file).map_err(ApplyError::device("look at", &place.path))?;
        let mut content = Vec::new();
        let read = file.take(MAX_ORIGINAL + 1).read_to_end(&mut content);
        if read.map_err(ApplyError::io("read", &place.path))? as u64 > MAX_ORIGINAL {
            return Err(ApplyError::Foreign(format!("{path} is too large to be kept; it")));
        }
        let mode = stat.st_mode & 0o7777;
        let sha256 = Sha256Digest::of(&content);
        Ok((Original { sha256, mode, uid: stat.st_uid, gid: stat.st_gid }, content))
    }

    /// Removes a directory that this agent made, unless something is in it.
    pub(super) fn remove_empty_dir(&self, path: &str) -> Result<(), ApplyError> {
        let Some(place) = self.place(path, false)? else { return Ok(()) };
        match rustix::fs::unlinkat(&place.dir, &place.name, AtFlags::REMOVEDIR) {
            Ok(()) => place.sync(),
            Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR | Errno::BUSY) => Ok(()),
            Err(errno) => Err(ApplyError::device("remove", path)(errno)),
        }
    }
}

impl Place {
    pub(super) fn look(&self) -> Result<Found, ApplyError> {
        match rustix::fs::statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(Found::File),
            Ok(_) => Ok(Found::Other),
            Err(Errno::NOENT) => Ok(Found::Nothing),
            Err(errno) => Err(ApplyError::device("look at", &self.path)(errno)),
        }
    }

    /// The regular file; `None` where there is none.
    pub(super) fn open(&self) -> Result<Option<File>, ApplyError> {
        match rustix::fs::openat(&self.dir, &self.name, FILE, Mode::empty()) {
            Ok(fd) => {
                let file = File::from(fd);
                let metadata = file.metadata().map_err(ApplyError::io("look at", &self.path))?;
                Ok(metadata.is_file().then_some(file))
            }
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => Ok(None),
            Err(errno) => Err(ApplyError::device("open", &self.path)(errno)),
        }
    }

    /// The name under which a new content is written before it gets its own.
    pub(super) fn temporary(&self) -> String {
        format!(".bellwether-{}", Sha256Digest::of(self.path.as_bytes()).short())
    }

    pub(super) fn create(&self, name: &str) -> Result<File, ApplyError> {
        self.unlink(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.dir, name, flags, Mode::from_raw_mode(0o600));
        fd.map(File::from).map_err(ApplyError::device("create", &self.path))
    }

    /// Gives what was written under the temporary name its own.
    pub(super) fn install(&self, replace: Replace) -> Result<(), ApplyError> {
        let temporary = self.temporary();
        let plain = || rustix::fs::renameat(&self.dir, &temporary, &self.dir, &self.name);
        let renamed = match replace {
            Replace::Allowed => plain(),
            Replace::Forbidden => {
                match rustix::fs::renameat_with(&self.dir, &temporary, &self.dir, &self.name, RenameFlags::NOREPLACE) {
                    Err(Errno::EXIST) => return Err(ApplyError::Foreign(self.path.clone())),
                    // Some file systems cannot promise it; the survey has looked a moment ago.
                    Err(Errno::INVAL | Errno::NOSYS) => plain(),
                    other => other,
                }
            }
        };
        renamed.map_err(ApplyError::device("replace", &self.path))?;
        self.sync()
    }

    pub(super) fn unlink(&self, name: &str) -> Result<(), ApplyError> {
        match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(ApplyError::device("remove", &self.path)(errno)),
        }
    }

    pub(super) fn read_link(&self) -> Result<Option<String>, ApplyError> {
        match rustix::fs::readlinkat(&self.dir, &self.name, Vec::new()) {
            Ok(link) => Ok(link.into_string().ok()),
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            Err(errno) => Err(ApplyError::device("read", &self.path)(errno)),
        }
    }

    pub(super) fn sync(&self) -> Result<(), ApplyError> {
        sync(&self.dir, &self.path)
    }
}

fn sync(dir: &OwnedFd, path: &str) -> Result<(), ApplyError> {
    rustix::fs::fsync(dir).map_err(ApplyError::device("sync the directory of", path))
}

/// Copies `from` into `to` while hashing; `None` unless it is what the digest says.
pub(super) fn copy_checked(from: &mut File, to: &mut File, digest: &Sha256Digest) -> io::Result<Option<()>> {
    use sha2::Digest as _;
    use std::io::Write as _;
    let mut hash = sha2::Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => break,
            n => {
                hash.update(&buffer[..n]);
                to.write_all(&buffer[..n])?;
            }
        }
    }
    let found: [u8; 32] = hash.finalize().into();
    Ok((found == *digest.as_bytes()).then_some(()))
}
