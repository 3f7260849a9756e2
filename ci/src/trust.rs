//! `bellwether trust`: who may sign what, and what the history says by it.

mod add;
mod change;
mod check;
mod endorse;
mod explain;
mod export;
mod init;
mod keys;
mod remove;
mod show;
mod written;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::output::Output;
use crate::sign::SignOptions;

pub(crate) const EXAMPLES: &str = "Examples:
  bellwether trust show                                                       (who may sign what)
  bellwether trust add bob --ssh-key bob.pub --role admins --commit           (the second person)
  bellwether trust check                                                      (would a reconciler take what I have?)
  bellwether trust explain HEAD                                               (who stands for each path of a landing)

All of it is in trust/policy.yaml, and each landing is judged by the policy that was in force before it.";

/// Subcommands of `trust`.
#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// Write a first policy into a repository that has none
    Init(init::TrustInitArgs),
    /// Add a person to the policy, or a key or role to a person who is there
    Add(add::AddArgs),
    /// Remove a person, or one of their keys, from the policy
    Remove(remove::RemoveArgs),
    /// Show the people, their keys, the roles and the rules
    Show(show::ShowArgs),
    /// Stand for the newest commit of a branch that somebody else wrote
    Endorse(endorse::EndorseArgs),
    /// Verify the history of this working copy as a reconciler would
    Check(check::CheckArgs),
    /// Say for each path of a landing who wrote, endorsed and landed it, and which rule holds or fails
    Explain(explain::ExplainArgs),
    /// Write the people's keys in a form that git itself understands
    Export(export::ExportArgs),
}

/// Options of every subcommand that changes the policy.
#[derive(Debug, Args)]
pub(crate) struct ChangeOptions {
    /// Commit it, signed
    #[arg(long)]
    pub(crate) commit: bool,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub(crate) repo: PathBuf,
    #[command(flatten)]
    pub(crate) sign: SignOptions,
}

pub(crate) fn run(command: &TrustCommand, output: Output) -> Result<(), Failure> {
    match command {
        TrustCommand::Init(args) => init::run(args, output),
        TrustCommand::Add(args) => add::run(args, output),
        TrustCommand::Remove(args) => remove::run(args, output),
        TrustCommand::Show(args) => show::run(args, output),
        TrustCommand::Endorse(args) => endorse::run(args, output),
        TrustCommand::Check(args) => check::run(args, output),
        TrustCommand::Explain(args) => explain::run(args, output),
        TrustCommand::Export(args) => export::run(args, output),
    }
}
