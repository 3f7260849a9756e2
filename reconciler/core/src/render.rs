//! Renders device specs: `render(T, H, device)`, a pure function of commits and device identity.
//!
//! Template and files come from the template commit, labels and variables from the head, the name from the certificate.
//! Rendering is part of the file format: for the same inputs its output never changes within an `apiVersion`, so the
//! template language is a fixed, small set (`for`, `if`, `set`; no functions; the filters `default`, `join`, `lower`,
//! `replace`, `trim`, `upper`), and golden tests hold it. What it can take of memory and stack is bounded: see `language`.

mod language;
#[cfg(test)]
mod limits;

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bellwether_schemas::manifest::{ApiVersion, Artifact, File, FileContent, Labels, Probe, Probes, Vars};
use bellwether_schemas::spec::{
    DevicePath, DeviceSpec, FileMode, InvalidSpec, MAX_SPEC, SpecArtifact, SpecFile, TargetRef,
};
use bellwether_schemas::{DeviceName, ObjectId, Sha256Digest};
use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, Output, State, UndefinedBehavior};

use crate::declare::{Facts, TemplateAt};
use crate::objects::{self, ObjectError, ObjectKind, ObjectSource};
use language::Refused;

pub use language::FILTERS;

/// Steps that one template may take; an endless loop ends here.
const FUEL: u64 = 1_000_000;

/// What the texts of one spec may be, all together, in bytes.
const MAX_TEXT: usize = 64 << 20;

/// Targets that one spec may name: an agent takes 768 KiB of metadata, and each target has about 190 bytes in it.
const MAX_TARGETS: usize = 2_000;

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
    /// The rendered spec names too many targets.
    #[error(
        "the rendered spec needs {0} contents from the repository, at most {MAX_TARGETS} are allowed; write small files \
         as content, or pack many into one artifact"
    )]
    TooManyTargets(usize),
}

impl RenderError {
    /// Whether another attempt may go well with the very same inputs: an object could not be read this time. All else
    /// depends on the inputs alone.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Object(error) => error.is_passing(),
            Self::Template { .. }
            | Self::Value { .. }
            | Self::NoSuchFile { .. }
            | Self::ArtifactMismatch { .. }
            | Self::Contradiction(_)
            | Self::TooLong(_)
            | Self::TooManyTargets(_) => false,
        }
    }
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

    // Before it is all written down once more.
    let inline: usize = files.iter().filter_map(|file| file.content.as_ref()).map(String::len).sum();
    if inline > MAX_SPEC {
        return Err(RenderError::TooLong(inline));
    }
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
    if targets.len() > MAX_TARGETS {
        return Err(RenderError::TooManyTargets(targets.len()));
    }
    Ok(Rendered { digest: Sha256Digest::of(&canonical), canonical, targets })
}

type Targets = Vec<(TargetRef, Content)>;

/// The first artifact of a template that no member can have, by its name, and why: it is the same for all of them.
pub fn lacking(template: &TemplateAt, contents: &mut Contents<'_>) -> Option<(String, String)> {
    template.fleet.template.artifacts.iter().find_map(|artifact| {
        let path = artifact.source.path.as_ref()?;
        let why = match template.sources.get(path) {
            None => format!("{path} is not in the repository"),
            Some(entry) => {
                let checked = contents.target(&entry.id).map_err(RenderError::from);
                checked.and_then(|found| check_artifact("source", artifact, path, found)).err()?.to_string()
            }
        };
        Some((artifact.name.to_string(), why))
    })
}

fn check_artifact(place: &str, artifact: &Artifact, path: &str, found: TargetRef) -> Result<(), RenderError> {
    let expected = TargetRef { sha256: artifact.sha256, length: artifact.length };
    let words = |target: TargetRef| format!("{} bytes with SHA-256 {}", target.length, target.sha256);
    match found == expected {
        true => Ok(()),
        false => Err(RenderError::ArtifactMismatch {
            place: place.to_owned(),
            path: path.to_owned(),
            found: words(found),
            expected: words(expected),
        }),
    }
}

/// The template engine with one device's values.
struct Engine<'a> {
    environment: Environment<'static>,
    values: minijinja::Value,
    template: &'a TemplateAt,
    /// What is left of [`MAX_TEXT`].
    room: Cell<usize>,
}

impl<'a> Engine<'a> {
    fn new(template: &'a TemplateAt, device: &DeviceName, labels: &Labels, vars: &Vars) -> Self {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_keep_trailing_newline(true);
        environment.set_fuel(Some(FUEL));
        environment.set_formatter(write_value);
        language::add_filters(&mut environment);
        let values = minijinja::context! {
            device => minijinja::context! { name => device.as_str() },
            labels => labels,
            vars => vars,
            fleet => template.name.as_str(),
        };
        Self { environment, values, template, room: Cell::new(MAX_TEXT) }
    }

    fn text(&self, place: &str, template: &str) -> Result<String, RenderError> {
        let mut page = Page { text: Vec::new(), room: &self.room };
        let written = if template.contains('{') {
            self.write(template, &mut page)
        } else {
            io::Write::write_all(&mut page, template.as_bytes()).map_err(|_| too_much())
        };
        match written {
            Ok(()) => Ok(String::from_utf8(page.text).expect("what is rendered is text")),
            Err(why) => Err(RenderError::Template { place: place.to_owned(), why }),
        }
    }

    /// Writes what a template renders to, or says why that cannot be.
    fn write(&self, template: &str, page: &mut Page<'_>) -> Result<(), String> {
        let prepared =
            language::prepare(template).map_err(|Refused { why, line }| format!("{why}{}", in_line(template, line)))?;
        let parsed = self.environment.template_from_str(&prepared);
        parsed.and_then(|parsed| parsed.render_captured_to(&self.values, page).map(drop)).map_err(|error| {
            match error.kind() {
                ErrorKind::WriteFailure => too_much(),
                _ => in_words(&error, template),
            }
        })
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
        check_artifact(&place_of_source, artifact, path, source)?;
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

/// What texts of a spec are written on: there is as much room as is left for it.
struct Page<'a> {
    text: Vec<u8>,
    room: &'a Cell<usize>,
}

impl io::Write for Page<'_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let rest = self.room.get().checked_sub(part.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        self.room.set(rest);
        self.text.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_much() -> String {
    format!("the texts of the spec have more than {MAX_TEXT} bytes")
}

/// What went wrong, with the line of the template that it went wrong in.
fn in_words(error: &minijinja::Error, template: &str) -> String {
    let why = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    why + &in_line(template, error.line().unwrap_or(0))
}

/// The line with this number, from 1, as the end of a message.
fn in_line(template: &str, number: usize) -> String {
    let line = number.checked_sub(1).and_then(|before| template.lines().nth(before));
    line.map(|line| format!(" in {:?}", line.trim().chars().take(MAX_SHOWN).collect::<String>())).unwrap_or_default()
}

/// Writes a value as YAML and JSON have it: the engine's own words for true, false and null changed between its releases.
fn write_value(out: &mut Output<'_>, state: &State<'_, '_>, value: &minijinja::Value) -> Result<(), minijinja::Error> {
    match value.kind() {
        ValueKind::Bool | ValueKind::None | ValueKind::Seq | ValueKind::Map => {
            if language::has_undefined(value) {
                return Err(ErrorKind::UndefinedError.into());
            }
            let json = serde_json::to_value(value)
                .map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()))?;
            Ok(write!(out, "{json}")?)
        }
        _ => minijinja::escape_formatter(out, state, value),
    }
}

fn value(place: &str, error: &dyn std::error::Error) -> RenderError {
    RenderError::Value { place: place.to_owned(), why: error.to_string() }
}

#[cfg(test)]
mod tests;
