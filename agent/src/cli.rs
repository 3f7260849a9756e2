//! The command line: `enroll`, `run`, `status`, `check`, `unit`.

use std::error::Error;
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bellwether_agent_core::check::Level;
use bellwether_agent_core::unit::{Installed, unit};
use bellwether_agent_core::{Frozen, Status};
use bellwether_schemas::codes;
use bellwether_schemas::name::EnrollmentName;
use bellwether_schemas::quantity::Seconds;
use bellwether_schemas::report::Claim;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::begin;
use crate::check::{self, Subject};
use crate::clock;
use crate::config;
use crate::enroll::{self, EnrollError, Invitation, News, Right};
use crate::head;
use crate::log;
use crate::run::{self, RunError};
use crate::state_dir::{self, Decommissioned, StateDir, StateError};
use crate::supervisor::Supervisor;

const EXAMPLES: &str = "Examples:
  bellwether-agent check     (does the device have everything it needs, and if not, what to do)
  bellwether-agent status    (what runs, and what it waits for)

Enrollment: bellwether-agent enroll --help. As a service: bellwether-agent unit --help.
Exit codes: 0 fine, 1 check found something, 2 it could not be done: the error says why and what to do.";

/// Keeps this device at what its signed targets say.
#[derive(Debug, Parser)]
#[command(name = "bellwether-agent", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key and get its certificate. On an enrolled device: replace certificate and pinned root; what runs and the version floor stay.
    Enroll(EnrollArgs),
    /// Keep the device at what its signed targets say, until stopped.
    Run(RunArgs),
    /// Show what runs, what the agent waits for and why.
    Status(StatusArgs),
    /// Look at everything that the device needs, and say what to do. Changes nothing; works beside a running agent and without a network.
    Check(CheckArgs),
    /// Print the systemd unit to run as, sandboxed to what the configuration allows.
    Unit(UnitArgs),
}

const ENROLL_EXAMPLES: &str = "Examples:
  bellwether-agent enroll --server https://fleet.example:8443 --ca ca.crt --tuf-root root.json --token-file token
  bellwether-agent enroll … --enrollment kiosks
      (no token: prints the fingerprint of its key, and waits until an engineer approves it)
  bellwether-agent enroll … --enrollment kiosks --factory-certificate idevid.pem --factory-key idevid.key

A device that was cut off keeps its key, and asks again with it by the same command.";

#[derive(Debug, Args)]
#[command(after_help = ENROLL_EXAMPLES)]
struct EnrollArgs {
    /// Address of the reconciler's enroll listener: https://host:port
    #[arg(long, env = "BELLWETHER_ENROLL_SERVER")]
    server: String,
    /// The reconciler's CA, the only one that is trusted
    #[arg(long, env = "BELLWETHER_CA")]
    ca: PathBuf,
    /// The TUF root to pin (root.json)
    #[arg(long, env = "BELLWETHER_TUF_ROOT")]
    tuf_root: PathBuf,
    /// File with the token; - reads standard input
    #[arg(long, env = "BELLWETHER_TOKEN_FILE", required_unless_present = "enrollment", conflicts_with = "enrollment")]
    token_file: Option<PathBuf>,
    /// Without a token: the enrollment that an engineer lists this device's key in
    #[arg(long, value_name = "NAME")]
    enrollment: Option<EnrollmentName>,
    /// The certificate that the factory gave this device, and those between it and the authority, PEM, its own first
    #[arg(long, value_name = "FILE", requires_all = ["enrollment", "factory_key"])]
    factory_certificate: Option<PathBuf>,
    /// The key of that certificate, PEM
    #[arg(long, value_name = "FILE", requires = "factory_certificate")]
    factory_key: Option<PathBuf>,
    /// How long to wait for approval, or for the server's attention; 0s asks once [default: for approval without end]
    #[arg(long, value_name = "DURATION")]
    wait: Option<Seconds>,
    /// Where the agent keeps its state
    #[arg(long, env = "BELLWETHER_STATE", default_value = "/var/lib/bellwether")]
    state: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bellwether-agent run --config /etc/bellwether/agent.yaml     (as its systemd unit does)
  bellwether-agent run --state state --root /tmp/device        (beside others on one machine)")]
struct RunArgs {
    /// Where the agent keeps its state
    #[arg(long, env = "BELLWETHER_STATE", default_value = "/var/lib/bellwether")]
    state: PathBuf,
    /// Directory that the device's paths begin at
    #[arg(long, env = "BELLWETHER_ROOT", default_value = "/")]
    root: PathBuf,
    /// What this device allows (agent.yaml); without it nothing but the defaults
    #[arg(long, env = "BELLWETHER_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bellwether-agent status                   (what runs, and what it waits for)
  bellwether-agent status --output json     (for programs)")]
struct StatusArgs {
    /// Where the agent keeps its state
    #[arg(long, env = "BELLWETHER_STATE", default_value = "/var/lib/bellwether")]
    state: PathBuf,
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bellwether-agent check                         # an enrolled device
  bellwether-agent check --server https://bellwether.example.com:8440 --ca ca.crt
                                                 # before enrollment: name, port, certificate, clock
  bellwether-agent check --output json

Exit codes: 0 everything is as it should be, 1 something is not, 2 the command was used wrongly.")]
struct CheckArgs {
    /// Where the agent keeps its state
    #[arg(long, env = "BELLWETHER_STATE", default_value = "/var/lib/bellwether")]
    state: PathBuf,
    /// Directory that the device's paths begin at
    #[arg(long, env = "BELLWETHER_ROOT", default_value = "/")]
    root: PathBuf,
    /// What this device allows; /etc/bellwether/agent.yaml if it is there
    #[arg(long, env = "BELLWETHER_CONFIG")]
    config: Option<PathBuf>,
    /// Ask the enroll listener at this address too: https://host:port
    #[arg(long, env = "BELLWETHER_ENROLL_SERVER")]
    server: Option<String>,
    /// The reconciler's CA; that of the enrollment if not given
    #[arg(long, env = "BELLWETHER_CA")]
    ca: Option<PathBuf>,
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bellwether-agent unit > /etc/systemd/system/bellwether-agent.service     (after each edit of agent.yaml)
  systemctl daemon-reload && systemctl restart bellwether-agent")]
struct UnitArgs {
    /// What this device allows
    #[arg(long, env = "BELLWETHER_CONFIG", default_value = check::CONFIG)]
    config: PathBuf,
    /// Directory that the device's paths begin at; the unit's paths begin there
    #[arg(long, env = "BELLWETHER_ROOT", default_value = "/")]
    root: PathBuf,
    /// The agent's program
    #[arg(long, default_value = "/usr/local/bin/bellwether-agent")]
    program: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// A message for a person, with the code that explains it.
struct Message {
    code: String,
    text: String,
    hint: Option<String>,
}

/// The command line, as what is written about it is checked against it.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// Runs the command that `args` (with the program's name first) say.
pub fn main(args: Vec<OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let fine = !error.use_stderr();
            let _ = error.print();
            return if fine { ExitCode::SUCCESS } else { ExitCode::from(2) };
        }
    };
    let done = match cli.command {
        Command::Enroll(args) => enroll_device(&args).map(|()| ExitCode::SUCCESS),
        Command::Run(args) => run_agent(args).map(|()| ExitCode::SUCCESS),
        Command::Status(args) => show_status(&args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check_device(args),
        Command::Unit(args) => print_unit(&args).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(code) => code,
        Err(message) => {
            let explained = codes::explain(&message.code).map(|explanation| explanation.mend.to_owned());
            let mut err = std::io::stderr().lock();
            let prefix = log::prefix(tracing::Level::ERROR);
            let _ = writeln!(err, "{prefix}error[{}]: {}", message.code, message.text);
            if let Some(hint) = message.hint.or(explained) {
                let _ = writeln!(err, "{prefix}  hint: {hint}");
            }
            ExitCode::from(2)
        }
    }
}

fn enroll_device(args: &EnrollArgs) -> Result<(), Message> {
    let failed =
        |error: EnrollError| Message { code: error.code(), text: chain(&error), hint: error.hint().map(str::to_owned) };
    let invitation = Invitation {
        server: args.server.clone(),
        ca: read_text(&args.ca)?,
        root: read_text(&args.tuf_root)?,
        right: right(args)?,
        wait: args.wait.map(Seconds::duration),
    };
    let state = StateDir::lock(&args.state).map_err(|e| failed(e.into()))?;
    let runtime = runtime()?;
    let device = runtime.block_on(enroll::enroll(&state, &invitation, &tell)).map_err(failed)?;
    let _ = writeln!(std::io::stdout(), "enrolled as {device}");
    Ok(())
}

fn right(args: &EnrollArgs) -> Result<Right, Message> {
    let Some(enrollment) = args.enrollment.clone() else {
        let token = args.token_file.as_deref().map(read_token).transpose()?.unwrap_or_default();
        return Ok(Right::Token(token.trim().to_owned()));
    };
    match (&args.factory_certificate, &args.factory_key) {
        (Some(chain), Some(key)) => Ok(Right::Factory { enrollment, chain: read_text(chain)?, key: read_text(key)? }),
        _ => Ok(Right::Approval(enrollment)),
    }
}

/// Tells a person at the device how it stands. The fingerprint alone goes to standard output, for scripts.
fn tell(news: News) {
    let mut err = std::io::stderr().lock();
    let _ = match news {
        News::Fingerprint(fingerprint) => writeln!(std::io::stdout(), "fingerprint {fingerprint}"),
        News::Waits(enrollment, fingerprint) => writeln!(
            err,
            "waiting until an engineer approves this key. On a machine with the fleet's repository:\n  \
             bellwether device approve {fingerprint} --enrollment {enrollment} --commit && git push"
        ),
        News::Trouble(trouble) => writeln!(err, "cannot ask now, and asks again: {trouble}"),
    };
}

fn run_agent(args: RunArgs) -> Result<(), Message> {
    log::begin();
    let message = |code: bellwether_schemas::Code, error: &(dyn Error + 'static)| Message {
        code: code.to_string(),
        text: chain(error),
        hint: None,
    };
    let allowed = config::load(args.config.as_deref()).map_err(|e| message(codes::AGENT_CONFIG, &e))?;
    let failed = |error: RunError| {
        let code = match &error {
            RunError::NotEnrolled(_) => codes::NOT_ENROLLED,
            RunError::State(StateError::InUse(_)) => codes::AGENT_RUNNING,
            RunError::State(_) | RunError::Signals(_) => codes::AGENT_STATE,
            RunError::Apply(error) => error.problem().code,
        };
        message(code, &error)
    };
    let runtime = runtime()?;
    let begun = runtime.block_on(begin::begin(&args.state, &mut Supervisor::from_environment())).map_err(&failed)?;
    let Some(state) = begun else { return Ok(()) };
    let ended = runtime.block_on(run::run(state, args.root, allowed)).map_err(failed);
    let why = ended.as_ref().err().map(|message| format!("{}: {}", message.code, message.text));
    // Where the status cannot be written either, the log says it.
    let _ = state_dir::note_end(&args.state, why);
    // What is being placed right now is under the journal; a restart goes on with it.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    ended
}

fn show_status(args: &StatusArgs) -> Result<(), Message> {
    let damaged =
        |e: crate::disk::DiskError| Message { code: codes::AGENT_STATE.to_string(), text: chain(&e), hint: None };
    if let Some(Decommissioned { device, at }) = state_dir::load_decommissioned(&args.state).map_err(damaged)? {
        let text = match args.output {
            Output::Json => serde_json::json!({ "device": device, "decommissioned": at }).to_string(),
            Output::Text => {
                format!("device     {device}\nphase      decommissioned at {at}: keys and state are removed")
            }
        };
        let _ = writeln!(std::io::stdout(), "{text}");
        return Ok(());
    }
    let Some(mut status) = state_dir::load_status(&args.state).map_err(damaged)? else {
        let (code, text) = match state_dir::load_identity(&args.state).map_err(damaged)? {
            Some(identity) => {
                (codes::AGENT_STOPPED, format!("{} is enrolled, and its agent has not run yet", identity.device))
            }
            None => (codes::NOT_ENROLLED, "the device is not enrolled".to_owned()),
        };
        return Err(Message { code: code.to_string(), text, hint: None });
    };
    watch_silence(&args.state, &mut status);
    let text = match args.output {
        Output::Json => serde_json::to_string_pretty(&status).expect("a status has string keys"),
        Output::Text if state_dir::is_in_use(&args.state) => describe(&status),
        Output::Text => format!("{}\nagent      does not run; its log (the journal) says why", describe(&status)),
    };
    let _ = writeln!(std::io::stdout(), "{text}");
    Ok(())
}

fn check_device(args: CheckArgs) -> Result<ExitCode, Message> {
    let ca = args.ca.as_deref().map(read_text).transpose()?;
    if args.server.is_some() && ca.is_none() && state_dir::load_identity(&args.state).ok().flatten().is_none() {
        let text = "--server needs --ca on a device that is not enrolled: nothing else says whom to trust";
        return Err(Message { code: codes::USAGE.to_string(), text: text.to_owned(), hint: None });
    }
    let CheckArgs { state, root, config, server, output, .. } = args;
    let subject = Subject { state, root, config, server, ca };
    let found = runtime()?.block_on(check::check(&subject));
    let text = match output {
        Output::Json => serde_json::to_string_pretty(&found).expect("a finding has string keys"),
        Output::Text => found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    };
    let _ = writeln!(std::io::stdout(), "{text}");
    let fine = found.iter().all(|finding| finding.level == Level::Ok);
    Ok(ExitCode::from(u8::from(!fine)))
}

fn print_unit(args: &UnitArgs) -> Result<(), Message> {
    let file = config::beneath(&args.root, &args.config);
    let allowed = config::load(Some(&file)).map_err(|e| Message {
        code: codes::AGENT_CONFIG.to_string(),
        text: chain(&e),
        hint: None,
    })?;
    let config = args.config.to_string_lossy();
    let _ = write!(std::io::stdout(), "{}", unit(&allowed, Installed { program: &args.program, config: &config }));
    Ok(())
}

/// Says whether nobody has signed anything for too long, by what the device holds and its clock: the reconciler, or what
/// stands between, may be the one who keeps news back.
fn watch_silence(state: &Path, status: &mut Status) {
    let verified = state_dir::load_trust(state).ok().flatten().and_then(|trust| trust.verified);
    let held = state_dir::load_head(state).map_err(|error| chain(&error));
    let frozen = held.and_then(|held| {
        let damaged = |error| format!("head.json is damaged: {error}");
        head::frozen(&held, clock::now(verified).0).map_err(damaged)
    });
    match frozen {
        Ok(frozen) => status.frozen = frozen,
        Err(why) => {
            let trouble = format!("{}: {why}", codes::AGENT_STATE);
            status.trouble =
                Some(status.trouble.take().map_or(trouble.clone(), |before| format!("{before}; {trouble}")));
        }
    }
}

fn describe(status: &Status) -> String {
    let claim = |claim: &Option<Claim>| {
        claim.map_or("nothing".to_owned(), |c| format!("{}, spec {}", c.version.long(), c.digest.short()))
    };
    let mut lines = vec![
        format!("device     {}", status.device),
        format!("runs       {}", claim(&status.running)),
        format!("health     {}", format!("{:?}", status.health).to_lowercase()),
        format!("phase      {}", format!("{:?}", status.phase).to_lowercase()),
        format!("waits for  {}", status.waiting),
    ];
    if let Some(next) = &status.next {
        lines.push(format!("next       {}", claim(&Some(*next))));
    }
    if let Some(failure) = &status.failure {
        let version = failure.version.map(|v| format!(" of {}", v.long())).unwrap_or_default();
        lines.push(format!("failure    {}{version} at {}: {}", failure.code, failure.at, failure.message));
    }
    if let Some(Frozen { code, since, max_silence }) = &status.frozen {
        let silence =
            format!("nobody has signed a commit since {since}, longer than the {max_silence} that the policy allows");
        lines.push(format!("frozen     {code}: {silence}; news may be kept back"));
    }
    if let Some(trouble) = &status.trouble {
        lines.push(format!("trouble    {trouble}"));
    }
    lines.push(format!("written    {}{}", status.at, if status.connected { ", connected" } else { ", not connected" }));
    lines.join("\n")
}

fn read_text(path: &Path) -> Result<String, Message> {
    std::fs::read_to_string(path).map_err(|e| unreadable(path, &e))
}

fn read_token(path: &Path) -> Result<String, Message> {
    if path != Path::new("-") {
        return read_text(path);
    }
    let mut token = String::new();
    std::io::stdin().take(4_096).read_to_string(&mut token).map_err(|e| unreadable(path, &e))?;
    Ok(token)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Message {
    let text = format!("cannot read {}: {error}", path.display());
    Message { code: codes::FILE_ACCESS.to_string(), text, hint: None }
}

fn runtime() -> Result<tokio::runtime::Runtime, Message> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build();
    built.map_err(|e| Message { code: codes::AGENT_STATE.to_string(), text: e.to_string(), hint: None })
}

/// An error with its causes, each once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Transparent errors repeat what they wrap.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    #[test]
    fn a_device_that_has_not_run_yet_is_told_from_one_that_is_not_enrolled() {
        let dir = tempfile::tempdir().expect("a directory");
        let code = || {
            let args = StatusArgs { state: dir.path().to_owned(), output: Output::Text };
            show_status(&args).err().map(|message| message.code)
        };
        assert_eq!(code(), Some(codes::NOT_ENROLLED.to_string()));
        let state = StateDir::lock(dir.path()).expect("locked");
        let identity = Identity::without_key();
        state.store_identity(&identity).expect("stored");
        assert_eq!(code(), Some(codes::AGENT_STOPPED.to_string()), "another token is not what it needs");
    }
}
