//! What a merge needs of a working copy: nothing uncommitted, the merge's tree, and files that follow it.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use bellwether_core::verify::{EntryMode, PathChange};
use bellwether_schemas::{CommitId, ObjectId, codes};
use gix::index::entry::{Mode, Stage};

use super::commit::{Blob, Blobs};
use super::{WorkingCopy, git};
use crate::failure::{self, Failure};
use crate::sign::Signer;

/// So many paths are named in a message.
const NAMED: usize = 5;

impl WorkingCopy {
    /// Refuses what a merge could mix up with its own changes: files and an index that differ from the last commit, and
    /// files that git does not know where `changes` put one.
    pub(crate) fn require_clean(&self, changes: &[PathChange]) -> Result<(), Failure> {
        let mut odd = self.uncommitted()?;
        let new = changes.iter().filter(|change| change.before.is_none());
        odd.extend(new.filter_map(|change| self.in_the_way_of(&change.path, changes)));
        if odd.is_empty() {
            return Ok(());
        }
        odd.sort();
        odd.dedup();
        Err(Failure::new(codes::UNCOMMITTED, format!("not committed: {}", named(&odd)))
            .hint("Commit them, or put them aside with git stash --include-untracked. git status lists them."))
    }

    /// The tree of the last commit with `changes` made to it.
    pub(crate) fn tree_with(&self, changes: &[PathChange]) -> Result<gix::ObjectId, Failure> {
        self.write_tree(self.head()?, &blobs(changes))
    }

    /// The merge of `head` into `base` that a button of a hosting service makes: unsigned, with these changes of the base. It
    /// is there in the returned repository only, which keeps it in memory.
    pub(crate) fn imagine_merge(
        &self,
        base: &CommitId,
        head: &CommitId,
        changes: &[PathChange],
    ) -> Result<(gix::Repository, CommitId), Failure> {
        let memory = Self { repo: self.repo.clone().with_object_memory(), root: self.root.clone() };
        let parents = [base, head].map(|id| gix::ObjectId::from_bytes_or_panic(id.as_bytes()));
        let tree = memory.write_tree(Some(parents[0]), &blobs(changes))?;
        let who =
            gix::actor::Signature { name: "nobody".into(), email: "nobody".into(), time: gix::date::Time::now_utc() };
        let commit = gix::objs::Commit {
            tree,
            parents: parents.into_iter().collect(),
            author: who.clone(),
            committer: who,
            encoding: None,
            message: "Merge\n".into(),
            extra_headers: Vec::new(),
        };
        let id = memory.repo.write_object(&commit).map_err(|e| git("the merge cannot be made in memory", &e))?.detach();
        Ok((memory.repo, CommitId::from_bytes(id.as_slice()).expect("a git id has 20 or 32 bytes")))
    }

    /// Moves the current branch to a draft that makes `changes`, and lets files and index follow.
    pub(crate) fn land_changes(
        &self,
        draft: &super::Draft,
        changes: &[PathChange],
        signer: &Signer,
    ) -> Result<(), Failure> {
        self.move_branch(draft, signer)?;
        self.check_out(changes)
            .map_err(|failure| failure.hint("git reset --hard brings the files to the new commit."))?;
        self.update_index(&blobs(changes))
    }

    /// What lies at a path that is new, or is no folder where it needs one, unless `changes` remove it.
    fn in_the_way_of(&self, path: &str, changes: &[PathChange]) -> Option<String> {
        let parts = path.match_indices('/').map(|(at, _)| &path[..at]);
        let folder = parts.into_iter().find(|part| {
            let removed = || changes.iter().any(|change| change.path == *part && change.after.is_none());
            fs::symlink_metadata(self.root.join(part)).is_ok_and(|found| !found.is_dir()) && !removed()
        });
        let there = || fs::symlink_metadata(self.root.join(path)).is_ok_and(|found| !found.is_dir());
        folder.or_else(|| there().then_some(path)).map(str::to_owned)
    }

    fn check_out(&self, changes: &[PathChange]) -> Result<(), Failure> {
        // What goes makes room first: a folder may come where a file was.
        for change in changes.iter().filter(|change| change.after.is_none()) {
            self.remove(&self.root.join(&change.path))?;
        }
        for change in changes {
            let Some(entry) = &change.after else { continue };
            let file = self.root.join(&change.path);
            let content = self.repo.find_blob(oid(&entry.id)).map_err(|e| git("an object cannot be read", &e))?;
            let folder = file.parent().expect("a file inside the root has a folder");
            fs::create_dir_all(folder).map_err(|e| failure::file("cannot make", folder, &e))?;
            fs::write(&file, &content.data).map_err(|e| failure::file("cannot write", &file, &e))?;
            set_executable(&file, entry.mode == EntryMode::Executable)?;
        }
        Ok(())
    }

    /// Removes a file, and the folders that it leaves empty.
    fn remove(&self, file: &Path) -> Result<(), Failure> {
        match fs::remove_file(file) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(failure::file("cannot remove", file, &e)),
            _ => {}
        }
        let folders = file.ancestors().skip(1).take_while(|folder| *folder != self.root);
        // The first folder with something in it ends this, and that is no failure.
        let _kept = folders.map(fs::remove_dir).take_while(Result::is_ok).count();
        Ok(())
    }

    /// The files that git knows and that differ from the last commit, for a message; none where all are as it has them.
    pub(crate) fn left_out(&self) -> Result<Option<String>, Failure> {
        let mut odd = self.uncommitted()?;
        odd.sort();
        Ok((!odd.is_empty()).then(|| named(&odd)))
    }

    /// Paths at which the index or the files differ from the last commit.
    fn uncommitted(&self) -> Result<Vec<String>, Failure> {
        let mut committed = self.committed_files()?;
        let index = match self.repo.open_index() {
            Ok(index) => index,
            Err(_) if !self.repo.index_path().exists() => return Ok(committed.into_keys().collect()),
            Err(e) => return Err(git("cannot read git's index", &e)),
        };
        let mut odd = Vec::new();
        for entry in index.entries() {
            let path = entry.path(&index);
            let shown = path.to_string();
            let staged =
                committed.remove(&shown) != Some((entry.mode, entry.id)) || entry.stage() != Stage::Unconflicted;
            if staged || self.differs(&shown, entry, &index)? {
                odd.push(shown);
            }
        }
        odd.extend(committed.into_keys());
        Ok(odd)
    }

    fn committed_files(&self) -> Result<HashMap<String, (Mode, gix::ObjectId)>, Failure> {
        let Some(head) = self.head()? else { return Ok(HashMap::new()) };
        let read = || -> Result<_, gix::Error> {
            let files = self.repo.find_commit(head)?.tree()?.traverse().breadthfirst.files()?;
            let files = files.into_iter().filter(|file| !file.mode.is_tree());
            Ok(files.map(|file| (file.filepath.to_string(), (mode(file.mode), file.oid))).collect())
        };
        read().map_err(|e| git("the last commit cannot be read", &e))
    }

    /// Whether the file differs from its entry in the index. A file that was not touched since git looked is not read.
    fn differs(&self, path: &str, entry: &gix::index::Entry, index: &gix::index::File) -> Result<bool, Failure> {
        let file = self.root.join(path);
        let Ok(metadata) = gix::index::fs::Metadata::from_path_no_follow(&file) else { return Ok(true) };
        let options = gix::index::entry::stat::Options::default();
        let unchanged = gix::index::entry::Stat::from_fs(&metadata)
            .is_ok_and(|stat| stat.matches(&entry.stat, options) && !entry.stat.is_racy(index.timestamp(), options));
        if unchanged || entry.mode == Mode::COMMIT {
            return Ok(false);
        }
        if metadata.is_symlink() != (entry.mode == Mode::SYMLINK) {
            return Ok(true);
        }
        let content = if metadata.is_symlink() {
            fs::read_link(&file).map(|target| target.into_os_string().into_encoded_bytes())
        } else {
            fs::read(&file)
        };
        let content = content.map_err(|e| failure::file("cannot read", &file, &e))?;
        let id = gix::objs::compute_hash(self.repo.object_hash(), gix::objs::Kind::Blob, &content)
            .map_err(|e| git("a file cannot be hashed", &e))?;
        Ok(id != entry.id)
    }
}

/// The first of some paths, and how many more there are.
fn named(paths: &[String]) -> String {
    let shown = paths[..paths.len().min(NAMED)].join(", ");
    match paths.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn blobs(changes: &[PathChange]) -> Blobs {
    let blob = |change: &PathChange| {
        change.after.as_ref().map(|entry| Blob { id: oid(&entry.id), executable: entry.mode == EntryMode::Executable })
    };
    changes.iter().map(|change| (change.path.clone(), blob(change))).collect()
}

fn oid(id: &ObjectId) -> gix::ObjectId {
    gix::ObjectId::from_bytes_or_panic(id.as_bytes())
}

fn mode(mode: gix::objs::tree::EntryMode) -> Mode {
    match mode.kind() {
        gix::objs::tree::EntryKind::Blob => Mode::FILE,
        gix::objs::tree::EntryKind::BlobExecutable => Mode::FILE_EXECUTABLE,
        gix::objs::tree::EntryKind::Link => Mode::SYMLINK,
        gix::objs::tree::EntryKind::Commit => Mode::COMMIT,
        gix::objs::tree::EntryKind::Tree => Mode::DIR,
    }
}

fn set_executable(file: &Path, executable: bool) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let set = || {
        let mut permissions = fs::metadata(file)?.permissions();
        let mode = permissions.mode();
        // As git does it: whoever may read it may run it.
        let wanted = if executable { mode | ((mode & 0o444) >> 2) } else { mode & !0o111 };
        permissions.set_mode(wanted);
        fs::set_permissions(file, permissions)
    };
    set().map_err(|e| failure::file("cannot set the mode of", file, &e))
}
