//! `bellwether demo`: everything on one machine, every part real: git, signatures, keys, reconciler, agents as processes.
//!
//! The demo's folder holds all of it, so a demo that was stopped goes on when it is started again.

mod children;
mod folder;
mod place;
mod setup;
mod show;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bellwether_schemas::api::{DeviceView, Updated};
use bellwether_schemas::codes;
use clap::Args;
use jiff::Timestamp;

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::server::Server;

pub(crate) use children::CHILD_OF_DEMO;
use children::Children;
use place::Place;
use show::Screen;

const EXAMPLES: &str = "Examples:
  bellwether demo                                  (Ctrl-C ends all of it; start it again to go on)
  bellwether demo --devices 20 --dir /tmp/demo     (a larger one, elsewhere)
  bellwether demo --once --output json             (roll out, print the result, exit 0 when all are up to date)";

/// How often the table looks at the reconciler.
const LOOK: Duration = Duration::from_millis(250);

/// Options of `demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// How many devices a new demo has [default: 5]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    devices: Option<u32>,
    /// The demo's folder; an earlier demo there goes on
    #[arg(long, default_value = "demo")]
    dir: PathBuf,
    /// Roll out, then exit: 0 when all devices are up to date, 1 otherwise
    #[arg(long)]
    once: bool,
}

pub(crate) fn run(args: &DemoArgs, output: Output) -> Result<(), Failure> {
    if output == Output::Json && !args.once {
        return Err(Failure::new(codes::USAGE, "--output json shows a result, and without --once there is none"));
    }
    check_programs()?;
    let (place, _held) = folder::prepare(&args.dir, args.devices)?;
    let mut children = Children::watch_signals()?;
    let result = show_rollout(args, output, &place, &mut children);
    // Whatever happened, nothing that was started stays behind.
    children.stop();
    result
}

/// What the demo and the commands that it shows start: git, which signs with ssh-keygen.
fn check_programs() -> Result<(), Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let missing: Vec<_> = ["git", "ssh-keygen"].into_iter().filter(|program| !is_there(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(children::failed(format!("the demo needs programs that are not on the PATH: {}", missing.join(", ")))
        .hint("Install them, then start the demo again. On Debian: apt-get install git openssh-client"))
}

fn show_rollout(args: &DemoArgs, output: Output, place: &Place, children: &mut Children) -> Result<(), Failure> {
    let (begun, since) = (Instant::now(), Timestamp::now());
    let page = start(place, children)?;
    let server = Server::connect(&page, None)?;
    let wanted = place.devices().count();
    if !args.once {
        output::line(show::introduction(place, &page));
    }
    let mut screen = Screen::new(args.once);
    let limit = Duration::from_secs(60 + wanted as u64);
    loop {
        children.check()?;
        let devices: Vec<DeviceView> = server.get("devices")?;
        let current = devices.iter().filter(|device| is_up_to_date(device, since)).count();
        let late = wanted.max(devices.len()) - current;
        if !args.once {
            screen.show(&devices, &server.get::<Vec<_>>("rollouts")?);
        } else if late == 0 || begun.elapsed() > limit {
            return finish(&devices, late, output);
        }
        if children.wait(LOOK) {
            if args.once {
                return Err(Failure::finding(
                    codes::NOT_UP_TO_DATE,
                    "the demo was stopped before every device was up to date",
                ));
            }
            output::note("\nStopping the demo. To go on with it, start it again.");
            return Ok(());
        }
    }
}

/// Starts the reconciler, enrolls the devices that are not enrolled yet, and starts their agents.
fn start(place: &Place, children: &mut Children) -> Result<url::Url, Failure> {
    let ready = children.start_reconciler(place)?;
    if place.devices().any(|device| place.token(&device).exists()) {
        output::note("Enrolling the devices …");
    }
    children.enroll(place, &ready.enroll)?;
    for device in place.devices() {
        children.start_agent(place, &device)?;
    }
    ready.page.parse().map_err(|e| children::failed(format!("the page's address {:?} is none", ready.page)).because(&e))
}

/// Whether it said so since then. What is known of a demo that goes on is as old as its stop.
fn is_up_to_date(device: &DeviceView, since: Timestamp) -> bool {
    device.status.updated.status == Updated::UpToDate && device.last_seen.is_some_and(|seen| seen >= since)
}

fn finish(devices: &[DeviceView], late: usize, output: Output) -> Result<(), Failure> {
    match output {
        Output::Json => {
            let devices: Vec<_> = devices.iter().map(result_of).collect();
            output::json(&serde_json::json!({ "devices": devices }));
        }
        Output::Text => output::line(crate::get::devices(devices).to_string()),
    }
    if late == 0 {
        return Ok(());
    }
    Err(Failure::finding(codes::NOT_UP_TO_DATE, format!("{late} of the demo's devices are not up to date")))
}

fn result_of(device: &DeviceView) -> serde_json::Value {
    serde_json::json!({
        "name": device.name, "version": device.version, "status": device.status, "reason": device.reason,
        "lastSeen": device.last_seen,
    })
}
