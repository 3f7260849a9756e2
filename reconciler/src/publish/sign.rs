//! Makes and signs the three roles of one device: pure but for the keys.

use std::collections::HashMap;
use std::num::NonZeroU64;

use bytes::Bytes;
use jiff::Timestamp;
use tough::TargetName;
use tough::schema::{Hashes, Metafile, Snapshot, Target, Targets};

use bellwether_schemas::Sha256Digest;
use bellwether_schemas::lives::{SNAPSHOT_AND_TARGETS, TIMESTAMP, timestamp_due};
use bellwether_schemas::spec::TargetRef;
use bellwether_schemas::targets::EXTRA_KEY;

use super::Unsigned;
use crate::keys::{OnlineKeys, SPEC_VERSION};

/// The signed metadata of one device, as it is written.
#[derive(Debug)]
pub(super) struct Triple {
    pub(super) timestamp: Bytes,
    pub(super) snapshot: Bytes,
    pub(super) targets: Bytes,
    pub(super) renew_at: Timestamp,
}

/// The next metadata version of a device: above every one that was signed for it, and not below the clock, so that it
/// rises even when all records are lost. `None` when the numbers are used up.
pub(super) fn next_version(floor: u64, now: Timestamp) -> Option<NonZeroU64> {
    let clock = u64::try_from(now.as_second()).unwrap_or(0);
    NonZeroU64::new(floor.checked_add(1)?.max(clock))
}

pub(super) fn sign(keys: &OnlineKeys, device: &Unsigned, version: NonZeroU64, now: Timestamp) -> Triple {
    let expires = SNAPSHOT_AND_TARGETS.ends(now);
    let binding = serde_json::to_value(&device.binding).expect("a binding has string keys");
    let targets = keys.targets.sign(Targets {
        spec_version: SPEC_VERSION.to_owned(),
        version,
        expires,
        targets: device.targets.iter().map(|(name, target)| (target_name(name), target_entry(target))).collect(),
        // Present but empty delegations are more than most clients were tested with.
        delegations: None,
        _extra: HashMap::from([(EXTRA_KEY.to_owned(), binding)]),
    });
    let snapshot = keys.snapshot.sign(Snapshot {
        spec_version: SPEC_VERSION.to_owned(),
        version,
        expires,
        meta: HashMap::from([("targets.json".to_owned(), metafile(version, &targets))]),
        _extra: HashMap::new(),
    });
    let expires = TIMESTAMP.ends(now);
    let timestamp = keys.timestamp.sign(tough::schema::Timestamp {
        spec_version: SPEC_VERSION.to_owned(),
        version,
        expires,
        meta: HashMap::from([("snapshot.json".to_owned(), metafile(version, &snapshot))]),
        _extra: HashMap::new(),
    });
    Triple {
        timestamp: timestamp.into(),
        snapshot: snapshot.into(),
        targets: targets.into(),
        renew_at: timestamp_due(expires),
    }
}

fn target_name(name: &str) -> TargetName {
    TargetName::new(name).expect("our target names are flat: letters, digits, hyphens and dots")
}

fn target_entry(target: &TargetRef) -> Target {
    let hashes = hashes(&target.sha256);
    Target { length: target.length, hashes, custom: HashMap::new(), _extra: HashMap::new() }
}

fn metafile(version: NonZeroU64, content: &[u8]) -> Metafile {
    Metafile {
        length: Some(content.len() as u64),
        hashes: Some(hashes(&Sha256Digest::of(content))),
        version,
        _extra: HashMap::new(),
    }
}

fn hashes(digest: &Sha256Digest) -> Hashes {
    Hashes { sha256: digest.as_bytes().to_vec().into(), _extra: HashMap::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise_above_the_clock_and_above_all_that_was_signed() {
        let now = Timestamp::from_second(1_000).expect("a time");
        let next = |floor| next_version(floor, now).map(NonZeroU64::get);
        assert_eq!(next(0), Some(1_000), "the clock lifts it after all records were lost");
        assert_eq!(next(999), Some(1_000));
        assert_eq!(next(1_000), Some(1_001), "two in one second");
        assert_eq!(next(5_000), Some(5_001), "a clock that went back lowers nothing");
        assert_eq!(next(u64::MAX), None);
        assert_eq!(next_version(7, Timestamp::MIN).map(NonZeroU64::get), Some(8));
    }
}
