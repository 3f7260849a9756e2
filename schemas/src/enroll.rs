//! What a device and the `enroll` listener say to each other: JSON over HTTPS, `POST /v1/enroll`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::DeviceName;

/// The path of the request on the `enroll` listener.
pub const ENROLL_PATH: &str = "/v1/enroll";

/// A device asks for its certificate.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnrollRequest {
    /// The token: 64 hexadecimal digits of 32 random bytes.
    pub token: String,
    /// A PKCS#10 request in PEM; only its public key counts.
    pub csr: String,
    /// What the device says about itself, for people; nothing is decided by it. At most 32 of 256 bytes each.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
}

// The token is a secret: it must not get into a log by way of `{:?}`.
impl std::fmt::Debug for EnrollRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrollRequest").field("facts", &self.facts).finish_non_exhaustive()
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
