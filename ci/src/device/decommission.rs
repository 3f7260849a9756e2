//! `bellwether device decommission`: has a device remove everything, or takes that back.

use std::path::PathBuf;

use bellwether_schemas::{DeviceName, codes};
use clap::Args;

use super::revoke::require_known;
use crate::decision::{self, ChangeOptions, Decided};
use crate::device_edit;
use crate::failure::Failure;
use crate::output::Output;
use crate::repo::WorkingCopy;
use crate::server::ServerOptions;

const EXAMPLES: &str = "Examples:
  bellwether device decommission kiosk-7 --reason \"sold with the shop in Kiel\" --commit && git push   (it leaves)
  bellwether device decommission kiosk-7 --undo --reason \"the shop stays ours\" --commit && git push   (take it back)

It sets decommission: true in devices/<DEVICE>.yaml. From that commit on the device is in no fleet. When it connects, its agent
removes what it placed (what it replaced returns, what others placed stays), reports that, and removes its keys; then it is
refused. Until it connects it is shown as being decommissioned. Deleting the line or the file does not undo it; --undo does: a
device that has not removed its keys yet goes on, one that has needs a new token.
A device that is lost or stolen will not do what it is told: bellwether device revoke.";

/// Options of `device decommission`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DecommissionArgs {
    /// The device
    device: DeviceName,
    /// Take it back
    #[arg(long)]
    undo: bool,
    /// Also a device that neither the manifests here nor the reconciler know
    #[arg(long)]
    unlisted: bool,
    /// Why, for whoever reads it later: it stands in the commit's message
    #[arg(long)]
    reason: String,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    change: ChangeOptions,
}

pub(super) fn run(args: &DecommissionArgs, output: Output) -> Result<(), Failure> {
    let DecommissionArgs { device, undo, .. } = args;
    let copy = WorkingCopy::discover(&args.repo)?;
    if !args.unlisted {
        require_known(&copy, device, &args.server)?;
    }
    let leaves = !undo;
    let value = if leaves { "true" } else { "false" };
    let edit = device_edit::set(&copy, device, "decommission", value, |device| device.decommission = Some(leaves))?;
    if edit.before == edit.after {
        return Err(Failure::finding(
            codes::ALREADY_THERE,
            format!("{} says decommission: {value} already", edit.path),
        )
        .hint("If it is not in force, it is not committed, not pushed, or not accepted: bellwether trust check"));
    }
    let verb = if leaves { "Decommission" } else { "Keep" };
    let summary = format!("{verb} {device}\n\n{}", args.reason);
    let decided = Decided { edits: &[edit], summary: &summary, found: None };
    decision::change(&copy, &decided, &args.change, output)
}
