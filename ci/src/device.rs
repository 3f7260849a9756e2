//! `bellwether device`: decisions about single devices.

mod approve;
mod revoke;

use std::collections::BTreeSet;

use bellwether_schemas::api::{DeviceView, WaitingOn};
use bellwether_schemas::manifest::Kind;
use bellwether_schemas::{CommitId, DeviceName, codes};
use clap::{Args, Subcommand};

use crate::decision::{self, DecisionOptions};
use crate::failure::Failure;
use crate::output::Output;
use crate::repo::WorkingCopy;
use crate::server::ServerOptions;
use crate::token::key_value;
use crate::token_edit::quoted;

const EXAMPLES: &str = "Examples:
  bellwether device resume --all --over 9f3c2ab…(40 digits) --reason \"main was reset\" --commit && git push
  bellwether device resume --all --server http://127.0.0.1:8080 --reason \"main was reset\" --commit
  bellwether device resume device-3 --reason \"disk was copied\" --commit
  bellwether device resume --selector site=kiel --over COMMIT --reason \"…\" --commit

A paused device runs something that git does not contain. The better way out is to push the missing commits: then the
pause ends by itself. A resume makes git overrule what the devices run; it is for the named commits only. Without --over
it learns them from --server (or BELLWETHER_SERVER).";

/// Subcommands of `device`.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Let a device in that waits for approval, by the fingerprint of its key
    Approve(approve::ApproveArgs),
    /// End the pause of devices by force: git overrules what they run
    Resume(ResumeArgs),
    /// Refuse every certificate of a device, or let it in again
    Revoke(revoke::RevokeArgs),
}

/// Options of `device resume`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ResumeArgs {
    /// Only these devices
    #[arg(required_unless_present_any = ["all", "selector"], conflicts_with_all = ["all", "selector"])]
    devices: Vec<DeviceName>,
    /// Only devices with these labels
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = key_value, conflicts_with = "all")]
    selector: Vec<(String, String)>,
    /// Every device that reports one of the missing commits
    #[arg(long)]
    all: bool,
    /// The missing commits that git overrules
    #[arg(long, value_name = "COMMIT", value_delimiter = ',', num_args = 1..)]
    over: Vec<CommitId>,
    #[command(flatten)]
    server: ServerOptions,
    /// Why, for whoever reads it later
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    decision: DecisionOptions,
}

pub(crate) fn run(command: &DeviceCommand, output: Output) -> Result<(), Failure> {
    match command {
        DeviceCommand::Approve(args) => approve::run(args, output),
        DeviceCommand::Resume(args) => resume(args, output),
        DeviceCommand::Revoke(args) => revoke::run(args, output),
    }
}

fn resume(args: &ResumeArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.decision.repo)?;
    let over = missing_commits(args)?;
    if over.is_empty() && args.devices.is_empty() {
        return Err(Failure::new(
            codes::USAGE,
            "which missing commits? --all and --selector need --over COMMIT, or --server",
        ));
    }
    let whom = match (args.all, args.devices.as_slice()) {
        (true, _) => "all devices".to_owned(),
        (false, []) => "devices by label".to_owned(),
        (false, devices) => devices.iter().map(DeviceName::as_str).collect::<Vec<_>>().join(", "),
    };
    let first = over.iter().next().map(CommitId::short);
    let last = first.as_deref().or(args.devices.first().map(DeviceName::as_str)).unwrap_or("devices");
    let name = decision::name(&args.decision, &["resume", last]);
    let mut text = decision::header(Kind::Resume, &name);
    if !over.is_empty() {
        text.push_str(&decision::list("over", over.iter().map(ToString::to_string)));
    }
    if !args.devices.is_empty() {
        text.push_str(&decision::list("devices", args.devices.iter().map(ToString::to_string)));
    }
    if !args.selector.is_empty() {
        text.push_str("  selector:\n    matchLabels:\n");
        for (key, value) in &args.selector {
            text.push_str(&format!("      {}: {}\n", quoted(key), quoted(value)));
        }
    }
    text.push_str(&format!("  reason: {}\n", quoted(&args.reason)));
    let edit = decision::new_manifest(&copy, Kind::Resume, &name, text)?;
    decision::carry_out(&copy, &[edit], &format!("Resume {whom}\n\n{}", args.reason), &args.decision, output)
}

fn missing_commits(args: &ResumeArgs) -> Result<BTreeSet<CommitId>, Failure> {
    if !args.over.is_empty() {
        return Ok(args.over.iter().copied().collect());
    }
    let Some(server) = args.server.connect_if_given()? else { return Ok(BTreeSet::new()) };
    let devices: Vec<DeviceView> = server.get("devices")?;
    let chosen = |device: &&DeviceView| {
        (args.devices.is_empty() || args.devices.contains(&device.name))
            && args.selector.iter().all(|(key, value)| device.labels.get(key) == Some(value))
    };
    let paused = devices.iter().filter(chosen).filter_map(|device| match &device.reason {
        Some(WaitingOn::Paused { commit, .. }) => Some(*commit),
        _ => None,
    });
    let paused: Vec<_> = paused.collect();
    if paused.is_empty() {
        return Err(Failure::finding(codes::NO_SUCH_OBJECT, "none of these devices is paused")
            .hint(format!("See bellwether get devices --server {}", server.address())));
    }
    Ok(paused.into_iter().flatten().collect())
}
