//! The record of the accepted head, `head.json`: signed, kept in the object store and by devices, so that a database which
//! is lost or restored cannot roll the head back, and devices see a freeze by themselves.
//!
//! It is written in TUF's `{signed, signatures}` envelope with a `_type` of its own and signed by the targets key, so that
//! a signature over it is never one over a TUF role, nor the other way round.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::id::CommitId;
use crate::quantity::Seconds;

/// The largest `head.json` that anybody keeps or reads, in bytes.
pub const MAX_HEAD: usize = 64 << 10;

/// The `_type` of a head record: the only value of its kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeadType {
    /// A head record.
    #[default]
    #[serde(rename = "bellwether-head")]
    Head,
}

/// An accepted head. Fields of later releases are allowed, and signed like the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadRecord {
    /// What it is.
    #[serde(rename = "_type")]
    pub kind: HeadType,
    /// The introduction it was verified from.
    pub introduction: CommitId,
    /// The head.
    pub commit: CommitId,
    /// Its landing number.
    pub landing: u64,
    /// Version of the policy in its tree.
    pub policy_version: u64,
    /// When somebody who counts signed last, up to the head; not after the time at which that was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoken: Option<Timestamp>,
    /// The longest silence that the policy in its tree allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_silence: Option<Seconds>,
}

/// What orders the accepted heads of one introduction: a signed reset leads to a lower landing, with a higher policy version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeadRank {
    /// Version of the policy in the head's tree.
    pub policy_version: u64,
    /// The head's landing number.
    pub landing: u64,
}

impl HeadRecord {
    /// Where it stands among the heads of its introduction.
    pub const fn rank(&self) -> HeadRank {
        HeadRank { policy_version: self.policy_version, landing: self.landing }
    }

    /// The silence that the policy limits; none where it does not.
    pub fn silence(&self) -> Option<Silence> {
        Some(Silence { since: self.spoken?, max: self.max_silence? })
    }
}

/// How long nobody has signed anything, and how long that may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// When somebody signed last.
    pub since: Timestamp,
    /// The longest silence that is allowed.
    pub max: Seconds,
}

impl Silence {
    /// The first moment at which it is longer than allowed.
    pub fn is_frozen_from(&self) -> Timestamp {
        let longest = self.max.signed().saturating_add(SignedDuration::from_nanos(1));
        self.since.checked_add(longest).unwrap_or(Timestamp::MAX)
    }

    /// Whether it is longer than allowed.
    pub fn is_frozen(&self, now: Timestamp) -> bool {
        now >= self.is_frozen_from()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> HeadRecord {
        HeadRecord {
            kind: HeadType::Head,
            introduction: "11".repeat(20).parse().expect("an id"),
            commit: "22".repeat(20).parse().expect("an id"),
            landing: 7,
            policy_version: 3,
            spoken: Some("2026-01-01T00:00:00Z".parse().expect("a time")),
            max_silence: Some("7d".parse().expect("a span")),
        }
    }

    #[test]
    fn the_form_is_fixed_and_another_type_is_no_head() {
        let text = serde_json::to_string(&record()).expect("JSON");
        let fixed = format!(
            r#"{{"_type":"bellwether-head","introduction":"{}","commit":"{}","landing":7,"policyVersion":3,"spoken":"2026-01-01T00:00:00Z","maxSilence":"7d"}}"#,
            "11".repeat(20),
            "22".repeat(20)
        );
        assert_eq!(text, fixed);
        assert_eq!(serde_json::from_str::<HeadRecord>(&text).expect("read"), record());
        for other in ["targets", "", "Head"] {
            serde_json::from_str::<HeadRecord>(&text.replace("bellwether-head", other)).expect_err("another type");
        }
        serde_json::from_str::<HeadRecord>(&text.replace(r#""_type":"bellwether-head","#, "")).expect_err("no type");
    }

    #[test]
    fn a_reset_outranks_and_then_the_landing_counts() {
        let rank = |policy_version, landing| HeadRecord { policy_version, landing, ..record() }.rank();
        assert!(rank(4, 2) > rank(3, 7) && rank(3, 8) > rank(3, 7));
    }

    #[test]
    fn a_silence_may_last_as_long_as_the_policy_says_and_no_moment_longer() {
        let silence = record().silence().expect("limited");
        let end: Timestamp = "2026-01-08T00:00:00Z".parse().expect("a time");
        assert!(!silence.is_frozen(end));
        assert!(silence.is_frozen(end.checked_add(SignedDuration::from_nanos(1)).expect("a time")));
        assert_eq!(HeadRecord { max_silence: None, ..record() }.silence(), None);
        assert_eq!(Silence { since: Timestamp::MAX, ..silence }.is_frozen_from(), Timestamp::MAX);
    }
}
