//! The rows, and how a column is read back: by the same strict parsers that read everything else.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use bellwether_schemas::allow::Allowed;
use bellwether_schemas::api::WaitingOn;
use bellwether_schemas::head::{HeadRank, HeadRecord};
use bellwether_schemas::report::Reported;
use bellwether_schemas::targets::{Binding, EnrolledBy, SignedOffer};
use bellwether_schemas::{CommitId, DeviceName, EnrollmentName, EntryId, FleetName, PersonName, Sha256Digest, Version};

use super::StoreError;
use super::database::Row;

/// The accepted head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadRow {
    /// The introduction it was verified from.
    pub introduction: CommitId,
    /// The head.
    pub commit: CommitId,
    /// Its landing number.
    pub landing: u64,
    /// Version of the policy in its tree.
    pub policy_version: u64,
    /// When somebody who counts signed last, up to the head; not after the time at which that was accepted.
    pub spoken: Option<Timestamp>,
}

impl HeadRow {
    /// Where it stands among the heads of its introduction.
    pub const fn rank(&self) -> HeadRank {
        HeadRank { policy_version: self.policy_version, landing: self.landing }
    }
}

impl From<&HeadRecord> for HeadRow {
    fn from(record: &HeadRecord) -> Self {
        Self {
            introduction: record.introduction,
            commit: record.commit,
            landing: record.landing,
            policy_version: record.policy_version,
            spoken: record.spoken,
        }
    }
}

/// A landing that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandingRow {
    /// The commit.
    pub commit: CommitId,
    /// Its landing number.
    pub number: u64,
    /// Who stands for it.
    pub signers: Vec<PersonName>,
    /// Version of the policy in its tree.
    pub policy_version: u64,
    /// First line of its message.
    pub summary: String,
    /// When, by its committer; for people only.
    pub committed: Timestamp,
}

/// What a device's signed targets name, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OfferRow {
    /// The offer as it is signed.
    pub signed: SignedOffer,
    /// When it became visible to the device.
    pub offered_at: Timestamp,
    /// When the device's `Applying` was acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// Its name.
    pub name: DeviceName,
    /// The enrollment it came by.
    pub enrollment: EnrollmentName,
    /// The entry of that enrollment.
    pub entry: EntryId,
    /// When it got its certificate.
    pub enrolled_at: Timestamp,
    /// What it said last.
    pub reported: Option<Reported>,
    /// When that was, by our clock.
    pub last_seen: Option<Timestamp>,
    /// When its phase or claims changed last, by our clock.
    pub last_progress: Option<Timestamp>,
    /// What its signed targets name now.
    pub offer: Option<OfferRow>,
    /// Why it is out of every rollout, where it is.
    pub paused: Option<WaitingOn>,
    /// Nothing is published for it before it has reported.
    pub awaiting_reconnect: bool,
    /// Version of its newest signed metadata, or of newer metadata of ours that it presented; 0 before the first.
    pub metadata_version: u64,
    /// What its operator allows; none where it does not say.
    pub allows: Option<Arc<Allowed>>,
}

impl DeviceRow {
    /// What its signed targets shall say.
    pub fn binding(&self) -> Binding {
        let decommission = matches!(self.paused, Some(WaitingOn::Decommissioning | WaitingOn::Decommissioned { .. }));
        let offer = self.offer.as_ref().filter(|_| !decommission).map(|offer| offer.signed.clone());
        let enrolled = Some(EnrolledBy { enrollment: self.enrollment.clone(), entry: self.entry.clone() });
        Binding { enrolled, decommission, ..Binding::new(self.name.clone(), offer) }
    }
}

/// An offer that a device got at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedRow {
    /// The device.
    pub device: DeviceName,
    /// The version that was offered.
    pub version: Version,
    /// The fleet it was offered in.
    pub fleet: FleetName,
    /// The template commit.
    pub template: CommitId,
    /// The digest of the spec.
    pub digest: Sha256Digest,
    /// When.
    pub offered_at: Timestamp,
}

/// The rollout of a fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutRow {
    /// The fleet.
    pub fleet: FleetName,
    /// Rises with each record of the fleet.
    pub sequence: u64,
    /// A [`bellwether_core::plan::RolloutRecord`].
    pub record: serde_json::Value,
}

/// Something that happened, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// When.
    pub at: Timestamp,
    /// What kind of thing: a word.
    pub kind: String,
    /// The device it concerns.
    pub device: Option<DeviceName>,
    /// The fleet it concerns.
    pub fleet: Option<FleetName>,
    /// The stable code, where a person can act on it.
    pub code: Option<String>,
    /// What happened.
    pub message: String,
}

/// An event with its number, which rises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The number.
    pub id: i64,
    /// The event.
    pub event: EventRow,
}

/// A number as both databases hold it. Landings, revisions and metadata versions are far below 2^63 (the wire refuses others).
pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// JSON of a value whose keys are strings.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("rows have string keys and no failing serializer")
}

/// Reads the columns of one row, naming the place of what it cannot read.
pub(super) struct Columns<'r> {
    row: &'r Row,
    table: &'static str,
    key: String,
}

impl<'r> Columns<'r> {
    pub(super) fn new(row: &'r Row, table: &'static str, key: &'static str) -> Self {
        let key = row.text(key).ok().flatten().unwrap_or_else(|| format!("without readable {key}"));
        Self { row, table, key }
    }

    fn bad(&self, column: &'static str, why: impl Display) -> StoreError {
        StoreError::Value { table: self.table, column, row: self.key.clone(), why: why.to_string() }
    }

    pub(super) fn optional_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.row.text(column).map_err(|why| self.bad(column, why))
    }

    pub(super) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.optional_text(column)?.ok_or_else(|| self.bad(column, "it is NULL"))
    }

    pub(super) fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        self.row.flag(column).map_err(|why| self.bad(column, why))
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, StoreError> {
        let value = self.row.number(column).map_err(|why| self.bad(column, why))?;
        T::try_from(value).map_err(|_| self.bad(column, format!("{value} is out of range")))
    }

    pub(super) fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T::Err: Display,
    {
        self.text(column)?.parse().map_err(|why| self.bad(column, why))
    }

    /// Values separated by spaces.
    pub(super) fn list<T: FromStr>(&self, column: &'static str) -> Result<Vec<T>, StoreError>
    where
        T::Err: Display,
    {
        let text = self.text(column)?;
        text.split_whitespace().map(|word| word.parse().map_err(|why| self.bad(column, why))).collect()
    }

    pub(super) fn optional<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, StoreError>
    where
        T::Err: Display,
    {
        let text = self.optional_text(column)?;
        text.map(|text| text.parse().map_err(|why| self.bad(column, why))).transpose()
    }

    pub(super) fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|why| self.bad(column, why))
    }

    pub(super) fn optional_json<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, StoreError> {
        let text = self.optional_text(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(|why| self.bad(column, why))).transpose()
    }
}
