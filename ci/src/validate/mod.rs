//! `bellwether validate`: every manifest, every problem, with its place; whether the manifests fit together, and whether
//! what is checked out would count.

mod base;
mod commits;
mod contents;
mod entries;
mod finding;
mod index;
mod listing;
mod manifests;
mod order;
mod others;
mod placeholders;
mod references;
mod report;
mod safety;
mod secrets;
mod selection;
mod templated;
mod templates;
mod trust;
mod unsigned;
mod verdict;

use std::path::{Component, Path, PathBuf};

use bellwether_core::compare::Risk;
use bellwether_core::declare::Declared;
use bellwether_schemas::diagnostic::{Diagnostic, Severity};
use bellwether_schemas::{CommitId, codes};
use clap::Args;
use jiff::Timestamp;

use crate::devices;
use crate::failure::{self, Failure};
use crate::meant;
use crate::output::{self, Form, Paint};
use crate::repo::{WorkingCopy, shown};

pub(crate) use base::Base;
use manifests::Manifests;
use report::{FORMS, Report};
use selection::Selection;

const EXAMPLES: &str = "Examples:
  bellwether validate                                  (the repository here)
  bellwether validate fleets/edge.yaml                 (only what concerns this file)
  bellwether validate --base origin/main               (and: would it count, once it is merged?)
  bellwether validate --fail-level warning             (warnings are findings, too)
  bellwether validate --output github --also sarif=found.sarif --also markdown=found.md      (in CI, in one run)

With --base, a branch that would count when it is pushed and not when a button merges it is a warning. A merge that is there
already, as hosting services and pipelines make one for a test, is judged as what it is: that it would not count is an error.

Nothing is asked of the network. More about a code, with an example:  bellwether explain CODE
Exit codes: 0 nothing found, 1 problems of the --fail-level or worse, 2 it could not be looked for.";

/// Options of `validate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ValidateArgs {
    /// Show only problems of these files and folders
    paths: Vec<PathBuf>,
    /// The repository
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
    /// Also ask whether HEAD would count, merged into this branch or commit
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// What makes the exit code 1
    #[arg(long, value_enum, default_value_t = FailLevel::Error, value_name = "LEVEL")]
    fail_level: FailLevel,
    /// The form of the findings
    #[arg(long, value_parser = Form::among(FORMS), default_value = "text", display_order = 100)]
    output: Form,
    /// Also write the findings to a file, in another form; may be repeated
    #[arg(long, value_name = "FORM=FILE", value_parser = form_and_file)]
    also: Vec<(Form, PathBuf)>,
}

/// The problems that count as findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FailLevel {
    /// Errors
    Error,
    /// Errors and warnings
    Warning,
    /// None: the exit code is 0 whatever is found
    Never,
}

impl FailLevel {
    fn counts(self, problem: &Diagnostic) -> bool {
        match self {
            Self::Error => problem.severity == Severity::Error,
            Self::Warning => true,
            Self::Never => false,
        }
    }
}

pub(crate) fn run(args: &ValidateArgs) -> Result<(), Failure> {
    let root = gix::discover(&args.repo).ok().and_then(|repo| repo.workdir().map(Path::to_path_buf));
    let root = root.unwrap_or_else(|| args.repo.clone());
    if !root.is_dir() {
        return Err(Failure::new(codes::NOT_A_REPOSITORY, format!("{} is not a folder", shown(&root).display())));
    }
    let scope = args.paths.iter().map(|path| in_repository(&root, path)).collect::<Result<Vec<_>, _>>()?;
    let (manifests, mut problems) = Manifests::read(&root)?;
    if manifests.texts.is_empty() && problems.is_empty() {
        return Err(Failure::new(codes::NOT_A_REPOSITORY, format!("{} has no manifests", shown(&root).display())));
    }
    let now = Timestamp::now();
    let against = args.base.as_deref().map(|base| Against::of(&root, base)).transpose()?;
    problems.extend(look(&manifests, against.as_ref(), now)?);
    problems.retain(|problem| scope.is_empty() || scope.iter().any(|path| Path::new(&problem.file).starts_with(path)));
    // Whatever was asked about: a commit counts as a whole, or not at all.
    for problem in against.map_or(Ok(Vec::new()), |against| against.verdict(now))? {
        if !problems.iter().any(|told| is_same(told, &problem)) {
            problems.push(problem);
        }
    }
    problems.sort_by(|a, b| (&a.file, a.place, a.code).cmp(&(&b.file, b.place, b.code)));

    let report = Report { problems: &problems, texts: &manifests.texts, scope: &scope };
    for (form, file) in &args.also {
        std::fs::write(file, report.written(*form, Paint::none()))
            .map_err(|e| failure::file("cannot write", file, &e))?;
    }
    output::bytes(report.written(args.output, Paint::stdout()).as_bytes());
    finished(&problems, args.fail_level)
}

/// Whether the verifier says of a commit what was found in the file, perhaps with its place there.
fn is_same(told: &Diagnostic, verdict: &Diagnostic) -> bool {
    let of_policy = verdict.code == codes::POLICY_INVALID && told.severity == Severity::Error;
    told.file == verdict.file && (told.code == verdict.code || (of_policy && verdict.message.contains(&told.message)))
}

/// Everything that is looked for once the manifests are read.
fn look(manifests: &Manifests, against: Option<&Against>, now: Timestamp) -> Result<Vec<Diagnostic>, Failure> {
    let declared = against.map_or(Ok(None), Against::declared)?;
    let devices = devices::known(manifests.parsed.values());
    let devices = match &declared {
        Some(declared) => base::remember(declared, manifests, devices),
        None => devices,
    };
    let selection = Selection::of(manifests, &devices);
    let findings = [
        references::problems(manifests),
        references::devices(manifests, &devices, declared.as_ref()),
        contents::problems(manifests)?,
        order::problems(manifests),
        entries::problems(manifests, against.map(|against| &against.base), declared.as_ref(), now),
        commits::problems(manifests)?,
        selection.problems(manifests),
        templates::problems(manifests, &selection)?,
        safety::problems(manifests, &selection),
        declared.as_ref().map(|declared| base::rollouts_lost(declared, manifests)).unwrap_or_default(),
        trust::problems(manifests, against.map(|against| &against.base), now),
    ];
    let mut problems = manifests.place(findings.into_iter().flatten());
    problems.extend(others::problems(manifests));
    if against.is_none() {
        problems.extend(unsigned::of_head(&manifests.root)?);
    }
    Ok(problems)
}

/// What is checked out, and what it is to be merged into.
struct Against {
    copy: WorkingCopy,
    head: CommitId,
    base: CommitId,
    /// The base as it is judged; none where it has the head already.
    onto: Option<Base>,
}

impl Against {
    fn of(root: &Path, base: &str) -> Result<Self, Failure> {
        let copy = WorkingCopy::discover(root)?;
        copy.require_whole_history()?;
        let base = copy.resolve("--base", base)?;
        let head = copy.resolve("HEAD", "HEAD")?;
        let onto =
            if copy.is_ancestor(&head, &base)? { Base::of(&copy, base).ok() } else { Some(Base::of(&copy, base)?) };
        Ok(Self { copy, head, base, onto })
    }

    fn declared(&self) -> Result<Option<Declared>, Failure> {
        self.onto.as_ref().map_or(Ok(None), Base::declared)
    }

    /// Whether what is checked out would count.
    fn verdict(self, now: Timestamp) -> Result<Vec<Diagnostic>, Failure> {
        let Self { copy, head, base, onto } = self;
        let mut problems = match onto {
            Some(onto) if !copy.is_ancestor(&head, &base)? => verdict::problems(&copy, onto, &head, now)?,
            _ => Vec::new(),
        };
        problems.extend(unsigned::warning(&copy, &verdict::branch_tip(&copy, &base, &head)?)?);
        Ok(problems)
    }
}

/// Why a change would not count on `base`, as what whoever merges it should know.
pub(crate) fn uncounted(copy: &WorkingCopy, base: Base, head: &CommitId, now: Timestamp) -> Result<Vec<Risk>, Failure> {
    let branch_tip = verdict::branch_tip(copy, &base.commit, head)?;
    let mut problems = match copy.is_ancestor(head, &base.commit)? {
        true => Vec::new(),
        false => verdict::problems(copy, base, head, now)?,
    };
    problems.extend(unsigned::warning(copy, &branch_tip)?);
    let told = |problem: Diagnostic| {
        let hint = problem.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        Risk::of_all(codes::CHANGE_UNCOUNTED, format!("{} [{}]{hint}", problem.message, problem.code))
    };
    Ok(problems.into_iter().map(told).collect())
}

fn finished(problems: &[Diagnostic], level: FailLevel) -> Result<(), Failure> {
    let first = problems.iter().find(|problem| level.counts(problem));
    first.map_or(Ok(()), |first| Err(Failure::told(first.code)))
}

fn form_and_file(text: &str) -> Result<(Form, PathBuf), String> {
    Form::with_file(text, FORMS)
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
        let there = listing::paths(root);
        let named = path.to_string_lossy();
        let look = "Name a file or folder in it, such as fleets/edge.yaml.";
        Failure::new(codes::USAGE, message).hint(meant::hint(&named, there.iter().map(String::as_str), look))
    })
}
