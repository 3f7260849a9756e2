//! `bellwether keys`: the keys that sign what devices get.

use std::path::{Path, PathBuf};

use bellwether_schemas::codes;
use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::failure::{self, Failure};
use crate::output::{self, Output};

const EXAMPLES: &str = "Examples:
  bellwether keys init --root /media/stick/root --online keys/online

Move the root key away afterwards: only a change of keys needs it. Both folders belong into your backup of secrets.";

/// Subcommands of `keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make the root key and the three online keys, and sign the first root
    Init(KeysInitArgs),
}

/// Options of `keys init`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeysInitArgs {
    /// Folder for the root key; keep it off the reconciler's machine
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// Folder for the keys the reconciler signs with
    #[arg(long, value_name = "DIR")]
    online: PathBuf,
}

pub(crate) fn run(command: &KeysCommand, output: Output) -> Result<(), Failure> {
    let KeysCommand::Init(args) = command;
    keep_apart(&args.root, &args.online)?;
    bellwether_reconciler::keys::init(&args.root, &args.online, Timestamp::now()).map_err(|e| {
        let message = format!("cannot make keys in {} and {}", args.root.display(), args.online.display());
        Failure::new(e.code(), message).because(&e)
    })?;
    match output {
        Output::Json => output::json(&serde_json::json!({ "root": args.root, "online": args.online })),
        Output::Text => output::line(format!(
            "Made the root key in {} and the online keys in {}.\nMove the root key away from the reconciler's machine, and back both up.",
            args.root.display(),
            args.online.display()
        )),
    }
    Ok(())
}

/// The root key must not lie where the reconciler's keys are: whoever takes those would have it too.
fn keep_apart(root: &Path, online: &Path) -> Result<(), Failure> {
    let place = |dir: &Path| std::path::absolute(dir).map_err(|e| failure::file("cannot find", dir, &e));
    let (root_place, online_place) = (place(root)?, place(online)?);
    if !root_place.starts_with(&online_place) {
        return Ok(());
    }
    let message = format!("the root key would lie with the online keys, in {}", online.display());
    Err(Failure::new(codes::USAGE, message).hint("Name a folder for --root that is not in the one for --online."))
}
