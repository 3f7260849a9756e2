//! `bellwether keys show`

use std::path::PathBuf;

use bellwether_reconciler::keys::{Draft, newest, root_file};
use bellwether_schemas::codes;
use bellwether_schemas::lives::is_end_near;
use clap::Args;
use jiff::Timestamp;

use super::{describe, failed};
use crate::failure::{self, Failure};
use crate::output::{self, Output};

/// Options of `keys show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bellwether keys show --online /var/lib/bellwether/keys/online                 (on the reconciler's machine)
  bellwether keys show --online /var/lib/bellwether/keys/online --output json   (for programs)")]
pub(crate) struct KeysShowArgs {
    /// Folder of the keys the reconciler signs with
    #[arg(long, value_name = "DIR")]
    online: PathBuf,
}

pub(super) fn run(args: &KeysShowArgs, output: Output) -> Result<(), Failure> {
    let root = newest(&args.online).map_err(|e| failed("cannot read the roots", &e))?;
    let path = args.online.join(root_file(root.version));
    let bytes = std::fs::read(&path).map_err(|e| failure::file("cannot read", &path, &e))?;
    let draft = Draft::read(&bytes).map_err(|e| Failure::new(codes::ROOT_DRAFT, "cannot read the root").because(&e))?;
    match output {
        Output::Json => output::bytes(&bytes),
        Output::Text => output::line(describe(&draft).trim_end()),
    }
    if is_end_near(root.expires, Timestamp::now()) {
        output::note(format!("warning[{}]: it ends soon: make the next one, bellwether keys rotate", codes::ROOT_ENDS));
    }
    Ok(())
}
