//! `bellwether trust export`: the people's keys as git's allowed signers, so that plain `git log --show-signature` works.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use bellwether_core::verify::POLICY_PATH;
use bellwether_schemas::codes;
use bellwether_schemas::manifest::TrustPolicy;
use clap::Args;

use super::change::parse;
use super::keys::{self, KeyKind};
use crate::failure::{self, Failure};
use crate::output::{self, Output};
use crate::repo::{WorkingCopy, git};

const EXAMPLES: &str = "Examples:
  bellwether trust export --write && git log --show-signature     (into .git/, for this clone)
  bellwether trust export --format allowed-signers > allowed_signers    (for elsewhere)
  bellwether trust export --all --write      (keys of former policies too, so that old commits show as good)

git then says who signed. Whether that person could do what the commit does, only bellwether trust explain says.";

/// The forms in which keys are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    // What git's gpg.ssh.allowedSignersFile names (ssh-keygen, ALLOWED SIGNERS).
    AllowedSigners,
}

/// Options of `trust export`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    /// The form: what git's gpg.ssh.allowedSignersFile names
    #[arg(long, value_enum, default_value = "allowed-signers")]
    format: Format,
    /// Write it into the clone's .git/, and let git use it
    #[arg(long)]
    write: bool,
    /// The keys of every policy since the first, not only of the newest
    #[arg(long)]
    all: bool,
    /// The working copy
    #[arg(long, default_value = ".", value_name = "DIR")]
    repo: PathBuf,
}

pub(crate) fn run(args: &ExportArgs, output: Output) -> Result<(), Failure> {
    let Format::AllowedSigners = args.format;
    let copy = WorkingCopy::discover(&args.repo)?;
    let policies = policies(&copy, args.all)?;
    let signers = Signers::of(&policies);
    let written = if args.write { Some(write(&copy, &signers.text)?) } else { None };
    match (output, &written) {
        (Output::Json, _) => output::json(&serde_json::json!({
            "format": "allowed-signers", "content": signers.text, "file": written, "leftOut": signers.left_out,
        })),
        (Output::Text, Some(file)) => output::line(format!(
            "Wrote {}, and set gpg.ssh.allowedSignersFile to it.\nTry it: git log --show-signature",
            file.display()
        )),
        (Output::Text, None) => output::line(signers.text.trim_end()),
    }
    if !signers.left_out.is_empty() {
        let left_out = signers.left_out.join("; ");
        output::note(format!("Only SSH keys can stand in such a file. Left out: {left_out}."));
    }
    Ok(())
}

/// The newest policy and, if asked for, those before it, newest first.
fn policies(copy: &WorkingCopy, all: bool) -> Result<Vec<TrustPolicy>, Failure> {
    let none = || {
        Failure::finding(codes::NOT_A_REPOSITORY, format!("no commit here has {POLICY_PATH}"))
            .hint("Write a first policy: bellwether trust init")
    };
    if all {
        copy.require_whole_history()?;
    }
    let mut texts = Vec::new();
    let mut next = copy.head()?;
    let unreadable = |e: gix::Error| git("the history cannot be read", &e);
    while let Some(commit) = next {
        if let Some(text) = copy.committed(Some(commit), POLICY_PATH)?
            && texts.last() != Some(&text)
        {
            texts.push(text);
        }
        if !all {
            break;
        }
        let parent = || Ok(copy.git().find_commit(commit)?.parent_ids().next().map(|parent| parent.detach()));
        next = parent().map_err(unreadable)?;
    }
    let newest = parse(texts.first().ok_or_else(none)?)?;
    // One that does not parse never judged anything.
    let earlier = texts.iter().skip(1).filter_map(|text| parse(text).ok());
    Ok(std::iter::once(newest).chain(earlier).collect())
}

struct Signers {
    text: String,
    left_out: Vec<String>,
}

impl Signers {
    fn of(policies: &[TrustPolicy]) -> Self {
        let (mut seen, mut text, mut left_out) = (BTreeSet::new(), String::new(), Vec::new());
        for (name, person) in policies.iter().flat_map(|policy| &policy.people) {
            for line in &person.ssh {
                // The type and the key, without a comment. A key that went from one person to another is whose it is now.
                let key = line.split(' ').take(2).collect::<Vec<_>>().join(" ");
                if seen.insert(key.clone()) {
                    text.push_str(&format!("{name} namespaces=\"git\" {key}\n"));
                }
            }
            let others: Vec<_> = keys::of(person).into_iter().filter(|key| key.kind != KeyKind::Ssh).collect();
            let others = others.iter().map(|key| format!("{} {} of {name}", key.kind.field(), key.name));
            left_out.extend(others.filter(|other| !left_out.contains(other)).collect::<Vec<_>>());
        }
        Self { text, left_out }
    }
}

fn write(copy: &WorkingCopy, text: &str) -> Result<PathBuf, Failure> {
    let folder = copy.git().common_dir();
    let file = folder.canonicalize().map_err(|e| failure::file("cannot find", folder, &e))?.join("allowed_signers");
    let path = file.to_str().ok_or_else(|| {
        Failure::new(codes::USAGE, format!("{} is not UTF-8, which git's configuration needs", file.display()))
    })?;
    fs::write(&file, text).map_err(|e| failure::file("cannot write", &file, &e))?;
    copy.configure(&[("gpg.ssh.allowedSignersFile", path)])?;
    Ok(file)
}
