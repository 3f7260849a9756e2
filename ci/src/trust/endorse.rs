//! `bellwether trust endorse`: a signed empty commit on top of somebody else's work, so that two stand for it.

use std::path::PathBuf;

use bellwether_core::verify::{ENDORSES, POLICY_PATH, Policy};
use bellwether_schemas::{CommitId, PersonName, codes};
use clap::Args;
use gix::bstr::ByteSlice as _;

use crate::failure::Failure;
use crate::get::printable;
use crate::history::{parents, policy_at, signed_by, summary_of};
use crate::output::{self, Output};
use crate::repo::{WorkingCopy, git};
use crate::sign::{SignOptions, Signer};

const EXAMPLES: &str = "Examples:
  git fetch && git switch their-branch && git log -p main..   (read what you are to stand for)
  bellwether trust endorse && git push               (then the merge button, or bellwether land their-branch)

It adds an empty commit with the line \"Endorses: <id>\" to the current branch, signed by you. For the paths that its
parent brings you count then, beside whoever wrote them. Paths that are changed later need a new endorsement.";

/// Options of `trust endorse`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EndorseArgs {
    /// What you endorse: the newest commit of the current branch
    #[arg(default_value = "HEAD")]
    commit: String,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
    #[command(flatten)]
    sign: SignOptions,
}

pub(crate) fn run(args: &EndorseArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.repo)?;
    let endorsed = copy.resolve("COMMIT", &args.commit)?;
    let head = copy.head()?.ok_or_else(|| Failure::finding(codes::NOT_ENDORSABLE, "there is no commit yet"))?;
    if endorsed.as_bytes() != head.as_slice() {
        let message = format!(
            "{} is not the newest commit of the current branch ({})",
            endorsed.short(),
            head.to_hex_with_len(7)
        );
        return Err(Failure::finding(codes::NOT_ENDORSABLE, message).hint(format!(
            "An endorsement names its own parent. Endorse the branch's newest commit, or begin a branch there: git switch \
             --create endorsed {}",
            endorsed.short()
        )));
    }
    let branch = copy.branch()?;
    copy.require_quiet()?;
    let signer = Signer::find(&args.sign, &copy)?;
    let target = Target::of(&copy, head)?;
    let summary = summary_of(&copy, &endorsed)?;
    let message = format!("Endorse {}: {summary}\n\n{ENDORSES}: {endorsed}", endorsed.short());
    let tree = copy.git().find_commit(head).and_then(|commit| Ok(commit.tree_id()?.detach()));
    let draft = copy.draft(tree.map_err(|e| git("HEAD cannot be read", &e))?, &[head], &message, &signer)?;
    let person = signed_by(&copy, &draft.id(), &target.policy)?.map_err(|fault| {
        Failure::finding(codes::NOT_ENDORSABLE, format!("you do not count: {}", fault.why))
            .hint("Pass the key that is in the policy: --key FILE. bellwether trust show lists them.")
    })?;
    let mainline = target.policy.branch();
    if branch == mainline {
        output::aside(
            output,
            format!("Note: this is {mainline} itself. An endorsement counts in a branch that is merged into it."),
        );
    } else {
        refuse_twice(&copy, &endorsed, &target, &person)?;
        target.refuse_own(&copy, head, &person)?;
    }
    copy.move_branch(&draft, &signer)?;
    if output == Output::Json {
        output::json(&serde_json::json!({
            "endorses": endorsed, "person": person, "branch": branch, "commit": draft.id(),
        }));
        return Ok(());
    }
    output::line(format!("{person} endorses {} ({}) on branch {branch}.", endorsed.short(), printable(&summary)));
    let then = match branch == mainline {
        true => String::new(),
        false => format!(" Then use the merge button, or: git switch {mainline} && bellwether land {branch}"),
    };
    output::note(format!("Committed as {}, signed. Push it: git push.{then}", draft.id().short()));
    Ok(())
}

/// Refuses to endorse one's own endorsement.
fn refuse_twice(copy: &WorkingCopy, endorsed: &CommitId, target: &Target, person: &PersonName) -> Result<(), Failure> {
    let Some(below) = parents(copy, endorsed)?.first().copied() else { return Ok(()) };
    let commit = copy.git().find_commit(gix::ObjectId::from_bytes_or_panic(endorsed.as_bytes()));
    let commit = commit.map_err(|e| git("the newest commit cannot be read", &e))?;
    let says_so = commit.message_raw_sloppy().lines().any(|line| line == format!("{ENDORSES}: {below}").as_bytes());
    if !says_so || signed_by(copy, endorsed, &target.policy)?.as_ref() != Ok(person) {
        return Ok(());
    }
    let message = format!("{person} endorsed {} already, and nothing came after that", below.short());
    Err(Failure::finding(codes::NOT_ENDORSABLE, message)
        .hint("Push it: git push. Whether it is enough is said when it is landed: bellwether land BRANCH"))
}

/// Where the endorsed work is to go: the watched branch as far as this clone knows it.
struct Target {
    policy: Policy,
    tips: Vec<gix::ObjectId>,
}

impl Target {
    /// The policy at the tip of its own branch; a clone that has no such branch has only the work itself.
    fn of(copy: &WorkingCopy, head: gix::ObjectId) -> Result<Self, Failure> {
        let here = valid_policy_at(copy, head)?;
        let mut tips = Vec::new();
        for name in [format!("refs/remotes/origin/{}", here.branch()), format!("refs/heads/{}", here.branch())] {
            let found = copy.git().try_find_reference(&name).map_err(|e| git("a branch cannot be read", &e))?;
            if let Some(id) = found.and_then(|mut found| found.peel_to_id().ok()) {
                tips.push(id.detach());
            }
        }
        let policy = match tips.first() {
            Some(tip) => valid_policy_at(copy, *tip)?,
            None => here,
        };
        Ok(Self { policy, tips })
    }

    /// Refuses to endorse what the endorser wrote alone.
    fn refuse_own(&self, copy: &WorkingCopy, head: gix::ObjectId, person: &PersonName) -> Result<(), Failure> {
        if self.tips.is_empty() {
            return Ok(());
        }
        let unreadable = |e: &(dyn std::error::Error + 'static)| git("the branch cannot be read", e);
        let walk =
            copy.git().rev_walk([head]).with_hidden(self.tips.iter().copied()).all().map_err(|e| unreadable(&e))?;
        let mut commits = 0;
        for commit in walk {
            let id = commit.map_err(|e| unreadable(&e))?.id;
            let id = CommitId::from_bytes(id.as_slice()).expect("a git id has 20 or 32 bytes");
            if signed_by(copy, &id, &self.policy)?.as_ref() != Ok(person) {
                return Ok(());
            }
            commits += 1;
        }
        let branch = self.policy.branch();
        Err(match commits {
            0 => Failure::finding(codes::NOT_ENDORSABLE, format!("{branch} has all of this branch already"))
                .hint("Switch to the branch that is to be merged: git branch --all --no-merged"),
            1 => Failure::finding(
                codes::NOT_ENDORSABLE,
                format!("{person} signed the only commit that {branch} lacks, and counts for it already"),
            ),
            more => Failure::finding(
                codes::NOT_ENDORSABLE,
                format!("{person} signed all {more} commits that {branch} lacks, and counts for them already"),
            ),
        })
    }
}

fn valid_policy_at(copy: &WorkingCopy, commit: gix::ObjectId) -> Result<Policy, Failure> {
    let id = CommitId::from_bytes(commit.as_slice()).expect("a git id has 20 or 32 bytes");
    let policy = policy_at(copy, &id)?.ok_or_else(|| {
        Failure::finding(codes::NOT_A_REPOSITORY, format!("the commit {} has no {POLICY_PATH}", id.short()))
            .hint("Write a first policy: bellwether trust init")
    })?;
    policy.map_err(|faults| {
        let whys: Vec<_> = faults.iter().map(|fault| fault.why.as_str()).collect();
        let message = format!("the policy at {} is not valid: {}", id.short(), whys.join("; "));
        Failure::finding(codes::POLICY_INVALID, message)
    })
}
