//! Signing: what those who write commits need. The counterpart of `check_signature`.

use ssh_key::{HashAlg, LineEnding, PrivateKey};

use super::commit::{Commit, signature_header};
use super::refusal::Fault;
use super::signature::{NAMESPACE, SigningKey};

/// Why a commit could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The bytes are no commit that would count.
    #[error("failed to read the commit to sign")]
    Commit(#[source] Fault),
    /// It has a signature.
    #[error("the commit is signed already")]
    Signed,
    /// The key is of a kind that does not count.
    #[error("the key cannot sign landings: {0}")]
    Kind(String),
    /// The key failed; it may be encrypted.
    #[error("failed to sign with the key")]
    Key(#[source] ssh_key::Error),
}

/// Signs a commit object's content, and returns it with the signature in its header, as `git commit -S` writes it.
///
/// # Errors
/// See [`SignError`].
pub fn sign_commit(unsigned: &[u8], key: &PrivateKey) -> Result<Vec<u8>, SignError> {
    SigningKey::of(key.public_key()).map_err(SignError::Kind)?;
    let signature = key.sign(NAMESPACE, HashAlg::Sha512, unsigned).map_err(SignError::Key)?;
    attach_signature(unsigned, &signature.to_pem(LineEnding::LF).map_err(SignError::Key)?)
}

/// Puts an armoured signature, made elsewhere over `unsigned` (by an agent, by `ssh-keygen -Y sign -n git`), into the header.
///
/// # Errors
/// See [`SignError`]. The signature itself is not checked.
pub fn attach_signature(unsigned: &[u8], armoured: &str) -> Result<Vec<u8>, SignError> {
    // The tree's id tells the repository's hash: `tree ` and 64 digits is SHA-256.
    let id_length = if unsigned.get(69) == Some(&b'\n') { 32 } else { 20 };
    let commit = Commit::parse(unsigned, id_length).map_err(SignError::Commit)?;
    if commit.signature.is_some() {
        return Err(SignError::Signed);
    }
    let end = unsigned.windows(2).position(|pair| pair == b"\n\n").expect("a commit that parsed has an empty line") + 1;
    let header = format!("{} {}\n", signature_header(id_length), armoured.trim_end().replace('\n', "\n "));
    Ok([&unsigned[..end], header.as_bytes(), &unsigned[end..]].concat())
}
