//! The manifests of a working tree.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bellwether_schemas::diagnostic::Diagnostic;
use bellwether_schemas::manifest::{AnyManifest, Enrollment, Fleet, Rollout};
use bellwether_schemas::yaml::Places;
use bellwether_schemas::{EnrollmentName, FleetName, codes, yaml};
use rayon::prelude::*;

use super::finding::Finding;
use super::index::Index;
use super::listing;
use crate::failure::{self, Failure};

/// The manifests of a working tree, by path.
pub(super) struct Manifests {
    pub(super) root: PathBuf,
    /// What git has of it, if there is git.
    pub(super) index: Option<Index>,
    /// What each file has in it.
    pub(super) texts: BTreeMap<String, Vec<u8>>,
    /// Those that can be read.
    pub(super) parsed: BTreeMap<String, AnyManifest>,
}

/// What may become a spec: a Fleet, or the template of a Device.
pub(super) struct Templated<'m> {
    pub(super) path: &'m str,
    pub(super) name: FleetName,
    pub(super) fleet: Cow<'m, Fleet>,
}

impl Manifests {
    /// Reads all of them, and tells what is wrong with those that cannot be read, or lie where none belongs.
    pub(super) fn read(root: &Path) -> Result<(Self, Vec<Diagnostic>), Failure> {
        let index = Index::of(root);
        let listed = listing::list(root, index.as_ref())?;
        let read = |path: String| -> Result<_, Failure> {
            let text = read(&root.join(&path))?;
            let parsed = yaml::parse(&path, &text);
            Ok((path, text, parsed))
        };
        let read: Vec<_> = listed.manifests.into_par_iter().map(read).collect::<Result<_, _>>()?;
        let mut problems = listed.misplaced;
        for odd in index.as_ref().map(Index::odd).unwrap_or_default() {
            // What lies in a folder of manifests is told already.
            if !problems.iter().any(|told| (told.code, &told.file) == (odd.code, &odd.file)) {
                problems.push(odd);
            }
        }
        let mut manifests = Self { root: root.to_owned(), index, texts: BTreeMap::new(), parsed: BTreeMap::new() };
        for (path, text, parsed) in read {
            match parsed {
                Ok(manifest) => drop(manifests.parsed.insert(path.clone(), manifest)),
                Err(found) => problems.extend(found),
            }
            manifests.texts.insert(path, text);
        }
        Ok((manifests, problems))
    }

    /// The diagnostics of findings, at the places of their fields; of one file no more than the reader tells of one.
    pub(super) fn place(&self, findings: impl IntoIterator<Item = Finding>) -> Vec<Diagnostic> {
        let mut by_file: BTreeMap<String, Vec<Finding>> = BTreeMap::new();
        for finding in findings {
            by_file.entry(finding.problem.file.clone()).or_default().push(finding);
        }
        by_file.into_iter().flat_map(|(file, findings)| self.place_in(&file, findings)).collect()
    }

    fn place_in(&self, file: &str, mut findings: Vec<Finding>) -> Vec<Diagnostic> {
        // Errors are told before warnings where not all are.
        findings.sort_by_key(|finding| finding.problem.severity);
        let unshown = findings.len().saturating_sub(yaml::MAX_PROBLEMS);
        let worst = findings.get(yaml::MAX_PROBLEMS).map(|finding| finding.problem.severity);
        let text = self.texts.get(file).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
        let places = Places::of(text);
        let placed = findings.into_iter().take(yaml::MAX_PROBLEMS).map(|Finding { problem, field }| {
            if field.is_whole() || text.is_empty() {
                return problem;
            }
            let range = places.locate(&field);
            problem.at(text, range.start, range.end)
        });
        let rest = worst.map(|severity| {
            let problem = Diagnostic::error(codes::TOO_LARGE, file, format!("{unshown} more problems are not shown"));
            Diagnostic { severity, ..problem }
        });
        placed.chain(rest).collect()
    }

    pub(super) fn fleets(&self) -> impl Iterator<Item = (&str, &FleetName, &Fleet)> {
        self.parsed.iter().filter_map(|(path, manifest)| match manifest {
            AnyManifest::Fleet(fleet) => Some((path.as_str(), &fleet.metadata.name, &fleet.spec)),
            _ => None,
        })
    }

    pub(super) fn rollouts(&self) -> impl Iterator<Item = (&str, &FleetName, &Rollout)> {
        self.parsed.iter().filter_map(|(path, manifest)| match manifest {
            AnyManifest::Rollout(rollout) => Some((path.as_str(), &rollout.metadata.name, &rollout.spec)),
            _ => None,
        })
    }

    pub(super) fn enrollments(&self) -> impl Iterator<Item = (&str, &EnrollmentName, &Enrollment)> {
        self.parsed.iter().filter_map(|(path, manifest)| match manifest {
            AnyManifest::Enrollment(enrollment) => Some((path.as_str(), &enrollment.metadata.name, &enrollment.spec)),
            _ => None,
        })
    }

    /// Everything that has a template.
    pub(super) fn templated(&self) -> impl Iterator<Item = Templated<'_>> {
        self.parsed.iter().filter_map(|(path, manifest)| match manifest {
            AnyManifest::Fleet(fleet) => {
                Some(Templated { path, name: fleet.metadata.name.clone(), fleet: Cow::Borrowed(&fleet.spec) })
            }
            AnyManifest::Device(device) => {
                let fleet = Cow::Owned(Fleet::of_one(device.spec.template.clone()?));
                Some(Templated { path, name: FleetName::of_device(&device.metadata.name), fleet })
            }
            _ => None,
        })
    }

    /// Whether the fleet is there; one that does not parse is.
    pub(super) fn has_fleet(&self, fleet: &FleetName) -> bool {
        self.texts.contains_key(&fleet.path()) && (fleet.device().is_none() || self.may_have_template(fleet))
    }

    /// Whether a Device has a template of its own, as far as it can be read.
    fn may_have_template(&self, own: &FleetName) -> bool {
        match self.parsed.get(&own.path()) {
            Some(AnyManifest::Device(device)) => device.spec.template.is_some(),
            _ => true,
        }
    }

    /// Whether a Device can be read, and has a template of its own.
    pub(super) fn has_template(&self, own: &FleetName) -> bool {
        self.parsed.contains_key(&own.path()) && self.may_have_template(own)
    }

    /// How changes of a fleet roll out.
    pub(super) fn rollout(&self, fleet: &FleetName) -> Cow<'_, Rollout> {
        if fleet.device().is_some() {
            return Cow::Owned(Rollout::of_one());
        }
        match self.parsed.get(&format!("rollouts/{fleet}.yaml")) {
            Some(AnyManifest::Rollout(rollout)) => Cow::Borrowed(&rollout.spec),
            _ => Cow::Owned(Rollout::default()),
        }
    }
}

/// What a manifest has in it, and a byte more than any may have at most.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    const MOST: u64 = yaml::MAX_ENROLLMENT as u64 + 1;
    let read = || {
        let file = File::open(path)?;
        let length = file.metadata()?.len().min(MOST);
        // One byte more than there are, so that the end is found without growing.
        let mut text = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
        file.take(MOST).read_to_end(&mut text)?;
        Ok(text)
    };
    read().map_err(|e| failure::file("cannot read", path, &e))
}
