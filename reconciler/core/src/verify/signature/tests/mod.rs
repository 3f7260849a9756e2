//! Signatures of every kind: what counts, and one test for each reason why something does not.

mod authority;
mod gitsign;
mod keys;
mod landings;
mod openpgp;
mod ssh;
mod tokens;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_schemas::manifest::Person;
use bellwether_schemas::{Code, PersonName};

use super::super::refusal::Fault;
use super::{Keyring, SigningKey, check_signature, prove};
use crate::verify::{Commit, attach_signature};

/// The bytes that `ssh-keygen -Y sign` and `gpg --detach-sign` signed for the files in testdata.
const SIGNED: &[u8] = include_bytes!("../../testdata/commit.txt");

fn commit(unsigned: &[u8], armoured: &str) -> Commit {
    let raw = attach_signature(unsigned, armoured).expect("a plain commit");
    let commit = Commit::parse(&raw, 20).expect("a plain commit");
    assert_eq!(commit.payload, unsigned);
    commit
}

fn check(armoured: &str) -> Result<SigningKey, Code> {
    check_over(SIGNED, armoured)
}

fn check_over(unsigned: &[u8], armoured: &str) -> Result<SigningKey, Code> {
    check_signature(&commit(unsigned, armoured)).map_err(|fault| fault.code)
}

/// Who of the keyring's people signed `SIGNED`.
fn signer(keyring: &Keyring, armoured: &str) -> Result<String, Fault> {
    signer_over(keyring, SIGNED, armoured)
}

fn signer_over(keyring: &Keyring, unsigned: &[u8], armoured: &str) -> Result<String, Fault> {
    let commit = commit(unsigned, armoured);
    keyring.signer(&commit, &prove(&commit)).map(ToString::to_string)
}

fn name(name: &str) -> PersonName {
    name.parse().expect("a name")
}

/// The keyring of one person, ada.
fn keyring_of(person: Person, sigstore_root: Option<&[u8]>) -> Result<Keyring, Vec<Fault>> {
    Keyring::build(&BTreeMap::from([(name("ada"), person)]), sigstore_root)
}

fn unarmoured(text: &str) -> Vec<u8> {
    let base64: String = text.lines().filter(|line| !line.starts_with(['-', '=']) && !line.contains(':')).collect();
    STANDARD.decode(base64).expect("base64")
}

fn rearmed(kind: &str, width: usize, bytes: &[u8]) -> String {
    let base64 = STANDARD.encode(bytes);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).expect("base64 is text")).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----", lines.join("\n"))
}
