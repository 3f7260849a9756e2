//! The mirror: a bare repository of our own that holds what the watched branch ever pointed at.
//!
//! In: the address of a repository and a branch. Out: the branch's tip, and raw objects that nobody has checked yet.
//! All calls block. Nothing of the remote is trusted but to be bytes: `verify` judges them.

mod access;
mod objects;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use gix::remote::Direction;
use gix::remote::fetch::Tags;

use bellwether_schemas::{Code, CommitId, codes};

pub use access::{Access, AccessError};
pub use objects::MirrorObjects;
pub use watch::{Watch, WatchError, watch};

/// Configuration that holds whatever a mirror's own file says.
const OVERRIDES: [&str; 5] = [
    // An object is what its hash says, never what a ref says it is replaced by.
    "core.useReplaceRefs=false",
    "core.commitGraph=false",
    "core.logAllRefUpdates=false",
    // A history with a cut end cannot be verified.
    "clone.rejectShallow=true",
    "ssh.variant=ssh",
];

/// Why the mirror has no news from the repository.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is not one.
    #[error("{}: {shown:?} is no address of a repository: {why}", self.code())]
    Address {
        /// What was given.
        shown: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file that opens the way to the repository cannot be used.
    #[error("{}: the way to the repository {shown} is closed: {why}", self.code())]
    Access {
        /// Its address, without a password.
        shown: String,
        /// The file, and what is wrong with it.
        why: String,
    },
    /// The repository does not answer.
    #[error("{}: the repository {shown} cannot be reached: {why}", self.code())]
    Unreachable {
        /// Its address, without a password.
        shown: String,
        /// The whole chain of causes.
        why: String,
    },
    /// The repository has no such branch.
    #[error("{}: the repository {shown} has no branch {branch:?}", self.code())]
    NoBranch {
        /// Its address, without a password.
        shown: String,
        /// The branch.
        branch: String,
    },
    /// The repository lacks its older history.
    #[error("{}: the repository {shown} is a shallow clone", self.code())]
    Shallow {
        /// Its address, without a password.
        shown: String,
    },
    /// The mirror borrows objects from elsewhere.
    #[error("{}: the mirror {} names alternates, which a mirror never has", self.code(), dir.display())]
    Alternates {
        /// The mirror.
        dir: PathBuf,
    },
    /// The mirror itself cannot be used.
    #[error("{}: the mirror {} cannot be used: {why}", self.code(), dir.display())]
    Mirror {
        /// The mirror.
        dir: PathBuf,
        /// The whole chain of causes.
        why: String,
    },
}

impl FetchError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Address { .. } => codes::REPOSITORY_ADDRESS,
            Self::Access { .. } => codes::REPOSITORY_ACCESS,
            Self::Unreachable { .. } => codes::REPOSITORY_UNREACHABLE,
            Self::NoBranch { .. } => codes::BRANCH_MISSING,
            Self::Shallow { .. } => codes::REPOSITORY_SHALLOW,
            Self::Alternates { .. } | Self::Mirror { .. } => codes::MIRROR_FAILED,
        }
    }
}

/// A mirror of one branch.
#[derive(Debug, Clone)]
pub struct Mirror {
    dir: PathBuf,
    url: gix::Url,
    branch: String,
    access: Access,
}

impl Mirror {
    /// Opens the mirror in `dir`, or makes an empty one, for `branch` of the repository at `url`:
    /// a path (bare or with a work tree), `https://…`, `ssh://…` or `user@host:path`.
    ///
    /// # Errors
    /// When the address or the branch's name is none, or the directory holds something else.
    pub fn open_or_create(dir: &Path, url: &str, branch: &str, access: Access) -> Result<Self, FetchError> {
        let bad = |why: String| FetchError::Address { shown: redacted(url), why };
        let parsed = gix::url::parse(url).map_err(|why| bad(why.to_string()))?;
        match &parsed.scheme {
            gix::url::Scheme::File | gix::url::Scheme::Https | gix::url::Scheme::Ssh => {}
            other => return Err(bad(format!("{} is not supported: use a path, https or ssh", other.as_str()))),
        }
        if parsed.password().is_some() {
            return Err(bad(
                "a password has no place in it: put it into a file, and name that as repositoryAccess.tokenFile"
                    .to_owned(),
            ));
        }
        let name = format!("refs/heads/{branch}");
        gix::validate::reference::name(name.as_str().into()).map_err(|why| bad(format!("branch {branch:?}: {why}")))?;
        let mirror = Self { dir: dir.to_owned(), url: parsed, branch: branch.to_owned(), access };
        if dir.join("HEAD").exists() {
            mirror.open()?;
        } else {
            let kind = gix::create::Kind::Bare;
            gix::ThreadSafeRepository::init_opts(dir, kind, gix::create::Options::default(), options())
                .map_err(|why| mirror.unusable(chain(&why)))?;
        }
        Ok(mirror)
    }

    /// Fetches the branch, wherever it points now, and returns its tip. Objects fetched earlier stay. Ends early once
    /// `interrupted` is set.
    ///
    /// # Errors
    /// Every case of [`FetchError`] but `Address`.
    pub fn fetch(&self, interrupted: &AtomicBool) -> Result<CommitId, FetchError> {
        if let Some(path) = local_path(&self.url) {
            self.check_local(&path)?;
        }
        let closed = |why: AccessError| FetchError::Access { shown: self.shown(), why: chain(&why) };
        let (token, certificates) = (self.access.token().map_err(closed)?, self.access.certificates().map_err(closed)?);
        // A handle that lives long runs out of index slots after some dozens of fetches.
        let repo = self.open()?;
        let unreachable = |why: gix::Error| FetchError::Unreachable { shown: self.shown(), why: chain(&why) };
        let name = format!("refs/heads/{}", self.branch);
        let refspec = format!("+{name}:{name}");
        let remote = repo
            .remote_at_without_url_rewrite(self.url.clone())
            .and_then(|remote| {
                remote.with_fetch_tags(Tags::None).with_refspecs(Some(refspec.as_str()), Direction::Fetch)
            })
            .map_err(unreachable)?;
        let connected = remote.connect(Direction::Fetch).map(|connection| {
            let connection = connection.with_credentials(access::answer(token, self.url.clone()));
            match self.url.scheme {
                gix::url::Scheme::Https => connection.with_transport_options(Box::new(access::https(certificates))),
                _ => connection,
            }
        });
        let prepared = connected
            .and_then(|connection| connection.prepare_fetch(gix::progress::Discard, Default::default()))
            .map_err(unreachable)?;
        let tip = prepared
            .ref_map()
            .remote_refs
            .iter()
            .map(gix::protocol::handshake::Ref::unpack)
            .find_map(|(full_name, id, _)| id.filter(|_| *full_name == name.as_str()))
            .and_then(|id| CommitId::from_bytes(id.as_bytes()));
        let Some(tip) = tip else {
            return Err(FetchError::NoBranch { shown: self.shown(), branch: self.branch.clone() });
        };
        prepared.receive(gix::progress::Discard, interrupted).map_err(|why| {
            let why = chain(&why);
            match why.contains("shallow") {
                true => FetchError::Shallow { shown: self.shown() },
                false => FetchError::Unreachable { shown: self.shown(), why },
            }
        })?;
        Ok(tip)
    }

    /// Where the branch pointed when it was last fetched; none before the first fetch.
    ///
    /// # Errors
    /// When the mirror cannot be opened.
    pub fn tip(&self) -> Result<Option<CommitId>, FetchError> {
        let name = format!("refs/heads/{}", self.branch);
        let repo = self.open()?;
        let found = repo.try_find_reference(&name).map_err(|why| self.unusable(chain(&why)))?;
        Ok(found.and_then(|found| CommitId::from_bytes(found.try_id()?.as_bytes())))
    }

    /// The objects that were fetched so far.
    ///
    /// # Errors
    /// When the mirror cannot be opened.
    pub fn objects(&self) -> Result<MirrorObjects, FetchError> {
        let view = |limit| self.open_limited(limit).map(gix::Repository::into_sync);
        Ok(MirrorObjects::new(view(objects::SMALL_READ)?, view(objects::LARGE_READ)?))
    }

    /// The address, without a password.
    pub fn shown(&self) -> String {
        self.url.to_string()
    }

    fn open(&self) -> Result<gix::Repository, FetchError> {
        self.open_limited(objects::LARGE_READ)
    }

    /// Opens the mirror so that no single object takes more than `memory` bytes.
    fn open_limited(&self, memory: usize) -> Result<gix::Repository, FetchError> {
        let unusable = |why: gix::Error| self.unusable(chain(&why));
        let ssh = format!("core.sshCommand={}", self.access.ssh_command());
        let limit = format!("gitoxide.objects.allocLimit={memory}");
        let overrides = OVERRIDES.into_iter().map(str::to_owned).chain([ssh, limit]);
        let mut repo = options().config_overrides(overrides).open(&self.dir).map_err(unusable)?.to_thread_local();
        repo.objects.ignore_replacements = true;
        if repo.is_shallow().map_err(unusable)? {
            return Err(self.unusable("it is shallow".to_owned()));
        }
        if !repo.objects.store_ref().alternate_db_paths().map_err(unusable)?.is_empty() {
            return Err(FetchError::Alternates { dir: self.dir.clone() });
        }
        Ok(repo)
    }

    /// Says what is wrong with a repository on this machine better than the transport would.
    fn check_local(&self, path: &Path) -> Result<(), FetchError> {
        let unreachable = |why: String| FetchError::Unreachable { shown: self.shown(), why };
        if !path.exists() {
            return Err(unreachable("there is no such directory".to_owned()));
        }
        let source = open_local(path).map_err(|why| unreachable(chain(&why)))?;
        match source.is_shallow() {
            Ok(false) => Ok(()),
            Ok(true) => Err(FetchError::Shallow { shown: self.shown() }),
            Err(why) => Err(unreachable(chain(&why))),
        }
    }

    /// The error of a fetch that takes too long.
    pub fn takes_too_long(&self, limit: std::time::Duration) -> FetchError {
        let why = format!("the fetch did not end within {} s", limit.as_secs());
        FetchError::Unreachable { shown: self.shown(), why }
    }

    /// The error of a fetch that ended without one.
    pub fn broke_off(&self, why: &dyn std::error::Error) -> FetchError {
        FetchError::Unreachable { shown: self.shown(), why: format!("the fetch broke off: {why}") }
    }

    fn unusable(&self, why: String) -> FetchError {
        FetchError::Mirror { dir: self.dir.clone(), why }
    }
}

/// The repository at a path, bare or with a work tree, without its configuration or the user's.
fn open_local(path: &Path) -> Result<gix::Repository, gix::Error> {
    gix::open::Options::isolated().open(path).map(|repo| repo.to_thread_local())
}

/// The path of a repository on this machine.
fn local_path(url: &gix::Url) -> Option<PathBuf> {
    let path = gix::path::from_bstr(&url.path).ok()?.into_owned();
    (url.scheme == gix::url::Scheme::File).then_some(path)
}

fn options() -> gix::open::Options {
    gix::open::Options::isolated().open_path_as_is(true).strict_config(true).config_overrides(OVERRIDES)
}

/// An error with all its causes: what is at the top seldom says what happened.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// An address that could not be parsed, without what may be a password in it.
fn redacted(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}://…{}", &url[..scheme], &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests;
