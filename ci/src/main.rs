//! The command for engineers and CI: it makes, checks and explains the repository, and shows the fleet.
//!
//! Every change it makes is an edit of manifests, signed with `--commit`; nothing here talks to a write API.

mod approve;
mod committed;
mod completions;
mod decision;
mod demo;
mod device;
mod device_edit;
mod devices;
mod diff;
#[cfg(test)]
mod documented;
mod enrollment_edit;
mod explain;
mod failure;
mod fleet;
mod fmt;
mod get;
mod history;
mod hold;
mod init;
mod inventory;
mod keys;
mod land;
mod man;
mod markdown;
mod meant;
mod output;
mod patch;
mod render;
mod repo;
mod rollout;
mod schema;
mod select;
mod server;
mod sign;
mod simulate;
mod span;
mod template;
mod token;
mod token_edit;
mod told;
mod trust;
mod usage;
mod validate;
mod why;
mod yaml_edit;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use failure::Failure;
use output::Form;

const EXAMPLES: &str = "Examples:
  bellwether demo                                          (try it: a whole fleet on this machine)
  bellwether init fleet --key ~/.ssh/fleet                 (begin: a repository of your own)
  bellwether validate && git commit -S -a && git push      (every change: edit manifests, check, sign, push)
  bellwether fleet set edge vars.greeting=Hi --commit      (the same for one field, signed)
  bellwether get devices --server http://127.0.0.1:8080    (look: what runs where)
  bellwether why device-3 --server http://127.0.0.1:8080   (why it is not at its target, and what to do)
  bellwether explain BW-0103                               (what a code means)

Each subcommand has examples: bellwether token mint --help. Shells complete what bellwether completions prints, and bellwether
man writes manual pages.

Exit codes: 0 fine, 1 something was found, 2 wrong usage or environment.";

/// Keeps fleets of devices at what a signed git repository says
#[derive(Debug, Parser)]
#[command(name = "bellwether", version, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    /// What to print: text for people, or one JSON document (failures: JSON on stderr)
    #[arg(long, global = true, value_parser = Form::among(Form::COMMON), hide_possible_values = true, default_value = "text", display_order = 100)]
    output: Form,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Try everything on this machine: repository, reconciler, devices
    Demo(demo::DemoArgs),
    /// Make a new repository: template, policy with your key, first signed commit
    Init(init::InitArgs),
    /// Check every manifest, and whether they fit together
    Validate(validate::ValidateArgs),
    /// Say what a change does: which devices get what, in which waves, and what is dangerous about it
    Diff(diff::DiffArgs),
    /// Bring manifests into one layout; comments and values stay
    Fmt(fmt::FmtArgs),
    /// Say who may sign what, and what the history says by it
    #[command(subcommand, after_help = trust::EXAMPLES)]
    Trust(trust::TrustCommand),
    /// Merge a branch cleanly, signed, if the policy lets it
    Land(land::LandArgs),
    /// Print what a device would get, verified and rendered as the reconciler does it
    Render(render::RenderArgs),
    /// Show what a change of a fleet would do: waves, gates, windows, and what a bad release would harm
    Simulate(simulate::SimulateArgs),
    /// Print the JSON Schema of a kind of manifest, or write all of them
    Schema(schema::SchemaArgs),
    /// Make, show and replace the keys that sign what devices get
    #[command(subcommand, after_help = keys::EXAMPLES)]
    Keys(keys::KeysCommand),
    /// Make tokens with which devices enroll
    #[command(subcommand, after_help = token::GROUP_EXAMPLES)]
    Token(token::TokenCommand),
    /// Open the gate of a wave
    Approve(approve::ApproveArgs),
    /// Stop offers, or let them go on
    Hold(hold::HoldArgs),
    /// Decide about a rollout that halted, failed on devices, or cannot wait
    #[command(subcommand, after_help = rollout::EXAMPLES)]
    Rollout(rollout::RolloutCommand),
    /// Change what a fleet shall run
    #[command(subcommand, after_help = fleet::EXAMPLES)]
    Fleet(fleet::FleetCommand),
    /// Decide about single devices
    #[command(subcommand, after_help = device::EXAMPLES)]
    Device(device::DeviceCommand),
    /// List fleets, devices, rollouts or commits of a running reconciler, or its repository's condition
    Get(get::GetArgs),
    /// Say why a device is where it is, and what it waits for
    Why(why::WhyArgs),
    /// Explain a code such as BW-0103
    Explain(explain::ExplainArgs),
    /// Print what bash, zsh, fish, elvish or PowerShell need to complete command lines
    Completions(completions::CompletionsArgs),
    /// Print or write manual pages
    Man(man::ManArgs),
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = hidden_self(&arguments) {
        return code;
    }
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error, &arguments, Cli::command()),
    };
    match run(&cli).and_then(|()| output::complete()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(cli.output.into()),
    }
}

/// `demo` starts its reconciler and agents from this same program, so that one build is enough to try everything.
fn hidden_self(arguments: &[OsString]) -> Option<ExitCode> {
    let part = arguments.get(1)?.to_str()?;
    let main = match part {
        "__reconciler" => bellwether_reconciler::cli::main,
        "__agent" => bellwether_agent::cli::main,
        _ => return None,
    };
    if std::env::var_os(demo::CHILD_OF_DEMO).is_some() {
        // Where the kernel cannot do it, only a demo that is killed leaves children behind.
        let _unsupported = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    }
    let name = OsString::from(part.replace("__", "bellwether-"));
    Some(main(std::iter::once(name).chain(arguments[2..].iter().cloned()).collect()))
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let output = cli.output.into();
    match &cli.command {
        Command::Demo(args) => demo::run(args, output),
        Command::Init(args) => init::run(args, output),
        Command::Validate(args) => validate::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Fmt(args) => fmt::run(args, output),
        Command::Trust(command) => trust::run(command, output),
        Command::Land(args) => land::run(args, output),
        Command::Render(args) => render::run(args, output),
        Command::Simulate(args) => simulate::run(args),
        Command::Schema(args) => schema::run(args, output),
        Command::Keys(command) => keys::run(command, output),
        Command::Token(command) => token::run(command, output),
        Command::Approve(args) => approve::run(args, output),
        Command::Hold(args) => hold::run(args, output),
        Command::Rollout(command) => rollout::run(command, output),
        Command::Fleet(command) => fleet::run(command, output),
        Command::Device(command) => device::run(command, output),
        Command::Get(args) => get::run(args, output),
        Command::Why(args) => why::run(args, output),
        Command::Explain(args) => explain::run(args, output),
        Command::Completions(args) => {
            completions::run(args);
            Ok(())
        }
        Command::Man(args) => man::run(args, output),
    }
}
