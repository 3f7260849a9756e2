//! A spec as a person reads it: each file with its content, so that a difference shows what a device will see.

use std::fmt::Write as _;

use bellwether_core::compare::{Shown, Variant};
use bellwether_core::objects::{self, ObjectError, ObjectKind, ObjectSource};
use bellwether_core::render::Content;
use bellwether_schemas::spec::{SpecFile, TargetRef};
use similar::TextDiff;

use super::text::bytes;

/// What is longer is shown by its digest.
const LONGEST: u64 = 64 << 10;

/// From so many lines on contents are shown by their digests: what two texts have in common takes the longer to be found the
/// less that is.
const MOST_LINES: usize = 20_000;

/// How many unchanged lines are shown around what changes.
const AROUND: usize = 3;

/// What a change makes of the example's spec, as a unified difference.
pub(super) fn difference(variant: &Variant, objects: &dyn ObjectSource) -> Result<String, ObjectError> {
    let before = variant.before.as_ref().map(|before| described(before, objects)).transpose()?.unwrap_or_default();
    let after = described(&variant.after, objects)?;
    let diff = TextDiff::from_lines(&before, &after);
    Ok(diff.unified_diff().context_radius(AROUND).to_string())
}

fn described(shown: &Shown, objects: &dyn ObjectSource) -> Result<String, ObjectError> {
    let (mut text, mut lines) = (String::new(), 0);
    for file in &shown.spec.files {
        let _infallible = writeln!(text, "file {}{}", file.path, attributes(file));
        let (content, digest) = match (&file.content, &file.source) {
            (Some(content), _) => (Some(content.clone()), TargetRef::to(content.as_bytes())),
            (None, Some(source)) => (content(shown, source, objects)?, *source),
            (None, None) => continue,
        };
        lines += content.as_ref().map_or(0, |content| content.lines().count());
        match content.filter(|_| lines <= MOST_LINES) {
            Some(content) => content.split_inclusive('\n').for_each(|line| {
                // What ends a line, and whether the last one ends, is a part of the file.
                let (line, end) = line.strip_suffix('\n').map_or((line, " (no newline at the end)"), |line| (line, ""));
                let _infallible = writeln!(text, "  {}{end}", line.replace('\r', "␍"));
            }),
            None => {
                let _infallible = writeln!(text, "  ({}, SHA-256 {})", bytes(digest.length), digest.sha256);
            }
        }
    }
    for artifact in &shown.spec.artifacts {
        let TargetRef { sha256, length } = &artifact.source;
        let _infallible = writeln!(
            text,
            "artifact {} in {}, {} kept\n  ({}, SHA-256 {sha256})",
            artifact.name,
            artifact.dest,
            artifact.keep,
            bytes(*length)
        );
    }
    for probe in &shown.spec.probes {
        let probe = serde_json::to_string(probe).expect("a probe is JSON");
        let _infallible = writeln!(text, "probe {probe}");
    }
    Ok(text)
}

fn attributes(file: &SpecFile) -> String {
    let mut attributes = format!(", mode {:04o}", file.mode.bits());
    for (name, value) in [("owner", &file.owner), ("group", &file.group)] {
        if let Some(value) = value {
            let _infallible = write!(attributes, ", {name} {value}");
        }
    }
    if file.overwrite {
        attributes.push_str(", overwrites");
    }
    attributes
}

/// The content of a target, if it is text and not too long.
fn content(shown: &Shown, target: &TargetRef, objects: &dyn ObjectSource) -> Result<Option<String>, ObjectError> {
    if target.length > LONGEST {
        return Ok(None);
    }
    let content = shown.contents.iter().find(|(known, _)| known == target).map(|(_, content)| content);
    Ok(match content {
        Some(Content::Text(text)) => Some(text.to_string()),
        Some(Content::Blob(id)) => {
            let raw = objects::read(objects, id, ObjectKind::Blob)?;
            String::from_utf8(raw).ok().filter(|text| !text.contains('\0'))
        }
        None => None,
    })
}
