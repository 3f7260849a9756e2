//! `bellwether device`: decisions about single devices.

mod approve;
mod choice;
mod decommission;
mod pin;
mod resume;
mod revoke;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::Output;

pub(crate) use revoke::require_known;

/// Subcommands of `device`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Let a device in that waits for approval, by the fingerprint of its key
    Approve(approve::ApproveArgs),
    /// Have a device remove everything that was placed on it, and its keys; or take that back
    Decommission(decommission::DecommissionArgs),
    /// Keep a device at its fleet's template of one commit, or let it follow its fleet again
    Pin(pin::PinArgs),
    /// End the pause of devices by force: git overrules what they run
    Resume(resume::ResumeArgs),
    /// Refuse every certificate of a device, or let it in again
    Revoke(revoke::RevokeArgs),
}

pub(crate) fn run(command: &DeviceCommand, output: Output) -> Result<(), Failure> {
    match command {
        DeviceCommand::Approve(args) => approve::run(args, output),
        DeviceCommand::Decommission(args) => decommission::run(args, output),
        DeviceCommand::Pin(args) => pin::run(args, output),
        DeviceCommand::Resume(args) => resume::run(args, output),
        DeviceCommand::Revoke(args) => revoke::run(args, output),
    }
}
