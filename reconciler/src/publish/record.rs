//! Signed records beside the metadata: in TUF's `{signed, signatures}` envelope, each with a `_type` of its own, signed by the
//! targets key. So a signature over one is never one over a TUF role, nor over a record of another type.

use std::num::NonZeroU64;

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tough::schema::{Role, RoleType, Root, Signed};

use super::presented::{PresentedError, verified};
use crate::keys::OnlineKeys;

/// What is signed: the record with every field that it has, also those of later releases. To the root it is something that
/// the targets key signs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Record(pub(super) Value);

impl Role for Record {
    const TYPE: RoleType = RoleType::Targets;

    fn expires(&self) -> Timestamp {
        Timestamp::MAX
    }

    fn version(&self) -> NonZeroU64 {
        NonZeroU64::MIN
    }

    fn filename(&self, _: bool) -> String {
        "record.json".to_owned()
    }
}

/// Signs a record that says itself what it is.
pub(super) fn sign(keys: &OnlineKeys, record: &impl Serialize) -> Bytes {
    let value = serde_json::to_value(record).expect("a record has string keys");
    keys.targets.sign(Record(value)).into()
}

/// Reads a record that targets keys of any of our roots signed.
///
/// # Errors
/// When it is not ours, or is of another type.
pub(super) fn read<T: DeserializeOwned>(roots: &[Root], bytes: &[u8]) -> Result<T, PresentedError> {
    let signed: Signed<Record> = verified(roots, bytes)?;
    serde_json::from_value(signed.signed.0).map_err(PresentedError::Malformed)
}
