//! The newest head record of the reconciler, `head.json`: kept for it, should it lose its own, and for `status`, which sees
//! by it that nobody has signed anything for too long.
//!
//! Only what the accepted root's targets key signed is kept, and never a record below the one that is held. It is handed
//! back as it came.

use bellwether_agent_core::Frozen;
use bellwether_schemas::codes;
use bellwether_schemas::head::{HeadRecord, MAX_HEAD};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use sigstore_tuf::{TrustedMetadataSet, canonical_json};

use crate::disk::DiskError;
use crate::state_dir::StateDir;
use crate::trust::Trust;

/// Why a head record is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeadError {
    /// It is longer than a report can carry.
    #[error("the record has {0} bytes, at most {MAX_HEAD} are kept")]
    TooLarge(usize),
    /// It is none.
    #[error("it is no head record")]
    Malformed(#[source] serde_json::Error),
    /// No key of the accepted root signed it. A newer root may come with the next pull.
    #[error("it is not signed by the targets key of the accepted root")]
    Foreign,
    /// The accepted root cannot be read.
    #[error("the accepted root cannot be read")]
    Root(#[source] sigstore_tuf::Error),
    /// A newer one is held.
    #[error("it is not above the one that is held: landing {held}, policy version {held_version}")]
    NotAbove {
        /// The landing of the held one.
        held: u64,
        /// Its policy version.
        held_version: u64,
    },
    /// The state directory.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// TUF's envelope. What is signed is taken as it came, with fields that this release does not know.
#[derive(Deserialize)]
struct Envelope {
    signed: Value,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    keyid: String,
    sig: String,
}

/// Keeps a record if it counts and is above the one that is held.
pub(crate) fn keep(state: &StateDir, trust: &Trust, bytes: &[u8]) -> Result<(), HeadError> {
    let held = state.load_head()?;
    if held == bytes {
        return Ok(());
    }
    let record = verify(trust, bytes)?;
    match parse(&held) {
        Ok(held) if replaces(&record, &held) => {}
        Ok(HeadRecord { landing: held, policy_version: held_version, .. }) => {
            return Err(HeadError::NotAbove { held, held_version });
        }
        Err(_) if held.is_empty() => {}
        Err(error) => {
            tracing::warn!(code = %codes::AGENT_STATE, %error, "the held head record is damaged; a new one takes its place")
        }
    }
    Ok(state.store_head(bytes)?)
}

/// Whether a record takes the place of the held one. One of another introduction does: the reconciler's configuration says
/// which one counts. So does the same head with another signature.
fn replaces(record: &HeadRecord, held: &HeadRecord) -> bool {
    record.introduction != held.introduction
        || record.rank() > held.rank()
        || (record.rank() == held.rank() && record.commit == held.commit)
}

/// Checks that the accepted root's targets keys signed a record, as many as the root asks for.
fn verify(trust: &Trust, bytes: &[u8]) -> Result<HeadRecord, HeadError> {
    if bytes.len() > MAX_HEAD {
        return Err(HeadError::TooLarge(bytes.len()));
    }
    let record = parse(bytes).map_err(HeadError::Malformed)?;
    let Envelope { signed, signatures } = serde_json::from_slice(bytes).map_err(HeadError::Malformed)?;
    let set = TrustedMetadataSet::from_root(trust.root.as_bytes()).map_err(HeadError::Root)?;
    let root = set.root();
    let role = root.role("targets").ok_or(HeadError::Foreign)?;
    let text = canonical_json::to_canonical_bytes(&signed).map_err(|_| HeadError::Foreign)?;
    let is_good = |keyid: &String| {
        let Some(key) = root.keys.get(keyid) else { return false };
        let mut by_key = signatures.iter().filter(|signature| signature.keyid == *keyid);
        by_key.any(|it| hex::decode(&it.sig).is_ok_and(|sig| key.verify(&text, &sig.into()).is_ok()))
    };
    let keys: std::collections::BTreeSet<&String> = role.keyids.iter().collect();
    let good = keys.into_iter().filter(|keyid| is_good(keyid)).count();
    if good >= role.threshold.max(1) { Ok(record) } else { Err(HeadError::Foreign) }
}

/// What a record says, whoever signed it.
fn parse(bytes: &[u8]) -> Result<HeadRecord, serde_json::Error> {
    let envelope: Envelope = serde_json::from_slice(bytes)?;
    HeadRecord::deserialize(envelope.signed)
}

/// Whether nobody has signed anything for longer than the policy allows, by a record that was kept before; nothing where
/// none was.
pub(crate) fn frozen(held: &[u8], now: Timestamp) -> Result<Option<Frozen>, serde_json::Error> {
    if held.is_empty() {
        return Ok(None);
    }
    let silence = parse(held)?.silence().filter(|silence| silence.is_frozen(now));
    Ok(silence.map(|silence| Frozen {
        code: codes::FROZEN.to_string(),
        since: silence.since,
        max_silence: silence.max,
    }))
}

#[cfg(test)]
pub(crate) mod tests;
