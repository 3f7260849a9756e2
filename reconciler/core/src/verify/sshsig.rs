//! SSH signatures (OpenSSH's PROTOCOL.sshsig) and the keys that may make them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellwether_schemas::codes;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, PublicKey, Signature, SshSig};

use super::commit::Commit;
use super::refusal::Fault;

/// What git signs for (`ssh-keygen -Y sign -n git`).
pub(crate) const NAMESPACE: &str = "git";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";

/// A public key of a kind that counts, as the bytes of its canonical encoding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SigningKey(Vec<u8>);

impl SigningKey {
    /// Reads a line of an `authorized_keys` file without options.
    ///
    /// # Errors
    /// Why the key cannot count, in a sentence fragment.
    pub fn from_line(line: &str) -> Result<Self, String> {
        if line.trim() != line || line.contains(['\n', '\r']) {
            return Err("a key is one line without space around it".to_owned());
        }
        let key = PublicKey::from_openssh(line)
            .map_err(|error| format!("the key is no line of the form `ssh-ed25519 AAAA… comment` ({error})"))?;
        Self::of(&key)
    }

    /// The key, if it is of a kind that counts.
    ///
    /// # Errors
    /// Why it cannot count, in a sentence fragment.
    pub fn of(key: &PublicKey) -> Result<Self, String> {
        check_kind(key.key_data())?;
        key.to_bytes().map(Self).map_err(|error| format!("the key cannot be encoded ({error})"))
    }

    /// The fingerprint as `ssh-keygen -l` shows it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        PublicKey::from_bytes(&self.0)
            .map_or_else(|_| String::new(), |key| key.fingerprint(HashAlg::Sha256).to_string())
    }
}

/// Why keys of this kind do not count, if they do not.
fn check_kind(key: &KeyData) -> Result<(), String> {
    match key {
        KeyData::Ed25519(key) => match ed25519_dalek::VerifyingKey::from_bytes(&key.0) {
            Ok(point) if !point.is_weak() => Ok(()),
            _ => Err("the Ed25519 key is weak: anybody could sign for it".to_owned()),
        },
        KeyData::Ecdsa(key) => match key.curve() {
            EcdsaCurve::NistP256 | EcdsaCurve::NistP384 => Ok(()),
            EcdsaCurve::NistP521 => Err("ECDSA keys on P-521 are not supported".to_owned()),
        },
        KeyData::Rsa(key) => {
            let (Some(modulus), Some(exponent)) = (key.n.as_positive_bytes(), key.e.as_positive_bytes()) else {
                return Err("the RSA key is negative".to_owned());
            };
            let spare = modulus.first().map_or(0, |byte| byte.leading_zeros());
            let bits = (modulus.len() * 8).saturating_sub(usize::try_from(spare).unwrap_or(8));
            let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
            if !(3072..=4096).contains(&bits) {
                return Err(format!("the RSA key has {bits} bits; 3072 to 4096 are supported"));
            }
            if !odd(modulus) || !odd(exponent) || exponent == [1] || exponent.len() > 4 {
                return Err("the RSA key is weak".to_owned());
            }
            Ok(())
        }
        KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => {
            Err("keys on FIDO security tokens (sk-…) are not supported yet".to_owned())
        }
        other => Err(format!("keys of kind {} are not supported", other.algorithm().as_str())),
    }
}

fn invalid(why: impl Into<String>) -> Fault {
    Fault::new(codes::SIGNATURE_INVALID, why)
}

fn unsupported(why: impl Into<String>) -> Fault {
    Fault::new(codes::SIGNATURE_UNSUPPORTED, why)
}

/// Checks the signature of a commit, and returns the key that made it. Whose key it is, a policy says.
///
/// Pure and independent of all other commits, so that many may be checked at the same time.
///
/// # Errors
/// The commit is unsigned, or its signature is of a kind that does not count or does not verify.
pub fn check_signature(commit: &Commit) -> Result<SigningKey, Fault> {
    let text =
        commit.signature.as_deref().ok_or_else(|| Fault::new(codes::COMMIT_UNSIGNED, "the landing is not signed"))?;
    let blob = Blob::parse(&unarmour(text)?)?;
    let public = PublicKey::from_bytes(&blob.key).map_err(|error| unsupported(format!("the signing key: {error}")))?;
    let key = SigningKey::of(&public).map_err(unsupported)?;
    if key.0 != blob.key {
        return Err(invalid("the signing key is not in its canonical form"));
    }
    if !verifies(public.key_data(), &blob, &commit.payload) {
        return Err(invalid(format!("the signature by {} is not over this commit", key.fingerprint())));
    }
    Ok(key)
}

/// The bytes in the armour. Any width of line passes; what is not base64 does not.
fn unarmour(text: &str) -> Result<Vec<u8>, Fault> {
    let text = text.trim_end_matches('\n');
    let Some(inner) = text.strip_prefix(BEGIN) else {
        let kind = if text.starts_with("-----BEGIN PGP") {
            "OpenPGP signatures are not supported yet"
        } else if text.starts_with("-----BEGIN SIGNED MESSAGE") {
            "X.509 and Sigstore signatures are not supported yet"
        } else {
            "the signature is of no known kind"
        };
        return Err(unsupported(kind));
    };
    let inner = inner.strip_suffix(END).ok_or_else(|| invalid("the signature's armour does not end"))?;
    let lines = inner.strip_prefix('\n').and_then(|inner| inner.strip_suffix('\n'));
    let base64: String = lines.ok_or_else(|| invalid("the signature's armour is broken"))?.split('\n').collect();
    STANDARD.decode(base64).map_err(|_| invalid("the signature is not base64"))
}

/// PROTOCOL.sshsig, "blob format", with the parts that are not fixed.
struct Blob {
    key: Vec<u8>,
    hash: HashAlg,
    signature: Signature,
}

impl Blob {
    fn parse(bytes: &[u8]) -> Result<Self, Fault> {
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
            let found = super::commit::printable(&String::from_utf8_lossy(namespace));
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
        let (data, rest) = field(rest).ok_or_else(cut)?;
        let algorithm = std::str::from_utf8(algorithm).ok().and_then(|name| Algorithm::new(name).ok());
        // `ssh-rsa` names SHA-1 here (RFC 8332); ssh-key reads it as RSA without a hash.
        let algorithm = algorithm
            .filter(|found| {
                matches!(found, Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { hash: Some(_) })
            })
            .ok_or_else(|| unsupported("the signature's algorithm is not supported"))?;
        if !rest.is_empty() {
            return Err(invalid("the signature holds more than a signature"));
        }
        let signature = Signature::new(algorithm, data).map_err(|error| invalid(format!("the signature: {error}")))?;
        Ok(Self { key: key.to_vec(), hash, signature })
    }
}

/// A string of RFC 4251: its length in four bytes, then its bytes.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn verifies(key: &KeyData, blob: &Blob, payload: &[u8]) -> bool {
    if let KeyData::Ed25519(key) = key {
        // Strict: ssh-key's own check would take signatures that other implementations refuse.
        let data = SshSig::signed_data(NAMESPACE, blob.hash, payload);
        let key = ed25519_dalek::VerifyingKey::from_bytes(&key.0);
        let signature = ed25519_dalek::Signature::try_from(&blob.signature);
        return match (data, key, signature) {
            (Ok(data), Ok(key), Ok(signature)) => key.verify_strict(&data, &signature).is_ok(),
            _ => false,
        };
    }
    let public = PublicKey::from(key.clone());
    SshSig::new(key.clone(), NAMESPACE, blob.hash, blob.signature.clone())
        .is_ok_and(|signature| public.verify(NAMESPACE, payload, &signature).is_ok())
}
