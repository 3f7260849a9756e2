//! A git working copy: reads manifests, writes them, and makes signed commits of exactly what was changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bellwether_schemas::{CommitId, codes};
use gix::bstr::{BStr, BString, ByteSlice as _};
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit, RefLog};

use crate::failure::{self, Failure};
use crate::sign::Signer;

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
        let repo = gix::discover(dir).map_err(|e| {
            let message = format!("{} lies in no git working copy", shown(dir).display());
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
        Self::of(gix::open(dir).map_err(|e| git(&format!("cannot open {}", dir.display()), &e))?)
    }

    fn of(repo: gix::Repository) -> Result<Self, Failure> {
        let root = repo.workdir().map(Path::to_path_buf).ok_or_else(|| {
            let message = format!("{} is a bare repository, which has no files to edit", repo.git_dir().display());
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
        name.map(|name| name.shorten().to_string())
            .ok_or_else(|| Failure::new(codes::GIT_FAILED, "HEAD is on no branch").hint("git switch main"))
    }

    /// The newest commit, if there is any.
    pub(crate) fn head(&self) -> Result<Option<gix::ObjectId>, Failure> {
        let head = self.repo.head().map_err(|e| git("cannot read HEAD", &e))?;
        if head.is_unborn() {
            return Ok(None);
        }
        Ok(Some(self.repo.head_id().map_err(|e| git("cannot read HEAD", &e))?.detach()))
    }

    /// The commit that `text`, the value of `option`, names: an id, also a short one, a branch, a tag, `HEAD~1`.
    pub(crate) fn resolve(&self, option: &str, text: &str) -> Result<CommitId, Failure> {
        let unknown = |e: &(dyn std::error::Error + 'static)| {
            Failure::finding(codes::NO_SUCH_OBJECT, format!("{option}: {text} names no commit"))
                .because(e)
                .hint("Name a commit, tag or branch that is there: git log --oneline")
        };
        let id = self.repo.rev_parse_single(format!("{text}^{{commit}}").as_str()).map_err(|e| unknown(&e))?;
        Ok(CommitId::from_bytes(id.detach().as_slice()).expect("a git id has 20 or 32 bytes"))
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

    /// Writes `edits`, and commits exactly them on top of the current branch, signed. Other changes stay as they are.
    pub(crate) fn commit(&self, edits: &[Edit], message: &str, signer: &Signer) -> Result<CommitId, Failure> {
        let branch = self.branch()?;
        let parent = self.head()?;
        for edit in edits {
            if self.committed(parent, &edit.path)? != edit.before {
                let message = format!("{} differs from the last commit", edit.path);
                return Err(Failure::new(codes::UNCOMMITTED, message));
            }
        }
        let blobs = self.write_blobs(edits)?;
        let tree = self.write_tree(parent, &blobs)?;
        let raw = self.signed_commit(tree, parent, message, signer)?;
        let commit = gix::objs::Write::write_buf(&self.repo.objects, gix::objs::Kind::Commit, &raw)
            .map_err(|e| git("cannot write the commit", &e))?;
        self.write(edits)?;
        self.move_branch(&branch, parent, commit, message, signer)?;
        self.update_index(&blobs)?;
        Ok(CommitId::from_bytes(commit.as_slice()).expect("a git id has 20 or 32 bytes"))
    }

    fn committed(&self, commit: Option<gix::ObjectId>, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let Some(commit) = commit else { return Ok(None) };
        let read = || -> Result<Option<Vec<u8>>, gix::Error> {
            let tree = self.repo.find_commit(commit)?.tree()?;
            let Some(entry) = tree.lookup_entry_by_path(path)? else { return Ok(None) };
            Ok(Some(entry.object()?.detach().data))
        };
        read().map_err(|e| git(&format!("cannot read {path} from the last commit"), &e))
    }

    fn write_blobs(&self, edits: &[Edit]) -> Result<BTreeMap<String, Option<gix::ObjectId>>, Failure> {
        let mut blobs = BTreeMap::new();
        for edit in edits {
            let blob = match &edit.after {
                Some(content) => {
                    let id =
                        self.repo.write_blob(content).map_err(|e| git(&format!("cannot store {}", edit.path), &e))?;
                    Some(id.detach())
                }
                None => None,
            };
            blobs.insert(edit.path.clone(), blob);
        }
        Ok(blobs)
    }

    fn write_tree(
        &self,
        parent: Option<gix::ObjectId>,
        blobs: &BTreeMap<String, Option<gix::ObjectId>>,
    ) -> Result<gix::ObjectId, Failure> {
        let write = || -> Result<gix::ObjectId, gix::Error> {
            let base = match parent {
                Some(parent) => self.repo.find_commit(parent)?.tree_id()?.detach(),
                None => gix::ObjectId::empty_tree(self.repo.object_hash()),
            };
            let mut editor = self.repo.edit_tree(base)?;
            for (path, blob) in blobs {
                match blob {
                    Some(blob) => editor.upsert(path.as_str(), gix::objs::tree::EntryKind::Blob, *blob)?,
                    None => editor.remove(path.as_str())?,
                };
            }
            Ok(editor.write()?.detach())
        };
        write().map_err(|e| git("cannot write the commit's tree", &e))
    }

    fn signed_commit(
        &self,
        tree: gix::ObjectId,
        parent: Option<gix::ObjectId>,
        message: &str,
        signer: &Signer,
    ) -> Result<Vec<u8>, Failure> {
        let person = format!("{} <{}> {} +0000", signer.name, signer.email, jiff::Timestamp::now().as_second());
        let parent = parent.map(|id| format!("parent {id}\n")).unwrap_or_default();
        let unsigned = format!("tree {tree}\n{parent}author {person}\ncommitter {person}\n\n{}\n", message.trim_end());
        bellwether_core::verify::sign_commit(unsigned.as_bytes(), &signer.key).map_err(|e| {
            let message = format!("cannot sign with {}", signer.key_file.display());
            Failure::new(codes::KEY_UNUSABLE, message).because(&e)
        })
    }

    fn move_branch(
        &self,
        branch: &str,
        from: Option<gix::ObjectId>,
        to: gix::ObjectId,
        message: &str,
        signer: &Signer,
    ) -> Result<(), Failure> {
        let expected = match from {
            Some(id) => PreviousValue::MustExistAndMatch(gix::refs::Target::Object(id)),
            None => PreviousValue::MustNotExist,
        };
        let summary = message.lines().next().unwrap_or_default();
        let log = LogChange {
            mode: RefLog::AndReference,
            force_create_reflog: false,
            message: BString::from(format!("commit: {summary}")),
        };
        let name =
            gix::refs::FullName::try_from(format!("refs/heads/{branch}")).map_err(|e| git("odd branch name", &e))?;
        let change = Change::Update { log, expected, new: gix::refs::Target::Object(to) };
        let time = format!("{} +0000", jiff::Timestamp::now().as_second());
        let who =
            gix::actor::SignatureRef { name: BStr::new(&signer.name), email: BStr::new(&signer.email), time: &time };
        self.repo.edit_references_as([RefEdit { change, name, deref: false }], Some(who)).map_err(|e| {
            Failure::new(codes::HEAD_MOVED, format!("the branch {branch} could not be moved to the new commit"))
                .because(&e)
        })?;
        Ok(())
    }

    fn update_index(&self, blobs: &BTreeMap<String, Option<gix::ObjectId>>) -> Result<(), Failure> {
        let failed = |e: &(dyn std::error::Error + 'static)| {
            git("the commit is made, but git's index could not be updated", e)
                .hint("git reset --mixed brings the index up to date; files stay as they are.")
        };
        let path = self.repo.index_path();
        let mut index = if path.exists() {
            self.repo.open_index().map_err(|e| failed(&e))?
        } else {
            let state = gix::index::State::new(self.repo.object_hash());
            gix::index::File::from_state(state, path)
        };
        index.remove_entries(|_, path, _| path.to_str().is_ok_and(|path| blobs.contains_key(path)));
        for (path, blob) in blobs {
            let Some(blob) = blob else { continue };
            let metadata =
                gix::index::fs::Metadata::from_path_no_follow(&self.root.join(path)).map_err(|e| failed(&e))?;
            let stat = gix::index::entry::Stat::from_fs(&metadata).map_err(|e| failed(&e))?;
            let (flags, mode) = (gix::index::entry::Flags::empty(), gix::index::entry::Mode::FILE);
            index.dangerously_push_entry(stat, *blob, flags, mode, BStr::new(path));
        }
        index.sort_entries();
        index.remove_tree();
        index.write(gix::index::write::Options::default()).map_err(|e| failed(&e))
    }

    /// Sets values in the working copy's own git configuration.
    pub(crate) fn configure(&self, values: &[(&str, &str)]) -> Result<(), Failure> {
        let file = self.repo.git_dir().join("config");
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

/// A path as people know it: `.` says nothing in a message.
pub(crate) fn shown(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf())
}
