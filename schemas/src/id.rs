//! Git object ids and SHA-256 digests, as bytes with their hexadecimal text.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not {expected} lower-case hexadecimal digits")]
pub struct InvalidId {
    found: String,
    expected: &'static str,
}

fn from_lower_hex(text: &str, into: &mut [u8]) -> bool {
    !text.bytes().any(|c| c.is_ascii_uppercase()) && hex::decode_to_slice(text, into).is_ok()
}

/// A git object id: 20 bytes (SHA-1) or 32 bytes (SHA-256).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectId {
    length: Length,
    bytes: [u8; 32],
}

/// How many bytes an id has. An `Option` of an id takes no more room than the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Length {
    Sha1 = 20,
    Sha256 = 32,
}

/// The id of a commit.
pub type CommitId = ObjectId;

impl ObjectId {
    /// Makes an id from the raw bytes of a hash; `None` unless they are 20 or 32.
    pub fn from_bytes(raw: &[u8]) -> Option<Self> {
        let length = match raw.len() {
            20 => Length::Sha1,
            32 => Length::Sha256,
            _ => return None,
        };
        let mut bytes = [0; 32];
        bytes[..raw.len()].copy_from_slice(raw);
        Some(Self { length, bytes })
    }

    /// The raw bytes: 20 or 32.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length as u8)]
    }

    /// The first seven hexadecimal digits, as git shows a commit where there is little room.
    pub fn short(&self) -> String {
        hex::encode(&self.bytes[..4])[..7].to_owned()
    }
}

/// By its bytes alone: ids of both lengths are not mixed, and maps of ids are asked for every object of a history.
impl Hash for ObjectId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.bytes);
    }
}

impl FromStr for ObjectId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut raw = [0; 32];
        let length = match text.len() {
            40 => 20,
            64 => 32,
            _ => 0,
        };
        match Self::from_bytes(&raw[..length]) {
            Some(_) if from_lower_hex(text, &mut raw[..length]) => Self::from_bytes(&raw[..length]),
            _ => None,
        }
        .ok_or_else(|| InvalidId { found: text.to_owned(), expected: "40 or 64" })
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for ObjectId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> String {
        id.to_string()
    }
}

impl schemars::JsonSchema for ObjectId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ObjectId".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "The full id of a commit, as git rev-parse prints it: 40 lower-case hexadecimal digits, or 64 in a repository with SHA-256 ids.",
            // Decimal digits alone need no quotes, though readers of YAML take them for a number.
            "type": ["string", "number"],
            "pattern": "^([0-9a-f]{40}|[0-9a-f]{64})$",
            "examples": ["9f3c2ab000000000000000000000000000000001"],
        })
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// A digest that was computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first twelve hexadecimal digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl FromStr for Sha256Digest {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let mut raw = [0; 32];
        if from_lower_hex(text, &mut raw) {
            Ok(Self(raw))
        } else {
            Err(InvalidId { found: text.to_owned(), expected: "64" })
        }
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> String {
        digest.to_string()
    }
}

impl schemars::JsonSchema for Sha256Digest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sha256Digest".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A SHA-256 digest, as sha256sum prints it: 64 lower-case hexadecimal digits.",
            // As for an ObjectId.
            "type": ["string", "number"],
            "pattern": "^[0-9a-f]{64}$",
            "examples": ["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case_hexadecimal_of_a_known_length() {
        let sha1 = "9f3c2ab000000000000000000000000000000001";
        assert_eq!(sha1.parse::<ObjectId>().expect("40 digits").to_string(), sha1);
        assert_eq!(sha1.parse::<ObjectId>().expect("40 digits").short(), "9f3c2ab");
        assert!("a".repeat(64).parse::<ObjectId>().is_ok());
        for bad in ["", "9f3c2ab", &sha1.to_uppercase(), &"g".repeat(40), &"a".repeat(63)] {
            assert!(bad.parse::<ObjectId>().is_err(), "{bad}");
        }
        assert!("A".repeat(64).parse::<Sha256Digest>().is_err());
    }
}
