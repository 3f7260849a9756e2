//! What signs: a key that this command uses itself, or else git, which can ask people, tokens and agents.

use std::io::{ErrorKind, IsTerminal as _};
use std::path::{Path, PathBuf};

use bellwether_schemas::codes;
use ssh_key::{Algorithm, PrivateKey, PublicKey};

use super::Means;
use crate::failure::{self, Failure};
use crate::repo::WorkingCopy;

/// Where the passphrase of an encrypted key may stand.
const PASSPHRASE_FILE: &str = "BELLWETHER_KEY_PASSPHRASE_FILE";

/// As git's `gpg.format` and `user.signingkey` say (git-config).
pub(super) fn configured(copy: &WorkingCopy) -> Result<Means, Failure> {
    let config = copy.config();
    let set = |name: &str| config.string(name).map(|value| value.to_string());
    let none = |message: &str| Err(Failure::new(codes::NO_SIGNING_KEY, message));
    match (set("gpg.format").as_deref(), set("user.signingkey")) {
        (Some("ssh"), Some(key)) => match literal(&key) {
            Some(line) => Ok(Means::Ssh { public: PublicKey::from_openssh(line).ok(), setting: key }),
            None => from_setting(copy),
        },
        (Some("ssh"), None) if set("gpg.ssh.defaultKeyCommand").is_some() => Ok(Means::Configured),
        (Some("openpgp" | "x509"), _) => Ok(Means::Configured),
        (None, Some(key)) if literal(&key).is_some() || key.contains('/') => {
            none("git's user.signingkey is an SSH key, and its gpg.format is openpgp (git's default), expected ssh")
        }
        (None, Some(_)) => Ok(Means::Configured),
        (None, None) if config.boolean("commit.gpgsign") == Some(true) => Ok(Means::Configured),
        (None | Some("ssh"), None) => none("no --key, and git's configuration names no signing key"),
        (Some(other), _) => none(&format!("git's gpg.format is {other}, expected ssh, openpgp or x509")),
    }
}

/// The line of a public key that stands in the setting itself: an agent has the private half.
fn literal(setting: &str) -> Option<&str> {
    setting.strip_prefix("key::").or_else(|| setting.starts_with("ssh-").then_some(setting))
}

fn from_setting(copy: &WorkingCopy) -> Result<Means, Failure> {
    let root = copy.root();
    let path = copy.config().trusted_path("user.signingkey").map_err(|e| {
        Failure::new(codes::KEY_UNUSABLE, "git's user.signingkey is no path that can be followed").because(&e)
    })?;
    let path = path.map(|path| root.join(path)).ok_or_else(|| {
        let message = format!("{} belongs to another user, so its user.signingkey is not used", root.display());
        Failure::new(codes::NO_SIGNING_KEY, message).hint(format!(
            "If you trust it: git config --global --add safe.directory {}. Or pass --key FILE.",
            root.display()
        ))
    })?;
    // git lets the setting name the public half; the private half stands beside it (git-config, user.signingKey).
    let is_public = path.extension().is_some_and(|extension| extension == "pub");
    let private = if is_public { path.with_extension("") } else { path.clone() };
    let public = if is_public { path } else { beside(&path) };
    if !private.exists() && public.exists() { by_git(&public, public_in(&public)) } else { from_file(&private) }
}

/// The key in a file: used by this command where it can do that, else by git.
pub(super) fn from_file(file: &Path) -> Result<Means, Failure> {
    let text = std::fs::read(file).map_err(|e| {
        let failure = failure::file("cannot read the signing key", file, &e);
        match e.kind() {
            ErrorKind::NotFound => failure.hint(format!(
                "Name the file of a private key that is there, or make one: ssh-keygen -t ed25519 -f {}",
                file.display()
            )),
            _ => failure,
        }
    })?;
    if [&b"ssh-"[..], b"ecdsa-", b"sk-"].iter().any(|start| text.starts_with(start)) {
        let private = file.with_extension("");
        if !private.exists() {
            return by_git(file, public_in(file));
        }
        return Err(unusable(file)
            .hint(format!("This is the public half of a key. Pass the private half: --key {}", private.display())));
    }
    let key = match PrivateKey::from_openssh(&text) {
        Ok(key) => key,
        // A form that only ssh-keygen reads.
        Err(_) if text.starts_with(b"-----BEGIN ") => return by_git(file, public_in(&beside(file))),
        Err(e) => return Err(unusable(file).because(&e)),
    };
    if !matches!(key.algorithm(), Algorithm::Ed25519 | Algorithm::Ecdsa { .. }) {
        return by_git(file, Some(key.public_key().clone()));
    }
    if !key.is_encrypted() {
        return ours(key, file);
    }
    match std::env::var_os(PASSPHRASE_FILE).map(PathBuf::from) {
        Some(passphrase) => ours(decrypted(&key, file, &passphrase)?, file),
        None if somebody_can_be_asked() => by_git(file, Some(key.public_key().clone())),
        None => Err(Failure::new(codes::KEY_ENCRYPTED, format!("{} has a passphrase", file.display()))),
    }
}

fn decrypted(key: &PrivateKey, file: &Path, passphrase_file: &Path) -> Result<PrivateKey, Failure> {
    let passphrase = std::fs::read_to_string(passphrase_file)
        .map_err(|e| failure::file("cannot read the passphrase from", passphrase_file, &e))?;
    key.decrypt(passphrase.trim_end_matches(['\r', '\n']).as_bytes()).map_err(|e| {
        let message = format!("the passphrase in {} does not open {}", passphrase_file.display(), file.display());
        Failure::new(codes::KEY_ENCRYPTED, message).because(&e)
    })
}

/// Whether ssh-keygen can get a passphrase: from a person, a window, or an agent that has the key open.
fn somebody_can_be_asked() -> bool {
    let is_set = |name| std::env::var_os(name).is_some();
    std::io::stdin().is_terminal() || is_set("SSH_AUTH_SOCK") || is_set("SSH_ASKPASS")
}

fn ours(key: PrivateKey, file: &Path) -> Result<Means, Failure> {
    Ok(Means::Key { key: Box::new(key), file: absolute(file)? })
}

fn by_git(file: &Path, public: Option<PublicKey>) -> Result<Means, Failure> {
    let file = absolute(file)?;
    let setting = file.to_str().ok_or_else(|| {
        Failure::new(codes::USAGE, format!("{} is not UTF-8, which git's configuration needs", file.display()))
    })?;
    Ok(Means::Ssh { setting: setting.to_owned(), public })
}

fn absolute(file: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(file).map_err(|e| failure::file("cannot find", file, &e))
}

/// The public half's file of a key.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

fn public_in(file: &Path) -> Option<PublicKey> {
    PublicKey::read_openssh_file(file).ok()
}

fn unusable(file: &Path) -> Failure {
    Failure::new(codes::KEY_UNUSABLE, format!("{} is not a usable OpenSSH private key", file.display()))
}
