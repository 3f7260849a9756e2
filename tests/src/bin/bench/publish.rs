//! `publish`: the metadata of many devices, signed and stored by the publisher on a directory.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aws_lc_rs::signature::Ed25519KeyPair;
use bellwether_reconciler::keys::{self, OnlineKeys};
use bellwether_reconciler::publish::{DeviceTargets, Objects, Publisher, SLICE, publish_root};
use bellwether_schemas::targets::{Binding, SignedOffer};
use bellwether_schemas::{CommitId, DeviceName, FleetName, Seconds, Sha256Digest, Version};
use jiff::Timestamp;
use serde::Serialize;

use crate::figures::{millis, per_second, ratio};

/// Threads that sign and write for the limit: as many as the machines that figures are quoted from have cores.
const THREADS: usize = 2;
/// Specs are changed this often after the first publication. In the last round old files are removed as well, as ever after.
const CHANGES: u64 = 2;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Devices whose specs change
    #[arg(long, default_value_t = 100_000)]
    devices: usize,
    /// Different specs among them; devices with equal specs share one file
    #[arg(long, default_value_t = 100)]
    specs: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    bench: &'static str,
    devices: usize,
    specs: usize,
    /// A later change: files of the version before the last are removed too.
    devices_per_s: u64,
    /// Devices that had no metadata before: each gets its folder.
    first_devices_per_s: u64,
    floor_per_s: u64,
    ratio_to_floor: f64,
    first_ratio_to_floor: f64,
    raw_sign_triples_per_s: u64,
    floor_write_ms: f64,
    bytes_per_device: usize,
    floor_threads: usize,
}

pub(crate) fn run(options: &Options, dir: &Path) -> anyhow::Result<Figures> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let now = Timestamp::now();
    let made = keys::init(&dir.join("root"), &dir.join("online"), now)?;
    let store = dir.join("store");
    let publisher = runtime.block_on(async {
        let objects = Objects::in_directory(&store)?;
        publish_root(&objects, &made.root_json).await?;
        anyhow::Ok(Publisher::open(objects, OnlineKeys::load(&dir.join("online"))?).await?)
    })?;
    sync(dir)?;
    let mut took = Vec::new();
    for round in 0..=CHANGES {
        let devices = devices(options, round + 1)?;
        let started = Instant::now();
        // As the reconciler does: in slices, so that reports do not wait for all of them.
        let mut devices = devices.into_iter().peekable();
        while devices.peek().is_some() {
            let published = runtime.block_on(publisher.publish(devices.by_ref().take(SLICE).collect(), now))?;
            anyhow::ensure!(published.failed.is_empty(), "every device is published");
        }
        took.push(started.elapsed());
    }
    let (first, last) = took.first().zip(took.last()).context("there was a round")?;
    let files = files_of_one_device(&store)?;
    sync(dir)?;
    let floor = floor(options.devices, &files, &dir.join("floor"))?;
    Ok(Figures {
        bench: "publish",
        devices: options.devices,
        specs: options.specs,
        devices_per_s: per_second(options.devices, *last),
        first_devices_per_s: per_second(options.devices, *first),
        floor_per_s: per_second(options.devices, floor.sign + floor.write),
        ratio_to_floor: ratio(floor.sign + floor.write, *last),
        first_ratio_to_floor: ratio(floor.sign + floor.write, *first),
        raw_sign_triples_per_s: per_second(options.devices, floor.sign),
        floor_write_ms: millis(floor.write),
        bytes_per_device: files.iter().map(|(_, content)| content.len()).sum(),
        floor_threads: THREADS,
    })
}

fn name(device: usize) -> String {
    format!("edge-{device:07}")
}

fn devices(options: &Options, landing: u64) -> anyhow::Result<Vec<DeviceTargets>> {
    let commit: CommitId = format!("{landing:040x}").parse()?;
    let specs: Vec<(Sha256Digest, Vec<u8>)> = (0..options.specs.max(1))
        .map(|spec| {
            let content = format!("message {landing} of {spec}\\n");
            let canonical = format!(
                r#"{{"apiVersion":"bellwether/v1","files":[{{"content":"{content}","path":"/opt/bellwether/message"}}],"probes":[{{"attempts":1,"file":{{"path":"/opt/bellwether/message"}}}}]}}"#
            );
            (Sha256Digest::of(canonical.as_bytes()), canonical.into_bytes())
        })
        .collect();
    let fleet: FleetName = "edge".parse()?;
    (0..options.devices)
        .map(|device| {
            let (digest, spec) = &specs[device % specs.len()];
            let offer = SignedOffer {
                fleet: fleet.clone(),
                version: Version { landing, commit, revision: 0 },
                template: commit,
                digest: *digest,
                supersedes: None,
                not_before: None,
                not_after: None,
                soak: Seconds::ZERO,
            };
            let device: DeviceName = name(device).parse()?;
            let binding = Binding::new(device, Some(offer));
            Ok(DeviceTargets {
                binding,
                spec: Some(spec.clone().into()),
                targets: Vec::new(),
                contents: Vec::new(),
                floor: 0,
            })
        })
        .collect()
}

/// Name and content of the files that the last publication wrote for one device.
fn files_of_one_device(store: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let folder = store.join("devices").join(name(0));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let entry = entry?;
        let file = entry.file_name().into_string().ok().context("our names are UTF-8")?;
        files.push((file, std::fs::read(entry.path())?));
    }
    // The newest of each role; the timestamp has one version only.
    files.sort();
    let newest = |role: &str| files.iter().rfind(|(file, _)| file.ends_with(role)).cloned().context("it was written");
    Ok(vec![newest("targets.json")?, newest("snapshot.json")?, newest("timestamp.json")?])
}

struct Floor {
    sign: Duration,
    write: Duration,
}

/// How long the same signatures and the same files take, with nothing else done.
fn floor(devices: usize, files: &[(String, Vec<u8>)], dir: &Path) -> anyhow::Result<Floor> {
    let key = Ed25519KeyPair::generate().map_err(|_| anyhow::anyhow!("no key can be made"))?;
    let started = Instant::now();
    in_threads(devices, |_| {
        for (_, content) in files {
            std::hint::black_box(key.sign(content));
        }
        Ok(())
    })?;
    let sign = started.elapsed();
    std::fs::create_dir(dir)?;
    let started = Instant::now();
    in_threads(devices, |device| {
        let folder = dir.join(name(device));
        std::fs::create_dir(&folder)?;
        for (file, content) in files {
            OpenOptions::new().write(true).create_new(true).open(folder.join(file))?.write_all(content)?;
        }
        Ok(())
    })?;
    sync(dir)?;
    Ok(Floor { sign, write: started.elapsed() })
}

fn in_threads(devices: usize, work: impl Fn(usize) -> anyhow::Result<()> + Sync) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads = (0..THREADS)
            .map(|thread| scope.spawn(move || (thread..devices).step_by(THREADS).try_for_each(work)))
            .collect::<Vec<_>>();
        threads.into_iter().try_for_each(|thread| thread.join().expect("the work does not panic"))
    })
}

/// Everything written so far is on the disk.
fn sync(dir: &Path) -> anyhow::Result<()> {
    let path: PathBuf = dir.to_owned();
    rustix::fs::syncfs(File::open(path)?)?;
    Ok(())
}
