//! `diff`: one changed fleet among many, for the devices of an inventory.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::figures::{millis, percentile};
use crate::repository::{Repository, Size};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Fleets, each with its Rollout
    #[arg(long, default_value_t = 1_000)]
    fleets: usize,
    /// Devices of the inventory, of which git lists each by a token
    #[arg(long, default_value_t = 100_000)]
    devices: usize,
    /// How often it is compared; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    bench: &'static str,
    fleets: usize,
    devices: usize,
    inventory_mib: f64,
    changed: u64,
    /// From the start of the process to its end, with the inventory from a file.
    run_ms: f64,
    /// The same for the devices that git lists.
    run_without_inventory_ms: f64,
}

pub(crate) fn run(options: &Options, dir: &Path) -> anyhow::Result<Figures> {
    let size = Size { fleets: options.fleets, devices: 0, tokens: options.devices };
    let repository = Repository::make(dir, size)?;
    let inventory = dir.join("devices.json");
    std::fs::write(&inventory, devices(size))?;
    repository.run(&mut repository.git(&["switch", "--quiet", "--create", "change"]))?;
    let fleet = repository.dir.join("fleets/line-7.yaml");
    let text = std::fs::read_to_string(&fleet)?;
    std::fs::write(&fleet, text.replace("greeting: Hello", "greeting: Good day"))?;
    repository.commit("Say good day")?;
    // As a job of CI has it, whose clone is one pack.
    repository.run(&mut repository.git(&["repack", "-a", "-d", "--quiet"]))?;
    let (mut with, mut without, mut changed) = (Vec::new(), Vec::new(), 0);
    for _ in 0..options.rounds.max(1) {
        for (times, place) in [(&mut with, Some(&inventory)), (&mut without, None)] {
            let mut diff = Command::new(&repository.bellwether);
            diff.args(["diff", "--base", "main", "--output", "json", "--repo"]).arg(&repository.dir);
            if let Some(place) = place {
                diff.arg("--inventory").arg(place);
            }
            let started = Instant::now();
            let output = repository.output(&mut diff)?;
            times.push(started.elapsed());
            let said: serde_json::Value = serde_json::from_slice(&output.stdout)
                .with_context(|| format!("diff prints JSON: {}", String::from_utf8_lossy(&output.stderr)))?;
            if said["devices"] != options.devices {
                bail!("diff knows {} devices of {}", said["devices"], options.devices);
            }
            changed = said["changed"].as_u64().unwrap_or_default();
        }
    }
    Ok(Figures {
        bench: "diff",
        fleets: options.fleets,
        devices: options.devices,
        inventory_mib: crate::figures::mib(std::fs::metadata(&inventory)?.len() / 1024),
        changed,
        run_ms: millis(percentile(&mut with, 50)),
        run_without_inventory_ms: millis(percentile(&mut without, 50)),
    })
}

/// The devices as the API lists them.
fn devices(size: Size) -> String {
    let mut text = String::from("[\n");
    for n in 0..size.tokens {
        let (line, site, batch) = (n % size.fleets.max(1), n % 97, n / crate::repository::TOKENS);
        let comma = if n + 1 == size.tokens { "" } else { "," };
        let _infallible = writeln!(
            text,
            "{{\"name\": \"device-{n}\", \"enrollment\": \"batch-{batch}\", \"entry\": \"token-{n}\", \"fleet\": \
             \"line-{line}\", \"labels\": {{\"line\": \"{line}\", \"site\": \"site-{site}\"}}, \"version\": {{\"landing\": 2, \
             \"commit\": \"9f3c2ab09f3c2ab09f3c2ab09f3c2ab09f3c2ab0\", \"revision\": 0}}, \"digest\": null, \"offered\": \
             null, \"target\": null, \"status\": {{\"summary\": {{\"status\": \"Online\", \"info\": null}}, \"updated\": \
             {{\"status\": \"UpToDate\", \"info\": null}}}}, \"reason\": null, \"why\": \"It runs what it shall run.\", \
             \"waits\": null, \"origin\": null, \"decided\": [], \"conflict\": null, \"lastSeen\": \
             \"2026-11-26T12:00:00Z\"}}{comma}"
        );
    }
    text.push_str("]\n");
    text
}
