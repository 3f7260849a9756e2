//! `push-to-applied`: one device, many small changes, each from the start of `git push` to the healthy report.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bellwether_schemas::CommitId;
use bellwether_schemas::api::{DeviceView, Updated};
use bellwether_tests::{Site, SiteBuilder};
use serde::Serialize;

use crate::figures::{millis, percentile};

/// How often the API is asked.
const LOOK: Duration = Duration::from_millis(5);
/// A push that takes longer is a failure, not a figure.
const PATIENCE: Duration = Duration::from_secs(30);
/// Rest between pushes, in which the device makes the version final. An agent that is told of more than one version a second
/// waits with its pulls after a while, so that nobody keeps it busy: that is not what is measured.
const REST: Duration = Duration::from_secs(1);
/// Small files that are made durable to see what that costs here.
const SYNCS: usize = 50;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Pushes that are measured
    #[arg(long, default_value_t = 30)]
    pushes: usize,
    /// Print the logs of reconciler and agent at the end, on standard error
    #[arg(long)]
    logs: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    bench: &'static str,
    pushes: usize,
    p50_ms: f64,
    p99_ms: f64,
    min_ms: f64,
    /// The command itself, part of the above: it starts several processes, and goes on a little after the branch moved.
    git_push_ms: f64,
    /// `git --version`: what it costs to start one git process.
    git_process_ms: f64,
    /// One small file made durable: write, fsync, rename, fsync of the folder.
    fsync_ms: f64,
}

pub(crate) fn run(options: &Options, dir: &Path) -> anyhow::Result<Figures> {
    let part = crate::part(dir)?;
    let site = SiteBuilder::new(part.to_str().context("the folder has a UTF-8 name")?, 1).heartbeat(10).start();
    site.wait_up_to_date(&site.introduction);
    let fsync = percentile(&mut syncs(&site.path("fsync"))?, 50);
    let git_process = percentile(&mut (0..10).map(|_| git_process()).collect::<anyhow::Result<Vec<_>>>()?, 50);
    let (mut whole, mut pushes) = (Vec::new(), Vec::new());
    for number in 0..options.pushes {
        std::thread::sleep(REST);
        let (from, to) = (format!("message {}", number + 1), format!("message {}", number + 2));
        site.engineer.replace("fleets/edge.yaml", &from, &to);
        let commit = site.engineer.commit(&to);
        let (took, push) = push(&site, &commit)?;
        whole.push(took);
        pushes.push(push);
    }
    if options.logs {
        eprintln!("{}\n{}", site.reconciler_log(), site.device("edge-1").log());
    }
    Ok(Figures {
        bench: "push-to-applied",
        pushes: options.pushes,
        p50_ms: millis(percentile(&mut whole, 50)),
        p99_ms: millis(percentile(&mut whole, 99)),
        min_ms: millis(percentile(&mut whole, 0)),
        git_push_ms: millis(percentile(&mut pushes, 50)),
        git_process_ms: millis(git_process),
        fsync_ms: millis(fsync),
    })
}

/// Pushes; how long until the device is seen healthy with the commit, and how long the command took.
fn push(site: &Site, commit: &CommitId) -> anyhow::Result<(Duration, Duration)> {
    let client = reqwest::blocking::Client::builder().no_proxy().build()?;
    let url = format!("{}/api/v1/devices", site.addresses().page);
    let healthy = || -> anyhow::Result<bool> {
        let views: Vec<DeviceView> = client.get(&url).send()?.json()?;
        Ok(views.iter().any(|view| {
            view.status.updated.status == Updated::UpToDate && view.version.is_some_and(|it| it.commit == *commit)
        }))
    };
    healthy()?;
    let started = Instant::now();
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| {
            site.engineer.push();
            started.elapsed()
        });
        while !healthy()? {
            if started.elapsed() > PATIENCE {
                bail!("the device did not apply {commit} in time:\n{}", site.reconciler_log());
            }
            std::thread::sleep(LOOK);
        }
        let took = started.elapsed();
        let push = pushing.join().map_err(|_| anyhow::anyhow!("git push failed"))?;
        Ok((took, push))
    })
}

fn syncs(dir: &Path) -> anyhow::Result<Vec<Duration>> {
    std::fs::create_dir(dir)?;
    let folder = File::open(dir)?;
    let (new, file) = (dir.join("file.new"), dir.join("file"));
    let one = |_| -> anyhow::Result<Duration> {
        let started = Instant::now();
        let mut open = File::create(&new)?;
        open.write_all(&[b'x'; 1024])?;
        open.sync_all()?;
        std::fs::rename(&new, &file)?;
        folder.sync_all()?;
        Ok(started.elapsed())
    };
    (0..SYNCS).map(one).collect()
}

fn git_process() -> anyhow::Result<Duration> {
    let started = Instant::now();
    std::process::Command::new("git").arg("--version").output()?;
    Ok(started.elapsed())
}
