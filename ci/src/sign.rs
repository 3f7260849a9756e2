//! The engineer's signing key and identity, from options or from git's configuration.

use std::path::{Path, PathBuf};

use bellwether_schemas::codes;
use clap::Args;
use ssh_key::{Algorithm, PrivateKey};

use crate::failure::{self, Failure};

/// Options of every subcommand that can make a signed commit.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SignOptions {
    /// SSH private key to sign with [default: git's user.signingkey]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Author of the commit, "Name <mail>" [default: git's user.name and user.email]
    #[arg(long, value_name = "NAME <MAIL>")]
    pub(crate) author: Option<String>,
}

/// Who commits, and the key that signs.
pub(crate) struct Signer {
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) key: PrivateKey,
    pub(crate) key_file: PathBuf,
}

impl Signer {
    /// Finds key and identity: options first, then git's configuration.
    pub(crate) fn find(options: &SignOptions, config: &gix::config::Snapshot<'_>) -> Result<Self, Failure> {
        let key_file = match &options.key {
            Some(file) => file.clone(),
            None => configured_key(config)?,
        };
        let key = load_key(&key_file)?;
        let (name, email) = match &options.author {
            Some(author) => split_author(author)?,
            None => configured_identity(config)?,
        };
        let key_file = std::path::absolute(&key_file).map_err(|e| failure::file("cannot find", &key_file, &e))?;
        Ok(Self { name, email, key, key_file })
    }

    /// The public key as an `authorized_keys` line without comment.
    pub(crate) fn public_key(&self) -> Result<String, Failure> {
        let mut public = self.key.public_key().clone();
        public.set_comment("");
        public.to_openssh().map_err(|e| unusable(&self.key_file).because(&e))
    }
}

fn configured_key(config: &gix::config::Snapshot<'_>) -> Result<PathBuf, Failure> {
    let missing = || Failure::new(codes::NO_SIGNING_KEY, "no --key, and git's configuration names no SSH signing key");
    let Some(value) = config.string("user.signingkey") else { return Err(missing()) };
    let format = config.string("gpg.format").map(|format| format.to_string());
    if format.as_deref() != Some("ssh") {
        let found = format.unwrap_or_else(|| "openpgp (git's default)".to_owned());
        return Err(Failure::new(codes::NO_SIGNING_KEY, format!("git's gpg.format is {found}, expected ssh")));
    }
    let text = value.to_string();
    if text.starts_with("key::") || is_public_line(text.as_bytes()) {
        return Err(Failure::new(
            codes::KEY_UNUSABLE,
            "git's user.signingkey is a key held by an SSH agent, which is not supported yet",
        )
        .hint(
            "Pass the private key's file with --key, or write the manifest without --commit and run git commit -S.",
        ));
    }
    let path = config.trusted_path("user.signingkey").ok().flatten().ok_or_else(missing)?;
    // git lets the setting name the public half; the private half stands beside it (git-config, user.signingKey).
    Ok(if path.extension().is_some_and(|extension| extension == "pub") { path.with_extension("") } else { path })
}

fn load_key(file: &Path) -> Result<PrivateKey, Failure> {
    let text = std::fs::read(file).map_err(|e| {
        let failure = failure::file("cannot read the signing key", file, &e);
        match e.kind() {
            std::io::ErrorKind::NotFound => failure.hint(format!(
                "Name the file of a private key that is there, or make one: ssh-keygen -t ed25519 -f {}",
                file.display()
            )),
            _ => failure,
        }
    })?;
    if is_public_line(&text) {
        let private = file.with_extension("");
        return Err(unusable(file)
            .hint(format!("This is the public half of a key. Pass the private half: --key {}", private.display())));
    }
    let key = PrivateKey::from_openssh(&text).map_err(|e| unusable(file).because(&e))?;
    if matches!(key.algorithm(), Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256) {
        let message = format!("{} is a handle of a security token, which this command cannot ask", file.display());
        return Err(Failure::new(codes::KEY_UNUSABLE, message)
            .hint("Its signatures count: write the manifest without --commit and run git commit -S."));
    }
    if !key.is_encrypted() {
        return Ok(key);
    }
    let Some(passphrase_file) = std::env::var_os("BELLWETHER_KEY_PASSPHRASE_FILE").map(PathBuf::from) else {
        return Err(Failure::new(codes::KEY_ENCRYPTED, format!("{} has a passphrase", file.display())));
    };
    let passphrase = std::fs::read_to_string(&passphrase_file)
        .map_err(|e| failure::file("cannot read the passphrase from", &passphrase_file, &e))?;
    key.decrypt(passphrase.trim_end_matches(['\r', '\n']).as_bytes()).map_err(|e| {
        let message = format!("the passphrase in {} does not open {}", passphrase_file.display(), file.display());
        Failure::new(codes::KEY_ENCRYPTED, message).because(&e)
    })
}

/// Whether a text begins as the line of a public key.
fn is_public_line(text: &[u8]) -> bool {
    [&b"ssh-"[..], b"ecdsa-", b"sk-"].iter().any(|start| text.starts_with(start))
}

fn unusable(file: &Path) -> Failure {
    Failure::new(codes::KEY_UNUSABLE, format!("{} is not a usable OpenSSH private key", file.display()))
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
    !text.trim().is_empty() && !text.contains(['<', '>', '\n', '\r', '\0'])
}
