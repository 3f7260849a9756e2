//! `bellwether fleet`: changes of what a fleet shall run.

mod artifact;
mod meant;
mod place;
mod set;
mod value;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::Output;

pub(crate) const EXAMPLES: &str = "Examples:
  bellwether fleet set edge vars.greeting=\"Good morning\" --commit && git push     (one field, its comment stays)
  bellwether fleet set edge 'artifacts[name=firmware].source.path=artifacts/fw-2.tar.zst'

More than single fields is changed in fleets/<FLEET>.yaml by hand.";

/// Subcommands of `fleet`.
#[derive(Debug, Subcommand)]
pub(crate) enum FleetCommand {
    /// Change single fields of a fleet's manifest, and leave the rest as it is
    Set(set::SetArgs),
}

pub(crate) fn run(command: &FleetCommand, output: Output) -> Result<(), Failure> {
    let FleetCommand::Set(args) = command;
    set::run(args, output)
}
