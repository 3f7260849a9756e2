//! `bellwether-reconciler backup` and `restore`.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::Output;
use crate::config::{CONFIG_FILE, Config};
use crate::publish::Objects;
use crate::restore::{RestoreError, back_up, restore};
use crate::run::RunError;
use crate::store::Store;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bellwether-reconciler backup --config /var/lib/bellwether/reconciler.yaml --to /backup/bellwether-$(date +%F)   (each day)

The backup holds the database (as SQLite, also from PostgreSQL), the records of accepted head, rollouts and spent tokens,
and the chain of TUF roots. It does not hold secrets: back up keys/ and ca/ apart, once and after each change of them.
Without any backup the state comes back from git, the store and what devices hold; see docs/backup-restore.md.")]
pub(super) struct Backup {
    /// The configuration.
    #[arg(long, env = "BELLWETHER_CONFIG", default_value = CONFIG_FILE)]
    config: PathBuf,
    /// The folder to make; it must not exist yet.
    #[arg(long)]
    to: PathBuf,
    /// How the outcome is printed.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bellwether-reconciler restore --config reconciler.yaml --from /backup/bellwether-2026-11-01   (that day)
  bellwether-reconciler restore --config reconciler.yaml                (from what is left)

Stop the reconciler, put keys/ and ca/ back, move a damaged database or store aside, and restore. Then run the reconciler:
every device that has a version is AwaitingReconnect until it has reported, and nothing is published for it before.

Without --from it goes on with what is left: a database without its store, a store without its database, or neither. A lost
database alone needs no restore: run fills an empty one from the store. Where records of spent tokens are gone, or may be,
the tokens that git lists until now are void; mint new ones.")]
pub(super) struct Restore {
    /// The configuration.
    #[arg(long, env = "BELLWETHER_CONFIG", default_value = CONFIG_FILE)]
    config: PathBuf,
    /// The folder that `backup` made; else what is left of database and store.
    #[arg(long)]
    from: Option<PathBuf>,
    /// How the outcome is printed.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Backup {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = Config::load(&self.config).map_err(RunError::from)?;
        let store = Store::open_beside(&config.state).await.map_err(RunError::from)?;
        let objects = Objects::in_directory(&config.store).map_err(RunError::from)?;
        let about = back_up(&store, objects.store().as_ref(), &self.to, Timestamp::now()).await?;
        store.close().await;
        let mut out = std::io::stdout().lock();
        match self.output {
            Output::Json => writeln!(out, "{}", serde_json::to_string(&about)?)?,
            Output::Text => {
                let head = about.head.map_or("none yet".to_owned(), |head| head.to_string());
                writeln!(out, "made {}\ndevices  {}\nhead     {head}", self.to.display(), about.devices)?;
                writeln!(
                    out,
                    "It holds no secrets: back up {} and {} apart.",
                    config.keys.display(),
                    config.ca.display()
                )?;
            }
        }
        Ok(())
    }
}

impl Restore {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = Config::load(&self.config).map_err(RestoreError::from)?;
        let restored = restore(&config, self.from.as_deref(), Timestamp::now()).await?;
        let recovered = restored.recovered;
        let mut out = std::io::stdout().lock();
        match self.output {
            Output::Json => {
                let outcome = serde_json::json!({
                    "devices": recovered.devices, "awaited": recovered.awaited, "rollouts": recovered.rollouts,
                    "spentTokens": recovered.tokens, "newStore": restored.new_store, "voidTokens": restored.void_tokens,
                });
                writeln!(out, "{outcome}")?;
            }
            Output::Text => {
                writeln!(
                    out,
                    "restored\ndevices  {}, of which {} are waited for\nrollouts {} from the store's records\ntokens   {} are \
                     known to be spent",
                    recovered.devices, recovered.awaited, recovered.rollouts, recovered.tokens
                )?;
                if restored.new_store {
                    writeln!(out, "The store was lost: everything is published anew as devices report.")?;
                }
                if restored.void_tokens {
                    writeln!(
                        out,
                        "Tokens that git lists until now are void, for some may be spent: bellwether token mint."
                    )?;
                }
                writeln!(out, "next: bellwether-reconciler run --config {}", self.config.display())?;
            }
        }
        Ok(())
    }
}
