//! Templates of the working tree, also those of Fleets with which something is wrong.

use std::borrow::Cow;

use bellwether_schemas::FleetName;
use bellwether_schemas::manifest::{Fleet, Probes, Template};
use bellwether_schemas::yaml::{FieldPath, Parts};

/// What may become a spec: a Fleet, or the template of a Device.
pub(super) struct Templated<'m> {
    pub(super) path: &'m str,
    pub(super) name: FleetName,
    pub(super) fleet: Cow<'m, Fleet>,
    /// Whether its variables are all there.
    pub(super) has_vars: bool,
    /// Where the items of its lists stand in the manifest, if some that stand there are not among them.
    places: Option<Places>,
}

/// The places of the items of each list, from 0.
#[derive(Debug, Clone, Default)]
struct Places {
    files: Vec<usize>,
    artifacts: Vec<usize>,
    probes: Vec<usize>,
}

impl<'m> Templated<'m> {
    pub(super) fn whole(path: &'m str, name: FleetName, fleet: Cow<'m, Fleet>) -> Self {
        Self { path, name, fleet, has_vars: true, places: None }
    }

    /// What can be read of a Fleet.
    pub(super) fn partial(path: &'m str, name: FleetName, parts: &Parts) -> Self {
        let template = parts.template.clone();
        let (file_places, files) = template.files.into_iter().unzip();
        let (artifact_places, artifacts) = template.artifacts.into_iter().unzip();
        let (probe_places, probes) = template.probes.into_iter().unzip();
        let template = Template { files, artifacts, probes: Probes::All(probes), ..nothing() };
        let fleet = Fleet {
            selector: parts.selector.clone().unwrap_or_default(),
            vars: parts.vars.clone().unwrap_or_default(),
            ..Fleet::of_one(template)
        };
        let places = Places { files: file_places, artifacts: artifact_places, probes: probe_places };
        Self { path, name, fleet: Cow::Owned(fleet), has_vars: parts.vars.is_some(), places: Some(places) }
    }

    /// A field below `spec.template`, such as `files[0].source`, as it is counted in the manifest.
    pub(super) fn written(&self, place: &str) -> String {
        let written = || {
            let (list, at, rest) = item(place)?;
            Some(format!("{list}[{}]{rest}", self.places.as_ref()?.of(list)?.get(at)?))
        };
        written().unwrap_or_else(|| place.to_owned())
    }

    /// The same as a field of the manifest.
    pub(super) fn field(&self, place: &str) -> FieldPath {
        FieldPath::of(&format!("spec.template.{}", self.written(place)))
    }

    /// Each item of its lists alone.
    pub(super) fn items(&self) -> Vec<Self> {
        let template = &self.fleet.template;
        let probes = match &template.probes {
            Probes::All(probes) => probes.as_slice(),
            Probes::None => &[],
        };
        let files = template.files.iter().map(|file| Template { files: vec![file.clone()], ..nothing() });
        let artifacts =
            template.artifacts.iter().map(|artifact| Template { artifacts: vec![artifact.clone()], ..nothing() });
        let probes = probes.iter().map(|probe| Template { probes: Probes::All(vec![probe.clone()]), ..nothing() });
        let places = self.places.clone().unwrap_or_else(|| Places::all(template));
        let (of_files, of_artifacts, of_probes) = (places.files.iter(), places.artifacts.iter(), places.probes.iter());
        let files = files.zip(of_files.map(|at| Places { files: vec![*at], ..Places::default() }));
        let artifacts = artifacts.zip(of_artifacts.map(|at| Places { artifacts: vec![*at], ..Places::default() }));
        let probes = probes.zip(of_probes.map(|at| Places { probes: vec![*at], ..Places::default() }));
        let alone = |(template, places)| Self {
            path: self.path,
            name: self.name.clone(),
            fleet: Cow::Owned(Fleet { vars: self.fleet.vars.clone(), ..Fleet::of_one(template) }),
            has_vars: self.has_vars,
            places: Some(places),
        };
        files.chain(artifacts).chain(probes).map(alone).collect()
    }
}

/// A template of which nothing is asked.
fn nothing() -> Template {
    Template {
        files: Vec::new(),
        artifacts: Vec::new(),
        probes: Probes::All(Vec::new()),
        services: None,
        containers: None,
        os: None,
        hooks: None,
    }
}

impl Places {
    fn all(template: &Template) -> Self {
        let probes = match &template.probes {
            Probes::All(probes) => probes.len(),
            Probes::None => 0,
        };
        let [files, artifacts, probes] =
            [template.files.len(), template.artifacts.len(), probes].map(|count| (0..count).collect());
        Self { files, artifacts, probes }
    }

    fn of(&self, list: &str) -> Option<&[usize]> {
        match list {
            "files" => Some(&self.files),
            "artifacts" => Some(&self.artifacts),
            "probes" => Some(&self.probes),
            _ => None,
        }
    }
}

/// `files[0].source` as its list, the item's place in it, and the rest.
fn item(place: &str) -> Option<(&str, usize, &str)> {
    let (list, rest) = place.split_once('[')?;
    let (at, rest) = rest.split_once(']')?;
    Some((list, at.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_template_is_counted_as_it_is_written() {
        let text = b"spec:\n  template:\n    files: [{path: 3}, {path: /a, content: a}, {path: /b, content: b}]\n";
        let parts = bellwether_schemas::yaml::parts("fleets/x.yaml", text);
        let all = Templated::partial("fleets/x.yaml", "x".parse().expect("a name"), &parts);
        assert_eq!(all.written("files[1].content"), "files[2].content");
        let items = all.items();
        assert_eq!(items.iter().map(|item| item.fleet.template.files.len()).collect::<Vec<_>>(), [1, 1]);
        let [.., last] = items.as_slice() else { panic!("there are two files") };
        assert_eq!(last.written("files[0].content"), "files[2].content");
        assert_eq!(last.written("anything"), "anything");
    }
}
