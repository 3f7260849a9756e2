//! Benches: `bench <name> --output json` prints one JSON object a run, each with the limit measured in the same run.

mod agent;
mod diff;
mod figures;
mod plan;
mod publish;
mod push;
mod repository;
mod simulate;
mod tick;
mod validate;
mod verify;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;

/// The name under which this program is the reconciler and the agent.
const PART: &str = "part";

/// Measures Bellwether, and in the same run the limit of this machine.
///
/// A figure alone says little: each bench also measures how fast the machine would be if the program did nothing
/// else, and prints both and their ratio. The ratio travels between machines, the figure does not.
#[derive(Debug, Parser)]
#[command(
    name = "bench",
    after_help = "Build it with --release, run it on a calm machine, and quote the median of three runs:
  cargo run --release -p bellwether-tests --bin bench -- verify --output json
Files are made below --dir, which should be on the disk that is of interest (not a tmpfs).
What was measured, and where, is written down in docs/performance.md."
)]
struct Cli {
    #[command(subcommand)]
    bench: Bench,
    /// How to print the figures
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Where temporary files are made
    #[arg(long, global = true, env = "TMPDIR", default_value = "/tmp")]
    dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line for each figure
    Text,
    /// One JSON object
    Json,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Judge a linear history of signed commits, against raw Ed25519 verifications of the same signatures and against git
    Verify(verify::Options),
    /// What a look at the repository costs: with nothing new, and from one changed manifest to a new plan
    Tick(tick::Options),
    #[command(hide = true)]
    Clone(verify::Clone),
    /// Sign and store the metadata of many devices, against raw signatures and plain writes of the same bytes
    Publish(publish::Options),
    /// From the start of `git push` to the device's healthy report, with the parts that nobody can avoid
    PushToApplied(push::Options),
    /// Plan a fleet anew and report by report
    Plan(plan::Options),
    /// A rollout to a great fleet on a virtual clock, by the real planner and the devices' real state machine
    Simulate(simulate::Options),
    /// Every manifest of a repository, against check-jsonschema on some of them
    Validate(validate::Options),
    /// What one changed fleet among many does to the devices of an inventory
    Diff(diff::Options),
    /// Resident memory of an idle agent with an open session, and the size of its binary
    Agent(agent::Options),
}

fn main() -> ExitCode {
    // A site starts its processes from one program: this one, by another name.
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_default();
    if Path::new(&called).file_name() == Some(OsStr::new(PART)) {
        let arguments: Vec<_> = arguments.collect();
        return match arguments.first().and_then(|word| word.to_str()) {
            Some("reconciler") => bellwether_reconciler::cli::main(arguments),
            Some("agent") => bellwether_agent::cli::main(arguments),
            _ => ExitCode::from(2),
        };
    }
    match measure(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn measure(cli: &Cli) -> anyhow::Result<()> {
    // Sites make their folders by themselves.
    let _ = tempfile::env::override_temp_dir(&cli.dir);
    let dir = tempfile::Builder::new().prefix("bellwether-bench-").tempdir_in(&cli.dir);
    let dir = dir.with_context(|| format!("no temporary folder can be made in {}", cli.dir.display()))?;
    match &cli.bench {
        Bench::Verify(options) => print(cli.output, &verify::run(options, dir.path())?),
        Bench::Tick(options) => print(cli.output, &tick::run(options, dir.path())?),
        Bench::Clone(options) => verify::clone(options),
        Bench::Publish(options) => print(cli.output, &publish::run(options, dir.path())?),
        Bench::PushToApplied(options) => print(cli.output, &push::run(options, dir.path())?),
        Bench::Plan(options) => print(cli.output, &plan::run(options)?),
        Bench::Simulate(options) => print(cli.output, &simulate::run(options)?),
        Bench::Validate(options) => print(cli.output, &validate::run(options, dir.path())?),
        Bench::Diff(options) => print(cli.output, &diff::run(options, dir.path())?),
        Bench::Agent(options) => print(cli.output, &agent::run(options, dir.path())?),
    }
}

/// This program under the name by which it is reconciler and agent.
fn part(dir: &Path) -> anyhow::Result<PathBuf> {
    let part = dir.join(PART);
    std::os::unix::fs::symlink(std::env::current_exe()?, &part)?;
    Ok(part)
}

fn print(output: Output, figures: &impl Serialize) -> anyhow::Result<()> {
    let figures = serde_json::to_value(figures)?;
    match (output, &figures) {
        (Output::Text, serde_json::Value::Object(figures)) => {
            for (name, value) in figures {
                println!("{name:<26} {value}");
            }
        }
        _ => println!("{figures}"),
    }
    Ok(())
}
