//! `bellwether token mint`: a secret for the device, its hash for git.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bellwether_schemas::manifest::AnyManifest;
use bellwether_schemas::{DeviceName, EnrollmentName, EntryId, Seconds, Sha256Digest, codes, yaml};
use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::committed;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::repo::{Edit, WorkingCopy};
use crate::sign::{SignOptions, Signer};
use crate::token_edit;

const EXAMPLES: &str = "Examples:
  bellwether token mint factory --labels ring=canary --commit     (one token, hash committed)
  bellwether token mint factory --device kiosk-7 --expires 12h
  bellwether token mint factory --count 50 --output json > tokens.json

The token goes to stdout, once; everything else to stderr. git gets only its SHA-256.";

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
    #[arg(long, value_name = "NAME")]
    device: Option<DeviceName>,
    /// Labels of the device, in addition to the enrollment's
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = key_value)]
    labels: Vec<(String, String)>,
    /// How long it is accepted
    #[arg(long, default_value = "7d", value_name = "DURATION")]
    expires: Seconds,
    /// Its id in the enrollment [default: made from its hash]
    #[arg(long)]
    id: Option<EntryId>,
    /// How many tokens
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
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
    pub(crate) labels: BTreeMap<String, String>,
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
        labels: purpose.labels.clone(),
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
    if args.count > 1 && args.device.is_some() {
        return Err(Failure::new(codes::USAGE, "--device names one device, and --count asks for several tokens"));
    }
    let copy = WorkingCopy::discover(&args.repo)?;
    let signer = if args.commit { Some(Signer::find(&args.sign, &copy)?) } else { None };
    let path = format!("enrollments/{}.yaml", args.enrollment);
    let tokens = mint_all(args)?;
    let edit = append(&copy, &path, &tokens)?;
    let committed = match &signer {
        Some(signer) => {
            let what = if tokens.len() == 1 { "a token".to_owned() } else { format!("{} tokens", tokens.len()) };
            Some(copy.commit(&[edit], &format!("Add {what} to enrollment {}", args.enrollment), signer)?)
        }
        None => {
            copy.write(&[edit])?;
            None
        }
    };
    match output {
        Output::Json => output::json(&tokens.iter().map(shown).collect::<Vec<_>>()),
        Output::Text => tokens.iter().for_each(|token| output::line(&token.secret)),
    }
    output::note(match committed {
        Some(commit) => {
            format!("Its hash is in {path}, committed as {}. {}", commit.short(), committed::next(&copy, &commit))
        }
        None => format!(
            "Its hash is in {path}. It counts when that is committed, signed, and pushed: git add {path} && git commit -S {path} && git push"
        ),
    });
    Ok(())
}

fn mint_all(args: &MintArgs) -> Result<Vec<Minted>, Failure> {
    let labels: BTreeMap<_, _> = args.labels.iter().cloned().collect();
    let expires = expiry(args.expires);
    (0..args.count)
        .map(|number| {
            let id = match &args.id {
                Some(id) if args.count > 1 => {
                    let numbered = format!("{id}-{}", number + 1).parse();
                    Some(numbered.map_err(|e| Failure::new(codes::USAGE, "--id is too long for numbers").because(&e))?)
                }
                id => id.clone(),
            };
            Ok(mint(&TokenFor { id, device: args.device.clone(), labels: labels.clone() }, expires))
        })
        .collect()
}

/// The edit that appends `tokens` to the enrollment at `path`.
pub(crate) fn append(copy: &WorkingCopy, path: &str, tokens: &[Minted]) -> Result<Edit, Failure> {
    let before = copy.read(path)?.ok_or_else(|| {
        Failure::finding(codes::NO_SUCH_OBJECT, format!("{} does not exist", copy.root().join(path).display()))
            .hint("Name an enrollment that is there (ls enrollments), or write that file first.")
    })?;
    let not_understood = |why: &str| Failure::finding(codes::LAYOUT, format!("{path}: {why}"));
    let text = String::from_utf8(before.clone()).map_err(|_| not_understood("the file is not UTF-8"))?;
    let present = entries(path, &before)?;
    if let Some(twice) = tokens.iter().find(|token| present.iter().any(|other| other.id == token.entry.id)) {
        return Err(Failure::finding(
            codes::ALREADY_THERE,
            format!("{path} has an entry with the id {} already", twice.entry.id),
        )
        .hint("Pass another --id, or none."));
    }
    let named =
        |token: &Minted| present.iter().find(|other| other.device.is_some() && other.device == token.entry.device);
    if let Some((device, other)) = tokens.iter().find_map(|token| Some((token.entry.device.as_ref()?, named(token)?))) {
        return Err(Failure::finding(
            codes::ALREADY_THERE,
            format!("{path} has a token for {device} already, with the id {}", other.id),
        )
        .hint(format!(
            "To enroll {device} again, delete that entry and mint again: deleting revokes nothing, and the device that \
             enrolls with the new token replaces the other."
        )));
    }
    let entries_to_add: Vec<_> = tokens.iter().map(|token| token.entry.clone()).collect();
    let after = token_edit::append(&text, &entries_to_add).map_err(|why| not_understood(&why))?;
    // The edit is textual, so what it made is read again: the old entries, then the new ones, and nothing else.
    let expected: Vec<_> = present.into_iter().chain(entries_to_add).collect();
    if entries(path, after.as_bytes()).ok() != Some(expected) {
        return Err(not_understood("the new lines would not be read as they are meant"));
    }
    Ok(Edit { path: path.to_owned(), before: Some(before), after: Some(after.into_bytes()) })
}

fn entries(path: &str, text: &[u8]) -> Result<Vec<bellwether_schemas::manifest::Token>, Failure> {
    match yaml::parse(path, text) {
        Ok(AnyManifest::Enrollment(enrollment)) => Ok(enrollment.spec.tokens),
        Ok(_) => Err(Failure::finding(codes::WRONG_KIND, format!("{path} is not an Enrollment"))),
        Err(problems) => {
            let list: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Err(Failure::finding(codes::WRONG_VALUE, format!("{path} does not parse:\n{}", list.join("\n")))
                .hint("Mend it first: bellwether validate"))
        }
    }
}

fn shown(token: &Minted) -> serde_json::Value {
    serde_json::json!({
        "token": token.secret, "id": token.entry.id, "sha256": token.entry.sha256,
        "expires": token.entry.expires, "device": token.entry.device, "labels": token.entry.labels,
    })
}

/// Reads `key=value`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("found {text:?}, expected KEY=VALUE")),
    }
}
