//! Renders each fleet for each device that git knows, by the same code as the reconciler, from the working tree.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_core::declare::TemplateAt;
use bellwether_core::objects::{ObjectError, ObjectKind, ObjectSource};
use bellwether_core::plan::Landing;
use bellwether_core::render::{self, Contents, RenderError};
use bellwether_core::verify::{EntryMode, TreeEntry};
use bellwether_schemas::manifest::Fleet;
use bellwether_schemas::spec::TargetRef;
use bellwether_schemas::yaml::FieldPath;
use bellwether_schemas::{CommitId, ObjectId, Sha256Digest, codes};
use rayon::prelude::*;

use super::finding::Finding;
use super::manifests::Manifests;
use super::placeholders;
use super::selection::Selection;
use super::templated::Templated;
use crate::devices::Known;
use crate::failure::{self, Failure};

/// What is wrong, by the mistake: its field, and the devices for which it is.
type Found<'d> = BTreeMap<String, (FieldPath, Vec<&'d Known>)>;

/// Every reason for which a template cannot be rendered for a device that is to run it. What is missing in the repository, and
/// artifacts that are something else, are found without devices.
pub(super) fn problems(manifests: &Manifests, selection: &Selection<'_>) -> Result<Vec<Finding>, Failure> {
    let templated: Vec<_> = manifests.templated().collect();
    let found = templated.into_par_iter().map(|templated| {
        let own = templated.name.device();
        let devices: Vec<&Known> = match &own {
            Some(own) => selection.device(own).into_iter().collect(),
            None => selection.offered(&templated.name).collect(),
        };
        of_one(&manifests.root, &templated, &devices)
    });
    Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn of_one<'m>(root: &Path, templated: &Templated<'m>, devices: &[&Known]) -> Result<Vec<Finding>, Failure> {
    if devices.is_empty() || !templated.has_vars {
        return Ok(Vec::new());
    }
    let (files, sources) = sources(root, &templated.fleet)?;
    let whole = template(templated, &sources);
    let items: OnceCell<Vec<(Templated<'_>, TemplateAt)>> = OnceCell::new();
    let with_template = |item: Templated<'m>| {
        let template = template(&item, &sources);
        (item, template)
    };
    let (mut known, mut found) = (HashMap::new(), Found::new());
    for device in devices {
        let Err(error) = render(&whole, device, &files, &mut known) else { continue };
        tell(&mut found, templated, &error, device);
        if place(&error).is_none() {
            continue;
        }
        // One mistake ends the whole: the others are found item by item.
        for (item, template) in items.get_or_init(|| templated.items().into_iter().map(with_template).collect()) {
            if let Err(error) = render(template, device, &files, &mut known) {
                tell(&mut found, item, &error, device);
            }
        }
    }
    let told = |(why, (field, for_whom)): (String, (FieldPath, Vec<&Known>))| {
        let problem = Finding::error(codes::TEMPLATE, templated.path, field, format!("{why}{}", whom(&for_whom)));
        match placeholders::hint(&why, &templated.fleet, for_whom[0]) {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    };
    Ok(found.into_iter().map(told).collect())
}

fn template(templated: &Templated<'_>, sources: &Sources) -> TemplateAt {
    // Nothing of the commit gets into a spec.
    let landing = Landing { commit: CommitId::from_bytes(&[0; 20]).expect("20 bytes make an id"), number: 0 };
    let (inputs, fleet) = (Sha256Digest::of(&[]), Arc::new(templated.fleet.clone().into_owned()));
    TemplateAt { name: templated.name.clone(), landing, fleet, sources: sources.clone(), inputs }
}

fn render(
    template: &TemplateAt,
    device: &Known,
    files: &Files,
    known: &mut HashMap<ObjectId, TargetRef>,
) -> Result<(), RenderError> {
    render::render(template, &device.name, &device.facts, &mut Contents::new(files, known)).map(drop)
}

/// Takes note of a mistake, unless it is told where the file is missing or another.
fn tell<'d>(found: &mut Found<'d>, templated: &Templated<'_>, error: &RenderError, device: &'d Known) {
    if matches!(error, RenderError::NoSuchFile { .. } | RenderError::ArtifactMismatch { .. }) {
        return;
    }
    let (why, field) = told(templated, error);
    let (_, devices) = found.entry(why).or_insert_with(|| (field, Vec::new()));
    // The mistake that ended the whole is found again in its item.
    if !devices.last().is_some_and(|last| std::ptr::eq(*last, device)) {
        devices.push(device);
    }
}

/// The place below `spec.template` that an error is about.
fn place(error: &RenderError) -> Option<&str> {
    match error {
        RenderError::Template { place, .. }
        | RenderError::Value { place, .. }
        | RenderError::NoSuchFile { place, .. }
        | RenderError::ArtifactMismatch { place, .. } => Some(place),
        RenderError::Object(_)
        | RenderError::Contradiction(_)
        | RenderError::TooLong(_)
        | RenderError::TooManyTargets(_) => None,
    }
}

/// An error in words, with its field as it is counted in the manifest.
fn told(templated: &Templated<'_>, error: &RenderError) -> (String, FieldPath) {
    match error {
        RenderError::Template { place, why } | RenderError::Value { place, why } => {
            (format!("{}: {why}", templated.written(place)), templated.field(place))
        }
        other => (other.to_string(), FieldPath::of("spec.template")),
    }
}

fn whom(devices: &[&Known]) -> String {
    match devices {
        [] => String::new(),
        [one] => format!(" (for {})", one.shown),
        [first, others @ ..] => format!(" (for {} and {} more)", first.shown, others.len()),
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
        if !std::fs::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file()) {
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
