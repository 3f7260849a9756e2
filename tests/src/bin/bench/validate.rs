//! `validate`: every manifest of a great repository, against a validator of JSON Schema.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::figures::{millis, per_second, percentile, rate_ratio};
use crate::repository::{Repository, Size};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Manifests of all kinds
    #[arg(long, default_value_t = 20_000)]
    manifests: usize,
    /// How often it is validated; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The command check-jsonschema; else the one on PATH, or one that is installed with pip for this run
    #[arg(long, env = "BELLWETHER_CHECK_JSONSCHEMA")]
    check_jsonschema: Option<PathBuf>,
}

/// Manifests that the other validator looks at.
const COMPARED: usize = 500;

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    bench: &'static str,
    manifests: usize,
    problems: u64,
    /// From the start of the process to its end.
    run_ms: f64,
    manifests_per_s: u64,
    check_jsonschema_manifests: usize,
    check_jsonschema_per_s: u64,
    ratio_to_check_jsonschema: f64,
}

pub(crate) fn run(options: &Options, dir: &Path) -> anyhow::Result<Figures> {
    let size = Size::of(options.manifests);
    let repository = Repository::make(dir, size)?;
    let mut times = Vec::new();
    let mut problems = 0;
    for _ in 0..options.rounds.max(1) {
        let mut validate = Command::new(&repository.bellwether);
        validate.args(["validate", "--output", "json", "--repo"]).arg(&repository.dir);
        let started = Instant::now();
        let output = repository.output(&mut validate)?;
        times.push(started.elapsed());
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).context("validate prints JSON")?;
        if said["files"] != size.manifests() {
            bail!("validate read {} manifests of {}", said["files"], size.manifests());
        }
        problems = said["errors"].as_u64().unwrap_or(1) + said["warnings"].as_u64().unwrap_or(1);
    }
    let took = percentile(&mut times, 50);
    let (compared, other) = other(options, &repository)?;
    let (rate, other_rate) = (per_second(size.manifests(), took), per_second(compared, other));
    Ok(Figures {
        bench: "validate",
        manifests: size.manifests(),
        problems,
        run_ms: millis(took),
        manifests_per_s: rate,
        check_jsonschema_manifests: compared,
        check_jsonschema_per_s: other_rate,
        ratio_to_check_jsonschema: rate_ratio(rate, other_rate),
    })
}

/// How long check-jsonschema takes for some of the Devices, of which there are most, by the schema alone.
fn other(options: &Options, repository: &Repository) -> anyhow::Result<(usize, Duration)> {
    let program = match &options.check_jsonschema {
        Some(program) => program.clone(),
        None => installed(repository)?,
    };
    let schema = repository.dir.with_file_name("device.json");
    std::fs::write(&schema, bellwether_schemas::json_schema::text(bellwether_schemas::manifest::Kind::Device))?;
    let devices = std::fs::read_dir(repository.dir.join("devices"))?;
    let devices: Vec<_> = devices.take(COMPARED).map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    let mut check = Command::new(program);
    check.arg("--schemafile").arg(schema).args(&devices);
    let started = Instant::now();
    repository.run(&mut check)?;
    Ok((devices.len(), started.elapsed()))
}

fn installed(repository: &Repository) -> anyhow::Result<PathBuf> {
    let on_path = Command::new("check-jsonschema").arg("--version").output();
    if on_path.is_ok_and(|output| output.status.success()) {
        return Ok("check-jsonschema".into());
    }
    let venv = repository.dir.with_file_name("venv");
    repository.run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "check-jsonschema"];
    repository.run(Command::new(venv.join("bin/python")).args(pip))?;
    Ok(venv.join("bin/check-jsonschema"))
}
