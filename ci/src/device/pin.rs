//! `bellwether device pin`: keeps a device at one commit, or lets it follow its fleet again.

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
  bellwether device pin kiosk-7 HEAD~3 --reason \"the new release flickers there\" --commit && git push   (at an earlier one)
  bellwether device pin kiosk-7 --reason \"stays as it is until the fair is over\" --commit && git push   (at the newest)
  bellwether device pin kiosk-7 --unpin --reason \"the display was replaced\" --commit && git push   (it follows again)

It sets pin in devices/<DEVICE>.yaml: the device gets its fleet's template as the commit has it, whatever the fleet rolls out,
with its own labels and vars of now. Without COMMIT it is the newest commit of the working copy.";

/// Options of `device pin`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PinArgs {
    /// The device
    device: DeviceName,
    /// The commit: an id, also a short one, a branch, a tag, HEAD~1 [default: HEAD]
    #[arg(value_name = "COMMIT", conflicts_with = "unpin")]
    at: Option<String>,
    /// Let it follow its fleet again
    #[arg(long)]
    unpin: bool,
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

pub(super) fn run(args: &PinArgs, output: Output) -> Result<(), Failure> {
    let PinArgs { device, reason, .. } = args;
    let copy = WorkingCopy::discover(&args.repo)?;
    let (edit, title) = if args.unpin {
        (device_edit::unpin(&copy, device)?, format!("Unpin {device}"))
    } else {
        if !args.unlisted {
            require_known(&copy, device, &args.server)?;
        }
        let commit = copy.resolve("COMMIT", args.at.as_deref().unwrap_or("HEAD"))?;
        (device_edit::pin(&copy, device, commit)?, format!("Pin {device} to {}", commit.short()))
    };
    if edit.before == edit.after {
        return Err(Failure::finding(codes::ALREADY_THERE, format!("{} pins it to this commit already", edit.path))
            .hint("If it is not in force, it is not committed, not pushed, or not accepted: bellwether trust check"));
    }
    let decided = Decided { edits: &[edit], summary: &format!("{title}\n\n{reason}"), found: None };
    decision::change(&copy, &decided, &args.change, output)
}
