//! Renders each fleet for each device that git knows, by the same code as the reconciler, from the working tree.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_core::declare::TemplateAt;
use bellwether_core::objects::{ObjectError, ObjectKind, ObjectSource};
use bellwether_core::plan::Landing;
use bellwether_core::render::{self, Contents, RenderError};
use bellwether_core::verify::{EntryMode, TreeEntry};
use bellwether_schemas::manifest::Fleet;
use bellwether_schemas::{CommitId, FleetName, ObjectId, Sha256Digest};

use crate::devices::Known;
use crate::failure::{self, Failure};

/// A fleet that cannot be rendered for some devices, for one and the same reason.
pub(super) struct Problem {
    /// What is wrong, and for whom.
    pub(super) message: String,
    /// A value that stands near it in the manifest.
    pub(super) near: Option<String>,
}

/// Every reason for which `fleet` cannot be rendered for a device that it selects. What is missing in the repository, and
/// artifacts that are something else, are found without devices.
pub(super) fn problems(
    root: &Path,
    name: &FleetName,
    fleet: &Fleet,
    devices: &[Known],
) -> Result<Vec<Problem>, Failure> {
    let (files, sources) = sources(root, fleet)?;
    // Nothing of the commit gets into a spec.
    let landing = Landing { commit: CommitId::from_bytes(&[0; 20]).expect("20 bytes make an id"), number: 0 };
    let inputs = Sha256Digest::of(&[]);
    let template = TemplateAt { name: name.clone(), landing, fleet: Arc::new(fleet.clone()), sources, inputs };
    let mut known = HashMap::new();
    let mut found: BTreeMap<String, (Option<String>, Vec<&str>)> = BTreeMap::new();
    let own = name.device();
    let takes = |device: &&Known| match &own {
        Some(own) => device.name == *own,
        None => fleet.selector.matches(&device.facts.labels),
    };
    for device in devices.iter().filter(takes) {
        let mut contents = Contents::new(&files, &mut known);
        match render::render(&template, &device.name, &device.facts, &mut contents) {
            Ok(_) | Err(RenderError::NoSuchFile { .. } | RenderError::ArtifactMismatch { .. }) => {}
            Err(error) => {
                let entry = found.entry(error.to_string()).or_insert_with(|| (near(fleet, &error), Vec::new()));
                entry.1.push(&device.shown);
            }
        }
    }
    Ok(found.into_iter().map(|(why, (near, for_whom))| problem(&why, near, &for_whom)).collect())
}

fn problem(why: &str, near: Option<String>, for_whom: &[&str]) -> Problem {
    let whom = match for_whom {
        [] => String::new(),
        [one] => format!(" (for {one})"),
        [first, others @ ..] => format!(" (for {first} and {} more)", others.len()),
    };
    Problem { message: format!("{why}{whom}"), near }
}

/// What names the file, artifact or probe that the error is about.
fn near(fleet: &Fleet, error: &RenderError) -> Option<String> {
    let (RenderError::Template { place, .. } | RenderError::Value { place, .. }) = error else { return None };
    let (list, rest) = place.split_once('[')?;
    let index: usize = rest.split_once(']')?.0.parse().ok()?;
    match list {
        "files" => fleet.template.files.get(index).map(|file| file.path.clone()),
        "artifacts" => fleet.template.artifacts.get(index).map(|artifact| artifact.name.to_string()),
        _ => Some(list.to_owned()),
    }
}

type Sources = BTreeMap<String, TreeEntry>;

/// The files that a template names, as objects.
fn sources(root: &Path, fleet: &Fleet) -> Result<(Files, Sources), Failure> {
    let of_files = fleet.template.files.iter().filter_map(|file| file.source.as_deref());
    let of_artifacts = fleet.template.artifacts.iter().filter_map(|artifact| artifact.source.path.as_deref());
    let (mut files, mut sources) = (Files(HashMap::new()), Sources::new());
    for path in of_files.chain(of_artifacts) {
        let file = root.join(path);
        if !super::is_plain_file(root, path) {
            continue;
        }
        let content = std::fs::read(&file).map_err(|e| failure::file("cannot read", &file, &e))?;
        let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, &content)
            .map_err(|e| crate::repo::git(&format!("{path} has no hash"), &e))?;
        let id = ObjectId::from_bytes(id.as_slice()).expect("a git id has 20 bytes");
        sources.insert(path.to_owned(), TreeEntry { mode: EntryMode::File, id });
        files.0.insert(id, file);
    }
    Ok((files, sources))
}

/// Files of the working tree by the ids they would have in git.
struct Files(HashMap<ObjectId, PathBuf>);

impl ObjectSource for Files {
    fn raw(&self, id: &ObjectId) -> Result<(ObjectKind, Vec<u8>), ObjectError> {
        let path = self.0.get(id).ok_or(ObjectError::Missing(*id))?;
        let content =
            std::fs::read(path).map_err(|error| ObjectError::Unreadable { id: *id, why: error.to_string() })?;
        Ok((ObjectKind::Blob, content))
    }
}
