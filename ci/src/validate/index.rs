//! Git's index: what of the working tree the next commit will have, and in which form.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use bellwether_core::verify::{Fault, odd_entries};
use bellwether_schemas::codes;
use bellwether_schemas::diagnostic::Diagnostic;
use gix::bstr::ByteSlice as _;
use gix::index::entry::{Mode, Stat, stat};
use regex::bytes::{NoExpand, Regex, RegexBuilder};

/// So many entries are told that no commit may have.
const TOLD: usize = 20;

/// The index of a working copy.
pub(super) struct Index {
    root: PathBuf,
    repo: gix::ThreadSafeRepository,
    file: gix::index::File,
}

/// What git has of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// Nothing: nobody added it.
    Nothing,
    /// What lies there, or would have if it was added as it lies there.
    AsItIs,
    /// Other bytes, although the file was not changed since.
    Otherwise,
}

impl Index {
    /// The index of the working copy in `root`, if there is one.
    pub(super) fn of(root: &Path) -> Option<Self> {
        let repo = gix::open(root).ok()?;
        let file = repo.open_index().ok()?;
        Some(Self { root: root.to_owned(), repo: repo.into_sync(), file })
    }

    /// Every path.
    pub(super) fn paths(&self) -> BTreeSet<String> {
        self.file.entries().iter().map(|entry| entry.path(&self.file).to_string()).collect()
    }

    /// Whether git knows the file.
    pub(super) fn has(&self, path: &str) -> bool {
        self.file.entry_by_path(path.as_bytes().as_bstr()).is_some()
    }

    /// Entries for which the next commit would be refused as a whole.
    pub(super) fn odd(&self) -> Vec<Diagnostic> {
        let entries = self.file.entries().iter();
        let odd = odd_entries(entries.map(|entry| (entry.path(&self.file).as_bytes(), entry.mode.bits())));
        told(odd.into_iter().filter(|fault| !self.is_mended(fault)).collect())
    }

    /// Whether the file is gone, or is no link any more, and nobody told git so yet.
    fn is_mended(&self, fault: &Fault) -> bool {
        let path = fault.path.as_deref().unwrap_or_default();
        let Some(entry) = self.file.entry_by_path(path.as_bytes().as_bstr()) else { return false };
        let has_links = self.repo.to_thread_local().config_snapshot().boolean("core.symlinks") != Some(false);
        match fs::symlink_metadata(self.root.join(path)) {
            Ok(found) => entry.mode == Mode::SYMLINK && found.is_file() && has_links,
            Err(e) => e.kind() == std::io::ErrorKind::NotFound,
        }
    }

    /// What git has of a plain file with this content. Attributes, and filters such as that of LFS, make it other than the file.
    pub(super) fn stored(&self, path: &str, content: &[u8]) -> Stored {
        let Some(entry) = self.file.entry_by_path(path.as_bytes().as_bstr()) else { return Stored::Nothing };
        let id = gix::objs::compute_hash(entry.id.kind(), gix::objs::Kind::Blob, content);
        let is_same = !id.is_ok_and(|id| id != entry.id);
        if is_same || !self.is_untouched(path, content, entry) { Stored::AsItIs } else { Stored::Otherwise }
    }

    /// Whether nobody wrote the file since git looked at it.
    fn is_untouched(&self, path: &str, content: &[u8], entry: &gix::index::Entry) -> bool {
        let Ok(metadata) = gix::index::fs::Metadata::from_path_no_follow(&self.root.join(path)) else { return false };
        let options = stat::Options::default();
        let is_as_then = Stat::from_fs(&metadata).is_ok_and(|stat| stat.matches(&entry.stat, options));
        // In the moment in which git wrote its index, a file could be written again.
        is_as_then && (!entry.stat.is_racy(self.file.timestamp(), options) || self.is_filtered(content, entry))
    }

    /// Whether the content is what a well-known filter makes of what git has.
    fn is_filtered(&self, content: &[u8], entry: &gix::index::Entry) -> bool {
        let repo = self.repo.to_thread_local();
        let Ok(blob) = repo.find_blob(entry.id) else { return false };
        // git-lfs, "spec.md": the pointer
        let is_pointer = blob.data.starts_with(b"version https://git-lfs.github.com/spec/");
        let lines = content.replace("\r\n", "\n");
        is_pointer || blob.data == lines || *blob.data == *without_ids(&lines)
    }
}

/// What git makes of the ids that the attribute `ident` writes into a file (gitattributes, "ident").
fn without_ids(content: &[u8]) -> Cow<'_, [u8]> {
    static IDS: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = RegexBuilder::new(r"\$Id:[^$\n]*\$").unicode(false).build();
        pattern.expect("a literal pattern")
    });
    IDS.replace_all(content, NoExpand(b"$Id$"))
}

/// What no commit may have, each at its path; of many not all.
pub(super) fn told(faults: Vec<Fault>) -> Vec<Diagnostic> {
    let unshown = faults.len().saturating_sub(TOLD);
    let told = faults.into_iter().take(TOLD).enumerate().map(|(place, fault)| {
        let more =
            if unshown > 0 && place + 1 == TOLD { format!(" ({unshown} more are not shown)") } else { String::new() };
        let mend = codes::explain(fault.code.as_str()).map_or("", |known| known.mend);
        let message = format!("{}, and a commit with it is refused as a whole{more}", fault.why);
        Diagnostic::error(fault.code, fault.path.as_deref().unwrap_or_default(), message).hint(mend)
    });
    told.collect()
}
