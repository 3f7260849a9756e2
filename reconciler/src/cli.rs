//! The command `bellwether-reconciler`.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bellwether_schemas::{Code, codes};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio_util::sync::CancellationToken;

mod certs;
mod hold;
mod init;
mod installer;
mod state;
use certs::{Certs, StillNeeded};
use hold::Hold;
use init::{Init, InitError};
use installer::Installer;
use state::{Backup, Restore};

use crate::config::{CONFIG_FILE, Config};
use crate::installer::InstallerError;
use crate::restore::{BackupError, RestoreError};
use crate::run::{Reconciler, RunError};
use crate::store::Store;

/// How long what blocks may go on after everything else has ended.
const LAST_WORK: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "Examples:
  bellwether-reconciler run --config /var/lib/bellwether/reconciler.yaml      (as its systemd unit does)
  bellwether-reconciler hold --reason \"look at site kiel first\"              (stop all offers at once, without git)
  bellwether-reconciler certs                                                 (until when certificates hold)
  bellwether-reconciler backup --to /backup/bellwether-$(date +%F)            (also while it runs)

A new one: bellwether keys init, then bellwether-reconciler init --help. Documentation: docs/architecture.md in the source.
Exit codes: 0 fine, 2 it could not be done: the error says why and what to do.";

const RUN_EXAMPLES: &str = "Examples:
  bellwether-reconciler run --config /var/lib/bellwether/reconciler.yaml
  BELLWETHER_CONFIG=reconciler.yaml bellwether-reconciler run --output json   (prints the listeners' addresses as JSON)

It ends by SIGINT or SIGTERM. What its configuration may have: docs/architecture.md. What it says: page, API and metrics.";

/// Watches a signed git repository, and publishes to each device what it shall run.
#[derive(Debug, Parser)]
#[command(name = "bellwether-reconciler", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a new reconciler: configuration, certificate authority, server certificate and an empty store.
    Init(Box<Init>),
    /// Runs the reconciler until SIGINT or SIGTERM.
    Run(Run),
    /// Stops offers at once, without git; `--release` ends that.
    Hold(Hold),
    /// Shows and renews the listeners' certificate and the authority of devices.
    Certs(Certs),
    /// Copies the state into a new folder, also while the reconciler runs.
    Backup(Backup),
    /// Brings the state back from a backup, or from what is left of it.
    Restore(Restore),
    /// Prints the script that puts the agent onto a device and enrolls it.
    Installer(Installer),
}

#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
struct Run {
    /// The configuration.
    #[arg(long, env = "BELLWETHER_CONFIG", default_value = CONFIG_FILE)]
    config: PathBuf,
    /// How the addresses of the listeners are printed once they are open.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

/// The command line, as what is written about it is checked against it.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs the command with these arguments, the first being the program's name.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.context("the runtime cannot be started").and_then(|runtime| {
        let outcome = runtime.block_on(async {
            match cli.command {
                Command::Init(init) => init.run().await,
                Command::Run(run) => run.run().await,
                Command::Hold(hold) => hold.run(),
                Command::Certs(certs) => certs.run().await,
                Command::Backup(backup) => backup.run().await,
                Command::Restore(restore) => restore.run().await,
                Command::Installer(installer) => installer.run(),
            }
        });
        // A fetch from a host that fell silent must not hold the end up.
        runtime.shutdown_timeout(LAST_WORK);
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{}", described(&error));
            ExitCode::from(2)
        }
    }
}

/// An error as people read it: code, what, why, and what to do.
fn described(error: &anyhow::Error) -> String {
    let Some(code) = code_of(error) else { return format!("error: {error:#}") };
    let mend = codes::explain(code.as_str()).map_or("", |explanation| explanation.mend);
    format!("error[{code}]: {error:#}\n  hint: {mend}")
}

fn code_of(error: &anyhow::Error) -> Option<Code> {
    let of_run = error.downcast_ref::<RunError>().map(RunError::code);
    let of_backup = || error.downcast_ref::<BackupError>().map(BackupError::code);
    let of_certs = || error.downcast_ref::<StillNeeded>().map(StillNeeded::code);
    let of_installer = || error.downcast_ref::<InstallerError>().map(InstallerError::code);
    let of_restore = || error.downcast_ref::<RestoreError>().map(RestoreError::code);
    let of_init = || error.downcast_ref::<InitError>().map(InitError::code);
    of_run.or_else(of_init).or_else(of_certs).or_else(of_backup).or_else(of_restore).or_else(of_installer)
}

impl Run {
    async fn run(self) -> anyhow::Result<()> {
        let filter = tracing_subscriber::EnvFilter::try_from_env("BELLWETHER_LOG")
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
        let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();

        let config = Config::load(&self.config).map_err(RunError::from)?;
        let shutdown = CancellationToken::new();
        let stopped = shutdown.clone();
        tokio::spawn(async move {
            stop_signal().await;
            tracing::info!("stopping");
            stopped.cancel();
        });
        let lock = Store::lock_when_free(&config.state, &shutdown).await.map_err(RunError::from)?;
        let Some(lock) = lock else { return Ok(()) };
        let reconciler = Reconciler::open(&config, lock, shutdown).await?;
        self.say_where(&reconciler)?;
        Ok(reconciler.run().await?)
    }

    fn say_where(&self, reconciler: &Reconciler) -> anyhow::Result<()> {
        let bound = &reconciler.bound;
        let page = format!("{}://{}", if bound.page_tls { "https" } else { "http" }, bound.page);
        let (enroll, devices, updates) = (
            format!("https://{}", bound.enroll),
            format!("https://{}", bound.devices),
            format!("https://{}", bound.updates),
        );
        let mut out = std::io::stdout().lock();
        match self.output {
            Output::Json => {
                let line =
                    serde_json::json!({ "enroll": enroll, "devices": devices, "updates": updates, "page": page });
                writeln!(out, "{line}")?;
            }
            Output::Text => {
                writeln!(out, "enroll   {enroll}\ndevices  {devices}\nupdates  {updates}\npage     {page}")?;
            }
        }
        out.flush()?;
        Ok(())
    }
}

async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("a process may handle SIGTERM");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
