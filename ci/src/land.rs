//! `bellwether land`: merges a branch so that it counts: each path from the only side that changed it, signed by you.

use std::path::PathBuf;

use bellwether_core::verify::{Explanation, PathChange, Policy, Stop};
use bellwether_schemas::{CommitId, PersonName, codes};
use clap::Args;
use jiff::Timestamp;

use crate::failure::Failure;
use crate::get::printable;
use crate::history::{HistoryOptions, Verifier, could_count, refused};
use crate::output::{self, Output};
use crate::repo::WorkingCopy;
use crate::sign::{SignOptions, Signer};

const EXAMPLES: &str = "Examples:
  git switch main && git pull --ff-only && bellwether land origin/their-branch && git push
                                                               (what somebody else wrote: you count beside them)
  bellwether land my-branch                                    (your own, where one is enough)
  bellwether land 9f3c2ab -m \"Say good morning everywhere\"     (a commit, with a message of your own)

You stand for what lands, beside whoever wrote it and whoever endorsed it. Nothing is landed that the policy would
refuse, nothing that both sides changed, and nothing onto a policy that has expired but its renewal.";

/// Options of `land`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LandArgs {
    /// The branch: a local or remote one, or a commit
    branch: String,
    /// Message of the merge [default: Merge branch '<BRANCH>']
    #[arg(short, long)]
    message: Option<String>,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
    #[command(flatten)]
    sign: SignOptions,
}

pub(crate) fn run(args: &LandArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.repo)?;
    let onto = copy.branch()?;
    copy.require_quiet()?;
    let tip = copy.resolve("BRANCH", &args.branch)?;
    let head = copy.resolve("HEAD", "HEAD")?;
    refuse_landed(&copy, &head, &tip, args)?;
    let signer = Signer::find(&args.sign, &copy)?;

    let verifier = Verifier::of(&copy, &head, &HistoryOptions::default())?;
    let mut history = verifier.up_to(&head).inspect_err(|_| {
        output::aside(output, format!("{onto} itself does not count, so nothing can be landed on it:"));
    })?;
    let changes = match history.plan_merge(&verifier.objects, &tip) {
        Ok(changes) => changes,
        Err(refusal) if refusal.code == codes::MERGE_UNCLEAN => {
            let paths = history.merge_conflicts(&verifier.objects, &tip).map_err(refused)?;
            return Err(conflict(&paths, &onto, args));
        }
        Err(refusal) => return Err(refused(refusal)),
    };
    if changes.is_empty() {
        return Err(Failure::finding(codes::NOTHING_TO_LAND, format!("{} changes nothing of {onto}", args.branch)));
    }
    copy.require_clean(&changes)?;
    let message = args.message.clone().unwrap_or_else(|| default_message(&copy, &args.branch));
    let tree = copy.tree_with(&changes)?;
    let parents = [head, tip].map(|id| gix::ObjectId::from_bytes_or_panic(id.as_bytes()));
    let draft = copy.draft(tree, &parents, &message, &signer)?;
    let explained = history.explain(&verifier.objects, &draft.id()).map_err(refused)?;
    if let Some(fault) = &explained.refusal {
        let message = format!("the merge would be refused, so it was not made: {}", printable(&fault.why));
        return Err(Failure::finding(fault.code, message).hint(missing(&explained, history.policy(), args)));
    }
    // What is explained is not compared with the clock: the head does not move onto a policy that has expired.
    if let Some(Stop::Refused(refusal)) = history.judge(&verifier.objects, &draft.id(), Timestamp::now()).stop {
        let message = format!("the merge would be refused, so it was not made: {}", printable(&refusal.why));
        return Err(Failure::finding(refusal.code, message).hint(refusal.hint));
    }
    copy.land_changes(&draft, &changes, &signer)?;
    report(&explained, &changes, &onto, args, output);
    if output == Output::Text {
        output::note(next(&copy, &onto, history.policy().branch(), &head));
    }
    Ok(())
}

/// What is left to do.
fn next(copy: &WorkingCopy, onto: &str, watched: &str, head: &CommitId) -> String {
    if onto != watched {
        return format!(
            "This is {onto}, and the policy is for {watched}. It counts when {watched} is at it: git push origin \
             HEAD:{watched}"
        );
    }
    if is_behind(copy, onto, head) != Some(true) {
        return "It counts when it is pushed: git push".to_owned();
    }
    format!(
        "origin/{onto} has commits that {onto} lacks, so git push would be refused. Do not merge them into it, which would \
         make what is accepted a side line: git reset --keep HEAD~1 && git pull --ff-only, and land again."
    )
}

/// Whether the server's branch, as far as this clone knows it, has commits that `head` lacks.
fn is_behind(copy: &WorkingCopy, branch: &str, head: &CommitId) -> Option<bool> {
    let mut theirs = copy.git().try_find_reference(&format!("refs/remotes/origin/{branch}")).ok()??;
    let theirs = CommitId::from_bytes(theirs.peel_to_id().ok()?.as_bytes())?;
    copy.is_ancestor(&theirs, head).ok().map(|has_theirs| !has_theirs)
}

/// A branch as it is named in a working copy: what git switch takes.
fn local(branch: &str) -> &str {
    branch.strip_prefix("origin/").unwrap_or(branch)
}

/// Refuses what the current branch has already, and what has nothing in common with it.
fn refuse_landed(copy: &WorkingCopy, head: &CommitId, tip: &CommitId, args: &LandArgs) -> Result<(), Failure> {
    let nothing = |message: String| Err(Failure::finding(codes::NOTHING_TO_LAND, message));
    match copy.merge_bases(head, tip)?.first() {
        None => nothing(format!("{} has no commit in common with the current branch", args.branch)),
        Some(base) if base == tip => nothing(format!("the current branch has all commits of {} already", args.branch)),
        Some(_) => Ok(()),
    }
}

fn conflict(paths: &[String], onto: &str, args: &LandArgs) -> Failure {
    let branch = &args.branch;
    let list: String = paths.iter().map(|path| format!("\n    {}", printable(path))).collect();
    let message = format!("{onto} and {branch} both changed, since the branch began:{list}");
    Failure::finding(codes::MERGE_CONFLICT, message).hint(format!(
        "Resolve it on the branch: git switch {0} && git merge -S {onto}, then git switch {onto} && bellwether land {0}",
        local(branch)
    ))
}

/// Who could make the refused merge count.
fn missing(explained: &Explanation, policy: &Policy, args: &LandArgs) -> String {
    let mut rules = explained.paths.iter().flat_map(|path| &path.rules);
    let Some(rule) = rules.find(|rule| !rule.holds()) else {
        return "Add a rule for the path to trust/policy.yaml, in a landing before this one.".to_owned();
    };
    let others: Vec<_> = could_count(policy, rule).into_iter().map(PersonName::as_str).collect();
    format!(
        "Missing is one of {} (role {}): they endorse the branch (git switch {} && bellwether trust endorse && git push), or \
         land it themselves.",
        others.join(", "),
        rule.role,
        local(&args.branch),
    )
}

/// What git itself writes for such a merge.
fn default_message(copy: &WorkingCopy, branch: &str) -> String {
    let is =
        |prefix: &str| copy.git().try_find_reference(&format!("{prefix}{branch}")).is_ok_and(|found| found.is_some());
    if is("refs/heads/") {
        format!("Merge branch '{branch}'")
    } else if is("refs/remotes/") {
        format!("Merge remote-tracking branch '{branch}'")
    } else {
        format!("Merge commit '{branch}'")
    }
}

fn report(explained: &Explanation, changes: &[PathChange], onto: &str, args: &LandArgs, output: Output) {
    if output == Output::Json {
        let paths: Vec<_> = changes.iter().map(|change| &change.path).collect();
        return output::json(&serde_json::json!({
            "branch": args.branch, "onto": onto, "commit": explained.commit, "landing": explained.landing, "paths": paths,
        }));
    }
    output::line(format!("Landed {} on {onto} as v{} ({}):", args.branch, explained.landing, explained.commit.short()));
    for path in &explained.paths {
        let mut people: Vec<_> = path.wrote.iter().chain(&path.endorsed).chain(&path.landed).collect();
        people.sort();
        people.dedup();
        let people: Vec<_> = people.iter().map(|person| person.as_str()).collect();
        output::line(format!("  {}  ({})", printable(&path.path), people.join(", ")));
    }
}
