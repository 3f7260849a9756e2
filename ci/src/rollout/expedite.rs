//! `bellwether rollout expedite`: a signed Expedite, for a fix that cannot wait.

use bellwether_schemas::FleetName;
use bellwether_schemas::manifest::{Kind, SkipStep};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::decision::{self, DecisionOptions, TargetOptions};
use crate::failure::Failure;
use crate::output::Output;
use crate::repo::WorkingCopy;
use crate::token_edit::quoted;

const EXAMPLES: &str = "Examples:
  bellwether rollout expedite edge --skip waves,soak --reason \"CVE-2031-1234 is used\" --commit && git push
      (after the canary, all at once)
  bellwether rollout expedite edge --skip windows,gates --commit-id HEAD~1 --reason \"…\" --commit && git push
      (the fix that landed before the newest commit: at any hour, without approvals)

waves: after the canary all devices are offered it. soak: no wave waits for its time. gates: no wave waits for an approval.
windows: applying begins at once. One device must be healthy on the fix first, and budgets and failure limits hold.

Without --commit-id and --server (or BELLWETHER_SERVER) it is for the newest commit of the working copy.";

/// Options of `rollout expedite`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExpediteArgs {
    /// The fleet
    fleet: FleetName,
    /// What it skips
    #[arg(long, value_name = "STEP", value_delimiter = ',', num_args = 1.., required = true, value_parser = step())]
    skip: Vec<SkipStep>,
    #[command(flatten)]
    target: TargetOptions,
    /// Why, for whoever reads it later
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    decision: DecisionOptions,
}

/// Reads a step by its word.
fn step() -> impl TypedValueParser<Value = SkipStep> {
    PossibleValuesParser::new(SkipStep::ALL.map(SkipStep::word)).map(|word| {
        SkipStep::ALL.into_iter().find(|step| step.word() == word).expect("the parser takes these words only")
    })
}

pub(super) fn run(args: &ExpediteArgs, output: Output) -> Result<(), Failure> {
    let ExpediteArgs { fleet, skip, reason, .. } = args;
    let copy = WorkingCopy::discover(&args.decision.repo)?;
    decision::check_fleet(&copy, fleet)?;
    let commit = args.target.commit(&copy, fleet)?;
    let name = decision::name(&args.decision, &[&commit.short(), fleet.as_str()]);
    let mut text = decision::header(Kind::Expedite, &name) + &decision::target(fleet, &commit);
    text.push_str(&decision::list("skip", skip.iter().map(ToString::to_string)));
    text.push_str(&format!("  reason: {}\n", quoted(reason)));
    let edit = decision::new_manifest(&copy, Kind::Expedite, &name, text)?;
    let steps: Vec<_> = skip.iter().map(|step| step.word()).collect();
    let summary = format!("Expedite {fleet} at {}: skip {}\n\n{reason}", commit.short(), steps.join(", "));
    decision::carry_out(&copy, &[edit], &summary, &args.decision, output)
}
