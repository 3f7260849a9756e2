//! Signed commits: drafted as an object that no branch leads to yet, so that it can be judged, and then landed.

use std::collections::BTreeMap;
use std::path::Path;

use bellwether_schemas::{CommitId, codes};
use gix::bstr::{BStr, BString, ByteSlice as _};
use gix::index::entry::{Flags, Mode};
use gix::objs::tree::EntryKind;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit, RefLog};

use super::{Edit, WorkingCopy, git, signals};
use crate::failure::Failure;
use crate::sign::{Means, Signer};

/// A signed commit that is not on the branch yet.
#[derive(Debug)]
pub(crate) struct Draft {
    commit: gix::ObjectId,
    parent: Option<gix::ObjectId>,
    /// What the logs of the branch and of HEAD say of it.
    logged: String,
}

/// The commit that is to be made.
pub(super) struct Order<'a> {
    pub(super) tree: gix::ObjectId,
    pub(super) parents: &'a [gix::ObjectId],
    /// Without a line's end.
    pub(super) message: &'a str,
    /// Author's and committer's date, in seconds since 1970.
    pub(super) seconds: i64,
}

/// What a commit shall have at each path; `None` is absence.
pub(super) type Blobs = BTreeMap<String, Option<Blob>>;

/// A file in git's object database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blob {
    pub(super) id: gix::ObjectId,
    pub(super) executable: bool,
}

impl Draft {
    pub(crate) fn id(&self) -> CommitId {
        commit_id(&self.commit)
    }

    /// What the branch is at, if it has a commit.
    pub(super) fn parent(&self) -> Option<CommitId> {
        self.parent.as_ref().map(commit_id)
    }
}

fn commit_id(id: &gix::ObjectId) -> CommitId {
    CommitId::from_bytes(id.as_slice()).expect("a git id has 20 or 32 bytes")
}

impl WorkingCopy {
    /// Writes `edits`, and commits exactly them on top of the current branch, signed. Other changes stay as they are.
    pub(crate) fn commit(&self, edits: &[Edit], message: &str, signer: &Signer) -> Result<CommitId, Failure> {
        self.require_quiet()?;
        let draft = self.draft_edits(edits, message, signer)?;
        self.require_counting_signature(&draft, signer)?;
        self.land_edits(&draft, edits, signer)?;
        Ok(draft.id())
    }

    /// The commit of `edits` on top of the current branch, not on the branch yet.
    pub(crate) fn draft_edits(&self, edits: &[Edit], message: &str, signer: &Signer) -> Result<Draft, Failure> {
        let parent = self.head()?;
        for edit in edits {
            if self.committed(parent, &edit.path)? != edit.before {
                let message = format!("{} differs from the last commit", edit.path);
                return Err(Failure::new(codes::UNCOMMITTED, message));
            }
        }
        self.require_unstaged(parent, edits)?;
        let blobs = self.write_blobs(edits)?;
        let tree = self.write_tree(parent, &blobs)?;
        self.draft(tree, parent.as_slice(), message, signer)
    }

    /// Refuses where something else is staged of a file that changes: it would be lost, since the index gets what is committed.
    fn require_unstaged(&self, parent: Option<gix::ObjectId>, edits: &[Edit]) -> Result<(), Failure> {
        if !self.repo.index_path().exists() {
            return Ok(());
        }
        let index = self.repo.open_index().map_err(|e| git("cannot read git's index", &e))?;
        for Edit { path, .. } in edits {
            let staged = index.entry_by_path(BStr::new(path));
            let staged = staged.filter(|entry| !entry.flags.contains(Flags::INTENT_TO_ADD)).map(|entry| entry.id);
            if staged.is_some() && staged != self.blob_at(parent, path)? {
                let message = format!("{path} is staged otherwise than it is in the last commit");
                return Err(Failure::new(codes::UNCOMMITTED, message)
                    .hint(format!("Commit that first, or take it back: git restore --staged {path}")));
            }
        }
        Ok(())
    }

    /// Moves the current branch to the commit that `edits` were drafted as, and writes them.
    pub(crate) fn land_edits(&self, draft: &Draft, edits: &[Edit], signer: &Signer) -> Result<(), Failure> {
        self.move_branch(draft, signer)?;
        self.write(edits).map_err(|failure| {
            failure.hint(
                "The commit is made. git status shows the files that do not follow it; git restore FILE mends them.",
            )
        })?;
        self.update_index(&self.write_blobs(edits)?)
    }

    /// A signed commit object with this tree and these parents, of which the first is what the branch is at.
    pub(crate) fn draft(
        &self,
        tree: gix::ObjectId,
        parents: &[gix::ObjectId],
        message: &str,
        signer: &Signer,
    ) -> Result<Draft, Failure> {
        let order = Order { tree, parents, message: message.trim_end(), seconds: jiff::Timestamp::now().as_second() };
        let unsigned = unsigned_commit(&order, signer);
        let commit = match &signer.means {
            Means::Key { key, file } => self.sign(&unsigned, key, file)?,
            Means::Ssh { setting, .. } => self.let_git_sign(&order, &unsigned, signer, Some(setting))?,
            Means::Configured => self.let_git_sign(&order, &unsigned, signer, None)?,
        };
        Ok(Draft { commit, parent: parents.first().copied(), logged: logged(parents.len(), message) })
    }

    fn sign(&self, unsigned: &str, key: &ssh_key::PrivateKey, file: &Path) -> Result<gix::ObjectId, Failure> {
        let raw = bellwether_core::verify::sign_commit(unsigned.as_bytes(), key).map_err(|e| {
            Failure::new(codes::KEY_UNUSABLE, format!("cannot sign with {}", file.display())).because(&e)
        })?;
        gix::objs::Write::write_buf(&self.repo.objects, gix::objs::Kind::Commit, &raw)
            .map_err(|e| git("cannot write the commit", &e))
    }

    fn write_blobs(&self, edits: &[Edit]) -> Result<Blobs, Failure> {
        let mut blobs = BTreeMap::new();
        for edit in edits {
            let blob = match &edit.after {
                Some(content) => {
                    let id =
                        self.repo.write_blob(content).map_err(|e| git(&format!("cannot store {}", edit.path), &e))?;
                    Some(Blob { id: id.detach(), executable: false })
                }
                None => None,
            };
            blobs.insert(edit.path.clone(), blob);
        }
        Ok(blobs)
    }

    pub(super) fn write_tree(&self, parent: Option<gix::ObjectId>, blobs: &Blobs) -> Result<gix::ObjectId, Failure> {
        let write = || -> Result<gix::ObjectId, gix::Error> {
            let base = match parent {
                Some(parent) => self.repo.find_commit(parent)?.tree_id()?.detach(),
                None => gix::ObjectId::empty_tree(self.repo.object_hash()),
            };
            let mut editor = self.repo.edit_tree(base)?;
            for (path, blob) in blobs {
                match blob {
                    Some(Blob { id, executable }) => {
                        let kind = if *executable { EntryKind::BlobExecutable } else { EntryKind::Blob };
                        editor.upsert(path.as_str(), kind, *id)?
                    }
                    None => editor.remove(path.as_str())?,
                };
            }
            Ok(editor.write()?.detach())
        };
        write().map_err(|e| git("cannot write the commit's tree", &e))
    }

    /// Moves the current branch to a draft; it must still be where the draft began.
    pub(crate) fn move_branch(&self, draft: &Draft, signer: &Signer) -> Result<(), Failure> {
        let branch = self.branch()?;
        let expected = match draft.parent {
            Some(id) => PreviousValue::MustExistAndMatch(gix::refs::Target::Object(id)),
            None => PreviousValue::MustNotExist,
        };
        let log = LogChange {
            mode: RefLog::AndReference,
            force_create_reflog: false,
            message: BString::from(draft.logged.as_str()),
        };
        // By way of HEAD, which names the branch: then the logs of both have it, as with every commit that git makes.
        let name = gix::refs::FullName::try_from("HEAD").expect("HEAD is a name");
        let change = Change::Update { log, expected, new: gix::refs::Target::Object(draft.commit) };
        let time = format!("{} +0000", jiff::Timestamp::now().as_second());
        let who =
            gix::actor::SignatureRef { name: BStr::new(&signer.name), email: BStr::new(&signer.email), time: &time };
        signals::ignore();
        self.repo.edit_references_as([RefEdit { change, name, deref: true }], Some(who)).map_err(|e| {
            Failure::new(codes::HEAD_MOVED, format!("the branch {branch} could not be moved to the new commit"))
                .because(&e)
        })?;
        Ok(())
    }

    pub(super) fn update_index(&self, blobs: &Blobs) -> Result<(), Failure> {
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
            let mode = if blob.executable { Mode::FILE_EXECUTABLE } else { Mode::FILE };
            index.dangerously_push_entry(stat, blob.id, Flags::empty(), mode, BStr::new(path));
        }
        index.sort_entries();
        index.remove_tree();
        index.write(gix::index::write::Options::default()).map_err(|e| failed(&e))
    }
}

/// What git logs of a commit.
fn logged(parents: usize, message: &str) -> String {
    let kind = match parents {
        0 => "commit (initial)",
        1 => "commit",
        _ => "commit (merge)",
    };
    format!("{kind}: {}", message.lines().next().unwrap_or_default())
}

/// A commit object's content without a signature.
fn unsigned_commit(order: &Order<'_>, signer: &Signer) -> String {
    let person = format!("{} <{}> {} +0000", signer.name, signer.email, order.seconds);
    let parents: String = order.parents.iter().map(|id| format!("parent {id}\n")).collect();
    format!("tree {}\n{parents}author {person}\ncommitter {person}\n\n{}\n", order.tree, order.message)
}
