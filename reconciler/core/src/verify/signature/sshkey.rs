//! SSH public keys that may sign.

use std::collections::HashMap;
use std::sync::Arc;

use ssh_key::public::KeyData;
use ssh_key::{EcdsaCurve, HashAlg, PublicKey};

/// What stands before the 32 bytes of an Ed25519 key.
const ED25519: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";
/// The sizes of RSA keys that count, in bits. The upper end bounds what one signature can cost.
pub(super) const RSA_BITS: std::ops::RangeInclusive<usize> = 3072..=4096;

/// A public key of a kind that counts, as the bytes of its canonical encoding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SigningKey(Arc<[u8]>);

/// A key that was decoded from those bytes.
pub(super) enum Decoded {
    Ed25519(ed25519_dalek::VerifyingKey),
    /// A token's key, and what it was made for.
    SkEd25519(ed25519_dalek::VerifyingKey, String),
    SkEcdsa(p256::ecdsa::VerifyingKey, String),
    /// ECDSA and RSA.
    Other(KeyData),
}

/// Keys that were decoded: few sign most of a history.
#[derive(Default)]
pub(crate) struct Keys(HashMap<Vec<u8>, (SigningKey, Arc<Decoded>)>);

impl Keys {
    /// More keys than people sign in a row with.
    const KEPT: usize = 64;

    /// [`SigningKey::decode`], once for each key.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> Result<(SigningKey, Arc<Decoded>), String> {
        if let Some(known) = self.0.get(bytes) {
            return Ok(known.clone());
        }
        let (key, decoded) = SigningKey::decode(bytes)?;
        if self.0.len() == Self::KEPT {
            self.0.clear();
        }
        let known = (key, Arc::new(decoded));
        self.0.insert(bytes.to_vec(), known.clone());
        Ok(known)
    }
}

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
        let bytes = key.to_bytes().map_err(|error| format!("the key cannot be encoded ({error})"))?;
        Self::decode(&bytes).map(|(key, _)| key)
    }

    /// The fingerprint as `ssh-keygen -l` shows it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        PublicKey::from_bytes(&self.0)
            .map_or_else(|_| String::new(), |key| key.fingerprint(HashAlg::Sha256).to_string())
    }

    /// Reads the canonical encoding of a key of a kind that counts.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, Decoded), String> {
        if let Some(point) = bytes.strip_prefix(ED25519).and_then(|point| point.try_into().ok()) {
            return Ok((Self(bytes.into()), Decoded::Ed25519(ed25519(point)?)));
        }
        let key = PublicKey::from_bytes(bytes).map_err(|error| format!("the key cannot be read ({error})"))?;
        if key.to_bytes().ok().as_deref() != Some(bytes) {
            return Err("the key is not in its canonical form".to_owned());
        }
        Ok((Self(bytes.into()), classify(key.key_data())?))
    }

    /// What makes the key one key, whatever form it is listed in: the point, or the modulus.
    pub(super) fn material(&self) -> Vec<u8> {
        match Self::decode(&self.0) {
            Ok((_, Decoded::Ed25519(key) | Decoded::SkEd25519(key, _))) => key.to_bytes().to_vec(),
            Ok((_, Decoded::SkEcdsa(key, _))) => key.to_encoded_point(false).as_bytes().to_vec(),
            Ok((_, Decoded::Other(KeyData::Ecdsa(key)))) => key.as_sec1_bytes().to_vec(),
            Ok((_, Decoded::Other(KeyData::Rsa(key)))) => key.n.as_positive_bytes().unwrap_or_default().to_vec(),
            _ => self.0.to_vec(),
        }
    }
}

fn classify(key: &KeyData) -> Result<Decoded, String> {
    match key {
        KeyData::Ed25519(key) => ed25519(&key.0).map(Decoded::Ed25519),
        KeyData::SkEd25519(key) => Ok(Decoded::SkEd25519(ed25519(&key.public_key().0)?, key.application().to_owned())),
        KeyData::Ecdsa(point) => match point.curve() {
            _ if point.as_sec1_bytes().first() != Some(&4) => Err("the ECDSA key's point is compressed".to_owned()),
            EcdsaCurve::NistP256 | EcdsaCurve::NistP384 => Ok(Decoded::Other(key.clone())),
            EcdsaCurve::NistP521 => Err("ECDSA keys on P-521 are not supported".to_owned()),
        },
        KeyData::SkEcdsaSha2NistP256(key) => {
            let point = key.ec_point();
            let decoded = p256::ecdsa::VerifyingKey::from_encoded_point(point);
            match decoded {
                Ok(decoded) if !point.is_compressed() => Ok(Decoded::SkEcdsa(decoded, key.application().to_owned())),
                _ => Err("the ECDSA key's point is compressed, or not on the curve".to_owned()),
            }
        }
        KeyData::Rsa(rsa) => {
            let (Some(modulus), Some(exponent)) = (rsa.n.as_positive_bytes(), rsa.e.as_positive_bytes()) else {
                return Err("the RSA key is negative".to_owned());
            };
            check_rsa(modulus, exponent).map(|()| Decoded::Other(key.clone()))
        }
        other => Err(format!("keys of kind {} are not supported", other.algorithm().as_str())),
    }
}

/// An Ed25519 key for which not everybody could sign.
pub(super) fn ed25519(bytes: &[u8; 32]) -> Result<ed25519_dalek::VerifyingKey, String> {
    match ed25519_dalek::VerifyingKey::from_bytes(bytes) {
        Ok(point) if !point.is_weak() => Ok(point),
        _ => Err("the Ed25519 key is weak: anybody could sign for it".to_owned()),
    }
}

/// Whether an RSA key is of a size that counts, and no nonsense. Both numbers are without leading zeros.
pub(super) fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), String> {
    let spare = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = (modulus.len() * 8).saturating_sub(usize::try_from(spare).unwrap_or(8));
    let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
    if !RSA_BITS.contains(&bits) {
        return Err(format!("the RSA key has {bits} bits; {} to {} are supported", RSA_BITS.start(), RSA_BITS.end()));
    }
    if !odd(modulus) || !odd(exponent) || exponent == [1] || exponent.len() > 4 {
        return Err("the RSA key is weak".to_owned());
    }
    Ok(())
}
