//! `verify`: a linear history of signed commits, fetched into a mirror and judged, on all cores.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use bellwether_core::objects::{ObjectKind, ObjectSource as _};
use bellwether_core::verify::{Commit, Introduction, VerifiedHistory, sign_commit};
use bellwether_reconciler::git::{Access, Mirror, MirrorObjects};
use bellwether_schemas::{CommitId, Sha256Digest};
use bellwether_tests::site::{FLEET, ROLLOUT, policy};
use gix::objs::Write as _;
use jiff::Timestamp;
use serde::Serialize;
use ssh_key::private::Ed25519Keypair;
use ssh_key::{HashAlg, PrivateKey, SshSig};

use crate::figures::{mib, millis, per_second, rate_ratio, ratio};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Commits of the history
    #[arg(long, default_value_t = 50_000)]
    commits: usize,
    /// Fleets in the repository; each commit changes one
    #[arg(long, default_value_t = 20)]
    fleets: usize,
    /// How often it is judged, each time beside the raw verifications; the figures are of the round in the middle
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Commits of it that git judges too (`git log --format=%G?`)
    #[arg(long, default_value_t = 500)]
    git: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    bench: &'static str,
    commits: usize,
    fleets: usize,
    commits_per_s: u64,
    raw_per_s: u64,
    ratio_to_raw: f64,
    lowest_ratio_to_raw: f64,
    highest_ratio_to_raw: f64,
    /// The library that made `raw_per_s`: the faster of those that were tried.
    raw_by: &'static str,
    raw_dalek_per_s: u64,
    raw_aws_lc_per_s: u64,
    git_per_s: u64,
    ratio_to_git: f64,
    cores: usize,
    objects: &'static str,
    fetch_ms: f64,
    /// One more commit after all of them: fetched and judged.
    one_more_ms: f64,
    /// The most memory that a process of its own used to clone and judge all of it.
    peak_mib: f64,
}

pub(crate) fn run(options: &Options, dir: &Path) -> anyhow::Result<Figures> {
    let source = dir.join("fleet.git");
    let written = write_history(&source, options)?;
    let mirror =
        Mirror::open_or_create(&dir.join("mirror.git"), &source.display().to_string(), "main", Access::default())?;
    let (mut history, tip, mut objects, fetch) = first_clone(&mirror, &written.introduction)?;
    let signed = signed(&objects, &written)?;

    let cores = available_parallelism()?.get();
    let mut rounds = Vec::new();
    for _ in 0..options.rounds.max(1) {
        // Before and after, since the clock of a shared machine moves.
        let before = raw(&written.key, &signed, cores)?;
        objects = mirror.objects()?;
        history = VerifiedHistory::introduce(&objects, &written.introduction, "main")?.0;
        let started = Instant::now();
        let advanced = history.advance(&objects, &tip, Timestamp::now());
        let took = started.elapsed();
        let after = raw(&written.key, &signed, cores)?;
        if advanced.stop.is_some() || advanced.landings.len() + 1 != options.commits || *history.head() != tip {
            bail!("the history was not accepted: {:?}", advanced.stop);
        }
        rounds.push(Round { took, dalek: before.0.midpoint(after.0), aws_lc: before.1.midpoint(after.1) });
    }
    rounds.sort_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    let (lowest, middle, highest) = (&rounds[0], &rounds[rounds.len() / 2], &rounds[rounds.len() - 1]);
    let judged = options.git.min(written.commits.len());
    let git = git_judges(&source, dir, &written.allowed, judged)?;

    written.one_more(&source)?;
    let started = Instant::now();
    let tip = mirror.fetch(&AtomicBool::new(false))?;
    objects = mirror.objects()?;
    let advanced = history.advance(&objects, &tip, Timestamp::now());
    let one_more = started.elapsed();
    anyhow::ensure!(advanced.stop.is_none() && advanced.landings.len() == 1, "one more: {:?}", advanced.stop);

    let (commits_per_s, git_per_s) = (per_second(options.commits, middle.took), per_second(judged, git));
    Ok(Figures {
        bench: "verify",
        commits: options.commits,
        fleets: options.fleets,
        commits_per_s,
        raw_per_s: per_second(options.commits, middle.limit()),
        ratio_to_raw: middle.ratio(),
        lowest_ratio_to_raw: lowest.ratio(),
        highest_ratio_to_raw: highest.ratio(),
        raw_by: if middle.dalek < middle.aws_lc { "ed25519-dalek" } else { "aws-lc-rs" },
        raw_dalek_per_s: per_second(options.commits, middle.dalek),
        raw_aws_lc_per_s: per_second(options.commits, middle.aws_lc),
        git_per_s,
        ratio_to_git: rate_ratio(commits_per_s, git_per_s),
        cores,
        objects: "a mirror that gix fetched, packed",
        fetch_ms: millis(fetch),
        one_more_ms: millis(one_more),
        peak_mib: mib(peak_of_a_clone(&source, dir, &written.introduction)?),
    })
}

/// One judgement of all of it, and the raw verifications around it.
struct Round {
    took: Duration,
    dalek: Duration,
    aws_lc: Duration,
}

impl Round {
    /// The time of the faster library.
    fn limit(&self) -> Duration {
        self.dalek.min(self.aws_lc)
    }

    fn ratio(&self) -> f64 {
        ratio(self.limit(), self.took)
    }
}

/// Fetches everything into an empty mirror, and begins at the introduction.
fn first_clone(
    mirror: &Mirror,
    introduction: &Introduction,
) -> anyhow::Result<(VerifiedHistory, CommitId, MirrorObjects, Duration)> {
    let started = Instant::now();
    let tip = mirror.fetch(&AtomicBool::new(false))?;
    let fetch = started.elapsed();
    let objects = mirror.objects()?;
    let (history, _) = VerifiedHistory::introduce(&objects, introduction, "main")?;
    Ok((history, tip, objects, fetch))
}

/// What `peak_of_a_clone` starts: clones and judges, and prints the most memory that this process used.
#[derive(Debug, clap::Args)]
pub(crate) struct Clone {
    source: String,
    mirror: std::path::PathBuf,
    commit: CommitId,
    policy_sha256: Sha256Digest,
}

pub(crate) fn clone(options: &Clone) -> anyhow::Result<()> {
    let mirror = Mirror::open_or_create(&options.mirror, &options.source, "main", Access::default())?;
    let introduction = Introduction { commit: options.commit, policy_sha256: options.policy_sha256 };
    let (mut history, tip, objects, _) = first_clone(&mirror, &introduction)?;
    let advanced = history.advance(&objects, &tip, Timestamp::now());
    anyhow::ensure!(advanced.stop.is_none(), "{:?}", advanced.stop);
    println!("{}", peak()?);
    Ok(())
}

/// The most memory that this process ever used, in KiB (proc(5), `VmHWM`).
fn peak() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel counts memory")?;
    Ok(peak.trim().trim_end_matches(" kB").parse()?)
}

fn peak_of_a_clone(source: &Path, dir: &Path, introduction: &Introduction) -> anyhow::Result<u64> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.arg("clone").arg(source).arg(dir.join("again.git"));
    command.args([introduction.commit.to_string(), introduction.policy_sha256.to_string()]);
    let output = command.output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// The time that git takes to judge the newest `count` commits.
fn git_judges(source: &Path, dir: &Path, allowed: &str, count: usize) -> anyhow::Result<Duration> {
    let signers = dir.join("allowed_signers");
    std::fs::write(&signers, allowed)?;
    let setting = format!("gpg.ssh.allowedSignersFile={}", signers.display());
    let started = Instant::now();
    let log = git(source, &["-c", &setting, "log", "--format=%G?", "-n", &count.to_string(), "main"])?;
    let took = started.elapsed();
    anyhow::ensure!(log.lines().count() == count && log.lines().all(|verdict| verdict == "G"), "git says {log}");
    Ok(took)
}

trait Midpoint {
    fn midpoint(self, other: Self) -> Self;
}

impl Midpoint for Duration {
    fn midpoint(self, other: Self) -> Self {
        (self + other) / 2
    }
}

struct Written {
    introduction: Introduction,
    commits: Vec<CommitId>,
    key: [u8; 32],
    allowed: String,
}

impl Written {
    /// Adds an empty commit, signed.
    fn one_more(&self, dir: &Path) -> anyhow::Result<()> {
        let tip = self.commits.last().context("there are commits")?;
        let tree = git(dir, &["rev-parse", "main^{tree}"])?;
        let who = "Alice <alice@example.com> 1800000000 +0000";
        let unsigned = format!("tree {}\nparent {tip}\nauthor {who}\ncommitter {who}\n\nHeartbeat\n", tree.trim());
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&SEED));
        let repo = gix::open(dir).map_err(|why| anyhow::anyhow!("{why:?}"))?;
        let raw = sign_commit(unsigned.as_bytes(), &key)?;
        let id = repo.objects.write_buf(gix::objs::Kind::Commit, &raw).map_err(|why| anyhow::anyhow!("{why:?}"))?;
        git(dir, &["update-ref", "refs/heads/main", &id.to_string()]).map(drop)
    }
}

const SEED: [u8; 32] = [7; 32];

/// Writes a bare repository, and packs it as a server would.
fn write_history(dir: &Path, options: &Options) -> anyhow::Result<Written> {
    let pair = Ed25519Keypair::from_seed(&SEED);
    let public = pair.public.0;
    let key = PrivateKey::from(pair);
    let repo = gix::init_bare(dir).map_err(|why| anyhow::anyhow!("{why:?}"))?;
    let write = |kind: gix::objs::Kind, content: &[u8]| {
        repo.objects.write_buf(kind, content).map_err(|why| anyhow::anyhow!("{why:?}"))
    };
    let blob = |content: &str| write(gix::objs::Kind::Blob, content.as_bytes());
    let tree = |entries: &[(&str, String, gix::ObjectId)]| {
        let mut content = Vec::new();
        for (mode, name, id) in entries {
            content.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            content.extend_from_slice(id.as_slice());
        }
        write(gix::objs::Kind::Tree, &content)
    };
    let policy = policy(&key.public_key().to_openssh()?, 1);
    let trust = tree(&[("100644", "policy.yaml".to_owned(), blob(&policy)?)])?;
    let rollouts = tree(&[("100644", "edge.yaml".to_owned(), blob(ROLLOUT)?)])?;
    let mut fleets: Vec<_> = (0..options.fleets.max(1))
        .map(|fleet| Ok(("100644", format!("edge-{fleet:05}.yaml"), blob(&fleet_manifest(fleet, 0))?)))
        .collect::<anyhow::Result<_>>()?;
    let mut commits: Vec<CommitId> = Vec::with_capacity(options.commits);
    for number in 0..options.commits.max(2) {
        let fleet = number % fleets.len();
        fleets[fleet].2 = blob(&fleet_manifest(fleet, number))?;
        let root = tree(&[
            ("40000", "fleets".to_owned(), tree(&fleets)?),
            ("40000", "rollouts".to_owned(), rollouts),
            ("40000", "trust".to_owned(), trust),
        ])?;
        let parent = commits.last().map_or_else(String::new, |parent| format!("parent {parent}\n"));
        let who = format!("Alice <alice@example.com> {} +0000", 1_700_000_000 + number);
        let unsigned = format!("tree {root}\n{parent}author {who}\ncommitter {who}\n\nChange {number} of the fleet\n");
        let id = write(gix::objs::Kind::Commit, &sign_commit(unsigned.as_bytes(), &key)?)?;
        commits.push(CommitId::from_bytes(id.as_bytes()).context("git's ids have 20 bytes")?);
    }
    let (first, last) = commits.first().zip(commits.last()).context("there are commits")?;
    git(dir, &["update-ref", "refs/heads/main", &last.to_string()])?;
    git(dir, &["repack", "-a", "-d", "-q"])?;
    let policy_sha256 = Sha256Digest::of(policy.as_bytes());
    let allowed = format!("alice@example.com namespaces=\"git\" {}\n", key.public_key().to_openssh()?);
    Ok(Written { introduction: Introduction { commit: *first, policy_sha256 }, commits, key: public, allowed })
}

fn fleet_manifest(fleet: usize, number: usize) -> String {
    FLEET.replace("name: edge", &format!("name: edge-{fleet:05}")).replace("message 1", &format!("message {number}"))
}

pub(crate) fn git(dir: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = std::process::Command::new("git");
    command.arg("-C").arg(dir).args(arguments).env_remove("GIT_DIR");
    let git = command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").output()?;
    if !git.status.success() {
        bail!("git {arguments:?}: {}", String::from_utf8_lossy(&git.stderr));
    }
    Ok(String::from_utf8(git.stdout)?)
}

/// What each commit's signature is over, and the signature.
fn signed(objects: &MirrorObjects, written: &Written) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let one = |id: &CommitId| -> anyhow::Result<_> {
        let (kind, raw) = objects.raw(id)?;
        anyhow::ensure!(kind == ObjectKind::Commit, "{id} is no commit");
        let commit = Commit::parse(&raw, 20)?;
        let signature = SshSig::from_pem(commit.signature.context("the commit is signed")?)?;
        let data = SshSig::signed_data("git", HashAlg::Sha512, &commit.payload)?;
        Ok((data, signature.signature_bytes().to_vec()))
    };
    written.commits.iter().map(one).collect()
}

/// The time that the verifications alone take on all cores, by two libraries.
fn raw(key: &[u8; 32], signed: &[(Vec<u8>, Vec<u8>)], cores: usize) -> anyhow::Result<(Duration, Duration)> {
    let dalek = ed25519_dalek::VerifyingKey::from_bytes(key)?;
    let by_dalek = on_all_cores(signed, cores, |data, signature| {
        Ok(dalek.verify_strict(data, &ed25519_dalek::Signature::from_slice(signature)?)?)
    })?;
    let aws_lc = UnparsedPublicKey::new(&ED25519, key);
    let by_aws_lc = on_all_cores(signed, cores, |data, signature| {
        aws_lc.verify(data, signature).map_err(|_| anyhow::anyhow!("a signature does not verify"))
    })?;
    Ok((by_dalek, by_aws_lc))
}

fn on_all_cores(
    signed: &[(Vec<u8>, Vec<u8>)],
    cores: usize,
    verify: impl Fn(&[u8], &[u8]) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let share = |part: &[(Vec<u8>, Vec<u8>)]| part.iter().try_for_each(|(data, signature)| verify(data, signature));
    let share = &share;
    std::thread::scope(|scope| {
        let parts = signed.chunks(signed.len().div_ceil(cores));
        let threads: Vec<_> = parts.map(|part| scope.spawn(move || share(part))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("verifying does not panic"))
    })?;
    Ok(started.elapsed())
}
