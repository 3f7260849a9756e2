//! `bellwether get`: what the reconciler knows, in tables; rollouts with their waves.

mod rollouts;

use bellwether_core::plan::{Advice, condition_advice, moment};
use bellwether_schemas::api::{
    CommitView, DeviceView, EVENTS, EventView, FleetView, RepositoryView, RequestView, RolloutView,
};
use bellwether_schemas::{DeviceName, codes};
use clap::{Args, ValueEnum};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};

use crate::failure::Failure;
use crate::output::{self, Output, Paint};
use crate::select::SelectorOptions;
use crate::server::ServerOptions;

const EXAMPLES: &str = "Examples:
  bellwether get devices --server http://127.0.0.1:8080       (what each runs, its status, and why)
  bellwether get devices --server URL --selector 'site=kiel,ring!=canary'     (by labels)
  bellwether get devices --server URL --field-selector status.summary.status=ConflictPaused   (the paused ones)
  bellwether get rollouts --server http://127.0.0.1:8080 --output json   (waves and reasons, for programs)
  bellwether get events --server URL --device edge-7 --limit 20            (what happened to one device)

BELLWETHER_SERVER and BELLWETHER_CA stand for --server and --ca.";

/// Options of `get`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GetArgs {
    /// What to list
    what: What,
    #[command(flatten)]
    selector: SelectorOptions,
    /// Only events of this device
    #[arg(long, value_name = "NAME")]
    device: Option<DeviceName>,
    /// So many events, 1 to 1000 [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(EVENTS.1)))]
    limit: Option<u32>,
    #[command(flatten)]
    server: ServerOptions,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Fleets, with how many devices are up to date
    Fleets,
    /// Devices, with version, status and reason
    Devices,
    /// Rollouts, with their waves
    Rollouts,
    /// Accepted commits, newest first
    Commits,
    /// The repository: branch, head and condition
    Repository,
    /// Devices that asked to enroll, and wait for approval of their keys
    Requests,
    /// What happened, newest first: offers, enrollments, pauses, restores, alarms
    Events,
}

pub(crate) fn run(args: &GetArgs, output: Output) -> Result<(), Failure> {
    if !args.selector.is_all() && !matches!(args.what, What::Devices) {
        return Err(Failure::new(codes::USAGE, "--selector and --field-selector choose devices")
            .hint("bellwether get devices --selector … lists the devices that are chosen."));
    }
    if (args.device.is_some() || args.limit.is_some()) && !matches!(args.what, What::Events) {
        return Err(Failure::new(codes::USAGE, "--device and --limit choose events").hint(
            "bellwether get events --device NAME lists what happened to it; bellwether why NAME says how it is.",
        ));
    }
    args.selector.read()?;
    let server = args.server.connect()?;
    let path = match args.what {
        What::Fleets => "fleets",
        What::Devices => "devices",
        What::Rollouts => "rollouts",
        What::Commits => "commits",
        What::Repository => "repository",
        What::Requests => "requests",
        What::Events => "events",
    };
    let limit = args.limit.map(|limit| limit.to_string());
    let device = args.device.as_ref().map(|device| ("device", device.as_str()));
    let mut query = args.selector.query();
    query.extend(device.into_iter().chain(limit.as_deref().map(|limit| ("limit", limit))));
    if output == Output::Json {
        output::json(&server.get_where::<serde_json::Value>(path, &query)?);
        return Ok(());
    }
    match args.what {
        What::Fleets => output::line(fleets(&server.get::<Vec<FleetView>>(path)?).to_string()),
        What::Devices => {
            let found: Vec<DeviceView> = server.get_where(path, &query)?;
            output::line(devices(&found).to_string());
            if found.is_empty() && !args.selector.is_all() {
                output::note("No device is chosen by that.");
            } else if found.is_empty() {
                output::note(
                    "No device has enrolled. Make a token: bellwether token mint ENROLLMENT --commit && git push",
                );
            }
        }
        What::Rollouts => {
            let found: Vec<RolloutView> = server.get(path)?;
            if found.is_empty() {
                output::note("Nothing rolls out. A commit that changes a fleet starts a rollout.");
            } else {
                output::line(rollouts::describe(&found, Paint::stdout()));
            }
        }
        What::Commits => output::line(commits(&server.get::<Vec<CommitView>>(path)?).to_string()),
        What::Repository => repository(&server.get(path)?),
        What::Requests => {
            let found: Vec<RequestView> = server.get(path)?;
            output::line(requests(&found).to_string());
            output::note(match found.first() {
                Some(first) => format!(
                    "Compare the fingerprint with what the device shows. Then: bellwether device approve {} --enrollment {} \
                     --commit && git push",
                    first.fingerprint, first.enrollment
                ),
                None => "Nobody waits.".to_owned(),
            });
        }
        What::Events => output::line(events(&server.get_where::<Vec<EventView>>(path, &query)?).to_string()),
    }
    Ok(())
}

pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    table
}

/// The table of devices; `demo` shows the same.
pub(crate) fn devices(devices: &[DeviceView]) -> Table {
    let mut table = table(&["DEVICE", "FLEET", "RUNS", "STATUS", "UPDATE", "WHY"]);
    for device in devices {
        table.add_row([
            device.name.to_string(),
            device.fleet.as_ref().map_or("-".to_owned(), ToString::to_string),
            device.version.map_or("-".to_owned(), |version| version.long()),
            format!("{:?}", device.status.summary.status),
            format!("{:?}", device.status.updated.status),
            printable(&device.why),
        ]);
    }
    table
}

fn fleets(fleets: &[FleetView]) -> Table {
    let mut table = table(&["FLEET", "TEMPLATE", "STABLE", "UP TO DATE", "PROBLEMS"]);
    for fleet in fleets {
        table.add_row([
            fleet.name.to_string(),
            format!("v{} ({})", fleet.landing, fleet.template.short()),
            fleet.stable.map_or("-".to_owned(), |commit| commit.short()),
            format!("{} of {}", fleet.up_to_date, fleet.devices),
            printable(&fleet.invalid.join("; ")),
        ]);
    }
    table
}

fn commits(commits: &[CommitView]) -> Table {
    let mut table = table(&["LANDING", "COMMIT", "SIGNED BY", "COMMITTED", "SUMMARY"]);
    for commit in commits {
        table.add_row([
            format!("v{}", commit.landing),
            commit.commit.short(),
            commit.signed_by(),
            moment(&commit.committed),
            printable(&commit.summary),
        ]);
    }
    table
}

/// A request says what somebody out there made it say: none of it steers the terminal.
fn requests(requests: &[RequestView]) -> Table {
    let mut table = table(&["FINGERPRINT", "ENROLLMENT", "ADDRESS", "FIRST ASKED", "SAYS OF ITSELF"]);
    for request in requests {
        let facts: Vec<_> = request.facts.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        table.add_row([
            request.fingerprint.to_string(),
            request.enrollment.to_string(),
            request.address.to_string(),
            moment(&request.first_asked),
            printable(&facts.join(", ")).replace('\n', " "),
        ]);
    }
    // A fingerprint is copied as a whole.
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table
}

/// An event may quote what a device said.
fn events(events: &[EventView]) -> Table {
    let mut table = table(&["AT", "WHAT", "CODE", "DEVICE", "FLEET", "MESSAGE"]);
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for event in events {
        table.add_row([
            moment(&event.at),
            printable(&event.kind),
            or_none(event.code.as_deref().map(printable)),
            or_none(event.device.as_ref().map(ToString::to_string)),
            or_none(event.fleet.as_ref().map(ToString::to_string)),
            printable(&event.message).replace('\n', " "),
        ]);
    }
    table
}

fn repository(repository: &RepositoryView) {
    let head = match &repository.head {
        Some(head) => {
            format!("v{} ({}) by {}: {}", head.landing, head.commit.short(), head.signed_by(), printable(&head.summary))
        }
        None => "none".to_owned(),
    };
    output::line(format!(
        "repository  {}\nbranch      {}\nhead        {head}\ncondition   {}",
        printable(&repository.url),
        printable(&repository.branch),
        printable(&repository.why),
    ));
    if let Some(advice) = condition_advice(&repository.condition, &repository.branch) {
        output::line(format!("\n{}", advised(&advice)));
    }
}

/// What a person can do, as `why` and `get repository` show it.
pub(crate) fn advised(advice: &Advice) -> String {
    let command = advice.command.as_ref().map(|command| format!("\n\n  {}", printable(command))).unwrap_or_default();
    format!("What you can do:\n  {}{command}", printable(&advice.text))
}

/// Text from git or a device, without what could steer a terminal, or show it otherwise than it is.
pub(crate) fn printable(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let shown: String =
        text.chars().map(|c| if (c.is_control() && c != '\n') || turns(c) { '\u{fffd}' } else { c }).collect();
    // The log of a GitHub workflow takes this for a command, wherever it stands in a line.
    shown.replace("##[", "##\u{fffd}[")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_says_does_not_steer_the_terminal_and_its_fingerprint_is_whole() {
        let all = [RequestView {
            fingerprint: bellwether_schemas::Sha256Digest::of(b"key"),
            enrollment: "lab".parse().expect("a name"),
            facts: [("os\u{1b}[2J".to_owned(), "a\nb".to_owned())].into(),
            address: "192.0.2.1".parse().expect("an address"),
            first_asked: jiff::Timestamp::UNIX_EPOCH,
            last_asked: jiff::Timestamp::UNIX_EPOCH,
        }];
        let shown = requests(&all).to_string();
        assert!(shown.lines().count() == 2 && !shown.contains('\u{1b}'), "{shown:?}");
        let mut narrow = requests(&all);
        narrow.set_width(40);
        assert!(narrow.to_string().contains(&all[0].fingerprint.to_string()), "{narrow}");
    }

    #[test]
    fn an_event_is_a_line_with_what_it_concerns() {
        let event = EventView {
            id: 7,
            at: jiff::Timestamp::UNIX_EPOCH,
            kind: "restored".to_owned(),
            device: None,
            fleet: Some("edge".parse().expect("a name")),
            code: Some("BW-0530".to_owned()),
            message: "the database\nwas lost\u{1b}[2J".to_owned(),
        };
        let shown = events(&[event]).to_string();
        let line: Vec<_> = shown.lines().nth(1).expect("a line").split("  ").map(str::trim).collect();
        let words: Vec<_> = line.into_iter().filter(|word| !word.is_empty()).collect();
        assert_eq!(words[1..], ["restored", "BW-0530", "-", "edge", "the database was lost\u{fffd}[2J"], "{shown}");
    }
}
