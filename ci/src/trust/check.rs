//! `bellwether trust check`: the whole history, verified as a reconciler does it, before it is pushed.

use std::io::{IsTerminal as _, Write as _};

use bellwether_core::verify::{Refusal, Reset, Stop, VerifiedHistory};
use bellwether_schemas::{CommitId, codes};
use clap::Args;
use jiff::Timestamp;

use crate::failure::Failure;
use crate::get::printable;
use crate::history::{HistoryOptions, Verifier, first_parents, parents, refused, summary_of};
use crate::output::{self, Output};
use crate::repo::WorkingCopy;

const EXAMPLES: &str = "Examples:
  bellwether trust check                          (before git push: would what I have count?)
  bellwether trust check --since origin/main      (and would it be taken from where main is?)
  bellwether trust check origin/main              (does what is on the server count?)
  bellwether trust check --introduction 09b5f8d --branch main   (from where the reconciler begins)

A reconciler begins at the introduction in its configuration. Without --introduction this begins at the oldest commit
that has a policy; it says which, so that you can compare. A reconciler goes on only from the head that it has accepted:
--since names that, as page and `bellwether get repository` show it, or the branch as it was before.";

/// Landings between two looks at the progress.
const STEP: usize = 2_000;

/// Options of `trust check`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    /// The newest commit
    #[arg(default_value = "HEAD")]
    rev: String,
    /// What was accepted before: as far as it counts, the newest commit must go on from it
    #[arg(long, value_name = "COMMIT")]
    since: Option<String>,
    #[command(flatten)]
    history: HistoryOptions,
}

pub(crate) fn run(args: &CheckArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.history.repo)?;
    let tip = copy.resolve("REV", &args.rev)?;
    let since = args.since.as_ref().map(|since| copy.resolve("--since", since)).transpose()?;
    let verifier = Verifier::of(&copy, &tip, &args.history)?;
    let checked = Check { copy: &copy, verifier: &verifier, tip, since, output }.run(Timestamp::now())?;
    match output {
        Output::Json => output::json(&as_json(&verifier, &checked)),
        Output::Text => output::line(as_text(&verifier, &checked, &copy)?),
    }
    match checked.refusal {
        None => Ok(()),
        Some(refusal) => Err(told(refusal, checked.history.as_ref(), &copy, output)),
    }
}

/// What is asked.
struct Check<'a> {
    copy: &'a WorkingCopy,
    verifier: &'a Verifier,
    tip: CommitId,
    since: Option<CommitId>,
    output: Output,
}

/// What was found.
#[derive(Default)]
struct Checked {
    /// The history as far as it counts; none if the introduction does not.
    history: Option<VerifiedHistory>,
    /// Where it goes on: the accepted head, and its number.
    since: Option<(CommitId, u64)>,
    /// What a signed reset gives up.
    given_up: Option<CommitId>,
    refusal: Option<Refusal>,
}

impl Check<'_> {
    fn run(&self, now: Timestamp) -> Result<Checked, Failure> {
        let Verifier { objects, introduction, branch } = self.verifier;
        let mut history = match VerifiedHistory::introduce(objects, introduction, branch) {
            Ok((history, _)) => history,
            Err(refusal) => return Ok(Checked { refusal: Some(refusal), ..Checked::default() }),
        };
        let mut since = None;
        if let Some(before) = &self.since {
            // No clock is asked: what was accepted stays so.
            match self.climb(&mut history, before, Timestamp::MIN)? {
                Some(Stop::Refused(refusal)) if refusal.code == codes::INTRODUCTION_OFF_BRANCH => {
                    return Err(refused(refusal));
                }
                Some(Stop::Refused(refusal)) => {
                    let (named, code) = (before.short(), refusal.code);
                    let note = format!(
                        "Note: of {named}, which --since names, not all counts ({code}). What does is accepted."
                    );
                    output::aside(self.output, note);
                }
                Some(Stop::Rewound { .. }) | None => {}
            }
            since = Some((*history.head(), history.head_number()));
        }
        let checked = |history, given_up, refusal| Checked { history: Some(history), since, given_up, refusal };
        Ok(match self.climb(&mut history, &self.tip, now)? {
            None => checked(history, None, None),
            Some(Stop::Refused(refusal)) => checked(history, None, Some(refusal)),
            Some(Stop::Rewound { branch, reset: Reset::Signed, .. }) => checked(*branch, Some(*history.head()), None),
            Some(Stop::Rewound { branch, reset, .. }) => {
                let refusal = self.rewound(&history, &branch, &reset);
                checked(history, None, Some(refusal))
            }
        })
    }

    /// Moves the head of `history` to `tip`, in steps that can be shown.
    fn climb(&self, history: &mut VerifiedHistory, tip: &CommitId, now: Timestamp) -> Result<Option<Stop>, Failure> {
        let head = *history.head();
        let mut line = first_parents(self.copy, tip, |id| *id == head)?;
        let leads_here = match line.last() {
            Some(oldest) => parents(self.copy, oldest)?.first() == Some(&head),
            None => true,
        };
        line.reverse();
        let mut steps: Vec<CommitId> = line.chunks(STEP).filter_map(|step| step.last().copied()).collect();
        if steps.is_empty() || !leads_here {
            steps = vec![*tip];
        }
        let mut progress = Progress::of(line.len());
        let last = steps.len() - 1;
        for (at, step) in steps.iter().enumerate() {
            // Only the newest policy is compared with the clock.
            let now = if at == last { now } else { Timestamp::MIN };
            let stop = history.advance(&self.verifier.objects, step, now).stop;
            if stop.is_some() {
                return Ok(stop);
            }
            progress.show((at + 1) * STEP);
        }
        Ok(None)
    }

    /// The branch verifies, and what was accepted is not in it.
    fn rewound(&self, accepted: &VerifiedHistory, branch: &VerifiedHistory, reset: &Reset) -> Refusal {
        let shared = branch.landings().iter().rev().find(|landing| accepted.number_of(landing.id()).is_some());
        let fork = shared.map_or_else(String::new, |landing| {
            format!(": the branch leaves its line after v{} ({})", landing.number(), landing.id().short())
        });
        let asked = match reset {
            Reset::Refused(refusal) => format!("; it asks to give that up, and {}", refusal.why),
            Reset::None | Reset::Signed => String::new(),
        };
        let (head, number) = (accepted.head().short(), accepted.head_number());
        let why = format!("the accepted head v{number} ({head}) is missing from it{fork}{asked}");
        let hint = "Go on from the accepted head: bellwether land brings a branch to it. If the server lost it, push the \
                    missing commits back; to give them up, land a policy with abandons: ACCEPTED-HEAD.";
        Refusal { code: codes::REWOUND, commit: self.tip, path: None, rule: None, why, hint }
    }
}

fn as_json(verifier: &Verifier, checked: &Checked) -> serde_json::Value {
    let Checked { history, since, given_up, refusal } = checked;
    let introduction = &verifier.introduction;
    serde_json::json!({
        "introduction": { "commit": introduction.commit, "policySha256": introduction.policy_sha256 },
        "branch": verifier.branch,
        "since": since.map(|(commit, landing)| serde_json::json!({ "commit": commit, "landing": landing })),
        "abandons": given_up,
        "landings": history.as_ref().map_or(0, |history| history.landings().len()),
        "head": history.as_ref().map(|history| serde_json::json!({
            "commit": history.head(), "landing": history.head_number(), "policyVersion": history.policy().version(),
        })),
        "refusal": refusal.as_ref().map(|refusal| serde_json::json!({
            "code": refusal.code.as_str(), "commit": refusal.commit, "path": refusal.path, "rule": refusal.rule,
            "why": refusal.why, "hint": refusal.hint,
        })),
    })
}

fn as_text(verifier: &Verifier, checked: &Checked, copy: &WorkingCopy) -> Result<String, Failure> {
    let introduction = &verifier.introduction;
    let mut text = format!(
        "introduction  {} ({})\npolicySha256  {}\nbranch        {}",
        introduction.commit,
        printable(&summary_of(copy, &introduction.commit)?),
        introduction.policy_sha256,
        printable(&verifier.branch),
    );
    if let Some((commit, number)) = &checked.since {
        text.push_str(&format!("\nsince         v{number} ({})", commit.short()));
    }
    if let Some(abandoned) = &checked.given_up {
        text.push_str(&format!("\nabandons      {}, by a signed reset", abandoned.short()));
    }
    if let Some(history) = &checked.history {
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
fn told(refusal: Refusal, history: Option<&VerifiedHistory>, copy: &WorkingCopy, output: Output) -> Failure {
    let follows = |head| parents(copy, &refusal.commit).is_ok_and(|parents| parents.first() == Some(head));
    let next = history.filter(|history| follows(history.head())).map(|history| history.head_number() + 1);
    let number = next.map(|number| format!("v{number} ")).unwrap_or_default();
    let summary = summary_of(copy, &refusal.commit).unwrap_or_default();
    output::aside(output, format!("\nRefused: {number}({}) {}", refusal.commit.short(), printable(&summary)));
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
