//! `reconciler.yaml`: where everything is. Every field but the repository and its introduction has a default.
//!
//! Secrets are files that the configuration points to, never values in it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use bellwether_core::verify::Introduction;
use bellwether_schemas::{Code, CommitId, Seconds, Sha256Digest, codes};
use serde::{Deserialize, Serialize};

use crate::git::Access;
use crate::store::{AddressError, check_address};

/// The file's name in a reconciler's directory.
pub const CONFIG_FILE: &str = "reconciler.yaml";

/// The configuration as it stands in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The watched repository: a path, `https://…` or `ssh://…`.
    pub repository: String,
    /// Files that open the way to a repository that is not open to everybody.
    #[serde(default, skip_serializing_if = "is_default")]
    pub repository_access: Access,
    /// The watched branch.
    #[serde(default = "default_branch")]
    pub branch: String,
    /// The first trusted commit, and the policy in it.
    pub introduction: IntroductionConfig,
    /// The name in certificates: `bellwether://<domain>/…`.
    #[serde(default = "default_domain")]
    pub domain: String,
    /// The state database: `sqlite://<path>`, where a relative path is beside the configuration, or
    /// `postgres://<user>@<host>/<database>` without a password (that is in the file that `PGPASSFILE` names).
    #[serde(default = "default_state")]
    pub state: String,
    /// The mirror of the repository.
    #[serde(default = "default_mirror")]
    pub mirror: PathBuf,
    /// The TUF store.
    #[serde(default = "default_store")]
    pub store: PathBuf,
    /// The online TUF keys.
    #[serde(default = "default_keys")]
    pub keys: PathBuf,
    /// The certificate authority.
    #[serde(default = "default_ca")]
    pub ca: PathBuf,
    /// The agents that are offered to devices: `<target>/bellwether-agent` in it.
    #[serde(default = "default_agents", skip_serializing_if = "is_default_agents")]
    pub agents: PathBuf,
    /// Where the listeners listen.
    #[serde(default)]
    pub listen: Listen,
    /// The addresses that devices are told; those of the listeners if not given.
    #[serde(default)]
    pub advertise: Advertise,
    /// How often a repository that cannot be watched is asked.
    #[serde(default = "default_poll")]
    pub poll: Seconds,
    /// How often devices report.
    #[serde(default = "default_heartbeat")]
    pub heartbeat: Seconds,
    /// After which silence a device is stale; three heartbeats if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_after: Option<Seconds>,
    /// How long after its end a device's certificate may still be renewed.
    #[serde(default = "default_renew_grace")]
    pub renew_grace: Seconds,
    /// A file with the secret that a hosting service signs the calls of `POST /webhook` with, mode 0600; read at each call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret_file: Option<PathBuf>,
}

/// The pinned introduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IntroductionConfig {
    /// The first trusted commit.
    pub commit: CommitId,
    /// SHA-256 of `trust/policy.yaml` in it.
    pub policy_sha256: Sha256Digest,
}

/// Addresses of the listeners. Port 0 takes a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Listen {
    /// Enrollment, for the world.
    pub enroll: SocketAddr,
    /// Sessions, mutual TLS.
    pub devices: SocketAddr,
    /// TUF, mutual TLS.
    pub updates: SocketAddr,
    /// Page, JSON API and metrics: HTTP on a loopback address, HTTPS elsewhere.
    pub page: SocketAddr,
}

impl Default for Listen {
    fn default() -> Self {
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        Self {
            enroll: any(8440),
            devices: any(8441),
            updates: any(8442),
            page: SocketAddr::from(([127, 0, 0, 1], 8443)),
        }
    }
}

/// Addresses that devices are told, as `https://host:port`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Advertise {
    /// Of the `enroll` listener; the installer bears it. That of `devices` with the port of `enroll` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enroll: Option<String>,
    /// Of the `devices` listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<String>,
    /// Of the `updates` listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<String>,
    /// Of the page, for people: where they reach it by a name that the server's certificate does not have, as through a proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("{path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        message: String,
    },
    /// The state's address.
    #[error("{path}: state")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: AddressError,
    },
    /// What should be an address is none.
    #[error("advertise.page is {found:?}, expected an address, such as https://fleet.example.com")]
    PageAddress {
        /// What is there.
        found: String,
    },
    /// Devices cannot be told where to go.
    #[error(
        "listener {listener} is on {address}, so devices must be told another address: set advertise.{listener} to https://NAME:PORT"
    )]
    NoAdvertise {
        /// The listener.
        listener: &'static str,
        /// Its address.
        address: SocketAddr,
    },
}

impl ConfigError {
    /// The stable code.
    pub fn code(&self) -> Code {
        codes::CONFIG_INVALID
    }
}

impl Config {
    /// Reads the configuration; relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// When the file cannot be read, or says what cannot be.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config: Self = serde_saphyr::from_str(&text)
            .map_err(|error| ConfigError::Parse { path: path.to_owned(), message: error.to_string() })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        if let Some(scheme) = config.store.to_str().and_then(|store| store.split_once("://")).map(|(scheme, _)| scheme)
        {
            let message = format!("store: {scheme}:// is not supported yet: name a directory");
            return Err(ConfigError::Parse { path: path.to_owned(), message });
        }
        let folders = [&mut config.mirror, &mut config.store, &mut config.keys, &mut config.ca, &mut config.agents];
        let files = config.repository_access.files_mut().chain(&mut config.webhook_secret_file);
        for relative in folders.into_iter().chain(files) {
            *relative = folder.join(&*relative);
        }
        config.state = config.state_in(folder);
        check_address(&config.state).map_err(|source| ConfigError::State { path: path.to_owned(), source })?;
        Ok(config)
    }

    /// The address of the state, where a relative path of a file is relative to this folder.
    pub(crate) fn state_in(&self, folder: &Path) -> String {
        match self.state.strip_prefix("sqlite://") {
            Some(file) => format!("sqlite://{}", folder.join(file).display()),
            None => self.state.clone(),
        }
    }

    /// The introduction for verification.
    pub fn introduction(&self) -> Introduction {
        Introduction { commit: self.introduction.commit, policy_sha256: self.introduction.policy_sha256 }
    }

    /// The addresses that devices are told. A listener on every address needs `advertise`, since 0.0.0.0 leads nowhere.
    ///
    /// # Errors
    /// When an address is needed and not given.
    pub fn advertise(&self) -> Result<(String, String), ConfigError> {
        let of = |given: &Option<String>, listener: &'static str, address: SocketAddr| match (given, address.ip()) {
            (Some(url), _) => Ok(url.trim_end_matches('/').to_owned()),
            (None, ip) if ip.is_unspecified() => Err(ConfigError::NoAdvertise { listener, address }),
            (None, IpAddr::V4(_) | IpAddr::V6(_)) => Ok(format!("https://{address}")),
        };
        Ok((
            of(&self.advertise.devices, "devices", self.listen.devices)?,
            of(&self.advertise.updates, "updates", self.listen.updates)?,
        ))
    }

    /// The address of the `enroll` listener, for the installer.
    ///
    /// # Errors
    /// When nothing says where it can be reached.
    pub fn enroll_address(&self) -> Result<String, ConfigError> {
        if let Some(url) = &self.advertise.enroll {
            return Ok(url.trim_end_matches('/').to_owned());
        }
        let address = self.listen.enroll;
        if !address.ip().is_unspecified() {
            return Ok(format!("https://{address}"));
        }
        let (devices, _) = self.advertise()?;
        match devices.rsplit_once(':') {
            Some((host, _)) => Ok(format!("{host}:{}", address.port())),
            None => Err(ConfigError::NoAdvertise { listener: "enroll", address }),
        }
    }

    /// The name by which people reach the page, if they use one that nothing else says.
    ///
    /// # Errors
    /// When `advertise.page` is no address.
    pub fn page_name(&self) -> Result<Option<url::Host>, ConfigError> {
        let Some(address) = &self.advertise.page else { return Ok(None) };
        let url = url::Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        match url.as_ref().and_then(url::Url::host) {
            Some(host) => Ok(Some(host.to_owned())),
            None => Err(ConfigError::PageAddress { found: address.clone() }),
        }
    }

    /// After which silence a device is stale.
    pub fn stale_after(&self) -> Seconds {
        self.stale_after.unwrap_or(Seconds::new(self.heartbeat.get().saturating_mul(3)))
    }
}

fn is_default(access: &Access) -> bool {
    *access == Access::default()
}

fn default_branch() -> String {
    "main".to_owned()
}

fn default_domain() -> String {
    "bellwether".to_owned()
}

fn default_state() -> String {
    "sqlite://state.db".to_owned()
}

fn default_mirror() -> PathBuf {
    "mirror.git".into()
}

fn default_store() -> PathBuf {
    "store".into()
}

fn default_keys() -> PathBuf {
    "keys/online".into()
}

fn default_ca() -> PathBuf {
    "ca".into()
}

fn default_agents() -> PathBuf {
    "agents".into()
}

fn is_default_agents(path: &Path) -> bool {
    path == default_agents()
}

fn default_poll() -> Seconds {
    Seconds::new(30)
}

pub(crate) fn default_renew_grace() -> Seconds {
    Seconds::new(365 * 86_400)
}

fn default_heartbeat() -> Seconds {
    Seconds::new(30)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "repository: /srv/fleet.git\nintroduction:\n  commit: 9f3c2ab000000000000000000000000000000001\n  policySha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae\n";

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join(CONFIG_FILE);
        std::fs::write(&file, text).expect("written");
        Config::load(&file)
    }

    #[test]
    fn repository_and_introduction_are_enough() {
        let config = load(MINIMAL).expect("a configuration");
        assert_eq!((config.branch.as_str(), config.stale_after()), ("main", Seconds::new(90)));
        assert!(config.store.is_absolute() && config.state.ends_with("/state.db"), "{config:?}");
    }

    #[test]
    fn files_are_beside_the_configuration_and_stores_of_services_are_refused() {
        let config = load(&format!("{MINIMAL}repositoryAccess: {{tokenFile: token}}\n")).expect("a configuration");
        assert!(config.repository_access.token_file.is_some_and(|file| file.is_absolute()));
        let refused = load(&format!("{MINIMAL}store: s3://bucket\n")).expect_err("no directory").to_string();
        assert!(refused.contains("s3:// is not supported yet"), "{refused}");
    }

    #[test]
    fn a_password_in_the_address_of_the_state_is_refused_without_being_repeated() {
        for state in [
            "postgres://bellwether:hunter2@db/bellwether",
            "postgres://bellwether@db/bellwether?password=hunter2",
            "postgres://bellwether:hunter2@db:port/bellwether",
        ] {
            let refused = load(&format!("{MINIMAL}state: {state}\n")).expect_err(state);
            let said = format!("{:#}", anyhow::Error::from(refused));
            assert!(!said.contains("hunter2") && said.contains(CONFIG_FILE), "{said}");
            assert!(said.contains("PGPASSFILE") || said.contains("malformed"), "{said}");
        }
        let peer = load(&format!("{MINIMAL}state: postgres://bellwether@db/bellwether\n")).expect("a configuration");
        assert_eq!(peer.state, "postgres://bellwether@db/bellwether");
    }

    #[test]
    fn the_installers_address_follows_from_the_others() {
        let address = |more: &str| load(&format!("{MINIMAL}{more}")).expect("a configuration").enroll_address();
        let advertised = "advertise: {devices: \"https://b.example:8441\", updates: \"https://b.example:8442\"}\n";
        assert_eq!(address(advertised).expect("an address"), "https://b.example:8440");
        assert_eq!(address("listen: {enroll: \"10.0.0.5:99\"}\n").expect("an address"), "https://10.0.0.5:99");
        assert_eq!(address("advertise: {enroll: \"https://x:1/\"}\n").expect("an address"), "https://x:1");
        assert!(address("").is_err());
    }

    #[test]
    fn the_page_has_the_name_that_people_reach_it_by() {
        let name = |page: &str| load(&format!("{MINIMAL}advertise: {{page: \"{page}\"}}\n")).expect("read").page_name();
        let host = |page: &str| name(page).expect("an address").map(|host| host.to_string());
        assert_eq!(host("https://Fleet.example.com:8443/x").as_deref(), Some("fleet.example.com"));
        assert!(name("fleet.example.com").is_err() && name("ftp://x").is_err());
        assert_eq!(load(MINIMAL).expect("read").page_name().expect("none"), None);
    }

    #[test]
    fn a_misspelt_field_is_refused() {
        let misspelt = format!("{MINIMAL}brunch: main\n");
        assert!(load(&misspelt).is_err_and(|e| e.to_string().contains("brunch")));
    }
}
