//! The version of a device spec: which landing it was offered at.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::CommitId;

/// The head at which a spec was offered, and how many offers the device had at that head before.
///
/// Written `v412`, or `v412.1` from the second offer at one head on. The number is
/// `git rev-list --first-parent --count <commit>`, so that anyone with a full clone can recompute it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Version {
    /// Landing number of `commit`, counted from 1.
    pub landing: u64,
    /// The accepted head at the offer.
    pub commit: CommitId,
    /// Earlier offers to the same device at the same head.
    #[serde(default)]
    pub revision: u32,
}

impl Version {
    /// What an agent compares against its floor: (landing, revision).
    pub fn rank(&self) -> (u64, u32) {
        (self.landing, self.revision)
    }

    /// The version with the short commit, for where there is room: `v412 (9f3c2ab)`.
    pub fn long(&self) -> String {
        format!("{self} ({})", self.commit.short())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.revision {
            0 => format!("v{}", self.landing),
            revision => format!("v{}.{revision}", self.landing),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_short_and_ranked_by_landing_then_revision() {
        let commit: CommitId = "9f3c2ab000000000000000000000000000000001".parse().expect("an id");
        let first = Version { landing: 412, commit, revision: 0 };
        let retry = Version { revision: 1, ..first };
        let next = Version { landing: 413, ..first };
        assert_eq!((first.to_string(), retry.long()), ("v412".into(), "v412.1 (9f3c2ab)".into()));
        assert!(first.rank() < retry.rank() && retry.rank() < next.rank());
    }
}
