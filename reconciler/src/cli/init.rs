//! `bellwether-reconciler init`: makes a new reconciler. Whatever it broke off at, the same command goes on with it; the
//! configuration comes last, and with it the reconciler is made.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bellwether_schemas::{Code, CommitId, Seconds, Sha256Digest, codes};
use clap::Args;
use jiff::Timestamp;
use object_store::ObjectStore;

use crate::config::{Advertise, CONFIG_FILE, Config, IntroductionConfig, Listen, default_renew_grace};
use crate::git::Access;
use crate::keys::ROOT_JSON;
use crate::pki::{Authority, AuthorityError, ServerName};
use crate::publish::{Objects, ObjectsError, PublishError, publish_roots};
use crate::store::{
    Instance, InstanceError, Store, StoreError, adopt_instance, check_address, check_instance, declare_instance,
};

/// What `--help` says about `--state`.
const STATE_HELP: &str = "\
Where the state is: sqlite://PATH, relative to DIR, or postgres://USER@HOST/DATABASE of an empty database.

A password is no part of it: it is read from the file that the environment variable PGPASSFILE names, or else from ~/.pgpass \
(mode 0600, a line HOST:PORT:DATABASE:USER:PASSWORD). A server on another machine must prove who it is (sslmode=verify-full), \
by a certificate of a public authority or of the one in sslrootcert.";

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bellwether keys init --root /media/stick --online /var/lib/bellwether/keys/online
  bellwether-reconciler init --dir /var/lib/bellwether \\
      --repository https://git.example.com/fleet.git --commit 9f3c… --policy-sha256 2c26… \\
      --domain example.com --names bellwether.example.com
With PostgreSQL (createuser bellwether; createdb --owner bellwether --encoding UTF8 bellwether):
  PGPASSFILE=/etc/bellwether/pgpass bellwether-reconciler init … \\
      --state postgres://bellwether@db.example.com/bellwether?sslrootcert=/etc/bellwether/db-ca.crt")]
pub(super) struct Init {
    /// The reconciler's directory; its configuration must not exist yet.
    #[arg(long)]
    dir: PathBuf,
    /// The watched repository: a path, https://… or ssh://…
    #[arg(long)]
    repository: String,
    /// For https: a file with a token or password that opens the repository, mode 0600.
    #[arg(long, help_heading = "Access to the repository")]
    token_file: Option<PathBuf>,
    /// For https: certificates (PEM) to trust instead of the system's.
    #[arg(long, help_heading = "Access to the repository")]
    ca_file: Option<PathBuf>,
    /// For ssh: a private key without a passphrase; else what ssh finds by itself.
    #[arg(long, help_heading = "Access to the repository")]
    ssh_key: Option<PathBuf>,
    /// For ssh: the host keys to trust; else those of the user and the system.
    #[arg(long, help_heading = "Access to the repository")]
    known_hosts: Option<PathBuf>,
    /// The watched branch.
    #[arg(long, default_value = "main")]
    branch: String,
    /// The introduction: the first trusted commit.
    #[arg(long)]
    commit: CommitId,
    /// The introduction: SHA-256 of trust/policy.yaml in that commit.
    #[arg(long)]
    policy_sha256: Sha256Digest,
    /// Where the state is: sqlite://PATH, relative to DIR, or postgres://USER@HOST/DATABASE of an empty database.
    #[arg(long, value_name = "URL", default_value = "sqlite://state.db", long_help = STATE_HELP)]
    state: String,
    /// The name in device certificates, bellwether://DOMAIN/…
    #[arg(long, default_value = "bellwether")]
    domain: String,
    /// A DNS name or IP address that devices reach the reconciler by; separated by commas. The first one is advertised.
    #[arg(long, required = true, value_delimiter = ',')]
    names: Vec<String>,
    /// The directory of the online TUF keys that `bellwether keys init` made, if it is not DIR/keys/online.
    #[arg(long)]
    keys: Option<PathBuf>,
    /// Address of listener enroll.
    #[arg(long, default_value = "0.0.0.0:8440")]
    enroll: SocketAddr,
    /// Address of listener devices.
    #[arg(long, default_value = "0.0.0.0:8441")]
    devices: SocketAddr,
    /// Address of listener updates.
    #[arg(long, default_value = "0.0.0.0:8442")]
    updates: SocketAddr,
    /// Address of listener page: HTTP on a loopback address, HTTPS elsewhere.
    #[arg(long, default_value = "127.0.0.1:8443")]
    page: SocketAddr,
    /// How often devices report, such as 30s.
    #[arg(long, default_value = "30s")]
    heartbeat: Seconds,
}

/// Why no reconciler could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum InitError {
    #[error("{} exists: this reconciler was made already", .0.display())]
    Made(PathBuf),
    #[error("--names cannot be used")]
    Names(#[source] AuthorityError),
    #[error("cannot read {}, the first root; make it by: bellwether keys init --root DIR --online {}", path.display(), keys.display())]
    Root { path: PathBuf, keys: PathBuf, source: std::io::Error },
    #[error("cannot {doing} {}", path.display())]
    File { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the database cannot be used")]
    Database(#[from] StoreError),
    #[error("the store cannot be used")]
    Objects(#[from] ObjectsError),
    #[error("database and store are not new")]
    Instance(#[from] InstanceError),
    #[error("the certificate authority cannot be made")]
    Authority(#[source] AuthorityError),
    #[error("{} holds files of an authority, and {why}", dir.display())]
    OtherAuthority { dir: PathBuf, why: String },
    #[error("the root cannot be published")]
    Publish(#[from] PublishError),
}

impl InitError {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Made(_) => codes::RECONCILER_MADE,
            Self::Names(_) => codes::USAGE,
            Self::Root { .. } => codes::KEY_UNREADABLE,
            Self::File { .. } => codes::FILE_ACCESS,
            Self::Database(error) => error.code(),
            Self::Objects(_) => codes::OBJECT_STORE_FAILED,
            Self::Instance(error) => error.code(),
            Self::Authority(error) => error.code(),
            Self::OtherAuthority { .. } => codes::AUTHORITY_LEFT,
            Self::Publish(error) => error.code(),
        }
    }
}

impl Init {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let file = self.dir.join(CONFIG_FILE);
        let keys = self.make(&file).await?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "made {}", file.display())?;
        writeln!(out, "devices pin {} and {}", self.dir.join("ca/ca.crt").display(), keys.join(ROOT_JSON).display())?;
        writeln!(out, "next: bellwether-reconciler run --config {}", file.display())?;
        writeln!(out, "and for devices: bellwether-reconciler installer --config {} > install.sh", file.display())?;
        Ok(())
    }

    /// Makes it, and returns where its online keys are.
    async fn make(&self, file: &Path) -> Result<PathBuf, InitError> {
        if file.exists() {
            return Err(InitError::Made(file.to_owned()));
        }
        let names = self.names.iter().map(|name| name.parse()).collect::<Result<Vec<ServerName>, _>>();
        let names = names.map_err(InitError::Names)?;
        check_address(&self.state).map_err(StoreError::from)?;
        let config = self.config()?;
        let keys = self.dir.join(&config.keys);
        let path = keys.join(ROOT_JSON);
        std::fs::File::open(&path).map_err(|source| InitError::Root { path, keys: keys.clone(), source })?;
        std::fs::create_dir_all(&self.dir).map_err(failed("create", &self.dir))?;

        // What is most likely to fail comes first: nothing is made before the database can be used.
        let store = Store::open(&config.state_in(&self.dir)).await?;
        let objects = Objects::in_directory(&self.dir.join("store"))?;
        declare(&store, objects.store().as_ref()).await?;
        store.close().await;
        make_authority(&self.dir.join("ca"), &names)?;
        publish_roots(&objects, &keys).await?;
        write_new(file, yaml(&config).as_bytes())?;
        Ok(keys)
    }

    fn config(&self) -> Result<Config, InitError> {
        let advertised = |listener: SocketAddr| {
            let name = &self.names[0];
            let host = if name.contains(':') && !name.starts_with('[') { format!("[{name}]") } else { name.clone() };
            Some(format!("https://{host}:{}", listener.port()))
        };
        // Paths on the command line are relative to where it runs, those in the file to the file.
        let local = Path::new(&self.repository);
        let repository = if local.exists() { absolute(local)?.display().to_string() } else { self.repository.clone() };
        let place = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
        let keys = place(&self.keys)?;
        let repository_access = Access {
            username: None,
            token_file: place(&self.token_file)?,
            ca_file: place(&self.ca_file)?,
            ssh_key: place(&self.ssh_key)?,
            known_hosts: place(&self.known_hosts)?,
        };
        Ok(Config {
            repository,
            repository_access,
            branch: self.branch.clone(),
            introduction: IntroductionConfig { commit: self.commit, policy_sha256: self.policy_sha256 },
            domain: self.domain.clone(),
            state: self.state.clone(),
            mirror: "mirror.git".into(),
            store: "store".into(),
            keys: keys.unwrap_or_else(|| Path::new("keys").join("online")),
            ca: "ca".into(),
            agents: "agents".into(),
            listen: Listen { enroll: self.enroll, devices: self.devices, updates: self.updates, page: self.page },
            advertise: Advertise {
                enroll: advertised(self.enroll),
                devices: advertised(self.devices),
                updates: advertised(self.updates),
                page: None,
            },
            poll: Seconds::new(30),
            heartbeat: self.heartbeat,
            stale_after: None,
            renew_grace: default_renew_grace(),
            webhook_secret_file: None,
        })
    }
}

/// Has database and store belong to each other: both are new, or are as an init left them that broke off.
async fn declare(store: &Store, objects: &dyn ObjectStore) -> Result<(), InitError> {
    if is_untouched(store, objects).await? {
        match check_instance(store, objects).await {
            Ok(Instance::Known(_)) => return Ok(()),
            Ok(Instance::DatabaseLost(instance)) => return Ok(adopt_instance(store, &instance).await?),
            Err(_) => {}
        }
    }
    let mut instance = [0; 16];
    aws_lc_rs::rand::fill(&mut instance).map_err(|_| InitError::Authority(AuthorityError::Random))?;
    Ok(declare_instance(store, objects, &hex::encode(instance)).await?)
}

/// Whether nothing is in database and store but what init itself puts there.
async fn is_untouched(store: &Store, objects: &dyn ObjectStore) -> Result<bool, InitError> {
    let loaded = store.load_all().await?;
    let top = objects.list_with_delimiter(None).await.map_err(InstanceError::from)?;
    let is_ours = top.objects.iter().all(|object| object.location.as_ref() == "instance.json")
        && top.common_prefixes.iter().all(|prefix| prefix.as_ref() == "root");
    Ok(is_ours && loaded.head.is_none() && loaded.devices.is_empty())
}

/// Makes the authority; one that is there already, whole and for the same names, is taken.
fn make_authority(dir: &Path, names: &[ServerName]) -> Result<(), InitError> {
    let other = |why: String| InitError::OtherAuthority { dir: dir.to_owned(), why };
    match Authority::init(dir, names, Timestamp::now()) {
        Err(AuthorityError::File { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {
            let found = Authority::load(dir).map_err(|error| other(format!("they are not usable: {error}")))?;
            let found = &found.server_certificate().names;
            if found == names {
                return Ok(());
            }
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            Err(other(format!("its server's certificate is for {}", found.join(", "))))
        }
        made => made.map_err(InitError::Authority),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, InitError> {
    std::path::absolute(path).map_err(failed("use", path))
}

fn failed<'p>(doing: &'static str, path: &'p Path) -> impl FnOnce(std::io::Error) -> InitError + 'p {
    move |source| InitError::File { doing, path: path.to_owned(), source }
}

fn yaml(config: &Config) -> String {
    // JSON is YAML; written by hand it would be a second description of the same.
    let mut text = "# Where everything of this reconciler is. Relative paths are relative to this file.\n".to_owned();
    let value = serde_json::to_value(config).expect("a configuration has string keys");
    write_yaml(&value, 0, &mut text);
    text
}

fn write_yaml(value: &serde_json::Value, indent: usize, text: &mut String) {
    let serde_json::Value::Object(fields) = value else { return };
    for (key, value) in fields {
        text.push_str(&" ".repeat(indent));
        text.push_str(key);
        match value {
            serde_json::Value::Object(inner) if !inner.is_empty() => {
                text.push_str(":\n");
                write_yaml(value, indent + 2, text);
            }
            // A JSON scalar is a YAML scalar.
            other => text.push_str(&format!(": {other}\n")),
        }
    }
}

fn write_new(path: &Path, content: &[u8]) -> Result<(), InitError> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(failed("create", path))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed("write", path))
}

#[cfg(test)]
mod tests;
