//! `agent`: memory of the shipped agent while it idles with an open session, and the size of its binary.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bellwether_tests::SiteBuilder;
use serde::Serialize;

use crate::figures::{megabytes, mib};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Measure this binary; else the agent as it is shipped, which is built if need be (profile dist: some minutes)
    #[arg(long)]
    binary: Option<PathBuf>,
    /// How long it idles before it is looked at
    #[arg(long, default_value_t = 5)]
    idle_seconds: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    bench: &'static str,
    /// `VmRSS`: private memory, and the pages of the binary and of shared libraries that it touched.
    rss_mib: f64,
    /// Of which private: heap, stacks, written data.
    rss_anonymous_mib: f64,
    /// `Pss`: shared pages counted by their share.
    pss_mib: f64,
    binary_mb: f64,
    profile: String,
    threads: u64,
}

pub(crate) fn run(options: &Options, dir: &Path) -> anyhow::Result<Figures> {
    let binary = binary(options)?;
    let part = crate::part(dir)?;
    let program = dir.join("program");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = agent ]; then shift; exec '{}' \"$@\"; fi\nexec '{}' \"$@\"\n",
        binary.display(),
        part.display()
    );
    std::fs::write(&program, script)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;

    let site = SiteBuilder::new(program.to_str().context("the folder has a UTF-8 name")?, 1).heartbeat(2).start();
    site.wait_up_to_date(&site.introduction);
    std::thread::sleep(Duration::from_secs(options.idle_seconds));
    let process = site.device("edge-1").process_id();
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let rollup = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    if std::fs::read_link(format!("/proc/{process}/exe"))? != binary {
        bail!("process {process} is not {}", binary.display());
    }
    let folder = binary.parent().and_then(Path::file_name).unwrap_or_default();
    Ok(Figures {
        bench: "agent",
        rss_mib: mib(field(&status, "VmRSS:")?),
        rss_anonymous_mib: mib(field(&status, "RssAnon:")?),
        pss_mib: mib(field(&rollup, "Pss:")?),
        binary_mb: megabytes(std::fs::metadata(&binary)?.len()),
        profile: folder.to_string_lossy().into_owned(),
        threads: field(&status, "Threads:")?,
    })
}

/// The agent to measure.
fn binary(options: &Options) -> anyhow::Result<PathBuf> {
    if let Some(binary) = &options.binary {
        return Ok(binary.canonicalize()?);
    }
    let here = std::env::current_exe()?;
    let target = here.parent().and_then(Path::parent).context("the bench is in a folder of cargo's")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = std::process::Command::new(cargo)
        .args(["build", "--locked", "--profile", "dist", "-p", "bellwether-agent", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("cargo could not be started")?;
    if !built.success() {
        bail!("the agent could not be built");
    }
    Ok(target.join("dist/bellwether-agent").canonicalize()?)
}

/// The number after `name` in a file of /proc.
fn field(text: &str, name: &str) -> anyhow::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("/proc has no {name}"))?;
    Ok(line.split_whitespace().next().with_context(|| format!("{name} has no value"))?.parse()?)
}
