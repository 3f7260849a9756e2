//! Kind Fleet.

use std::collections::{BTreeMap, BTreeSet};

use super::fields::Fields;
use super::meant;
use super::probe;
use super::problem::Report;
use super::selector::selector;
use super::tree::{Node, Value};
use super::values::{self, Meaning};
use crate::codes;
use crate::manifest::{Artifact, ArtifactSource, Drift, File, Fleet, OnLeave, Template, Unpack};
use crate::spec::FileMode;

/// The spec of a Fleet.
pub(crate) fn fleet(node: &Node<'_>, report: &mut Report) -> Option<Fleet> {
    let mut fields = Fields::of(node, report)?;
    let selector = fields.required("selector", selector);
    let vars = fields.or("vars", BTreeMap::new(), values::vars);
    let template = fields.required("template", template);
    let on_leave = fields.or("onLeave", OnLeave::default(), |node, report| {
        values::word(&[("keep", Meaning::Is(OnLeave::Keep)), ("remove", Meaning::NotYet)], node, report)
    });
    let drift = fields.or("drift", Drift::default(), |node, report| {
        values::word(&[("report", Meaning::Is(Drift::Report)), ("restore", Meaning::NotYet)], node, report)
    });
    fields.finish();
    Some(Fleet { selector: selector?, vars: vars?, template: template?, on_leave: on_leave?, drift: drift? })
}

/// What a device shall run.
pub(crate) fn template(node: &Node<'_>, report: &mut Report) -> Option<Template> {
    let mut fields = Fields::of(node, report)?;
    // Paths of files and destinations of artifacts share one name space on the device.
    let mut places = BTreeSet::new();
    let mut names = BTreeSet::new();
    let files = fields.or("files", Vec::new(), |node, report| {
        values::list(node, report, |node, report| file(node, &mut places, report))
    });
    let artifacts = fields.or("artifacts", Vec::new(), |node, report| {
        values::list(node, report, |node, report| artifact(node, &mut names, &mut places, report))
    });
    let probes = fields.required("probes", probe::probes);
    let services = fields.not_yet("services");
    let containers = fields.not_yet("containers");
    let os = fields.not_yet("os");
    let hooks = fields.not_yet("hooks");
    fields.finish();
    Some(Template {
        files: files?,
        artifacts: artifacts?,
        probes: probes?,
        services: services?,
        containers: containers?,
        os: os?,
        hooks: hooks?,
    })
}

pub(crate) fn file(node: &Node<'_>, places: &mut BTreeSet<String>, report: &mut Report) -> Option<File> {
    let mut fields = Fields::of(node, report)?;
    let path = fields.required("path", |node, report| unique_place(node, places, report));
    let content = fields.optional("content", values::text);
    let source = fields.optional("source", values::path_below("files"));
    let one = fields.exactly_one(&["content", "source"]);
    let is_template = fields.get("template");
    let template = match is_template {
        Some(node) => values::boolean(node, fields.report),
        None => Some(false),
    };
    if let (Some(node), Some(true), Some(Some(_))) = (is_template, template, &content) {
        node.contradiction("template: true is for source; content is always a template".to_owned(), fields.report);
    }
    let mode = fields.optional("mode", mode);
    let owner = fields.optional("owner", values::words);
    let group = fields.optional("group", values::words);
    let overwrite = fields.or("overwrite", false, values::boolean);
    fields.finish();
    one?;
    Some(File {
        path: path?,
        content: content?,
        source: source?,
        template: template?,
        mode: mode?,
        owner: owner?,
        group: group?,
        overwrite: overwrite?,
    })
}

fn unique_place(node: &Node<'_>, places: &mut BTreeSet<String>, report: &mut Report) -> Option<String> {
    let place = values::device_path(node, report)?;
    if !places.insert(place.clone()) {
        node.fault(codes::CONTRADICTION, format!("{place:?} is placed twice"), None, report);
        return None;
    }
    Some(place)
}

/// Permission bits, as the text they are written in.
fn mode(node: &Node<'_>, report: &mut Report) -> Option<String> {
    if let Value::Scalar(scalar) = &node.value
        && scalar.text.parse::<FileMode>().is_ok()
    {
        if scalar.sort == super::scalar::Sort::Text {
            return Some(scalar.text.clone().into_owned());
        }
        // Unquoted, 0644 is the number 644 to some readers of YAML and 420 to others.
        let hint = Some(format!("write \"{}\" in quotes", scalar.text));
        node.wrong_with("an octal mode as text", hint, report);
        return None;
    }
    let text = values::text_of(node, "three octal digits as text, such as \"0644\"", report)?.to_owned();
    let told = |error: <FileMode as std::str::FromStr>::Err| {
        let hint = meant::mode(&text).map(|mode| format!("write \"{mode}\""));
        node.fault(codes::WRONG_VALUE, error.to_string(), hint, report);
    };
    text.parse::<FileMode>().map_err(told).ok()?;
    Some(text)
}

pub(crate) fn artifact(
    node: &Node<'_>,
    names: &mut BTreeSet<String>,
    places: &mut BTreeSet<String>,
    report: &mut Report,
) -> Option<Artifact> {
    let mut fields = Fields::of(node, report)?;
    let name = fields.required("name", |node, report| {
        let name: crate::name::ArtifactName = values::parsed(node, report)?;
        if !names.insert(name.to_string()) {
            node.fault(codes::CONTRADICTION, format!("two artifacts are named {name}"), None, report);
            return None;
        }
        Some(name)
    });
    let source = fields.required("source", artifact_source);
    let sha256 = fields.required("sha256", values::hex);
    let length = fields.required("length", values::integer_in(0..=u64::MAX));
    let unpack = fields.or("unpack", Unpack::default(), |node, report| {
        let known = [("none", Meaning::Is(Unpack::None)), ("tar.zst", Meaning::NotYet), ("tar.gz", Meaning::NotYet)];
        values::word(&known, node, report)
    });
    let dest = fields.required("dest", |node, report| unique_place(node, places, report));
    let keep = fields.or("keep", 1, values::integer_in(1..=u32::MAX));
    let sigstore = fields.not_yet("sigstore");
    fields.finish();
    Some(Artifact {
        name: name?,
        source: source?,
        sha256: sha256?,
        length: length?,
        unpack: unpack?,
        dest: dest?,
        keep: keep?,
        sigstore: sigstore?,
    })
}

fn artifact_source(node: &Node<'_>, report: &mut Report) -> Option<ArtifactSource> {
    let mut fields = Fields::of(node, report)?;
    let path = fields.optional("path", values::path_below("artifacts"));
    let url = fields.not_yet("url");
    let one = fields.exactly_one(&["path", "url"]);
    fields.finish();
    one?;
    Some(ArtifactSource { path: path?, url: url? })
}
