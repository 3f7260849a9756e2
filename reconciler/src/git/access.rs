//! How a repository is reached that is not open to everybody: a token and certificates for https, a key for ssh.
//!
//! Secrets are in files, which are read again for each fetch: a token that was exchanged needs no restart.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use gix::credentials::helper::Action;
use gix::credentials::protocol::Outcome;
use gix::protocol::transport::client::blocking_io::http;
use serde::{Deserialize, Serialize};

/// Files that open the way to the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Access {
    /// https: the user name that goes with the token; hosting services mostly ignore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// https: a file with a token or password, mode 0600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// https: certificates (PEM) to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// ssh: the private key, without a passphrase; else what ssh finds by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<PathBuf>,
    /// ssh: the host keys to trust; else those of the user and the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
}

/// Why a file that opens the way to the repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others than its owner can read it.
    #[error("{} has mode {mode:04o}, so others than its owner can read it: chmod 0600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It does not hold what it should.
    #[error("{} {why}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Access {
    /// The files, so that relative ones can be found beside a configuration.
    pub fn files_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.token_file, &mut self.ca_file, &mut self.ssh_key, &mut self.known_hosts].into_iter().flatten()
    }

    /// The command that git's ssh transport starts. Nobody is there to be asked, a host that falls silent ends it, and the
    /// host gets no way back: no agent, no display, no ports, whatever the user's own file forwards.
    pub(super) fn ssh_command(&self) -> String {
        let mut command =
            "ssh -a -x -o ClearAllForwardings=yes -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4".to_owned();
        if let Some(key) = &self.ssh_key {
            command.push_str(&format!(" -o IdentitiesOnly=yes -i {}", quoted(key)));
        }
        if let Some(hosts) = &self.known_hosts {
            // Both quotes are needed: ssh splits the value of this option once more.
            let hosts = format!("UserKnownHostsFile=\"{}\"", hosts.display());
            command.push_str(&format!(" -o StrictHostKeyChecking=yes -o {}", quoted(Path::new(&hosts))));
        }
        command
    }

    /// The user name and token for https, if there is a token.
    pub(super) fn token(&self) -> Result<Option<(String, String)>, AccessError> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let token = secret_line(path)?;
        Ok(Some((self.username.clone().unwrap_or_else(|| "git".to_owned()), token)))
    }

    /// The certificates to trust for https, if others than the system's.
    pub(super) fn certificates(&self) -> Result<Option<Vec<reqwest::Certificate>>, AccessError> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        let pem = std::fs::read(path).map_err(|source| AccessError::Read { path: path.clone(), source })?;
        match reqwest::Certificate::from_pem_bundle(&pem) {
            Ok(certificates) if !certificates.is_empty() => Ok(Some(certificates)),
            Ok(_) => Err(AccessError::Content { path: path.clone(), why: "holds no certificate".to_owned() }),
            Err(why) => Err(AccessError::Content { path: path.clone(), why: format!("is no PEM file: {why}") }),
        }
    }
}

/// The secret in a file: one line, which only the file's owner may read.
///
/// # Errors
/// When it cannot be read, others may read it, or it is not one line.
pub fn secret_line(path: &Path) -> Result<String, AccessError> {
    let read = |source| AccessError::Read { path: path.to_owned(), source };
    let mode = path.metadata().map_err(read)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(AccessError::Exposed { path: path.to_owned(), mode });
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    let secret = text.trim_end();
    if secret.is_empty() || secret.contains(char::is_control) {
        let why = "holds no secret: it must be one line".to_owned();
        return Err(AccessError::Content { path: path.to_owned(), why });
    }
    Ok(secret.to_owned())
}

/// Answers git's question for credentials with the token, at the host that the configuration names and nowhere else.
pub(super) fn answer(
    token: Option<(String, String)>,
    url: gix::Url,
) -> impl FnMut(Action) -> gix::Result<Option<Outcome>> {
    move |action| {
        let Action::Get(context) = action else { return Ok(None) };
        let asking = context.url.as_ref().and_then(|asking| gix::url::parse(asking.as_slice()).ok());
        let same = |asking: &gix::Url| {
            (&asking.scheme, asking.host(), asking.port_or_default())
                == (&url.scheme, url.host(), url.port_or_default())
        };
        if !asking.as_ref().is_some_and(same) {
            return Err(gix::error::message("another host than the configured one asks for credentials").into());
        }
        let Some((username, password)) = token.clone() else {
            return Err(gix::error::message(
                "it asks for credentials: set repositoryAccess.tokenFile to a file with a token",
            )
            .into());
        };
        let identity = gix::sec::identity::Account { username, password, oauth_refresh_token: None };
        Ok(Some(Outcome { identity, next: context.into() }))
    }
}

/// How the https transport makes its client. Each wait for the server ends after reqwest's own 30 s.
pub(super) fn https(certificates: Option<Vec<reqwest::Certificate>>) -> http::Options {
    let configure = move |mut client: reqwest::blocking::ClientBuilder| {
        client = client.https_only(true);
        Ok(match certificates.clone() {
            Some(certificates) => client.tls_certs_only(certificates),
            None => client,
        })
    };
    let backend = http::reqwest::Options { configure_client: Some(Box::new(configure)), configure_request: None };
    http::Options { backend: Some(Arc::new(Mutex::new(backend))), ..http::Options::default() }
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_of_a_file_that_only_its_owner_reads() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("token");
        let access = Access { token_file: Some(file.clone()), ..Access::default() };
        assert!(matches!(access.token(), Err(AccessError::Read { .. })));
        let write = |text: &str, mode| {
            std::fs::write(&file, text).expect("written");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("chmod");
        };
        write("secret\n", 0o640);
        assert!(matches!(access.token(), Err(AccessError::Exposed { mode: 0o640, .. })));
        for torn in ["", "\n", "a\nb", "a\r\nHost: b"] {
            write(torn, 0o600);
            assert!(matches!(access.token(), Err(AccessError::Content { .. })), "{torn:?}");
        }
        write("secret\n", 0o600);
        assert_eq!(access.token().expect("a token"), Some(("git".to_owned(), "secret".to_owned())));
        assert_eq!(Access::default().token().expect("none is fine"), None);
    }

    #[test]
    fn the_token_goes_to_the_configured_host_only() {
        let url = |text: &str| gix::url::parse(text).expect("an address");
        let token = Some(("git".to_owned(), "secret".to_owned()));
        let mut answer = answer(token, url("https://git.example.com/fleet.git"));
        let mut ask = |text: &str| answer(Action::get_for_url(text)).is_ok_and(|outcome| outcome.is_some());
        assert!(ask("https://git.example.com/fleet.git") && ask("https://git.example.com/moved.git"));
        for other in [
            "https://evil.example.com/fleet.git",
            "https://git.example.com:8443/fleet.git",
            "http://git.example.com/fleet.git",
        ] {
            assert!(!ask(other), "{other}");
        }
    }

    #[test]
    fn paths_reach_ssh_as_one_word() {
        let access =
            Access { ssh_key: Some("/a b/it's".into()), known_hosts: Some("/c d/hosts".into()), ..Access::default() };
        let command = access.ssh_command();
        assert!(command.contains(r"-i '/a b/it'\''s'"), "{command}");
        assert!(command.ends_with("-o 'UserKnownHostsFile=\"/c d/hosts\"'"), "{command}");
    }
}
