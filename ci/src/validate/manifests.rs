//! The manifests of a working tree.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bellwether_schemas::diagnostic::Diagnostic;
use bellwether_schemas::manifest::{AnyManifest, Enrollment, Fleet, Kind, LabelSelector, Rollout};
use bellwether_schemas::yaml::{Parts, Places};
use bellwether_schemas::{EnrollmentName, FleetName, WaveName, codes, yaml};
use rayon::prelude::*;

use super::finding::Finding;
use super::index::Index;
use super::listing;
use super::templated::Templated;
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
    /// What is sound in Fleets and Rollouts that cannot be read, with the names of their fleets.
    partial: BTreeMap<String, (FleetName, Parts)>,
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
        let (texts, parsed, partial) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut manifests = Self { root: root.to_owned(), index, texts, parsed, partial };
        for (path, text, parsed) in read {
            match parsed {
                Ok(manifest) => drop(manifests.parsed.insert(path.clone(), manifest)),
                Err(found) => {
                    problems.extend(found);
                    if let Some(fleet) = fleet_of(&path) {
                        manifests.partial.insert(path.clone(), (fleet, yaml::parts(&path, &text)));
                    }
                }
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

    /// The selector of each fleet, also of one with which something else is wrong.
    pub(super) fn selectors(&self) -> impl Iterator<Item = (&str, &FleetName, &LabelSelector)> {
        let partial = self
            .partial
            .iter()
            .filter_map(|(path, (name, parts))| Some((path.as_str(), name, parts.selector.as_ref()?)));
        self.fleets().map(|(path, name, fleet)| (path, name, &fleet.selector)).chain(partial)
    }

    /// The selectors of waves, with the places of these waves, also of Rollouts with which something else is wrong.
    pub(super) fn wave_selectors(&self) -> impl Iterator<Item = (&str, &FleetName, usize, &LabelSelector)> {
        let whole = self.rollouts().flat_map(|(path, name, rollout)| {
            let selectors = rollout.waves.iter().map(|wave| wave.select.as_ref()).enumerate();
            selectors.filter_map(move |(place, selector)| Some((path, name, place, selector?)))
        });
        let partial = self.partial.iter().flat_map(|(path, (name, parts))| {
            let selectors = parts.waves.iter().flatten().map(|wave| wave.select.as_ref()).enumerate();
            selectors.filter_map(move |(place, selector)| Some((path.as_str(), name, place, selector?)))
        });
        whole.chain(partial)
    }

    /// Whether every device that manifests name is known: none of those that do is unreadable.
    pub(super) fn has_all_devices(&self) -> bool {
        let names_devices = |path: &str| matches!(Kind::of_path(path), Some(Kind::Enrollment | Kind::Device));
        self.texts.keys().all(|path| self.parsed.contains_key(path) || !names_devices(path))
    }

    /// The fleets that each Rollout waits for, also of Rollouts with which something else is wrong.
    pub(super) fn after(&self) -> impl Iterator<Item = (&str, &FleetName, &[FleetName])> {
        let partial = self.partial.iter().filter(|(path, _)| Kind::of_path(path) == Some(Kind::Rollout));
        let partial = partial.map(|(path, (name, parts))| (path.as_str(), name, parts.after.as_slice()));
        self.rollouts().map(|(path, name, rollout)| (path, name, rollout.after.as_slice())).chain(partial)
    }

    /// Everything that has a template, also Fleets with which something is wrong.
    pub(super) fn templated(&self) -> impl Iterator<Item = Templated<'_>> {
        let whole = self.parsed.iter().filter_map(|(path, manifest)| match manifest {
            AnyManifest::Fleet(fleet) => {
                Some(Templated::whole(path, fleet.metadata.name.clone(), Cow::Borrowed(&fleet.spec)))
            }
            AnyManifest::Device(device) => {
                let fleet = Cow::Owned(Fleet::of_one(device.spec.template.clone()?));
                Some(Templated::whole(path, FleetName::of_device(&device.metadata.name), fleet))
            }
            _ => None,
        });
        let partial = self.partial.iter().filter(|(path, _)| Kind::of_path(path) == Some(Kind::Fleet));
        whole.chain(partial.map(|(path, (name, parts))| Templated::partial(path, name.clone(), parts)))
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

    /// The names of the waves through which changes of a fleet go; none where they cannot all be read.
    pub(super) fn waves(&self, fleet: &FleetName) -> Option<Vec<WaveName>> {
        let names = |rollout: &Rollout| rollout.waves.iter().map(|wave| wave.name.clone()).collect();
        if fleet.device().is_some() {
            return Some(names(&Rollout::of_one()));
        }
        let path = format!("{}/{fleet}.yaml", Kind::Rollout.folder());
        match (self.parsed.get(&path), self.partial.get(&path)) {
            (Some(AnyManifest::Rollout(rollout)), _) => Some(names(&rollout.spec)),
            (_, Some((_, parts))) => parts.waves.as_ref()?.iter().map(|wave| wave.name.clone()).collect(),
            _ => Some(names(&Rollout::default())),
        }
    }
}

/// The fleet that a Fleet or a Rollout at a path is about.
fn fleet_of(path: &str) -> Option<FleetName> {
    let stem = Path::new(path).file_stem()?.to_str()?;
    if matches!(Kind::of_path(path)?, Kind::Fleet | Kind::Rollout) { stem.parse().ok() } else { None }
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
