//! `bellwether-reconciler installer`: the script that puts the agent onto devices.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::config::{CONFIG_FILE, Config};
use crate::installer::Source;
use crate::run::RunError;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  bellwether-reconciler installer > install.sh
  scp install.sh token device:            # a way that you trust: ssh, an image, cloud-init, a stick
  ssh device sudo sh install.sh --token-file token

The script pins the certificate authority and the TUF root, so a device trusts whom the script names. It holds no
secret. The running reconciler serves the same bytes at https://HOST:8440/install.sh, for devices that compare the
SHA-256 which this command prints.")]
pub(super) struct Installer {
    /// The configuration.
    #[arg(long, env = "BELLWETHER_CONFIG", default_value = CONFIG_FILE)]
    config: PathBuf,
    /// Address of listener enroll as devices reach it, https://NAME:PORT, if it is not advertise.enroll.
    #[arg(long)]
    address: Option<String>,
    /// Write the script to this file instead of standard output.
    #[arg(long)]
    out: Option<PathBuf>,
}

impl Installer {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let config = Config::load(&self.config).map_err(RunError::from)?;
        let advertised = config.enroll_address().map_err(RunError::from);
        let address = match self.address {
            Some(address) => address.trim_end_matches('/').to_owned(),
            None => advertised?,
        };
        let is_served = config.enroll_address().is_ok_and(|served| served == address);
        let script = Source { ca: config.ca, keys: config.keys, address: address.clone() }.make()?;
        match &self.out {
            Some(path) => {
                std::fs::write(path, &script.text).with_context(|| format!("cannot write {}", path.display()))?
            }
            None => {
                let mut out = std::io::stdout().lock();
                out.write_all(script.text.as_bytes()).and_then(|()| out.flush()).context("cannot print the script")?;
            }
        }
        let mut err = std::io::stderr().lock();
        writeln!(err, "SHA-256 {}", script.sha256())?;
        writeln!(err, "on the device, as root: sh install.sh --token-file token")?;
        if is_served {
            let check = format!("echo '{}  install.sh' | sha256sum -c", script.sha256());
            writeln!(err, "or without a copy:      curl -fsSkO {address}/install.sh && {check} && sh install.sh")?;
        }
        Ok(())
    }
}
