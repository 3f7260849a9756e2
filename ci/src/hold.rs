//! `bellwether hold`: stops offers, or lets them go on.

use bellwether_schemas::manifest::{AnyManifest, Hold, HoldScope, Kind};
use bellwether_schemas::{FleetName, codes, yaml};
use clap::Args;

use crate::decision::{self, DecisionOptions};
use crate::failure::{self, Failure};
use crate::meant;
use crate::output::Output;
use crate::repo::{Edit, WorkingCopy};
use crate::token_edit::quoted;

const EXAMPLES: &str = "Examples:
  bellwether hold --all --reason \"power cut in Kiel\" --commit && git push   (nothing goes out any more)
  bellwether hold edge --reason \"odd readings\" --commit && git push        (of one fleet)
  bellwether hold edge --release --commit && git push                       (it goes on)
  bellwether hold --name hold-edge --release --commit                       (one of several holds)

A hold stops offers at once, for as long as its file is there; what devices are applying goes on. Nothing is brought back.
A brake on the reconciler itself, without git: bellwether-reconciler hold --reason TEXT.";

/// Options of `hold`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HoldArgs {
    /// The fleets, or --all
    #[arg(required_unless_present_any = ["all", "name"], conflicts_with = "all")]
    fleets: Vec<FleetName>,
    /// Every fleet
    #[arg(long)]
    all: bool,
    /// Why, for whoever reads it later
    #[arg(long, required_unless_present = "release")]
    reason: Option<String>,
    /// Remove the holds of these fleets, or the one that --name names
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    decision: DecisionOptions,
}

pub(crate) fn run(args: &HoldArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.decision.repo)?;
    let whom = if args.all { "all fleets".to_owned() } else { join(&args.fleets, ", ") };
    if args.release {
        let edits = released(&copy, args)?;
        let names: Vec<_> = edits.iter().map(|edit| edit.path.as_str()).collect();
        let reason = args.reason.as_deref().map(|reason| format!("\n\n{reason}")).unwrap_or_default();
        let summary = format!("Release {}{reason}", names.join(", "));
        return decision::carry_out(&copy, &edits, &summary, &args.decision, output);
    }
    if args.fleets.is_empty() && !args.all {
        return Err(Failure::new(codes::USAGE, "which fleets? Name them, or pass --all"));
    }
    for fleet in &args.fleets {
        decision::check_fleet(&copy, fleet)?;
    }
    let joined = if args.all { "all".to_owned() } else { join(&args.fleets, "-") };
    let name = decision::name(&args.decision, &["hold", &joined]);
    let mut text = decision::header(Kind::Hold, &name);
    if args.all {
        text.push_str("  all: true\n");
    } else {
        text.push_str(&decision::list("fleets", args.fleets.iter().map(ToString::to_string)));
    }
    let reason = args.reason.as_deref().unwrap_or_default();
    text.push_str(&format!("  reason: {}\n", quoted(reason)));
    let edit = decision::new_manifest(&copy, Kind::Hold, &name, text)?;
    decision::carry_out(&copy, &[edit], &format!("Hold {whom}\n\n{reason}"), &args.decision, output)
}

/// The removal of the holds that the arguments mean: by name, or all that stop nothing but these fleets.
fn released(copy: &WorkingCopy, args: &HoldArgs) -> Result<Vec<Edit>, Failure> {
    let (mut edits, mut there) = (Vec::new(), Vec::new());
    for (path, text) in holds(copy)? {
        there.push(path.trim_start_matches("holds/").trim_end_matches(".yaml").to_owned());
        let means = match &args.decision.name {
            Some(name) => path == format!("holds/{name}.yaml"),
            None => match yaml::parse(&path, &text) {
                Ok(AnyManifest::Hold(hold)) => within(&hold.spec, args),
                _ => false,
            },
        };
        if means {
            edits.push(Edit { path, before: Some(text), after: None });
        }
    }
    if edits.is_empty() {
        let message = match &args.decision.name {
            Some(name) => format!("there is no hold {name}: holds/{name}.yaml"),
            None if args.all => "no hold in holds/ stops every fleet".to_owned(),
            None => "no hold in holds/ stops these fleets and no others".to_owned(),
        };
        return Err(Failure::finding(codes::NO_SUCH_OBJECT, message).hint(match there.as_slice() {
            [] => "There are no holds.".to_owned(),
            there => {
                let list = there.join(", ");
                let look = format!("There are: {list}. Release one by its name: bellwether hold --name NAME --release");
                match &args.decision.name {
                    Some(name) => meant::hint(name.as_str(), there.iter().map(String::as_str), look),
                    None => look,
                }
            }
        }));
    }
    Ok(edits)
}

fn within(hold: &Hold, args: &HoldArgs) -> bool {
    match hold.scope() {
        Some(HoldScope::All) => args.all,
        Some(HoldScope::Fleets(fleets)) => fleets.iter().all(|fleet| args.fleets.contains(fleet)),
        None => false,
    }
}

fn holds(copy: &WorkingCopy) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let folder = copy.root().join(Kind::Hold.folder());
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failure::file("cannot read", &folder, &e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| failure::file("cannot read", &folder, &e))?;
        let path = format!("{}/{}", Kind::Hold.folder(), entry.file_name().to_string_lossy());
        if Kind::of_path(&path).is_some()
            && let Some(text) = copy.read(&path)?
        {
            found.push((path, text));
        }
    }
    found.sort();
    Ok(found)
}

fn join(fleets: &[FleetName], separator: &str) -> String {
    fleets.iter().map(FleetName::as_str).collect::<Vec<_>>().join(separator)
}
