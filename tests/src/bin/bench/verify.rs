//! `verify`: a linear history of signed commits, fetched into a mirror and judged.

use std::path::Path;
use std::sync::atomic::AtomicBool;
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

use crate::figures::{millis, per_second, ratio};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Commits of the history
    #[arg(long, default_value_t = 20_000)]
    commits: usize,
    /// Fleets in the repository; each commit changes one
    #[arg(long, default_value_t = 20)]
    fleets: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    bench: &'static str,
    commits: usize,
    fleets: usize,
    commits_per_s: u64,
    raw_per_s: u64,
    ratio_to_raw: f64,
    /// The library that made `raw_per_s`: the faster of those that were tried.
    raw_by: &'static str,
    raw_dalek_per_s: u64,
    raw_aws_lc_per_s: u64,
    cores: usize,
    objects: &'static str,
    fetch_ms: f64,
}

pub(crate) fn run(options: &Options, dir: &Path) -> anyhow::Result<Figures> {
    let source = dir.join("fleet.git");
    let written = write_history(&source, options)?;
    let mirror =
        Mirror::open_or_create(&dir.join("mirror.git"), &source.display().to_string(), "main", Access::default())?;
    let started = Instant::now();
    let tip = mirror.fetch(&AtomicBool::new(false))?;
    let fetch = started.elapsed();
    let objects = mirror.objects()?;
    let signed = signed(&objects, &written)?;

    // Before and after, since the clock of a shared machine moves.
    let (mut dalek, mut aws_lc) = raw(&written.key, &signed)?;
    let started = Instant::now();
    let (mut history, _) = VerifiedHistory::introduce(&objects, &written.introduction, "main")?;
    let advanced = history.advance(&objects, &tip, Timestamp::now());
    let took = started.elapsed();
    let (dalek_after, aws_lc_after) = raw(&written.key, &signed)?;
    dalek = dalek.midpoint(dalek_after);
    aws_lc = aws_lc.midpoint(aws_lc_after);

    if advanced.stop.is_some() || advanced.landings.len() + 1 != options.commits || *history.head() != tip {
        bail!("the history was not accepted: {:?}", advanced.stop);
    }
    let (limit, raw_by) = if dalek < aws_lc { (dalek, "ed25519-dalek") } else { (aws_lc, "aws-lc-rs") };
    Ok(Figures {
        bench: "verify",
        commits: options.commits,
        fleets: options.fleets,
        commits_per_s: per_second(options.commits, took),
        raw_per_s: per_second(options.commits, limit),
        ratio_to_raw: ratio(limit, took),
        raw_by,
        raw_dalek_per_s: per_second(options.commits, dalek),
        raw_aws_lc_per_s: per_second(options.commits, aws_lc),
        cores: 1,
        objects: "a mirror that gix fetched, packed",
        fetch_ms: millis(fetch),
    })
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
}

/// Writes a bare repository, and packs it as a server would.
fn write_history(dir: &Path, options: &Options) -> anyhow::Result<Written> {
    let pair = Ed25519Keypair::from_seed(&[7; 32]);
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
    Ok(Written { introduction: Introduction { commit: *first, policy_sha256 }, commits, key: public })
}

fn fleet_manifest(fleet: usize, number: usize) -> String {
    FLEET.replace("name: edge", &format!("name: edge-{fleet:05}")).replace("message 1", &format!("message {number}"))
}

fn git(dir: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    let git = std::process::Command::new("git").arg("-C").arg(dir).args(arguments).env_remove("GIT_DIR").output()?;
    if !git.status.success() {
        bail!("git {arguments:?}: {}", String::from_utf8_lossy(&git.stderr));
    }
    Ok(())
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

/// The time that the verifications alone take on one core, by two libraries.
fn raw(key: &[u8; 32], signed: &[(Vec<u8>, Vec<u8>)]) -> anyhow::Result<(Duration, Duration)> {
    let dalek = ed25519_dalek::VerifyingKey::from_bytes(key)?;
    let started = Instant::now();
    for (data, signature) in signed {
        dalek.verify_strict(data, &ed25519_dalek::Signature::from_slice(signature)?)?;
    }
    let dalek = started.elapsed();
    let aws_lc = UnparsedPublicKey::new(&ED25519, key);
    let started = Instant::now();
    for (data, signature) in signed {
        aws_lc.verify(data, signature).map_err(|_| anyhow::anyhow!("a signature does not verify"))?;
    }
    Ok((dalek, started.elapsed()))
}
