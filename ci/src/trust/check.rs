//! `bellwether trust check`: the whole history, verified as a reconciler does it, before it is pushed.

use std::io::{IsTerminal as _, Write as _};

use bellwether_core::verify::{Refusal, Stop, VerifiedHistory};
use bellwether_schemas::{CommitId, codes};
use clap::Args;
use jiff::Timestamp;

use crate::failure::Failure;
use crate::get::printable;
use crate::history::{HistoryOptions, Verifier, first_parents, refused, summary_of};
use crate::output::{self, Output};
use crate::repo::WorkingCopy;

const EXAMPLES: &str = "Examples:
  bellwether trust check                          (before git push: would what I have count?)
  bellwether trust check origin/main
  bellwether trust check --introduction 09b5f8d --branch main

A reconciler begins at the introduction in its configuration. Without --introduction this begins at the oldest commit
that has a policy; it says which, so that you can compare.";

/// Landings between two looks at the progress.
const STEP: usize = 2_000;

/// Options of `trust check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    /// The newest commit
    #[arg(default_value = "HEAD")]
    rev: String,
    #[command(flatten)]
    history: HistoryOptions,
}

pub(crate) fn run(args: &CheckArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.history.repo)?;
    let tip = copy.resolve("REV", &args.rev)?;
    let verifier = Verifier::of(&copy, &tip, &args.history)?;
    let (history, refusal) = verify(&copy, &verifier, &tip)?;
    match output {
        Output::Json => output::json(&as_json(&verifier, history.as_ref(), refusal.as_ref())),
        Output::Text => output::line(as_text(&verifier, history.as_ref(), &copy)?),
    }
    match refusal {
        None => Ok(()),
        Some(refusal) => Err(told(refusal, history.as_ref(), &copy)),
    }
}

/// The history as far as it counts, and what does not.
fn verify(
    copy: &WorkingCopy,
    verifier: &Verifier,
    tip: &CommitId,
) -> Result<(Option<VerifiedHistory>, Option<Refusal>), Failure> {
    let Verifier { objects, introduction, branch } = verifier;
    let mut history = match VerifiedHistory::introduce(objects, introduction, branch) {
        Ok((history, _)) => history,
        Err(refusal) => return Ok((None, Some(refusal))),
    };
    let mut line = first_parents(copy, tip, |id| *id == introduction.commit)?;
    line.reverse();
    let mut progress = Progress::of(line.len());
    let mut tips: Vec<CommitId> = line.chunks(STEP).filter_map(|step| step.last().copied()).collect();
    if tips.is_empty() {
        tips.push(*tip);
    }
    let last = tips.len() - 1;
    for (at, step) in tips.iter().enumerate() {
        // Only the newest policy is compared with the clock.
        let now = if at == last { Timestamp::now() } else { Timestamp::MIN };
        match history.advance(objects, step, now).stop {
            None => progress.show((at + 1) * STEP),
            Some(Stop::Refused(refusal)) => return Ok((Some(history), Some(refusal))),
            Some(Stop::Rewound { .. }) => {
                return Err(Failure::finding(codes::GIT_FAILED, "the history is not in one line"));
            }
        }
    }
    Ok((Some(history), None))
}

fn as_json(verifier: &Verifier, history: Option<&VerifiedHistory>, refusal: Option<&Refusal>) -> serde_json::Value {
    let introduction = &verifier.introduction;
    serde_json::json!({
        "introduction": { "commit": introduction.commit, "policySha256": introduction.policy_sha256 },
        "branch": verifier.branch,
        "landings": history.map_or(0, |history| history.landings().len()),
        "head": history.map(|history| serde_json::json!({
            "commit": history.head(), "landing": history.head_number(), "policyVersion": history.policy().version(),
        })),
        "refusal": refusal.map(|refusal| serde_json::json!({
            "code": refusal.code.as_str(), "commit": refusal.commit, "path": refusal.path, "rule": refusal.rule,
            "why": refusal.why, "hint": refusal.hint,
        })),
    })
}

fn as_text(verifier: &Verifier, history: Option<&VerifiedHistory>, copy: &WorkingCopy) -> Result<String, Failure> {
    let introduction = &verifier.introduction;
    let mut text = format!(
        "introduction  {} ({})\npolicySha256  {}\nbranch        {}",
        introduction.commit,
        printable(&summary_of(copy, &introduction.commit)?),
        introduction.policy_sha256,
        printable(&verifier.branch),
    );
    if let Some(history) = history {
        let count = history.landings().len();
        let landings = if count == 1 { "1 landing".to_owned() } else { format!("{count} landings") };
        let number = history.head_number();
        text.push_str(&format!(
            "\naccepted      v{number} ({}), policy version {}: {landings} from the introduction on",
            history.head().short(),
            history.policy().version(),
        ));
    }
    Ok(text)
}

/// A refusal, with the number and the first line of the landing.
fn told(refusal: Refusal, history: Option<&VerifiedHistory>, copy: &WorkingCopy) -> Failure {
    let next = history.filter(|history| history.head() != &refusal.commit).map(|history| history.head_number() + 1);
    let number = next.map(|number| format!("v{number} ")).unwrap_or_default();
    let summary = summary_of(copy, &refusal.commit).unwrap_or_default();
    output::note(format!("\nRefused: {number}({}) {}", refusal.commit.short(), printable(&summary)));
    refused(refusal)
}

/// One line that counts up, on a terminal only.
struct Progress {
    total: usize,
    shown: bool,
}

impl Progress {
    fn of(total: usize) -> Self {
        Self { total, shown: total > STEP && std::io::stderr().is_terminal() }
    }

    fn show(&mut self, done: usize) {
        if self.shown {
            let mut stderr = std::io::stderr().lock();
            let _closed = write!(stderr, "\r{} of {} landings …", done.min(self.total), self.total);
            let _closed = if done >= self.total { write!(stderr, "\r\x1b[K") } else { Ok(()) };
        }
    }
}
