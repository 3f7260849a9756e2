//! The keys of people: how each is named, and read from what an engineer passes.

use std::fs;
use std::path::Path;

use bellwether_core::verify::SigningKey;
use bellwether_schemas::codes;
use bellwether_schemas::manifest::{GitsignIdentity, Person};
use pgp::composed::{Deserializable as _, SignedPublicKey};
use pgp::types::KeyDetails as _;
use serde::Serialize;
use ssh_key::{HashAlg, PublicKey};

use crate::failure::{self, Failure};

/// What kind of key, by its field in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KeyKind {
    Ssh,
    Openpgp,
    Gitsign,
}

impl KeyKind {
    /// The field of a person that lists such keys.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Openpgp => "openpgp",
            Self::Gitsign => "gitsign",
        }
    }
}

/// A key as it stands in the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ListedKey {
    pub(super) kind: KeyKind,
    /// What people call it: a fingerprint, or `identity (issuer)`.
    pub(super) name: String,
    /// Its place in the list of its kind.
    #[serde(skip)]
    pub(super) at: usize,
}

/// A key that shall be added.
#[derive(Debug, Clone)]
pub(super) enum NewKey {
    Ssh(String),
    Openpgp(String),
    Gitsign(GitsignIdentity),
}

impl NewKey {
    pub(super) const fn kind(&self) -> KeyKind {
        match self {
            Self::Ssh(_) => KeyKind::Ssh,
            Self::Openpgp(_) => KeyKind::Openpgp,
            Self::Gitsign(_) => KeyKind::Gitsign,
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Ssh(line) => ssh_name(line),
            Self::Openpgp(armour) => openpgp_name(armour),
            Self::Gitsign(identity) => gitsign_name(identity),
        }
    }

    /// Adds the key to a person of a policy.
    pub(super) fn add_to(&self, person: &mut Person) {
        match self {
            Self::Ssh(line) => person.ssh.push(line.clone()),
            Self::Openpgp(armour) => person.openpgp.push(armour.clone()),
            Self::Gitsign(identity) => person.gitsign.push(identity.clone()),
        }
    }
}

/// Every key of a person.
pub(super) fn of(person: &Person) -> Vec<ListedKey> {
    let listed =
        |kind, names: Vec<String>| names.into_iter().enumerate().map(move |(at, name)| ListedKey { kind, name, at });
    listed(KeyKind::Ssh, person.ssh.iter().map(|line| ssh_name(line)).collect())
        .chain(listed(KeyKind::Openpgp, person.openpgp.iter().map(|armour| openpgp_name(armour)).collect()))
        .chain(listed(KeyKind::Gitsign, person.gitsign.iter().map(gitsign_name).collect()))
        .collect()
}

/// The fingerprint as `ssh-keygen -l` shows it.
fn ssh_name(line: &str) -> String {
    PublicKey::from_openssh(line)
        .map_or_else(|_| "a key that cannot be read".to_owned(), |key| key.fingerprint(HashAlg::Sha256).to_string())
}

fn gitsign_name(identity: &GitsignIdentity) -> String {
    format!("{} ({})", identity.identity, identity.issuer)
}

/// The key in `value`: a line as it stands in a `.pub` file, or the path of such a file.
pub(super) fn ssh_from(value: &str) -> Result<NewKey, Failure> {
    let is_line = ["ssh-", "ecdsa-", "sk-"].iter().any(|kind| value.starts_with(kind)) && value.contains(' ');
    let text = if is_line { value.to_owned() } else { read_ssh(Path::new(value))? };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let taken = |why: &str| Failure::new(codes::KEY_NOT_TAKEN, format!("--ssh-key {value}: {why}"));
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(taken("expected one public key").hint("Pass --ssh-key once for each key."));
    };
    SigningKey::from_line(line).map_err(|why| match PublicKey::from_openssh(line) {
        Ok(_) => taken(&why).hint(
            "What counts: Ed25519 (ssh-keygen -t ed25519 -f ~/.ssh/fleet), ECDSA on P-256 and P-384, RSA from 3072 bits on.",
        ),
        Err(_) => taken(&why),
    })?;
    Ok(NewKey::Ssh(line.to_owned()))
}

fn read_ssh(file: &Path) -> Result<String, Failure> {
    let text = fs::read(file).map_err(|e| failure::file("cannot read the key", file, &e))?;
    if text.starts_with(b"-----BEGIN") && text.windows(11).any(|part| part == b"PRIVATE KEY") {
        let message = format!("{} is a private key, which belongs into no repository", file.display());
        return Err(Failure::new(codes::KEY_NOT_TAKEN, message)
            .hint(format!("Pass its public half: --ssh-key {}.pub", file.display())));
    }
    String::from_utf8(text).map_err(|_| {
        Failure::new(codes::KEY_NOT_TAKEN, format!("{} is no text, expected an SSH public key", file.display()))
    })
}

/// The certificate's fingerprint as `gpg --list-keys` shows it.
fn openpgp_name(armour: &str) -> String {
    certificate(armour).unwrap_or_else(|_| "a certificate that cannot be read".to_owned())
}

/// The fingerprint of the one OpenPGP certificate in `armour`.
fn certificate(armour: &str) -> Result<String, pgp::errors::Error> {
    let (certificate, _) = SignedPublicKey::from_string(armour)?;
    Ok(format!("{:X}", certificate.fingerprint()))
}

/// The certificate in a file.
pub(super) fn openpgp_from(file: &Path) -> Result<NewKey, Failure> {
    let text = fs::read(file).map_err(|e| failure::file("cannot read the certificate", file, &e))?;
    let shown = file.display();
    let refused = |why: &str| Failure::new(codes::KEY_NOT_TAKEN, format!("--openpgp {shown}: {why}"));
    let export = format!("Export it: gpg --armor --export KEY > {shown}");
    let text = String::from_utf8(text).ok().map(|text| text.replace("\r\n", "\n"));
    let Some(text) = text.filter(|text| text.trim_start().starts_with("-----BEGIN PGP ")) else {
        return Err(refused("this is no armoured OpenPGP public key").hint(export));
    };
    if text.contains("PRIVATE KEY") {
        return Err(refused("this is a private key, which belongs into no repository").hint(export));
    }
    if text.matches("-----BEGIN PGP ").count() != 1 {
        return Err(refused("expected one public key").hint("Pass --openpgp once for each key."));
    }
    certificate(&text).map_err(|e| refused("this is no OpenPGP public key").because(&e).hint(export))?;
    Ok(NewKey::Openpgp(format!("{}\n", text.trim())))
}
