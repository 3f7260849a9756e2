//! `bellwether rollout retry`: a signed Approval that offers devices again what failed on them.

use bellwether_schemas::manifest::Kind;
use bellwether_schemas::{DeviceName, FleetName};
use clap::Args;

use crate::decision::{self, DecisionOptions, TargetOptions};
use crate::device::require_known;
use crate::failure::Failure;
use crate::output::Output;
use crate::repo::WorkingCopy;
use crate::token_edit::quoted;

const EXAMPLES: &str = "Examples:
  bellwether rollout retry edge kiosk-7 --reason \"the disk was full\" --commit && git push   (one device)
  bellwether rollout retry edge kiosk-7 kiosk-8 --server http://127.0.0.1:8080 --reason \"…\" --commit   (what rolls out now)
  bellwether rollout retry edge kiosk-7 --name kiosk-7-again --reason \"…\" --commit   (once more)

It is for what failed before it landed. What fails after it needs another one, with a --name of its own.

Without --commit-id and --server (or BELLWETHER_SERVER) it is for the newest commit of the working copy.";

/// Options of `rollout retry`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RetryArgs {
    /// The fleet
    fleet: FleetName,
    /// The devices
    #[arg(required = true)]
    devices: Vec<DeviceName>,
    #[command(flatten)]
    target: TargetOptions,
    /// Also devices that neither the manifests here nor the reconciler know
    #[arg(long)]
    unlisted: bool,
    /// Why, for whoever reads it later
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    decision: DecisionOptions,
}

pub(super) fn run(args: &RetryArgs, output: Output) -> Result<(), Failure> {
    let RetryArgs { fleet, devices, reason, .. } = args;
    let copy = WorkingCopy::discover(&args.decision.repo)?;
    decision::check_fleet(&copy, fleet)?;
    if !args.unlisted {
        devices.iter().try_for_each(|device| require_known(&copy, device, &args.target.server))?;
    }
    let commit = args.target.commit(&copy, fleet)?;
    let first = devices.first().map_or("", DeviceName::as_str);
    let name = decision::name(&args.decision, &[&commit.short(), fleet.as_str(), "retry", first]);
    let mut text = decision::header(Kind::Approval, &name) + &decision::target(fleet, &commit);
    let listed = devices.iter().map(|device| format!("      - {}\n", quoted(device.as_str())));
    text.push_str(&format!("  retry:\n    devices:\n{}  reason: {}\n", listed.collect::<String>(), quoted(reason)));
    let edit = decision::new_manifest(&copy, Kind::Approval, &name, text)?;
    let whom = match devices.as_slice() {
        [one] => one.to_string(),
        all => format!("{} devices", all.len()),
    };
    let summary = format!("Retry {whom} of {fleet} at {}\n\n{reason}", commit.short());
    decision::carry_out(&copy, &[edit], &summary, &args.decision, output)
}
