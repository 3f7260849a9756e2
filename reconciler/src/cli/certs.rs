//! `bellwether-reconciler certs`: the certificate authority and the listeners' certificate.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use bellwether_core::admission::{Domain, Identity};
use bellwether_core::certificates::{Standing, standing};
use bellwether_schemas::lives::is_renewal_due;
use bellwether_schemas::{Code, DeviceName, codes};
use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::Output;
use crate::config::{CONFIG_FILE, Config};
use crate::keys::newest;
use crate::pki::{Authority, ServerName, begin_rotation, finish_rotation, renew_server};
use crate::run::RunError;
use crate::store::{DeviceRow, Store};

const RENEW_EXAMPLES: &str = "Examples:
  bellwether-reconciler certs renew                                        (the same names, a later end)
  bellwether-reconciler certs renew --names bellwether.example.com,10.1.2.3

A running reconciler notices it; devices need not do anything.";

const ROTATE_EXAMPLES: &str = "Examples:
  bellwether-reconciler certs rotate-ca
  bellwether-reconciler certs              (how many devices still need the old authority)
  bellwether-reconciler certs finish-ca    (when none does)";

const FINISH_EXAMPLES: &str = "Examples:
  bellwether-reconciler certs finish-ca

It is refused while devices still need the old authority; --force shuts those out, and they have to enroll again.";

/// Devices that are named in a message.
const NAMED: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bellwether-reconciler certs --config reconciler.yaml             (what there is, until when)
  bellwether-reconciler certs --config reconciler.yaml renew --names bellwether.example.com,10.1.2.3   (other names)
  bellwether-reconciler certs --config reconciler.yaml rotate-ca   (a new authority, beside the old one)

Run it as the reconciler's user. A running reconciler notices the new files by itself, and sessions stay open. Nothing is
overwritten that is not kept beside it under another name.

Without a subcommand it shows what there is, until when, and how many devices still need the old authority during a rotation.")]
pub(super) struct Certs {
    /// The configuration.
    #[arg(long, env = "BELLWETHER_CONFIG", default_value = CONFIG_FILE)]
    config: PathBuf,
    /// How the outcome is printed.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    #[command(subcommand)]
    command: Option<CertsCommand>,
}

#[derive(Debug, Subcommand)]
enum CertsCommand {
    /// Make a new certificate of the listeners, by the same authority: for other names, or ahead of its time
    Renew(Renew),
    /// Make a new authority beside the old one: both are trusted, the new one issues, devices learn of it within minutes
    #[command(after_help = ROTATE_EXAMPLES)]
    RotateCa,
    /// End the old authority: the listeners get a certificate of the new one, and the old one is not trusted any more
    FinishCa(FinishCa),
}

#[derive(Debug, Args)]
#[command(after_help = RENEW_EXAMPLES)]
struct Renew {
    /// The DNS names and IP addresses it is for, separated by commas; those of the one before if none are given.
    #[arg(long, value_delimiter = ',')]
    names: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = FINISH_EXAMPLES)]
struct FinishCa {
    /// Also while devices still need the old authority: they are shut out, and need to be enrolled again.
    #[arg(long)]
    force: bool,
}

/// Devices still need the old authority.
#[derive(Debug, thiserror::Error)]
#[error("{count} of {all} devices still need the old authority: {named}")]
pub(super) struct StillNeeded {
    count: usize,
    all: usize,
    named: String,
}

impl StillNeeded {
    pub(super) const fn code(&self) -> Code {
        codes::DEVICES_TRUST_OLD
    }
}

impl Certs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = Config::load(&self.config).map_err(RunError::from)?;
        let now = Timestamp::now();
        match &self.command {
            None => {}
            Some(CertsCommand::Renew(renew)) => {
                let names = renew.names.iter().map(|name| name.parse()).collect::<Result<Vec<ServerName>, _>>();
                let names = names.map_err(RunError::from)?;
                let names = (!names.is_empty()).then_some(names);
                renew_server(&config.ca, names.as_deref(), now).map_err(RunError::from)?;
            }
            Some(CertsCommand::RotateCa) => begin_rotation(&config.ca, now).map_err(RunError::from)?,
            Some(CertsCommand::FinishCa(finish)) => {
                let needed = Needed::load(&config).await?;
                if !finish.force && !needed.devices.is_empty() {
                    return Err(needed.refusal().into());
                }
                finish_rotation(&config.ca, now).map_err(RunError::from)?;
            }
        }
        self.show(&config, now).await
    }

    async fn show(&self, config: &Config, now: Timestamp) -> anyhow::Result<()> {
        let authority = Authority::load(&config.ca).map_err(RunError::from)?;
        let root = newest(&config.keys).map_err(RunError::from)?;
        let needed = if authority.trusted().len() > 1 { Some(Needed::load(config).await?) } else { None };
        let server = authority.server_certificate();
        let names: Vec<_> = server.names.iter().map(ToString::to_string).collect();
        let mut out = std::io::stdout().lock();
        if let Output::Json = self.output {
            let trusted: Vec<_> = authority
                .trusted()
                .iter()
                .map(|it| {
                    serde_json::json!({
                        "fingerprint": it.fingerprint.to_string(), "until": it.not_after.to_string(),
                        "issues": it == authority.issuing(), "signedServer": it.name == server.issuer,
                    })
                })
                .collect();
            let value = serde_json::json!({
                "authorities": trusted,
                "server": { "names": names, "until": server.not_after.to_string() },
                "root": { "version": root.version, "until": root.expires.to_string() },
                "devicesThatNeedTheOld": needed.map(|needed| needed.devices.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>()),
            });
            writeln!(out, "{value}")?;
            return Ok(());
        }
        for it in authority.trusted() {
            let issues = if it == authority.issuing() { ", issues" } else { "" };
            let signed = if it.name == server.issuer { ", signed the server's" } else { "" };
            writeln!(out, "authority  {}, until {}{issues}{signed}", &it.fingerprint.to_string()[..16], it.not_after)?;
        }
        let due = if is_renewal_due(server.not_before, server.not_after, now) { ", renewal is due" } else { "" };
        writeln!(out, "server     {}, until {}{due}", names.join(", "), server.not_after)?;
        writeln!(out, "TUF root   version {}, until {}", root.version, root.expires)?;
        if let Some(needed) = needed {
            writeln!(out, "rotation   {}", needed.sentence())?;
        }
        Ok(())
    }
}

/// The devices that still need the old authority, and why.
struct Needed {
    devices: Vec<(DeviceName, Standing)>,
    /// Those that are revoked or decommissioned are not counted.
    all: usize,
}

impl Needed {
    async fn load(config: &Config) -> anyhow::Result<Self> {
        let authority = Authority::load(&config.ca).map_err(RunError::from)?;
        let issuing = authority.issuing();
        let domain: Domain = config.domain.parse().map_err(|_| RunError::Domain(config.domain.clone()))?;
        let store = Store::open_beside(&config.state).await.map_err(RunError::from)?;
        let read = async {
            Ok::<_, crate::store::StoreError>((store.load_all().await?.devices, store.certificates(&domain).await?))
        };
        let (devices, certificates) = read.await.map_err(RunError::from).context("devices cannot be read")?;
        store.close().await;
        let by_identity: HashMap<_, _> = certificates.iter().map(|row| (&row.identity, row)).collect();
        let (mut needed, mut all) = (Vec::new(), 0);
        for DeviceRow { name: device, enrollment, entry, paused, .. } in devices {
            let identity = Identity { domain: domain.clone(), enrollment, entry, device };
            let held = by_identity.get(&identity);
            let held = held.map(|row| (row.issuer == issuing.name, row.authorities.as_deref()));
            let standing = standing(paused.as_ref(), held, &issuing.fingerprint);
            all += usize::from(standing != Standing::Gone);
            if standing.needs_old() {
                needed.push((identity.device, standing));
            }
        }
        let devices = needed;
        Ok(Self { devices, all })
    }

    fn named(&self) -> String {
        let mut named: Vec<_> = self.devices.iter().take(NAMED).map(|(name, why)| format!("{name} ({why})")).collect();
        if self.devices.len() > NAMED {
            named.push(format!("and {} more", self.devices.len() - NAMED));
        }
        named.join(", ")
    }

    fn refusal(&self) -> StillNeeded {
        StillNeeded { count: self.devices.len(), all: self.all, named: self.named() }
    }

    fn sentence(&self) -> String {
        match self.devices.as_slice() {
            [] => format!("all {} devices know the new authority: bellwether-reconciler certs finish-ca", self.all),
            _ => format!("{} Wait for them; finish-ca ends it.", self.refusal()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bellwether_schemas::api::WaitingOn;

    use super::*;

    fn row(name: &str, paused: Option<WaitingOn>) -> DeviceRow {
        DeviceRow {
            name: name.parse().expect("a name"),
            enrollment: "lab".parse().expect("a name"),
            entry: "t1".parse().expect("an id"),
            enrolled_at: Timestamp::UNIX_EPOCH,
            reported: None,
            last_seen: None,
            last_progress: None,
            offer: None,
            paused,
            awaiting_reconnect: false,
            metadata_version: 0,
            allows: None,
        }
    }

    #[tokio::test]
    async fn devices_that_are_gone_for_good_do_not_hold_the_old_authority() {
        let dir = tempfile::tempdir().expect("a folder");
        let commit = "9f3c2ab000000000000000000000000000000001";
        let text = format!("repository: /x\nintroduction: {{commit: {commit}, policySha256: {}}}\n", "0".repeat(64));
        let file = dir.path().join(CONFIG_FILE);
        std::fs::write(&file, text).expect("written");
        let config = Config::load(&file).expect("a configuration");
        let names = ["localhost".parse().expect("a name")];
        Authority::init(&config.ca, &names, Timestamp::now()).expect("made");
        begin_rotation(&config.ca, Timestamp::now()).expect("begun");
        let store = Store::open(&config.state).await.expect("a database");
        let revoked = WaitingOn::Revoked { code: codes::DEVICE_REVOKED.to_string(), why: "revoked".to_owned() };
        let gone = WaitingOn::Decommissioned { at: Timestamp::UNIX_EPOCH };
        let mut rows = vec![row("gone", Some(gone)), row("off", None), row("stolen", Some(revoked.clone()))];
        store.save_devices(&rows).await.expect("stored");

        let needed = Needed::load(&config).await.expect("read");
        let said = needed.refusal().to_string();
        assert_eq!(said, "1 of 1 devices still need the old authority: off (not heard of yet)");
        rows[1].paused = Some(revoked);
        store.save_devices(&rows).await.expect("stored");
        let needed = Needed::load(&config).await.expect("read");
        assert!(needed.devices.is_empty() && needed.sentence().starts_with("all 0 devices"), "{}", needed.sentence());
    }
}
