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

pub(crate) const EXAMPLES: &str = "Examples:
  bellwether device approve FINGERPRINT --enrollment kiosks --commit && git push              (let it in)
  bellwether device pin kiosk-7 HEAD~3 --reason \"flickers\" --commit && git push             (keep it at a release)
  bellwether device resume kiosk-7 --server URL --reason \"disk was copied\" --commit         (end its pause)
  bellwether device revoke kiosk-7 --reason \"stolen\" --commit && git push                   (shut it out)
  bellwether device decommission kiosk-7 --reason \"sold\" --commit && git push               (have it clean up and leave)

What one device has of its own stands in devices/<DEVICE>.yaml. Why it is where it is: bellwether why.";

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
