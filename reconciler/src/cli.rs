//! The command `bellwether-reconciler`.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bellwether_schemas::{Code, CommitId, Seconds, Sha256Digest};
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

mod certs;
mod installer;
mod state;
use certs::{Certs, StillNeeded};
use installer::Installer;
use state::{Backup, Restore};

use crate::config::{Advertise, CONFIG_FILE, Config, IntroductionConfig, Listen, default_renew_grace};
use crate::git::Access;
use crate::installer::InstallerError;
use crate::keys::ROOT_JSON;
use crate::pki::{Authority, ServerName};
use crate::publish::{Objects, publish_root};
use crate::restore::{BackupError, RestoreError};
use crate::run::{Reconciler, RunError};
use crate::store::{Store, StoreError, check_address, declare_instance};

/// How long what blocks may go on after everything else has ended.
const LAST_WORK: Duration = Duration::from_secs(2);

/// Watches a signed git repository, and publishes to each device what it shall run.
#[derive(Debug, Parser)]
#[command(name = "bellwether-reconciler", version, after_help = "Documentation: docs/architecture.md in the source.")]
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
    /// Shows and renews the listeners' certificate and the authority of devices.
    Certs(Certs),
    /// Copies the state into a new folder, also while the reconciler runs.
    Backup(Backup),
    /// Brings the state back from a backup, or from what is left of it.
    Restore(Restore),
    /// Prints the script that puts the agent onto a device and enrolls it.
    Installer(Installer),
}

/// What `--help` says about `--state`.
const STATE_HELP: &str = "\
Where the state is: sqlite://PATH, relative to DIR, or postgres://USER@HOST/DATABASE of an empty database.

A password is no part of it: it is read from the file that the environment variable PGPASSFILE names, or else from ~/.pgpass \
(mode 0600, a line HOST:PORT:DATABASE:USER:PASSWORD). A server on another machine must prove who it is (sslmode=verify-full), \
by a certificate of a public authority or of the one in sslrootcert.";

#[derive(Debug, Args)]
#[command(after_help = "Example:
  bellwether keys init --root /media/stick --online /var/lib/bellwether/keys/online
  bellwether-reconciler init --dir /var/lib/bellwether \\
      --repository https://git.example.com/fleet.git --commit 9f3c… --policy-sha256 2c26… \\
      --domain example.com --names bellwether.example.com
With PostgreSQL (createuser bellwether; createdb --owner bellwether --encoding UTF8 bellwether):
  PGPASSFILE=/etc/bellwether/pgpass bellwether-reconciler init … \\
      --state postgres://bellwether@db.example.com/bellwether?sslrootcert=/etc/bellwether/db-ca.crt")]
struct Init {
    /// The reconciler's directory; its configuration must not exist yet.
    #[arg(long)]
    dir: PathBuf,
    /// The watched repository: a path, https://… or ssh://…
    #[arg(long)]
    repository: String,
    /// For https: a file with a token or password that opens the repository, mode 0600.
    #[arg(long, help_heading = "Access to the repository")]
    token_file: Option<PathBuf>,
    /// For https: certificates (PEM) to trust instead of the system's.
    #[arg(long, help_heading = "Access to the repository")]
    ca_file: Option<PathBuf>,
    /// For ssh: a private key without a passphrase; else what ssh finds by itself.
    #[arg(long, help_heading = "Access to the repository")]
    ssh_key: Option<PathBuf>,
    /// For ssh: the host keys to trust; else those of the user and the system.
    #[arg(long, help_heading = "Access to the repository")]
    known_hosts: Option<PathBuf>,
    /// The watched branch.
    #[arg(long, default_value = "main")]
    branch: String,
    /// The introduction: the first trusted commit.
    #[arg(long)]
    commit: CommitId,
    /// The introduction: SHA-256 of trust/policy.yaml in that commit.
    #[arg(long)]
    policy_sha256: Sha256Digest,
    /// Where the state is: sqlite://PATH, relative to DIR, or postgres://USER@HOST/DATABASE of an empty database.
    #[arg(long, value_name = "URL", default_value = "sqlite://state.db", long_help = STATE_HELP)]
    state: String,
    /// The name in device certificates, bellwether://DOMAIN/…
    #[arg(long, default_value = "bellwether")]
    domain: String,
    /// A DNS name or IP address that devices reach the reconciler by; separated by commas. The first one is advertised.
    #[arg(long, required = true, value_delimiter = ',')]
    names: Vec<String>,
    /// The directory of the online TUF keys that `bellwether keys init` made, if it is not DIR/keys/online.
    #[arg(long)]
    keys: Option<PathBuf>,
    /// Address of listener enroll.
    #[arg(long, default_value = "0.0.0.0:8440")]
    enroll: SocketAddr,
    /// Address of listener devices.
    #[arg(long, default_value = "0.0.0.0:8441")]
    devices: SocketAddr,
    /// Address of listener updates.
    #[arg(long, default_value = "0.0.0.0:8442")]
    updates: SocketAddr,
    /// Address of listener page: HTTP on a loopback address, HTTPS elsewhere.
    #[arg(long, default_value = "127.0.0.1:8443")]
    page: SocketAddr,
    /// How often devices report, such as 30s.
    #[arg(long, default_value = "30s")]
    heartbeat: Seconds,
}

#[derive(Debug, Args)]
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
            let code = code_of(&error).map(|code| format!("[{code}]")).unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "error{code}: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn code_of(error: &anyhow::Error) -> Option<Code> {
    let of_run = error.downcast_ref::<RunError>().map(RunError::code);
    let of_backup = || error.downcast_ref::<BackupError>().map(BackupError::code);
    let of_certs = || error.downcast_ref::<StillNeeded>().map(StillNeeded::code);
    let of_installer = || error.downcast_ref::<InstallerError>().map(InstallerError::code);
    let of_restore = || error.downcast_ref::<RestoreError>().map(RestoreError::code);
    of_run.or_else(of_certs).or_else(of_backup).or_else(of_restore).or_else(of_installer)
}

impl Init {
    async fn run(self) -> anyhow::Result<()> {
        let file = self.dir.join(CONFIG_FILE);
        anyhow::ensure!(!file.exists(), "{} exists: this reconciler was made already", file.display());
        let names = self.names.iter().map(|name| name.parse()).collect::<Result<Vec<ServerName>, _>>()?;
        check_address(&self.state).map_err(|error| RunError::from(StoreError::from(error)))?;
        let config = self.config()?;
        let root_json = self.dir.join(&config.keys).join(ROOT_JSON);
        let root = std::fs::read(&root_json)
            .with_context(|| format!("cannot read {}; make it by: bellwether keys init", root_json.display()))?;
        std::fs::create_dir_all(&self.dir).with_context(|| format!("cannot create {}", self.dir.display()))?;

        let text = yaml(&config);
        Authority::init(&self.dir.join("ca"), &names, Timestamp::now())?;
        let objects = Objects::in_directory(&self.dir.join("store"))?;
        let store = Store::open(&config.state_in(&self.dir)).await.map_err(RunError::from)?;
        let mut instance = [0; 16];
        aws_lc_rs::rand::fill(&mut instance).map_err(|_| anyhow::anyhow!("the system gave no random numbers"))?;
        declare_instance(&store, objects.store().as_ref(), &hex::encode(instance)).await?;
        publish_root(&objects, &root).await?;
        store.close().await;
        write_new(&file, text.as_bytes())?;

        let mut out = std::io::stdout().lock();
        writeln!(out, "made {}", file.display())?;
        writeln!(out, "devices pin {} and {}", self.dir.join("ca/ca.crt").display(), root_json.display())?;
        writeln!(out, "next: bellwether-reconciler run --config {}", file.display())?;
        writeln!(out, "and for devices: bellwether-reconciler installer --config {} > install.sh", file.display())?;
        Ok(())
    }

    fn config(&self) -> anyhow::Result<Config> {
        let advertised = |listener: SocketAddr| {
            let name = &self.names[0];
            let host = if name.contains(':') && !name.starts_with('[') { format!("[{name}]") } else { name.clone() };
            Some(format!("https://{host}:{}", listener.port()))
        };
        // Paths on the command line are relative to where it runs, those in the file to the file.
        let local = Path::new(&self.repository);
        let repository = if local.exists() { absolute(local)?.display().to_string() } else { self.repository.clone() };
        let place = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
        let keys = place(&self.keys)?;
        let repository_access = Access {
            username: None,
            token_file: place(&self.token_file)?,
            ca_file: place(&self.ca_file)?,
            ssh_key: place(&self.ssh_key)?,
            known_hosts: place(&self.known_hosts)?,
        };
        Ok(Config {
            repository,
            repository_access,
            branch: self.branch.clone(),
            introduction: IntroductionConfig { commit: self.commit, policy_sha256: self.policy_sha256 },
            domain: self.domain.clone(),
            state: self.state.clone(),
            mirror: "mirror.git".into(),
            store: "store".into(),
            keys: keys.unwrap_or_else(|| Path::new("keys").join("online")),
            ca: "ca".into(),
            agents: "agents".into(),
            listen: Listen { enroll: self.enroll, devices: self.devices, updates: self.updates, page: self.page },
            advertise: Advertise {
                enroll: advertised(self.enroll),
                devices: advertised(self.devices),
                updates: advertised(self.updates),
            },
            poll: Seconds::new(30),
            heartbeat: self.heartbeat,
            stale_after: None,
            renew_grace: default_renew_grace(),
            webhook_secret_file: None,
        })
    }
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))
}

fn yaml(config: &Config) -> String {
    // JSON is YAML; written by hand it would be a second description of the same.
    let mut text = "# Where everything of this reconciler is. Relative paths are relative to this file.\n".to_owned();
    let value = serde_json::to_value(config).expect("a configuration has string keys");
    write_yaml(&value, 0, &mut text);
    text
}

fn write_yaml(value: &serde_json::Value, indent: usize, text: &mut String) {
    let serde_json::Value::Object(fields) = value else { return };
    for (key, value) in fields {
        text.push_str(&" ".repeat(indent));
        text.push_str(key);
        match value {
            serde_json::Value::Object(inner) if !inner.is_empty() => {
                text.push_str(":\n");
                write_yaml(value, indent + 2, text);
            }
            // A JSON scalar is a YAML scalar.
            other => text.push_str(&format!(": {other}\n")),
        }
    }
}

fn write_new(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    file.write_all(content).and_then(|()| file.sync_all()).with_context(|| format!("cannot write {}", path.display()))
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
