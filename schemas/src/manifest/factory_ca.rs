//! The certificate authorities of a factory: PEM that was taken apart once, so that nobody meets a broken one later.

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::pem::{PemObject as _, SectionKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The greatest length of the PEM text, in bytes.
const MAX_TEXT: usize = 64 << 10;
/// The greatest number of certificates.
const MAX_CERTIFICATES: usize = 16;
/// How every section of PEM begins.
const BEGIN: &str = "-----BEGIN ";

/// One or more certificates of authorities whose certificates devices bring from the factory.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FactoryCa {
    pem: String,
    certificates: Vec<Vec<u8>>,
}

/// Why a text does not name certificate authorities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCa {
    /// Too much text.
    #[error("found {0} bytes, at most {MAX_TEXT} are allowed")]
    TooLong(usize),
    /// No certificate.
    #[error("found no certificate in PEM (-----BEGIN CERTIFICATE-----)")]
    None,
    /// Too many.
    #[error("found {0} certificates, at most {MAX_CERTIFICATES} are allowed")]
    TooMany(usize),
    /// A private key, which is no longer one.
    #[error("found a private key: it is not secret any more once it is in git")]
    PrivateKey,
    /// Something else in PEM, or PEM that is broken.
    #[error("found a part that is no whole CERTIFICATE in PEM")]
    Other,
    /// A certificate that cannot be read.
    #[error("certificate {0} is not an X.509 certificate")]
    Unreadable(usize),
    /// A certificate that may not sign others.
    #[error("certificate {number} ({subject}) is not that of an authority: it may not sign certificates")]
    NoAuthority {
        /// Its place, from 1.
        number: usize,
        /// Whose it is.
        subject: String,
    },
}

impl FactoryCa {
    /// The certificates, DER.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.certificates.iter().map(Vec::as_slice)
    }
}

impl FromStr for FactoryCa {
    type Err = InvalidCa;
    fn from_str(pem: &str) -> Result<Self, InvalidCa> {
        if pem.len() > MAX_TEXT {
            return Err(InvalidCa::TooLong(pem.len()));
        }
        if pem.contains("PRIVATE KEY") {
            return Err(InvalidCa::PrivateKey);
        }
        let sections: Result<Vec<_>, _> = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.as_bytes()).collect();
        let sections = sections.map_err(|_| InvalidCa::Other)?;
        let begun = pem.matches(BEGIN).count();
        if begun == 0 {
            return Err(InvalidCa::None);
        }
        // What the reader does not know, it skips.
        if sections.len() != begun || sections.iter().any(|(kind, _)| *kind != SectionKind::Certificate) {
            return Err(InvalidCa::Other);
        }
        if begun > MAX_CERTIFICATES {
            return Err(InvalidCa::TooMany(begun));
        }
        let certificates: Vec<_> = sections.into_iter().map(|(_, der)| der).collect();
        certificates.iter().enumerate().try_for_each(|(at, der)| check(at + 1, der))?;
        Ok(Self { pem: pem.to_owned(), certificates })
    }
}

/// RFC 5280 4.2.1.9 and 4.2.1.3: who may sign certificates says so.
fn check(number: usize, der: &[u8]) -> Result<(), InvalidCa> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| InvalidCa::Unreadable(number))?;
    if !rest.is_empty() {
        return Err(InvalidCa::Unreadable(number));
    }
    let unreadable = |_| InvalidCa::Unreadable(number);
    let is_ca = certificate.basic_constraints().map_err(unreadable)?.is_some_and(|constraints| constraints.value.ca);
    let may_sign = certificate.key_usage().map_err(unreadable)?.is_none_or(|usage| usage.value.key_cert_sign());
    if is_ca && may_sign {
        return Ok(());
    }
    let subject: String = certificate.subject().to_string().chars().filter(|c| !c.is_control()).take(80).collect();
    Err(InvalidCa::NoAuthority { number, subject })
}

impl fmt::Debug for FactoryCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FactoryCa").field("certificates", &self.certificates.len()).finish_non_exhaustive()
    }
}

impl TryFrom<String> for FactoryCa {
    type Error = InvalidCa;
    fn try_from(pem: String) -> Result<Self, InvalidCa> {
        pem.parse()
    }
}

impl From<FactoryCa> for String {
    fn from(ca: FactoryCa) -> String {
        ca.pem
    }
}

impl JsonSchema for FactoryCa {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "FactoryCa".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let what = format!(
            "Certificates of authorities in PEM, 1 to {MAX_CERTIFICATES}, as openssl x509 -in ca.crt prints them."
        );
        schemars::json_schema!({
            "description": what,
            "type": "string",
            "pattern": "-----BEGIN CERTIFICATE-----",
            "maxLength": MAX_TEXT,
            "not": { "pattern": "PRIVATE KEY|-----BEGIN (?!CERTIFICATE-----)" },
        })
    }
}
