//! The engineer's signing key and identity, from options or from git's configuration.

mod key;

use std::path::PathBuf;

use bellwether_schemas::codes;
use clap::Args;
use ssh_key::{PrivateKey, PublicKey};

use crate::failure::Failure;
use crate::repo::WorkingCopy;

/// Options of every subcommand that can make a signed commit.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SignOptions {
    /// SSH private key to sign with [default: as git is configured: gpg.format, user.signingkey]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Author of the commit, "Name <mail>" [default: git's user.name and user.email]
    #[arg(long, value_name = "NAME <MAIL>")]
    pub(crate) author: Option<String>,
}

/// Who commits, and what signs.
pub(crate) struct Signer {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) means: Means,
}

/// What signs.
pub(crate) enum Means {
    /// This command, with a key that it has read from a file.
    Key { key: Box<PrivateKey>, file: PathBuf },
    /// git and ssh-keygen, with the SSH key that `setting`, a value of `user.signingkey`, names.
    Ssh { setting: String, public: Option<PublicKey> },
    /// git, as it is configured: OpenPGP, gitsign.
    Configured,
}

impl Signer {
    /// Finds key and identity: options first, then git's configuration.
    pub(crate) fn find(options: &SignOptions, copy: &WorkingCopy) -> Result<Self, Failure> {
        let means = match &options.key {
            Some(file) => key::from_file(file)?,
            None => key::configured(copy)?,
        };
        let (name, email) = match &options.author {
            Some(author) => split_author(author)?,
            None => configured_identity(&copy.config())?,
        };
        Ok(Self { name: trimmed(&name), email: trimmed(&email), means })
    }

    /// The public key as an `authorized_keys` line without comment, for a first policy.
    pub(crate) fn public_key(&self) -> Result<String, Failure> {
        let public = match &self.means {
            Means::Key { key, .. } => Some(key.public_key()),
            Means::Ssh { public, .. } => public.as_ref(),
            Means::Configured => None,
        };
        let mut public = public.cloned().ok_or_else(|| {
            Failure::new(codes::NO_SIGNING_KEY, "a first policy is written for an SSH key, and git signs with another")
                .hint("Pass an SSH key: --key FILE. Add your own then: bellwether trust add NAME --openpgp FILE")
        })?;
        public.set_comment("");
        public.to_openssh().map_err(|e| Failure::new(codes::KEY_UNUSABLE, "the key cannot be written").because(&e))
    }

    /// The value of git's `user.signingkey` that lets plain git sign with the same key.
    pub(crate) fn setting(&self) -> Option<String> {
        match &self.means {
            Means::Key { file, .. } => file.to_str().map(str::to_owned),
            Means::Ssh { setting, .. } => Some(setting.clone()),
            Means::Configured => None,
        }
    }
}

fn split_author(author: &str) -> Result<(String, String), Failure> {
    let parts = author.strip_suffix('>').and_then(|rest| rest.split_once('<'));
    let parts = parts.map(|(name, email)| (name.trim().to_owned(), email.trim().to_owned()));
    parts
        .filter(|(name, email)| fits(name) && fits(email))
        .ok_or_else(|| Failure::new(codes::USAGE, format!("--author: found {author:?}, expected \"Name <mail>\"")))
}

fn configured_identity(config: &gix::config::Snapshot<'_>) -> Result<(String, String), Failure> {
    let value = |key: &str, variable: &str| {
        let set = std::env::var(variable).ok().or_else(|| config.string(key).map(|text| text.to_string()));
        set.filter(|text| fits(text))
    };
    match (value("user.name", "GIT_AUTHOR_NAME"), value("user.email", "GIT_AUTHOR_EMAIL")) {
        (Some(name), Some(email)) => Ok((name, email)),
        _ => Err(Failure::new(codes::NO_IDENTITY, "git's user.name and user.email are not set")),
    }
}

/// Whether a name or address can stand in a commit's header.
fn fits(text: &str) -> bool {
    !trimmed(text).is_empty() && !text.contains(['<', '>', '\n', '\r', '\0'])
}

/// A name or address as git writes it: without what git takes for dirt at its ends (`strbuf_addstr_without_crud`, ident.c).
fn trimmed(text: &str) -> String {
    text.trim_matches(|c: char| c <= ' ' || ".,:;<>\"\\'".contains(c)).to_owned()
}
