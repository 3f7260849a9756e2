//! `bellwether rollout`: decisions about a rollout that halted, failed somewhere, or cannot wait.

mod expedite;
mod resume;
mod retry;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::Output;

pub(crate) const EXAMPLES: &str = "Examples:
  bellwether get rollouts --server http://127.0.0.1:8080                                   (where each one is, and why)
  bellwether rollout resume edge --failures 3 --reason \"bad disks\" --commit && git push    (it halted: go on)
  bellwether rollout retry edge kiosk-7 --reason \"disk was full\" --commit && git push      (it failed there: try again)
  bellwether rollout expedite edge --skip soak --reason \"CVE is used\" --commit && git push (it cannot wait)

To stop one: bellwether hold. To open a gate: bellwether approve.";

/// Subcommands of `rollout`.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Let a rollout go on that halted, or bring a rejected commit back
    Resume(resume::ResumeArgs),
    /// Offer devices the target again on which they failed
    Retry(retry::RetryArgs),
    /// Let an emergency fix skip steps
    Expedite(expedite::ExpediteArgs),
}

pub(crate) fn run(command: &RolloutCommand, output: Output) -> Result<(), Failure> {
    match command {
        RolloutCommand::Resume(args) => resume::run(args, output),
        RolloutCommand::Retry(args) => retry::run(args, output),
        RolloutCommand::Expedite(args) => expedite::run(args, output),
    }
}
