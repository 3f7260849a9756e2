//! What a device and the `enroll` listener say to each other: JSON over HTTPS, `POST /v1/enroll`.
//!
//! A request without a token may be answered with status 202 and an [`ErrorBody`]: it waits for a person's approval, and
//! the device asks again. Of that and of 429 and 503 the header `Retry-After` says after how many seconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::Sha256Digest;
use crate::name::{DeviceName, EnrollmentName};

/// The path of the request on the `enroll` listener.
pub const ENROLL_PATH: &str = "/v1/enroll";

/// A device asks for its certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct EnrollRequest {
    /// By what right.
    pub claim: Claim,
    /// A PKCS#10 request in PEM; only its public key counts.
    pub csr: String,
    /// What the device says about itself, for people; nothing is decided by it. At most 32 of 256 bytes each.
    pub facts: BTreeMap<String, String>,
}

/// By what right a device asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Claim {
    /// It holds a token: 64 hexadecimal digits of 32 random bytes.
    Token(String),
    /// A person approves its key.
    Approval(EnrollmentName),
    /// Its factory gave it a certificate.
    Factory(EnrollmentName, FactoryProof),
}

// A token is a secret: it must not get into a log by way of `{:?}`.
impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(_) => f.debug_tuple("Token").finish_non_exhaustive(),
            Self::Approval(enrollment) => f.debug_tuple("Approval").field(enrollment).finish(),
            Self::Factory(enrollment, _) => f.debug_tuple("Factory").field(enrollment).finish_non_exhaustive(),
        }
    }
}

/// A certificate from the factory, and that its key is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactoryProof {
    /// The certificate and those between it and the authority, PEM, its own first.
    pub chain: String,
    /// A signature over [`factory_message`] by its key, in hexadecimal digits: ECDSA (DER), Ed25519, RSA PKCS #1 or PSS.
    pub signature: String,
}

/// What the factory's key signs: it binds the new key, by the request that is signed with it, and the Enrollment.
pub fn factory_message(csr_der: &[u8], enrollment: &EnrollmentName) -> Vec<u8> {
    let csr = Sha256Digest::of(csr_der);
    [b"bellwether factory enrollment v1\0".as_slice(), csr.as_bytes(), enrollment.as_str().as_bytes()].concat()
}

/// The request as JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enrollment: Option<EnrollmentName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    factory: Option<FactoryProof>,
    csr: String,
    #[serde(default)]
    facts: BTreeMap<String, String>,
}

/// Why a request claims nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a request has a token, or the name of an enrollment and perhaps a factory certificate")]
pub struct NoClaim;

impl TryFrom<Fields> for EnrollRequest {
    type Error = NoClaim;
    fn try_from(fields: Fields) -> Result<Self, NoClaim> {
        let claim = match (fields.token, fields.enrollment, fields.factory) {
            (Some(token), None, None) => Claim::Token(token),
            (None, Some(enrollment), None) => Claim::Approval(enrollment),
            (None, Some(enrollment), Some(proof)) => Claim::Factory(enrollment, proof),
            _ => return Err(NoClaim),
        };
        Ok(Self { claim, csr: fields.csr, facts: fields.facts })
    }
}

impl From<EnrollRequest> for Fields {
    fn from(request: EnrollRequest) -> Self {
        let (token, enrollment, factory) = match request.claim {
            Claim::Token(token) => (Some(token), None, None),
            Claim::Approval(enrollment) => (None, Some(enrollment), None),
            Claim::Factory(enrollment, proof) => (None, Some(enrollment), Some(proof)),
        };
        Self { token, enrollment, factory, csr: request.csr, facts: request.facts }
    }
}

/// What a device gets: its certificate and where to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnrollResponse {
    /// The name in the certificate.
    pub device: DeviceName,
    /// The certificate, PEM.
    pub certificate: String,
    /// `https://host:port` of the `devices` listener.
    pub devices: String,
    /// `https://host:port` of the `updates` listener.
    pub updates: String,
}

/// How every listener says that something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// A stable code.
    pub code: String,
    /// What failed and why.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// The name that is made for a device from the hash of a key: `<enrollment>-<16 hexadecimal digits>`.
///
/// # Errors
/// When the enrollment's name is too long for that.
pub fn made_name(enrollment: &EnrollmentName, key: &Sha256Digest) -> Result<DeviceName, crate::name::InvalidName> {
    format!("{enrollment}-{}", &key.to_string()[..16]).parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_makes_exactly_one_claim() {
        let read = |json: &str| serde_json::from_str::<EnrollRequest>(json).map(|request| request.claim);
        let lab: EnrollmentName = "lab".parse().expect("a name");
        let proof = FactoryProof { chain: "c".to_owned(), signature: "00".to_owned() };
        let factory = r#""factory":{"chain":"c","signature":"00"}"#;
        for (json, claim) in [
            (r#"{"token":"t","csr":"x"}"#.to_owned(), Claim::Token("t".to_owned())),
            (r#"{"enrollment":"lab","csr":"x","facts":{}}"#.to_owned(), Claim::Approval(lab.clone())),
            (format!(r#"{{"enrollment":"lab","csr":"x",{factory}}}"#), Claim::Factory(lab, proof)),
        ] {
            let found = read(&json).expect(&json);
            assert_eq!(found, claim);
            let request = EnrollRequest { claim: found, csr: "x".to_owned(), facts: BTreeMap::new() };
            let again = serde_json::to_string(&request).expect("JSON");
            assert_eq!(read(&again).expect(&again), claim);
        }
        for bad in [
            r#"{"csr":"x"}"#,
            r#"{"token":"t"}"#,
            r#"{"token":"t","enrollment":"lab","csr":"x"}"#,
            r#"{"token":"t","csr":"x","more":1}"#,
            r#"{"enrollment":"../lab","csr":"x"}"#,
            &format!(r#"{{"csr":"x",{factory}}}"#),
            &format!(r#"{{"token":"t","csr":"x",{factory}}}"#),
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(!format!("{:?}", Claim::Token("secret".to_owned())).contains("secret"));
    }

    #[test]
    fn what_the_factory_key_signs_differs_for_each_request_and_enrollment() {
        let [a, b] = ["a", "b"].map(|name| name.parse::<EnrollmentName>().expect("a name"));
        let message = factory_message(b"request", &a);
        assert!(message.starts_with(b"bellwether factory enrollment v1\0") && message.ends_with(b"a"));
        assert_ne!(message, factory_message(b"request", &b));
        assert_ne!(message, factory_message(b"another", &a));
    }
}
