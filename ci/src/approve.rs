//! `bellwether approve`: opens the gate of a wave.

use std::path::PathBuf;

use bellwether_schemas::api::RolloutView;
use bellwether_schemas::manifest::{AnyManifest, Kind, Rollout};
use bellwether_schemas::{CommitId, FleetName, WaveName, codes, yaml};
use clap::Args;

use crate::decision::{self, DecisionOptions};
use crate::failure::Failure;
use crate::output::Output;
use crate::repo::WorkingCopy;
use crate::server::{Server, page_address};
use crate::token_edit::quoted;

const EXAMPLES: &str = "Examples:
  bellwether approve edge rest --reason \"canary looked good\" --commit && git push
  bellwether approve edge rest --server http://127.0.0.1:8080 --reason ok --commit   (what rolls out now)

Without --commit-id and --server (or BELLWETHER_SERVER) it approves the newest commit of the working copy.";

/// Options of `approve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ApproveArgs {
    /// The fleet
    fleet: FleetName,
    /// The wave whose gate opens
    wave: WaveName,
    /// The commit that is approved
    #[arg(long, value_name = "COMMIT")]
    commit_id: Option<CommitId>,
    /// Address of the reconciler's page: approve what rolls out now
    #[arg(long, env = "BELLWETHER_SERVER", value_name = "URL", value_parser = page_address)]
    server: Option<url::Url>,
    /// PEM file with the certificate authority of that address
    #[arg(long, env = "BELLWETHER_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Why, for whoever reads it later
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    decision: DecisionOptions,
}

pub(crate) fn run(args: &ApproveArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.decision.repo)?;
    check_names(&copy, &args.fleet, &args.wave)?;
    let commit = approved_commit(args, &copy)?;
    let name = decision::name(&args.decision, &[&commit.short(), args.fleet.as_str(), args.wave.as_str()]);
    let mut text = decision::header(Kind::Approval, &name);
    text.push_str(&format!("  fleet: {}\n  commit: \"{commit}\"\n", quoted(args.fleet.as_str())));
    text.push_str(&decision::list("open", [args.wave.to_string()]));
    text.push_str(&format!("  reason: {}\n", quoted(&args.reason)));
    let edit = decision::new_manifest(&copy, Kind::Approval, &name, text)?;
    let summary = format!("Approve wave {} of {} at {}\n\n{}", args.wave, args.fleet, commit.short(), args.reason);
    decision::carry_out(&copy, &[edit], &summary, &args.decision, output)
}

fn approved_commit(args: &ApproveArgs, copy: &WorkingCopy) -> Result<CommitId, Failure> {
    if let Some(commit) = args.commit_id {
        return Ok(commit);
    }
    if let Some(address) = &args.server {
        let rollouts: Vec<RolloutView> = Server::connect(address, args.ca.as_deref())?.get("rollouts")?;
        let rollout = rollouts.into_iter().find(|rollout| rollout.fleet == args.fleet);
        return rollout.map(|rollout| rollout.commit).ok_or_else(|| {
            Failure::finding(codes::NO_SUCH_OBJECT, format!("{address} has no rollout of the fleet {}", args.fleet))
        });
    }
    let head = copy.head()?.ok_or_else(|| Failure::new(codes::NO_SUCH_OBJECT, "the working copy has no commit yet"))?;
    Ok(CommitId::from_bytes(head.as_slice()).expect("a git id has 20 or 32 bytes"))
}

fn check_names(copy: &WorkingCopy, fleet: &FleetName, wave: &WaveName) -> Result<(), Failure> {
    if copy.read(&format!("fleets/{fleet}.yaml"))?.is_none() {
        return Err(Failure::finding(codes::NO_SUCH_OBJECT, format!("there is no fleet {fleet}: fleets/{fleet}.yaml"))
            .hint("List what there is: ls fleets"));
    }
    let path = format!("rollouts/{fleet}.yaml");
    let rollout = match copy.read(&path)? {
        None => Rollout::default(),
        Some(text) => match yaml::parse(&path, &text) {
            Ok(AnyManifest::Rollout(rollout)) => rollout.spec,
            // A rollout that does not parse is `validate`'s business; the newest one that did counts.
            _ => return Ok(()),
        },
    };
    if rollout.waves.iter().any(|known| known.name == *wave) {
        return Ok(());
    }
    let known: Vec<_> = rollout.waves.iter().map(|known| known.name.as_str()).collect();
    Err(Failure::finding(codes::NO_SUCH_OBJECT, format!("the rollout of {fleet} has no wave {wave}"))
        .hint(format!("Its waves: {}", known.join(", "))))
}
