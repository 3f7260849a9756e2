//! `bellwether keys rotate`, `sign` and `finish`: the next root, from its draft to where it counts.

use std::num::NonZeroU64;
use std::path::PathBuf;

use bellwether_reconciler::keys::{self, Change, Drafted};
use clap::Args;
use jiff::Timestamp;

use super::{describe, failed};
use crate::failure::Failure;
use crate::output::{self, Output};

const ROTATE: &str = "Examples:
  New online keys, after the reconciler's machine was taken over:
    bellwether keys rotate --online keys/online --out draft --new-online --root /media/ada
  Dan instead of Eve, two of three sign as before:
    bellwether keys rotate --online keys/online --out draft --add-root dan/root.pub --remove-root 3f2a91c0
  The same keys for another 30 years:
    bellwether keys rotate --online keys/online --out draft --root /media/ada --root /media/bob

The keys of the newest root must sign, as many as it says, and those of the next one as well. People on different machines
sign the file DRAFT/N.root.json one after another, or copies of it, by bellwether keys sign; then bellwether keys finish puts
it in force. Nothing changes before. New online keys, which --new-online makes, wait in DRAFT until then: keep it private.";

/// Options of `keys rotate`.
#[derive(Debug, Args)]
#[command(after_help = ROTATE)]
pub(crate) struct KeysRotateArgs {
    /// Folder of the keys the reconciler signs with; the roots so far are there
    #[arg(long, value_name = "DIR")]
    online: PathBuf,
    /// New folder for the draft
    #[arg(long, value_name = "DRAFT")]
    out: PathBuf,
    /// Make new keys for targets, snapshot and timestamp
    #[arg(long)]
    new_online: bool,
    /// Add the root key of a person: their root.pub
    #[arg(long, value_name = "FILE")]
    add_root: Vec<PathBuf>,
    /// Remove a root key: its id, or how that begins (bellwether keys show)
    #[arg(long, value_name = "ID")]
    remove_root: Vec<String>,
    /// How many root keys sign from then on
    #[arg(long, value_name = "M")]
    threshold: Option<NonZeroU64>,
    /// Sign the draft at once with the root key in this folder
    #[arg(long, value_name = "DIR")]
    root: Vec<PathBuf>,
}

/// Options of `keys sign`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bellwether keys sign draft/2.root.json --root /media/bob

Read what it prints before you hand the file on: whoever's keys it lists will sign everything that devices take.")]
pub(crate) struct KeysSignArgs {
    /// The drafted root
    #[arg(value_name = "N.root.json")]
    draft: PathBuf,
    /// Folder of your root key
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
}

/// Options of `keys finish`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bellwether keys finish draft --online /var/lib/bellwether/keys/online   (signed one after another)
  bellwether keys finish draft --online keys/online --signed from-bob.root.json --signed from-eve.root.json
      (signed on copies)

Run it as the reconciler's user. A running reconciler publishes the root by itself; where the online keys change, restart it.")]
pub(crate) struct KeysFinishArgs {
    /// Folder of the draft
    #[arg(value_name = "DRAFT")]
    draft: PathBuf,
    /// Folder of the keys the reconciler signs with
    #[arg(long, value_name = "DIR")]
    online: PathBuf,
    /// A copy of the drafted root that somebody else signed
    #[arg(long, value_name = "FILE")]
    signed: Vec<PathBuf>,
}

pub(super) fn rotate(args: &KeysRotateArgs, output: Output) -> Result<(), Failure> {
    let what = "cannot draft the next root";
    let add = args.add_root.iter().map(|path| keys::read_root_key(path)).collect::<Result<Vec<_>, _>>();
    let change =
        Change { add: add.map_err(|e| failed(what, &e))?, remove: args.remove_root.clone(), threshold: args.threshold };
    let drafted = keys::begin(&args.online, &args.out, (&change, args.new_online), Timestamp::now());
    let mut drafted = drafted.map_err(|e| failed(what, &e))?;
    let before = keys::newest(&args.online).map_err(|e| failed(what, &e))?;
    for root in &args.root {
        let signed = keys::sign_draft(&drafted.path, root).map_err(|e| failed("cannot sign the draft", &e))?;
        drafted = Drafted { signatures: signed.draft.signatures(Some(&before)), ..signed };
    }
    let next = match drafted.signatures.are_enough() {
        true => format!("bellwether keys finish {} --online {}", args.out.display(), args.online.display()),
        false => format!("bellwether keys sign {} --root DIR, by those who are missing", drafted.path.display()),
    };
    say(&drafted, &format!("{}\nnext: {next}", drafted.signatures), output);
    Ok(())
}

pub(super) fn sign(args: &KeysSignArgs, output: Output) -> Result<(), Failure> {
    let drafted = keys::sign_draft(&args.draft, &args.root).map_err(|e| failed("cannot sign the draft", &e))?;
    let (own, of) = drafted.signatures.own;
    say(
        &drafted,
        &format!("signed by {own} of {of} of its own keys; keys of the root before are counted by finish"),
        output,
    );
    Ok(())
}

pub(super) fn finish(args: &KeysFinishArgs, output: Output) -> Result<(), Failure> {
    let finished = keys::finish(&args.draft, &args.online, &args.signed);
    let finished = finished.map_err(|e| failed("the root is not in force", &e))?;
    let next = "A running reconciler publishes it now; where the online keys are new, restart it. Back up the folder of the online keys, and remove the draft.";
    say(&finished, &format!("in force: {}\n{next}", finished.path.display()), output);
    Ok(())
}

fn say(drafted: &Drafted, rest: &str, output: Output) {
    let ((before, before_of), (own, own_of)) = (drafted.signatures.before, drafted.signatures.own);
    match output {
        Output::Json => output::json(&serde_json::json!({
            "path": drafted.path,
            "version": drafted.draft.root().version,
            "expires": drafted.draft.root().expires.to_string(),
            "signedByBefore": before, "neededByBefore": before_of,
            "signedByOwn": own, "neededByOwn": own_of,
        })),
        Output::Text => output::line(format!("{}{rest}", describe(&drafted.draft))),
    }
}
