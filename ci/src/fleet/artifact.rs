//! What a new path of an artifact brings along: the hash and the length of the file, which must be in the commit too.

use bellwether_schemas::{Sha256Digest, codes};

use super::place::{Assignment, Place};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::repo::WorkingCopy;

/// The field that names an artifact's file.
const PATH: [&str; 5] = ["spec", "template", "artifacts", "source", "path"];

/// What of a content is written down.
type Derive = fn(&[u8]) -> String;

/// A field that follows from an artifact's file.
#[derive(Debug)]
pub(super) struct Fact<'a> {
    pub(super) place: Place,
    file: &'a str,
    of: Derive,
}

/// What follows from the paths of artifacts that are set.
pub(super) fn facts(assignments: &[Assignment]) -> impl Iterator<Item = Fact<'_>> {
    let known: [(&str, Derive); 2] =
        [("sha256", |content| Sha256Digest::of(content).to_string()), ("length", |content| content.len().to_string())];
    of_artifacts(assignments)
        .flat_map(move |set| known.map(|(field, of)| Fact { place: set.place.beside(2, field), file: &set.value, of }))
}

impl Fact<'_> {
    /// What it is, by the file in the working copy.
    pub(super) fn value(&self, copy: &WorkingCopy) -> Result<String, Failure> {
        let content = copy.read(self.file)?.ok_or_else(|| {
            let message = format!("{} is not in the working copy, so its sha256 is not known", self.file);
            Failure::finding(codes::NO_SUCH_OBJECT, message).hint(format!(
                "Put the file there first. Or say what it is: {}=… {}=…",
                self.place.beside(1, "sha256"),
                self.place.beside(1, "length")
            ))
        })?;
        Ok((self.of)(&content))
    }
}

/// Refuses to commit a manifest whose artifact would not be in the commit; without a commit it says what is left to do.
pub(super) fn require_committed(
    copy: &WorkingCopy,
    assignments: &[Assignment],
    commits: bool,
    output: Output,
) -> Result<(), Failure> {
    let head = copy.head()?;
    for set in of_artifacts(assignments) {
        let path = &set.value;
        if copy.committed(head, path)? == copy.read(path)? {
            continue;
        }
        let message = format!("{path} is not in the newest commit as it is in the working copy");
        if commits {
            return Err(Failure::finding(codes::NO_SUCH_OBJECT, message)
                .hint(format!("Commit it first: git add {path} && git commit -S {path}")));
        }
        output::aside(output, format!("{message}. Commit it with the manifest, or before it: git add {path}"));
    }
    Ok(())
}

/// Assignments that name the file of an artifact; of another place the schema has something to say.
fn of_artifacts(assignments: &[Assignment]) -> impl Iterator<Item = &Assignment> {
    let is_below =
        |path: &str| path.starts_with("artifacts/") && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    assignments.iter().filter(move |set| set.place.is(&PATH) && is_below(&set.value))
}
