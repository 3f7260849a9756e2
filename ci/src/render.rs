//! `bellwether render`: the spec.json that the reconciler would publish for a device, made by the same code.

mod facts;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use bellwether_core::declare::{Declared, TemplateAt};
use bellwether_core::objects::ObjectError;
use bellwether_core::render::{self, Contents};
use bellwether_core::verify::{Stop, VerifiedHistory};
use bellwether_schemas::{CommitId, DeviceName, EntryId, FleetName, codes};
use clap::Args;

use crate::failure::Failure;
use crate::history::{Objects, first_with_policy, refused};
use crate::output::{self, Output};
use crate::repo::{WorkingCopy, git};

const EXAMPLES: &str = "Examples:
  bellwether render device-1                             (by the newest commit)
  bellwether render device-1 --at HEAD~1 | sha256sum     (the digest that the device reports, if it ran that)
  bellwether render factory-0123456789abcdef --entry t-4a5b6c7d8e9f   (a name that was made at enrollment)

The history is verified as the reconciler does it, from the first commit that has a policy: what would be refused is
refused here. Changes that are not committed do not count.";

/// Options of `render`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RenderArgs {
    /// The device
    device: DeviceName,
    /// The entry of the enrollment by which it came, for a device whose name was made from its key
    #[arg(long, value_name = "ID")]
    entry: Option<EntryId>,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
    /// The commit
    #[arg(long, default_value = "HEAD", value_name = "COMMIT")]
    at: String,
}

pub(crate) fn run(args: &RenderArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.repo)?;
    let objects = Objects::of(copy.git());
    let tip = copy.resolve("--at", &args.at)?;
    let (history, declared) = declare(copy.git(), &objects, &tip)?;

    let facts = facts::of(&declared, &args.device, args.entry.as_ref())?;
    let fleets = declared.fleets_of(&args.device, &facts);
    let fleet = match fleets.as_slice() {
        [fleet] => *fleet,
        [] => {
            return Err(Failure::finding(codes::SELECTS_NOTHING, format!("no fleet selects {}", args.device))
                .hint("Compare its labels in enrollments/ and devices/ with the selectors in fleets/, or give its Device a template of its own."));
        }
        several => {
            let names: Vec<_> = several.iter().map(|fleet| fleet.as_str()).collect();
            return Err(Failure::finding(
                codes::OVERLAP,
                format!("several fleets select {}: {}", args.device, names.join(", ")),
            ));
        }
    };
    let pin = declared.pin(&args.device);
    let target = match &pin {
        None => &declared.fleets()[fleet].target,
        Some(commit) => pinned(&history, &declared, fleet, commit).ok_or_else(|| {
            let message =
                format!("{} is pinned to {}, and there was no fleet {fleet} then", args.device, commit.short());
            Failure::finding(codes::NO_SUCH_OBJECT, message).hint(format!(
                "Take the pin away, or name another commit: bellwether device pin {} --help",
                args.device
            ))
        })?,
    };
    let mut known = HashMap::new();
    let rendered =
        render::render(target, &args.device, &facts, &mut Contents::new(&objects, &mut known)).map_err(|e| {
            Failure::finding(codes::TEMPLATE, format!("{} cannot be rendered for {}", fleet.path(), args.device))
                .because(&e)
        })?;
    let spec = String::from_utf8_lossy(&rendered.canonical);
    match output {
        Output::Text => {
            // Exactly the bytes that are signed, so that a digest of the output is the digest of the spec.
            output::bytes(&rendered.canonical);
            if let Some(commit) = &pin {
                output::note(format!("Note: a pin keeps {} at {}.", args.device, commit.short()));
            }
            note_invalid(&declared);
        }
        Output::Json => output::json(&serde_json::json!({
            "device": args.device, "fleet": fleet, "head": tip, "template": target.landing.commit,
            "pin": pin,
            "digest": rendered.digest, "spec": serde_json::from_str::<serde_json::Value>(&spec).unwrap_or_default(),
        })),
    }
    Ok(())
}

/// What does not parse counts as it was before, so that what is printed may not be what was just written.
fn note_invalid(declared: &Declared) {
    let paths: Vec<_> = declared.invalid().map(|(path, _)| path).collect();
    if !paths.is_empty() {
        let paths = paths.join(", ");
        output::note(format!(
            "Note: these do not parse, and count as they last did: {paths}. See bellwether validate."
        ));
    }
}

/// What the history up to `tip` declares, verified from its first commit that has a policy.
fn declare(repo: &gix::Repository, objects: &Objects, tip: &CommitId) -> Result<(VerifiedHistory, Declared), Failure> {
    let unreadable = |e: ObjectError| git("an object cannot be read", &e);
    let (introduction, branch) = first_with_policy(repo, tip)?;
    let (mut history, first) = VerifiedHistory::introduce(objects, &introduction, &branch).map_err(refused)?;
    let mut declared = Declared::introduce(objects, &first).map_err(unreadable)?;
    let advanced = history.advance(objects, tip, jiff::Timestamp::now());
    match advanced.stop {
        None => {}
        Some(Stop::Refused(refusal)) => return Err(refused(refusal)),
        Some(Stop::Rewound { .. }) => {
            return Err(Failure::finding(codes::GIT_FAILED, "the history is not in one line"));
        }
    }
    for landing in &advanced.landings {
        declared.land(objects, landing).map_err(unreadable)?;
    }
    Ok((history, declared))
}

/// The template at which a pin keeps a member of a fleet.
fn pinned<'d>(
    history: &VerifiedHistory,
    declared: &'d Declared,
    fleet: &FleetName,
    commit: &CommitId,
) -> Option<&'d Arc<TemplateAt>> {
    declared.template_in_force(fleet, history.number_of(commit)?)
}
