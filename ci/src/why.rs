//! `bellwether why`: why a device is where it is, and what it waits for.

use bellwether_schemas::DeviceName;
use bellwether_schemas::api::{DeviceView, WaitingOn};
use clap::Args;

use crate::failure::Failure;
use crate::get::printable;
use crate::output::{self, Output, Paint};
use crate::server::ServerOptions;

const EXAMPLES: &str = "Examples:
  bellwether why device-3 --server http://127.0.0.1:8080
  bellwether why device-3 --server http://127.0.0.1:8080 --output json";

/// Options of `why`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WhyArgs {
    /// The device
    device: DeviceName,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) fn run(args: &WhyArgs, output: Output) -> Result<(), Failure> {
    let server = args.server.connect()?;
    let path = format!("devices/{}", args.device);
    if output == Output::Json {
        output::json(&server.get::<serde_json::Value>(&path)?);
        return Ok(());
    }
    let device: DeviceView = server.get(&path)?;
    output::line(describe(&device));
    Ok(())
}

fn describe(device: &DeviceView) -> String {
    let version = |version: Option<bellwether_schemas::Version>| version.map_or("nothing".to_owned(), |v| v.long());
    let labels: Vec<_> = device.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut text = format!(
        "{}: {}\n\n  fleet      {}\n  labels     {}\n  runs       {}\n  offered    {}\n  status     {:?}, {:?}\n  last seen  {}",
        Paint::stdout().bold(device.name.as_str()),
        printable(&device.why),
        device.fleet.as_ref().map_or("none", |fleet| fleet.as_str()),
        printable(&labels.join(", ")),
        version(device.version),
        version(device.offered),
        device.status.summary.status,
        device.status.updated.status,
        device.last_seen.map_or("never".to_owned(), |at| at.to_string()),
    );
    if let Some(next) = device.reason.as_ref().and_then(|reason| next_step(device, reason)) {
        text.push_str(&format!("\n\nWhat you can do:\n  {next}"));
    }
    text
}

/// A hold's name, given as such or as a path.
fn hold_name(hold: &str) -> String {
    let file = hold.rsplit('/').next().unwrap_or(hold);
    printable(file.strip_suffix(".yaml").unwrap_or(file))
}

/// The command that would change it, where there is one.
fn next_step(device: &DeviceView, reason: &WaitingOn) -> Option<String> {
    match reason {
        WaitingOn::Gate { wave, commit } => {
            let fleet = device.fleet.as_ref()?;
            Some(format!("bellwether approve {fleet} {wave} --commit-id {commit} --reason \"…\" --commit && git push"))
        }
        WaitingOn::Held { hold, .. } => {
            Some(format!("bellwether hold --name {} --release --commit && git push", hold_name(hold)))
        }
        WaitingOn::Paused { commit: Some(commit), .. } => Some(format!(
            "push the missing commit {commit}, or overrule it:\n  bellwether device resume --all --over {commit} --reason \"…\" --commit && git push"
        )),
        WaitingOn::Paused { commit: None, .. } => {
            Some(format!("bellwether device resume {} --reason \"…\" --commit && git push", device.name))
        }
        WaitingOn::Failed { .. } | WaitingOn::Halted { .. } => {
            Some("mend the fleet's manifest and push: the rollout begins again with the new commit".to_owned())
        }
        WaitingOn::EmptyWave { wave } => {
            Some(format!("give a device the labels that wave {wave} selects, or change the wave"))
        }
        WaitingOn::Orphaned => {
            Some("give the device labels that a fleet selects, in devices/ or its enrollment".to_owned())
        }
        WaitingOn::Overlap { .. } => Some("narrow a selector: bellwether validate shows the overlap".to_owned()),
        WaitingOn::Wave { .. }
        | WaitingOn::Soak { .. }
        | WaitingOn::TooFewHealthy { .. }
        | WaitingOn::InFlight { .. }
        | WaitingOn::Stale { .. }
        | WaitingOn::Lookup { .. }
        | WaitingOn::AwaitingReconnect
        | WaitingOn::RenderError { .. }
        | WaitingOn::Repository { .. }
        | WaitingOn::Revoked => None,
    }
}
