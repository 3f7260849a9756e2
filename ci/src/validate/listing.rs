//! The files in the folders of manifests, and what the reconciler makes of them once they are committed.

use std::collections::BTreeSet;
use std::fs::{self, FileType};
use std::path::Path;

use bellwether_core::verify::{Fault, odd_name};
use bellwether_schemas::codes;
use bellwether_schemas::diagnostic::Diagnostic;
use bellwether_schemas::manifest::Kind;

use super::index::{self, Index};
use crate::failure::{self, Failure};

/// What lies in the folders of manifests, as paths in the repository.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// What is read as a manifest.
    pub(super) manifests: Vec<String>,
    /// What is not, with what happens because of it.
    pub(super) misplaced: Vec<Diagnostic>,
}

/// Looks through the folder of each kind, with all that is in it.
pub(super) fn list(root: &Path, index: Option<&Index>) -> Result<Listed, Failure> {
    let (mut found, known) = (Listed::default(), index.map(Index::paths).unwrap_or_default());
    for kind in Kind::ALL {
        let mut folders = vec![kind.folder().to_owned()];
        while let Some(folder) = folders.pop() {
            let dir = root.join(&folder);
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(failure::file("cannot read", &dir, &e)),
            };
            for entry in entries {
                let failed = |e: std::io::Error| failure::file("cannot read", &dir, &e);
                let entry = entry.map_err(failed)?;
                let file_type = entry.file_type().map_err(failed)?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = format!("{folder}/{name}");
                if entry.file_name().to_str().is_none() {
                    // Where it lies cannot be written into any form of the report.
                    let odd = odd_name(entry.file_name().as_encoded_bytes()).into_iter();
                    found
                        .misplaced
                        .extend(index::told(odd.map(|fault| Fault { path: Some(path.clone()), ..fault }).collect()));
                } else if file_type.is_dir() {
                    folders.push(path);
                } else if known.contains(&path) || !is_leftover(&name) {
                    found.take(kind, path, &name, file_type);
                }
            }
        }
    }
    Ok(found)
}

impl Listed {
    fn take(&mut self, kind: Kind, path: String, name: &str, file_type: FileType) {
        if file_type.is_symlink() {
            let message = "is a symbolic link, and a commit with one is refused as a whole";
            self.misplaced.push(Diagnostic::error(codes::TREE_SYMLINK, &path, message).hint("put a file in its place"));
        } else if !file_type.is_file() {
            let message = "is no plain file, and git takes none such";
            self.misplaced.push(Diagnostic::error(codes::UNEXPECTED_FILE, &path, message).hint("remove it"));
        } else if Kind::of_path(&path).is_some() {
            self.manifests.push(path);
        } else if file_type.is_file() && !matches!(name, "README.md" | ".gitkeep") {
            self.misplaced.push(misplaced(kind, &path, name));
        }
    }
}

/// A file that is no manifest: the reconciler lists it as invalid, and takes one among Holds for a Hold that cannot be read.
fn misplaced(kind: Kind, path: &str, name: &str) -> Diagnostic {
    let folder = kind.folder();
    let message = match kind {
        Kind::Hold => "this stops every fleet: it counts as a Hold that cannot be read".to_owned(),
        _ => format!("this does not count: only <name>.yaml directly in {folder}/ is read"),
    };
    let hint = match name.strip_suffix(".yml").or_else(|| name.strip_suffix(".yaml")) {
        Some(stem) => format!("if it is a {kind}: mv {path} {folder}/{stem}.yaml"),
        None => format!("move it out of {folder}/; notes can stand in {folder}/README.md"),
    };
    Diagnostic::error(codes::UNEXPECTED_FILE, path, message).hint(hint)
}

/// Whether an editor or a system leaves such files beside others. They count as soon as git has them.
fn is_leftover(name: &str) -> bool {
    name.starts_with(['.', '#']) || name.ends_with('~')
}

/// What can be asked about: the folders of manifests, the files in them, and what else git lists.
pub(super) fn paths(root: &Path) -> BTreeSet<String> {
    let mut paths = Index::of(root).map(|index| index.paths()).unwrap_or_default();
    for folder in Kind::ALL.map(Kind::folder).into_iter().filter(|folder| root.join(folder).is_dir()) {
        paths.insert(folder.to_owned());
        paths.extend(files_below(root, folder));
    }
    paths.retain(|path| fs::symlink_metadata(root.join(path)).is_ok());
    paths
}

/// The plain files in a folder of the working tree and all that is in it, sorted; none where it cannot be read.
pub(super) fn files_below(root: &Path, folder: &str) -> Vec<String> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).into_iter().flatten().flatten() {
            let Ok(file_type) = entry.file_type() else { continue };
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if file_type.is_dir() {
                folders.push(path);
            } else if file_type.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
