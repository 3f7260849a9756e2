//! The installer: a shell script that puts the agent onto a device, made for this reconciler (decision 0017).
//!
//! In: the authority's certificate, the newest TUF root, the names in the server's certificate, the address of the
//! listener `enroll`. Out: the script, the same bytes for the command and for the listener. It holds no secret.

pub(crate) mod agents;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use bellwether_schemas::{Code, Sha256Digest, codes};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

const TEMPLATE: &str = include_str!("install.sh");
/// No certificate and no root is larger, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// What the script is made of. The files are read whenever it is made, so that it is as new as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The authority's directory.
    pub ca: PathBuf,
    /// The directory of the online keys, with the roots beside them.
    pub keys: PathBuf,
    /// `https://name:port` of the listener `enroll`.
    pub address: String,
}

/// Why no script can be made.
#[derive(Debug, thiserror::Error)]
pub enum InstallerError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what its name says.
    #[error("{} is no {expected}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// There is no root to pin.
    #[error("{} holds no root.json; bellwether keys init puts one there", .0.display())]
    NoRoot(PathBuf),
    /// Devices would refuse the server under this address.
    #[error("the address {address} is not among the names in the server's certificate: {}", names.join(", "))]
    Address {
        /// The address.
        address: String,
        /// The names.
        names: Vec<String>,
    },
}

impl InstallerError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::File { .. } | Self::Content { .. } => codes::AUTHORITY_FILES,
            Self::NoRoot(_) => codes::KEY_UNREADABLE,
            Self::Address { .. } => codes::INSTALLER_ADDRESS,
        }
    }
}

/// The script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Its text.
    pub text: String,
}

impl Script {
    /// What a copy of it is compared with.
    pub fn sha256(&self) -> Sha256Digest {
        Sha256Digest::of(self.text.as_bytes())
    }
}

impl Source {
    /// Makes the script.
    ///
    /// # Errors
    /// When a file cannot be read, or the address is none that the server's certificate is for.
    pub fn make(&self) -> Result<Script, InstallerError> {
        let ca = read(&self.ca.join("ca.crt"))?;
        let server = read(&self.ca.join("server.crt"))?;
        let names = names(&server)
            .ok_or_else(|| InstallerError::Content { path: self.ca.join("server.crt"), expected: "certificate" })?;
        if !host(&self.address).is_some_and(|host| names.iter().any(|name| is_for(name, &host))) {
            return Err(InstallerError::Address { address: self.address.clone(), names });
        }
        let ca = certificates(&ca)
            .ok_or_else(|| InstallerError::Content { path: self.ca.join("ca.crt"), expected: "certificate" })?;
        let root = read(&newest_root(&self.keys)?)?;
        // What is put in holds no mark of its own: a root has none, and the rest is checked.
        let text = TEMPLATE
            .replace("@SERVER@", &quoted(&self.address))
            .replace("@NAMES@", &quoted(&names.join(", ")))
            .replace("@CA@", &ca)
            .replace("@ROOT@", &quoted(&root));
        Ok(Script { text })
    }
}

/// A word that the shell takes as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn read(path: &Path) -> Result<String, InstallerError> {
    use std::io::Read as _;
    let failed = |source| InstallerError::File { path: path.to_owned(), source };
    let mut text = String::new();
    std::fs::File::open(path).map_err(failed)?.take(MAX_FILE).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// The certificates of a file and nothing else of it, for a script that must not run anything by accident.
fn certificates(pem: &str) -> Option<String> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()?;
    let pem = certificates.iter().map(|der| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", lines.join("\n"))
    });
    (!certificates.is_empty()).then(|| pem.collect::<Vec<_>>().join("\n"))
}

/// The names that a server's certificate is for.
fn names(pem: &str) -> Option<Vec<String>> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::from([a, b, c, d]).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    };
    Some(names.iter().filter_map(name).collect())
}

fn host(address: &str) -> Option<url::Host> {
    let url = url::Url::parse(address).ok().filter(|url| url.scheme() == "https")?;
    url.host().map(|host| host.to_owned())
}

fn is_for(name: &str, host: &url::Host) -> bool {
    match host {
        url::Host::Domain(host) => match name.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent)),
            None => host.eq_ignore_ascii_case(name),
        },
        url::Host::Ipv4(host) => name.parse() == Ok(*host),
        url::Host::Ipv6(host) => name.parse() == Ok(*host),
    }
}

/// The root with the highest number; a device that pins it follows the chain from there.
fn newest_root(keys: &Path) -> Result<PathBuf, InstallerError> {
    let failed = |source| InstallerError::File { path: keys.to_owned(), source };
    let mut newest: Option<(u64, PathBuf)> = None;
    for entry in std::fs::read_dir(keys).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".root.json")?.parse().ok());
        newest = newest.max(number.map(|number| (number, path)));
    }
    newest.map(|(_, path)| path).ok_or_else(|| InstallerError::NoRoot(keys.to_owned()))
}
