//! `bellwether rollout resume`: a signed Approval that acknowledges failures.

use bellwether_schemas::FleetName;
use bellwether_schemas::manifest::Kind;
use clap::Args;

use crate::decision::{self, DecisionOptions, TargetOptions};
use crate::failure::Failure;
use crate::output::Output;
use crate::repo::WorkingCopy;
use crate::token_edit::quoted;

const EXAMPLES: &str = "Examples:
  bellwether rollout resume edge --failures 3 --reason \"bad disks, not the release\" --commit && git push   (three have failed)
  bellwether rollout resume edge --failures 3 --server http://127.0.0.1:8080 --reason \"…\" --commit   (what rolls out now)

A rollout that halted goes on, and halts again when more fail than its limit allows beyond the number that you acknowledge.
A commit that was rejected after a revert rolls out again. How many have failed: bellwether get rollouts --server URL.

Without --commit-id and --server (or BELLWETHER_SERVER) it is for the newest commit of the working copy.";

/// Options of `rollout resume`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ResumeArgs {
    /// The fleet
    fleet: FleetName,
    /// How many devices have failed, as you have seen
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    failures: u32,
    #[command(flatten)]
    target: TargetOptions,
    /// Why, for whoever reads it later
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    decision: DecisionOptions,
}

pub(super) fn run(args: &ResumeArgs, output: Output) -> Result<(), Failure> {
    let ResumeArgs { fleet, failures, reason, .. } = args;
    let copy = WorkingCopy::discover(&args.decision.repo)?;
    decision::check_fleet(&copy, fleet)?;
    let commit = args.target.commit(&copy, fleet)?;
    let name = decision::name(&args.decision, &[&commit.short(), fleet.as_str(), "resume", &failures.to_string()]);
    let mut text = decision::header(Kind::Approval, &name) + &decision::target(fleet, &commit);
    text.push_str(&format!("  resume:\n    failures: {failures}\n  reason: {}\n", quoted(reason)));
    let edit = decision::new_manifest(&copy, Kind::Approval, &name, text)?;
    let noun = if *failures == 1 { "failure" } else { "failures" };
    let summary = format!("Resume {fleet} at {} after {failures} {noun}\n\n{reason}", commit.short());
    decision::carry_out(&copy, &[edit], &summary, &args.decision, output)
}
