//! `bellwether token mint`: a secret for the device, its hash for git.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bellwether_schemas::manifest::Labels;
use bellwether_schemas::{DeviceName, EnrollmentName, EntryId, Seconds, Sha256Digest, codes};
use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::committed;
use crate::decision;
use crate::enrollment_edit::{Added, Listed, named_elsewhere, require_unused};
use crate::failure::{self, Failure};
use crate::output::{self, Output, Paint};
use crate::patch;
use crate::repo::WorkingCopy;
use crate::sign::{SignOptions, Signer};

mod list;
mod secrets;

const EXAMPLES: &str = "Examples:
  bellwether token mint factory --label ring=canary --commit      (one token, hash committed)
  bellwether token mint factory --device kiosk-7 --expires 12h        (for this device; not committed yet)
  bellwether token mint factory --device kiosk-7 --replace --commit   (it lost its key: let it enroll again)
  bellwether token mint factory --count 500 --out ~/tokens.csv --commit          (for a production line)
  bellwether token mint factory --from devices.csv --out ~/tokens.csv --commit   (one for each row)

devices.csv has a header: name, then a column for each label. A name may be empty; then it is made from the device's key.
    name,site,ring
    kiosk-7,kiel,canary

Tokens go to stdout or --out, once; everything else to stderr. git gets only their SHA-256.";

pub(crate) const GROUP_EXAMPLES: &str = "Examples:
  bellwether token mint factory --device kiosk-7 --commit && git push     (one device, by its name)
  bellwether token mint factory --from devices.csv --out ~/tokens.csv     (many)

A token is a secret that lets one device enroll, once; git has its hash only. Devices can come without: device approve.";

/// Subcommands of `token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make tokens: each lets one device enroll, once
    Mint(MintArgs),
}

/// Options of `token mint`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct MintArgs {
    /// The enrollment: enrollments/<NAME>.yaml
    enrollment: EnrollmentName,
    /// Name of the device that enrolls with it [default: made from the device's key]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["count", "from"])]
    device: Option<DeviceName>,
    /// A label of each device, in addition to the enrollment's; may be repeated
    #[arg(long = "label", alias = "labels", value_name = "KEY=VALUE", value_delimiter = ',', value_parser = key_value)]
    labels: Vec<(String, String)>,
    /// How long it is accepted
    #[arg(long, default_value = "7d", value_name = "DURATION", value_parser = lifetime)]
    expires: Seconds,
    /// Its id in the enrollment [default: made from its hash]
    #[arg(long, conflicts_with = "from")]
    id: Option<EntryId>,
    /// How many tokens
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000), conflicts_with = "from")]
    count: u32,
    /// A token for each row of this list: CSV with a header, name and labels
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Take the place of entries that name the same devices, and keep their labels: their certificates of now are refused
    #[arg(long)]
    replace: bool,
    /// Write the tokens to this new file, which only you can read: JSON if its name ends in .json, else CSV
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Commit the change, signed
    #[arg(long)]
    commit: bool,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
    #[command(flatten)]
    sign: SignOptions,
}

/// What a token is for.
#[derive(Debug, Clone, Default)]
pub(crate) struct TokenFor {
    pub(crate) id: Option<EntryId>,
    pub(crate) device: Option<DeviceName>,
    pub(crate) labels: Labels,
}

/// A token: the secret, and what git gets.
pub(crate) struct Minted {
    pub(crate) secret: String,
    pub(crate) entry: bellwether_schemas::manifest::Token,
}

/// Makes a token from 32 random bytes.
pub(crate) fn mint(purpose: &TokenFor, expires: Timestamp) -> Minted {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).expect("the operating system gives random bytes");
    let sha256 = Sha256Digest::of(&secret);
    let id = purpose
        .id
        .clone()
        .unwrap_or_else(|| format!("t-{}", &sha256.to_string()[..12]).parse().expect("hexadecimal digits make a name"));
    let entry = bellwether_schemas::manifest::Token {
        id,
        sha256,
        expires,
        device: purpose.device.clone(),
        labels: purpose.labels.clone().into(),
        revoked: None,
    };
    Minted { secret: hex::encode(secret), entry }
}

/// The moment `span` from now, in whole seconds.
pub(crate) fn expiry(span: Seconds) -> Timestamp {
    let seconds = Timestamp::now().as_second() + i64::from(span.get());
    Timestamp::from_second(seconds).expect("136 years from now is a time stamp")
}

pub(crate) fn run(command: &TokenCommand, output: Output) -> Result<(), Failure> {
    let TokenCommand::Mint(args) = command;
    let copy = WorkingCopy::discover(&args.repo)?;
    let signer = if args.commit { Some(Signer::find(&args.sign, &copy)?) } else { None };
    let listed = Listed::read(&copy, &args.enrollment)?;
    let tokens = mint_all(args, &listed)?;
    let devices: BTreeSet<_> = tokens.iter().filter_map(|token| token.entry.device.as_ref()).collect();
    named_elsewhere(&copy, &args.enrollment, &devices)?;
    let entries = tokens.iter().map(|token| token.entry.clone()).collect();
    let added = Added { tokens: entries, replace: args.replace, ..Added::default() };
    let edit = listed.with(&added)?;
    if args.id.is_some() {
        require_unused(&copy, &args.enrollment, &added)?;
    }
    // A token that git knows and nobody has is of no use; one that nobody knows does no harm.
    let written = args.out.as_deref().map(|path| secrets::write(&copy, path, &tokens)).transpose()?;
    let (path, what) =
        (&listed.path, if tokens.len() == 1 { "a token".to_owned() } else { format!("{} tokens", tokens.len()) });
    let edits = [edit];
    let committed = match &signer {
        Some(signer) => Some(copy.commit(&edits, &format!("Add {what} to enrollment {}", args.enrollment), signer)?),
        None => {
            copy.write(&edits)?;
            None
        }
    };
    let diff = decision::diff(&edits);
    match (&args.out, output) {
        (Some(file), Output::Json) => {
            let told: Vec<_> = tokens.iter().map(|token| secrets::without(&token.entry)).collect();
            output::json(&serde_json::json!({ "out": file, "tokens": told, "diff": diff }));
        }
        (Some(file), Output::Text) => {
            output::note(format!("The tokens are in {}, for your eyes only.", file.display()))
        }
        (None, Output::Json) => output::json(&secrets::json(&tokens)),
        (None, Output::Text) if args.from.is_some() => output::bytes(&secrets::csv(&tokens)),
        (None, Output::Text) => tokens.iter().for_each(|token| output::line(&token.secret)),
    }
    if let Some(written) = written {
        written.keep();
    }
    if output == Output::Text {
        output::note(shortened(&patch::coloured(&diff, Paint::stderr())));
    }
    let hash = if tokens.len() == 1 { "Its hash is" } else { "Their hashes are" };
    output::note(match committed {
        Some(commit) => {
            format!("{hash} in {path}, committed as {}. {}", commit.short(), committed::next(&copy, &commit))
        }
        None => format!(
            "{hash} in {path}. That counts when it is committed, signed, and pushed: git add {path} && git commit -S {path} && git push"
        ),
    });
    if args.replace && !devices.is_empty() {
        output::note(
            "From the moment that counts, the certificates which these devices have now are refused; what they run stays as \
             it is until they enroll again.",
        );
    }
    Ok(())
}

/// What people read of a patch, for which thousands of tokens would be too much.
fn shortened(patch: &str) -> String {
    const SHOWN: usize = 60;
    let lines: Vec<_> = patch.lines().collect();
    let more = match lines.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("\n(and {more} more lines: git diff HEAD, or git show once it is committed)"),
    };
    lines[..lines.len().min(SHOWN)].join("\n") + &more
}

fn mint_all(args: &MintArgs, listed: &Listed) -> Result<Vec<Minted>, Failure> {
    let expires = expiry(args.expires);
    let wanted = match &args.from {
        Some(file) => from_list(file)?,
        None => (0..args.count)
            .map(|number| {
                Ok(TokenFor { id: numbered(args, number)?, device: args.device.clone(), ..TokenFor::default() })
            })
            .collect::<Result<_, _>>()?,
    };
    let minted = wanted.into_iter().map(|wanted| {
        // What was said for this device alone comes before what is said for all, and that before what it had.
        let before = wanted.device.as_ref().filter(|_| args.replace).and_then(|device| listed.labels_of(device));
        let mut labels: Labels = before.cloned().unwrap_or_default();
        labels.extend(args.labels.iter().cloned());
        labels.extend(wanted.labels);
        mint(&TokenFor { labels, ..wanted }, expires)
    });
    Ok(minted.collect())
}

/// The id from the options; with a number where there are several tokens.
fn numbered(args: &MintArgs, number: u32) -> Result<Option<EntryId>, Failure> {
    match &args.id {
        Some(id) if args.count > 1 => {
            let numbered = format!("{id}-{}", number + 1).parse();
            Ok(Some(numbered.map_err(|e| Failure::new(codes::USAGE, "--id is too long for numbers").because(&e))?))
        }
        id => Ok(id.clone()),
    }
}

fn from_list(file: &Path) -> Result<Vec<TokenFor>, Failure> {
    const SHOWN: usize = 20;
    let bytes = std::fs::read(file).map_err(|e| failure::file("cannot read", file, &e))?;
    list::read(&bytes).map_err(|problems| {
        let more = match problems.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!("\n  and {more} more"),
        };
        let shown: Vec<_> =
            problems.iter().take(SHOWN).map(|why| format!("  {}", crate::get::printable(why))).collect();
        Failure::finding(codes::WRONG_VALUE, format!("{}:\n{}{more}", file.display(), shown.join("\n")))
            .hint("Mend the list and run the command again: nothing was written.")
    })
}

/// Reads how long a token is accepted: one that has expired when it is made is of no use.
fn lifetime(text: &str) -> Result<Seconds, String> {
    match text.parse() {
        Ok(Seconds::ZERO) => Err("no device could enroll with it: say for how long, such as 12h or 7d".to_owned()),
        Ok(span) => Ok(span),
        Err(_) if text.contains(':') || text.matches('-').count() > 1 => {
            Err("expected how long from now, not until when, such as 12h or 7d".to_owned())
        }
        Err(why) => Err(why.to_string()),
    }
}

/// Reads `key=value`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("found {text:?}, expected KEY=VALUE")),
    }
}
