//! The mirror: a bare repository of our own that holds what the watched branch ever pointed at.
//!
//! In: the address of a repository and a branch. Out: the branch's tip, and raw objects that nobody has checked yet.
//! All calls block. Nothing of the remote is trusted but to be bytes: `verify` judges them.

mod access;
mod address;
mod error;
mod local;
mod objects;
mod unpack;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use gix::protocol::transport::client::blocking_io::Transport;
use gix::remote::Direction;
use gix::remote::fetch::Tags;

use bellwether_schemas::CommitId;

pub use access::{Access, AccessError, secret_line};
pub use error::FetchError;
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
        let parsed = address::parse(url).map_err(bad)?;
        address::check_branch(branch).map_err(bad)?;
        let mirror = Self { dir: dir.to_owned(), url: parsed, branch: branch.to_owned(), access };
        if dir.join("HEAD").exists() {
            mirror.open()?;
        } else {
            mirror.create(gix::hash::Kind::Sha1)?;
        }
        Ok(mirror)
    }

    /// Makes an empty mirror of a repository that names its objects by `hash`.
    fn create(&self, hash: gix::hash::Kind) -> Result<(), FetchError> {
        let form = gix::create::Options { object_hash: Some(hash), ..gix::create::Options::default() };
        gix::ThreadSafeRepository::init_opts(&self.dir, gix::create::Kind::Bare, form, options())
            .map_err(|why| self.unusable(chain(&why)))?;
        Ok(())
    }

    /// Fetches the branch, wherever it points now, and returns its tip. Objects fetched earlier stay. Ends early once
    /// `interrupted` is set.
    ///
    /// # Errors
    /// Every case of [`FetchError`] but `Address`.
    pub fn fetch(&self, interrupted: &AtomicBool) -> Result<CommitId, FetchError> {
        match self.fetch_as_it_is(interrupted)? {
            Fetched::Tip(tip) => Ok(tip),
            Fetched::OtherHash { found, expected } => {
                let changed = FetchError::Hash {
                    shown: self.shown(),
                    found: found.to_string(),
                    expected: expected.to_string(),
                    dir: self.dir.clone(),
                };
                // Which hash a repository has is known only now; an empty mirror takes it on.
                if self.tip()?.is_some() {
                    return Err(changed);
                }
                std::fs::remove_dir_all(&self.dir).map_err(|why| self.unusable(chain(&why)))?;
                self.create(found)?;
                match self.fetch_as_it_is(interrupted)? {
                    Fetched::Tip(tip) => Ok(tip),
                    Fetched::OtherHash { .. } => Err(changed),
                }
            }
        }
    }

    fn fetch_as_it_is(&self, interrupted: &AtomicBool) -> Result<Fetched, FetchError> {
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
        let connection = match local::path(&self.url) {
            Some(path) => {
                let source = self.open_source(&path)?;
                if let Some(tip) = unmoved(&repo, &source, &name) {
                    return Ok(Fetched::Tip(tip));
                }
                let transport: Box<dyn Transport + Send> = Box::new(self.upload_pack(&source)?);
                remote.to_connection_with_transport(transport)
            }
            None => remote.connect(Direction::Fetch).map_err(unreachable)?,
        };
        let connection = connection.with_credentials(access::answer(token, self.url.clone()));
        let connection = match self.url.scheme {
            gix::url::Scheme::Https => connection.with_transport_options(Box::new(access::https(certificates))),
            _ => connection,
        };
        let prepared = connection.prepare_fetch(gix::progress::Discard, Default::default()).map_err(unreachable)?;
        let (found, expected) = (prepared.ref_map().object_hash, repo.object_hash());
        if found != expected {
            return Ok(Fetched::OtherHash { found, expected });
        }
        let tip = prepared
            .ref_map()
            .remote_refs
            .iter()
            .map(gix::protocol::handshake::Ref::unpack)
            .find_map(|(full_name, id, _)| id.filter(|_| *full_name == name.as_str()).map(ToOwned::to_owned));
        let Some(tip) = tip else {
            return Err(FetchError::NoBranch { shown: self.shown(), branch: self.branch.clone() });
        };
        let received = prepared.receive(gix::progress::Discard, interrupted).map_err(|why| {
            let shown = self.shown();
            if why.is_resource_exhausted() {
                FetchError::TooLarge { shown, why: chain(&why) }
            } else if is_shallow_remote(&why) {
                FetchError::Shallow { shown }
            } else {
                FetchError::Unreachable { shown, why: chain(&why) }
            }
        })?;
        if let gix::remote::fetch::Status::Change { write_pack_bundle, .. } = received.status
            && let Some(index) = write_pack_bundle.index_path
            && let Err(why) = unpack::unpack_small(&repo, &index)
        {
            tracing::warn!(why = chain(&why), "a pack of the mirror stays as it is");
        }
        self.check_commit(&repo, tip)?;
        Ok(Fetched::Tip(CommitId::from_bytes(tip.as_bytes()).expect("a git id has 20 or 32 bytes")))
    }

    /// Opens a repository on this machine; what is wrong with that is said better here than by the transport.
    fn open_source(&self, path: &Path) -> Result<gix::Repository, FetchError> {
        let unreachable = |why: String| FetchError::Unreachable { shown: self.shown(), why };
        if !path.exists() {
            return Err(unreachable("there is no such directory".to_owned()));
        }
        let source = local::open(path).map_err(|why| unreachable(chain(&why)))?;
        match source.is_shallow() {
            Ok(false) => Ok(source),
            Ok(true) => Err(FetchError::Shallow { shown: self.shown() }),
            Err(why) => Err(unreachable(chain(&why))),
        }
    }

    /// Starts git for a repository on this machine.
    fn upload_pack(&self, source: &gix::Repository) -> Result<impl Transport + Send + use<>, FetchError> {
        local::upload_pack(source.common_dir()).map_err(|why| {
            let why = format!("git upload-pack cannot be started: {why}");
            FetchError::Unreachable { shown: self.shown(), why }
        })
    }

    /// Refuses a branch that points to something else than a commit.
    fn check_commit(&self, repo: &gix::Repository, tip: gix::ObjectId) -> Result<(), FetchError> {
        let found = repo.try_find_header(tip).map_err(|why| self.unusable(chain(&why)))?;
        match found.map(|header| header.kind()) {
            Some(gix::object::Kind::Commit) => Ok(()),
            Some(kind) => {
                Err(FetchError::NoCommit { shown: self.shown(), branch: self.branch.clone(), kind: kind.to_string() })
            }
            None => Err(FetchError::Unreachable {
                shown: self.shown(),
                why: format!("it did not send {tip}, to which its branch points"),
            }),
        }
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
        self.open_limited(objects::LARGE_OBJECT)
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
        if let Some(setting) = foreign_setting(&repo) {
            return Err(self.unusable(format!("its configuration has {setting}, which a mirror never has")));
        }
        if !repo.objects.store_ref().alternate_db_paths().map_err(unusable)?.is_empty() {
            return Err(FetchError::Alternates { dir: self.dir.clone() });
        }
        Ok(repo)
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

/// What a fetch found.
enum Fetched {
    Tip(CommitId),
    OtherHash { found: gix::hash::Kind, expected: gix::hash::Kind },
}

/// The tip of the branch where a repository on this machine has it as the mirror does: then there is nothing to fetch, and
/// no process to start for it. Whatever is in doubt is left to git.
fn unmoved(mirror: &gix::Repository, source: &gix::Repository, branch: &str) -> Option<CommitId> {
    let tip = |repo: &gix::Repository| Some(repo.try_find_reference(branch).ok()??.try_id()?.detach());
    let known = tip(mirror).filter(|known| tip(source) == Some(*known))?;
    let header = mirror.try_find_header(known).ok()??;
    CommitId::from_bytes(known.as_bytes()).filter(|_| header.kind() == gix::object::Kind::Commit)
}

/// Whether gix refused a shallow remote. It has no type for that, but a message of its own, which stands above all others.
fn is_shallow_remote(why: &gix::Error) -> bool {
    why.downcast_any_ref::<gix::error::Message>().is_some_and(|first| {
        first.class == Some(gix::error::Class::Validation) && first.message.contains("clone.rejectShallow")
    })
}

fn options() -> gix::open::Options {
    gix::open::Options::isolated().open_path_as_is(true).strict_config(true).config_overrides(OVERRIDES)
}

/// A setting in the mirror's own file that was not written when it was made: it could switch off what keeps a fetch safe.
fn foreign_setting(repo: &gix::Repository) -> Option<String> {
    const OWN: [&str; 8] = [
        "core.repositoryformatversion",
        "core.bare",
        "core.filemode",
        "core.symlinks",
        "core.ignorecase",
        "core.precomposeunicode",
        "core.logallrefupdates",
        "extensions.objectformat",
    ];
    let config = repo.config_snapshot();
    let local = config.plumbing().sections().filter(|section| section.meta().source == gix::config::Source::Local);
    let names = local.flat_map(|section| {
        let header = section.header();
        let sub = header.subsection_name().map(|name| format!(".{name}")).unwrap_or_default();
        let begin = format!("{}{sub}", header.name()).to_lowercase();
        let names: Vec<_> = section.body().value_names().map(|name| name.to_string().to_lowercase()).collect();
        names.into_iter().map(move |name| format!("{begin}.{name}"))
    });
    names.into_iter().find(|name| !OWN.contains(&name.as_str()))
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
