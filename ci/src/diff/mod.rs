//! `bellwether diff`: what a change does to which devices, before it is merged. From git to text: the same commits and the
//! same inventory give the same bytes.

mod markdown;
mod report;
mod sides;
mod spec;
mod text;

use std::mem::ManuallyDrop;
use std::path::PathBuf;

use bellwether_core::compare::{Device, Sides, compare, forecast};
use bellwether_schemas::comparison::Comparison;
use clap::Args;
use rayon::prelude::*;

use crate::failure::{self, Failure};
use crate::get::printable;
use crate::history::HistoryOptions;
use crate::inventory;
use crate::output::{self, Form, Paint};
use crate::repo::{WorkingCopy, git};
use crate::validate::{self, Base};

use report::About;

const EXAMPLES: &str = "Examples:
  bellwether diff --base main                          (what would my branch do, once it is merged?)
  bellwether diff --base origin/main --inventory devices.json
  bellwether diff --base HEAD~1                        (what did the newest landing do?)
  bellwether diff --base origin/main --output markdown --out whole.md > comment.md

Without --inventory the devices are those that git lists; each token that names no device counts as one. An inventory is
what bellwether get devices --output json printed, or the address of the reconciler's page.
It tells what becomes of devices, what is decided (Holds, Approvals, Expedites, Resumes, pins, Rollouts), and what is risky.
Exit codes: 0 it was compared, whatever the risks are; 1 it cannot be merged as it is; 2 wrong usage or environment.";

/// The forms of a comparison.
const FORMS: &[Form] = &[Form::Text, Form::Json, Form::Markdown];

/// What is compared if nothing else is named.
const HEAD: &str = "HEAD";

/// Options of `diff`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DiffArgs {
    /// What devices run, or are on the way to: a branch or commit
    #[arg(long, value_name = "REV")]
    base: String,
    /// What they would run: a branch or commit, merged into the base unless it goes on from it
    #[arg(long, default_value = HEAD, value_name = "REV")]
    head: String,
    /// The devices: a file as bellwether get devices --output json prints it, a CSV file with the columns name and labels,
    /// or the address of the reconciler's page
    #[arg(long, value_name = "FILE|URL")]
    inventory: Option<String>,
    /// PEM file with the certificate authority of that address, if it is not publicly trusted
    #[arg(long, env = "BELLWETHER_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    history: HistoryOptions,
    /// The form of the comparison
    #[arg(long, value_parser = Form::among(FORMS), default_value = "text", display_order = 100)]
    output: Form,
    /// Also write the comparison to a file, in another form; may be repeated
    #[arg(long, value_name = "FORM=FILE", value_parser = form_and_file)]
    also: Vec<(Form, PathBuf)>,
    /// Write the whole comparison as markdown to this file: a comment has room for 65,536 characters only
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &DiffArgs) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.history.repo)?;
    let inventory = || args.inventory.as_deref().map(|place| inventory::read(place, args.ca.as_deref())).transpose();
    // Both are long, where there are many devices.
    let (read, listed) = std::thread::scope(|scope| {
        let listed = scope.spawn(inventory);
        let read = sides::read(&copy, &args.base, &args.head, &args.history);
        (read, listed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    // The process ends with this: to take millions of small parts apart first would be a tenth of its time.
    let (read, listed) = (ManuallyDrop::new(read?), listed?);
    let sides::Read { verifier, history, before, after, changes, .. } = &*read;
    let sides = Sides { objects: &verifier.objects, history, before, after, changes };
    let devices: ManuallyDrop<Vec<Device>> = ManuallyDrop::new(match listed {
        Some(listed) => listed.into_iter().map(device).collect(),
        None => Device::listed(sides.before, sides.after.declared()),
    });
    let unreadable = |e| git("an object of the repository cannot be read", &e);
    let base = Base { commit: read.base, verifier: verifier.clone(), history: Ok(history.clone()) };
    let mut comparison = compare(&sides, &devices).map_err(unreadable)?;
    if read.landed.is_none() {
        comparison.risks.splice(0..0, validate::uncounted(&copy, base, &read.head, read.at)?);
    }
    let forecasts: Vec<_> = comparison.fleets.par_iter().map(|change| forecast(&sides, change, read.at)).collect();
    let about = About { landed: read.landed, inventory: args.inventory.is_some() };
    let report = report::report(&sides, &comparison, &forecasts, &about).map_err(unreadable)?;
    for (form, file) in &args.also {
        write(file, &written(&report, *form, Paint::none()))?;
    }
    if let Some(file) = &args.out {
        write(file, &markdown::whole(&report))?;
    }
    output::bytes(written(&report, args.output, Paint::stdout()).as_bytes());
    if report.landed.is_some() && args.head == HEAD && args.output == Form::Text {
        note_uncommitted(&copy)?;
    }
    Ok(())
}

/// Who expects more than nothing may not have committed it yet.
fn note_uncommitted(copy: &WorkingCopy) -> Result<(), Failure> {
    if let Some(files) = copy.left_out()? {
        output::note(format!("Note: commits are compared, and this is in none yet: {}", printable(&files)));
    }
    Ok(())
}

fn device(listed: inventory::Listed) -> Device {
    let inventory::Listed { name, entry, labels, is_offline, allows } = listed;
    Device { shown: name.to_string(), name, entry, labels, is_offline, allows }
}

fn written(report: &Comparison, form: Form, paint: Paint) -> String {
    match form {
        Form::Json => format!("{}\n", serde_json::to_string_pretty(report).expect("a report has text keys only")),
        Form::Markdown => markdown::comment(report),
        Form::Text | Form::Svg | Form::Sarif | Form::Github | Form::Gitlab | Form::Junit => {
            text::written(report, paint)
        }
    }
}

fn write(file: &std::path::Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text).map_err(|e| failure::file("cannot write", file, &e))
}

fn form_and_file(text: &str) -> Result<(Form, PathBuf), String> {
    Form::with_file(text, FORMS)
}
