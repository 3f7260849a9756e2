//! Pulls and verifies metadata, as the TUF specification's client workflow (§5) says, and the spec that it names.
//!
//! Everything is verified in memory first, down to "is this for my device?"; only then is the cache replaced, as one file.
//! Root and metadata floors are kept apart from that cache, so that losing it accepts nothing older.

use std::path::Path;
use std::time::{Duration, Instant};

use bellwether_agent_core::{Problem, Pulled};
use bellwether_schemas::codes;
use bellwether_schemas::id::Sha256Digest;
use bellwether_schemas::name::DeviceName;
use bellwether_schemas::spec::{DeviceSpec, MAX_SPEC, SPEC_TARGET, TargetRef};
use bellwether_schemas::targets::{Binding, EXTRA_KEY, SignedOffer};
use bellwether_schemas::version::Version;
use jiff::Timestamp;
use sigstore_tuf::{TargetFile, Targets, TrustedMetadataSet};

use crate::disk::DiskError;
use crate::state_dir::StateDir;
use crate::trust::{Floors, Metadata, Trust};
use crate::updates::Updates;

const MAX_ROOT: u64 = 512_000;
const MAX_TIMESTAMP: u64 = 16_384;
const MAX_SNAPSHOT: u64 = 64 << 10;
/// With all others it must fit into what a session's first report may present (1 MiB).
const MAX_TARGETS: u64 = 768 << 10;
/// Roots that one pull may bring: a device that was off for decades must still reach today's.
const MAX_ROTATIONS: u32 = 1_024;
/// Bytes that they may have together, and how long they may take.
const MAX_ROOTS: u64 = 64 << 20;
const ROOTS_TIME: Duration = Duration::from_secs(300);

/// Where metadata comes from; tests have one without a network.
pub(crate) trait Source {
    /// A metadata file; `None` only where there is none.
    fn metadata(&self, name: &str, limit: u64) -> impl Future<Output = Result<Option<Vec<u8>>, Problem>>;
    /// A target that is checked by the callee.
    fn download(&self, target: TargetRef, name: &str, to: &Path) -> impl Future<Output = Result<(), Problem>>;
}

impl Source for Updates {
    async fn metadata(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Problem> {
        Self::metadata(self, name, limit).await
    }
    async fn download(&self, target: TargetRef, name: &str, to: &Path) -> Result<(), Problem> {
        Self::download(self, target, name, to).await
    }
}

/// Metadata that was verified to the end.
pub(crate) struct Verified {
    pub(crate) trust: Trust,
    pub(crate) metadata: Metadata,
    binding: Binding,
    targets: Targets,
}

fn refuse(what: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::transient(codes::METADATA_REFUSED, format!("{what}: {}", crate::cli::chain(error)))
}

fn reject(why: impl Into<String>) -> Problem {
    Problem::transient(codes::METADATA_REFUSED, why)
}

/// Checks that a pinned root is one.
pub(crate) fn check_root(root: &[u8]) -> Result<(), sigstore_tuf::Error> {
    TrustedMetadataSet::from_root(root).map(drop)
}

/// The number of the accepted root.
pub(crate) fn root_version(trust: &Trust) -> Result<u64, sigstore_tuf::Error> {
    Ok(TrustedMetadataSet::from_root(trust.root.as_bytes())?.root().version)
}

/// Checks that the accepted root is the one that bears its number at the source.
pub(crate) async fn check_chain(source: &impl Source, trust: &Trust) -> Result<(), Problem> {
    let ours = TrustedMetadataSet::from_root(trust.root.as_bytes()).map_err(|e| refuse("accepted root", &e))?;
    let name = format!("{}.root.json", ours.root().version);
    let foreign = |why: &str| Problem::lasting(codes::ROOT_FOREIGN, format!("{name}: {why}"));
    let theirs = source.metadata(&name, MAX_ROOT).await?.ok_or_else(|| foreign("the reconciler has none"))?;
    // Signatures may have been added to the same root since.
    match TrustedMetadataSet::from_root(&theirs) {
        Ok(theirs) if theirs.root() == ours.root() => Ok(()),
        Ok(_) => Err(foreign("the reconciler's is another one")),
        Err(error) => Err(refuse(&name, &error)),
    }
}

/// Walks the chain of roots from the accepted one on. The caller keeps how far it came before anything else is fetched, also
/// where the walk broke off.
pub(crate) async fn refresh_root(source: &impl Source, trust: &mut Trust) -> Result<(), Problem> {
    let mut set = TrustedMetadataSet::from_root(trust.root.as_bytes()).map_err(|e| refuse("accepted root", &e))?;
    let (began, mut length) = (Instant::now(), 0);
    for _ in 0..MAX_ROTATIONS {
        let before = set.root().clone();
        let name = format!("{}.root.json", before.version + 1);
        let Some(bytes) = source.metadata(&name, MAX_ROOT).await? else { return Ok(()) };
        length += bytes.len() as u64;
        if length > MAX_ROOTS || began.elapsed() > ROOTS_TIME {
            return Err(reject(format!("{name}: {length} bytes of roots in {} s", began.elapsed().as_secs())));
        }
        set.update_root(&bytes).map_err(|e| refuse_root(&name, &set, &e))?;
        trust.root = text("root", bytes)?;
        // Keys that were replaced may have signed anything: their versions bind nobody (TUF specification §5.3.11).
        if ["timestamp", "snapshot", "targets"]
            .iter()
            .any(|role| set.root().roles.get(*role) != before.roles.get(*role))
        {
            trust.floors = Floors::default();
        }
    }
    Err(reject(format!("more than {MAX_ROTATIONS} new roots; the next pull goes on")))
}

/// Why the next root is refused: one that our keys did not sign belongs to another chain.
fn refuse_root(name: &str, set: &TrustedMetadataSet, error: &sigstore_tuf::Error) -> Problem {
    match error {
        sigstore_tuf::Error::ThresholdNotMet { .. } => {
            let version = set.root().version;
            foreign(format!("{name} is not signed by the keys of root {version}, which this device trusts"))
        }
        error => refuse(name, error),
    }
}

fn foreign(why: String) -> Problem {
    Problem::transient(codes::ROOT_FOREIGN, format!("{why}: enroll again if the reconciler's keys were made anew"))
}

/// Why a timestamp is refused: where our root is not in the reconciler's chain, that is why.
async fn refuse_timestamp(source: &impl Source, set: &TrustedMetadataSet, error: &sigstore_tuf::Error) -> Problem {
    let refused = refuse("timestamp.json", error);
    if !matches!(error, sigstore_tuf::Error::ThresholdNotMet { .. }) {
        return refused;
    }
    let version = set.root().version;
    match source.metadata(&format!("{version}.root.json"), MAX_ROOT).await {
        Ok(Some(bytes)) => match TrustedMetadataSet::from_root(&bytes) {
            // What the reconciler's own root says is what counts here; others may have signed it since.
            Ok(theirs) if theirs.root() == set.root() => refused,
            _ => foreign(format!("root {version} of the reconciler is another one than this device trusts")),
        },
        Ok(None) => foreign(format!("the reconciler has no root {version}, which this device trusts")),
        Err(_) => refused,
    }
}

/// Pulls what there is for the device, and keeps what was verified: roots first, then metadata with its floors.
pub(crate) async fn keep(
    state: &StateDir,
    source: &impl Source,
    device: &DeviceName,
    now: Timestamp,
) -> Result<Pulled, Problem> {
    let damaged = |e: DiskError| Problem::transient(codes::AGENT_STATE, crate::cli::chain(&e));
    let trust = state.load_trust().map_err(damaged)?;
    let trust = trust.ok_or_else(|| Problem::transient(codes::AGENT_STATE, "trust.json is gone"))?;
    let mut newer = trust.clone();
    let walked = refresh_root(source, &mut newer).await;
    if newer != trust {
        state.store_trust(&newer).map_err(damaged)?;
    }
    walked?;
    // The cache may be lost: the floors are not in it.
    let held = state.load_metadata().unwrap_or_else(|error| {
        tracing::warn!(code = %codes::AGENT_STATE, "{}; it is fetched anew", crate::cli::chain(&error));
        None
    });
    let found = refresh(source, &newer, held.clone(), device, now).await?;
    let pulled = found.load_offer(source, &state.path().join("spec.json")).await?;
    if held.as_ref() != Some(&found.metadata) {
        state.store_metadata(&found.metadata).map_err(damaged)?;
        state.store_trust(&found.trust).map_err(damaged)?;
    }
    Ok(pulled)
}

/// Fetches and verifies what is new since `held`.
pub(crate) async fn refresh(
    source: &impl Source,
    trust: &Trust,
    held: Option<Metadata>,
    device: &DeviceName,
    now: Timestamp,
) -> Result<Verified, Problem> {
    let mut set = TrustedMetadataSet::from_root(trust.root.as_bytes()).map_err(|e| refuse("accepted root", &e))?;
    set.check_root_expired(now).map_err(|e| refuse("root.json", &e))?;
    if !set.root().consistent_snapshot {
        return Err(reject("root.json: consistent snapshots are required"));
    }
    let held = held.filter(|held| is_still_trusted(set.clone(), held));
    if let Some(held) = &held {
        seed(&mut set, held).map_err(|e| refuse("held metadata", &e))?;
    }
    let mut timestamp = fetch(source, "timestamp.json", MAX_TIMESTAMP).await?;
    match (set.update_timestamp(timestamp.as_bytes(), now), &held) {
        (Ok(()), _) => {}
        (Err(sigstore_tuf::Error::EqualVersion { .. }), Some(held)) => timestamp.clone_from(&held.timestamp),
        (Err(e), _) => return Err(refuse_timestamp(source, &set, &e).await),
    }
    // What was held may have expired since; using it is what counts.
    set.check_timestamp_expired(now).map_err(|e| refuse("timestamp.json", &e))?;
    let pinned = set.timestamp().and_then(|t| t.snapshot_meta()).map(|meta| meta.version);
    let pinned = pinned.ok_or_else(|| reject("timestamp.json names no snapshot"))?;
    let snapshot = match &held {
        Some(held) if set.snapshot().is_some_and(|s| s.version == pinned) => held.snapshot.clone(),
        _ => {
            let snapshot = fetch(source, &format!("{pinned}.snapshot.json"), MAX_SNAPSHOT).await?;
            set.update_snapshot(snapshot.as_bytes(), now).map_err(|e| refuse("snapshot.json", &e))?;
            snapshot
        }
    };
    set.check_snapshot_expired(now).map_err(|e| refuse("snapshot.json", &e))?;
    let pinned = set.snapshot().and_then(|s| s.meta.get("targets.json")).map(|meta| meta.version);
    let pinned = pinned.ok_or_else(|| reject("snapshot.json names no targets"))?;
    let targets = match &held {
        Some(held) if set.targets_role("targets").is_some_and(|t| t.version == pinned) => held.targets.clone(),
        _ => fetch(source, &format!("{pinned}.targets.json"), MAX_TARGETS).await?,
    };
    let role = set.update_targets(targets.as_bytes(), now).map_err(|e| refuse("targets.json", &e))?.clone();
    let floors = Floors {
        timestamp: set.timestamp().map_or(0, |t| t.version),
        snapshot: set.snapshot().map_or(0, |s| s.version),
        targets: role.version,
    };
    if !floors.covers(&trust.floors) {
        return Err(reject(format!(
            "older metadata than was accepted before: {floors:?}, accepted {:?}",
            trust.floors
        )));
    }
    let binding = check_binding(&role, device)?;
    let passed = passed(floors.timestamp, now);
    let trust = Trust { floors, verified: Some(trust.verified.map_or(passed, |v| v.max(passed))), ..trust.clone() };
    Ok(Verified { trust, metadata: Metadata { timestamp, snapshot, targets }, binding, targets: role })
}

/// The latest time that has certainly come: metadata versions are the seconds of their making (or hardly above), and a
/// device's clock that runs ahead must not become a floor.
fn passed(version: u64, now: Timestamp) -> Timestamp {
    let made = i64::try_from(version).ok().and_then(|second| Timestamp::from_second(second).ok());
    made.map_or(now, |made| made.min(now))
}

/// Held metadata that the root's keys do not verify any more (a rotation) is dropped; the floors stay.
fn is_still_trusted(mut set: TrustedMetadataSet, held: &Metadata) -> bool {
    seed(&mut set, held).is_ok()
}

/// Takes held metadata in as the state before; whether it has expired in the meantime does not matter for that.
fn seed(set: &mut TrustedMetadataSet, held: &Metadata) -> Result<(), sigstore_tuf::Error> {
    let then = Timestamp::UNIX_EPOCH;
    set.update_timestamp(held.timestamp.as_bytes(), then)?;
    set.update_snapshot(held.snapshot.as_bytes(), then)?;
    set.update_targets(held.targets.as_bytes(), then).map(drop)
}

async fn fetch(source: &impl Source, name: &str, limit: u64) -> Result<String, Problem> {
    let bytes = source.metadata(name, limit).await?.ok_or_else(|| reject(format!("{name} is not there")))?;
    text(name, bytes)
}

fn text(name: &str, bytes: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|_| reject(format!("{name} is not text")))
}

/// Whether the metadata is for this device, and its offer and `spec.json` belong together.
fn check_binding(role: &Targets, device: &DeviceName) -> Result<Binding, Problem> {
    let value = role.extra.get(EXTRA_KEY).ok_or_else(|| reject("targets.json does not say which device it is for"))?;
    let binding: Binding = serde_json::from_value(value.clone()).map_err(|e| refuse("targets.json", &e))?;
    if binding.device != *device {
        let message = format!("the metadata is for {}, and this is {device}", binding.device);
        return Err(Problem::transient(codes::METADATA_FOREIGN, message));
    }
    match (&binding.offer, role.targets.get(SPEC_TARGET)) {
        (None, None) => Ok(binding),
        (Some(_), _) if binding.decommission => {
            Err(reject("targets.json: it offers something to a device that shall remove everything"))
        }
        (Some(offer), Some(spec)) if sha256(spec) == Some(offer.digest) => Ok(binding),
        _ => Err(reject("targets.json: the offer and spec.json do not belong together")),
    }
}

fn sha256(target: &TargetFile) -> Option<Sha256Digest> {
    target.hashes.get("sha256")?.parse().ok()
}

impl Verified {
    /// The version that is offered.
    pub(crate) fn offered(&self) -> Option<Version> {
        self.binding.offer.as_ref().map(|offer| offer.version)
    }

    /// Fetches the spec that is offered, and checks that the metadata lists all that it needs.
    pub(crate) async fn load_offer(&self, source: &impl Source, scratch: &Path) -> Result<Pulled, Problem> {
        let decommission = self.binding.decommission;
        let Some(offer) = &self.binding.offer else { return Ok(Pulled { offer: None, decommission }) };
        let unusable = |why: String| Problem::transient(codes::SPEC_UNUSABLE, why);
        let length = self.targets.targets.get(SPEC_TARGET).map_or(0, |target| target.length);
        if length > MAX_SPEC as u64 {
            return Err(unusable(format!("spec.json has {length} bytes, at most {MAX_SPEC} are allowed")));
        }
        let target = TargetRef { sha256: offer.digest, length };
        source.download(target, SPEC_TARGET, scratch).await?;
        let read = std::fs::read(scratch);
        let bytes = read.map_err(|e| unusable(format!("cannot read {}: {e}", scratch.display())))?;
        let spec = self.check_spec(offer, &bytes)?;
        Ok(Pulled { offer: Some(Box::new((offer.clone(), spec))), decommission })
    }

    fn check_spec(&self, offer: &SignedOffer, bytes: &[u8]) -> Result<DeviceSpec, Problem> {
        let unusable = |why: String| Problem::transient(codes::SPEC_UNUSABLE, why);
        if Sha256Digest::of(bytes) != offer.digest {
            return Err(unusable("spec.json is not what was signed".to_owned()));
        }
        let spec = DeviceSpec::from_canonical(bytes).map_err(|e| unusable(crate::cli::chain(&e)))?;
        for needed in spec.targets() {
            let listed = self.targets.targets.get(&needed.name());
            if !listed.is_some_and(|t| t.length == needed.length && sha256(t) == Some(needed.sha256)) {
                return Err(unusable(format!("the metadata does not list {} ({})", needed.name(), needed.sha256)));
            }
        }
        Ok(spec)
    }
}

#[cfg(test)]
pub(crate) mod tests;
