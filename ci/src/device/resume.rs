//! `bellwether device resume`: a signed Resume, for exactly the devices and commits that are meant.

use std::collections::BTreeSet;

use bellwether_schemas::api::{Condition, DeviceView, RepositoryView};
use bellwether_schemas::manifest::{Kind, LabelSelector};
use bellwether_schemas::{CommitId, DeviceName, codes, yaml};
use clap::Args;

use super::choice::Choice;
use crate::decision::{self, DecisionOptions};
use crate::failure::Failure;
use crate::meant;
use crate::output::{self, Output};
use crate::repo::WorkingCopy;
use crate::select::SelectorOptions;
use crate::server::{Server, ServerOptions};
use crate::token_edit::quoted;

const EXAMPLES: &str = "Examples:
  bellwether device resume device-3 --server URL --reason \"disk was copied\" --commit && git push   (asks what it lacks)
  bellwether device resume --field-selector status.summary.status=ConflictPaused --selector site=kiel \\
    --server URL --reason \"restored from old images\" --commit && git push   (all that are paused at one site)
  bellwether device resume device-3 --over COMMIT --reason \"…\" --commit && git push   (without asking)
  bellwether device resume --all --over COMMIT --reason \"main was reset\" --commit && git push   (whoever reports COMMIT)

A paused device runs something that git does not contain. The better way out is to push the missing commits: then the
pause ends by itself. A resume makes git overrule what the devices run; it is for the named commits only.

With --server (or BELLWETHER_SERVER) it asks which of the chosen devices are paused, and the Resume names exactly those
devices and exactly the commits that they lack; others stay paused, and it says how many. Without, name the commits with
--over. --all covers every device that reports one of the commits, also one that comes back later.";

/// Names that a message lists.
const LISTED: usize = 10;

/// Options of `device resume`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ResumeArgs {
    /// Only these devices
    #[arg(
        required_unless_present_any = ["all", "selector", "field_selector"],
        conflicts_with_all = ["all", "selector", "field_selector"]
    )]
    devices: Vec<DeviceName>,
    #[command(flatten)]
    selector: SelectorOptions,
    /// Every device that reports one of the missing commits
    #[arg(long, conflicts_with_all = ["selector", "field_selector"])]
    all: bool,
    /// The missing commits that git overrules [default: what the server says that the devices lack]
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

/// What the manifest says.
#[derive(Debug, Default)]
struct Said {
    over: BTreeSet<CommitId>,
    devices: BTreeSet<DeviceName>,
    selector: Option<LabelSelector>,
    /// What was found out on the way, for programs.
    found: Option<Choice>,
}

pub(crate) fn run(args: &ResumeArgs, output: Output) -> Result<(), Failure> {
    let copy = WorkingCopy::discover(&args.decision.repo)?;
    let said = decide(args, output)?;
    let first = said.over.iter().next().map(CommitId::short);
    let last = first.as_deref().or(said.devices.first().map(DeviceName::as_str)).unwrap_or("devices");
    let name = decision::name(&args.decision, &["resume", last]);
    let text = decision::header(Kind::Resume, &name) + &said.spec() + &format!("  reason: {}\n", quoted(&args.reason));
    if text.len() > yaml::MAX_MANIFEST {
        let message = format!("a Resume for {} devices is longer than a manifest may be", said.devices.len());
        return Err(Failure::new(codes::USAGE, message).hint(
            "Choose fewer, site by site with --selector, or cover all that report a commit: --all --over COMMIT",
        ));
    }
    let edit = decision::new_manifest(&copy, Kind::Resume, &name, text)?;
    let decided = decision::Decided {
        edits: &[edit],
        summary: &format!("Resume {}\n\n{}", said.whom(), args.reason),
        found: said.found.as_ref().map(|found| serde_json::to_value(found).expect("names and commits are texts")),
    };
    decision::carry_out_found(&copy, &decided, &args.decision, output)
}

fn decide(args: &ResumeArgs, output: Output) -> Result<Said, Failure> {
    let over: BTreeSet<CommitId> = args.over.iter().copied().collect();
    args.selector.read()?;
    // One line for all needs nobody who knows them.
    if args.all && !over.is_empty() {
        return Ok(Said { over, ..Said::default() });
    }
    if let Some(server) = args.server.connect_if_given()? {
        return ask(args, &server, &over, output);
    }
    let missing = |message: &str| Err(Failure::new(codes::USAGE, message));
    match (args.selector.is_all(), args.selector.field_selector.is_some()) {
        (_, true) => missing("which devices are so? --field-selector needs --server"),
        (true, _) if args.devices.is_empty() && over.is_empty() => {
            missing("which missing commits? --all needs --over COMMIT, or --server")
        }
        (false, _) if over.is_empty() => missing("which missing commits? --selector needs --over COMMIT, or --server"),
        _ => {
            if over.is_empty() {
                let hint = "Without --over or --server it ends the pause of devices whose report is altered or unreadable \
                            (BW-0302, BW-0303), not of those that lack a commit (BW-0301).";
                output::aside(output, hint);
            }
            let devices = args.devices.iter().cloned().collect();
            Ok(Said { over, devices, selector: args.selector.labels()?, found: None })
        }
    }
}

/// Decides from what the reconciler knows.
fn ask(args: &ResumeArgs, server: &Server, over: &BTreeSet<CommitId>, output: Output) -> Result<Said, Failure> {
    let known: Vec<DeviceView> = server.get("devices")?;
    let unknown: Vec<&DeviceName> =
        args.devices.iter().filter(|name| !known.iter().any(|device| device.name == **name)).collect();
    if !unknown.is_empty() {
        let message = format!("{} does not know {}", server.address(), listed(&unknown));
        let look = format!("See bellwether get devices --server {}", server.address());
        let there = known.iter().map(|device| device.name.as_str());
        return Err(Failure::finding(codes::NO_SUCH_OBJECT, message).hint(meant::hint(
            unknown[0].as_str(),
            there,
            look,
        )));
    }
    let selector = args.selector.read()?;
    let is_chosen = |device: &DeviceView| {
        (args.devices.is_empty() || args.devices.contains(&device.name)) && selector.matches(device)
    };
    let choice = Choice::among(&known, is_chosen, Some(over).filter(|over| !over.is_empty()));
    if choice.devices.is_empty() || (args.all && choice.over.is_empty()) {
        return Err(nobody(&choice, server));
    }
    let repository: RepositoryView = server.get("repository")?;
    tell(&choice, args.all, &repository, output);
    let over = choice.over.clone();
    let devices = if args.all { BTreeSet::new() } else { choice.devices.clone() };
    Ok(Said { over, devices, selector: None, found: Some(choice) })
}

/// None of those that were chosen is paused by what a Resume can be over.
fn nobody(choice: &Choice, server: &Server) -> Failure {
    let mut message = "none of these devices is paused by what a Resume can be over".to_owned();
    for (names, why) in [
        (&choice.unlisted, "no accepted landing lists the enrollment entry of"),
        (&choice.held_back, "other commits than those of --over are missing for"),
    ] {
        if !names.is_empty() {
            message.push_str(&format!("; {why} {}", listed(names)));
        }
    }
    let paused = "--field-selector status.summary.status=ConflictPaused";
    Failure::finding(codes::NOT_PAUSED, message)
        .hint(format!("See who is: bellwether get devices --server {} {paused}", server.address()))
}

/// Tells whom the Resume leaves out.
fn tell(choice: &Choice, all: bool, repository: &RepositoryView, output: Output) {
    let say = |text: String| output::aside(output, text);
    let (devices, commits) = (choice.devices.len(), choice.over.len());
    say(format!("Resumes {}, over {}.", counted(devices, "paused device"), counted(commits, "missing commit")));
    if all {
        say("It covers every device that reports one of these commits, also one that comes back later.".to_owned());
    } else if !choice.not_paused.is_empty() {
        say(format!("Not paused, and left out: {}", listed(&choice.not_paused)));
    }
    if choice.others > 0 {
        let (others, stay) = match choice.others {
            1 => ("1 other device names".to_owned(), "stays"),
            number => (format!("{number} other devices name"), "stay"),
        };
        say(format!("{others} the same missing commits, and {stay} paused."));
    }
    if !choice.unlisted.is_empty() {
        let names = listed(&choice.unlisted);
        say(format!("No Resume helps where no accepted landing lists the enrollment entry (BW-0335): {names}"));
    }
    if !choice.held_back.is_empty() {
        let names = listed(&choice.held_back);
        say(format!("These lack other commits than those of --over, and stay paused: {names}"));
    }
    if matches!(repository.condition, Condition::Rewound { .. }) {
        say("The branch is set back (Rewound): no Resume counts before that has ended.".to_owned());
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let shown: Vec<&str> = names.iter().take(LISTED).map(AsRef::as_ref).collect();
    let more = names.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

impl Said {
    fn spec(&self) -> String {
        let mut text = String::new();
        if !self.over.is_empty() {
            text.push_str(&decision::list("over", self.over.iter().map(ToString::to_string)));
        }
        if !self.devices.is_empty() {
            text.push_str(&decision::list("devices", self.devices.iter().map(ToString::to_string)));
        }
        if let Some(selector) = &self.selector {
            text.push_str("  selector:\n");
            if !selector.match_labels.is_empty() {
                text.push_str("    matchLabels:\n");
            }
            for (key, value) in &selector.match_labels {
                text.push_str(&format!("      {}: {}\n", quoted(key), quoted(value)));
            }
            if !selector.match_expressions.is_empty() {
                text.push_str("    matchExpressions:\n");
            }
            for term in &selector.match_expressions {
                let values: Vec<String> = term.values.iter().map(|value| quoted(value)).collect();
                let values =
                    if values.is_empty() { String::new() } else { format!(", values: [{}]", values.join(", ")) };
                let (key, operator) = (quoted(&term.key), term.operator);
                text.push_str(&format!("      - {{key: {key}, operator: {operator:?}{values}}}\n"));
            }
        }
        text
    }

    fn whom(&self) -> String {
        match (self.devices.len(), &self.selector) {
            (0, None) => "all devices".to_owned(),
            (0, Some(_)) => "devices by label".to_owned(),
            (1..=3, _) => self.devices.iter().map(DeviceName::as_str).collect::<Vec<_>>().join(", "),
            (number, _) => format!("{number} devices"),
        }
    }
}
