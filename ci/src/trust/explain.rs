//! `bellwether trust explain`: why a landing counts or not, path by path.

use std::collections::HashSet;

use bellwether_core::verify::{Explanation, Fault, MergeKind, PathExplanation, Policy};
use bellwether_schemas::{CommitId, PersonName, codes};
use clap::Args;

use super::change::joined;
use crate::failure::Failure;
use crate::get::printable;
use crate::history::{HistoryOptions, Verifier, could_count, first_parents, parents, refused, signed_by, summary_of};
use crate::output::{self, Output, Paint};
use crate::repo::{WorkingCopy, git};

const EXAMPLES: &str = "Examples:
  bellwether trust explain HEAD                 (of the newest commit, pushed or not)
  bellwether trust explain 9f3c2ab              (of a commit that a merge landed, it explains that merge)
  bellwether trust explain HEAD --output json   (for programs)

A commit that the watched branch does not have is judged as if it were pushed to it.";

/// Options of `trust explain`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExplainArgs {
    /// The commit
    commit: String,
    #[command(flatten)]
    history: HistoryOptions,
}

pub(crate) fn run(args: &ExplainArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.history.repo)?;
    let commit = copy.resolve("COMMIT", &args.commit)?;
    let verifier = Verifier::of(&copy, &commit, &args.history)?;
    let place = Place::of(&copy, &verifier, commit)?;
    let landing = *place.landing();
    if landing == verifier.introduction.commit {
        return introduction(&copy, &verifier, &place, output);
    }
    let parent = parents(&copy, &landing)?.first().copied().ok_or_else(|| before(&landing, &verifier))?;
    let mut history = verifier.up_to(&parent).inspect_err(|_| output::aside(output, on_top(&place)))?;
    let mut explained = history.explain(&verifier.objects, &landing).map_err(refused)?;
    explained.refusal = explained.refusal.or_else(|| place.refusal(&verifier.branch));
    match output {
        Output::Json => output::json(&as_json(&explained, &place)),
        Output::Text => {
            output::line(as_text(&explained, &place, history.policy(), &summary_of(&copy, &landing)?));
        }
    }
    match &explained.refusal {
        None => Ok(()),
        Some(fault) => Err(Failure::finding(fault.code, printable(&fault.why))),
    }
}

/// What a commit is to the watched branch.
enum Place {
    /// It is on its first-parent line.
    Landing(CommitId),
    /// A merge brought it.
    Landed { commit: CommitId, by: CommitId },
    /// The branch does not have it.
    Elsewhere { commit: CommitId, reaches: Reaches },
}

/// How a commit that the watched branch does not have leads to the tip of that branch, or to where it counts.
enum Reaches {
    /// Along first parents: it can be pushed.
    Tip,
    /// Only through another parent.
    Otherwise(CommitId),
    /// Not at all: the branch went on without it.
    Nothing,
}

impl Place {
    fn of(copy: &WorkingCopy, verifier: &Verifier, commit: CommitId) -> Result<Self, Failure> {
        let Some(tip) = watched(copy, &verifier.branch)? else { return Ok(Self::Landing(commit)) };
        let mut line = first_parents(copy, &tip, |id| *id == verifier.introduction.commit)?;
        line.push(verifier.introduction.commit);
        if line.contains(&commit) {
            return Ok(Self::Landing(commit));
        }
        line.reverse();
        let mut seen: HashSet<CommitId> = line.iter().copied().collect();
        // Commits before the introduction are nobody's work to explain.
        for landing in &line[1..] {
            let mut open: Vec<_> = parents(copy, landing)?.into_iter().skip(1).filter(|id| seen.insert(*id)).collect();
            while let Some(id) = open.pop() {
                if id == commit {
                    return Ok(Self::Landed { commit, by: *landing });
                }
                open.extend(parents(copy, &id)?.into_iter().filter(|id| seen.insert(*id)));
            }
        }
        let own = first_parents(copy, &commit, |id| *id == verifier.introduction.commit)?;
        let begins = own.last().map_or(Ok(Vec::new()), |last| parents(copy, last))?;
        if begins.is_empty() {
            return Err(before(&commit, verifier));
        }
        let is_on_line = |id: &CommitId| own.contains(id) || *id == verifier.introduction.commit;
        if is_on_line(&tip) {
            return Ok(Self::Elsewhere { commit, reaches: Reaches::Tip });
        }
        // What does not count of the branch may well become a side line.
        let accepted = verifier.accepted(&tip)?;
        let reaches = if is_on_line(&accepted) {
            Reaches::Tip
        } else if copy.is_ancestor(&accepted, &commit)? {
            Reaches::Otherwise(accepted)
        } else {
            Reaches::Nothing
        };
        Ok(Self::Elsewhere { commit, reaches })
    }

    /// Why a landing that would count is refused all the same.
    fn refusal(&self, branch: &str) -> Option<Fault> {
        let Self::Elsewhere { reaches: Reaches::Otherwise(tip), .. } = self else { return None };
        let why = format!("it reaches {}, to which {branch} is accepted, only through another parent", tip.short());
        Some(Fault { code: codes::HEAD_OFF_LINE, path: None, rule: None, why })
    }

    /// What is judged.
    const fn landing(&self) -> &CommitId {
        match self {
            Self::Landing(id) | Self::Elsewhere { commit: id, .. } | Self::Landed { by: id, .. } => id,
        }
    }
}

/// The tip of the watched branch as far as this clone knows it.
fn watched(copy: &WorkingCopy, branch: &str) -> Result<Option<CommitId>, Failure> {
    for name in [format!("refs/heads/{branch}"), format!("refs/remotes/origin/{branch}")] {
        let found = copy.git().try_find_reference(&name).map_err(|e| git("a branch cannot be read", &e))?;
        if let Some(id) = found.and_then(|mut found| found.peel_to_id().ok()) {
            return Ok(CommitId::from_bytes(id.as_bytes()));
        }
    }
    Ok(None)
}

/// What is said where something does not count already below what is explained.
fn on_top(place: &Place) -> String {
    let landing = place.landing().short();
    match place {
        Place::Elsewhere { .. } => format!(
            "The branch does not have {landing}. Pushed as it is, each commit of it would be a landing, and one below it would not \
             count. What a merge of it is worth says bellwether land, or explain of the merge:"
        ),
        _ => format!("{landing} is on top of a landing that does not count:"),
    }
}

fn before(commit: &CommitId, verifier: &Verifier) -> Failure {
    let introduction = verifier.introduction.commit.short();
    let message = format!("{} does not come after the introduction {introduction}", commit.short());
    Failure::finding(codes::NO_LANDING, message).hint(
        "What lies before the introduction is counted and not judged. Name a later commit: git log --first-parent",
    )
}

/// The introduction is pinned, so it is its signer that matters.
fn introduction(copy: &WorkingCopy, verifier: &Verifier, place: &Place, output: Output) -> Result<(), Failure> {
    let commit = place.landing();
    let history = verifier.up_to(commit)?;
    let signer = signed_by(copy, commit, history.policy())?;
    let signer = signer.as_ref().map_or_else(|fault| fault.why.clone(), ToString::to_string);
    match output {
        Output::Json => output::json(&serde_json::json!({
            "commit": commit, "landing": history.head_number(), "introduction": true, "signer": signer,
        })),
        Output::Text => output::line(format!(
            "v{} ({}) is the introduction, signed by {signer}. A reconciler pins it; no policy comes before it.",
            history.head_number(),
            commit.short(),
        )),
    }
    Ok(())
}

fn as_json(explained: &Explanation, place: &Place) -> serde_json::Value {
    let fault = |fault: &Fault| serde_json::json!({ "code": fault.code.as_str(), "path": fault.path, "rule": fault.rule, "why": fault.why });
    let paths = explained.paths.iter().map(|path| {
        let rules = path.rules.iter().map(|rule| {
            serde_json::json!({
                "rule": rule.rule, "role": rule.role, "needed": rule.needed, "counted": rule.counted, "holds": rule.holds(),
            })
        });
        serde_json::json!({
            "path": path.path, "landed": path.landed, "wrote": path.wrote, "endorsed": path.endorsed,
            "rules": rules.collect::<Vec<_>>(), "refusal": path.refusal.as_ref().map(fault),
        })
    });
    let merge = match &explained.merge {
        MergeKind::None => serde_json::Value::Null,
        MergeKind::Clean { commits } => serde_json::json!({ "clean": true, "commits": commits }),
        MergeKind::Unclean { why } => serde_json::json!({ "clean": false, "why": fault(why) }),
    };
    let (landed, pushed) = match place {
        Place::Landing(_) => (None, true),
        Place::Landed { commit, .. } => (Some(commit), true),
        Place::Elsewhere { .. } => (None, false),
    };
    serde_json::json!({
        "commit": explained.commit, "landing": explained.landing, "policyVersion": explained.policy_version,
        "landedCommit": landed, "onBranch": pushed, "merge": merge, "signer": explained.signer.as_ref().ok(),
        "signerFault": explained.signer.as_ref().err().map(fault),
        "paths": paths.collect::<Vec<_>>(), "refusal": explained.refusal.as_ref().map(fault),
    })
}

fn as_text(explained: &Explanation, place: &Place, policy: &Policy, summary: &str) -> String {
    let paint = Paint::stdout();
    let name = format!("v{} ({})", explained.landing, explained.commit.short());
    let intro = match place {
        Place::Landing(_) => String::new(),
        Place::Landed { commit, .. } => format!("{} is no landing; {name} landed it.\n\n", commit.short()),
        Place::Elsewhere { reaches: Reaches::Nothing, .. } => {
            "The branch does not have it, and has gone on without it: it can \
            only be merged. This is how it counts on a line of its own.\n\n"
                .to_owned()
        }
        Place::Elsewhere { .. } => "The branch does not have it; this is what would come of pushing it.\n\n".to_owned(),
    };
    let merge = match &explained.merge {
        MergeKind::None => "no".to_owned(),
        MergeKind::Clean { commits: 1 } => "clean, of a branch with 1 commit".to_owned(),
        MergeKind::Clean { commits } => format!("clean, of a branch with {commits} commits"),
        MergeKind::Unclean { why } => format!("not clean, so it is new content by its signer: {}", why.why),
    };
    let signer = match &explained.signer {
        Ok(person) => person.to_string(),
        Err(fault) => format!("nobody who counts: {} ({})", fault.why, fault.code),
    };
    let mut text = format!(
        "{intro}{}\n\n  judged by  policy version {}\n  merge      {}\n  signed by  {}\n",
        paint.bold(&format!("{name} {}", printable(summary))),
        explained.policy_version,
        printable(&merge),
        printable(&signer),
    );
    explained.paths.iter().for_each(|path| text.push_str(&path_text(path, policy, paint)));
    let verdict = match &explained.refusal {
        None => paint.green("It counts."),
        Some(_) => paint.red("It is refused."),
    };
    format!("{text}\n{verdict}")
}

fn path_text(path: &PathExplanation, policy: &Policy, paint: Paint) -> String {
    let people =
        |verb: &str, people: &[PersonName]| (!people.is_empty()).then(|| format!("{verb} by {}", joined(people)));
    let stand =
        [people("written", &path.wrote), people("endorsed", &path.endorsed), people("landed", path.landed.as_slice())];
    let stand: Vec<_> = stand.into_iter().flatten().collect();
    let stand = if stand.is_empty() { "nobody who counts stands for it".to_owned() } else { stand.join(", ") };
    let mut text = format!("\n{}\n  {stand}\n", printable(&path.path));
    for rule in &path.rules {
        let word = if rule.holds() { paint.green("holds") } else { paint.red("fails") };
        let counted = if rule.counted.is_empty() { "nobody".to_owned() } else { joined(&rule.counted) };
        let needed = match rule.holds() {
            true => String::new(),
            false => format!(", {} needed, could be {}", rule.needed, joined(could_count(policy, rule))),
        };
        text.push_str(&format!("  {word}  {}: {counted}{needed}\n", printable(&rule.rule)));
    }
    if path.rules.is_empty() {
        text.push_str(&format!("  {}  no rule covers it, so nobody can change it\n", paint.red("fails")));
    }
    text
}
