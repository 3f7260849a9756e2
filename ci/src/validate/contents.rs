//! Files and artifacts that templates name: whether they are there, and whether they are what the manifest says.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use bellwether_core::objects::ObjectKind;
use bellwether_schemas::manifest::{Artifact, Kind};
use bellwether_schemas::yaml::FieldPath;
use bellwether_schemas::{Sha256Digest, codes};
use sha2::Digest as _;

use super::finding::{Finding, instead};
use super::index::{Index, Stored};
use super::manifests::Manifests;
use crate::failure::{self, Failure};

/// Files that are missing, too large, or other than the manifest says.
pub(super) fn problems(manifests: &Manifests) -> Result<Vec<Finding>, Failure> {
    let (root, index) = (&manifests.root, manifests.index.as_ref());
    let mut contents = Contents { root, index, there: None, digests: HashMap::new(), stored: HashMap::new() };
    let mut found = Vec::new();
    for templated in manifests.templated() {
        let (path, template) = (templated.path, &templated.fleet.template);
        let of = |list: &str, place: usize, key: &str| templated.field(&format!("{list}[{place}].{key}"));
        for (place, source) in
            template.files.iter().enumerate().filter_map(|(n, file)| Some((n, file.source.as_ref()?)))
        {
            let field = of("files", place, "source");
            match contents.length(source) {
                None => found.push(contents.missing(path, field, source)),
                Some(length) => {
                    found.extend(contents.otherwise(path, field.clone(), source)?);
                    found.extend(too_large(path, field, source, length));
                }
            }
        }
        for (place, artifact) in template.artifacts.iter().enumerate() {
            let Some(source) = artifact.source.path.as_deref() else { continue };
            let field = |key: &str| of("artifacts", place, key);
            match contents.length(source) {
                None => found.push(contents.missing(path, field("source").key("path"), source)),
                Some(length) => {
                    found.extend(contents.mismatch(path, artifact, source, field)?);
                    found.extend(contents.otherwise(path, field("source").key("path"), source)?);
                    found.extend(too_large(path, field("source").key("path"), source, length));
                }
            }
        }
    }
    Ok(found)
}

/// A file that is longer than what the reconciler reads from git.
fn too_large(path: &str, field: FieldPath, source: &str, length: u64) -> Option<Finding> {
    let most = ObjectKind::Blob.limit();
    let is_too_large = usize::try_from(length).is_ok_and(|length| length > most);
    is_too_large.then(|| {
        let message = format!("{source} has {length} bytes, at most {most} are allowed");
        Finding::error(codes::TOO_LARGE, path, field, message).hint("divide it, or compress it")
    })
}

/// The files of the working tree.
struct Contents<'r> {
    root: &'r Path,
    index: Option<&'r Index>,
    /// Every path under files/ and artifacts/, once somebody asks what was meant.
    there: Option<Vec<String>>,
    /// Digest and length of artifacts that were read.
    digests: HashMap<String, (Sha256Digest, u64)>,
    /// What git has of files that were read.
    stored: HashMap<String, Stored>,
}

impl Contents<'_> {
    /// The length of a plain file in bytes.
    fn length(&self, path: &str) -> Option<u64> {
        let metadata = std::fs::symlink_metadata(self.root.join(path)).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    fn missing(&mut self, path: &str, field: FieldPath, source: &str) -> Finding {
        let root = self.root;
        let there = self.there.get_or_insert_with(|| {
            ["files", "artifacts"].into_iter().flat_map(|folder| super::listing::files_below(root, folder)).collect()
        });
        let message = format!("{source} is not a file in the repository");
        let problem = Finding::error(codes::DANGLING_REFERENCE, path, field, message);
        let folder = source.split('/').next().unwrap_or_default();
        let near = there.iter().map(String::as_str).filter(|path| path.split('/').next() == Some(folder));
        problem.hint(match near.clone().find(|path| path.eq_ignore_ascii_case(source)) {
            Some(same) => format!("did you mean {same}? Upper and lower case differ"),
            None => instead(source, &format!("files under {folder}/"), near),
        })
    }

    /// A file that git does not have, or has with another content, while it has the manifest that names it.
    fn otherwise(&mut self, path: &str, field: FieldPath, source: &str) -> Result<Option<Finding>, Failure> {
        let Some(index) = self.index.filter(|index| index.has(path)) else { return Ok(None) };
        let stored = match self.stored.get(source) {
            Some(known) => *known,
            None => {
                let file = self.root.join(source);
                let content = std::fs::read(&file).map_err(|e| failure::file("cannot read", &file, &e))?;
                *self.stored.entry(source.to_owned()).or_insert(index.stored(source, &content))
            }
        };
        Ok(match stored {
            Stored::AsItIs => None,
            Stored::Nothing => {
                let message = format!("{source} is not in git, and no device gets what is not");
                let hint = format!("git add {source} (with --force, if .gitignore names it)");
                Some(Finding::warning(codes::FILE_UNTRACKED, path, field, message).hint(hint))
            }
            Stored::Otherwise => {
                let message =
                    format!("git has {source} with another content than lies here, and devices get what git has");
                let hint = format!(
                    "an attribute or filter changes it (git check-attr --all {source}): write \"/{source} -text -ident -filter\" into \
                     .gitattributes, then git add --renormalize {source}"
                );
                Some(Finding::warning(codes::FILE_STORED_OTHERWISE, path, field, message).hint(hint))
            }
        })
    }

    /// An artifact that is other than the manifest says.
    fn mismatch(
        &mut self,
        path: &str,
        artifact: &Artifact,
        source: &str,
        field: impl Fn(&str) -> FieldPath,
    ) -> Result<Option<Finding>, Failure> {
        let (sha256, length) = match self.digests.get(source) {
            Some(known) => *known,
            None => *self.digests.entry(source.to_owned()).or_insert(digest(&self.root.join(source))?),
        };
        let wrong = match (sha256 == artifact.sha256, length == artifact.length) {
            (true, true) => return Ok(None),
            (false, _) => "sha256",
            (true, false) => "length",
        };
        let message = format!(
            "{source} has {length} bytes with SHA-256 {sha256}, the manifest says {} bytes with {}",
            artifact.length, artifact.sha256
        );
        let problem = Finding::error(codes::ARTIFACT_MISMATCH, path, field(wrong), message);
        let fleet = Path::new(path).file_stem().unwrap_or_default().to_string_lossy();
        Ok(Some(problem.hint(match Kind::of_path(path) {
            Some(Kind::Fleet) => format!(
                "if this is the file that is meant: bellwether fleet set {fleet} 'artifacts[name={}].source.path={source}', \
                 which writes sha256: {sha256} and length: {length}",
                artifact.name
            ),
            _ => format!("if this is the file that is meant, write sha256: {sha256} and length: {length}"),
        })))
    }
}

fn digest(path: &Path) -> Result<(Sha256Digest, u64), Failure> {
    let failed = |e: std::io::Error| failure::file("cannot read", path, &e);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let (mut hasher, mut length, mut buffer) = (sha2::Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok((Sha256Digest::from_bytes(hasher.finalize().into()), length));
        }
        hasher.update(&buffer[..read]);
        length += read as u64;
    }
}
