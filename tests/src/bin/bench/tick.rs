//! `tick`: what a look at the repository costs when nothing happened, and from one changed manifest to a new plan.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bellwether_core::admission::{Domain, Identity};
use bellwether_core::objects::{ObjectKind, read};
use bellwether_core::verify::{Introduction, sign_commit};
use bellwether_reconciler::git::{Access, Mirror};
use bellwether_reconciler::repository::{Repository, SharedObjects};
use bellwether_reconciler::store::Loaded;
use bellwether_reconciler::world::{Timing, World};
use bellwether_schemas::{CommitId, Seconds, Sha256Digest};
use bellwether_tests::site::{FLEET, ROLLOUT, policy};
use gix::objs::Write as _;
use gix::objs::tree::EntryKind;
use jiff::Timestamp;
use rustix::param::clock_ticks_per_second;
use serde::Serialize;
use ssh_key::PrivateKey;
use ssh_key::private::Ed25519Keypair;

use crate::figures::{millis, percentile};

/// Devices that one fleet has.
const FLEET_SIZE: usize = 200;
/// Tokens that one Enrollment lists.
const ENROLLMENT_SIZE: usize = 1_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Manifests in the repository: a fleet and a rollout for each 200 devices, and the devices
    #[arg(long, default_value_t = 10_000)]
    manifests: usize,
    /// How many of the devices are enrolled
    #[arg(long, default_value_t = 1_000)]
    devices: usize,
    /// Fetches and changes that are measured, of each kind
    #[arg(long, default_value_t = 50)]
    rounds: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    bench: &'static str,
    manifests: usize,
    devices: usize,
    /// Processor time of a fetch that brings nothing, that of the processes which it starts included.
    unchanged_cpu_ms: f64,
    unchanged_ms: f64,
    /// From the end of a fetch that brings one changed Fleet to a new plan: verify, declare, plan. Medians.
    fleet_to_plan_ms: f64,
    /// The same for one changed Device.
    device_to_plan_ms: f64,
    /// The fetch before that.
    fetch_ms: f64,
    /// A fetch that brings nothing, after all of those: what the mirror gathered should not slow it.
    unchanged_later_ms: f64,
    /// One commit read from the mirror as it is then, opening it included.
    read_later_ms: f64,
    /// Everything at a start, for comparison: verify, declare, plan.
    begin_ms: f64,
}

pub(crate) fn run(options: &Options, dir: &Path) -> anyhow::Result<Figures> {
    let mut source = Source::create(&dir.join("fleet.git"), options)?;
    let mirror = Mirror::open_or_create(&dir.join("mirror.git"), &source.url(), "main", Access::default())?;
    let mut world = World::new(
        Repository::new(SharedObjects::new(mirror.objects()?), source.introduction, "main"),
        Timing { heartbeat: Seconds::new(30), stale_after: Seconds::new(90), serving_since: Timestamp::now() },
        Loaded::default(),
    );
    let tip = mirror.fetch(&NEVER)?;
    let started = Instant::now();
    plan(&mut world, &mirror, &tip)?;
    let begin = started.elapsed();
    let domain: Domain = "bench".parse().map_err(|_| anyhow::anyhow!("no domain"))?;
    for number in 0..options.devices.min(source.devices) {
        let device = device_name(number).parse()?;
        let (enrollment, entry) = (enrollment_name(number).parse()?, entry(number).parse()?);
        world.enrolled(&Identity { domain: domain.clone(), enrollment, entry, device }, Timestamp::now());
    }
    plan(&mut world, &mirror, &tip)?;

    let cpu = processor_time()?;
    let unchanged = median(options.rounds, || look(&mut world, &mirror))?;
    let cpu = (processor_time()? - cpu) / u32::try_from(options.rounds)?;

    let (mut fetches, mut fleets, mut devices) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds {
        for (times, change) in [(&mut fleets, Change::Fleet(round)), (&mut devices, Change::Device(round))] {
            let pushed = source.push(change)?;
            let started = Instant::now();
            let tip = mirror.fetch(&NEVER)?;
            fetches.push(started.elapsed());
            let started = Instant::now();
            plan(&mut world, &mirror, &tip)?;
            times.push(started.elapsed());
            anyhow::ensure!(world.repository.head().is_some_and(|head| head.commit == pushed), "not accepted");
        }
    }
    let unchanged_later = median(options.rounds, || look(&mut world, &mirror))?;
    let newest = mirror.tip()?.context("it was fetched")?;
    let read_later = median(options.rounds, || Ok(read(&mirror.objects()?, &newest, ObjectKind::Commit)?))?;
    Ok(Figures {
        bench: "tick",
        manifests: source.manifests,
        devices: world.devices().len(),
        unchanged_cpu_ms: millis(cpu),
        unchanged_ms: millis(unchanged),
        fleet_to_plan_ms: millis(percentile(&mut fleets, 50)),
        device_to_plan_ms: millis(percentile(&mut devices, 50)),
        fetch_ms: millis(percentile(&mut fetches, 50)),
        unchanged_later_ms: millis(unchanged_later),
        read_later_ms: millis(read_later),
        begin_ms: millis(begin),
    })
}

static NEVER: AtomicBool = AtomicBool::new(false);

/// The median time of something that is done often.
fn median<T>(rounds: usize, mut act: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let started = Instant::now();
        act()?;
        times.push(started.elapsed());
    }
    Ok(percentile(&mut times, 50))
}

/// A fetch, and what a pass does with its tip.
fn look(world: &mut World, mirror: &Mirror) -> anyhow::Result<()> {
    let tip = mirror.fetch(&NEVER)?;
    plan(world, mirror, &tip)
}

/// What a pass does with a tip, up to the plan.
fn plan(world: &mut World, mirror: &Mirror, tip: &CommitId) -> anyhow::Result<()> {
    let now = Timestamp::now();
    world.repository.reopen(SharedObjects::new(mirror.objects()?));
    let moved = world.repository.advance(tip, now);
    if moved.condition || !moved.landings.is_empty() {
        world.moved();
    }
    world.fetched();
    let domain: Domain = "bench".parse().map_err(|_| anyhow::anyhow!("no domain"))?;
    world.plan(&domain, now);
    let _stored = world.take_change();
    Ok(())
}

/// The processor time of this process and of those that it started and that ended.
fn processor_time() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("a name in brackets")?.1.split_whitespace().collect();
    // proc(5): utime, stime, cutime, cstime are fields 14 to 17; two stand before what was split.
    let ticks: u64 = fields.get(11..15).context("times")?.iter().map(|field| field.parse().unwrap_or(0)).sum::<u64>();
    Ok(Duration::from_millis(ticks * 1_000 / clock_ticks_per_second()))
}

/// One changed manifest.
enum Change {
    Fleet(usize),
    Device(usize),
}

/// The watched repository.
struct Source {
    repo: gix::Repository,
    key: PrivateKey,
    tip: gix::ObjectId,
    introduction: Introduction,
    fleets: usize,
    devices: usize,
    manifests: usize,
    commits: i64,
}

impl Source {
    fn create(dir: &Path, options: &Options) -> anyhow::Result<Self> {
        let repo = gix::init_bare(dir).map_err(|why| anyhow::anyhow!("{why:?}"))?;
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
        let fleets = (options.manifests / FLEET_SIZE).max(1);
        let enrollments = options.manifests.div_ceil(ENROLLMENT_SIZE);
        let devices = options.manifests.saturating_sub(2 * fleets + enrollments + 1);
        let policy = policy(&key.public_key().to_openssh()?, 1);
        let introduction = Introduction {
            commit: CommitId::from_bytes(&[0; 20]).context("20 bytes")?,
            policy_sha256: Sha256Digest::of(policy.as_bytes()),
        };
        let empty = gix::ObjectId::empty_tree(repo.object_hash());
        let manifests = 2 * fleets + devices + devices.div_ceil(ENROLLMENT_SIZE) + 1;
        let mut source = Self { repo, key, tip: empty, introduction, fleets, devices, manifests, commits: 0 };
        let mut files = vec![("trust/policy.yaml".to_owned(), policy)];
        for first in (0..devices).step_by(ENROLLMENT_SIZE) {
            files.push((format!("enrollments/{}.yaml", enrollment_name(first)), enrollment(first, devices)));
        }
        for fleet in 0..fleets {
            files.push((fleet_path(fleet), fleet_text(fleet, 0)));
            files.push((
                format!("rollouts/fleet-{fleet:04}.yaml"),
                ROLLOUT.replace("name: edge", &format!("name: fleet-{fleet:04}")),
            ));
        }
        for device in 0..devices {
            files.push((device_path(device), device_text(device, fleets, 0)));
        }
        let commit = source.commit(empty, None, &files)?;
        source.introduction.commit = commit;
        Ok(source)
    }

    fn url(&self) -> String {
        self.repo.git_dir().display().to_string()
    }

    fn push(&mut self, change: Change) -> anyhow::Result<CommitId> {
        let (path, text) = match change {
            Change::Fleet(round) => {
                let fleet = round % self.fleets;
                (fleet_path(fleet), fleet_text(fleet, round + 1))
            }
            Change::Device(round) => {
                let device = round * 7 % self.devices;
                (device_path(device), device_text(device, self.fleets, round + 1))
            }
        };
        let tree = self.repo.find_commit(self.tip).and_then(|commit| commit.tree_id().map(gix::Id::detach));
        let tree = tree.map_err(|why| anyhow::anyhow!("{why:?}"))?;
        self.commit(tree, Some(self.tip), &[(path, text)])
    }

    fn commit(
        &mut self,
        tree: gix::ObjectId,
        parent: Option<gix::ObjectId>,
        files: &[(String, String)],
    ) -> anyhow::Result<CommitId> {
        let write = || -> Result<gix::ObjectId, gix::Error> {
            let mut editor = self.repo.edit_tree(tree)?;
            for (path, text) in files {
                let blob = self.repo.write_blob(text)?;
                editor.upsert(path.as_str(), EntryKind::Blob, blob.detach())?;
            }
            Ok(editor.write()?.detach())
        };
        let tree = write().map_err(|why| anyhow::anyhow!("{why:?}"))?;
        self.commits += 1;
        let parent = parent.map_or_else(String::new, |parent| format!("parent {parent}\n"));
        let who = format!("Alice <alice@example.com> {} +0000", 1_700_000_000 + self.commits);
        let unsigned = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\nChange {}\n", self.commits);
        let raw = sign_commit(unsigned.as_bytes(), &self.key)?;
        let id =
            self.repo.objects.write_buf(gix::objs::Kind::Commit, &raw).map_err(|why| anyhow::anyhow!("{why:?}"))?;
        self.tip = id;
        crate::verify::git(self.repo.git_dir(), &["update-ref", "refs/heads/main", &id.to_string()])?;
        CommitId::from_bytes(id.as_bytes()).context("git's ids have 20 bytes")
    }
}

fn device_name(number: usize) -> String {
    format!("device-{number:05}")
}

fn entry(number: usize) -> String {
    format!("t{number}")
}

fn device_path(number: usize) -> String {
    format!("devices/{}.yaml", device_name(number))
}

fn fleet_path(number: usize) -> String {
    format!("fleets/fleet-{number:04}.yaml")
}

fn fleet_text(fleet: usize, round: usize) -> String {
    let named = FLEET.replace("name: edge", &format!("name: fleet-{fleet:04}"));
    named.replace("role: edge", &format!("fleet: f{fleet}")).replace("message 1", &format!("message {round}"))
}

fn device_text(device: usize, fleets: usize, round: usize) -> String {
    format!(
        "apiVersion: bellwether/v1\nkind: Device\nmetadata:\n  name: {}\nspec:\n  labels:\n    fleet: f{}\n    round: r{round}\n",
        device_name(device),
        device % fleets
    )
}

fn enrollment_name(device: usize) -> String {
    format!("factory-{}", device / ENROLLMENT_SIZE)
}

/// The Enrollment that lists this device and those after it.
fn enrollment(first: usize, devices: usize) -> String {
    let mut text = format!(
        "apiVersion: bellwether/v1\nkind: Enrollment\nmetadata:\n  name: {}\nspec:\n  tokens:\n",
        enrollment_name(first)
    );
    for device in first..devices.min(first + ENROLLMENT_SIZE) {
        let (id, device) = (entry(device), device_name(device));
        let hash = Sha256Digest::of(id.as_bytes());
        text.push_str(&format!(
            "    - {{id: {id}, sha256: {hash}, expires: 2100-01-01T00:00:00Z, device: {device}}}\n"
        ));
    }
    text
}
