//! `bellwether validate`: every manifest, every problem, with its place; and whether the manifests fit together.

mod commits;
mod entries;
mod files;
mod order;
mod rendering;
mod trust;
mod unsigned;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use bellwether_core::declare::unused_template;
use bellwether_core::verify::POLICY_PATH;
use bellwether_schemas::diagnostic::{Diagnostic, Severity};
use bellwether_schemas::manifest::{AnyManifest, Fleet, HoldScope, Kind, Rollout, Template};
use bellwether_schemas::{FleetName, Sha256Digest, codes, yaml};
use clap::Args;
use jiff::Timestamp;
use sha2::Digest as _;

use crate::devices::{self, Known};
use crate::failure::{self, Failure};
use crate::output::{self, Output, Paint};
use crate::repo::shown;

const EXAMPLES: &str = "Examples:
  bellwether validate                                  (the repository here)
  bellwether validate fleets/edge.yaml                 (only what concerns this file)
  bellwether validate --repo path/to/fleet --output json";

/// Options of `validate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ValidateArgs {
    /// Show only problems of these files and folders
    paths: Vec<PathBuf>,
    /// The repository
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
    /// Count warnings as findings
    #[arg(long)]
    strict: bool,
}

pub(crate) fn run(args: &ValidateArgs, output: Output) -> Result<(), Failure> {
    let root = gix::discover(&args.repo).ok().and_then(|repo| repo.workdir().map(Path::to_path_buf));
    let root = root.unwrap_or_else(|| args.repo.clone());
    if !root.is_dir() {
        return Err(Failure::new(codes::NOT_A_REPOSITORY, format!("{} is not a folder", shown(&root).display())));
    }
    let mut check = Check { root, texts: BTreeMap::new(), manifests: BTreeMap::new(), problems: Vec::new() };
    check.read_all()?;
    if check.texts.is_empty() && check.problems.is_empty() {
        return Err(Failure::new(
            codes::NOT_A_REPOSITORY,
            format!("{} has no manifests", shown(&check.root).display()),
        ));
    }
    check.references()?;
    check.order();
    check.entries();
    check.commits()?;
    let devices = devices::known(check.manifests.values());
    check.overlaps(&devices);
    check.renders(&devices)?;
    check.trust();
    check.problems.extend(unsigned::warning(&check.root)?);

    let wanted = args.paths.iter().map(|path| in_repository(&check.root, path)).collect::<Result<Vec<_>, _>>()?;
    let mut problems = check.problems;
    problems
        .retain(|problem| wanted.is_empty() || wanted.iter().any(|path| Path::new(&problem.file).starts_with(path)));
    problems.sort_by(|a, b| (&a.file, a.place, a.code).cmp(&(&b.file, b.place, b.code)));
    report(&problems, check.texts.len(), &wanted, output);
    let counts = |problem: &&Diagnostic| args.strict || problem.severity == Severity::Error;
    match problems.iter().find(counts) {
        None => Ok(()),
        Some(first) => {
            let number = problems.iter().filter(counts).count();
            let noun = if number == 1 { "problem" } else { "problems" };
            Err(Failure::finding(first.code, format!("{number} {noun} found"))
                .hint(format!("bellwether explain {} says more about the first.", first.code)))
        }
    }
}

struct Check {
    root: PathBuf,
    texts: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, AnyManifest>,
    problems: Vec<Diagnostic>,
}

impl Check {
    fn read_all(&mut self) -> Result<(), Failure> {
        let found = files::find(&self.root)?;
        self.problems.extend(found.misplaced);
        found.manifests.into_iter().try_for_each(|path| self.read(path))
    }

    fn read(&mut self, path: String) -> Result<(), Failure> {
        let file = self.root.join(&path);
        let text = std::fs::read(&file).map_err(|e| failure::file("cannot read", &file, &e))?;
        match yaml::parse(&path, &text) {
            Ok(manifest) => {
                self.manifests.insert(path.clone(), manifest);
            }
            Err(problems) => self.problems.extend(problems),
        }
        self.texts.insert(path, text);
        Ok(())
    }

    fn references(&mut self) -> Result<(), Failure> {
        let mut found = Vec::new();
        for (path, manifest) in &self.manifests {
            match manifest {
                AnyManifest::Fleet(fleet) => self.contents(path, &fleet.spec.template, &mut found)?,
                AnyManifest::Device(device) => {
                    if let Some(template) = &device.spec.template {
                        self.contents(path, template, &mut found)?;
                    }
                }
                AnyManifest::Rollout(rollout) => {
                    self.fleet(path, "name", &rollout.metadata.name, &mut found);
                    rollout.spec.after.iter().for_each(|fleet| self.fleet(path, "after", fleet, &mut found));
                }
                AnyManifest::Expedite(expedite) => self.fleet(path, "fleet", &expedite.spec.fleet, &mut found),
                AnyManifest::Approval(approval) => {
                    self.fleet(path, "fleet", &approval.spec.fleet, &mut found);
                    let rollout = self.rollout(&approval.spec.fleet);
                    for wave in &approval.spec.open {
                        if !rollout.waves.iter().any(|known| known.name == *wave) {
                            let known: Vec<_> = rollout.waves.iter().map(|known| known.name.as_str()).collect();
                            let message = format!("the rollout of {} has no wave {wave}", approval.spec.fleet);
                            let problem = Diagnostic::error(codes::DANGLING_REFERENCE, path, message);
                            let problem = self.place_behind(problem, path, "open", wave.as_str());
                            found.push(problem.hint(format!("its waves: {}", known.join(", "))));
                        }
                    }
                }
                AnyManifest::Hold(hold) => {
                    if let Some(HoldScope::Fleets(fleets)) = hold.spec.scope() {
                        fleets.iter().for_each(|fleet| self.fleet(path, "fleets", fleet, &mut found));
                    }
                }
                AnyManifest::Enrollment(_) | AnyManifest::TrustPolicy(_) | AnyManifest::Resume(_) => {}
            }
        }
        self.problems.extend(found);
        Ok(())
    }

    /// A fleet that the field `key` names.
    fn fleet(&self, path: &str, key: &str, fleet: &FleetName, found: &mut Vec<Diagnostic>) {
        if !self.has_fleet(fleet) {
            let known: Vec<_> =
                self.texts.keys().filter_map(|path| path.strip_prefix("fleets/")?.strip_suffix(".yaml")).collect();
            let problem = Diagnostic::error(codes::DANGLING_REFERENCE, path, format!("there is no fleet {fleet}"));
            let problem = self.place_behind(problem, path, key, fleet.as_str());
            found.push(problem.hint(format!("the fleets that are there: {}", known.join(", "))));
        }
    }

    /// Whether the fleet is there; one that does not parse is.
    fn has_fleet(&self, fleet: &FleetName) -> bool {
        match self.manifests.get(&fleet.path()) {
            Some(AnyManifest::Device(device)) => device.spec.template.is_some(),
            _ => self.texts.contains_key(&fleet.path()),
        }
    }

    fn rollout(&self, fleet: &FleetName) -> Rollout {
        if fleet.device().is_some() {
            return Rollout::of_one();
        }
        match self.manifests.get(&format!("rollouts/{fleet}.yaml")) {
            Some(AnyManifest::Rollout(rollout)) => rollout.spec.clone(),
            _ => Rollout::default(),
        }
    }

    /// The files and artifacts that a template names.
    fn contents(&self, path: &str, template: &Template, found: &mut Vec<Diagnostic>) -> Result<(), Failure> {
        let sources = template.files.iter().filter_map(|file| file.source.as_deref());
        for source in sources {
            if !is_plain_file(&self.root, source) {
                found.push(self.dangling(path, source, format!("{source} is not a file in the repository")));
            }
        }
        for artifact in &template.artifacts {
            let Some(source) = artifact.source.path.as_deref() else { continue };
            if !is_plain_file(&self.root, source) {
                found.push(self.dangling(path, source, format!("{source} is not a file in the repository")));
                continue;
            }
            let (sha256, length) = digest(&self.root.join(source))?;
            if (sha256, length) != (artifact.sha256, artifact.length) {
                let message = format!(
                    "{source} has {length} bytes with SHA-256 {sha256}, the manifest says {} bytes with {}",
                    artifact.length, artifact.sha256
                );
                let problem = self.place(Diagnostic::error(codes::ARTIFACT_MISMATCH, path, message), path, source);
                found.push(problem.hint(format!("write sha256: {sha256} and length: {length}")));
            }
        }
        Ok(())
    }

    fn dangling(&self, path: &str, value: &str, message: String) -> Diagnostic {
        self.place(Diagnostic::error(codes::DANGLING_REFERENCE, path, message), path, value)
    }

    /// The problem at the first place where the value stands by itself; manifests name a thing once.
    fn place(&self, problem: Diagnostic, path: &str, value: &str) -> Diagnostic {
        let text = self.texts.get(path).map(|text| String::from_utf8_lossy(text)).unwrap_or_default();
        place_from(problem, &text, 0, value)
    }

    /// The same behind the field `key`, for what may stand elsewhere, too.
    fn place_behind(&self, problem: Diagnostic, path: &str, key: &str, value: &str) -> Diagnostic {
        let text = self.texts.get(path).map(|text| String::from_utf8_lossy(text)).unwrap_or_default();
        let from = standing_alone(&text, 0, key).map_or(0, |at| at + key.len());
        place_from(problem, &text, from, value)
    }

    /// Fleets that wait for each other in a circle.
    fn order(&mut self) {
        let circles = order::circles(&self.manifests).into_iter().filter_map(|circle| {
            let (first, second) = (circle.first()?, circle.get(1)?);
            let (path, names) = (format!("rollouts/{first}.yaml"), circle.iter().map(|fleet| fleet.as_str()));
            let way = names.collect::<Vec<_>>().join(" → ");
            let problem =
                Diagnostic::error(codes::AFTER_CIRCLE, &path, format!("the fleets wait for each other: {way}"));
            let problem = problem.hint(format!("remove {second} from after here, or another step of the circle"));
            Some(self.place_behind(problem, &path, "after", second.as_str()))
        });
        let circles: Vec<_> = circles.collect();
        self.problems.extend(circles);
    }

    /// Entries of Enrollments that would not be taken as they are written.
    fn entries(&mut self) {
        let twice = entries::named_twice(&self.manifests);
        let changed = entries::changed(&self.root, &self.manifests);
        self.tell(twice.into_iter().chain(changed).collect());
    }

    /// Commits that decide nothing, because they are no landings.
    fn commits(&mut self) -> Result<(), Failure> {
        let found = commits::not_landed(&self.root, &self.manifests)?;
        self.tell(found);
        Ok(())
    }

    /// Each problem, at the place of what it is about.
    fn tell(&mut self, found: Vec<entries::About>) {
        let placed = found.into_iter().map(|(problem, about)| {
            let path = problem.file.clone();
            self.place(problem, &path, &about)
        });
        let placed: Vec<_> = placed.collect();
        self.problems.extend(placed);
    }

    /// Two fleets that select the same device, and fleets that select one with a template of its own, as far as git knows
    /// devices.
    fn overlaps(&mut self, devices: &[Known]) {
        let fleets = self.manifests.iter().filter_map(|(path, manifest)| match manifest {
            AnyManifest::Fleet(fleet) => Some((path.clone(), fleet.metadata.name.clone(), fleet.spec.selector.clone())),
            _ => None,
        });
        let fleets: Vec<_> = fleets.collect();
        let mut said = BTreeSet::new();
        let mut found = Vec::new();
        for device in devices {
            let labels = &device.facts.labels;
            let selecting: Vec<_> = fleets.iter().filter(|(_, _, selector)| selector.matches(labels)).collect();
            let own = FleetName::of_device(&device.name);
            if !selecting.is_empty() && self.manifests.contains_key(&own.path()) && self.has_fleet(&own) {
                let names: Vec<_> = selecting.iter().map(|(_, name, _)| name.clone()).collect();
                found.push(self.place(unused_template(&device.name, &names), &own.path(), "template"));
            }
            let [(_, first, _), others @ ..] = selecting.as_slice() else { continue };
            for (path, name, _) in others {
                if said.insert((first.clone(), name.clone())) {
                    let message = format!("the fleets {first} and {name} both select {}", device.shown);
                    let hint =
                        "Give one of them a selector that leaves these devices out, or the devices other labels.";
                    let overlap = Diagnostic::error(codes::OVERLAP, path, message).hint(hint);
                    found.push(self.place(overlap, path, "selector"));
                }
            }
        }
        self.problems.extend(found);
    }
}

impl Check {
    /// Templates that cannot be rendered for a device that is to run them.
    fn renders(&mut self, devices: &[Known]) -> Result<(), Failure> {
        let mut found = Vec::new();
        for (path, manifest) in &self.manifests {
            let (name, fleet) = match manifest {
                AnyManifest::Fleet(fleet) => (fleet.metadata.name.clone(), fleet.spec.clone()),
                AnyManifest::Device(device) => match device.spec.template.clone() {
                    Some(template) => (FleetName::of_device(&device.metadata.name), Fleet::of_one(template)),
                    None => continue,
                },
                _ => continue,
            };
            for problem in rendering::problems(&self.root, &name, &fleet, devices)? {
                let diagnostic = Diagnostic::error(codes::TEMPLATE, path, problem.message);
                found.push(match &problem.near {
                    Some(near) => self.place(diagnostic, path, near),
                    None => diagnostic,
                });
            }
        }
        self.problems.extend(found);
        Ok(())
    }

    /// What the verifier would refuse: in the policy, and where every fleet is lost.
    fn trust(&mut self) {
        if !self.texts.keys().any(|path| Kind::of_path(path) == Some(Kind::Fleet)) {
            self.problems.extend(trust::fleets_lost(&self.root));
        }
        match (self.manifests.get(POLICY_PATH), self.texts.get(POLICY_PATH)) {
            (Some(AnyManifest::TrustPolicy(policy)), Some(text)) => {
                self.problems.extend(trust::problems(&self.root, text, &policy.spec, Timestamp::now()));
            }
            (_, Some(_)) => {}
            (_, None) => {
                let message = "the trust policy is missing: every landing needs it";
                self.problems.push(Diagnostic::error(codes::POLICY_MISSING, POLICY_PATH, message));
            }
        }
    }
}

/// What was named, as a path in the repository; nothing that is not there is silently found to be in order.
fn in_repository(root: &Path, path: &Path) -> Result<PathBuf, Failure> {
    let inner = path.components().all(|part| matches!(part, Component::CurDir | Component::Normal(_)));
    if inner && std::fs::symlink_metadata(root.join(path)).is_ok() {
        return Ok(path.components().filter(|part| *part != Component::CurDir).collect());
    }
    let absolute = root.canonicalize().and_then(|root| Ok((root, path.canonicalize()?))).ok();
    let inside = absolute.and_then(|(root, path)| path.strip_prefix(root).map(Path::to_path_buf).ok());
    inside.ok_or_else(|| {
        let message = format!("{} is not in the repository {}", path.display(), shown(root).display());
        Failure::new(codes::USAGE, message).hint("Name a file or folder in it, such as fleets/edge.yaml.")
    })
}

/// The problem at the first place from `from` on where the value stands by itself.
fn place_from(problem: Diagnostic, text: &str, from: usize, value: &str) -> Diagnostic {
    match standing_alone(text, from, value) {
        Some(at) => problem.at(text, at, at + value.len()),
        None => problem,
    }
}

/// The first place from `from` on where a word is not a part of another.
fn standing_alone(text: &str, from: usize, word: &str) -> Option<usize> {
    let is_edge = |c: Option<char>| c.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '-' | '/' | '.' | '_')));
    let stands_alone =
        |at: &usize| is_edge(text[..*at].chars().next_back()) && is_edge(text[at + word.len()..].chars().next());
    text[from..].match_indices(word).map(|(at, _)| from + at).find(stands_alone)
}

fn is_plain_file(root: &Path, path: &str) -> bool {
    std::fs::symlink_metadata(root.join(path)).is_ok_and(|metadata| metadata.is_file())
}

fn digest(path: &Path) -> Result<(Sha256Digest, u64), Failure> {
    let failed = |e: std::io::Error| failure::file("cannot read", path, &e);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let (mut hasher, mut length, mut buffer) = (sha2::Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        let read = file.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            return Ok((Sha256Digest::from_bytes(hasher.finalize().into()), length));
        }
        hasher.update(&buffer[..read]);
        length += read as u64;
    }
}

fn report(problems: &[Diagnostic], files: usize, wanted: &[PathBuf], output: Output) {
    if output == Output::Json {
        return output::json(&serde_json::json!({ "files": files, "problems": problems }));
    }
    let paint = Paint::stdout();
    for problem in problems {
        let text = crate::get::printable(&problem.to_string());
        let (word, painted) = match problem.severity {
            Severity::Error => ("error[", paint.red("error[")),
            Severity::Warning => ("warning[", paint.yellow("warning[")),
        };
        output::line(format!("{}\n", text.replacen(word, &painted, 1)));
    }
    if problems.is_empty() {
        let wanted: Vec<_> = wanted.iter().map(|path| path.display().to_string()).collect();
        // The repository itself has an empty path in it.
        let all = wanted.iter().any(String::is_empty) || wanted.is_empty();
        let scope = if all { String::new() } else { format!(" in {}", wanted.join(", ")) };
        output::line(format!("{files} manifests, no problems{scope}."));
    }
}
