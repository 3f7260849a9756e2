//! `bellwether-reconciler hold`: the brake that needs no git.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use bellwether_core::plan::moment;
use bellwether_schemas::FleetName;
use clap::Args;
use jiff::Timestamp;

use super::Output;
use crate::brake::{Brake, LocalHold, LocalHolds};
use crate::config::{CONFIG_FILE, Config};
use crate::run::RunError;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bellwether-reconciler hold --reason \"look at site kiel first\"          (every fleet)
  bellwether-reconciler hold edge --reason \"look at site kiel first\"     (one fleet)
  bellwether-reconciler hold --list                                      (what is held, since when, why)
  bellwether-reconciler hold edge --release                              (it goes on)
  bellwether-reconciler hold --release                                   (all local holds)

A running reconciler notices it at once: it offers nothing more, and withdraws what was not begun. It never starts anything,
outlives a restart and a lost database, and is shown wherever a signed Hold would be. Those in git are not touched.")]
pub(super) struct Hold {
    /// The fleet; every fleet if none is given.
    fleet: Option<FleetName>,
    /// Why, for whoever reads it later.
    #[arg(long, required_unless_present_any = ["release", "list"])]
    reason: Option<String>,
    /// Release the hold of this fleet, or all local holds if no fleet is given.
    #[arg(long, conflicts_with = "reason")]
    release: bool,
    /// Show the local holds, and change nothing.
    #[arg(long, conflicts_with_all = ["reason", "release", "fleet"])]
    list: bool,
    /// The configuration.
    #[arg(long, env = "BELLWETHER_CONFIG", default_value = CONFIG_FILE)]
    config: PathBuf,
    /// How the outcome is printed.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Hold {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let config = Config::load(&self.config).map_err(RunError::from)?;
        let brake = Brake::of_store(&config.store);
        let brake = brake.with_context(|| format!("{} cannot be used", config.store.display()))?;
        let mut local = brake.read();
        if !self.list {
            let others = local.holds.into_iter();
            let is_other = |hold: &LocalHold| hold.fleet != self.fleet && (self.fleet.is_some() || !self.release);
            let since = Timestamp::now();
            let new = self.reason.map(|reason| LocalHold { fleet: self.fleet.clone(), since, reason });
            local = LocalHolds { holds: others.filter(is_other).chain(new).collect() };
            brake.write(&local).context("the hold cannot be written")?;
        }
        let mut out = std::io::stdout().lock();
        match self.output {
            Output::Json => writeln!(out, "{}", serde_json::to_string(&local)?)?,
            Output::Text if local.holds.is_empty() => writeln!(out, "nothing is held locally")?,
            Output::Text => {
                for LocalHold { fleet, since, reason } in &local.holds {
                    let fleet = fleet.as_ref().map_or("every fleet", FleetName::as_str);
                    writeln!(out, "{fleet} is held since {}: {reason}", moment(since))?;
                }
            }
        }
        Ok(())
    }
}
