//! `bellwether keys`: the keys that sign what devices get, made and replaced by people.

mod init;
mod rotate;
mod show;

use std::path::{Path, PathBuf};

use bellwether_reconciler::keys::{Draft, KeyError};
use bellwether_schemas::codes;
use clap::{Args, Subcommand};

use crate::failure::{self, Failure};
use crate::output::{self, Output};

pub(crate) const EXAMPLES: &str = "Examples:
  bellwether keys init --root /media/stick/root --online keys/online       (before the first reconciler)
  bellwether keys show --online keys/online                                (who may sign, how many must, when it ends)
  bellwether keys rotate --online keys/online --out draft --new-online --root /media/stick/root
  bellwether keys finish draft --online keys/online                        (devices follow by themselves)

Devices trust the root keys, which you keep away; those name the online keys, with which the reconciler signs all day.";

/// Subcommands of `keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make the root keys and the three online keys, and sign the first root
    Init(init::KeysInitArgs),
    /// Make the root key of a further person
    NewRoot(NewRootArgs),
    /// Show the newest root: who may sign, how many must, when it ends
    Show(show::KeysShowArgs),
    /// Draft the next root: other online keys, other root keys, another threshold, a later end
    Rotate(rotate::KeysRotateArgs),
    /// Sign a drafted root with your root key
    Sign(rotate::KeysSignArgs),
    /// Put a drafted root in force, once enough have signed
    Finish(rotate::KeysFinishArgs),
}

/// Options of `keys new-root`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  For Dan, who is to become one of those who sign:
    bellwether keys new-root /media/dan

root.pem stays with Dan. He hands root.pub over to whoever drafts the next root: bellwether keys rotate --add-root root.pub")]
pub(crate) struct NewRootArgs {
    /// Folder for the key
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn run(command: &KeysCommand, output: Output) -> Result<(), Failure> {
    match command {
        KeysCommand::Init(args) => init::run(args, output),
        KeysCommand::NewRoot(args) => new_root(args, output),
        KeysCommand::Show(args) => show::run(args, output),
        KeysCommand::Rotate(args) => rotate::rotate(args, output),
        KeysCommand::Sign(args) => rotate::sign(args, output),
        KeysCommand::Finish(args) => rotate::finish(args, output),
    }
}

fn new_root(args: &NewRootArgs, output: Output) -> Result<(), Failure> {
    let key =
        bellwether_reconciler::keys::make_root_key(&args.dir).map_err(|e| failed("cannot make a root key", &e))?;
    match output {
        Output::Json => output::json(&serde_json::json!({ "dir": args.dir, "id": key.id() })),
        Output::Text => output::line(format!(
            "Made {}, which stays with you, and root.pub, which you hand over.\nkey id {}",
            args.dir.join("root.pem").display(),
            key.id()
        )),
    }
    Ok(())
}

fn failed(what: &str, error: &KeyError) -> Failure {
    Failure::new(error.code(), what).because(error)
}

/// A root as people see it.
fn describe(draft: &Draft) -> String {
    let root = draft.root();
    let mut text = format!("root {}, good until {}\n", root.version, root.expires);
    let mut roles: Vec<_> = root.roles.iter().map(|(role, keys)| (role.to_string(), keys)).collect();
    // The root first, then the online roles by name.
    roles.sort_by_key(|(role, _)| (role != "root", role.clone()));
    for (role, keys) in roles {
        text.push_str(&format!("{role:<9} {} of {}\n", keys.threshold, keys.keyids.len()));
        for id in &keys.keyids {
            text.push_str(&format!("          {}\n", hex::encode(id.as_ref())));
        }
    }
    text
}

/// Root keys must not lie where the reconciler's keys are: whoever takes those would have them too.
fn keep_apart(root: &Path, online: &Path) -> Result<(), Failure> {
    let place = |dir: &Path| std::path::absolute(dir).map_err(|e| failure::file("cannot find", dir, &e));
    let (root_place, online_place) = (place(root)?, place(online)?);
    if !root_place.starts_with(&online_place) {
        return Ok(());
    }
    let message = format!("the root key would lie with the online keys, in {}", online.display());
    Err(Failure::new(codes::USAGE, message).hint("Name a folder for --root that is not in the one for --online."))
}
