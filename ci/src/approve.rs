//! `bellwether approve`: opens the gate of a wave.

use bellwether_schemas::manifest::{AnyManifest, Gate, Kind, Rollout};
use bellwether_schemas::{FleetName, WaveName, codes, yaml};
use clap::Args;

use crate::decision::{self, DecisionOptions, TargetOptions};
use crate::failure::Failure;
use crate::meant;
use crate::output::{self, Output};
use crate::repo::WorkingCopy;
use crate::token_edit::quoted;

const EXAMPLES: &str = "Examples:
  bellwether approve edge rest --reason \"canary looked good\" --commit && git push   (wave rest of fleet edge)
  bellwether approve edge rest --server http://127.0.0.1:8080 --reason ok --commit   (what rolls out now)

Gates are the waves that say gate: manual in rollouts/<FLEET>.yaml. An approval is for one commit of one fleet.

Without --commit-id and --server (or BELLWETHER_SERVER) it approves the newest commit of the working copy.";

/// Options of `approve`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ApproveArgs {
    /// The fleet
    fleet: FleetName,
    /// The wave whose gate opens
    wave: WaveName,
    #[command(flatten)]
    target: TargetOptions,
    /// Why, for whoever reads it later
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    decision: DecisionOptions,
}

pub(crate) fn run(args: &ApproveArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.decision.repo)?;
    let gate = gate(&copy, &args.fleet, &args.wave)?;
    let commit = args.target.commit(&copy, &args.fleet)?;
    let name = decision::name(&args.decision, &[&commit.short(), args.fleet.as_str(), args.wave.as_str()]);
    let mut text = decision::header(Kind::Approval, &name) + &decision::target(&args.fleet, &commit);
    text.push_str(&decision::list("open", [args.wave.to_string()]));
    text.push_str(&format!("  reason: {}\n", quoted(&args.reason)));
    let edit = decision::new_manifest(&copy, Kind::Approval, &name, text)?;
    let summary = format!("Approve wave {} of {} at {}\n\n{}", args.wave, args.fleet, commit.short(), args.reason);
    decision::carry_out(&copy, &[edit], &summary, &args.decision, output)?;
    if gate == Some(Gate::Automatic) && output == Output::Text {
        let (fleet, wave) = (&args.fleet, &args.wave);
        let remedy = match fleet.device() {
            Some(_) => "the one wave of a device's own fleet never has one".to_owned(),
            None => format!("rollouts/{fleet}.yaml can give it gate: manual"),
        };
        output::note(format!("Note: the wave {wave} has no gate and opens by itself; {remedy}."));
    }
    Ok(())
}

/// The gate of a wave that is there, as far as its Rollout can be read.
fn gate(copy: &WorkingCopy, fleet: &FleetName, wave: &WaveName) -> Result<Option<Gate>, Failure> {
    decision::check_fleet(copy, fleet)?;
    let path = format!("rollouts/{fleet}.yaml");
    let rollout = match copy.read(&path)? {
        _ if fleet.device().is_some() => Rollout::of_one(),
        None => Rollout::default(),
        Some(text) => match yaml::parse(&path, &text) {
            Ok(AnyManifest::Rollout(rollout)) => rollout.spec,
            // A rollout that does not parse is `validate`'s business; the newest one that did counts.
            _ => return Ok(None),
        },
    };
    if let Some(known) = rollout.waves.iter().find(|known| known.name == *wave) {
        return Ok(Some(known.gate));
    }
    let known: Vec<_> = rollout.waves.iter().map(|known| known.name.as_str()).collect();
    Err(Failure::finding(codes::NO_SUCH_OBJECT, format!("the rollout of {fleet} has no wave {wave}"))
        .hint(meant::hint(wave.as_str(), known.iter().copied(), format!("Its waves: {}", known.join(", ")))))
}
