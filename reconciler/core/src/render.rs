//! Renders device specs: `render(T, H, device)`, a pure function of commits and device identity.
//!
//! Template and files come from the template commit, labels and variables from the head, the name from the certificate.
//! Rendering is part of the file format: for the same inputs its output never changes within an `apiVersion`, so the
//! template language is a fixed, small set (no functions; the filters `default`, `join`, `lower`, `replace`, `trim`,
//! `upper`), and golden tests hold it.

use std::collections::HashMap;
use std::sync::Arc;

use bellwether_schemas::manifest::{ApiVersion, Artifact, File, FileContent, Labels, Probe, Probes, Vars};
use bellwether_schemas::spec::{
    DevicePath, DeviceSpec, FileMode, InvalidSpec, MAX_SPEC, SpecArtifact, SpecFile, TargetRef,
};
use bellwether_schemas::{DeviceName, ObjectId, Sha256Digest};
use minijinja::value::{StringInput, ValueKind};
use minijinja::{Environment, ErrorKind, Output, State, UndefinedBehavior, filters};

use crate::declare::{Facts, TemplateAt};
use crate::objects::{self, ObjectError, ObjectKind, ObjectSource};

/// Steps that one template may take; an endless loop ends here.
const FUEL: u64 = 1_000_000;

/// How much of a template's line an error shows, in characters.
const MAX_SHOWN: usize = 80;

/// Why a spec cannot be rendered. Each names the place in the fleet's template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A template has a mistake, or uses a value that the device does not have.
    #[error("{place}: {why}")]
    Template {
        /// The field.
        place: String,
        /// What the template engine says.
        why: String,
    },
    /// A value is not what it must be once it is rendered.
    #[error("{place}: {why}")]
    Value {
        /// The field.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// A file that the template names is not in the repository at the template commit.
    #[error("{place}: {path} is not in the repository at {commit}")]
    NoSuchFile {
        /// The field.
        place: String,
        /// The path in the repository.
        path: String,
        /// The template commit, short.
        commit: String,
    },
    /// An artifact in the repository is not what the manifest says.
    #[error("{place}: {path} has {found}, the manifest says {expected}")]
    ArtifactMismatch {
        /// The field.
        place: String,
        /// The path in the repository.
        path: String,
        /// What the repository has.
        found: String,
        /// What the manifest says.
        expected: String,
    },
    /// The contents cannot be read from git.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The rendered spec contradicts itself.
    #[error("the rendered spec contradicts itself: {0}")]
    Contradiction(String),
    /// The rendered spec is too long.
    #[error("the rendered spec has {0} bytes, at most {MAX_SPEC} are allowed; move contents to files/")]
    TooLong(usize),
}

/// Where the content of a target comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A blob of the repository.
    Blob(ObjectId),
    /// Text that was rendered.
    Text(Arc<str>),
}

/// A rendered spec, with everything that its publication needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The canonical text of the spec.
    pub canonical: Arc<[u8]>,
    /// Its digest.
    pub digest: Sha256Digest,
    /// The targets that the spec names, and where their contents come from.
    pub targets: Vec<(TargetRef, Content)>,
}

/// Contents of the repository, with what was learnt about them.
pub struct Contents<'a> {
    source: &'a dyn ObjectSource,
    known: &'a mut HashMap<ObjectId, TargetRef>,
}

impl<'a> Contents<'a> {
    /// Contents from `source`; `known` keeps digest and length of blobs, which never change.
    pub fn new(source: &'a dyn ObjectSource, known: &'a mut HashMap<ObjectId, TargetRef>) -> Self {
        Self { source, known }
    }

    fn target(&mut self, blob: &ObjectId) -> Result<TargetRef, ObjectError> {
        if let Some(target) = self.known.get(blob) {
            return Ok(*target);
        }
        let target = TargetRef::to(&self.read(blob)?);
        self.known.insert(*blob, target);
        Ok(target)
    }

    fn read(&self, blob: &ObjectId) -> Result<Vec<u8>, ObjectError> {
        objects::read(self.source, blob, ObjectKind::Blob)
    }
}

/// Renders what `device` shall run by `template`, with the labels and variables it has at the head.
///
/// # Errors
/// The first mistake; it concerns this device alone.
pub fn render(
    template: &TemplateAt,
    device: &DeviceName,
    facts: &Facts,
    contents: &mut Contents<'_>,
) -> Result<Rendered, RenderError> {
    let mut vars = template.fleet.vars.clone();
    vars.extend(facts.vars.clone());
    let engine = Engine::new(template, device, &facts.labels, &vars);
    let mut targets = Vec::new();

    let mut files = Vec::with_capacity(template.fleet.template.files.len());
    for (index, file) in template.fleet.template.files.iter().enumerate() {
        let place = format!("files[{index}]");
        files.push(engine.file(&place, file, contents, &mut targets)?);
    }
    let mut artifacts = Vec::with_capacity(template.fleet.template.artifacts.len());
    for (index, artifact) in template.fleet.template.artifacts.iter().enumerate() {
        let place = format!("artifacts[{index}]");
        artifacts.push(engine.artifact(&place, artifact, contents, &mut targets)?);
    }
    let probes = engine.probes(&template.fleet.template.probes)?;

    let spec = DeviceSpec { api_version: ApiVersion::V1, files, artifacts, probes };
    spec.check().map_err(|error| match error {
        InvalidSpec::Contradiction(what) => RenderError::Contradiction(what),
        other => RenderError::Contradiction(other.to_string()),
    })?;
    let canonical: Arc<[u8]> = spec.canonical().into();
    if canonical.len() > MAX_SPEC {
        return Err(RenderError::TooLong(canonical.len()));
    }
    targets.sort_by_key(|(target, _)| *target);
    targets.dedup_by_key(|(target, _)| *target);
    Ok(Rendered { digest: Sha256Digest::of(&canonical), canonical, targets })
}

type Targets = Vec<(TargetRef, Content)>;

/// The template engine with one device's values.
struct Engine<'a> {
    environment: Environment<'static>,
    values: minijinja::Value,
    template: &'a TemplateAt,
}

impl<'a> Engine<'a> {
    fn new(template: &'a TemplateAt, device: &DeviceName, labels: &Labels, vars: &Vars) -> Self {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_keep_trailing_newline(true);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(write_value);
        environment.add_filter("default", filters::default);
        environment.add_filter("join", join);
        environment.add_filter("lower", filters::lower);
        environment.add_filter("replace", filters::replace);
        environment.add_filter("trim", filters::trim);
        environment.add_filter("upper", filters::upper);
        let values = minijinja::context! {
            device => minijinja::context! { name => device.as_str() },
            labels => labels,
            vars => vars,
            fleet => template.name.as_str(),
        };
        Self { environment, values, template }
    }

    fn text(&self, place: &str, template: &str) -> Result<String, RenderError> {
        if !template.contains('{') {
            return Ok(template.to_owned());
        }
        self.environment
            .render_str(template, &self.values)
            .map_err(|error| RenderError::Template { place: place.to_owned(), why: in_words(&error, template) })
    }

    fn path(&self, place: &str, template: &str) -> Result<DevicePath, RenderError> {
        let text = self.text(place, template)?;
        text.parse().map_err(|e: bellwether_schemas::spec::InvalidDevicePath| value(place, &e))
    }

    fn optional(&self, place: &str, template: Option<&String>) -> Result<Option<String>, RenderError> {
        template.map(|text| self.text(place, text)).transpose()
    }

    fn blob(&self, place: &str, path: &str) -> Result<ObjectId, RenderError> {
        self.template.sources.get(path).map(|entry| entry.id).ok_or_else(|| RenderError::NoSuchFile {
            place: place.to_owned(),
            path: path.to_owned(),
            commit: self.template.landing.commit.short(),
        })
    }

    fn file(
        &self,
        place: &str,
        file: &File,
        contents: &mut Contents<'_>,
        targets: &mut Targets,
    ) -> Result<SpecFile, RenderError> {
        let (mut content, mut source) = (None, None);
        match file.content() {
            Some(FileContent::Inline(text)) => content = Some(self.text(&format!("{place}.content"), text)?),
            Some(FileContent::Source(path)) => {
                let place = format!("{place}.source");
                let blob = self.blob(&place, path)?;
                let (target, origin) = if file.template {
                    let text = String::from_utf8(contents.read(&blob)?).map_err(|_| RenderError::Value {
                        place: place.clone(),
                        why: format!("{path} is a template and not UTF-8"),
                    })?;
                    let text = self.text(&place, &text)?;
                    (TargetRef::to(text.as_bytes()), Content::Text(text.into()))
                } else {
                    (contents.target(&blob)?, Content::Blob(blob))
                };
                targets.push((target, origin));
                source = Some(target);
            }
            None => {
                let why = "exactly one of content and source must be given".to_owned();
                return Err(RenderError::Value { place: place.to_owned(), why });
            }
        }
        let mode = match &file.mode {
            Some(mode) => mode.parse().map_err(|e| value(&format!("{place}.mode"), &e))?,
            None => FileMode::default(),
        };
        Ok(SpecFile {
            path: self.path(&format!("{place}.path"), &file.path)?,
            content,
            source,
            mode,
            owner: self.optional(&format!("{place}.owner"), file.owner.as_ref())?,
            group: self.optional(&format!("{place}.group"), file.group.as_ref())?,
            overwrite: file.overwrite,
        })
    }

    fn artifact(
        &self,
        place: &str,
        artifact: &Artifact,
        contents: &mut Contents<'_>,
        targets: &mut Targets,
    ) -> Result<SpecArtifact, RenderError> {
        let place_of_source = format!("{place}.source");
        let Some(path) = &artifact.source.path else {
            let why = "an artifact needs a path under artifacts/".to_owned();
            return Err(RenderError::Value { place: place_of_source, why });
        };
        let blob = self.blob(&place_of_source, path)?;
        let source = contents.target(&blob)?;
        let expected = TargetRef { sha256: artifact.sha256, length: artifact.length };
        if source != expected {
            let words = |target: TargetRef| format!("{} bytes with SHA-256 {}", target.length, target.sha256);
            return Err(RenderError::ArtifactMismatch {
                place: place_of_source,
                path: path.clone(),
                found: words(source),
                expected: words(expected),
            });
        }
        targets.push((source, Content::Blob(blob)));
        Ok(SpecArtifact {
            name: artifact.name.clone(),
            source,
            dest: self.path(&format!("{place}.dest"), &artifact.dest)?,
            keep: artifact.keep,
        })
    }

    fn probes(&self, probes: &Probes) -> Result<Vec<Probe>, RenderError> {
        let mut rendered = probes.as_slice().to_vec();
        for (index, probe) in rendered.iter_mut().enumerate() {
            let place = format!("probes[{index}]");
            if let Some(exec) = &mut probe.exec {
                for word in &mut exec.command {
                    *word = self.text(&format!("{place}.exec.command"), word)?;
                }
            }
            if let Some(http) = &mut probe.http {
                http.url = self.text(&format!("{place}.http.url"), &http.url)?;
            }
            if let Some(file) = &mut probe.file {
                file.path = self.path(&format!("{place}.file.path"), &file.path)?.into();
            }
        }
        Ok(rendered)
    }
}

/// What went wrong, with the line of the template that it went wrong in.
fn in_words(error: &minijinja::Error, template: &str) -> String {
    let mut why = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let line = error.line().and_then(|number| template.lines().nth(number.checked_sub(1)?));
    if let Some(line) = line {
        let shown: String = line.trim().chars().take(MAX_SHOWN).collect();
        why.push_str(&format!(" in {shown:?}"));
    }
    why
}

/// Writes a value as YAML and JSON have it: the engine's own words for true, false and null changed between its releases.
fn write_value(out: &mut Output<'_>, state: &State<'_, '_>, value: &minijinja::Value) -> Result<(), minijinja::Error> {
    match value.kind() {
        ValueKind::Bool | ValueKind::None | ValueKind::Seq | ValueKind::Map => {
            if has_undefined(value) {
                return Err(ErrorKind::UndefinedError.into());
            }
            let json = serde_json::to_value(value)
                .map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()))?;
            Ok(write!(out, "{json}")?)
        }
        _ => minijinja::escape_formatter(out, state, value),
    }
}

/// Whether an undefined value hides in a list or a map, where the engine lets it pass.
fn has_undefined(value: &minijinja::Value) -> bool {
    let inside = || value.try_iter().into_iter().flatten();
    match value.kind() {
        ValueKind::Undefined => true,
        ValueKind::Seq => inside().any(|item| has_undefined(&item)),
        ValueKind::Map => inside().any(|key| value.get_item(&key).is_ok_and(|item| has_undefined(&item))),
        _ => false,
    }
}

/// The filter `join`, for defined values only.
fn join(
    state: &State<'_, '_>,
    value: &minijinja::Value,
    joiner: Option<StringInput<'_>>,
) -> Result<minijinja::Value, minijinja::Error> {
    if has_undefined(value) { Err(ErrorKind::UndefinedError.into()) } else { filters::join(state, value, joiner) }
}

fn value(place: &str, error: &dyn std::error::Error) -> RenderError {
    RenderError::Value { place: place.to_owned(), why: error.to_string() }
}

#[cfg(test)]
mod tests;
