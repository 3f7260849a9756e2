//! SSH signatures (OpenSSH's PROTOCOL.sshsig), also by keys on FIDO tokens (PROTOCOL.u2f).

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use bellwether_schemas::codes;
use p256::ecdsa::signature::Verifier as _;
use sha2::{Digest as _, Sha256};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, Signature, SshSig};

use super::super::commit::printable;
use super::super::refusal::Fault;
use super::armour::Armour;
use super::sshkey::{Decoded, Keys, SigningKey};
use super::{invalid, unsupported};

/// What git signs for (`ssh-keygen -Y sign -n git`).
pub(crate) const NAMESPACE: &str = "git";
/// As `ssh-keygen -Y sign` writes it, and ssh-key's `to_pem`.
const ARMOUR: Armour = Armour { begin: "-----BEGIN SSH SIGNATURE-----", end: "-----END SSH SIGNATURE-----", width: 70 };
const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;

/// Checks an armoured signature over `payload`, and returns the key that made it.
pub(super) fn verify(text: &str, payload: &[u8], keys: &mut Keys) -> Result<SigningKey, Fault> {
    if !text.starts_with(ARMOUR.begin) {
        return Err(unsupported("the signature is of no known kind"));
    }
    let bytes = ARMOUR.decode(ARMOUR.body(text)?)?;
    let blob = Blob::parse(&bytes)?;
    let (key, decoded) =
        keys.decode(blob.key).map_err(|why| unsupported(format!("the signature's key does not count: {why}")))?;
    let signed = SshSig::signed_data(NAMESPACE, blob.hash, payload)
        .map_err(|error| invalid(format!("the signed data cannot be built: {error}")))?;
    if let Some(token) = &blob.token {
        token.check()?;
    }
    if !verifies(&decoded, &blob, &signed) {
        return Err(invalid(format!("the signature by {} is not over this commit", key.fingerprint())));
    }
    Ok(key)
}

/// PROTOCOL.sshsig, "blob format", with the parts that are not fixed.
struct Blob<'b> {
    key: &'b [u8],
    hash: HashAlg,
    algorithm: Algorithm,
    signature: &'b [u8],
    token: Option<Token>,
}

/// What a FIDO token says of how it signed. It signs this too.
struct Token {
    flags: u8,
    counter: [u8; 4],
}

impl Token {
    /// The counter is free: many tokens keep none. ssh-key looks at neither.
    fn check(&self) -> Result<(), Fault> {
        if self.flags & !(USER_PRESENT | USER_VERIFIED) != 0 {
            return Err(unsupported(format!("the token's signature has unknown flags {:#04x}", self.flags)));
        }
        if self.flags & USER_PRESENT == 0 {
            let why = "the token signed without anybody touching it";
            return Err(Fault::new(codes::USER_PRESENCE, why));
        }
        Ok(())
    }

    /// What the token signed for `message`.
    fn signed_data(&self, application: &str, message: &[u8]) -> Vec<u8> {
        [Sha256::digest(application).as_slice(), &[self.flags], &self.counter, Sha256::digest(message).as_slice()]
            .concat()
    }
}

impl<'b> Blob<'b> {
    fn parse(bytes: &'b [u8]) -> Result<Self, Fault> {
        let cut = || invalid("the signature is cut off");
        let rest = bytes.strip_prefix(b"SSHSIG").ok_or_else(|| invalid("the signature does not begin with SSHSIG"))?;
        let rest =
            rest.strip_prefix(&1_u32.to_be_bytes()).ok_or_else(|| unsupported("the signature's version is not 1"))?;
        let (key, rest) = field(rest).ok_or_else(cut)?;
        let (namespace, rest) = field(rest).ok_or_else(cut)?;
        let (reserved, rest) = field(rest).ok_or_else(cut)?;
        let (hash, rest) = field(rest).ok_or_else(cut)?;
        let (signature, rest) = field(rest).ok_or_else(cut)?;
        if namespace != NAMESPACE.as_bytes() {
            let found = printable(&String::from_utf8_lossy(namespace));
            return Err(invalid(format!("the signature is for {found:?}, expected {NAMESPACE:?}")));
        }
        if !reserved.is_empty() || !rest.is_empty() {
            return Err(invalid("the signature holds more than a signature"));
        }
        let hash = match hash {
            b"sha256" => HashAlg::Sha256,
            b"sha512" => HashAlg::Sha512,
            _ => return Err(unsupported("the signature uses neither sha256 nor sha512")),
        };
        let (algorithm, rest) = field(signature).ok_or_else(cut)?;
        let (signature, rest) = field(rest).ok_or_else(cut)?;
        let algorithm = algorithm_of(algorithm)?;
        let token = match (&algorithm, rest) {
            (Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256, [flags, counter @ ..]) => {
                let counter = counter.try_into().map_err(|_| invalid("the token's flags and counter are not there"))?;
                Some(Token { flags: *flags, counter })
            }
            (Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256, []) => return Err(cut()),
            (_, []) => None,
            _ => return Err(invalid("the signature holds more than a signature")),
        };
        Ok(Self { key, hash, algorithm, signature, token })
    }
}

/// The signature's algorithm, by name. `ssh-rsa` names SHA-1 here (RFC 8332), `webauthn-…` a browser's envelope.
fn algorithm_of(name: &[u8]) -> Result<Algorithm, Fault> {
    Ok(match name {
        b"ssh-ed25519" => Algorithm::Ed25519,
        b"ecdsa-sha2-nistp256" => Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        b"ecdsa-sha2-nistp384" => Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        b"rsa-sha2-256" => Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
        b"rsa-sha2-512" => Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        b"sk-ssh-ed25519@openssh.com" => Algorithm::SkEd25519,
        b"sk-ecdsa-sha2-nistp256@openssh.com" => Algorithm::SkEcdsaSha2NistP256,
        other => {
            let name = printable(&String::from_utf8_lossy(other));
            return Err(unsupported(format!("the signature's algorithm {name:?} is not supported")));
        }
    })
}

/// A string of RFC 4251: its length in four bytes, then its bytes.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn verifies(key: &Decoded, blob: &Blob<'_>, signed: &[u8]) -> bool {
    match (key, &blob.algorithm, &blob.token) {
        (Decoded::Ed25519(key), Algorithm::Ed25519, None) => ed25519(key, signed, blob.signature),
        (Decoded::SkEd25519(key, application), Algorithm::SkEd25519, Some(token)) => {
            ed25519(key, &token.signed_data(application, signed), blob.signature)
        }
        (Decoded::SkEcdsa(key, application), Algorithm::SkEcdsaSha2NistP256, Some(token)) => {
            let plain = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
            let signature = Signature::new(plain, blob.signature).ok();
            signature
                .and_then(|signature| p256::ecdsa::Signature::try_from(&signature).ok())
                .is_some_and(|signature| key.verify(&token.signed_data(application, signed), &signature).is_ok())
        }
        // Its numbers are minimal, and its kind is the key's: ssh-key checks both.
        (Decoded::Other(key), algorithm, None) => Signature::new(algorithm.clone(), blob.signature)
            .is_ok_and(|signature| key.verify(signed, &signature).is_ok()),
        _ => false,
    }
}

/// As OpenSSH does it: without the cofactor, `S` below the group's order, `R` compared by its bytes (RFC 8032, 5.1.7). That
/// the key is not weak was seen when it was decoded.
fn ed25519(key: &ed25519_dalek::VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key.as_bytes()).verify(message, signature).is_ok()
}
