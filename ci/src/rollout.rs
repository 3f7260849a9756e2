//! `bellwether rollout`: decisions about a rollout that halted, failed somewhere, or cannot wait.

mod expedite;
mod resume;
mod retry;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::Output;

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
