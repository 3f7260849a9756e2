//! A git working copy: reads manifests, writes them, and makes signed commits of exactly what was changed.

mod by_git;
mod commit;
mod merge;
mod revision;
mod signals;

pub(crate) use commit::Draft;

use std::path::{Path, PathBuf};

use bellwether_schemas::{CommitId, codes};

use crate::failure::{self, Failure};

/// A git working copy.
pub(crate) struct WorkingCopy {
    repo: gix::Repository,
    root: PathBuf,
}

/// One file that a subcommand changes: its content before and after; `None` is absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    pub(crate) path: String,
    pub(crate) before: Option<Vec<u8>>,
    pub(crate) after: Option<Vec<u8>>,
}

impl Edit {
    /// A file that is new.
    pub(crate) fn create(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), before: None, after: Some(content.into()) }
    }
}

impl WorkingCopy {
    /// The working copy that `dir` lies in.
    pub(crate) fn discover(dir: &Path) -> Result<Self, Failure> {
        let here = shown(dir);
        if !here.is_dir() {
            return Err(Failure::new(codes::NOT_A_REPOSITORY, format!("{} is not a folder", here.display())));
        }
        let repo = gix::discover(real(&here)).map_err(|e| {
            let message = format!("{} lies in no git working copy", here.display());
            Failure::new(codes::NOT_A_REPOSITORY, message).because(&e)
        })?;
        Self::of(repo)
    }

    /// A new repository in `dir`, whose first commit goes to `branch`.
    pub(crate) fn create(dir: &Path, branch: &str) -> Result<Self, Failure> {
        let named = |e: &(dyn std::error::Error + 'static)| {
            Failure::new(codes::USAGE, format!("--branch: {branch:?} is not the name of a branch")).because(e)
        };
        gix::refs::FullName::try_from(format!("refs/heads/{branch}")).map_err(|e| named(&e))?;
        let repo = gix::init(dir).map_err(|e| git(&format!("cannot make a repository in {}", dir.display()), &e))?;
        let head = repo.git_dir().join("HEAD");
        std::fs::write(&head, format!("ref: refs/heads/{branch}\n"))
            .map_err(|e| failure::file("cannot write", &head, &e))?;
        Self::of(gix::open(real(dir)).map_err(|e| git(&format!("cannot open {}", dir.display()), &e))?)
    }

    fn of(repo: gix::Repository) -> Result<Self, Failure> {
        let root = repo.workdir().map(Path::to_path_buf).ok_or_else(|| {
            let message = format!("{} is a bare repository, which has no working copy", repo.git_dir().display());
            Failure::new(codes::NOT_A_REPOSITORY, message).hint("Clone it, and run the command in the clone.")
        })?;
        Ok(Self { repo, root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn git(&self) -> &gix::Repository {
        &self.repo
    }

    pub(crate) fn config(&self) -> gix::config::Snapshot<'_> {
        self.repo.config_snapshot()
    }

    /// The branch that commits go to.
    pub(crate) fn branch(&self) -> Result<String, Failure> {
        let name = self.repo.head_name().map_err(|e| git("cannot read HEAD", &e))?;
        name.map(|name| name.shorten().to_string()).ok_or_else(|| {
            Failure::new(codes::GIT_FAILED, "HEAD is on no branch").hint(
                "Switch to the branch that the commit is for, such as git switch main; or begin one here: git switch \
                 --create NAME",
            )
        })
    }

    /// Refuses to commit where no branch would follow, or into what another git command has begun.
    pub(crate) fn require_quiet(&self) -> Result<(), Failure> {
        if let Some(begun) = self.repo.state() {
            let message = format!("git is in the middle of something ({begun:?}) in {}", self.root.display());
            return Err(Failure::new(codes::GIT_BUSY, message));
        }
        let lock = self.repo.index_path().with_extension("lock");
        if lock.exists() {
            return Err(Failure::new(codes::GIT_BUSY, format!("{} is there", lock.display()))
                .hint("Another git command works here: wait for its end. If none does, remove that file."));
        }
        self.branch().map(drop)
    }

    /// Whether `commit` leads to `ancestor`, through any parents.
    pub(crate) fn is_ancestor(&self, ancestor: &CommitId, commit: &CommitId) -> Result<bool, Failure> {
        Ok(self.merge_bases(commit, ancestor)?.contains(ancestor))
    }

    /// The newest commits that two commits both lead to, through any parents.
    pub(crate) fn merge_bases(&self, one: &CommitId, other: &CommitId) -> Result<Vec<CommitId>, Failure> {
        let [one, other] = [one, other].map(|id| gix::ObjectId::from_bytes_or_panic(id.as_bytes()));
        let bases = self.repo.merge_bases_many(one, &[other]);
        let id = |id: gix::Id<'_>| CommitId::from_bytes(id.as_bytes()).expect("a git id has 20 or 32 bytes");
        Ok(bases.map_err(|e| git("the branches cannot be compared", &e))?.into_iter().map(id).collect())
    }

    /// The committer's date of a commit.
    pub(crate) fn committed_at(&self, commit: &CommitId) -> Result<jiff::Timestamp, Failure> {
        let read = || -> Result<i64, gix::Error> {
            Ok(self.repo.find_commit(gix::ObjectId::from_bytes_or_panic(commit.as_bytes()))?.time()?.seconds)
        };
        let seconds = read().map_err(|e| git(&format!("the commit {} cannot be read", commit.short()), &e))?;
        Ok(jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
    }

    /// Whether the clone has an object.
    pub(crate) fn has(&self, id: &CommitId) -> bool {
        self.repo.has_object(gix::ObjectId::from_bytes_or_panic(id.as_bytes()))
    }

    /// Whether the clone lacks what lies behind its oldest commits.
    pub(crate) fn is_shallow(&self) -> bool {
        self.repo.is_shallow().unwrap_or_default()
    }

    /// Refuses a clone without its oldest commits: what is verified is verified from the introduction on.
    pub(crate) fn require_whole_history(&self) -> Result<(), Failure> {
        if !self.is_shallow() {
            return Ok(());
        }
        let message = format!("{} is a shallow clone, which lacks older commits", self.root.display());
        Err(Failure::new(codes::REPOSITORY_SHALLOW, message).hint(
            "git fetch --unshallow. In CI ask for the whole history: fetch-depth: 0 (GitHub), GIT_DEPTH: 0 (GitLab).",
        ))
    }

    /// The newest commit, if there is any.
    pub(crate) fn head(&self) -> Result<Option<gix::ObjectId>, Failure> {
        let head = self.repo.head().map_err(|e| git("cannot read HEAD", &e))?;
        if head.is_unborn() {
            return Ok(None);
        }
        Ok(Some(self.repo.head_id().map_err(|e| git("cannot read HEAD", &e))?.detach()))
    }

    /// The content of a file in the working tree; `None` when it is not there.
    pub(crate) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let file = self.root.join(path);
        match std::fs::read(&file) {
            Ok(content) => Ok(Some(content)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failure::file("cannot read", &file, &e)),
        }
    }

    /// Writes the files of `edits` into the working tree.
    pub(crate) fn write(&self, edits: &[Edit]) -> Result<(), Failure> {
        for edit in edits {
            let file = self.root.join(&edit.path);
            match &edit.after {
                Some(content) => {
                    let folder = file.parent().expect("a file inside the root has a folder");
                    std::fs::create_dir_all(folder).map_err(|e| failure::file("cannot make", folder, &e))?;
                    std::fs::write(&file, content).map_err(|e| failure::file("cannot write", &file, &e))?;
                }
                None => std::fs::remove_file(&file).map_err(|e| failure::file("cannot remove", &file, &e))?,
            }
        }
        Ok(())
    }

    /// The content of a file in `commit`; `None` when it is not there.
    pub(crate) fn committed(&self, commit: Option<gix::ObjectId>, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let Some(id) = self.blob_at(commit, path)? else { return Ok(None) };
        let object = self.repo.find_object(id).map_err(|e| git(&format!("cannot read {path}"), &e))?;
        Ok(Some(object.detach().data))
    }

    /// The id of a file in `commit`; `None` when it is not there.
    fn blob_at(&self, commit: Option<gix::ObjectId>, path: &str) -> Result<Option<gix::ObjectId>, Failure> {
        let Some(commit) = commit else { return Ok(None) };
        let read = || -> Result<Option<gix::ObjectId>, gix::Error> {
            let entry = self.repo.find_commit(commit)?.tree()?.lookup_entry_by_path(path)?;
            Ok(entry.map(|entry| entry.object_id()))
        };
        read().map_err(|e| git(&format!("cannot read {path} from {commit}"), &e))
    }

    /// Sets values in the working copy's own git configuration.
    pub(crate) fn configure(&self, values: &[(&str, &str)]) -> Result<(), Failure> {
        let file = self.repo.common_dir().join("config");
        let mut config = gix::config::File::from_path_no_includes(file.clone(), gix::config::Source::Local)
            .map_err(|e| git(&format!("cannot read {}", file.display()), &e))?;
        for (key, value) in values {
            config.set_raw_value(*key, *value).map_err(|e| git(&format!("cannot set {key}"), &e))?;
        }
        let mut text = Vec::new();
        config.write_to(&mut text).map_err(|e| failure::file("cannot write", &file, &e))?;
        std::fs::write(&file, text).map_err(|e| failure::file("cannot write", &file, &e))
    }
}

/// git's files cannot be used.
pub(crate) fn git(what: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(codes::GIT_FAILED, what.to_owned()).because(error)
}

/// A path without links and `..`, as far as it is there.
fn real(dir: &Path) -> PathBuf {
    dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf())
}

/// A path as people know it: `.` says nothing in a message.
pub(crate) fn shown(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf())
}
