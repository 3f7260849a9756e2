//! `bellwether device`: decisions about single devices.

mod choice;
mod resume;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::Output;

/// Subcommands of `device`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// End the pause of devices by force: git overrules what they run
    Resume(resume::ResumeArgs),
}

pub(crate) fn run(command: &DeviceCommand, output: Output) -> Result<(), Failure> {
    match command {
        DeviceCommand::Resume(args) => resume::run(args, output),
    }
}
