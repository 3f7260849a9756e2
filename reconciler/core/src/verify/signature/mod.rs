//! Signatures of commits: SSH, OpenPGP and gitsign.
//!
//! In: a commit, and for OpenPGP and gitsign the keys of a policy's people. Out: the person whose key signed, or why
//! nobody did. Nothing here looks at a clock: when a key expires or a signature was made never decides.
//!
//! What a signature is over fixes its bytes as far as its kind allows, so that whoever serves the history cannot make
//! a second commit id of the same signed content: armour and encodings must be the canonical ones, and nothing may
//! stand where nobody signs. What stays open, since signers themselves are free in it: the second form (r, n-s) of an
//! ECDSA signature, the framing of an OpenPGP packet (old or new header), and another inclusion proof of the same log
//! entry. Such a twin has the same tree and parents, counts for the same person, and is no descendant of the original.

mod armour;
mod certificate;
mod gitsign;
mod keyring;
mod openpgp;
mod sshkey;
mod sshsig;

#[cfg(test)]
mod tests;

use bellwether_schemas::codes;

use super::commit::Commit;
use super::refusal::Fault;

pub use keyring::ExpiringKey;
pub(crate) use keyring::Keyring;
pub(crate) use sshkey::Keys;
pub use sshkey::SigningKey;
pub(crate) use sshsig::NAMESPACE;

/// What a commit's signature proves by itself, before a policy is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Proof {
    /// There is no signature.
    None,
    /// An SSH signature, which names its key, or why the signature does not count.
    Ssh(Result<SigningKey, Fault>),
    /// A signature that only the keys of a policy can check.
    Deferred,
}

/// Checks of a commit's signature what needs no policy. Pure, so that many may be checked at the same time.
pub(crate) fn prove(commit: &Commit) -> Proof {
    prove_with(commit, &mut Keys::default())
}

/// [`prove`], with keys that may have signed other commits.
pub(crate) fn prove_with(commit: &Commit, keys: &mut Keys) -> Proof {
    match commit.signature.as_deref() {
        None => Proof::None,
        Some(text) if openpgp::is(text) || gitsign::is(text) => Proof::Deferred,
        Some(text) => Proof::Ssh(sshsig::verify(text, &commit.payload, keys)),
    }
}

/// Checks the SSH signature of a commit, and returns the key that made it. Whose key it is, a policy says.
///
/// # Errors
/// The commit is unsigned, or its signature is of another kind or does not verify.
pub fn check_signature(commit: &Commit) -> Result<SigningKey, Fault> {
    match prove(commit) {
        Proof::None => Err(unsigned()),
        Proof::Ssh(result) => result,
        Proof::Deferred => Err(unsupported("the signature is no SSH signature, and only a policy can check it")),
    }
}

fn unsigned() -> Fault {
    Fault::new(codes::COMMIT_UNSIGNED, "the landing is not signed")
}

fn invalid(why: impl Into<String>) -> Fault {
    Fault::new(codes::SIGNATURE_INVALID, why)
}

fn unsupported(why: impl Into<String>) -> Fault {
    Fault::new(codes::SIGNATURE_UNSUPPORTED, why)
}

fn not_canonical(why: impl Into<String>) -> Fault {
    Fault::new(codes::SIGNATURE_NOT_CANONICAL, why)
}
