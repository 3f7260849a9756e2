//! `bellwether keys init`

use std::num::NonZeroU64;
use std::path::PathBuf;

use bellwether_reconciler::keys::{RootKeys, init_with};
use bellwether_schemas::codes;
use clap::Args;
use jiff::Timestamp;

use super::keep_apart;
use crate::failure::Failure;
use crate::output::{self, Output};

const EXAMPLES: &str = "Examples:
  bellwether keys init --root /media/stick/root --online keys/online      (one root key)
  bellwether keys init --root /media/ada --root /media/bob --root /media/eve --threshold 2 --online keys/online
      (three people, two of whom sign each root)

Move the root keys away afterwards: only a change of keys needs them. All folders belong into your backup of secrets.
With several root keys, each with another person, no single one of them can replace keys, and one may be lost.";

/// Options of `keys init`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeysInitArgs {
    /// Folder for a root key; keep it off the reconciler's machine. Once for each key
    #[arg(long, value_name = "DIR", required = true)]
    root: Vec<PathBuf>,
    /// How many of the root keys sign each root
    #[arg(long, value_name = "M", default_value = "1")]
    threshold: NonZeroU64,
    /// Folder for the keys the reconciler signs with
    #[arg(long, value_name = "DIR")]
    online: PathBuf,
}

pub(super) fn run(args: &KeysInitArgs, output: Output) -> Result<(), Failure> {
    for root in &args.root {
        keep_apart(root, &args.online)?;
    }
    let (named, threshold) = (args.root.len(), args.threshold);
    if usize::try_from(threshold.get()).is_ok_and(|threshold| threshold > named) {
        let keys = if named == 1 { "one root key is" } else { "fewer root keys are" };
        return Err(Failure::new(codes::ROOT_DRAFT, format!("{threshold} must sign, and {keys} to be made")).hint(
            format!(
                "Name a folder for each person's key, {threshold} at least: --root DIR --root DIR …; nothing was made."
            ),
        ));
    }
    let dirs = args.root.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ");
    let keys = RootKeys { dirs: args.root.clone(), threshold: args.threshold };
    init_with(&keys, &args.online, Timestamp::now()).map_err(|e| {
        let message = format!("cannot make keys in {dirs} and {}", args.online.display());
        Failure::new(e.code(), message).because(&e)
    })?;
    match (output, args.root.as_slice()) {
        (Output::Json, [root]) => output::json(&serde_json::json!({ "root": root, "online": args.online })),
        (Output::Json, roots) => {
            output::json(&serde_json::json!({ "roots": roots, "threshold": args.threshold, "online": args.online }))
        }
        (Output::Text, [root]) => output::line(format!(
            "Made the root key in {} and the online keys in {}.\nMove the root key away from the reconciler's machine, and back both up.",
            root.display(),
            args.online.display()
        )),
        (Output::Text, roots) => output::line(format!(
            "Made {} root keys in {dirs}, of which {} sign, and the online keys in {}.\nMove each root key to another person, and back all of them up.",
            roots.len(),
            args.threshold,
            args.online.display()
        )),
    }
    Ok(())
}
